"""Pour a flood into a broker over plain sockets, as fast as it acknowledges; count and time it.

One thread and one selector: a flood is to cost the machine little beside what it measures.
"""

import selectors
import socket
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from simulators import cose, packet
from simulators.flood import Flood, Packets, joined, packets, split
from simulators.signed import parse_ack
from simulators.wire import ReceiptError, decode_receipts

# Bytes per system call: some thousand messages up, all waiting acknowledgements down.
_SEND_BYTES: Final = 256 * 1024
_RECEIVE_BYTES: Final = 256 * 1024
# How long a broker may take to greet us or to take a subscription, in seconds.
_GREETING_S: Final = 10.0
_SUBSCRIBE_CHUNK: Final = 200
# How finely a rate is kept, in seconds.
_TICK_S: Final = 0.005
# Messages per piece of work when several processes sign.
_PIECE: Final = 5_000


class PumpError(RuntimeError):
    """The broker refused us, cut us off or fell silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tap:
    """How a flood is poured: messages in flight, messages per second of each connection, patience.

    A rate of 0 has no limit; the patience is in seconds without any acknowledgement or receipt.
    """

    host: str
    port: int
    user: str | None = None
    password: str | None = None
    window: int = 2000
    connections: int = 1
    rate: int = 0
    patience_s: float = 30.0


@dataclass(slots=True, kw_only=True)
class _Line:
    """One publishing connection; a byte is sent, a message is sent with its last byte."""

    flood: Flood
    link: socket.socket
    load: Packets
    window: int
    sent_bytes: int = 0
    sent: int = 0
    acked: int = 0
    refused: int = 0
    inbox: bytearray = field(default_factory=bytearray)
    # Ends and times of the writes, to tell later when a message left.
    ends: list[int] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Say whether every message has its answer from the broker."""
        return self.acked + self.refused == self.flood.messages

    def push(self, now_s: float, allowed: int) -> bool:
        """Write what the window and the rate allow; True when the socket would take more."""
        limit = min(self.flood.messages, self.acked + self.refused + self.window, allowed)
        end = min(self.load.starts[limit], self.sent_bytes + _SEND_BYTES)
        if self.sent_bytes >= end:
            return False
        view = memoryview(self.load.data)[self.sent_bytes : end]
        try:
            count = self.link.send(view)
        except BlockingIOError:
            return False
        self.sent_bytes += count
        self.sent = bisect_right(self.load.starts, self.sent_bytes, lo=self.sent) - 1
        self.ends.append(self.sent)
        self.times_s.append(now_s)
        return self.sent_bytes < self.load.starts[limit]

    def pull(self) -> int:
        """Count the acknowledgements that came, and return how many."""
        self.inbox += _received(self.link)
        yes, no = packet.acknowledged(self.inbox)
        self.acked += yes
        self.refused += no
        return yes + no

    def left_s(self, index: int) -> float:
        """Return when a message left, in seconds of the clock."""
        return self.times_s[bisect_right(self.ends, index)]


@dataclass(slots=True, kw_only=True)
class _Ear:
    """The connection that hears what the service says to a sample of the meters."""

    link: socket.socket
    # By topic down: the line, the meter's place in it, and its counters without an answer.
    meters: dict[str, tuple[_Line, int, set[int]]]
    expected: int
    refused: int = 0
    unreadable: int = 0
    waits_s: list[float] = field(default_factory=list)
    inbox: bytearray = field(default_factory=bytearray)

    @property
    def done(self) -> bool:
        """Say whether every telegram of the sample has its answer."""
        return len(self.waits_s) == self.expected

    def pull(self, now_s: float) -> int:
        """Take the answers that came, and return how many settled a telegram."""
        self.inbox += _received(self.link)
        before = len(self.waits_s)
        for first, body in packet.split(self.inbox):
            if first >> 4 != packet.PUBLISH:
                continue
            heard = packet.heard(first, body)
            if heard.packet_id:
                self.link.sendall(packet.puback(heard.packet_id))
            if not heard.retained:
                self._take(heard, now_s)
        return len(self.waits_s) - before

    def _take(self, heard: packet.Heard, now_s: float) -> None:
        """Settle what one answer names."""
        line, place, pending = self.meters[heard.topic]
        try:
            answered = _answers(heard, pending)
        except (ReceiptError, cose.SignatureError):
            self.unreadable += 1
            return
        for counter, refused in answered.items():
            pending.discard(counter)
            self.refused += refused
            index = line.flood.index(place, counter)
            self.waits_s.append(now_s - line.left_s(index))


