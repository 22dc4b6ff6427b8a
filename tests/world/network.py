"""Streams in memory between the loop's processes, and everything that a network can do to them.

The real HTTP client and the real HTTP server talk through it. Order within one direction of a
connection is kept, as TCP keeps it; everything else (delay, loss, resets, a proxy that sends a
request twice) is drawn from the seed by the weather that a scenario makes.
"""

import asyncio
import contextvars
import errno
import random
import socket
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.world.loop import PROCESS, Process, SeededLoop

HOST: Final = "bank.test"
ADDRESS: Final = "10.0.0.2"
# What an exchange (one request and its answer) may meet; ``connect`` faults come before it.
CONNECT_FAULTS: Final = ("refused", "no_name", "connect_timeout")
EXCHANGE_FAULTS: Final = (
    "request_lost",
    "answer_lost",
    "reset_before",
    "reset_after",
    "reset_mid_body",
    "truncated",
    "slow_drip",
    "twice",
    "late",
)
_LATENCY_S: Final = (0.001, 0.05)
_LATE_S: Final = (1.0, 40.0)
_DRIPS: Final = 8
_REPLAY_S: Final = (0.01, 90.0)


@dataclass(slots=True, eq=False)
class Weather:
    """How often each fault comes, from 0 to 1, and the partitions: direction and end."""

    rates: dict[str, float] = field(default_factory=dict)
    cut_to_bank_until: float = 0.0
    cut_from_bank_until: float = 0.0

    def clear(self) -> None:
        """Let the sun shine."""
        self.rates = {}
        self.cut_to_bank_until = self.cut_from_bank_until = 0.0


class Plug:
    """What stands in for a socket until the connection is made."""

    def __init__(self) -> None:
        self.near: End | None = None

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - the name is the socket's
        """There is nothing that could block."""

    def close(self) -> None:
        """Let go of a connection that nobody took."""
        if self.near is not None and self.near.protocol is None:
            self.near.abort()


class End(asyncio.Transport):
    """One end of a connection."""

    def __init__(self, network: "Network", process: Process, *, client: bool) -> None:
        super().__init__()
        self.network = network
        self.process = process
        self.client = client
        self.protocol: Any = None
        self.far: End = self
        self.fault: str | None = None
        self._said = bytearray()
        self._inbox: deque[tuple[Callable[..., None], bytes | None]] = deque()
        self._next_at = 0.0
        self._closing = False
        self._lost = False
        self._deaf = False
        self._paused = False
        self._context = process.context.copy()
        process.holds[id(self)] = self

    # -- what protocols call

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: D102
        return (ADDRESS, 80) if name == "peername" else default

    def set_protocol(self, protocol: Any) -> None:  # noqa: D102
        self.protocol = protocol

    def get_protocol(self) -> Any:  # noqa: D102
        return self.protocol

    def is_closing(self) -> bool:  # noqa: D102
        return self._closing

    def get_write_buffer_size(self) -> int:  # noqa: D102
        return 0

    def pause_reading(self) -> None:  # noqa: D102
        self._paused = True

    def resume_reading(self) -> None:  # noqa: D102
        self._paused = False
        if self._inbox:
            self._wake(0.0)

    def writelines(self, parts: Any) -> None:  # noqa: D102
        self.write(b"".join(parts))

    def write(self, data: bytes) -> None:  # noqa: D102
        if self._closing or self._lost or not data:
            return
        self.network.carry(self, bytes(data))

    def close(self) -> None:  # noqa: D102
        if self._closing:
            return
        self._closing = True
        self.far.arrive(End._hear_end, None)
        self._post(End._lose, None, 0.0)

    def abort(self) -> None:  # noqa: D102
        self._closing = True
        self.far.arrive(End._hear_reset, None)
        self._post(End._lose, None, 0.0)

    def let_go(self) -> None:
        """Vanish with the process; the other side gets a reset from its kernel."""
        self._closing = self._lost = True
        self.far.arrive(End._hear_reset, None)

    # -- what comes from the other side

    def arrive(self, what: Callable[..., None], data: bytes | None, delay_s: float = 0.0) -> None:
        """Let something come in, after everything that was on its way before."""
        if not self._deaf:
            self._post(what, data, self.network.latency_s() + delay_s)

    def go_deaf(self) -> None:
        """Let nothing come in any more: the other side's packets are lost."""
        self._deaf = True

    def _post(self, what: Callable[..., None], data: bytes | None, delay_s: float) -> None:
        self._inbox.append((what, data))
        self._wake(delay_s)

    def _wake(self, delay_s: float) -> None:
        loop = self.network.loop
        self._next_at = max(self._next_at, loop.time() + delay_s)
        loop.call_at(self._next_at, self._pump, context=self._context)

    def _pump(self) -> None:
        if self._paused or not self._inbox:
            return
        what, data = self._inbox.popleft()
        what(self, data)

    def hear(self, data: bytes | None) -> None:
        """Give what came in to the protocol."""
        if self.client:
            self.network.tell("after_answer", self.process)
            if not self.process.alive:
                return
        if not self._lost and not self._closing and self.protocol is not None:
            self.protocol.data_received(data)

    def _hear_end(self, _: bytes | None) -> None:
        if self._lost or self._closing:
            return
        if self.protocol is not None:
            self.protocol.eof_received()
        self._closing = True
        self._lose(None)

    def _hear_reset(self, _: bytes | None) -> None:
        self._closing = True
        self._lose(None, ConnectionResetError(errno.ECONNRESET, "reset"))

    def _lose(self, _: bytes | None, error: Exception | None = None) -> None:
        if self._lost:
            return
        self._lost = True
        self.process.holds.pop(id(self), None)
        if self.protocol is not None:
            self.protocol.connection_lost(error)


