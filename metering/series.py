"""Rules over a row of marks of one installation: spikes, frozen values, sums, gaps, new levels.

Each takes marks or the intervals between them, and the rule with its figures; it returns what it
found, or nothing. None of them changes or drops a mark.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import groupby, pairwise
from typing import Final

from metering.meter import Meter
from metering.reading import SECONDS_PER_HOUR, Mark, Reading, advance_dm3_max
from metering.rule import Code, Finding, Rule, RuleBook

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
HOUR: Final = timedelta(hours=1)
PERMILLE: Final = 1000
# Oracle's spike check compares the highest interval with the third highest: two high neighbours
# are an evening of heating, one alone is not.
COMPARED_RANK: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Gas in dm3 from one instant to another."""

    from_at: datetime
    to_at: datetime
    volume_dm3: int

    def __post_init__(self) -> None:
        """Refuse an interval without time in it."""
        if self.to_at <= self.from_at:
            raise ValueError("to_at must lie after from_at")

    @property
    def rate_dm3_h(self) -> int:
        """Return the mean flow in whole dm3 an hour, rounded down."""
        return self.volume_dm3 * SECONDS_PER_HOUR * SECOND // (self.to_at - self.from_at)


def intervals(marks: Sequence[Mark], *, dial_dm3: int) -> tuple[Interval, ...]:
    """Return the gas between neighbouring marks; two at one instant count as the later one."""
    kept = {mark.read_at: mark for mark in marks}
    ordered = [kept[read_at] for read_at in sorted(kept)]
    return tuple(
        Interval(
            from_at=one.read_at,
            to_at=two.read_at,
            volume_dm3=two.total_dm3(dial_dm3) - one.total_dm3(dial_dm3),
        )
        for one, two in pairwise(ordered)
    )


def check_spike(row: Sequence[Interval], rule: Rule) -> Finding | None:
    """Rule 10: the highest flow stands far above the third highest, and is not small."""
    if len(row) < COMPARED_RANK:
        return None
    by_rate = sorted(row, key=lambda one: one.rate_dm3_h, reverse=True)
    highest, third = by_rate[0], by_rate[COMPARED_RANK - 1]
    above = highest.rate_dm3_h - third.rate_dm3_h
    if highest.rate_dm3_h < rule["floor_dm3_h"]:
        return None
    if above * PERMILLE <= third.rate_dm3_h * rule["tolerance_permille"]:
        return None
    return rule.finding(
        at_epoch_s=epoch_s(highest.from_at),
        highest_dm3_h=highest.rate_dm3_h,
        third_dm3_h=third.rate_dm3_h,
    )


def check_frozen(row: Sequence[Interval], rule: Rule) -> Finding | None:
    """Rule 13: the same gas, and not none, in so many equal intervals that no flame burns so."""
    runs = (
        (volume_dm3, list(run))
        for (volume_dm3, _), run in groupby(
            row, key=lambda one: (one.volume_dm3, one.to_at - one.from_at)
        )
    )
    longest = max(
        ((len(run), run) for volume_dm3, run in runs if volume_dm3 > 0),
        key=lambda found: found[0],
        default=None,
    )
    if longest is None or longest[0] < rule["intervals"]:
        return None
    count, run = longest
    return rule.finding(
        at_epoch_s=epoch_s(run[0].from_at), intervals=count, volume_dm3=run[0].volume_dm3
    )


def check_sum(
    volumes_dm3: Iterable[int], *, register_dm3: int, step_dm3: int, rule: Rule
) -> Finding | None:
    """Rule 14: the intervals that a meter reports apart do not add up to what its register says.

    The register is trusted. Both limits must be passed: some steps of the dial, and a share.
    """
    total_dm3 = sum(volumes_dm3)
    off_dm3 = abs(total_dm3 - register_dm3)
    if off_dm3 <= rule["tolerance_steps"] * step_dm3:
        return None
    if off_dm3 * PERMILLE <= register_dm3 * rule["tolerance_permille"]:
        return None
    return rule.finding(sum_dm3=total_dm3, register_dm3=register_dm3, off_dm3=off_dm3)


