"""A bare number: nothing but digits, so everything else about it is in the mapping."""

from fractions import Fraction

import pytest

from metering.adapter import adapt
from metering.adapters.scalar import read
from metering.telegram import RefusalReason
from tests.metering.adapters.published import (
    NOW_SECOND,
    flags,
    mapping,
    message,
    refused,
    registers,
)


class TestNumber:
    """A plain number is a register in the mapping's unit."""

    @pytest.mark.parametrize(
        ("payload", "unit", "register_dm3"),
        [
            (b"917.5", "m3", 917_500),
            (b"001234.567", "m3", 1_234_567),  # rtlamr2mqtt pads with zeros
            (b"1234.5679\n", "m3", 1_234_567),
            (b"10142194.0", "l", 10_142_194),
            (b"854", "dm3", 854),
            (b"0", "m3", 0),
        ],
    )
    def test_is_read_when_it_came(self, payload: bytes, unit: str, register_dm3: int) -> None:
        """It has no time of its own."""
        came = message(payload)

        assert registers(read, mapping(unit=unit), came) == [(NOW_SECOND, register_dm3)]
        assert flags(read, mapping(unit=unit), came) == ()

    def test_that_the_broker_kept_is_refused(self) -> None:
        """It may be weeks old; as a fresh one it would say that nothing was burnt since."""
        came = message(b"917.5", retained=True)

        reason, detail = refused(read, mapping(), came)

        assert reason is RefusalReason.BAD_SHAPE
        assert "retained" in detail

    @pytest.mark.parametrize("unit", ["kWh", "ft3", ""])
    def test_of_energy_is_refused(self, unit: str) -> None:
        """Read as m3 it would be billed elevenfold."""
        assert refused(read, mapping(unit=unit), message(b"917.5")) == (
            RefusalReason.BAD_SHAPE,
            "the register: bad_unit",
        )

    @pytest.mark.parametrize(
        "payload",
        [
            b"-1", b"+1", b"1e3", b"1,234.5", b"12N4.5", b"917.5 m3", b"true", b"{}", b"1 2",
            b"0x10", b"\xff", "٣".encode(), b"Infinity", b"9" * 33,
        ],
    )  # fmt: skip
    def test_that_is_none_is_refused(self, payload: bytes) -> None:
        """A digit that a camera could not read is no digit."""
        assert refused(read, mapping(), message(payload))[0] is RefusalReason.BAD_SHAPE


class TestNoValue:
    """Words that stand where a number will stand are a sign of life."""

    @pytest.mark.parametrize(
        "payload",
        [b"", b" ", b"online", b"Offline", b"unknown", b"unavailable", b"nan", b"NaN", b"None"],
    )
    @pytest.mark.parametrize("retained", [True, False])
    def test_is_nothing_at_all(self, payload: bytes, *, retained: bool) -> None:
        """As a refusal they would bury the real ones."""
        assert adapt(mapping(), message(payload, retained=retained), read) is None


class TestPulses:
    """A counter of pulses has a weight, and the dial stood somewhere when it began."""

    def test_are_weighed_and_added_to_the_dial(self) -> None:
        """1 200 litres on the dial and 7 pulses of 10 litres."""
        source = mapping(unit="count", dm3_per_count=10, offset_dm3=1200)

        assert registers(read, source, message(b"7")) == [(NOW_SECOND, 1270)]

    def test_are_rounded_down_once(self) -> None:
        """Three thirds are one whole, and two are none."""
        source = mapping(unit="count", dm3_per_count=Fraction(1, 3))

        assert registers(read, source, message(b"3")) == [(NOW_SECOND, 1)]
        assert registers(read, source, message(b"2.0")) == [(NOW_SECOND, 0)]

    def test_that_were_weighed_already_are_refused(self) -> None:
        """A gateway with a filter would be weighed twice."""
        source = mapping(unit="count")

        assert "between" in refused(read, source, message(b"7.5"))[1]

    def test_below_zero_on_the_dial_are_refused(self) -> None:
        """A counter that lost its memory, with an offset that took it for larger."""
        source = mapping(unit="count", offset_dm3=-10)

        assert refused(read, source, message(b"9"))[1] == "a register out of range"
        assert registers(read, source, message(b"10")) == [(NOW_SECOND, 0)]
