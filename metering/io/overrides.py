"""The town's words on the rules, as they stand in PostgreSQL: for whoever judges or validates."""

import json
from collections.abc import Mapping
from typing import Any, Final

import asyncpg
import structlog

import sql
from metering.rule import Override, OverrideRefusal, take_override

_Q: Final = sql.queries("rules")

log: Final = structlog.get_logger()


class BadOverrideError(Exception):
    """A stored override is none that our rules know: another version of us wrote it."""


async def read_overrides(connection: asyncpg.Connection) -> list[Override]:
    """Return every word of the town on the rules.

    Raises:
        BadOverrideError: one of them is refused today.
    """
    found = [_override(dict(row)) async for row in _Q.read_overrides(connection)]
    for one in found:
        if isinstance(one, BadOverrideError):
            raise one
    return [one for one in found if isinstance(one, Override)]


async def usable_overrides(connection: asyncpg.Connection) -> list[Override]:
    """Return the town's words that we understand; one we do not is logged, and our own stands.

    For ingest, which must not stand still because a newer version of us once ran here.
    """
    found = [_override(dict(row)) async for row in _Q.read_overrides(connection)]
    for one in found:
        if isinstance(one, BadOverrideError):
            log.error("override.unusable", error=str(one))
    return [one for one in found if isinstance(one, Override)]


def _override(row: Mapping[str, Any]) -> Override | BadOverrideError:
    override = take_override(
        code=row["code"],
        meter_type=row["meter_type"] or None,
        valid_from=row["valid_from"],
        from_at=row["from_at"],
        outcome=row["outcome"],
        figures=json.loads(row["figures"]),
        approved_by=row["approved_by"],
    )
    if isinstance(override, OverrideRefusal):
        return BadOverrideError(f"{row['code']} of {row['valid_from']}: {override.reason}")
    return override
