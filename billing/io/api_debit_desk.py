"""Debits that wait for somebody, over HTTP: what a resident approves."""

from dataclasses import dataclass

from billing.approve import (
    AmountDiffersError,
    ApproveStore,
    NoSuchDebitError,
    NotApprovableError,
    approve,
)
from billing.io.wire import BillPath
from billing.io.wire_debits import ApprovalShown, NewApproval
from metering.io.route import Answer, Call, Nothing, Policy, Role, route


@dataclass(frozen=True, slots=True, kw_only=True)
class DebitDeskApi:
    """The routes of debits that wait for somebody."""

    store: ApproveStore

    @route(
        "POST",
        "/v1/accounts/{account_id}/bills/{bill_no}/debit/approve",
        policy=Policy.ACCOUNT,
        summary="Let an unusual or estimated sum be taken",
        tag="debits",
        status=201,
        repeat_status=200,
        raises=(NoSuchDebitError, NotApprovableError, AmountDiffersError),
    )
    async def approve_debit(
        self, call: Call[BillPath, Nothing, NewApproval]
    ) -> Answer[ApprovalShown]:
        """Say that the sum may be taken for this bill; it is announced within a minute, as always.

        The word counts for the amount that was seen. The same word again changes nothing.
        """
        assert call.caller is not None, "the policy wants a caller"
        resident = call.caller.role is Role.RESIDENT
        word, fresh = await approve(
            store=self.store,
            account_id=call.path.account_id,
            bill_no=call.path.bill_no,
            amount_minor=call.body.amount_minor,
            approved_by="the resident" if resident else call.caller.label,
            at=call.at,
        )
        return Answer(body=ApprovalShown.model_validate(word, from_attributes=True), fresh=fresh)
