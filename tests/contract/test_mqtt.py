"""What the subscription promises, against real Mosquitto processes.

The publisher here speaks MQTT by hand, so that it shares no mistake with the code under test.
"""

import asyncio
import json
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zlib import crc32

import aiomqtt
import asyncpg
import mqtt5
import paho.mqtt.client as paho
import pytest

from metering.ingest import IngestCounts, ingest_once
from metering.io import link, link_codec, link_paho
from metering.io.mqtt import Backend, Handle, Subscription, SubscriptionClosedError
from metering.io.store import Store
from metering.telegram import Arrival

ROOT = Path(__file__).resolve().parents[2]
AT = datetime(2026, 3, 1, tzinfo=UTC)
INSTALLED = datetime(2026, 1, 1, tzinfo=UTC)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """A Mosquitto of our own that can be stopped, killed and started again on the same port."""

    def __init__(self, home: Path, *settings: str, persistent: bool = False) -> None:
        self.port = free_port()
        self._conf = home / "mosquitto.conf"
        lines = [
            f"listener {self.port} 127.0.0.1",
            "max_queued_messages 0",
            "max_inflight_messages 65535",
            "set_tcp_nodelay true",
            f"persistence {'true' if persistent else 'false'}",
            f"persistence_location {home}/",
            *(settings or ("allow_anonymous true",)),
        ]
        if os.geteuid() == 0:
            lines.append("user root")
        self._conf.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """Where a client connects."""
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(
            ["/usr/sbin/mosquitto", "-c", str(self._conf)], stderr=subprocess.DEVNULL
        )
        for _ in range(400):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            try:
                self._process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
        raise AssertionError("the broker did not start")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it, politely unless told otherwise."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(20)


@contextmanager
def started(home: Path, *settings: str, persistent: bool = False) -> Iterator[Broker]:
    """Run a broker for as long as the block lasts, whatever happens in it."""
    broker = Broker(home, *settings, persistent=persistent)
    try:
        yield broker
    finally:
        broker.stop()


@pytest.fixture(params=list(Backend))
def backend(request: pytest.FixtureRequest) -> Backend:
    """Return each library in turn: what is promised here, both keep."""
    found: Backend = request.param
    return found


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Return a broker that keeps everything in memory."""
    with started(tmp_path) as broker:
        yield broker


@pytest.fixture
def lasting_broker(tmp_path: Path) -> Iterator[Broker]:
    """Return a broker that writes its sessions to disk when it is stopped."""
    with started(tmp_path, persistent=True) as broker:
        yield broker


def _length(size: int) -> bytes:
    out = bytearray()
    while True:
        size, low = divmod(size, 128)
        out.append(low | (128 if size else 0))
        if not size:
            return bytes(out)


def _packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + _length(len(body)) + body


def _text(text: str) -> bytes:
    return struct.pack("!H", len(text)) + text.encode()


class Publisher:
    """An MQTT 3.1.1 publisher made by hand: QoS 1, many at once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @staticmethod
    @asynccontextmanager
    async def connect(broker: Broker, name: str = "meters") -> AsyncIterator["Publisher"]:
        """Connect for as long as the block lasts."""
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        writer.write(_packet(0x10, _text("MQTT") + b"\x04\x02\x00\x00" + _text(name)))
        assert (await reader.readexactly(4))[3] == 0
        try:
            yield Publisher(reader, writer)
        finally:
            writer.close()
            await writer.wait_closed()

    async def publish(self, messages: Iterable[tuple[str, bytes]], *, qos: int = 1) -> None:
        """Publish everything and wait until the broker has it all."""
        open_acks = 0
        for number, (topic, payload) in enumerate(messages):
            mid = struct.pack("!H", number % 65535 + 1) if qos else b""
            self._writer.write(_packet(0x30 | qos << 1, _text(topic) + mid + payload))
            open_acks += bool(qos)
            if open_acks == 500:
                await self._writer.drain()
                await self._reader.readexactly(4 * open_acks)
                open_acks = 0
        await self._writer.drain()
        await self._reader.readexactly(4 * open_acks)


