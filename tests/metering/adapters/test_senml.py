"""Packs of measurements whose names, times and values are put together from several places."""

import json
import tracemalloc
from datetime import datetime, timedelta
from typing import Any

import pytest

from metering.adapters.senml import read
from metering.telegram import PAYLOAD_BYTES_MAX, RefusalReason
from tests.metering.adapters.published import (
    NOW_SECOND,
    flags,
    mapping,
    message,
    refused,
    registers,
    utc,
)

BASE = "urn:dev:mac:0024befffe804ff1/"
GAS = mapping(device=BASE + "gas")
T = 1735689600  # 2025-01-01T00:00:00Z
NEW_YEAR = utc(2025, 1, 1)
PACK = (
    b'[{"bn":"urn:dev:mac:0024befffe804ff1/","bt":1735689600,"n":"gas","u":"m3","v":1234.567},'
    b'{"n":"battery","u":"%","v":87}]'
)


def pack(*records: dict[str, Any]) -> bytes:
    return json.dumps(records).encode()


def one(**fields: Any) -> bytes:
    """Return a pack of one record of the meter; None takes a field away."""
    record = {"bn": BASE, "n": "gas", "t": T, "u": "m3", "v": 1, **fields}
    return pack({label: value for label, value in record.items() if value is not None})


class TestPack:
    """A pack is resolved record by record, and read where it names the device."""

    def test_is_a_register(self) -> None:
        """The base of the first record holds for those after it."""
        assert registers(read, GAS, message(PACK, retained=True)) == [(NEW_YEAR, 1_234_567)]

    def test_resolves_what_stands_before(self) -> None:
        """RFC 8428, 4.1: bases change from a record on, and add to what follows."""
        payload = pack(
            {"bn": BASE + "w", "bt": T, "bu": "m3", "bv": 1000, "n": "ater", "v": 9},
            {"bn": BASE, "n": "gas", "v": 234.567},
            {"n": "gas", "t": 60, "v": 235},
            {"n": "gas", "t": 120, "v": -1},
            {"bt": T + 3600, "bv": 0, "bu": "l", "n": "gas", "v": 1236001},
            {"n": "gas", "t": 60, "u": "m3", "v": 1237},
        )

        assert registers(read, GAS, message(payload)) == [
            (NEW_YEAR, 1_234_567),
            (NEW_YEAR + timedelta(minutes=1), 1_235_000),
            (NEW_YEAR + timedelta(minutes=2), 999_000),
            (NEW_YEAR + timedelta(hours=1), 1_236_001),
            (NEW_YEAR + timedelta(hours=1, minutes=1), 1_237_000),
        ]

    def test_may_name_the_device_in_its_base_alone(self) -> None:
        """A name is the two together, wherever the cut is."""
        payload = pack({"bn": BASE + "gas", "bt": T}, {"u": "m3", "v": 7})

        assert registers(read, GAS, message(payload)) == [(NEW_YEAR, 7_000)]

    @pytest.mark.parametrize("device", ["", "gas", BASE, BASE + "ga", BASE + "gas2", BASE + "heat"])
    def test_of_another_device_is_not_ours(self, device: str) -> None:
        """Not even by a part of its name."""
        assert read(message(PACK), mapping(device=device)) is None

    def test_without_a_value_says_nothing(self) -> None:
        """A record may only set bases."""
        assert read(message(pack({"bn": BASE + "gas", "bt": T, "bv": 5})), GAS) is None

    @pytest.mark.parametrize(
        "payload",
        [b"{}", b"[]", b"7", b"[7]", b'["x"]', b"[[]]", pack({"bn": 7}), pack({"n": ["gas"]})],
    )
    def test_of_another_shape_is_refused(self, payload: bytes) -> None:
        """A list of objects with texts for names."""
        assert refused(read, GAS, message(payload))[0] is RefusalReason.BAD_SHAPE

    def test_has_a_limit(self) -> None:
        """As many records as would be four for each reading we take."""
        many = pack(*([{"n": "x"}] * 2000))

        assert read(message(many), GAS) is None
        assert refused(read, GAS, message(pack(*([{"n": "x"}] * 2001))))[1].startswith("a pack")

    def test_carries_no_rubbish_on(self) -> None:
        """4,000 base fields copied for 2,000 records would be a gigabyte; this is one message."""
        records = [{f"b{label}": 1 for label in range(4000)}, *([{"n": "x"}] * 1999)]
        rubbish = json.dumps(records, separators=(",", ":")).encode()
        assert len(rubbish) <= PAYLOAD_BYTES_MAX
        tracemalloc.start()
        try:
            assert read(message(rubbish), GAS) is None
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

        assert peak < 10_000_000


