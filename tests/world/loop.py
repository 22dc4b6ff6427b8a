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


class _Handle(asyncio.TimerHandle):
    """A planned callback, made without a look at debug mode: there are thousands in each run."""

    __slots__ = ()

    def __init__(  # made here in one go; the fields are those of asyncio's own
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[object, ...],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None,
    ) -> None:
        self._context = contextvars.copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = self._scheduled = False
        self._when = when
        self._repr = self._source_traceback = None


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
        self._now = (0.0, start)
        self._planned = 0
        self._scheduled: list[tuple[float, int, asyncio.TimerHandle]] = []
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
        if self._now[0] != self._at:
            self._now = (self._at, self.start + timedelta(seconds=round(self._at, 6)))
        return self._now[1]

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

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        """Make a callback ready to run, after whatever the seed takes first."""
        if self._closed:
            self._check_closed()
        handle = _Handle(self._at, callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """Plan a callback for an instant."""
        if self._closed:
            self._check_closed()
        handle = _Handle(when, callback, args, self, context)
        self._planned += 1
        heapq.heappush(self._scheduled, (when, self._planned, handle))
        return handle

    def _run_once(self) -> None:
        """Run one callback after the other, until somebody says that it is over."""
        ready, draw = self._ready, self.rng.random
        while not self._stopping:
            if not ready:
                self._go_on()
            place = int(draw() * len(ready))
            handle = ready[place]
            last = ready.pop()
            if last is not handle:
                ready[place] = last
            if handle._cancelled or not self._may_run(handle):
                continue
            self.steps += 1
            if self.steps > STEPS_MAX:
                raise EndlessError(f"{self.steps} steps by {self.now().isoformat()}")
            try:
                handle._context.run(handle._callback, *handle._args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:  # noqa: BLE001 - as every loop does
                self.call_exception_handler({"message": "a callback broke", "exception": error})

    def _may_run(self, handle: asyncio.Handle) -> bool:
        """Tell whether the process of a callback can run it; keep what it cannot run."""
        process = handle._context.get(PROCESS)
        if process is None:
            return True
        if not process.alive:
            self._kept.append(handle)
            return False
        if process.paused_until > self._at:
            process.parked.append(handle)
            return False
        if process.fuse:
            process.fuse -= 1
            if not process.fuse:
                self._kept.append(handle)
                self.kill(process)
                return False
        return True

    def _go_on(self) -> None:
        """Jump to the next planned instant, and make ready all that is planned for it."""
        scheduled = self._scheduled
        while scheduled:
            when, _, handle = heapq.heappop(scheduled)
            if handle._cancelled:
                continue
            self._at = max(self._at, when)
            self._ready.append(handle)
            while scheduled and scheduled[0][0] <= self._at:
                _, _, other = heapq.heappop(scheduled)
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
