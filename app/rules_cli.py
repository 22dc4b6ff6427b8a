"""``aqkol rules``: look at the rules of belief, override them, note temperatures."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app.command import Json, State, day_of, do, told_in
from app.wiring import House
from billing.period import local_day, midnight
from metering.io.api_rules import rules_shown
from metering.io.rules import Order, OverrideKnownError, OverrideRefusedError, Rules, taken
from metering.io.wire_rules import NewDegreeDays
from metering.rule import MeterType, in_force, rule_book

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

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        on = day_of(day) if day else local_day(house.clock.now(), house.settings.zone)
        kind = meter_type or MeterType.DIAPHRAGM
        overrides = await Rules(house.pool).overrides()
        book = rules_shown(
            rule_book(kind, overrides, on=on), in_force(kind, overrides, on=on), day=on
        )
        shown = book.model_dump(mode="json")
        return {**shown, "rules": {rule["code"]: rule for rule in shown["rules"]}}

    do(work, mistakes=_MISTAKES, state=state, as_json=as_json)


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

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        at, zone = house.clock.now(), house.settings.zone
        first = day_of(valid_from)
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
        fresh = await Rules(house.pool).add_override(override, at=at)
        return {"code": code, "valid_from": first.isoformat(), "new": fresh}

    do(work, mistakes=_MISTAKES, state=state, as_json=as_json)


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

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        told = told_in(file, NewDegreeDays)
        days = {one.day: one.degree_days_tenths for one in told.days}
        news = await Rules(house.pool).note_degree_days(
            days, source=told.source, at=house.clock.now()
        )
        return {"days": len(days), "news": news}

    do(work, mistakes=_MISTAKES, state=state, as_json=as_json)


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
