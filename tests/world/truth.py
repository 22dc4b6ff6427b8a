"""What really happened: written down by the world itself, for the checker and for nobody else."""

from dataclasses import dataclass, field
from datetime import date, datetime

BillKey = tuple[str, str]
DebitKey = tuple[str, str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A notice as the resident got it."""

    at: datetime
    amount_minor: int
    currency: str
    charge_on: date


@dataclass(slots=True)
class Truth:
    """Bills, wishes and caps with their instants, what residents were told, what the bank got."""

    bills: dict[BillKey, list[tuple[datetime, int]]] = field(default_factory=dict)
    wishes: dict[str, list[tuple[datetime, str]]] = field(default_factory=dict)
    caps: dict[str, list[tuple[datetime, int, int]]] = field(default_factory=dict)
    inbox: dict[DebitKey, list[Told]] = field(default_factory=dict)
    claimed: dict[DebitKey, list[datetime]] = field(default_factory=dict)
    recorded: dict[DebitKey, list[datetime]] = field(default_factory=dict)
    # Things that make a promise void that no service could keep: the scenario says which.
    refused: set[DebitKey] = field(default_factory=set)
    # Days between notice and debit; one less where the service's own clock was wrong.
    notice_days: int = 5
    # How many of them banks must be open.
    notice_working_days: int = 3
    # When residents asked for another bank account, by the bank's name of its mandate.
    linked: dict[str, datetime] = field(default_factory=dict)
    # What people said about breaks: who, why, and what the desk answered.
    settled: dict[int, list[tuple[str, str, str]]] = field(default_factory=dict)
    # When the run was stopped, and when it went on.
    stops: dict[int, list[datetime]] = field(default_factory=dict)
    excused: set[str] = field(default_factory=set)

    def wish(self, account_id: str, at: datetime) -> str:
        """Return what the resident wanted at an instant."""
        said = [wish for when, wish in self.wishes.get(account_id, []) if when <= at]
        return said[-1] if said else "active"

    def stopped(self, at: datetime) -> bool:
        """Tell whether the run was stopped before an instant, and went on after it, if ever."""
        return any(
            when[0] < at and (len(when) == 1 or at <= when[1]) for when in self.stops.values()
        )

    def most_asked_minor(self, account_id: str, bill_no: str) -> int:
        """Return the most that a bill ever asked for."""
        return max((total for _, total in self.bills.get((account_id, bill_no), [])), default=0)

    def asked_between_minor(
        self, account_id: str, bill_no: str, start: datetime, end: datetime
    ) -> int:
        """Return the most that a bill asked for at some instant of a stretch."""
        said = self.bills.get((account_id, bill_no), [])
        during = [total for when, total in said if start < when <= end]
        before = [total for when, total in said if when <= start]
        return max([*before[-1:], *during], default=0)

    def caps_between(
        self, account_id: str, start: datetime, end: datetime
    ) -> list[tuple[int, int]]:
        """Return the caps that were in force at some instant of a stretch."""
        said = self.caps[account_id]
        found = [(one, month) for when, one, month in said if start < when <= end]
        before = [(one, month) for when, one, month in said if when <= start]
        return [*before[-1:], *found]
