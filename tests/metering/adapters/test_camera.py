"""A camera in front of a dial."""

import pytest

from metering.adapters.camera import read
from metering.telegram import RefusalReason
from tests.metering.adapters.published import (
    NOW_SECOND,
    mapping,
    message,
    refused,
    registers,
    utc,
)

# The fields as in jomjol/AI-on-the-edge-device-docs, docs/MQTT-API.md: all of them texts.
SEEN = {
    "value": "4207.183",
    "raw": "04207.183",
    "pre": "4207.180",
    "error": "no error",
    "rate": "0.003",
    "timestamp": "2026-01-31T23:29:58+0500",
}


class TestCamera:
    """What it saw is a register, and what it guessed is not."""

    def test_reads_a_dial(self) -> None:
        """Texts all over, and an offset without a colon."""
        assert registers(read, mapping(), message(SEEN)) == [
            (utc(2026, 1, 31, 18, 29, 58), 4_207_183)
        ]

    def test_may_tell_local_time(self) -> None:
        """Older firmware writes no offset; the mapping knows the place."""
        said = SEEN | {"timestamp": "2026-01-31T23:29:58"}

        assert registers(read, mapping(zone="Asia/Almaty"), message(said)) == [
            (utc(2026, 1, 31, 18, 29, 58), 4_207_183)
        ]

    def test_keeps_its_time_when_the_broker_kept_it(self) -> None:
        """The time is that of the value, however long it lay there."""
        came = message(SEEN, retained=True)

        assert registers(read, mapping(), came)[0][0] == utc(2026, 1, 31, 18, 29, 58)

    @pytest.mark.parametrize("timestamp", ["", None])
    def test_without_a_time_is_read_when_it_came(self, timestamp: object) -> None:
        """And then a retained one means nothing."""
        said = SEEN | {"timestamp": timestamp}

        assert registers(read, mapping(), message(said)) == [(NOW_SECOND, 4_207_183)]
        assert "retained" in refused(read, mapping(), message(said, retained=True))[1]

    @pytest.mark.parametrize(
        "error", ["Rate too high - Read: 4307.1 - Pre: 4207.180", "Neg. Rate - Read: 4.1"]
    )
    def test_with_an_error_is_refused(self, error: str) -> None:
        """The value is then the one before, as if the dial had stood still."""
        assert refused(read, mapping(), message(SEEN | {"error": error})) == (
            RefusalReason.BAD_SHAPE,
            f"the camera says: {error}",
        )

    @pytest.mark.parametrize("value", ["", None])
    def test_that_saw_nothing_says_so(self, value: object) -> None:
        """An operator looks for a dirty lens, not for a wrong mapping."""
        assert refused(read, mapping(), message(SEEN | {"value": value}))[1] == (
            "the camera saw no value"
        )

    @pytest.mark.parametrize("value", ["42N7.183", "-1", "4207,183", True, []])
    def test_that_saw_no_number_is_refused(self, value: object) -> None:
        """A digit between two has an N."""
        reason, _ = refused(read, mapping(), message(SEEN | {"value": value}))

        assert reason is RefusalReason.BAD_SHAPE

    @pytest.mark.parametrize("timestamp", ["1970-01-01T00:00:09+0000", "yesterday", 7])
    def test_whose_clock_was_never_set_is_refused(self, timestamp: object) -> None:
        """Read when it came, an old value would look new."""
        said = SEEN | {"timestamp": timestamp}

        assert refused(read, mapping(), message(said))[0] is RefusalReason.BAD_SHAPE
