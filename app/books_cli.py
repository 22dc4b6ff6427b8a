"""The ledger and refunds, by hand: ``aqkol books`` and ``aqkol refund``."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app import command
from app.command import Json, State, day_of
from app.meter_work import NAME_MAX, REASON_MAX, Because, By, written
from app.wiring import House
from billing.debit import DebitId
from billing.give_back import RefundRefusedError, ask_back, release_refund
from billing.io.accounts import AccountUnknownError
from billing.io.debits import Debits
from billing.io.ledger import Ledger
from billing.io.refund_views import FIRST_REFUND, RefundViews
from billing.io.wire_ledger import NewRefund
from billing.refund import Cause, RefundId, RefundState
from billing.statement import WORDS
from billing.trial import BadSpanOfDaysError, NotBalancedError, summed

From = Annotated[str, typer.Option("--from", help="The first local day, such as 2026-01-01.")]
To = Annotated[str, typer.Option("--to", help="The first local day after the last.")]
Account = Annotated[str, typer.Argument(help="The account.")]
BillNo = Annotated[str, typer.Argument(help="The bill that was paid.")]
Attempt = Annotated[int, typer.Argument(help="The attempt with which it was.")]

# So many are listed at once; the API has pages.
LISTED: Final = 1_000
_MISTAKES: Final = (
    AccountUnknownError,
    BadSpanOfDaysError,
    NotBalancedError,
    RefundRefusedError,
    ValueError,
)

books = typer.Typer(no_args_is_help=True, help="The ledger: trial balance and statements.")
refund = typer.Typer(no_args_is_help=True, help="Money that goes back: ask, list, release.")


def do(work: Callable[[House], Awaitable[Any]], *, state: Path | None, as_json: bool) -> None:
    """Open the house, work, print; what was asked wrongly ends with a sentence."""
    command.do(work, mistakes=_MISTAKES, state=state, as_json=as_json)


@books.command("trial-balance")
def trial_balance(
    *, from_day: From, to_day: To, state: State = None, as_json: Json = False
) -> None:
    """Show every account of the ledger over some days; in each currency they add up to nothing."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        rows = await _ledger(house).trial_balance(
            day_of(from_day), day_of(to_day), at=house.clock.now()
        )
        sums = summed(rows)
        return {
            "from_day": from_day,
            "to_day": to_day,
            "accounts": {
                f"{row.code} {row.currency}": asdict(row) | {"closing_minor": row.closing_minor}
                for row in rows
            },
            "sums": {one.currency: asdict(one) for one in sums},
        }

    do(work, state=state, as_json=as_json)


@books.command("statement")
def statement(
    account_id: Account,
    *,
    from_day: From,
    to_day: To,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Show what an account owed, every movement in words, and what it owes."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        found = await _ledger(house).statement(
            account_id, day_of(from_day), day_of(to_day), at=house.clock.now()
        )
        return {
            "currency": found.currency,
            "opening_minor": found.opening_minor,
            "movements": {
                f"{number} {one.at.isoformat()}": {
                    "kind": one.kind.value,
                    "words": WORDS[one.kind].en,
                    "bill_no": one.bill_no,
                    "amount_minor": one.amount_minor,
                    "owed_minor": one.owed_minor,
                }
                for number, one in enumerate(found.movements, 1)
            },
            "closing_minor": found.closing_minor,
            "under_way_minor": found.under_way_minor,
        }

    do(work, state=state, as_json=as_json)


@refund.command("ask")
def ask(  # noqa: PLR0913 - options
    account_id: Account,
    bill_no: BillNo,
    attempt: Attempt,
    *,
    amount_minor: Annotated[int, typer.Option(help="Whole minor units (tiyn).")],
    cause: Annotated[
        str, typer.Option(help="operator, wrong_debit, double_debit or overcharged.")
    ] = "operator",
    because: Because,
    by: By,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Give money of a collected debit back to the bank account it came from."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        wanted = command.checked(
            lambda: NewRefund.model_validate(
                {
                    "bill_no": bill_no,
                    "attempt": attempt,
                    "amount_minor": amount_minor,
                    "cause": cause,
                    "because": written(because, REASON_MAX),
                }
            ),
            "the refund",
        )
        asked = await ask_back(
            store=Debits(house.pool, house.settings.bill_policy),
            debit_id=DebitId(account_id=account_id, bill_no=wanted.bill_no, attempt=wanted.attempt),
            amount_minor=wanted.amount_minor,
            cause=Cause(wanted.cause),
            asked_by=written(by, NAME_MAX),
            because=wanted.because,
            at=house.clock.now(),
        )
        return {"refund_no": asked.refund_no, "state": asked.state.value}

    do(work, state=state, as_json=as_json)


@refund.command("list")
def list_refunds(
    in_state: Annotated[str, typer.Option("--in", help="review, refused, bounced …")] = "review",
    *,
    state: State = None,
    as_json: Json = False,
) -> None:
    """List the refunds that stand in one state."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        found = await RefundViews(pool=house.pool).in_state(
            RefundState(in_state), after=FIRST_REFUND, page=LISTED
        )
        return {
            f"{one.account_id}/{one.bill_no}/{one.attempt}/{one.refund_no}": {
                "amount_minor": one.amount_minor,
                "currency": one.currency,
                "cause": one.cause,
                "reason": one.reason,
                "changed_at": one.changed_at.isoformat(),
            }
            for one in found
        }

    do(work, state=state, as_json=as_json)


@refund.command("release")
def release(  # noqa: PLR0913 - arguments
    account_id: Account,
    bill_no: BillNo,
    attempt: Attempt,
    refund_no: Annotated[int, typer.Argument(help="The how manieth refund of it.")],
    *,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Let a refund in review be asked about again, under its own key."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        name = RefundId(
            account_id=account_id, bill_no=bill_no, attempt=attempt, refund_no=refund_no
        )
        done = await release_refund(
            store=Debits(house.pool, house.settings.bill_policy),
            refund_id=name,
            at=house.clock.now(),
        )
        if not done:
            raise ValueError("this refund does not wait to be asked about again")
        return {"state": RefundState.UNKNOWN.value}

    do(work, state=state, as_json=as_json)


def _ledger(house: House) -> Ledger:
    return Ledger(pool=house.pool, zone=house.settings.zone)
