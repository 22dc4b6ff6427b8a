"""What the subscription does byte by byte, against a broker made by hand.

Mosquitto never sends nonsense, never splits a packet where it hurts and does not say how many
packets came in one piece. So the broker here is a script that speaks MQTT 5 in bytes.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Self

import pytest
from structlog.testing import capture_logs

from metering.io.link import ANSWER_SECONDS_MAX, PACKET_BYTES_MAX, Terms, parse_url
from metering.io.link_codec import CodecLink
from metering.io.mqtt import Backend, Subscription
from metering.telegram import Arrival

TOPIC = b"gas/v1/00/AQ-1/up/json"
WELCOME = b"\x20\x03\x00\x00\x00"
SUBSCRIBE = 0x82
UNSUBSCRIBE = 0xA2
WELCOME_BACK = b"\x20\x03\x01\x00\x00"


def number(value: int) -> bytes:
    """Spell a length as MQTT does."""
    out = bytearray()
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    return bytes([*out, value])


def message(mid: int, payload: bytes, *, topic: bytes = TOPIC, qos: int = 1) -> bytes:
    """Spell a PUBLISH."""
    body = len(topic).to_bytes(2, "big") + topic
    body += (mid.to_bytes(2, "big") if qos else b"") + b"\x00" + payload
    return bytes([0x30 | qos << 1]) + number(len(body)) + body


def puback(mid: int) -> bytes:
    """Spell an acknowledgement."""
    return b"\x40\x02" + mid.to_bytes(2, "big")


class Line:
    """The broker's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        # What came between the CONNECT and the SUBSCRIBE, and that one.
        self.opening: list[bytes] = []

    async def packet(self) -> bytes:
        """Read one packet."""
        async with asyncio.timeout(10):
            head = await self._reader.readexactly(2)
            length, shift = head[1] & 127, 7
            while head[-1] & 128:
                head += await self._reader.readexactly(1)
                length |= (head[-1] & 127) << shift
                shift += 7
            return head + await self._reader.readexactly(length)

    async def say(self, said: bytes) -> None:
        """Send bytes."""
        self._writer.write(said)
        await self._writer.drain()

    async def rest(self) -> bytes:
        """Read until the other side has closed."""
        async with asyncio.timeout(10):
            return await self._reader.read()

    def hang_up(self) -> None:
        """Close."""
        self._writer.close()


class Peer:
    """A broker that greets, and then does what its test says."""

    def __init__(self, welcome: bytes, *, grant: bytes = b"\x01") -> None:
        self._welcome, self._grant = welcome, grant
        self._uplinks: asyncio.Queue[Line] = asyncio.Queue()
        self._receipts: asyncio.Queue[Line] = asyncio.Queue()
        self._lines: list[Line] = []
        self._server: asyncio.Server | None = None
        # Whether somebody has asked to subscribe, and whether he is answered.
        self.asked, self.answering = asyncio.Event(), asyncio.Event()
        self.answering.set()

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"mqtt://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._greet, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for line in self._lines:
            line.hang_up()

    async def uplinks(self) -> Line:
        """Return the next connection that subscribes."""
        async with asyncio.timeout(10):
            return await self._uplinks.get()

    async def receipts(self) -> Line:
        """Return the next connection that publishes."""
        async with asyncio.timeout(10):
            return await self._receipts.get()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer)
        self._lines.append(line)
        connect = await line.packet()
        await line.say(self._welcome)
        if b"-receipts" in connect:
            self._receipts.put_nowait(line)
            return
        while not line.opening or line.opening[-1][0] != SUBSCRIBE:
            line.opening.append(await line.packet())
        self.asked.set()
        await self.answering.wait()
        asked = line.opening[-1]
        answer = asked[2:4] + b"\x00" + self._grant * asked.count(b"gas/")
        await line.say(b"\x90" + number(len(answer)) + answer)
        self._uplinks.put_nowait(line)


@pytest.fixture(params=list(Backend))
def backend(request: pytest.FixtureRequest) -> Backend:
    """Return each library in turn."""
    found: Backend = request.param
    return found


