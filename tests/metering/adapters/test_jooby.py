"""The pulse counters of Jooby."""

import base64

import pytest

from metering.adapter import Message, adapt
from metering.adapters.jooby import read
from metering.telegram import RefusalReason
from tests.metering.adapters.published import flags, mapping, message, refused, registers, utc

EUI = "001a79881700f1a4"
SOURCE = mapping(device=EUI, dm3_per_count=10, offset_dm3=5)
AT = utc(2026, 1, 31, 10)
# jooby-dev/jooby-docs, docs/analog/commands: GetCurrent (a magnet, 342 pulses) and Day.
CURRENT = "07 04 80 00 01 56 81"
DAY = "26 2f 97 80 00 00 7a 31"


def say(spelt: str) -> Message:
    """Return an uplink with bytes in hex."""
    said = {
        "time": "2026-01-31T10:00:00Z",
        "deviceInfo": {"devEui": EUI},
        "data": base64.b64encode(bytes.fromhex(spelt)).decode(),
    }
    return message(said, topic=f"application/1/device/{EUI}/event/up")


class TestCurrent:
    """One command of many is the register."""

    def test_is_as_published(self) -> None:
        """5 litres on the dial and 342 pulses of 10, with a magnet."""
        assert registers(read, SOURCE, say(CURRENT)) == [(AT, 3425)]
        assert flags(read, SOURCE, say(CURRENT)) == ("magnet",)

    def test_without_a_magnet_has_no_flag(self) -> None:
        """55 07 04 00 00 01 56 give 01 by XOR."""
        assert flags(read, SOURCE, say("07 04 00 00 01 56 01")) == ()

    def test_is_read_up_to_the_last_of_three_bytes(self) -> None:
        """Then it turns, and the dial knows; 07 04 00 ff ff ff give a9."""
        source = mapping(device=EUI)

        assert registers(read, source, say("07 04 00 ff ff ff a9")) == [(AT, 2**24 - 1)]
        assert registers(read, source, say("07 04 00 00 00 00 56")) == [(AT, 0)]

    def test_is_found_between_others(self) -> None:
        """A day before it, and one with a long header behind; all give 02 by XOR."""
        mixed = "26 2f 97 80 00 00 7a 07 04 80 00 01 56 1f 30 01 c9 02"

        assert registers(read, SOURCE, say(mixed)) == [(AT, 3425)]

    @pytest.mark.parametrize("spelt", ["", DAY, "09 04 80 00 01 56 8f", "07 03 80 00 01 d0"])
    def test_is_not_in_every_message(self, spelt: str) -> None:
        """A day's archive, another command, and one of another length."""
        assert adapt(SOURCE, say(spelt), read) is None

    @pytest.mark.parametrize(
        ("spelt", "detail"),
        [
            ("07 04 80 00 01 57 81", "check byte"),
            ("07 04 80 00 01 56 80", "check byte"),
            ("07 05 80 00 01 56 80", "longer than"),
            ("07 52", "longer than"),
            ("1f 4a", "longer than"),
            ("07 04 80 00 01 56 07 04 80 00 01 56 55", "two counters"),
        ],
    )
    def test_that_is_damaged_is_refused(self, spelt: str, detail: str) -> None:
        """A flipped bit is a plausible register."""
        reason, said = refused(read, SOURCE, say(spelt))

        assert reason is RefusalReason.BAD_SHAPE
        assert detail in said
