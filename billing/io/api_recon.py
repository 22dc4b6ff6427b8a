"""The reconciliation with the bank over HTTP: for operators only."""

from dataclasses import dataclass

from billing.io.breaks import BreakClosedError, BreakDesk, BreakUnknownError, NotFrozenError
from billing.io.wire_debits import MandatePath
from billing.io.wire_recon import (
    BreakPage,
    BreakPath,
    BreakQuery,
    BreakShown,
    DayPage,
    DayQuery,
    FreezePage,
    FreezeQuery,
    Lifted,
    Said,
    break_shown,
    day_shown,
    freeze_shown,
)
from metering.io.route import Answer, Call, Nothing, Policy, route


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconApi:
    """The routes of breaks, frozen mandates and days."""

    desk: BreakDesk

    @route(
        "GET",
        "/v1/bank/breaks",
        policy=Policy.OPERATOR,
        summary="List what we and the bank do not agree about",
        tag="bank",
    )
    async def list_breaks(self, call: Call[Nothing, BreakQuery, Nothing]) -> BreakPage:
        """List the breaks that are open, or closed, the oldest first."""
        found = await self.desk.breaks(
            still=not call.query.closed, after=call.query.after, page=call.query.limit
        )
        full = len(found) == call.query.limit
        return BreakPage(
            breaks=[break_shown(one) for one in found], next=found[-1].break_id if full else None
        )

    @route(
        "POST",
        "/v1/bank/breaks/{break_id}/close",
        policy=Policy.OPERATOR,
        summary="Close a break",
        tag="bank",
        status=201,
        repeat_status=200,
        raises=(BreakUnknownError, BreakClosedError),
    )
    async def close_break(self, call: Call[BreakPath, Nothing, Said]) -> Answer[BreakShown]:
        """Say that a break is settled, and why; it is not asked again as long as it stays so."""
        closed, fresh = await self.desk.close(
            call.path.break_id, by=call.signature, because=call.body.because, at=call.at
        )
        return Answer(body=break_shown(closed), fresh=fresh)

    @route(
        "GET",
        "/v1/bank/freezes",
        policy=Policy.OPERATOR,
        summary="List frozen mandates",
        tag="bank",
    )
    async def list_freezes(self, call: Call[Nothing, FreezeQuery, Nothing]) -> FreezePage:
        """List mandates under which the bank knows a payment that we do not."""
        after = (call.query.after_account or "", call.query.after_mandate or "")
        found = await self.desk.freezes(after=after, page=call.query.limit)
        last = found[-1] if len(found) == call.query.limit else None
        return FreezePage(
            freezes=[freeze_shown(one) for one in found],
            next_account=None if last is None else last.account_id,
            next_mandate=None if last is None else last.mandate_id,
        )

    @route(
        "POST",
        "/v1/accounts/{account_id}/mandates/{mandate_id}/lift",
        policy=Policy.OPERATOR,
        summary="Lift the freeze of a mandate",
        tag="bank",
        raises=(NotFrozenError,),
    )
    async def lift_freeze(self, call: Call[MandatePath, Nothing, Said]) -> Lifted:
        """Let a frozen mandate be used again, with a reason."""
        path = call.path
        await self.desk.lift(
            path.account_id,
            path.mandate_id,
            by=call.signature,
            because=call.body.because,
            at=call.at,
        )
        return Lifted(account_id=path.account_id, mandate_id=path.mandate_id)

    @route(
        "GET",
        "/v1/bank/days",
        policy=Policy.OPERATOR,
        summary="Show which days agree",
        tag="bank",
    )
    async def list_days(self, call: Call[Nothing, DayQuery, Nothing]) -> DayPage:
        """Show of each day whether statement, bank and ledger agree about it."""
        found = await self.desk.days(before=call.query.before, page=call.query.limit)
        full = len(found) == call.query.limit
        return DayPage(
            days=[day_shown(one) for one in found],
            reconciled_until=await self.desk.reconciled_until(),
            next_before=found[-1].day if full else None,
        )
