"""Gaps in PostgreSQL: the map of a meter's days, the missing days of many, what people declare."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import structlog

import sql
from metering.gaps import (
    DAY,
    MAP_DAYS_MAX,
    BadSpanError,
    Calendar,
    DayRead,
    DayState,
    DeclaredGap,
    GapReason,
    Heard,
    LocalDay,
    gap_map,
    local_days,
    missing_runs,
    recent,
    rhythm_of,
    span,
)
from metering.installation import Installation
from metering.io.registry import MeterUnknownError
from metering.io.store import lock_buckets
from metering.meter import bucket_number
from metering.survey import Days

_Q: Final = sql.queries("gaps")

log: Final = structlog.get_logger()


class GapUnknownError(Exception):
    """Nobody declared such a gap of this meter."""


class GapOverlapsError(Exception):
    """Some of these days are declared already, otherwise."""


class GapWithdrawnError(Exception):
    """The gap was withdrawn already, for another reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GapMap:
    """A meter's days, the missing ones as runs, and what was declared of them, withdrawn or not."""

    meter_id: str
    span: Days
    days: tuple[DayRead, ...]
    missing: tuple[Days, ...]
    declared: tuple[DeclaredGap, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaps:
    """The gaps of a town's meters; works with the service's rights."""

    pool: asyncpg.Pool
    calendar: Calendar

    async def map(
        self, meter_id: str, from_day: date | None, to_day: date | None, *, at: datetime
    ) -> GapMap:
        """Return what is known of a meter's days at an instant; none named means the recent ones.

        Raises:
            BadSpanError: the days are none, or too many.
            MeterUnknownError: no meter has this id.
        """
        days = span(from_day, to_day, today=self.calendar.day_of(at))
        local = local_days(days, self.calendar)
        async with self.pool.acquire() as conn:
            meter_type = await _Q.find_meter_type(conn, meter_id=meter_id)
            if meter_type is None:
                raise MeterUnknownError
            rows = _Q.count_readings(conn, meter_id=meter_id, **_bounds(local))
            heard = {
                local[row["place"] - 1].day: Heard(billable=row["billable"], suspect=row["suspect"])
                async for row in rows
            }
            stays, declared = await _around(conn, [meter_id], local)
        read = gap_map(
            local,
            stays=stays[meter_id],
            heard=heard,
            declared=declared[meter_id],
            rhythm=rhythm_of(meter_type),
            at=at,
        )
        return GapMap(
            meter_id=meter_id,
            span=days,
            days=read,
            missing=missing_runs(read),
            declared=tuple(declared[meter_id]),
        )

    async def missing(
        self, conn: asyncpg.Connection, meter_ids: Sequence[str], *, at: datetime
    ) -> Mapping[str, int]:
        """Return how many of the recent days of each of these meters are missing.

        Days with a trusted reading never leave the database, so a page of healthy meters is cheap.
        """
        local = local_days(recent(self.calendar.day_of(at)), self.calendar)
        unread: dict[str, dict[date, Heard]] = defaultdict(dict)
        rows = _Q.unread_days(conn, meter_ids=list(meter_ids), **_bounds(local))
        async for row in rows:
            heard = Heard(suspect=int(row["spoke"]))
            unread[row["meter_id"]][local[row["place"] - 1].day] = heard
        asked = sorted(unread)
        if not asked:
            return dict.fromkeys(meter_ids, 0)
        stays, declared = await _around(conn, asked, local)
        types = {
            row["meter_id"]: row["meter_type"] async for row in _Q.read_types(conn, meter_ids=asked)
        }
        found = dict.fromkeys(meter_ids, 0)
        for meter_id in asked:
            days = gap_map(
                [day for day in local if day.day in unread[meter_id]],
                stays=stays[meter_id],
                heard=unread[meter_id],
                declared=declared[meter_id],
                rhythm=rhythm_of(types[meter_id]),
                at=at,
            )
            found[meter_id] = sum(day.state is DayState.MISSING for day in days)
        return found

    async def declare(  # noqa: PLR0913 - which days, why, who and when
        self,
        meter_id: str,
        days: Days,
        *,
        reason: GapReason,
        because: str,
        declared_by: str,
        at: datetime,
    ) -> tuple[DeclaredGap, bool]:
        """Say why a meter is silent on some days; False when exactly this stood there before.

        Raises:
            BadSpanError: the days are none, or too many.
            MeterUnknownError: no meter has this id.
            GapOverlapsError: some of the days are declared otherwise.
        """
        if not 0 < days.count <= MAP_DAYS_MAX:
            raise BadSpanError(f"a gap has from 1 to {MAP_DAYS_MAX} days")
        async with self.pool.acquire() as conn, conn.transaction():
            await lock_buckets(conn, [bucket_number(meter_id)])
            if await _Q.find_meter_type(conn, meter_id=meter_id) is None:
                raise MeterUnknownError
            for known in (await _declared(conn, [meter_id], days))[meter_id]:
                if known.withdrawn_at is not None:
                    continue
                if (known.days, known.reason, known.because) == (days, reason, because):
                    return known, False
                raise GapOverlapsError(f"declared from {known.from_day} to {known.to_day}")
            gap_id = await _Q.declare_gap(
                conn,
                meter_id=meter_id,
                from_day=days.start,
                to_day=days.end,
                reason=reason.value,
                because=because,
                declared_by=declared_by,
                declared_at=at,
            )
            made = await _gap(conn, meter_id, UUID(str(gap_id)))
        log.info("gap.declared", meter_id=meter_id, days=days.count, reason=reason.value)
        return made, True

    async def withdraw(
        self, meter_id: str, gap_id: UUID, *, because: str, withdrawn_by: str, at: datetime
    ) -> tuple[DeclaredGap, bool]:
        """Take a declared gap back; False when it was taken back for this reason before.

        Raises:
            GapUnknownError: nobody declared it.
            GapWithdrawnError: it was taken back for another reason.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            await _gap(conn, meter_id, gap_id)
            fresh = await _Q.withdraw_gap(
                conn,
                meter_id=meter_id,
                gap_id=gap_id,
                because=because,
                withdrawn_by=withdrawn_by,
                withdrawn_at=at,
            )
            gap = await _gap(conn, meter_id, gap_id)
        if gap.withdrawn_because != because:
            raise GapWithdrawnError("the gap was withdrawn, for another reason")
        if fresh is not None:
            log.info("gap.withdrawn", meter_id=meter_id)
        return gap, fresh is not None


def _bounds(local: Sequence[LocalDay]) -> dict[str, Any]:
    return {"starts": [day.start_at for day in local], "ends": [day.end_at for day in local]}


async def _around(
    conn: asyncpg.Connection, meter_ids: Sequence[str], local: Sequence[LocalDay]
) -> tuple[Mapping[str, list[Installation]], Mapping[str, list[DeclaredGap]]]:
    """Return where meters hung on these days and what was declared of them, by meter."""
    stays: dict[str, list[Installation]] = defaultdict(list)
    rows = _Q.read_stays(
        conn, meter_ids=list(meter_ids), from_at=local[0].start_at, to_at=local[-1].end_at
    )
    async for row in rows:
        stays[row["meter_id"]].append(Installation(**row))
    days = Days(start=local[0].day, end=local[-1].day + DAY)
    return stays, await _declared(conn, meter_ids, days)


async def _declared(
    conn: asyncpg.Connection, meter_ids: Sequence[str], days: Days
) -> Mapping[str, list[DeclaredGap]]:
    found: dict[str, list[DeclaredGap]] = defaultdict(list)
    rows = _Q.read_declared(conn, meter_ids=list(meter_ids), from_day=days.start, to_day=days.end)
    async for row in rows:
        found[row["meter_id"]].append(_shaped(row))
    return found


async def _gap(conn: asyncpg.Connection, meter_id: str, gap_id: UUID) -> DeclaredGap:
    row = await _Q.find_gap(conn, meter_id=meter_id, gap_id=gap_id)
    if row is None:
        raise GapUnknownError
    return _shaped(row)


def _shaped(row: Mapping[str, Any]) -> DeclaredGap:
    return DeclaredGap(**{**row, "reason": GapReason(row["reason"])})
