"""Following: what became of our payments and mandates at the bank.

The bank's list of events is only a hint of what to read afresh; what counts is the payment itself,
merged forward. So events may come twice, late, in any order or not at all: ``follow`` reads them
from where it stopped, and ``reread`` looks at what has been silent too long.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog

from billing.adopt import ForeignMandateError, adopt_told
from billing.aside import FOREIGN, NAMED_BY, UNKNOWN_STATUS, AsideDesk, aside, trouble_of
from billing.ask import LookBank
from billing.bank import BankError, BankEvent, EventPage, Payment
from billing.debit import Debit
from billing.give_way import give_way
from billing.link import LinkBank, LinkStore
from billing.mandate import Mandate
from billing.news import (
    PAGE_MAX,
    NewsBank,
    NewsDesk,
    each,
    take_answers,
    take_news,
    why,
)
from billing.order import account_of
from billing.refund_news import (
    RefundNewsBank,
    RefundNewsDesk,
    RefundNewsStore,
    take_refund_event,
)
from billing.turn import Word

log = structlog.get_logger()

# The backstop for events that never came: a payment is looked at once a day in any case.
SILENT_FOR: Final = timedelta(days=1)
# A bank may put an event into its list behind one that we have read; so many are looked at again.
OVERLAP: Final = 100
# What became of an event that has to be looked at again by ``follow`` itself.
_UNDONE: Final = frozenset({"silent"})
# What became of an event about a mandate that is not what the bank says of it yet.
_NOT_ADOPTED: Final = frozenset({"silent", "unknown"})


class FollowDesk(NewsDesk, RefundNewsDesk, AsideDesk, Protocol):
    """What an event needs inside one transaction."""


class FollowStore(LinkStore, RefundNewsStore, Protocol):
    """Where debits under way and mandates are kept."""

    def begin(self) -> AbstractAsyncContextManager[FollowDesk]:
        """Open one transaction."""

    async def debits_to_reread(self, *, unchanged_since: datetime, limit: int) -> list[Debit]:
        """Return debits without news for too long."""

    async def debit_by_payment(self, bank_payment_id: str) -> Debit | None:
        """Return the debit that a payment belongs to."""

    async def debit_by_key(self, account_id: str, key: str) -> Debit | None:
        """Return the debit that a key names, if it is recorded, or ended before it was."""

    async def mandate_by_request(self, bank_request_id: str) -> Mandate | None:
        """Return the mandate that a billing request was made for."""

    async def bank_cursor(self) -> str | None:
        """Return the event up to which we have read."""

    async def move_bank_cursor(self, event_id: str) -> None:
        """Note the event up to which we have read."""

    async def seen_events(self, event_ids: Sequence[str]) -> frozenset[str]:
        """Return those of the given events that we have dealt with or set aside."""


class FollowBank(LinkBank, NewsBank, RefundNewsBank, LookBank, Protocol):
    """What following asks of the bank; all of it may raise BankError."""

    async def get_payment(self, payment_id: str) -> Payment | None:
        """Read a payment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What some events are about, read afresh: payments by name, and what belongs to each."""

    payments: Mapping[str, Payment | BankError | None]
    debits: Mapping[str, Debit]
    words: Mapping[str, Word | BankError]


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowCounts:
    """What one batch did: debits or mandates that ``moved``, news that was none or not for us.

    ``silent`` questions got no usable answer and are asked again; ``contradicted`` ones need a
    person. Events about what is ``unknown`` to us, the status of it included, and those that
    ``broke`` our own code, are set aside and looked at again; ``nameless`` ones cannot be
    remembered and are only counted.
    """

    moved: int = 0
    unchanged: int = 0
    foreign: int = 0
    repeated: int = 0
    silent: int = 0
    contradicted: int = 0
    unknown: int = 0
    broke: int = 0
    nameless: int = 0


async def follow(*, store: FollowStore, bank: FollowBank, at: datetime, limit: int) -> FollowCounts:
    """Deal with up to ``limit`` events we have not seen, from where the last batch stopped.

    The cursor never passes an event that could not be dealt with, but those behind it are not kept
    waiting: each is remembered by its name, for ever. The last ones before the cursor are looked at
    again, in case the bank had put another between them.
    """
    counts: Counter[str] = Counter()
    try:
        cursor = await store.bank_cursor()
        if cursor is None:
            await _follow_from_the_start(store, bank, counts, at=at, limit=limit)
        else:
            await _follow_from(store, bank, cursor, counts, at=at, limit=limit)
            await _look_back(store, bank, cursor, counts, at=at)
    except BankError as error:
        counts["silent"] += 1
        log.warning("follow.silent", reason=error.reason)
    if counts:
        log.info("follow.done", **counts)
    return FollowCounts(**counts)


async def _follow_from(  # noqa: PLR0913 - the inside of follow
    store: FollowStore,
    bank: FollowBank,
    cursor: str,
    counts: Counter[str],
    *,
    at: datetime,
    limit: int,
) -> None:
    before, unbroken = cursor, True
    while (left := limit - counts.total()) > 0:
        page = await bank.list_events(before=before, limit=min(left, PAGE_MAX))
        if not page.events or page.before is None:
            return
        dealt_with = await _take_page(store, bank, page, counts, at=at)
        for event in reversed(page.events):
            unbroken = unbroken and event.event_id in dealt_with
            if unbroken:
                cursor = event.event_id
        await store.move_bank_cursor(cursor)
        before = page.before


async def _look_back(
    store: FollowStore, bank: FollowBank, cursor: str, counts: Counter[str], *, at: datetime
) -> None:
    """Deal with events that the bank put into its list behind what we have read."""
    page = await bank.list_events(after=cursor, limit=OVERLAP)
    await _take_page(store, bank, page, counts, at=at)


async def _follow_from_the_start(
    store: FollowStore, bank: FollowBank, counts: Counter[str], *, at: datetime, limit: int
) -> None:
    """Walk back through all events; only a whole walk sets the cursor, to where it began."""
    newest: str | None = None
    after: str | None = None
    while (left := limit - counts.total()) > 0:
        page = await bank.list_events(after=after, limit=min(left, PAGE_MAX))
        newest = newest or page.before
        await _take_page(store, bank, page, counts, at=at)
        after = page.after
        if after is None:
            if newest is not None and not counts["silent"]:
                await store.move_bank_cursor(newest)
            return


async def _take_page(
    store: FollowStore,
    bank: FollowBank,
    page: EventPage,
    counts: Counter[str],
    *,
    at: datetime,
) -> frozenset[str]:
    """Deal with the events of one page, oldest first; return the names of those dealt with."""
    if page.nameless:
        log.error("events.nameless", count=page.nameless)
        counts["nameless"] += page.nameless
    seen = await store.seen_events([event.event_id for event in page.events])
    fresh = [event for event in reversed(page.events) if event.event_id not in seen]
    outcomes = await take_events(store, bank, fresh, at=at)
    counts.update(outcomes.values())
    return seen | {name for name, outcome in outcomes.items() if outcome not in _UNDONE}


async def take_events(
    store: FollowStore, bank: FollowBank, events: Sequence[BankEvent], *, at: datetime
) -> dict[str, str]:
    """Deal with events, whoever brought them, and return what became of each by its name.

    What counts is the payment or mandate, read afresh once for all of them; so their order is of no
    importance. Whatever one event does to us, the others are dealt with.
    """
    try:
        read = await _read(store, bank, events)
    except Exception as error:  # noqa: BLE001 - one event must not stop the line
        if len(events) == 1:
            return {events[0].event_id: await _set_aside(store, events[0], error, at=at)}
        alone = [await take_events(store, bank, [event], at=at) for event in events]
        return {name: outcome for one in alone for name, outcome in one.items()}
    outcomes: dict[str, str] = {}
    for event in events:
        try:
            outcome = await _take_event(store, bank, event, read, at=at)
        except Exception as error:  # noqa: BLE001 - one event must not stop the line
            outcome = await _set_aside(store, event, error, at=at)
        outcomes[event.event_id] = outcome
    return outcomes


async def _set_aside(
    store: FollowStore, event: BankEvent, error: Exception, *, at: datetime
) -> str:
    """Set an event aside that broke our own code.

    Where the database itself is away, this fails too, and ends the batch.
    """
    log.error("event.broke", event_id=event.event_id, error=type(error).__name__)
    await aside(store, event, "broke", at=at)
    return "broke"


async def _read(store: FollowStore, bank: FollowBank, events: Sequence[BankEvent]) -> _Read:
    """Read afresh what events are about, each payment once."""
    payment_ids = sorted({event.links["payment"] for event in events if _about_payment(event)})
    payments = dict(zip(payment_ids, await each(payment_ids, bank.get_payment), strict=True))
    debits = await _debits_of(store, payments)
    words = await _words(bank, payments, debits)
    silent = {name: word for name, word in words.items() if isinstance(word, BankError)}
    return _Read(payments=payments | silent, debits=debits, words=words)


def _about_payment(event: BankEvent) -> bool:
    return event.resource == "payments" and "payment" in event.links


async def _debits_of(
    store: FollowStore, payments: Mapping[str, Payment | BankError | None]
) -> dict[str, Debit]:
    found = {
        name: await _debit_of(store, payment)
        for name, payment in payments.items()
        if isinstance(payment, Payment)
    }
    return {name: debit for name, debit in found.items() if debit is not None}


async def _words(
    bank: FollowBank,
    payments: Mapping[str, Payment | BankError | None],
    debits: Mapping[str, Debit],
) -> dict[str, Word | BankError]:
    """Return why payments failed: they do not say, but the bank's own list of their events does.

    The event that led here may be an old one that came late, so its word does not count.
    """
    found = [payment for payment in payments.values() if isinstance(payment, Payment)]

    async def ask(payment: Payment) -> Word:
        return await why(bank, payment, debits.get(payment.payment_id))

    answers = await each(found, ask)
    return {payment.payment_id: answer for payment, answer in zip(found, answers, strict=True)}


async def _take_event(
    store: FollowStore, bank: FollowBank, event: BankEvent, read: _Read, *, at: datetime
) -> str:
    if event.resource == "refunds" and "refund" in event.links:
        told = await take_refund_event(store, bank, event, at=at)
        if told is not None:
            return told
    if _about_payment(event):
        told = await _take_payment(store, bank, event, read, at=at)
        if told is not None:
            return told
    mandate = await _mandate_of(store, event)
    ours = event.resource in NAMED_BY and not _about_payment(event)
    if mandate is None and ours:
        return await aside(store, event, trouble_of(event), at=at)
    outcome = "foreign"
    if mandate is not None:
        outcome = await _adopted(store, bank, event, mandate, at=at)
        if outcome in _NOT_ADOPTED:
            return outcome
    async with store.begin() as desk:
        first = await desk.first_time(
            event.event_id, resource=event.resource, action=event.action, at=at
        )
    return outcome if first else "repeated"


async def _take_payment(
    store: FollowStore, bank: FollowBank, event: BankEvent, read: _Read, *, at: datetime
) -> str | None:
    """Deal with an event about a payment; None if it is not for us."""
    payment = read.payments[event.links["payment"]]
    if isinstance(payment, BankError):
        return "silent"
    debit = read.debits.get(event.links["payment"])
    if payment is None or debit is None:
        try:
            if payment is not None:
                await give_way(store, bank, payment, at=at)
        except BankError:
            return "silent"
        ours = payment is None or await _names_us(store, payment)
        return await aside(store, event, trouble_of(event), at=at) if ours else None
    word = read.words[payment.payment_id]
    assert isinstance(word, Word), "a word we did not hear makes the payment silent"
    if payment.status is None:
        log.warning("payment.status_unknown", key=debit.key)
        return await aside(store, event, UNKNOWN_STATUS, at=at)
    return await take_news(store, debit, payment, word=word, at=at, event=event)


async def _adopted(
    store: FollowStore, bank: FollowBank, event: BankEvent, mandate: Mandate, *, at: datetime
) -> str:
    """Bring a mandate to what the bank says of it, and return what became of it in a word."""
    try:
        now, understood = await adopt_told(store=store, bank=bank, mandate=mandate, at=at)
    except ForeignMandateError:
        return await aside(store, event, FOREIGN, at=at)
    except BankError:
        return "silent"
    if not understood:
        return await aside(store, event, UNKNOWN_STATUS, at=at)
    return "unchanged" if now.state is mandate.state else "moved"


async def _names_us(store: FollowStore, payment: Payment) -> bool:
    """Say whether a payment that we do not know has a key of ours, or a resident of ours pays."""
    ours = payment.intent is not None and account_of(payment.intent) is not None
    return ours or await store.mandate_by_bank_id(payment.bank_mandate_id) is not None


async def _debit_of(store: FollowStore, payment: Payment) -> Debit | None:
    """Return whose payment it is: the key in it says so, before the name that the bank gave it.

    The news may be faster than the answer to our own order, and a bank that answered another order
    with this payment's name must not keep its news from whoever pays it.
    """
    account_id = account_of(payment.intent)
    if account_id is not None and payment.intent is not None:
        debit = await store.debit_by_key(account_id, payment.intent)
        if debit is not None:
            return debit
    return await store.debit_by_payment(payment.payment_id)


async def _mandate_of(store: FollowStore, event: BankEvent) -> Mandate | None:
    if event.resource == "mandates" and "mandate" in event.links:
        return await store.mandate_by_bank_id(event.links["mandate"])
    if event.resource == "billing_requests" and "billing_request" in event.links:
        return await store.mandate_by_request(event.links["billing_request"])
    return None


async def reread(*, store: FollowStore, bank: FollowBank, at: datetime, limit: int) -> FollowCounts:
    """Look at payments that have been silent for a day, in case their events were lost."""
    debits = await store.debits_to_reread(unchanged_since=at - SILENT_FOR, limit=limit)
    answers = await each([debit.bank_payment_id or "" for debit in debits], bank.get_payment)
    counts = await take_answers(store, bank, zip(debits, answers, strict=True), at=at)
    if counts:
        log.info("reread.done", **counts)
    return FollowCounts(**counts)
