"""Gas meters among everything that rtl_433 hears.

Topic: ``rtl_433/<host>/events`` or ``.../states``, one JSON object each; below ``.../devices/`` are
single values that say nothing alone. Device: ``id`` in decimal digits, without leading zeros. Read
are the models ``ERT-SCM`` (``consumption_data``, 24 bits), ``SCMplus`` (``Consumption``, 32 bits),
both counters (``ert.py``), and ``Wireless-MBus`` (``inst_volume_0``, a text with its unit); they
must say that they meter gas, and ``mic`` must be CRC, since a frame nobody checked is noise with a
number in it. An encrypted frame is refused; one without a volume is a sign of life. Time: ``time``
with a zone, in local time, or in Unix seconds; without one the time of receipt, unless retained.
Flags: ``tamper_physical``, ``tamper_encoder``, ``tamper``.

Facts: https://github.com/merbanan/rtl_433 (src/devices/ert_scm.c, scmplus.c, m_bus.c).
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from metering.adapter import Message, Sample, Samples, Source
from metering.adapters import ert, parse

_ID_MAX: Final = 2**32 - 1
_SCM_BITS: Final = 24
_SCM_PLUS_BITS: Final = 32
_GAS_MBUS: Final = 3  # EN 13757-7, device type
_HEX = re.compile(r"0x[0-9A-Fa-f]{1,4}")
_UNIX = re.compile(r"([0-9]{1,11})(?:\.[0-9]{1,6})?")
_VOLUME = re.compile(r"([0-9.]{1,32}) (\S{1,8})")
_MODELS: Final = frozenset({"ERT-SCM", "SCMplus", "Wireless-MBus"})


def spellings(source: Source) -> tuple[str, ...]:
    """Return the device, which stands in a message as it is."""
    return (source.device,)


def read(message: Message, source: Source) -> Samples | None:
    """Return the register of an event of the source's meter."""
    if "devices" in message.topic.split("/"):
        return None
    said = parse.json_object(message.payload)
    model = str(said.get("model"))
    if model not in _MODELS:
        return None
    if str(parse.whole(said.get("id"), "id", _ID_MAX)) != source.device:
        return None
    if said.get("mic") != "CRC":
        raise parse.unreadable("mic is not CRC")
    if model == "Wireless-MBus":
        register_dm3 = _mbus_dm3(said)
        if register_dm3 is None:
            return Samples()
    elif model == "SCMplus":
        register_dm3 = _scm_plus_dm3(said, source)
    else:
        ert.check_gas(said.get("ert_type"))
        register_dm3 = ert.register_dm3(said.get("consumption_data"), _SCM_BITS, source)
    sample = Sample(read_at=_heard_at(message, said, source), register_dm3=register_dm3)
    return Samples(samples=(sample,), flags=_flags(said))


def _scm_plus_dm3(said: Mapping[str, Any], source: Source) -> int:
    ert.check_gas(_number(said.get("EndpointType"), "EndpointType"))
    if said.get("MeterType", "Gas") != "Gas":
        raise parse.unreadable("MeterType is not Gas")
    return ert.register_dm3(said.get("Consumption"), _SCM_PLUS_BITS, source)


def _mbus_dm3(said: Mapping[str, Any]) -> int | None:
    if _number(said.get("type"), "type") != _GAS_MBUS:
        raise parse.unreadable("type is not that of gas")
    if "payload_encrypted" in said:
        raise parse.unreadable("encrypted")
    if "inst_volume_0" not in said:
        return None
    match = _VOLUME.fullmatch(parse.text(said["inst_volume_0"], "inst_volume_0"))
    if match is None:
        raise parse.unreadable("inst_volume_0 is no volume")
    return parse.register_dm3(match[1], match[2])


def _number(value: object, name: str) -> int:
    """Return a number that rtl_433 writes as one or in hexadecimal, by model and version."""
    if isinstance(value, str) and _HEX.fullmatch(value) is not None:
        return int(value, 16)
    return parse.whole(value, name, 0xFFFF)


def _heard_at(message: Message, said: Mapping[str, Any], source: Source) -> datetime:
    if "time" not in said:
        return parse.received_at(message)
    heard = parse.text(said["time"], "time")
    unix = _UNIX.fullmatch(heard)
    if unix is not None:
        return parse.epoch_at(int(unix[1]), "time")
    return parse.told_at(heard, "time", source.zone)


def _flags(said: Mapping[str, Any]) -> list[str]:
    names = {
        "physical_tamper": "tamper_physical",
        "encoder_tamper": "tamper_encoder",
        "Tamper": "tamper",
    }
    return [flag for name, flag in names.items() if _number(said.get(name, 0), name)]
