"""The run probes indexes; it never reads a whole table once per chunk."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import asyncpg

from billing.io.store import BillingStore
from billing.period import Period
from billing.reconcile import reconcile
from tests.billing.town import Town

# Read once per chunk on purpose: a handful of rows.
SMALL = {"tariff", "vat_rate"}


class OneConnection:
    """A pool that always hands out the same connection, so that its statistics can be read."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[asyncpg.Connection]:
        """Hand the connection out."""
        yield self.connection


class TestPlans:
    """A chunk of the run ..."""

    async def test_reads_no_table_from_end_to_end(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """On the empty tables of a first run the planner prefers to; then each chunk is slower."""
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01")
        for number in range(30):
            registers = {"2026-01-01T00:00:00+05:00": 0, "2026-02-01T00:00:00+05:00": 7}
            await town.home(f"{number:02d}", registers)

        async with pool.acquire() as connection, connection.transaction():
            await reconcile(
                store=BillingStore(OneConnection(connection)),
                period=Period.month(2026, 1),
                at=datetime(2026, 2, 2, tzinfo=UTC),
                zone="Asia/Almaty",
                chunk=10,
            )
            scanned = await connection.fetch(
                "SELECT relname, seq_scan FROM pg_stat_xact_user_tables WHERE seq_scan > 0"
            )
            billed = await connection.fetchval("SELECT count(*) FROM bill")

        assert billed == 30
        assert {row["relname"] for row in scanned} - SMALL == set()
