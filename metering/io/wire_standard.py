"""What coefficients, places, zones and calorific values look like on the wire of the API."""

from datetime import date
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from metering.conversion import Energy, Lack
from metering.io.conversions import Converted
from metering.io.route import TEXT_PATTERN, Day, Instant, PageSize, Wire
from metering.io.standards import CalorificNote, PlaceSaid, TableEntered, ZoneEntered
from metering.standard import COEFFICIENT_MAX, COEFFICIENT_MIN, MONTHS, SCALE, Place, Standard

# A year and a day of calorific values, told at once.
DAYS_MAX: Final = 367
# Larger than any figure of a zone; the limits of each stand in conversion.py.
FIGURE_MAX: Final = 1_000_000
CALORIFIC_MAX: Final = 10_000_000

ZoneName = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$", examples=["north"])]
Version = Annotated[str, Field(min_length=1, max_length=64, pattern=TEXT_PATTERN)]
Approver = Annotated[str, Field(min_length=1, max_length=200, pattern=TEXT_PATTERN)]
PlaceName = Literal["heated", "unheated", "outdoor"]
RuleName = Literal["uk", "it", "de"]
UnitName = Literal["mj_m3", "kwh_m3"]
SpanName = Literal["day", "month"]
Coefficients = Annotated[
    list[Annotated[int, Field(ge=COEFFICIENT_MIN, le=COEFFICIENT_MAX)]],
    Field(
        min_length=MONTHS,
        max_length=MONTHS,
        description="ten thousandths, January to December",
    ),
]
Heat = Annotated[int, Field(ge=1, le=CALORIFIC_MAX, description="hundred thousandths of the unit")]
FigureName = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")]
FigureValue = Annotated[int, Field(ge=-FIGURE_MAX, le=FIGURE_MAX)]
Figures = Annotated[dict[FigureName, FigureValue], Field(max_length=10)]


class PageQuery(Wire):
    """How many of the newest."""

    limit: Annotated[PageSize, Field(strict=False)] = 100


class NewTable(Wire):
    """Coefficients as approved, from the first day of a month on."""

    version: Version
    valid_from: Day
    unheated: Coefficients
    outdoor: Coefficients
    approved_by: Approver


class TableShown(Wire):
    """A table of coefficients; among those of one day the highest revision counts."""

    version: str
    valid_from: date
    revision: int
    denominator: int
    unheated: list[int]
    outdoor: list[int]
    approved_by: str
    entered_at: Instant


class TablesShown(Wire):
    """The tables of coefficients, the newest first."""

    tables: list[TableShown]


class NewPlace(Wire):
    """Where a meter hangs during a stay, from a local day on."""

    installed_at: Instant
    valid_from: Day
    place: PlaceName
    zone: ZoneName


class PlaceShown(Wire):
    """A word on where a meter hung; among those of one stay and day the highest revision counts."""

    installed_at: Instant
    valid_from: date
    revision: int
    place: PlaceName
    zone: str
    said_by: str
    said_at: Instant


class PlacesShown(Wire):
    """Every word on where a meter hung, the newest stay and day first."""

    places: list[PlaceShown]


class NewZoneFigures(Wire):
    """What a rule must know about a zone, from the first day of a month on."""

    zone: ZoneName
    rule: RuleName
    valid_from: Day
    figures: Figures
    approved_by: Approver


class ZoneFiguresShown(Wire):
    """Figures of a zone; among those of one day the highest revision counts."""

    zone: str
    rule: RuleName
    valid_from: date
    revision: int
    figures: dict[str, int]
    approved_by: str
    entered_at: Instant


class ZonesShown(Wire):
    """What is known about zones, the newest first."""

    zones: list[ZoneFiguresShown]


class NewCalorificValue(Wire):
    """The heat of a cubic metre on a day, or in the month that begins with it."""

    start_on: Day
    hundred_thousandths: Heat


class NewCalorificValues(Wire):
    """Calorific values of a zone out of one source; one noted otherwise gets a revision."""

    zone: ZoneName
    unit: UnitName
    span: SpanName
    source: Approver
    values: Annotated[list[NewCalorificValue], Field(min_length=1, max_length=DAYS_MAX)]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len({one.start_on for one in self.values}) != len(self.values):
            raise ValueError("a day stands there twice")
        return self


