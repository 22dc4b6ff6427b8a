"""The subscription to the meters' telegrams, which acknowledges when told to and not before.

A message is handed out once per connection. What a worker does not acknowledge, the broker delivers
again after the next connect; so a crash, a lost connection or a database that is away lose nothing.
The broker's numbers for messages are good for one connection only: an acknowledgement that comes
after the connection was lost is dropped, because the same number may mean another message by then.

Receipts leave on a second connection. On the first they would wait for answers behind messages
that are not read while too many are held, and the two would wait for each other.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from operator import attrgetter
from types import TracebackType
from typing import Final, NamedTuple, Self

import structlog

from metering.io import link_codec, link_paho
from metering.io.keeper import Keeper
from metering.io.link import Deliver, Link, Message, Terms, parse_url
from metering.telegram import Arrival
from metering.turn import take

# Plain telegrams, and signed ones.
UPLINKS: Final = ("gas/v1/+/+/up/json", "gas/v1/+/+/up")
# A ping this often keeps the connection; twice as long without an answer ends it. A pause in
# reading must be shorter, or costs the connection (and nothing else).
KEEPALIVE_SECONDS: Final = 60
# Ten batches: the broker can go on sending while two are being stored.
RECEIVE_MAX: Final = 20_000
# What may wait here unacknowledged before we stop reading: messages, and bytes of payload.
HELD_MAX: Final = 20_000
HELD_BYTES_MAX: Final = 64 * 1024 * 1024
# Who sent a message, as far as a message can say it without being read.
_TOPIC: Final = attrgetter("topic")

# How long the first receipts wait for the connection that they leave on.
FIRST_SECONDS_MAX: Final = 5.0

log = structlog.get_logger()


class SubscriptionClosedError(Exception):
    """The subscription was closed while somebody waited for messages."""


class Backend(StrEnum):
    """Which library speaks MQTT for us; both keep the promises of ``link.Link``."""

    CODEC = "codec"
    PAHO = "paho"


class Handle(NamedTuple):
    """What acknowledges one message, on the connection that brought it and on no other.

    A tuple, because one is made for every message.
    """

    generation: int
    sequence: int
    mid: int
    qos: int
    size_bytes: int


# Of each backend: what proves its library, and what makes a link.
_BACKENDS: Final[dict[Backend, tuple[Callable[[], None], Callable[[Terms, Deliver], Link]]]] = {
    Backend.CODEC: (link_codec.check, link_codec.CodecLink),
    Backend.PAHO: (link_paho.check, link_paho.PahoLink),
}


class Subscription:
    """One persistent session with one broker, kept connected until it is closed.

    ``client_id`` names the session: two processes with the same one push each other out. ``ack``
    may be called in any order; the broker is told in the order of arrival.
    """

    def __init__(  # noqa: PLR0913 - each has its reason above
        self,
        url: str,
        *,
        client_id: str,
        topics: Sequence[str] = UPLINKS,
        backend: Backend = Backend.CODEC,
        keepalive_seconds: int = KEEPALIVE_SECONDS,
        receive_max: int = RECEIVE_MAX,
        held_max: int = HELD_MAX,
        held_bytes_max: int = HELD_BYTES_MAX,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        """Remember where and how; nothing is opened before ``async with``.

        Raises:
            BrokerUrlError: the URL is not mqtt://… or mqtts://….
        """
        terms = Terms(
            broker=parse_url(url),
            client_id=client_id,
            session=True,
            topics=tuple(topics),
            keepalive_seconds=keepalive_seconds,
            receive_max=receive_max,
            tls_context=tls_context,
        )
        sending = replace(terms, client_id=f"{client_id}-receipts", session=False, topics=())
        self._check, make_link = _BACKENDS[backend]
        self._inbound = Keeper(
            terms, make_link=make_link, deliver=self._take, up=self._greet, down=self._drop
        )
        self._outbound = Keeper(
            sending,
            make_link=make_link,
            deliver=lambda *_: None,
            up=lambda _: None,
            down=lambda: None,
        )
        self._keepers: list[asyncio.Task[None]] = []
        self._closed = False
        self._greeted = False
        self._held_max = held_max
        self._held_bytes_max = held_bytes_max
        self._arrived = asyncio.Event()
        self._sequence = 0
        self._paused = False
        self._waiting: deque[Arrival] = deque()
        self._held: deque[Handle] = deque()
        self._held_bytes = 0
        self._acked: set[int] = set()

    async def __aenter__(self) -> Self:
        """Begin to connect, and return without waiting for the broker.

        Raises:
            MqttAdapterError: the MQTT library is not the one this was written for.
        """
        self._check()
        for keeper in (self._inbound, self._outbound):
            task = asyncio.create_task(keeper.run())
            task.add_done_callback(lambda _: self._arrived.set())
            self._keepers.append(task)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Send what is waiting and say goodbye; the session stays with the broker."""
        self._closed = True
        self._arrived.set()
        self._inbound.close()
        self._outbound.close()
        for result in await asyncio.gather(*self._keepers, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    @property
    def connected(self) -> bool:
        """Whether messages can come in and receipts go out now."""
        return self._inbound.connected.is_set() and self._outbound.connected.is_set()

    @property
    def session_present(self) -> bool:
        """Whether the broker still knew our session when this connection was made."""
        link = self._inbound.link
        return link is not None and link.session_present

    @property
    def generation(self) -> int:
        """The number of this connection, from 1; failed attempts count."""
        return self._inbound.generation

    @property
    def unacknowledged(self) -> int:
        """How many messages of this connection are held: handed out or waiting to be."""
        return len(self._held)

    async def wait_connected(self) -> None:
        """Wait until we are subscribed and able to publish."""
        await self._inbound.connected.wait()
        await self._outbound.connected.wait()

    async def get_batch(self, limit: int) -> list[Arrival]:
        """Wait for at least one message and return up to ``limit``, in order of arrival.

        When more wait, no topic crowds out the others; the order within a topic stays.

        Raises:
            SubscriptionClosedError: the subscription was closed meanwhile.
        """
        while not (self._waiting and self._inbound.link):
            if self._closed:
                raise SubscriptionClosedError
            for keeper in self._keepers:
                if keeper.done():
                    keeper.result()
            self._arrived.clear()
            await self._arrived.wait()
        return take(self._waiting, limit, sender=_TOPIC)

    def ack(self, arrivals: Iterable[Arrival]) -> None:
        """Tell the broker that these messages are safe; those of an older connection are skipped.

        Call it after the commit and never before.
        """
        for arrival in arrivals:
            handle = _handle(arrival)
            if self._is_held(handle):
                self._acked.add(handle.sequence)
        safe = []
        while self._held and self._held[0].sequence in self._acked:
            handle = self._held.popleft()
            self._acked.remove(handle.sequence)
            self._held_bytes -= handle.size_bytes
            safe.append((handle.mid, handle.qos))
        if safe and self._inbound.link is not None:
            self._inbound.link.ack(safe)
        self._steer()

    def put_back(self, arrivals: Sequence[Arrival]) -> None:
        """Take messages back that were not stored; they are the next to be handed out.

        Those of an older connection are dropped: the broker delivers them again.
        """
        mine = [arrival for arrival in arrivals if self._is_held(_handle(arrival))]
        self._waiting.extendleft(reversed(mine))
        if mine:
            self._arrived.set()

    def pause(self) -> None:
        """Stop reading from the broker until ``resume``; what comes in waits there."""
        self._paused = True
        self._steer()

    def resume(self) -> None:
        """Read again."""
        self._paused = False
        self._steer()

    def subscribe(self, topics: Sequence[str]) -> None:
        """Listen to these topics too, now and after every connect."""
        terms = self._inbound.terms
        added = tuple(topic for topic in topics if topic not in terms.topics)
        self._inbound.terms = replace(
            terms,
            topics=terms.topics + added,
            dropped=tuple(topic for topic in terms.dropped if topic not in added),
        )
        if self._inbound.link is not None:
            self._inbound.link.subscribe(added)

    def unsubscribe(self, topics: Sequence[str]) -> None:
        """Listen to these topics no more; what the broker holds of them already still comes.

        What another process subscribed to under the same name must be named here to be dropped.
        """
        terms = self._inbound.terms
        dropped = tuple(dict.fromkeys((*terms.dropped, *topics)))
        kept = tuple(topic for topic in terms.topics if topic not in dropped)
        self._inbound.terms = replace(terms, topics=kept, dropped=dropped)
        if self._inbound.link is not None:
            self._inbound.link.unsubscribe(topics)

    async def publish(self, topic: str, payload: bytes, *, retain: bool) -> bool:
        """Hand a message to the broker with QoS 1, waiting for room; False when not connected.

        True means under way, not arrived.
        """
        return await self.publish_many([(topic, payload, retain)]) == 1

    async def publish_many(self, messages: Sequence[Message]) -> int:
        """Hand over messages in their order like ``publish``; return how many are under way.

        Fewer than all means that the connection was lost: the rest was not sent. The first
        connection is waited for, since a backlog may be stored before both connections stand.
        """
        if self._outbound.generation <= 1 and not self._closed:
            with suppress(TimeoutError):
                async with asyncio.timeout(FIRST_SECONDS_MAX):
                    await self._outbound.connected.wait()
        link = self._outbound.link
        sent = 0
        while link is not None and sent < len(messages):
            if link.lost.is_set() or self._outbound.link is not link:
                break
            if link.publishing >= link.publishing_max:
                link.room.clear()
                await link.room.wait()
                continue
            handed = link.publish(messages[sent:])
            if not handed:
                break
            sent += handed
        return sent

    def _greet(self, link: Link) -> None:
        if self._greeted and not link.session_present:
            # Its queue is gone; the meters still have what it held, as we never receipted it.
            log.warning("session.lost", generation=self.generation)
        self._greeted = True
        log.info(
            "broker.connected",
            generation=self.generation,
            session_present=link.session_present,
        )
        self._arrived.set()
        self._steer()

    def _drop(self) -> None:
        """Forget what the lost connection brought: the broker will deliver it again."""
        log.info("broker.lost", generation=self.generation, dropped=len(self._held))
        self._waiting.clear()
        self._held.clear()
        self._acked.clear()
        self._held_bytes = 0

    def _take(  # noqa: PLR0913, PLR0917 - what ``link.Deliver`` says, after the connection's number
        self,
        generation: int,
        topic: str,
        payload: bytes,
        retained: bool,  # noqa: FBT001 - called for every message
        mid: int,
        qos: int,
    ) -> None:
        """Hold a message that came in."""
        if generation != self._inbound.generation:
            return
        self._sequence += 1
        size_bytes = len(payload)
        handle = Handle(generation, self._sequence, mid, qos, size_bytes)
        self._held.append(handle)
        self._held_bytes += size_bytes
        self._waiting.append(Arrival(topic, payload, retained, handle))
        if len(self._waiting) == 1:
            self._arrived.set()
        if (
            self._paused
            or len(self._held) >= self._held_max
            or self._held_bytes >= self._held_bytes_max
        ):
            self._steer()

    def _is_held(self, handle: Handle) -> bool:
        return (
            handle.generation == self.generation
            and bool(self._held)
            and handle.sequence >= self._held[0].sequence
            and handle.sequence not in self._acked
        )

    def _steer(self) -> None:
        """Read while there is room; once full, not before half of it is free again."""
        link = self._inbound.link
        if link is None:
            return
        if self._paused or self._full(self._held_max, self._held_bytes_max):
            link.read(on=False)
        elif not self._full(self._held_max // 2, self._held_bytes_max // 2):
            link.read(on=True)

    def _full(self, messages: int, size_bytes: int) -> bool:
        return len(self._held) >= max(messages, 1) or self._held_bytes >= size_bytes


def _handle(arrival: Arrival) -> Handle:
    assert isinstance(arrival.handle, Handle), "an arrival of some other subscription"
    return arrival.handle
