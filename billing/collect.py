"""Collecting: every bill that is due, from the notice to the money, one small step at a time.

    notice    tell the resident: this amount, from that day        (or hold it: over his cap)
    record    the day has come: ask every guard again, freeze the order, book it as pending
    send      give the frozen order to the bank, under its key      (billing/send.py)
    follow    read what the bank says has happened                  (billing/follow.py)
    retire    end the mandates of accounts that have ended and owe nothing   (billing/retire.py)
    withdraw  tell the bank what residents have paused or cancelled  (billing/withdraw.py)
    reread    look again at what has been silent for a day          (billing/follow.py)

Each step does one batch and may be run by any number of processes at once: rows are locked while
they are moved, what was moved is seen to be, and no transaction is open while the bank is asked.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Protocol, assert_never

import structlog

from billing.breaker import Stop
from billing.debit import (
    COUNTS_IN_MONTH,
    SEND_LEAD_DAYS,
    Debit,
    DebitId,
    Event,
    State,
    moved,
)
from billing.enrol import EnrolDesk
from billing.follow import FollowCounts, FollowDesk, follow, reread
from billing.mandate import Allowed, Held, Mandate, Permission, Refused, may_debit
from billing.notice import (
    Attempt,
    Candidate,
    DueBill,
    Notice,
    broken_promise,
    first_charge_day,
    may_try_again,
)
from billing.order import body_digest, frozen_body
from billing.period import Period, local_day
from billing.retire import RetireStore, retire
from billing.send import SendBank, SendCounts, SendDesk, SendStore, send
from billing.withdraw import WithdrawBank, WithdrawStore, withdraw

log = structlog.get_logger()


class CollectDesk(Protocol):
    """What announcing and recording need inside one transaction."""

    async def try_lock_mandate(self, account_id: str, mandate_id: str) -> Mandate | None:
        """Lock a mandate; None if somebody else is at work on it."""

    async def lock_debit(self, debit_id: DebitId) -> Debit | None:
        """Lock one debit."""

    async def attempts(self, account_id: str, bill_no: str) -> list[Attempt]:
        """Return what became of the attempts for a bill so far."""

    async def owed_minor(self, account_id: str, bill_no: str) -> int:
        """Return what a bill still owes."""

    async def disputed(self, account_id: str, bill_no: str) -> bool:
        """Say whether a bill is in dispute."""

    async def frozen(self, account_id: str, mandate_id: str) -> bool:
        """Say whether nothing may be asked for under a mandate until a person has looked."""

    async def month_minor(
        self, account_id: str, bill_no: str, *, states: frozenset[State], start: date, end: date
    ) -> int:
        """Return what the account's other bills take between two days."""

    async def notice(self, debit_id: DebitId) -> Notice | None:
        """Return what the resident was told about a debit."""

    async def add_debit(self, debit: Debit) -> bool:
        """Keep a new attempt; False if another one is alive."""

    async def add_notice(self, debit_id: DebitId, notice: Notice) -> None:
        """Tell the resident what will be taken."""

    async def save_debit(self, before: Debit, after: Debit) -> None:
        """Write a locked debit back, one step on."""

    async def touch_debit(self, debit_id: DebitId, *, at: datetime) -> None:
        """Note that we looked and found nothing new."""


class BatchStore(Protocol):
    """Where debits wait to be announced and recorded."""

    def begin(self) -> AbstractAsyncContextManager[CollectDesk]:
        """Open one transaction."""

    async def stopped(self) -> Stop | None:
        """Return why the whole run is stopped; None while it goes on."""

    async def bills_to_notice(self, *, limit: int) -> list[DueBill]:
        """Return bills to be asked for."""

    async def held_debits(self, *, at: datetime, limit: int) -> list[Candidate]:
        """Return held debits to look at again."""

    async def debits_to_record(self, *, charge_until: date, limit: int) -> list[Candidate]:
        """Return noticed debits whose day to be recorded has come."""


class WholeDesk(CollectDesk, SendDesk, FollowDesk, EnrolDesk, Protocol):
    """What all steps together need inside one transaction."""


class CollectStore(BatchStore, SendStore, RetireStore, WithdrawStore, Protocol):
    """Everything that collecting keeps."""

    def begin(self) -> AbstractAsyncContextManager[WholeDesk]:
        """Open one transaction."""


