"""A flood: what it says, how much of it is ever in flight, and what it counts."""

import asyncio
import json
import socket
from array import array
from pathlib import Path
from time import monotonic

import aiomqtt
import pytest

from simulators import cose
from simulators.flood import Flood, Packets, joined, packets, split, telegrams
from simulators.io.pump import PumpError, Tap, _Line, connected
from simulators.packet import (
    PacketError,
    Welcome,
    acknowledged,
    heard,
    publish,
    topic_bytes,
    varint,
    welcome,
)
from simulators.packet import split as split_packets
from simulators.signed import reading_aad
from tests.conftest import Broker
from tests.simulators.desk import SETTLE_S, Desk
from tests.simulators.test_cli import finished


def said(flood: Flood) -> list[tuple[str, bytes]]:
    return [(topic[2:].decode(), body) for topic, body in telegrams(flood, 0, flood.messages)]


class TestFlood:
    """The telegrams of a flood ..."""

    def test_are_as_the_protocol_page_has_them(self) -> None:
        """Bucket 14 is crc32 of FL-000001 modulo 64; one register an hour, from the opening on."""
        flood = Flood(meters=1, messages=2, registers=2)

        assert said(flood)[1] == (
            "gas/v1/14/FL-000001/up/json",
            (
                b'{"meter":"FL-000001","counter":2,"readings":['
                b'{"at":"2025-01-01T03:00:00+00:00","dm3":1000300},'
                b'{"at":"2025-01-01T04:00:00+00:00","dm3":1000400}],"flags":[]}'
            ),
        )

    def test_have_counters_that_rise_by_one_on_every_meter(self) -> None:
        """A counter said twice would be measured as a repeat, not as work."""
        flood = Flood(meters=3, messages=8, first_counter=5)

        spoken = [(body["meter"], body["counter"]) for body in map(json.loads, bodies(flood))]

        names = ["FL-000001", "FL-000002", "FL-000003"]
        assert spoken == [*((name, 5) for name in names), *((name, 6) for name in names),
                          (names[0], 7), (names[1], 7)]  # fmt: skip

    def test_are_signed_by_the_key_that_is_registered(self) -> None:
        """The key file and the telegrams must speak of one key, or nothing is measured."""
        flood = Flood(meters=2, messages=4, signed=True, registers=24)
        topic, payload = said(flood)[3]

        identity = flood.identity(1)
        body = cose.decode(
            cose.verify(
                payload, bytes.fromhex(identity.entry()["public_key"]), aad=reading_aad("FL-000002")
            )
        )

        assert topic.endswith("/FL-000002/up")
        assert (body[1], body[3], body[5], len(body[7])) == (b"FL-000002", 2, 1_004_800, 23)

    def test_are_the_same_in_pieces_and_as_a_whole(self) -> None:
        """Several processes sign pieces; together they are the flood that one would make."""
        flood = Flood(meters=3, messages=10)

        pieces = joined([packets(flood, 0, 4), packets(flood, 4, 9), packets(flood, 9, 10)])

        assert pieces == packets(flood, 0, 10)

    def test_are_the_same_on_several_connections(self) -> None:
        """A meter's telegrams stay in order because it has one connection; none is said twice."""
        flood = Flood(meters=5, messages=13)

        shares = split(flood, 3)

        assert sum(share.messages for share in shares) == 13
        assert sorted(line for share in shares for line in said(share)) == sorted(said(flood))


def bodies(flood: Flood) -> list[bytes]:
    return [body for _, body in said(flood)]


