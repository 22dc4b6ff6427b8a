"""Time, loops and the end of a process: the only place that asks what time it is.

A verb does one batch; the loop around it lives here. What the world does to us (a database that
restarts, a broker that is away, a bank that is silent) postpones a step and never ends the process.
Our own mistakes end it, loudly.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

import aiohttp
import aiomqtt
import asyncpg
import structlog

from billing.bank import BankError, BankSilentError
from metering.ingest import BusyError

log = structlog.get_logger()

# How long an orderly end may take: longer than the longest wait for the bank (30 s).
SHUTDOWN_S_MAX: Final = 40.0

# A step that keeps failing is tried again after 1, 2, 4 … seconds, at most this many.
BACKOFF_S_MAX: Final = 30.0

# Failures of the world, not of ours; each class of PostgreSQL's errors by its SQLSTATE group.
AWAY: Final = (
    OSError,  # also TimeoutError and every refused or broken connection
    aiohttp.ClientError,
    aiomqtt.MqttError,
    asyncpg.PostgresConnectionError,  # 08: the connection broke
    asyncpg.InsufficientResourcesError,  # 53: too many connections, disk full
    asyncpg.OperatorInterventionError,  # 57: restart, shutdown, crash
    asyncpg.TransactionRollbackError,  # 40: deadlock, serialisation
    asyncpg.InvalidCachedStatementError,  # 0A: a table got a column; the next try knows it
    asyncpg.InternalClientError,  # what asyncpg 0.32 says when a session is cut between two steps
    BankSilentError,
    BankError,  # silent, garbled, or not content with our token: a person's work, not our end
    BusyError,  # another worker on the same meters
)


class Clock(Protocol):
    """Something that knows what time it is."""

    def now(self) -> datetime:
        """Return this instant, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return this instant, aware, in UTC."""
        return datetime.now(UTC)  # noqa: TID251 - the one place that asks


class SteppedClock:
    """A clock that stands still until it is told to go on; for the demo and for tests."""

    def __init__(self, start: datetime) -> None:
        assert start.utcoffset() is not None, "an instant carries its zone"
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        """Return the instant it was last told."""
        return self._now

    def advance_to(self, instant: datetime) -> None:
        """Go on to an instant; a clock never goes back.

        Raises:
            ValueError: the instant is in this clock's past.
        """
        if instant < self._now:
            raise ValueError(f"{instant.isoformat()} is before {self._now.isoformat()}")
        self._now = instant.astimezone(UTC)


class FileClock:
    """A clock that somebody else moves: the one line of a file, an instant in ISO 8601.

    For rehearsals with several processes. The file is replaced whole, so it is always readable.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.now()

    def now(self) -> datetime:
        """Return the instant the file says.

        Raises:
            ValueError: the file does not hold an instant with a time zone.
            OSError: the file cannot be read.
        """
        text = self._path.read_text(encoding="ascii").strip()
        instant = datetime.fromisoformat(text)
        if instant.utcoffset() is None:
            raise ValueError(f"{self._path} holds no instant with a time zone")
        return instant.astimezone(UTC)


def is_away(error: BaseException) -> bool:
    """Say whether an error is the world's doing and may pass."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_away(inner) for inner in error.exceptions)
    if isinstance(error, asyncpg.InterfaceError):
        # The driver has no class of its own for a connection that was lost between two statements.
        return "closed" in str(error)
    return isinstance(error, AWAY)


async def pause(seconds: float, stopping: asyncio.Event) -> None:
    """Wait, but no longer than until ``stopping`` is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()


async def loop(
    step: Callable[[datetime], Awaitable[object]],
    *,
    name: str,
    every: timedelta,
    clock: Clock,
    stopping: asyncio.Event,
) -> None:
    """Take a step again and again until ``stopping`` is set.

    A failure of the world is logged and the step tried again, ever later up to ``BACKOFF_S_MAX``;
    every other error is ours and is raised.
    """
    failures = 0
    while not stopping.is_set():
        try:
            await step(clock.now())
        except Exception as error:
            if not is_away(error):
                raise
            failures += 1
            wait_s = min(2.0 ** (failures - 1), BACKOFF_S_MAX)
            log.warning("step.postponed", step=name, kind=type(error).__name__, failures=failures)
        else:
            failures = 0
            wait_s = every.total_seconds()
        await pause(wait_s, stopping)


async def until_told(
    work: Callable[[asyncio.Event], Awaitable[int]], *, shutdown_s_max: float = SHUTDOWN_S_MAX
) -> int:
    """Run a process's work until it ends or SIGINT or SIGTERM comes; return its exit code.

    The first signal sets the event that the work gets: it finishes what it has begun, within
    ``shutdown_s_max`` seconds. The second signal does not wait.
    """
    stopping, asked, forced = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def told() -> None:
        # The work sets the event by itself when it breaks; only a second signal is a second signal.
        (forced if asked.is_set() else asked).set()
        stopping.set()
        log.info("process.stopping", forced=forced.is_set())

    running = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        running.add_signal_handler(number, told)
    task = asyncio.ensure_future(work(stopping))
    watcher = asyncio.create_task(_force(task, stopping, forced, shutdown_s_max))
    try:
        return await task
    except asyncio.CancelledError:
        if not stopping.is_set():
            raise
        log.warning("process.forced")
        return 130
    finally:
        watcher.cancel()
        for number, handler in before.items():
            running.remove_signal_handler(number)
            signal.signal(number, handler)


async def _force(
    task: asyncio.Future[int], stopping: asyncio.Event, forced: asyncio.Event, seconds: float
) -> None:
    """Cancel the work when its time is up or a person insists."""
    await stopping.wait()
    await pause(seconds, forced)
    task.cancel()
