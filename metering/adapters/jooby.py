"""Jooby analog modules (GASI, GASIC): a radio that counts the pulses of a gas meter.

Topic and device: see ``chirpstack``. Read: commands one after another and a check byte, the XOR of
all with 0x55 at the start; a wrong one is refused. Current (07, 4 bytes) has a magnet flag and a
counter of 3 bytes; Day (short header 1, 6 bytes) a date, magnet and hour, and the counter then.
Both are registers, with ``dm3_per_count`` and ``offset_dm3``; all others are passed over, the
archives of differences too. Flags: ``magnet``.

Time: that of the uplink for Current; for Day its own, by the module's clock, in the mapping's
``zone``.

The counter turns at 2**24. That is the dial's business: a meter registered with a dial of 2**24
counts rolls over like any other, and on another one the fall is held until a person enters it.

Facts: jooby-dev/jooby-docs, docs/analog: message.md, types.md, commands/GetCurrent.md and Day.md.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import reduce
from operator import xor
from typing import Final

from metering.adapter import Message, Sample, Samples, Source
from metering.adapters import parse
from metering.adapters.chirpstack import Uplink, eui_spellings, read_uplink

_CHECK_START: Final = 0x55
# A first byte below has its size in the next byte; this one is followed by an id of its own.
_LONG: Final = 0x1F
_CURRENT: Final = (b"\x07", 4)
# The id stands in the upper three bits.
_DAY: Final = (b"\x20", 6)
_MAGNET: Final = 0x80

spellings = eui_spellings


def read(message: Message, source: Source) -> Samples | None:
    """Return the register that a Jooby module counts."""
    return read_uplink(message, source, _decode)


def _decode(uplink: Uplink, source: Source) -> Samples:
    samples, magnet = [], False
    for header, body in _commands(uplink.data):
        if (header, len(body)) == _CURRENT:
            read_at = uplink.read_at
        elif (header, len(body)) == _DAY:
            read_at = _day_at(body, source.zone)
        else:
            continue
        magnet = magnet or body[-4] & _MAGNET != 0
        count = int.from_bytes(body[-3:], "big")
        samples.append(Sample(read_at=read_at, register_dm3=parse.counted_dm3(count, source)))
    return Samples(samples=tuple(samples), flags=("magnet",) if magnet else ())


def _day_at(body: bytes, zone: str) -> datetime:
    """Return the local hour of a day: 7 bits of year, 4 of month, 5 of day; 5 of hour."""
    date = int.from_bytes(body[:2], "big")
    year, month, day, hour = 2000 + (date >> 9), date >> 5 & 0xF, date & 0x1F, body[2] & 0x1F
    try:
        wall = datetime(year, month, day, hour)  # noqa: DTZ001 - its zone is put on next
    except ValueError:
        raise parse.unreadable("a day or hour that no calendar has") from None
    return parse.wall_at(wall, "a day", zone)


def _commands(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield each command's id, one byte or two, and its body; the header says how long it is."""
    if not data:
        return
    if reduce(xor, data[:-1], _CHECK_START) != data[-1]:
        raise parse.unreadable("the check byte is wrong")
    at, end = 0, len(data) - 1
    while at < end:
        first = data[at]
        if first > _LONG:
            # Three bits of id and five of size share a byte.
            header, size, begin = bytes([first & ~_LONG]), first & _LONG, at + 1
        else:
            begin = at + (3 if first == _LONG else 2)
            # Beyond the end there is no size, and one too large is refused below.
            header, size = data[at : begin - 1], data[begin - 1] if begin <= end else end
        if begin + size > end:
            raise parse.unreadable("a command is longer than its message")
        yield header, data[begin : begin + size]
        at = begin + size
