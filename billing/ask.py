"""Asking the bank about one leased debit, and what its answer means for the debit.

    ask     give it the frozen bytes under the debit's own key
    look    only find out whether an earlier send got through

Neither writes anything, and nothing is raised for what the bank or the network does: whatever comes
back is an outcome, to be kept by ``billing/send.py``.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol, assert_never

import structlog

from billing.bank import (
    LISTED_AFTER,
    Accepted,
    Answer,
    BankError,
    Conflict,
    Denied,
    NotExecuted,
    Payment,
    Rejected,
    Unknown,
    reason_word,
)
from billing.debit import Debit, Event
from billing.order import is_ours

log = structlog.get_logger()

# Why something that was leased goes back although nobody asked the bank.
NOT_ASKED: Final = "not_asked"
# How long to leave the bank alone after the first, second, ... answer that we did not hear.
UNKNOWN_WAITS: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 360))
# How long after "too busy" or "unreachable", unless the bank names a time itself.
BACK_OFF: Final = timedelta(minutes=1)
BACK_OFF_MAX: Final = timedelta(hours=1)
# Clocks differ: a payment may carry a time a little before we think we sent it.
CLOCK_SKEW: Final = timedelta(days=1)


class LookBank(Protocol):
    """What looking for a payment asks of the bank; may raise BankError."""

    def list_payments(
        self, *, bank_mandate_id: str | None, created_from: datetime | None
    ) -> AsyncIterator[Payment]:
        """Read all payments under a mandate since an instant."""


class SendBank(LookBank, Protocol):
    """What sending asks of the bank."""

    async def create_payment(self, body: bytes, key: str) -> Answer:
        """Give the bank an order; never raises for what the bank or the network does."""

    async def get_payment(self, payment_id: str) -> Payment | None:
        """Read a payment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A leased debit; ``post`` says whether it may still be sent or only looked for.

    ``waits`` says for what one that may not be sent now waits, if it may be later.
    """

    debit: Debit
    bank_mandate_id: str
    post: bool
    wanted: bool
    waits: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What to keep: a payment that is ours, or the step to take instead."""

    event: Event
    reason: str | None = None
    payment: Payment | None = None
    wait: timedelta | None = None
    sent: bool = True
    stop: bool = False


async def ask(bank: SendBank, order: Order, *, at: datetime) -> Outcome:
    """Ask the bank, and say what its answer means for the debit."""
    debit = order.debit
    assert debit.body is not None, "what is sent was frozen before"
    assert debit.idempotency_key is not None, "what is sent has its key"
    answer = await bank.create_payment(debit.body, debit.idempotency_key)
    match answer:
        case Accepted(payment=payment):
            return _compare(order, payment, mismatch="answer_mismatch")
        case Conflict(payment_id=payment_id):
            return await _read(bank, order, payment_id)
        case Rejected():
            return await _rejected(bank, order, answer)
        case NotExecuted(reason=reason, retry_after_s=seconds):
            unmade = debit.sends == 1 or await _never_made(bank, order, at=at)
            return Outcome(
                event=Event.BACK_OFF if unmade else Event.LOSE,
                reason=reason,
                wait=back_off(seconds),
                sent=False,
                stop=True,
            )
        case Unknown(reason=reason):
            return _lost(debit, reason)
        case Denied():
            return Outcome(event=Event.QUESTION, reason="credentials", stop=True)
        case _ as impossible:
            assert_never(impossible)


async def _never_made(bank: SendBank, order: Order, *, at: datetime) -> bool:
    """Tell whether the bank's list shows by now that no earlier send got through."""
    first = order.debit.first_sent_at
    if first is None or at < first + LISTED_AFTER:
        return False
    try:
        return await find_payment(bank, order.debit, order.bank_mandate_id) is None
    except BankError:
        return False


