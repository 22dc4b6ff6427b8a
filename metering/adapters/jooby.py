"""Jooby analog modules (GASI, GASIC): a radio that counts the pulses of a gas meter.

Topic and device: see ``chirpstack``. Read: commands one after another and a check byte, the XOR of
all with 0x55 at the start; a wrong one is refused. Of the commands only Current (07, 4 bytes: a
magnet flag, then a counter of 3) is a register, with ``dm3_per_count`` and ``offset_dm3``; all
others are passed over, the archives of days and hours too. Time: that of the uplink. Flags:
``magnet``.

The counter turns at 2**24. That is the dial's business: a meter registered with a dial of 2**24
counts rolls over like any other, and on another one the fall is held until a person enters it.

Facts: jooby-dev/jooby-docs, docs/analog/message.md and commands/GetCurrent.md.
"""

from collections.abc import Iterator
from functools import reduce
from operator import xor
from typing import Final

from metering.adapter import Message, Sample, Samples, Source
from metering.adapters import parse
from metering.adapters.chirpstack import Uplink, read_uplink

_CHECK_START: Final = 0x55
# A first byte below has its size in the next byte; this one is followed by an id of its own.
_LONG: Final = 0x1F
_CURRENT: Final = 0x07
_CURRENT_BYTES: Final = 4
_MAGNET: Final = 0x80


def read(message: Message, source: Source) -> Samples | None:
    """Return the register that a Jooby module counts."""
    return read_uplink(message, source, _decode)


def _decode(uplink: Uplink, source: Source) -> Samples:
    bodies = [
        body
        for header, body in _commands(uplink.data)
        if header == bytes([_CURRENT]) and len(body) == _CURRENT_BYTES
    ]
    if not bodies:
        return Samples()
    if len(bodies) > 1:
        raise parse.unreadable("two counters in one message")
    count = int.from_bytes(bodies[0][1:], "big")
    sample = Sample(read_at=uplink.read_at, register_dm3=parse.counted_dm3(count, source))
    return Samples(samples=(sample,), flags=("magnet",) if bodies[0][0] & _MAGNET else ())


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
