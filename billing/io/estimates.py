"""Registers that nobody read, made up for the end of a month so that it can be billed."""

from datetime import datetime
from typing import Final

import asyncpg
import structlog

import sql
from billing.io.rows import installation_of
from billing.period import Calendar
from billing.reconcile import NOTHING_ESTIMATED, Estimated, Run
from billing.window import window_of
from metering.estimate import Impossible, Why
from metering.io.uses import Lacking, Uses
from metering.reading import Mark
from metering.used import Made

_USAGE = sql.queries("usage")

# Each is asked for its history; so many in one snapshot.
CHUNK: Final = 500

log = structlog.get_logger()


async def estimate_gaps(pool: asyncpg.Pool, run: Run, *, after: tuple[str, datetime]) -> Estimated:
    """Make up the registers that the next installations lack at the end of the month.

    A meter without a history that counts keeps its gap. After too many months in a row that were
    made up, the gap says that somebody must go and look.
    """
    start_at, end_at = run.period.bounds(run.zone)
    async with pool.acquire() as connection:
        found = _USAGE.gaps_to_estimate(
            connection,
            period_start=run.period.start,
            start_at=start_at,
            end_at=end_at,
            after_meter_id=after[0],
            after_installed_at=after[1],
            chunk=CHUNK,
        )
        rows = [row async for row in found]
    if not rows:
        return NOTHING_ESTIMATED
    answers = await Uses(pool=pool, midnight=Calendar(zone=run.zone).midnight).closings_of(
        [_lacking(row) for row in rows], window_of(run.period, run.zone)
    )
    made: list[tuple[asyncpg.Record, Made]] = []
    beyond: list[asyncpg.Record] = []
    for row, answer in zip(rows, answers, strict=True):
        if isinstance(answer, Made):
            made.append((row, answer))
        elif isinstance(answer, Impossible) and answer.why is Why.TOO_MANY_IN_A_ROW:
            beyond.append(row)
    async with pool.acquire() as connection, connection.transaction():
        await _USAGE.write_estimates(
            connection,
            meter_ids=[row["meter_id"] for row, _ in made],
            installed_ats=[row["installed_at"] for row, _ in made],
            registers=[one.mark.register_dm3 for _, one in made],
            turns=[one.mark.turns for _, one in made],
            qualities=[one.quality for _, one in made],
            methods=[one.method for _, one in made],
            whys=[one.why for _, one in made],
            read_at=end_at,
            at=run.at,
        )
        await _USAGE.note_cap(
            connection,
            meter_ids=[row["meter_id"] for row in beyond],
            installed_ats=[row["installed_at"] for row in beyond],
            period_start=run.period.start,
            at=run.at,
        )
    log.info("registers.estimated", lacking=len(rows), made=len(made), beyond_cap=len(beyond))
    return Estimated(last=(rows[-1]["meter_id"], rows[-1]["installed_at"]), made=len(made))


def _lacking(row: asyncpg.Record) -> Lacking:
    return Lacking(
        stay=installation_of(row),
        opening=Mark(read_at=row["from_at"], register_dm3=row["from_dm3"], turns=row["from_turns"]),
        dial_dm3=row["dial_dm3"],
    )
