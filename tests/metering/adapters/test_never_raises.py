"""Every family, whatever the bytes: a telegram of its own meter, a refusal in its name, or nothing.

A new family adds one good message to ``GOOD``.
"""

import base64
import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.adapter import Message, Source, UnreadableError, adapt
from metering.adapters.family import READ_OF_FAMILY
from metering.telegram import (
    DETAIL_CHARS_MAX,
    PAYLOAD_BYTES_MAX,
    READINGS_MAX,
    REGISTER_DM3_MAX,
    Refusal,
    Telegram,
)
from tests.metering.adapters.published import METER, mapping, message

EUI = "02aaaa0200003184"
UP = f"application/1/device/{EUI}/event/up"


def uplink(*, data: str = "", codec: object = None) -> dict[str, object]:
    return {
        "time": "2026-01-31T10:00:00Z",
        "deviceInfo": {"devEui": EUI},
        "data": base64.b64encode(bytes.fromhex(data)).decode(),
        "object": codec,
    }


GOOD: dict[str, tuple[Source, Message]] = {
    "ahpohl": (mapping(), message({"time": 1730287096822, "volume": 4207.18, "state": 0})),
    "camera": (
        mapping(zone="Europe/Amsterdam"),
        message({"value": "4207.1", "error": "no error", "timestamp": "2026-01-31T10:00:00"}),
    ),
    "chirpstack_fludia": (
        mapping(device=EUI),
        message(
            uplink(codec={"index": 9.5, "increments": [1, 2], "time_step": 1}), topic=UP
        ),
    ),
    "chirpstack_jooby": (mapping(device=EUI), message(uplink(data="07048000015681"), topic=UP)),
    "chirpstack_milesight": (
        mapping(device=EUI),
        message(
            uplink(codec={"pulse": 300, "history": [{"pulse": 256, "timestamp": 1665561758}]}),
            topic=UP,
        ),
    ),
    "chirpstack_pulses": (
        mapping(device=f"{EUI}/a.b"), message(uplink(codec={"a": {"b": 7}}), topic=UP)
    ),
    "chirpstack_smartico": (
        mapping(device=f"{EUI}/12676"),
        message(uplink(data="040c0c01003184000003560ae3"), topic=UP),
    ),
    "elehant": (
        mapping(device="75496"),
        message(
            {
                "ts": 1769853600,
                "dev": {"bdaddr": "b0:12:01:01:26:e8", "device_num": 75496},
                "counter": {"m3": 0.2553, "ml": 255300},
            }
        ),
    ),
    "scalar": (mapping(), message(b"917.5")),
    "tasmota": (
        mapping(device="C1", zone="Europe/Amsterdam"),
        message({"Time": "2021-12-31T09:39:59", "COUNTER": {"C1": 3}}),
    ),
    "wmbusmeters": (
        mapping(device="00043094", zone="Europe/Amsterdam"),
        message(
            {
                "media": "gas",
                "meter": "unismart",
                "id": "00043094",
                "total_m3": 917,
                "meter_datetime": "2021-09-15 13:18",
                "target_m3": 911.32,
                "target_date": "2021-09-01",
                "actuality_duration_s": 5,
                "status": "OK",
            }
        ),
    ),
    "zigbee": (
        mapping(device="0x0015bc001b0231f0"),
        message({"gas": 12.5, "last_seen": 1769853600000,
                 "device": {"ieeeAddr": "0x0015bc001b0231f0"}}),
    ),
}  # fmt: skip
# In these the topic alone says whose it is.
NAMELESS = {"ahpohl", "camera", "scalar"}
# For each family and each kind of spoiling; a thousand of each were tried when this was written.
EXAMPLES = 50
STRANGER = "ffffffffffffffff"

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.sampled_from(
        [
            "", "nan", "2026-03-29 02:30", "2026-10-25 02:30", "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59-14:00", "9999-12-31", "1e999999999", "AAAA", "\ud800", "٣",
            10**12, 10**30, 2**63, -1, 1e308, 5e-324, "fffe",
        ]
    ),
)  # fmt: skip
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=8,
)


