"""Gas meters in the noise of a whole street."""

from datetime import datetime
from fractions import Fraction

import pytest

from metering.adapter import Source
from metering.adapters.rtl433 import read
from metering.telegram import RefusalReason
from tests.metering.adapters.published import (
    NOW_SECOND,
    flags,
    mapping,
    message,
    refused,
    registers,
    utc,
)

EVENTS = "rtl_433/attic/events"
CUBIC_FOOT = Fraction(28316846592, 10**9)
# Two events as published in the sources of Kismet, with the type of a gas module; the third has the
# fields that m_bus.c writes.
SCM = (
    b'{"time" : "2022-10-25 20:32:05", "model" : "ERT-SCM", "id" : 4198071, "physical_tamper" : 0,'
    b' "ert_type" : 12, "encoder_tamper" : 3, "consumption_data" : 5200778, "mic" : "CRC"}'
)
SCM_PLUS = (
    b'{"time" : "2022-10-25 20:31:31", "model" : "SCMplus", "id" : 69474676, "ProtocolID" : "0x1E",'
    b' "EndpointType" : "0x9C", "EndpointID" : 69474676, "Consumption" : 4341297,'
    b' "Tamper" : "0x0201", "PacketCRC" : "0x9DCF", "MeterType" : "Gas", "mic" : "CRC"}'
)
MBUS = (
    b'{"time" : "2022-10-25T20:31:31", "model" : "Wireless-MBus", "mode" : "T", "M" : "ELS",'
    b' "id" : 5105025, "version" : 81, "type" : 3, "type_string" : "Gas", "C" : 68,'
    b' "inst_volume_0" : "3223.470 m3", "inst_volume_m1_0" : "3200.000 m3", "mic" : "CRC"}'
)
SCM_MAP = mapping(device="4198071", dm3_per_count=CUBIC_FOOT, zone="America/Denver")
SCM_PLUS_MAP = mapping(device="69474676", dm3_per_count=CUBIC_FOOT, zone="America/Denver")
MBUS_MAP = mapping(device="5105025", zone="Europe/Berlin")
ALL = [(SCM, SCM_MAP), (SCM_PLUS, SCM_PLUS_MAP), (MBUS, MBUS_MAP)]


class TestEvent:
    """An event of the source's meter is its register."""

    # 5200778 * 28.316846592 = 147269632.8..., 4341297 * 28.316846592 = 122931841.1...
    @pytest.mark.parametrize(
        ("payload", "source", "read_at", "register_dm3"),
        [
            (SCM, SCM_MAP, utc(2022, 10, 26, 2, 32, 5), 147_269_632),
            (SCM_PLUS, SCM_PLUS_MAP, utc(2022, 10, 26, 2, 31, 31), 122_931_841),
            (MBUS, MBUS_MAP, utc(2022, 10, 25, 18, 31, 31), 3_223_470),
        ],
        ids=["scm", "scm_plus", "mbus"],
    )
    def test_is_a_register(
        self, payload: bytes, source: Source, read_at: datetime, register_dm3: int
    ) -> None:
        """Its time is on the wall of the receiver."""
        came = message(payload, topic=EVENTS, retained=True)

        assert registers(read, source, came) == [(read_at, register_dm3)]

    @pytest.mark.parametrize("payload", [SCM, SCM_PLUS, MBUS])
    @pytest.mark.parametrize("device", ["", "4198072", "05105025", "69474676.0"])
    def test_of_another_meter_is_not_ours(self, payload: bytes, device: str) -> None:
        """A receiver hears the whole street."""
        assert read(message(payload, topic=EVENTS), mapping(device=device)) is None

    @pytest.mark.parametrize(("payload", "source"), ALL)
    @pytest.mark.parametrize("mic", [b'"CHECKSUM"', b'"PARITY"', b'""', b"null", b'"crc"'])
    def test_that_no_crc_vouches_for_is_refused(
        self, payload: bytes, source: Source, mic: bytes
    ) -> None:
        """Noise decodes too, and has an id and a number."""
        came = message(payload.replace(b'"CRC"', mic), topic=EVENTS)

        assert refused(read, source, came) == (RefusalReason.BAD_SHAPE, "mic is not CRC")
        bare = message(payload.replace(b', "mic" : "CRC"', b""), topic=EVENTS)
        assert refused(read, source, bare)[1] == "mic is not CRC"

    @pytest.mark.parametrize(
        ("payload", "source", "gas", "other"),
        [
            (SCM, SCM_MAP, b'"ert_type" : 12', b'"ert_type" : 5'),
            (SCM, SCM_MAP, b'"ert_type" : 12', b'"ert_type" : 11'),
            (SCM_PLUS, SCM_PLUS_MAP, b'"0x9C"', b'"0x07"'),
            (SCM_PLUS, SCM_PLUS_MAP, b'"Gas"', b'"Electric"'),
            (MBUS, MBUS_MAP, b'"type" : 3', b'"type" : 7'),
            (MBUS, MBUS_MAP, b'"type" : 3', b'"type" : "0x07"'),
        ],
    )
    def test_of_water_or_electricity_is_refused(
        self, payload: bytes, source: Source, gas: bytes, other: bytes
    ) -> None:
        """All have the same frames; a mapping may name the wrong module."""
        came = message(payload.replace(gas, other), topic=EVENTS)

        assert refused(read, source, came)[0] is RefusalReason.BAD_SHAPE

    def test_counts_to_the_end_of_its_bits(self) -> None:
        """24 bits in SCM: the next count is 0, and all ones are no reading."""
        one = mapping(device="4198071", zone="America/Denver")
        last = message(SCM.replace(b"5200778", b"16777214"), topic=EVENTS)
        assert registers(read, one, last)[0][1] == 16_777_214
        for count in (b"16777215", b"16777216", b"-1", b"5200778.0", b'"5200778"', b"null"):
            came = message(SCM.replace(b"5200778", count), topic=EVENTS)
            assert "counter" in refused(read, one, came)[1]
        wide = mapping(device="69474676", zone="America/Denver")
        came = message(SCM_PLUS.replace(b"4341297", b"16777216"), topic=EVENTS)
        assert registers(read, wide, came)[0][1] == 16_777_216

    @pytest.mark.parametrize(
        "volume",
        [b'"3.223 km3"', b'"3223.470 kWh"', b'"-1.000 m3"', b'"3223.470"', b"3223.470", b'"m3 m3"'],
    )
    def test_whose_volume_has_another_unit_is_refused(self, volume: bytes) -> None:
        """A prefix makes it a thousand times more, and no unit anything."""
        came = message(MBUS.replace(b'"3223.470 m3"', volume), topic=EVENTS)

        assert refused(read, MBUS_MAP, came)[0] is RefusalReason.BAD_SHAPE

    def test_without_a_volume_is_no_reading(self) -> None:
        """Meters send short and long telegrams in turn; an encrypted one is worth a look."""
        short = MBUS.replace(b'"inst_volume_0" : "3223.470 m3", ', b"")
        found = read(message(short, topic=EVENTS), MBUS_MAP)

        assert found is not None
        assert list(found.samples) == []
        locked = short.replace(b'"C" : 68', b'"payload_encrypted" : 1')
        assert refused(read, MBUS_MAP, message(locked, topic=EVENTS))[1] == "encrypted"

    def test_that_says_one_field_twice_is_refused(self) -> None:
        """Published telegrams of this decoder do; of two volumes nobody knows which is meant."""
        twice = MBUS.replace(b'"inst_volume_m1_0"', b'"inst_volume_0"')

        assert refused(read, MBUS_MAP, message(twice, topic=EVENTS))[0] is RefusalReason.NOT_JSON

    def test_tells_who_touched_it(self) -> None:
        """Somebody may want to look; the register stands all the same."""
        assert flags(read, SCM_MAP, message(SCM, topic=EVENTS)) == ("tamper_encoder",)
        assert flags(read, SCM_PLUS_MAP, message(SCM_PLUS, topic=EVENTS)) == ("tamper",)
        untouched = SCM_PLUS.replace(b"0x0201", b"0x0000")
        assert flags(read, SCM_PLUS_MAP, message(untouched, topic=EVENTS)) == ()


