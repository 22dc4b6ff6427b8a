"""Meters behind radios, ports, displays and industrial gateways, whatever the bytes.

As in test_never_raises.py, for payloads that are no JSON too: telegrams and protobuf.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.adapter import Message, Read, Source, UnreadableError, adapt
from metering.adapters import dsmr, glow, homewizard, rtl433, rtlamr, senml, sparkplug
from metering.telegram import (
    DETAIL_CHARS_MAX,
    PAYLOAD_BYTES_MAX,
    READINGS_MAX,
    REGISTER_DM3_MAX,
    Refusal,
    Telegram,
)
from tests.metering.adapters.published import METER, NOW, mapping, message

CUBIC_FOOT = Fraction(28316846592, 10**9)
SERIAL = "3232323241424344313233343536373839"
GAS_LINES = (
    b"0-1:24.1.0(003)\r\n0-1:96.1.0(3232323241424344313233343536373839)\r\n"
    b"0-1:24.2.1(170102161005W)(00000.107*m3)\r\n0-2:24.1.0(007)\r\n0-2:96.1.0(57)\r\n"
    b"0-2:24.2.1(101209112500W)(00872.234*m3)\r\n"
)
BORN = bytes.fromhex(
    "08f6a797e9ad32 1218 0a076761732f696478 1007 18f6a797e9ad32 2008 5887ad4b 1800"
)
# 10 is Double, 1234.567; properties without any, and not historical.
DOUBLE = bytes.fromhex(
    "08f6a797e9ad32 1221 0a076761732f696478 1007 18f6a797e9ad32 200a"
    "4a00 6954e3a59b444a9340 2800 1800"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A family with a good message of its device."""

    read: Read
    source: Source
    came: Message


def rtlamr_frame(kind: str, **inside: object) -> Message:
    return message({"Time": "2025-12-05T16:44:45.730309536Z", "Type": kind, "Message": inside})


CASES: Final[Mapping[str, Case]] = {
    "rtlamr_scm": Case(
        read=rtlamr.read,
        source=mapping(device="44826100", dm3_per_count=CUBIC_FOOT),
        came=rtlamr_frame(
            "SCM", ID=44826100, Type=12, TamperPhy=1, TamperEnc=0, Consumption=548140
        ),
    ),
    "rtlamr_idm": Case(
        read=rtlamr.read,
        source=mapping(device="20190118", dm3_per_count=CUBIC_FOOT),
        came=rtlamr_frame(
            "IDM", PacketTypeID=28, PacketLength=92, HammingCode=198, ERTType=12,
            ERTSerialNumber=20190118, LastConsumptionCount=2528113,
        ),
    ),
    "rtl433_scm": Case(
        read=rtl433.read,
        source=mapping(device="4198071", dm3_per_count=CUBIC_FOOT, zone="America/Denver"),
        came=message(
            {"time": "2022-10-25 20:32:05", "model": "ERT-SCM", "id": 4198071, "ert_type": 12,
             "consumption_data": 5200778, "mic": "CRC"}
        ),
    ),
    "rtl433_mbus": Case(
        read=rtl433.read,
        source=mapping(device="5105025"),
        came=message(
            {"model": "Wireless-MBus", "id": 5105025, "type": 3, "mic": "CRC",
             "inst_volume_0": "3223.470 m3"}
        ),
    ),
    "glow": Case(
        read=glow.read,
        source=mapping(device="2188127003"),
        came=message(
            {"gasmeter": {"timestamp": "2023-01-07T23:24:10Z", "energy": {"import": {
                "units": "kWh", "cumulativevol": 629.514, "cumulativevolunits": "m3",
                "mprn": "2188127003"}}}}
        ),
    ),
    "homewizard": Case(
        read=homewizard.read,
        source=mapping(device="4E47", zone="Europe/Amsterdam"),
        came=message(
            {"total_gas_m3": 2569.646, "gas_timestamp": 210606140010, "gas_unique_id": "4E47",
             "external": [{"unique_id": "4E47", "type": "gas_meter", "value": 2569.646,
                           "timestamp": "2024-06-28T14:00:00", "unit": "m3"}]}
        ),
    ),
    "dsmr_telegram": Case(
        read=dsmr.read,
        source=mapping(device=SERIAL, zone="Europe/Amsterdam"),
        came=message(b"/ISk5\\2MT382-1000\r\n\r\n" + GAS_LINES + b"!\r\n"),
    ),
    "dsmr_tasmota": Case(
        read=dsmr.read,
        source=mapping(device="0-1", zone="Europe/Amsterdam"),
        came=message({"SerialReceived": "0-1:24.2.1(181227090000W)(02910.491*m3)"}),
    ),
    "dsmr_dsmr2mqtt": Case(
        read=dsmr.read,
        source=mapping(device="33313137"),
        came=message({"gas_consumed": 10142194.0, "serial": "33313137", "timestamp": 1708542182}),
    ),
    "senml": Case(
        read=senml.read,
        source=mapping(device="urn:dev:x/gas"),
        came=message(
            [{"bn": "urn:dev:x/", "bt": 1735689600, "n": "gas", "u": "m3", "v": 1234.567},
             {"n": "battery", "u": "%", "v": 3}, {"n": "gas", "u": "l/s", "t": 60, "s": 1e6}]
        ),
    ),
    "sparkplug_int": Case(
        read=sparkplug.read,
        source=mapping(device="gas/idx#7", unit="dm3"),
        came=message(BORN, topic="spBv1.0/town/DBIRTH/gate/meter"),
    ),
    "sparkplug_double": Case(
        read=sparkplug.read,
        source=mapping(device="gas/idx"),
        came=message(DOUBLE, topic="spBv1.0/town/NDATA/gate"),
    ),
}  # fmt: skip
JSON_CASES = sorted(name for name, case in CASES.items() if case.came.payload[:1] in {b"{", b"["})
# For each case and each kind of spoiling; a thousand of each were tried when this was written.
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
            "", "nan", "2026-03-29 02:30:00", "2026-10-25 02:30:00", "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59-14:00", "CRC", "m3", "kWh", "0x", "0xFFFF", "1.5 m3", "1666729925",
            "\ud800", "٣", 260329023000, 700101000000, 10**12, 10**30, 2**24 - 1, 2**28, 2**32,
            2**63, -1, 1e308, 5e-324, "0-1:24.2.1(261025023000W)(1*m3)", "/\n!", "!", "(", "bver",
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


