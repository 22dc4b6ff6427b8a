"""Sources in PostgreSQL: which topics of other makers' hardware belong to which meter.

A source is never changed. It is removed and another is entered, so that each reading can be traced
to the mapping that made it; readings that were taken stay.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

import asyncpg
import structlog

import sql
from metering.adapter import Message, Read, Source, adapt
from metering.family import FAMILIES
from metering.io.link import SESSION_EXPIRY_SECONDS
from metering.io.registry import MeterUnknownError
from metering.source import check_source, rival
from metering.telegram import Refusal, Telegram
from metering.topic import matches

_Q: Final = sql.queries("sources")

# A broker forgets a session after this, and with it whatever we asked for; a day for slow clocks.
DROPPED_WITHIN: Final = timedelta(seconds=SESSION_EXPIRY_SECONDS) + timedelta(days=1)

log: Final = structlog.get_logger()


class SourceClaimedError(Exception):
    """A live source hears this device already."""


class SourceUnknownError(Exception):
    """No source has this id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A source as it was entered, and whether it was removed."""

    source: Source
    entered_by: str
    entered_at: datetime
    removed_by: str | None
    removed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSources:
    """What to listen to; ``dropped`` are topics that a broker may still hold for us."""

    version: tuple[int, int]
    sources: tuple[Source, ...]
    dropped: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBook:
    """The sources of a town; works with the service's rights."""

    pool: asyncpg.Pool
    families: Mapping[str, Read] = field(default_factory=lambda: FAMILIES)

    async def add(self, source: Source, *, by: str, at: datetime) -> tuple[Entry, bool]:
        """Enter a source whose id we choose; return it, and False when it was there before.

        Raises:
            SourceError, FilterError: it could not work, or would hear what is not its own.
            MeterUnknownError: no meter has this id.
            SourceClaimedError: another live source could take the same messages.
        """
        check_source(source, self.families)
        async with self.pool.acquire() as conn, conn.transaction():
            await _Q.lock_sources(conn)
            live = {
                entry.source: entry
                for entry in [_entry(row) async for row in _Q.list_live_sources(conn)]
            }
            other = rival(source, live)
            if other is not None:
                if replace(source, source_id=other.source_id) == other:
                    return live[other], False
                raise SourceClaimedError(f"source {other.source_id} of {other.meter_id} hears it")
            row = await _Q.add_source(
                conn,
                meter_id=source.meter_id,
                family=source.family,
                topic=source.topic,
                device=source.device,
                dm3_numerator=source.dm3_per_count.numerator,
                dm3_denominator=source.dm3_per_count.denominator,
                offset_dm3=source.offset_dm3,
                unit=source.unit,
                zone=source.zone,
                every_s=source.every_s,
                entered_by=by,
                entered_at=at,
            )
            if row is None:
                raise MeterUnknownError("no meter has this id")
        entry = _entry(row)
        log.info("source.entered", source_id=entry.source.source_id, meter_id=entry.source.meter_id)
        return entry, True

    async def remove(self, source_id: UUID, *, by: str, at: datetime) -> Entry:
        """Listen to a source no more; twice does no harm.

        Raises:
            SourceUnknownError: no source has this id.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            await _Q.remove_source(conn, source_id=source_id, removed_by=by, removed_at=at)
            row = await _Q.find_source(conn, source_id=source_id)
        if row is None:
            raise SourceUnknownError("no source has this id")
        log.info("source.removed", source_id=str(source_id), meter_id=row["meter_id"])
        return _entry(row)

    async def page(self, *, after: UUID, page: int) -> list[Entry]:
        """Return a page of all sources, removed ones included, in the order of their ids."""
        async with self.pool.acquire() as conn:
            return [_entry(row) async for row in _Q.list_sources(conn, after=after, page=page)]

    def tried(
        self, source: Source, *, topic: str, payload: bytes, retained: bool, at: datetime
    ) -> tuple[bool, Telegram | Refusal | None]:
        """Say whether a source hears a topic, and what a message there would be; store nothing.

        Raises:
            SourceError, FilterError: the source could not be entered.
        """
        check_source(source, self.families)
        if not matches(source.topic, topic):
            return False, None
        message = Message(topic=topic, payload=payload, retained=retained, received_at=at)
        return True, adapt(source, message, self.families[source.family])

    async def version(self) -> tuple[int, int]:
        """Return what changes whenever a source is entered or removed."""
        async with self.pool.acquire() as conn:
            return _version(await _Q.sources_version(conn))

    async def live(self, *, at: datetime) -> LiveSources:
        """Return what to listen to now.

        Sources of a family that this program does not know are left out: it would acknowledge what
        it cannot read.
        """
        async with self.pool.acquire() as conn, conn.transaction(isolation="repeatable_read"):
            version = _version(await _Q.sources_version(conn))
            entries = [_entry(row) async for row in _Q.list_live_sources(conn)]
            rows = _Q.list_dropped_topics(conn, since=at - DROPPED_WITHIN)
            dropped = tuple([row["topic"] async for row in rows])
        known = tuple(entry.source for entry in entries if entry.source.family in self.families)
        if len(known) < len(entries):
            log.warning("sources.family_unknown", sources=len(entries) - len(known))
        return LiveSources(version=version, sources=known, dropped=dropped)


def _version(row: asyncpg.Record) -> tuple[int, int]:
    return row["entered"], row["removed"]


def _entry(row: Mapping[str, Any]) -> Entry:
    return Entry(
        source=Source(
            source_id=str(row["source_id"]),
            family=row["family"],
            topic=row["topic"],
            meter_id=row["meter_id"],
            device=row["device"],
            dm3_per_count=Fraction(row["dm3_numerator"], row["dm3_denominator"]),
            offset_dm3=row["offset_dm3"],
            unit=row["unit"],
            zone=row["zone"],
            every_s=row["every_s"],
        ),
        entered_by=row["entered_by"],
        entered_at=row["entered_at"],
        removed_by=row["removed_by"],
        removed_at=row["removed_at"],
    )
