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
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Final

import structlog

from billing.bank import BankRefusedError, Payment
from billing.break_kinds import ADVICE, Kind, Owner
from billing.breaks import (
    Break,
    arrived,
    bounced,
    check_lines,
    check_payment,
    check_payout,
    doubled_item,
    missing_item,
    missing_payment,
    orphan,
    overkept_item,
    torn,
)
from billing.debit import DebitId, Event, State, moved
from billing.decide import paid_out_again, payout_bounced, unmatched
from billing.iso.camt053 import Statement
from billing.iso.document import FieldError
from billing.order import account_of
from billing.payout import Payout, PayoutItem, PayoutStatus
from billing.period import local_day
from billing.recon_port import DebitStore, ReconBank, ReconStore

log = structlog.get_logger()

# A resident's bank may take a payment back for thirteen months; for longer nothing can change.
LOOK_BACK: Final = timedelta(days=400)
# A page of payments that is compared at once.
PAGE: Final = 500
# No clock, ours or the bank's, is wrong by more; a year that is wrong is.
AHEAD: Final = timedelta(days=180)
# A debit whose news is younger than this may be ahead of the bank's list of payouts.
NEWS_AGE: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconCounts:
    """What one run looked at, and what came of it."""

    payments: int = 0
    payouts: int = 0
    frozen: int = 0
    matched: int = 0
    reconciled: int = 0
    unmatched: int = 0
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
    listed: set[str] = field(default_factory=set)

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
    until = await store.reconciled_until()
    await _unmatched(run, until)
    counts = ReconCounts(
        **run.done,
        breaks_opened=kept.opened,
        breaks_closed=kept.closed,
        breaks_open=kept.open,
        until=until,
    )
    urgent = sum(1 for one in run.found.values() if ADVICE[one.kind].owner is Owner.ON_CALL)
    report = log.error if urgent else log.info
    report("recon.done", urgent=urgent, opened=kept.opened, closed=kept.closed, open=kept.open)
    return counts


async def _payments(run: _Run) -> None:
    """Compare (A): what the bank has and we do not, and the other way round."""
    names: set[str] = set()
    unheard: dict[str, str] = {}
    page: list[Payment] = []
    async for payment in run.bank.list_payments(bank_mandate_id=None, created_from=run.since):
        if payment.payment_id in names:
            continue
        names.add(payment.payment_id)
        page.append(payment)
        if len(page) == PAGE:
            await _page(run, page, unheard)
            page = []
    await _page(run, page, unheard)
    run.done["payments"] = len(names)
    after: DebitId | None = None
    while ours := await run.store.sent_debits(since=run.since, after=after, limit=PAGE):
        for debit in ours:
            assert debit.bank_payment_id is not None, "only such debits were asked for"
            if debit.bank_payment_id in names:
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
        run.listed.update(filter(None, [payment.intent]))
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
    known_before = await run.store.known_payouts([one.payout_id for one in payouts])
    for payout in payouts:
        before = known_before.get(payout.payout_id)
        if before is not None and before.matched and before.status is payout.status:
            continue
        items = await _items(run, payout)
        if items is None:
            continue
        await run.store.keep_payout(payout, items, at=run.at)
        if payout.status is PayoutStatus.BOUNCED and (
            before is None or before.status is not PayoutStatus.BOUNCED
        ):
            await _came_back(run, payout)
        names = [one.payment_id for one in items if one.payment_id is not None]
        known = await run.store.debits_by_payment(names) if names else {}
        for one in check_payout(payout, items, known, day=run.day):
            run.add(one)
            run.trouble.add(payout.payout_id)
    await _across_payouts(run)


async def _across_payouts(run: _Run) -> None:
    """Look at what several payouts together say of a payment: again, twice, or not at all."""
    for debit_id in await run.store.debits_paid_out_again():
        await paid_out_again(store=run.debits, debit_id=debit_id, at=run.at)
    for payout in await run.store.bounced_payouts(since=run.since):
        run.add(bounced(payout, day=run.day))
    for item in await run.store.doubled_items(since=run.since):
        run.add(doubled_item(item.payment_id, item.payout_id, times=item.times, day=run.day))
        run.trouble.add(item.payout_id)
    for item in await run.store.overkept_items(since=run.since):
        run.add(overkept_item(item.payment_id, item.payout_id, times=item.times, day=run.day))
        run.trouble.add(item.payout_id)
    for debit in await run.store.paid_out_without_item(
        since=run.since, unchanged_since=run.at - NEWS_AGE
    ):
        run.add(missing_item(debit, day=run.day))


async def _came_back(run: _Run, payout: Payout) -> None:
    for debit_id in await run.store.debits_paid_out_by(payout.payout_id):
        await payout_bounced(store=run.debits, debit_id=debit_id, at=run.at)


async def _items(run: _Run, payout: Payout) -> tuple[PayoutItem, ...] | None:
    """Read the items of a payout; where the bank keeps them no more, what it told last counts.

    None if it never told them: such a payout is older than our books.
    """
    try:
        return await run.bank.list_payout_items(payout.payout_id)
    except BankRefusedError as error:
        log.warning("payout.items_gone", payout=payout.payout_id, reason=error.reason)
        return await run.store.items_of(payout.payout_id) or None


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
            await run.store.know_lines(own, f"payout {payout.payout_id}", at=run.at)
        if not found and arrived(payout, own) and payout.payout_id not in run.trouble:
            await _match(run, payout)
    # Of some of a payout's debits we hear only later that they are paid, or paid after all.
    for debit_id in await run.store.debits_paid_out_late():
        await _reconcile(run, debit_id)
    taken_back = await run.store.lines_taken_back()
    for booked in await run.store.unknown_lines():
        known_as = taken_back.get(booked.line_id)
        if known_as is not None:
            await run.store.know_lines([booked], known_as, at=run.at)
            continue
        await run.store.suspend(booked, at=run.at)
        run.add(orphan(booked))
    for day in await run.store.torn_days(since=run.since.date()):
        run.add(torn(day.day, opening_minor=day.opening_minor, before_minor=day.before_minor))


async def _match(run: _Run, payout: Payout) -> None:
    """Reconcile the debits of a payout about which all agree."""
    for debit_id in await run.store.match_payout(payout, at=run.at):
        await _reconcile(run, debit_id)
    run.done["matched"] += 1


async def _reconcile(run: _Run, debit_id: DebitId) -> None:
    async with run.debits.begin() as desk:
        debit = await desk.lock_debit(debit_id)
        # Between the list and the lock the bank may have taken it back.
        if debit is not None and debit.state is State.SETTLED:
            await desk.save_debit(debit, moved(debit, Event.RECONCILE, at=run.at))
            run.done["reconciled"] += 1


async def _unmatched(run: _Run, until: date | None) -> None:
    """Put before a person what is still unknown though all sides agree about its day."""
    if until is None:
        return
    for debit in await run.store.unknown_debits(charge_until=until):
        if debit.key not in run.listed:
            run.done["unmatched"] += await unmatched(
                store=run.debits, debit_id=debit.debit_id, at=run.at
            )


async def import_statement(
    *, store: ReconStore, statements: Sequence[Statement], at: datetime
) -> int:
    """Keep the statements of a file, each line once; return how many lines were new.

    Raises:
        FieldError: one speaks of days that are far from having come; nothing was taken.
        StatementDiffersError: a line is kept already with another amount.
    """
    if any(one.until_on > (at + AHEAD).date() for one in statements):
        raise FieldError("Stmt/FrToDt")
    new = sum([await store.add_statement(one, at=at) for one in statements])
    log.info("statement.imported", statements=len(statements), lines=new)
    return new
