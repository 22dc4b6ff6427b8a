"""From volume to energy, for towns that bill energy: the British, Italian and German ways.

Each rounds where its own rules round and nowhere else; all are options of a town, off by default.
Everything is Decimal and half up. Calorific values are in MJ/m3 (Britain) or kWh/m3 (Germany).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from typing import Final

# Britain: 100 cubic feet in m3 as bills say it, and the fixed correction of SI 1996/439.
IMPERIAL_UNIT_M3: Final = Decimal("2.83")
UK_CORRECTION: Final = Decimal("1.02264")
MJ_PER_KWH: Final = Decimal("3.6")
# Italy: 15 degrees C and 1.01325 bar; the barometric formula and the 20 mbar of household supply.
IT_BAR: Final = Decimal("1.01325")
IT_SUPPLY_BAR: Final = Decimal("0.020")
IT_PER_METRE: Final = Decimal("0.0000225577")
IT_EXPONENT: Final = Decimal("5.2559")
IT_KELVIN: Final = Decimal("288.15")
IT_WARM_KELVIN: Final = Decimal("295.15")
IT_STEP: Final = Decimal("0.000001")
# Germany: volume at 0 degrees C and 1013.25 hPa.
DE_KELVIN: Final = Decimal("273.15")
DE_HPA: Final = Decimal("1013.25")
DE_STEP: Final = Decimal("0.0001")
M3_PER_DM3: Final = Decimal("0.001")
_EXACT: Final = Context(prec=50, rounding=ROUND_HALF_UP)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItalianSteps:
    """How the Italian C of a town comes about, each step rounded to six decimals.

    ``air_bar`` is the town's air; ``by_pressure`` and ``by_temperature`` are kp and kt;
    ``degrees_per_day`` is g, the degree days of a day of the heating season.
    """

    air_bar: Decimal
    by_pressure: Decimal
    degrees_per_day: Decimal
    by_temperature: Decimal
    coefficient: Decimal


def uk_kwh(
    units: Decimal,
    *,
    calorific_mj_m3: Decimal,
    imperial: bool,
    places: int,
    compensated: bool = False,
) -> Decimal:
    """Return kWh = units (* 2.83) * 1.02264 * CV / 3.6, rounded once, half up.

    ``units`` are those of the dial: m3, or hundreds of cubic feet when ``imperial``. What a meter
    that compensates counts is not corrected again by 1.02264.

    Raises:
        ValueError: something is negative, or there is no calorific value.
    """
    if units < 0 or calorific_mj_m3 <= 0 or places < 0:
        raise ValueError("units and places must not be negative, a calorific value is positive")
    with localcontext(_EXACT):
        cubic_m = units * IMPERIAL_UNIT_M3 if imperial else units
        standard_m3 = cubic_m if compensated else cubic_m * UK_CORRECTION
        exact = standard_m3 * calorific_mj_m3 / MJ_PER_KWH
        return _to(exact, places)


def it_steps(*, height_m: int, degree_days: int, season_days: int) -> ItalianSteps:
    """Return the Italian C, by which m3 become standard m3, and how it came about.

    ``height_m`` is the town's height; ``degree_days`` and ``season_days`` are its climate zone's.

    Raises:
        ValueError: a town that cannot be.
    """
    if not -500 <= height_m <= 9_000 or degree_days < 0 or season_days <= 0:  # noqa: PLR2004 - Earth
        raise ValueError("a town has a height on Earth, degree days and a heating season")
    with localcontext(_EXACT):
        bar = _six(IT_BAR * (1 - IT_PER_METRE * height_m) ** IT_EXPONENT)
        by_pressure = _six((bar + IT_SUPPLY_BAR) / IT_BAR)
        per_day = _six(Decimal(degree_days) / season_days)
        by_temperature = _six(IT_KELVIN / (IT_WARM_KELVIN - per_day))
        return ItalianSteps(
            air_bar=bar,
            by_pressure=by_pressure,
            degrees_per_day=per_day,
            by_temperature=by_temperature,
            coefficient=_six(by_pressure * by_temperature),
        )


def it_coefficient(*, height_m: int, degree_days: int, season_days: int) -> Decimal:
    """Return the Italian C alone; see ``it_steps``.

    Raises:
        ValueError: a town that cannot be.
    """
    return it_steps(height_m=height_m, degree_days=degree_days, season_days=season_days).coefficient


def it_standard_m3(volume_dm3: int, *, coefficient: Decimal, compensated: bool) -> Decimal:
    """Return standard m3, to six decimals; a meter that compensates has C = 1."""
    with localcontext(_EXACT):
        cubic_m = volume_dm3 * M3_PER_DM3
        return _six(cubic_m if compensated else cubic_m * coefficient)


def de_state_number(*, temperature_c: Decimal, air_hpa: Decimal, supply_hpa: Decimal) -> Decimal:
    """Return the German Zustandszahl, to four decimals; compressibility is 1 at household pressure.

    Raises:
        ValueError: below absolute zero, or no pressure.
    """
    kelvin = temperature_c + DE_KELVIN
    if kelvin <= 0 or air_hpa + supply_hpa <= 0:
        raise ValueError("temperature and pressure must be positive")
    with localcontext(_EXACT):
        exact = DE_KELVIN / kelvin * (air_hpa + supply_hpa) / DE_HPA
        return exact.quantize(DE_STEP, ROUND_HALF_UP)


def de_kwh(
    volume_dm3: int, *, state_number: Decimal, calorific_kwh_m3: Decimal, places: int
) -> Decimal:
    """Return kWh = m3 * Zustandszahl * Brennwert, rounded once, half up.

    Raises:
        ValueError: something is negative or nothing.
    """
    if volume_dm3 < 0 or state_number <= 0 or calorific_kwh_m3 <= 0 or places < 0:
        raise ValueError("volume and places must not be negative, the factors are positive")
    with localcontext(_EXACT):
        return _to(volume_dm3 * M3_PER_DM3 * state_number * calorific_kwh_m3, places)


def average_calorific(values: Sequence[Decimal], *, places: int) -> Decimal:
    """Return the mean of the calorific values of a period, each day or week once, half up.

    Raises:
        ValueError: there are none, or one is not positive.
    """
    if not values or min(values) <= 0:
        raise ValueError("a mean needs calorific values, all of them positive")
    with localcontext(_EXACT):
        return _to(sum(values, Decimal()) / len(values), places)


def _six(value: Decimal) -> Decimal:
    return value.quantize(IT_STEP, ROUND_HALF_UP)


def _to(value: Decimal, places: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
