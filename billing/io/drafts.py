"""The run rehearsed in PostgreSQL: the very same statements, read, and rolled back."""

from dataclasses import dataclass
from typing import Final

import asyncpg

import sql
from billing.bill import HoldReason
from billing.io.store import BillingStore
from billing.preview import Draft
from billing.reconcile import Run

_Q: Final = sql.queries("drafts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafts:
    """Works out what a run would do, chunk by chunk; nothing of it stays."""

    pool: asyncpg.Pool
    store: BillingStore

    async def drafts(self, run: Run, *, after: str) -> tuple[Draft, ...]:
        """Return what the next chunk of accounts is, or would be, asked for."""
        async with self.pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                return await self._drafts(connection, run, after)
            finally:
                await transaction.rollback()

    async def _drafts(
        self, connection: asyncpg.Connection, run: Run, after: str
    ) -> tuple[Draft, ...]:
        # Before the chunk is billed: what is there now was issued.
        account_ids = await self.store.claim_supplied(connection, run, after=after)
        if not account_ids:
            return ()
        rows = _Q.billed_before(connection, account_ids=account_ids, period_start=run.period.start)
        issued = {row["account_id"] async for row in rows}
        await self.store.draft(connection, run, account_ids, after=after)
        found = _Q.drafted(
            connection,
            account_ids=account_ids,
            period_start=run.period.start,
            before_start=run.period.before().start,
        )
        return tuple([_draft(row, issued=row["account_id"] in issued) async for row in found])


def _draft(row: asyncpg.Record, *, issued: bool) -> Draft:
    reason = row["reason"] if row["total_minor"] is None else None
    return Draft(
        account_id=row["account_id"],
        currency=row["currency"],
        issued=issued,
        volume_dm3=row["volume_dm3"],
        net_minor=row["net_minor"],
        vat_minor=row["vat_minor"],
        total_minor=row["total_minor"],
        reason=None if reason is None else HoldReason(reason),
        last_volume_dm3=row["last_volume_dm3"],
        last_total_minor=row["last_total_minor"],
    )
