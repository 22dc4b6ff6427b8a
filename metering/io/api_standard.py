"""Gas at standard conditions and its heat over HTTP: tables, places, zones, calorific values."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from metering.conversion import CalorificUnit, EnergyRule, Span, StayPlace
from metering.io.registry import MeterUnknownError, NotInstalledError
from metering.io.route import Answer, Call, Nothing, Policy, route
from metering.io.standards import StandardRefusedError, Standards, TableKnownError, ZoneFigures
from metering.io.wire import MeterPath
from metering.io.wire_standard import (
    DAYS_MAX,
    CalorificQuery,
    CalorificValuesShown,
    CalorificValuesTaken,
    NewCalorificValues,
    NewPlace,
    NewTable,
    NewZoneFigures,
    PageQuery,
    PlaceShown,
    PlacesShown,
    TableShown,
    TablesShown,
    ZoneFiguresShown,
    ZonesShown,
    calorific_shown,
    place_shown,
    table_shown,
    zone_shown,
)
from metering.standard import CoefficientTable, Place


@dataclass(frozen=True, slots=True, kw_only=True)
class StandardApi:
    """The routes of what a town says about gas."""

    standards: Standards

    @route(
        "POST",
        "/v1/coefficient-tables",
        policy=Policy.OPERATOR,
        summary="Enter a table of coefficients",
        tag="standard",
        status=201,
        repeat_status=200,
        raises=(StandardRefusedError, TableKnownError),
    )
    async def enter_table(self, call: Call[Nothing, Nothing, NewTable]) -> Answer[TableShown]:
        """Enter coefficients from a month on; another table of that month counts from then on."""
        entered, fresh = await self.standards.enter_table(table_of(call.body), at=call.at)
        return Answer(body=table_shown(entered), fresh=fresh)

    @route(
        "GET",
        "/v1/coefficient-tables",
        policy=Policy.OPERATOR,
        summary="List the tables of coefficients",
        tag="standard",
    )
    async def list_tables(self, call: Call[Nothing, PageQuery, Nothing]) -> TablesShown:
        """List tables of coefficients, the newest first."""
        found = await self.standards.tables(call.query.limit)
        return TablesShown(tables=[table_shown(one) for one in found])

    @route(
        "POST",
        "/v1/meters/{meter_id}/places",
        policy=Policy.OPERATOR,
        summary="Say where a meter hangs",
        tag="standard",
        status=201,
        repeat_status=200,
        raises=(MeterUnknownError, NotInstalledError, StandardRefusedError),
    )
    async def say_place(self, call: Call[MeterPath, Nothing, NewPlace]) -> Answer[PlaceShown]:
        """Say of a stay, from a local day on, how cold it gets there and in which zone it is."""
        said, fresh = await self.standards.say_place(
            call.path.meter_id,
            call.body.installed_at,
            place_of(call.body),
            by=call.signature,
            at=call.at,
        )
        return Answer(body=place_shown(said), fresh=fresh)

    @route(
        "GET",
        "/v1/meters/{meter_id}/places",
        policy=Policy.OPERATOR,
        summary="List where a meter hung",
        tag="standard",
        raises=(MeterUnknownError,),
    )
    async def list_places(self, call: Call[MeterPath, PageQuery, Nothing]) -> PlacesShown:
        """List every word on where a meter hung, the newest stay and day first."""
        found = await self.standards.places(call.path.meter_id, call.query.limit)
        return PlacesShown(places=[place_shown(one) for one in found])

    @route(
        "POST",
        "/v1/energy-zones",
        policy=Policy.OPERATOR,
        summary="Enter the figures of a zone",
        tag="standard",
        status=201,
        repeat_status=200,
        raises=(StandardRefusedError,),
    )
    async def enter_zone(
        self, call: Call[Nothing, Nothing, NewZoneFigures]
    ) -> Answer[ZoneFiguresShown]:
        """Enter what a rule of energy must know about a zone from a month on."""
        entered, fresh = await self.standards.enter_zone(zone_of(call.body), at=call.at)
        return Answer(body=zone_shown(entered), fresh=fresh)

    @route(
        "GET",
        "/v1/energy-zones",
        policy=Policy.OPERATOR,
        summary="List the figures of zones",
        tag="standard",
    )
    async def list_zones(self, call: Call[Nothing, PageQuery, Nothing]) -> ZonesShown:
        """List what is known about zones, the newest first."""
        found = await self.standards.zones(call.query.limit)
        return ZonesShown(zones=[zone_shown(one) for one in found])

    @route(
        "POST",
        "/v1/calorific-values",
        policy=Policy.OPERATOR,
        summary="Note calorific values",
        tag="standard",
        raises=(StandardRefusedError,),
    )
    async def note_calorific_values(
        self, call: Call[Nothing, Nothing, NewCalorificValues]
    ) -> CalorificValuesTaken:
        """Note the heat of days or months; one noted otherwise gets a revision."""
        news = await note_values(self.standards, call.body, at=call.at)
        return CalorificValuesTaken(values=len(call.body.values), news=news)

    @route(
        "GET",
        "/v1/calorific-values",
        policy=Policy.OPERATOR,
        summary="List calorific values",
        tag="standard",
    )
    async def list_calorific_values(
        self, call: Call[Nothing, CalorificQuery, Nothing]
    ) -> CalorificValuesShown:
        """List the newest note of each day and month that is known."""
        first = call.query.from_day
        last = min(
            call.query.to_day, first + timedelta(days=min(DAYS_MAX, (date.max - first).days))
        )
        found = await self.standards.calorific(
            call.query.zone, CalorificUnit(call.query.unit), first, last
        )
        return CalorificValuesShown(values=[calorific_shown(one) for one in found])


def table_of(body: NewTable) -> CoefficientTable:
    """Return a table of coefficients as it was written down."""
    return CoefficientTable(
        name=body.version,
        valid_from=body.valid_from,
        approved_by=body.approved_by,
        coefficients={
            Place.UNHEATED: tuple(body.unheated),
            Place.OUTDOOR: tuple(body.outdoor),
        },
    )


def place_of(body: NewPlace) -> StayPlace:
    """Return a place as it was written down."""
    return StayPlace(valid_from=body.valid_from, place=Place(body.place), zone=body.zone)


def zone_of(body: NewZoneFigures) -> ZoneFigures:
    """Return the figures of a zone as they were written down."""
    return ZoneFigures(
        zone=body.zone,
        rule=EnergyRule(body.rule),
        valid_from=body.valid_from,
        figures=body.figures,
        approved_by=body.approved_by,
    )


async def note_values(standards: Standards, body: NewCalorificValues, *, at: datetime) -> int:
    """Note calorific values as they were written down; return how many were news.

    Raises:
        StandardRefusedError: no natural gas gives that, or a month has another first day.
    """
    return await standards.note_calorific(
        {one.start_on: one.hundred_thousandths for one in body.values},
        zone=body.zone,
        unit=CalorificUnit(body.unit),
        span=Span(body.span),
        source=body.source,
        at=at,
    )
