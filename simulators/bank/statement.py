"""The statement of the creditor's account: camt.053.001.08, one day, booked lines only.

A payout that was paid is one credit on the day of its arrival; one that bounced never came. What a
refund, a chargeback or a late failure took outside of a payout is one debit of its own. Fees are
netted in the payouts. Everything before the day makes the opening balance, beginning with nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Final

import jinja2

from simulators.bank.clock import parse, stamp
from simulators.bank.world import Bank

# Where the creditor is paid: made-up accounts with right check digits.
IBAN: Final[Mapping[str, str]] = MappingProxyType(
    {"KZT": "KZ68125KZT9000000001", "EUR": "DE49370400440900000001"}
)
PAID: Final = "paid"
# Amounts of payout items are kept in tenths of a minor unit.
TENTHS: Final = 10
MINOR_UNITS: Final = 100
ORPHAN_MINOR: Final = 12_345

_TEMPLATE: Final = jinja2.Environment(
    autoescape=True, undefined=jinja2.StrictUndefined
).from_string(Path(__file__).with_name("statement.xml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One movement of the account; what went out is negative."""

    entry_ref: str
    booked_on: date
    amount_minor: int
    reference: str
    text: str

    @property
    def amount(self) -> str:
        """Return the amount without its sign, in major units."""
        return major(self.amount_minor)

    @property
    def sign(self) -> str:
        """Return the statement's word for in or out."""
        return sign(self.amount_minor)


def major(amount_minor: int) -> str:
    """Return an amount in major units, without its sign."""
    whole, part = divmod(abs(amount_minor), MINOR_UNITS)
    return f"{whole}.{part:02}"


def sign(amount_minor: int) -> str:
    """Return the statement's word for a sum that is ours or owed by us."""
    return "CRDT" if amount_minor >= 0 else "DBIT"


def lines(bank: Bank) -> list[Line]:
    """Return every line the account has ever had, in the order of booking."""
    found = [*_payouts(bank), *_debits(bank)]
    return sorted(found, key=lambda line: (line.booked_on, line.entry_ref))


def _payouts(bank: Bank) -> list[Line]:
    return [
        Line(
            entry_ref=payout["id"],
            booked_on=date.fromisoformat(payout["arrival_date"]),
            amount_minor=payout["amount"],
            reference=payout["reference"],
            text=f"Payout {payout['reference']}",
        )
        for payout in bank.store.everything("payouts")
        if payout["status"] == PAID
    ]


def _debits(bank: Bank) -> list[Line]:
    """Return what the account bore outside of payouts, each payment or refund on its own."""
    account_id = "BA" + bank.creditor_id.removeprefix("CR")
    found: dict[tuple[str, date], Line] = {}
    tenths: dict[tuple[str, date], int] = {}
    for item, changed_at in bank.store.debited(account_id):
        about = item["links"].get("refund") or item["links"]["payment"]
        key = about, parse(changed_at).date()
        tenths[key] = tenths.get(key, 0) + item["hidden"]["tenths"]
        line = found.get(key) or Line(
            entry_ref=item["id"],
            booked_on=key[1],
            amount_minor=0,
            reference=about,
            text=f"{item['type']} {item['links']['payment']}",
        )
        # Less than a minor unit is the bank's.
        found[key] = replace(line, amount_minor=tenths[key] // TENTHS)
    return [line for line in found.values() if line.amount_minor]


Spoil = Callable[[Bank, date, list[Line]], list[Line]]


def _missing(_: Bank, __: date, found: list[Line]) -> list[Line]:
    return found[1:]


def _twice(_: Bank, __: date, found: list[Line]) -> list[Line]:
    return [*found[:1], *found]


def _off_by_one(_: Bank, __: date, found: list[Line]) -> list[Line]:
    first = [replace(line, amount_minor=line.amount_minor - 1) for line in found[:1]]
    return [*first, *found[1:]]


def _orphan(bank: Bank, day: date, found: list[Line]) -> list[Line]:
    stranger = Line(
        entry_ref=bank.new_id("payouts"),
        booked_on=day,
        amount_minor=ORPHAN_MINOR,
        reference="NOTPROVIDED",
        text="Transfer of somebody unknown",
    )
    return [*found, stranger]


# Faults of a statement; each that changes nothing leaves the lines as they are.
SPOIL: Final[Mapping[str, Spoil]] = MappingProxyType(
    {
        "line_missing": _missing,
        "line_twice": _twice,
        "line_off_by_one": _off_by_one,
        "line_orphan": _orphan,
    }
)


def write(bank: Bank, day: date, before: list[Line], found: list[Line]) -> bytes:
    """Return the statement of a day, which adds up whatever befell its lines."""
    currency = bank.profile.currency
    opening_minor = sum(line.amount_minor for line in before)
    closing_minor = opening_minor + sum(line.amount_minor for line in found)
    text = _TEMPLATE.render(
        created_at=stamp(bank.at),
        currency=currency,
        day=day.isoformat(),
        iban=IBAN[currency],
        lines=found,
        balances=(
            ("OPBD", major(opening_minor), sign(opening_minor)),
            ("CLBD", major(closing_minor), sign(closing_minor)),
        ),
    )
    return text.encode()
