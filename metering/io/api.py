"""Meters, where they hang and what they said, over HTTP.

Operators see every meter; a resident sees those of the own account, and of each only what it said
while it hung there.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from metering.installation import Installation
from metering.io.registry import (
    FIRST_REFUSED,
    AlreadyMeasuredError,
    ClosingImplausibleError,
    InstallationDiffersError,
    InstallationOverlapsError,
    JudgedReading,
    MeterDiffersError,
    MeterUnknownError,
    NotInstalledError,
    OpeningBeyondDialError,
    Registry,
    RemovalDiffersError,
    RemovalOutOfOrderError,
)
from metering.io.route import Answer, Call, Nothing, Policy, route
from metering.io.wire import (
    CursorError,
    InstallationShown,
    MeterInPlace,
    MeterPage,
    MeterPath,
    MeterQuery,
    MeterShown,
    NewInstallation,
    NewMeter,
    NewRemoval,
    OwnMeter,
    OwnMeterPath,
    OwnMeters,
    OwnPath,
    ReadingPage,
    ReadingQuery,
    ReadingShown,
    RefusedPage,
    RefusedQuery,
    cursor,
    mark,
    refused_shown,
)
from metering.meter import Meter


class SupplyPointUnknownError(Exception):
    """The account has no such supply point, or does not exist."""


class AccountClosedError(Exception):
    """The account has ended; nothing hangs there any more."""


# Whether an account has a supply point is known downstream; the shell hands us who knows.
HasSupplyPoint = Callable[[str, str], Awaitable[bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeteringApi:
    """The routes of the metering."""

    registry: Registry
    has_supply_point: HasSupplyPoint

    @route(
        "POST",
        "/v1/meters",
        policy=Policy.OPERATOR,
        summary="Register a meter",
        tag="meters",
        status=201,
        repeat_status=200,
        raises=(MeterDiffersError,),
    )
    async def register_meter(self, call: Call[Nothing, Nothing, NewMeter]) -> Answer[MeterShown]:
        """Register a meter before it is hung up; the same again changes nothing."""
        meter = Meter(**call.body.model_dump())
        fresh = await self.registry.register(meter, at=call.at)
        return Answer(body=_meter(meter), fresh=fresh)

    @route("GET", "/v1/meters", policy=Policy.OPERATOR, summary="List meters", tag="meters")
    async def list_meters(self, call: Call[Nothing, MeterQuery, Nothing]) -> MeterPage:
        """List the meters of the registry in the order of their ids."""
        meters = await self.registry.meters(after=call.query.after or "", page=call.query.limit)
        return MeterPage(
            meters=[_meter(meter) for meter in meters],
            next=meters[-1].meter_id if len(meters) == call.query.limit else None,
        )

    @route(
        "GET",
        "/v1/meters/{meter_id}",
        policy=Policy.OPERATOR,
        summary="Show a meter",
        tag="meters",
        raises=(MeterUnknownError,),
    )
    async def show_meter(self, call: Call[MeterPath, Nothing, Nothing]) -> MeterInPlace:
        """Show a meter and where it has hung."""
        meter, installations = await self.registry.meter(call.path.meter_id)
        return MeterInPlace(
            **_meter(meter).model_dump(),
            installations=[_installation(installation) for installation in installations],
        )

    @route(
        "POST",
        "/v1/meters/{meter_id}/installations",
        policy=Policy.OPERATOR,
        summary="Hang a meter up",
        tag="meters",
        status=201,
        repeat_status=200,
        raises=(
            MeterUnknownError,
            SupplyPointUnknownError,
            AccountClosedError,
            OpeningBeyondDialError,
            InstallationOverlapsError,
            InstallationDiffersError,
        ),
    )
    async def install_meter(
        self, call: Call[MeterPath, Nothing, NewInstallation]
    ) -> Answer[InstallationShown]:
        """Say where a meter hangs from now on; from then on its gas belongs to that account."""
        if not await self.has_supply_point(call.body.account_id, call.body.supply_point_id):
            raise SupplyPointUnknownError("the account has no such supply point")
        wanted = Installation(
            meter_id=call.path.meter_id,
            removed_at=None,
            closing_dm3=None,
            closing_turns=None,
            **call.body.model_dump(),
        )
        fresh = await self.registry.install(wanted)
        return Answer(body=_installation(wanted), fresh=fresh)

    @route(
        "POST",
        "/v1/meters/{meter_id}/removal",
        policy=Policy.OPERATOR,
        summary="Take a meter down",
        tag="meters",
        status=201,
        repeat_status=200,
        raises=(
            MeterUnknownError,
            NotInstalledError,
            RemovalDiffersError,
            RemovalOutOfOrderError,
            AlreadyMeasuredError,
            ClosingImplausibleError,
        ),
    )
    async def remove_meter(
        self, call: Call[MeterPath, Nothing, NewRemoval]
    ) -> Answer[InstallationShown]:
        """Close the meter's stay with its last register, which is judged like a reading."""
        closed, fresh = await self.registry.remove(
            call.path.meter_id,
            removed_at=call.body.removed_at,
            closing_dm3=call.body.closing_dm3,
            at=call.at,
        )
        return Answer(body=_installation(closed), fresh=fresh)

    @route(
        "GET",
        "/v1/meters/{meter_id}/readings",
        policy=Policy.OPERATOR,
        summary="List a meter's readings",
        tag="meters",
        raises=(MeterUnknownError,),
    )
    async def list_readings(self, call: Call[MeterPath, ReadingQuery, Nothing]) -> ReadingPage:
        """List what a meter said, believed or not, oldest first."""
        readings = await self.registry.readings(
            call.path.meter_id,
            after=call.query.after,
            until=call.query.until,
            page=call.query.limit,
        )
        return _page(readings, call.query.limit)

    @route(
        "GET",
        "/v1/accounts/{account_id}/meters",
        policy=Policy.ACCOUNT,
        summary="List the meters of an account",
        tag="accounts",
    )
    async def list_own_meters(self, call: Call[OwnPath, Nothing, Nothing]) -> OwnMeters:
        """List the meters that hang or hung at the account, with their first and last registers."""
        stays = await self.registry.account_meters(call.path.account_id)
        return OwnMeters(
            meters=[
                OwnMeter(
                    installation=_installation(stay.installation),
                    dial_dm3=stay.dial_dm3,
                    compensated=stay.compensated,
                )
                for stay in stays
            ]
        )

    @route(
        "GET",
        "/v1/accounts/{account_id}/meters/{meter_id}/readings",
        policy=Policy.ACCOUNT,
        summary="List the readings of an own meter",
        tag="accounts",
        raises=(MeterUnknownError,),
    )
    async def list_own_readings(
        self, call: Call[OwnMeterPath, ReadingQuery, Nothing]
    ) -> ReadingPage:
        """List what a meter said while it hung at the account, oldest first."""
        readings = await self.registry.account_readings(
            call.path.account_id,
            call.path.meter_id,
            after=call.query.after,
            until=call.query.until,
            page=call.query.limit,
        )
        return _page(readings, call.query.limit)

    @route(
        "GET",
        "/v1/telegrams/refused",
        policy=Policy.OPERATOR,
        summary="List refused telegrams",
        tag="meters",
        raises=(CursorError,),
    )
    async def list_refused_telegrams(
        self, call: Call[Nothing, RefusedQuery, Nothing]
    ) -> RefusedPage:
        """List telegrams that were not taken, each with its reason, the latest first."""
        before = FIRST_REFUSED if call.query.after is None else mark(call.query.after)
        telegrams = await self.registry.refused(before=before, page=call.query.limit)
        full = len(telegrams) == call.query.limit
        return RefusedPage(
            telegrams=[refused_shown(telegram) for telegram in telegrams],
            next=cursor(telegrams[-1]) if full else None,
        )


def _meter(meter: Meter) -> MeterShown:
    return MeterShown.model_validate(meter, from_attributes=True)


def _installation(installation: Installation) -> InstallationShown:
    return InstallationShown.model_validate(installation, from_attributes=True)


def _page(readings: list[JudgedReading], limit: int) -> ReadingPage:
    return ReadingPage(
        readings=[
            ReadingShown.model_validate(reading, from_attributes=True) for reading in readings
        ],
        next=readings[-1].read_at if len(readings) == limit else None,
    )