class Network:
    """Carries bytes from process to process as the weather allows."""

    def __init__(self, loop: SeededLoop, seed: object) -> None:
        self.loop = loop
        self.rng = random.Random(f"network {seed}")  # noqa: S311 - chance, not secrecy
        self.weather = Weather()
        # Whether everything is carried byte by byte (tests/world/short_way.py).
        self.long_way = True
        self.struck: Counter[str] = Counter()
        self.bank: Process | None = None
        self.answering: Callable[[], asyncio.Protocol] | None = None
        # Called with the client's process: before a request leaves, after, and after its answer.
        self.moment: Callable[[str, Process], None] | None = None
        loop.network = self

    def clear(self) -> bool:
        """Tell whether nothing can befall what is carried now."""
        return (
            not (self.long_way or self.weather.rates or self.deaf() or self.bank is None)
            and self.loop.time() >= self.weather.cut_to_bank_until
        )

    def deaf(self) -> bool:
        """Tell whether nothing that the bank says arrives."""
        return self.weather.cut_from_bank_until > self.loop.time()

    def latency_s(self) -> float:
        """Return how long the next piece takes."""
        low, high = _LATENCY_S
        return low + (high - low) * self.rng.random()

    def fate(self, names: tuple[str, ...]) -> str | None:
        """Draw which of the faults strikes now, if any."""
        rates = self.weather.rates
        for name in names if rates else ():
            rate = rates.get(name, 0.0)
            if rate and self.rng.random() < rate:
                self.struck[name] += 1
                self.loop.note("fault", name)
                return name
        return None

    async def look_up(self, host: str, port: int) -> list[Any]:
        """Return the address of a name, or fail as a name server does."""
        if self.fate(("no_name",)):
            raise socket.gaierror(socket.EAI_AGAIN, "temporary failure in name resolution")
        await asyncio.sleep(0)
        assert host == HOST, host
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ADDRESS, port))]

    async def connect(self, plug: Plug, _: Any) -> None:
        """Connect a plug to the bank, or fail as a network does."""
        cut = max(self.weather.cut_to_bank_until, self.weather.cut_from_bank_until)
        if cut > self.loop.time() or self.fate(("connect_timeout",)):
            await self.loop.create_future()
        await asyncio.sleep(self.latency_s())
        bank = self.bank
        if self.fate(("refused",)) or bank is None or not bank.alive or self.answering is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")
        process = PROCESS.get()
        assert process is not None, "only processes connect"
        plug.near = self._connection(process, bank)

    def _connection(self, process: Process, bank: Process) -> End:
        near, far = End(self, process, client=True), End(self, bank, client=False)
        near.far, far.far = far, near
        assert self.answering is not None, "somebody listens"
        far.protocol = self.answering()
        self.loop.call_soon(far.protocol.connection_made, far, context=bank.context.copy())
        return near

    def attach(self, plug: Plug, factory: Callable[[], Any]) -> tuple[End, Any]:
        """Give the client's end to its protocol."""
        assert plug.near is not None, "connected before"
        near = plug.near
        near.protocol = factory()
        near.protocol.connection_made(near)
        return near, near.protocol

    def tell(self, moment: str, process: Process) -> None:
        """Say that a moment has come at which a process may be killed."""
        if self.moment is not None:
            self.moment(moment, process)

    def carry(self, end: End, data: bytes) -> None:
        """Take what one end says to the other."""
        if end.client:
            order = data.startswith(b"POST /payments ")
            if order:
                self.tell("before_send", end.process)
            if end.process.alive:
                self._ask(end, data)
            if order:
                self.tell("after_send", end.process)
        else:
            self._answer(end, data)

    def _ask(self, end: End, data: bytes) -> None:
        if data.startswith((b"GET ", b"POST ", b"PUT ", b"DELETE ")):
            end.fault = self.fate(EXCHANGE_FAULTS)
            end._said.clear()
        end._said += data
        fault = end.fault
        cut = self.weather.cut_to_bank_until > self.loop.time()
        if cut or fault == "request_lost":
            end.far.go_deaf()
            return
        if fault == "reset_before":
            end.far.abort()
            return
        if fault == "twice":
            low, high = _REPLAY_S
            self.loop.call_later(
                low + (high - low) * self.rng.random(),
                self._replay,
                end.process,
                end._said,
                context=contextvars.Context(),
            )
            end.fault = None
        delay_s = self.rng.uniform(*_LATE_S) if fault == "late" else 0.0
        end.far.arrive(End.hear, data, delay_s)

    def _answer(self, end: End, data: bytes) -> None:
        client = end.far
        fault = client.fault
        if self.deaf() or fault == "answer_lost":
            client.go_deaf()
        elif fault == "reset_after":
            end.abort()
        elif fault in {"reset_mid_body", "truncated"}:
            client.arrive(End.hear, data[: max(1, int(len(data) * self.rng.random()))])
            if fault == "truncated":
                end.close()
            else:
                end.abort()
        elif fault == "slow_drip":
            size = len(data) // _DRIPS + 1
            pause_s = self.rng.uniform(0.1, 8.0)
            for place in range(0, len(data), size):
                client.arrive(End.hear, data[place : place + size], pause_s * place / size)
        else:
            client.arrive(End.hear, data)

    def _replay(self, _: Process, said: bytearray) -> None:
        """Send a request again on a connection of the network's own; nobody reads the answer."""
        if self.bank is None or not self.bank.alive or self.answering is None:
            return
        self.loop.note("replay", len(said))
        near = self._connection(Process("proxy"), self.bank)
        near.protocol = asyncio.Protocol()
        near.far.arrive(End.hear, bytes(said))
        self.loop.call_later(60.0, near.close, context=contextvars.Context())
