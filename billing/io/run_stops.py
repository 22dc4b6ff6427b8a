"""The circuit breaker of the debit run in PostgreSQL."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import asyncpg
import structlog

import sql
from billing.breaker import (
    MONTHS_MIN,
    Cause,
    Limits,
    Release,
    RunAmounts,
    RunOutcomes,
    SamePersonError,
    Stop,
    StopUnknownError,
    Trip,
    check_release,
)

_Q: Final = sql.queries("run_stops")

log: Final = structlog.get_logger()


class StopBook:
    """Whether the run is stopped, for those who would go on with it."""

    _pool: asyncpg.Pool

    async def stopped(self) -> Stop | None:
        """Return the first of the stops that keep the run back; None while it goes on."""
        row = await _Q.open_stop(self._pool)
        if row is None:
            return None
        return Stop(
            stop_no=row["stop_no"],
            cause=Cause(row["cause"]),
            facts=json.loads(row["facts"]),
            stopped_by=row["stopped_by"],
            because=row["because"],
            stopped_at=row["stopped_at"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How many debits wait behind a stop: ``announced`` ones, and orders that are ``recorded``."""

    announced: int
    recorded: int


class RunStops(StopBook):
    """The stops of the run, what its rules look at, and who released it."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def released_at(self, cause: Cause) -> datetime | None:
        """Return when a stop for this cause was last released by two people."""
        found: datetime | None = await _Q.released_at(self._pool, cause=cause.value)
        return found

    async def run_amounts(
        self, *, issued_after: datetime, from_day: date, limits: Limits
    ) -> tuple[RunAmounts, ...]:
        """Return the bills that are to be asked for, by currency, beside what is usual."""
        rows = _Q.run_amounts(
            self._pool,
            issued_after=issued_after,
            from_day=from_day,
            season_percent=limits.season_percent,
            plain_percent=limits.plain_percent,
            months_min=MONTHS_MIN,
        )
        return tuple([RunAmounts(**dict(row)) async for row in rows])

    async def run_outcomes(
        self, *, since: datetime, unheard_since: datetime, from_day: date
    ) -> RunOutcomes:
        """Return what became of debits since an instant."""
        row = await _Q.run_outcomes(
            self._pool, since=since, unheard_since=unheard_since, from_day=from_day
        )
        return RunOutcomes(**dict(row))

    async def compared_until(self) -> date | None:
        """Return the day up to which the books were compared with the bank's.

        None where no statement was ever brought: there nobody compares yet.
        """
        day: date | None = await _Q.compared_until(self._pool)
        return day

    async def trip(self, trip: Trip, *, at: datetime) -> bool:
        """Stop the run because a rule says so; False if it is stopped for this cause."""
        stop_no = await self._stop(trip.cause, trip.facts, stopped_by=None, because=None, at=at)
        return stop_no is not None

    async def stop_by_hand(self, *, stopped_by: str, because: str, at: datetime) -> Stop:
        """Stop the run because a person says so; the same stop again if nobody has let it go."""
        await self._stop(Cause.BY_HAND, {}, stopped_by=stopped_by, because=because, at=at)
        log.error("run.stopped", cause=Cause.BY_HAND.value)
        found = await self.stops(only_open=True, limit=len(Cause))
        return next(one for one in found if one.cause is Cause.BY_HAND)

    async def _stop(
        self,
        cause: Cause,
        facts: Mapping[str, int | str],
        *,
        stopped_by: str | None,
        because: str | None,
        at: datetime,
    ) -> int | None:
        async with self._pool.acquire() as connection, connection.transaction():
            await _Q.lock_run(connection)
            stop_no: int | None = await _Q.add_stop(
                connection,
                cause=cause.value,
                facts=json.dumps(dict(facts)),
                stopped_by=stopped_by,
                because=because,
                at=at,
            )
            return stop_no

    async def release(self, stop_no: int, *, released_by: str, because: str, at: datetime) -> Stop:
        """Keep one person's word that the run may go on; it does with the second one's.

        Raises:
            StopUnknownError: the run was never stopped under this number.
            StopReleasedError: it goes on already.
            SamePersonError: this person has released it before.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            await _Q.lock_run(connection)
            row = await _Q.stop(connection, stop_no=stop_no)
            if row is None:
                raise StopUnknownError(f"the run was never stopped as number {stop_no}")
            stop = _stop_of(row)
            check_release(stop, released_by)
            first = stop.releases[0].released_by if stop.releases else None
            try:
                await _Q.add_release(
                    connection,
                    stop_no=stop_no,
                    release_no=len(stop.releases) + 1,
                    first_no=None if first is None else 1,
                    first_by=first,
                    released_by=released_by,
                    because=because,
                    at=at,
                )
            except asyncpg.CheckViolationError as error:
                raise SamePersonError("another person has to release the run too") from error
            released = _stop_of(await _Q.stop(connection, stop_no=stop_no))
        log.warning("run.released", stop_no=stop_no, still_stopped=released.is_open)
        return released

    async def stops(self, *, only_open: bool, limit: int) -> list[Stop]:
        """Return the newest stops, each with the words of those who released it."""
        rows = _Q.stops(self._pool, only_open=only_open, batch=limit)
        return [_stop_of(row) async for row in rows]

    async def waiting(self) -> Waiting:
        """Return how many debits wait while the run is stopped."""
        row = await _Q.waiting_behind_stop(self._pool)
        return Waiting(**dict(row))


def _stop_of(row: asyncpg.Record) -> Stop:
    return Stop(
        stop_no=row["stop_no"],
        cause=Cause(row["cause"]),
        facts=json.loads(row["facts_text"]),
        stopped_by=row["stopped_by"],
        because=row["because"],
        stopped_at=row["stopped_at"],
        releases=tuple(
            Release(released_by=by, because=because, released_at=datetime.fromisoformat(at))
            for by, because, at in json.loads(row["releases"])
        ),
    )