def _answers(heard: packet.Heard, pending: set[int]) -> dict[int, bool]:
    """Return which pending counters an answer names, and whether it refuses them.

    A flood measures; it takes a signed answer without its proof. Raises ReceiptError and
    SignatureError.
    """
    if heard.topic.endswith("/ack"):
        ack = parse_ack(cose.opened(heard.payload)[1])
        refused = {counter for counter, _ in ack.refused}
        return {one: one in refused for one in pending if one in refused or ack.is_safe(one)}
    _, receipts = decode_receipts(heard.payload)
    return {
        one.counter: one.result == "refused"
        for one in receipts
        if one.counter is not None and one.counter in pending
    }


def prepare(flood: Flood, *, processes: int) -> Packets:
    """Return all messages of a flood; signing is shared between processes."""
    if not flood.signed or processes == 1:
        return packets(flood, 0, flood.messages)
    edges = [*range(0, flood.messages, _PIECE), flood.messages]
    count = len(edges) - 1
    with ProcessPoolExecutor(processes) as pool:
        return joined(list(pool.map(packets, [flood] * count, edges[:-1], edges[1:])))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pump:
    """A flood that is made, connected and waits for its start; `prepared_s` is what that took."""

    flood: Flood
    tap: Tap
    lines: Sequence[_Line]
    ear: _Ear | None
    clock: Callable[[], float]
    prepared_s: float

    def pour(self) -> dict[str, Any]:
        """Pour the flood, hang up, and return what was counted; raises PumpError and OSError."""
        try:
            acked_s = self._run()
        finally:
            self.close()
        first_s = min(line.times_s[0] for line in self.lines)
        acked = sum(line.acked for line in self.lines)
        seconds = acked_s - first_s
        return {
            "codec": "signed" if self.flood.signed else "json",
            "meters": self.flood.meters,
            "registers_per_telegram": self.flood.registers,
            "sent": sum(line.sent for line in self.lines),
            "acked": acked,
            "refused_by_broker": sum(line.refused for line in self.lines),
            "seconds": round(seconds, 4),
            "acked_per_s": round(acked / seconds, 1) if seconds else None,
            "first_publish_monotonic_s": first_s,
            "last_publish_monotonic_s": max(line.times_s[-1] for line in self.lines),
            "last_ack_monotonic_s": acked_s,
            "window": self.lines[0].window,
            "connections": len(self.lines),
            "prepared_s": round(self.prepared_s, 3),
            "receipts": None if self.ear is None else _told(self.ear),
        }

    def close(self) -> None:
        """Hang up."""
        for line in self.lines:
            line.link.close()
        if self.ear is not None:
            self.ear.link.close()

    def _run(self) -> float:
        """Pour until all is answered, and return when the last acknowledgement came.

        Receipts that do not come within the patience are missing from the count, which is no
        error; acknowledgements that do not come raise PumpError.
        """
        patience_s = self.tap.patience_s
        wait_s = _TICK_S if self.tap.rate else patience_s / 10
        with selectors.DefaultSelector() as waiting:
            for one in (*self.lines, self.ear):
                if one is not None:
                    waiting.register(one.link, selectors.EVENT_READ, one)
            begun_s = news_s = acked_s = self.clock()
            while True:
                self._push(waiting, begun_s)
                acks, receipts = self._pull(waiting.select(wait_s))
                if acks or receipts:
                    news_s = self.clock()
                if acks:
                    acked_s = news_s
                all_acked = all(line.done for line in self.lines)
                if all_acked and (self.ear is None or self.ear.done):
                    return acked_s
                if self.clock() - news_s > patience_s:
                    if all_acked:
                        return acked_s
                    raise PumpError(f"the broker acknowledged nothing for {patience_s:g} s")

    def _push(self, waiting: selectors.BaseSelector, begun_s: float) -> None:
        """Let every line write, and ask to be told where there is more."""
        now_s = self.clock()
        for line in self.lines:
            allowed = line.flood.messages
            if self.tap.rate:
                allowed = min(allowed, int((now_s - begun_s) * self.tap.rate) + 1)
            wanted = selectors.EVENT_READ
            if line.push(now_s, allowed):
                wanted |= selectors.EVENT_WRITE
            if waiting.get_key(line.link).events != wanted:
                waiting.modify(line.link, wanted, line)

    def _pull(self, ready: list[tuple[selectors.SelectorKey, int]]) -> tuple[int, int]:
        """Take what has arrived; return how many acknowledgements and how many receipts."""
        acks = receipts = 0
        for key, events in ready:
            if not events & selectors.EVENT_READ:
                continue
            if isinstance(key.data, _Line):
                acks += key.data.pull()
            else:
                receipts += key.data.pull(self.clock())
        return acks, receipts


