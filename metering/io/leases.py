"""Leases on shares of the meters, by the database's clock."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import asyncpg

import sql
from metering.lease import LEASE

_Q = sql.queries("leases")
_LEASE_S = LEASE.total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The last lease on a share of one broker's meters; ``live`` until given back or run out."""

    broker: str
    share: str
    worker: str
    since: datetime
    live: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Leases:
    """What one process says of itself and hears of the others."""

    pool: asyncpg.Pool
    worker: str

    async def beat(self, cut: int) -> dict[str, int]:
        """Say that we are there; return everybody who is, with the number of shares he knows."""
        async with self.pool.acquire() as connection:
            await _Q.beat(connection, worker=self.worker, cut=cut, lease_s=_LEASE_S)
        return await self.there()

    async def there(self) -> dict[str, int]:
        """Return everybody who is there, with the number of shares he knows."""
        async with self.pool.acquire() as connection:
            return {row["worker"]: row["cut"] async for row in _Q.list_workers(connection)}

    async def all(self) -> list[Lease]:
        """Return the lease of every share that was ever read and not given up."""
        async with self.pool.acquire() as connection:
            return [Lease(**row) async for row in _Q.list_leases(connection)]

    async def take(self, broker: str, share: str) -> bool:
        """Take a share that is free, or keep one that is ours; False if somebody else has it."""
        async with self.pool.acquire() as connection:
            taken = await _Q.take_lease(
                connection, broker=broker, share=share, worker=self.worker, lease_s=_LEASE_S
            )
        return taken is not None

    async def give(self, broker: str, share: str) -> None:
        """Give a share back."""
        async with self.pool.acquire() as connection:
            await _Q.give_lease(connection, broker=broker, share=share, worker=self.worker)

    async def give_up(self, broker: str, share: str) -> None:
        """Give a share back that nobody shall read again."""
        async with self.pool.acquire() as connection:
            await _Q.give_up_lease(connection, broker=broker, share=share, worker=self.worker)

    async def end(self, workers: Collection[str]) -> None:
        """Give back what processes held that have ended."""
        async with self.pool.acquire() as connection, connection.transaction():
            await _Q.end_leases(connection, workers=sorted(workers))
            await _Q.forget_workers(connection, workers=sorted(workers))