def unasked(order: Order) -> Outcome:
    """Return what gives an order back that was claimed and not asked for."""
    fresh = order.post and order.debit.sends == 1
    event = Event.BACK_OFF if fresh else Event.LOSE
    return Outcome(event=event, reason=NOT_ASKED, sent=not order.post)


def back_off(retry_after_s: int | None) -> timedelta:
    """Return how long to leave a bank alone that did nothing, as it wishes if it has said so."""
    if retry_after_s is None:
        return BACK_OFF
    return min(timedelta(seconds=retry_after_s), BACK_OFF_MAX)


def patience(sends: int) -> timedelta:
    """Return how long to wait after the last of so many sends of which we heard nothing."""
    return UNKNOWN_WAITS[min(max(sends, 1), len(UNKNOWN_WAITS)) - 1]


def _lost(debit: Debit, reason: str) -> Outcome:
    return Outcome(event=Event.LOSE, reason=reason_word(reason), wait=patience(debit.sends))


def _compare(order: Order, payment: Payment, *, mismatch: str) -> Outcome:
    if is_ours(order.debit, payment, order.bank_mandate_id):
        return Outcome(event=Event.ACCEPT, payment=payment)
    log.error("debit.mismatched", key=order.debit.key, payment=payment.payment_id)
    return Outcome(event=Event.QUESTION, reason=mismatch)


async def _read(bank: SendBank, order: Order, payment_id: str) -> Outcome:
    """Compare what the bank made under our key before with what we ordered."""
    try:
        payment = await bank.get_payment(payment_id)
    except BankError as error:
        return _lost(order.debit, error.reason)
    if payment is None:
        return Outcome(event=Event.QUESTION, reason="idempotency_mismatch")
    return _compare(order, payment, mismatch="idempotency_mismatch")


async def _rejected(bank: SendBank, order: Order, answer: Rejected) -> Outcome:
    """Believe a refusal, unless an earlier send may have got through: then look first."""
    reason = "charge_date_refused" if "charge_date" in answer.causes else reason_word(answer.reason)
    if order.debit.sends > 1:
        try:
            payment = await find_payment(bank, order.debit, order.bank_mandate_id)
        except BankError as error:
            return _lost(order.debit, error.reason)
        if payment is not None:
            return _compare(order, payment, mismatch="idempotency_mismatch")
    return Outcome(event=Event.FAIL, reason=reason)


async def look(bank: SendBank, order: Order, *, at: datetime) -> Outcome:
    """Find out by reading alone whether an earlier send got through."""
    debit = order.debit
    try:
        payment = await find_payment(bank, debit, order.bank_mandate_id)
    except BankError as error:
        return _lost(debit, error.reason)
    if payment is not None:
        return _compare(order, payment, mismatch="idempotency_mismatch")
    if order.waits is not None:
        return _lost(debit, order.waits)
    if order.wanted:
        return Outcome(event=Event.QUESTION, reason="unresolved")
    if debit.first_sent_at is None or at < debit.first_sent_at + LISTED_AFTER:
        return _lost(debit, "not_listed_yet")
    return Outcome(event=Event.CANCEL, reason="withdrawn")


async def find_payment(bank: LookBank, debit: Debit, bank_mandate_id: str) -> Payment | None:
    """Return the payment that the bank made for this debit, found by our key in its metadata.

    Raises:
        BankError: the bank does not let us see the whole list.
    """
    async for payment in find_payments(bank, debit, bank_mandate_id):
        return payment
    return None


async def find_payments(
    bank: LookBank, debit: Debit, bank_mandate_id: str
) -> AsyncIterator[Payment]:
    """Go through all payments with our key for this debit; one is what a bank should make.

    Raises:
        BankError: the bank does not let us see the whole list.
    """
    since = None if debit.first_sent_at is None else debit.first_sent_at - CLOCK_SKEW
    async for payment in bank.list_payments(bank_mandate_id=bank_mandate_id, created_from=since):
        if payment.intent == debit.key:
            yield payment
