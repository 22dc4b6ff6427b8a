"""One metric of a Sparkplug B node or device.

Topic: ``spBv1.0/<group>/<type>/<node>[/<device>]``; births (NBIRTH, DBIRTH) and data (NDATA, DDATA)
are read. A death says that somebody went, which is no reading; commands and STATE are not theirs.
Device: the metric's name, or ``name#alias`` where its data come without the name. We keep nothing
between messages, so an alias that the mapping does not have is another metric to us; a birth that
gives our name another alias, or our alias another name, is refused, or gas would be billed from
the wrong metric.

Read are whole numbers in the mapping's unit, texts like them, and floats. A binary float is taken
only where exactly one whole dm3 is nearest to it: every one is as a double, and hardly any beyond
16384 m3 as a 32-bit float, where a guess would be a dm3 off. Null is no reading. A metric whose
property Quality is not 192 (good) is refused. Time: the metric's own, in milliseconds, else the
payload's; what is_historical keeps its own time, so it must have one. No flags.

Facts: https://sparkplug.eclipse.org/specification/ 3.0 and sparkplug_b.proto of
https://github.com/eclipse/tahu.
"""

import re
import struct
from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction
from typing import Final

from metering.adapter import Message, Sample, Samples, Source
from metering.adapters import parse, protobuf
from metering.adapters.protobuf import Field
from metering.telegram import REGISTER_DM3_MAX
from metering.volume import DM3_OF_UNIT

_NAMESPACE: Final = "spBv1.0"
_LEVELS: Final = {"NBIRTH": 4, "NDATA": 4, "DBIRTH": 5, "DDATA": 5}
_BIRTH: Final = "BIRTH"
# Fields of a Payload and of its Metric, as sparkplug_b.proto numbers them.
_PAYLOAD_TIMESTAMP, _PAYLOAD_METRIC = 1, 2
_NAME, _ALIAS, _TIMESTAMP, _DATATYPE, _HISTORICAL, _NULL, _PROPERTIES = 1, 2, 3, 4, 5, 7, 9
_INT, _LONG, _FLOAT, _DOUBLE, _STRING = 10, 11, 12, 13, 15
_VALUES: Final = range(10, 20)
# Data types of whole numbers, with the bits that hold what is not negative.
_INT_BITS: Final = {1: 7, 2: 15, 3: 31, 4: 63, 5: 8, 6: 16, 7: 32, 8: 64}
_UNTYPED_BITS: Final = {_INT: 31, _LONG: 63}
_TYPE_OF: Final = {_FLOAT: 9, _DOUBLE: 10, _STRING: 12}
_TEXT_TYPE: Final = 14
_ALIAS_DIGITS = re.compile(r"[0-9]{1,20}")
_SET_KEY, _SET_VALUE, _PROPERTY_INT = 1, 2, 3
_GOOD: Final = 192
_EPOCH_MS_MIN: Final = 10**11
_EPOCH_MS_MAX: Final = 10**14


def spellings(source: Source) -> tuple[str, ...]:
    """Return the metric's name; data that have an alias come without it."""
    name, alias = _identity(source.device)
    return (name,) if alias is None else ()


def read(message: Message, source: Source) -> Samples | None:
    """Return the registers of the source's metric."""
    levels = message.topic.split("/")
    kind = levels[2] if len(levels) > 2 else ""  # noqa: PLR2004 - namespace, group, type
    if levels[0] != _NAMESPACE or _LEVELS.get(kind) != len(levels):
        return None
    payload = protobuf.fields(message.payload)
    sent = protobuf.number(protobuf.one(payload, _PAYLOAD_TIMESTAMP))
    name, alias = _identity(source.device)
    found = False
    samples = []
    for inside in payload.get(_PAYLOAD_METRIC, []):
        metric = protobuf.fields(protobuf.content(inside))
        if not _is_ours(metric, name, alias, is_birth=kind.endswith(_BIRTH)):
            continue
        found = True
        if not protobuf.number(protobuf.one(metric, _NULL)):
            _check_quality(metric)
            read_at = _read_at(metric, sent)
            samples.append(Sample(read_at=read_at, register_dm3=_register_dm3(metric, source.unit)))
    return Samples(samples=samples) if found else None


