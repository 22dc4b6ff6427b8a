"""A reader that counts from its own start."""

from fractions import Fraction

import pytest

from metering.adapter import Message, adapt
from metering.adapters.fludia import read
from metering.telegram import RefusalReason
from tests.metering.adapters.published import flags, mapping, message, refused, registers, utc

EUI = "70b3d5e75e004321"
# The dial stood at 50 m3 when the reader started; one count is 10 litres.
SOURCE = mapping(device=EUI, dm3_per_count=10, offset_dm3=50_000)
# Fludia-IoT/LoRaWAN-decoders, README.md, FM432g.
T1 = {
    "index": 1256,
    "message_type": "T1",
    "increments": [1, 2, 3, 4],
    "indexes": [1, 2, 3, 4],
    "meter_type": "Gas",
    "firmware_version": 54,
    "number_of_starts": 1,
    "time_step": 1,
    "param_id": 0,
    "redundancy": 0,
    "number_of_values": 4,
}


def say(codec: object) -> Message:
    said = {"time": "2026-01-31T10:00:00Z", "deviceInfo": {"devEui": EUI}, "object": codec}
    return message(said, topic=f"application/1/device/{EUI}/event/up")


def at(minute: int) -> object:
    return utc(2026, 1, 31, 9, minute) if minute else utc(2026, 1, 31, 10)


STEPS = [(at(56), 62_460), (at(57), 62_470), (at(58), 62_490), (at(59), 62_520), (at(0), 62_560)]


class TestIndex:
    """The index now, and before each of the increments."""

    def test_stands_on_the_dial_at_the_start(self) -> None:
        """1256 counts are 12 560 litres, and four minutes ago there were ten counts less."""
        assert registers(read, SOURCE, say(T1)) == STEPS

    def test_is_the_same_when_increments_have_times(self) -> None:
        """A codec that is told the time of receipt writes pairs."""
        pairs = [[f"2026-01-31T09:{56 + step}:00.000Z", step + 1] for step in range(4)]

        assert registers(read, SOURCE, say(T1 | {"increments": pairs})) == STEPS

    def test_has_tenths(self) -> None:
        """The bytes count tenths; in binary 0.3 taken from 125.6 is 125.29999999999998."""
        codec = {"index": 125.6, "increments": [0.3], "time_step": 60}

        assert registers(read, mapping(device=EUI, dm3_per_count=100), say(codec)) == [
            (utc(2026, 1, 31, 9), 12_530),
            (utc(2026, 1, 31, 10), 12_560),
        ]

    def test_is_rounded_down_once(self) -> None:
        """0.5 counts of a litre on a dial of 1 litre are still 1 litre."""
        source = mapping(device=EUI, dm3_per_count=Fraction(1), offset_dm3=1)

        assert registers(read, source, say({"index": 0.5})) == [(utc(2026, 1, 31, 10), 1)]

    @pytest.mark.parametrize("codec", [{}, {"index": None, "message_type": "START"}])
    def test_that_is_missing_is_a_sign_of_life(self, codec: object) -> None:
        """A message about the start has none."""
        assert adapt(SOURCE, say(codec), read) is None

    @pytest.mark.parametrize(
        "more",
        [
            {"index": "1256"}, {"index": -1}, {"index": True}, {"index": 125.65}, {"index": []},
            {"increments": {}}, {"increments": [None]}, {"increments": [[]]},
            {"increments": [-1]}, {"increments": [2000]}, {"time_step": None}, {"time_step": 0},
            {"time_step": 1441}, {"number_of_starts": "1"}, {"number_of_starts": 256},
        ],
    )  # fmt: skip
    def test_of_another_shape_is_refused(self, more: dict[str, object]) -> None:
        """More increments than the index has would go below the start."""
        assert refused(read, SOURCE, say(T1 | more))[0] is RefusalReason.BAD_SHAPE


class TestStarts:
    """A reader that started again counts from 0, and its offset is no longer true."""

    def test_that_are_the_first_are_no_news(self) -> None:
        """A mapping that says nothing was made after the first start."""
        assert flags(read, SOURCE, say(T1)) == ()

    def test_that_differ_ask_for_a_person(self) -> None:
        """The flag is one of a reset: the reading is held until somebody enters it."""
        assert flags(read, SOURCE, say(T1 | {"number_of_starts": 2})) == ("restarted",)

    def test_may_be_written_down(self) -> None:
        """With a new offset after the second start."""
        source = mapping(device=f"{EUI}/2", dm3_per_count=10)

        assert flags(read, source, say(T1 | {"number_of_starts": 2})) == ()
        assert flags(read, source, say(T1)) == ("restarted",)

    def test_that_are_not_told_are_no_news(self) -> None:
        """Only one message a day tells them."""
        assert flags(read, SOURCE, say(T1 | {"number_of_starts": None, "low_battery": 1})) == (
            "battery_low",
        )
