"""A gas meter behind zigbee2mqtt."""

import pytest

from metering.adapter import adapt
from metering.adapters.zigbee import read
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

# The attributes as in Koenkk/zigbee2mqtt.io, docs/devices/ZHEMI101.md.
STATE = {"gas": 1234.567, "flow": 0.12, "battery_low": False, "linkquality": 120}


class TestState:
    """What the bridge knows of a device is a register and some flags."""

    def test_is_read_when_it_came(self) -> None:
        """Unless the bridge says when the device was heard."""
        assert registers(read, mapping(), message(STATE)) == [(NOW_SECOND, 1_234_567)]
        assert flags(read, mapping(), message(STATE)) == ()

    @pytest.mark.parametrize(
        "last_seen", ["2026-01-31T10:00:00.000Z", "2026-01-31T15:00:00+05:00", 1769853600000]
    )
    def test_is_as_old_as_the_bridge_says(self, last_seen: object) -> None:
        """Three of its settings, and a retained one is good then."""
        came = message(STATE | {"last_seen": last_seen}, retained=True)

        assert registers(read, mapping(), came) == [(utc(2026, 1, 31, 10), 1_234_567)]

    def test_that_the_broker_kept_without_a_time_is_refused(self) -> None:
        """The bridge keeps its last words at the broker if told to."""
        assert "retained" in refused(read, mapping(), message(STATE, retained=True))[1]

    def test_tells_of_battery_and_cover(self) -> None:
        """Under the names that our own meters use."""
        came = message(STATE | {"battery_low": True, "check_meter": True, "tamper": True})

        assert flags(read, mapping(), came) == ("battery_low", "check_meter", "cover")

    @pytest.mark.parametrize("battery_low", [1, "true", None])
    def test_takes_only_true_for_a_flag(self, battery_low: object) -> None:
        """A text is somebody's own template."""
        assert flags(read, mapping(), message(STATE | {"battery_low": battery_low})) == ()

    @pytest.mark.parametrize("said", [{"state": "online"}, {"battery_low": True}, {"gas": None}])
    def test_without_gas_is_a_sign_of_life(self, said: object) -> None:
        """Attributes come one by one."""
        assert adapt(mapping(), message(said), read) is None

    def test_of_energy_alone_is_no_reading(self) -> None:
        """The same interface counts electricity in kWh."""
        assert adapt(mapping(), message({"energy": 12.5, "power": 300}), read) is None

    @pytest.mark.parametrize("gas", ["", "x", -1, True, 1e30, [], "1.2.3"])
    def test_with_other_gas_is_refused(self, gas: object) -> None:
        """A bool is no volume."""
        assert refused(read, mapping(), message(STATE | {"gas": gas}))[0] is RefusalReason.BAD_SHAPE


class TestAddress:
    """A mapping may demand the address of the radio."""

    def test_that_matches_is_read(self) -> None:
        """In either case of letters."""
        came = message(STATE | {"device": {"ieeeAddr": "0x0015BC001B0231F0"}})

        assert len(registers(read, mapping(device="0x0015bc001b0231f0"), came)) == 1

    def test_of_another_radio_is_another_device(self) -> None:
        """A friendly name moves with a click."""
        came = message(STATE | {"device": {"ieeeAddr": "0x0015bc001b0231f1"}})

        assert adapt(mapping(device="0x0015bc001b0231f0"), came, read) is None

    def test_that_is_not_told_is_refused(self) -> None:
        """The bridge must be set to tell it."""
        assert refused(read, mapping(device="0x0015bc001b0231f0"), message(STATE))[0] is (
            RefusalReason.BAD_SHAPE
        )
