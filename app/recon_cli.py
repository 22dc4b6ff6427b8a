"""The reconciliation with the bank, by hand: ``aqkol recon``."""

import asyncio
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final

import structlog
import typer

from app import command
from app.command import DONE, MISSING, WRONG, Json, State, in_house, leave, say, settings_of
from app.meter_work import NAME_MAX, REASON_MAX, Because, By, written
from app.recon_work import recon_at, recon_loop, statements_of
from app.wiring import House, bank
from billing.io.breaks import BreakClosedError, BreakDesk, BreakUnknownError, NotFrozenError
from billing.io.recon import StatementDiffersError
from billing.io.wire_recon import break_shown, day_shown, freeze_shown
from billing.iso.document import FileError
from metering.io.route import PAGE_MAX, YEAR_LAST

log = structlog.get_logger()

# What was asked wrongly, and is the asker's to mend.
_MISTAKES: Final = (
    BreakClosedError,
    BreakUnknownError,
    FileError,
    NotFrozenError,
    StatementDiffersError,
    ValueError,
)

recon = typer.Typer(
    no_args_is_help=True, help="Three sides of the same money: our debits, the bank, its statement."
)


@recon.command("run")
def run(*, state: State = None, as_json: Json = False) -> None:
    """Compare the three sides now; ends with 1 if a break is open."""

    async def work(house: House, _stopping: object) -> int:
        async with bank(house.settings) as client:
            if client is None:
                raise leave("there is no bank; set AQKOL_BANK_URL or AQKOL_BANK_FILES.", MISSING)
            done = await recon_at(house, client, house.clock.now())
        say(done, as_json=as_json)
        return WRONG if done["breaks_open"] else DONE

    in_house(settings_of(state=state), work)


@recon.command("daily")
def daily(*, state: State = None) -> None:
    """Reconcile every morning, and whenever a statement has come; `serve` does it by itself."""

    async def work(house: House, stopping: asyncio.Event) -> int:
        async with bank(house.settings) as client:
            if client is None:
                raise leave("there is no bank; set AQKOL_BANK_URL or AQKOL_BANK_FILES.", MISSING)
            await recon_loop(house, client, stopping)
        return DONE

    in_house(settings_of(state=state), work, patient=True)


@recon.command("statement")
def statement(
    files: Annotated[list[Path], typer.Argument(help="Files of camt.053.")],
    *,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Take in statements of the bank; a line that is kept already is kept once."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        return await statements_of(house, files, house.clock.now())

    command.do(work, mistakes=_MISTAKES, state=state, as_json=as_json)


@recon.command("breaks")
def breaks(
    *,
    closed: Annotated[bool, typer.Option("--closed", help="Those that are closed.")] = False,
    after: Annotated[int, typer.Option(help="Begin behind this number.")] = 0,
    state: State = None,
    as_json: Json = False,
) -> None:
    """List what we and the bank do not agree about, the oldest first, and frozen mandates."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        desk = BreakDesk(pool=house.pool)
        found = await desk.breaks(still=not closed, after=after, page=PAGE_MAX)
        frozen = await desk.freezes(page=PAGE_MAX)
        if as_json:
            return {
                "breaks": [break_shown(one).model_dump(mode="json") for one in found],
                "freezes": [freeze_shown(one).model_dump(mode="json") for one in frozen],
            }
        at = house.clock.now()
        lines = {
            f"{one.break_id} {one.kind}": {
                "subject": one.subject,
                "account": one.account_id or "-",
                "detail": one.detail,
                "owner": one.owner,
                "age_days": ((one.closed_at or at) - one.opened_at).days,
                "first": one.suggested_action,
                **({} if one.because is None else {"because": one.because}),
            }
            for one in found
        }
        frozen_lines = {f"{one.account_id} {one.mandate_id}": one.because for one in frozen}
        return {"breaks": len(found), **lines, **({"frozen": frozen_lines} if frozen else {})}

    command.do(work, mistakes=_MISTAKES, state=state, as_json=as_json)


@recon.command("close")
def close(
    break_id: Annotated[int, typer.Argument(min=1, help="The number of the break.")],
    *,
    by: By,
    because: Because,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Say that a break is settled, and why; it is not asked again as long as it stays so."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        closed, fresh = await BreakDesk(pool=house.pool).close(
            break_id,
            by=written(by, NAME_MAX),
            because=written(because, REASON_MAX),
            at=house.clock.now(),
        )
        return {"closed": closed.subject, "new": fresh}

    command.do(work, mistakes=_MISTAKES, state=state, as_json=as_json)


@recon.command("lift")
def lift(  # noqa: PLR0913 - options
    account_id: Annotated[str, typer.Argument(help="The account.")],
    mandate_id: Annotated[str, typer.Argument(help="Its mandate.")],
    *,
    by: By,
    because: Because,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Let a frozen mandate be used again."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        await BreakDesk(pool=house.pool).lift(
            account_id,
            mandate_id,
            by=written(by, NAME_MAX),
            because=written(because, REASON_MAX),
            at=house.clock.now(),
        )
        return {"lifted": mandate_id}

    command.do(work, mistakes=_MISTAKES, state=state, as_json=as_json)


@recon.command("days")
def days(*, state: State = None, as_json: Json = False) -> None:
    """Show of the last days whether statement, bank and ledger agree about them."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        desk = BreakDesk(pool=house.pool)
        found = await desk.days(before=date(YEAR_LAST, 12, 31), page=31)
        until = await desk.reconciled_until()
        if as_json:
            shown = [day_shown(one).model_dump(mode="json") for one in found]
            return {"reconciled_until": until, "days": shown}
        return {
            "reconciled_until": until or "never",
            **{
                one.day.isoformat(): "agrees"
                if one.agreed_at
                else "has no statement"
                if one.statement_at is None
                else "does not agree"
                for one in found
            },
        }

    command.do(work, mistakes=_MISTAKES, state=state, as_json=as_json)
