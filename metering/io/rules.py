"""What a town says about the rules of belief, and how cold its days were, in PostgreSQL."""

import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

import asyncpg
import structlog

import sql
from metering.io.overrides import read_overrides
from metering.io.store import lock_buckets
from metering.meter import BUCKETS
from metering.rule import Override

_Q: Final = sql.queries("rules")

log: Final = structlog.get_logger()


class OverrideKnownError(Exception):
    """The rule has another word of that day already."""


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

    async def add_degree_day(
        self, day: date, degree_days_tenths: int, *, source: str, at: datetime
    ) -> None:
        """Note how cold a local day was; the newest note of a day counts.

        Raises:
            asyncpg.UniqueViolationError: somebody else noted the same day just now.
        """
        async with self._pool.acquire() as connection:
            await _Q.add_degree_day(
                connection, day=day, degree_days_tenths=degree_days_tenths, source=source, at=at
            )