def connected(
    flood: Flood, tap: Tap, *, sample: int, processes: int, clock: Callable[[], float]
) -> Pump:
    """Make all messages and connect; `sample` meters are listened to.

    Raises PumpError and OSError.
    """
    begun_s = clock()
    shares = split(flood, tap.connections)
    loads = [prepare(share, processes=processes) for share in shares]
    lines: list[_Line] = []
    for number, (share, load) in enumerate(zip(shares, loads, strict=True)):
        link, maximum = _connected(tap, f"{flood.prefix}flood-{number}")
        link.setblocking(False)  # noqa: FBT003  (the name of the call says it)
        window = min(tap.window, maximum)
        lines.append(_Line(flood=share, link=link, load=load, window=window))
    ear = _listening(lines, tap, sample, f"{flood.prefix}flood-ear") if sample else None
    return Pump(
        flood=flood, tap=tap, lines=lines, ear=ear, clock=clock, prepared_s=clock() - begun_s
    )


def _connected(tap: Tap, client_id: str) -> tuple[socket.socket, int]:
    """Return a connection that the broker greeted, and its receive maximum; raises PumpError."""
    link = socket.create_connection((tap.host, tap.port), _GREETING_S)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.sendall(packet.connect(client_id, user=tap.user, password=tap.password))
    welcome = packet.welcome(_reply(link, packet.CONNACK))
    if welcome.reason >= packet.FAILURE_MIN:
        raise PumpError(f"the broker refuses {client_id}: reason {welcome.reason:#x}")
    return link, welcome.receive_maximum


def _listening(lines: Sequence[_Line], tap: Tap, sample: int, client_id: str) -> _Ear:
    """Return a connection that hears the answers to a sample of meters; raises PumpError."""
    link, _ = _connected(tap, client_id)
    meters: dict[str, tuple[_Line, int, set[int]]] = {}
    share = -(-sample // len(lines))
    for line in lines:
        flood = line.flood
        for place in range(min(share, flood.meters)):
            first, count = flood.first_counter, flood.count_of(place)
            meters[flood.down(place)] = line, place, set(range(first, first + count))
    topics = list(meters)
    ear = _Ear(
        link=link, meters=meters, expected=sum(len(pending) for *_, pending in meters.values())
    )
    for start in range(0, len(topics), _SUBSCRIBE_CHUNK):
        chunk = topics[start : start + _SUBSCRIBE_CHUNK]
        link.sendall(packet.subscribe(chunk, 1 + start // _SUBSCRIBE_CHUNK))
        codes = _reply(link, packet.SUBACK)[-len(chunk) :]
        if max(codes) >= packet.FAILURE_MIN:
            raise PumpError("the broker does not let us hear the receipts")
    return ear


def _reply(link: socket.socket, kind: int) -> bytes:
    """Wait for a packet of a kind and acknowledge retained messages before it; raises PumpError."""
    inbox = bytearray()
    while True:
        # Byte by byte: what follows the packet belongs to somebody else.
        byte = link.recv(1)
        if not byte:
            raise PumpError("the broker cut us off")
        inbox += byte
        for first, body in packet.split(inbox):
            if first >> 4 == packet.PUBLISH and (heard := packet.heard(first, body)).packet_id:
                link.sendall(packet.puback(heard.packet_id))
            if first >> 4 == kind:
                return body


def _received(link: socket.socket) -> bytes:
    """Return what has arrived; raises PumpError when the broker has gone."""
    try:
        data = link.recv(_RECEIVE_BYTES)
        # Without it the kernel holds our TCP acknowledgement back, and a broker that waits for it
        # before its next small packet would look 40 ms slower than it is.
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    except BlockingIOError:
        return b""
    if not data:
        raise PumpError("the broker cut us off")
    return data


def _told(ear: _Ear) -> dict[str, Any]:
    """Return what a sample of meters heard; times from publish to receipt in milliseconds."""
    waits_s = sorted(ear.waits_s)

    def percentile_ms(share: int) -> float | None:
        """Return the smallest wait that `share` per cent did not exceed."""
        if not waits_s:
            return None
        return round(waits_s[-(-len(waits_s) * share // 100) - 1] * 1000, 3)

    return {
        "expected": ear.expected,
        "heard": len(waits_s),
        "refused": ear.refused,
        "unreadable": ear.unreadable,
        "p50_ms": percentile_ms(50),
        "p99_ms": percentile_ms(99),
        "max_ms": percentile_ms(100),
    }
