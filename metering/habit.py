"""Rules over a whole period of one installation against its own history.

Volumes in whole dm3, days whole local days, degree days in tenths of a kelvin-day. Comparisons are
made by multiplying out, so nothing is rounded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from metering.quality import MADE_UP, Quality
from metering.reading import Mark
from metering.rule import Finding, Rule

PERCENT: Final = 100
DAYS_PER_MONTH: Final = 30
TENTHS: Final = 10
DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodUse:
    """The gas of one period: so many days, how its volume came to be, and how cold it was.

    ``made_up_days`` are days of it that were estimated. ``degree_days_tenths`` is None where no
    temperatures are known.
    """

    days: int
    volume_dm3: int
    quality: Quality
    made_up_days: int = 0
    degree_days_tenths: int | None = None

    def __post_init__(self) -> None:
        """Refuse a period that cannot be."""
        if self.days <= 0 or not 0 <= self.made_up_days <= self.days:
            raise ValueError("a period has days, and no more made up than it has")
        if self.volume_dm3 < 0:
            raise ValueError("volume_dm3 must not be negative")
        if self.degree_days_tenths is not None and self.degree_days_tenths < 0:
            raise ValueError("degree_days_tenths must not be negative")

    @property
    def mostly_made_up(self) -> bool:
        """Say whether it is no history to compare with."""
        if self.quality is Quality.REJECTED:
            return True
        made_up = self.made_up_days or (self.days if self.quality in MADE_UP else 0)
        return made_up * 2 > self.days


def check_high_low(
    now: PeriodUse, *, last_year: PeriodUse | None, previous: PeriodUse | None, rule: Rule
) -> Finding | None:
    """Rule 11: use far above or below the same period last year, or else the period before.

    History that is mostly estimated is passed over. Where both periods are cold enough and their
    temperatures are known, use per degree day is compared instead of use per day. Use that is less
    than the floor a month in both periods is nobody's question.
    """
    base = next(
        (one for one in (last_year, previous) if one is not None and not one.mostly_made_up), None
    )
    if base is None:
        return None
    floor = rule["floor_dm3_month"]
    if all(one.volume_dm3 * DAYS_PER_MONTH < floor * one.days for one in (now, base)):
        return None
    now_weight, base_weight, by_degree_days = _weights(now, base, rule["degree_days_min"])
    ours, theirs = now.volume_dm3 * base_weight, base.volume_dm3 * now_weight
    high = ours * PERCENT > theirs * rule["high_percent"]
    low = ours * PERCENT < theirs * rule["low_percent"]
    if not high and not low:
        return None
    return rule.finding(
        volume_dm3=now.volume_dm3,
        expected_dm3=base.volume_dm3 * now_weight // base_weight,
        days=now.days,
        base_dm3=base.volume_dm3,
        base_days=base.days,
        by_degree_days=int(by_degree_days),
    )


def _weights(now: PeriodUse, base: PeriodUse, degree_days_min: int) -> tuple[int, int, bool]:
    """Return by what the two periods are compared: degree days where both are cold, else days."""
    ours, theirs = now.degree_days_tenths, base.degree_days_tenths
    if ours is None or theirs is None or min(ours, theirs) < degree_days_min * TENTHS:
        return now.days, base.days, False
    return ours, theirs, True


def still_days(marks: Sequence[Mark], *, dial_dm3: int) -> int:
    """Return for how many whole days up to the last mark the register has not moved."""
    if not marks:
        return 0
    ordered = sorted(marks, key=lambda mark: mark.read_at)
    last = ordered[-1]
    since: datetime = last.read_at
    for mark in reversed(ordered):
        if mark.total_dm3(dial_dm3) != last.total_dm3(dial_dm3):
            break
        since = mark.read_at
    return (last.read_at - since) // DAY


def in_heating_season(month: int, rule: Rule) -> bool:
    """Say whether a month belongs to the heating season, which may pass the new year."""
    first, last = rule["heating_first_month"], rule["heating_last_month"]
    if first <= last:
        return first <= month <= last
    return month >= first or month <= last


def check_zero(days: int, *, month: int, heated: bool, rule: Rule) -> Finding | None:
    """Rule 12: no gas for longer than a home without anybody in it.

    ``heated`` says that the home is heated by this meter's gas; then a winter week is long.
    """
    cold = heated and in_heating_season(month, rule)
    limit = rule["days_heating"] if cold else rule["days"]
    if days < limit:
        return None
    return rule.finding(days=days, limit_days=limit)


def check_prolonged(qualities: Sequence[Quality], rule: Rule) -> Finding | None:
    """Rule 18: too many periods in a row, up to the newest, that nobody measured."""
    count = made_up_in_a_row(qualities)
    if count <= rule["periods_max"]:
        return None
    return rule.finding(periods=count)


def made_up_in_a_row(qualities: Sequence[Quality]) -> int:
    """Return how many of the newest periods, oldest first, were made up without a break."""
    count = 0
    for quality in reversed(qualities):
        if quality not in MADE_UP:
            break
        count += 1
    return count