class CollectBank(SendBank, WithdrawBank, Protocol):
    """Everything that collecting asks of the bank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeCounts:
    """What one batch of ``notice`` did."""

    noticed: int = 0
    held: int = 0
    cancelled: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCounts:
    """What one batch of ``record`` did."""

    recorded: int = 0
    cancelled: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectCounts:
    """What one round of collecting did, step by step."""

    notice: NoticeCounts
    record: RecordCounts
    send: SendCounts
    follow: FollowCounts
    withdraw: FollowCounts
    reread: FollowCounts
    retired: int


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
    )


async def notice(*, store: BatchStore, at: datetime, zone: str, limit: int) -> NoticeCounts:
    """Announce a debit for bills that are open and wanted, and look again at those held back.

    While the run is stopped nothing is announced.
    """
    if await store.stopped() is not None:
        return NoticeCounts()
    outcomes: list[State | None] = [
        await _announce(store, bill, at=at, zone=zone)
        for bill in await store.bills_to_notice(limit=limit)
    ]
    outcomes += [
        await _look_again(store, candidate, at=at, zone=zone)
        for candidate in await store.held_debits(at=at, limit=limit)
    ]
    counts = NoticeCounts(
        noticed=outcomes.count(State.NOTICED),
        held=outcomes.count(State.HELD),
        cancelled=outcomes.count(State.CANCELLED),
    )
    if counts != NoticeCounts():
        log.info("notice.done", **asdict(counts))
    return counts


async def _announce(store: BatchStore, bill: DueBill, *, at: datetime, zone: str) -> State | None:
    async with store.begin() as desk:
        mandate = await desk.try_lock_mandate(bill.account_id, bill.mandate_id)
        if mandate is None:
            return None
        past = await desk.attempts(bill.account_id, bill.bill_no)
        owed_minor = await desk.owed_minor(bill.account_id, bill.bill_no)
        disputed = await desk.disputed(bill.account_id, bill.bill_no)
        if owed_minor <= 0 or disputed or not may_try_again(past):
            return None
        debit = Debit(
            account_id=bill.account_id,
            bill_no=bill.bill_no,
            attempt=max((one.attempt for one in past), default=0) + 1,
            mandate_id=mandate.mandate_id,
            state=State.NOTICED,
            reason=None,
            amount_minor=owed_minor,
            currency=bill.currency,
            charge_on=first_charge_day(due_on=bill.due_on, today=local_day(at, zone)),
            changed_at=at,
        )
        permission = await _permission(desk, mandate, debit)
        match permission:
            case Allowed():
                if not await desk.add_debit(debit):
                    return None
                await desk.add_notice(debit.debit_id, _told(debit, at))
                return State.NOTICED
            case Held(reason="over_cap" | "over_month_cap" as reason):
                held = replace(debit, state=State.HELD, reason=reason)
                return State.HELD if await desk.add_debit(held) else None
            case Held() | Refused():
                return None
            case _ as impossible:
                assert_never(impossible)


async def _look_again(
    store: BatchStore, candidate: Candidate, *, at: datetime, zone: str
) -> State | None:
    """Announce a held debit if the resident's caps allow it by now."""
    async with store.begin() as desk:
        mandate = await desk.try_lock_mandate(candidate.debit_id.account_id, candidate.mandate_id)
        debit = None if mandate is None else await desk.lock_debit(candidate.debit_id)
        if mandate is None or debit is None or debit.state is not State.HELD:
            return None
        if await desk.owed_minor(debit.account_id, debit.bill_no) != debit.amount_minor:
            await desk.save_debit(debit, moved(debit, Event.CANCEL, at=at, reason="amount_changed"))
            return State.CANCELLED
        charge_on = first_charge_day(due_on=debit.charge_on, today=local_day(at, zone))
        permission = await _permission(desk, mandate, replace(debit, charge_on=charge_on))
        if not isinstance(permission, Allowed):
            await desk.touch_debit(debit.debit_id, at=at)
            return None
        planned = moved(debit, Event.FREE, at=at, charge_on=charge_on)
        await desk.save_debit(debit, planned)
        noticed = moved(planned, Event.NOTICE, at=at)
        await desk.save_debit(planned, noticed)
        await desk.add_notice(noticed.debit_id, _told(noticed, at))
        return State.NOTICED


def _told(debit: Debit, at: datetime) -> Notice:
    return Notice(
        amount_minor=debit.amount_minor,
        currency=debit.currency,
        charge_on=debit.charge_on,
        noticed_at=at,
    )


async def _permission(desk: CollectDesk, mandate: Mandate, debit: Debit) -> Permission:
    if await desk.frozen(mandate.account_id, mandate.mandate_id):
        return Held(reason="mandate_frozen")
    month = Period.month(debit.charge_on.year, debit.charge_on.month)
    month_minor = await desk.month_minor(
        debit.account_id, debit.bill_no, states=COUNTS_IN_MONTH, start=month.start, end=month.end
    )
    return may_debit(
        mandate,
        amount_minor=debit.amount_minor,
        currency=debit.currency,
        month_minor=month_minor,
    )


async def record(*, store: BatchStore, at: datetime, zone: str, limit: int) -> RecordCounts:
    """Freeze the order of every debit whose day has come, if every guard still holds.

    A debit whose promise is broken is cancelled, with the reason; where the bill still owes, the
    next ``notice`` begins anew, with a fresh announcement. While the run is stopped nothing is
    recorded, and nothing cancelled either: it waits.
    """
    if await store.stopped() is not None:
        return RecordCounts()
    charge_until = local_day(at, zone) + timedelta(days=SEND_LEAD_DAYS)
    candidates = await store.debits_to_record(charge_until=charge_until, limit=limit)
    outcomes = [await _record_one(store, one, at=at, zone=zone) for one in candidates]
    counts = RecordCounts(
        recorded=outcomes.count(State.RECORDED), cancelled=outcomes.count(State.CANCELLED)
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
        reason = await _obstacle(desk, mandate, planned, zone)
        if reason is not None:
            await desk.save_debit(debit, moved(debit, Event.CANCEL, at=at, reason=reason))
            return State.CANCELLED
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


async def _obstacle(desk: CollectDesk, mandate: Mandate, debit: Debit, zone: str) -> str | None:
    """Ask every guard again; the world may have changed since the notice."""
    told = await desk.notice(debit.debit_id)
    broken = broken_promise(
        debit,
        notice=told,
        noticed_on=None if told is None else local_day(told.noticed_at, zone),
        owed_minor=await desk.owed_minor(debit.account_id, debit.bill_no),
    )
    if broken is not None:
        return broken
    if await desk.disputed(debit.account_id, debit.bill_no):
        return "disputed"
    permission = await _permission(desk, mandate, debit)
    match permission:
        case Allowed():
            return None
        case Held(reason=reason) | Refused(reason=reason):
            return reason
        case _ as impossible:
            assert_never(impossible)
