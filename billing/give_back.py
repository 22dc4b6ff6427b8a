"""Giving back: what was taken wrongly or too late goes back the way it came, the same day.

    ask      money that waits to be sent back goes through a debit that was collected
    record   the turn has come: ask again whether it may go, freeze the order, book it as pending
    send     give the frozen order to the bank, under its key           (billing/pay_back.py)
    reread   look again at what has been silent for a day

Others ask for refunds too, inside their own transactions (``ask_refund``). Refunds of one payment
are written down one after the other, because each says how much goes back with it in all.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog

from billing.bank import BankError
from billing.debit import Debit, DebitId, State
from billing.news import each
from billing.order import body_digest
from billing.pay_back import PayBackBank, PayBackDesk, PayBackStore, pay_back
from billing.refund import UNCERTAIN, Cause, Refund, RefundEvent, RefundId, RefundState, refunded
from billing.refund_news import RefundNewsDesk, RefundNewsStore, take_refund
from billing.refund_order import Asked, GiveBack, NotGiven, frozen_refund, hindrance

log = structlog.get_logger()

# The backstop for events that never came.
SILENT_FOR: Final = timedelta(days=1)
# Money that was paid back to a closed account is with us again within some weeks.
COMES_BACK_WITHIN: Final = timedelta(days=60)
# Who asks where nobody does.
OURSELVES: Final = "aqkol"


class RefundRefusedError(Exception):
    """Money cannot be given back; ``reason`` is one word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class GiveBackDesk(PayBackDesk, RefundNewsDesk, Protocol):
    """What giving back needs inside one transaction."""

    async def refunds_of(self, debit_id: DebitId) -> list[Refund]:
        """Return the refunds of a debit."""


class GiveBackStore(PayBackStore, RefundNewsStore, Protocol):
    """Where refunds are kept."""

    def begin(self) -> AbstractAsyncContextManager[GiveBackDesk]:
        """Open one transaction."""

    async def debits_to_give_back(self, *, limit: int) -> Sequence[GiveBack]:
        """Return money that waits to be sent back, with a debit through which it can go."""

    async def refunds_to_record(self, *, at: datetime, limit: int) -> Sequence[RefundId]:
        """Return refunds that were asked for."""

    async def refunds_to_reread(
        self, *, unchanged_since: datetime, paid_since: datetime, limit: int
    ) -> Sequence[Refund]:
        """Return refunds at the bank without news for too long."""


class AskStore(Protocol):
    """Where refunds are asked for."""

    def begin(self) -> AbstractAsyncContextManager[PayBackDesk]:
        """Open one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveBackCounts:
    """What one batch did; ``waiting`` refunds have one of the same payment before them."""

    asked: int = 0
    recorded: int = 0
    waiting: int = 0
    refused: int = 0
    accepted: int = 0
    unknown: int = 0
    not_executed: int = 0
    overtaken: int = 0
    review: int = 0
    moved: int = 0
    unchanged: int = 0
    silent: int = 0
    contradicted: int = 0


async def give_back(
    *, store: GiveBackStore, bank: PayBackBank, at: datetime, limit: int
) -> GiveBackCounts:
    """Do one batch of every step; a silent bank is counted, not raised."""
    counts: Counter[str] = Counter()
    for due in await store.debits_to_give_back(limit=limit):
        counts[await _ask(store, due, at=at)] += 1
    for refund_id in await store.refunds_to_record(at=at, limit=limit):
        counts[await _record(store, refund_id, at=at)] += 1
    counts += await pay_back(store=store, bank=bank, at=at, limit=limit)
    counts += await _reread(store, bank, at=at, limit=limit)
    if counts:
        log.info("give_back.done", **counts)
    return GiveBackCounts(**counts)


async def ask_back(  # noqa: PLR0913 - each argument is a fact of its own
    *,
    store: AskStore,
    debit_id: DebitId,
    amount_minor: int,
    cause: Cause,
    asked_by: str,
    because: str,
    at: datetime,
) -> Refund:
    """Ask for money of a debit to be given back, because a person says so.

    Raises:
        RefundRefusedError: it cannot be.
    """
    async with store.begin() as desk:
        asked = await desk.ask_refund(
            debit_id, amount_minor, cause, asked_by=asked_by, because=because, at=at
        )
    if isinstance(asked, NotGiven):
        raise RefundRefusedError(asked.reason)
    log.info("refund.asked", key=asked.key, cause=cause.value)
    return asked


async def _ask(store: GiveBackStore, due: GiveBack, *, at: datetime) -> str:
    async with store.begin() as desk:
        asked: Asked = await desk.ask_refund(
            due.debit_id, due.amount_minor, Cause.OVERCHARGED, asked_by=OURSELVES, at=at
        )
    return "overtaken" if isinstance(asked, NotGiven) else "asked"


async def _record(store: GiveBackStore, refund_id: RefundId, *, at: datetime) -> str:
    """Write an order down before its first byte is sent, or say why it cannot be."""
    async with store.begin() as desk:
        debit = await desk.lock_debit(refund_id.debit_id)
        refund = await desk.lock_refund(refund_id)
        assert debit is not None, "debits are never removed"
        if refund is None or refund.state is not RefundState.REQUESTED:
            return "overtaken"
        others = [
            one for one in await desk.refunds_of(refund_id.debit_id) if one.refund_id != refund_id
        ]
        if debit.state is State.REVIEW or any(one.state in UNCERTAIN for one in others):
            await desk.touch_refund(refund_id, at=at)
            return "waiting"
        because = hindrance(refund, debit)
        if because is not None:
            refused = refunded(refund, RefundEvent.REFUSE, at=at, reason=because)
            await desk.save_refund(refund, refused)
            return "refused"
        await desk.save_refund(refund, _recorded(refund, others, debit, at=at))
    return "recorded"


def _recorded(refund: Refund, others: list[Refund], debit: Debit, *, at: datetime) -> Refund:
    assert debit.bank_payment_id is not None, "money that can go back came through a payment"
    body = frozen_refund(refund, others, debit.bank_payment_id)
    return refunded(
        refund,
        RefundEvent.RECORD,
        at=at,
        idempotency_key=refund.key,
        body=body,
        body_digest=body_digest(body),
    )


async def _reread(
    store: GiveBackStore, bank: PayBackBank, *, at: datetime, limit: int
) -> Mapping[str, int]:
    """Look at refunds that have been silent for a day, in case their events were lost."""
    counts: Counter[str] = Counter()
    refunds = await store.refunds_to_reread(
        unchanged_since=at - SILENT_FOR, paid_since=at - COMES_BACK_WITHIN, limit=limit
    )
    answers = await each([one.bank_refund_id or "" for one in refunds], bank.get_refund)
    for refund, answer in zip(refunds, answers, strict=True):
        if isinstance(answer, BankError):
            log.warning("refund.silent", key=refund.key, reason=answer.reason)
            counts["silent"] += 1
        elif answer is None:
            log.error("refund.missing", key=refund.key)
            counts["contradicted"] += 1
        else:
            counts[await take_refund(store, refund, answer, at=at)] += 1
    return counts


async def release_refund(*, store: GiveBackStore, refund_id: RefundId, at: datetime) -> bool:
    """Let a refund in review be asked about again under its own key, because a person says so.

    Returns whether there was one to release: only those whose order may be repeated are.
    """
    async with store.begin() as desk:
        refund = await desk.lock_refund(refund_id)
        if refund is None or not refund.releasable:
            return False
        released = refunded(refund, RefundEvent.RELEASE, at=at, lease_until=None)
        await desk.save_refund(refund, released)
    log.info("refund.released", key=refund.key)
    return True