class TestUnderstanding:
    """What must be understood and is not, is refused."""

    @pytest.mark.parametrize("version", [9, 11, 26, 10.5, "10", True])
    def test_of_another_version_is_refused(self, version: object) -> None:
        """Its fields may mean something else."""
        assert "version" in refused(read, GAS, message(one(bver=version)))[1]
        later = pack({"bn": BASE, "n": "gas", "t": T, "u": "m3", "v": 1}, {"bver": version})
        assert "version" in refused(read, GAS, message(later))[1]

    def test_of_our_version_is_not(self) -> None:
        """10 is that of RFC 8428, said or not."""
        assert registers(read, GAS, message(one(bver=10))) == [(NEW_YEAR, 1_000)]

    def test_of_a_field_that_must_be_understood(self) -> None:
        """RFC 8428, 4.4: its name ends in an underscore; all others may be passed over."""
        assert registers(read, GAS, message(one(ut=60, colour="red"))) == [(NEW_YEAR, 1_000)]
        assert "understood" in refused(read, GAS, message(one(scale_=1000)))[1]
        elsewhere = pack({"bn": BASE, "n": "gas", "t": T, "u": "m3", "v": 1}, {"n": "x", "q_": 1})
        assert "understood" in refused(read, GAS, message(elsewhere))[1]

    def test_is_asked_of_packs_about_the_device_only(self) -> None:
        """A neighbour's new firmware is the neighbour's matter."""
        strange = pack({"bn": "urn:x/", "bver": 99, "n": "gas", "u": "m3", "v": 1, "q_": 1})

        assert read(message(strange), GAS) is None


class TestValue:
    """A value is a volume in a unit that says so."""

    @pytest.mark.parametrize(
        ("fields", "register_dm3"),
        [
            ({"v": 0.2559}, 255), ({"u": "l", "v": 255.9}, 255), ({"u": "dm3", "v": 7}, 7),
            ({"bu": "m3", "u": None}, 1_000), ({"bv": 0.4, "v": 0.1}, 500), ({"v": 0}, 0),
            ({"u": "m3/s", "v": None, "s": 1234.567}, 1_234_567),
            ({"u": "m3/s", "v": 0.0001, "s": 1234.5, "bs": 0.067}, 1_234_567),
            ({"u": "l/s", "v": None, "s": 917}, 917),
            ({"s": 99}, 1_000),
        ],
    )  # fmt: skip
    def test_is_read_exactly(self, fields: dict[str, Any], register_dm3: int) -> None:
        """A sum is an integral over time: of a flow it is the volume that flowed."""
        assert registers(read, GAS, message(one(**fields))) == [(NEW_YEAR, register_dm3)]

    @pytest.mark.parametrize(
        "fields",
        [
            {"v": None, "s": 1234.567}, {"u": "m3/s"}, {"u": "kWh"}, {"u": "J"}, {"u": None},
            {"u": "m3/h", "v": None, "s": 1}, {"u": 7}, {"v": "1"}, {"v": True}, {"v": None,
            "vs": "1234.567"}, {"v": None, "vb": True}, {"v": -0.001}, {"v": 10**13}, {"v": 10**41},
            {"bv": "x"}, {"bv": -2},
        ],
    )  # fmt: skip
    def test_in_doubt_is_refused(self, fields: dict[str, Any]) -> None:
        """A sum of m3 is m3 times seconds; energy, texts and flows are no volume."""
        assert refused(read, GAS, message(one(**fields)))[0] is RefusalReason.BAD_SHAPE

    @pytest.mark.parametrize(
        "number", [b"1e999999", b"1e-999999", b"1e41", b"1." + b"0" * 41, b"1" * 41 + b".5"]
    )
    def test_with_an_exponent_is_bounded_first(self, number: bytes) -> None:
        """Multiplied out it would fill the memory; 1.5e3 is a number like another."""
        bomb = one(v=77777).replace(b"77777", number)
        assert "digits" in refused(read, GAS, message(bomb))[1]
        fine = one(v=77777).replace(b"77777", b"1.5e3")
        assert registers(read, GAS, message(fine)) == [(NEW_YEAR, 1_500_000)]


