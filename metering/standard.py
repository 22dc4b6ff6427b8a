"""Gas at standard conditions (20 degrees C, 101.325 kPa) for meters that do not correct themselves.

Cold gas is dense: what a meter in an unheated place counts in winter holds more than its volume. A
town may bill by a published table of coefficients, by month and by where the meter hangs. Without a
table nothing is changed, and a meter that compensates is never corrected a second time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Final

from metering.meter import Meter

# Coefficients are published with two to four decimals; kept as ten thousandths.
SCALE: Final = 10_000
# No climate asks for more: -50 degrees C gives 1.31, +50 gives 0.91.
COEFFICIENT_MIN: Final = 8_000
COEFFICIENT_MAX: Final = 14_000
MONTHS: Final = 12
STANDARD_K: Final = Decimal("293.15")
ZERO_C_K: Final = Decimal("273.15")
STANDARD_HPA: Final = Decimal("1013.25")


class Place(StrEnum):
    """Where a meter hangs."""

    HEATED = "heated"
    UNHEATED = "unheated"
    OUTDOOR = "outdoor"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoefficientTable:
    """Coefficients in ten thousandths by place and month, as approved from a local day on.

    A heated place has none: gas there is as warm as the standard.
    """

    name: str
    valid_from: date
    approved_by: str
    coefficients: Mapping[Place, Sequence[int]]

    def __post_init__(self) -> None:
        """Refuse a table with holes, for heated places, or that no climate asks for."""
        if not self.name or not self.approved_by:
            raise ValueError("a table has a name, and somebody who approved it")
        if self.coefficients.keys() != {Place.UNHEATED, Place.OUTDOOR}:
            raise ValueError("a table is for unheated and outdoor places")
        for months in self.coefficients.values():
            if len(months) != MONTHS:
                raise ValueError("a table has twelve months")
            if not all(COEFFICIENT_MIN <= one <= COEFFICIENT_MAX for one in months):
                raise ValueError("a coefficient lies between 0.8 and 1.4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """A volume as measured and at standard conditions, in dm3, with its coefficient."""

    measured_dm3: int
    volume_dm3: int
    coefficient: int
    table: str | None


def table_on(tables: Sequence[CoefficientTable], day: date) -> CoefficientTable | None:
    """Return the table in force on a local day: the newest that has begun."""
    begun = [one for one in tables if one.valid_from <= day]
    return max(begun, key=lambda one: one.valid_from, default=None)


def standard_volume(
    measured_dm3: int,
    *,
    meter: Meter,
    place: Place,
    day: date,
    tables: Sequence[CoefficientTable],
) -> Standard:
    """Return a volume of one month at standard conditions, rounded half up to the dm3.

    ``day`` is any local day of the stretch, which must not pass the end of a month. ``tables`` is
    empty where the town does not correct.

    Raises:
        ValueError: the volume is negative.
    """
    if measured_dm3 < 0:
        raise ValueError("measured_dm3 must not be negative")
    table = table_on(tables, day)
    if meter.compensated or place is Place.HEATED or table is None:
        return Standard(
            measured_dm3=measured_dm3, volume_dm3=measured_dm3, coefficient=SCALE, table=None
        )
    coefficient = table.coefficients[place][day.month - 1]
    return Standard(
        measured_dm3=measured_dm3,
        volume_dm3=(2 * measured_dm3 * coefficient + SCALE) // (2 * SCALE),
        coefficient=coefficient,
        table=table.name,
    )


def physical_coefficient(
    *, temperature_c: Decimal, pressure_hpa: Decimal = STANDARD_HPA, compressibility: Decimal
) -> Decimal:
    """Return the coefficient that physics asks for, to four decimals, half up.

    V_std = V * (T_std / T) * (P / P_std) / K; at household pressure K is 1.

    Raises:
        ValueError: a temperature, pressure or compressibility that no gas has.
    """
    kelvin = temperature_c + ZERO_C_K
    if kelvin <= 0 or pressure_hpa <= 0 or compressibility <= 0:
        raise ValueError("temperature, pressure and compressibility must be positive")
    exact = STANDARD_K / kelvin * pressure_hpa / STANDARD_HPA / compressibility
    return exact.quantize(Decimal("0.0001"), ROUND_HALF_UP)
