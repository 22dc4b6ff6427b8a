"""The published frame of a Smartico G-1.6."""

import base64
from typing import Any

import pytest

from metering.adapter import adapt
from metering.adapters.smartico import Frame, frame, read
from metering.telegram import RefusalReason
from tests.metering.adapters.published import (
    NOW_SECOND,
    flags,
    mapping,
    message,
    refused,
    registers,
)

EUI = "02aaaa0200003184"
TOPIC = f"application/1/device/{EUI}/rx"
# thingsboard/thingsboard.github.io, docs/samples/smartico/gas-meter-lorawan: 0.854 m3, 27.87
# degrees C, serial 12676; magnet, tamper, gas and time errors are set, nothing else is.
DATA = bytes.fromhex("040c0c01003184000003560ae3")
FLAGS = ("magnet", "cover", "gas_error", "time_error")


def uplink(data: bytes = DATA) -> dict[str, Any]:
    return {
        "applicationID": "1",
        "applicationName": "Smartico_gas_meters",
        "deviceName": "12676",
        "devEUI": EUI,
        "rxInfo": [{"gatewayID": "647fdafffe00d228", "rssi": -65, "loRaSNR": 6}],
        "txInfo": {"frequency": 868300000, "dr": 0},
        "adr": True,
        "fCnt": 742,
        "fPort": 2,
        "data": base64.b64encode(data).decode(),
    }


class TestFrame:
    """Thirteen bytes are a register at 20 degrees C."""

    def test_is_as_published(self) -> None:
        """The text in base64 is the one of the page."""
        assert uplink()["data"] == "BAwMAQAxhAAAA1YK4w=="
        assert frame(DATA) == Frame(
            serial=12676, volume_dm3=854, temperature_centicelsius=2787, flags=FLAGS
        )

    @pytest.mark.parametrize(
        ("spelt", "centicelsius"), [("ffff", None), ("ff9c", -100), ("0000", 0)]
    )
    def test_may_be_cold_or_have_no_temperature(self, spelt: str, centicelsius: int | None) -> None:
        """All ones is no measurement, and not a hundredth below zero."""
        found = frame(DATA[:11] + bytes.fromhex(spelt))

        assert found is not None
        assert found.temperature_centicelsius == centicelsius

    @pytest.mark.parametrize(
        ("high", "low", "flag"),
        [
            (0x01, 0, "reverse"), (0x02, 0, "sensor_error"), (0x04, 0, "gas_error"),
            (0x08, 0, "time_error"), (0x20, 0, "power_on"), (0, 0x01, "battery_low"),
            (0, 0x02, "tilt"), (0, 0x04, "magnet"), (0, 0x08, "cover"), (0, 0x10, "valve"),
            (0, 0x40, "valve"), (0, 0x80, "flow_overrange"),
        ],
    )  # fmt: skip
    def test_has_a_bit_for_each_flag(self, high: int, low: int, flag: str) -> None:
        """Where the published decoder takes them from."""
        found = frame(bytes([0x04, high, low]) + DATA[3:])

        assert found is not None
        assert found.flags == (flag,)

    def test_with_a_lock_or_a_setting_done_has_no_flag(self) -> None:
        """Neither is news of the gas."""
        found = frame(bytes([0x04, 0xC0, 0x00]) + DATA[3:])

        assert found is not None
        assert found.flags == ()


class TestMeter:
    """An uplink becomes a register."""

    def test_is_read_in_litres_when_it_came(self) -> None:
        """The published uplink has no time, and the meter's clock is wrong and says so."""
        came = message(uplink(), topic=TOPIC)

        assert registers(read, mapping(device=EUI), came) == [(NOW_SECOND, 854)]
        assert flags(read, mapping(device=EUI), came) == FLAGS

    def test_may_be_held_to_its_serial(self) -> None:
        """A radio hung on another meter must not go on with its register."""
        came = message(uplink(), topic=TOPIC)

        assert registers(read, mapping(device=f"{EUI}/12676"), came) == [(NOW_SECOND, 854)]
        assert refused(read, mapping(device=f"{EUI}/12677"), came) == (
            RefusalReason.METER_MISMATCH,
            "the serial is 12676",
        )

    @pytest.mark.parametrize("data", [b"", DATA[:12], DATA + b"\0", b"\x06" + DATA[1:]])
    def test_says_other_things_too(self, data: bytes) -> None:
        """A valve of the same maker starts with 06."""
        assert adapt(mapping(device=EUI), message(uplink(data), topic=TOPIC), read) is None
