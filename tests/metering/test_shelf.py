"""Whom a message is read for: less work, and never another telegram."""

import base64
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.adapter import Message, Read, Samples, Source
from metering.adapters import parse
from metering.family import FAMILIES, spellings
from metering.shelf import shelf
from metering.source import Switchboard
from metering.telegram import PAYLOAD_BYTES_MAX, Arrival, Refusal, Telegram
from tests.metering.adapters.test_never_raises import EUI, GOOD, UP, altered, scratched

AT: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
EXAMPLES: Final = 50
# These say nothing: a topic of its own, a device in pieces or in code, a counter of a board.
SILENT: Final = {"ahpohl", "camera", "dsmr", "scalar", "senml", "tasmota"}
SPEAKING: Final = [name for name in GOOD if name.partition("/")[0] not in SILENT]
# Messages about a device that is not spelt there as its source has it.
HIDDEN: Final = [
    (
        "glow", "home/one", "glow/x/SENSOR/gasmeter",
        (b'{"gasmeter":{"timestamp":"2023-01-07T23:24:10Z","energy":{"import":'
        b'{"cumulativevol":629.514,"cumulativevolunits":"m3","mprn":"home\\/one"}}}}'),
    ),
    # Serial 75496 is 01 26 e8, and 2553 tenths are 09 f9.
    ("elehant", "75496", "tele/x/BLE_ADV_RAW", b"FFFF800100000110E82601F909000000000000"),
    # A metric with the alias 7 and no name; and one whose name comes last.
    (
        "sparkplug/int", "gas/idx#7", "spBv1.0/town/DDATA/gate/meter",
        bytes.fromhex("08f6a797e9ad32 120f 1007 18f6a797e9ad32 2008 5887ad4b"),
    ),
    (
        "sparkplug/double", "gas/idx", "spBv1.0/town/NDATA/gate",
        bytes.fromhex("08f6a797e9ad32 1216 18f6a797e9ad32 2008 5887ad4b 0a076761732f696478"),
    ),
    (
        "wmbusmeters", "0004309A", "x",
        (b'{"media":"gas","meter":"unismart","id":"0004309a","total_m3":917,'
        b'"timestamp":"2026-01-31T10:00:00Z"}'),
    ),
]  # fmt: skip


def unsorted(read: Read) -> Read:
    """Return a family as it is, of which nobody knows how it spells its devices."""

    def reads(message: Message, source: Source) -> Samples | None:
        return read(message, source)

    return reads


