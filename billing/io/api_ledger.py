"""The ledger and refunds over HTTP: the trial balance, statements, and money that goes back."""

from dataclasses import dataclass

from billing.debit import DebitId
from billing.give_back import AskStore, RefundRefusedError, ask_back
from billing.io.accounts import AccountUnknownError
from billing.io.ledger import Ledger
from billing.io.refund_views import FIRST_REFUND, NEWEST_REFUND, RefundView, RefundViews
from billing.io.wire import AccountPath
from billing.io.wire_ledger import (
    DaysQuery,
    MovementShown,
    NewRefund,
    RefundDetail,
    RefundShown,
    RefundsInState,
    RefundStateQuery,
    RefundStepShown,
    RefundStories,
    RefundStoryQuery,
    StatementShown,
    TrialBalance,
    TrialRowShown,
    TrialSumShown,
    WordsShown,
)
from billing.refund import Cause, RefundId
from billing.statement import WORDS
from billing.trial import BadSpanOfDaysError, NotBalancedError, summed
from metering.io.route import Call, Nothing, Policy, route


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerApi:
    """The routes of the ledger and of refunds."""

    ledger: Ledger
    store: AskStore
    views: RefundViews

    @route(
        "GET",
        "/v1/books/trial-balance",
        policy=Policy.OPERATOR,
        summary="Show the trial balance",
        tag="books",
        raises=(BadSpanOfDaysError, NotBalancedError),
    )
    async def show_trial_balance(self, call: Call[Nothing, DaysQuery, Nothing]) -> TrialBalance:
        """Show every account of the ledger over some local days; they add up to nothing."""
        query = call.query
        rows = await self.ledger.trial_balance(query.from_day, query.to_day, at=call.at)
        return TrialBalance(
            from_day=query.from_day,
            to_day=query.to_day,
            zone=self.ledger.zone,
            accounts=[TrialRowShown.model_validate(row, from_attributes=True) for row in rows],
            sums=[TrialSumShown.model_validate(one, from_attributes=True) for one in summed(rows)],
        )

    @route(
        "GET",
        "/v1/accounts/{account_id}/statement",
        policy=Policy.ACCOUNT,
        summary="Show the statement of an account",
        tag="books",
        raises=(AccountUnknownError, BadSpanOfDaysError),
    )
    async def show_statement(self, call: Call[AccountPath, DaysQuery, Nothing]) -> StatementShown:
        """Show what was owed, every movement in plain words, and what is owed."""
        query = call.query
        found = await self.ledger.statement(
            call.path.account_id, query.from_day, query.to_day, at=call.at
        )
        return StatementShown(
            account_id=call.path.account_id,
            from_day=query.from_day,
            to_day=query.to_day,
            zone=self.ledger.zone,
            currency=found.currency,
            opening_minor=found.opening_minor,
            movements=[
                MovementShown(
                    at=one.at,
                    kind=one.kind,
                    words=WordsShown.model_validate(WORDS[one.kind], from_attributes=True),
                    bill_no=one.bill_no,
                    moved_minor=one.moved_minor,
                    amount_minor=one.amount_minor,
                    owed_minor=one.owed_minor,
                )
                for one in found.movements
            ],
            closing_minor=found.closing_minor,
            under_way_minor=found.under_way_minor,
        )

    @route(
        "POST",
        "/v1/accounts/{account_id}/refunds",
        policy=Policy.OPERATOR,
        summary="Ask for a refund",
        tag="refunds",
        status=201,
        raises=(RefundRefusedError,),
    )
    async def ask_refund(self, call: Call[AccountPath, Nothing, NewRefund]) -> RefundShown:
        """Give money of a collected debit back; the same again while it is under way is one."""
        wanted = call.body
        refund = await ask_back(
            store=self.store,
            debit_id=DebitId(
                account_id=call.path.account_id, bill_no=wanted.bill_no, attempt=wanted.attempt
            ),
            amount_minor=wanted.amount_minor,
            cause=Cause(wanted.cause),
            asked_by=call.signature,
            because=wanted.because,
            at=call.at,
        )
        return RefundShown.model_validate(refund, from_attributes=True)

    @route(
        "GET",
        "/v1/accounts/{account_id}/refunds",
        policy=Policy.ACCOUNT,
        summary="List refunds with their steps",
        tag="refunds",
    )
    async def list_account_refunds(
        self, call: Call[AccountPath, RefundStoryQuery, Nothing]
    ) -> RefundStories:
        """List the money that goes back to the resident, or went, and every step it took."""
        query = call.query
        before = NEWEST_REFUND if query.after is None else _place(f"~{query.after}")
        stories = await self.views.stories(call.path.account_id, before=before, page=query.limit)
        full = len(stories) == query.limit
        return RefundStories(
            refunds=[
                RefundDetail(
                    **RefundShown.model_validate(one, from_attributes=True).model_dump(),
                    steps=[
                        RefundStepShown.model_validate(step, from_attributes=True) for step in steps
                    ],
                )
                for one, steps in stories
            ],
            next=_word(stories[-1][0]).partition("~")[2] if full else None,
        )

    @route(
        "GET",
        "/v1/refunds/orders",
        policy=Policy.OPERATOR,
        summary="List refunds in one state",
        tag="refunds",
    )
    async def list_refund_orders(
        self, call: Call[Nothing, RefundStateQuery, Nothing]
    ) -> RefundsInState:
        """List the refunds of all accounts that stand in one state, `review` for example."""
        query = call.query
        after = FIRST_REFUND if query.after is None else _place(query.after)
        refunds = await self.views.in_state(query.state, after=after, page=query.limit)
        return RefundsInState(
            refunds=[RefundShown.model_validate(one, from_attributes=True) for one in refunds],
            next=_word(refunds[-1]) if len(refunds) == query.limit else None,
        )


def _word(refund: RefundView) -> str:
    return f"{refund.account_id}~{refund.bill_no}~{refund.attempt}~{refund.refund_no}"


def _place(word: str) -> RefundId:
    account_id, bill_no, attempt, refund_no = word.split("~")
    return RefundId(
        account_id=account_id, bill_no=bill_no, attempt=int(attempt), refund_no=int(refund_no)
    )
