"""A link on aiomqtt: a client that is used once and thrown away.

Everything that reaches below aiomqtt's public names stands in this module, and ``check`` proves at
start that it is there. Two things are: ``_client``, the paho client inside, for its documented
manual acknowledgement and reading, and paho's ``_sock_close``, to let go of a connection at once.
"""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import aiomqtt
import paho.mqtt.client as paho
import structlog
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from metering.io.link import (
    ANSWER_SECONDS_MAX,
    PACKET_BYTES_MAX,
    PUBLISHING_MAX,
    SESSION_EXPIRY_SECONDS,
    TOPICS_PER_PACKET,
    Deliver,
    LinkError,
    Message,
    MqttAdapterError,
    Terms,
)

# Between two looks at whether the socket takes what is still to be sent when we close.
FLUSH_SECONDS: Final = 0.01
# How much of what nobody wants to read any more is thrown away at once.
UNREAD_BYTES: Final = 65_536
# Packets read before the rest of the process gets its turn.
PACKETS_PER_TURN: Final = 200

log = structlog.get_logger()


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


class PahoLink:
    """The promise of ``Link``, kept by paho."""

    def __init__(self, terms: Terms, deliver: Deliver) -> None:
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
        """Connect and subscribe, see ``Link``."""
        try:
            await self._open()
        except aiomqtt.MqttError as error:
            raise LinkError(str(error)) from error

    async def _open(self) -> None:
        await self._client.__aenter__()
        sock = self._paho.socket()
        if sock is None:
            raise LinkError("the connection was lost at once")
        self._loop.add_reader(sock.fileno(), self._read)
        # From here on paho is used by this thread only, so its writes can be scheduled directly:
        # aiomqtt's detour could schedule one on a socket that is closed by then.
        self._paho.on_socket_register_write = self._want_write
        self.unsubscribe(self._terms.dropped)
        if not self._terms.topics:
            return
        self.subscribe(self._terms.topics)
        if not self.session_present:
            answered = asyncio.wait_for(self._subscribed.wait(), ANSWER_SECONDS_MAX)
            try:
                await answered
            except TimeoutError:
                raise LinkError("no answer to the subscription") from None
            if self.lost.is_set():
                raise LinkError("the subscription failed")

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

    def ack(self, handles: Sequence[tuple[int, int]]) -> None:
        """Tell the broker that messages are safe, see ``Link``."""
        for mid, qos in handles:
            self._paho.ack(mid, qos)

    def publish(self, messages: Sequence[Message]) -> int:
        """Hand over what there is room for, see ``Link``."""
        sent = 0
        for topic, payload, retain in messages[: self.publishing_max - self.publishing]:
            info = self._paho.publish(topic, payload, qos=1, retain=retain)
            if info.rc != paho.MQTT_ERR_SUCCESS:
                break
            sent += 1
            self.publishing += 1
        return sent

    def subscribe(self, topics: Sequence[str]) -> None:
        """Ask for topics, see ``Link``."""
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        for at in range(0, len(topics), TOPICS_PER_PACKET):
            part = topics[at : at + TOPICS_PER_PACKET]
            self._paho.subscribe([(topic, options) for topic in part])

    def unsubscribe(self, topics: Sequence[str]) -> None:
        """Ask for topics no more, see ``Link``."""
        for at in range(0, len(topics), TOPICS_PER_PACKET):
            self._paho.unsubscribe(list(topics[at : at + TOPICS_PER_PACKET]))

    async def close(self) -> None:
        """Let the broker hear us to the end, see ``Link``."""
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
        properties.SessionExpiryInterval = SESSION_EXPIRY_SECONDS if terms.session else 0
        properties.ReceiveMaximum = terms.receive_max
        properties.MaximumPacketSize = PACKET_BYTES_MAX
        return aiomqtt.Client(
            terms.broker.host,
            terms.broker.port,
            username=terms.broker.username,
            password=terms.broker.password,
            identifier=terms.client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=not terms.session,
            properties=properties,
            keepalive=terms.keepalive_seconds,
            timeout=ANSWER_SECONDS_MAX,
            queue_type=Inbox,
            # paho counts for itself otherwise, walking over all waiting ones at each answer.
            max_inflight_messages=0,
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            tls_context=terms.make_tls_context(),
        )

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
                # Not here and now: paho holds a lock in a callback that closing wants.
                self._loop.call_soon(self.abandon)
            else:
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
        self._deliver(topic, payload, message.retain, message.mid, message.qos)

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
