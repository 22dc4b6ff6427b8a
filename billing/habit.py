"""What an account usually pays, and when a sum is so unusual that its resident is asked first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

# Above two and a half times the habit a resident is asked before anything is taken; in tenths.
UNUSUAL_TENTHS: Final = 25
# Fewer bills of other months are no habit.
MONTHS_MIN: Final = 3
# A year of them is one; older ones only say what a flat was like then.
MONTHS_MAX: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class PastBill:
    """An earlier bill of the account that stands: which month, and what it asked for."""

    period_start: date
    total_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """What is known when a bill is to be debited, in minor units; ``past`` is oldest first.

    ``approved_minor`` is the most that the resident agreed to for this bill.
    """

    period_start: date
    estimated: bool
    approved_minor: int | None
    past: tuple[PastBill, ...]


def doubt(habit: Habit, amount_minor: int) -> str | None:
    """Return why the resident must be asked before this amount is taken; None if he need not."""
    if habit.approved_minor is not None and amount_minor <= habit.approved_minor:
        return None
    if habit.estimated:
        return "estimated"
    usual_minor = usual(habit.period_start, habit.past)
    if usual_minor is not None and amount_minor * 10 > usual_minor * UNUSUAL_TENTHS:
        return "anomaly"
    return None


def usual(month: date, past: Sequence[PastBill]) -> int | None:
    """Return the median of the same month in other years, else of the last months; None if new."""
    paid = [one for one in past if one.total_minor > 0]
    same = [one.total_minor for one in paid if one.period_start.month == month.month]
    others = [one.total_minor for one in paid[-MONTHS_MAX:]]
    known = same or (others if len(others) >= MONTHS_MIN else [])
    # Of two in the middle the lower one: in doubt the resident is asked.
    return sorted(known)[(len(known) - 1) // 2] if known else None
