"""Gas of a period that nobody measured: which value, by which method, why, and how good it is.

    between two registers --> same period last year --> period before --> norm
          SUBSTITUTED                ESTIMATED            ESTIMATED       NORM

The first that is there is taken. After too many made-up periods in a row only the norm is left, and
somebody must go and look. Registers are estimated, never gas alone: the next actual register makes
good what was too much or too little.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Final

from metering.habit import PeriodUse, made_up_in_a_row
from metering.quality import Quality
from metering.reading import Mark
from metering.rule import Code, Finding, RuleBook
from metering.spread import share_out

HOUR: Final = timedelta(hours=1)
DAYS_PER_NORM: Final = 30
DM3_PER_M3: Final = 1000
# The Californian working group says two decimals and gives 3.345 -> 3.35.
CPUC_STEP: Final = Decimal("0.01")
# History of fewer days than this says little about a month.
HISTORY_DAYS_MIN: Final = 15


class Method(StrEnum):
    """How a value was made."""

    LINEAR = "linear"
    FLAT = "flat"
    DEGREE_DAYS = "degree_days"
    LAST_YEAR = "last_year"
    PREVIOUS = "previous"
    NORM = "norm"


class Why(StrEnum):
    """Why the better methods were passed over."""

    BETWEEN_REGISTERS = "between_registers"
    NO_CLOSING_REGISTER = "no_closing_register"
    NO_LAST_YEAR = "no_last_year"
    NO_HISTORY = "no_history"
    TOO_MANY_IN_A_ROW = "too_many_in_a_row"


class Rounding(StrEnum):
    """How an average becomes a volume."""

    HALF_UP = "half_up"  # once, to the dm3
    CPUC = "cpuc"  # average to two decimals, times days, over the constant, whole units


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Gas in dm3 that was not measured, and everything a bill must say about it.

    ``inspect`` carries the finding of rule 18 when somebody must go and look.
    """

    volume_dm3: int
    quality: Quality
    method: Method
    why: Why
    inspect: Finding | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Impossible:
    """Nothing to estimate from: no history that counts, and no norm."""

    why: Why
    inspect: Finding | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A stretch between two marks, shared out over its parts; the parts add up to the register."""

    parts_dm3: tuple[int, ...]
    quality: Quality
    method: Method


def fill(  # noqa: PLR0913 - two marks, their dial, and how to share
    *,
    before: Mark,
    after: Mark,
    dial_dm3: int,
    parts: int,
    profile: Sequence[int] | None,
    book: RuleBook,
) -> Filled:
    """Share the gas between two actual marks out over equal parts of the time between them.

    Up to three hours by a straight line. Longer by a profile of weights where there is one, which
    is the profile times one calibration factor, else flat.

    Raises:
        ValueError: there are no parts, the profile has another number, or the register falls.
    """
    if parts < 1 or (profile is not None and len(profile) != parts):
        raise ValueError("the profile has one weight for each part")
    total_dm3 = after.total_dm3(dial_dm3) - before.total_dm3(dial_dm3)
    if total_dm3 < 0:
        raise ValueError("the later mark stands below the earlier one")
    short = after.read_at - before.read_at <= book.rules[Code.GAP_SHORT]["hours_max"] * HOUR
    if short or profile is None or not any(profile):
        method = Method.LINEAR if short else Method.FLAT
        weights: Sequence[int] = [1] * parts
    else:
        method, weights = Method.DEGREE_DAYS, profile
    return Filled(
        parts_dm3=share_out(total_dm3, weights), quality=Quality.SUBSTITUTED, method=method
    )


def estimate(  # noqa: PLR0913 - one argument for each step of the ladder
    *,
    days: int,
    last_year: PeriodUse | None,
    previous: PeriodUse | None,
    norm_dm3_month: int | None,
    qualities: Sequence[Quality],
    book: RuleBook,
    rounding: Rounding = Rounding.HALF_UP,
) -> Estimate | Impossible:
    """Estimate a period of so many days that has no closing register.

    ``qualities`` are those of the periods before it, oldest first. ``norm_dm3_month`` is the norm
    of this home for thirty days. The same period last year counts unless it was estimated itself.

    Raises:
        ValueError: there are no days, or the norm is negative.
    """
    if days < 1 or (norm_dm3_month is not None and norm_dm3_month < 0):
        raise ValueError("a period has days, and a norm is not negative")
    rule = book.rules[Code.PROLONGED]
    count = made_up_in_a_row(qualities) + 1
    if count > rule["periods_max"]:
        return _by_norm(
            days, norm_dm3_month, Why.TOO_MANY_IN_A_ROW, inspect=rule.finding(periods=count)
        )
    if last_year is not None and _counts(last_year):
        return Estimate(
            volume_dm3=by_average(last_year, days, rounding),
            quality=Quality.ESTIMATED,
            method=Method.LAST_YEAR,
            why=Why.NO_CLOSING_REGISTER,
        )
    if previous is not None and _counts(previous):
        return Estimate(
            volume_dm3=by_average(previous, days, rounding),
            quality=Quality.ESTIMATED,
            method=Method.PREVIOUS,
            why=Why.NO_LAST_YEAR,
        )
    return _by_norm(days, norm_dm3_month, Why.NO_HISTORY, inspect=None)


def _counts(past: PeriodUse) -> bool:
    return past.days >= HISTORY_DAYS_MIN and not past.mostly_made_up


def _by_norm(
    days: int, norm_dm3_month: int | None, why: Why, *, inspect: Finding | None
) -> Estimate | Impossible:
    if norm_dm3_month is None:
        return Impossible(why=why, inspect=inspect)
    return Estimate(
        volume_dm3=half_up(norm_dm3_month * days, DAYS_PER_NORM),
        quality=Quality.NORM,
        method=Method.NORM,
        why=why,
        inspect=inspect,
    )


def by_average(past: PeriodUse, days: int, rounding: Rounding) -> int:
    """Return the gas in dm3 of so many days at the average of a past period."""
    if rounding is Rounding.HALF_UP:
        return half_up(past.volume_dm3 * days, past.days)
    average_m3 = Decimal(past.volume_dm3) / DM3_PER_M3 / past.days
    return cpuc_units(average=average_m3, days=days, constant=Decimal(1)) * DM3_PER_M3


def cpuc_units(*, average: Decimal, days: int, constant: Decimal) -> int:
    """Return how many whole units of the dial so many days add: the published chain of roundings.

    The average a day to two decimals, half up; times the days, to two decimals likewise; divided by
    the meter's constant; cut to a whole number. Added to the last register it is the estimated one.
    """
    rounded = average.quantize(CPUC_STEP, ROUND_HALF_UP)
    usage = (rounded * days).quantize(CPUC_STEP, ROUND_HALF_UP)
    return int((usage / constant).quantize(Decimal(1), ROUND_DOWN))


def half_up(numerator: int, denominator: int) -> int:
    """Return a quotient of whole numbers that are not negative, rounded half up."""
    return (2 * numerator + denominator) // (2 * denominator)
