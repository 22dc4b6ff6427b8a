"""One MQTT connection shared by many meters; it carries telegrams up until receipts come down.

A telegram handed in is due, then flying, and leaves only by a receipt. Flying ones are bounded by
the window; they are sent again when no receipt came in time and after every reconnect.
"""

import asyncio
import contextlib
import logging
import math
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import aiomqtt
import structlog
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from simulators.faults import Air
from simulators.meter import Store, Telegram
from simulators.tally import Tally
from simulators.wire import Receipt, ReceiptError, Topics

log = structlog.get_logger()
# What the client library says about a lost connection is said once, by us.
_LIBRARY_LOG: Final = logging.getLogger("simulators.mqtt")
_LIBRARY_LOG.setLevel(logging.CRITICAL)

# Concurrent publishes per connection: enough to hide the way to the broker and back.
_PUBLISHERS: Final = 64
# Topics per SUBSCRIBE packet: 200 of 40 bytes stay far below any broker's packet limit.
_SUBSCRIBE_CHUNK: Final = 200
# A broker keeps receipts this long for a fleet that is away, in seconds.
_SESSION_S: Final = 86_400
_RECONNECT_S_MIN: Final = 0.1
_RECONNECT_S_MAX: Final = 2.0
# How long a broker may take to answer while we connect, and when we say goodbye, in seconds.
_ANSWER_S: Final = 10.0
_FAREWELL_S: Final = 2.0
# A silent service is asked less and less often, down to this fraction: its queue must not drown.
_BACKOFF_MAX: Final = 8
_V5: Final = 5


class NoBrokerError(RuntimeError):
    """No connection to the broker came up within the patience."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """How to reach a broker; keepalive in seconds, version 4 is MQTT 3.1.1 and 5 is MQTT 5."""

    host: str
    port: int
    user: str | None = None
    password: str | None = None
    version: int = 5
    qos: int = 1
    keepalive_s: int = 60
    clean: bool = False
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How a gateway sends: telegrams in flight at once, and seconds before the first repeat."""

    window: int = 2000
    resend_after_s: float = 5.0


@dataclass(slots=True, kw_only=True)
class _Flight:
    """A telegram on its way; times are of the loop's clock, None before the first send."""

    telegram: Telegram
    first_sent_s: float | None = None
    last_sent_s: float | None = None
    tries: int = 0
    queued: bool = True


