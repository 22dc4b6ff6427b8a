"""``aqkol rules``: look at the rules of belief, override them, note temperatures."""

from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError

from app.wiring import House
from billing.period import local_day, midnight
from metering.io.api_rules import rules_shown
from metering.io.rules import Order, OverrideKnownError, OverrideRefusedError, Rules, taken
from metering.io.wire_rules import NewDegreeDays
from metering.rule import MeterType, in_force, rule_book

DONE: Final = 0
UNUSABLE: Final = 2

State = Annotated[
    Path | None, typer.Option("--state", help="Folder of the embedded servers (AQKOL_STATE).")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
TypeName = Annotated[
    MeterType | None, typer.Option("--meter-type", help="Make and size; every type when left out.")
]

rules = typer.Typer(help="Look at the rules of belief, and set a town's own.", no_args_is_help=True)

_MISTAKES: Final = (OverrideRefusedError, OverrideKnownError, ValueError)


@rules.command("list")
def list_rules(
    *,
    meter_type: TypeName = None,
    day: Annotated[str | None, typer.Option(help="A local day, such as 2026-02-01.")] = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """List the rules in force for a type of meter, today or on a day, and where they come from."""

    async def work(house: House, store: Rules) -> Any:  # noqa: ANN401 - what is printed
        on = _day(day) if day else local_day(house.clock.now(), house.settings.zone)
        kind = meter_type or MeterType.DIAPHRAGM
        overrides = await store.overrides()
        book = rules_shown(
            rule_book(kind, overrides, on=on), in_force(kind, overrides, on=on), day=on
        )
        shown = book.model_dump(mode="json")
        return {**shown, "rules": {rule["code"]: rule for rule in shown["rules"]}}

    _do(work, state=state, as_json=as_json)


@rules.command("override")
def override_rule(  # noqa: PLR0913 - options
    code: Annotated[str, typer.Argument(help="Name of the rule, such as high_low.")],
    *,
    valid_from: Annotated[str, typer.Option(help="The first local day, such as 2026-02-01.")],
    approved_by: Annotated[str, typer.Option(help="Who stands for it.")],
    meter_type: TypeName = None,
    outcome: Annotated[str | None, typer.Option(help="accepted, flagged, held or refused.")] = None,
    figure: Annotated[list[str] | None, typer.Option(help="name=whole number; repeatable.")] = None,
    retroactive: Annotated[
        bool, typer.Option("--retroactive", help="Begin on a day that is over.")
    ] = False,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Set figures or the outcome of a rule from a local day on."""

    async def work(house: House, store: Rules) -> Any:  # noqa: ANN401 - what is printed
        at, zone = house.clock.now(), house.settings.zone
        first = _day(valid_from)
        order = Order(
            code=code,
            meter_type=meter_type.value if meter_type else None,
            valid_from=first,
            outcome=outcome,
            figures=_figures(figure or []),
            approved_by=approved_by,
            retroactive=retroactive,
        )
        override = taken(order, from_at=midnight(first, zone), today=local_day(at, zone))
        fresh = await store.add_override(override, at=at)
        return {"code": code, "valid_from": first.isoformat(), "new": fresh}

    _do(work, state=state, as_json=as_json)


@rules.command("degree-days")
def degree_days(
    file: Annotated[
        Path,
        typer.Argument(help='JSON: {"source": "…", "days": [{"day": …, "degree_days_tenths": …}]}'),
    ],
    *,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Note how cold days were; a day that was noted otherwise gets a revision."""

    async def work(house: House, store: Rules) -> Any:  # noqa: ANN401 - what is printed
        told = _told(file)
        days = {one.day: one.degree_days_tenths for one in told.days}
        news = await store.note_degree_days(days, source=told.source, at=house.clock.now())
        return {"days": len(days), "news": news}

    _do(work, state=state, as_json=as_json)


def _do(
    work: Callable[[House, Rules], Awaitable[Any]], *, state: Path | None, as_json: bool
) -> None:
    """Open the house, work, print; what was asked wrongly ends with a sentence."""
    from app import __main__ as shell  # noqa: PLC0415 - it lists our commands among its own

    async def main(house: House, _stopping: object) -> int:
        try:
            result = await work(house, Rules(house.pool))
        except _MISTAKES as error:
            raise shell.leave(f"{error}.", UNUSABLE) from None
        shell.say(result, as_json=as_json)
        return DONE

    shell.in_house(shell.settings_of(state=state), main)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError("a day is written like 2026-02-01") from None


def _figures(words: list[str]) -> dict[str, object]:
    """Read name=number; a number that is not whole is left for the rules to refuse."""
    found: dict[str, object] = {}
    for word in words:
        name, equals, number = word.partition("=")
        if not equals or name in found:
            raise ValueError("a figure is written once, like high_percent=400")
        try:
            found[name] = int(number)
        except ValueError:
            raise ValueError(f"{name} must be a whole number") from None
    return found


def _told(file: Path) -> NewDegreeDays:
    try:
        return NewDegreeDays.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        mistake = error.errors()[0]
        where = "/".join(str(part) for part in mistake["loc"])
        raise ValueError(
            f"{file} cannot be used at {where or 'its root'}: {mistake['msg']}"
        ) from None
