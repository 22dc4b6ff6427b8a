"""Collecting: every bill that is due, from the notice to the money, one small step at a time.

    notice    tell the resident: this amount, from that day         (billing/announce.py)
    record    the day has come: ask every guard again, freeze the order, book it as pending
    send      give the frozen order to the bank, under its key      (billing/send.py)
    follow    read what the bank says has happened                  (billing/follow.py)
    retire    end the mandates of accounts that have ended and owe nothing   (billing/retire.py)
    withdraw  tell the bank what residents have paused or cancelled  (billing/withdraw.py)
    reread    look again at what has been silent for a day          (billing/follow.py)
    close     give up what failed long ago and nothing came of      (billing/retry.py)
    give_back send back what was taken wrongly or too late          (billing/give_back.py)

Each step does one batch and may be run by any number of processes at once: rows are locked while
they are moved, what was moved is seen to be, and no transaction is open while the bank is asked.
"""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import NamedTuple, Protocol, assert_never

import structlog

from billing.announce import AnnounceDesk, AnnounceStore, NoticeCounts, notice, tell
from billing.debit import SEND_LEAD_DAYS, Debit, DebitId, Event, State, moved
from billing.enrol import EnrolDesk
from billing.follow import FollowCounts, FollowDesk, follow, reread
from billing.give_back import GiveBackCounts, GiveBackDesk, GiveBackStore, give_back
from billing.guard import permission
from billing.mandate import Allowed, Held, Mandate, Refused
from billing.notice import (
    GIVEN_UP_FOR,
    Candidate,
    Notice,
    broken_promise,
    first_charge_day,
)
from billing.order import body_digest, frozen_body
from billing.pay_back import PayBackBank
from billing.period import local_day
from billing.retire import RetireStore, retire
from billing.retry import CloseStore, close
from billing.send import WORKERS, SendBank, SendCounts, SendDesk, SendStore, send
from billing.withdraw import WithdrawBank, WithdrawStore, withdraw

log = structlog.get_logger()


class RecordDesk(AnnounceDesk, Protocol):
    """What recording needs inside one transaction."""

    async def notice(self, debit_id: DebitId) -> Notice | None:
        """Return what the resident was told last about a debit."""


class BatchStore(AnnounceStore, Protocol):
    """Where debits wait to be announced and recorded."""

    def begin(self) -> AbstractAsyncContextManager[RecordDesk]:
        """Open one transaction."""

    async def debits_to_record(self, *, charge_until: date, limit: int) -> list[Candidate]:
        """Return noticed debits whose day to be recorded has come."""


class WholeDesk(RecordDesk, SendDesk, FollowDesk, GiveBackDesk, EnrolDesk, Protocol):
    """What all steps together need inside one transaction."""


class CollectStore(
    BatchStore, SendStore, RetireStore, WithdrawStore, CloseStore, GiveBackStore, Protocol
):
    """Everything that collecting keeps."""

    def begin(self) -> AbstractAsyncContextManager[WholeDesk]:
        """Open one transaction."""


