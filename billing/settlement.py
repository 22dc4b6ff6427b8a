"""The month of an account as the settlement centre prints it beside other services.

    opening balance                     owed before the month, with bills of the months before it
    + charged                           the bill of the month, net and VAT
    + recalculated                      bills cancelled and made anew
    - credited                          vouchers and what was owed to the resident
    - paid, - paid later                in the month, and since it ended
    + charged later                     bills of later months, where an old month is exported
    = to pay                            what the ledger says the account owes

Every movement of what an account owes is in exactly one part, so the sum of "to pay" over all rows
is the receivable balance of the ledger.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

from billing.cells import Cell, decimal, listed, safe
from billing.payee import Payee
from billing.period import Period

FORMAT: Final = "aqkol-settlement/1"


class Service(StrEnum):
    """What is charged; the settlement centre tells services apart by it."""

    GAS = "gas"


class NotReconciledError(Exception):
    """What would be exported is not what the ledger says; nothing leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """What a meter showed at both ends of what is charged, in dm3."""

    meter_id: str
    opening_dm3: int
    closing_dm3: int
    opening_quality: str
    closing_quality: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VatSum:
    """What stands under one tax rate, in minor units."""

    rate_bp: int
    net_minor: int
    vat_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Who lives there; only in an export that was asked for them."""

    full_name: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One account and service of a month; sums in minor units, ``net_by_kind`` by kind of charge.

    ``tariffs`` are versions such as ``household@2025-01-01``.
    """

    account_id: str
    currency: str
    tariffs: Sequence[str]
    bill_nos: Sequence[str]
    due_on: date | None
    volume_dm3: int
    dials: Sequence[Dial]
    net_by_kind: Mapping[str, int]
    vat: Sequence[VatSum]
    net_minor: int
    vat_minor: int
    opening_minor: int
    charged_minor: int
    recalculated_minor: int
    credited_minor: int
    paid_minor: int
    paid_later_minor: int
    charged_later_minor: int
    to_pay_minor: int

    def __post_init__(self) -> None:
        """Refuse a row that does not add up.

        Raises:
            NotReconciledError: the bill is not its parts, or what is to pay is not.
        """
        owed = self.opening_minor + self.charged_minor + self.recalculated_minor
        owed += self.charged_later_minor - self.credited_minor
        owed -= self.paid_minor + self.paid_later_minor
        rates = sum(rate.net_minor for rate in self.vat), sum(rate.vat_minor for rate in self.vat)
        adds_up = (
            owed == self.to_pay_minor
            and self.charged_minor == self.net_minor + self.vat_minor
            and rates == (self.net_minor, self.vat_minor)
            and sum(self.net_by_kind.values()) == self.net_minor
        )
        if not adds_up:
            raise NotReconciledError(f"the month of {self.account_id} does not add up")


