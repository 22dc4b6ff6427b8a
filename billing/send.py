"""Sending: give each recorded order to the bank, and never a second one for the same debit.

    claim   lock a few debits, lease them, commit                   (our transaction)
    ask     the frozen bytes, under the debit's own key             (no transaction)
    keep    what the bank answered, or that we do not know          (our transaction)

Each worker asks for one debit at a time; what is answered within a moment is written down together.
A process may die between any two of these: the lease runs out, and the next one asks again with the
same key and the same bytes. Two that ask at once do no harm for the same reason. Once the resident
has withdrawn, or the bank may have forgotten the key, nothing is sent any more: we only look. So it
is while the whole run is stopped (``billing/breaker.py``).
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

import structlog

from billing.ask import NOT_ASKED, Order, Outcome, SendBank, ask, look, unasked
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
from billing.refund_order import Asked
from billing.retry import FallDesk, fall_through
from billing.together import together

log = structlog.get_logger()

# More at once only makes the bank say "too many requests".
WORKERS: Final = 8
# What the bank answers within so many seconds is written down in one transaction.
TOGETHER_S: Final = 0.01
UNWRITTEN_MAX: Final = 4 * WORKERS
# Longer than the slowest question to the bank can take, its read-back included.
LEASE: Final = timedelta(minutes=5)


class SendDesk(FallDesk, Protocol):
    """What sending needs inside one transaction."""

    async def claim_debits(self, *, at: datetime, limit: int) -> list[Claim]:
        """Lock debits that are ready to be sent."""

    async def lock_debits(self, debit_ids: Sequence[DebitId]) -> list[Debit]:
        """Lock debits, each after the other in the order of their names."""

    async def payment_holders(
        self, named: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], DebitId]:
        """Return which debits go by an account's names of payments already."""

    async def other_alive(self, debit_id: DebitId) -> Debit | None:
        """Lock another attempt for the same bill that may still take money."""

    async def save_debits(self, steps: Sequence[tuple[Debit, Debit]]) -> None:
        """Write locked debits back, each one step on, from before to after."""

    async def ask_stray(self, debit: Debit, *, asked_by: str, at: datetime) -> Asked:
        """Ask for all of a debit to go back that the bank took although we had given it up."""


class SendStore(Protocol):
    """Where debits wait to be sent."""

    def begin(self) -> AbstractAsyncContextManager[SendDesk]:
        """Open one transaction."""


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


class _Answer(NamedTuple):
    """What became of an order, to be written down."""

    order: Order
    outcome: Outcome

    @property
    def named(self) -> tuple[str, str] | None:
        """Return whose payment the bank has named; None if it has named none."""
        payment = self.outcome.payment
        return None if payment is None else (self.order.debit.account_id, payment.payment_id)


class _Batch:
    """What is leased, asked for and written down side by side, and what came of it."""

    def __init__(self, store: SendStore, *, at: datetime, limit: int) -> None:
        self.done: Counter[str] = Counter()
        self._store = store
        self._at = at
        self.left = limit
        self.workers = self._asking = min(WORKERS, limit)
        self._stopped = False
        # None says that there will be no more; who is too fast waits for who is too slow. So what
        # is leased waits for two answers of the bank at most.
        self._leased: asyncio.Queue[Order | None] = asyncio.Queue(WORKERS)
        self._answers: asyncio.Queue[_Answer | None] = asyncio.Queue(UNWRITTEN_MAX)

    async def claim(self) -> list[Order]:
        """Lease the next few, and return those that are to be asked for."""
        claimed = await _claim(self._store, at=self._at, limit=min(WORKERS, self.left))
        self.left = max(self.left - len(claimed), 0) if claimed else 0
        orders = [order for order in claimed if order.debit.state is not State.CANCELLED]
        if len(orders) < len(claimed):
            self.done["cancelled"] += len(claimed) - len(orders)
        return orders

    async def lease(self, orders: list[Order]) -> None:
        """Lease ahead of the workers until there is nothing left, or the bank has had enough."""
        while orders or self.left > 0:
            for order in orders:
                await self._leased.put(order)
            orders = await self.claim() if self.left > 0 else []
        for _ in range(self.workers):
            await self._leased.put(None)

    async def work(self, bank: SendBank) -> None:
        """Ask for one debit after the other; once the bank has had enough, only give back."""
        while (order := await self._leased.get()) is not None:
            if self._stopped:
                outcome = unasked(order)
            else:
                asked = ask if order.post else look
                outcome = await asked(bank, order, at=self._at)
            self._stopped = self._stopped or outcome.stop
            self.left = 0 if self._stopped else self.left
            await self._answers.put(_Answer(order, outcome))
        self._asking -= 1
        if self._asking == 0:
            await self._answers.put(None)

    async def write_down(self) -> None:
        """Write outcomes down, those of a moment together, until the last one."""
        waiting: list[_Answer] = []
        ended = False
        while waiting or not ended:
            if not waiting:
                answer = await self._answers.get()
                ended = answer is None
                waiting += [] if answer is None else [answer]
            if not ended:
                await asyncio.sleep(TOGETHER_S)
            while not self._answers.empty():
                answer = self._answers.get_nowait()
                ended = ended or answer is None
                waiting += [] if answer is None else [answer]
            # One of each account: the debits of one account are locked in any order.
            first = {one.order.debit.account_id: one for one in reversed(waiting)}
            if first:
                await self._keep(list(first.values()))
            waiting = [one for one in waiting if one is not first[one.order.debit.account_id]]

    async def _keep(self, answers: list[_Answer]) -> None:
        async def work(some: Sequence[_Answer]) -> Counter[str]:
            return await _keep(self._store, some, at=self._at)

        for done in await together(answers, work, name=lambda one: one.order.debit.key):
            self.done += done