def numbered(count: int, start: int = 0) -> list[tuple[str, bytes]]:
    return [("gas/v1/00/AQ-1/up/json", b"%d" % n) for n in range(start, start + count)]


def numbers(arrivals: Iterable[Arrival]) -> list[int]:
    return [int(arrival.payload) for arrival in arrivals]


def subscription(broker: Broker, backend: Backend, **more: int) -> Subscription:
    return Subscription(broker.url, client_id="ingest-test", backend=backend, **more)  # type: ignore[arg-type] # numbers only


@asynccontextmanager
async def subscribed(broker: Broker, backend: Backend, **more: int) -> AsyncIterator[Subscription]:
    async with subscription(broker, backend, **more) as listening:
        await asyncio.wait_for(listening.wait_connected(), 60)
        yield listening


async def collect(listening: Subscription, count: int) -> list[Arrival]:
    """Return that many messages, without acknowledging any."""
    found: list[Arrival] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            found += await listening.get_batch(count - len(found))
    return found


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that another process brings about and nobody announces."""
    never = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(60):
        while not true():
            await asyncio.wait([never], timeout=0.01)


async def silent(listening: Subscription, seconds: float = 0.3) -> bool:
    """Say whether nothing comes in for a while."""
    try:
        await asyncio.wait_for(listening.get_batch(1), seconds)
    except TimeoutError:
        return True
    return False


async def heard_out(broker: Broker) -> None:
    """Wait until the broker has read what a closed connection sent last.

    A new connection under the same name may overtake it; two round trips of a stranger may not.
    """
    async with Publisher.connect(broker, "stranger") as stranger:
        await stranger.publish([("elsewhere", b"")])
        await stranger.publish([("elsewhere", b"")])


@asynccontextmanager
async def worker(code: str, *arguments: str) -> AsyncIterator[asyncio.StreamReader]:
    """Run a worker in a process of its own, give out its lines, and kill it without a word."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *arguments,
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.kill()
        await process.communicate()


class TestAnUnacknowledgedMessage:
    """A message that was handed out, but not acknowledged ..."""

    async def test_comes_again_after_the_connection(self, broker: Broker, backend: Backend) -> None:
        """Only an acknowledgement takes a message from the broker."""
        async with subscribed(broker, backend) as listening, Publisher.connect(broker) as meters:
            await meters.publish(numbered(100))
            first = await collect(listening, 100)
            listening.ack(first[:60])

        async with subscribed(broker, backend) as listening:
            again = await collect(listening, 40)

            assert listening.session_present
            assert numbers(again) == list(range(60, 100))
            listening.ack(again)

        await heard_out(broker)
        async with subscribed(broker, backend) as listening:
            assert await silent(listening)

    async def test_holds_back_the_later_ones(self, broker: Broker, backend: Backend) -> None:
        """Acknowledgements go out in order of arrival, whatever order the writers finish in."""
        async with subscribed(broker, backend) as listening, Publisher.connect(broker) as meters:
            await meters.publish(numbered(10))
            arrivals = await collect(listening, 10)
            listening.ack(arrivals[5:])
            listening.ack(arrivals[5:])

            assert listening.unacknowledged == 10

        async with subscribed(broker, backend) as listening:
            again = await collect(listening, 10)
            listening.ack(again[5:])
            listening.ack(again[:5])

            assert numbers(again) == list(range(10))
            assert listening.unacknowledged == 0

        await heard_out(broker)
        async with subscribed(broker, backend) as listening:
            assert await silent(listening)

    async def test_can_be_put_back(self, broker: Broker, backend: Backend) -> None:
        """When the database was away, the same messages are the next to be tried."""
        async with subscribed(broker, backend) as listening, Publisher.connect(broker) as meters:
            await meters.publish(numbered(10))
            arrivals = await collect(listening, 10)
            listening.put_back(arrivals[:4])

            assert numbers(await listening.get_batch(3)) == [0, 1, 2]
            assert numbers(await listening.get_batch(3)) == [3]

    async def test_survives_the_worker_being_killed(self, broker: Broker, backend: Backend) -> None:
        """A killed worker takes nothing with it: what it did not acknowledge comes again."""
        async with (
            Publisher.connect(broker) as meters,
            worker(HOLDING_WORKER, broker.url, backend) as lines,
        ):
            assert await lines.readline() == b"ready\n"
            await meters.publish(numbered(1000))
            acknowledged = json.loads(await lines.readline())

        async with subscribed(broker, backend) as listening:
            again = numbers(await collect(listening, 1000 - len(acknowledged)))

        assert len(acknowledged) == 300
        assert set(range(1000)) - set(acknowledged) <= set(again) | set(acknowledged)
        assert set(again) >= set(range(300, 1000))


