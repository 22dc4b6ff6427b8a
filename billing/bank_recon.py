"""Reconciling with the bank: every day, three ways, every disagreement a row that somebody owns.

    (A)  read the bank's payments, compare each with our attempt, look for ours that are not there
    (B)  read its payouts and their items, compare each with what we believe was paid out
    (C)  match payouts with the lines of the bank's statement
    then write down what was found, close what was not found again, mark the debits of payouts that
    agree as reconciled, and say of each day whether all three sides agree about it

The bank is read first and our own rows afterwards, so that what we order in between is no break:
our keys are written down before the bank hears of them. A bank that falls silent ends the run, and
nothing is closed. A payment that we do not know freezes its mandate before anything else happens.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Final, Protocol

import structlog

from billing.bank import Payment
from billing.breaks import (
    ADVICE,
    BookedLine,
    Break,
    Kind,
    Owner,
    arrived,
    check_lines,
    check_payment,
    check_payout,
    doubled_item,
    missing_item,
    missing_payment,
    orphan,
    torn,
)
from billing.debit import Debit, DebitId, Event, State, moved
from billing.iso.camt053 import Statement
from billing.mandate import Mandate
from billing.order import account_of
from billing.payout import Payout, PayoutItem
from billing.period import local_day

log = structlog.get_logger()

# A resident's bank may take a payment back for thirteen months; for longer nothing can change.
LOOK_BACK: Final = timedelta(days=400)
# A page of payments that is compared at once.
PAGE: Final = 500
# A debit whose news is younger than this may be ahead of the bank's list of payouts.
NEWS_AGE: Final = timedelta(hours=1)


class ReconBank(Protocol):
    """What reconciling asks of the bank; all of it may raise BankError."""

    def list_payments(
        self, *, bank_mandate_id: str | None, created_from: datetime | None
    ) -> AsyncIterator[Payment]:
        """Read all payments since an instant."""

    async def get_payment(self, payment_id: str) -> Payment | None:
        """Read a payment."""

    def list_payouts(self, *, created_from: datetime) -> AsyncIterator[Payout]:
        """Read all payouts since an instant."""

    async def list_payout_items(self, payout_id: str) -> tuple[PayoutItem, ...]:
        """Read all items of a payout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubledItem:
    """A payment that stands in payouts more often than once, last in this one."""

    payment_id: str
    payout_id: str
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TornDay:
    """A day whose statement does not begin where the one before it ended."""

    day: date
    opening_minor: int
    before_minor: int


class ReconDesk(Protocol):
    """What reconciling a debit needs inside one transaction."""

    async def lock_debit(self, debit_id: DebitId) -> Debit | None:
        """Lock one debit."""

    async def save_debit(self, before: Debit, after: Debit) -> None:
        """Write a locked debit back, one step on."""


class DebitStore(Protocol):
    """Where debits and mandates are kept."""

    def begin(self) -> AbstractAsyncContextManager[ReconDesk]:
        """Open one transaction."""

    async def mandate_by_bank_id(self, bank_mandate_id: str) -> Mandate | None:
        """Return the mandate behind the bank's name for it."""


