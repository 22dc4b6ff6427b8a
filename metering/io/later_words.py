"""A person's later word on a register that was trusted, also where bills quote it."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

import asyncpg
import structlog

import sql
from metering.io.desk import ReadingUnknownError, fitting_turns
from metering.io.store import lock_buckets
from metering.meter import bucket_number

_Q: Final = sql.queries("desk")

log: Final = structlog.get_logger()


class NotTrustedError(Exception):
    """Nothing is measured from the reading: accept or replace it instead."""


class NothingToCorrectError(Exception):
    """The register is what it should be already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A person's later word on a register that was trusted; ``fault`` is ours or the resident's."""

    meter_id: str
    read_at: datetime
    revision: int
    register_dm3: int
    turns: int
    fault: str
    decided_by: str
    because: str
    decided_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterWords:
    """Corrections of trusted registers in PostgreSQL; works with the service's rights."""

    pool: asyncpg.Pool

    async def correct(  # noqa: PLR0913 - what is corrected, whose fault, why, and when
        self,
        meter_id: str,
        read_at: datetime,
        *,
        register_dm3: int,
        fault: str,
        because: str,
        decided_by: str,
        at: datetime,
    ) -> tuple[Correction, bool]:
        """Correct a trusted register, also one that bills quote; False when it was before.

        The reading stays as it came. Bills that quote it are looked at by the next correction.

        Raises:
            ReadingUnknownError: the meter said nothing then.
            NotTrustedError: the reading is held; nothing is measured from it.
            NothingToCorrectError: the register is that already, as it came.
            NotInstalledError: the meter hung nowhere then.
            BreaksTheLineError: no number of turns fits the register between its neighbours.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            await lock_buckets(conn, [bucket_number(meter_id)])
            row = await _Q.find_trusted(conn, meter_id=meter_id, read_at=read_at)
            if row is None:
                if await _Q.find_judged(conn, meter_id=meter_id, read_at=read_at) is None:
                    raise ReadingUnknownError
                raise NotTrustedError("the reading is held: accept or replace it")
            known = await _Q.find_correction(conn, meter_id=meter_id, read_at=read_at)
            if row["register_dm3"] == register_dm3:
                if known is None:
                    raise NothingToCorrectError("the register is that already")
                return Correction(**known), False
            made = Correction(
                meter_id=meter_id,
                read_at=read_at,
                revision=1 if known is None else known["revision"] + 1,
                register_dm3=register_dm3,
                turns=await fitting_turns(conn, meter_id, read_at, row, register_dm3),
                fault=fault,
                decided_by=decided_by,
                because=because,
                decided_at=at,
            )
            await _Q.correct_reading(conn, **asdict(made))
        log.info("reading.corrected", meter_id=meter_id, revision=made.revision)
        return made, True
