"""Bills whose registers or terms no longer hold become other bills, or adjustments on the next one.

    said later --claim--> accounts --measure, rate, decide--> gas, documents, transfers
    money paid for what was cancelled --settle--> credit: used, carried or to be sent back

Accounts are taken in chunks, each in one transaction that locks their meters, the accounts and
their mandates. An account is corrected whole or not at all, and everything is asked anew under the
locks, so the look may be killed anywhere, repeated, or run twice at the same time.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Final, Protocol

import structlog

from billing.correction import Month, Outcome, Policy
from billing.credit import Owing, Purse, settle
from billing.debit import MAY_HAVE_REACHED_BANK, TAKEN, Debit, Event, moved
from billing.ledger import Transfer
from billing.period import Period, local_day
from billing.review import CaseFile, Office, Renewed, Reviewed, Wait, Waits, measured, review
from billing.tariff import PriceInterval, Tariff, VatRate, price_intervals

# Nobody in Kazakhstan can claim anything after three years.
MONTHS_LOOKED_BACK: Final = 36
# Some megabytes of bills and registers at once.
CHUNK: Final = 100

log = structlog.get_logger()


class CorrectDesk(Protocol):
    """What correcting needs inside one transaction."""

    async def cases(
        self, after: str, *, since: date, at: datetime, limit: int
    ) -> tuple[str | None, list[CaseFile]]:
        """Lock the next accounts to look at again; return the last, and what holds of them."""

    async def prices(self) -> tuple[tuple[Tariff, ...], tuple[VatRate, ...]]:
        """Hold the prices still, and return them."""

    async def months(self, wanted: Sequence[tuple[str, date]]) -> dict[str, list[Month]]:
        """Return, by account, those of these months that have a bill, as they were charged."""

    async def debits(self, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Debit]:
        """Lock the debits that may still take money for these bills."""

    async def give_up(self, before: Debit, after: Debit) -> None:
        """Write a locked debit back that is not wanted any more."""

    async def write(self, reviewed: Reviewed) -> None:
        """Write what becomes of an account's gas and bills, and forget why it was looked at."""

    async def credits(self, after: str, *, limit: int) -> list[str]:
        """Name the next accounts whose credit may be used."""

    async def lock(self, account_ids: Sequence[str]) -> None:
        """Lock accounts, their meters and mandates."""

    async def purses(
        self, account_ids: Collection[str], *, refund: bool
    ) -> list[tuple[list[Owing], Purse]]:
        """Return what the bills of locked accounts owe, and their credit."""

    async def transfer(self, transfers: Sequence[Transfer]) -> None:
        """Post transfers."""