def check_gaps(
    marks: Sequence[Mark],
    *,
    cadence: timedelta,
    end_at: datetime,
    book: RuleBook,
    declared: Sequence[tuple[datetime, datetime]] = (),
) -> tuple[Finding, ...]:
    """Rules 15 to 17: where marks lack that should have come every ``cadence``.

    Up to three hours between two marks are a short gap; more is a gap with a known sum; after the
    last mark it is open, until ``end_at``. A gap inside a ``declared`` silence is none.
    """
    ordered = sorted(marks, key=lambda mark: mark.read_at)
    found: list[Finding] = []
    short, bounded, open_end = (
        book.rules[code] for code in (Code.GAP_SHORT, Code.GAP_BOUNDED, Code.GAP_OPEN)
    )
    for one, two in pairwise(ordered):
        between = two.read_at - one.read_at
        if between > cadence and not _inside(declared, one.read_at, two.read_at):
            rule = short if between <= short["hours_max"] * HOUR else bounded
            found.append(_gap(rule, one.read_at, two.read_at))
    if (
        ordered
        and end_at - ordered[-1].read_at > cadence
        and not _inside(declared, ordered[-1].read_at, end_at)
    ):
        found.append(_gap(open_end, ordered[-1].read_at, end_at))
    return tuple(found)


def _inside(
    declared: Sequence[tuple[datetime, datetime]], from_at: datetime, to_at: datetime
) -> bool:
    return any(first <= from_at and to_at <= last for first, last in declared)


def _gap(rule: Rule, from_at: datetime, to_at: datetime) -> Finding:
    return rule.finding(from_epoch_s=epoch_s(from_at), to_epoch_s=epoch_s(to_at))


class Direction(StrEnum):
    """Which way readings left the line they were judged against."""

    DOWN = "down"
    UP = "up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A new level that refused readings agree on; nothing is billed from it until a person says so.

    ``finding`` is what the person is shown. Confirming is a decision of its own, with a name.
    """

    first: Reading
    last: Reading
    direction: Direction
    finding: Finding


def propose_level(
    refused: Sequence[Reading], *, meter: Meter, before: Mark, rule: Rule
) -> Proposal | None:
    """Rule 21: propose a new level when the last N refused readings agree with each other.

    ``refused`` are the readings since ``before``, the last mark, that were refused as too low or
    too high. They agree when all lie on one side and each could follow the one before it: the dial
    does not fall and is not faster than Qmax. The newest of them in a row are counted, so that one
    wild value long ago does not lock the meter out for ever.
    """
    ordered = sorted(refused, key=lambda reading: reading.read_at)
    agreed: list[Reading] = []
    for reading in ordered:
        if agreed and not _follows(agreed[-1], reading, meter, before):
            agreed = []
        agreed.append(reading)
    if len(agreed) < rule["readings"]:
        return None
    first, last = agreed[0], agreed[-1]
    return Proposal(
        first=first,
        last=last,
        direction=_side(first, before),
        finding=rule.finding(
            readings=len(agreed),
            first_epoch_s=epoch_s(first.read_at),
            first_dm3=first.register_dm3,
            last_dm3=last.register_dm3,
            before_dm3=before.register_dm3,
        ),
    )


def _side(reading: Reading, before: Mark) -> Direction:
    return Direction.DOWN if reading.register_dm3 < before.register_dm3 else Direction.UP


def _follows(one: Reading, two: Reading, meter: Meter, before: Mark) -> bool:
    advance = two.register_dm3 - one.register_dm3
    most = advance_dm3_max(
        qmax_dm3_h=meter.qmax_dm3_h,
        step_dm3=meter.step_dm3,
        earlier=one.read_at,
        later=two.read_at,
    )
    return _side(one, before) is _side(two, before) and 0 <= advance <= most


def epoch_s(instant: datetime) -> int:
    """Return an instant as whole seconds since 1970, as findings carry it."""
    return (instant - EPOCH) // SECOND
