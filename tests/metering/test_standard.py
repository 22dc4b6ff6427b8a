"""Gas at standard conditions: a published table, and the physics behind it."""

from datetime import date
from decimal import Decimal

import pytest

from metering.meter import Meter
from metering.standard import (
    CoefficientTable,
    Place,
    Standard,
    physical_coefficient,
    standard_volume,
)

# Published for Vinnytsia, months 1 to 12: riser up to 1.0 m or unheated room; riser above 1.0 m.
UNHEATED = (10_500, 10_500, 10_500, 10_400, 10_200, 10_100, 10_000, 10_000, 10_000, 10_200, 10_300,
            10_400)  # fmt: skip
OUTDOOR = (10_800, 10_800, 10_600, 10_300, 10_100, 9_800, 9_700, 9_800, 10_100, 10_300, 10_500,
           10_700)  # fmt: skip
COEFFICIENTS = {Place.UNHEATED: UNHEATED, Place.OUTDOOR: OUTDOOR}


def table(name: str = "vinnytsia-2017", valid_from: date = date(2017, 2, 1)) -> CoefficientTable:
    return CoefficientTable(
        name=name, valid_from=valid_from, approved_by="order 7", coefficients=COEFFICIENTS
    )


def meter(*, compensated: bool = False) -> Meter:
    return Meter(
        meter_id="AQ-1",
        dial_dm3=10**8,
        step_dm3=10,
        qmax_dm3_h=6000,
        compensated=compensated,
    )


class TestStandardVolume:
    """A volume of cold gas ..."""

    @pytest.mark.parametrize(
        ("place", "day", "measured", "expected"),
        [
            (Place.OUTDOOR, date(2026, 1, 31), 100_000, 108_000),
            (Place.OUTDOOR, date(2026, 7, 1), 100_000, 97_000),
            (Place.UNHEATED, date(2026, 10, 1), 100_000, 102_000),
            (Place.UNHEATED, date(2026, 12, 31), 100_000, 104_000),
            (Place.HEATED, date(2026, 1, 31), 100_000, 100_000),
            # 50 * 1.05 = 52.5 and 51 * 1.05 = 53.55, half up.
            (Place.UNHEATED, date(2026, 1, 1), 50, 53),
            (Place.UNHEATED, date(2026, 1, 1), 51, 54),
            (Place.UNHEATED, date(2026, 1, 1), 0, 0),
        ],
    )
    def test_is_corrected_by_month_and_place(
        self, place: Place, day: date, measured: int, expected: int
    ) -> None:
        """By the published table; indoors there is nothing to correct."""
        found = standard_volume(measured, meter=meter(), place=place, day=day, tables=[table()])

        assert found.volume_dm3 == expected
        assert found.measured_dm3 == measured

    def test_is_left_alone_by_default(self) -> None:
        """A town without a table bills what the dial says."""
        found = standard_volume(
            100_000, meter=meter(), place=Place.OUTDOOR, day=date(2026, 1, 1), tables=[]
        )

        assert found == Standard(
            measured_dm3=100_000, volume_dm3=100_000, coefficient=10_000, table=None
        )

    def test_is_never_corrected_twice(self) -> None:
        """A meter that compensates has done it already; a second time is 8 % too much."""
        found = standard_volume(
            100_000, meter=meter(compensated=True), place=Place.OUTDOOR, day=date(2026, 1, 1),
            tables=[table()],
        )  # fmt: skip

        assert found.volume_dm3 == 100_000

    def test_uses_the_table_of_its_day(self) -> None:
        """Not the one of the day on which it is billed."""
        tables = [table("new", date(2026, 2, 1)), table("old", date(2020, 1, 1))]

        names = [
            standard_volume(1, meter=meter(), place=Place.OUTDOOR, day=day, tables=tables).table
            for day in (date(2019, 12, 31), date(2026, 1, 31), date(2026, 2, 1))
        ]

        assert names == [None, "old", "new"]

    def test_is_never_negative(self) -> None:
        """Then something before us was wrong."""
        with pytest.raises(ValueError, match="negative"):
            standard_volume(-1, meter=meter(), place=Place.OUTDOOR, day=date(2026, 1, 1), tables=[])


