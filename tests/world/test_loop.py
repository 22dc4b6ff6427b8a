"""The loop under the simulation: its time, its order, its processes, and its streams."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from tests.world.loop import Process, SeededLoop, StuckError

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
DAY_S: Final = 86_400.0


def play(seed: int, what: Callable[[SeededLoop], Awaitable[object]]) -> tuple[object, SeededLoop]:
    loop = SeededLoop(seed, start=START)
    try:
        return loop.run_until_complete(what(loop)), loop  # type: ignore[arg-type]
    finally:
        loop.finish()


class TestTime:
    """Nobody waits, and nobody asks the machine for the time."""

    def test_jumps_to_the_next_thing_to_do(self) -> None:
        """Days pass in no time."""

        async def sleep(_: SeededLoop) -> None:
            await asyncio.sleep(30 * DAY_S)

        _, loop = play(1, sleep)
        assert loop.now() == START + timedelta(days=30)

    def test_ends_when_nobody_can_go_on(self) -> None:
        """A run that hangs is a finding, not a hanging test."""

        async def wait(loop: SeededLoop) -> None:
            await loop.create_future()

        with pytest.raises(StuckError):
            play(1, wait)


async def three(loop: SeededLoop) -> str:
    """Let three tasks write down when each of their steps ran."""
    said: list[str] = []

    async def work(name: str) -> None:
        for _ in range(3):
            said.append(name)
            await asyncio.sleep(0)

    tasks = [loop.create_task(work(name)) for name in "abc"]
    await asyncio.gather(*tasks)
    return "".join(said)


class TestOrder:
    """The seed decides who is next, and nothing else does."""

    def test_is_the_same_for_the_same_seed(self) -> None:
        """A failing seed must fail again."""
        assert [play(7, three)[0] for _ in range(5)] == [play(7, three)[0]] * 5

    def test_differs_between_seeds(self) -> None:
        """Each step of three tasks meets each other step in some seed."""
        assert len({play(seed, three)[0] for seed in range(200)}) > 100


class TestAProcess:
    """A killed one is gone, a paused one is late."""

    def test_that_is_killed_runs_nothing_more(self) -> None:
        """Not even its cleanup: that is what kill -9 does."""
        said: list[str] = []

        async def work() -> None:
            try:
                said.append("begun")
                await asyncio.sleep(10)
                said.append("ended")
            finally:
                said.append("cleaned up")

        async def kill(loop: SeededLoop) -> list[str]:
            process = Process("victim")
            loop.spawn(process, work())
            await asyncio.sleep(1)
            loop.kill(process)
            await asyncio.sleep(100)
            return list(said)

        assert play(1, kill)[0] == ["begun"]

    def test_that_is_paused_goes_on_late(self) -> None:
        """Its lease may have run out meanwhile; it does not know."""

        async def work(loop: SeededLoop) -> float:
            await asyncio.sleep(10)
            return loop.time()

        async def pause(loop: SeededLoop) -> float:
            process = Process("sleeper")
            task = loop.spawn(process, work(loop))
            await asyncio.sleep(1)
            loop.pause(process, 600)
            return await task

        assert play(1, pause)[0] == pytest.approx(601)
