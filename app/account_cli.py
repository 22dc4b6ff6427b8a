"""Accounts by hand: ``aqkol account`` with what operators do to one."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app import command
from app.command import Json, State
from app.meter_work import NAME_MAX, REASON_MAX, Because, By, written
from app.wiring import House
from billing.io.accounts import AccountUnknownError
from billing.io.vouchers import (
    Grant,
    NewVoucher,
    VoucherDiffersError,
    VoucherRevokedError,
    Vouchers,
    VoucherSpentError,
    VoucherUnknownError,
    VoucherUnusableError,
)
from billing.io.wire_vouchers import NewVoucherSaid
from billing.period import Calendar

AccountName = Annotated[str, typer.Argument(help="The account's id, such as A-000123.")]

# What was asked wrongly, and is the asker's to mend.
_MISTAKES: Final = (
    AccountUnknownError,
    VoucherDiffersError,
    VoucherRevokedError,
    VoucherSpentError,
    VoucherUnknownError,
    VoucherUnusableError,
    ValueError,
)

account = typer.Typer(
    no_args_is_help=True, help="What operators do to an account: vouchers, moves, closing."
)


def do(work: Callable[[House], Awaitable[Any]], *, state: Path | None, as_json: bool) -> None:
    """Open the house, work, print; what was asked wrongly ends with a sentence."""
    command.do(work, mistakes=_MISTAKES, state=state, as_json=as_json)


@account.command("vouchers")
def vouchers(account_id: AccountName, *, state: State = None, as_json: Json = False) -> None:
    """List what was granted to an account, which bills it paid, and what is left of it."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        grants = await _vouchers(house).grants(account_id, at=house.clock.now())
        return {str(grant.voucher.voucher_no): _shown(grant) for grant in grants}

    do(work, state=state, as_json=as_json)


@account.command("voucher")
def voucher(  # noqa: PLR0913 - options
    account_id: AccountName,
    *,
    source: Annotated[str, typer.Option(help="The document that grants it; each grants once.")],
    amount_minor: Annotated[int, typer.Option(help="How much, in whole minor units (tiyn).")],
    currency: Annotated[str, typer.Option(help="Such as KZT.")],
    valid_from: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"])],
    valid_to: Annotated[
        datetime,
        typer.Option("--to", formats=["%Y-%m-%d"], help="The first day on which it pays no more."),
    ],
    by: By,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Enter what an akimat grants; it pays the next bills when they are issued."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        new = command.checked(
            lambda: NewVoucherSaid(
                source=source,
                amount_minor=amount_minor,
                currency=currency,
                valid_from=valid_from.date(),
                valid_to=valid_to.date(),
            ),
            "the voucher",
        )
        grant, fresh = await _vouchers(house).enter(
            account_id,
            NewVoucher(**new.model_dump()),
            entered_by=written(by, NAME_MAX),
            at=house.clock.now(),
        )
        return {"voucher_no": grant.voucher.voucher_no, **_shown(grant), "new": fresh}

    do(work, state=state, as_json=as_json)


@account.command("revoke-voucher")
def revoke_voucher(  # noqa: PLR0913 - options
    account_id: AccountName,
    voucher_no: Annotated[int, typer.Argument(help="Its number, as the list shows it.")],
    *,
    because: Because,
    by: By,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Take back what no bill has used; what was paid stays paid."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        grant, fresh = await _vouchers(house).revoke(
            account_id,
            voucher_no,
            because=written(because, REASON_MAX),
            revoked_by=written(by, NAME_MAX),
            at=house.clock.now(),
        )
        return {"voucher_no": voucher_no, **_shown(grant), "new": fresh}

    do(work, state=state, as_json=as_json)


def _vouchers(house: House) -> Vouchers:
    return Vouchers(pool=house.pool, calendar=Calendar(zone=house.settings.zone))


def _shown(grant: Grant) -> dict[str, Any]:
    voucher = grant.voucher
    return {
        "source": voucher.source,
        "state": grant.state.value,
        "amount_minor": voucher.amount_minor,
        "used_minor": grant.used_minor,
        "rest_minor": grant.rest_minor,
        "currency": voucher.currency,
        "from": voucher.valid_from.isoformat(),
        "to": voucher.valid_to.isoformat(),
        "bills": {use.bill_no: use.amount_minor for use in grant.uses},
    }