@asynccontextmanager
async def met(
    backend: Backend, welcome: bytes = WELCOME
) -> AsyncIterator[tuple[Subscription, Peer, Line, Line]]:
    """Return a subscription and both its lines, as the broker sees them."""
    async with Peer(welcome) as peer:
        listening = Subscription(peer.url, client_id="wire-test", backend=backend)
        async with listening:
            await asyncio.wait_for(listening.wait_connected(), 10)
            yield listening, peer, await peer.uplinks(), await peer.receipts()
            for line in peer._lines:
                line.hang_up()


async def collect(listening: Subscription, count: int) -> list[Arrival]:
    found: list[Arrival] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            found += await listening.get_batch(count - len(found))
    return found


class TestAPacket:
    """What the broker sends ..."""

    async def test_may_come_in_pieces(self, backend: Backend) -> None:
        """A network cuts where it likes: here at every byte of a message, one after another."""
        whole = message(1, b"x" * 200)
        async with met(backend) as (listening, _, uplinks, _):
            for cut in range(1, len(whole)):
                await uplinks.say(whole[:cut])
                await asyncio.wait_for(settle(), 1)
                assert listening.unacknowledged == 0
                await uplinks.say(whole[cut:])
                arrivals = await collect(listening, 1)

                assert arrivals[0].payload == b"x" * 200
                listening.ack(arrivals)
                assert await uplinks.packet() == puback(1)

    async def test_may_come_with_others(self, backend: Backend) -> None:
        """Many messages and the beginning of one more in one piece."""
        said = b"".join(message(n, b"%d" % n) for n in range(1, 51))
        async with met(backend) as (listening, _, uplinks, _):
            await uplinks.say(said + message(51, b"51")[:9])
            first = await collect(listening, 50)
            await uplinks.say(message(51, b"51")[9:])

            assert [int(a.payload) for a in first + await collect(listening, 1)] == list(
                range(1, 52)
            )

    async def test_may_be_as_large_as_we_allow(self, backend: Backend) -> None:
        """One byte less would refuse what we told the broker we take."""
        payload = b"x" * (PACKET_BYTES_MAX - 4 - 2 - len(TOPIC) - 2 - 1)
        assert len(message(1, payload)) == PACKET_BYTES_MAX
        async with met(backend) as (listening, _, uplinks, _):
            await uplinks.say(message(1, payload))

            assert (await collect(listening, 1))[0].payload == payload

    # The codec panics at such a text, and PyO3 says so where pytest hears it.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    async def test_with_an_unreadable_topic_is_handed_on(self, backend: Backend) -> None:
        """A topic that is no text would otherwise come again for ever and end each connection."""
        async with met(backend) as (listening, _, uplinks, _):
            await uplinks.say(message(9, b"1", topic=b"gas/\xff") + message(10, b"2"))
            arrivals = await collect(listening, 2)
            listening.ack(arrivals)

            assert [(a.topic, a.payload) for a in arrivals] == [("", b"1"), (TOPIC.decode(), b"2")]
            assert [await uplinks.packet(), await uplinks.packet()] == [puback(9), puback(10)]
            assert listening.generation == 1

    async def test_of_quality_two_is_answered_when_it_is_stored(self, backend: Backend) -> None:
        """We ask for less, but a session of old may hold some, and must be emptied."""
        async with met(backend) as (listening, _, uplinks, _):
            await uplinks.say(message(7, b"1", qos=2))
            if backend is Backend.PAHO:
                # It says at once that it has heard, and hands on when the broker says: now.
                assert await uplinks.packet() == b"\x50\x02\x00\x07"
                await uplinks.say(b"\x62\x02\x00\x07")
                listening.ack(await collect(listening, 1))
            else:
                listening.ack(await collect(listening, 1))
                assert await uplinks.packet() == b"\x50\x02\x00\x07"
                await uplinks.say(b"\x62\x02\x00\x07")

            assert await uplinks.packet() == b"\x70\x02\x00\x07"


async def settle() -> None:
    """Let what is under way on the loopback arrive."""
    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.003)


