"""A seeded event loop: time that jumps to the next thing to do, and an order that the seed chooses.

Nothing waits for real. Whatever is ready runs one callback at a time, in an order drawn from the
seed, so that two tasks meet in every way that they could meet. Each callback belongs to a process
(of the simulated machine, by its context): a killed process runs nothing any more, not even its
cleanup, as after ``kill -9``; a paused one runs everything late.
"""

import asyncio
import contextvars
import heapq
import random
import warnings
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")

# A run that has not ended by then goes round in circles.
STEPS_MAX: Final = 2_000_000
# In how many places of its cleanup a task that is thrown away may wait.
CLEANUPS_MAX: Final = 50


class StuckError(Exception):
    """Nothing is ready and nothing is planned, yet the run is not over: somebody waits for ever."""


class EndlessError(Exception):
    """The run took more steps than any run should."""


class Place(Protocol):
    """What a process holds in the world outside: connections, sessions."""

    def let_go(self) -> None:
        """Close it without a word, because its process is gone."""


@dataclass(slots=True, eq=False)
class Process:
    """One simulated process.

    ``skew`` is how far its clock is off; ``fuse`` counts down its steps, and the last one kills it.
    """

    name: str
    alive: bool = True
    paused_until: float = 0.0
    fuse: int = 0
    skew: timedelta = timedelta()
    holds: dict[int, Place] = field(default_factory=dict)
    parked: list[asyncio.Handle] = field(default_factory=list)
    context: contextvars.Context = field(default_factory=contextvars.Context)

    def __post_init__(self) -> None:
        self.context.run(PROCESS.set, self)


PROCESS: Final[contextvars.ContextVar[Process | None]] = contextvars.ContextVar(
    "process", default=None
)


class SeededLoop(asyncio.BaseEventLoop):
    """An event loop without sockets, threads or a clock of its own."""

    def __init__(self, seed: object, *, start: datetime) -> None:
        super().__init__()
        self.rng = random.Random(f"loop {seed}")  # noqa: S311 - chance, not secrecy
        self.start = start
        self.steps = 0
        self.trace: list[str] = []
        self.network: Any = None
        self._at = 0.0
        self._ready: list[asyncio.Handle] = []
        self._kept: list[object] = []
        self.errors: list[str] = []
        self.on_death: Callable[[Process], None] | None = None
        self.set_exception_handler(self._keep_error)

    def time(self) -> float:
        """Return the seconds since the run began."""
        return self._at

    def now(self) -> datetime:
        """Return the instant, as everybody with a right clock sees it."""
        return self.start + timedelta(seconds=round(self._at, 6))

    def note(self, *words: object) -> None:
        """Write one line of what happened; the lines of two runs of one seed are the same."""
        self.trace.append(f"{self._at:.6f} " + " ".join(map(str, words)))

    def spawn(self, process: Process, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task that belongs to a process."""
        task = self.create_task(coroutine, context=process.context.copy())
        self._kept.append(task)
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        return task

    def kill(self, process: Process) -> None:
        """End a process between two of its steps; nothing of it ever runs again."""
        process.alive = False
        self.note("kill", process.name)
        self._kept.extend(process.parked)
        process.parked = []
        for held in list(process.holds.values()):
            held.let_go()
        process.holds.clear()
        if self.on_death is not None:
            self.on_death(process)

    def pause(self, process: Process, seconds: float) -> None:
        """Let a process stand still, as when its machine is stopped."""
        process.paused_until = self._at + seconds
        self.note("pause", process.name, round(seconds, 3))
        self.call_at(process.paused_until, self._wake, process, context=contextvars.Context())

    def _wake(self, process: Process) -> None:
        if process.alive and self._at >= process.paused_until:
            self._ready.extend(process.parked)
            process.parked = []

    def _keep_error(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.errors.append(f"{context.get('message')}: {error!r}")

    def _run_once(self) -> None:
        ready = self._ready
        if not ready:
            self._go_on()
        place = int(self.rng.random() * len(ready))
        handle = ready[place]
        last = ready.pop()
        if last is not handle:
            ready[place] = last
        if handle._cancelled:
            return
        process = handle._context.get(PROCESS)
        if process is not None:
            if not process.alive:
                self._kept.append(handle)
                return
            if process.paused_until > self._at:
                process.parked.append(handle)
                return
            if process.fuse:
                process.fuse -= 1
                if not process.fuse:
                    self._kept.append(handle)
                    self.kill(process)
                    return
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise EndlessError(f"{self.steps} steps by {self.now().isoformat()}")
        handle._run()

    def _go_on(self) -> None:
        """Jump to the next planned instant, and make ready all that is planned for it."""
        scheduled = self._scheduled
        while scheduled:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            if handle._cancelled:
                continue
            self._at = max(self._at, handle._when)
            self._ready.append(handle)
            while scheduled and scheduled[0]._when <= self._at:
                other = heapq.heappop(scheduled)
                other._scheduled = False
                if not other._cancelled:
                    self._ready.append(other)
            return
        raise StuckError(f"everybody waits at {self.now().isoformat()}")

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A cancelled timer is passed over when its turn comes."""

    def _write_to_self(self) -> None:
        """There is no other thread to wake us."""

    async def getaddrinfo(self, host: str, port: int, **_: Any) -> list[Any]:  # type: ignore[override]  # noqa: D102
        return await self.network.look_up(host, port)

    async def sock_connect(self, sock: Any, address: Any) -> None:  # noqa: D102
        await self.network.connect(sock, address)

    async def create_connection(self, factory: Any, *_: Any, sock: Any, **__: Any) -> Any:  # noqa: D102
        return self.network.attach(sock, factory)

    def finish(self) -> None:
        """Forget the run; what is left half done is ended here, where it can disturb nobody."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what its cleanup begins is not awaited either
            for task in asyncio.all_tasks(self):
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                _throw_away(task.get_coro())
            self._kept.clear()
            self._ready.clear()
            self._scheduled.clear()
            self.close()


def _throw_away(coroutine: Any) -> None:
    """End a coroutine, however often it waits in its cleanup."""
    for _ in range(CLEANUPS_MAX):
        try:
            coroutine.close()
        except Exception:  # noqa: BLE001, S112 - it waits, or it breaks: it is not heard any more
            continue
        return
