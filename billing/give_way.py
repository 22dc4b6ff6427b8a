"""Giving way: what we would order for a bill of which the bank has a later attempt than we know.

Only an old backup makes us know so little. A later attempt was announced when the earlier one was
over, so the earlier one is over: the bill is announced again until the attempt that the bank has is
reached. That one is ordered under its old key, and the bank answers with the payment it has.
"""

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Final, Protocol

import structlog

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

    async def mandate_by_bank_id(self, bank_mandate_id: str) -> Mandate | None:
        """Return the mandate behind the bank's name for it."""


async def give_way(store: WayStore, payment: Payment, *, at: datetime) -> bool:
    """Stop the earlier attempt for the bill of a payment whose key names a debit unknown to us.

    What the bank has never seen is taken back; what it may have seen, and gave no name, is a
    person's. Returns whether there was one.
    """
    debit_id = None if payment.intent is None else debit_of_key(payment.intent)
    mandate = await store.mandate_by_bank_id(payment.bank_mandate_id)
    if debit_id is None or mandate is None or mandate.account_id != debit_id.account_id:
        return False
    async with store.begin() as desk:
        await desk.lock_mandate(mandate.account_id, mandate.mandate_id)
        earlier = await desk.other_alive(debit_id)
        if earlier is None or earlier.attempt > debit_id.attempt:
            return False
        event = Event.CANCEL if earlier.state in BEFORE_BANK else Event.QUESTION
        if (earlier.state, event) not in NEXT or earlier.bank_payment_id is not None:
            return False
        await desk.save_debit(earlier, moved(earlier, event, at=at, reason=LATER_ATTEMPT))
    log.error("debit.later_attempt", key=earlier.key, payment=payment.payment_id)
    return True
