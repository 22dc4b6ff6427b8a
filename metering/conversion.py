"""What a town may want to know beside a volume: what it is at standard conditions, and as energy.

    what the dial counted --> at standard conditions (table of the month, place of the meter)
                          --> as energy (the rule of the town, figures and heat of the zone)

Both begin with what the dial counted, so that no correction is applied on top of another; and what
a meter that compensates counted is never corrected. Where something lacks, the answer is one word
that says what. Nothing here is billed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final, assert_never

from metering.energy import (
    M3_PER_DM3,
    UK_CORRECTION,
    average_calorific,
    de_kwh,
    de_state_number,
    it_standard_m3,
    it_steps,
    uk_kwh,
)
from metering.meter import Meter
from metering.standard import CoefficientTable, Place, Standard, standard_volume

# Calorific values are kept, and averaged, in hundred thousandths of their unit: five decimals are
# the most that a published example has.
CALORIFIC_SCALE: Final = 100_000
CALORIFIC_PLACES: Final = 5
# kWh are rounded to the Wh: three decimals, as published for Britain.
KWH_PLACES: Final = 3
WH_PER_KWH: Final = 1_000
SMC_SCALE: Final = 1_000_000
TENTHS: Final = 10
HUNDREDTHS: Final = 100


class EnergyRule(StrEnum):
    """By whose rule a volume becomes energy."""

    UK = "uk"
    IT = "it"
    DE = "de"


class CalorificUnit(StrEnum):
    """In what a calorific value is said."""

    MJ_M3 = "mj_m3"
    KWH_M3 = "kwh_m3"


class Span(StrEnum):
    """What a calorific value is about."""

    DAY = "day"
    MONTH = "month"


class EnergyUnit(StrEnum):
    """The smallest unit of a rule: watt hours, or millionths of an Italian standard m3."""

    WH = "wh"
    SMC_MILLIONTHS = "smc_millionths"


class Lack(StrEnum):
    """What lacks, so that nothing can be said."""

    NO_VOLUME = "no_volume"
    PLACE_UNKNOWN = "place_unknown"
    PLACE_CHANGED = "place_changed"
    NO_COEFFICIENT = "no_coefficient"
    NO_ZONE_FIGURES = "no_zone_figures"
    NO_CALORIFIC_VALUE = "no_calorific_value"


# Which unit a rule reckons in; Italy's standard m3 need no heat.
CALORIFIC_UNIT: Final[Mapping[EnergyRule, CalorificUnit]] = MappingProxyType(
    {EnergyRule.UK: CalorificUnit.MJ_M3, EnergyRule.DE: CalorificUnit.KWH_M3}
)
# What natural gas gives (ours, around the published 38 to 41 MJ), in hundred thousandths; the two
# do not meet, so that one unit is never taken for the other.
CALORIFIC_LIMITS: Final[Mapping[CalorificUnit, tuple[int, int]]] = MappingProxyType(
    {CalorificUnit.MJ_M3: (2_500_000, 5_500_000), CalorificUnit.KWH_M3: (690_000, 1_530_000)}
)
# The figures of a zone by rule, each with its least and its most (ours: what no town exceeds).
# Britain's rule has its figures built in.
ZONE_FIGURES: Final[Mapping[EnergyRule, Mapping[str, tuple[int, int]]]] = MappingProxyType(
    {
        EnergyRule.IT: {
            "height_m": (-500, 9_000),
            "degree_days": (0, 10_000),
            "season_days": (100, 366),
        },
        EnergyRule.DE: {
            "temperature_c_tenths": (-500, 500),
            "air_hpa_hundredths": (50_000, 110_000),
            "supply_hpa_hundredths": (0, 50_000),
        },
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StayPlace:
    """Where a meter hangs from a local day on: how cold it gets there, and in which zone."""

    valid_from: date
    place: Place
    zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Calorific:
    """The heat of one day or month, in hundred thousandths of its unit."""

    span: Span
    start_on: date
    hundred_thousandths: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Energy in the smallest unit of a rule, and the figures it came from, in their order."""

    rule: EnergyRule
    unit: EnergyUnit
    value: int
    steps: Mapping[str, Decimal]


def place_in(places: Sequence[StayPlace], *, first: date, last: date) -> StayPlace | Lack:
    """Return the one place of a meter from a local day to another, both included.

    ``places`` are the newest words, the oldest first. The gas before and after a change lies under
    one register, so a stretch with two places cannot be said.
    """
    begun = [one for one in places if one.valid_from <= first]
    if not begun:
        return Lack.PLACE_UNKNOWN
    held = begun[-1]
    for one in places:
        other = (one.place, one.zone) != (held.place, held.zone)
        if first < one.valid_from <= last and other:
            return Lack.PLACE_CHANGED
    return held


def at_standard(
    volume_dm3: int | None,
    *,
    meter: Meter,
    place: StayPlace | Lack,
    day: date,
    table: CoefficientTable | None,
) -> Standard | Lack:
    """Return a volume of one month at standard conditions, or what lacks.

    ``table`` is the one in force on ``day``, any local day of the stretch. Neither place nor table
    matters to a meter that compensates, nor the table to one in a heated place.
    """
    if volume_dm3 is None:
        return Lack.NO_VOLUME
    if meter.compensated:
        where = Place.HEATED
    elif isinstance(place, Lack):
        return place
    else:
        where = place.place
    if where is not Place.HEATED and (table is None or table.valid_from > day):
        return Lack.NO_COEFFICIENT
    tables = [] if table is None else [table]
    return standard_volume(volume_dm3, meter=meter, place=where, day=day, tables=tables)


