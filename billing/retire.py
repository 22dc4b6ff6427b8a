"""Retiring: whoever has moved out and paid his final bill is debited no more.

The mandate ends as if the resident had cancelled it; ``withdraw`` then tells the bank.
"""

from datetime import datetime
from typing import Protocol

import structlog

from billing.enrol import EnrolStore, cancel

log = structlog.get_logger()


class RetireStore(EnrolStore, Protocol):
    """Where mandates of accounts that have ended are found."""

    async def mandates_to_retire(self, *, limit: int) -> list[tuple[str, str]]:
        """Return account and mandate where the account has ended and nothing is owed any more."""


async def retire(*, store: RetireStore, at: datetime, limit: int) -> int:
    """End the mandates of accounts that have ended and owe nothing; return how many."""
    found = await store.mandates_to_retire(limit=limit)
    for account_id, mandate_id in found:
        await cancel(store=store, account_id=account_id, mandate_id=mandate_id, at=at)
    if found:
        log.info("retire.done", mandates=len(found))
    return len(found)
