"""Pulse counters of boards with Tasmota."""

import pytest

from metering.adapter import adapt
from metering.adapters.tasmota import read
from metering.telegram import RefusalReason
from tests.metering.adapters.published import mapping, message, refused, registers, utc

# As published by a user on tele/tasmota_XXXXX/SENSOR.
SENSOR = {"Time": "2021-12-31T09:39:59", "COUNTER": {"C1": 3}}
SOURCE = mapping(device="C1", dm3_per_count=10, offset_dm3=1200, zone="Asia/Almaty")
READ = [(utc(2021, 12, 31, 3, 39, 59), 1230)]


class TestCounter:
    """A number of pulses at a local time."""

    def test_is_weighed_and_added_to_the_dial(self) -> None:
        """Almaty was six hours ahead then; a retained one keeps its time."""
        assert registers(read, SOURCE, message(SENSOR)) == READ
        assert registers(read, SOURCE, message(SENSOR, retained=True)) == READ

    def test_may_have_an_offset(self) -> None:
        """An option of the firmware."""
        said = SENSOR | {"Time": "2021-12-31T03:39:59+00:00"}

        assert registers(read, SOURCE, message(said)) == READ

    def test_is_one_of_four(self) -> None:
        """The second may count water."""
        said = SENSOR | {"COUNTER": {"C1": 3, "C2": 99}}

        assert registers(read, SOURCE, message(said)) == READ
        assert adapt(mapping(device="C3"), message(said), read) is None
        assert adapt(mapping(), message(said), read) is None

    @pytest.mark.parametrize(
        "payload", [b"Online", b"Offline", b"{}", b'{"Time":"2021-12-31T09:39:59","Uptime":"0T"}']
    )
    def test_is_not_in_every_message(self, payload: bytes) -> None:
        """The board tells of its state too."""
        assert adapt(SOURCE, message(payload), read) is None

    @pytest.mark.parametrize(
        "more",
        [
            {"Time": "1970-01-01T00:00:09"}, {"Time": None}, {"Time": 1640943599}, {"COUNTER": 3},
            {"COUNTER": {"C1": -3}}, {"COUNTER": {"C1": 3.5}}, {"COUNTER": {"C1": True}},
        ],
    )  # fmt: skip
    def test_of_another_shape_is_refused(self, more: dict[str, object]) -> None:
        """A board without a clock does not know when it counted."""
        assert refused(read, SOURCE, message(SENSOR | more))[0] is RefusalReason.BAD_SHAPE
