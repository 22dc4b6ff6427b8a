"""Sending: give each recorded order to the bank, and never a second one for the same debit.

    claim   lock one debit, lease it, commit                        (our transaction)
    ask     the frozen bytes, under the debit's own key             (no transaction)
    keep    what the bank answered, or that we do not know          (our transaction)

A process may die between any two of these: the lease runs out, and the next one asks again with the
same key and the same bytes. Two that ask at once do no harm for the same reason. Once the resident
has withdrawn, or the bank may have forgotten the key, nothing is sent any more: we only look. So it
is while the whole run is stopped (``billing/breaker.py``).
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol, assert_never

import structlog

from billing.bank import (
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
from billing.debit import (
    FINAL,
    KEY_WINDOW,
    Claim,
    Debit,
    DebitId,
    Event,
    State,
    moved,
)
from billing.news import question
from billing.order import is_ours
from billing.refund_order import Asked
from billing.retry import FallDesk, fall_through

log = structlog.get_logger()

# More at once only makes the bank say "too many requests".
WORKERS: Final = 8
# Longer than the slowest question to the bank can take, its read-back included.
LEASE: Final = timedelta(minutes=5)
# How long to leave the bank alone after the first, second, ... answer that we did not hear.
UNKNOWN_WAITS: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 360))
# How long after "too busy" or "unreachable", unless the bank names a time itself.
BACK_OFF: Final = timedelta(minutes=1)
BACK_OFF_MAX: Final = timedelta(hours=1)
# The bank's lists may lag behind its orders; an order not listed by then was never made.
LISTED_AFTER: Final = timedelta(hours=1)
# Clocks differ: a payment may carry a time a little before we think we sent it.
CLOCK_SKEW: Final = timedelta(days=1)


class SendDesk(FallDesk, Protocol):
    """What sending needs inside one transaction."""

    async def claim_debit(self, *, at: datetime) -> Claim | None:
        """Lock one debit that is ready to be sent."""

    async def lock_debit(self, debit_id: DebitId) -> Debit | None:
        """Lock one debit."""

    async def other_alive(self, debit_id: DebitId) -> Debit | None:
        """Lock another attempt for the same bill that may still take money."""

    async def save_debit(self, before: Debit, after: Debit) -> None:
        """Write a locked debit back, one step on."""

    async def ask_stray(self, debit: Debit, *, asked_by: str, at: datetime) -> Asked:
        """Ask for all of a debit to go back that the bank took although we had given it up."""


class SendStore(Protocol):
    """Where debits wait to be sent."""

    def begin(self) -> AbstractAsyncContextManager[SendDesk]:
        """Open one transaction."""


class SendBank(Protocol):
    """What sending asks of the bank."""

    async def create_payment(self, body: bytes, key: str) -> Answer:
        """Give the bank an order; never raises for what the bank or the network does."""

    async def get_payment(self, payment_id: str) -> Payment | None:
        """Read a payment."""

    def list_payments(
        self, *, bank_mandate_id: str | None, created_from: datetime | None
    ) -> AsyncIterator[Payment]:
        """Read all payments under a mandate since an instant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendCounts:
    """What one batch of ``send`` did; ``overtaken`` answers came after somebody else's."""

    accepted: int = 0
    failed: int = 0
    unknown: int = 0
    not_executed: int = 0
    cancelled: int = 0
    review: int = 0
    overtaken: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """A leased debit; ``post`` says whether it may still be sent or only looked for.

    ``waits`` says for what one that may not be sent now waits, if it may be later.
    """

    debit: Debit
    bank_mandate_id: str
    post: bool
    wanted: bool
    waits: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What to keep: a payment that is ours, or the step to take instead."""

    event: Event
    reason: str | None = None
    payment: Payment | None = None
    wait: timedelta | None = None
    sent: bool = True
    stop: bool = False


class _Batch:
    """How much of the batch is left, and what it did so far; shared by its workers."""

    def __init__(self, limit: int) -> None:
        self.left = limit
        self.done: Counter[str] = Counter()

    def take(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def stop(self) -> None:
        self.left = 0


async def send(*, store: SendStore, bank: SendBank, at: datetime, limit: int) -> SendCounts:
    """Send up to ``limit`` debits, a few at a time; stop early if the bank wants to be left alone.

    Whatever the bank or the network does is an outcome, so nothing is raised for it.
    """
    batch = _Batch(limit)
    async with asyncio.TaskGroup() as group:
        for _ in range(min(WORKERS, limit)):
            group.create_task(_work(store, bank, batch, at=at))
    counts = SendCounts(**batch.done)
    if batch.done:
        log.info("send.done", **batch.done)
    return counts


async def _work(store: SendStore, bank: SendBank, batch: _Batch, *, at: datetime) -> None:
    while batch.take():
        order = await _claim(store, at=at)
        if order is None:
            return
        if order.debit.state is State.CANCELLED:
            batch.done["cancelled"] += 1
            continue
        outcome = await (_ask(bank, order, at=at) if order.post else _look(bank, order, at=at))
        if outcome.stop:
            batch.stop()
        batch.done[await _keep(store, order, outcome, at=at)] += 1


async def _claim(store: SendStore, *, at: datetime) -> _Order | None:
    async with store.begin() as desk:
        claim = await desk.claim_debit(at=at)
        if claim is None:
            return None
        debit = claim.debit
        if debit.state is State.SENDING:
            lost = moved(debit, Event.LOSE, at=at, reason="lease_lost")
            await desk.save_debit(debit, lost)
            debit = lost
        first = debit.first_sent_at
        in_time = first is None or at < first + KEY_WINDOW
        post = claim.wanted and not claim.frozen and not claim.stopped and in_time
        if not claim.wanted and debit.sends == 0:
            after = moved(debit, Event.CANCEL, at=at, reason="withdrawn", lease_until=None)
        else:
            after = moved(
                debit,
                Event.SEND,
                at=at,
                lease_until=at + LEASE,
                sends=debit.sends + post,
                first_sent_at=first or at,
            )
        await desk.save_debit(debit, after)
        return _Order(
            debit=after,
            bank_mandate_id=claim.bank_mandate_id,
            post=post,
            wanted=claim.wanted,
            waits=_waits(claim, in_time=in_time),
        )


def _waits(claim: Claim, *, in_time: bool) -> str | None:
    """Say for whom a debit that may not be sent now waits, though it could be later."""
    if claim.frozen:
        return "frozen"
    return "run_stopped" if claim.stopped and claim.wanted and in_time else None


async def _ask(bank: SendBank, order: _Order, *, at: datetime) -> _Outcome:
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
            wait = BACK_OFF if seconds is None else timedelta(seconds=seconds)
            unmade = debit.sends == 1 or await _never_made(bank, order, at=at)
            return _Outcome(
                event=Event.BACK_OFF if unmade else Event.LOSE,
                reason=reason,
                wait=min(wait, BACK_OFF_MAX),
                sent=False,
                stop=True,
            )
        case Unknown(reason=reason):
            return _lost(debit, reason)
        case Denied():
            return _Outcome(event=Event.QUESTION, reason="credentials", stop=True)
        case _ as impossible:
            assert_never(impossible)


async def _never_made(bank: SendBank, order: _Order, *, at: datetime) -> bool:
    """Tell whether the bank's list shows by now that no earlier send got through."""
    first = order.debit.first_sent_at
    if first is None or at < first + LISTED_AFTER:
        return False
    try:
        return await find_payment(bank, order.debit, order.bank_mandate_id) is None
    except BankError:
        return False


