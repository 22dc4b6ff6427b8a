"""How months come to their bills, in PostgreSQL."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg
import structlog

import sql
from billing.month import MonthState, MonthStep, Standing, after_issue, may_draft
from billing.period import Period

_Q: Final = sql.queries("months")

log: Final = structlog.get_logger()


class NotApprovedError(Exception):
    """Nobody has approved the figures of this month, and this town wants it."""


class DraftDiffersError(Exception):
    """The month would ask for another total than the one that was seen."""


class MonthApprovedError(Exception):
    """The month was approved or issued already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Months:
    """The steps of months; works with the service's rights."""

    pool: asyncpg.Pool

    async def steps(self, period: Period) -> tuple[MonthStep, ...]:
        """Return the steps of a month, in order; none while it is still collected."""
        async with self.pool.acquire() as conn:
            return await _steps(conn, period)

    async def standing(self, period: Period, *, zone: str) -> Standing:
        """Count the accounts that have a bill for a month, and those without a meter in it."""
        start_at, end_at = period.bounds(zone)
        async with self.pool.acquire() as conn:
            row = await _Q.standing(
                conn, period_start=period.start, start_at=start_at, end_at=end_at
            )
        return Standing(**row)

    async def without_meter(
        self, period: Period, *, zone: str, after: str, limit: int
    ) -> list[str]:
        """List accounts that live in a month without a meter, in order, beginning after one."""
        start_at, end_at = period.bounds(zone)
        async with self.pool.acquire() as conn:
            rows = _Q.without_meter(
                conn,
                period_start=period.start,
                start_at=start_at,
                end_at=end_at,
                after=after,
                rows=limit,
            )
            return [row["account_id"] async for row in rows]

    async def draft(self, period: Period, *, bills: int, total_minor: int, at: datetime) -> None:
        """Note the figures that wait for a person, unless they stand there."""
        async with self.pool.acquire() as conn, conn.transaction():
            await _Q.lock_month(conn, period_start=period.start)
            steps = await _steps(conn, period)
            if may_draft(steps, bills=bills, total_minor=total_minor):
                await _add(conn, period, MonthState.DRAFTED, bills, total_minor, at=at)

    async def approve(  # noqa: PLR0913 - what was seen, who says so and why
        self,
        period: Period,
        *,
        bills: int,
        total_minor: int,
        seen_minor: int,
        said_by: str,
        because: str,
        at: datetime,
    ) -> None:
        """Approve a month for the total that was seen, which is what it would ask for now.

        Raises:
            DraftDiffersError: it would ask for another total by now.
            MonthApprovedError: it was approved, or issued, already.
        """
        if seen_minor != total_minor:
            raise DraftDiffersError(f"the month would ask for {total_minor}")
        async with self.pool.acquire() as conn, conn.transaction():
            await _Q.lock_month(conn, period_start=period.start)
            if await _Q.may_be_issued(conn, period_start=period.start):
                raise MonthApprovedError(f"{period.label} was approved or issued already")
            await _add(
                conn,
                period,
                MonthState.APPROVED,
                bills,
                total_minor,
                at=at,
                said_by=said_by,
                because=because,
            )
        log.info("month.approved", period=period.label, bills=bills)


async def demand_approval(connection: asyncpg.Connection, period: Period) -> None:
    """Refuse to issue a month whose figures nobody has approved.

    Raises:
        NotApprovedError: nobody has.
    """
    if not await _Q.may_be_issued(connection, period_start=period.start):
        raise NotApprovedError(f"nobody has approved {period.label}")


async def note_issued(
    connection: asyncpg.Connection, period: Period, *, bills: int, total_minor: int, at: datetime
) -> None:
    """Note, in the caller's transaction, that bills of a month went out."""
    await _Q.lock_month(connection, period_start=period.start)
    steps = await _steps(connection, period)
    await _add(connection, period, after_issue(steps), bills, total_minor, at=at)


async def _steps(conn: asyncpg.Connection, period: Period) -> tuple[MonthStep, ...]:
    rows = _Q.list_steps(conn, period_start=period.start)
    return tuple(
        [MonthStep(**{**dict(row), "state": MonthState(row["state"])}) async for row in rows]
    )


async def _add(  # noqa: PLR0913 - the parts of one row
    conn: asyncpg.Connection,
    period: Period,
    state: MonthState,
    bills: int,
    total_minor: int,
    *,
    at: datetime,
    said_by: str | None = None,
    because: str | None = None,
) -> None:
    await _Q.add_step(
        conn,
        period_start=period.start,
        state=state.value,
        bills=bills,
        total_minor=total_minor,
        said_by=said_by,
        because=because,
        at=at,
    )