class TestTime:
    """The receiver says when it heard it, in one of many ways."""

    @pytest.mark.parametrize(
        ("time", "read_at"),
        [
            (b"2022-10-25 20:32:05", utc(2022, 10, 26, 2, 32, 5)),
            (b"2022-10-25T20:32:05.123456", utc(2022, 10, 26, 2, 32, 5)),
            (b"2022-10-25 20:32:05+0200", utc(2022, 10, 25, 18, 32, 5)),
            (b"2022-10-25T20:32:05Z", utc(2022, 10, 25, 20, 32, 5)),
            (b"1666729925", utc(2022, 10, 25, 20, 32, 5)),
            (b"1666729925.123456", utc(2022, 10, 25, 20, 32, 5)),
        ],
    )
    def test_is_read_as_it_was_set_up(self, time: bytes, read_at: datetime) -> None:
        """Local time by default; UTC, an offset or Unix seconds by option."""
        came = message(SCM.replace(b"2022-10-25 20:32:05", time), topic=EVENTS)

        assert registers(read, SCM_MAP, came)[0][0] == read_at

    @pytest.mark.parametrize(
        "time",
        [b"@0.037023s", b"", b"2022-11-06 01:30:00", b"2022-03-13 02:30:00", b"0", b"99999999999"],
    )
    def test_that_is_none_is_refused(self, time: bytes) -> None:
        """Seconds into a recording, an hour that was twice, and one that never was."""
        came = message(SCM.replace(b"2022-10-25 20:32:05", time), topic=EVENTS)

        assert "time" in refused(read, SCM_MAP, came)[1]

    def test_that_is_left_out_is_that_of_receipt(self) -> None:
        """Except for a retained message, which may be weeks old."""
        bare = SCM.replace(b'"time" : "2022-10-25 20:32:05", ', b"")

        assert registers(read, SCM_MAP, message(bare, topic=EVENTS))[0][0] == NOW_SECOND
        old = message(bare, topic=EVENTS, retained=True)
        assert "retained" in refused(read, SCM_MAP, old)[1]


class TestOthers:
    """The rest of the air is not ours."""

    @pytest.mark.parametrize(
        ("topic", "payload"),
        [
            (EVENTS, b'{"model":"Acurite-Tower","id":4198071,"temperature_C":3.5,"mic":"CRC"}'),
            (EVENTS, b'{"id":4198071}'),
            ("rtl_433/attic/devices/ERT-SCM/4198071/consumption_data", b"5200778"),
        ],
    )
    def test_say_nothing_of_gas(self, topic: str, payload: bytes) -> None:
        """A weather station may have the number of a gas meter."""
        assert read(message(payload, topic=topic), SCM_MAP) is None