class TestNonsense:
    """A peer that does not speak MQTT, or speaks it badly ..."""

    @pytest.mark.parametrize(
        ("said", "reason"),
        [
            (b"HTTP/1.1 400 Bad Request\r\n" + b"x" * 80, "cannot be read"),
            (b"\x00\x00", "cannot be read"),
            (b"\x32\xff\xff\xff\xff\x01", "cannot be read"),
            (b"\x36\x07\x00\x01a\x00\x01\x00x", "cannot be read"),
            (b"\x32\x05\x00\x20abc", "cannot be read"),
            (b"\x32\x06\x00\x04a\xff\x00\x09", "cannot be read"),
            (b"\x32" + number(PACKET_BYTES_MAX), "1048580 bytes"),
            (b"\x32\xff\xff\xff\x7f", "268435460 bytes"),
            (b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00", "ConnectPacket out of place"),
            (WELCOME, "ConnAckPacket out of place"),
            (b"\xe0\x01\x8e", "session_taken_over"),
            (b"\xe0\x00", "normal_disconnection"),
        ],
    )
    # The codec panics at such a text, and PyO3 says so where pytest hears it.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    async def test_ends_the_connection_with_its_reason(self, said: bytes, reason: str) -> None:
        """What is behind it cannot be trusted; the broker sends again what matters."""
        with capture_logs() as logs:
            async with met(Backend.CODEC) as (listening, peer, uplinks, _):
                await uplinks.say(message(1, b"before") + said)
                assert await uplinks.rest() == b""
                again = await peer.uplinks()
                await again.say(message(1, b"after"))
                arrivals = await collect(listening, 1)

        assert arrivals[0].payload == b"after"
        reasons = [entry["reason"] for entry in logs if entry["event"] == "connection.ended"]
        assert len(reasons) == 1
        assert reason in reasons[0]

    @pytest.mark.parametrize("said", [message(1, b"x"), b"\xd0\x00"])
    async def test_before_the_greeting_is_not_heard(self, said: bytes) -> None:
        """Whoever speaks first is no broker."""
        with capture_logs() as logs:
            async with (
                Peer(said) as peer,
                asyncio.timeout(10),
                Subscription(peer.url, client_id="wire-test") as listening,
            ):
                await until_logged(logs, "broker.unreachable")

                assert listening.unacknowledged == 0
                assert not listening.connected

        assert {e["reason"] for e in logs if e["event"] == "connection.ended"} == {
            "the broker spoke before its greeting"
        }

    async def test_that_refuses_a_topic_is_no_connection(self, backend: Backend) -> None:
        """Half of the meters is not a subscription."""
        with capture_logs() as logs:
            async with Peer(WELCOME, grant=b"\x87") as peer, asyncio.timeout(10):
                refused = Subscription(peer.url, client_id="wire-test", backend=backend)
                async with refused as listening:
                    await until_logged(logs, "broker.unreachable")

                    assert not listening.connected
                    (await peer.receipts()).hang_up()

        assert "subscription.refused" in {entry["event"] for entry in logs}

    async def test_that_leaves_a_ping_unanswered_is_left(self) -> None:
        """How often is the broker's to say: here each second, though we wanted each minute."""
        with capture_logs() as logs:
            async with met(Backend.CODEC, b"\x20\x06\x00\x00\x03\x13\x00\x01") as (
                _,
                _,
                uplinks,
                _,
            ):
                assert await uplinks.packet() == b"\xc0\x00"
                await uplinks.say(b"\xd0\x00")
                assert await uplinks.packet() == b"\xc0\x00"
                assert await uplinks.rest() == b""

        reasons = [entry["reason"] for entry in logs if entry["event"] == "connection.ended"]
        assert "the broker does not answer" in reasons


async def until_logged(logs: Sequence[Mapping[str, object]], event: str) -> None:
    """Wait for something that is only logged."""
    while event not in {entry["event"] for entry in logs}:
        await settle()


class TestAcknowledgements:
    """What we tell the broker of a batch ..."""

    async def test_keep_the_order_of_arrival(self, backend: Backend) -> None:
        """The standard asks for it, and some broker may insist."""
        async with met(backend) as (listening, _, uplinks, _):
            await uplinks.say(b"".join(message(n, b"x") for n in (5, 3, 9, 4)))
            arrivals = await collect(listening, 4)
            listening.ack(arrivals[2:])
            listening.ack(arrivals[:2])

            assert [await uplinks.packet() for _ in range(4)] == [
                puback(5), puback(3), puback(9), puback(4),
            ]  # fmt: skip

    async def test_leave_in_one_write(self) -> None:
        """A packet each would cost the broker a wake-up each."""
        transport = RecordingTransport()
        link = CodecLink(terms(), ignore)
        link.connection_made(transport)

        link.ack([(5, 1), (0, 0), (3, 1), (9, 1)])

        assert transport.written == [puback(5) + puback(3) + puback(9)]

    async def test_are_heard_before_we_go(self, backend: Backend) -> None:
        """With more to read than anybody wants, the last word still leaves, and leaves at once."""
        async with Peer(WELCOME) as peer, asyncio.timeout(ANSWER_SECONDS_MAX - 1):
            async with Subscription(peer.url, client_id="wire-test", backend=backend) as listening:
                await asyncio.wait_for(listening.wait_connected(), 10)
                uplinks, receipts = await peer.uplinks(), await peer.receipts()
                await uplinks.say(message(1, b"1"))
                arrivals = await collect(listening, 1)
                listening.pause()
                await uplinks.say(message(2, b"x" * 100_000))
                listening.ack(arrivals)
                ends = asyncio.gather(*(close_after(line) for line in (uplinks, receipts)))
            heard = (await ends)[0]

        assert heard.startswith(puback(1))


async def close_after(line: Line) -> bytes:
    """Do as a broker does: read to the end, then close."""
    heard = await line.rest()
    line.hang_up()
    return heard


class TestManyReceipts:
    """Messages of ours that leave together ..."""

    async def test_are_counted_and_keep_their_order(self, backend: Backend) -> None:
        """What is returned is what is under way."""
        async with met(backend) as (listening, _, _, receipts):
            sent = await listening.publish_many([("down/1", b"1", True), ("down/2", b"2", False)])

            assert sent == 2
            first, second = await receipts.packet(), await receipts.packet()
            assert (first[0], first[4:10], first[-1:]) == (0x33, b"down/1", b"1")
            assert (second[0], second[4:10], second[-1:]) == (0x32, b"down/2", b"2")

    async def test_leave_in_one_write(self) -> None:
        """Two thousand receipts are not two thousand system calls."""
        transport = RecordingTransport()
        link = CodecLink(terms(), ignore)
        link.connection_made(transport)

        assert link.publish([("a", b"1", True), ("b", b"2", False)]) == 2

        assert transport.written == [
            b"\x33\x07\x00\x01a\x00\x01\x001\x32\x07\x00\x01b\x00\x02\x002"
        ]

    async def test_never_share_a_number(self) -> None:
        """There are 65,535; one that is not answered yet must be passed over the next time."""
        transport = RecordingTransport()
        link = CodecLink(terms(), ignore)
        link.connection_made(transport)
        link.data_received(WELCOME)
        link.read(on=True)
        link.publish([("down/1", b"", False)])

        for mid in range(2, 65_536):
            link.publish([("down/1", b"", False)])
            link.data_received(puback(mid))
        link.publish([("down/1", b"", False)])

        assert [mid_of(said) for said in transport.written] == [*range(1, 65_536), 2]
        assert link.publishing == 2

    async def test_wait_for_room(self, backend: Backend) -> None:
        """This broker allows three unanswered messages, and is never sent a fourth."""
        async with met(backend, b"\x20\x06\x00\x00\x03\x21\x00\x03") as (listening, _, _, receipts):
            publishing = asyncio.create_task(
                listening.publish_many([(f"down/{n}", b"", False) for n in range(5)])
            )
            mids = [mid_of(await receipts.packet()) for _ in range(3)]
            await settle()
            assert not publishing.done()
            await receipts.say(puback(mids[0]) + puback(mids[1]))

            mids += [mid_of(await receipts.packet()) for _ in range(2)]
            assert await publishing == 5
            assert len(set(mids)) == 5

    async def test_stop_waiting_when_the_connection_is_lost(self, backend: Backend) -> None:
        """Nobody will ever make room; the caller is told how many had left."""
        async with met(backend, b"\x20\x06\x00\x00\x03\x21\x00\x03") as (listening, _, _, receipts):
            publishing = asyncio.create_task(
                listening.publish_many([(f"down/{n}", b"", False) for n in range(5)])
            )
            for _ in range(3):
                await receipts.packet()
            receipts.hang_up()

            assert await asyncio.wait_for(publishing, 5) == 3

    async def test_are_none_without_a_connection(self, backend: Backend) -> None:
        """The caller is told; the meters will ask again."""
        listening = Subscription("mqtt://127.0.0.1:1", client_id="wire-test", backend=backend)

        assert await listening.publish_many([("down/1", b"", True)]) == 0


def mid_of(publish: bytes) -> int:
    """Return the number of a PUBLISH of ours, whose topic is six characters long."""
    return int.from_bytes(publish[10:12], "big")


class TestTopics:
    """What is listened to ..."""

    async def test_may_change_while_connected(self, backend: Backend) -> None:
        """A process takes a bucket over, and gives another away."""
        async with met(backend) as (listening, _, uplinks, _):
            listening.subscribe(["gas/v1/07/+/up"])
            assert (await uplinks.packet()).endswith(b"\x00\x0egas/v1/07/+/up\x11")

            listening.unsubscribe(["gas/v1/07/+/up"])
            assert (await uplinks.packet()).endswith(b"\x00\x0egas/v1/07/+/up")

    async def test_are_asked_for_again_after_the_connection(self, backend: Backend) -> None:
        """And what was given away meanwhile is given away in the session too."""
        async with (
            Peer(WELCOME_BACK) as peer,
            Subscription(
                peer.url, client_id="wire-test", backend=backend, topics=("gas/a", "gas/b")
            ) as listening,
        ):
            line, receipts = await peer.uplinks(), await peer.receipts()
            await asyncio.wait_for(listening.wait_connected(), 10)
            listening.subscribe(["gas/c"])
            assert b"gas/c" in await line.packet()
            listening.unsubscribe(["gas/a"])
            assert b"gas/a" in await line.packet()
            line.hang_up()
            again = await peer.uplinks()
            again.hang_up()
            receipts.hang_up()

        dropped, asked = again.opening
        assert (dropped[0], asked[0]) == (UNSUBSCRIBE, SUBSCRIBE)
        assert b"gas/a" in dropped
        assert b"gas/a" not in asked
        assert b"gas/b" in asked
        assert b"gas/c" in asked

    async def test_may_change_while_the_connection_is_made(self, backend: Backend) -> None:
        """Otherwise they would be asked for when it is lost, which may be in a year."""
        async with Peer(WELCOME) as peer:
            peer.answering.clear()
            async with Subscription(
                peer.url, client_id="wire-test", backend=backend, topics=("gas/a",)
            ) as listening:
                await asyncio.wait_for(peer.asked.wait(), 10)
                listening.unsubscribe(["gas/a"])
                listening.subscribe(["gas/b"])
                peer.answering.set()

                uplinks, receipts = await peer.uplinks(), await peer.receipts()
                dropped, asked = await uplinks.packet(), await uplinks.packet()
                uplinks.hang_up()
                receipts.hang_up()

        assert (dropped[0], asked[0]) == (UNSUBSCRIBE, SUBSCRIBE)
        assert (b"gas/a" in dropped, b"gas/b" in asked) == (True, True)

    async def test_are_asked_for_in_small_packets(self, backend: Backend) -> None:
        """A broker that takes packets of 65 KiB must not throw us out for a town's sources."""
        async with met(backend) as (listening, _, uplinks, _):
            topics = [f"gas/{n:03}/{'x' * 250}" for n in range(120)]
            listening.subscribe(topics)
            asked = [await uplinks.packet() for _ in range(3)]
            listening.unsubscribe(topics)
            dropped = [await uplinks.packet() for _ in range(3)]

        assert [packet[0] for packet in asked + dropped] == [SUBSCRIBE] * 3 + [UNSUBSCRIBE] * 3
        for packets in (asked, dropped):
            assert [packet.count(b"gas/") for packet in packets] == [50, 50, 20]


class RecordingTransport(asyncio.Transport):
    """Keeps every write apart."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def pause_reading(self) -> None:
        """Nothing comes in by itself."""

    def resume_reading(self) -> None:
        """Nothing comes in by itself."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        self.written.append(bytes(data))


def terms() -> Terms:
    return Terms(
        broker=parse_url("mqtt://127.0.0.1"),
        client_id="wire-test",
        session=True,
        topics=(),
        keepalive_seconds=60,
        receive_max=10,
        tls_context=None,
    )


def ignore(*_: object) -> None:
    """Take a message and do nothing."""
