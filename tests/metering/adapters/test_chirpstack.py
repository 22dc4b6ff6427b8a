"""The LoRaWAN server's envelope, and counters that its codecs name."""

import base64
import json
from typing import Any

import pytest

from metering.adapter import adapt
from metering.adapters.chirpstack_pulses import read
from metering.telegram import RefusalReason
from tests.metering.adapters.published import (
    NOW_SECOND,
    mapping,
    message,
    refused,
    registers,
    utc,
)

EUI = "70b3d5e75e000001"
OTHER_EUI = "70b3d5e75e000002"
COUNTER = mapping(device=f"{EUI}/counter", dm3_per_count=10, offset_dm3=1200)


def topic(eui: str = EUI, event: str = "event/up") -> str:
    return f"application/8f5d0c7e/device/{eui}/{event}"


def v4(codec: object = None, **more: object) -> dict[str, Any]:
    """Return an uplink of version 4; the fields are those of integration.proto, in camel case."""
    return {
        "deduplicationId": "3ac7e3c4-4401-4b8d-9386-a5c902f9202d",
        "time": "2026-01-31T10:00:00.548266268+00:00",
        "deviceInfo": {
            "tenantId": "52f14cd4-c6f1-4fbd-8f87-4025e1d49242",
            "applicationId": "8f5d0c7e",
            "deviceProfileName": "counters",
            "deviceName": "flat 7",
            "devEui": EUI,
            "tags": {},
        },
        "fCnt": 742,
        "fPort": 2,
        "data": "BAU=",
        "object": {"counter": 7} if codec is None else codec,
        **more,
    }


def v3(eui: str, codec: object) -> dict[str, Any]:
    return {
        "applicationID": "1",
        "deviceName": "flat 7",
        "devEUI": eui,
        "fCnt": 742,
        "fPort": 2,
        "data": "BAU=",
        "objectJSON": json.dumps(codec),
        "publishedAt": "2026-01-31T10:00:00.548266268Z",
    }


READ = [(utc(2026, 1, 31, 10), 1270)]


class TestVersion4:
    """An uplink of today's server."""

    def test_is_read_at_the_time_of_the_server(self) -> None:
        """Nanoseconds are cut off; 1200 and 7 pulses of 10 are 1270."""
        assert registers(read, COUNTER, message(v4(), topic=topic())) == READ
        assert registers(read, COUNTER, message(v4(), topic=topic(), retained=True)) == READ

    def test_is_found_in_either_case_of_letters(self) -> None:
        """Labels on boxes are in upper case."""
        source = mapping(device=f"{EUI.upper()}/counter", dm3_per_count=10, offset_dm3=1200)

        assert registers(read, source, message(v4(), topic=topic(EUI.upper()))) == READ

    def test_may_come_on_a_topic_of_the_town(self) -> None:
        """Bridges rename topics; then the payload alone says who speaks."""
        assert registers(read, COUNTER, message(v4(), topic="lora/up")) == READ
        other = v4() | {"deviceInfo": {"devEui": OTHER_EUI}}
        assert adapt(COUNTER, message(other, topic="lora/up"), read) is None

    def test_without_a_time_is_read_when_it_came(self) -> None:
        """And then a retained one means nothing."""
        came = message(v4(time=None), topic=topic())

        assert registers(read, COUNTER, came) == [(NOW_SECOND, 1270)]
        kept = message(v4(time=None), topic=topic(), retained=True)
        assert "retained" in refused(read, COUNTER, kept)[1]

    @pytest.mark.parametrize("event", ["event/join", "event/status", "event/ack", "command/down"])
    def test_of_another_event_is_a_sign_of_life(self, event: str) -> None:
        """One filter often covers all events of a device."""
        assert adapt(COUNTER, message(v4(), topic=topic(event=event)), read) is None


