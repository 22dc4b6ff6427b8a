"""A link on the codec ``mqtt5``: it reads and writes packets, the rest of a client stands here.

Written in Rust it decodes a message in half a microsecond, so a process keeps up with its broker.
Acknowledgements of a batch leave in one write, and so do the messages of one call.

What it knows of a broker that talks nonsense: a packet that cannot be read ends the connection,
with its reason in the log; the broker sends again what was not acknowledged. One thing is not the
broker's fault and must not end the connection, as it would come again for ever: a message whose
topic is no text. It is handed on without a topic, to be refused and acknowledged like any other.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import mqtt5
import structlog

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
from metering.io.packet import packet_bytes, read_nameless

MID_MAX: Final = 65_535
# The answers to a SUBSCRIBE and the like from here on mean no. The codec's enums look like numbers
# in its stub and are none: they cannot be compared, and each is true. ``int`` makes them one.
FAILURE_CODE_MIN: Final = 0x80
PING: Final = mqtt5.PingReqPacket().write()
GOODBYE: Final = mqtt5.DisconnectPacket().write()

log = structlog.get_logger()


def check() -> None:
    """Prove that the codec says what this link listens for.

    Raises:
        MqttAdapterError: it does not.
    """
    whole = mqtt5.PubAckPacket(258).write()
    if whole != b"\x40\x02\x01\x02" or mqtt5.read(memoryview(whole))[1] != len(whole):
        raise MqttAdapterError("mqtt5 does not write or read an acknowledgement as we expect")
    try:
        mqtt5.read(memoryview(whole)[:-1])
    except IndexError:
        return
    raise MqttAdapterError("mqtt5 does not say that a packet is not all there")


class CodecLink(asyncio.Protocol):
    """The promise of ``Link``, kept by ``mqtt5`` and a transport of asyncio."""

    def __init__(self, terms: Terms, deliver: Deliver) -> None:
        self.lost = asyncio.Event()
        self.room = asyncio.Event()
        self.session_present = False
        self.publishing_max = PUBLISHING_MAX
        self._terms = terms
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._unread = bytearray()
        self._reading = True
        self._closing = False
        self._reason = "the connection was lost"
        self._greeting: mqtt5.ConnAckPacket | None = None
        # Set when what ``open`` waits for has come, or can no longer come.
        self._answered = asyncio.Event()
        self._opening = True
        self._mid = 0
        self._inflight: set[int] = set()
        self._publish_refused = False
        self._keepalive_seconds = float(terms.keepalive_seconds)
        self._heard = False
        self._asked = False
        self._pinging: asyncio.TimerHandle | None = None

    @property
    def publishing(self) -> int:
        """How many of our messages the broker has not acknowledged yet."""
        return len(self._inflight)

    async def open(self) -> None:
        """Connect and subscribe, see ``Link``.

        Nothing behind an answer is read before whoever waits for it has taken note, so that a
        backlog meets its reader's limits from the first message on.
        """
        terms, broker = self._terms, self._terms.broker
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                context = terms.make_tls_context()
                await self._loop.create_connection(
                    lambda: self, broker.host, broker.port, ssl=context
                )
                self._write(self._connect_packet())
                await self._answer()
        except TimeoutError:
            raise LinkError("no answer to the connection") from None
        self._heed_greeting()
        self.unsubscribe(terms.dropped)
        self.subscribe(terms.topics)
        if terms.topics and not self.session_present:
            self.read(on=True)
            try:
                async with asyncio.timeout(ANSWER_SECONDS_MAX):
                    await self._answer()
            except TimeoutError:
                raise LinkError("no answer to the subscription") from None
        self._opening = False
        self.read(on=True)

    def read(self, *, on: bool) -> None:
        """Read, or leave what comes in to the broker, see ``Link``."""
        if on is self._reading or self._transport is None:
            return
        self._reading = on
        if on:
            self._transport.resume_reading()
            self._loop.call_soon(self._parse)
        else:
            self._transport.pause_reading()

    def ack(self, handles: Sequence[tuple[int, int]]) -> None:
        """Tell the broker that messages are safe, in one write, see ``Link``."""
        said = bytearray()
        for mid, qos in handles:
            if qos == 1:
                said += mqtt5.PubAckPacket(mid).write()
            elif qos:
                # We subscribe with 1, so this is a session of old. The rest is in ``_heed``.
                said += mqtt5.PubRecPacket(mid).write()
        self._write(bytes(said))

    def publish(self, messages: Sequence[Message]) -> int:
        """Hand over what there is room for, in one write, see ``Link``."""
        if self.lost.is_set() or self._closing:
            return 0
        said = []
        for topic, payload, retain in messages[: self.publishing_max - len(self._inflight)]:
            mid = self._next_mid()
            packet = mqtt5.PublishPacket(
                topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, retain=retain, packet_id=mid
            )
            said.append((mid, packet.write()))
        self._inflight.update(mid for mid, _ in said)
        self._write(b"".join(packet for _, packet in said))
        return len(said)

    def subscribe(self, topics: Sequence[str]) -> None:
        """Ask for topics, see ``Link``."""
        filters = [
            mqtt5.TopicFilter(
                topic,
                max_qos=mqtt5.QoS.AT_LEAST_ONCE,
                retain_as_published=False,
                retain_handling=mqtt5.RetainHandling.SEND_IF_SUBSCRIPTION_NOT_EXISTS,
            )
            for topic in topics
        ]
        for at in range(0, len(filters), TOPICS_PER_PACKET):
            part = filters[at : at + TOPICS_PER_PACKET]
            self._write(mqtt5.SubscribePacket(self._next_mid(), part).write())

    def unsubscribe(self, topics: Sequence[str]) -> None:
        """Ask for topics no more, see ``Link``."""
        for at in range(0, len(topics), TOPICS_PER_PACKET):
            part = list(topics[at : at + TOPICS_PER_PACKET])
            self._write(mqtt5.UnsubscribePacket(self._next_mid(), part).write())

    async def close(self) -> None:
        """Let the broker hear us to the end, see ``Link``."""
        transport = self._transport
        if transport is not None and not self.lost.is_set():
            self._write(GOODBYE)
            self._closing = True
            with suppress(TimeoutError, OSError):
                async with asyncio.timeout(ANSWER_SECONDS_MAX):
                    # TLS has no half that could be closed; there the broker closes after GOODBYE.
                    if transport.can_write_eof():
                        transport.write_eof()
                    self._unread.clear()
                    transport.resume_reading()
                    await self.lost.wait()
        self.abandon()

    def abandon(self) -> None:
        """Let go at once, see ``Link``."""
        if self._transport is not None:
            self._transport.abort()
        self._end()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what asyncio has opened for us."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self.lost.is_set():
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take what has come in, unless we are only waiting for the end."""
        if self._closing:
            return
        self._heard = True
        self._unread += data
        if self._reading:
            self._parse()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that it is over."""
        if exc is not None:
            self._reason = str(exc)
        self._end()

    def _connect_packet(self) -> bytes:
        terms, broker = self._terms, self._terms.broker
        return mqtt5.ConnectPacket(
            terms.client_id,
            username=broker.username,
            password=None if broker.password is None else broker.password.encode(),
            clean_start=not terms.session,
            keep_alive=terms.keepalive_seconds,
            session_expiry_interval=SESSION_EXPIRY_SECONDS if terms.session else 0,
            receive_max=terms.receive_max,
            max_packet_size=PACKET_BYTES_MAX,
        ).write()

    async def _answer(self) -> None:
        """Wait for what ``open`` needs to hear next."""
        await self._answered.wait()
        self._answered.clear()
        if self.lost.is_set():
            raise LinkError(self._reason)

    def _heed_greeting(self) -> None:
        greeting = self._greeting
        assert greeting is not None, "an answer without a greeting"
        if greeting.reason_code != mqtt5.ConnAckReasonCode.SUCCESS:
            raise LinkError(f"the broker refused us: {greeting.reason_code.name.lower()}")
        self.session_present = greeting.session_present
        self.publishing_max = min(PUBLISHING_MAX, greeting.receive_max)
        if greeting.server_keep_alive is not None:
            self._keepalive_seconds = greeting.server_keep_alive
        self._ping_later()

    def _parse(self) -> None:
        """Read the packets that are all there, until somebody stops us."""
        unread, read = self._unread, mqtt5.read
        deliver = self._deliver if self._greeting is not None else self._refuse_early
        at, size = 0, len(unread)
        with memoryview(unread) as view:
            while at < size and self._reading and not self.lost.is_set():
                try:
                    packet, length = read(view[at:])
                except IndexError:
                    self._heed_part(size - at, bytes(view[at : at + 5]))
                    break
                except BaseException as error:  # noqa: BLE001 - a panic in Rust is no Exception
                    length = self._heed_unreadable(bytes(view[at:]), error)
                else:
                    if type(packet) is mqtt5.PublishPacket:
                        mid, qos = packet.packet_id or 0, int(packet.qos)
                        deliver(packet.topic, packet.payload, packet.retain, mid, qos)
                    elif type(packet) is mqtt5.PubAckPacket and self._greeting is not None:
                        self._heed_puback(packet)
                    else:
                        self._heed(packet)
                at += length
        del unread[:at]

    def _heed(self, packet: mqtt5.Packet) -> None:
        """Act on what is no message."""
        match packet:
            case mqtt5.ConnAckPacket() if self._greeting is None:
                self._greeting = packet
                self._wake()
            case _ if self._greeting is None:
                self._refuse_early()
            case mqtt5.PubAckPacket():
                self._heed_puback(packet)
            case mqtt5.PubRelPacket():
                self._write(mqtt5.PubCompPacket(packet.packet_id).write())
            case mqtt5.PingRespPacket() | mqtt5.UnsubAckPacket():
                pass
            case mqtt5.SubAckPacket():
                refused = [
                    c.name.lower() for c in packet.reason_codes if int(c) >= FAILURE_CODE_MIN
                ]
                if refused:
                    log.warning("subscription.refused", reasons=refused)
                    self._fail("the subscription failed")
                elif self._opening and not self.session_present:
                    self._wake()
            case mqtt5.DisconnectPacket():
                self._fail(f"the broker sent us away: {packet.reason_code.name.lower()}")
            case _:
                self._fail(f"a {type(packet).__name__} out of place")

    def _heed_puback(self, packet: mqtt5.PubAckPacket) -> None:
        self._inflight.discard(packet.packet_id)
        # Not before half of it is free: many small writes cost more than one large one.
        if len(self._inflight) <= self.publishing_max // 2:
            self.room.set()
        if int(packet.reason_code) >= FAILURE_CODE_MIN and not self._publish_refused:
            self._publish_refused = True
            log.warning("publish.refused", reason=packet.reason_code.name.lower())

    def _heed_part(self, size: int, head: bytes) -> None:
        """Wait for the rest of a packet, if it is one that we can want."""
        length = packet_bytes(head)
        if length is not None and length > PACKET_BYTES_MAX:
            self._fail(f"a packet of {length} bytes, and we asked for {PACKET_BYTES_MAX} at most")
        elif length is not None and length <= size:
            self._fail("a packet that ends before its content")

    def _heed_unreadable(self, rest: bytes, error: BaseException) -> int:
        """Hand on a message without its topic, or end the connection; return the bytes done."""
        # The codec panics at a text that is not UTF-8, and PyO3's exception has no name to import.
        panicked = type(error).__name__ == "PanicException"
        if not panicked and not isinstance(error, ValueError):
            raise error
        length = packet_bytes(rest[:5])
        message = read_nameless(rest[:length]) if panicked and length is not None else None
        if length is None or message is None:
            self._fail(f"a packet that cannot be read: {error}")
            return len(rest)
        payload, retained, mid, qos = message
        self._deliver("", payload, retained, mid, qos)
        return length

    def _refuse_early(self, *_: object) -> None:
        self._fail("the broker spoke before its greeting")

    def _fail(self, reason: str) -> None:
        log.warning("connection.ended", client_id=self._terms.client_id, reason=reason)
        self._reason = reason
        self.abandon()

    def _wake(self) -> None:
        """Let ``open`` go on, and leave everything behind its answer unread until it has."""
        self.read(on=False)
        self._answered.set()

    def _write(self, said: bytes) -> None:
        if said and self._transport is not None and not self._closing and not self.lost.is_set():
            self._transport.write(said)

    def _next_mid(self) -> int:
        while True:
            self._mid = self._mid % MID_MAX + 1
            if self._mid not in self._inflight:
                return self._mid

    def _ping(self) -> None:
        """Ask whether the broker is there, unless it left the last question unanswered."""
        if self._asked and not self._heard:
            self._fail("the broker does not answer")
            return
        self._heard = False
        self._asked = True
        self._write(PING)
        self._ping_later()

    def _ping_later(self) -> None:
        if self._keepalive_seconds:
            self._pinging = self._loop.call_later(self._keepalive_seconds, self._ping)

    def _end(self) -> None:
        if self._pinging is not None:
            self._pinging.cancel()
        self.lost.set()
        self.room.set()
        self._answered.set()
