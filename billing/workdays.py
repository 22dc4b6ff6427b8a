"""Working days of banks: in Kazakhstan, and of TARGET, over which euro are paid.

Whoever is told of a debit has five days to react and among them three on which his bank is open.
The day of the telling does not count, the day of the charge does.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Final

# What direct-debit schemes ask for, and what our terms promise.
NOTICE_DAYS: Final = 5
NOTICE_WORKING_DAYS: Final = 3

_SATURDAY: Final = 5


class BankDays(StrEnum):
    """Whose days count."""

    KZ = "kz"
    TARGET = "target"


_OF_CURRENCY: Final[Mapping[str, BankDays]] = MappingProxyType(
    {"KZT": BankDays.KZ, "EUR": BankDays.TARGET}
)


def bank_days(currency: str) -> BankDays:
    """Return whose days count for a currency; one we do not know is paid as at home."""
    return _OF_CURRENCY.get(currency, BankDays.KZ)


def is_working_day(day: date, days: BankDays) -> bool:
    """Tell whether banks are open on a day."""
    return day.weekday() < _SATURDAY and day not in _closed(days, day.year)


@cache
def _closed(days: BankDays, year: int) -> frozenset[date]:
    # All countries of the world come with it: half a second that most commands need not wait.
    import holidays  # noqa: PLC0415

    if days is BankDays.KZ:
        return frozenset(holidays.country_holidays("KZ", years=year))
    return frozenset(holidays.financial_holidays("ECB", years=year))


def in_time(told_on: date, charge_on: date, days: BankDays) -> bool:
    """Tell whether somebody told on one day may be charged on another."""
    return earliest_charge_day(told_on, days) <= charge_on


def earliest_charge_day(told_on: date, days: BankDays) -> date:
    """Return the first day on which somebody told today may be charged."""
    day, working = told_on, 0
    while working < NOTICE_WORKING_DAYS or day < told_on + timedelta(days=NOTICE_DAYS):
        day += timedelta(days=1)
        working += is_working_day(day, days)
    return day