def neighbours(name: str, count: int) -> list[Source]:
    """Return the source of a good message among others of its family, each a meter's."""
    family, (source, came) = name.partition("/")[0], GOOD[name]
    device, slash, more = source.device.partition("/")
    ours = replace(source, family=family, topic="#" if count else came.topic)
    other = [f"{device[:-2]}{number:02x}{slash}{more}" for number in range(count)]
    devices = [*other, device.swapcase() + slash + more, f"{device}0", source.device[:-1] or "x"]
    return [
        replace(ours, source_id=str(place), meter_id=f"N-{place}", device=one)
        for place, one in enumerate([*devices[: count // 2], source.device, *devices[count // 2 :]])
        if one
    ]


def said(
    sources: list[Source], families: dict[str, Read], topic: str, payload: bytes
) -> list[Telegram | Refusal] | None:
    board = Switchboard(families=families)
    board.connect(sources)
    return board.hear(Arrival(topic=topic, payload=payload, retained=False, handle=None), at=AT)


@st.composite
def respelt(draw: st.DrawFn, payload: bytes, device: str) -> bytes:
    """Return a payload in which characters of the device are written as JSON also may."""
    text, wanted = payload.decode("latin-1"), device.partition("/")[0]
    for _ in range(draw(st.integers(1, 3))):
        start = text.find(wanted)
        if start < 0:
            break
        at = start + draw(st.integers(0, len(wanted) - 1))
        ways = [f"\\u{ord(text[at]):04x}", text[at].swapcase(), "\\" + text[at]]
        text = text[:at] + draw(st.sampled_from(ways)) + text[at + 1 :]
    return text.replace("/", draw(st.sampled_from(["/", "\\/"]))).encode("latin-1")


class TestFamilies:
    """A family that says how it spells a device ..."""

    def test_is_one_whose_devices_share_topics(self) -> None:
        """Each that does not say is known, and read for every source as before."""
        assert {name for name, read in FAMILIES.items() if spellings(read) is None} == SILENT

    @pytest.mark.parametrize("name", SPEAKING)
    def test_spells_its_good_message(self, name: str) -> None:
        """The one message about each device that must not be lost; others are about nobody."""
        sources = neighbours(name, 20)
        family, (source, came) = name.partition("/")[0], GOOD[name]
        there = shelf(sources, {family: spellings(FAMILIES[family])})

        asked = [one.source for one in there.asked(came)]

        assert source.device in [one.device for one in asked]
        if "#" not in source.device:
            assert len(asked) < len(sources) / 2

    @pytest.mark.parametrize("count", [0, 40])
    @pytest.mark.parametrize("name", SPEAKING)
    @given(data=st.data())
    @settings(max_examples=EXAMPLES)
    def test_changes_nothing_but_the_work(self, name: str, count: int, data: st.DataObject) -> None:
        """The same telegrams and refusals come out as when each source is asked."""
        family, (source, came) = name.partition("/")[0], GOOD[name]
        spoils = [st.just(came.payload), scratched(came.payload)]
        spoils.append(respelt(came.payload, source.device))
        if came.payload[:1] in {b"{", b"["}:
            spoils.append(altered(came.payload))
        payload = data.draw(st.one_of(spoils))
        topic = data.draw(st.sampled_from([came.topic, f"x/{source.device}/state", "x"]))
        sources = neighbours(name, count)
        sources = [replace(one, topic="#") for one in sources]
        read = FAMILIES[family]

        assert said(sources, {family: read}, topic, payload) == said(
            sources, {family: unsorted(read)}, topic, payload
        )

    @pytest.mark.parametrize("last", "QRST")
    def test_knows_base64_with_bits_to_spare(self, last: str) -> None:
        """ChirpStack 3 wrote a DevEUI so; the last character has two bits that mean nothing."""
        spelt = f"AqqqAgAAMY{last}="
        assert base64.b64decode(spelt) == bytes.fromhex(EUI)
        payload = json.dumps({"devEUI": spelt, "object": {"a": {"b": 7}}}).encode()
        sources = [replace(one, topic="#") for one in neighbours("chirpstack_pulses", 20)]

        told = said(sources, dict(FAMILIES), "x/event/up", payload) or []

        # Once for each spelling of the DevEUI that is mapped, in upper case too.
        assert [one.readings[0].register_dm3 for one in told if isinstance(one, Telegram)] == [7, 7]

    @pytest.mark.parametrize("count", [0, 40])
    @pytest.mark.parametrize(("name", "device", "topic", "payload"), HIDDEN)
    def test_is_heard_however_it_spells(
        self, count: int, name: str, device: str, topic: str, payload: bytes
    ) -> None:
        """Escaped, by an alias, in hexadecimal from its lowest byte, as the very last byte."""
        family, (source, _) = name.partition("/")[0], GOOD[name]
        ours = replace(source, family=family, topic="#", device=device, meter_id="OURS")
        others = [replace(one, topic="#") for one in neighbours(name, count)]

        told = said([*others, ours], dict(FAMILIES), topic, payload) or []

        assert "OURS" in [one.meter_id for one in told if isinstance(one, Telegram)]

    def test_knows_what_folds_to_ascii(self) -> None:
        """A device that Unicode can write with another character is always read."""
        for code in range(128, sys.maxunicode + 1):
            folded = chr(code).casefold()
            if folded.isascii():
                assert parse.folded_spellings(f"0{folded}0") == (), hex(code)
        assert parse.folded_spellings("0x0015bc001b0231f0") == ("0x0015bc001b0231f0",)


class TestShelf:
    """Of the sources that hear a topic ..."""

    def test_one_of_each_family_speaks_for_strangers(self) -> None:
        """What nobody can read is refused once, with the number of those who cannot."""
        sources = [replace(one, topic="#") for one in neighbours("smartico", 20)]
        cases = (b"{", b"\\u", b" " * (PAYLOAD_BYTES_MAX + 1))
        for payload in cases:
            [refused] = said(sources, dict(FAMILIES), "x", payload) or ()

            assert isinstance(refused, Refusal)
            assert refused.detail.startswith(f"for {len(sources)} sources: ")
            assert refused.meter_id is None

    def test_a_thousand_cost_as_one(self) -> None:
        """Beside the device that spoke, one stranger is asked."""
        family, (source, came) = "smartico", GOOD["smartico"]
        many = [
            replace(source, family=family, device=f"{number:016x}", source_id=str(number))
            for number in range(1000)
        ]
        there = shelf([*many, source], {family: spellings(FAMILIES[family])})
        mapped = shelf(
            [*many, replace(source, family=family)], {family: spellings(FAMILIES[family])}
        )

        assert len(there.asked(came)) == 2
        assert [(one.source.device, one.others) for one in mapped.asked(came)] == [
            (many[0].device, 999),
            (source.device, 0),
        ]
        assert came.topic == UP
