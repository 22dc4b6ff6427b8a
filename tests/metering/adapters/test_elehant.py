"""Elehant meters and the gateway that hears them."""

from typing import Any

import pytest

from metering.adapter import adapt
from metering.adapters.elehant import Advert, advert, read
from metering.telegram import RefusalReason
from tests.metering.adapters.published import (
    NOW_SECOND,
    mapping,
    message,
    refused,
    registers,
    utc,
)

# vooon/elehant-to-mqtt, docs/protocol.md: an SGBD-4.0 with 2553 tenths of a litre; the published
# serial is masked, here it is 0x0126E8. The water meter beside it is published whole.
GAS = "FFFF80A896010112E82601F90900007F710B0F"
WATER = "FFFF80370A010201E826003900000065D70A00"
SERIAL = "75496"
TOPIC = "tele/stairs/SNS/75496"
# The fields as its src/ble.cpp writes them.
SAID: dict[str, Any] = {
    "now": 918273,
    "ts": 1769853600,
    "seq": 168,
    "dev": {
        "bdaddr": "b0:12:01:01:26:e8",
        "device_num": 75496,
        "rssi": -71,
        "message_type": "Elehant SGBD-4 B0",
    },
    "counter": {"m3": 0.2553, "l": 255.3, "ml": 255300},
    "temperature": 29.29,
}
AT = utc(2026, 1, 31, 10)


class TestAdvert:
    """Nineteen bytes shouted over Bluetooth."""

    def test_is_as_published(self) -> None:
        """0x000009F9 tenths of a litre are 255 litres, and 0x0B71 is 29.29 degrees."""
        found = advert(GAS)

        assert found == Advert(
            serial=75496,
            model="SGBD-4.0",
            counter_decilitre=2553,
            temperature_centicelsius=2929,
            sequence=0xA8,
        )
        assert found is not None
        assert found.register_dm3 == 255

    @pytest.mark.parametrize(
        ("code", "model"),
        [("10", "SGBD-1.8"), ("11", "SGBD-3.2"), ("32", "SGBD-4.0TK"), ("22", "Sonic-G4"),
         ("77", None)],
    )  # fmt: skip
    def test_names_its_model(self, code: str, model: str | None) -> None:
        """A model that is not listed is a gas meter nevertheless."""
        found = advert(GAS[:14] + code + GAS[16:])

        assert found is not None
        assert found.model == model

    @pytest.mark.parametrize(
        "spelt", [WATER, GAS[:-2], GAS + "00", "FFFE" + GAS[4:], "", "G" * 38, " " + GAS[1:]]
    )
    def test_of_anything_else_is_none(self, spelt: str) -> None:
        """A water meter differs in one byte."""
        assert advert(spelt) is None

    def test_is_read_alone_or_in_a_message(self) -> None:
        """Gateways publish the bytes as they are, with or without a time."""
        source = mapping(device=SERIAL)
        raw = {"now": 1, "ts": 1769853600, "dev": {"mfg_len": 19, "mfg_data": GAS}}

        assert registers(read, source, message(GAS.lower().encode())) == [(NOW_SECOND, 255)]
        assert registers(read, source, message(raw, retained=True)) == [(AT, 255)]
        assert adapt(mapping(device="75497"), message(raw), read) is None
        assert "retained" in refused(read, source, message(GAS.encode(), retained=True))[1]

    def test_of_water_is_another_device(self) -> None:
        """With the very serial of the gas meter."""
        assert adapt(mapping(device="9960"), message(WATER.encode()), read) is None


class TestGateway:
    """The counter as the gateway publishes it, and the broker keeps it."""

    def test_keeps_its_time_when_the_broker_kept_it(self) -> None:
        """Every message on this topic is retained."""
        came = message(SAID, topic=TOPIC, retained=True)

        assert registers(read, mapping(device=SERIAL), came) == [(AT, 255)]

    @pytest.mark.parametrize("ts", [0, 42, None, "1769853600", True])
    def test_that_found_no_clock_is_read_when_it_came(self, ts: object) -> None:
        """And then a retained one means nothing."""
        said = SAID | {"ts": ts}
        source = mapping(device=SERIAL)

        assert registers(read, source, message(said)) == [(NOW_SECOND, 255)]
        assert "retained" in refused(read, source, message(said, retained=True))[1]

    @pytest.mark.parametrize(
        ("counter", "register_dm3"),
        [
            ({"m3": 1234.5679}, 1_234_567),
            ({"m3": 0.9999999999, "ml": 1_000_000}, 1000),
            ({"ml": 1_000_999}, 1000),
        ],
    )
    def test_has_a_whole_counter_and_a_binary_one(self, counter: object, register_dm3: int) -> None:
        """0.9999999999 m3 is what multiplying by 0.0001 makes of 1 m3 now and then."""
        came = message(SAID | {"counter": counter})

        assert registers(read, mapping(device=SERIAL), came) == [(AT, register_dm3)]

    @pytest.mark.parametrize(
        "more",
        [
            {"counter": {"m3": 0.2553, "ml": 256_500_000}}, {"counter": {"l": 255.3}},
            {"counter": {}}, {"counter": 7}, {"counter": {"m3": -1}}, {"counter": {"ml": 2.5}},
            {"dev": None}, {"dev": {"device_num": "75496"}}, {"dev": {"device_num": 75496}},
            {"ts": 10**13 * 9},
        ],
    )  # fmt: skip
    def test_of_another_shape_is_refused(self, more: dict[str, object]) -> None:
        """Two counters that disagree are none."""
        came = message(SAID | more)

        assert refused(read, mapping(device=SERIAL), came)[0] is RefusalReason.BAD_SHAPE

    def test_hears_the_neighbours_too(self) -> None:
        """All meters of a stairway, each on its topic."""
        assert adapt(mapping(device="75497"), message(SAID), read) is None

    def test_hears_water_meters_of_the_same_number(self) -> None:
        """The topic has the serial alone, and each kind is counted from 1."""
        said = SAID | {"dev": SAID["dev"] | {"bdaddr": "b0:01:02:01:26:e8"}}

        assert adapt(mapping(device=SERIAL), message(said), read) is None

    @pytest.mark.parametrize("word", [b"Online", b"Offline"])
    def test_says_that_it_lives(self, word: bytes) -> None:
        """On a topic that the same filter may cover."""
        assert adapt(mapping(device=SERIAL), message(word), read) is None
