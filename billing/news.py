"""Taking news: what the bank says of a payment is merged into its debit, forward only.

Whoever asked (follow, reread, withdraw) hands in the payment as it was just read; here it is
compared, merged, booked in the ledger and, where it contradicts an end we believed in, put before
a person.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime
from typing import Final, Protocol, TypeVar

import structlog

from billing.bank import TAKEN_BY_BANK, BankError, BankEvent, EventPage, Payment, PaymentStatus
from billing.debit import (
    BEFORE_BANK,
    FINAL,
    NEXT,
    TAKEN,
    Debit,
    DebitId,
    Event,
    State,
    moved,
)
from billing.enrol import cancel_unsent
from billing.link import LinkDesk
from billing.mandate import ENDED, Enrolment, Mandate
from billing.order import FrozenOrder, frozen_order, is_ours
from billing.refund import Cause
from billing.refund_order import Asked
from billing.retry import FallDesk, fall_through
from billing.turn import NO_WORD, RESTORED, Word, steps, word_of

log = structlog.get_logger()

# The bank hands out at most this many events at once.
PAGE_MAX: Final = 500
# Questions to the bank under way at once; more only makes it say "too many requests".
WIDTH: Final = 8
# The resident had said no, and the bank could not stop it any more.
TOO_LATE: Final = "cancel_too_late"
# Who asks for money to be given back by itself.
ASKED_BY: Final = "the service"
# After these nothing more is asked of the account until its owner, or an heir, says so.
STOPPING_CAUSES: Final = frozenset({"payer_deceased", "authorisation_disputed"})
# With these the bank has cut a payout for money that it had paid out before and took back.
RECOVERED_ACTIONS: Final = frozenset({"late_failure_settled", "chargeback_settled"})

T = TypeVar("T")
U = TypeVar("U")


class QuestionDesk(Protocol):
    """What stopping a debit for a person needs inside one transaction."""

    async def payment_holders(
        self, named: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], DebitId]:
        """Return which debits go by an account's names of payments already."""

    async def other_alive(self, debit_id: DebitId) -> Debit | None:
        """Lock another attempt for the same bill that may still take money."""

    async def save_debit(self, before: Debit, after: Debit) -> None:
        """Write a locked debit back, one step on."""

    async def ask_stray(self, debit: Debit, *, asked_by: str, at: datetime) -> Asked:
        """Ask for all of a debit to go back that the bank took although we had given it up."""


class RefundDesk(Protocol):
    """What giving money back needs inside one transaction."""

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
        """Ask for money of a debit to be given back; the same again is one."""


class NewsDesk(LinkDesk, QuestionDesk, FallDesk, RefundDesk, Protocol):
    """What taking news needs inside one transaction."""

    async def lock_debit(self, debit_id: DebitId) -> Debit | None:
        """Lock one debit."""

    async def touch_debit(self, debit_id: DebitId, *, at: datetime) -> None:
        """Note that we looked and found nothing new."""

    async def is_disputed(self, debit_id: DebitId) -> bool:
        """Say whether the bill of a debit is in dispute."""

    async def recover(self, debit: Debit, *, at: datetime) -> bool:
        """Let a locked debit's disputed money be owed again; say whether there was any."""

    async def first_time(self, event_id: str, *, resource: str, action: str, at: datetime) -> bool:
        """Keep an event as dealt with; False if it was dealt with before."""


class NewsStore(Protocol):
    """Where debits are kept."""

    def begin(self) -> AbstractAsyncContextManager[NewsDesk]:
        """Open one transaction."""


class NewsBank(Protocol):
    """What the bank is asked about a failed payment; may raise BankError."""

    async def list_events(
        self,
        *,
        before: str | None = None,
        after: str | None = None,
        payment_id: str | None = None,
        limit: int,
    ) -> EventPage:
        """Read a page of events."""


async def each(items: Iterable[T], ask: Callable[[T], Awaitable[U]]) -> list[U | BankError]:
    """Ask the bank about each item, WIDTH at a time; an error takes the place of its answer."""
    gate = asyncio.Semaphore(WIDTH)

    async def one(item: T) -> U | BankError:
        async with gate:
            try:
                return await ask(item)
            except BankError as error:
                return error

    return await asyncio.gather(*(one(item) for item in items))


async def why(bank: NewsBank, payment: Payment, debit: Debit | None = None) -> Word:
    """Return why a payment failed, from its own events; unknown_cause is never asked for again.

    Where the debit it belongs to has ended, the bank is asked whether the payment turned back.

    Raises:
        BankError: the bank does not say; the news is better taken later than without its cause.
    """
    failed = payment.status in {PaymentStatus.FAILED, PaymentStatus.CHARGED_BACK}
    if not failed and (debit is None or debit.state not in FINAL):
        return NO_WORD
    page = await bank.list_events(payment_id=payment.payment_id, limit=PAGE_MAX)
    return word_of(page.events)


