"""Debits that wait for somebody, by hand: ``aqkol debit``."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app import command
from app.command import Json, State
from app.meter_work import NAME_MAX, REASON_MAX, Because, By, written
from app.wiring import House, bank
from billing import approve as approving
from billing.bank import BankError
from billing.debit import DebitId
from billing.debit import State as DebitState
from billing.decide import NotInReviewError, NotLegalError, decide
from billing.decision import Decision, ReviewWord
from billing.io.api_debit_desk import decided_shown, stopped_shown
from billing.io.api_debits import NoBankError
from billing.io.debits import Debits
from billing.io.views import FIRST_DEBIT, Views
from billing.io.wire_debits import NewApproval, NewDecision
from billing.stop_debit import DebitOverError, DebitTooLateError, stop_debit

SHOWN_MAX: Final = 200

Account = Annotated[str, typer.Argument(help="The account, such as ACC-1.")]
BillName = Annotated[str, typer.Argument(help="The bill, such as 2026-01.")]
Attempt = Annotated[int, typer.Argument(help="Which attempt for the bill.", min=1, max=99)]

# What was asked wrongly, and is the asker's to mend.
_MISTAKES: Final = (
    approving.NoSuchDebitError,
    approving.NotApprovableError,
    approving.AmountDiffersError,
    NotInReviewError,
    NotLegalError,
    DebitTooLateError,
    DebitOverError,
    NoBankError,
    BankError,
    ValueError,
)

debit = typer.Typer(no_args_is_help=True, help="Debits that wait for a resident or for a person.")


def do(work: Callable[[House], Awaitable[Any]], *, state: Path | None, as_json: bool) -> None:
    """Open the house, work, print; what was asked wrongly ends with a sentence."""
    command.do(work, mistakes=_MISTAKES, state=state, as_json=as_json)


@debit.command("waiting")
def waiting(*, state: State = None, as_json: Json = False) -> None:
    """List debits that are held, and those in review, with their reasons."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        views = Views(pool=house.pool)
        found = [
            one
            for where in (DebitState.REVIEW, DebitState.HELD)
            for one in await views.in_state(where, after=FIRST_DEBIT, page=SHOWN_MAX)
        ]
        return {f"{one.account_id}/{one.bill_no}/{one.attempt}": asdict(one) for one in found}

    do(work, state=state, as_json=as_json)


@debit.command("approve")
def approve(  # noqa: PLR0913 - options
    account_id: Account,
    bill_no: BillName,
    *,
    amount_minor: Annotated[int, typer.Option(help="The sum that the resident saw.")],
    by: By,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Keep a resident's word, given by telephone, that an unusual sum may be taken."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        new = command.checked(lambda: NewApproval(amount_minor=amount_minor), "the sum")
        word, fresh = await approving.approve(
            store=Debits(house.pool, house.settings.bill_policy),
            account_id=account_id,
            bill_no=bill_no,
            amount_minor=new.amount_minor,
            approved_by=written(by, NAME_MAX),
            at=house.clock.now(),
        )
        return {"amount_minor": word.amount_minor, "new": fresh}

    do(work, state=state, as_json=as_json)


@debit.command("stop")
def stop(  # noqa: PLR0913 - options
    account_id: Account,
    bill_no: BillName,
    attempt: Attempt,
    *,
    by: By,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Keep a resident's no, given by telephone, to one debit; its bill is paid by hand."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        stopped = await stop_debit(
            store=Debits(house.pool, house.settings.bill_policy),
            debit_id=DebitId(account_id=account_id, bill_no=bill_no, attempt=attempt),
            stopped_by=written(by, NAME_MAX),
            at=house.clock.now(),
        )
        return stopped_shown(stopped).model_dump(mode="json")

    do(work, state=state, as_json=as_json)


@debit.command("decide")
def decide_about(  # noqa: PLR0913 - options
    account_id: Account,
    bill_no: BillName,
    attempt: Attempt,
    *,
    decision: Annotated[Decision, typer.Option(help="What becomes of it.")],
    because: Because,
    by: By,
    payment: Annotated[str | None, typer.Option(help="The bank's payment it is about.")] = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Decide what becomes of a debit in review; a large one waits for a second person."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        new = command.checked(
            lambda: NewDecision(
                decision=decision, because=written(because, REASON_MAX), bank_payment_id=payment
            ),
            "the decision",
        )
        at = house.clock.now()
        async with bank(house.settings) as client:
            if client is None:
                raise NoBankError("this installation talks to no bank")
            made = await decide(
                store=Debits(house.pool, house.settings.bill_policy),
                bank=client,
                debit_id=DebitId(account_id=account_id, bill_no=bill_no, attempt=attempt),
                word=ReviewWord(
                    decision=new.decision,
                    because=new.because,
                    said_by=written(by, NAME_MAX),
                    said_at=at,
                ),
                two_from_minor=house.settings.review_two_from_minor,
                bank_payment_id=new.bank_payment_id,
                at=at,
            )
        return decided_shown(made).model_dump(mode="json")

    do(work, state=state, as_json=as_json)