HOLDING_WORKER = """
import asyncio, json, sys
import structlog
from metering.io.mqtt import Backend, Subscription

async def main() -> None:
    backend = Backend(sys.argv[2])
    async with Subscription(sys.argv[1], client_id="ingest-test", backend=backend) as listening:
        await listening.wait_connected()
        print("ready", flush=True)
        held, acknowledged = 0, []
        while held < 1000:
            batch = await listening.get_batch(100)
            held += len(batch)
            if len(acknowledged) < 300:
                batch = batch[: 300 - len(acknowledged)]
                acknowledged += [int(a.payload) for a in batch]
                listening.ack(batch)
        print(json.dumps(acknowledged), flush=True)
        await asyncio.Event().wait()

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
asyncio.run(main())
"""


class TestASession:
    """The broker's memory of us ..."""

    async def test_collects_while_we_are_away(self, broker: Broker, backend: Backend) -> None:
        """Meters go on sending while a worker is replaced."""
        async with subscribed(broker, backend) as listening:
            assert not listening.session_present

        async with Publisher.connect(broker) as meters:
            await meters.publish(numbered(5000))

        async with subscribed(broker, backend) as listening:
            arrivals = await collect(listening, 5000)

            assert listening.session_present
            assert numbers(arrivals) == list(range(5000))

    async def test_is_joined_again_however_much_it_collected(
        self, broker: Broker, monkeypatch: pytest.MonkeyPatch, backend: Backend
    ) -> None:
        """However long the backlog takes to read: the answer behind it must not keep us out."""
        async with subscribed(broker, backend):
            pass
        async with Publisher.connect(broker) as meters:
            await meters.publish(numbered(10_000))
        for module in (link_codec, link_paho):
            monkeypatch.setattr(module, "ANSWER_SECONDS_MAX", 0.3)

        async with subscription(broker, backend, held_max=20_000) as listening:
            assert numbers(await collect(listening, 10_000)) == list(range(10_000))

    async def test_survives_a_restart_of_the_broker(
        self, lasting_broker: Broker, backend: Backend
    ) -> None:
        """We connect again by ourselves, and what was in flight comes again."""
        async with subscribed(lasting_broker, backend) as listening:
            async with Publisher.connect(lasting_broker) as meters:
                await meters.publish(numbered(200))
            stale = await collect(listening, 200)
            lasting_broker.stop()
            await until(lambda: not listening.connected)
            listening.ack(stale)
            listening.put_back(stale)
            lasting_broker.start()
            fresh = await collect(listening, 200)

            assert listening.session_present
            assert listening.generation > 1
            assert numbers(fresh) == list(range(200))
            assert listening.unacknowledged == 200
            listening.ack(fresh)
            assert listening.unacknowledged == 0

    async def test_lost_with_the_broker_is_made_anew(
        self, broker: Broker, backend: Backend
    ) -> None:
        """A broker that forgot us is subscribed to again; the meters still have what it had."""
        async with subscribed(broker, backend) as listening:
            broker.stop(signal.SIGKILL)
            await until(lambda: not listening.connected)
            broker.start()
            await asyncio.wait_for(listening.wait_connected(), 15)
            async with Publisher.connect(broker) as meters:
                await meters.publish(numbered(1))

            assert not listening.session_present
            assert numbers(await collect(listening, 1)) == [0]


