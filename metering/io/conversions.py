"""What meters used, at standard conditions and as energy, as PostgreSQL knows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

import asyncpg

import sql
from metering.conversion import (
    CALORIFIC_UNIT,
    Calorific,
    Energy,
    EnergyRule,
    Lack,
    StayPlace,
    as_energy,
    at_standard,
    calorific_of,
    place_in,
)
from metering.gaps import Calendar
from metering.io.standards import read_calorific, read_places, read_table, read_zone
from metering.meter import Meter
from metering.standard import Standard
from metering.used import Used

_REGISTRY: Final = sql.queries("registry")

DAY: Final = timedelta(days=1)
INSTANT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a town wants to know of a volume; by default nothing."""

    standard: bool = False
    energy: EnergyRule | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """One use at standard conditions and as energy; None where the town does not want it."""

    place: StayPlace | None
    standard: Standard | Lack | None
    energy: Energy | Lack | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversions:
    """What a town wants to know of the gas of meters; only reads, in one snapshot."""

    pool: asyncpg.Pool
    calendar: Calendar
    wanted: Wanted

    async def of(self, uses: Sequence[Used]) -> list[Converted] | None:
        """Return what each use is, in their order, or None where the town wants nothing.

        Each use lies within one month and is of the same meter.
        """
        if not self.wanted.standard and self.wanted.energy is None:
            return None
        async with (
            self.pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            return [await self._one(connection, one) for one in uses]

    async def _one(self, connection: asyncpg.Connection, use: Used) -> Converted:
        stay = use.installation
        meter = Meter(**await _REGISTRY.find_meter(connection, meter_id=stay.meter_id))
        first, last = (self.calendar.day_of(at) for at in (use.from_at, use.to_at - INSTANT))
        places = await read_places(connection, stay.meter_id, stay.installed_at, last + DAY)
        place = place_in(places, first=first, last=last)
        standard: Standard | Lack | None = None
        if self.wanted.standard:
            standard = at_standard(
                use.volume_dm3,
                meter=meter,
                place=place,
                day=first,
                table=await read_table(connection, first),
            )
        energy: Energy | Lack | None = None
        if self.wanted.energy is not None:
            energy = await _energy(connection, self.wanted.energy, use, meter, place, first, last)
        return Converted(
            place=None if isinstance(place, Lack) else place, standard=standard, energy=energy
        )


async def _energy(  # noqa: PLR0913, PLR0917 - what a rule asks for
    connection: asyncpg.Connection,
    rule: EnergyRule,
    use: Used,
    meter: Meter,
    place: StayPlace | Lack,
    first: date,
    last: date,
) -> Energy | Lack:
    if isinstance(place, Lack):
        return Lack.NO_VOLUME if use.volume_dm3 is None else place
    days = [first + count * DAY for count in range((last - first).days + 1)]
    unit = CALORIFIC_UNIT.get(rule)
    calorific: Decimal | Lack = Lack.NO_CALORIFIC_VALUE
    if unit is not None:
        notes = await read_calorific(connection, place.zone, unit, first.replace(day=1), last + DAY)
        values = [
            Calorific(
                span=one.span, start_on=one.start_on, hundred_thousandths=one.hundred_thousandths
            )
            for one in notes
        ]
        calorific = calorific_of(values, days)
    return as_energy(
        rule,
        use.volume_dm3,
        meter=meter,
        calorific=calorific,
        figures=await read_zone(connection, place.zone, rule, first),
    )
