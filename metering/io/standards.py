"""What a town says about gas at standard conditions and about its heat, in PostgreSQL.

Nothing is ever changed: another word is another row, and the newest counts.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import asyncpg
import structlog

import sql
from metering.conversion import (
    CALORIFIC_LIMITS,
    CalorificUnit,
    EnergyRule,
    Span,
    StayPlace,
    misfit,
)
from metering.io.registry import MeterUnknownError, NotInstalledError
from metering.standard import SCALE, CoefficientTable, Place

_Q: Final = sql.queries("standard")
_REGISTRY: Final = sql.queries("registry")

log: Final = structlog.get_logger()


class StandardRefusedError(Exception):
    """This cannot be said about gas; the text is one word that says why."""


class TableKnownError(Exception):
    """A table of this version was entered with other words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableEntered:
    """A table of coefficients as it was entered; the higher revision of a day counts."""

    table: CoefficientTable
    revision: int
    entered_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceSaid:
    """A word on where a meter hangs; the higher revision of a day counts."""

    installed_at: datetime
    place: StayPlace
    revision: int
    said_by: str
    said_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneFigures:
    """What a rule of energy must know about a zone, from the first day of a month on."""

    zone: str
    rule: EnergyRule
    valid_from: date
    figures: Mapping[str, int]
    approved_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneEntered:
    """Figures of a zone as they were entered; the higher revision of a day counts."""

    zone: ZoneFigures
    revision: int
    entered_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CalorificNote:
    """The newest note of the heat of a day or a month, in hundred thousandths of its unit."""

    zone: str
    unit: CalorificUnit
    span: Span
    start_on: date
    revision: int
    hundred_thousandths: int
    source: str
    noted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Standards:
    """The words of a town; ``day_of`` says which local day an instant falls into."""

    pool: asyncpg.Pool
    day_of: Callable[[datetime], date]

    async def enter_table(
        self, table: CoefficientTable, *, at: datetime
    ) -> tuple[TableEntered, bool]:
        """Enter a table of coefficients; False when the same was entered before.

        Raises:
            StandardRefusedError: it does not begin with a month.
            TableKnownError: its version names another one.
        """
        _demand_month(table.valid_from)
        async with self.pool.acquire() as connection, connection.transaction():
            await _Q.lock_standard(connection)
            row = await _Q.find_table(connection, version=table.name)
            if row is not None:
                known = _table(row)
                if known.table != table:
                    raise TableKnownError(table.name)
                return known, False
            revision = await _Q.add_table(
                connection,
                version=table.name,
                valid_from=table.valid_from,
                denominator=SCALE,
                unheated=list(table.coefficients[Place.UNHEATED]),
                outdoor=list(table.coefficients[Place.OUTDOOR]),
                approved_by=table.approved_by,
                at=at,
            )
        log.info("coefficients.entered", version=table.name)
        return TableEntered(table=table, revision=revision, entered_at=at), True

    async def tables(self, page: int) -> list[TableEntered]:
        """Return the tables of coefficients, the newest first."""
        async with self.pool.acquire() as connection:
            return [_table(row) async for row in _Q.list_tables(connection, page=page)]

    async def say_place(
        self, meter_id: str, installed_at: datetime, place: StayPlace, *, by: str, at: datetime
    ) -> tuple[PlaceSaid, bool]:
        """Say where a meter hangs during a stay; False when the newest word is the same.

        Raises:
            MeterUnknownError: no meter has this id.
            NotInstalledError: no stay of it began at that instant.
            StandardRefusedError: the day lies outside of the stay.
        """
        async with self.pool.acquire() as connection, connection.transaction():
            await _demand_meter(connection, meter_id)
            rows = _REGISTRY.list_installations(connection, meter_id=meter_id)
            stays = [row async for row in rows if row["installed_at"] == installed_at]
            if not stays:
                raise NotInstalledError("no stay of the meter began then")
            if place.valid_from < self.day_of(installed_at):
                raise StandardRefusedError("before_installation")
            removed_at = stays[0]["removed_at"]
            if removed_at is not None and place.valid_from > self.day_of(removed_at):
                raise StandardRefusedError("after_removal")
            await _Q.lock_standard(connection)
            row = await _Q.find_place(
                connection,
                meter_id=meter_id,
                installed_at=installed_at,
                valid_from=place.valid_from,
            )
            if row is not None and (known := _place(row)).place == place:
                return known, False
            revision = await _Q.add_place(
                connection,
                meter_id=meter_id,
                installed_at=installed_at,
                valid_from=place.valid_from,
                place=place.place.value,
                zone=place.zone,
                said_by=by,
                at=at,
            )
        said = PlaceSaid(
            installed_at=installed_at, place=place, revision=revision, said_by=by, said_at=at
        )
        return said, True

    async def places(self, meter_id: str, page: int) -> list[PlaceSaid]:
        """Return every word on where a meter hung, the newest stay and day first.

        Raises:
            MeterUnknownError: no meter has this id.
        """
        async with self.pool.acquire() as connection:
            await _demand_meter(connection, meter_id)
            rows = _Q.list_places(connection, meter_id=meter_id, page=page)
            return [_place(row) async for row in rows]

    async def enter_zone(self, zone: ZoneFigures, *, at: datetime) -> tuple[ZoneEntered, bool]:
        """Enter what a rule must know about a zone; False when the newest word is the same.

        Raises:
            StandardRefusedError: the rule knows no such figures, or no town has them.
        """
        _demand_month(zone.valid_from)
        why = misfit(zone.rule, zone.figures)
        if why is not None:
            raise StandardRefusedError(why)
        async with self.pool.acquire() as connection, connection.transaction():
            await _Q.lock_standard(connection)
            row = await _Q.zone_on(
                connection, zone=zone.zone, rule=zone.rule.value, day=zone.valid_from
            )
            if row is not None and (known := _zone(row)).zone == zone:
                return known, False
            revision = await _Q.add_zone_figures(
                connection,
                zone=zone.zone,
                rule=zone.rule.value,
                valid_from=zone.valid_from,
                figures=json.dumps(dict(zone.figures)),
                approved_by=zone.approved_by,
                at=at,
            )
        log.info("zone.entered", zone=zone.zone, rule=zone.rule.value)
        return ZoneEntered(zone=zone, revision=revision, entered_at=at), True

    async def zones(self, page: int) -> list[ZoneEntered]:
        """Return what is known about zones, the newest first."""
        async with self.pool.acquire() as connection:
            return [_zone(row) async for row in _Q.list_zone_figures(connection, page=page)]

    async def note_calorific(  # noqa: PLR0913 - the columns of the table
        self,
        values: Mapping[date, int],
        *,
        zone: str,
        unit: CalorificUnit,
        span: Span,
        source: str,
        at: datetime,
    ) -> int:
        """Note the heat of days or months in hundred thousandths; return how many were news.

        One that was noted otherwise, or from another source, gets another revision, which counts
        from then on; the same note again is none.

        Raises:
            StandardRefusedError: no natural gas gives that, or a month has another first day.
        """
        least, most = CALORIFIC_LIMITS[unit]
        for start_on, value in values.items():
            if span is Span.MONTH:
                _demand_month(start_on)
            if not least <= value <= most:
                raise StandardRefusedError("out_of_range")
        if not values:
            return 0
        async with self.pool.acquire() as connection, connection.transaction():
            await _Q.lock_standard(connection)
            known = {
                one.start_on: (one.hundred_thousandths, one.source)
                for one in await read_calorific(
                    connection, zone, unit, min(values), max(values) + timedelta(days=1)
                )
                if one.span is span
            }
            news = {
                day: value for day, value in values.items() if known.get(day) != (value, source)
            }
            await _Q.add_calorific_values(
                connection,
                zone=zone,
                unit=unit.value,
                span=span.value,
                starts=list(news),
                hundred_thousandths=list(news.values()),
                source=source,
                at=at,
            )
        log.info("calorific.noted", values=len(values), news=len(news))
        return len(news)

    async def calorific(
        self, zone: str, unit: CalorificUnit, from_day: date, to_day: date
    ) -> list[CalorificNote]:
        """Return the newest note of each day and month that begins from one day to another."""
        async with self.pool.acquire() as connection:
            return await read_calorific(connection, zone, unit, from_day, to_day)