def _identity(device: str) -> tuple[str, int | None]:
    name, mark, alias = device.rpartition("#")
    if mark and _ALIAS_DIGITS.fullmatch(alias) is not None:
        return name, int(alias)
    return device, None


def _is_ours(
    metric: Mapping[int, list[Field]], name: str, alias: int | None, *, is_birth: bool
) -> bool:
    told_name = protobuf.one(metric, _NAME)
    told_alias = protobuf.number(protobuf.one(metric, _ALIAS))
    if told_name is None or not protobuf.content(told_name):
        if is_birth:
            raise parse.unreadable("a birth names its metrics")
        return alias is not None and told_alias == alias
    is_named = protobuf.text(told_name) == name
    if alias is not None and told_alias is not None and is_named != (told_alias == alias):
        raise parse.unreadable("name and alias are not those of the mapping")
    return is_named


def _check_quality(metric: Mapping[int, list[Field]]) -> None:
    told = protobuf.one(metric, _PROPERTIES)
    if told is None:
        return
    properties = protobuf.fields(protobuf.content(told))
    keys, values = properties.get(_SET_KEY, []), properties.get(_SET_VALUE, [])
    if len(keys) != len(values):
        raise parse.unreadable("properties without values")
    for key, value in zip(keys, values, strict=True):
        if protobuf.text(key) == "Quality":
            quality = protobuf.one(protobuf.fields(protobuf.content(value)), _PROPERTY_INT)
            if protobuf.number(quality) != _GOOD:
                raise parse.unreadable("the metric's quality is not good")


def _read_at(metric: Mapping[int, list[Field]], sent: int | None) -> datetime:
    taken = protobuf.number(protobuf.one(metric, _TIMESTAMP))
    if taken is None and protobuf.number(protobuf.one(metric, _HISTORICAL)):
        raise parse.unreadable("history without its time")
    told = sent if taken is None else taken
    if told is None or not _EPOCH_MS_MIN <= told < _EPOCH_MS_MAX:
        raise parse.unreadable("no time in milliseconds")
    return parse.epoch_at(told, "timestamp")


def _register_dm3(metric: Mapping[int, list[Field]], unit: str) -> int:
    there = [number for number in _VALUES if number in metric]
    if len(there) != 1:
        raise parse.unreadable("a metric has one value")
    kind, value = there[0], protobuf.one(metric, there[0])
    datatype = protobuf.number(protobuf.one(metric, _DATATYPE))
    if kind in {_INT, _LONG}:
        # Data may leave the type out; then nobody knows whether the highest bit is a sign.
        bits = _UNTYPED_BITS[kind] if datatype is None else _INT_BITS.get(datatype)
        whole = protobuf.number(value)
        if bits is None or whole is None or whole >= 2**bits:
            raise parse.unreadable("no whole number above zero")
        return parse.register_dm3(whole, unit)
    if datatype not in {None, _TYPE_OF.get(kind)} and (kind, datatype) != (_STRING, _TEXT_TYPE):
        raise parse.unreadable("the value is not of its type")
    if value is not None and kind == _STRING:
        return parse.register_dm3(protobuf.text(value), unit)
    if kind == _DOUBLE:
        return _nearest_dm3(protobuf.fixed(value, 8), "<d", unit)
    if kind == _FLOAT:
        return _nearest_dm3(protobuf.fixed(value, 4), "<f", unit)
    raise parse.unreadable("a value that is no number")


def _nearest_dm3(raw: bytes, layout: str, unit: str) -> int:
    """Return the only whole dm3 that is written as this float."""
    factor = DM3_OF_UNIT.get(unit)
    if factor is None:
        raise parse.unreadable("the mapping's unit is no volume")
    (value,) = struct.unpack(layout, raw)
    # Neither is true of what is no number.
    if not 0 <= value <= REGISTER_DM3_MAX / factor:
        raise parse.unreadable("a register out of range")
    nearest = round(Fraction(value) * factor)
    around = [
        register_dm3
        for register_dm3 in (nearest - 1, nearest, nearest + 1)
        if struct.unpack(layout, struct.pack(layout, float(register_dm3 / factor)))[0] == value
    ]
    if around != [nearest]:
        raise parse.unreadable("a float that is not one whole dm3")
    return nearest
