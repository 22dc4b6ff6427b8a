"""On which days banks in Kazakhstan are open, written by hand from the law on holidays.

The checker's own table, for the years in which scenarios begin. A holiday on a Saturday or Sunday
is rested on the next working day; Christmas and the first day of Kurban Ait are not moved.
"""

from datetime import date, timedelta
from typing import Final

CLOSED: Final = frozenset(
    date.fromisoformat(day)
    for day in (
        # New Year, and Christmas
        *("2024-01-01", "2024-01-02", "2026-01-01", "2026-01-02", "2026-01-07"),
        *("2028-01-03", "2028-01-04", "2028-01-07"),
        # Women's day; in 2026 it is a Sunday
        *("2024-03-08", "2026-03-09", "2028-03-08"),
        # Nauryz, three days; in 2024 one of them, in 2026 two of them are moved
        *("2024-03-21", "2024-03-22", "2024-03-25"),
        *("2026-03-23", "2026-03-24", "2026-03-25"),
        *("2028-03-21", "2028-03-22", "2028-03-23"),
        # Unity day, defenders' day, victory day
        *("2024-05-01", "2024-05-07", "2024-05-09"),
        *("2026-05-01", "2026-05-07", "2026-05-11", "2026-05-27"),
        *("2028-05-01", "2028-05-08", "2028-05-09", "2028-05-05"),
    )
)
_SATURDAY: Final = 5


def working_days(after: date, until: date) -> int:
    """Count the days on which banks are open, behind one day and up to another with it."""
    days = (after + timedelta(days=number) for number in range(1, (until - after).days + 1))
    return sum(day.weekday() < _SATURDAY and day not in CLOSED for day in days)