class CorrectStore(Protocol):
    """Where bills are corrected."""

    def begin(self) -> AbstractAsyncContextManager[CorrectDesk]:
        """Open one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectCounts:
    """What one look did: accounts, months by what became of them, and transfers of credit.

    ``waiting`` counts accounts that could not be corrected yet, by reason.
    """

    accounts: int = 0
    unchanged: int = 0
    waived: int = 0
    adjusted: int = 0
    rebilled: int = 0
    debits_given_up: int = 0
    credits: int = 0
    waiting: Mapping[str, int] = field(default_factory=dict)


async def correct(
    *, store: CorrectStore, at: datetime, zone: str, policy: Policy, chunk: int = CHUNK
) -> CorrectCounts:
    """Correct every bill that would be another one today, then use the credit that this left."""
    seen: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    after = ""
    while True:
        async with store.begin() as desk:
            last = await _correct_chunk(desk, after, _Look(at, zone, policy, chunk), seen, waiting)
        if last is None:
            break
        after = last
    after = ""
    while True:
        async with store.begin() as desk:
            account_ids = await desk.credits(after, limit=chunk)
            if not account_ids:
                break
            await desk.lock(account_ids)
            seen["credits"] += await _use_credit(desk, account_ids, policy, at)
        after = account_ids[-1]
    counts = CorrectCounts(
        accounts=seen["accounts"],
        unchanged=seen[Outcome.UNCHANGED],
        waived=seen[Outcome.WAIVED],
        adjusted=seen[Outcome.ADJUSTMENT],
        rebilled=seen[Outcome.REBILL],
        debits_given_up=seen["debits_given_up"],
        credits=seen["credits"],
        waiting=dict(waiting),
    )
    if counts != CorrectCounts():
        log.info("correct.done", **asdict(counts))
    return counts


@dataclass(frozen=True, slots=True)
class _Look:
    at: datetime
    zone: str
    policy: Policy
    chunk: int

    @property
    def since(self) -> date:
        """Return the first day of the oldest month that is looked at."""
        today = local_day(self.at, self.zone)
        months = today.year * 12 + today.month - 1 - MONTHS_LOOKED_BACK
        return date(months // 12, months % 12 + 1, 1)


async def _correct_chunk(
    desk: CorrectDesk, after: str, look: _Look, seen: Counter[str], waiting: Counter[str]
) -> str | None:
    """Correct the next accounts, and return the last of them; None when there are no more."""
    last, cases = await desk.cases(after, since=look.since, at=look.at, limit=look.chunk)
    renewed: dict[str, tuple[Renewed, ...]] = {}
    for case in cases:
        fresh = measured(case)
        if isinstance(fresh, Waits):
            waiting[fresh.why] += 1
        else:
            renewed[case.account_id] = fresh
    wanted = [
        (case.account_id, start)
        for case in cases
        if case.account_id in renewed
        for start in sorted(case.reworded | {one.period_start for one in renewed[case.account_id]})
    ]
    months = await desk.months(wanted)
    office = await _office(desk, {start for _, start in wanted}, look)
    done: list[str] = []
    for case in cases:
        if case.account_id not in renewed:
            continue
        fresh = renewed[case.account_id]
        found = review(case, fresh, months.get(case.account_id, []), office)
        if isinstance(found, Waits):
            waiting[found.why] += 1
        elif not await _make_way(desk, found, seen):
            waiting[Wait.DEBIT_UNDER_WAY] += 1
        else:
            await desk.write(found)
            seen["accounts"] += 1
            seen.update(verdict.decided.outcome for verdict in found.verdicts)
            done.append(case.account_id)
    if done:
        seen["credits"] += await _use_credit(desk, done, look.policy, look.at)
    return last


async def _office(desk: CorrectDesk, starts: Collection[date], look: _Look) -> Office:
    tariffs, vat_rates = await desk.prices()
    prices: dict[date, Sequence[PriceInterval]] = {
        start: price_intervals(tariffs, vat_rates, _month(start), look.zone) for start in starts
    }
    return Office(policy=look.policy, prices=prices, zone=look.zone, at=look.at)


def _month(start: date) -> Period:
    return Period.month(start.year, start.month)


async def _make_way(desk: CorrectDesk, found: Reviewed, seen: Counter[str]) -> bool:
    """Give up the debits for bills to be cancelled; False where one may be at the bank.

    Money that is under way for the old bill must not be asked for a second time with the new one.
    """
    cancelled = [
        (found.case.account_id, verdict.month.bill.bill_no)
        for verdict in found.verdicts
        if verdict.decided.outcome is Outcome.REBILL
    ]
    debits = list((await desk.debits(cancelled)).values()) if cancelled else []
    if any(_under_way(debit) for debit in debits):
        return False
    for debit in debits:
        if debit.state not in TAKEN:
            gone = moved(debit, Event.CANCEL, at=found.at, reason="bill_corrected")
            await desk.give_up(debit, gone)
            seen["debits_given_up"] += 1
    return True


def _under_way(debit: Debit) -> bool:
    """Say whether only the bank can tell what will become of a debit."""
    if debit.state in TAKEN:
        return False
    return debit.sends > 0 or debit.state in MAY_HAVE_REACHED_BANK


async def _use_credit(
    desk: CorrectDesk, account_ids: Collection[str], policy: Policy, at: datetime
) -> int:
    count = 0
    for owing, purse in await desk.purses(account_ids, refund=policy.refund):
        transfers = settle(owing, purse, at=at)
        if transfers:
            await desk.transfer(transfers)
            count += len(transfers)
    return count
