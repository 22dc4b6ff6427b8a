"""Held bills over HTTP: operators release them; operators and residents question a month."""

from dataclasses import dataclass

from billing.io.accounts import AccountUnknownError
from billing.io.holds import (
    Dispute,
    DisputeClosedError,
    DisputeUnknownError,
    HoldDiffersError,
    HoldNotReleasableError,
    Holds,
    HoldUnknownError,
    MonthBilledError,
    TooManyDisputesError,
)
from billing.io.wire import AccountPath
from billing.io.wire_holds import (
    DisputeList,
    DisputePath,
    DisputeShown,
    MonthPath,
    NewAnswer,
    NewDispute,
    NewRelease,
    ReleaseShown,
)
from billing.period import Period
from metering.io.route import Answer, Call, Nothing, Policy, Role, route


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldApi:
    """The routes of held bills."""

    holds: Holds

    @route(
        "POST",
        "/v1/accounts/{account_id}/months/{period}/release",
        policy=Policy.OPERATOR,
        summary="Release an unusual bill",
        tag="bills",
        status=201,
        repeat_status=200,
        raises=(
            AccountUnknownError,
            MonthBilledError,
            HoldUnknownError,
            HoldNotReleasableError,
            HoldDiffersError,
        ),
    )
    async def release_bill(
        self, call: Call[MonthPath, Nothing, NewRelease]
    ) -> Answer[ReleaseShown]:
        """Let a bill go out that is far above the account's habit; the next run issues it.

        The word counts for the total that was seen. The same word again changes nothing.
        """
        release, fresh = await self.holds.release(
            call.path.account_id,
            Period.parse(call.path.period),
            total_minor=call.body.total_minor,
            because=call.body.because,
            released_by=call.signature,
            at=call.at,
        )
        return Answer(body=ReleaseShown.model_validate(release, from_attributes=True), fresh=fresh)

    @route(
        "POST",
        "/v1/accounts/{account_id}/months/{period}/disputes",
        policy=Policy.ACCOUNT,
        summary="Question a month that has no bill yet",
        tag="bills",
        status=201,
        repeat_status=200,
        raises=(AccountUnknownError, MonthBilledError, TooManyDisputesError),
    )
    async def dispute_month(
        self, call: Call[MonthPath, Nothing, NewDispute]
    ) -> Answer[DisputeShown]:
        """Ask that a month is looked at before its bill; the bill waits for the answer."""
        assert call.caller is not None, "the policy wants a caller"
        resident = call.caller.role is Role.RESIDENT
        dispute, fresh = await self.holds.dispute(
            call.path.account_id,
            Period.parse(call.path.period),
            because=call.body.because,
            opened_by="the resident" if resident else call.caller.label,
            at=call.at,
        )
        return Answer(body=_shown(dispute), fresh=fresh)

    @route(
        "POST",
        "/v1/accounts/{account_id}/months/{period}/disputes/{dispute_no}/close",
        policy=Policy.OPERATOR,
        summary="Answer a question about a month",
        tag="bills",
        status=201,
        repeat_status=200,
        raises=(AccountUnknownError, DisputeUnknownError, DisputeClosedError),
    )
    async def close_dispute(
        self, call: Call[DisputePath, Nothing, NewAnswer]
    ) -> Answer[DisputeShown]:
        """Answer a question, for the resident to read; the next run takes the month up again."""
        dispute, fresh = await self.holds.close(
            call.path.account_id,
            Period.parse(call.path.period),
            call.path.dispute_no,
            because=call.body.because,
            closed_by=call.signature,
            at=call.at,
        )
        return Answer(body=_shown(dispute), fresh=fresh)

    @route(
        "GET",
        "/v1/accounts/{account_id}/disputes",
        policy=Policy.ACCOUNT,
        summary="List the questions about an account's months",
        tag="bills",
        raises=(AccountUnknownError,),
    )
    async def list_disputes(self, call: Call[AccountPath, Nothing, Nothing]) -> DisputeList:
        """List what was asked about months before their bills, and the answers."""
        found = await self.holds.disputes(call.path.account_id)
        return DisputeList(disputes=[_shown(one) for one in found])


def _shown(dispute: Dispute) -> DisputeShown:
    return DisputeShown.model_validate(dispute, from_attributes=True)