class TestATable:
    """A table of coefficients ..."""

    @pytest.mark.parametrize(
        "coefficients",
        [
            {Place.UNHEATED: UNHEATED},
            {**COEFFICIENTS, Place.HEATED: UNHEATED},
            {Place.UNHEATED: UNHEATED[:11], Place.OUTDOOR: OUTDOOR},
            {Place.UNHEATED: (*UNHEATED[:11], 7_999), Place.OUTDOOR: OUTDOOR},
            {Place.UNHEATED: (*UNHEATED[:11], 14_001), Place.OUTDOOR: OUTDOOR},
        ],
    )
    def test_is_refused_when_it_cannot_be_right(
        self, coefficients: dict[Place, tuple[int, ...]]
    ) -> None:
        """A month without a coefficient, or 10.5 typed for 1.05."""
        with pytest.raises(ValueError, match=r"table|coefficient"):
            CoefficientTable(
                name="x", valid_from=date(2026, 1, 1), approved_by="y", coefficients=coefficients
            )

    def test_may_reach_its_limits(self) -> None:
        """0.8 and 1.4 are still weather."""
        edge = {**COEFFICIENTS, Place.OUTDOOR: (8_000, *OUTDOOR[1:11], 14_000)}

        held = CoefficientTable(
            name="x", valid_from=date(2026, 1, 1), approved_by="y", coefficients=edge
        )

        assert (held.coefficients[Place.OUTDOOR][0], held.coefficients[Place.OUTDOOR][11]) == (
            8_000,
            14_000,
        )

    @pytest.mark.parametrize(("name", "approved_by"), [("", "order 7"), ("x", "")])
    def test_stands_for_somebody(self, name: str, approved_by: str) -> None:
        """A number on a bill has an order behind it."""
        with pytest.raises(ValueError, match="approved"):
            CoefficientTable(
                name=name,
                valid_from=date(2026, 1, 1),
                approved_by=approved_by,
                coefficients=COEFFICIENTS,
            )


class TestPhysics:
    """The coefficient of physics ..."""

    @pytest.mark.parametrize(
        ("temperature", "expected"),
        [
            (-30, "1.2056"),
            (-20, "1.1580"),
            (-10, "1.1140"),
            (0, "1.0732"),
            (10, "1.0353"),
            (20, "1.0000"),
            (30, "0.9670"),
        ],
    )
    def test_depends_on_the_cold(self, temperature: int, expected: str) -> None:
        """293.15 over the temperature in kelvin: at -30 degrees C 293.15 / 243.15."""
        found = physical_coefficient(temperature_c=Decimal(temperature), compressibility=Decimal(1))

        assert found == Decimal(expected)

    def test_depends_on_the_pressure(self) -> None:
        """Ten per cent more pressure is ten per cent more gas; K divides."""
        assert physical_coefficient(
            temperature_c=Decimal(20), pressure_hpa=Decimal("1114.575"), compressibility=Decimal(1)
        ) == Decimal("1.1000")
        assert physical_coefficient(
            temperature_c=Decimal(20), compressibility=Decimal("0.8")
        ) == Decimal("1.2500")

    @pytest.mark.parametrize(
        ("temperature", "pressure", "compressibility"),
        [("-300", "1000", "1"), ("-273.15", "1000", "1"), ("20", "0", "1"), ("20", "1000", "0")],
    )
    def test_ends_at_absolute_zero(
        self, temperature: str, pressure: str, compressibility: str
    ) -> None:
        """A sensor that says -300 says nothing, and no gas is without pressure."""
        with pytest.raises(ValueError, match="positive"):
            physical_coefficient(
                temperature_c=Decimal(temperature),
                pressure_hpa=Decimal(pressure),
                compressibility=Decimal(compressibility),
            )
