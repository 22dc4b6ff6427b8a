"""One connection to a broker: an aiomqtt client that is used once and thrown away.

Everything that reaches below aiomqtt's public names stands in this module, and ``check`` proves at
start that it is there. Two things are: ``_client``, the paho client inside, for its documented
manual acknowledgement and reading, and paho's ``_sock_close``, to let go of a connection at once.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import aiomqtt
import paho.mqtt.client as paho
import structlog
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

# Long enough for a worker to be mended. Meters keep what we never receipted, so even a session
# that is gone loses nothing.
SESSION_EXPIRY_SECONDS: Final = 7 * 24 * 3600
# Sixteen times the largest telegram, so that a too large one arrives and is refused by name.
# A broker silently drops what is larger still.
PACKET_BYTES_MAX: Final = 1024 * 1024
# How long the broker may take to answer a CONNECT, SUBSCRIBE or DISCONNECT.
ANSWER_SECONDS_MAX: Final = 5.0
# Between two looks at whether the socket takes what is still to be sent when we close.
FLUSH_SECONDS: Final = 0.01
# How much of what nobody wants to read any more is thrown away at once.
UNREAD_BYTES: Final = 65_536
# Packets read before the rest of the process gets its turn.
PACKETS_PER_TURN: Final = 200
# Our messages the broker has not acknowledged yet; it may allow fewer.
PUBLISHING_MAX: Final = 1000

log = structlog.get_logger()


class BrokerUrlError(ValueError):
    """The address of the broker cannot be read."""


class MqttAdapterError(Exception):
    """The MQTT library is not the one this adapter was written for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """Where a broker is and who we are there."""

    host: str
    port: int
    tls: bool
    username: str | None
    password: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How we connect: the same on every connection, so that the session is found again.

    Without topics nothing is subscribed to, and the broker need not remember us.
    """

    broker: BrokerAddress
    client_id: str
    topics: tuple[str, ...]
    keepalive_seconds: int
    receive_max: int
    tls_context: ssl.SSLContext | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message as paho hands it over; ``mid`` is what the broker calls it on this connection."""

    topic: str
    payload: bytes
    retained: bool
    mid: int
    qos: int


