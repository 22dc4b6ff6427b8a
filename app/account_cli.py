"""Accounts by hand: ``aqkol account`` with what operators do to one."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app import command
from app.command import Json, State
from app.meter_work import NAME_MAX, REASON_MAX, Because, By, written
from app.wiring import House, billing_store
from billing.io.accounts import AccountUnknownError, NoSuchTariffError
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
from billing.io.terms import NewTerms, TermsBilledError, TermsBook
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
from billing.io.wire_terms import NewTermsSaid, terms_shown, word_shown
from billing.io.wire_vouchers import NewVoucherSaid
from billing.period import Calendar
from metering.io.api import AccountClosedError, SupplyPointUnknownError
from metering.io.registry import (
    AlreadyMeasuredError,
    ClosingImplausibleError,
    NotInstalledError,
    RemovalOutOfOrderError,
)

AccountName = Annotated[str, typer.Argument(help="The account's id, such as A-000123.")]

# What was asked wrongly, and is the asker's to mend.
_MISTAKES: Final = (
    AccountClosedError,
    AccountOpenError,
    AccountUnknownError,
    AlreadyMeasuredError,
    ClosingDiffersError,
    ClosingImplausibleError,
    DialTurnedError,
    GasUnclaimedError,
    MoveDayError,
    NoRegisterError,
    NoSuchTariffError,
    NotAtAccountError,
    NotInstalledError,
    RemovalOutOfOrderError,
    StillOccupiedError,
    SupplyPointUnknownError,
    TermsBilledError,
    VoucherDiffersError,
    VoucherRevokedError,
    VoucherSpentError,
    VoucherUnknownError,
    VoucherUnusableError,
    ValueError,
)

account = typer.Typer(
    no_args_is_help=True, help="What operators do to an account: terms, vouchers, moves, closing."
)


def do(work: Callable[[House], Awaitable[Any]], *, state: Path | None, as_json: bool) -> None:
    """Open the house, work, print; what was asked wrongly ends with a sentence."""
    command.do(work, mistakes=_MISTAKES, state=state, as_json=as_json)


@account.command("terms")
def terms(account_id: AccountName, *, state: State = None, as_json: Json = False) -> None:
    """List every word on an account: tariff, persons, social discount, from which day on."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        shown = terms_shown(*await TermsBook(pool=house.pool).history(account_id))
        told = shown.model_dump(mode="json")
        words = {f"{one['valid_from']} {one['revision']}": one for one in told["words"]}
        return {"opened_with": shown.opened_with, "words": words}

    do(work, state=state, as_json=as_json)


@account.command("say-terms")
def say_terms(  # noqa: PLR0913 - options
    account_id: AccountName,
    *,
    valid_from: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"])],
    tariff: Annotated[str, typer.Option(help="The code of the tariff, such as home.")],
    persons: Annotated[int, typer.Option(help="How many live there.")],
    social: Annotated[
        bool, typer.Option("--social/--not-social", help="Whether the tariff's discount is theirs.")
    ],
    by: By,
    corrects: Annotated[
        bool, typer.Option("--correct-bills", help="Days that were billed are billed anew.")
    ] = False,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Say tariff, persons and social discount, from a local day on."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        new = command.checked(
            lambda: NewTermsSaid(
                valid_from=valid_from.date(),
                tariff_code=tariff,
                persons=persons,
                social=social,
                corrects=corrects,
            ),
            "the terms",
        )
        word, fresh = await TermsBook(pool=house.pool).say(
            account_id,
            NewTerms(**new.model_dump(exclude={"corrects"})),
            corrects=new.corrects,
            by=written(by, NAME_MAX),
            at=house.clock.now(),
        )
        return {**word_shown(word, stands=True).model_dump(mode="json"), "new": fresh}

    do(work, state=state, as_json=as_json)


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


@account.command("move-out")
def move_out(  # noqa: PLR0913 - options
    account_id: AccountName,
    *,
    last_day: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="The last local day of supply.")
    ],
    register: Annotated[
        list[str] | None,
        typer.Option(help="What a meter showed where nobody trusts a reading: AQ-000123=12345."),
    ] = None,
    because: Because,
    by: By,
    state: State = None,
    as_json: Json = False,
) -> None:
    """End an account with a day that is over; its meters can go on for the next one."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        closing, fresh = await _moves(house).move_out(
            MoveOut(
                account_id=account_id,
                last_day=last_day.date(),
                registers_dm3=dict(_register(one) for one in register or ()),
                because=written(because, REASON_MAX),
            ),
            said_by=written(by, NAME_MAX),
            at=house.clock.now(),
        )
        return {
            "last_day": closing.last_day.isoformat(),
            "registers_dm3": {one.meter_id: one.register_dm3 for one in closing.registers},
            "new": fresh,
        }

    do(work, state=state, as_json=as_json)


@account.command("move-in")
def move_in(  # noqa: PLR0913 - options
    account_id: AccountName,
    *,
    meter_id: Annotated[str, typer.Option("--meter", help="The meter that goes on.")],
    supply_point_id: Annotated[str, typer.Option("--supply-point", help="Where it hangs.")],
    from_day: Annotated[
        datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day of supply.")
    ],
    register_dm3: Annotated[
        int | None, typer.Option(help="What it shows on that day, if somebody looked.")
    ] = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Let a meter go on for an account, from the register with which the last one ended."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        stay, fresh = await _moves(house).move_in(
            MoveIn(
                account_id=account_id,
                supply_point_id=supply_point_id,
                meter_id=meter_id,
                from_day=from_day.date(),
                register_dm3=register_dm3,
            ),
            at=house.clock.now(),
        )
        return {
            "installed_at": stay.installed_at.isoformat(),
            "opening_dm3": stay.opening_dm3,
            "new": fresh,
        }

    do(work, state=state, as_json=as_json)


@account.command("final-bill")
def final_bill(account_id: AccountName, *, state: State = None, as_json: Json = False) -> None:
    """Bill the month in which an account ended, without waiting for the month's end."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        finals = FinalBills(
            pool=house.pool,
            store=billing_store(house.pool, house.settings),
            zone=house.settings.zone,
        )
        final = await finals.issue(account_id, at=house.clock.now())
        return {
            "bill_no": final.bill_no,
            "state": final.state.value,
            "total_minor": final.bill.total_minor if final.bill else None,
            "reason": final.reason.value if final.reason else None,
            "meter_id": final.meter_id,
        }

    do(work, state=state, as_json=as_json)


def _register(text: str) -> tuple[str, int]:
    """Read what a meter showed.

    Raises:
        ValueError: it is not written like AQ-000123=12345.
    """
    meter_id, sign, register_dm3 = text.partition("=")
    if not (meter_id and sign and register_dm3.isdecimal() and register_dm3.isascii()):
        raise ValueError("a register is written like AQ-000123=12345")
    return meter_id, int(register_dm3)


def _moves(house: House) -> Moves:
    return Moves(pool=house.pool, calendar=Calendar(zone=house.settings.zone))


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
