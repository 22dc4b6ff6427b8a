"""The trial balance: every account of the ledger over some days, residents' and the town's.

Balances are debits less credits, in minor units. In each currency all of them add up to nothing,
and what was debited is what was credited; otherwise there is no trial balance but an error.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

# Somebody who asks for more reads a ledger that nobody closed.
DAYS_MAX: Final = 366


class NotBalancedError(Exception):
    """The ledger does not add up to nothing."""


class BadSpanOfDaysError(ValueError):
    """These are no days, or too many, or not begun yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRow:
    """One account in one currency; ``side`` is where its normal balance stands."""

    code: str
    side: str
    currency: str
    opening_minor: int
    debited_minor: int
    credited_minor: int

    @property
    def closing_minor(self) -> int:
        """Return the balance at the end."""
        return self.opening_minor + self.debited_minor - self.credited_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSum:
    """What all accounts in one currency add up to; both balances are nothing."""

    currency: str
    opening_minor: int
    debited_minor: int
    credited_minor: int
    closing_minor: int


def days_to_look_at(from_day: date, to_day: date, *, today: date, days_max: int = DAYS_MAX) -> None:
    """Refuse days that cannot be looked at; ``to_day`` is the first day after.

    Raises:
        BadSpanOfDaysError: they end before they begin, are too many, or have not begun.
    """
    if to_day <= from_day:
        raise BadSpanOfDaysError("the second day is the first one after, so it is later")
    if (to_day - from_day).days > days_max:
        raise BadSpanOfDaysError(f"at most {days_max} days at once")
    if from_day > today:
        raise BadSpanOfDaysError(f"the days have not begun; today is {today}")


def summed(rows: Iterable[TrialRow]) -> Sequence[TrialSum]:
    """Add the accounts up, currency by currency.

    Raises:
        NotBalancedError: they do not add up to nothing.
    """
    listed = list(rows)
    sums = [
        TrialSum(
            currency=currency,
            opening_minor=sum(one.opening_minor for one in listed if one.currency == currency),
            debited_minor=sum(one.debited_minor for one in listed if one.currency == currency),
            credited_minor=sum(one.credited_minor for one in listed if one.currency == currency),
            closing_minor=sum(one.closing_minor for one in listed if one.currency == currency),
        )
        for currency in sorted({one.currency for one in listed})
    ]
    for one in sums:
        if one.opening_minor or one.closing_minor or one.debited_minor != one.credited_minor:
            raise NotBalancedError(f"the accounts in {one.currency} do not add up to nothing")
    return sums