class CalorificValuesTaken(Wire):
    """How many values were told, and how many of them are news."""

    values: int
    news: int


class CalorificValueShown(Wire):
    """The newest note of a day or a month."""

    span: SpanName
    start_on: date
    revision: int
    hundred_thousandths: int
    source: str
    noted_at: Instant


class CalorificValuesShown(Wire):
    """The values that are known, in order."""

    values: list[CalorificValueShown]


class CalorificQuery(Wire):
    """Of which zone and unit, from which day up to, but without, which other; at most 367 days."""

    zone: ZoneName
    unit: UnitName
    from_day: Day
    to_day: Day


class StandardShown(Wire):
    """Gas at standard conditions: dm3 times coefficient by denominator, half up.

    ``table`` is null where nothing was corrected: a heated place, or a meter that compensates.
    """

    standard_dm3: int | None
    place: PlaceName | None
    table: str | None
    coefficient: int | None
    denominator: int
    why: Annotated[str | None, Field(description="what lacks, where there is no volume")]


class EnergyShown(Wire):
    """Energy in the smallest unit of the town's rule; steps are decimals as they were rounded."""

    rule: RuleName
    zone: str | None
    unit: Annotated[str | None, Field(description="wh, or smc_millionths in Italy")]
    value: int | None
    steps: Annotated[dict[str, str], Field(description="each figure, in the order of the rule")]
    why: Annotated[str | None, Field(description="what lacks, where there is no energy")]


def table_shown(one: TableEntered) -> TableShown:
    """Show a table of coefficients."""
    table = one.table
    return TableShown(
        version=table.name,
        valid_from=table.valid_from,
        revision=one.revision,
        denominator=SCALE,
        unheated=list(table.coefficients[Place.UNHEATED]),
        outdoor=list(table.coefficients[Place.OUTDOOR]),
        approved_by=table.approved_by,
        entered_at=one.entered_at,
    )


def place_shown(one: PlaceSaid) -> PlaceShown:
    """Show a word on where a meter hung."""
    return PlaceShown(
        installed_at=one.installed_at,
        valid_from=one.place.valid_from,
        revision=one.revision,
        place=one.place.place.value,
        zone=one.place.zone,
        said_by=one.said_by,
        said_at=one.said_at,
    )


def zone_shown(one: ZoneEntered) -> ZoneFiguresShown:
    """Show the figures of a zone."""
    return ZoneFiguresShown(
        zone=one.zone.zone,
        rule=one.zone.rule.value,
        valid_from=one.zone.valid_from,
        revision=one.revision,
        figures=dict(one.zone.figures),
        approved_by=one.zone.approved_by,
        entered_at=one.entered_at,
    )


def calorific_shown(one: CalorificNote) -> CalorificValueShown:
    """Show the heat of a day or a month."""
    return CalorificValueShown(
        span=one.span.value,
        start_on=one.start_on,
        revision=one.revision,
        hundred_thousandths=one.hundred_thousandths,
        source=one.source,
        noted_at=one.noted_at,
    )


def standard_shown(one: Converted) -> StandardShown | None:
    """Show a volume at standard conditions; None where the town does not want it."""
    if one.standard is None:
        return None
    found = one.standard if isinstance(one.standard, Standard) else None
    return StandardShown(
        standard_dm3=found.volume_dm3 if found else None,
        place=one.place.place.value if one.place else None,
        table=found.table if found else None,
        coefficient=found.coefficient if found else None,
        denominator=SCALE,
        why=one.standard.value if isinstance(one.standard, Lack) else None,
    )


def energy_shown(one: Converted, rule: RuleName | None) -> EnergyShown | None:
    """Show the energy of a volume; None where the town does not want it."""
    if one.energy is None or rule is None:
        return None
    found = one.energy if isinstance(one.energy, Energy) else None
    return EnergyShown(
        rule=rule,
        zone=one.place.zone if one.place else None,
        unit=found.unit.value if found else None,
        value=found.value if found else None,
        steps={name: f"{figure:f}" for name, figure in found.steps.items()} if found else {},
        why=one.energy.value if isinstance(one.energy, Lack) else None,
    )