def _lost(debit: Debit, reason: str) -> _Outcome:
    wait = UNKNOWN_WAITS[min(max(debit.sends, 1), len(UNKNOWN_WAITS)) - 1]
    return _Outcome(event=Event.LOSE, reason=reason_word(reason), wait=wait)


def _compare(order: _Order, payment: Payment, *, mismatch: str) -> _Outcome:
    if is_ours(order.debit, payment, order.bank_mandate_id):
        return _Outcome(event=Event.ACCEPT, payment=payment)
    log.error("debit.mismatched", key=order.debit.key, payment=payment.payment_id)
    return _Outcome(event=Event.QUESTION, reason=mismatch)


async def _read(bank: SendBank, order: _Order, payment_id: str) -> _Outcome:
    """Compare what the bank made under our key before with what we ordered."""
    try:
        payment = await bank.get_payment(payment_id)
    except BankError as error:
        return _lost(order.debit, error.reason)
    if payment is None:
        return _Outcome(event=Event.QUESTION, reason="idempotency_mismatch")
    return _compare(order, payment, mismatch="idempotency_mismatch")


async def _rejected(bank: SendBank, order: _Order, answer: Rejected) -> _Outcome:
    """Believe a refusal, unless an earlier send may have got through: then look first."""
    reason = "charge_date_refused" if "charge_date" in answer.causes else reason_word(answer.reason)
    if order.debit.sends > 1:
        try:
            payment = await find_payment(bank, order.debit, order.bank_mandate_id)
        except BankError as error:
            return _lost(order.debit, error.reason)
        if payment is not None:
            return _compare(order, payment, mismatch="idempotency_mismatch")
    return _Outcome(event=Event.FAIL, reason=reason)