# Parts of a row that have a column of their own; other kinds of charge stand under "other".
_KINDS: Final = ("gas", "standing", "discount", "penalty", "adjustment")
# What is added up at the end, in the order of the columns.
SUMMED: Final = (
    "volume_dm3",
    "net_minor",
    "vat_minor",
    "opening_minor",
    "charged_minor",
    "recalculated_minor",
    "credited_minor",
    "paid_minor",
    "paid_later_minor",
    "charged_later_minor",
    "to_pay_minor",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What all rows of one export share; ``as_of`` is the instant it speaks of."""

    period: Period
    service: Service
    as_of: datetime
    payee: Payee | None

    def columns(self, *, named: bool) -> tuple[str, ...]:
        """Return the titles of the columns, in order."""
        paid_to = tuple(f"payee_{it.name}" for it in fields(Payee))
        return (
            *("account_id", "period", "service", "bill_numbers", "tariffs", "volume_dm3"),
            *("meter_ids", "opening_dm3", "closing_dm3", "opening_qualities"),
            *("closing_qualities", *(f"{kind}_net_minor" for kind in _KINDS), "other_net_minor"),
            *("net_minor", "vat_rates_bp", "vat_net_minor", "vat_rate_minor", "vat_minor"),
            *SUMMED[SUMMED.index("opening_minor") :],
            *("to_pay", "currency", "due_on", "as_of", *paid_to),
            *(("full_name", "address") if named else ()),
        )

    def cells(self, row: Row, named: Named | None) -> tuple[Cell, ...]:
        """Return the cells of a row; ``named`` is None where no names are exported."""
        paid_to = (None,) * len(fields(Payee)) if self.payee is None else self._paid_to(self.payee)
        dials = row.dials
        return (
            *(safe(row.account_id), self.period.label, self.service.value),
            *(safe(listed(_numbers(row))), listed(row.tariffs), row.volume_dm3),
            *(safe(listed([dial.meter_id for dial in dials])),),
            *(listed([dial.opening_dm3 for dial in dials]),),
            *(listed([dial.closing_dm3 for dial in dials]),),
            *(listed([dial.opening_quality for dial in dials]),),
            *(listed([dial.closing_quality for dial in dials]),),
            *_by_kind(row).values(),
            row.net_minor,
            *(listed([it.rate_bp for it in row.vat]), listed([it.net_minor for it in row.vat])),
            *(listed([it.vat_minor for it in row.vat]), row.vat_minor),
            *(getattr(row, name) for name in SUMMED[SUMMED.index("opening_minor") :]),
            *(decimal(row.to_pay_minor), row.currency, row.due_on and row.due_on.isoformat()),
            *(self.as_of.isoformat(), *paid_to),
            *((safe(named.full_name), safe(named.address)) if named else ()),
        )

    def told(self, row: Row, named: Named | None) -> dict[str, Any]:
        """Return a row as JSON has it."""
        return {
            "account_id": row.account_id,
            "bill_numbers": _numbers(row),
            "tariffs": list(row.tariffs),
            "volume_dm3": row.volume_dm3,
            "dials": [asdict(dial) for dial in row.dials],
            "net_by_kind_minor": _by_kind(row),
            "vat": [asdict(rate) for rate in row.vat],
            **{name: getattr(row, name) for name in SUMMED if name != "volume_dm3"},
            "currency": row.currency,
            "due_on": row.due_on and row.due_on.isoformat(),
            **(asdict(named) if named else {}),
        }

    def head(self) -> dict[str, Any]:
        """Return what is said once, above the rows."""
        return {
            "format": FORMAT,
            "period": self.period.label,
            "service": self.service.value,
            "as_of": self.as_of.isoformat(),
            "payee": None if self.payee is None else asdict(self.payee),
        }

    @staticmethod
    def _paid_to(payee: Payee) -> tuple[Cell, ...]:
        return tuple(safe(str(getattr(payee, it.name))) for it in fields(Payee))


@dataclass(slots=True)
class Sums:
    """What the rows add up to, by currency and tax rate; grows row by row."""

    rows: int = 0
    by_currency: dict[str, dict[str, int]] = field(default_factory=dict)
    vat: dict[tuple[str, int], list[int]] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Take in one row."""
        self.rows += 1
        sums = self.by_currency.setdefault(row.currency, dict.fromkeys(SUMMED, 0))
        for name in SUMMED:
            sums[name] += getattr(row, name)
        for rate in row.vat:
            pair = self.vat.setdefault((row.currency, rate.rate_bp), [0, 0])
            pair[0] += rate.net_minor
            pair[1] += rate.vat_minor

    def told(self, receivable_minor: Mapping[str, int]) -> dict[str, Any]:
        """Return the sums beside what the ledger says is owed.

        Raises:
            NotReconciledError: they are not the same.
        """
        to_pay = {it: sums["to_pay_minor"] for it, sums in self.by_currency.items()}
        for currency in sorted(to_pay.keys() | receivable_minor.keys()):
            if to_pay.get(currency, 0) != receivable_minor.get(currency, 0):
                raise NotReconciledError(
                    f"to pay is {to_pay.get(currency, 0)}, the ledger's receivable is "
                    f"{receivable_minor.get(currency, 0)} minor units of {currency}"
                )
        return {
            "rows": self.rows,
            "sums": [
                {
                    "currency": currency,
                    **self.by_currency[currency],
                    "vat": [
                        {"rate_bp": rate_bp, "net_minor": net_minor, "vat_minor": vat_minor}
                        for (of, rate_bp), (net_minor, vat_minor) in sorted(self.vat.items())
                        if of == currency
                    ],
                    "ledger_receivable_minor": receivable_minor.get(currency, 0),
                }
                for currency in sorted(self.by_currency)
            ],
        }


def _numbers(row: Row) -> list[str]:
    return [f"{row.account_id}/{bill_no}" for bill_no in row.bill_nos]


def _by_kind(row: Row) -> dict[str, int]:
    named = {kind: row.net_by_kind.get(kind, 0) for kind in _KINDS}
    return {**named, "other": row.net_minor - sum(named.values())}
