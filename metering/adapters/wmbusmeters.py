"""wmbusmeters: a receiver of wireless M-Bus that publishes each telegram as JSON.

Topic: free, often ``wmbusmeters/<name>``, and shared by all meters a receiver hears. ``device`` is
``id`` as it stands there, leading zeros and all; another id is another device. ``media`` must be
gas, and is not believed alone, since a water meter has been seen under it: a driver (``meter``)
that is made for water, heat or their cost is refused.

Read: ``total_m3``, and as a second sample ``target_m3``, the register at a billing date. A target
without a time is the end of its day, as those with one say (23:59). A target whose date was never
set (1999-11-30) or is not over yet is left out.

Time: ``total_datetime`` or ``meter_datetime``, local in the mapping's ``zone`` (a meter that keeps
winter time has one like Etc/GMT-1); else ``timestamp`` (receipt, UTC; 1111-11-11 is none), else the
second the message came, both less the value's age (``actuality_duration_s`` or ``_h``).

Flags: the words of ``status`` other than OK: POWER_LOW as ``battery_low``, the two errors and the
alarm under their own names, all others as ``meter_status``.

Facts: wmbusmeters/wmbusmeters, the tests of drivers/src and src/driver_*.cc.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from metering.adapter import Message, Sample, Samples, Source, UnreadableError
from metering.adapters import parse

# An id that was reused, or a mapping of the neighbour's water, would be billed as gas.
_NO_GAS: Final = frozenset(
    {
        "apator08", "apator162", "apator172", "apatoreitn", "apatoreitn40", "apatorna1",
        "aptmbusna", "aquastream", "aventieshca", "aventieswm", "brunatawm", "c5isf", "compact5",
        "dme_07", "dmehca", "dmesharky", "dmesharky775", "ebeco500", "elf", "elf2", "emerlin868",
        "ev200", "evo868", "fhkvdataiii", "fhkvdataiv", "fiowater", "flowiq2200", "gwfwater",
        "hcae2", "hydrocalm3", "hydrocalm4", "hydroclimav2", "hydrodigit", "hydrus", "hydrus_r4",
        "iperl", "istaheat", "istawater", "itron", "itronheat", "iwmtx5", "izar", "izarv2",
        "kadenwater", "kamheat", "kamwater", "lse_07_17", "lse_08", "maddalena", "metronahca",
        "microclima", "minomess", "mkradio3", "mkradio3a", "mkradio4", "mkradio4a", "multical21",
        "multical302", "multical303", "multical403", "multical602", "multical603", "multical803",
        "qcaloric", "qheat", "qwater", "rfmtx1", "sensostar", "sharky", "sharky774", "supercom587",
        "topaseskr", "ultraheat", "ultrimis", "vario411", "vario451", "waterstarm", "werhlemodwm",
    }
)  # fmt: skip
_NO_GAS_WORDS: Final = ("water", "heat", "hca")
_FLAG_OF_STATUS: Final = {
    "ALARM": "alarm",
    "PERMANENT_ERROR": "permanent_error",
    "POWER_LOW": "battery_low",
    "TEMPORARY_ERROR": "temporary_error",
}
# Older versions of the program spell them with one underscore more.
_OWN_TIMES: Final = ("total_datetime", "total_date_time", "meter_datetime")
_TARGET_TIMES: Final = ("target_datetime", "target_date_time", "target_date")
_DATE_CHARS: Final = len("2022-12-31")
_AGES: Final = {
    "actuality_duration_s": timedelta(seconds=1),
    "actuality_duration_h": timedelta(hours=1),
}
# A value older than half a year in seconds is nobody's; in hours it falls out of our years.
_AGE_MAX: Final = 2**24


def spellings(source: Source) -> tuple[str, ...]:
    """Return the device, where all its spellings are its letters in another case."""
    return parse.folded_spellings(source.device)


def read(message: Message, source: Source) -> Samples | None:
    """Return the register of a telegram and that of its billing date, or None for another id."""
    said = parse.json_object(message.payload)
    if said.get("_", "telegram") != "telegram":
        return None
    if parse.text(said.get("id"), "id").casefold() != source.device.casefold():
        return None
    _check_gas(said)
    read_at = _read_at(said, message, source.zone)
    samples = [Sample(read_at=read_at, register_dm3=parse.register_dm3(said.get("total_m3"), "m3"))]
    target_at = _target_at(said, source.zone)
    if said.get("target_m3") is not None and target_at is not None and target_at < read_at:
        register_dm3 = parse.register_dm3(said["target_m3"], "m3")
        samples.append(Sample(read_at=target_at, register_dm3=register_dm3))
    return Samples(samples=tuple(samples), flags=_flags(said))


def _check_gas(said: Mapping[str, Any]) -> None:
    media = parse.text(said.get("media"), "media")
    if media.casefold() != "gas":
        raise parse.unreadable(f"the media is {media}")
    driver = parse.text(said.get("meter"), "meter").casefold()
    if driver in _NO_GAS or any(word in driver for word in _NO_GAS_WORDS):
        raise parse.unreadable(f"the driver {driver} reads no gas")


def _read_at(said: Mapping[str, Any], message: Message, zone: str) -> datetime:
    for name in _OWN_TIMES:
        if not _is_unset(said.get(name)):
            return parse.told_at(said[name], name, zone)
    age = timedelta()
    for name, unit in _AGES.items():
        if said.get(name) is not None:
            age += unit * parse.whole(said[name], name, _AGE_MAX)
    if _is_unset(said.get("timestamp")):
        return parse.received_at(message) - age
    return parse.zoned_at(said["timestamp"], "timestamp") - age


def _is_unset(value: object) -> bool:
    """Say whether a time was never set: missing, or a year before any meter was built."""
    return value is None or (isinstance(value, str) and value[:4] < "2000")


def _target_at(said: Mapping[str, Any], zone: str) -> datetime | None:
    for name in _TARGET_TIMES:
        value = said.get(name)
        if not isinstance(value, str) or _is_unset(value):
            continue
        spelt = f"{value} 23:59" if len(value) == _DATE_CHARS else value
        try:
            return parse.told_at(spelt, name, zone)
        except UnreadableError:
            # Meters print days that no calendar has; the register beside them is still good.
            return None
    return None


def _flags(said: Mapping[str, Any]) -> tuple[str, ...]:
    status = said.get("status")
    words = [] if status is None else parse.text(status, "status").upper().split()
    flags = {_FLAG_OF_STATUS.get(word, "meter_status") for word in words if word != "OK"}
    return tuple(sorted(flags))
