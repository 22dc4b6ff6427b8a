"""What is written of each meter's safe telegrams, page by page."""

from dataclasses import dataclass

import asyncpg

import sql
from metering.ack import Ack
from metering.republish import Stored
from metering.window import window

_Q = sql.queries("metering")


@dataclass(frozen=True, slots=True, kw_only=True)
class SafeStore:
    """Windows and counters in PostgreSQL, with the service's rights."""

    pool: asyncpg.Pool

    async def windows(self, *, after: tuple[str, int], page: int) -> list[Ack]:
        """Return what signing meters may forget, by meter and epoch."""
        meter_id, key_epoch = after
        async with self.pool.acquire() as connection:
            rows = _Q.list_windows(
                connection, after_meter=meter_id, after_epoch=key_epoch, page=page
            )
            return [
                Ack(
                    meter_id=row["meter_id"],
                    key_epoch=row["key_epoch"],
                    window=window(row["high_water"], row["seen"]),
                    refused={},
                )
                async for row in rows
            ]

    async def counters(self, *, after: str, page: int, most: int) -> list[Stored]:
        """Return what unsigned meters may forget, by meter."""
        async with self.pool.acquire() as connection:
            rows = _Q.list_counters(connection, after=after, page=page, most=most)
            return [
                Stored(meter_id=row["meter_id"], counters=row["counters"]) async for row in rows
            ]
