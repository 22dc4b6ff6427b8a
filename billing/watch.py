"""Watching the debit run: apply every rule of the breaker, and stop the run if one trips.

It asks before anything is announced, and it changes nothing but the row that stops the run. Only
people let it go on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol

import structlog

from billing.breaker import (
    CHARGED_BACK_TO,
    MONTH_BACK,
    OUTCOMES_BACK,
    RUN_BACK,
    UNKNOWN_FOR,
    Cause,
    Limits,
    RunAmounts,
    RunOutcomes,
    Trip,
    judge_amounts,
    judge_days,
    judge_outcomes,
    judge_total,
)
from billing.period import local_day

log = structlog.get_logger()


class WatchStore(Protocol):
    """What watching reads, and the row it writes."""

    async def released_at(self, cause: Cause) -> datetime | None:
        """Return when a stop for this cause was last released."""

    async def run_amounts(
        self, *, issued_after: datetime, from_day: date, limits: Limits
    ) -> Sequence[RunAmounts]:
        """Return the bills that are to be asked for, by currency, beside what is usual."""

    async def run_outcomes(
        self, *, since: datetime, unheard_since: datetime, from_day: date
    ) -> RunOutcomes:
        """Return what became of debits since an instant."""

    async def compared_until(self) -> date | None:
        """Return the day up to which the books were compared with the bank's; None if never."""

    async def trip(self, trip: Trip, *, at: datetime) -> bool:
        """Stop the run; False if it is stopped for this cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchCounts:
    """For how many causes the run was stopped now."""

    stopped: int = 0


async def watch(
    *,
    store: WatchStore,
    at: datetime,
    zone: str,
    limits: Limits,
) -> WatchCounts:
    """Apply every rule to what came since its last release."""
    trips = [
        *await _amounts(store, Cause.AMOUNTS, at=at, zone=zone, limits=limits),
        *await _amounts(store, Cause.TOTAL, at=at, zone=zone, limits=limits),
        *await _outcomes(store, Cause.FAILURES, at=at, zone=zone, limits=limits),
        *await _outcomes(store, Cause.UNKNOWN, at=at, zone=zone, limits=limits),
        *await _days(store, at=at, zone=zone, limits=limits),
    ]
    stopped = 0
    for trip in trips:
        if await store.trip(trip, at=at):
            log.error("run.stopped", cause=trip.cause.value, **trip.facts)
            stopped += 1
    return WatchCounts(stopped=stopped)


async def _since(store: WatchStore, cause: Cause, *, at: datetime, back: timedelta) -> datetime:
    """Return from when on a rule looks: not far back, and not beyond its last release."""
    released = await store.released_at(cause)
    return at - back if released is None else max(released, at - back)


async def _amounts(
    store: WatchStore, cause: Cause, *, at: datetime, zone: str, limits: Limits
) -> list[Trip]:
    found = await store.run_amounts(
        issued_after=await _since(store, cause, at=at, back=RUN_BACK),
        from_day=local_day(at - MONTH_BACK, zone),
        limits=limits,
    )
    judge = judge_amounts if cause is Cause.AMOUNTS else judge_total
    return [trip for amounts in found if (trip := judge(amounts, limits)) is not None]


async def _outcomes(
    store: WatchStore, cause: Cause, *, at: datetime, zone: str, limits: Limits
) -> list[Trip]:
    found = await store.run_outcomes(
        since=await _since(store, cause, at=at, back=OUTCOMES_BACK),
        unheard_since=at - UNKNOWN_FOR,
        from_day=local_day(at - CHARGED_BACK_TO, zone),
    )
    return [trip for trip in judge_outcomes(found, limits) if trip.cause is cause]


async def _days(store: WatchStore, *, at: datetime, zone: str, limits: Limits) -> list[Trip]:
    released = await store.released_at(Cause.UNRECONCILED)
    trip = judge_days(
        compared_until=await store.compared_until(),
        released_on=None if released is None else local_day(released, zone),
        today=local_day(at, zone),
        limits=limits,
    )
    return [] if trip is None else [trip]