def parse_url(url: str) -> BrokerAddress:
    """Read ``mqtt://user:password@host:port`` or ``mqtts://…``; ports default to 1883 and 8883.

    Raises:
        BrokerUrlError: another scheme, no host, or a port that is no number.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BrokerUrlError("the broker's URL has no valid host and port") from error
    if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname or parts.path not in {"", "/"}:
        raise BrokerUrlError("a broker's URL is mqtt://host:port or mqtts://host:port")
    tls = parts.scheme == "mqtts"
    return BrokerAddress(
        host=parts.hostname,
        port=port if port is not None else (8883 if tls else 1883),
        tls=tls,
        username=unquote(parts.username) if parts.username is not None else None,
        password=unquote(parts.password) if parts.password is not None else None,
    )


def check() -> None:
    """Prove that the library has what this adapter reaches for; needs a running loop.

    Raises:
        MqttAdapterError: it has not; the message says what is missing.
    """
    inner = getattr(aiomqtt.Client("localhost"), "_client", None)
    if not isinstance(inner, paho.Client):
        raise MqttAdapterError("aiomqtt.Client._client is not a paho client")
    wanted = ("ack", "disconnect", "loop_read", "loop_write", "manual_ack_set", "_sock_close")
    missing = [name for name in wanted if not callable(getattr(inner, name, None))]
    if missing:
        raise MqttAdapterError(f"paho.mqtt.client.Client lacks {', '.join(missing)}")
    inner.manual_ack_set(True)  # noqa: FBT003 - paho's signature
    if getattr(inner, "_manual_ack", None) is not True:
        raise MqttAdapterError("manual acknowledgement cannot be switched on")


class Link:
    """One connection from CONNECT to its end; after that, make a new one.

    ``deliver`` is called for each message, ``room`` is set when another may be published, ``lost``
    when the connection is over.
    """

    def __init__(self, terms: Terms, deliver: Callable[[Delivery], None]) -> None:
        self.lost = asyncio.Event()
        self.room = asyncio.Event()
        self.session_present = False
        self.publishing = 0
        self.publishing_max = PUBLISHING_MAX
        self._terms = terms
        self._deliver = deliver
        self._delivered = 0
        self._publish_refused = False
        self._reading = True
        self._subscribed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._client = self._make_client()
        self._paho: paho.Client = self._client._client  # noqa: SLF001 - see the module's text
        self._paho.manual_ack_set(True)  # noqa: FBT003 - paho's signature
        # Two or three lines per message, formatted and thrown away.
        self._paho.disable_logger()
        self._hook()

    async def open(self) -> None:
        """Connect and subscribe. Messages may be delivered before it returns.

        A session that the broker still knows is subscribed already, and what it collected comes
        before the answer to a SUBSCRIBE. So that answer is waited for in a new session only.

        Raises:
            aiomqtt.MqttError: the broker is away, refused us or did not answer.
        """
        await self._client.__aenter__()
        sock = self._paho.socket()
        if sock is None:
            raise aiomqtt.MqttError("the connection was lost at once")
        self._loop.add_reader(sock.fileno(), self._read)
        # From here on paho is used by this thread only, so its writes can be scheduled directly:
        # aiomqtt's detour could schedule one on a socket that is closed by then.
        self._paho.on_socket_register_write = self._want_write
        if not self._terms.topics:
            return
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        self._paho.subscribe([(topic, options) for topic in self._terms.topics])
        if not self.session_present:
            answered = asyncio.wait_for(self._subscribed.wait(), ANSWER_SECONDS_MAX)
            try:
                await answered
            except TimeoutError:
                raise aiomqtt.MqttError("no answer to the subscription") from None
            if self.lost.is_set():
                raise aiomqtt.MqttError("the subscription failed")

    def read(self, *, on: bool) -> None:
        """Read the socket, or leave what comes in to the kernel and so to the broker."""
        sock = self._paho.socket()
        if on is self._reading or sock is None:
            return
        self._reading = on
        if on:
            self._loop.add_reader(sock.fileno(), self._read)
            # TLS may hold bytes already that the socket will not announce again.
            self._loop.call_soon(self._read)
        else:
            self._loop.remove_reader(sock.fileno())

    def ack(self, mid: int, qos: int) -> None:
        """Tell the broker that a message of this connection is safe."""
        self._paho.ack(mid, qos)

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> bool:
        """Hand over a message with QoS 1; False when the connection is gone."""
        info = self._paho.publish(topic, payload, qos=1, retain=retain)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            return False
        self.publishing += 1
        return True

    async def close(self) -> None:
        """Send what is waiting, let the broker hear it to the end, and let go.

        A socket that is closed with something unread in it is reset, and the broker then throws
        away what it has not read yet: our last acknowledgements. So we close our half, read until
        the broker has closed its own, and only then let go. The session stays with the broker.
        """
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                await self._be_heard()
        self.abandon()

    async def _be_heard(self) -> None:
        while self._paho.want_write() and not self.lost.is_set():
            self._write()
            await asyncio.sleep(FLUSH_SECONDS)
        sock = self._paho.socket()
        if sock is None:
            return
        if isinstance(sock, ssl.SSLSocket) or not isinstance(sock, socket.socket):
            # TLS has no half that could be closed; a reset costs a repeat at worst.
            self._paho.disconnect()
            await self.lost.wait()
            return
        self._loop.remove_reader(sock.fileno())
        sock.shutdown(socket.SHUT_WR)
        while await self._loop.sock_recv(sock, UNREAD_BYTES):
            pass

    def abandon(self) -> None:
        """Let go of the socket at once; safe to call again."""
        self._paho._sock_close()  # noqa: SLF001 - see the module's text
        self._end()

    def _make_client(self) -> aiomqtt.Client:
        terms = self._terms
        link = self

        class Inbox(asyncio.Queue[aiomqtt.Message]):
            """What aiomqtt takes for its queue; a message goes straight on to the batch."""

            def put_nowait(self, message: aiomqtt.Message) -> None:
                link._take(str(message.topic), message.payload, message)

        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's
        properties.SessionExpiryInterval = SESSION_EXPIRY_SECONDS if terms.topics else 0
        properties.ReceiveMaximum = terms.receive_max
        properties.MaximumPacketSize = PACKET_BYTES_MAX
        return aiomqtt.Client(
            terms.broker.host,
            terms.broker.port,
            username=terms.broker.username,
            password=terms.broker.password,
            identifier=terms.client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=not terms.topics,
            properties=properties,
            keepalive=terms.keepalive_seconds,
            timeout=ANSWER_SECONDS_MAX,
            queue_type=Inbox,
            # paho counts for itself otherwise, walking over all waiting ones at each answer.
            max_inflight_messages=0,
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            tls_context=self._tls_context(),
        )

    def _tls_context(self) -> ssl.SSLContext | None:
        if not self._terms.broker.tls:
            return None
        return self._terms.tls_context or ssl.create_default_context()

    def _hook(self) -> None:
        """Listen in on paho's events, all by its public names."""
        inner = self._paho
        greeted, heard = inner.on_connect, inner.on_message

        def on_connect(*args: Any) -> None:  # noqa: ANN401 - paho's own signature
            flags, properties = args[2], args[4]
            self.session_present = bool(flags.session_present)
            allowed = getattr(properties, "ReceiveMaximum", PUBLISHING_MAX)
            self.publishing_max = min(PUBLISHING_MAX, allowed)
            greeted(*args)  # type: ignore[misc] # aiomqtt has set it

        def on_message(client: paho.Client, user: object, message: paho.MQTTMessage) -> None:
            try:
                heard(client, user, message)  # type: ignore[misc] # aiomqtt has set it
            except ValueError:
                # A topic that is no text. It must be acknowledged like any other, or it would be
                # delivered for ever; without a topic it is refused further on.
                self._take("", bytes(message.payload), message)

        def on_publish(*args: Any) -> None:  # noqa: ANN401 - paho's own signature
            self.publishing -= 1
            self.room.set()
            if args[3].is_failure and not self._publish_refused:
                self._publish_refused = True
                log.warning("publish.refused", reason=str(args[3]))

        def on_subscribe(*args: Any) -> None:  # noqa: ANN401 - paho's own signature
            refused = [str(code) for code in args[3] if code.is_failure]
            if refused:
                log.warning("subscription.refused", reasons=refused)
                self.abandon()
            self._subscribed.set()

        inner.on_connect = on_connect
        inner.on_subscribe = on_subscribe
        inner.on_message = on_message
        inner.on_publish = on_publish
        inner.on_disconnect = lambda *_: self._end()

    def _take(
        self, topic: str, payload: bytes, message: aiomqtt.Message | paho.MQTTMessage
    ) -> None:
        self._delivered += 1
        self._deliver(
            Delivery(
                topic=topic,
                payload=payload,
                retained=message.retain,
                mid=message.mid,
                qos=message.qos,
            )
        )

    def _read(self) -> None:
        """Read packets while messages keep coming, up to a turn's worth."""
        try:
            for _ in range(PACKETS_PER_TURN):
                before = self._delivered
                if not self._reading or self._paho.loop_read() != paho.MQTT_ERR_SUCCESS:
                    return
                sock = self._paho.socket()
                pending = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
                if self._delivered == before and not pending:
                    return
        except OSError:
            self.abandon()

    def _write(self) -> None:
        try:
            self._paho.loop_write()
        except OSError:
            self.abandon()

    def _want_write(self, _client: paho.Client, _user: object, sock: Any) -> None:  # noqa: ANN401
        self._loop.add_writer(sock.fileno(), self._write)

    def _end(self) -> None:
        self.lost.set()
        self.room.set()
        self._subscribed.set()


def make_terms(  # noqa: PLR0913 - one place where all settings of a connection meet
    url: str,
    *,
    client_id: str,
    topics: Sequence[str],
    keepalive_seconds: int,
    receive_max: int,
    tls_context: ssl.SSLContext | None,
) -> Terms:
    """Return the terms of all connections to one broker.

    Raises:
        BrokerUrlError: the URL cannot be read.
    """
    return Terms(
        broker=parse_url(url),
        client_id=client_id,
        topics=tuple(topics),
        keepalive_seconds=keepalive_seconds,
        receive_max=receive_max,
        tls_context=tls_context,
    )
