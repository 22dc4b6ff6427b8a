"""Falling through: a debit that failed is asked for another day, left to the bank, or given up.

    retry      the account was empty: a fresh notice after five days, and once more after twelve
    wait       the bank asks again by itself: ours would be the second debit
    give up    no day would help, two retries did not, or the resident stopped it: he pays by hand

``close`` gives up what nothing came of: a bank that said it would ask again and did not, a dispute
that nobody took back, and a day on which nobody wanted to be asked again.
"""

from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog

from billing.debit import Debit, DebitId, Event, State, moved
from billing.notice import Attempt, retry_after

log = structlog.get_logger()

# The bank's own retries and what a payer may take back of a dispute are over long before.
OPEN_FOR: Final = timedelta(days=60)
_OPEN: Final = frozenset({State.FAILED, State.RETRY_DUE, State.CHARGED_BACK})


class FallDesk(Protocol):
    """What falling through needs inside one transaction."""

    async def attempts(self, account_id: str, bill_no: str) -> list[Attempt]:
        """Return what became of the attempts for a bill so far."""

    async def is_stopped(self, debit_id: DebitId) -> bool:
        """Say whether the resident has stopped a debit, or another one for its bill."""

    async def save_debit(self, before: Debit, after: Debit) -> None:
        """Write a locked debit back, one step on."""


class CloseDesk(FallDesk, Protocol):
    """What closing needs inside one transaction."""

    async def lock_debit(self, debit_id: DebitId) -> Debit | None:
        """Lock one debit."""


class CloseStore(Protocol):
    """Where debits that failed are kept."""

    def begin(self) -> AbstractAsyncContextManager[CloseDesk]:
        """Open one transaction."""

    async def debits_to_close(self, *, fallen_before: datetime, limit: int) -> list[DebitId]:
        """Return debits that failed or were disputed so long ago, and still wait."""


async def fall_through(desk: FallDesk, debit: Debit, *, at: datetime) -> Debit:
    """Decide in the failure's own transaction what becomes of a debit that has just failed."""
    assert debit.state is State.FAILED, "only what has just failed falls through"
    if debit.reason == "bank_retries":
        return debit
    days = retry_after(debit.reason, await desk.attempts(debit.account_id, debit.bill_no))
    if days is None or await desk.is_stopped(debit.debit_id):
        after = moved(debit, Event.GIVE_UP, at=at, reason=debit.reason)
    else:
        retry_on = at.date() + timedelta(days=days)
        after = moved(debit, Event.RETRY, at=at, reason=debit.reason, retry_on=retry_on)
    await desk.save_debit(debit, after)
    return after


async def close(*, store: CloseStore, at: datetime, limit: int) -> int:
    """Give up what failed or was disputed long ago and nothing came of; return how many."""
    closed = 0
    for debit_id in await store.debits_to_close(fallen_before=at - OPEN_FOR, limit=limit):
        async with store.begin() as desk:
            debit = await desk.lock_debit(debit_id)
            if debit is None or debit.state not in _OPEN:
                continue
            if debit.state is State.RETRY_DUE:
                failed = moved(debit, Event.REPLACE, at=at, reason=debit.reason)
                await desk.save_debit(debit, failed)
                debit = failed
            after = moved(debit, Event.GIVE_UP, at=at, reason=debit.reason)
            await desk.save_debit(debit, after)
            closed += 1
    if closed:
        log.info("close.done", debits=closed)
    return closed