async def take_news(  # noqa: PLR0911, PLR0913 - each argument and end is a fact of its own
    store: NewsStore,
    seen: Debit,
    payment: Payment,
    *,
    word: Word,
    at: datetime,
    event: BankEvent | None = None,
) -> str:
    """Merge what the bank says of a payment into its debit, and return the name of its count.

    The event that led here is kept in the same transaction, so its effect comes exactly once.
    """
    async with store.begin() as desk:
        mandate = await desk.lock_mandate(seen.account_id, seen.mandate_id)
        debit = await desk.lock_debit(seen.debit_id)
        assert mandate is not None, "mandates are never removed"
        assert debit is not None, "debits are never removed"
        planned = steps(debit, payment.status, word)
        if Event.QUESTION in planned and not word.asked and debit.state in FINAL:
            # It has ended since we asked, so we did not ask whether it turned back.
            return "silent"
        if event is not None and not await desk.first_time(
            event.event_id, resource=event.resource, action=event.action, at=at
        ):
            return "repeated"
        if payment.status is None:
            log.warning("payment.status_unknown", key=debit.key)
        unheard = debit.bank_payment_id is None
        same = unheard or debit.bank_payment_id == payment.payment_id
        if not same or not is_ours(debit, payment, mandate.bank_mandate_id or ""):
            log.error("debit.mismatched", key=debit.key, payment=payment.payment_id)
            if not unheard and (debit.state, Event.QUESTION) in NEXT:
                # A payment never becomes another one: whatever this is, it is not booked.
                await question(desk, debit, payment, at=at, reason="payment_changed")
            return "contradicted"
        if unheard and await _named_twice(desk, debit, payment, at=at):
            return "contradicted"
        before = debit.state
        merged = await _merge(desk, debit, planned, payment, mandate, word.cause, at)
        if merged is None:
            return "contradicted"
        debit = merged
        cut = event is not None and event.action in RECOVERED_ACTIONS
        recovered = cut and await desk.recover(debit, at=at)
        if debit.state is before:
            if event is None:
                await desk.touch_debit(debit.debit_id, at=at)
            return "moved" if recovered else "unchanged"
        await _rest(desk, mandate, debit, at)
    return "moved"


async def _named_twice(desk: NewsDesk, debit: Debit, payment: Payment, *, at: datetime) -> bool:
    """Put a debit before a person if another one of the account goes by its payment's name."""
    named = (debit.account_id, payment.payment_id)
    if named not in await desk.payment_holders([named]):
        return False
    log.error("debit.named_twice", key=debit.key, payment=payment.payment_id)
    if (debit.state, Event.QUESTION) in NEXT:
        lost = moved(debit, Event.QUESTION, at=at, reason="payment_changed")
        await desk.save_debit(debit, lost)
    return True


async def _rest(desk: NewsDesk, mandate: Mandate, debit: Debit, at: datetime) -> None:
    """Debit a payer who disputes, or has died, no more until somebody says so."""
    stopping = debit.state is State.CHARGED_BACK or debit.reason in STOPPING_CAUSES
    if stopping and mandate.enrolment is Enrolment.ACTIVE:
        mandate = replace(mandate, enrolment=Enrolment.PAUSED, changed_at=at)
        await desk.save_mandate(mandate)
        await cancel_unsent(desk, mandate, reason="paused", at=at)


async def _merge(  # noqa: PLR0913, PLR0917 - the inside of take_news
    desk: NewsDesk,
    debit: Debit,
    planned: Iterable[Event],
    payment: Payment,
    mandate: Mandate,
    cause: str,
    at: datetime,
) -> Debit | None:
    """Take the steps the bank's word asks for; None if it asks for a person instead.

    Only what fails by them falls through: an attempt that failed before has its successor.
    """
    seen = debit
    for step in planned:
        if step is Event.QUESTION or (step is Event.RESUBMIT and not await _alone(desk, debit, at)):
            await question(desk, debit, payment, at=at)
            return None
        if debit.state is State.ACCEPTED and await unwanted(desk, debit, mandate):
            # The wish came while nobody knew that the bank had it: the resident's word was first.
            withdrawn = moved(debit, Event.WITHDRAW, at=at, reason="withdrawn")
            await desk.save_debit(debit, withdrawn)
            debit = withdrawn
        after = _after(debit, step, payment, mandate, cause, at)
        await desk.save_debit(debit, after)
        if too_late(after) and debit.state not in TAKEN:
            await give_back(desk, after, at=at)
        debit = after
    fell = debit is not seen and debit.state is State.FAILED
    return await fall_through(desk, debit, at=at) if fell else debit