async def send(*, store: SendStore, bank: SendBank, at: datetime, limit: int) -> SendCounts:
    """Send up to ``limit`` debits, a few at a time; stop early if the bank wants to be left alone.

    Whatever the bank or the network does is an outcome, so nothing is raised for it.
    """
    batch = _Batch(store, at=at, limit=limit)
    orders = await batch.claim()
    if orders or batch.left > 0:
        async with asyncio.TaskGroup() as group:
            group.create_task(batch.write_down())
            group.create_task(batch.lease(orders))
            for _ in range(batch.workers):
                group.create_task(batch.work(bank))
    counts = SendCounts(**batch.done)
    if batch.done:
        log.info("send.done", **batch.done)
    return counts


async def _claim(store: SendStore, *, at: datetime, limit: int) -> list[Order]:
    async with store.begin() as desk:
        claims = await desk.claim_debits(at=at, limit=limit)
        lost = [
            (claim.debit, moved(claim.debit, Event.LOSE, at=at, reason="lease_lost"))
            for claim in claims
            if claim.debit.state is State.SENDING
        ]
        if lost:
            await desk.save_debits(lost)
        found = {after.debit_id: after for _, after in lost}
        now = [found.get(claim.debit.debit_id, claim.debit) for claim in claims]
        orders = [_ordered(claim, one, at) for claim, one in zip(claims, now, strict=True)]
        if orders:
            await desk.save_debits(
                [(one, order.debit) for one, order in zip(now, orders, strict=True)]
            )
        return orders


def _ordered(claim: Claim, debit: Debit, at: datetime) -> Order:
    """Return a claimed debit as it is leased, or given up where nobody wants it any more."""
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
    return Order(
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


async def _keep(store: SendStore, answers: Sequence[_Answer], *, at: datetime) -> Counter[str]:
    """Write outcomes down, and return the names of their counts.

    Good news is kept whenever it comes. Anything else counts only while the lease is ours: who
    was overtaken knows less than whoever overtook him.
    """
    done: Counter[str] = Counter()
    async with store.begin() as desk:
        locked = await desk.lock_debits([order.debit.debit_id for order, _ in answers])
        debits = {one.debit_id: one for one in locked}
        named = [one.named for one in answers if one.named]
        holders = await desk.payment_holders(named) if named else {}
        steps: list[tuple[Debit, Debit]] = []
        for answer in answers:
            order, outcome = answer
            debit = debits[order.debit.debit_id]
            if answer.named and holders.get(answer.named, debit.debit_id) != debit.debit_id:
                # The bank's name for it stands on another debit of the account: one of them lies.
                log.error("debit.named_twice", key=debit.key, payment=answer.named[1])
                outcome = Outcome(event=Event.QUESTION, reason="answer_mismatch")
            payment = outcome.payment
            if payment is not None and debit.state in FINAL and debit.bank_payment_id is None:
                await question(desk, debit, payment, at=at)
                done["review"] += 1
                continue
            after = _after(order, outcome, debit, at)
            if outcome.reason != NOT_ASKED:
                done[_count_name(outcome, after)] += 1
            if after is not None:
                steps.append((debit, after))
        if steps:
            await desk.save_debits(steps)
        for _, after in steps:
            if after.state is State.FAILED:
                await fall_through(desk, after, at=at)
    return done


def _after(order: Order, outcome: Outcome, debit: Debit, at: datetime) -> Debit | None:
    """Return a locked debit after an outcome; None if it is further on already."""
    if outcome.payment is not None:
        if debit.state not in {State.RECORDED, State.SENDING, State.UNKNOWN}:
            return None
        return moved(
            debit,
            Event.ACCEPT,
            at=at,
            bank_payment_id=outcome.payment.payment_id,
            lease_until=None,
        )
    if debit.state is not State.SENDING or debit.lease_until != order.debit.lease_until:
        return None
    sends = debit.sends - (not outcome.sent)
    return moved(
        debit,
        outcome.event,
        at=at,
        reason=outcome.reason,
        lease_until=None if outcome.wait is None else at + outcome.wait,
        sends=sends,
        first_sent_at=debit.first_sent_at if sends else None,
    )


def _count_name(outcome: Outcome, after: Debit | None) -> str:
    if outcome.payment is not None:
        return "accepted"
    if after is None:
        return "overtaken"
    names = {State.RECORDED: "not_executed", State.UNKNOWN: "unknown"}
    return names.get(after.state, str(after.state))