async def _look(bank: SendBank, order: _Order, *, at: datetime) -> _Outcome:
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
        return _Outcome(event=Event.QUESTION, reason="unresolved")
    if debit.first_sent_at is None or at < debit.first_sent_at + LISTED_AFTER:
        return _lost(debit, "not_listed_yet")
    return _Outcome(event=Event.CANCEL, reason="withdrawn")


async def find_payment(bank: SendBank, debit: Debit, bank_mandate_id: str) -> Payment | None:
    """Return the payment that the bank made for this debit, found by our key in its metadata.

    Raises:
        BankError: the bank does not let us see the whole list.
    """
    since = None if debit.first_sent_at is None else debit.first_sent_at - CLOCK_SKEW
    async for payment in bank.list_payments(bank_mandate_id=bank_mandate_id, created_from=since):
        if payment.intent == debit.key:
            return payment
    return None


async def _keep(store: SendStore, order: _Order, outcome: _Outcome, *, at: datetime) -> str:
    """Write the outcome down, and return the name of its count.

    Good news is kept whenever it comes. Anything else counts only while the lease is ours: who
    was overtaken knows less than whoever overtook him.
    """
    async with store.begin() as desk:
        debit = await desk.lock_debit(order.debit.debit_id)
        assert debit is not None, "debits are never removed"
        if outcome.payment is not None:
            return await _keep_payment(desk, debit, outcome.payment, at=at)
        if debit.state is not State.SENDING or debit.lease_until != order.debit.lease_until:
            return "overtaken"
        sends = debit.sends - (not outcome.sent)
        after = moved(
            debit,
            outcome.event,
            at=at,
            reason=outcome.reason,
            lease_until=None if outcome.wait is None else at + outcome.wait,
            sends=sends,
            first_sent_at=debit.first_sent_at if sends else None,
        )
        await desk.save_debit(debit, after)
        if after.state is State.FAILED:
            await fall_through(desk, after, at=at)
    names = {State.RECORDED: "not_executed", State.UNKNOWN: "unknown", State.FAILED: "failed"}
    return names.get(after.state, str(after.state))


async def _keep_payment(desk: SendDesk, debit: Debit, payment: Payment, *, at: datetime) -> str:
    if debit.state in FINAL and debit.bank_payment_id is None:
        await question(desk, debit, payment, at=at)
        return "review"
    if debit.state in {State.RECORDED, State.SENDING, State.UNKNOWN}:
        after = moved(
            debit,
            Event.ACCEPT,
            at=at,
            bank_payment_id=payment.payment_id,
            lease_until=None,
        )
        await desk.save_debit(debit, after)
    return "accepted"
