"""What operators do about devices over HTTP: stop them, remove them, give them a new start."""

from dataclasses import dataclass

from metering.device import FROZEN, PENDING, REMOVED, StateError
from metering.io.custody import (
    ClaimSettledError,
    Custody,
    NotRevokedError,
    StillInstalledError,
)
from metering.io.device_rows import KeyKnownError
from metering.io.registry import MeterUnknownError
from metering.io.route import Answer, Call, Nothing, Policy, route
from metering.io.wire import MeterPath
from metering.io.wire_devices import (
    CodeMade,
    FrozenShown,
    History,
    KeyShown,
    NewReason,
    NewVouchedKey,
    NoteShown,
    StateShown,
    key_shown,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CustodyApi:
    """The routes by which a person overrules a device."""

    custody: Custody

    @route(
        "POST",
        "/v1/devices/{meter_id}/freeze",
        policy=Policy.OPERATOR,
        summary="Freeze a meter",
        tag="meters",
        raises=(MeterUnknownError, StateError),
    )
    async def freeze_device(self, call: Call[MeterPath, Nothing, NewReason]) -> FrozenShown:
        """Believe nothing it says until the case that is opened is closed with an outcome."""
        case_id = await self.custody.freeze(
            call.path.meter_id, because=call.body.because, by=call.signature, at=call.at
        )
        return FrozenShown(meter_id=call.path.meter_id, state=FROZEN, case_id=case_id)

    @route(
        "POST",
        "/v1/devices/{meter_id}/remove",
        policy=Policy.OPERATOR,
        summary="Take a meter out of service",
        tag="meters",
        raises=(MeterUnknownError, StateError, StillInstalledError),
    )
    async def remove_device(self, call: Call[MeterPath, Nothing, NewReason]) -> StateShown:
        """Believe it never again; it must have been taken down, with its last register."""
        await self.custody.remove(
            call.path.meter_id, because=call.body.because, by=call.signature, at=call.at
        )
        return StateShown(meter_id=call.path.meter_id, state=REMOVED)

    @route(
        "POST",
        "/v1/devices/{meter_id}/keys",
        policy=Policy.OPERATOR,
        summary="Vouch for a meter's new key",
        tag="meters",
        status=201,
        repeat_status=200,
        raises=(MeterUnknownError, StateError, NotRevokedError, KeyKnownError),
    )
    async def vouch_for_key(
        self, call: Call[MeterPath, Nothing, NewVouchedKey]
    ) -> Answer[KeyShown]:
        """Give a meter whose keys were all revoked a key that none of them signed.

        It is the operator's word alone, so a case is opened for somebody else to look at.
        """
        key, fresh = await self.custody.vouch(
            call.path.meter_id,
            call.body.key,
            because=call.body.because,
            by=call.signature,
            at=call.at,
        )
        return Answer(body=key_shown(key), fresh=fresh)

    @route(
        "POST",
        "/v1/devices/{meter_id}/code",
        policy=Policy.OPERATOR,
        summary="Give a meter a new claim code",
        tag="meters",
        status=201,
        raises=(MeterUnknownError, StateError, ClaimSettledError),
    )
    async def reissue_code(self, call: Call[MeterPath, Nothing, NewReason]) -> CodeMade:
        """Void the code of the label, locked or lost, and show another one this once."""
        code = await self.custody.reissue(
            call.path.meter_id, because=call.body.because, by=call.signature, at=call.at
        )
        return CodeMade(meter_id=call.path.meter_id, state=PENDING, claim_code=code)

    @route(
        "GET",
        "/v1/devices/{meter_id}/history",
        policy=Policy.OPERATOR,
        summary="Tell a device's history",
        tag="meters",
        raises=(MeterUnknownError,),
    )
    async def list_history(self, call: Call[MeterPath, Nothing, Nothing]) -> History:
        """List what was done to a device, by whom and why, the newest first."""
        notes = await self.custody.history(call.path.meter_id)
        return History(
            meter_id=call.path.meter_id,
            events=[NoteShown.model_validate(one, from_attributes=True) for one in notes],
        )
