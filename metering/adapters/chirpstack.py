"""What ChirpStack, a LoRaWAN server, wraps around the words of any radio device.

Topic: ``application/<id>/device/<DevEUI>/event/up`` (version 4 and late 3) or ``…/rx`` (early 3);
all other events are a sign of life. ``device`` of a mapping is the DevEUI in hex, in any case,
and behind a slash what the family of the device adds. The DevEUI stands at ``deviceInfo.devEui``
(4), or at ``devEUI`` in hex or base64 (3). A topic and a payload that name different devices are
refused: rights are given by topic, and a payload can say anything.

Time: ``time`` or ``publishedAt``, when the server got it; else the second the message came.
``data`` is base64. ``object`` is what a codec in the server made of it; version 3 puts it as a text
into ``objectJSON``.

Facts: chirpstack/chirpstack, api/proto/integration/integration.proto; brocaar/chirpstack-docs.
"""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from metering.adapter import Message, Samples, Source, UnreadableError
from metering.adapters import parse
from metering.telegram import RefusalReason

_UPLINKS: Final = frozenset({"up", "rx"})
_EUI: Final = re.compile(r"[0-9a-f]{16}")
_EUI_BYTES: Final = 8
# Ten characters of base64 are 60 bits; the eleventh has two more than there are, of any value.
_BASE64_CHARS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Uplink:
    """One message of a radio device; ``codec`` is what the server made of the bytes, if anything.

    ``more`` is what the mapping adds behind the DevEUI, empty when it adds nothing.
    """

    read_at: datetime
    data: bytes
    codec: Mapping[str, Any]
    more: str


def eui_spellings(source: Source) -> tuple[str, ...]:
    """Return the DevEUI in hex, and as much of it in base64 as has one spelling."""
    eui = source.device.partition("/")[0].lower()
    if _EUI.fullmatch(eui) is None:
        return ()
    return eui, base64.b64encode(bytes.fromhex(eui)).decode("ascii")[:_BASE64_CHARS]


def read_uplink(
    message: Message, source: Source, decode: Callable[[Uplink, Source], Samples]
) -> Samples | None:
    """Return what a family's ``decode`` finds in an uplink, or None if another device spoke."""
    device, _, more = source.device.partition("/")
    wanted, topic = device.lower(), _topic_eui(message.topic)
    if topic not in (None, wanted):
        return None
    said = parse.json_object(message.payload)
    told = _told_eui(said)
    if told != wanted:
        if topic is None:
            return None
        raise UnreadableError(RefusalReason.METER_MISMATCH, f"the payload says {told}")
    if message.topic.rpartition("/")[2] not in _UPLINKS:
        return Samples()
    uplink = Uplink(
        read_at=_read_at(said, message),
        data=_data(said.get("data")),
        codec=_codec(said),
        more=more,
    )
    return decode(uplink, source)


def _told_eui(said: Mapping[str, Any]) -> str:
    if "deviceInfo" in said:
        told = parse.fields(said["deviceInfo"], "deviceInfo").get("devEui")
    else:
        told = said.get("devEUI")
    spelt = parse.text(told, "the DevEUI")
    if _EUI.fullmatch(spelt.lower()) is not None:
        return spelt.lower()
    eui = _base64(spelt, "the DevEUI")
    if len(eui) != _EUI_BYTES:
        raise parse.unreadable("the DevEUI is not 8 bytes long")
    return eui.hex()


def _topic_eui(topic: str) -> str | None:
    """Return the DevEUI that a topic names; a topic that a town made up may name none."""
    _, found, after = topic.lower().partition("/device/")
    eui = after.partition("/")[0]
    return eui if found and _EUI.fullmatch(eui) is not None else None


def _read_at(said: Mapping[str, Any], message: Message) -> datetime:
    for name in ("time", "publishedAt"):
        if said.get(name) is not None:
            return parse.zoned_at(said[name], name)
    return parse.received_at(message)


def _data(spelt: object) -> bytes:
    """Return the bytes; the server leaves them out when there are none."""
    return b"" if spelt is None else _base64(parse.text(spelt, "data"), "data")


def _base64(spelt: str, name: str) -> bytes:
    try:
        return base64.b64decode(spelt, validate=True)
    except ValueError:
        raise parse.unreadable(f"{name} is no base64") from None


def _codec(said: Mapping[str, Any]) -> Mapping[str, Any]:
    decoded = said.get("object")
    if decoded is None and said.get("objectJSON"):
        spelt = parse.text(said["objectJSON"], "objectJSON")
        decoded = parse.json_value(spelt.encode("utf-8", "surrogatepass"))
    return {} if decoded is None else parse.fields(decoded, "object")
