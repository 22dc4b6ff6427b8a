"""Taking news of refunds: what the bank says of one is merged into ours, forward only."""

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Final, Protocol

import structlog

from billing.aside import UNKNOWN_STATUS, AsideDesk, aside
from billing.bank import BankError, BankEvent, BankRefund
from billing.debit import Debit, DebitId
from billing.refund import (
    NEXT,
    Refund,
    RefundEvent,
    RefundId,
    RefundState,
    merge,
    refund_of_key,
    refunded,
)
from billing.refund_order import is_our_refund

log = structlog.get_logger()

# With this the bank has cut a payout for a refund; the refund itself does not say.
SETTLED_ACTION: Final = "refund_settled"
# A refund never becomes another one: whatever this is, it is not booked.
CHANGED: Final = "refund_changed"


class RefundNewsDesk(AsideDesk, Protocol):
    """What taking news of refunds needs inside one transaction."""

    async def lock_debit(self, debit_id: DebitId) -> Debit | None:
        """Lock one debit."""

    async def lock_refund(self, refund_id: RefundId) -> Refund | None:
        """Lock one refund."""

    async def save_refund(self, before: Refund, after: Refund) -> None:
        """Write a locked refund back, one step on."""

    async def touch_refund(self, refund_id: RefundId, *, at: datetime) -> None:
        """Note that we looked and found nothing to do."""

    async def first_time(self, event_id: str, *, resource: str, action: str, at: datetime) -> bool:
        """Keep an event as dealt with; False if it was dealt with before."""


class RefundNewsStore(Protocol):
    """Where refunds under way are kept."""

    def begin(self) -> AbstractAsyncContextManager[RefundNewsDesk]:
        """Open one transaction."""

    async def refund(self, refund_id: RefundId) -> Refund | None:
        """Return one refund."""

    async def refund_by_bank_id(self, bank_refund_id: str) -> Refund | None:
        """Return the refund behind a name of the bank's."""


class RefundNewsBank(Protocol):
    """What the bank is asked about a refund; may raise BankError."""

    async def get_refund(self, refund_id: str) -> BankRefund | None:
        """Read a refund."""


async def take_refund_event(
    store: RefundNewsStore, bank: RefundNewsBank, event: BankEvent, *, at: datetime
) -> str | None:
    """Deal with an event about a refund, and return the name of its count.

    None is an event about a refund that we do not know.
    """
    try:
        found = await bank.get_refund(event.links["refund"])
    except BankError:
        return "silent"
    refund = None if found is None else await _known(store, found)
    if found is None or refund is None:
        return None
    if found.status is None:
        return await aside(store, event, UNKNOWN_STATUS, at=at)
    return await take_refund(store, refund, found, at=at, event=event)


async def _known(store: RefundNewsStore, found: BankRefund) -> Refund | None:
    refund = await store.refund_by_bank_id(found.refund_id)
    if refund is not None:
        return refund
    # The news may be faster than the answer to our own order.
    refund_id = refund_of_key(found.intent)
    return None if refund_id is None else await store.refund(refund_id)


async def take_refund(
    store: RefundNewsStore,
    seen: Refund,
    found: BankRefund,
    *,
    at: datetime,
    event: BankEvent | None = None,
) -> str:
    """Merge what the bank says of a refund into ours, and return the name of its count.

    The event that led here is kept in the same transaction, so its effect comes exactly once.
    """
    async with store.begin() as desk:
        debit = await desk.lock_debit(seen.refund_id.debit_id)
        refund = await desk.lock_refund(seen.refund_id)
        assert debit is not None, "debits are never removed"
        assert refund is not None, "refunds are never removed"
        if event is not None and not await desk.first_time(
            event.event_id, resource=event.resource, action=event.action, at=at
        ):
            return "repeated"
        if found.status is None:
            log.warning("refund.status_unknown", key=refund.key)
        unheard = refund.bank_refund_id is None
        if unheard and not is_our_refund(refund, found, debit.bank_payment_id or ""):
            log.error("refund.mismatched", key=refund.key, refund=found.refund_id)
            return "contradicted"
        if not unheard and not is_our_refund(refund, found, debit.bank_payment_id or ""):
            return await _changed(desk, refund, found, at=at)
        before = refund.state
        settled = event is not None and event.action == SETTLED_ACTION
        for step in merge(refund.state, found.status, settled=settled):
            after = _after(refund, step, found, at=at)
            await desk.save_refund(refund, after)
            refund = after
        if refund.state is before:
            if event is None:
                await desk.touch_refund(refund.refund_id, at=at)
            return "unchanged"
    return "contradicted" if refund.state is RefundState.REVIEW else "moved"


async def _changed(desk: RefundNewsDesk, refund: Refund, found: BankRefund, *, at: datetime) -> str:
    """Stop a refund for a person that is another one than it was: none of it is booked."""
    log.error("refund.mismatched", key=refund.key, refund=found.refund_id)
    if (refund.state, RefundEvent.QUESTION) in NEXT:
        after = refunded(refund, RefundEvent.QUESTION, at=at, reason=CHANGED)
        await desk.save_refund(refund, after)
    return "contradicted"


def _after(refund: Refund, step: RefundEvent, found: BankRefund, *, at: datetime) -> Refund:
    if step is RefundEvent.ACCEPT:
        name = found.refund_id
        return refunded(refund, step, at=at, bank_refund_id=name, lease_until=None)
    if step is RefundEvent.QUESTION:
        log.error("refund.contradicted", key=refund.key, refund=found.refund_id)
        name = refund.bank_refund_id or found.refund_id
        return refunded(refund, step, at=at, reason="contradiction", bank_refund_id=name)
    reason = "cancelled_at_bank" if step is RefundEvent.REFUSE else None
    return refunded(refund, step, at=at, reason=reason)
