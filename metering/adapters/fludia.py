"""Fludia FM432g: an optical reader that counts from 0 when it starts.

Topic and device: see ``chirpstack``; the maker's codec must run in the server. Read: ``index`` of
``object``, which has tenths, with ``dm3_per_count`` and the dial at the start as ``offset_dm3``;
before it, ``increments`` every ``time_step`` minutes, the last of them ending now: one sample more
for each. ``indexes`` says the same with binary fractions, and is not read. A message without an
index is a sign of life.

Behind the DevEUI may stand ``number_of_starts`` at the time of the offset
(``70b3d5e75e000001/3``; 1 if nothing does). Another number means that the reader began at 0 again
and the offset is no longer true: the flag is ``restarted``, and a person enters it.

Time: that of the uplink. Flags: ``restarted``, and ``battery_low`` for ``low_battery``.

Facts: Fludia-IoT/LoRaWAN-decoders, README.md and fm432g_ap-decoder.js.
"""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

from metering.adapter import Message, Sample, Samples, Source
from metering.adapters import parse
from metering.adapters.chirpstack import Uplink, eui_spellings, read_uplink

_FIRST_START: Final = "1"
# The reader counts its starts in one byte.
_STARTS_MAX: Final = 255
# A day: the codec knows steps of 1 to 60 minutes and reads one byte.
_STEP_MINUTES_MAX: Final = 1440
_TENTHS: Final = 10

spellings = eui_spellings


def read(message: Message, source: Source) -> Samples | None:
    """Return the registers that a reader counts, now and at the steps before."""
    return read_uplink(message, source, _decode)


def _decode(uplink: Uplink, source: Source) -> Samples:
    flags = tuple(_flags(uplink))
    index = uplink.codec.get("index")
    if index is None:
        return Samples(flags=flags)
    return Samples(samples=tuple(_samples(uplink, source, _tenths(index, "index"))), flags=flags)


def _flags(uplink: Uplink) -> Iterator[str]:
    starts = uplink.codec.get("number_of_starts")
    if starts is not None:
        known = uplink.more or _FIRST_START
        if str(parse.whole(starts, "number_of_starts", _STARTS_MAX)) != known:
            yield "restarted"
    if uplink.codec.get("low_battery") == 1:
        yield "battery_low"


def _samples(uplink: Uplink, source: Source, tenths: int) -> Iterator[Sample]:
    yield Sample(read_at=uplink.read_at, register_dm3=_register_dm3(tenths, source))
    increments = uplink.codec.get("increments")
    if increments in (None, []):
        return
    if not isinstance(increments, list):
        raise parse.unreadable("increments is no list")
    minutes = parse.whole(uplink.codec.get("time_step"), "time_step", _STEP_MINUTES_MAX)
    read_at = uplink.read_at
    for value in reversed(increments):
        # With a time of receipt the codec writes pairs of a time and an increment.
        increment = value[-1] if isinstance(value, list) and value else value
        tenths -= _tenths(increment, "an increment")
        if tenths < 0:
            raise parse.unreadable("more increments than the index has")
        read_at -= timedelta(minutes=minutes)
        yield Sample(read_at=read_at, register_dm3=_register_dm3(tenths, source))


def _tenths(value: object, name: str) -> int:
    """Return ten times a number that has at most tenths."""
    # What is a plain number of dm3 is not too large to be multiplied.
    parse.register_dm3(value, "dm3")
    if not isinstance(value, int | Decimal):
        raise parse.unreadable(f"{name} is no number")
    tenths = Fraction(value) * _TENTHS
    if tenths.denominator != 1:
        raise parse.unreadable(f"{name} has more than tenths")
    return int(tenths)


def _register_dm3(tenths: int, source: Source) -> int:
    return int((source.offset_dm3 + Fraction(tenths, _TENTHS) * source.dm3_per_count) // 1)
