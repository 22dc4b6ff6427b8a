"""Processes that share the meters out among them, on a real database; their reading is made up."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from app import shares, worker
from app.shares import Reader, Shares, place
from metering.io.leases import Leases
from metering.lease import SOURCES

URL = "mqtt://user:secret@broker:1884"
NAMES = ["0-of-4", "1-of-4", "2-of-4", "3-of-4"]
RAN_OUT = "UPDATE ingest_lease SET until = clock_timestamp() - interval '1 s' WHERE worker = $1"


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the table without a pause worth mentioning."""
    monkeypatch.setattr(shares, "_BEAT_S", 0.05)


class Town:
    """What is read by whom."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self.read: dict[str, set[str]] = {}
        self.emptied: list[str] = []
        self.twice: list[str] = []
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def process(
        self, name: str, *, names: list[str] | None = None, dies: bool = False
    ) -> AsyncIterator[Shares]:
        """Let a process run for as long as the block lasts; one that dies gives nothing back."""
        self.read[name] = set()

        async def read(url: str, share: str, reader: Reader) -> None:
            assert url == URL
            if share == SOURCES:
                await reader.stopping.wait()
                return
            if any(share in held for held in self.read.values()):
                self.twice.append(share)
            self.read[name].add(share)
            self._changed.set()
            try:
                await reader.stopping.wait()
            finally:
                self.read[name].discard(share)
                self._changed.set()

        async def empty(_: str, share: str, reader: Reader) -> None:
            self.emptied.append(share)
            reader.done = True

        stopping = asyncio.Event()
        held = Shares(
            leases=Leases(pool=self.pool, worker=name),
            urls=[URL],
            names=NAMES if names is None else names,
            read=read,
            empty=empty,
        )
        task = asyncio.create_task(held.run(stopping))
        try:
            yield held
        finally:
            if dies:
                held._give_all = _give_nothing  # type: ignore[method-assign]
                task.cancel()
                await asyncio.wait({task})
            else:
                stopping.set()
                await task

    async def until(self, wanted: Callable[[], bool]) -> None:
        """Wait until the picture is as wanted."""
        async with asyncio.timeout(30):
            while not wanted():
                self._changed.clear()
                await self._changed.wait()


async def _give_nothing() -> None:
    """Be dead."""


async def until(seen: Callable[[], Awaitable[bool]]) -> None:
    never = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(30):
        while not await seen():
            await asyncio.wait([never], timeout=0.01)


class TestShares:
    """Two processes ..."""

    async def test_share_the_work_and_nothing_is_read_by_both(self, pool: asyncpg.Pool) -> None:
        """The first reads all; when the second comes it gives two away before they are taken."""
        town = Town(pool)
        async with town.process("a"):
            await town.until(lambda: len(town.read["a"]) == 4)
            async with town.process("b"):
                await town.until(lambda: len(town.read["a"]) == len(town.read["b"]) == 2)
            await town.until(lambda: len(town.read["a"]) == 4)

        assert town.read == {"a": set(), "b": set()}
        assert town.twice == []

    async def test_inherit_from_each_other(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """One died without a word: once its leases have run out, the other has them."""
        town = Town(pool)
        async with town.process("b"):
            async with town.process("a", dies=True):
                await town.until(lambda: len(town.read["a"]) == len(town.read["b"]) == 2)
            assert len(town.read["b"]) == 2
            await owner.execute(RAN_OUT, "a")
            await owner.execute("DELETE FROM ingest_worker WHERE worker = 'a'")
            await town.until(lambda: len(town.read["b"]) == 4)

    async def test_do_not_read_on_when_the_table_is_away(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Before a lease runs out its share is put down, and taken up again afterwards."""
        town = Town(pool)
        async with town.process("a"):
            await town.until(lambda: len(town.read["a"]) == 4)
            monkeypatch.setattr(shares, "_LEASE_S", 0.2)
            away = True

            async def beat(leases: Leases, cut: int) -> dict[str, int]:
                if away:
                    raise ConnectionResetError
                return {leases.worker: cut}

            monkeypatch.setattr(Leases, "beat", beat)
            await town.until(lambda: town.read["a"] == set())
            away = False
            await town.until(lambda: len(town.read["a"]) == 4)
        assert await owner.fetchval("SELECT count(*) FROM ingest_lease WHERE until > now()") == 0

    async def test_read_out_what_an_earlier_cut_has_left(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Of two shares four became: the broker still keeps sessions for the two."""
        town = Town(pool)
        async with town.process("a", names=["0-of-2", "1-of-2"]):
            await town.until(lambda: len(town.read["a"]) == 2)
        async with town.process("b"):
            await town.until(lambda: len(town.read["b"]) == 4)

            async def forgotten() -> bool:
                return not await owner.fetchval(
                    "SELECT count(*) FROM ingest_lease WHERE share LIKE '%-of-2'"
                )

            await until(forgotten)
        assert sorted(town.emptied) == ["0-of-2", "1-of-2"]

    async def test_leave_an_earlier_cut_alone_while_it_is_read(self, pool: asyncpg.Pool) -> None:
        """While processes are changed one by one, both cuts are read."""
        town = Town(pool)
        async with town.process("a", names=["0-of-2", "1-of-2"]):
            await town.until(lambda: len(town.read["a"]) == 2)
            async with town.process("b"):
                await town.until(lambda: len(town.read["b"]) == 4)
                assert len(town.read["a"]) == 2
                assert town.emptied == []

    async def test_end_loudly_when_reading_fails(self, pool: asyncpg.Pool) -> None:
        """A mistake of ours ends the process; its shares are given back."""

        async def wrong(*_: object) -> None:
            raise ZeroDivisionError

        leases = Leases(pool=pool, worker="a")
        held = Shares(leases=leases, urls=[URL], names=NAMES, read=wrong, empty=wrong)

        with pytest.raises(ExceptionGroup) as caught:
            await held.run(asyncio.Event())

        assert caught.group_contains(ZeroDivisionError)
        assert not any(lease.live for lease in await leases.all())

    async def test_keep_no_password(self, pool: asyncpg.Pool) -> None:
        """The table says where a broker is, and not how one gets in."""
        town = Town(pool)
        async with town.process("a"):
            await town.until(lambda: len(town.read["a"]) == 4)
            found = await Leases(pool=pool, worker="b").all()

        assert {lease.broker for lease in found} == {"broker:1884"}
        assert place("mqtt://somewhere") == "somewhere:1883"
        assert place("mqtts://somewhere") == "somewhere:8883"


class TestLease:
    """A lease ..."""

    async def test_is_one_processs_until_it_runs_out(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The holder may take it again, nobody else may."""
        mine, other = Leases(pool=pool, worker="a"), Leases(pool=pool, worker="b")

        assert await mine.take("broker", "0-of-1")
        assert await mine.take("broker", "0-of-1")
        assert not await other.take("broker", "0-of-1")
        await other.give("broker", "0-of-1")
        assert not await other.take("broker", "0-of-1")
        await owner.execute(RAN_OUT, "a")
        assert await other.take("broker", "0-of-1")
        assert not await mine.take("broker", "0-of-1")

    async def test_is_taken_by_one_of_many_at_once(self, pool: asyncpg.Pool) -> None:
        """Ten see that it is free."""
        ten = [Leases(pool=pool, worker=str(number)) for number in range(10)]

        taken = await asyncio.gather(*(one.take("broker", "0-of-1") for one in ten))

        assert taken.count(True) == 1

    async def test_says_since_when(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """Renewing it does not make it younger; another holder does."""
        mine, other = Leases(pool=pool, worker="a"), Leases(pool=pool, worker="b")
        await mine.take("broker", "0-of-1")
        [first] = await mine.all()
        await mine.take("broker", "0-of-1")
        [second] = await mine.all()
        await owner.execute(RAN_OUT, "a")
        await other.take("broker", "0-of-1")
        [third] = await mine.all()

        assert first.since == second.since < third.since
        assert (first.worker, third.worker, third.live) == ("a", "b", True)


class TestWorker:
    """The name of a process ..."""

    def test_says_that_it_is_there(self) -> None:
        """This one is."""
        assert not worker.gone(worker.me())

    def test_says_when_it_has_ended(self) -> None:
        """Killed, and also before its parent has taken note."""
        script = "from app import worker; print(worker.me(), flush=True); input()"
        with subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            name = process.stdout.readline().strip()
            assert not worker.gone(name)
            process.kill()
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            assert worker.gone(name)
        assert worker.gone(name)

    def test_is_another_when_the_number_is_used_again(self) -> None:
        """Numbers of processes come round; starts do not."""
        begun, _, _ = worker.me().rpartition("/")

        assert worker.gone(f"{begun}/1")

    @pytest.mark.parametrize("name", ["", "elsewhere/x/1/2", "a/b", "else where/pid:[1]/1/77"])
    def test_says_nothing_of_other_machines(self, name: str) -> None:
        """From here nobody can see whether it has ended: its leases have to run out."""
        assert not worker.gone(name)
