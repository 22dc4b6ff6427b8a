"""A volume at standard conditions and as energy; figures of domain examples and by hand."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from metering.conversion import (
    CALORIFIC_LIMITS,
    Calorific,
    CalorificUnit,
    Energy,
    EnergyRule,
    EnergyUnit,
    Lack,
    Span,
    StayPlace,
    as_energy,
    at_standard,
    calorific_of,
    misfit,
    place_in,
)
from metering.meter import Meter
from metering.standard import CoefficientTable, Place, Standard

FIRST, LAST = date(2026, 1, 1), date(2026, 1, 31)
DAYS = [FIRST + timedelta(days=count) for count in range(31)]
# Published for Vinnytsia, months 1 to 12: unheated; riser above 1.0 m.
TABLE = CoefficientTable(
    name="vinnytsia-2017",
    valid_from=date(2026, 1, 1),
    approved_by="order 7",
    coefficients={
        Place.UNHEATED: (10_500, 10_500, 10_500, 10_400, 10_200, 10_100, 10_000, 10_000, 10_000,
                         10_200, 10_300, 10_400),
        Place.OUTDOOR: (10_800, 10_800, 10_600, 10_300, 10_100, 9_800, 9_700, 9_800, 10_100,
                        10_300, 10_500, 10_700),
    },
)  # fmt: skip
MILAN = {"height_m": 120, "degree_days": 2404, "season_days": 183}
BONN = {"temperature_c_tenths": 150, "air_hpa_hundredths": 100_000, "supply_hpa_hundredths": 2_100}


def meter(*, compensated: bool = False) -> Meter:
    return Meter(
        meter_id="AQ-1", dial_dm3=10**8, step_dm3=10, qmax_dm3_h=6000, compensated=compensated
    )


def place(where: Place = Place.OUTDOOR, day: date = FIRST, zone: str = "town") -> StayPlace:
    return StayPlace(valid_from=day, place=where, zone=zone)


class TestThePlace:
    """The place of a meter in a stretch of days ..."""

    def test_is_the_one_that_began_before(self) -> None:
        """On the very first day too, and until another begins after the last."""
        later = place(Place.HEATED, LAST + timedelta(days=1))
        assert place_in([place(), later], first=FIRST, last=LAST) == place()
        older = place(Place.HEATED, date(2025, 6, 1))
        assert place_in([older, place()], first=FIRST, last=LAST) == place()

    def test_is_unknown_before_the_first_word(self) -> None:
        """One day of a month without a place is a month without one."""
        late = place(day=FIRST + timedelta(days=1))
        assert place_in([late], first=FIRST, last=LAST) is Lack.PLACE_UNKNOWN
        assert place_in([], first=FIRST, last=LAST) is Lack.PLACE_UNKNOWN

    @pytest.mark.parametrize("day", [FIRST + timedelta(days=1), LAST])
    def test_is_not_two_places(self, day: date) -> None:
        """How much gas went through before the change nobody read."""
        for other in (place(Place.HEATED, day), place(day=day, zone="north")):
            assert place_in([place(), other], first=FIRST, last=LAST) is Lack.PLACE_CHANGED

    def test_may_be_said_again(self) -> None:
        """The same words from another day on change nothing."""
        again = place(day=date(2026, 1, 15))
        assert place_in([place(), again], first=FIRST, last=LAST) == place()


class TestAtStandardConditions:
    """A volume at standard conditions ..."""

    @pytest.mark.parametrize(
        ("day", "expected"),
        [(date(2026, 2, 28), 108_000), (date(2026, 3, 1), 106_000), (date(2026, 7, 1), 97_000)],
    )
    def test_is_that_of_its_month(self, day: date, expected: int) -> None:
        """1.08 in February, 1.06 from the 1st of March on, 0.97 in July."""
        found = at_standard(100_000, meter=meter(), place=place(), day=day, table=TABLE)
        assert isinstance(found, Standard)
        assert (found.volume_dm3, found.table) == (expected, "vinnytsia-2017")

    def test_needs_a_table_that_has_begun(self) -> None:
        """The day before, and without any, there is no coefficient; indoors none is needed."""
        for day, table in ((date(2025, 12, 31), TABLE), (FIRST, None)):
            found = at_standard(100_000, meter=meter(), place=place(), day=day, table=table)
            assert found is Lack.NO_COEFFICIENT
        warm = at_standard(100_000, meter=meter(), place=place(Place.HEATED), day=FIRST, table=None)
        assert isinstance(warm, Standard)
        assert (warm.volume_dm3, warm.coefficient, warm.table) == (100_000, 10_000, None)

    def test_needs_a_place_and_a_volume(self) -> None:
        """Nothing is guessed; what lacks first is told."""
        for volume, where, why in (
            (100_000, Lack.PLACE_UNKNOWN, Lack.PLACE_UNKNOWN),
            (100_000, Lack.PLACE_CHANGED, Lack.PLACE_CHANGED),
            (None, Lack.PLACE_UNKNOWN, Lack.NO_VOLUME),
        ):
            found = at_standard(volume, meter=meter(), place=where, day=FIRST, table=TABLE)
            assert found is why

    def test_is_what_a_compensated_meter_counts(self) -> None:
        """A second correction would be 8 % too much; where it hangs does not matter."""
        for where in (place(), Lack.PLACE_UNKNOWN):
            found = at_standard(
                100_000, meter=meter(compensated=True), place=where, day=FIRST, table=TABLE
            )
            assert isinstance(found, Standard)
            assert (found.volume_dm3, found.coefficient, found.table) == (100_000, 10_000, None)


class TestTheHeat:
    """The heat of a stretch of days ..."""

    def test_is_the_mean_of_its_days(self) -> None:
        """30 days of 40 and one of 39: 1239 / 31 = 39.967 741 9."""
        values = [
            Calorific(span=Span.DAY, start_on=day, hundred_thousandths=4_000_000)
            for day in DAYS[:-1]
        ]
        assert calorific_of(values, DAYS) is Lack.NO_CALORIFIC_VALUE
        values.append(Calorific(span=Span.DAY, start_on=LAST, hundred_thousandths=3_900_000))
        assert calorific_of(values, DAYS) == Decimal("39.96774")
        assert calorific_of(values, DAYS[:5]) == 40

    def test_is_that_of_the_month_where_somebody_said_it(self) -> None:
        """Before the days; and that of another month is not it."""
        day = Calorific(span=Span.DAY, start_on=FIRST, hundred_thousandths=4_000_000)
        month = Calorific(span=Span.MONTH, start_on=FIRST, hundred_thousandths=3_947_333)
        assert calorific_of([day, month], DAYS[:1]) == Decimal("39.47333")
        other = Calorific(
            span=Span.MONTH, start_on=date(2025, 12, 1), hundred_thousandths=3_947_333
        )
        assert calorific_of([other], DAYS) is Lack.NO_CALORIFIC_VALUE

    def test_cannot_be_taken_for_another_unit(self) -> None:
        """39.3 MJ are 10.9 kWh: no number is heat in both units."""
        assert CALORIFIC_LIMITS[CalorificUnit.KWH_M3][1] < CALORIFIC_LIMITS[CalorificUnit.MJ_M3][0]


def energy(
    rule: EnergyRule,
    volume_dm3: int,
    heat: str,
    figures: dict[str, int] | None = None,
    *,
    compensated: bool = False,
) -> tuple[int, dict[str, str]]:
    found = as_energy(
        rule,
        volume_dm3,
        meter=meter(compensated=compensated),
        calorific=Decimal(heat),
        figures=figures,
    )
    assert isinstance(found, Energy)
    unit = EnergyUnit.SMC_MILLIONTHS if rule is EnergyRule.IT else EnergyUnit.WH
    assert (found.rule, found.unit) == (rule, unit)
    return found.value, {name: f"{figure:f}" for name, figure in found.steps.items()}


class TestEnergy:
    """The energy of a volume ..."""

    @pytest.mark.parametrize(
        ("volume_dm3", "heat", "expected"),
        [
            (1_000, "40", 11_363),  # published, 11.363 kWh
            (5_000, "40", 56_813),  # published, 56.813 kWh
            (2_000, "39.3", 22_328),  # published as 22.32764 kWh
            (150_000, "39.5", 1_683_095),  # 1683.095 kWh exactly
            (0, "40", 0),
        ],
    )
    def test_is_british(self, volume_dm3: int, heat: str, expected: int) -> None:
        """m3 * 1.02264 * CV / 3.6, rounded once, to the Wh."""
        value, steps = energy(EnergyRule.UK, volume_dm3, heat)
        assert value == expected
        assert (steps["correction"], steps["calorific_mj_m3"]) == ("1.02264", heat)

    def test_is_italian(self) -> None:
        """Milan's C of six-decimal steps, 1.027475: 100 m3 are 102.7475 Smc; no heat is asked."""
        assert energy(EnergyRule.IT, 100_000, "1", MILAN) == (
            102_747_500,
            {
                "air_bar": "0.998917",
                "by_pressure": "1.005593",
                "degrees_per_day": "13.136612",
                "by_temperature": "1.021760",
                "coefficient": "1.027475",
                "standard_m3": "102.747500",
            },
        )

    def test_is_german(self) -> None:
        """31 m3 * 0.9552 * 11.2 = 331.64544 kWh."""
        assert energy(EnergyRule.DE, 31_000, "11.2", BONN) == (
            331_645,
            {"state_number": "0.9552", "calorific_kwh_m3": "11.2", "kwh": "331.645"},
        )

    @pytest.mark.parametrize(
        ("rule", "heat", "expected"),
        [
            (EnergyRule.UK, "40", 1_111_111),  # 100 * 40 / 3.6
            (EnergyRule.IT, "1", 100_000_000),
            (EnergyRule.DE, "11.2", 1_120_000),
        ],
    )
    def test_of_a_compensated_meter_is_not_corrected(
        self, rule: EnergyRule, heat: str, expected: int
    ) -> None:
        """Its volume is a standard one already, and needs no figures of the zone."""
        assert energy(rule, 100_000, heat, None, compensated=True)[0] == expected
        assert energy(rule, 100_000, heat, MILAN | BONN, compensated=True)[0] == expected

    @pytest.mark.parametrize(
        ("rule", "volume_dm3", "calorific", "figures", "why"),
        [
            (EnergyRule.UK, None, Decimal(40), None, Lack.NO_VOLUME),
            (EnergyRule.UK, 1, Lack.NO_CALORIFIC_VALUE, None, Lack.NO_CALORIFIC_VALUE),
            (EnergyRule.DE, 1, Lack.NO_CALORIFIC_VALUE, BONN, Lack.NO_CALORIFIC_VALUE),
            (EnergyRule.DE, 1, Decimal(11), None, Lack.NO_ZONE_FIGURES),
            (EnergyRule.IT, 1, Lack.NO_CALORIFIC_VALUE, None, Lack.NO_ZONE_FIGURES),
        ],
    )
    def test_is_not_guessed(
        self,
        rule: EnergyRule,
        volume_dm3: int | None,
        calorific: Decimal | Lack,
        figures: dict[str, int] | None,
        why: Lack,
    ) -> None:
        """One word says what lacks."""
        found = as_energy(rule, volume_dm3, meter=meter(), calorific=calorific, figures=figures)
        assert found is why


class TestTheFiguresOfAZone:
    """The figures of a zone ..."""

    @pytest.mark.parametrize(
        ("rule", "figures", "why"),
        [
            (EnergyRule.IT, MILAN, None),
            (EnergyRule.DE, BONN, None),
            (EnergyRule.UK, {}, "rule_without_figures"),
            (EnergyRule.IT, BONN, "wrong_figures"),
            (EnergyRule.IT, {**MILAN, "more": 1}, "wrong_figures"),
            (EnergyRule.IT, {**MILAN, "season_days": 99}, "out_of_range"),
            (EnergyRule.IT, {**MILAN, "height_m": 9_001}, "out_of_range"),
            (EnergyRule.DE, {**BONN, "air_hpa_hundredths": 1_000}, "out_of_range"),
        ],
    )
    def test_are_those_of_its_rule(
        self, rule: EnergyRule, figures: dict[str, int], why: str | None
    ) -> None:
        """1000 hPa written as whole hPa would make a hundredth of the gas."""
        assert misfit(rule, figures) == why
