"""Recovering: money that the bank took back, and has kept from us since, is owed by its bill again.

The bank says so with an event (``billing/news.py``); where that was lost, the items of its payouts
and the lines of its statement say the same. It is posted once, whoever says it first.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

import structlog

from billing.debit import Debit, DebitId

log = structlog.get_logger()


class RecoverDesk(Protocol):
    """What recovering needs inside one transaction."""

    async def lock_debit(self, debit_id: DebitId) -> Debit | None:
        """Lock one debit."""

    async def recover(self, debit: Debit, *, at: datetime) -> bool:
        """Let a locked debit's disputed money be owed again; say whether there was any."""


class RecoverStore(Protocol):
    """Where debits are kept, and what the bank's payouts and statements say."""

    def begin(self) -> AbstractAsyncContextManager[RecoverDesk]:
        """Open one transaction."""

    async def debits_to_recover(self, *, limit: int) -> Sequence[DebitId]:
        """Return debits whose money the bank has kept more often than the ledger has it."""


async def recover(*, store: RecoverStore, at: datetime, limit: int) -> int:
    """Do one batch and return how many debts stand again."""
    recovered = 0
    for debit_id in await store.debits_to_recover(limit=limit):
        async with store.begin() as desk:
            debit = await desk.lock_debit(debit_id)
            assert debit is not None, "debits are never removed"
            recovered += await desk.recover(debit, at=at)
    if recovered:
        log.info("recover.done", recovered=recovered)
    return recovered
