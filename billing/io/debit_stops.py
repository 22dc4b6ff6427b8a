"""Debits that their residents have stopped or whose bill is in dispute, in PostgreSQL."""

from datetime import datetime
from typing import Final

import asyncpg

import sql
from billing.debit import DebitId
from billing.io.debit_rows import name_of

_Q: Final = sql.queries("debit_stops")


class DebitStops:
    """One open transaction: what it says of debits that nobody wants."""

    _db: asyncpg.Connection

    async def mandate_of_debit(self, debit_id: DebitId) -> str | None:
        """Return the mandate of a debit, which never changes; None if there is no such debit."""
        mandate_id: str | None = await _Q.mandate_of_debit(self._db, **name_of(debit_id))
        return mandate_id

    async def is_stopped(self, debit_id: DebitId) -> bool:
        """Say whether the resident has stopped a debit, or another one for its bill."""
        return bool(
            await _Q.is_stopped(self._db, account_id=debit_id.account_id, bill_no=debit_id.bill_no)
        )

    async def is_disputed(self, debit_id: DebitId) -> bool:
        """Say whether the bill of a debit is in dispute."""
        return bool(
            await _Q.is_disputed(self._db, account_id=debit_id.account_id, bill_no=debit_id.bill_no)
        )

    async def add_stop(self, debit_id: DebitId, *, stopped_by: str, at: datetime) -> bool:
        """Keep that a debit was stopped, and by whom; False if it was stopped before."""
        fresh = await _Q.add_stop(self._db, **name_of(debit_id), stopped_by=stopped_by, at=at)
        return fresh is True
