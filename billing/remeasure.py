"""The gas of one installation measured anew, when a register that bills quote no longer holds.

    a register read      --a person corrected it-->          the corrected register
    a register estimated --one was read in its 24 hours-->   that register
                         --a register contradicts it-->      a straight line between those read
                         --the next register is above it-->  stays: the next bill makes it good

The instants between stretches stay as they were, so the closing register of one stretch is always
the opening register of the next, and all stretches together are last register less first.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from billing import rating
from billing.bill import Quality
from billing.money import round_half_up_div
from billing.rating import Usage
from metering.installation import Installation
from metering.reading import Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What was read around an estimated register.

    ``near`` is the trusted register of the 24 hours up to the instant, ``low`` the last one at or
    before it, ``high`` the first one after it; all of the same installation.
    """

    near: Mark | None = None
    low: Mark | None = None
    high: Mark | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What holds of one installation by now: corrected registers by instant, and sightings."""

    installation: Installation
    dial_dm3: int
    corrected: Mapping[datetime, Mark]
    sightings: Mapping[datetime, Sighting]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A register at an end of a stretch, and how it came to be known."""

    mark: Mark
    quality: Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenLine:
    """With what holds by now the gas would flow back at an instant; a person must look."""

    meter_id: str
    at: datetime


def remeasure(
    line: Sequence[tuple[date, Usage]], known: Known
) -> dict[date, tuple[Usage, ...]] | BrokenLine:
    """Return the stretches of every period in which something changes, by the period's first day.

    ``line`` holds all stretches of one installation as they hold now, each with its period, oldest
    first. A period that changes is returned whole.
    """
    before = points(usage for _, usage in line)
    after = _estimated(_certain(before, known), before, known)
    lowest = None
    for at in sorted(after):
        total_dm3 = after[at].mark.total_dm3(known.dial_dm3)
        if lowest is not None and total_dm3 < lowest:
            return BrokenLine(meter_id=known.installation.meter_id, at=at)
        lowest = total_dm3
    renewed: dict[date, list[Usage]] = defaultdict(list)
    changed: set[date] = set()
    for start, usage in line:
        fresh = _renewed(usage, after, known.dial_dm3)
        renewed[start].append(fresh)
        if fresh != usage:
            changed.add(start)
    return {start: tuple(renewed[start]) for start in sorted(changed)}


def points(line: Iterable[Usage]) -> dict[datetime, Point]:
    """Return the registers at the ends of stretches, by instant."""
    found: dict[datetime, Point] = {}
    for usage in line:
        found[usage.from_at] = Point(
            mark=Mark(
                read_at=usage.opening_read_at,
                register_dm3=usage.opening_register_dm3,
                turns=usage.opening_turns,
            ),
            quality=usage.opening_quality,
        )
        found[usage.to_at] = Point(
            mark=Mark(
                read_at=usage.closing_read_at,
                register_dm3=usage.closing_register_dm3,
                turns=usage.closing_turns,
            ),
            quality=usage.closing_quality,
        )
    return found


def _certain(before: Mapping[datetime, Point], known: Known) -> dict[datetime, Point]:
    """Return the registers that somebody read, as they hold now."""
    ends = {known.installation.installed_at, known.installation.removed_at}
    found: dict[datetime, Point] = {}
    for at, point in before.items():
        if at in ends:
            found[at] = point
        elif point.quality is Quality.READ:
            mark = known.corrected.get(point.mark.read_at, point.mark)
            found[at] = Point(mark=mark, quality=Quality.READ)
        else:
            near = known.sightings.get(at, Sighting()).near
            if near is not None:
                found[at] = Point(mark=near, quality=Quality.READ)
    return found


def _estimated(
    certain: dict[datetime, Point], before: Mapping[datetime, Point], known: Known
) -> dict[datetime, Point]:
    """Add the registers that are still estimates: each run between two registers read, together."""
    found = dict(certain)
    runs: dict[tuple[Mark, Mark | None], list[datetime]] = defaultdict(list)
    for at in sorted(before.keys() - certain.keys()):
        runs[_around(at, certain, known)].append(at)
    for (low, high), instants in runs.items():
        holds = all(_fits(before[at].mark, low, high, known.dial_dm3) for at in instants)
        for at in instants:
            mark = before[at].mark if holds else _between(at, before[at].mark, low, high, known)
            found[at] = Point(mark=mark, quality=Quality.ESTIMATED)
    return found


def _around(
    at: datetime, certain: Mapping[datetime, Point], known: Known
) -> tuple[Mark, Mark | None]:
    """Return the nearest registers read at or before an instant and after it."""
    sighting = known.sightings.get(at, Sighting())
    marks = [point.mark for point in certain.values()]
    marks.append(known.installation.opening)
    ends = (known.installation.closing, sighting.low, sighting.high)
    marks += [mark for mark in ends if mark is not None]
    low = max((one for one in marks if one.read_at <= at), key=lambda one: one.read_at)
    high = min(
        (one for one in marks if one.read_at > at), key=lambda one: one.read_at, default=None
    )
    return low, high


def _fits(mark: Mark, low: Mark, high: Mark | None, dial_dm3: int) -> bool:
    total_dm3 = mark.total_dm3(dial_dm3)
    above = high is not None and total_dm3 > high.total_dm3(dial_dm3)
    return total_dm3 >= low.total_dm3(dial_dm3) and not above


def _between(at: datetime, was: Mark, low: Mark, high: Mark | None, known: Known) -> Mark:
    """Return the register on the straight line between two registers read, to the whole dm3.

    Without a later register an estimate is only lifted to what was read before it.
    """
    low_dm3 = low.total_dm3(known.dial_dm3)
    if high is None:
        total_dm3 = max(low_dm3, was.total_dm3(known.dial_dm3))
    else:
        passed, whole = at - low.read_at, high.read_at - low.read_at
        total_dm3 = low_dm3 + (high.total_dm3(known.dial_dm3) - low_dm3) * passed // whole
    turns, register_dm3 = divmod(total_dm3, known.dial_dm3)
    return Mark(read_at=at, register_dm3=register_dm3, turns=turns)


def _renewed(usage: Usage, after: Mapping[datetime, Point], dial_dm3: int) -> Usage:
    opening, closing = after[usage.from_at], after[usage.to_at]
    fresh = replace(
        usage,
        opening_register_dm3=opening.mark.register_dm3,
        opening_turns=opening.mark.turns,
        opening_read_at=opening.mark.read_at,
        opening_quality=opening.quality,
        closing_register_dm3=closing.mark.register_dm3,
        closing_turns=closing.mark.turns,
        closing_read_at=closing.mark.read_at,
        closing_quality=closing.quality,
    )
    volume = rating.volume_dm3(fresh, dial_dm3=dial_dm3)
    return replace(fresh, volume_dm3=volume, energy_wh=energy_wh(usage, volume))


def energy_wh(usage: Usage, volume_dm3: int) -> int | None:
    """Return the energy of another volume of the same gas; None where it cannot be told."""
    if usage.energy_wh is None or volume_dm3 == usage.volume_dm3:
        return usage.energy_wh
    if usage.volume_dm3 == 0:
        return 0 if volume_dm3 == 0 else None
    return round_half_up_div(usage.energy_wh * volume_dm3, usage.volume_dm3)
