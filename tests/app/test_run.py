"""Loops, signals and clocks: what the world does postpones, what we do wrong ends."""

import asyncio
import os
import signal
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from app import run
from app.run import SteppedClock, SystemClock

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class TestSteppedClock:
    """A clock for tests and the demo ..."""

    def test_stands_still_until_it_is_told(self) -> None:
        """Two questions, one answer: a day in the demo is one instant."""
        clock = SteppedClock(NOON)

        assert [clock.now(), clock.now()] == [NOON, NOON]

    def test_never_goes_back(self) -> None:
        """A bill issued before the reading it rests on would be beyond repair."""
        clock = SteppedClock(NOON)
        clock.advance_to(NOON + timedelta(days=1))

        with pytest.raises(ValueError, match="is before"):
            clock.advance_to(NOON)

    def test_answers_in_utc(self) -> None:
        """One instant, one way to write it, whatever zone it was told in."""
        clock = SteppedClock(datetime.fromisoformat("2026-01-31T17:00:00+05:00"))

        assert clock.now().isoformat() == "2026-01-31T12:00:00+00:00"


class TestSystemClock:
    """The machine's clock ..."""

    def test_is_aware(self) -> None:
        """A naive instant means another time on another machine."""
        assert SystemClock().now().tzinfo is UTC


class World:
    """A step that fails as told, and counts how often it was asked."""

    def __init__(self, *failures: Exception | None) -> None:
        self.failures = list(failures)
        self.asked: list[datetime] = []
        self.stopping = asyncio.Event()

    async def step(self, at: datetime) -> None:
        """Fail, or end the loop after the last failure."""
        self.asked.append(at)
        failure = self.failures.pop(0) if self.failures else None
        if not self.failures:
            self.stopping.set()
        if failure is not None:
            raise failure

    async def loop(self) -> None:
        """Run the loop under test with no pause between steps."""
        await run.loop(
            self.step,
            name="test",
            every=timedelta(0),
            clock=SteppedClock(NOON),
            stopping=self.stopping,
        )


class TestLoop:
    """The loop around a verb ..."""

    @pytest.fixture(autouse=True)
    def at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Wait for nothing."""
        monkeypatch.setattr(run, "BACKOFF_S_MAX", 0.0)

    @pytest.mark.parametrize(
        "failure",
        [
            ConnectionRefusedError(),
            TimeoutError(),
            asyncpg.CannotConnectNowError(),
            asyncpg.AdminShutdownError(),
            asyncpg.DeadlockDetectedError(),
            asyncpg.InvalidCachedStatementError(),
            asyncpg.TooManyConnectionsError(),
            asyncpg.InterfaceError("connection is closed"),
            asyncpg.InternalClientError("cannot switch to state 12"),
            ExceptionGroup("both", [OSError(), TimeoutError()]),
        ],
        ids=lambda failure: type(failure).__name__,
    )
    async def test_outlives_what_the_world_does(self, failure: Exception) -> None:
        """A database that restarts must not take the service with it."""
        world = World(failure, failure, None)

        await world.loop()

        assert world.asked == [NOON, NOON, NOON]

    @pytest.mark.parametrize(
        "failure",
        [
            KeyError("meter"),
            AssertionError(),
            asyncpg.UndefinedColumnError(),
            asyncpg.InterfaceError("the server expects 2 arguments"),
            ExceptionGroup("mixed", [OSError(), KeyError()]),
        ],
        ids=lambda failure: type(failure).__name__,
    )
    async def test_ends_with_a_mistake_of_ours(self, failure: Exception) -> None:
        """Trying a mistake again hides it and changes nothing."""
        world = World(failure, None)

        with pytest.raises(type(failure)):
            await world.loop()

        assert world.asked == [NOON]

    async def test_waits_longer_after_each_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A database that comes up is not helped by a thousand knocks; nor forgotten."""
        waits: list[float] = []
        monkeypatch.setattr(run, "BACKOFF_S_MAX", 30.0)

        async def pause(seconds: float, _stopping: asyncio.Event) -> None:
            waits.append(seconds)

        monkeypatch.setattr(run, "pause", pause)
        world = World(*[OSError()] * 7, None, OSError(), None)

        await world.loop()

        assert waits == [1, 2, 4, 8, 16, 30, 30, 0, 1, 0]


class TestUntilTold:
    """A process that is told to stop ..."""

    async def test_finishes_what_it_has_begun(self) -> None:
        """SIGTERM from the system is a request, and a batch is finished first."""
        finished = []

        async def work(stopping: asyncio.Event) -> int:
            os.kill(os.getpid(), signal.SIGTERM)
            await stopping.wait()
            finished.append("batch")
            return 0

        assert await run.until_told(work) == 0
        assert finished == ["batch"]

    async def test_does_not_wait_when_told_twice(self) -> None:
        """The second Ctrl-C means it; what must be closed is closed all the same."""
        closed = []

        async def work(stopping: asyncio.Event) -> int:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                await stopping.wait()
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.Event().wait()
            finally:
                closed.append("server")
            return 0

        assert await run.until_told(work) == 130
        assert closed == ["server"]

    async def test_has_a_limited_time_to_end(self) -> None:
        """A step that hangs must not keep the machine from shutting down."""

        async def work(_stopping: asyncio.Event) -> int:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()
            return 0

        assert await run.until_told(work, shutdown_s_max=0.01) == 130

    async def test_gives_signals_back(self) -> None:
        """After it, Ctrl-C means what it meant before."""
        before = signal.getsignal(signal.SIGINT)

        async def work(_stopping: asyncio.Event) -> int:
            return 7

        assert await run.until_told(work) == 7
        assert signal.getsignal(signal.SIGINT) == before
