"""Paying back: give each recorded refund to the bank, and never a second one for the same.

    claim   lock one refund, lease it, commit                       (our transaction)
    ask     the frozen bytes, under the refund's own key            (no transaction)
    keep    what the bank answered, or that we do not know          (our transaction)

As in billing/send.py a process may die between any two of these, and two may ask at once: the key
and the bytes are the same. Once the money is not ours any more, or the bank may have forgotten the
key, nothing is sent: we only look.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol, assert_never

import structlog

from billing.ask import back_off, patience
from billing.bank import (
    LISTED_AFTER,
    BankError,
    BankRefund,
    Conflict,
    Denied,
    Made,
    NotExecuted,
    RefundAnswer,
    RefundStatus,
    Rejected,
    Unknown,
    reason_word,
)
from billing.debit import KEY_WINDOW, Debit, DebitId
from billing.refund import (
    ENDS,
    Cause,
    Refund,
    RefundClaim,
    RefundEvent,
    RefundId,
    RefundState,
    refund_of_key,
    refunded,
)
from billing.refund_order import Asked, hindrance, is_our_refund, said_minor
from billing.send import LEASE

log = structlog.get_logger()

# The bank counts otherwise than we what has gone back of the payment already.
MISCOUNTED: Final = "total_amount_confirmation_invalid"
# What the bank does not count as given back.
_NOT_GIVEN: Final = frozenset({RefundStatus.CANCELLED, RefundStatus.BOUNCED})


class PayBackDesk(Protocol):
    """What paying back needs inside one transaction."""

    async def claim_refund(self, *, at: datetime) -> RefundClaim | None:
        """Lock one refund that is ready to be sent."""

    async def lock_refund(self, refund_id: RefundId) -> Refund | None:
        """Lock one refund."""

    async def save_refund(self, before: Refund, after: Refund) -> None:
        """Write a locked refund back, one step on."""

    async def ask_refund(  # noqa: PLR0913 - each argument is a fact of its own
        self,
        debit_id: DebitId,
        amount_minor: int,
        cause: Cause,
        *,
        asked_by: str,
        at: datetime,
        because: str | None = None,
        counted_minor: int | None = None,
    ) -> Asked:
        """Ask for money of a debit to be given back."""


class PayBackStore(Protocol):
    """Where refunds wait to be sent."""

    def begin(self) -> AbstractAsyncContextManager[PayBackDesk]:
        """Open one transaction."""


class PayBackBank(Protocol):
    """What paying back asks of the bank."""

    async def create_refund(self, body: bytes, key: str) -> RefundAnswer:
        """Give the bank an order; never raises for what the bank or the network does."""

    async def get_refund(self, refund_id: str) -> BankRefund | None:
        """Read a refund."""

    def list_refunds(self, *, payment_id: str | None) -> AsyncIterator[BankRefund]:
        """Read all refunds of a payment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """A leased refund; ``post`` says whether it may still be sent or only looked for."""

    refund: Refund
    debit: Debit
    post: bool

    @property
    def payment_id(self) -> str:
        """Return the payment whose money goes back."""
        return self.debit.bank_payment_id or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What to keep: a refund that is ours, or the step to take instead.

    ``counted_minor`` is what the bank counts as given back; then another order is made.
    """

    event: RefundEvent
    reason: str | None = None
    found: BankRefund | None = None
    wait: timedelta | None = None
    sent: bool = True
    stop: bool = False
    counted_minor: int | None = None


async def pay_back(
    *, store: PayBackStore, bank: PayBackBank, at: datetime, limit: int
) -> Counter[str]:
    """Send up to ``limit`` refunds; stop early if the bank wants to be left alone.

    Whatever the bank or the network does is an outcome, so nothing is raised for it.
    """
    done: Counter[str] = Counter()
    for _ in range(limit):
        order = await _claim(store, at=at)
        if order is None:
            break
        if order.refund.state is RefundState.REFUSED:
            done["refused"] += 1
            continue
        outcome = await (_ask(bank, order) if order.post else _look(bank, order, at=at))
        done[await _keep(store, order, outcome, at=at)] += 1
        if outcome.stop:
            break
    return done


async def _claim(store: PayBackStore, *, at: datetime) -> _Order | None:
    async with store.begin() as desk:
        claim = await desk.claim_refund(at=at)
        if claim is None:
            return None
        refund, debit = claim.refund, claim.debit
        if refund.state is RefundState.SENDING:
            lost = refunded(refund, RefundEvent.LOSE, at=at, reason="lease_lost")
            await desk.save_refund(refund, lost)
            refund = lost
        first, because = refund.first_sent_at, hindrance(refund, debit)
        post = because is None and (first is None or at < first + KEY_WINDOW)
        if because is not None and refund.state is RefundState.RECORDED:
            after = refunded(refund, RefundEvent.REFUSE, at=at, reason=because, lease_until=None)
        else:
            after = refunded(
                refund,
                RefundEvent.SEND,
                at=at,
                lease_until=at + LEASE,
                sends=refund.sends + post,
                first_sent_at=first or at,
            )
        await desk.save_refund(refund, after)
        return _Order(refund=after, debit=debit, post=post)


async def _ask(bank: PayBackBank, order: _Order) -> _Outcome:
    """Ask the bank, and say what its answer means for the refund."""
    refund = order.refund
    assert refund.body is not None, "what is sent was frozen before"
    assert refund.idempotency_key is not None, "what is sent has its key"
    answer = await bank.create_refund(refund.body, refund.idempotency_key)
    match answer:
        case Made(refund=found):
            return _compare(order, found, mismatch="answer_mismatch")
        case Conflict(payment_id=refund_id):
            return await _read(bank, order, refund_id)
        case Rejected():
            return await _rejected(bank, order, answer)
        case NotExecuted(reason=reason, retry_after_s=seconds):
            earlier = refund.sends > 1
            return _Outcome(
                event=RefundEvent.LOSE if earlier else RefundEvent.BACK_OFF,
                reason=reason,
                wait=back_off(seconds),
                sent=False,
                stop=True,
            )
        case Unknown(reason=reason):
            return _lost(refund, reason)
        case Denied():
            return _Outcome(event=RefundEvent.QUESTION, reason="credentials", stop=True)
        case _ as impossible:
            assert_never(impossible)


def _lost(refund: Refund, reason: str) -> _Outcome:
    return _Outcome(event=RefundEvent.LOSE, reason=reason_word(reason), wait=patience(refund.sends))


def _compare(order: _Order, found: BankRefund, *, mismatch: str) -> _Outcome:
    if is_our_refund(order.refund, found, order.payment_id):
        return _Outcome(event=RefundEvent.ACCEPT, found=found)
    log.error("refund.mismatched", key=order.refund.key, refund=found.refund_id)
    return _Outcome(event=RefundEvent.QUESTION, reason=mismatch)


async def _read(bank: PayBackBank, order: _Order, refund_id: str) -> _Outcome:
    """Compare what the bank made under our key before with what we ordered."""
    try:
        found = await bank.get_refund(refund_id)
    except BankError as error:
        return _lost(order.refund, error.reason)
    if found is None:
        return _Outcome(event=RefundEvent.QUESTION, reason="idempotency_mismatch")
    return _compare(order, found, mismatch="idempotency_mismatch")


async def _rejected(bank: PayBackBank, order: _Order, answer: Rejected) -> _Outcome:
    """Believe a refusal, unless an earlier send may have got through: then look first."""
    reason = reason_word(answer.reason)
    if order.refund.sends > 1 or reason == MISCOUNTED:
        try:
            listed = [one async for one in bank.list_refunds(payment_id=order.payment_id)]
        except BankError as error:
            return _lost(order.refund, error.reason)
        for found in listed:
            if found.intent == order.refund.key:
                return _compare(order, found, mismatch="idempotency_mismatch")
        if reason == MISCOUNTED:
            return _recounted(order, listed)
    return _Outcome(event=RefundEvent.REFUSE, reason=reason)


def _recounted(order: _Order, listed: list[BankRefund]) -> _Outcome:
    """Decide what to do where the bank counts otherwise than we: its list says what it counts.

    Where all of it is ours another order is made that says so. A refund there that is not ours, or
    a sum that we had said already, needs a person.
    """
    debit_id = order.refund.refund_id.debit_id
    names = [refund_of_key(one.intent) for one in listed]
    if any(name is None or name.debit_id != debit_id for name in names):
        return _Outcome(event=RefundEvent.QUESTION, reason="foreign_refund")
    counted_minor = sum(one.amount_minor for one in listed if one.status not in _NOT_GIVEN)
    if counted_minor + order.refund.amount_minor == said_minor(order.refund):
        return _Outcome(event=RefundEvent.QUESTION, reason=MISCOUNTED)
    return _Outcome(
        event=RefundEvent.REFUSE, reason="counted_otherwise", counted_minor=counted_minor
    )


async def _look(bank: PayBackBank, order: _Order, *, at: datetime) -> _Outcome:
    """Find out by reading alone whether an earlier send got through."""
    refund = order.refund
    try:
        async for found in bank.list_refunds(payment_id=order.payment_id):
            if found.intent == refund.key:
                return _compare(order, found, mismatch="idempotency_mismatch")
    except BankError as error:
        return _lost(refund, error.reason)
    because = hindrance(refund, order.debit)
    if because is None:
        return _Outcome(event=RefundEvent.QUESTION, reason="unresolved")
    if refund.first_sent_at is None or at < refund.first_sent_at + LISTED_AFTER:
        return _lost(refund, "not_listed_yet")
    return _Outcome(event=RefundEvent.REFUSE, reason=because)


async def _keep(store: PayBackStore, order: _Order, outcome: _Outcome, *, at: datetime) -> str:
    """Write the outcome down, and return the name of its count.

    Good news is kept whenever it comes. Anything else counts only while the lease is ours.
    """
    async with store.begin() as desk:
        refund = await desk.lock_refund(order.refund.refund_id)
        assert refund is not None, "refunds are never removed"
        if outcome.found is not None:
            return await _keep_found(desk, refund, outcome.found, at=at)
        leased = refund.lease_until == order.refund.lease_until
        if refund.state is not RefundState.SENDING or not leased:
            return "overtaken"
        sends = refund.sends - (not outcome.sent)
        after = refunded(
            refund,
            outcome.event,
            at=at,
            reason=outcome.reason,
            lease_until=None if outcome.wait is None else at + outcome.wait,
            sends=sends,
            first_sent_at=refund.first_sent_at if sends else None,
        )
        await desk.save_refund(refund, after)
        if outcome.counted_minor is not None:
            await desk.ask_refund(
                refund.refund_id.debit_id,
                refund.amount_minor,
                refund.cause,
                asked_by=refund.asked_by,
                because=refund.because,
                counted_minor=outcome.counted_minor,
                at=at,
            )
    names = {RefundState.RECORDED: "not_executed"}
    return names.get(after.state, str(after.state))


async def _keep_found(desk: PayBackDesk, refund: Refund, found: BankRefund, *, at: datetime) -> str:
    sendable = {RefundState.RECORDED, RefundState.SENDING, RefundState.UNKNOWN}
    contradicted = refund.state in ENDS and refund.bank_refund_id is None
    if refund.state not in sendable and not contradicted:
        return "accepted"
    after = refunded(
        refund,
        RefundEvent.QUESTION if contradicted else RefundEvent.ACCEPT,
        at=at,
        reason="contradiction" if contradicted else None,
        bank_refund_id=found.refund_id,
        lease_until=None,
    )
    await desk.save_refund(refund, after)
    return "review" if contradicted else "accepted"