async def read_calorific(
    connection: asyncpg.Connection, zone: str, unit: CalorificUnit, from_day: date, to_day: date
) -> list[CalorificNote]:
    """Read the newest note of each day and month that begins from one day to another."""
    rows = _Q.list_calorific_values(
        connection, zone=zone, unit=unit.value, from_day=from_day, to_day=to_day
    )
    return [
        CalorificNote(**{**row, "unit": CalorificUnit(row["unit"]), "span": Span(row["span"])})
        async for row in rows
    ]


async def read_table(connection: asyncpg.Connection, day: date) -> CoefficientTable | None:
    """Read the table of coefficients in force on a local day."""
    row = await _Q.table_on(connection, day=day)
    return None if row is None else _table(row).table


async def read_zone(
    connection: asyncpg.Connection, zone: str, rule: EnergyRule, day: date
) -> Mapping[str, int] | None:
    """Read what a rule knows about a zone on a local day."""
    row = await _Q.zone_on(connection, zone=zone, rule=rule.value, day=day)
    return None if row is None else _zone(row).zone.figures


async def read_places(
    connection: asyncpg.Connection, meter_id: str, installed_at: datetime, to_day: date
) -> list[StayPlace]:
    """Read the newest words on a stay that begin before a local day, the oldest first."""
    rows = _Q.places_of(connection, meter_id=meter_id, installed_at=installed_at, to_day=to_day)
    return [_place(row).place async for row in rows]


async def _demand_meter(connection: asyncpg.Connection, meter_id: str) -> None:
    if await _REGISTRY.find_meter(connection, meter_id=meter_id) is None:
        raise MeterUnknownError


def _demand_month(day: date) -> None:
    if day.day != 1:
        raise StandardRefusedError("not_a_month")


def _table(row: asyncpg.Record) -> TableEntered:
    return TableEntered(
        table=CoefficientTable(
            name=row["version"],
            valid_from=row["valid_from"],
            approved_by=row["approved_by"],
            coefficients={
                Place.UNHEATED: tuple(row["unheated"]),
                Place.OUTDOOR: tuple(row["outdoor"]),
            },
        ),
        revision=row["revision"],
        entered_at=row["entered_at"],
    )


def _place(row: asyncpg.Record) -> PlaceSaid:
    return PlaceSaid(
        installed_at=row["installed_at"],
        place=StayPlace(valid_from=row["valid_from"], place=Place(row["place"]), zone=row["zone"]),
        revision=row["revision"],
        said_by=row["said_by"],
        said_at=row["said_at"],
    )


def _zone(row: asyncpg.Record) -> ZoneEntered:
    return ZoneEntered(
        zone=ZoneFigures(
            zone=row["zone"],
            rule=EnergyRule(row["rule"]),
            valid_from=row["valid_from"],
            figures=json.loads(row["figures"]),
            approved_by=row["approved_by"],
        ),
        revision=row["revision"],
        entered_at=row["entered_at"],
    )
