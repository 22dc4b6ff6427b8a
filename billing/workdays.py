"""Working days of banks: in Kazakhstan, and of TARGET, over which euro are paid.

A debit is taken on a day on which banks are open, and ordered so long before that they have one
more between: an order given in a row of holidays is read after them.

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

# The payer's bank wants to hear of a debit one working day before its own, and reads what came
# after its last file on the next one.
ORDER_WORKING_DAYS: Final = 2

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
    return _after(told_on, days, calendar=NOTICE_DAYS, working=NOTICE_WORKING_DAYS)


def earliest_ordered_day(today: date, days: BankDays, *, lead_days: int) -> date:
    """Return the first day on which banks can take what is ordered today, ``lead_days`` ahead."""
    return open_day(_after(today, days, calendar=lead_days, working=ORDER_WORKING_DAYS), days)


def open_day(day: date, days: BankDays) -> date:
    """Return the day itself, or the next one on which banks are open."""
    while not is_working_day(day, days):
        day += timedelta(days=1)
    return day


def _after(first: date, days: BankDays, *, calendar: int, working: int) -> date:
    """Return the first day that so many days, and so many working days, lie before and on."""
    day, passed = first, 0
    while passed < working or day < first + timedelta(days=calendar):
        day += timedelta(days=1)
        passed += is_working_day(day, days)
    return day