class Gateway:
    """The connection of a group of meters: run() it in a task, hand in, wait for quiet."""

    def __init__(  # noqa: PLR0913  (the composition of one connection)
        self,
        *,
        broker: Broker,
        client_id: str,
        stores: Iterable[Store],
        topics: Topics,
        air: Air,
        manners: Manners,
        tally: Tally,
        on_receipt: Callable[[Telegram, Receipt], None],
    ) -> None:
        self._broker = broker
        self._client_id = client_id
        self._air = air
        self._manners = manners
        self._tally = tally
        self._on_receipt = on_receipt
        self._stores = {one.meter_id: one for one in stores}
        self._up = {
            one.meter_id: topics.up(one.meter_id, one.number) for one in self._stores.values()
        }
        self._heard_on = {
            topics.down(one.meter_id, one.number): one for one in self._stores.values()
        }
        self._due: deque[Telegram] = deque()
        self._flights: dict[tuple[str, int], _Flight] = {}
        self._ready: asyncio.Queue[_Flight] = asyncio.Queue()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._room = asyncio.Event()
        self._room.set()
        self._connected = asyncio.Event()
        self._ending = False

    @property
    def waiting(self) -> int:
        """Return how many telegrams were handed in and have no receipt yet."""
        return len(self._due) + len(self._flights)

    def hand_in(self, telegrams: Iterable[Telegram]) -> None:
        """Take telegrams to send in this order, never to be forgotten before their receipts."""
        for telegram in telegrams:
            self._due.append(telegram)
            if not telegram.old:
                self._tally.sent(len(telegram.readings))
        self._refill()

    async def online(self, patience_s: float) -> None:
        """Wait until the connection is up once; raises NoBrokerError after the patience."""
        try:
            async with asyncio.timeout(patience_s):
                await self._connected.wait()
        except TimeoutError as error:
            broker = self._broker
            raise NoBrokerError(
                f"no connection to a broker at {broker.host}:{broker.port} within {patience_s:g} s"
            ) from error

    async def room(self, patience_s: float) -> bool:
        """Wait until nothing queues behind the window; False after a patience without receipts."""
        return await self._patiently(self._room, patience_s)

    async def quiet(self, patience_s: float) -> bool:
        """Wait for the receipts of everything handed in; False after a patience without any."""
        return await self._patiently(self._quiet, patience_s)

    async def _patiently(self, event: asyncio.Event, patience_s: float) -> bool:
        """Wait for an event as long as receipts keep coming."""
        while not event.is_set():
            waiting = self.waiting
            try:
                async with asyncio.timeout(patience_s):
                    await event.wait()
            except TimeoutError:
                if self.waiting >= waiting:
                    return False
        return True

    async def run(self) -> None:
        """Keep the connection up until end() and a cancellation of this task."""
        delay_s = _RECONNECT_S_MIN
        while True:
            try:
                async with contextlib.AsyncExitStack() as stack:
                    client = await self._connect(stack)
                    delay_s = _RECONNECT_S_MIN
                    await self._serve(client)
            except* (aiomqtt.MqttError, TimeoutError) as errors:
                log.warning(
                    "gateway.disconnected",
                    gateway=self._client_id,
                    waiting=self.waiting,
                    reason=_leaf(errors),
                )
            self._connected.clear()
            if self._ending:
                return
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, _RECONNECT_S_MAX)

    def end(self) -> None:
        """Forbid another connection; a farewell that fails must not hide a cancellation."""
        self._ending = True

    async def _connect(self, stack: contextlib.AsyncExitStack) -> aiomqtt.Client:
        """Open a connection for the life of the stack; raises aiomqtt.MqttError or TimeoutError.

        The client's own waits may swallow a cancellation on Python 3.11, so while we may be
        cancelled they are without limit and ours stands around them.
        """
        for store in self._stores.values():
            store.new_session()
        client = self._client()
        client.timeout = math.inf
        async with asyncio.timeout(_ANSWER_S):
            await stack.enter_async_context(client)
            await self._subscribe(client)
        client.timeout = _FAREWELL_S
        return client

    def _client(self) -> aiomqtt.Client:
        """Return a new client on the same session; an old client's queues die with it."""
        broker = self._broker
        properties = None
        is_v5 = broker.version == _V5
        if is_v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho says no types
            properties.SessionExpiryInterval = 0 if broker.clean else _SESSION_S
        client = aiomqtt.Client(
            broker.host,
            broker.port,
            username=broker.user,
            password=broker.password,
            identifier=self._client_id,
            logger=_LIBRARY_LOG,
            protocol=aiomqtt.ProtocolVersion(broker.version),
            clean_session=None if is_v5 else broker.clean,
            clean_start=broker.clean if is_v5 else MQTT_CLEAN_START_FIRST_ONLY,
            keepalive=broker.keepalive_s,
            properties=properties,
            tls_context=broker.tls,
            max_inflight_messages=0,
            queue_type=_sink(self._hear),
        )
        client.pending_calls_threshold = _PUBLISHERS
        return client

    async def _serve(self, client: aiomqtt.Client) -> None:
        """Use one connection until it breaks; raises aiomqtt.MqttError, in a group."""
        self._tally.connects += 1
        async with asyncio.TaskGroup() as group:
            group.create_task(_until_cut_off(client))
            # The line of the last connection is dropped whole; everything in flight stands in anew.
            self._ready = asyncio.Queue()
            for flight in self._flights.values():
                flight.tries = 0
                self._queue(flight)
            self._refill()
            self._connected.set()
            group.create_task(self._ask_again())
            for _ in range(_PUBLISHERS):
                group.create_task(self._publish(client))

    async def _subscribe(self, client: aiomqtt.Client) -> None:
        """Listen for the receipts of each meter by its own name; raises aiomqtt.MqttError."""
        topics = list(self._heard_on)
        for start in range(0, len(topics), _SUBSCRIBE_CHUNK):
            chunk = topics[start : start + _SUBSCRIBE_CHUNK]
            codes = await client.subscribe([(topic, 1) for topic in chunk])
            if any(_is_failure(code) for code in codes):
                raise aiomqtt.MqttError("the broker does not let the meters hear their receipts")

    async def _publish(self, client: aiomqtt.Client) -> None:
        """Send what is ready, one at a time, as one of several publishers."""
        clock = asyncio.get_running_loop().time
        while True:
            flight = await self._ready.get()
            flight.queued = False
            telegram = flight.telegram
            if (telegram.meter_id, telegram.counter) not in self._flights:
                continue  # Its receipt came while it stood in line.
            flight.last_sent_s = clock()
            if flight.first_sent_s is None:
                flight.first_sent_s = flight.last_sent_s
            else:
                self._tally.resent += 1
            telegram.sends += 1
            flight.tries += 1
            for payload in self._air.carry(telegram):
                self._tally.published += 1
                await client.publish(
                    self._up[telegram.meter_id], payload, self._broker.qos, timeout=math.inf
                )
                self._tally.acked += 1

    async def _ask_again(self) -> None:
        """Send again whatever flew too long without a receipt, each time after a longer wait."""
        clock = asyncio.get_running_loop().time
        patience_s = self._manners.resend_after_s
        while True:
            await asyncio.sleep(patience_s / 4)
            now_s = clock()
            for flight in self._flights.values():
                wait_s = patience_s * min(2 ** (flight.tries - 1), _BACKOFF_MAX)
                if flight.last_sent_s is not None and flight.last_sent_s + wait_s < now_s:
                    self._queue_once(flight)

    def _hear(self, message: aiomqtt.Message) -> None:
        """Take one receipt; never raises, a meter must survive any message."""
        store = self._heard_on.get(message.topic.value)
        payload = message.payload
        if store is None or not isinstance(payload, bytes | bytearray):
            self._tally.unreadable += 1
            return
        try:
            receipts = store.listen(bytes(payload))
        except ReceiptError:
            self._tally.unreadable += 1
            return
        for receipt in receipts:
            self._settle(store, receipt, retained=message.retain)
        self._refill()

    def _settle(self, store: Store, receipt: Receipt, *, retained: bool) -> None:
        """Let a meter act on one receipt."""
        if receipt.counter is None:
            # Somebody heard noise from this meter: say again what is in the air.
            self._tally.noise += 1
            if not retained:
                for counter in store.waiting:
                    flight = self._flights.get((store.meter_id, counter))
                    if flight is not None and flight.last_sent_s is not None:
                        self._queue_once(flight)
            return
        telegram = store.hear(receipt, retained=retained)
        if telegram is None:
            self._tally.again += 1
            return
        flight = self._flights.pop((telegram.meter_id, telegram.counter), None)
        wait_s, now_s = None, asyncio.get_running_loop().time()
        if flight is not None and flight.first_sent_s is not None:
            wait_s = now_s - flight.first_sent_s
        self._tally.settled(telegram, receipt, wait_s=wait_s, now_s=now_s)
        self._on_receipt(telegram, receipt)

    def _refill(self) -> None:
        """Move due telegrams into the window, and tell who waits for room or quiet."""
        while self._due and len(self._flights) < self._manners.window:
            telegram = self._due.popleft()
            if telegram.counter not in self._stores[telegram.meter_id].waiting:
                continue  # An earlier life of this fleet had sent it, and its receipt was first.
            flight = _Flight(telegram=telegram)
            self._flights[telegram.meter_id, telegram.counter] = flight
            self._queue(flight)
        for event, holds in ((self._room, not self._due), (self._quiet, not self._flights)):
            if holds:
                event.set()
            else:
                event.clear()

    def _queue_once(self, flight: _Flight) -> None:
        """Put a flight in line unless it already stands there."""
        if not flight.queued:
            self._queue(flight)

    def _queue(self, flight: _Flight) -> None:
        """Put a flight in line for the publishers."""
        flight.queued = True
        self._ready.put_nowait(flight)


async def _until_cut_off(client: aiomqtt.Client) -> None:
    """Raise aiomqtt.MqttError when the connection is lost; the sink takes every message before."""
    await anext(client.messages)


def _is_failure(code: int | ReasonCode) -> bool:
    """Say whether a broker refused a subscription."""
    return code.is_failure if isinstance(code, ReasonCode) else code >= 128  # noqa: PLR2004


def _leaf(error: BaseException) -> str:
    """Return the words of the first plain error inside nested groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__


def _sink(hear: Callable[[aiomqtt.Message], None]) -> type[asyncio.Queue[aiomqtt.Message]]:
    """Return a queue class that hands each message on at once and never holds one."""

    class Sink(asyncio.Queue[aiomqtt.Message]):
        """A queue that is always empty."""

        def put_nowait(self, item: aiomqtt.Message) -> None:
            """Hand the message on."""
            hear(item)

    return Sink
