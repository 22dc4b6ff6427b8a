"""Every family, whatever the bytes: a telegram of its own meter, a refusal in its name, or nothing.

A new family adds one good message to ``GOOD``; one that reads several kinds adds each of them, as
``family/kind``.
"""

import base64
import json
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.adapter import Message, Source, UnreadableError, adapt
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
from tests.metering.adapters.published import METER, NOW, mapping, message

EUI = "02aaaa0200003184"
UP = f"application/1/device/{EUI}/event/up"
CUBIC_FOOT = Fraction(28316846592, 10**9)
SERIAL = "3232323241424344313233343536373839"
# Gas on channel 1, and water with the same code on channel 2.
TELEGRAM = (
    b"/ISk5\\2MT382-1000\r\n\r\n0-1:24.1.0(003)\r\n"
    b"0-1:96.1.0(3232323241424344313233343536373839)\r\n"
    b"0-1:24.2.1(170102161005W)(00000.107*m3)\r\n0-2:24.1.0(007)\r\n0-2:96.1.0(57)\r\n"
    b"0-2:24.2.1(101209112500W)(00872.234*m3)\r\n!\r\n"
)
# A metric "gas/idx" of alias 7: 1234567 as UInt64 (8), and 1234.567 as Double (10).
BORN = bytes.fromhex(
    "08f6a797e9ad32 1218 0a076761732f696478 1007 18f6a797e9ad32 2008 5887ad4b 1800"
)
DOUBLE = bytes.fromhex(
    "08f6a797e9ad32 1221 0a076761732f696478 1007 18f6a797e9ad32 200a"
    "4a00 6954e3a59b444a9340 2800 1800"
)


def uplink(*, data: str = "", codec: object = None) -> dict[str, object]:
    return {
        "time": "2026-01-31T10:00:00Z",
        "deviceInfo": {"devEui": EUI},
        "data": base64.b64encode(bytes.fromhex(data)).decode(),
        "object": codec,
    }


def frame(kind: str, **inside: object) -> Message:
    return message({"Time": "2025-12-05T16:44:45.730309536Z", "Type": kind, "Message": inside})


