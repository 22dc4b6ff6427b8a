"""Announcing: every debit is planned, held back for a reason, or told to its resident.

    plan      a bill that owes, under a mandate that is wanted, gets its next attempt
    hold      a guard says not now: over a cap, unusual, estimated, disputed, paused
    free      what held it back is gone: planned again, with a clock of its own
    tell      the resident hears amount and day; only what was delivered counts
    give up   held for longer than HOLD_MAX: the resident pays by hand

Where letters are sent by mail, a notice that is not delivered in time moves the day of the charge.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final, Protocol, assert_never

import structlog

from billing.breaker import Stop
from billing.debit import Debit, DebitId, Event, State, moved
from billing.guard import GuardDesk, permission
from billing.mandate import Allowed, Held, Mandate, Refused
from billing.notice import Attempt, Candidate, DueBill, Notice, first_charge_day, may_try_again
from billing.period import local_day
from billing.workdays import bank_days, in_time

log = structlog.get_logger()

# By then the bill of the next month is out, and this one is late whoever is to blame.
HOLD_MAX: Final = timedelta(days=30)
# Nothing is begun that would be held for these at once: it begins when they are over.
NOT_BORN_FOR: Final = frozenset(
    {"paused", "mandate_pending", "mandate_frozen", "disputed", "currency_differs"}
)
# A letter that was late once gets so many days more the next time.
LETTER_DAYS: Final = 2


class AnnounceDesk(GuardDesk, Protocol):
    """What announcing needs inside one transaction."""

    async def try_lock_mandate(self, account_id: str, mandate_id: str) -> Mandate | None:
        """Lock a mandate; None if somebody else is at work on it."""

    async def lock_debit(self, debit_id: DebitId) -> Debit | None:
        """Lock one debit."""

    async def attempts(self, account_id: str, bill_no: str) -> list[Attempt]:
        """Return what became of the attempts for a bill so far."""

    async def owed_minor(self, account_id: str, bill_no: str) -> int:
        """Return what a bill still owes."""

    async def held_since(self, debit_id: DebitId) -> datetime | None:
        """Return since when a debit is held."""

    async def add_debit(self, debit: Debit) -> bool:
        """Keep a new attempt; False if another one is alive."""

    async def tell_notice(self, debit: Debit, *, at: datetime) -> datetime | None:
        """Tell the resident of a planned debit; return when he was told, None if not yet."""

    async def add_notice(self, debit_id: DebitId, notice: Notice) -> None:
        """Keep that the resident was told what will be taken."""

    async def save_debit(self, before: Debit, after: Debit) -> None:
        """Write a locked debit back, one step on."""

    async def touch_debit(self, debit_id: DebitId, *, at: datetime) -> None:
        """Note that we looked and found nothing new."""


class AnnounceStore(Protocol):
    """Where bills and debits wait to be announced."""

    def begin(self) -> AbstractAsyncContextManager[AnnounceDesk]:
        """Open one transaction."""

    async def stopped(self) -> Stop | None:
        """Return why the whole run is stopped; None while it goes on."""

    async def bills_to_notice(self, *, today: date, limit: int) -> list[DueBill]:
        """Return bills to be asked for."""

    async def debits_to_tell(self, *, at: datetime, limit: int) -> list[Candidate]:
        """Return held and planned debits to look at again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeCounts:
    """What one batch of ``notice`` did; ``planned`` ones wait for their letter."""

    noticed: int = 0
    held: int = 0
    cancelled: int = 0
    planned: int = 0
    exhausted: int = 0


async def notice(*, store: AnnounceStore, at: datetime, zone: str, limit: int) -> NoticeCounts:
    """Announce a debit for bills that are open and wanted, and look again at those held back.

    While the run is stopped nothing is announced.
    """
    if await store.stopped() is not None:
        return NoticeCounts()
    outcomes: list[State | None] = [
        await _announce(store, bill, at=at, zone=zone)
        for bill in await store.bills_to_notice(today=local_day(at, zone), limit=limit)
    ]
    outcomes += [
        await _look_again(store, candidate, at=at, zone=zone)
        for candidate in await store.debits_to_tell(at=at, limit=limit)
    ]
    counts = NoticeCounts(
        noticed=outcomes.count(State.NOTICED),
        held=outcomes.count(State.HELD),
        cancelled=outcomes.count(State.CANCELLED),
        planned=outcomes.count(State.PLANNED),
        exhausted=outcomes.count(State.EXHAUSTED),
    )
    if counts != NoticeCounts():
        log.info("notice.done", **asdict(counts))
    return counts


async def _announce(
    store: AnnounceStore, bill: DueBill, *, at: datetime, zone: str
) -> State | None:
    async with store.begin() as desk:
        mandate = await desk.try_lock_mandate(bill.account_id, bill.mandate_id)
        if mandate is None:
            return None
        today = local_day(at, zone)
        past = await desk.attempts(bill.account_id, bill.bill_no)
        owed_minor = await desk.owed_minor(bill.account_id, bill.bill_no)
        if owed_minor <= 0 or not may_try_again(past, today=today):
            return None
        debit = Debit(
            account_id=bill.account_id,
            bill_no=bill.bill_no,
            attempt=max((one.attempt for one in past), default=0) + 1,
            mandate_id=mandate.mandate_id,
            state=State.PLANNED,
            reason=None,
            amount_minor=owed_minor,
            currency=bill.currency,
            charge_on=first_charge_day(due_on=bill.due_on, today=today, currency=bill.currency),
            changed_at=at,
        )
        (facts,) = await desk.facts([debit])
        allowed = permission(mandate, debit, facts)
        match allowed:
            case Refused():
                return None
            case Held(reason=reason) if reason in NOT_BORN_FOR:
                return None
            case Held(reason=reason):
                born = await _take_over(desk, debit, past, at)
                return await _hold(desk, debit, reason, at) if born else None
            case Allowed():
                born = await _take_over(desk, debit, past, at)
                return await tell(desk, debit, at, zone) if born else None
            case _ as impossible:
                assert_never(impossible)