class TestVersion3:
    """An uplink of the server before."""

    @pytest.mark.parametrize("event", ["event/up", "rx"])
    @pytest.mark.parametrize(
        "eui", [EUI, EUI.upper(), base64.b64encode(bytes.fromhex(EUI)).decode()]
    )
    def test_names_its_device_in_hex_or_base64(self, eui: str, event: str) -> None:
        """The marshaler decides, and the topic is in hex always."""
        came = message(v3(eui, {"counter": 7}), topic=topic(event=event))

        assert registers(read, COUNTER, came) == READ

    def test_keeps_fractions_of_the_inner_text_exact(self) -> None:
        """It is JSON within JSON, and as strict."""
        assert registers(read, COUNTER, message(v3(EUI, {"counter": 7.0}), topic=topic())) == READ
        said = v3(EUI, {}) | {"objectJSON": '{"counter":7,"counter":8}'}
        assert refused(read, COUNTER, message(said, topic=topic()))[0] is RefusalReason.NOT_JSON


class TestOtherDevices:
    """One server speaks for thousands."""

    def test_are_not_ours(self) -> None:
        """Whatever their bytes are."""
        said = v4() | {"deviceInfo": {"devEui": OTHER_EUI}}

        assert adapt(COUNTER, message(said, topic=topic(OTHER_EUI)), read) is None
        assert adapt(COUNTER, message(b"\xff", topic=topic(OTHER_EUI)), read) is None

    def test_cannot_be_named_on_our_topic(self) -> None:
        """Rights are given by topic."""
        said = v4() | {"deviceInfo": {"devEui": OTHER_EUI}}

        assert refused(read, COUNTER, message(said, topic=topic())) == (
            RefusalReason.METER_MISMATCH,
            f"the payload says {OTHER_EUI}",
        )

    def test_cannot_name_us_on_their_topic(self) -> None:
        """A neighbour with a radio of his own would fill in our register."""
        assert adapt(COUNTER, message(v4(), topic=topic(OTHER_EUI)), read) is None

    def test_are_everybody_for_a_mapping_without_a_device(self) -> None:
        """An empty DevEUI is no wild card."""
        assert adapt(mapping(), message(v4(), topic="lora/up"), read) is None


class TestShape:
    """An envelope that is none is refused."""

    @pytest.mark.parametrize(
        "more",
        [
            {"deviceInfo": None},
            {"deviceInfo": {}},
            {"deviceInfo": {"devEui": "70b3"}},
            {"deviceInfo": {"devEui": "!"}},
            {"data": 7},
            {"data": "B"},
            {"data": "BAU=\n"},
            {"object": []},
            {"object": 7},
            {"time": "2026-01-31T10:00:00"},
            {"time": 7},
        ],
    )
    def test_is_refused(self, more: dict[str, Any]) -> None:
        """A time of a server has a zone."""
        came = message(v4() | more, topic=topic())

        assert refused(read, COUNTER, came)[0] is RefusalReason.BAD_SHAPE


class TestPulses:
    """The mapping says which number of a codec counts."""

    def test_may_lie_deeper(self) -> None:
        """Codecs nest channels."""
        source = mapping(device=f"{EUI}/channels.a", dm3_per_count=10)
        came = message(v4({"channels": {"a": 3, "b": 9}}), topic=topic())

        assert registers(read, source, came) == [(utc(2026, 1, 31, 10), 30)]

    @pytest.mark.parametrize("codec", [{}, {"counter": None}, {"battery": 90}])
    def test_that_are_missing_are_a_sign_of_life(self, codec: object) -> None:
        """Devices send their settings, too."""
        assert adapt(COUNTER, message(v4(codec), topic=topic()), read) is None

    @pytest.mark.parametrize("count", [True, -1, 7.5, "x", [], {}])
    def test_that_are_no_number_are_refused(self, count: object) -> None:
        """Half a pulse was weighed by somebody else."""
        came = message(v4({"counter": count}), topic=topic())

        assert refused(read, COUNTER, came)[0] is RefusalReason.BAD_SHAPE

    def test_that_nobody_named_are_refused(self) -> None:
        """We do not guess which of ten numbers is gas."""
        assert (
            "names no counter"
            in refused(read, mapping(device=EUI), message(v4(), topic=topic()))[1]
        )