class ReconStore(Protocol):
    """Where payouts, lines, days and breaks are kept."""

    async def debits_by_key(self, keys: Mapping[str, str]) -> dict[str, Debit]:
        """Return debits by their keys; ``keys`` says whose account each key names."""

    async def debits_by_payment(self, payment_ids: Sequence[str]) -> dict[str, Debit]:
        """Return debits by the bank's names of their payments."""

    async def sent_debits(
        self, *, since: datetime, after: DebitId | None, limit: int
    ) -> Sequence[Debit]:
        """Return the next debits with a payment at the bank that were sent since an instant."""

    async def freeze(self, account_id: str, mandate_id: str, *, because: str, at: datetime) -> bool:
        """Freeze a mandate; False if it is frozen already."""

    async def matched_payouts(self, payout_ids: Sequence[str]) -> Mapping[str, str]:
        """Return those of the payouts that are matched, with the status they had then."""

    async def keep_payout(
        self, payout: Payout, items: Sequence[PayoutItem], *, at: datetime
    ) -> None:
        """Keep a payout and its items as the bank tells them now."""

    async def doubled_items(self, *, since: datetime) -> Sequence[DoubledItem]:
        """Return payments that were paid out more than once."""

    async def paid_out_without_item(
        self, *, since: datetime, unchanged_since: datetime
    ) -> Sequence[Debit]:
        """Return debits that we believe paid out and that stand in no payout."""

    async def payouts_to_match(self, *, since: datetime) -> Sequence[Payout]:
        """Return payouts that wait for the statement, or of which it speaks anew."""

    async def lines_of_payouts(
        self, payout_ids: Sequence[str]
    ) -> Mapping[str, Sequence[BookedLine]]:
        """Return the lines that carry the reference of each payout."""

    async def unknown_lines(self) -> Sequence[BookedLine]:
        """Return the lines that nobody knows."""

    async def know_lines(self, line_ids: Sequence[str], known_as: str) -> None:
        """Note what lines are."""

    async def match_payout(self, payout: Payout, *, at: datetime) -> Sequence[DebitId]:
        """Note that a payout agrees, and return its settled debits."""

    async def covered_until(self) -> date | None:
        """Return the last day of which a statement has come."""

    async def torn_days(self, *, since: date) -> Sequence[TornDay]:
        """Return days whose statement does not begin where the one before it ended."""

    async def keep_breaks(
        self, found: Sequence[Break], *, since: date, last_day: date, at: datetime
    ) -> "BreakCounts":
        """Open, see again or close breaks, and judge all days up to ``last_day``."""

    async def add_statement(self, statement: Statement, *, at: datetime) -> int:
        """Keep the lines and days of a statement, each once; return how many lines were new."""

    async def reconciled_until(self) -> date | None:
        """Return the last day up to which, without a gap, all sides agree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakCounts:
    """What became of breaks in one run; ``open`` counts all that are open now."""

    opened: int
    closed: int
    open: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconCounts:
    """What one run looked at, and what came of it."""

    payments: int = 0
    payouts: int = 0
    frozen: int = 0
    matched: int = 0
    reconciled: int = 0
    breaks_opened: int = 0
    breaks_closed: int = 0
    breaks_open: int = 0
    until: date | None = None


@dataclass(slots=True, kw_only=True)
class _Run:
    """One run: what it works with, and what it has found so far."""

    store: ReconStore
    debits: DebitStore
    bank: ReconBank
    at: datetime
    day: date
    found: dict[tuple[Kind, str], Break] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    trouble: set[str] = field(default_factory=set)

    @property
    def since(self) -> datetime:
        """Return since when the bank's books are read."""
        return self.at - LOOK_BACK

    def add(self, one: Break) -> None:
        """Keep a finding; the same break found twice in a run is one."""
        self.found.setdefault(one.name, one)


async def reconcile_bank(
    *, store: ReconStore, debits: DebitStore, bank: ReconBank, at: datetime, zone: str
) -> ReconCounts:
    """Compare the three sides as they stand now, and judge every day before today.

    Run it when the bank's news has been read; running it twice changes nothing.

    Raises:
        BankError: the bank does not show its books; nothing was closed.
    """
    day = local_day(at, zone) - timedelta(days=1)
    run = _Run(store=store, debits=debits, bank=bank, at=at, day=day)
    await _payments(run)
    await _payouts(run)
    await _statement(run)
    kept = await store.keep_breaks(
        list(run.found.values()), since=local_day(run.since, zone), last_day=day, at=at
    )
    counts = ReconCounts(
        **run.done,
        breaks_opened=kept.opened,
        breaks_closed=kept.closed,
        breaks_open=kept.open,
        until=await store.reconciled_until(),
    )
    urgent = sum(1 for one in run.found.values() if ADVICE[one.kind].owner is Owner.ON_CALL)
    report = log.error if urgent else log.info
    report("recon.done", urgent=urgent, opened=kept.opened, closed=kept.closed, open=kept.open)
    return counts


async def _payments(run: _Run) -> None:
    """Compare (A): what the bank has and we do not, and the other way round."""
    listed: set[str] = set()
    unheard: dict[str, str] = {}
    page: list[Payment] = []
    async for payment in run.bank.list_payments(bank_mandate_id=None, created_from=run.since):
        if payment.payment_id in listed:
            continue
        listed.add(payment.payment_id)
        page.append(payment)
        if len(page) == PAGE:
            await _page(run, page, unheard)
            page = []
    await _page(run, page, unheard)
    run.done["payments"] = len(listed)
    after: DebitId | None = None
    while ours := await run.store.sent_debits(since=run.since, after=after, limit=PAGE):
        for debit in ours:
            assert debit.bank_payment_id is not None, "only such debits were asked for"
            if debit.bank_payment_id in listed:
                continue
            # A list may lag behind; the payment itself does not.
            if await run.bank.get_payment(debit.bank_payment_id) is None:
                run.add(missing_payment(debit, day=run.day))
        after = ours[-1].debit_id


