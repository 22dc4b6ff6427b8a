"""What all families share: strict JSON, exact numbers, and times as the many clocks spell them.

Whatever cannot be taken is an UnreadableError with its reason, and nothing else is ever raised.
Every instant comes out in UTC and in whole seconds: no dial is read to the millisecond, and the
same reading passed on twice must not become two.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from metering.adapter import Message, Source, UnreadableError
from metering.telegram import RefusalReason, no_constant, unique_keys
from metering.volume import VolumeFault, volume_dm3

# 10**11 seconds are the year 5138 and as many milliseconds 1973: one bound tells them apart.
_EPOCH_MS_MIN: Final = 10**11
_EPOCH_MAX: Final = 10**14
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# One year more than we take, on both sides: the zone may move a time by a day at most.
_YEARS: Final = range(1999, 2101)
# Every fraction of a second is cut off, so its length does not matter; some write nanoseconds.
_ZONED = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]{1,9})?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})"
)
_WALL = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2})(:[0-9]{2})?(?:\.[0-9]{1,9})?"
)

# To these fold characters that are not ASCII: the Kelvin sign, the long s, and ligatures.
_FOLDED: Final = re.compile(r"[ks]|f[fil]", re.IGNORECASE)


def unreadable(detail: str) -> UnreadableError:
    """Return the refusal of what is of another shape than its family says."""
    return UnreadableError(RefusalReason.BAD_SHAPE, detail)


def json_value(payload: bytes) -> Any:  # noqa: ANN401 - JSON may be anything
    """Return the JSON value, fractions as Decimal; a key said twice or a NaN is no JSON of ours."""
    try:
        return _JSON.decode(payload.decode("utf-8"))
    except RecursionError:
        raise UnreadableError(RefusalReason.NOT_JSON, "nested too deeply") from None
    except (ValueError, ArithmeticError):
        # Decimal refuses an exponent that is too long with an error of arithmetic.
        raise UnreadableError(RefusalReason.NOT_JSON, "not JSON") from None


def json_object(payload: bytes) -> Mapping[str, Any]:
    """Return the JSON object of a payload."""
    return fields(json_value(payload), "the payload")


def fields(value: object, name: str) -> Mapping[str, Any]:
    """Return a value that must be an object; ``name`` is how the refusal calls it."""
    if not isinstance(value, dict):
        raise unreadable(f"{name} is no object")
    return value


def text(value: object, name: str) -> str:
    """Return a value that must be a text."""
    if not isinstance(value, str):
        raise unreadable(f"{name} is no text")
    return value


def whole(value: object, name: str, most: int) -> int:
    """Return a value that must be a whole number from 0 to ``most``; true is none."""
    if type(value) is not int or not 0 <= value <= most:
        raise unreadable(f"{name} is no whole number up to {most}")
    return value


def folded_spellings(device: str) -> tuple[str, ...]:
    """Return a device that is compared in any case, unless Unicode has other letters for it."""
    return (device,) if device.isascii() and _FOLDED.search(device) is None else ()


def register_dm3(value: object, unit: str) -> int:
    """Return a volume in whole dm3, rounded down."""
    found = volume_dm3(value, unit)
    if isinstance(found, VolumeFault):
        raise unreadable(f"the register: {found.value}")
    return found


def counted_dm3(count: object, source: Source) -> int:
    """Return the register of a counter of pulses, in whole dm3, rounded down once at the end."""
    pulses = register_dm3(count, "dm3")
    # A number that volume_dm3 takes is one that Fraction takes.
    if not isinstance(count, int | str | Decimal) or Fraction(count) != pulses:
        raise unreadable("the counter stands between two pulses")
    return int((source.offset_dm3 + pulses * source.dm3_per_count) // 1)


def received_at(message: Message) -> datetime:
    """Return when a message without a time of its own came.

    A retained one is refused: it may have lain at the broker for weeks, and would say that the
    dial stood still.
    """
    if message.retained:
        raise unreadable("retained, and without a time of its own")
    return _whole_second(message.received_at)


def zoned_at(value: object, name: str) -> datetime:
    """Return the instant of a text with an offset or Z."""
    match = _ZONED.fullmatch(text(value, name))
    if match is None:
        raise unreadable(f"{name} is no time with a zone")
    return _whole_second(_calendar("T".join(match.group(1, 2)) + match[3], name))


def told_at(value: object, name: str, zone: str) -> datetime:
    """Return the instant of a text with an offset, or else of one in local time."""
    if _ZONED.fullmatch(text(value, name)) is not None:
        return zoned_at(value, name)
    return local_at(value, name, zone)


def local_at(value: object, name: str, zone: str) -> datetime:
    """Return the instant of a text in local time without an offset, to the minute or finer."""
    match = _WALL.fullmatch(text(value, name))
    if match is None:
        raise unreadable(f"{name} is no local time")
    return wall_at(_calendar(f"{match[1]}T{match[2]}{match[3] or ':00'}", name), name, zone)


def wall_at(wall: datetime, name: str, zone: str, fold: int | None = None) -> datetime:
    """Return the instant at which a clock on the wall of ``zone`` (IANA) showed ``wall``.

    A time that the clock jumped over never was, and is refused. One that it showed twice is
    refused too unless ``fold`` says which: 0 is the first, 1 the second. An hour a year is lost so,
    and none is guessed. A device that keeps winter time all year has a zone like Etc/GMT-1.
    """
    if wall.year not in _YEARS:
        raise unreadable(f"{name} is outside 2000 to 2099")
    there = _zone(zone)
    first, second = (wall.replace(tzinfo=there, fold=side) for side in (0, 1))
    if first.astimezone(UTC).astimezone(there).replace(tzinfo=None) != wall:
        raise unreadable(f"{name} never was in {zone}")
    if fold is None and first.utcoffset() != second.utcoffset():
        raise unreadable(f"{name} was twice in {zone}")
    return _whole_second(second if fold else first)


def is_summer(instant: datetime, zone: str) -> bool:
    """Say whether the clocks of a zone are ahead of where they stand for another part of the year.

    A zone that never moves has no summer.
    """
    there = instant.astimezone(_zone(zone))
    seasons = [datetime(there.year, month, 1, tzinfo=UTC) for month in (1, 7)]
    least = min(_offset(season.astimezone(there.tzinfo)) for season in seasons)
    return _offset(there) > least


def epoch_at(value: object, name: str) -> datetime:
    """Return the instant of seconds or milliseconds since 1970: the size says which."""
    number = int(value) if isinstance(value, Decimal) and _is_small(value) else value
    ticks = whole(number, name, _EPOCH_MAX)
    seconds = ticks // 1000 if ticks >= _EPOCH_MS_MIN else ticks
    found = _EPOCH + timedelta(seconds=seconds)
    if found.year not in _YEARS:
        raise unreadable(f"{name} is outside 2000 to 2099")
    return found


def _is_small(value: Decimal) -> bool:
    return value.is_finite() and abs(value) <= _EPOCH_MAX


def _calendar(value: str, name: str) -> datetime:
    if int(value[:4]) not in _YEARS:
        raise unreadable(f"{name} is outside 2000 to 2099")
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise unreadable(f"{name} is no day or time of a calendar") from None


def _offset(there: datetime) -> timedelta:
    offset = there.utcoffset()
    assert offset is not None, "a time without a zone"
    return offset


def _whole_second(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(microsecond=0)


@lru_cache(maxsize=64)
def _zone(zone: str) -> ZoneInfo:
    try:
        return ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise unreadable("the mapping names no zone") from None


_JSON = json.JSONDecoder(
    object_pairs_hook=unique_keys, parse_constant=no_constant, parse_float=Decimal
)