def calorific_of(values: Sequence[Calorific], days: Sequence[date]) -> Decimal | Lack:
    """Return the heat of some local days of one month, to five decimals, half up.

    What was said of the whole month counts; else the mean of the days, each once, and only if every
    one of them is known.
    """
    month = days[0].replace(day=1)
    by_day = {}
    for one in values:
        if one.span is Span.MONTH and one.start_on == month:
            return Decimal(one.hundred_thousandths) / CALORIFIC_SCALE
        if one.span is Span.DAY:
            by_day[one.start_on] = Decimal(one.hundred_thousandths) / CALORIFIC_SCALE
    if any(day not in by_day for day in days):
        return Lack.NO_CALORIFIC_VALUE
    return average_calorific([by_day[day] for day in days], places=CALORIFIC_PLACES)


def as_energy(
    rule: EnergyRule,
    volume_dm3: int | None,
    *,
    meter: Meter,
    calorific: Decimal | Lack,
    figures: Mapping[str, int] | None,
) -> Energy | Lack:
    """Return a volume as energy by a rule, or what lacks.

    ``calorific`` is in the unit of the rule (``CALORIFIC_UNIT``); ``figures`` are those of the zone
    (``ZONE_FIGURES``). What a rule does not ask for is not looked at.
    """
    if volume_dm3 is None:
        return Lack.NO_VOLUME
    match rule:
        case EnergyRule.UK:
            if isinstance(calorific, Lack):
                return calorific
            return _british(volume_dm3, meter, calorific)
        case EnergyRule.IT:
            return _italian(volume_dm3, meter, figures)
        case EnergyRule.DE:
            return _german(volume_dm3, meter, calorific, figures)
        case _:
            assert_never(rule)


def _british(volume_dm3: int, meter: Meter, calorific: Decimal) -> Energy:
    """Reckon in m3: a dial in cubic feet was converted before it became a register."""
    kwh = uk_kwh(
        volume_dm3 * M3_PER_DM3,
        calorific_mj_m3=calorific,
        imperial=False,
        places=KWH_PLACES,
        compensated=meter.compensated,
    )
    return Energy(
        rule=EnergyRule.UK,
        unit=EnergyUnit.WH,
        value=int(kwh * WH_PER_KWH),
        steps={
            "correction": Decimal(1) if meter.compensated else UK_CORRECTION,
            "calorific_mj_m3": calorific,
            "kwh": kwh,
        },
    )


def _italian(volume_dm3: int, meter: Meter, figures: Mapping[str, int] | None) -> Energy | Lack:
    steps: dict[str, Decimal] = {}
    coefficient = Decimal(1)
    if not meter.compensated:
        if figures is None:
            return Lack.NO_ZONE_FIGURES
        found = it_steps(
            height_m=figures["height_m"],
            degree_days=figures["degree_days"],
            season_days=figures["season_days"],
        )
        steps = {
            "air_bar": found.air_bar,
            "by_pressure": found.by_pressure,
            "degrees_per_day": found.degrees_per_day,
            "by_temperature": found.by_temperature,
        }
        coefficient = found.coefficient
    smc = it_standard_m3(volume_dm3, coefficient=coefficient, compensated=meter.compensated)
    return Energy(
        rule=EnergyRule.IT,
        unit=EnergyUnit.SMC_MILLIONTHS,
        value=int(smc * SMC_SCALE),
        steps={**steps, "coefficient": coefficient, "standard_m3": smc},
    )


def _german(
    volume_dm3: int, meter: Meter, calorific: Decimal | Lack, figures: Mapping[str, int] | None
) -> Energy | Lack:
    state_number = Decimal(1)
    if not meter.compensated:
        if figures is None:
            return Lack.NO_ZONE_FIGURES
        state_number = de_state_number(
            temperature_c=Decimal(figures["temperature_c_tenths"]) / TENTHS,
            air_hpa=Decimal(figures["air_hpa_hundredths"]) / HUNDREDTHS,
            supply_hpa=Decimal(figures["supply_hpa_hundredths"]) / HUNDREDTHS,
        )
    if isinstance(calorific, Lack):
        return calorific
    kwh = de_kwh(
        volume_dm3, state_number=state_number, calorific_kwh_m3=calorific, places=KWH_PLACES
    )
    return Energy(
        rule=EnergyRule.DE,
        unit=EnergyUnit.WH,
        value=int(kwh * WH_PER_KWH),
        steps={"state_number": state_number, "calorific_kwh_m3": calorific, "kwh": kwh},
    )


def misfit(rule: EnergyRule, figures: Mapping[str, int]) -> str | None:
    """Say in one word why a zone cannot have these figures, if it cannot."""
    limits = ZONE_FIGURES.get(rule)
    if limits is None:
        return "rule_without_figures"
    if figures.keys() != limits.keys():
        return "wrong_figures"
    for name, (least, most) in limits.items():
        if not least <= figures[name] <= most:
            return "out_of_range"
    return None
