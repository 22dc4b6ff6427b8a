"""Giving way: what we would order for a bill of which the bank has a later attempt than we know.

Only an old backup makes us know so little. A later attempt was announced when the earlier one was
over, so the earlier one is over: the bill is announced again until the attempt that the bank has is
reached. That one is ordered under its old key, and the bank answers with the payment it has.
"""

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Final, Protocol

import structlog

from billing.ask import LookBank, find_payment
from billing.bank import Payment
from billing.debit import BEFORE_BANK, NEXT, Debit, DebitId, Event, moved
from billing.mandate import Mandate
from billing.order import debit_of_key

log = structlog.get_logger()

# Why a debit ended, or stands before a person: the bank has a later attempt for its bill.
LATER_ATTEMPT: Final = "later_attempt"


class WayDesk(Protocol):
    """What giving way needs inside one transaction."""

    async def lock_mandate(self, account_id: str, mandate_id: str) -> Mandate | None:
        """Lock a mandate."""

    async def other_alive(self, debit_id: DebitId) -> Debit | None:
        """Lock another attempt for the same bill that may still take money."""

    async def save_debit(self, before: Debit, after: Debit) -> None:
        """Write a locked debit back, one step on."""


class WayStore(Protocol):
    """Where debits and mandates are kept."""

    def begin(self) -> AbstractAsyncContextManager[WayDesk]:
        """Open one transaction."""

    async def mandate(self, account_id: str, mandate_id: str) -> Mandate | None:
        """Return one mandate."""

    async def mandate_by_bank_id(self, bank_mandate_id: str) -> Mandate | None:
        """Return the mandate behind the bank's name for it."""


async def give_way(store: WayStore, bank: LookBank, payment: Payment, *, at: datetime) -> None:
    """Stop the earlier attempt for the bill of a payment whose key names a debit unknown to us.

    What the bank has never seen is taken back; what it may have seen is a person's. One of which
    the bank has a payment is left to what that says.

    Raises:
        BankError: the bank does not let us see what it has of the earlier attempt.
    """
    later = None if payment.intent is None else debit_of_key(payment.intent)
    payer = await store.mandate_by_bank_id(payment.bank_mandate_id)
    if later is None or payer is None or payer.account_id != later.account_id:
        return
    async with store.begin() as desk:
        earlier = await desk.other_alive(later)
    if earlier is None or earlier.attempt > later.attempt or earlier.bank_payment_id is not None:
        return
    mandate = await store.mandate(earlier.account_id, earlier.mandate_id)
    assert mandate is not None, "mandates are never removed"
    if await find_payment(bank, earlier, mandate.bank_mandate_id or "") is not None:
        return
    async with store.begin() as desk:
        await desk.lock_mandate(mandate.account_id, mandate.mandate_id)
        event = Event.CANCEL if earlier.state in BEFORE_BANK else Event.QUESTION
        if (earlier.state, event) not in NEXT or await desk.other_alive(later) != earlier:
            return
        await desk.save_debit(earlier, moved(earlier, event, at=at, reason=LATER_ATTEMPT))
    log.error("debit.later_attempt", key=earlier.key, payment=payment.payment_id)