GOOD: dict[str, tuple[Source, Message]] = {
    "ahpohl": (mapping(), message({"time": 1730287096822, "volume": 4207.18, "state": 0})),
    "camera": (
        mapping(zone="Europe/Amsterdam"),
        message({"value": "4207.1", "error": "no error", "timestamp": "2026-01-31T10:00:00"}),
    ),
    "fludia": (
        mapping(device=EUI),
        message(
            uplink(codec={"index": 9.5, "increments": [1, 2], "time_step": 1}), topic=UP
        ),
    ),
    "jooby": (mapping(device=EUI), message(uplink(data="07048000015681"), topic=UP)),
    "milesight": (
        mapping(device=EUI),
        message(
            uplink(codec={"pulse": 300, "history": [{"pulse": 256, "timestamp": 1665561758}]}),
            topic=UP,
        ),
    ),
    "chirpstack_pulses": (
        mapping(device=f"{EUI}/a.b"), message(uplink(codec={"a": {"b": 7}}), topic=UP)
    ),
    "smartico": (
        mapping(device=f"{EUI}/12676"),
        message(uplink(data="040c0c01003184000003560ae3"), topic=UP),
    ),
    "dsmr/dsmr2mqtt": (
        mapping(device="33313137"),
        message({"gas_consumed": 10142194.0, "serial": "33313137", "timestamp": 1708542182}),
    ),
    "dsmr/line": (
        mapping(device="0-1", zone="Europe/Amsterdam"),
        message({"SerialReceived": "0-1:24.2.1(181227090000W)(02910.491*m3)"}),
    ),
    "dsmr/reader": (
        mapping(), message({"read_at": "2015-12-11T20:00:00Z", "delivered": "956.212"})
    ),
    "dsmr/telegram": (mapping(device=SERIAL, zone="Europe/Amsterdam"), message(TELEGRAM)),
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
    "glow": (
        mapping(device="2188127003"),
        message(
            {"gasmeter": {"timestamp": "2023-01-07T23:24:10Z", "energy": {"import": {
                "units": "kWh", "cumulativevol": 629.514, "cumulativevolunits": "m3",
                "mprn": "2188127003"}}}}
        ),
    ),
    "homewizard": (
        mapping(device="4E47", zone="Europe/Amsterdam"),
        message(
            {"total_gas_m3": 2569.646, "gas_timestamp": 210606140010, "gas_unique_id": "4E47",
             "external": [{"unique_id": "4E47", "type": "gas_meter", "value": 2569.646,
                           "timestamp": "2024-06-28T14:00:00", "unit": "m3"}]}
        ),
    ),
    "rtl433/mbus": (
        mapping(device="5105025"),
        message(
            {"model": "Wireless-MBus", "id": 5105025, "type": 3, "mic": "CRC",
             "inst_volume_0": "3223.470 m3"}
        ),
    ),
    "rtl433/scm": (
        mapping(device="4198071", dm3_per_count=CUBIC_FOOT, zone="America/Denver"),
        message(
            {"time": "2022-10-25 20:32:05", "model": "ERT-SCM", "id": 4198071, "ert_type": 12,
             "consumption_data": 5200778, "mic": "CRC"}
        ),
    ),
    "rtlamr/idm": (
        mapping(device="20190118", dm3_per_count=CUBIC_FOOT),
        frame(
            "IDM", PacketTypeID=28, PacketLength=92, HammingCode=198, ERTType=12,
            ERTSerialNumber=20190118, LastConsumptionCount=2528113,
        ),
    ),
    "rtlamr/scm": (
        mapping(device="44826100", dm3_per_count=CUBIC_FOOT),
        frame("SCM", ID=44826100, Type=12, TamperPhy=1, TamperEnc=0, Consumption=548140),
    ),
    "rtlamr/state": (
        mapping(device="33333333"),
        message(
            {"reading": "001234.567", "lastseen": "2025-01-15T10:30:00-05:00"},
            topic="rtlamr/33333333/state",
        ),
    ),
    "scalar": (mapping(), message(b"917.5")),
    "senml": (
        mapping(device="urn:dev:x/gas"),
        message(
            [{"bn": "urn:dev:x/", "bt": 1735689600, "n": "gas", "u": "m3", "v": 1234.567},
             {"n": "battery", "u": "%", "v": 3}, {"n": "gas", "u": "l/s", "t": 60, "s": 1e6}]
        ),
    ),
    "sparkplug/double": (
        mapping(device="gas/idx"), message(DOUBLE, topic="spBv1.0/town/NDATA/gate")
    ),
    "sparkplug/int": (
        mapping(device="gas/idx#7", unit="dm3"),
        message(BORN, topic="spBv1.0/town/DBIRTH/gate/meter"),
    ),
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
# These are no JSON object or list, in which one value could be another.
FLAT = {"dsmr/telegram", "scalar", "sparkplug/double", "sparkplug/int"}
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
            10**12, 10**30, 2**63, -1, 1e308, 5e-324, "fffe", "CRC", "0xFFFF", "1.5 m3", "m3",
            "1666729925", 260329023000, 700101000000, 2**24 - 1, 2**28, 2**32, "/\n!", "!", "(",
            "0-1:24.2.1(261025023000W)(1*m3)",
        ]
    ),
)  # fmt: skip
NAMES = st.one_of(
    st.text(max_size=4),
    st.sampled_from(
        ["SerialReceived", "gas_consumed", "delivered", "external", "gasmeter", "reading", "Type",
         "Message", "model", "mic", "n", "bn", "u", "v", "t", "x_"]
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


def look(family: str, source: Source, came: Message) -> Telegram | Refusal | None:
    """Return what a message becomes, after seeing that it is fit to be stored."""
    read = FAMILIES[family.partition("/")[0]]
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

    def test_has_a_good_message_here(self) -> None:
        """A family without one would be tried with nothing but rubbish."""
        assert {name.partition("/")[0] for name in GOOD} == FAMILIES.keys()

    @pytest.mark.parametrize("family", GOOD)
    def test_reads_its_good_message(self, family: str) -> None:
        """And spoils are then spoils of something."""
        source, came = GOOD[family]

        told = look(family, source, came)

        assert isinstance(told, Telegram)
        assert told.readings[-1].read_at <= NOW

    @pytest.mark.parametrize("family", sorted(GOOD.keys() - NAMELESS))
    def test_reads_no_good_message_of_another(self, family: str) -> None:
        """A mapping of the neighbour's device on the same topic."""
        source, came = GOOD[family]
        stranger = replace(source, device=STRANGER)

        assert not isinstance(look(family, stranger, came), Telegram)

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

    @pytest.mark.parametrize("family", sorted(GOOD.keys() - FLAT))
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
            b"x" * (PAYLOAD_BYTES_MAX + 1), b"1e" + b"9" * 30_000, b"/\n" * 30_000 + b"!",
            b"0-1:24.2.1" + b"(1)" * 18_000, b"0-1:24.2.1" + b"(" * 60_000, b"\x12\x00" * 32_000,
            b"\x0b" * 60_000, b"\x08" + b"\xff" * 60_000,
        ],
        ids=["lists", "objects", "digits", "blanks", "bulk", "exponent", "lines", "values",
             "brackets", "metrics", "groups", "varint"],
    )  # fmt: skip
    def test_survives_bulk(self, family: str, payload: bytes) -> None:
        """Depth, length, exponents, and what an expression could go back over."""
        source, came = GOOD[family]

        assert not isinstance(look(family, source, replace(came, payload=payload)), Telegram)
