"""The gaps of a meter over HTTP: its days, what people declare of them, and take back."""

from dataclasses import dataclass

from metering.gaps import BadSpanError
from metering.io.gaps import GapOverlapsError, Gaps, GapUnknownError, GapWithdrawnError
from metering.io.registry import MeterUnknownError
from metering.io.route import Answer, Call, Nothing, Policy, route
from metering.io.wire import MeterPath
from metering.io.wire_gaps import (
    GapMapShown,
    GapPath,
    GapQuery,
    GapShown,
    NewGap,
    NewWithdrawal,
    gap_shown,
    map_shown,
)
from metering.survey import Days


@dataclass(frozen=True, slots=True, kw_only=True)
class GapApi:
    """The routes of gaps."""

    gaps: Gaps

    @route(
        "GET",
        "/v1/meters/{meter_id}/gaps",
        policy=Policy.OPERATOR,
        summary="Map a meter's days",
        tag="desk",
        raises=(BadSpanError, MeterUnknownError),
    )
    async def map_gaps(self, call: Call[MeterPath, GapQuery, Nothing]) -> GapMapShown:
        """Say of each local day whether it was read, and of the rest why not."""
        return map_shown(
            await self.gaps.map(
                call.path.meter_id, call.query.from_day, call.query.to_day, at=call.at
            )
        )

    @route(
        "POST",
        "/v1/meters/{meter_id}/gaps",
        policy=Policy.OPERATOR,
        summary="Declare a gap",
        tag="desk",
        status=201,
        repeat_status=200,
        raises=(BadSpanError, MeterUnknownError, GapOverlapsError),
    )
    async def declare_gap(self, call: Call[MeterPath, Nothing, NewGap]) -> Answer[GapShown]:
        """Say why a meter is silent on some days; the same again changes nothing."""
        gap, fresh = await self.gaps.declare(
            call.path.meter_id,
            Days(start=call.body.from_day, end=call.body.to_day),
            reason=call.body.reason,
            because=call.body.because,
            declared_by=call.signature,
            at=call.at,
        )
        return Answer(body=gap_shown(gap), fresh=fresh)

    @route(
        "POST",
        "/v1/meters/{meter_id}/gaps/{gap_id}/withdraw",
        policy=Policy.OPERATOR,
        summary="Withdraw a gap",
        tag="desk",
        status=201,
        repeat_status=200,
        raises=(GapUnknownError, GapWithdrawnError),
    )
    async def withdraw_gap(self, call: Call[GapPath, Nothing, NewWithdrawal]) -> Answer[GapShown]:
        """Take a declared gap back; it stays on record and explains nothing any more."""
        gap, fresh = await self.gaps.withdraw(
            call.path.meter_id,
            call.path.gap_id,
            because=call.body.because,
            withdrawn_by=call.signature,
            at=call.at,
        )
        return Answer(body=gap_shown(gap), fresh=fresh)