class TestAStalePacketId:
    """A broker's number of a message, kept beyond its connection ..."""

    async def test_never_acknowledges_another_message(
        self, broker: Broker, backend: Backend
    ) -> None:
        """After a restart the broker counts from one again: the old 1 is not the new 1."""
        async with subscribed(broker, backend) as listening:
            async with Publisher.connect(broker) as meters:
                await meters.publish(numbered(1))
            stale = await collect(listening, 1)
            broker.stop(signal.SIGKILL)
            await until(lambda: not listening.connected)
            broker.start()
            await asyncio.wait_for(listening.wait_connected(), 15)
            async with Publisher.connect(broker) as meters:
                await meters.publish(numbered(1, start=7))
            fresh = await collect(listening, 1)
            assert mid(stale[0]) == mid(fresh[0])

            listening.ack(stale)

            assert listening.unacknowledged == 1

        async with subscribed(broker, backend) as listening:
            assert numbers(await collect(listening, 1)) == [7]


def mid(arrival: Arrival) -> int:
    assert isinstance(arrival.handle, Handle)
    return arrival.handle.mid


class TestASlowDatabase:
    """A worker that cannot keep up ..."""

    async def test_leaves_the_rest_with_the_broker(self, broker: Broker, backend: Backend) -> None:
        """What we hold is bounded, however much arrives; nothing is dropped to keep it so."""
        async with subscribed(broker, backend, held_max=300, receive_max=300) as listening:
            async with Publisher.connect(broker) as meters:
                await meters.publish(numbered(6000))
            found: list[Arrival] = []
            most = 0
            async with asyncio.timeout(60):
                while len(found) < 6000:
                    batch = await listening.get_batch(100)
                    found += batch
                    await asyncio.wait_for(silence(), 1)
                    most = max(most, listening.unacknowledged)
                    listening.ack(batch)

            assert numbers(found) == list(range(6000))
            assert 200 <= most <= 300

    async def test_is_bounded_in_bytes_too(self, broker: Broker, backend: Backend) -> None:
        """Large telegrams fill the memory long before their number looks large."""
        async with subscribed(broker, backend, held_bytes_max=1_000_000) as listening:
            async with Publisher.connect(broker) as meters:
                await meters.publish([("gas/v1/00/AQ-1/up/json", b"x" * 50_000)] * 200)
            await until(lambda: listening.unacknowledged >= 20)
            await silence(0.2)

            assert listening.unacknowledged == 20
            found = 0
            async with asyncio.timeout(60):
                while found < 200:
                    batch = await listening.get_batch(10)
                    listening.ack(batch)
                    found += len(batch)

    async def test_may_pause_and_resume(self, broker: Broker, backend: Backend) -> None:
        """A paused subscription is deaf, not forgetful."""
        async with subscribed(broker, backend) as listening, Publisher.connect(broker) as meters:
            listening.pause()
            await meters.publish(numbered(100))
            assert await silent(listening)

            listening.resume()

            assert numbers(await collect(listening, 100)) == list(range(100))

    async def test_may_be_away_longer_than_the_keep_alive(
        self, broker: Broker, backend: Backend
    ) -> None:
        """A long pause costs the connection, and nothing else."""
        async with subscribed(broker, backend, keepalive_seconds=1) as listening:
            async with Publisher.connect(broker) as meters:
                await meters.publish(numbered(50))
                stale = await collect(listening, 50)
                listening.pause()
                await meters.publish(numbered(50, start=50))
            await until(lambda: listening.generation > 1)
            listening.ack(stale)
            listening.resume()

            assert sorted(numbers(await collect(listening, 100))) == list(range(100))