class TestPacket:
    """The bytes of MQTT 5 ..."""

    def test_hold_a_message(self) -> None:
        """Section 3.3: 0x32 is QoS 1, then length, topic, packet id, no properties, payload."""
        made = publish(topic_bytes("a/b"), b"hi", 258)

        assert made.hex(" ") == "32 0a 00 03 61 2f 62 01 02 00 68 69"

    def test_write_lengths_as_the_standard_does(self) -> None:
        """Table 1-1 of the standard."""
        hexed = [varint(number).hex() for number in (0, 127, 128, 16_383, 16_384, 268_435_455)]

        assert hexed == ["00", "7f", "8001", "ff7f", "808001", "ffffff7f"]

    def test_count_acknowledgements_that_say_yes_and_no(self) -> None:
        """Four bytes are a yes; 0x10, nobody listens, is a yes; 0x87, not allowed, is a no."""
        buffer = bytearray.fromhex("40020001400300021040030003874004000483004002")

        assert acknowledged(buffer) == (2, 2)
        assert buffer == b"\x40\x02", "what is cut off waits for its rest"

    def test_count_nothing_else_as_an_acknowledgement(self) -> None:
        """A farewell of the broker, read as acknowledgements, would be invented throughput."""
        with pytest.raises(PacketError):
            acknowledged(bytearray.fromhex("40020001e00193"))

    @pytest.mark.parametrize(
        ("hexed", "expected"),
        [
            ("000000", Welcome(reason=0, receive_maximum=65_535)),
            ("000003210014", Welcome(reason=0, receive_maximum=20)),
            # A name given by the broker, a pair of texts, then the maximum.
            ("00000f12000161260001610001622203e8", None),
            ("00001012000161260001610001622100072401", Welcome(reason=0, receive_maximum=7)),
            ("008700", Welcome(reason=0x87, receive_maximum=65_535)),
        ],
    )
    def test_tell_how_much_a_broker_takes(self, hexed: str, expected: Welcome | None) -> None:
        """A broker may hang up on whoever sends more than it said."""
        body = bytes.fromhex(hexed)
        if expected is None:
            with pytest.raises(PacketError):
                welcome(body)
        else:
            assert welcome(body) == expected

    def test_are_taken_out_of_a_stream_whole(self) -> None:
        """TCP cuts where it likes."""
        whole = publish(topic_bytes("t"), b"x" * 200, 7) + b"\xd0\x00"
        buffer, found = bytearray(), []
        for byte in whole:
            buffer.append(byte)
            found += list(split_packets(buffer))

        (first, body), ping = found
        message = heard(first, body)
        assert (message.topic, message.payload, message.packet_id) == ("t", b"x" * 200, 7)
        assert ping == (0xD0, b"")


class TestLine:
    """One connection of a flood ..."""

    def test_never_has_more_in_flight_than_the_window(self) -> None:
        """A broker that said it takes three gets three, and one more for each acknowledgement."""
        ours, theirs = socket.socketpair()
        flood = Flood(meters=2, messages=10)
        load = packets(flood, 0, 10)
        line = _Line(flood=flood, link=ours, load=load, window=3)
        ours.settimeout(0)

        line.push(1.0, 10)
        assert len(theirs.recv(10_000)) == load.starts[3]
        line.push(2.0, 10)
        line.acked = 1
        line.push(3.0, 10)
        assert len(theirs.recv(10_000)) == load.starts[4] - load.starts[3]
        ours.close()
        theirs.close()

        assert line.sent == 4
        assert [line.left_s(index) for index in range(4)] == [1.0, 1.0, 1.0, 3.0]

    def test_counts_a_message_only_when_its_last_byte_left(self) -> None:
        """A write may end in the middle of a message."""
        ours, theirs = socket.socketpair()
        load = Packets(data=bytes(30_000_000), starts=array("Q", [0, 10, 20_000_000, 30_000_000]))
        line = _Line(flood=Flood(meters=1, messages=3), link=ours, load=load, window=3)
        ours.settimeout(0)

        line.push(1.0, 3)
        ours.close()
        theirs.close()

        assert 10 < line.sent_bytes < 20_000_000
        assert line.sent == 1