class TestTime:
    """Below 2**28 a time is relative to the receipt."""

    @pytest.mark.parametrize(
        ("times", "read_at"),
        [
            ({"t": 0}, NOW_SECOND),
            ({"t": None}, NOW_SECOND),
            ({"t": -3600}, NOW_SECOND - timedelta(hours=1)),
            ({"t": -0.5}, NOW_SECOND - timedelta(seconds=1)),
            ({"bt": -60, "t": -60}, NOW_SECOND - timedelta(minutes=2)),
            ({"t": 5}, NOW_SECOND + timedelta(seconds=5)),
            ({"t": 2**28 - 1}, NOW_SECOND + timedelta(seconds=268435455)),
            ({"t": T + 0.9}, NEW_YEAR),
            ({"bt": T, "t": 60}, NEW_YEAR + timedelta(minutes=1)),
            ({"bt": 1.735689600e9, "t": None}, NEW_YEAR),
        ],
    )
    def test_is_an_instant(self, times: dict[str, Any], read_at: datetime) -> None:
        """RFC 8428, 4.5.3."""
        assert registers(read, GAS, message(one(**times))) == [(read_at, 1_000)]

    @pytest.mark.parametrize("times", [{"t": 0}, {"t": None}, {"t": -3600}])
    def test_of_a_retained_pack_must_be_absolute(self, times: dict[str, Any]) -> None:
        """Relative to when?"""
        came = message(one(**times), retained=True)

        assert "retained" in refused(read, GAS, came)[1]

    @pytest.mark.parametrize("t", [2**28, 1735689600000, 10**15, -(2**28) - 1, "0", True])
    def test_that_is_none_is_refused(self, t: object) -> None:
        """2**28 is a day in 1978; SenML knows no milliseconds."""
        assert refused(read, GAS, message(one(t=t)))[0] is RefusalReason.BAD_SHAPE


class TestBattery:
    """A record beside ours may say that it will soon be silent."""

    @pytest.mark.parametrize(
        ("record", "is_low"),
        [
            ({"n": "battery", "u": "%", "v": 87}, False),
            ({"n": "battery", "u": "%EL", "v": 10}, False),
            ({"n": "battery", "u": "%EL", "v": 9.9}, True),
            ({"n": "battery", "u": "V", "v": 3.6}, False),
            ({"n": "battery", "u": "%"}, False),
            ({"n": "battery", "u": [], "v": 1}, False),
            ({"bn": "urn:dev:mac:ffffffffffffffff/", "n": "battery", "u": "%", "v": 1}, False),
        ],
    )
    def test_is_low_below_a_tenth(self, record: dict[str, Any], *, is_low: bool) -> None:
        """Volts have no share of anything, and a neighbour's battery is not ours."""
        payload = pack({"bn": BASE, "n": "gas", "t": T, "u": "m3", "v": 1}, record)

        assert flags(read, GAS, message(payload)) == (("battery_low",) if is_low else ())

    def test_stands_beside_a_colon_too(self) -> None:
        """The examples of the RFC have both."""
        payload = pack(
            {"bn": "urn:dev:ow:10e2073a01080063:", "bt": T, "n": "gas", "u": "m3", "v": 1},
            {"n": "battery", "u": "%", "v": 3},
        )
        source = mapping(device="urn:dev:ow:10e2073a01080063:gas")

        assert flags(read, source, message(payload)) == ("battery_low",)

    def test_alone_is_no_reading(self) -> None:
        """Only the record that is mapped has gas."""
        alone = message(pack({"bn": BASE, "n": "battery", "u": "%", "v": 3}))

        assert read(alone, GAS) is None