def look(case: Case, payload: bytes, device: str | None = None) -> Telegram | Refusal | None:
    """Return what a payload becomes, after seeing that it is fit to be stored."""
    source = case.source if device is None else replace(case.source, device=device)
    came = replace(case.came, payload=payload)
    with suppress(UnreadableError):
        case.read(came, source)
    told = adapt(source, came, case.read)
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
    assert len(told.flags) == len(set(told.flags)) <= 16
    return told


class TestEveryFamily:
    """Nothing but a refusal leaves, and never a register of somebody else's."""

    @pytest.mark.parametrize("name", CASES)
    def test_reads_its_good_message(self, name: str) -> None:
        """And spoils are then spoils of something."""
        case = CASES[name]

        told = look(case, case.came.payload)

        assert isinstance(told, Telegram)
        assert told.readings[-1].read_at <= NOW

    @pytest.mark.parametrize("name", CASES)
    def test_reads_no_good_message_of_another(self, name: str) -> None:
        """A mapping of the neighbour's device on the same topic."""
        case = CASES[name]

        assert not isinstance(look(case, case.came.payload, STRANGER), Telegram)

    @pytest.mark.parametrize("name", CASES)
    @given(data=st.data())
    @settings(max_examples=EXAMPLES)
    def test_survives_any_bytes(self, name: str, data: st.DataObject) -> None:
        """One mad gateway must not stop the line."""
        look(CASES[name], data.draw(st.binary(max_size=300)))

    @pytest.mark.parametrize("name", CASES)
    @given(data=st.data())
    @settings(max_examples=EXAMPLES)
    def test_survives_any_json(self, name: str, data: st.DataObject) -> None:
        """Likewise."""
        look(CASES[name], json.dumps(data.draw(JSON)).encode())

    @pytest.mark.parametrize("name", CASES)
    @given(data=st.data())
    @settings(max_examples=EXAMPLES)
    def test_survives_scratches(self, name: str, data: st.DataObject) -> None:
        """A message almost right goes deepest; a stranger's never becomes a reading."""
        payload = data.draw(scratched(CASES[name].came.payload))

        look(CASES[name], payload)
        assert not isinstance(look(CASES[name], payload, STRANGER), Telegram)

    @pytest.mark.parametrize("name", JSON_CASES)
    @given(data=st.data())
    @settings(max_examples=EXAMPLES)
    def test_survives_other_values(self, name: str, data: st.DataObject) -> None:
        """Each field in turn is something it should not be, or missing."""
        payload = data.draw(altered(CASES[name].came.payload))

        look(CASES[name], payload)
        assert not isinstance(look(CASES[name], payload, STRANGER), Telegram)

    @pytest.mark.parametrize("name", CASES)
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
        assert not isinstance(look(CASES[name], payload), Telegram)
