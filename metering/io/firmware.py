"""Approved firmware in PostgreSQL: the words of the town."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg
import structlog

import sql
from metering.firmware import FirmwareWord
from metering.io.store import lock_buckets
from metering.meter import BUCKETS

_Q: Final = sql.queries("firmware")

log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmwares:
    """What the town approves; works with the service's rights."""

    pool: asyncpg.Pool

    async def say(  # noqa: PLR0913 - which firmware, what of it, who and when
        self,
        meter_type: str,
        firmware_digest: bytes,
        *,
        approved: bool,
        because: str,
        said_by: str,
        at: datetime,
    ) -> tuple[FirmwareWord, bool]:
        """Approve a firmware for a type of meter, or take that back; False when it stood so.

        All buckets are held, so that every running ingest compares again from the next telegram on.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            await lock_buckets(conn, range(BUCKETS))
            named = {"meter_type": meter_type, "firmware_digest": firmware_digest}
            row = await _Q.find_firmware(conn, **named)
            known = None if row is None else FirmwareWord(**row)
            if known is not None and known.approved is approved:
                return known, False
            word = FirmwareWord(
                meter_type=meter_type,
                firmware_digest=firmware_digest,
                revision=1 if known is None else known.revision + 1,
                approved=approved,
                because=because,
                said_by=said_by,
                said_at=at,
            )
            await _Q.say_firmware(
                conn,
                **named,
                revision=word.revision,
                approved=approved,
                because=because,
                said_by=said_by,
                said_at=at,
            )
        log.info("firmware.judged", meter_type=meter_type, approved=approved)
        return word, True

    async def words(self, meter_type: str | None) -> list[FirmwareWord]:
        """Return the town's words on the firmware of a type, or of all, the newest first."""
        async with self.pool.acquire() as conn:
            rows = _Q.list_firmware(conn, meter_type=meter_type or "", every=meter_type is None)
            return [FirmwareWord(**row) async for row in rows]
