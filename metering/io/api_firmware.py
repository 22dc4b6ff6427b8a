"""Approved firmware over HTTP: what meters of a type may run."""

from dataclasses import dataclass

from metering.io.firmware import Firmwares
from metering.io.route import Answer, Call, Nothing, Policy, route
from metering.io.wire_devices import (
    FirmwareList,
    FirmwareQuery,
    FirmwareShown,
    NewFirmwareWord,
    firmware_shown,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareApi:
    """The routes of the list that signed telegrams are compared with."""

    firmwares: Firmwares

    @route(
        "POST",
        "/v1/firmwares",
        policy=Policy.OPERATOR,
        summary="Approve a firmware, or take that back",
        tag="meters",
        status=201,
        repeat_status=200,
    )
    async def say_firmware(
        self, call: Call[Nothing, Nothing, NewFirmwareWord]
    ) -> Answer[FirmwareShown]:
        """Say whether meters of a type may run it; those that claim another become cases.

        A type with no word at all is not compared.
        """
        body = call.body
        word, fresh = await self.firmwares.say(
            body.meter_type,
            bytes.fromhex(body.firmware_sha256),
            approved=body.approved,
            because=body.because,
            said_by=call.signature,
            at=call.at,
        )
        return Answer(body=firmware_shown(word), fresh=fresh)

    @route(
        "GET",
        "/v1/firmwares",
        policy=Policy.OPERATOR,
        summary="List approved firmware",
        tag="meters",
    )
    async def list_firmware(self, call: Call[Nothing, FirmwareQuery, Nothing]) -> FirmwareList:
        """List every word that was said on firmware, the newest first."""
        words = await self.firmwares.words(call.query.meter_type)
        return FirmwareList(firmwares=[firmware_shown(word) for word in words])
