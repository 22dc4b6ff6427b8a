"""Findings as operators read them, and what they say about them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import asyncpg
import structlog

import sql
from metering.rule import Outcome

_Q: Final = sql.queries("findings")

log: Final = structlog.get_logger()


class FindingUnknownError(Exception):
    """The meter has no such finding."""


class FindingNotHeldError(Exception):
    """The finding waits for nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingAsked:
    """Which findings are wanted; None does not narrow. A day's own month is ``month``."""

    meter_id: str | None
    outcome: str | None
    state: str | None
    from_at: datetime | None
    to_at: datetime | None
    month: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A finding about a reading or a period, and a person's word on it, if there is one."""

    meter_id: str
    digest: bytes
    read_at: datetime | None
    installed_at: datetime | None
    period_start: date | None
    code: str
    version: str
    outcome: str
    figures: Mapping[str, int]
    found_at: datetime
    decided_by: str | None
    because: str | None
    decided_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingDesk:
    """Findings in PostgreSQL; works with the service's rights."""

    pool: asyncpg.Pool

    async def findings(
        self, asked: FindingAsked, *, before: tuple[datetime, str, bytes], page: int
    ) -> list[Found]:
        """Return a page of findings, the newest first, that come after a place in the list."""
        async with self.pool.acquire() as conn:
            rows = _Q.list_findings(
                conn,
                meter=asked.meter_id,
                outcome=asked.outcome,
                state=asked.state,
                from_at=asked.from_at,
                to_at=asked.to_at,
                month=asked.month,
                before=before[0],
                before_meter=before[1],
                before_digest=before[2],
                page=page,
            )
            return [_found(row) async for row in rows]

    async def decide(
        self, meter_id: str, digest: bytes, *, because: str, decided_by: str, at: datetime
    ) -> tuple[Found, bool]:
        """Let a held finding stand; False when somebody did before, whose word is returned.

        Raises:
            FindingUnknownError: the meter has no such finding.
            FindingNotHeldError: the finding waits for nobody.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            row = await _Q.find_finding(conn, meter_id=meter_id, digest=digest)
            if row is None:
                raise FindingUnknownError
            if row["outcome"] != Outcome.HELD:
                raise FindingNotHeldError("only what is held is decided")
            fresh = await _Q.decide_finding(
                conn,
                meter_id=meter_id,
                digest=digest,
                decided_by=decided_by,
                because=because,
                at=at,
            )
            row = await _Q.find_finding(conn, meter_id=meter_id, digest=digest)
        if fresh is not None:
            log.info("finding.decided", meter_id=meter_id, code=row["code"])
        return _found(row), fresh is not None


def _found(row: Mapping[str, Any]) -> Found:
    values = dict(row)
    return Found(**{**values, "figures": json.loads(values["figures"])})