async def _take_over(
    desk: AnnounceDesk, debit: Debit, past: Sequence[Attempt], at: datetime
) -> bool:
    """Keep a new attempt; the one that waited for this day has failed for good."""
    for one in past:
        if one.state is State.RETRY_DUE:
            waiting = await desk.lock_debit(replace(debit.debit_id, attempt=one.attempt))
            assert waiting is not None, "debits are never removed"
            gone = moved(waiting, Event.REPLACE, at=at, reason=waiting.reason)
            await desk.save_debit(waiting, gone)
    return await desk.add_debit(debit)


async def _look_again(
    store: AnnounceStore, candidate: Candidate, *, at: datetime, zone: str
) -> State | None:
    """Go on with a debit that was held back or waits for its letter, as far as that is allowed."""
    async with store.begin() as desk:
        mandate = await desk.try_lock_mandate(candidate.debit_id.account_id, candidate.mandate_id)
        debit = None if mandate is None else await desk.lock_debit(candidate.debit_id)
        if mandate is None or debit is None or debit.state not in {State.HELD, State.PLANNED}:
            return None
        today = local_day(at, zone)
        charge_on = debit.charge_on
        if debit.state is State.HELD:
            charge_on = first_charge_day(due_on=charge_on, today=today, currency=debit.currency)
        free = moved(debit, Event.FREE, at=at, charge_on=charge_on) if _held(debit) else debit
        (facts,) = await desk.facts([free])
        if facts.owed_minor != debit.amount_minor:
            return await _cancel(desk, debit, "amount_changed", at)
        allowed = permission(mandate, free, facts)
        match allowed:
            case Refused(reason=reason):
                return await _cancel(desk, debit, reason, at)
            case Held(reason=reason) if _held(debit) and reason == debit.reason:
                return await _wait(desk, debit, at)
            case Held(reason=reason):
                await _freed(desk, debit, free)
                await _hold(desk, free, reason, at)
                return State.HELD if not _held(debit) else None
            case Allowed():
                await _freed(desk, debit, free)
                return await tell(desk, free, at, zone, waited=not _held(debit))
            case _ as impossible:
                assert_never(impossible)


def _held(debit: Debit) -> bool:
    return debit.state is State.HELD


async def _freed(desk: AnnounceDesk, debit: Debit, free: Debit) -> None:
    if _held(debit):
        await desk.save_debit(debit, free)


async def _hold(desk: AnnounceDesk, debit: Debit, reason: str, at: datetime) -> State:
    await desk.save_debit(debit, moved(debit, Event.HOLD, at=at, reason=reason))
    return State.HELD


async def _cancel(desk: AnnounceDesk, debit: Debit, reason: str, at: datetime) -> State:
    await desk.save_debit(debit, moved(debit, Event.CANCEL, at=at, reason=reason))
    return State.CANCELLED


async def _wait(desk: AnnounceDesk, debit: Debit, at: datetime) -> State | None:
    """Leave a held debit as it is, unless it has been held for too long."""
    since = await desk.held_since(debit.debit_id)
    if since is None or at < since + HOLD_MAX:
        await desk.touch_debit(debit.debit_id, at=at)
        return None
    await desk.save_debit(debit, moved(debit, Event.GIVE_UP, at=at, reason="hold_expired"))
    return State.EXHAUSTED


async def tell(
    desk: AnnounceDesk, debit: Debit, at: datetime, zone: str, *, waited: bool = False
) -> State | None:
    """Tell the resident of a planned debit; it is noticed once that is delivered in time.

    A letter that came too late, or is not there on its last day, is written anew for a later day.
    """
    told_at = await desk.tell_notice(debit, at=at)
    days = bank_days(debit.currency)
    if not in_time(local_day(told_at or at, zone), debit.charge_on, days):
        debit = await _postpone(desk, debit, at, zone)
        told_at = await desk.tell_notice(debit, at=at)
        waited = False
    if told_at is None:
        if waited:
            await desk.touch_debit(debit.debit_id, at=at)
            return None
        return State.PLANNED
    noticed = moved(debit, Event.NOTICE, at=at)
    await desk.save_debit(debit, noticed)
    told = Notice(
        amount_minor=debit.amount_minor,
        currency=debit.currency,
        charge_on=debit.charge_on,
        noticed_at=told_at,
    )
    await desk.add_notice(debit.debit_id, told)
    return State.NOTICED


async def _postpone(desk: AnnounceDesk, debit: Debit, at: datetime, zone: str) -> Debit:
    later = postponed(debit, today=local_day(at, zone))
    after = moved(debit, Event.POSTPONE, at=at, reason="notice_undelivered", charge_on=later)
    await desk.save_debit(debit, after)
    return after


def postponed(debit: Debit, *, today: date) -> date:
    """Return the day for which a letter that came too late is written anew."""
    read_on = today + timedelta(days=LETTER_DAYS)
    return first_charge_day(due_on=debit.charge_on, today=read_on, currency=debit.currency)