async def silence(seconds: float = 0.002) -> None:
    """Give the event loop some turns."""
    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=seconds)


class TestAStrangeMessage:
    """What meters do not normally send ..."""

    async def test_of_quality_zero_needs_no_acknowledgement(
        self, broker: Broker, backend: Backend
    ) -> None:
        """A careless publisher is heard, and never blocks the careful ones."""
        async with subscribed(broker, backend) as listening, Publisher.connect(broker) as meters:
            await meters.publish(numbered(3), qos=0)
            await meters.publish(numbered(3, start=3))
            arrivals = await collect(listening, 6)
            listening.ack(arrivals)

            assert sorted(numbers(arrivals)) == list(range(6))
            assert listening.unacknowledged == 0

    async def test_of_enormous_size_does_not_stop_the_line(
        self, broker: Broker, backend: Backend
    ) -> None:
        """Two megabytes stay away, half a megabyte comes in and can be refused by name."""
        async with subscribed(broker, backend) as listening, Publisher.connect(broker) as meters:
            where = "gas/v1/00/AQ-1/up/json"
            await meters.publish([(where, b"x" * 2_000_000), (where, b"x" * 500_000)])
            await meters.publish(numbered(1))
            arrivals = await collect(listening, 2)
            listening.ack(arrivals)

            assert [len(arrival.payload) for arrival in arrivals] == [500_000, 1]

        await heard_out(broker)
        async with subscribed(broker, backend) as listening:
            assert await silent(listening)

    async def test_retained_is_delivered_once_per_session(
        self, broker: Broker, backend: Backend
    ) -> None:
        """A retained uplink must not be ingested again at every reconnect."""
        async with aiomqtt.Client("127.0.0.1", broker.port) as meter:
            await meter.publish("gas/v1/00/AQ-1/up/json", b"5", qos=1, retain=True)

        async with subscribed(broker, backend) as listening:
            arrivals = await collect(listening, 1)
            assert arrivals[0].retained
            listening.ack(arrivals)

        await heard_out(broker)
        async with subscribed(broker, backend) as listening:
            assert await silent(listening)


class TestAReceipt:
    """A message of ours to a meter ..."""

    @pytest.mark.timeout(90)
    async def test_reaches_the_broker_and_stays_there(
        self, broker: Broker, backend: Backend
    ) -> None:
        """A meter that sleeps finds its receipt when it wakes; there may be many at once."""
        async with subscribed(broker, backend) as listening:
            for n in range(3000):
                assert await listening.publish(f"down/{n}", b"%d" % n, retain=True)
            # Closing waits some seconds only: a slow machine would rightly lose the rest.
            outbound = listening._outbound.link
            assert outbound is not None
            await until(lambda: outbound.publishing == 0)

        async with aiomqtt.Client("127.0.0.1", broker.port) as meter:
            await meter.subscribe("down/+", qos=1)
            found = set()
            async with asyncio.timeout(60):
                async for message in meter.messages:
                    found.add(int(bytes(message.payload)))
                    if len(found) == 3000:
                        break
        assert found == set(range(3000))

    async def test_does_not_wait_for_what_is_not_read(
        self, broker: Broker, backend: Backend
    ) -> None:
        """While too much is held nothing is read; answers to receipts must come all the same."""
        async with subscribed(broker, backend, held_max=10) as listening:
            async with Publisher.connect(broker) as meters:
                await meters.publish(numbered(1000))
            await until(lambda: listening.unacknowledged == 10)
            listening.pause()

            async with asyncio.timeout(60):
                for n in range(3000):
                    assert await listening.publish(f"down/{n}", b"", retain=False)

            assert listening.unacknowledged == 10

    async def test_keeps_within_what_the_broker_allows(
        self, tmp_path: Path, backend: Backend
    ) -> None:
        """A broker may allow twenty unanswered messages and end the connection at the next."""
        with started(tmp_path, "allow_anonymous true", "max_inflight_messages 20") as broker:
            async with subscribed(broker, backend) as listening:
                link_out = listening._outbound.link
                assert link_out is not None
                for n in range(500):
                    assert await listening.publish(f"down/{n}", b"", retain=False)
                    assert link_out.publishing <= 20

                assert listening._outbound.link is link_out

    async def test_is_not_sent_without_a_connection(self, broker: Broker, backend: Backend) -> None:
        """The caller is told; the meter will ask again."""
        async with subscribed(broker, backend) as listening:
            broker.stop()
            await until(lambda: not listening.connected)

            assert not await listening.publish("down/1", b"", retain=True)
            broker.start()


