"""Balances: what the creditor has with the bank, on its way in and on its way out."""

from typing import Final

from simulators.bank import settlement
from simulators.bank.clock import stamp
from simulators.bank.listing import bad_parameter, limit_of
from simulators.bank.operation import Call, Operation
from simulators.bank.store import ALL, Document
from simulators.bank.world import Bank

KIND: Final = "balances"


def amounts(bank: Bank) -> dict[str, int]:
    """Return each balance in minor units; funds count without the fees they will cost."""
    waiting = bank.store.unsettled(ALL)
    fees = sum(
        settlement.fee_tenths(bank.profile, item["hidden"]["tenths"] // settlement.TENTHS)
        for item in waiting
        if item["type"] == "payment_paid_out"
    )
    return {
        "confirmed_funds": (settlement.total_tenths(waiting) - fees) // settlement.TENTHS,
        "pending_payments_submitted": bank.store.amount_of("payments", "submitted"),
        "pending_payouts": bank.store.amount_of("payouts", "pending"),
    }


def index(bank: Bank, call: Call) -> Document:
    """Return the three balances of the one creditor.

    :raises BankError: 400 for another parameter than the creditor and how many.
    """
    for name in call.query:
        if name not in {"creditor", "limit"}:
            raise bad_parameter(name, "is not a parameter of this list")
    limit = limit_of(call.query)
    ours = call.query.get("creditor", bank.creditor_id) == bank.creditor_id
    listed = [
        {
            "amount": amount,
            "balance_type": name,
            "currency": bank.profile.currency,
            "last_updated_at": stamp(bank.at),
            "links": {"creditor": bank.creditor_id},
        }
        for name, amount in amounts(bank).items()
    ]
    return {
        KIND: listed[:limit] if ours else [],
        "meta": {"cursors": {"before": None, "after": None}, "limit": limit},
    }


OPERATIONS: Final = (Operation(name=f"{KIND}.list", method="GET", path=f"/{KIND}", run=index),)
