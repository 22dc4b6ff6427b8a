"""Gas behind the customer port (P1) of Dutch and Belgian electricity meters.

Topic: any. A payload is a whole telegram, some of its lines, either of them in Tasmota's
``{"SerialReceived": "..."}``, the JSON of dsmr-reader (``read_at``, ``delivered`` in m3) or that of
dsmr2mqtt (``gas_consumed`` in whole litres, ``timestamp`` in Unix seconds, ``serial``).

Device: a channel (``0-1``), or the gas meter's equipment identifier as the telegram has it in
``0-n:96.1.0`` or ``96.1.1``, in hexadecimal or decoded; for dsmr2mqtt its serial. Empty: the one
gas meter of the topic. Device type 003 is gas; water (007) has the same code ``24.2.1``, so a line
alone is taken only for a channel that the mapping names, or with ``24.2.3``, which is gas.

Read are ``24.2.1`` (gas; converted to standard temperature by Dutch meters), ``24.2.3`` (Belgian
gas, not converted) and ``24.3.0`` of DSMR 2 and 3, whose register stands on the next line. A
channel without a meter shows zeros without a unit, and is ignored. The check sum of a whole
telegram must be right where there is one. Time: that of the gas meter, which reports each hour or
five minutes, on the wall of the mapping's zone (``p1.py``). No flags.

Facts: "P1 Companion Standard" 2.2 to 5.0.2 of Netbeheer Nederland, Fluvius' e-MUCS P1, the examples
of https://github.com/ndokter/dsmr_parser, and https://dsmr-reader.readthedocs.io/.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from metering.adapter import Message, Sample, Samples, Source
from metering.adapters import p1, parse

_OBJECT = re.compile(r"(0-[0-9]{1,2}):([0-9]{1,2}\.[0-9]{1,2}\.[0-9]{1,2})((?:\([^()]*\))+)")
_VALUE = re.compile(r"\(([^()]*)\)")
_CHANNEL = re.compile(r"0-[0-9]{1,2}")
_REGISTER = re.compile(r"([0-9.]{1,32})\*(\w{1,8})")
_CHECK_SUM = re.compile(r"[0-9A-Fa-f]{4}")
_DEVICE_TYPE = re.compile(r"[0-9]{1,3}")
_ZERO = re.compile(r"[0.]*(?:\*m3)?")
_TYPE: Final = "24.1.0"
_GAS_TYPE: Final = 3
_NAMES: Final = ("96.1.0", "96.1.1")
_STAMPED: Final = ("24.2.1", "24.2.3")
_GAS_ONLY: Final = "24.2.3"
_OLD: Final = "24.3.0"
_OLD_VALUES: Final = 7
_KNOWN: Final = frozenset({_TYPE, _OLD, *_NAMES, *_STAMPED})
_CRC16_ARC: Final = 0xA001


@dataclass(frozen=True, slots=True, kw_only=True)
class _Channel:
    """What one meter behind the electricity meter says, object by object."""

    name: str
    objects: Mapping[str, Sequence[str]]

    @property
    def has_register(self) -> bool:
        return any(code in self.objects for code in (_OLD, *_STAMPED))

    @property
    def names(self) -> set[str]:
        """The equipment identifiers, as they stand and decoded from hexadecimal."""
        found = {self.objects[code][0] for code in _NAMES if code in self.objects} - {""}
        return found | {_decoded(name) for name in found}

    @property
    def device_type(self) -> int | None:
        values = self.objects.get(_TYPE)
        if values is None:
            return None
        if _DEVICE_TYPE.fullmatch(values[0]) is None:
            raise parse.unreadable("the device type is no number")
        return int(values[0])

    @property
    def is_gas(self) -> bool:
        """Whether the telegram itself says that this is gas."""
        return self.device_type == _GAS_TYPE or (
            self.device_type is None and _GAS_ONLY in self.objects
        )


def read(message: Message, source: Source) -> Samples | None:
    """Return the register of the source's gas meter."""
    payload = message.payload.strip()
    if not payload.startswith(b"{"):
        return _lines(payload, source)
    said = parse.json_object(payload)
    if "SerialReceived" in said:
        received = parse.text(said["SerialReceived"], "SerialReceived").strip()
        return _lines(received.encode("utf-8", "replace"), source)
    if "gas_consumed" in said:
        return _dsmr2mqtt(said, source)
    return _dsmr_reader(said, source) if "delivered" in said else None


def _dsmr2mqtt(said: Mapping[str, Any], source: Source) -> Samples | None:
    if source.device and parse.text(said.get("serial"), "serial") != source.device:
        return None
    litres = said["gas_consumed"]
    register_dm3 = parse.register_dm3(litres, "l")
    if register_dm3 != litres:
        # A release that turned to m3 would have a fraction here, and be a thousand times too low.
        raise parse.unreadable("gas_consumed is not in whole litres")
    read_at = parse.epoch_at(said.get("timestamp"), "timestamp")
    return Samples(samples=(Sample(read_at=read_at, register_dm3=register_dm3),))


def _dsmr_reader(said: Mapping[str, Any], source: Source) -> Samples:
    if source.device:
        raise parse.unreadable("the message names no device, and the mapping does")
    sample = Sample(
        read_at=parse.zoned_at(said.get("read_at"), "read_at"),
        register_dm3=parse.register_dm3(said["delivered"], "m3"),
    )
    return Samples(samples=(sample,))


