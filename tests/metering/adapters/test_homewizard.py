"""A dongle on the customer port, in two versions."""

import json
from typing import Any

import pytest

from metering.adapters.homewizard import read
from metering.telegram import RefusalReason
from tests.metering.adapters.published import mapping, message, refused, registers, utc

GAS, WATER = "FFEEDDCCBBAA99887766554433221100", "ABCDEF0123456789ABCDEF0123456789"
# As in the documentation of API v1, without what is not read.
V1: dict[str, Any] = {
    "smr_version": 50,
    "unique_id": "00112233445566778899AABBCCDDEEFF",
    "total_gas_m3": 2569.646,
    "gas_timestamp": 210606140010,
    "gas_unique_id": GAS,
    "external": [
        {"unique_id": GAS, "type": "gas_meter", "timestamp": 210606140010, "value": 2569.646,
         "unit": "m3"},
        {"unique_id": WATER, "type": "water_meter", "timestamp": 210606140015, "value": 123.456,
         "unit": "m3"},
    ],
}  # fmt: skip
# The shape of API v2, which has gas in external only.
V2: dict[str, Any] = {
    "protocol_version": 50,
    "external": [
        {"unique_id": GAS, "type": "gas_meter", "timestamp": "2024-06-28T14:00:00",
         "value": 2569.646, "unit": "m3"},
    ],
}  # fmt: skip
NO_GAS = {"smr_version": 50, "total_gas_m3": None, "gas_timestamp": None, "external": []}
HOME = mapping(device=GAS, zone="Europe/Amsterdam")
ANY = mapping(zone="Europe/Amsterdam")
JUNE = utc(2021, 6, 6, 12, 0, 10)


def entry(**changes: object) -> dict[str, Any]:
    """Return a v2 payload whose gas meter differs; None takes a field away."""
    gas = {**V2["external"][0], **changes}
    return {"external": [{name: value for name, value in gas.items() if value is not None}]}


class TestGasMeter:
    """A gas meter behind the dongle is a register."""

    @pytest.mark.parametrize("source", [HOME, ANY])
    @pytest.mark.parametrize(
        ("payload", "read_at"),
        [
            (V1, JUNE),
            ({**V1, "external": []}, JUNE),
            ({"external": V1["external"]}, JUNE),
            (V2, utc(2024, 6, 28, 12)),
        ],
        ids=["both", "total", "external", "v2"],
    )
    def test_is_a_register_in_local_time(
        self, payload: object, read_at: object, source: Any
    ) -> None:
        """14:00 in Amsterdam in June is noon in UTC; what stands twice is one reading."""
        assert registers(read, source, message(payload)) == [(read_at, 2_569_646)]

    def test_without_an_id_is_that_of_its_topic(self) -> None:
        """Old firmware names nobody; a mapping that does is about somebody else."""
        old = {"total_gas_m3": 40, "gas_timestamp": 211231123456}

        assert registers(read, ANY, message(old)) == [(utc(2021, 12, 31, 11, 34, 56), 40_000)]
        assert read(message(old), HOME) is None

    @pytest.mark.parametrize("payload", [NO_GAS, {"external": None}, {}, {"unique_id": GAS}])
    def test_that_is_not_there_says_nothing(self, payload: object) -> None:
        """Half of the homes have no gas; the dongle's own id is not that of the meter."""
        assert read(message(payload), HOME) is None
        assert read(message(payload), ANY) is None

    def test_of_another_home_is_not_ours(self) -> None:
        """One topic may carry many dongles."""
        assert read(message(V1), mapping(device="4E47", zone="Europe/Amsterdam")) is None

    def test_is_never_the_water_meter(self) -> None:
        """It is in m3 too, and stands right beside."""
        assert refused(read, mapping(device=WATER), message(V1))[1] == "type is not gas_meter"
        assert read(message({"external": V1["external"][1:]}), ANY) is None

    def test_is_named_where_there_are_two(self) -> None:
        """Which of two would be whose?"""
        other = {**V1["external"][0], "unique_id": "4E47", "value": 7}
        two = message({"external": [V1["external"][0], other]})

        assert refused(read, ANY, two)[1] == "more than one gas meter"
        assert registers(read, HOME, two) == [(JUNE, 2_569_646)]

    def test_that_says_two_registers_is_refused(self) -> None:
        """The fixtures of the maker's library have one whose two places differ."""
        differs = {**V1, "total_gas_m3": 2569.647}

        assert "two registers" in refused(read, HOME, message(differs))[1]


class TestFields:
    """Each field that a register needs."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"type": None}, {"timestamp": None}, {"value": None}, {"unit": None},
            {"type": "catfish"}, {"unit": ",3"}, {"unit": "kWh"}, {"unit": "GJ"},
            {"value": "x"}, {"value": -1}, {"value": True},
            {"timestamp": "2024-06-28"}, {"timestamp": 240628140000.5},
        ],
    )  # fmt: skip
    def test_is_demanded(self, changes: dict[str, object]) -> None:
        """Missing in turn, as in the fixtures of the maker's library, or of another kind."""
        came = message(entry(**changes))

        assert refused(read, HOME, came)[0] is RefusalReason.BAD_SHAPE

    def test_that_names_the_meter_makes_it_ours(self) -> None:
        """Without it the entry is anybody's."""
        assert read(message(entry(unique_id=None)), HOME) is None

    @pytest.mark.parametrize("gone", ["total_gas_m3", "gas_timestamp"])
    def test_at_the_top_is_demanded(self, gone: str) -> None:
        """A register without a time, or a time without a register."""
        half = {**V1, "external": [], gone: None}

        assert refused(read, HOME, message(half))[0] is RefusalReason.BAD_SHAPE

    @pytest.mark.parametrize("external", [{}, "x", [7], [[]], [{}] * 17])
    def test_of_external_are_a_short_list(self, external: object) -> None:
        """Four channels are all that M-Bus behind the port has."""
        came = message({**V1, "external": external})

        assert refused(read, HOME, came)[0] is RefusalReason.BAD_SHAPE


class TestTime:
    """A wall clock of the mapping's zone."""

    @pytest.mark.parametrize(
        "stamp",
        [700101010000, 210606140060, 211306140010, 261025023000, 260329023000, 10**12, -1, "x",
         "2026-10-25T02:30:00", "2026-03-29T02:30:00", True],
    )  # fmt: skip
    def test_that_is_none_or_two_is_refused(self, stamp: object) -> None:
        """1970 is a clock that was never set, and not the year 2070."""
        came = message(entry(timestamp=stamp))

        assert refused(read, HOME, came)[0] is RefusalReason.BAD_SHAPE

    def test_loses_its_zeros_in_a_number(self) -> None:
        """A number of 2009 has eleven digits."""
        came = message(entry(timestamp=90606140010))

        assert registers(read, HOME, came) == [(utc(2009, 6, 6, 12, 0, 10), 2_569_646)]

    def test_keeps_its_fractions_exact(self) -> None:
        """0.001 m3 is a dm3, and binary fractions would lose one now and then."""
        came = message(json.dumps(entry()).replace("2569.646", "0.001").encode())

        assert registers(read, HOME, came)[0][1] == 1
