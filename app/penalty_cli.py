"""What paying late costs, by hand: ``aqkol penalty``."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app import command
from app.command import Json, State
from app.meter_work import NAME_MAX, By, written
from app.wiring import House
from billing.io.penalty_desk import PenaltyDesk
from billing.io.wire_penalties import NewBaseRate, NewMoratorium
from billing.period import Calendar

From = Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day.")]
Source = Annotated[str, typer.Option(help="Where this is published.")]

# What was asked wrongly, and is the asker's to mend.
_MISTAKES: Final = (ValueError,)

penalty = typer.Typer(
    no_args_is_help=True, help="What paying late costs: base rates and moratoria."
)


def do(work: Callable[[House], Awaitable[Any]], *, state: Path | None, as_json: bool) -> None:
    """Open the house, work, print; what was asked wrongly ends with a sentence."""
    command.do(work, mistakes=_MISTAKES, state=state, as_json=as_json)


@penalty.command("show")
def show(*, state: State = None, as_json: Json = False) -> None:
    """Show the factor, every base rate and every moratorium that was entered."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        book = await _desk(house).book()
        factor_bp = house.settings.bill_policy.penalty_factor_bp
        return {
            "penalties": "off" if factor_bp is None else "on",
            "factor_bp": factor_bp,
            "base_rates_bp": {
                f"{rate.valid_from}/{rate.revision}": rate.rate_bp for rate in book.rates
            },
            "moratoria": {
                f"{word.valid_from}/{word.revision}": "begins" if word.active else "ends"
                for word in book.moratoria
            },
        }

    do(work, state=state, as_json=as_json)


@penalty.command("rate")
def rate(  # noqa: PLR0913 - options
    *,
    from_day: From,
    rate_bp: Annotated[int, typer.Option(help="Basis points a year: 1800 is 18 per cent.")],
    source: Source,
    by: By,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Enter the National Bank's base rate from a day on."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        new = command.checked(
            lambda: NewBaseRate(valid_from=from_day.date(), rate_bp=rate_bp, source=source),
            "the rate",
        )
        word, fresh = await _desk(house).enter_rate(
            new.valid_from,
            new.rate_bp,
            source=new.source,
            entered_by=written(by, NAME_MAX),
            at=house.clock.now(),
        )
        return {"revision": word.revision, "new": fresh}

    do(work, state=state, as_json=as_json)


@penalty.command("moratorium")
def moratorium(  # noqa: PLR0913 - options
    *,
    from_day: From,
    ends: Annotated[bool, typer.Option("--ends", help="It ends on that day.")] = False,
    source: Source,
    by: By,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Say that no penalty is charged from a day on, or that it is again."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        new = command.checked(
            lambda: NewMoratorium(valid_from=from_day.date(), active=not ends, source=source),
            "the moratorium",
        )
        word, fresh = await _desk(house).enter_moratorium(
            new.valid_from,
            active=new.active,
            source=new.source,
            entered_by=written(by, NAME_MAX),
            at=house.clock.now(),
        )
        return {"revision": word.revision, "new": fresh}

    do(work, state=state, as_json=as_json)


def _desk(house: House) -> PenaltyDesk:
    return PenaltyDesk(pool=house.pool, calendar=Calendar(zone=house.settings.zone))
