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

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from itertools import zip_longest
from typing import Final, NamedTuple, Protocol, assert_never

import structlog

from billing.announce import AnnounceDesk, AnnounceStore, NoticeCounts, notice, tell
from billing.ask import SendBank
from billing.debit import Debit, Event, State, moved
from billing.enrol import EnrolDesk
from billing.follow import FollowCounts, FollowDesk, follow, reread
from billing.give_back import GiveBackCounts, GiveBackDesk, GiveBackStore, give_back
from billing.guard import Facts, permission
from billing.mandate import Allowed, Held, Mandate, Refused
from billing.notice import (
    GIVEN_UP_FOR,
    Candidate,
    broken_promise,
    first_charge_day,
    first_ordered_day,
    ordered_until,
)
from billing.order import frozen_order
from billing.pay_back import PayBackBank
from billing.period import local_day
from billing.retire import RetireStore, retire
from billing.retry import CloseStore, close
from billing.send import SendCounts, SendDesk, SendStore, send
from billing.together import together
from billing.withdraw import WithdrawBank, WithdrawStore, withdraw

log = structlog.get_logger()


# So many orders are frozen in one transaction; their mandates are locked for its few milliseconds.
RECORD_BATCH: Final = 50


class RecordDesk(AnnounceDesk, Protocol):
    """What recording needs inside one transaction."""

    async def try_lock_noticed(
        self, candidates: Sequence[Candidate]
    ) -> list[tuple[Mandate, Debit]]:
        """Lock what is announced, mandates first; leave out what somebody else is at work on."""

    async def save_debits(self, steps: Sequence[tuple[Debit, Debit]]) -> None:
        """Write locked debits back, each one step on, from before to after."""


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
    """Do one batch of every step, in their order; a silent bank is counted, not raised.

    What the bank has is heard before anything is ordered: an old backup may be all that we know.
    """
    return CollectCounts(
        follow=await follow(store=store, bank=bank, at=at, limit=limit),
        retired=await retire(store=store, at=at, limit=limit),
        notice=await notice(store=store, at=at, zone=zone, limit=limit),
        record=await record(store=store, at=at, zone=zone, limit=limit),
        send=await send(store=store, bank=bank, at=at, limit=limit),
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
    and nothing given up either: it waits. A debit that cannot be recorded for a reason that nobody
    thought of is logged and left where it is; the others go on.
    """
    if await store.stopped() is not None:
        return RecordCounts()
    charge_until = ordered_until(today=local_day(at, zone))
    candidates = await store.debits_to_record(charge_until=charge_until, limit=limit)
    outcomes: list[State] = []

    async def work(batch: Sequence[Candidate]) -> list[State]:
        return await _record_batch(store, batch, at=at, zone=zone)

    for batch in _batches(candidates):
        for done in await together(batch, work, name=lambda one: one.debit_id.key):
            outcomes += done
    counts = RecordCounts(
        recorded=outcomes.count(State.RECORDED),
        cancelled=outcomes.count(State.CANCELLED),
        held=outcomes.count(State.HELD),
        told_anew=outcomes.count(State.PLANNED),
    )
    if counts != RecordCounts():
        log.info("record.done", **asdict(counts))
    return counts


def _batches(candidates: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    """Cut candidates into batches in which an account has one debit.

    The next one's guards must see what became of the one before.
    """
    by_account: dict[str, list[Candidate]] = defaultdict(list)
    for one in candidates:
        by_account[one.debit_id.account_id].append(one)
    for turn in zip_longest(*by_account.values()):
        present = [one for one in turn if one is not None]
        for first in range(0, len(present), RECORD_BATCH):
            yield present[first : first + RECORD_BATCH]


async def _record_batch(
    store: BatchStore, candidates: Sequence[Candidate], *, at: datetime, zone: str
) -> list[State]:
    """Record what may be, in one transaction, and turn back the rest; return where they stand."""
    today = local_day(at, zone)
    async with store.begin() as desk:
        locked = await desk.try_lock_noticed(candidates)
        if not locked:
            return []
        planned = [_planned(one, today) for _, one in locked]
        facts = await desk.facts(planned)
        steps: list[tuple[Debit, Debit]] = []
        told_anew: list[Debit] = []
        for (mandate, debit), due, known in zip(locked, planned, facts, strict=True):
            obstacle = _obstacle(mandate, due, known, zone)
            after = (
                _recorded(debit, due, mandate, at)
                if obstacle is None
                else _turned_back(debit, obstacle, at, zone)
            )
            steps.append((debit, after))
            if after.state is State.PLANNED:
                told_anew.append(after)
        await desk.save_debits(steps)
        for one in told_anew:
            await tell(desk, one, at, zone)
    return [after.state for _, after in steps]


def _planned(debit: Debit, today: date) -> Debit:
    """Return a debit for its day, or, if that is too late to be ordered, for the next one.

    A late run cannot charge on the promised day any more; later is what "not before" promised.
    """
    earliest = first_ordered_day(today=today, currency=debit.currency)
    return replace(debit, charge_on=max(debit.charge_on, earliest))


def _recorded(debit: Debit, due: Debit, mandate: Mandate, at: datetime) -> Debit:
    """Return a debit with its order frozen for the day on which it is due."""
    assert mandate.bank_mandate_id is not None, "an active mandate has its name at the bank"
    order = frozen_order(due, mandate.bank_mandate_id)
    return moved(debit, Event.RECORD, at=at, charge_on=due.charge_on, **order)


def _turned_back(debit: Debit, obstacle: _Obstacle, at: datetime, zone: str) -> Debit:
    """Return a debit that is given up, held back, or to be told anew."""
    if obstacle.event is not Event.REBILL:
        return moved(debit, obstacle.event, at=at, reason=obstacle.reason)
    day = first_charge_day(
        due_on=debit.charge_on, today=local_day(at, zone), currency=debit.currency
    )
    return moved(debit, Event.REBILL, at=at, reason=obstacle.reason, charge_on=day)


def _obstacle(mandate: Mandate, debit: Debit, facts: Facts, zone: str) -> _Obstacle | None:
    """Ask every guard again; the world may have changed since the notice."""
    told = facts.notice
    broken = broken_promise(
        debit,
        notice=told,
        noticed_on=None if told is None else local_day(told.noticed_at, zone),
        owed_minor=facts.owed_minor,
    )
    if broken in GIVEN_UP_FOR:
        return _Obstacle(Event.CANCEL, broken)
    allowed = permission(mandate, debit, facts)
    match allowed:
        case Allowed():
            return None if broken is None else _Obstacle(Event.REBILL, broken)
        case Held(reason=reason):
            return _Obstacle(Event.HOLD, reason)
        case Refused(reason=reason):
            return _Obstacle(Event.CANCEL, reason)
        case _ as impossible:
            assert_never(impossible)
