"""What a town says about the rules of belief, and how cold its days were, in PostgreSQL."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import asyncpg
import structlog

import sql
from metering.io.overrides import read_overrides
from metering.io.store import lock_buckets
from metering.meter import BUCKETS
from metering.rule import Override, OverrideReason, OverrideRefusal, take_override

_Q: Final = sql.queries("rules")

log: Final = structlog.get_logger()


class OverrideKnownError(Exception):
    """The rule has another word of that day already."""


class OverrideRefusedError(Exception):
    """A town may not override a rule like this; the text is one word that says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DegreeDay:
    """How cold a local day was, in tenths of a degree day, as it was noted last."""

    day: date
    revision: int
    degree_days_tenths: int
    source: str
    noted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a person wants to override, as it was written down; nothing of it is checked yet.

    Without ``retroactive`` it may not begin on a day that is over: readings of that day were
    judged, and stay as they were, so only those that still come and the findings would change.
    """

    code: str
    meter_type: str | None
    valid_from: date
    outcome: str | None
    figures: Mapping[str, object]
    approved_by: str
    retroactive: bool = False


def taken(order: Order, *, from_at: datetime, today: date) -> Override:
    """Return an order as the rules take it; ``from_at`` is the midnight with which it begins.

    Raises:
        OverrideRefusedError: the rules do not take it.
    """
    if order.valid_from < today and not order.retroactive:
        raise OverrideRefusedError(OverrideReason.IN_THE_PAST.value)
    override = take_override(
        code=order.code,
        meter_type=order.meter_type,
        valid_from=order.valid_from,
        from_at=from_at,
        outcome=order.outcome,
        figures=order.figures,
        approved_by=order.approved_by,
    )
    if isinstance(override, OverrideRefusal):
        raise OverrideRefusedError(override.reason.value)
    return override


class Rules:
    """The rules of a town, by way of a pool that works as the service's role."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def overrides(self) -> Sequence[Override]:
        """Return every word of the town on the rules.

        Raises:
            BadOverrideError: one of them is refused today.
        """
        async with self._pool.acquire() as connection:
            return await read_overrides(connection)

    async def add_override(self, override: Override, *, at: datetime) -> bool:
        """Enter a town's word on a rule; False when it was entered before.

        It holds every bucket, so that running ingests judge by it from their next batch on.

        Raises:
            OverrideKnownError: the rule has another word of that day already.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            await lock_buckets(connection, range(BUCKETS))
            for known in await read_overrides(connection):
                if (known.code, known.meter_type, known.valid_from) == (
                    override.code,
                    override.meter_type,
                    override.valid_from,
                ):
                    if known == override:
                        return False
                    raise OverrideKnownError("the rule has another word of that day")
            await _Q.add_override(
                connection,
                code=override.code.value,
                meter_type=override.meter_type.value if override.meter_type else "",
                valid_from=override.valid_from,
                from_at=override.from_at,
                outcome=override.outcome.value if override.outcome else None,
                figures=json.dumps(dict(override.figures)),
                approved_by=override.approved_by,
                at=at,
            )
        log.info("override.entered", code=override.code.value)
        return True

    async def note_degree_days(self, days: Mapping[date, int], *, source: str, at: datetime) -> int:
        """Note, in tenths of a degree day, how cold local days were; return how many were news.

        A day that was noted otherwise, or from another source, gets another revision, which counts
        from then on; the same note again is none.
        """
        if not days:
            return 0
        async with self._pool.acquire() as connection, connection.transaction():
            await _Q.lock_degree_days(connection)
            known = await _degree_days(connection, min(days), max(days) + timedelta(days=1))
            news = {
                day: tenths
                for day, tenths in days.items()
                if day not in known
                or (known[day].degree_days_tenths, known[day].source) != (tenths, source)
            }
            await _Q.add_degree_days(
                connection,
                days=list(news),
                degree_days_tenths=list(news.values()),
                source=source,
                at=at,
            )
        log.info("degree_days.noted", days=len(days), news=len(news))
        return len(news)

    async def degree_days(self, from_day: date, to_day: date) -> list[DegreeDay]:
        """Return the newest note of each day from one day up to, but without, another."""
        async with self._pool.acquire() as connection:
            return list((await _degree_days(connection, from_day, to_day)).values())


async def _degree_days(
    connection: asyncpg.Connection, from_day: date, to_day: date
) -> dict[date, DegreeDay]:
    rows = _Q.list_degree_days(connection, from_day=from_day, to_day=to_day)
    return {row["day"]: DegreeDay(**row) async for row in rows}
