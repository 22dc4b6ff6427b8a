"""What leaves for others, read from PostgreSQL under one snapshot; and who took names away."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

import sql
from billing.export import MonthOrder, Taken
from billing.journal import Balances, Entry
from billing.period import Period
from billing.settlement import Dial, Named, Row, VatSum

_Q: Final = sql.queries("exports")


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """One export with names: for which days, by whom and why."""

    export_id: UUID
    kind: str
    from_day: date
    to_day: date
    form: str
    rows: int
    purpose: str
    exported_by: str
    exported_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSnapshot:
    """One transaction that sees the database as it stood when it began."""

    connection: asyncpg.Connection

    async def month(
        self, period: Period, zone: str, *, as_of: datetime, after: str, limit: int
    ) -> Sequence[Row]:
        """Return the next accounts after one."""
        start_at, end_at = period.bounds(zone)
        account_ids = await _Q.exported_accounts(self.connection, after=after, chunk=limit)
        if account_ids is None:
            return ()
        rows = _Q.settlement_page(
            self.connection,
            account_ids=account_ids,
            start_day=period.start,
            end_day=period.end,
            start_at=start_at,
            end_at=end_at,
            at=as_of,
        )
        return [_row(dict(row)) async for row in rows]

    async def names(self, account_ids: Sequence[str]) -> Mapping[str, Named]:
        """Return who lives there."""
        rows = _Q.settlement_names(self.connection, account_ids=list(account_ids))
        return {
            row["account_id"]: Named(full_name=row["full_name"], address=row["address"])
            async for row in rows
        }

    async def balances(self, before: datetime) -> Balances:
        """Return the balance of every account of the ledger before an instant."""
        rows = _Q.balances(self.connection, before_at=before)
        return {(row["code"], row["currency"]): row["balance_minor"] async for row in rows}

    async def entries(self, start_at: datetime, end_at: datetime) -> AsyncIterator[Entry]:
        """Read every posted transfer between two instants, in order; not all at once."""
        async with _Q.journal_entries_cursor(
            self.connection, start_at=start_at, end_at=end_at
        ) as found:
            async for row in found:
                yield Entry(**dict(row))


@dataclass(frozen=True, slots=True, kw_only=True)
class Exports:
    """Snapshots to export from, and the record of names that left."""

    pool: asyncpg.Pool

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[ExportSnapshot]:
        """Open the database as it stands now."""
        async with (
            self.pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await _Q.plan_for_an_export(connection)
            yield ExportSnapshot(connection=connection)

    async def note(self, taken: Taken, order: MonthOrder, *, rows: int) -> None:
        """Keep who took people's names away."""
        await _Q.note_export(
            self.pool,
            export_id=taken.export_id,
            kind="settlement",
            from_day=order.period.start,
            to_day=order.period.end,
            form=order.form.value,
            rows=rows,
            purpose=taken.purpose,
            exported_by=taken.exported_by,
            exported_at=taken.at,
        )

    async def noted(self, *, before: datetime, before_id: UUID, page: int) -> Sequence[Noted]:
        """List who took people's names away, the newest first."""
        rows = _Q.noted_exports(self.pool, before_at=before, before_id=before_id, page=page)
        return [Noted(**dict(row)) async for row in rows]


def _row(values: dict[str, Any]) -> Row:
    values["dials"] = [Dial(**dial) for dial in json.loads(values["dials"])]
    values["vat"] = [VatSum(**rate) for rate in json.loads(values["vat"])]
    values["net_by_kind"] = json.loads(values["net_by_kind"])
    return Row(**values)
