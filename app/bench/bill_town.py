"""The town that a benchmark bills: so many accounts, each with a meter and two midnights read."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import asyncpg

import sql
from app.bench.month import BOUNDS, SESSIONS

_Q: Final = sql.queries("owner/bench_billing")

# Accounts per statement, so that building needs little memory.
_STEP: Final = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BillTown:
    """A database with so many accounts; ``connection`` is its owner's."""

    database_url: str
    connection: asyncpg.Connection
    meters: int

    @property
    def volume_dm3(self) -> int:
        """The gas of the month, by the numbers the town is built from."""
        return sum(10_000 + n * 7_919 % 400_000 for n in range(self.meters))

    async def build(self) -> None:
        """Settle everybody, and read every meter at both ends of the month."""
        await _Q.approve_price(self.connection)
        for instant in BOUNDS:
            await _Q.open_month(self.connection, instant=instant)
        # The meters' names differ, so none can hang in two places; keeping this index would take
        # most of the time, and no run reads it.
        await _Q.drop_overlaps(self.connection)
        await self.halves(self._settle)

    async def halves(self, work: Callable[[asyncpg.Connection, int, int], Awaitable[None]]) -> None:
        """Let each session do its range of the accounts' numbers."""
        async with asyncio.TaskGroup() as group:
            for part in range(SESSIONS):
                first = self.meters * part // SESSIONS
                end = self.meters * (part + 1) // SESSIONS
                group.create_task(self._session(work, first, end))

    async def fresh(self) -> None:
        """Take out what a run wrote, and let planner and disk settle."""
        await _Q.empty_month(self.connection)
        await self.tidy()

    async def tidy(self) -> None:
        """Let planner and disk settle, so that nobody's measurement pays for another's rows."""
        await _Q.tidy(self.connection)
        await _Q.to_disk(self.connection)

    async def counted(self) -> dict[str, int]:
        """Count what the tables of the month hold."""
        return dict(await _Q.count_month(self.connection))

    async def _session(
        self,
        work: Callable[[asyncpg.Connection, int, int], Awaitable[None]],
        first: int,
        end: int,
    ) -> None:
        connection = await asyncpg.connect(self.database_url, server_settings={"jit": "off"})
        try:
            await work(connection, first, end)
        finally:
            await connection.close()

    async def _settle(self, connection: asyncpg.Connection, first: int, end: int) -> None:
        for start in range(first, end, _STEP):
            numbers = {
                "first": start,
                "last": min(start + _STEP, end) - 1,
                "meters": self.meters,
            }
            await _Q.build_homes(connection, **numbers)
            for months, read_at in enumerate(BOUNDS):
                await _Q.build_readings(connection, **numbers, read_at=read_at, months=months)


def account_id(number: int) -> str:
    """Return the name of an account of the town."""
    return f"A-{number:07d}"


def meter_id(number: int) -> str:
    """Return the name of a meter of the town."""
    return f"AQ-{number:07d}"
