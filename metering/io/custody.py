"""What people do about a device that its key cannot say: stop it, let it go, give it a new start.

Each is signed with a name and a reason, and stands in the device's history.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import structlog

import sql
from metering.device import (
    ACTIVE,
    CLAIM_BYTES,
    CLAIM_TRIES,
    FROZEN,
    PENDING,
    REMOVED,
    Event,
    PublicKey,
    StateError,
    claim_code,
    claim_digest,
)
from metering.io.device_rows import (
    DeviceKey,
    Note,
    add_key,
    device_row,
    holding,
    keys_of,
    move,
    note,
)

_Q: Final = sql.queries("devices")

# Cases that stop a meter or its key until a person has looked; the second is opened by ingest.
STOPPING: Final = ("frozen", "equivocation")
VOUCHED: Final = "key_vouched"
# As much as anybody reads; older lines are a matter for the database.
HISTORY_MAX: Final = 500

log: Final = structlog.get_logger()


class StillInstalledError(Exception):
    """The meter hangs somewhere; first it must be taken down."""


class CaseUnknownError(Exception):
    """The meter has no such open case that stops it."""


class NotRevokedError(Exception):
    """The meter has no key that was revoked, or another one that may still speak."""


class ClaimSettledError(Exception):
    """The meter was claimed, or never had a code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Custody:
    """The devices of a town in the hands of its operators; works with the service's rights."""

    pool: asyncpg.Pool

    async def freeze(self, meter_id: str, *, because: str, by: str, at: datetime) -> UUID:
        """Believe a meter nothing until a person has looked; return the case for that person.

        Raises:
            MeterUnknownError: no meter has this id.
            StateError: the meter is not active.
        """
        async with holding(self.pool, meter_id) as conn:
            device = await device_row(conn, meter_id)
            await move(conn, meter_id, device["state"], FROZEN)
            await _Q.ask_person(conn, meter_id=meter_id, kind=FROZEN, detail=because, at=at)
            case_id = await _Q.find_open_case(conn, meter_id=meter_id, kinds=[FROZEN])
            await note(conn, meter_id, Note(event=Event.FROZEN, at=at, by=by, detail=because))
        return UUID(str(case_id))

    async def unfreeze(
        self, meter_id: str, case_id: UUID, *, closed_by: str, outcome: str, at: datetime
    ) -> str:
        """Close a case that stops a meter; with the last of them it and its keys speak again.

        A key that must stay silent is revoked first. Returns the state of the meter.

        Raises:
            MeterUnknownError: no meter has this id.
            StateError: the meter was removed.
            CaseUnknownError: no such open case stops this meter.
        """
        named: dict[str, Any] = {"meter_id": meter_id, "kinds": list(STOPPING)}
        async with holding(self.pool, meter_id) as conn:
            state = str((await device_row(conn, meter_id))["state"])
            if state == REMOVED:
                raise StateError("a removed meter stays removed")
            closed = await _Q.answer_case(
                conn, **named, case_id=case_id, closed_by=closed_by, outcome=outcome, at=at
            )
            if closed is None:
                raise CaseUnknownError("no such open case stops this meter")
            if await _Q.find_open_case(conn, **named) is not None:
                return state
            await _Q.thaw_keys(conn, meter_id=meter_id)
            if state == FROZEN:
                await move(conn, meter_id, state, ACTIVE)
                state = ACTIVE
            thawed = Note(event=Event.THAWED, at=at, by=closed_by, detail=outcome)
            await note(conn, meter_id, thawed)
        return state

    async def remove(self, meter_id: str, *, because: str, by: str, at: datetime) -> None:
        """Take a meter out of service for good.

        Raises:
            MeterUnknownError: no meter has this id.
            StateError: it was removed before.
            StillInstalledError: it hangs somewhere.
        """
        async with holding(self.pool, meter_id) as conn:
            device = await device_row(conn, meter_id)
            if await _Q.find_stay(conn, meter_id=meter_id) is not None:
                raise StillInstalledError("first the meter must be taken down")
            await move(conn, meter_id, device["state"], REMOVED)
            await note(conn, meter_id, Note(event=Event.REMOVED, at=at, by=by, detail=because))

    async def vouch(
        self, meter_id: str, key: PublicKey, *, because: str, by: str, at: datetime
    ) -> tuple[DeviceKey, bool]:
        """Give a meter a key on an operator's word, since the one before may sign none any more.

        False when exactly this was done before. A case is opened, so that somebody else looks too.

        Raises:
            MeterUnknownError: no meter has this id.
            StateError: the meter is frozen or removed.
            NotRevokedError: its last key was not revoked, or an older one still speaks.
            KeyKnownError: a meter has, or had, the key.
        """
        async with holding(self.pool, meter_id) as conn:
            device = await device_row(conn, meter_id)
            if device["state"] not in {PENDING, ACTIVE}:
                raise StateError(f"a {device['state']} meter gets no new key")
            keys = await keys_of(conn, meter_id)
            if keys and (keys[0].origin, keys[0].public_key) == ("vouched", key.public_key):
                return keys[0], False
            if not keys or keys[0].revoked_at is None:
                raise NotRevokedError("first the meter's last key must be revoked")
            if not all(old.ended(at) for old in keys):
                raise NotRevokedError("an older key of the meter may still speak; revoke it too")
            epoch = keys[0].key_epoch + 1
            await add_key(conn, meter_id, epoch, key, "vouched", at)
            detail = f"epoch {epoch}, vouched for by {by}: {because}"[:500]
            await _Q.ask_person(conn, meter_id=meter_id, kind=VOUCHED, detail=detail, at=at)
            vouched = Note(event=Event.KEY_VOUCHED, at=at, by=by, detail=detail)
            await note(conn, meter_id, vouched)
            made = (await keys_of(conn, meter_id))[0]
        log.warning("device.key_vouched", meter_id=meter_id, key_epoch=epoch)
        return made, True

    async def reissue(self, meter_id: str, *, because: str, by: str, at: datetime) -> str:
        """Give a meter that nobody has claimed a new code, this once; the old one is void.

        Raises:
            MeterUnknownError: no meter has this id.
            StateError: the meter is not pending, so nobody claims it any more.
            ClaimSettledError: its code was used, or it never had one.
        """
        code = claim_code(secrets.token_bytes(CLAIM_BYTES))
        async with holding(self.pool, meter_id) as conn:
            device = await device_row(conn, meter_id)
            if device["state"] != PENDING:
                raise StateError(f"nobody claims a {device['state']} meter")
            renewed = await _Q.renew_claim(
                conn,
                meter_id=meter_id,
                claim_digest=claim_digest(meter_id, code),
                tries=CLAIM_TRIES,
                issued_at=at,
            )
            if renewed is None:
                raise ClaimSettledError("the meter was claimed, or never had a code")
            reissued = Note(event=Event.CODE_REISSUED, at=at, by=by, detail=because)
            await note(conn, meter_id, reissued)
        log.warning("device.code_reissued", meter_id=meter_id)
        return code

    async def history(self, meter_id: str) -> list[Note]:
        """Return what was done to a device, the newest first.

        Raises:
            MeterUnknownError: no meter has this id.
        """
        async with self.pool.acquire() as conn:
            await device_row(conn, meter_id)
            rows = _Q.list_events(conn, meter_id=meter_id, page=HISTORY_MAX)
            return [Note(**{**row, "event": Event(row["event"])}) async for row in rows]
