"""``aqkol standard``: coefficients, places, zones and calorific values."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app.command import Json, MeterName, State, checked, day_of, do, told_in
from app.wiring import House
from billing.period import Calendar
from metering.conversion import CalorificUnit
from metering.io.api_standard import note_values, place_of, table_of, zone_of
from metering.io.registry import MeterUnknownError, NotInstalledError
from metering.io.route import PAGE_MAX
from metering.io.standards import StandardRefusedError, Standards, TableKnownError
from metering.io.wire_standard import (
    NewCalorificValues,
    NewPlace,
    NewTable,
    NewZoneFigures,
    calorific_shown,
    place_shown,
    table_shown,
    zone_shown,
)
from metering.standard import Place

# Who said it, when nobody's token did.
SAID_BY: Final = "aqkol standard"


standard = typer.Typer(
    help="Say what gas is at standard conditions, and how much heat it gives.",
    no_args_is_help=True,
)
_MISTAKES: Final = (
    MeterUnknownError,
    StandardRefusedError,
    TableKnownError,
    NotInstalledError,
    ValueError,
)


@standard.command("table")
def enter_table(
    file: Annotated[
        Path,
        typer.Argument(
            help='JSON: {"version": …, "valid_from": …, "unheated": [12], "outdoor": [12], '
            '"approved_by": …}; ten thousandths'
        ),
    ],
    *,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Enter a table of coefficients, from the first day of a month on."""

    async def work(house: House, store: Standards) -> Any:  # noqa: ANN401 - what is printed
        entered, fresh = await store.enter_table(
            table_of(told_in(file, NewTable)), at=house.clock.now()
        )
        return {"version": entered.table.name, "revision": entered.revision, "new": fresh}

    _do(work, state=state, as_json=as_json)


@standard.command("tables")
def list_tables(*, state: State = None, as_json: Json = False) -> None:
    """List the tables of coefficients, the newest first."""

    async def work(_house: House, store: Standards) -> Any:  # noqa: ANN401 - what is printed
        found = await store.tables(PAGE_MAX)
        return {"tables": [table_shown(one).model_dump(mode="json") for one in found]}

    _do(work, state=state, as_json=as_json)


@standard.command("place")
def say_place(  # noqa: PLR0913 - options
    meter_id: MeterName,
    *,
    installed_at: Annotated[str, typer.Option(help="When the stay began, with its offset.")],
    valid_from: Annotated[str, typer.Option(help="The first local day, such as 2026-02-01.")],
    place: Annotated[Place, typer.Option(help="How cold it gets there.")],
    zone: Annotated[str, typer.Option(help="The calorific zone.")],
    state: State = None,
    as_json: Json = False,
) -> None:
    """Say where a meter hangs during a stay, from a local day on."""

    async def work(house: House, store: Standards) -> Any:  # noqa: ANN401 - what is printed
        body = checked(
            lambda: NewPlace.model_validate(
                {
                    "installed_at": installed_at,
                    "valid_from": valid_from,
                    "place": place.value,
                    "zone": zone,
                }
            ),
            "the place",
        )
        said, fresh = await store.say_place(
            meter_id, body.installed_at, place_of(body), by=SAID_BY, at=house.clock.now()
        )
        return {"meter_id": meter_id, "revision": said.revision, "new": fresh}

    _do(work, state=state, as_json=as_json)


@standard.command("places")
def list_places(meter_id: MeterName, *, state: State = None, as_json: Json = False) -> None:
    """List where a meter hung, the newest stay and day first."""

    async def work(_house: House, store: Standards) -> Any:  # noqa: ANN401 - what is printed
        found = await store.places(meter_id, PAGE_MAX)
        return {"places": [place_shown(one).model_dump(mode="json") for one in found]}

    _do(work, state=state, as_json=as_json)


@standard.command("zone")
def enter_zone(
    file: Annotated[
        Path,
        typer.Argument(
            help='JSON: {"zone": …, "rule": "it", "valid_from": …, "figures": {…}, '
            '"approved_by": …}'
        ),
    ],
    *,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Enter what a rule of energy must know about a zone, from the first day of a month on."""

    async def work(house: House, store: Standards) -> Any:  # noqa: ANN401 - what is printed
        entered, fresh = await store.enter_zone(
            zone_of(told_in(file, NewZoneFigures)), at=house.clock.now()
        )
        return {"zone": entered.zone.zone, "revision": entered.revision, "new": fresh}

    _do(work, state=state, as_json=as_json)


@standard.command("zones")
def list_zones(*, state: State = None, as_json: Json = False) -> None:
    """List what is known about zones, the newest first."""

    async def work(_house: House, store: Standards) -> Any:  # noqa: ANN401 - what is printed
        found = await store.zones(PAGE_MAX)
        return {"zones": [zone_shown(one).model_dump(mode="json") for one in found]}

    _do(work, state=state, as_json=as_json)


@standard.command("heat")
def note_heat(
    file: Annotated[
        Path,
        typer.Argument(
            help='JSON: {"zone": …, "unit": "mj_m3", "span": "day", "source": …, '
            '"values": [{"start_on": …, "hundred_thousandths": 3930000}]}'
        ),
    ],
    *,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Note calorific values; one that was noted otherwise gets a revision."""

    async def work(house: House, store: Standards) -> Any:  # noqa: ANN401 - what is printed
        told = told_in(file, NewCalorificValues)
        news = await note_values(store, told, at=house.clock.now())
        return {"values": len(told.values), "news": news}

    _do(work, state=state, as_json=as_json)


@standard.command("heats")
def list_heats(  # noqa: PLR0913 - options
    *,
    zone: Annotated[str, typer.Option(help="The calorific zone.")],
    unit: Annotated[CalorificUnit, typer.Option(help="MJ or kWh in a cubic metre.")],
    from_day: Annotated[str, typer.Option(help="The first local day.")],
    to_day: Annotated[str, typer.Option(help="The local day after the last.")],
    state: State = None,
    as_json: Json = False,
) -> None:
    """List the newest calorific value of each day and month."""

    async def work(_house: House, store: Standards) -> Any:  # noqa: ANN401 - what is printed
        found = await store.calorific(zone, unit, day_of(from_day), day_of(to_day))
        return {"values": [calorific_shown(one).model_dump(mode="json") for one in found]}

    _do(work, state=state, as_json=as_json)


def _do(
    work: Callable[[House, Standards], Awaitable[Any]], *, state: Path | None, as_json: bool
) -> None:
    async def main(house: House) -> Any:  # noqa: ANN401 - what is printed
        calendar = Calendar(zone=house.settings.zone)
        return await work(house, Standards(pool=house.pool, day_of=calendar.day_of))

    do(main, mistakes=_MISTAKES, state=state, as_json=as_json)