class TestOpening:
    """Finding the broker ..."""

    async def test_waits_for_a_broker_that_is_not_there_yet(
        self, tmp_path: Path, backend: Backend
    ) -> None:
        """Services start in any order."""
        with started(tmp_path) as broker:
            broker.stop()
            async with subscription(broker, backend) as listening:
                broker.start()
                await asyncio.wait_for(listening.wait_connected(), 15)

                assert listening.connected

    async def test_gives_up_waiting_at_once_when_closed(
        self, tmp_path: Path, backend: Backend
    ) -> None:
        """Closing does not wait for the next attempt."""
        with started(tmp_path) as broker:
            broker.stop()
            async with asyncio.timeout(5):
                async with subscription(broker, backend) as listening:
                    waiter = asyncio.create_task(listening.get_batch(1))
                    await until(lambda: listening.generation > 2)

                with pytest.raises(SubscriptionClosedError):
                    await waiter

    async def test_keeps_trying_when_it_is_refused(self, tmp_path: Path, backend: Backend) -> None:
        """A wrong password may be put right at the broker; we are never half connected."""
        with started(tmp_path, "allow_anonymous false") as broker:
            async with subscription(broker, backend) as listening:
                await until(lambda: listening.generation > 2)

                assert not listening.connected

    async def test_uses_the_password_of_the_url(self, tmp_path: Path, backend: Backend) -> None:
        """Reserved characters are spelled in percent, as in any URL."""
        passwords = tmp_path / "passwords"
        passwords.touch(mode=0o600)
        subprocess.run(
            ["/usr/bin/mosquitto_passwd", "-b", str(passwords), "ingest", "p@ss/w"], check=True
        )
        with started(tmp_path, "allow_anonymous false", f"password_file {passwords}") as broker:
            url = f"mqtt://ingest:p%40ss%2Fw@127.0.0.1:{broker.port}"
            async with Subscription(url, client_id="ingest-test", backend=backend) as listening:
                await asyncio.wait_for(listening.wait_connected(), 60)

    async def test_speaks_tls(self, tmp_path: Path, backend: Backend) -> None:
        """Encrypted, verified, and with pauses that leave bytes inside the TLS layer."""
        cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
        subprocess.run(
            ["/usr/bin/openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", str(key), "-out", str(cert)],
            check=True, capture_output=True,
        )  # fmt: skip
        port = free_port()
        with started(
            tmp_path, "allow_anonymous true", f"listener {port} 127.0.0.1",
            f"certfile {cert}", f"keyfile {key}", "allow_anonymous true",
        ) as broker:  # fmt: skip
            context = ssl.create_default_context(cafile=str(cert))
            async with Subscription(
                f"mqtts://127.0.0.1:{port}",
                client_id="ingest-test",
                backend=backend,
                tls_context=context,
                held_max=100,
            ) as listening:
                await asyncio.wait_for(listening.wait_connected(), 60)
                async with Publisher.connect(broker) as meters:
                    await meters.publish(numbered(3000))
                found: list[int] = []
                async with asyncio.timeout(60):
                    while len(found) < 3000:
                        batch = await listening.get_batch(50)
                        found += numbers(batch)
                        assert listening.unacknowledged <= 100
                        listening.ack(batch)

            assert found == list(range(3000))

    @pytest.mark.parametrize(
        ("url", "host", "port", "tls"),
        [
            ("mqtt://broker", "broker", 1883, False),
            ("mqtts://broker", "broker", 8883, True),
            ("mqtt://[::1]:99", "::1", 99, False),
        ],
    )
    def test_reads_the_url(self, url: str, host: str, port: int, *, tls: bool) -> None:
        """The ports of the standard, unless one is named."""
        address = link.parse_url(url)

        assert (address.host, address.port, address.tls) == (host, port, tls)

    @pytest.mark.parametrize(
        "url",
        ["", "broker:1883", "http://broker", "mqtt://", "mqtt://broker:x", "mqtt://broker/topic"],
    )
    def test_refuses_another_url(self, url: str) -> None:
        """A typing mistake is found at start, and its text does not repeat the password."""
        with pytest.raises(link.BrokerUrlError):
            link.parse_url(url)

    def test_hides_the_password(self) -> None:
        """What is printed by mistake does not open the broker."""
        assert "secret" not in repr(link.parse_url("mqtt://me:secret@broker"))

    @pytest.mark.parametrize("name", ["ack", "manual_ack_set", "_sock_close"])
    async def test_refuses_another_paho(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        """A library that would acknowledge by itself must not get as far as a connection."""
        monkeypatch.setattr(paho.Client, name, None)

        with pytest.raises(link.MqttAdapterError):
            await subscription_to_nowhere(Backend.PAHO).__aenter__()

    async def test_refuses_a_paho_that_ignores_the_switch(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The method being there is not enough."""
        monkeypatch.setattr(paho.Client, "manual_ack_set", lambda *_: None)

        with pytest.raises(link.MqttAdapterError):
            await subscription_to_nowhere(Backend.PAHO).__aenter__()

    @pytest.mark.parametrize("answer", [(None, 3), (None, 4)])
    async def test_refuses_another_codec(
        self, monkeypatch: pytest.MonkeyPatch, answer: tuple[None, int]
    ) -> None:
        """One that miscounts, or takes half a packet for a whole, would garble all that follows."""
        monkeypatch.setattr(mqtt5, "read", lambda _: answer)

        with pytest.raises(link.MqttAdapterError):
            await subscription_to_nowhere(Backend.CODEC).__aenter__()


def subscription_to_nowhere(backend: Backend) -> Subscription:
    return Subscription("mqtt://127.0.0.1:1", client_id="ingest-test", backend=backend)


class FixedClock:
    """It is always the same moment."""

    def now(self) -> datetime:
        """Return that moment."""
        return AT


async def town(owner: asyncpg.Connection, meters: int) -> list[str]:
    """Register and install that many meters."""
    ids = [f"AQ-{n:06d}" for n in range(meters)]
    await owner.executemany(
        "INSERT INTO meter VALUES ($1, 100000000, 1, 6000, true, $2)",
        [(meter, INSTALLED) for meter in ids],
    )
    await owner.executemany(
        "INSERT INTO installation VALUES ($1, $2, 'A-1', 'SP-1', 0)",
        [(meter, INSTALLED) for meter in ids],
    )
    return ids


def telegrams(meters: Sequence[str], days: int) -> list[tuple[str, bytes]]:
    return [
        (
            f"gas/v1/{crc32(meter.encode()) % 64:02d}/{meter}/up/json",
            json.dumps(
                {
                    "meter": meter,
                    "counter": day,
                    "readings": [
                        {"at": (INSTALLED + timedelta(days=day)).isoformat(), "dm3": 1000 * day}
                    ],
                }
            ).encode(),
        )
        for day in range(1, days + 1)
        for meter in meters
    ]


@pytest.mark.slow
@pytest.mark.timeout(180)
class TestTheWholeLine:
    """From the broker to the database and back ..."""

    async def test_loses_and_doubles_none_of_thirty_thousand(
        self, broker: Broker, pool: asyncpg.Pool, owner: asyncpg.Connection, backend: Backend
    ) -> None:
        """Every telegram is stored once, billable, and its counter is receipted."""
        messages = telegrams(await town(owner, 1000), days=30)
        store = Store(pool)
        total = IngestCounts()
        async with (
            subscribed(broker, backend, held_max=8000) as listening,
            aiomqtt.Client("127.0.0.1", broker.port, protocol=aiomqtt.ProtocolVersion.V5) as meter,
            Publisher.connect(broker) as meters,
        ):
            await meter.subscribe("gas/v1/+/+/down/receipt", qos=1)
            publishing = asyncio.create_task(meters.publish(messages))
            started = time.perf_counter()
            while total.telegrams < 30_000:
                total += await ingest_once(listening, store, FixedClock())
                assert listening.unacknowledged <= 8000
            seconds = time.perf_counter() - started
            await publishing
            receipted: Counter[str] = Counter()
            async for message in meter.messages:
                body = json.loads(bytes(message.payload))
                receipted.update({body["meter"]: len(body["receipts"])})
                if receipted.total() == 30_000:
                    break
        print(f"\n30,000 telegrams in {seconds:.1f} s: {30_000 / seconds:.0f}/s")  # noqa: T201 - a measurement

        assert (total.stored, total.repeated, total.refused) == (30_000, 0, 0)
        assert set(receipted.values()) == {30}
        assert await owner.fetchval("SELECT count(*) FROM telegram") == 30_000
        assert (
            await owner.fetchval(
                "SELECT count(*) FROM reading WHERE verdict = 'billable'"
                " AND register_dm3 = 1000 * counter"
            )
            == 30_000
        )

    async def test_survives_its_worker_being_killed_again_and_again(
        self, broker: Broker, database_url: str, owner: asyncpg.Connection, backend: Backend
    ) -> None:
        """Killed three times in the middle of its work: nothing lost, nothing twice."""
        messages = telegrams(await town(owner, 500), days=10)

        async with subscribed(broker, backend):
            pass  # So that the session is there before the first message.
        async with Publisher.connect(broker) as meters:
            publishing = asyncio.create_task(meters.publish(messages))
            for kill in range(3):
                async with worker(INGESTING_WORKER, broker.url, backend, database_url) as lines:
                    for _ in range(1 + kill):
                        assert re.match(rb"written", await lines.readline())
            await publishing
        stored = 0
        async with worker(INGESTING_WORKER, broker.url, backend, database_url), asyncio.timeout(60):
            while stored < 5_000:
                await silence(0.1)
                stored = await owner.fetchval("SELECT count(*) FROM telegram")

        assert await owner.fetchval("SELECT count(*) FROM reading") == 5_000
        assert (
            await owner.fetchval("SELECT count(DISTINCT (meter_id, register_dm3)) FROM reading")
            == 5_000
        )


INGESTING_WORKER = """
import asyncio, sys
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
import asyncpg
import structlog
from metering.ingest import ingest_batch
from metering.io.mqtt import Backend, Subscription
from metering.io.store import Store

class SlowStore(Store):
    # Says when it has written, and takes its time to commit: the best moment to be killed.

    @asynccontextmanager
    async def batch(self, telegrams, **more):
        async with super().batch(telegrams, **more) as batch:
            yield batch
            print("written", flush=True)
            await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.1)

async def main() -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    role, backend = {"role": "aqkol_service"}, Backend(sys.argv[2])
    async with (
        asyncpg.create_pool(sys.argv[3], min_size=1, server_settings=role) as pool,
        Subscription(sys.argv[1], client_id="ingest-test", backend=backend) as listening,
    ):
        store = SlowStore(pool)
        while True:
            arrivals = await listening.get_batch(500)
            await ingest_batch(arrivals, subscription=listening, store=store, at=at)

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
asyncio.run(main())
"""