@st.composite
def scratched(draw: st.DrawFn, payload: bytes) -> bytes:
    """Return a payload of which a few bytes were changed, lost or put in."""
    body = bytearray(payload)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(body)))
        body[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(body)


@st.composite
def altered(draw: st.DrawFn, payload: bytes) -> bytes:
    """Return a payload in which one value, at any depth, is another or missing."""
    root: dict[str, Any] = {"": json.loads(payload)}
    holder: Any = root
    key: Any = ""
    while isinstance(holder[key], dict | list) and holder[key] and draw(st.integers(0, 3)):
        holder = holder[key]
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = draw(st.sampled_from(keys))
    if holder is root or draw(st.booleans()):
        holder[key] = draw(JSON)
    else:
        del holder[key]
    return json.dumps(root[""]).encode()


def look(family: str, source: Source, came: Message) -> Telegram | Refusal | None:
    """Return what a message becomes, after seeing that it is fit to be stored."""
    read = READ_OF_FAMILY[family]
    with suppress(UnreadableError):
        read(came, source)
    told = adapt(source, came, read)
    if told is None:
        return None
    assert told.meter_id == METER
    if isinstance(told, Refusal):
        assert len(told.detail) <= DETAIL_CHARS_MAX
        assert told.detail.isascii()
        assert told.detail.isprintable()
        return told
    assert 1 <= len(told.readings) <= READINGS_MAX
    for reading in told.readings:
        assert reading.meter_id == METER
        assert 0 <= reading.register_dm3 <= REGISTER_DM3_MAX
        assert 2000 <= reading.read_at.year <= 2099
        assert reading.read_at.microsecond == 0
    return told


class TestEveryFamily:
    """Nothing but a refusal leaves, and never a register of somebody else's."""

    def test_has_a_good_message_here(self) -> None:
        """A family without one would be tried with nothing but rubbish."""
        assert GOOD.keys() == READ_OF_FAMILY.keys()

    @pytest.mark.parametrize("family", GOOD)
    def test_reads_its_good_message(self, family: str) -> None:
        """And spoils are then spoils of something."""
        source, came = GOOD[family]

        assert isinstance(look(family, source, came), Telegram)

    @pytest.mark.parametrize("family", sorted(GOOD.keys() - NAMELESS))
    def test_reads_no_good_message_of_another(self, family: str) -> None:
        """A mapping of the neighbour's device on the same topic."""
        source, came = GOOD[family]
        stranger = replace(source, device=STRANGER)

        assert look(family, stranger, came) is None

    @pytest.mark.parametrize("family", GOOD)
    @given(data=st.data())
    @settings(max_examples=EXAMPLES)
    def test_survives_any_bytes(self, family: str, data: st.DataObject) -> None:
        """One mad gateway must not stop the line."""
        source, came = GOOD[family]

        look(family, source, replace(came, payload=data.draw(st.binary(max_size=300))))

    @pytest.mark.parametrize("family", GOOD)
    @given(data=st.data())
    @settings(max_examples=EXAMPLES)
    def test_survives_any_json(self, family: str, data: st.DataObject) -> None:
        """Likewise."""
        source, came = GOOD[family]
        payload = json.dumps(data.draw(JSON)).encode()

        look(family, source, replace(came, payload=payload))

    @pytest.mark.parametrize("family", GOOD)
    @given(data=st.data())
    @settings(max_examples=EXAMPLES)
    def test_survives_scratches(self, family: str, data: st.DataObject) -> None:
        """A message almost right goes deepest; a stranger's never becomes a reading."""
        source, came = GOOD[family]
        spoilt = replace(came, payload=data.draw(scratched(came.payload)))

        look(family, source, spoilt)
        if family not in NAMELESS:
            stranger = replace(source, device=STRANGER)
            assert not isinstance(look(family, stranger, spoilt), Telegram)

    @pytest.mark.parametrize("family", sorted(GOOD.keys() - {"scalar"}))
    @given(data=st.data())
    @settings(max_examples=EXAMPLES)
    def test_survives_other_values(self, family: str, data: st.DataObject) -> None:
        """Each field in turn is something it should not be, or missing."""
        source, came = GOOD[family]
        spoilt = replace(came, payload=data.draw(altered(came.payload)))

        look(family, source, spoilt)
        if family not in NAMELESS:
            stranger = replace(source, device=STRANGER)
            assert not isinstance(look(family, stranger, spoilt), Telegram)

    @pytest.mark.parametrize("family", GOOD)
    @pytest.mark.parametrize(
        "payload",
        [
            b"[" * 60_000, b'{"a":' * 12_000, b"9" * 60_000, b" " * PAYLOAD_BYTES_MAX,
            b"x" * (PAYLOAD_BYTES_MAX + 1), b"1e" + b"9" * 30_000,
        ],
        ids=["lists", "objects", "digits", "blanks", "bulk", "exponent"],
    )  # fmt: skip
    def test_survives_bulk(self, family: str, payload: bytes) -> None:
        """Depth, length and exponents."""
        source, came = GOOD[family]

        assert not isinstance(look(family, source, replace(came, payload=payload)), Telegram)
