"""SenML packs (RFC 8428) in JSON; the CBOR form is not read: its numbers are binary floats.

Topic: any. Device: the whole name of the record, ``bn`` and ``n`` put together. Base fields hold
from their record on, as the RFC says. Read are ``v`` (with ``bv``) in m3 or l, and ``s`` (with
``bs``) in m3/s or l/s: a sum is an integral over time, so a sum of m3 is no volume. Another version
than 10, and a field that must be understood (its name ends in ``_``), are refused in a pack that
names the device. Time: ``t`` with ``bt``, in Unix seconds; below 2**28 it is relative to the
receipt, which a retained message does not have. Flags: ``battery_low`` when a record ``battery``
beside it (the same name up to the last slash or colon) is below 10 % (ours: the RFC has the unit
and no limit).

Facts: https://www.rfc-editor.org/rfc/rfc8428, https://www.iana.org/assignments/senml/.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from metering.adapter import Message, Sample, Samples, Source
from metering.adapters import parse
from metering.telegram import READINGS_MAX
from metering.volume import DM3_OF_UNIT

_VERSION: Final = 10
_RELATIVE_BELOW: Final = 2**28
# Above, the number would be milliseconds, which SenML does not know.
_SECONDS_MAX: Final = 10**11
_DIGITS_MAX: Final = 40
_RECORDS_MAX: Final = 4 * READINGS_MAX
# Only these are carried on: each record holds its own copy.
_BASE: Final = ("bn", "bt", "bu", "bv", "bs")
_PER_SECOND: Final = "/s"
_LAST = re.compile(r"[^/:]*\Z")
_BATTERY: Final = "battery"
_BATTERY_UNITS: Final = ("%", "%EL")
_BATTERY_LOW_PERCENT: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """A record with the base fields that hold for it; numbers are not looked at yet."""

    name: str
    unit: object
    fields: Mapping[str, Any]
    base: Mapping[str, Any]


def read(message: Message, source: Source) -> Samples | None:
    """Return the registers of the record that the source names, one for each time."""
    pack = parse.json_value(message.payload)
    if not isinstance(pack, list) or not 0 < len(pack) <= _RECORDS_MAX:
        raise parse.unreadable("a pack is a list of records")
    records = list(_resolved(pack))
    ours = [record for record in records if record.name == source.device]
    if not any(_has_value(record) for record in ours):
        return None
    _check_understood(pack)
    samples = [_sample(record, message) for record in ours if _has_value(record)]
    battery = _LAST.sub(_BATTERY, source.device, count=1)
    low = any(_is_low(record) for record in records if record.name == battery)
    return Samples(samples=samples, flags=["battery_low"] if low else [])


def _resolved(pack: list[Any]) -> Iterator[_Record]:
    base: dict[str, Any] = {}
    for entry in pack:
        fields = parse.fields(entry, "a record")
        base |= {label: fields[label] for label in _BASE if label in fields}
        name = parse.text(base.get("bn", ""), "bn") + parse.text(fields.get("n", ""), "n")
        unit = fields.get("u", base.get("bu"))
        yield _Record(name=name, unit=unit, fields=fields, base=dict(base))


def _check_understood(pack: list[Any]) -> None:
    for entry in pack:
        if entry.get("bver", _VERSION) != _VERSION:
            raise parse.unreadable("another version of SenML")
        if any(label.endswith("_") for label in entry):
            raise parse.unreadable("a field that must be understood is not")


def _has_value(record: _Record) -> bool:
    return any(label in record.fields for label in ("v", "s", "vs", "vb", "vd"))


def _sample(record: _Record, message: Message) -> Sample:
    unit = parse.text(record.unit, "the unit")
    label = "s" if unit.endswith(_PER_SECOND) else "v"
    factor = DM3_OF_UNIT.get(unit.removesuffix(_PER_SECOND))
    if factor is None:
        raise parse.unreadable("a unit that is no volume")
    if label not in record.fields:
        raise parse.unreadable(f"{unit} without {label}")
    # What is below zero or too much is refused by adapt, as for every family.
    register_dm3 = int(_sum(record, label) * factor // 1)
    return Sample(read_at=_read_at(record, message), register_dm3=register_dm3)


def _sum(record: _Record, label: str) -> Fraction:
    """Return a number of a record and its base, exactly."""
    return _number(record.fields.get(label, 0)) + _number(record.base.get(f"b{label}", 0))


def _number(value: object) -> Fraction:
    if type(value) is int and abs(value) < 10**_DIGITS_MAX:
        return Fraction(value)
    if isinstance(value, Decimal) and value.is_finite():
        _, digits, exponent = value.as_tuple()
        # An exponent bomb is refused before it is multiplied out.
        if len(digits) <= _DIGITS_MAX and abs(int(exponent)) <= _DIGITS_MAX:
            return Fraction(value)
    raise parse.unreadable("a value is no number, or has too many digits")


def _read_at(record: _Record, message: Message) -> datetime:
    seconds = int(_sum(record, "t") // 1)
    if seconds < _RELATIVE_BELOW:
        if seconds < -_RELATIVE_BELOW:
            raise parse.unreadable("a time too long ago")
        return parse.received_at(message) + timedelta(seconds=seconds)
    if seconds >= _SECONDS_MAX:
        raise parse.unreadable("a time too far ahead")
    return parse.epoch_at(seconds, "the time")


def _is_low(record: _Record) -> bool:
    if record.unit not in _BATTERY_UNITS or "v" not in record.fields:
        return False
    return _sum(record, "v") < _BATTERY_LOW_PERCENT
