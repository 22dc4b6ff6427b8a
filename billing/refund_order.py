"""What is asked of the bank when money goes back, and what may be asked at all."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from billing.bank import BankRefund
from billing.debit import FINAL, TAKEN, Debit, DebitId, State
from billing.ledger import Account
from billing.refund import ENDS, UNCERTAIN, Cause, Refund, RefundState

# These are asked for once per debit, whatever became of it since.
_ONCE: Final = frozenset({Cause.CANCEL_TOO_LATE, Cause.DOUBLE_DEBIT})
# What the bank does not count as given back: it came to nothing, or came back to us at once.
_NOT_COUNTED: Final = frozenset({RefundState.REFUSED, RefundState.BOUNCED})
_WAITING: Final = UNCERTAIN | {RefundState.REQUESTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class NotGiven:
    """Money cannot be given back, and in one word why."""

    reason: str


Asked = Refund | NotGiven


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveBack:
    """Money that waits to be sent back, and the debit through which it can go, in minor units."""

    debit_id: DebitId
    amount_minor: int


def already(refunds: Sequence[Refund], cause: Cause, amount_minor: int) -> Refund | None:
    """Return the refund that was asked for before, if this asks for the same: one click, or two."""
    for one in refunds:
        same = (one.cause, one.amount_minor) == (cause, amount_minor)
        if same and one.state in _WAITING:
            return one
        if one.cause is cause and cause in _ONCE and one.state not in ENDS:
            return one
    return None


def why_not(debit: Debit, *, stray: bool = False) -> str | None:
    """Return why money of a debit cannot be given back now, in one word; None if it can.

    While a chargeback is open, the resident's own bank gives it back: we would do so twice. Stray
    money was taken for an attempt that we had given up.
    """
    if debit.state is State.CHARGED_BACK:
        return "chargeback_open"
    ours = debit.state in TAKEN or (stray and debit.state in FINAL)
    return None if ours and debit.bank_payment_id is not None else "not_collected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked for: how much, why, by whom, and from which account of the ledger it is taken.

    No ``source`` says that nobody was paid too much.
    """

    amount_minor: int
    cause: Cause
    source: Account | None
    asked_by: str
    because: str | None = None
    counted_minor: int | None = None


def refusal(debit: Debit, refunds: Sequence[Refund], wanted: Wanted) -> str | None:
    """Return why a refund cannot be asked for, in one word; None if it can."""
    given_minor = sum(one.amount_minor for one in refunds if one.state not in ENDS)
    reason = why_not(debit, stray=wanted.source is Account.BANK)
    if reason is None and given_minor + wanted.amount_minor > debit.amount_minor:
        return "more_than_taken"
    if reason is None and wanted.source is None:
        return "nothing_to_give_back"
    return reason


def hindrance(refund: Refund, debit: Debit) -> str | None:
    """Return why a refund that was asked for cannot go on now, in one word; None if it can."""
    return why_not(debit, stray=refund.source is Account.BANK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """What an account has been paid too much, in minor units, place by place."""

    bill_minor: int
    refund_due_minor: int
    credit_minor: int

    def source(self, cause: Cause, amount_minor: int) -> Account | None:
        """Return from where the money to give back is taken; None if nobody was paid too much.

        Where we took too much, it lies on the bill, or was moved from there. Else the money was
        for the bill, and the bill is owed again.
        """
        if cause not in {Cause.OVERCHARGED, Cause.DOUBLE_DEBIT}:
            return Account.RECEIVABLE
        places = (
            (Account.RECEIVABLE, self.bill_minor),
            (Account.REFUND_DUE, self.refund_due_minor),
            (Account.RESIDENT_CREDIT, self.credit_minor),
        )
        return next((account for account, minor in places if minor >= amount_minor), None)


def frozen_refund(refund: Refund, earlier: Sequence[Refund], bank_payment_id: str) -> bytes:
    """Return the bytes of the order to the bank: compact JSON, keys sorted, made once and kept.

    It says what goes back in all with this refund; the bank refuses it if it counts otherwise.
    """
    order = {
        "refunds": {
            "amount": refund.amount_minor,
            "links": {"payment": bank_payment_id},
            "metadata": {"intent": refund.key},
            "total_amount_confirmation": given_minor(refund, earlier) + refund.amount_minor,
        }
    }
    return json.dumps(order, sort_keys=True, separators=(",", ":")).encode()


def given_minor(refund: Refund, earlier: Sequence[Refund]) -> int:
    """Return what of the payment has gone back before a refund, as far as we or the bank know."""
    if refund.counted_minor is not None:
        return refund.counted_minor
    return sum(
        one.amount_minor
        for one in earlier
        if one.bank_refund_id is not None and one.state not in _NOT_COUNTED
    )


def said_minor(refund: Refund) -> int:
    """Return what a recorded refund says goes back in all."""
    assert refund.body is not None, "what was recorded was frozen"
    return int(json.loads(refund.body)["refunds"]["total_amount_confirmation"])


def is_our_refund(refund: Refund, found: BankRefund, bank_payment_id: str) -> bool:
    """Tell whether a refund at the bank is what this one ordered, in every respect we fixed."""
    return (
        found.amount_minor == refund.amount_minor
        and found.currency == refund.currency
        and found.payment_id == bank_payment_id
        and found.intent == refund.key
    )