class TestPump:
    """A flood in a real broker ..."""

    async def test_brings_every_telegram_once(self, mosquitto: Broker, prefix: str) -> None:
        """What it says it sent is what a subscriber hears, on several connections too."""
        flood = Flood(meters=7, messages=500, prefix=prefix)
        tap = Tap(host=mosquitto.host, port=mosquitto.port, connections=2)
        async with aiomqtt.Client(mosquitto.host, mosquitto.port) as ear:
            await ear.subscribe("gas/v1/+/+/up/json", 1)
            pump = connected(flood, tap, sample=0, processes=1, clock=monotonic)
            report = await asyncio.to_thread(pump.pour)
            arrived: list[tuple[str, bytes]] = []
            async with asyncio.timeout(SETTLE_S):
                async for message in ear.messages:
                    assert isinstance(message.payload, bytes)
                    if prefix in message.topic.value:
                        arrived.append((message.topic.value, message.payload))
                    if len(arrived) == 500:
                        break

        assert (report["sent"], report["acked"], report["refused_by_broker"]) == (500, 500, 0)
        assert report["receipts"] is None
        assert sorted(arrived) == sorted(said(flood))

    async def test_times_the_receipts_of_a_sample(
        self, mosquitto: Broker, desk: Desk, prefix: str
    ) -> None:
        """Two of five meters are listened to; each of their 20 telegrams gets its time."""
        desk.refuse = {3: "bad_shape"}
        flood = Flood(meters=5, messages=50, prefix=prefix)
        tap = Tap(host=mosquitto.host, port=mosquitto.port)
        pump = connected(flood, tap, sample=2, processes=1, clock=monotonic)

        report = await asyncio.to_thread(pump.pour)

        receipts = report["receipts"]
        assert (receipts["expected"], receipts["heard"], receipts["refused"]) == (20, 20, 2)
        assert 0 < receipts["p50_ms"] <= receipts["p99_ms"] <= receipts["max_ms"]

    async def test_says_that_receipts_are_missing(
        self, mosquitto: Broker, desk: Desk, prefix: str
    ) -> None:
        """A silent service is a finding, not a crash and not a success."""
        desk.mute = True
        flood = Flood(meters=2, messages=6, prefix=prefix)
        tap = Tap(host=mosquitto.host, port=mosquitto.port, patience_s=0.3)
        pump = connected(flood, tap, sample=2, processes=1, clock=monotonic)

        report = await asyncio.to_thread(pump.pour)

        assert report["acked"] == 6
        assert report["receipts"]["heard"] == 0
        assert report["receipts"]["p99_ms"] is None

    async def test_keeps_to_what_a_broker_takes_and_gives_up_when_it_falls_silent(self) -> None:
        """A broker that takes three gets three; one that answers nothing hangs no benchmark."""
        flood = Flood(meters=1, messages=10)
        got = bytearray()

        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"flood-0")
            writer.write(bytes.fromhex("2006000003210003"))
            while data := await reader.read(10_000):
                got.extend(data)
            writer.close()

        async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
            tap = Tap(host="127.0.0.1", port=server.sockets[0].getsockname()[1], patience_s=0.2)
            pump = await asyncio.to_thread(
                connected, flood, tap, sample=0, processes=1, clock=monotonic
            )
            with pytest.raises(PumpError, match="acknowledged nothing"):
                await asyncio.to_thread(pump.pour)

        assert bytes(got) == packets(flood, 0, 3).data


class TestFloodCommand:
    """`python -m simulators flood` ..."""

    async def test_waits_for_its_start_and_prints_one_object(
        self, mosquitto: Broker, prefix: str, tmp_path: Path
    ) -> None:
        """A benchmark starts the clock itself, after the slow signing, and registers the keys."""
        keys = tmp_path / "keys.json"

        code, out, err = await finished(
            "flood", "-h", mosquitto.host, "-p", mosquitto.port, "--prefix", prefix, "--hold",
            "-c", 3, "--messages", 30, "--signed", "--keys-out", keys, stdin="go\n",
        )  # fmt: skip

        ready, report = map(json.loads, out.splitlines())
        assert (code, err) == (0, "")
        assert ready["ready"] is True
        assert (report["codec"], report["acked"]) == ("signed", 30)
        assert report["first_publish_monotonic_s"] <= report["last_publish_monotonic_s"]
        assert [one["meter_id"] for one in json.loads(keys.read_text())["meters"]] == [
            f"{prefix}00000{number}" for number in (1, 2, 3)
        ]

    async def test_says_when_there_is_no_broker(self) -> None:
        """A wrong port is a sentence and an exit code."""
        code, out, err = await finished("flood", "-p", 1, "--messages", 1)

        assert (code, out) == (1, "")
        assert "simulators: " in err
