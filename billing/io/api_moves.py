"""Moving out and in over HTTP, and the final bill."""

from dataclasses import dataclass

from billing.io.accounts import AccountUnknownError
from billing.io.final import AccountOpenError, FinalBills
from billing.io.moves import (
    ClosingDiffersError,
    DialTurnedError,
    GasUnclaimedError,
    MoveDayError,
    MoveIn,
    MoveOut,
    Moves,
    NoRegisterError,
    NotAtAccountError,
    StillOccupiedError,
)
from billing.io.wire import AccountPath
from billing.io.wire_moves import (
    ClosingShown,
    FinalBillShown,
    NewMoveIn,
    NewMoveOut,
    closing_shown,
    final_shown,
)
from billing.reconcile import ParallelRunError
from metering.io.api import AccountClosedError, SupplyPointUnknownError
from metering.io.registry import (
    AlreadyMeasuredError,
    ClosingImplausibleError,
    NotInstalledError,
    RemovalOutOfOrderError,
)
from metering.io.route import Answer, Call, Nothing, NotThereError, Policy, route
from metering.io.wire import InstallationShown


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveApi:
    """The routes of moving out and in."""

    moves: Moves
    finals: FinalBills

    @route(
        "POST",
        "/v1/accounts/{account_id}/move-out",
        policy=Policy.OPERATOR,
        summary="Move out",
        tag="accounts",
        status=201,
        repeat_status=200,
        raises=(
            AccountUnknownError,
            ClosingDiffersError,
            MoveDayError,
            NotAtAccountError,
            NoRegisterError,
            RemovalOutOfOrderError,
            AlreadyMeasuredError,
            ClosingImplausibleError,
        ),
    )
    async def move_out(self, call: Call[AccountPath, Nothing, NewMoveOut]) -> Answer[ClosingShown]:
        """End an account with a day that is over; the meters can go on for the next account.

        A register that no trusted reading of that day shows is entered with the caller's name.
        """
        closing, fresh = await self.moves.move_out(
            MoveOut(
                account_id=call.path.account_id,
                last_day=call.body.last_day,
                registers_dm3={one.meter_id: one.register_dm3 for one in call.body.registers},
                because=call.body.because,
            ),
            said_by=call.signature,
            at=call.at,
        )
        return Answer(body=closing_shown(closing), fresh=fresh)

    @route(
        "POST",
        "/v1/accounts/{account_id}/move-in",
        policy=Policy.OPERATOR,
        summary="Move in",
        tag="accounts",
        status=201,
        repeat_status=200,
        raises=(
            AccountUnknownError,
            AccountClosedError,
            SupplyPointUnknownError,
            NotInstalledError,
            StillOccupiedError,
            MoveDayError,
            GasUnclaimedError,
            DialTurnedError,
        ),
    )
    async def move_in(
        self, call: Call[AccountPath, Nothing, NewMoveIn]
    ) -> Answer[InstallationShown]:
        """Let a meter go on for this account, from the register with which the last one ended."""
        stay, fresh = await self.moves.move_in(
            MoveIn(account_id=call.path.account_id, **call.body.model_dump()), at=call.at
        )
        return Answer(
            body=InstallationShown.model_validate(stay, from_attributes=True), fresh=fresh
        )

    @route(
        "GET",
        "/v1/accounts/{account_id}/closing",
        policy=Policy.ACCOUNT,
        summary="Show how an account ended",
        tag="accounts",
    )
    async def show_closing(self, call: Call[AccountPath, Nothing, Nothing]) -> ClosingShown:
        """Show the last day, and the registers with which the account ended."""
        closing = await self.moves.closing(call.path.account_id)
        if closing is None:
            raise NotThereError
        return closing_shown(closing)

    @route(
        "POST",
        "/v1/accounts/{account_id}/final-bill",
        policy=Policy.OPERATOR,
        summary="Issue the final bill",
        tag="bills",
        raises=(AccountUnknownError, AccountOpenError, ParallelRunError),
    )
    async def issue_final_bill(self, call: Call[AccountPath, Nothing, Nothing]) -> FinalBillShown:
        """Bill the month in which an account ended, without waiting for the month's end."""
        return final_shown(await self.finals.issue(call.path.account_id, at=call.at))
