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
        """55 07 04 00 00 01 56 give 01 by XOR; the lower bits are no magnet."""
        assert flags(read, SOURCE, say("07 04 00 00 01 56 01")) == ()
        assert flags(read, SOURCE, say("07 04 7f 00 01 56 7e")) == ()

    def test_is_read_up_to_the_last_of_three_bytes(self) -> None:
        """Then it turns, and the dial knows; 07 04 00 ff ff ff give a9."""
        source = mapping(device=EUI)

        assert registers(read, source, say("07 04 00 ff ff ff a9")) == [(AT, 2**24 - 1)]
        assert registers(read, source, say("07 04 00 00 00 00 56")) == [(AT, 0)]

    def test_is_found_between_others(self) -> None:
        """A register of a day before it, and a command with a long header behind."""
        mixed = "26 2f 97 80 00 00 7a 07 04 80 00 01 56 1f 30 01 c9 02"

        assert registers(read, SOURCE, say(mixed)) == [
            (utc(2023, 12, 23), 1225),
            (AT, 3425),
        ]

    @pytest.mark.parametrize(
        "spelt", ["", "09 04 80 00 01 56 8f", "07 03 80 00 01 d0", "25 2f 97 80 00 00 48"]
    )
    def test_is_not_in_every_message(self, spelt: str) -> None:
        """Another command, and two of another length."""
        assert adapt(SOURCE, say(spelt), read) is None

    @pytest.mark.parametrize(
        ("spelt", "detail"),
        [
            ("07 04 80 00 01 57 81", "check byte"),
            ("07 04 80 00 01 56 80", "check byte"),
            ("07 05 80 00 01 56 80", "longer than"),
            ("07 52", "longer than"),
            ("1f 4a", "longer than"),
            ("07 04 80 00 01 56 07 04 80 00 01 57 54", "two registers"),
            ("26 2f 97 98 00 00 7a 29", "no calendar"),
            ("26 2f 80 80 00 00 7a 26", "no calendar"),
        ],
    )
    def test_that_is_damaged_is_refused(self, spelt: str, detail: str) -> None:
        """A flipped bit is a plausible register."""
        reason, said = refused(read, SOURCE, say(spelt))

        assert reason is RefusalReason.BAD_SHAPE
        assert detail in said


class TestDay:
    """A register at an hour of a day, by the module's own clock."""

    def test_is_as_published(self) -> None:
        """122 pulses at midnight of 23 December 2023, with a magnet on that day."""
        assert registers(read, SOURCE, say(DAY)) == [(utc(2023, 12, 23), 1225)]
        assert flags(read, SOURCE, say(DAY)) == ("magnet",)

    def test_is_in_local_time(self) -> None:
        """Midnight in Almaty was 18 hours UTC in 2023."""
        source = mapping(device=EUI, dm3_per_count=10, offset_dm3=5, zone="Asia/Almaty")

        assert registers(read, source, say(DAY)) == [(utc(2023, 12, 22, 18), 1225)]

    def test_has_hour_and_magnet_in_one_byte(self) -> None:
        """09 is nine o'clock without a magnet."""
        said = say("26 2f 97 09 00 00 7a b8")

        assert registers(read, SOURCE, said) == [(utc(2023, 12, 23, 9), 1225)]
        assert flags(read, SOURCE, said) == ()

    def test_may_stand_beside_another(self) -> None:
        """What was not received is sent again; one magnet is enough."""
        said = say("26 2f 97 80 00 00 7a 26 2f 98 00 00 00 7b db")

        assert registers(read, SOURCE, said) == [
            (utc(2023, 12, 23), 1225),
            (utc(2023, 12, 24), 1235),
        ]
        assert flags(read, SOURCE, said) == ("magnet",)
