"""Protocol Buffers as bytes: fields by number, and nothing of what they mean.

Strict where the format is lax, since two readers of one message must not differ: no groups, no
number longer than 64 bits, no field said twice where one is asked for. A message inside a message
stays bytes until somebody asks, so nothing here goes deep.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from metering.adapters import parse

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTH: Final = {_FIXED64: 8, _FIXED32: 4}
_VARINT_BYTES_MAX: Final = 10
_NUMBER_MAX: Final = 2**64
_FIELD_MAX: Final = 2**29
# A metric has ten fields; a payload of 64 KiB cannot hold more metrics that say anything.
_FIELDS_MAX: Final = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A value as it stood on the wire: a number for varints, bytes for everything else."""

    wire: int
    value: int | bytes


def fields(message: bytes) -> Mapping[int, list[Field]]:
    """Return the fields of a message by their number, in the order they came."""
    found: dict[int, list[Field]] = {}
    at = count = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if not 0 < number < _FIELD_MAX:
            raise parse.unreadable("protobuf: no such field")
        field, at = _field(message, at, wire)
        found.setdefault(number, []).append(field)
        count += 1
        if count > _FIELDS_MAX:
            raise parse.unreadable("protobuf: too many fields")
    return found


def one(message: Mapping[int, list[Field]], number: int) -> Field | None:
    """Return a field that may be left out, and may not stand twice."""
    there = message.get(number, [])
    if len(there) > 1:
        raise parse.unreadable(f"protobuf: field {number} stands twice")
    return there[0] if there else None


def number(field: Field | None) -> int | None:
    """Return the number of a varint."""
    if field is None:
        return None
    if not isinstance(field.value, int):
        raise parse.unreadable("protobuf: a field is no number")
    return field.value


def content(field: Field) -> bytes:
    """Return the bytes of a text, of bytes, or of a message inside."""
    if field.wire != _BYTES or not isinstance(field.value, bytes):
        raise parse.unreadable("protobuf: a field is no text")
    return field.value


def text(field: Field) -> str:
    """Return a text, which must be UTF-8."""
    try:
        return content(field).decode("utf-8")
    except UnicodeDecodeError:
        raise parse.unreadable("protobuf: a text is not UTF-8") from None


def fixed(field: Field | None, width: int) -> bytes:
    """Return the bytes of a number of fixed width."""
    if field is None or _WIDTH.get(field.wire) != width or not isinstance(field.value, bytes):
        raise parse.unreadable("protobuf: a field is no float")
    return field.value


def _field(message: bytes, at: int, wire: int) -> tuple[Field, int]:
    if wire == _VARINT:
        value, at = _varint(message, at)
        return Field(wire=wire, value=value), at
    if wire == _BYTES:
        length, at = _varint(message, at)
    elif wire in _WIDTH:
        length = _WIDTH[wire]
    else:
        raise parse.unreadable("protobuf: an unknown kind of field")
    if length > len(message) - at:
        raise parse.unreadable("protobuf: cut off")
    return Field(wire=wire, value=message[at : at + length]), at + length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    found = 0
    for index, byte in enumerate(message[at : at + _VARINT_BYTES_MAX]):
        found |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            if found >= _NUMBER_MAX:
                break
            return found, at + index + 1
    raise parse.unreadable("protobuf: cut off, or a number too long")
