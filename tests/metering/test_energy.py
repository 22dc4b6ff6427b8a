"""From volume to energy, against what was published."""

from decimal import Decimal

import pytest

from metering.energy import (
    average_calorific,
    de_kwh,
    de_state_number,
    it_coefficient,
    it_standard_m3,
    uk_kwh,
)


class TestBritain:
    """British kWh ..."""

    @pytest.mark.parametrize(
        ("units", "calorific", "imperial", "places", "expected"),
        [
            ("2", "39.3", False, 5, "22.32764"),  # Shell Energy
            ("2", "39.3", False, 0, "22"),  # as its bill shows it
            ("1", "39.47333", True, 2, "31.73"),  # qwindow: one hundred cubic feet
            ("1", "40", False, 3, "11.363"),  # HomeAssistant-OctopusEnergy
            ("5", "40", False, 3, "56.813"),  # likewise
            # dailyutilitydock prints 1683.09; 150 * 1.02264 * 39.5 / 3.6 is 1683.095 exactly.
            ("150", "39.5", False, 2, "1683.10"),
            ("150", "39.5", False, 3, "1683.095"),
            ("0", "40", False, 3, "0.000"),
        ],
    )
    def test_are_as_published(
        self, units: str, calorific: str, *, imperial: bool, places: int, expected: str
    ) -> None:
        """Rounded once, at the end, half up."""
        found = uk_kwh(
            Decimal(units), calorific_mj_m3=Decimal(calorific), imperial=imperial, places=places
        )

        assert str(found) == expected

    @pytest.mark.parametrize(("units", "calorific"), [("-1", "40"), ("1", "0")])
    def test_are_refused_without_sense(self, units: str, calorific: str) -> None:
        """No gas is negative, and none burns without heat."""
        with pytest.raises(ValueError, match="positive"):
            uk_kwh(Decimal(units), calorific_mj_m3=Decimal(calorific), imperial=False, places=0)


class TestItaly:
    """Italian standard cubic metres ..."""

    def test_round_every_step(self) -> None:
        """Milan: 120 m high, 2404 degree days over the 183 days of zone E.

        p_b 0.998917; k_p = 1.018917 / 1.01325 = 1.005593; g = 13.136612;
        k_t = 288.15 / 282.013388 = 1.021760; C = 1.005593 * 1.021760 = 1.027475.
        """
        coefficient = it_coefficient(height_m=120, degree_days=2404, season_days=183)

        assert str(coefficient) == "1.027475"
        assert str(it_standard_m3(100_000, coefficient=coefficient, compensated=False)) == (
            "102.747500"
        )

    def test_are_cubic_metres_when_the_meter_corrects(self) -> None:
        """C = 1 then, whatever the town's height."""
        found = it_standard_m3(100_000, coefficient=Decimal("1.027475"), compensated=True)

        assert found == Decimal(100)

    @pytest.mark.parametrize(
        ("height", "degree_days", "season"),
        [(120, 2404, 0), (120, -1, 183), (-501, 2404, 183), (9_001, 2404, 183)],
    )
    def test_need_a_town_on_earth(self, height: int, degree_days: int, season: int) -> None:
        """A season of no days would divide by nothing."""
        with pytest.raises(ValueError, match="town"):
            it_coefficient(height_m=height, degree_days=degree_days, season_days=season)

    @pytest.mark.parametrize(("height", "degree_days"), [(-500, 2404), (9_000, 2404), (120, 0)])
    def test_may_lie_at_its_ends(self, height: int, degree_days: int) -> None:
        """Below the sea, above all mountains, or where nobody heats."""
        assert it_coefficient(height_m=height, degree_days=degree_days, season_days=183) > 0


class TestGermany:
    """German kWh ..."""

    def test_have_a_state_number_of_four_decimals(self) -> None:
        """273.15 / 288.15 * (1000 + 21) / 1013.25 = 0.955194: 15 degrees C and 21 mbar."""
        found = de_state_number(
            temperature_c=Decimal(15), air_hpa=Decimal(1000), supply_hpa=Decimal(21)
        )

        assert str(found) == "0.9552"

    def test_are_rounded_once(self) -> None:
        """31 m3 * 0.9552 * 11.2 = 331.64544 kWh."""
        for places, expected in ((0, "332"), (3, "331.645")):
            found = de_kwh(
                31_000,
                state_number=Decimal("0.9552"),
                calorific_kwh_m3=Decimal("11.2"),
                places=places,
            )
            assert str(found) == expected

    def test_may_be_none(self) -> None:
        """No gas is no energy."""
        assert de_kwh(0, state_number=Decimal(1), calorific_kwh_m3=Decimal(11), places=0) == 0

    @pytest.mark.parametrize(
        ("volume", "state_number", "calorific", "places"),
        [(-1, 1, 11, 0), (1, 0, 11, 0), (1, 1, 0, 0), (1, 1, 11, -1)],
    )
    def test_are_refused_without_sense(
        self, volume: int, state_number: int, calorific: int, places: int
    ) -> None:
        """Negative gas, or none that burns."""
        with pytest.raises(ValueError, match="positive"):
            de_kwh(
                volume,
                state_number=Decimal(state_number),
                calorific_kwh_m3=Decimal(calorific),
                places=places,
            )

    @pytest.mark.parametrize(
        ("temperature", "air", "supply"),
        [("-300", 1000, 21), ("-273.15", 1000, 21), ("15", 0, 0), ("15", -21, 21)],
    )
    def test_have_no_state_number_without_pressure(
        self, temperature: str, air: int, supply: int
    ) -> None:
        """Nor below absolute zero."""
        with pytest.raises(ValueError, match="positive"):
            de_state_number(
                temperature_c=Decimal(temperature), air_hpa=Decimal(air), supply_hpa=Decimal(supply)
            )


class TestCalorificValue:
    """The mean calorific value of a period ..."""

    def test_counts_every_week_once(self) -> None:
        """As PG&E does: a month with five Mondays is the mean of five values."""
        weeks = [Decimal(1015), Decimal(1017), Decimal(1020), Decimal(1018), Decimal(1021)]

        assert average_calorific(weeks, places=1) == Decimal("1018.2")

    def test_rounds_half_up(self) -> None:
        """39.25 is 39.3 and not, to the even digit, 39.2."""
        values = [Decimal("39.2"), Decimal("39.3")]

        assert average_calorific(values, places=1) == Decimal("39.3")

    @pytest.mark.parametrize("values", [[], [Decimal(40), Decimal(0)]])
    def test_needs_values(self, values: list[Decimal]) -> None:
        """A missing day is left out by whoever asks, never counted as nothing."""
        with pytest.raises(ValueError, match="calorific"):
            average_calorific(values, places=1)
