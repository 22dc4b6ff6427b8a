"""Debits that wait for somebody, over HTTP: what a resident approves or stops, a person decides."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from billing.approve import (
    AmountDiffersError,
    ApproveDesk,
    NoSuchDebitError,
    NotApprovableError,
    approve,
)
from billing.bank import BankError
from billing.debit import DebitId
from billing.decide import (
    DecideBank,
    Decided,
    DecideDesk,
    NotInReviewError,
    NotLegalError,
    decide,
)
from billing.decision import ReviewWord
from billing.io.api_debits import NoBankError
from billing.io.wire import BillPath
from billing.io.wire_debits import (
    ApprovalShown,
    AttemptPath,
    DebitStopped,
    DecidedShown,
    NewApproval,
    NewDecision,
    ReviewWordShown,
)
from billing.stop_debit import (
    DebitOverError,
    DebitTooLateError,
    StopDesk,
    Stopped,
    stop_debit,
)
from metering.io.route import Answer, Call, Nothing, Policy, Role, route


class DebitDeskDesk(ApproveDesk, DecideDesk, StopDesk, Protocol):
    """What all of them need inside one transaction."""


class DebitDeskStore(Protocol):
    """Where debits wait for somebody."""

    def begin(self) -> AbstractAsyncContextManager[DebitDeskDesk]:
        """Open one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DebitDeskApi:
    """The routes of debits that wait for somebody; large ones in review wait for two."""

    store: DebitDeskStore
    bank: DecideBank | None
    two_from_minor: int

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

    @route(
        "POST",
        "/v1/accounts/{account_id}/bills/{bill_no}/debits/{attempt}/cancel",
        policy=Policy.ACCOUNT,
        summary="Stop one debit",
        tag="debits",
        raises=(NoSuchDebitError, DebitTooLateError, DebitOverError),
    )
    async def cancel_debit(self, call: Call[AttemptPath, Nothing, Nothing]) -> DebitStopped:
        """Stop a debit for good, in force with this answer; its bill is paid by hand.

        The mandate and all other debits stay as they are. The same call again changes nothing.
        """
        assert call.caller is not None, "the policy wants a caller"
        resident = call.caller.role is Role.RESIDENT
        path = call.path
        stopped = await stop_debit(
            store=self.store,
            debit_id=DebitId(
                account_id=path.account_id, bill_no=path.bill_no, attempt=path.attempt
            ),
            stopped_by="the resident" if resident else call.caller.label,
            at=call.at,
        )
        return stopped_shown(stopped)

    @route(
        "POST",
        "/v1/accounts/{account_id}/bills/{bill_no}/debits/{attempt}/decide",
        policy=Policy.OPERATOR,
        summary="Decide what becomes of a debit in review",
        tag="debits",
        raises=(NotInReviewError, NotLegalError, NoBankError, BankError),
    )
    async def decide_debit(self, call: Call[AttemptPath, Nothing, NewDecision]) -> DecidedShown:
        """Name the step and the reason; what the bank shows must allow it.

        For a large sum a second person has to say the same before anything happens.
        """
        if self.bank is None:
            raise NoBankError("this installation talks to no bank")
        path = call.path
        decided = await decide(
            store=self.store,
            bank=self.bank,
            debit_id=DebitId(
                account_id=path.account_id, bill_no=path.bill_no, attempt=path.attempt
            ),
            word=ReviewWord(
                decision=call.body.decision,
                because=call.body.because,
                said_by=call.signature,
                said_at=call.at,
            ),
            two_from_minor=self.two_from_minor,
            bank_payment_id=call.body.bank_payment_id,
            at=call.at,
        )
        return decided_shown(decided)


def stopped_shown(stopped: Stopped) -> DebitStopped:
    """Return a stopped debit as the wire has it."""
    return DebitStopped(
        state=stopped.debit.state.value,
        reason=stopped.debit.reason,
        stopped="done" if stopped.done else "asked",
    )


def decided_shown(decided: Decided) -> DecidedShown:
    """Return a decision as the wire has it."""
    words = [ReviewWordShown.model_validate(word, from_attributes=True) for word in decided.words]
    return DecidedShown(
        state=decided.debit.state.value,
        reason=decided.debit.reason,
        waits_for_second=decided.waits,
        words=words,
    )
