"""Meters as devices over HTTP: made known, claimed, confirmed, given new keys, silenced."""

from dataclasses import dataclass

from metering.device import PENDING, Sight, StateError
from metering.io.device_rows import KeyKnownError
from metering.io.devices import (
    ClaimLockedError,
    ClaimRefusedError,
    Devices,
    KeyUnknownError,
    MeterKnownError,
    NotClaimedError,
    RotationRefusedError,
    WitnessDiffersError,
)
from metering.io.registry import MeterUnknownError, NotInstalledError
from metering.io.route import Answer, Call, Nothing, Policy, route
from metering.io.wire import MeterPath
from metering.io.wire_devices import (
    DeviceMade,
    KeyPath,
    Keys,
    KeyShown,
    NewClaim,
    NewDevice,
    NewRotation,
    NewSight,
    StateShown,
    key_shown,
)
from metering.meter import Meter


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceApi:
    """The routes of devices and their keys."""

    devices: Devices

    @route(
        "POST",
        "/v1/devices",
        policy=Policy.OPERATOR,
        summary="Make a device known",
        tag="meters",
        status=201,
        raises=(MeterKnownError, KeyKnownError),
    )
    async def provision_device(self, call: Call[Nothing, Nothing, NewDevice]) -> DeviceMade:
        """Register a meter with its first key; it is believed only once its start is confirmed."""
        body = call.body
        meter = Meter(
            meter_id=body.meter_id,
            dial_dm3=body.dial_dm3,
            step_dm3=body.step_dm3,
            qmax_dm3_h=body.qmax_dm3_h,
            compensated=body.compensated,
        )
        code = await self.devices.provision(
            meter, body.key, imported=body.imported, by=call.signature, at=call.at
        )
        return DeviceMade(
            meter_id=body.meter_id,
            state=PENDING,
            key_epoch=1,
            kid=body.key.kid.hex(),
            claim_code=code,
        )

    @route(
        "GET",
        "/v1/meters/{meter_id}/keys",
        policy=Policy.OPERATOR,
        summary="List a meter's keys",
        tag="meters",
        raises=(MeterUnknownError,),
    )
    async def list_keys(self, call: Call[MeterPath, Nothing, Nothing]) -> Keys:
        """List every key a meter has or had, the newest first."""
        return await self._keys(call.path.meter_id)

    @route(
        "POST",
        "/v1/meters/{meter_id}/keys",
        policy=Policy.OPERATOR,
        summary="Give a meter its next key",
        tag="meters",
        status=201,
        repeat_status=200,
        raises=(MeterUnknownError, StateError, KeyKnownError, RotationRefusedError),
    )
    async def rotate_key(self, call: Call[MeterPath, Nothing, NewRotation]) -> Answer[Keys]:
        """Add a key that the one before has signed, which stays good for a week more."""
        fresh = await self.devices.rotate(
            call.path.meter_id,
            call.body.key_epoch,
            call.body.key,
            bytes.fromhex(call.body.signature),
            by=call.signature,
            at=call.at,
        )
        return Answer(body=await self._keys(call.path.meter_id), fresh=fresh)

    @route(
        "POST",
        "/v1/meters/{meter_id}/keys/{epoch}/revoke",
        policy=Policy.OPERATOR,
        summary="Revoke a key",
        tag="meters",
        raises=(MeterUnknownError, KeyUnknownError),
    )
    async def revoke_key(self, call: Call[KeyPath, Nothing, Nothing]) -> KeyShown:
        """Believe nothing more that this key signs, from the next telegram on."""
        key = await self.devices.revoke(
            call.path.meter_id, call.path.epoch, by=call.signature, at=call.at
        )
        return key_shown(key)

    @route(
        "POST",
        "/v1/meters/{meter_id}/claim",
        policy=Policy.OPERATOR,
        summary="Claim a meter",
        tag="meters",
        raises=(MeterUnknownError, ClaimRefusedError, ClaimLockedError),
    )
    async def claim_meter(self, call: Call[MeterPath, Nothing, NewClaim]) -> StateShown:
        """Take the code of the label; after five wrong ones no code is taken any more."""
        await self.devices.claim(call.path.meter_id, call.body.code, by=call.signature, at=call.at)
        state, _ = await self.devices.keys(call.path.meter_id)
        return StateShown(meter_id=call.path.meter_id, state=state)

    @route(
        "POST",
        "/v1/meters/{meter_id}/start-register",
        policy=Policy.OPERATOR,
        summary="Confirm a start register",
        tag="meters",
        raises=(
            MeterUnknownError,
            StateError,
            NotClaimedError,
            NotInstalledError,
            WitnessDiffersError,
        ),
    )
    async def confirm_start(self, call: Call[MeterPath, Nothing, NewSight]) -> StateShown:
        """Write down what a witness saw; the meter is believed once both saw the same."""
        sight = Sight(
            witness=call.body.witness,
            register_dm3=call.body.register_dm3,
            photo_digest=bytes.fromhex(call.body.photo_digest),
        )
        state = await self.devices.confirm_start(
            call.path.meter_id, sight, by=call.signature, at=call.at
        )
        return StateShown(meter_id=call.path.meter_id, state=state)

    async def _keys(self, meter_id: str) -> Keys:
        state, keys = await self.devices.keys(meter_id)
        return Keys(meter_id=meter_id, state=state, keys=[key_shown(key) for key in keys])