async def _page(run: _Run, page: Sequence[Payment], unheard: dict[str, str]) -> None:
    keys = {
        payment.intent: account_id
        for payment in page
        if payment.intent is not None and (account_id := account_of(payment.intent)) is not None
    }
    by_key = await run.store.debits_by_key(keys) if keys else {}
    by_name = await run.store.debits_by_payment([one.payment_id for one in page]) if page else {}
    for payment in page:
        debit = by_key.get(payment.intent or "") or by_name.get(payment.payment_id)
        if debit is not None and debit.bank_payment_id is None:
            # Nobody has told us its name yet; but one order has one payment.
            first = unheard.setdefault(debit.key, payment.payment_id)
            debit = replace(debit, bank_payment_id=first)
        for one in check_payment(payment, debit, day=run.day):
            if one.kind is Kind.PAYMENT_UNKNOWN:
                run.add(await _frozen(run, payment, one))
            else:
                run.add(one)


async def _frozen(run: _Run, payment: Payment, found: Break) -> Break:
    """Freeze the mandate of a payment that we do not know, if the mandate is ours."""
    mandate = await run.debits.mandate_by_bank_id(payment.bank_mandate_id)
    if mandate is None:
        log.error("payment.unknown", payment=payment.payment_id, frozen=False)
        return found
    because = f"payment {payment.payment_id} is not ours"
    frozen = await run.store.freeze(
        mandate.account_id, mandate.mandate_id, because=because, at=run.at
    )
    run.done["frozen"] += frozen
    log.error("payment.unknown", payment=payment.payment_id, frozen=frozen)
    return replace(found, account_id=mandate.account_id)


async def _payouts(run: _Run) -> None:
    """Compare (B): payouts with their items, and items with what we believe."""
    payouts = [one async for one in run.bank.list_payouts(created_from=run.since)]
    run.done["payouts"] = len(payouts)
    matched = await run.store.matched_payouts([one.payout_id for one in payouts])
    for payout in payouts:
        if payout.status is not None and matched.get(payout.payout_id) == payout.status:
            continue
        items = await run.bank.list_payout_items(payout.payout_id)
        await run.store.keep_payout(payout, items, at=run.at)
        names = [one.payment_id for one in items if one.payment_id is not None]
        known = await run.store.debits_by_payment(names) if names else {}
        for one in check_payout(payout, items, known, day=run.day):
            run.add(one)
            run.trouble.add(payout.payout_id)
    for item in await run.store.doubled_items(since=run.since):
        run.add(doubled_item(item.payment_id, item.payout_id, times=item.times, day=run.day))
        run.trouble.add(item.payout_id)
    for debit in await run.store.paid_out_without_item(
        since=run.since, unchanged_since=run.at - NEWS_AGE
    ):
        run.add(missing_item(debit, day=run.day))


async def _statement(run: _Run) -> None:
    """Compare (C): payouts with the lines of the statement; what agrees is reconciled."""
    payouts = await run.store.payouts_to_match(since=run.since)
    lines = await run.store.lines_of_payouts([one.payout_id for one in payouts])
    covered_until = await run.store.covered_until()
    for payout in payouts:
        own = lines.get(payout.payout_id, ())
        found = list(check_lines(payout, own, covered_until=covered_until, day=run.day))
        for one in found:
            run.add(one)
        if own:
            names = [one.line_id for one in own]
            await run.store.know_lines(names, f"payout {payout.payout_id}")
        if not found and arrived(payout, own) and payout.payout_id not in run.trouble:
            await _match(run, payout)
    for booked in await run.store.unknown_lines():
        run.add(orphan(booked))
    for day in await run.store.torn_days(since=run.since.date()):
        run.add(torn(day.day, opening_minor=day.opening_minor, before_minor=day.before_minor))


async def _match(run: _Run, payout: Payout) -> None:
    for debit_id in await run.store.match_payout(payout, at=run.at):
        async with run.debits.begin() as desk:
            debit = await desk.lock_debit(debit_id)
            # Between the list and the lock the bank may have taken it back.
            if debit is not None and debit.state is State.SETTLED:
                await desk.save_debit(debit, moved(debit, Event.RECONCILE, at=run.at))
                run.done["reconciled"] += 1
    run.done["matched"] += 1


async def import_statement(
    *, store: ReconStore, statements: Sequence[Statement], at: datetime
) -> int:
    """Keep the statements of a file, each line once; return how many lines were new.

    Raises:
        StatementDiffersError: a line is kept already with another amount.
    """
    new = sum([await store.add_statement(one, at=at) for one in statements])
    log.info("statement.imported", statements=len(statements), lines=new)
    return new
