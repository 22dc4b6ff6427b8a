"""The rows of one device, as those who change it read and write them: state, keys, history."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg
import structlog

import sql
from metering.device import Event, PublicKey, next_state
from metering.io.registry import MeterUnknownError
from metering.io.store import lock_buckets
from metering.meter import bucket_number

_Q: Final = sql.queries("devices")

log: Final = structlog.get_logger()


class KeyKnownError(Exception):
    """A meter has, or once had, this key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceKey:
    """A key of a meter with everything that happened to it."""

    key_epoch: int
    algorithm: str
    public_key: bytes
    kid: bytes
    origin: str
    added_at: datetime
    valid_until: datetime | None
    frozen_at: datetime | None
    revoked_at: datetime | None

    def speaks(self, at: datetime) -> bool:
        """Say whether a telegram under this key would be believed at an instant."""
        return self.revoked_at is None and self.frozen_at is None and not self.expired(at)

    def ended(self, at: datetime) -> bool:
        """Say whether nothing can make this key speak again; a frozen one may be thawed."""
        return self.revoked_at is not None or self.expired(at)

    def expired(self, at: datetime) -> bool:
        """Say whether a successor took its place long enough ago."""
        return self.valid_until is not None and at >= self.valid_until


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Who did what, when and why: one line of a device's history."""

    event: Event
    at: datetime
    by: str | None
    detail: str = ""


@asynccontextmanager
async def holding(pool: asyncpg.Pool, meter_id: str) -> AsyncIterator[asyncpg.Connection]:
    """Open a transaction in which nobody else judges or changes the meter."""
    async with pool.acquire() as conn, conn.transaction():
        await lock_buckets(conn, [bucket_number(meter_id)])
        yield conn


async def device_row(conn: asyncpg.Connection, meter_id: str) -> asyncpg.Record:
    """Return a meter's state, the step of its dial and its type.

    Raises:
        MeterUnknownError: no meter has this id.
    """
    row = await _Q.find_device(conn, meter_id=meter_id)
    if row is None:
        raise MeterUnknownError("no meter has this id")
    return row


async def keys_of(conn: asyncpg.Connection, meter_id: str) -> list[DeviceKey]:
    """Return a meter's keys, the newest first."""
    return [DeviceKey(**row) async for row in _Q.list_keys(conn, meter_id=meter_id)]


async def move(conn: asyncpg.Connection, meter_id: str, state: str, wanted: str) -> None:
    """Put a meter into another state, if the table of states leads there.

    Raises:
        StateError: it does not.
    """
    await _Q.move_device(conn, meter_id=meter_id, state=next_state(state, wanted))
    log.info("device.moved", meter_id=meter_id, state=wanted)


async def note(conn: asyncpg.Connection, meter_id: str, what: Note) -> None:
    """Write a line into a device's history, in the transaction of what it tells."""
    await _Q.note_event(
        conn,
        meter_id=meter_id,
        event=what.event.value,
        detail=what.detail,
        done_by=what.by,
        happened_at=what.at,
    )


async def add_key(  # noqa: PLR0913, PLR0917 - the columns of a key
    conn: asyncpg.Connection,
    meter_id: str,
    key_epoch: int,
    key: PublicKey,
    origin: str,
    at: datetime,
) -> None:
    """Add a key that no meter has or had; two who bring the same wait for each other.

    Raises:
        KeyKnownError: some meter has it, or had it.
    """
    await _Q.lock_kid(conn, kid=key.kid)
    if await _Q.has_kid(conn, kid=key.kid):
        raise KeyKnownError("a meter has, or had, this key")
    await _Q.add_key(
        conn,
        meter_id=meter_id,
        key_epoch=key_epoch,
        algorithm=key.algorithm,
        public_key=key.public_key,
        kid=key.kid,
        origin=origin,
        added_at=at,
    )
