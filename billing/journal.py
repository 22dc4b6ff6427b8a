"""The journal: every posted transfer of some days, so that a balance can be made of it again.

Balances are debits less credits, in minor units: what residents owe is above zero, revenue below.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from billing.cells import Cell, decimal, safe
from billing.chart import Chart
from billing.period import local_day
from billing.settlement import NotReconciledError

FORMAT: Final = "aqkol-journal/1"

COLUMNS: Final = (
    "date",
    "posted_at",
    "document",
    "debit_code",
    "credit_code",
    "amount_minor",
    "amount",
    "currency",
    "account_id",
    "transfer_id",
    "debit_account",
    "credit_account",
)

# Of an account of the ledger in one currency.
Balances = Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One posted transfer; without an account it is the town's own."""

    account_id: str
    transfer_id: str
    debit_code: str
    credit_code: str
    amount_minor: int
    currency: str
    document: str
    posted_at: datetime

    def cells(self, chart: Chart, zone: str) -> tuple[Cell, ...]:
        """Return the cells of its line; the date is the town's."""
        return (
            local_day(self.posted_at, zone).isoformat(),
            self.posted_at.isoformat(),
            safe(self.document),
            chart.codes[self.debit_code],
            chart.codes[self.credit_code],
            self.amount_minor,
            decimal(self.amount_minor),
            self.currency,
            safe(self.account_id),
            safe(self.transfer_id),
            self.debit_code,
            self.credit_code,
        )


@dataclass(slots=True)
class Turnover:
    """What the entries add up to; grows entry by entry."""

    entries: int = 0
    pairs: dict[tuple[str, str, str], list[int]] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """Take in one entry."""
        self.entries += 1
        key = (entry.debit_code, entry.credit_code, entry.currency)
        pair = self.pairs.setdefault(key, [0, 0])
        pair[0] += 1
        pair[1] += entry.amount_minor

    def told(self, *, opening: Balances, closing: Balances, chart: Chart) -> dict[str, Any]:
        """Return the sums of each pair of accounts, and the balances at both ends.

        Raises:
            NotReconciledError: the entries do not lead from the one to the other.
        """
        debited: dict[tuple[str, str], int] = {}
        credited: dict[tuple[str, str], int] = {}
        for (debit, credit, currency), (_, amount_minor) in self.pairs.items():
            debited[debit, currency] = debited.get((debit, currency), 0) + amount_minor
            credited[credit, currency] = credited.get((credit, currency), 0) + amount_minor
        balances = []
        for code, currency in sorted({*opening, *closing, *debited, *credited}):
            key = (code, currency)
            first, last = opening.get(key, 0), closing.get(key, 0)
            plus, minus = debited.get(key, 0), credited.get(key, 0)
            if first + plus - minus != last:
                raise NotReconciledError(f"the entries do not lead to the balance of {code}")
            balances.append(
                {
                    "account": code,
                    "code": chart.codes[code],
                    "currency": currency,
                    "opening_minor": first,
                    "debited_minor": plus,
                    "credited_minor": minus,
                    "closing_minor": last,
                }
            )
        return {
            "entries": self.entries,
            "pairs": [
                {
                    "debit_code": chart.codes[debit],
                    "credit_code": chart.codes[credit],
                    "currency": currency,
                    "entries": entries,
                    "amount_minor": amount_minor,
                }
                for (debit, credit, currency), (entries, amount_minor) in sorted(self.pairs.items())
            ],
            "balances": balances,
        }


def head(from_day: date, to_day: date, zone: str) -> dict[str, Any]:
    """Return what a summary says above its sums; ``to_day`` is the first day after."""
    return {
        "format": FORMAT,
        "from_day": from_day.isoformat(),
        "to_day": to_day.isoformat(),
        "zone": zone,
    }
