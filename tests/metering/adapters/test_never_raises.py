"""Every family, whatever the bytes: a telegram of its own meter, a refusal in its name, or nothing.

A new family adds one good message to ``good.py``.
"""

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.adapter import UnreadableError, adapt
from metering.family import FAMILIES
from metering.telegram import (
    DETAIL_CHARS_MAX,
    FLAGS_MAX,
    PAYLOAD_BYTES_MAX,
    READINGS_MAX,
    REGISTER_DM3_MAX,
    Refusal,
    Telegram,
)
from tests.metering.adapters.good import GOOD
from tests.metering.adapters.published import METER, NOW

JSON_GOOD = sorted(name for name, good in GOOD.items() if good.came.payload[:1] in {b"{", b"["})
# In these the topic alone says whose it is.
NAMED = sorted(GOOD.keys() - {"ahpohl", "camera", "scalar"})
# A line alone names nobody, and says so.
UNNAMED = {"dsmr_tasmota"}
# For each message and each kind of spoiling; a thousand of each were tried when this was written.
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
            "", "nan", "2026-03-29 02:30", "2026-10-25 02:30", "2026-03-29 02:30:00",
            "2026-10-25 02:30:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00",
            "9999-12-31", "1e999999999", "AAAA", "fffe", "CRC", "m3", "kWh", "0x", "0xFFFF",
            "1.5 m3", "1666729925", "\ud800", "٣", 260329023000, 700101000000, 10**12, 10**30,
            2**24 - 1, 2**28, 2**32, 2**63, -1, 1e308, 5e-324,
            "0-1:24.2.1(261025023000W)(1*m3)", "/\n!", "!", "(", "bver",
        ]
    ),
)  # fmt: skip
NAMES = st.one_of(
    st.text(max_size=4),
    st.sampled_from(
        ["Type", "Message", "ID", "reading", "lastseen", "model", "id", "mic", "time", "gasmeter",
         "external", "SerialReceived", "gas_consumed", "delivered", "n", "bn", "u", "v", "t", "x_"]
    ),
)  # fmt: skip
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=4)),
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


def look(name: str, payload: bytes, device: str | None = None) -> Telegram | Refusal | None:
    """Return what a payload becomes, after seeing that it is fit to be stored."""
    good = GOOD[name]
    read = FAMILIES[good.family]
    source = good.source if device is None else replace(good.source, device=device)
    came = replace(good.came, payload=payload)
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
    assert len(told.flags) == len(set(told.flags)) <= FLAGS_MAX
    return told


class TestEveryFamily:
    """Nothing but a refusal leaves, and never a register of somebody else's."""

    def test_has_a_good_message(self) -> None:
        """A family without one would be tried with nothing but rubbish."""
        assert {good.family for good in GOOD.values()} == set(FAMILIES)

    @pytest.mark.parametrize("name", GOOD)
    def test_reads_its_good_message(self, name: str) -> None:
        """And spoils are then spoils of something."""
        told = look(name, GOOD[name].came.payload)

        assert isinstance(told, Telegram)
        assert told.readings[-1].read_at <= NOW

    @pytest.mark.parametrize("name", NAMED)
    def test_reads_no_good_message_of_another(self, name: str) -> None:
        """A mapping of the neighbour's device on the same topic."""
        told = look(name, GOOD[name].came.payload, STRANGER)

        assert isinstance(told, Refusal) if name in UNNAMED else told is None

    @pytest.mark.parametrize("name", GOOD)
    @given(data=st.data())
    @settings(max_examples=EXAMPLES)
    def test_survives_any_bytes(self, name: str, data: st.DataObject) -> None:
        """One mad gateway must not stop the line."""
        look(name, data.draw(st.binary(max_size=300)))

    @pytest.mark.parametrize("name", GOOD)
    @given(data=st.data())
    @settings(max_examples=EXAMPLES)
    def test_survives_any_json(self, name: str, data: st.DataObject) -> None:
        """Likewise."""
        look(name, json.dumps(data.draw(JSON)).encode())

    @pytest.mark.parametrize("name", GOOD)
    @given(data=st.data())
    @settings(max_examples=EXAMPLES)
    def test_survives_scratches(self, name: str, data: st.DataObject) -> None:
        """A message almost right goes deepest; a stranger's never becomes a reading."""
        payload = data.draw(scratched(GOOD[name].came.payload))

        look(name, payload)
        if name in NAMED:
            assert not isinstance(look(name, payload, STRANGER), Telegram)

    @pytest.mark.parametrize("name", JSON_GOOD)
    @given(data=st.data())
    @settings(max_examples=EXAMPLES)
    def test_survives_other_values(self, name: str, data: st.DataObject) -> None:
        """Each field in turn is something it should not be, or missing."""
        payload = data.draw(altered(GOOD[name].came.payload))

        look(name, payload)
        if name in NAMED:
            assert not isinstance(look(name, payload, STRANGER), Telegram)

    @pytest.mark.parametrize("name", GOOD)
    @pytest.mark.parametrize(
        "payload",
        [
            b"[" * 60_000, b'{"a":' * 12_000, b"9" * 60_000, b" " * PAYLOAD_BYTES_MAX,
            b"x" * (PAYLOAD_BYTES_MAX + 1), b"1e" + b"9" * 30_000, b"/\n" * 30_000 + b"!",
            b"0-1:24.2.1" + b"(1)" * 20_000, b"0-1:24.2.1" + b"(" * 60_000, b"\x12\x00" * 32_000,
            b"\x0b" * 60_000, b"\x08" + b"\xff" * 60_000, b"\n(1)" * 16_000,
        ],
        ids=lambda payload: repr(payload[:8]),
    )  # fmt: skip
    def test_survives_bulk(self, name: str, payload: bytes) -> None:
        """Depth, length, exponents, and expressions that could look back."""
        assert not isinstance(look(name, payload), Telegram)
