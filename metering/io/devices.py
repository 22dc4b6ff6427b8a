"""Meters as devices in PostgreSQL: their keys, the code on their label, what became of them.

Every change holds the meter's bucket, which also tells running ingests to look again: what is
decided here counts from the next telegram on.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg
import structlog

import sql
from metering.device import (
    ACTIVE,
    CLAIM_BYTES,
    CLAIM_TRIES,
    OLD_KEY_GOOD_FOR,
    PENDING,
    Event,
    PublicKey,
    Sight,
    StateError,
    claim_code,
    claim_digest,
    is_claimed_by,
    rotation_message,
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
from metering.io.registry import NotInstalledError
from metering.meter import Meter

_Q: Final = sql.queries("devices")

DIFFERS: Final = "start_register_differs"

log: Final = structlog.get_logger()


class MeterKnownError(Exception):
    """The id belongs to a meter already."""


class KeyUnknownError(Exception):
    """The meter has no key of this epoch."""


class RotationRefusedError(Exception):
    """The new key does not follow the old one, or the old one did not sign it."""


class ClaimRefusedError(Exception):
    """The code is not this meter's, or it was used."""


class ClaimLockedError(Exception):
    """Too many wrong codes; nobody can claim this meter with a code any more."""


class NotClaimedError(Exception):
    """Nobody has proven with the code of the label to stand before this meter."""


