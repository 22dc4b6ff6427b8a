"""The checker's part about payouts, the account and breaks; it imports nothing of the service."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any, Final

from tests.world.invariants import Checker

# A break that the service closed itself; anything else was said by a person.
AGREED: Final = "the sides agree"
# A payout may come some days late; after four it is missed.
ARRIVES: Final = timedelta(days=6)
PAID: Final = "payment_paid_out"


def compared(
    checker: Checker,
    payouts: list[dict[str, Any]],
    items: list[dict[str, Any]],
    came_minor: Callable[[dict[str, Any]], int],
) -> None:
    """Look at what was compared with the account: who believes too much, and what nobody sees.

    ``items`` are the bank's own, whatever it told; ``came_minor`` is what has come of a payout.
    """
    _believed(checker, payouts, items, came_minor)
    _seen(checker, payouts, items, came_minor)
    _settled_once(checker)


def _payments(items: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Return the payments that each payout brings."""
    found: dict[str, set[str]] = defaultdict(set)
    for item in items:
        if item["type"] == PAID:
            found[item["hidden"]["settled_by"]].add(item["links"]["payment"])
    return found


def _believed(
    checker: Checker,
    payouts: list[dict[str, Any]],
    items: list[dict[str, Any]],
    came_minor: Callable[[dict[str, Any]], int],
) -> None:
    """A reconciled debit stands in a payout that is on the account, whole."""
    brings = _payments(items)
    here = {
        payment_id
        for payout in payouts
        if payout["status"] == "paid" and came_minor(payout) == payout["amount"]
        for payment_id in brings[payout["id"]]
    }
    for key, row in checker.rows["debit"].items():
        if str(row.state) == "reconciled" and row.bank_payment_id not in here:
            checker.say("I4", f"{key} is reconciled, and its payout is not on the account")


def _seen(
    checker: Checker,
    payouts: list[dict[str, Any]],
    items: list[dict[str, Any]],
    came_minor: Callable[[dict[str, Any]], int],
) -> None:
    """A payout that is not on the account as it should be stands before a person."""
    brings = _payments(items)
    days = checker.rows["recon_day"].values()
    until = max((row.day for row in days if row.read_at and row.statement_at), default=date.min)
    debits = checker.rows["debit"].values()
    settled = {row.bank_payment_id for row in debits if str(row.state) == "settled"}
    for payout in payouts:
        due = date.fromisoformat(payout["arrival_date"]) + ARRIVES <= until
        if payout["status"] != "paid" or not due or _asked(checker.rows, payout["id"]):
            continue
        if came_minor(payout) != payout["amount"]:
            checker.say("I10", f"{payout['id']} has not come whole, and nobody was asked")
        elif settled & brings[payout["id"]]:
            checker.say("I10", f"{payout['id']} is on the account and its debits still wait")


def _asked(rows: Mapping[str, Mapping[Any, Any]], payout_id: str) -> bool:
    """Tell whether a break about a payout is open, or a person has settled it."""
    return any(
        payout_id in row.subject and row.because != AGREED for row in rows["recon_break"].values()
    )


def _settled_once(checker: Checker) -> None:
    """One break is one row while it is open, and one person's word when it is settled."""
    rows = checker.rows["recon_break"]
    still = Counter((row.kind, row.subject) for row in rows.values() if row.closed_at is None)
    for name, count in still.items():
        if count > 1:
            checker.say("I10", f"{name} is open {count} times")
    for number, answers in checker.truth.settled.items():
        kept = [(name, because) for name, because, answer in answers if answer == "kept"]
        if len(kept) > 1:
            checker.say("I10", f"break {number} was settled by {len(kept)} people")
        row = rows.get(number)
        if row is not None and kept and (row.closed_by, row.because) != kept[0]:
            checker.say("I10", f"break {number} is not settled as {kept[0][0]} was told")
