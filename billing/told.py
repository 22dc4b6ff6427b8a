"""What a resident is told when a debit or a refund takes a step.

    confirmed, settled, reconciled     a receipt, if the last word was not that the money was taken
    failed, charged_back and the like  a correction, if it was
    held                               why, and what can be done
    retry_due                          from which day the bill is asked for again
    failed, and the bank asks again    that the bank asks again by itself
    exhausted                          that nothing more is asked, and why
    planned                            the notice (asked for by announcing, which waits for it)

What was said last decides, not the step: the bank skips steps and goes back, news comes twice and
in any order, and still a receipt follows a receipt only over a correction. The names of receipts
and corrections count, so the same one cannot be written twice.
"""

from typing import Final

from billing.debit import FINAL, TAKEN, Debit, State
from billing.message import Kind, Message
from billing.refund import Refund, RefundState
from billing.turn import BANK_RETRIES

# What a resident hears of a refund; the steps between are ours and the bank's.
_TOLD_REFUNDS: Final = frozenset(
    {
        RefundState.REQUESTED,
        RefundState.PAID,
        RefundState.BOUNCED,
        RefundState.RETURNED,
        RefundState.REFUSED,
    }
)


def step_message(
    before: Debit, after: Debit, *, step_no: int, receipts: int, corrections: int
) -> Message | None:
    """Return what a step of a debit tells, after so many receipts and corrections; None: nothing.

    ``step_no`` is the number of the step in the debit's own list.
    """
    kind = _kind(before, after, believed=receipts > corrections)
    match kind:
        case None:
            return None
        case Kind.RECEIPT:
            return _message(after, kind, receipts + 1)
        case Kind.CORRECTION:
            return _message(after, kind, receipts)
        case Kind.FAILED:
            return _message(after, kind, 1)
        case _:
            return _message(after, kind, step_no)


def _kind(before: Debit, after: Debit, *, believed: bool) -> Kind | None:
    state, kind = after.state, None
    if state in TAKEN:
        kind = None if believed else Kind.RECEIPT
    elif state in FINAL and believed:
        kind = Kind.CORRECTION
    elif state is State.EXHAUSTED:
        kind = Kind.FAILED
    elif state is State.FAILED and after.reason == BANK_RETRIES:
        # Every other failure is decided on in its own transaction: another day, or none.
        kind = Kind.RETRY
    elif state is not before.state:
        kind = {State.HELD: Kind.HOLD, State.RETRY_DUE: Kind.RETRY}.get(state)
    return kind


def notice_message(debit: Debit, *, notices: int) -> Message:
    """Return the notice of a planned debit; another amount or day is another notice.

    ``notices`` counts what came before: notices that counted, and holds. A debit that was held back
    and freed is announced afresh, even where amount and day are the same again.
    """
    name = f"{notices + 1}-{debit.charge_on.isoformat()}-{debit.amount_minor}"
    return _message(debit, Kind.NOTICE, name)


def refund_message(refund: Refund) -> Message | None:
    """Return what a refund's state tells; None: nothing yet."""
    if refund.state not in _TOLD_REFUNDS:
        return None
    one = refund.refund_id
    state = refund.state.value
    return Message(
        account_id=one.account_id,
        message_id=f"refund/{one.bill_no}/{one.attempt}/{one.refund_no}/{state}",
        kind=Kind.REFUND,
        about={
            "bill_no": one.bill_no,
            "attempt": one.attempt,
            "amount_minor": refund.amount_minor,
            "currency": refund.currency,
            "cause": refund.cause.value,
            "state": state,
        },
    )


def receipts_of(debit: Debit) -> str:
    """Return how the names of a debit's receipts begin."""
    return f"{Kind.RECEIPT}/{debit.bill_no}/{debit.attempt}/"


def corrections_of(debit: Debit) -> str:
    """Return how the names of a debit's corrections begin."""
    return f"{Kind.CORRECTION}/{debit.bill_no}/{debit.attempt}/"


def _message(debit: Debit, kind: Kind, name: int | str) -> Message:
    return Message(
        account_id=debit.account_id,
        message_id=f"{kind}/{debit.bill_no}/{debit.attempt}/{name}",
        kind=kind,
        about={
            "bill_no": debit.bill_no,
            "attempt": debit.attempt,
            "mandate_id": debit.mandate_id,
            "amount_minor": debit.amount_minor,
            "currency": debit.currency,
            "charge_on": debit.charge_on.isoformat(),
            "reason": debit.reason,
            "retry_on": _retry_on(debit),
        },
    )


def _retry_on(debit: Debit) -> str | None:
    """Return from which day we ask again; a day of an earlier failure is over."""
    if debit.state is not State.RETRY_DUE or debit.retry_on is None:
        return None
    return debit.retry_on.isoformat()