class WitnessDiffersError(Exception):
    """This witness has said something else about the same stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """The devices of a town; works with the service's rights."""

    pool: asyncpg.Pool

    async def provision(
        self,
        meter: Meter,
        key: PublicKey,
        *,
        imported: bool = False,
        by: str | None = None,
        at: datetime,
    ) -> str:
        """Register a meter as pending with its first key; return its claim code, this once.

        Raises:
            MeterKnownError: the id is taken.
            KeyKnownError: another meter has this key.
        """
        code = claim_code(secrets.token_bytes(CLAIM_BYTES))
        async with holding(self.pool, meter.meter_id) as conn:
            added = await _Q.add_device(
                conn,
                meter_id=meter.meter_id,
                dial_dm3=meter.dial_dm3,
                step_dm3=meter.step_dm3,
                qmax_dm3_h=meter.qmax_dm3_h,
                compensated=meter.compensated,
                registered_at=at,
            )
            if added is None:
                raise MeterKnownError("a meter with this id is registered")
            origin = "imported" if imported else "device"
            await add_key(conn, meter.meter_id, 1, key, origin, at)
            await _Q.add_claim(
                conn,
                meter_id=meter.meter_id,
                claim_digest=claim_digest(meter.meter_id, code),
                tries=CLAIM_TRIES,
                issued_at=at,
            )
            made = Note(event=Event.PROVISIONED, at=at, by=by, detail=f"key made: {origin}")
            await note(conn, meter.meter_id, made)
        log.info("device.provisioned", meter_id=meter.meter_id)
        return code

    async def keys(self, meter_id: str) -> tuple[str, list[DeviceKey]]:
        """Return a meter's state and its keys, the newest first.

        Raises:
            MeterUnknownError: no meter has this id.
        """
        async with self.pool.acquire() as conn:
            device = await device_row(conn, meter_id)
            return device["state"], await keys_of(conn, meter_id)

    async def claim(self, meter_id: str, code: str, *, by: str | None = None, at: datetime) -> None:
        """Prove with the code of the label to stand before the meter; a wrong code is counted.

        Raises:
            MeterUnknownError: no meter has this id.
            ClaimRefusedError: the code is wrong, was used, or the meter never had one.
            ClaimLockedError: it was wrong too often.
        """
        async with holding(self.pool, meter_id) as conn:
            await device_row(conn, meter_id)
            claim = await _Q.find_claim(conn, meter_id=meter_id)
            digest = await _Q.try_claim(conn, meter_id=meter_id)
            right = digest is not None and is_claimed_by(digest, meter_id, code)
            if right:
                await _Q.finish_claim(conn, meter_id=meter_id, at=at)
            if digest is not None:
                told = Event.CLAIMED if right else Event.CLAIM_REFUSED
                await note(conn, meter_id, Note(event=told, at=at, by=by))
        # Only here, so that the try that failed is committed.
        if right:
            log.info("device.claimed", meter_id=meter_id)
            return
        if claim is not None and claim["claimed_at"] is None and digest is None:
            raise ClaimLockedError("too many wrong codes; the meter needs a new one")
        log.warning("device.claim_refused", meter_id=meter_id)
        raise ClaimRefusedError("not the code of this meter, or used already")

    async def confirm_start(
        self, meter_id: str, sight: Sight, *, by: str | None = None, at: datetime
    ) -> str:
        """Write down what a witness saw, and return the state the meter is in then.

        It becomes active when installer and resident both spoke and neither is further than one
        step of the dial from the other, or from the register the meter was hung up with.

        Raises:
            MeterUnknownError: no meter has this id.
            StateError: the meter is not pending, so its start is settled.
            NotClaimedError: its code was never shown to us.
            NotInstalledError: it hangs nowhere.
            WitnessDiffersError: the same witness said something else before.
        """
        async with holding(self.pool, meter_id) as conn:
            device = await device_row(conn, meter_id)
            stay = await _Q.find_stay(conn, meter_id=meter_id)
            if stay is None:
                raise NotInstalledError("the meter hangs nowhere")
            seen = await _sights(conn, meter_id, stay["installed_at"])
            if sight.witness in seen:
                if seen[sight.witness] != sight:
                    raise WitnessDiffersError("this witness said something else")
                return str(device["state"])
            if device["state"] != PENDING:
                raise StateError(f"the start register of a {device['state']} meter is settled")
            claim = await _Q.find_claim(conn, meter_id=meter_id)
            if claim is None or claim["claimed_at"] is None:
                raise NotClaimedError("first the meter must be claimed with its code")
            await _Q.add_witness(
                conn,
                meter_id=meter_id,
                installed_at=stay["installed_at"],
                witness=sight.witness,
                register_dm3=sight.register_dm3,
                photo_digest=sight.photo_digest,
                at=at,
            )
            others = [other.register_dm3 for other in seen.values()]
            if not others:
                return PENDING
            registers = [sight.register_dm3, *others, stay["opening_dm3"]]
            if max(registers) - min(registers) > device["step_dm3"]:
                detail = f"hung up with {stay['opening_dm3']} dm3, seen were {registers[:-1]}"
                await _Q.ask_person(conn, meter_id=meter_id, kind=DIFFERS, detail=detail, at=at)
                return PENDING
            await move(conn, meter_id, device["state"], ACTIVE)
            seen_at = f"start register {stay['opening_dm3']} dm3"
            await note(conn, meter_id, Note(event=Event.ACTIVATED, at=at, by=by, detail=seen_at))
        return ACTIVE

    async def rotate(  # noqa: PLR0913 - what is signed, by whom and when
        self,
        meter_id: str,
        key_epoch: int,
        key: PublicKey,
        signature: bytes,
        *,
        by: str | None = None,
        at: datetime,
    ) -> bool:
        """Give a meter its next key, signed by the one before; False when it was given before.

        The old key stays good for a week, for what the meter had signed already.

        Raises:
            MeterUnknownError: no meter has this id.
            StateError: the meter is frozen or removed.
            KeyKnownError: a meter has, or had, the new key.
            RotationRefusedError: another epoch is next, or the old key did not sign or may not.
        """
        async with holding(self.pool, meter_id) as conn:
            device = await device_row(conn, meter_id)
            if device["state"] not in {PENDING, ACTIVE}:
                raise StateError(f"a {device['state']} meter gets no new key")
            keys = await keys_of(conn, meter_id)
            if not keys:
                raise RotationRefusedError("the meter has no key to sign a new one with")
            old = keys[0]
            if (old.key_epoch, old.public_key) == (key_epoch, key.public_key):
                return False
            if key_epoch != old.key_epoch + 1:
                raise RotationRefusedError(f"the next epoch is {old.key_epoch + 1}")
            if not old.speaks(at):
                raise RotationRefusedError("the old key is frozen or revoked")
            signer = PublicKey(algorithm=old.algorithm, public_key=old.public_key)
            message = rotation_message(meter_id, key_epoch, key.public_key)
            if not signer.has_signed(message, signature):
                raise RotationRefusedError("the old key did not sign the new one")
            await add_key(conn, meter_id, key_epoch, key, "rotation", at)
            await _Q.end_key(
                conn,
                meter_id=meter_id,
                key_epoch=old.key_epoch,
                valid_until=at + OLD_KEY_GOOD_FOR,
            )
            rotated = Note(event=Event.KEY_ROTATED, at=at, by=by, detail=f"epoch {key_epoch}")
            await note(conn, meter_id, rotated)
        log.info("device.key_rotated", meter_id=meter_id, key_epoch=key_epoch)
        return True

    async def revoke(
        self, meter_id: str, key_epoch: int, *, by: str | None = None, at: datetime
    ) -> DeviceKey:
        """Believe a key never again, from the next telegram on; twice does no harm.

        Raises:
            MeterUnknownError: no meter has this id.
            KeyUnknownError: it has no key of this epoch.
        """
        async with holding(self.pool, meter_id) as conn:
            await device_row(conn, meter_id)
            fresh = await _Q.revoke_key(conn, meter_id=meter_id, key_epoch=key_epoch, at=at)
            if fresh is not None:
                revoked = Note(event=Event.KEY_REVOKED, at=at, by=by, detail=f"epoch {key_epoch}")
                await note(conn, meter_id, revoked)
            for key in await keys_of(conn, meter_id):
                if key.key_epoch == key_epoch:
                    break
            else:
                raise KeyUnknownError("the meter has no key of this epoch")
        log.warning("device.key_revoked", meter_id=meter_id, key_epoch=key_epoch)
        return key


async def _sights(
    conn: asyncpg.Connection, meter_id: str, installed_at: datetime
) -> dict[str, Sight]:
    rows = _Q.list_witnesses(conn, meter_id=meter_id, installed_at=installed_at)
    return {row["witness"]: Sight(**row) async for row in rows}
