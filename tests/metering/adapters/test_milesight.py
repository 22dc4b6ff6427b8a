"""A pulse counter that stores what it could not send."""

import pytest

from metering.adapter import Message, adapt
from metering.adapters.milesight import read
from metering.telegram import RefusalReason
from tests.metering.adapters.published import mapping, message, refused, registers, utc

EUI = "24e124136b000001"
SOURCE = mapping(device=EUI, dm3_per_count=10)
AT = utc(2022, 10, 12, 9)
# Milesight-IoT/SensorDecoders, EM300-DI: one entry of a history, 1665561758 is 08:02:38.
STORED = {"pulse": 256, "timestamp": 1665561758}


def say(codec: object) -> Message:
    said = {"time": "2022-10-12T09:00:00Z", "deviceInfo": {"devEui": EUI}, "object": codec}
    return message(said, topic=f"application/1/device/{EUI}/event/up")


class TestCounter:
    """What it counts now and counted then."""

    def test_is_read_now_and_then(self) -> None:
        """The oldest first, whatever stands first."""
        codec = {
            "battery": 92,
            "temperature": 30.8,
            "humidity": 50.5,
            "pulse": 300,
            "history": [{"pulse": 260, "timestamp": 1665563558}, STORED],
        }

        assert registers(read, SOURCE, say(codec)) == [
            (utc(2022, 10, 12, 8, 2, 38), 2560),
            (utc(2022, 10, 12, 8, 32, 38), 2600),
            (AT, 3000),
        ]

    def test_may_tell_of_the_past_alone(self) -> None:
        """What it stored comes in messages of its own."""
        assert registers(read, SOURCE, say({"history": [STORED]})) == [
            (utc(2022, 10, 12, 8, 2, 38), 2560)
        ]

    @pytest.mark.parametrize(
        "codec", [{}, {"battery": 92}, {"history": []}, {"gpio": "low", "history": [{"gpio": 1}]}]
    )
    def test_that_counts_nothing_is_a_sign_of_life(self, codec: object) -> None:
        """It may be set to watch a switch."""
        assert adapt(SOURCE, say(codec), read) is None

    @pytest.mark.parametrize(
        ("codec", "detail"),
        [
            ({"water": "1892.00", "water_conv": 1}, "does not name"),
            ({"history": [{"water": "1892.00", "timestamp": 1695282399}]}, "does not name"),
            ({"history": {}}, "no list"),
            ({"history": [7]}, "no object"),
            ({"history": [{"pulse": 256}]}, "timestamp"),
            ({"history": [{"pulse": 256, "timestamp": 7}]}, "timestamp"),
            ({"pulse": 7.5}, "between"),
            ({"history": [STORED, STORED | {"pulse": 257}]}, "two registers"),
        ],
    )
    def test_that_cannot_be_trusted_is_refused(self, codec: object, detail: str) -> None:
        """Two stories about one second are none."""
        reason, said = refused(read, SOURCE, say(codec))

        assert reason is RefusalReason.BAD_SHAPE
        assert detail in said
