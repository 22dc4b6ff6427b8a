"""Base rates, moratoria and disputes over HTTP."""

from dataclasses import dataclass

from billing.io.accounts import AccountUnknownError
from billing.io.penalty_desk import (
    DisputeDayError,
    DisputeOpenError,
    NotDisputedError,
    PenaltyDesk,
)
from billing.io.records import BillUnknownError
from billing.io.wire import BillPath
from billing.io.wire_penalties import (
    BaseRateShown,
    DisputeSettled,
    DisputeShown,
    MoratoriumShown,
    NewBaseRate,
    NewDispute,
    NewMoratorium,
    PenaltyBookShown,
    dispute_shown,
    moratorium_shown,
    rate_shown,
)
from billing.policy import BillPolicy
from metering.io.route import Answer, Call, Nothing, Policy, route


@dataclass(frozen=True, slots=True, kw_only=True)
class PenaltyApi:
    """The routes of what paying late costs."""

    desk: PenaltyDesk
    policy: BillPolicy

    @route(
        "GET",
        "/v1/penalty-book",
        policy=Policy.OPERATOR,
        summary="Show what decides about penalties",
        tag="bills",
    )
    async def show_penalty_book(self, _call: Call[Nothing, Nothing, Nothing]) -> PenaltyBookShown:
        """Show the factor, every base rate and every moratorium that was entered."""
        book = await self.desk.book()
        return PenaltyBookShown(
            factor_bp=self.policy.penalty_factor_bp,
            base_rates=[rate_shown(rate) for rate in book.rates],
            moratoria=[moratorium_shown(word) for word in book.moratoria],
        )

    @route(
        "POST",
        "/v1/base-rates",
        policy=Policy.OPERATOR,
        summary="Enter a base rate",
        tag="bills",
        status=201,
        repeat_status=200,
    )
    async def enter_base_rate(
        self, call: Call[Nothing, Nothing, NewBaseRate]
    ) -> Answer[BaseRateShown]:
        """Enter the National Bank's rate from a day on; bills that were issued do not change."""
        rate, fresh = await self.desk.enter_rate(
            call.body.valid_from,
            call.body.rate_bp,
            source=call.body.source,
            entered_by=call.signature,
            at=call.at,
        )
        return Answer(body=rate_shown(rate), fresh=fresh)

    @route(
        "POST",
        "/v1/moratoria",
        policy=Policy.OPERATOR,
        summary="Begin or end a moratorium",
        tag="bills",
        status=201,
        repeat_status=200,
    )
    async def enter_moratorium(
        self, call: Call[Nothing, Nothing, NewMoratorium]
    ) -> Answer[MoratoriumShown]:
        """Say that no penalty is charged from a day on, or that it is again."""
        word, fresh = await self.desk.enter_moratorium(
            call.body.valid_from,
            active=call.body.active,
            source=call.body.source,
            entered_by=call.signature,
            at=call.at,
        )
        return Answer(body=moratorium_shown(word), fresh=fresh)

    @route(
        "POST",
        "/v1/accounts/{account_id}/bills/{bill_no}/dispute",
        policy=Policy.OPERATOR,
        summary="Say that a bill is in dispute",
        tag="bills",
        status=201,
        repeat_status=200,
        raises=(AccountUnknownError, BillUnknownError, DisputeOpenError, DisputeDayError),
    )
    async def dispute_bill(self, call: Call[BillPath, Nothing, NewDispute]) -> Answer[DisputeShown]:
        """Keep a bill from being asked for and from costing a penalty, until it is settled."""
        word, fresh = await self.desk.dispute(
            call.path.account_id,
            call.path.bill_no,
            from_day=call.body.from_day,
            because=call.body.because,
            said_by=call.signature,
            at=call.at,
        )
        return Answer(body=dispute_shown(word), fresh=fresh)

    @route(
        "POST",
        "/v1/accounts/{account_id}/bills/{bill_no}/dispute/settle",
        policy=Policy.OPERATOR,
        summary="Say what came of a dispute",
        tag="bills",
        status=201,
        repeat_status=200,
        raises=(AccountUnknownError, NotDisputedError),
    )
    async def settle_dispute(
        self, call: Call[BillPath, Nothing, DisputeSettled]
    ) -> Answer[DisputeShown]:
        """End a dispute; from today on the bill is asked for again."""
        word, fresh = await self.desk.settle(
            call.path.account_id,
            call.path.bill_no,
            outcome=call.body.outcome,
            ended_by=call.signature,
            at=call.at,
        )
        return Answer(body=dispute_shown(word), fresh=fresh)
