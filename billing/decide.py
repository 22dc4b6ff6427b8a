"""Deciding: a person says what becomes of a debit in review; what the bank shows must allow it.

    look     what the bank has for this debit                     (no transaction)
    keep     the word, and the step if enough people have said it (our transaction)

Every word is kept with its reason. Nothing that the table of a debit does not know can be decided.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, assert_never

import structlog

from billing.ask import SendBank, find_payments
from billing.bank import Payment
from billing.debit import Debit, DebitId, Event, State, moved
from billing.decision import EVENTS, REASONS, Decision, ReviewWord, Shown, enough, why_not
from billing.mandate import Mandate
from billing.news import NewsBank, NewsDesk, take_news, why
from billing.retry import fall_through
from billing.turn import BOUNCED

log = structlog.get_logger()


class NotInReviewError(Exception):
    """The debit does not wait for a person, or not for the reason that was seen any more."""


class NotLegalError(Exception):
    """What the bank shows forbids this; the message is one word."""


class DecideDesk(NewsDesk, Protocol):
    """What deciding needs inside one transaction."""

    async def mandate(self, account_id: str, mandate_id: str) -> Mandate | None:
        """Return a mandate as it stands."""

    async def last_step(self, debit_id: DebitId) -> int:
        """Return the number of the last step a debit took."""

    async def review_words(self, debit_id: DebitId, step_no: int) -> list[ReviewWord]:
        """Return what was said about a debit since this step put it in review, oldest first."""

    async def add_review_word(self, debit_id: DebitId, step_no: int, word: ReviewWord) -> bool:
        """Keep a word; False if this person has said the same before."""


class DecideStore(Protocol):
    """Where debits in review are kept."""

    def begin(self) -> AbstractAsyncContextManager[DecideDesk]:
        """Open one transaction."""


class DecideBank(SendBank, NewsBank, Protocol):
    """What deciding asks of the bank; it may raise BankError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A debit after a person's word; ``waits`` while a second person must say the same."""

    debit: Debit
    words: tuple[ReviewWord, ...]
    waits: bool


async def decide(  # noqa: PLR0913 - each argument is a fact of its own
    *,
    store: DecideStore,
    bank: DecideBank,
    debit_id: DebitId,
    word: ReviewWord,
    two_from_minor: int,
    bank_payment_id: str | None = None,
    at: datetime,
) -> Decided:
    """Keep a person's word about a debit in review, and take the step once enough have said it.

    Raises:
        NotInReviewError: the debit is not in review, or somebody else was faster.
        NotLegalError: what the bank shows forbids it.
        BankError: the bank does not show what it has.
    """
    async with store.begin() as desk:
        seen, bank_mandate_id = await _in_review(desk, debit_id)
        step_no = await desk.last_step(debit_id)
    shown = await _look(bank, seen, bank_mandate_id, bank_payment_id)
    async with store.begin() as desk:
        debit, bank_mandate_id = await _in_review(desk, debit_id)
        if await desk.last_step(debit_id) != step_no:
            raise NotInReviewError("it was decided, and is in review again for another reason")
        reason = why_not(debit, word.decision, shown, bank_mandate_id, at=at)
        if reason is not None:
            raise NotLegalError(reason)
        await desk.add_review_word(debit_id, step_no, word)
        words = await desk.review_words(debit_id, step_no)
        if not enough(debit, _in_order(words, word), two_from_minor=two_from_minor):
            return Decided(debit=debit, words=tuple(words), waits=True)
        debit = await _step(desk, debit, word.decision, shown.named, at=at)
    log.warning("debit.decided", key=debit.key, decision=word.decision, state=debit.state)
    payment = shown.named
    if word.decision is Decision.ADOPT and payment is not None:
        # From here on it is news like any other.
        told = await why(bank, payment)
        await take_news(store, debit, payment, word=told, at=at)
    return Decided(debit=debit, words=tuple(words), waits=False)


def _in_order(words: Sequence[ReviewWord], last: ReviewWord) -> list[ReviewWord]:
    return [*words, last]


async def _in_review(desk: DecideDesk, debit_id: DebitId) -> tuple[Debit, str]:
    debit = await desk.lock_debit(debit_id)
    if debit is None or debit.state is not State.REVIEW:
        raise NotInReviewError("nothing waits for a person here")
    mandate = await desk.mandate(debit.account_id, debit.mandate_id)
    assert mandate is not None, "mandates are never removed"
    return debit, mandate.bank_mandate_id or ""


async def _look(
    bank: DecideBank, debit: Debit, bank_mandate_id: str, bank_payment_id: str | None
) -> Shown:
    """Read what the bank has for a debit, whatever payment the person has named."""
    found: list[Payment] = []
    if debit.sends:
        found = [one async for one in find_payments(bank, debit, bank_mandate_id)]
    named = found[0] if found else None
    if debit.bank_payment_id is not None:
        named = await bank.get_payment(debit.bank_payment_id)
        found += [] if named is None else [named]
    if bank_payment_id is not None:
        named = await bank.get_payment(bank_payment_id)
    return Shown(named=named, ours=tuple(found))


async def _step(
    desk: DecideDesk, debit: Debit, decision: Decision, payment: Payment | None, *, at: datetime
) -> Debit:
    event, reason = EVENTS[decision], REASONS[decision]
    match decision:
        case Decision.ADOPT:
            assert payment is not None, "what is adopted was shown by the bank"
            after = moved(debit, event, at=at, reason=reason, bank_payment_id=payment.payment_id)
            await desk.save_debit(debit, after)
            return after
        case Decision.RELEASE:
            after = moved(debit, event, at=at, reason=reason, lease_until=None)
            await desk.save_debit(debit, after)
            return after
        case Decision.GIVE_UP | Decision.BEGIN_ANEW:
            after = moved(debit, event, at=at, reason=reason)
            await desk.save_debit(debit, after)
            failed = after.state is State.FAILED
            return await fall_through(desk, after, at=at) if failed else after
        case _ as impossible:
            assert_never(impossible)


async def unmatched(*, store: DecideStore, debit_id: DebitId, at: datetime) -> bool:
    """Put a debit of which nobody knows before a person: the bank statement of its day is matched.

    Returns whether it was still unknown.
    """
    async with store.begin() as desk:
        debit = await desk.lock_debit(debit_id)
        if debit is None or debit.state is not State.UNKNOWN:
            return False
        await desk.save_debit(debit, moved(debit, Event.QUESTION, at=at, reason="unresolved"))
    log.error("debit.unresolved", key=debit.key)
    return True


async def payout_bounced(*, store: DecideStore, debit_id: DebitId, at: datetime) -> bool:
    """Note that the payout with this debit came back to the bank: the money is on its way again.

    Returns whether it had been paid out.
    """
    async with store.begin() as desk:
        debit = await desk.lock_debit(debit_id)
        if debit is None or debit.state not in {State.SETTLED, State.RECONCILED}:
            return False
        await desk.save_debit(debit, moved(debit, Event.BOUNCE, at=at, reason=BOUNCED))
    log.warning("debit.payout_bounced", key=debit.key)
    return True


async def paid_out_again(*, store: DecideStore, debit_id: DebitId, at: datetime) -> bool:
    """Note that another payout has brought a debit whose first one came back.

    Returns whether it had come back.
    """
    async with store.begin() as desk:
        debit = await desk.lock_debit(debit_id)
        if debit is None or debit.state is not State.CONFIRMED or debit.reason != BOUNCED:
            return False
        await desk.save_debit(debit, moved(debit, Event.SETTLE, at=at))
    return True