def _lines(payload: bytes, source: Source) -> Samples | None:
    if not payload.isascii():
        raise parse.unreadable("a telegram is ASCII")
    whole = payload.startswith(b"/")
    channels = _channels((_checked(payload) if whole else payload).decode("ascii"))
    mapped = [channel for channel in channels if _is_ours(channel, source, whole=whole)]
    live = [sample for channel in mapped for sample in _samples(channel, source.zone)]
    if len(live) > 1:
        raise parse.unreadable("more than one gas register")
    return Samples(samples=tuple(live)) if mapped else None


def _is_ours(channel: _Channel, source: Source, *, whole: bool) -> bool:
    if not channel.has_register:
        return False
    if _CHANNEL.fullmatch(source.device) is not None:
        if channel.name == source.device and channel.device_type not in {None, _GAS_TYPE}:
            raise parse.unreadable(f"channel {channel.name} is no gas meter")
        return channel.name == source.device
    if not source.device:
        if not whole and not channel.is_gas:
            raise parse.unreadable("a line alone does not say that it is gas")
        return channel.is_gas
    if not whole and not channel.names:
        raise parse.unreadable("a line alone does not name its meter")
    if source.device not in channel.names:
        return False
    if not channel.is_gas:
        raise parse.unreadable("that meter is no gas meter")
    return True


def _channels(text: str) -> list[_Channel]:
    """Return what the lines say, channel by channel; a line with no code goes on with the last."""
    found: dict[str, dict[str, list[str]]] = {}
    last: list[str] | None = None
    for line in (line.strip() for line in text.splitlines()):
        match = _OBJECT.fullmatch(line)
        if match is not None and match[2] in _KNOWN:
            objects = found.setdefault(match[1], {})
            if match[2] in objects:
                raise parse.unreadable(f"{match[1]}:{match[2]} stands twice")
            last = objects[match[2]] = _VALUE.findall(match[3])
        elif line.startswith("(") and last is not None:
            last += _VALUE.findall(line)
        elif line:
            last = None
    return [_Channel(name=name, objects=objects) for name, objects in sorted(found.items())]


def _samples(channel: _Channel, zone: str) -> list[Sample]:
    """Return the register of a channel, or nothing where no meter is paired with it."""
    samples = []
    for code in _STAMPED:
        values = channel.objects.get(code)
        if values is not None and not _is_unpaired(values, has_unit="*" in values[-1]):
            samples.append(_stamped(values, zone))
    values = channel.objects.get(_OLD)
    if values is not None and not _is_unpaired(values, has_unit=True):
        samples.append(_old(channel.name, values, zone))
    return samples


def _is_unpaired(values: Sequence[str], *, has_unit: bool) -> bool:
    """Say whether no gas was ever counted, and the unit is missing or the clock was never set."""
    is_zero = _ZERO.fullmatch(values[-1]) is not None
    return is_zero and (not has_unit or p1.is_unset(values[0]))


def _stamped(values: Sequence[str], zone: str) -> Sample:
    if len(values) != 2:  # noqa: PLR2004 - (time)(register*unit)
        raise parse.unreadable("a register has a time and a value")
    match = _REGISTER.fullmatch(values[1])
    if match is None:
        raise parse.unreadable("the register has no unit")
    return Sample(
        read_at=p1.stamp_at(values[0], "the time", zone),
        register_dm3=parse.register_dm3(match[1], match[2]),
    )


def _old(name: str, values: Sequence[str], zone: str) -> Sample:
    """Return the register of ``(time)(status)(minutes)(1)(code)(unit)`` and ``(value)`` below."""
    if len(values) != _OLD_VALUES:
        raise parse.unreadable("the register is not beside its time")
    if values[3] != "1" or not values[4].startswith(f"{name}:24.2."):
        raise parse.unreadable("not one register of this channel")
    return Sample(
        read_at=p1.stamp_at(values[0], "the time", zone),
        register_dm3=parse.register_dm3(values[6], values[5]),
    )


def _decoded(name: str) -> str:
    try:
        return bytes.fromhex(name).decode("ascii")
    except ValueError:
        return name


def _checked(payload: bytes) -> bytes:
    """Return a whole telegram without its end, which must be there, and right if it says so."""
    head, end, tail = payload.replace(b"\r\n", b"\n").partition(b"\n!")
    said = tail.decode("ascii").strip()
    if not end or (said and _CHECK_SUM.fullmatch(said) is None):
        raise parse.unreadable("a telegram without its end")
    # The meter summed what it sent, with both characters; many gateways pass on one.
    sent = (head + end).replace(b"\n", b"\r\n")
    if said and int(said, 16) != _crc16(sent):
        raise parse.unreadable("the check sum is wrong")
    return head


def _crc16(data: bytes) -> int:
    """Return the CRC-16/ARC that P1 prescribes: x16 + x15 + x2 + 1, lowest bit first."""
    found = 0
    for byte in data:
        found = found >> 8 ^ _CRC16_OF[(found ^ byte) & 0xFF]
    return found


def _crc16_of(byte: int) -> int:
    found = byte
    for _ in range(8):
        found = found >> 1 ^ (_CRC16_ARC if found & 1 else 0)
    return found


# A table, since whoever may publish may send 64 KiB of telegram as often as he likes.
_CRC16_OF: Final = tuple(_crc16_of(byte) for byte in range(256))