async def unwanted(desk: NewsDesk, debit: Debit, mandate: Mandate) -> bool:
    """Tell whether somebody has said no: to all under the mandate, to this debit, to its bill."""
    return (
        mandate.enrolment is not Enrolment.ACTIVE
        or await desk.is_stopped(debit.debit_id)
        or await desk.is_disputed(debit.debit_id)
    )


async def _alone(desk: NewsDesk, debit: Debit, at: datetime) -> bool:
    """Take back the attempt that followed a failed one; False if it may be at the bank by now."""
    other = await desk.other_alive(debit.debit_id)
    if other is None:
        return True
    if other.state not in BEFORE_BANK:
        return False
    await desk.save_debit(other, moved(other, Event.CANCEL, at=at, reason="bank_retries"))
    return True


def too_late(debit: Debit) -> bool:
    """Tell whether money was taken although its resident had said no in time."""
    return debit.state in TAKEN and debit.reason == TOO_LATE


async def give_back(desk: RefundDesk, debit: Debit, *, at: datetime) -> None:
    """Ask for the whole of a debit to be given back, because its resident had said no."""
    asked = await desk.ask_refund(
        debit.debit_id, debit.amount_minor, Cause.CANCEL_TOO_LATE, asked_by=ASKED_BY, at=at
    )
    log.warning("debit.too_late", key=debit.key, refund=type(asked).__name__)


def _after(  # noqa: PLR0913, PLR0917 - the inside of take_news
    debit: Debit, step: Event, payment: Payment, mandate: Mandate, cause: str, at: datetime
) -> Debit:
    if step in {Event.ACCEPT, Event.RESUBMIT}:
        return moved(debit, step, at=at, bank_payment_id=payment.payment_id, lease_until=None)
    reason = None
    late = debit.state is State.CANCEL_REQUESTED or debit.reason == TOO_LATE
    if step in {Event.FAIL, Event.CHARGE_BACK}:
        reason = cause
    elif step is Event.CANCEL:
        wanted = mandate.enrolment is Enrolment.ACTIVE and mandate.state not in ENDED
        asked = debit.state is State.CANCEL_REQUESTED
        reason = "cancelled_at_bank" if wanted and not asked else "withdrawn"
    elif debit.state is State.CHARGED_BACK:
        reason = RESTORED
    elif late:
        reason = TOO_LATE
    return moved(debit, step, at=at, reason=reason)


async def question(
    desk: QuestionDesk,
    debit: Debit,
    payment: Payment,
    *,
    at: datetime,
    reason: str = "contradiction",
) -> None:
    """Stop a debit for a person: the bank contradicts an end we believed in.

    If another attempt for the bill is alive, it is taken back where that is still possible; where
    it is not, both may take money: what was taken for the one we had given up goes back at once.
    One that we do not know to have been sent (an old backup was restored) keeps its order from now.
    """
    log.error("debit.contradicted", key=debit.key, payment=payment.payment_id)
    if debit.state in FINAL:
        other = await desk.other_alive(debit.debit_id)
        if other is not None:
            if other.state not in BEFORE_BANK:
                if payment.status in TAKEN_BY_BANK and debit.bank_payment_id is not None:
                    await desk.ask_stray(debit, asked_by=ASKED_BY, at=at)
                return
            gone = moved(other, Event.CANCEL, at=at, reason="contradiction")
            await desk.save_debit(other, gone)
    order: FrozenOrder = {} if debit.body else frozen_order(debit, payment.bank_mandate_id)
    after = moved(
        debit,
        Event.QUESTION,
        at=at,
        reason=reason,
        bank_payment_id=debit.bank_payment_id or payment.payment_id,
        **order,
    )
    await desk.save_debit(debit, after)


async def take_answers(
    store: NewsStore,
    bank: NewsBank,
    answers: Iterable[tuple[Debit, Payment | BankError | None]],
    *,
    at: datetime,
) -> Counter[str]:
    """Merge answers about payments into their debits, and count what became of each."""
    counts: Counter[str] = Counter()
    for debit, answer in answers:
        if answer is None:
            log.error("payment.missing", key=debit.key)
            counts["contradicted"] += 1
            continue
        try:
            if isinstance(answer, BankError):
                raise answer
            word = await why(bank, answer, debit)
        except BankError as error:
            log.warning("payment.silent", key=debit.key, reason=error.reason)
            counts["silent"] += 1
            continue
        counts[await take_news(store, debit, answer, word=word, at=at)] += 1
    return counts