class CollectBank(SendBank, WithdrawBank, PayBackBank, Protocol):
    """Everything that collecting asks of the bank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCounts:
    """What one batch of ``record`` did."""

    recorded: int = 0
    cancelled: int = 0
    held: int = 0
    told_anew: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectCounts:
    """What one round of collecting did, step by step."""

    notice: NoticeCounts
    record: RecordCounts
    send: SendCounts
    follow: FollowCounts
    withdraw: FollowCounts
    reread: FollowCounts
    give_back: GiveBackCounts
    retired: int
    closed: int = 0


async def collect(
    *, store: CollectStore, bank: CollectBank, at: datetime, zone: str, limit: int
) -> CollectCounts:
    """Do one batch of every step, in their order; a silent bank is counted, not raised."""
    return CollectCounts(
        retired=await retire(store=store, at=at, limit=limit),
        notice=await notice(store=store, at=at, zone=zone, limit=limit),
        record=await record(store=store, at=at, zone=zone, limit=limit),
        send=await send(store=store, bank=bank, at=at, limit=limit),
        follow=await follow(store=store, bank=bank, at=at, limit=limit),
        withdraw=await withdraw(store=store, bank=bank, at=at, limit=limit),
        reread=await reread(store=store, bank=bank, at=at, limit=limit),
        closed=await close(store=store, at=at, limit=limit),
        give_back=await give_back(store=store, bank=bank, at=at, limit=limit),
    )


class _Obstacle(NamedTuple):
    """Why a debit cannot be recorded, and the step it takes instead."""

    event: Event
    reason: str


async def record(*, store: BatchStore, at: datetime, zone: str, limit: int) -> RecordCounts:
    """Freeze the order of every debit whose day has come, if every guard still holds.

    What the bill no longer owes is given up; what a guard holds back waits; a promise that was
    not kept is made again, with a clock of its own. While the run is stopped nothing is recorded,
    and nothing given up either: it waits.
    """
    if await store.stopped() is not None:
        return RecordCounts()
    charge_until = local_day(at, zone) + timedelta(days=SEND_LEAD_DAYS)
    candidates = await store.debits_to_record(charge_until=charge_until, limit=limit)
    # Those under one mandate follow each other: side by side the second would find it locked.
    by_mandate: dict[tuple[str, str], list[Candidate]] = {}
    for one in candidates:
        by_mandate.setdefault((one.debit_id.account_id, one.mandate_id), []).append(one)
    outcomes: list[State | None] = []
    waiting = iter(by_mandate.values())

    async def work() -> None:
        for group in waiting:
            for one in group:
                outcomes.append(await _record_one(store, one, at=at, zone=zone))  # noqa: PERF401

    async with asyncio.TaskGroup() as workers:
        for _ in range(min(WORKERS, len(by_mandate))):
            workers.create_task(work())
    counts = RecordCounts(
        recorded=outcomes.count(State.RECORDED),
        cancelled=outcomes.count(State.CANCELLED),
        held=outcomes.count(State.HELD),
        told_anew=outcomes.count(State.PLANNED),
    )
    if counts != RecordCounts():
        log.info("record.done", **asdict(counts))
    return counts


async def _record_one(
    store: BatchStore, candidate: Candidate, *, at: datetime, zone: str
) -> State | None:
    async with store.begin() as desk:
        mandate = await desk.try_lock_mandate(candidate.debit_id.account_id, candidate.mandate_id)
        debit = None if mandate is None else await desk.lock_debit(candidate.debit_id)
        if mandate is None or debit is None or debit.state is not State.NOTICED:
            return None
        # A late run cannot charge on the promised day any more; later is what "from" promised.
        charge_on = max(debit.charge_on, local_day(at, zone) + timedelta(days=SEND_LEAD_DAYS))
        planned = replace(debit, charge_on=charge_on)
        obstacle = await _obstacle(desk, mandate, planned, zone)
        if obstacle is not None:
            return await _turn_back(desk, debit, obstacle, at, zone)
        assert mandate.bank_mandate_id is not None, "an active mandate has its name at the bank"
        body = frozen_body(planned, mandate.bank_mandate_id)
        recorded = moved(
            debit,
            Event.RECORD,
            at=at,
            charge_on=charge_on,
            idempotency_key=debit.key,
            body=body,
            body_digest=body_digest(body),
        )
        await desk.save_debit(debit, recorded)
        return State.RECORDED


async def _turn_back(
    desk: RecordDesk, debit: Debit, obstacle: _Obstacle, at: datetime, zone: str
) -> State:
    """Give a debit up, hold it back, or tell its resident anew."""
    reason = obstacle.reason
    if obstacle.event is not Event.REBILL:
        after = moved(debit, obstacle.event, at=at, reason=reason)
        await desk.save_debit(debit, after)
        return after.state
    day = first_charge_day(
        due_on=debit.charge_on, today=local_day(at, zone), currency=debit.currency
    )
    planned = moved(debit, Event.REBILL, at=at, reason=reason, charge_on=day)
    await desk.save_debit(debit, planned)
    await tell(desk, planned, at, zone)
    return State.PLANNED


async def _obstacle(
    desk: RecordDesk, mandate: Mandate, debit: Debit, zone: str
) -> _Obstacle | None:
    """Ask every guard again; the world may have changed since the notice."""
    told = await desk.notice(debit.debit_id)
    broken = broken_promise(
        debit,
        notice=told,
        noticed_on=None if told is None else local_day(told.noticed_at, zone),
        owed_minor=await desk.owed_minor(debit.account_id, debit.bill_no),
    )
    if broken in GIVEN_UP_FOR:
        return _Obstacle(Event.CANCEL, broken)
    allowed = await permission(desk, mandate, debit)
    match allowed:
        case Allowed():
            return None if broken is None else _Obstacle(Event.REBILL, broken)
        case Held(reason=reason):
            return _Obstacle(Event.HOLD, reason)
        case Refused(reason=reason):
            return _Obstacle(Event.CANCEL, reason)
        case _ as impossible:
            assert_never(impossible)
