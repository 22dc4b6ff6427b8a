"""Which bills a person looks at before they are issued: those far above the account's own habit.

    habit = the larger of: the bill of the same month last year, the mean of the last months' bills
    held  = total above habit x high_percent / 100, and by more than floor_minor above habit
    without any earlier bill: total above first_minor, where a town says one

Money is compared, because it holds everything that can go wrong: register, price, terms, charges.
The figures are a town's own from a day on; a later word is another revision, and a hold keeps the
figures by which it was made. The comparison itself stands in sql/bills.sql (``unusual``).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from billing.period import Period

# Three times, as the rule for gas (metering/habit.py); ten thousand tenge, which no household burns
# by cooking, so that the first cold month after a summer is nobody's question.
HIGH_PERCENT: Final = 300
FLOOR_MINOR: Final = 1_000_000
MONTHS_BACK: Final = 3
HIGH_PERCENT_MAX: Final = 100_000
MONTHS_BACK_MAX: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Outsorting:
    """The figures: percent of the habit, minor units, months.

    ``first_minor`` is for accounts without an earlier bill; None passes every first bill.
    """

    high_percent: int = HIGH_PERCENT
    floor_minor: int = FLOOR_MINOR
    months_back: int = MONTHS_BACK
    first_minor: int | None = None

    def __post_init__(self) -> None:
        """Refuse figures by which everything or nothing would be held."""
        if not 100 <= self.high_percent <= HIGH_PERCENT_MAX:  # noqa: PLR2004 - the habit itself
            raise ValueError(f"high_percent lies between 100 and {HIGH_PERCENT_MAX}")
        if self.floor_minor < 0 or (self.first_minor is not None and self.first_minor < 0):
            raise ValueError("amounts must not be negative")
        if not 1 <= self.months_back <= MONTHS_BACK_MAX:
            raise ValueError(f"months_back lies between 1 and {MONTHS_BACK_MAX}")

    def for_period(self, period: Period) -> dict[str, Any]:
        """Return the figures with the months they look at, as the run's statement reads them."""
        recent = period
        for _ in range(self.months_back):
            recent = recent.before()
        return {
            "high_percent": self.high_percent,
            "floor_minor": self.floor_minor,
            "first_minor": self.first_minor,
            "year_ago": Period.month(period.start.year - 1, period.start.month).start.isoformat(),
            "recent_from": recent.start.isoformat(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsortingWord:
    """What a town said about the figures, for bills of months that begin on a day or later."""

    valid_from: date
    revision: int
    figures: Outsorting
    approved_by: str
    entered_at: datetime


def in_force(words: Iterable[OutsortingWord], period: Period) -> Outsorting:
    """Return the figures for a month; those above where nobody said any."""
    said = [word for word in words if word.valid_from <= period.start]
    if not said:
        return Outsorting()
    return max(said, key=lambda word: (word.valid_from, word.revision)).figures
