"""Which sessions this process reads: it takes shares, keeps them, and gives them back.

All processes look at the same table and compute the same quotas (``metering/lease.py``). A share
whose lease cannot be kept is put down before it can be somebody else's. The clock of leases is the
database's; of our own we only ask how long ago something was.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import structlog

from app import worker
from app.public import Check
from app.run import is_away, pause
from metering.io.leases import Lease, Leases
from metering.io.mqtt import Subscription
from metering.lease import BEAT, LEASE, SOURCES, Key, moves, share_named

log = structlog.get_logger()

_LEASE_S: Final = LEASE.total_seconds()
_BEAT_S: Final = BEAT.total_seconds()


@dataclass(slots=True, kw_only=True)
class Reader:
    """One share being read: told to stop by an event; ``done`` when it need never be read again."""

    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    until: float = 0.0
    session: Subscription | None = None
    done: bool = False
    task: asyncio.Task[None] | None = None


Read = Callable[[str, str, Reader], Coroutine[None, None, None]]


def place(url: str) -> str:
    """Return where a broker is, without anything secret: what leases call it."""
    parts = urlsplit(url)
    port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
    return f"{parts.hostname}:{port}"


class Shares:
    """The shares of one process, for as long as ``run`` runs."""

    def __init__(
        self, *, leases: Leases, urls: Sequence[str], names: Sequence[str], read: Read, empty: Read
    ) -> None:
        """Remember what there is to read.

        Args:
            leases: what all processes look at.
            urls: the brokers.
            names: the shares of each broker's meters.
            read: reads one share until told to stop.
            empty: reads out one that is no longer among the names.
        """
        self._leases = leases
        self._urls = {place(url): url for url in urls}
        self._names = [*names, SOURCES]
        self._cut = len(names)
        self._read, self._empty = read, empty
        self._readers: dict[Key, Reader] = {}
        self._looked = False

    def check(self, url: str) -> Check:
        """Return what says whether all that we hold of a broker is connected."""

        async def connected() -> bool:
            return self._looked and all(
                reader.session is not None and reader.session.connected
                for (broker, name), reader in self._readers.items()
                if broker == place(url) and name in self._names and name != SOURCES
            )

        return connected

    async def run(self, stopping: asyncio.Event) -> None:
        """Take, keep and give shares until ``stopping`` is set, then give everything back.

        Raises:
            Exception: a mistake of ours; what the world does only postpones.
        """
        try:
            async with asyncio.TaskGroup() as group:
                while not stopping.is_set():
                    await self._round(group)
                    await pause(_BEAT_S, stopping)
                for reader in self._readers.values():
                    reader.stopping.set()
        finally:
            await self._give_all()

    async def _round(self, group: asyncio.TaskGroup) -> None:
        began = asyncio.get_running_loop().time()
        try:
            # A database that neither answers nor refuses is away too.
            async with asyncio.timeout(2 * _BEAT_S):
                await self._look(group, began)
            self._looked = True
        except Exception as error:
            if not is_away(error):
                raise
            log.warning("step.postponed", step="leases", kind=type(error).__name__)
        # What could not be kept in time is put down before it runs out.
        late = asyncio.get_running_loop().time() + 2 * _BEAT_S
        await self._stop([key for key, reader in self._readers.items() if reader.until < late])

    async def _look(self, group: asyncio.TaskGroup, began: float) -> None:
        there = await self._leases.beat(self._cut)
        known = await self._leases.all()
        ended = {one for one in {*there, *(lease.worker for lease in known)} if worker.gone(one)}
        if ended:
            await self._leases.end(ended)
            known = await self._leases.all()
        living = {one: cut for one, cut in there.items() if one not in ended}
        await self._move(group, known, living, began)

    async def _move(
        self,
        group: asyncio.TaskGroup,
        known: Sequence[Lease],
        there: Mapping[str, int],
        began: float,
    ) -> None:
        """Do what the picture asks of us.

        Only processes with the same cut share the work; what another cut has left behind is read
        out once nobody of that cut is there.
        """
        same = {one for one, cut in there.items() if cut == self._cut}
        given_up = await self._give_up()
        known = [one for one in known if (one.broker, one.share) not in given_up]
        holders = {(one.broker, one.share): one.worker for one in known if one.live}
        ours = [(broker, name) for name in self._names for broker in self._urls]
        left = [
            (one.broker, one.share)
            for one in known
            if one.broker in self._urls
            and one.share not in self._names
            and share_named(one.share).of not in there.values()
        ]
        groups = (
            [key for key in ours if key[1] != SOURCES],
            [key for key in ours if key[1] == SOURCES],
            left,
        )
        wanted: set[Key] = set()
        given: list[Key] = []
        me = self._leases.worker
        for names in groups:
            next_moves = moves(me, names=names, holders=holders, workers=same)
            mine = {key for key in names if holders.get(key) == me}
            wanted |= (mine | set(next_moves.take)) - set(next_moves.give)
            given += next_moves.give
        await self._stop([key for key in self._readers if key not in wanted])
        for broker, name in given:
            await self._leases.give(broker, name)
        for key in sorted(wanted):
            if not await self._leases.take(*key):
                await self._stop([key])
                continue
            reader = self._readers.get(key)
            if reader is None or (reader.task is not None and reader.task.done()):
                reader = self._begin(group, key, old=key in left)
            reader.until = began + _LEASE_S

    def _begin(self, group: asyncio.TaskGroup, key: Key, *, old: bool) -> Reader:
        broker, name = key
        log.info("share.begun", broker=broker, share=name)
        reader = self._readers[key] = Reader()
        run = self._empty if old else self._read
        reader.task = group.create_task(run(self._urls[broker], name, reader))
        return reader

    async def _stop(self, keys: Sequence[Key]) -> None:
        """Put shares down, each after the batch it is at."""
        readers = [self._readers.pop(key) for key in keys if key in self._readers]
        for reader in readers:
            reader.stopping.set()
        tasks = [reader.task for reader in readers if reader.task is not None]
        if not tasks:
            return
        log.info("share.ended", shares=[f"{broker} {name}" for broker, name in keys])
        _, slow = await asyncio.wait(tasks, timeout=_BEAT_S)
        for task in slow:
            # A broker that does not answer must not make us keep what is no longer ours.
            task.cancel()
        if slow:
            await asyncio.wait(slow)

    async def _give_up(self) -> set[Key]:
        """Forget the shares that were read out for good, and return them."""
        done = {key for key, reader in self._readers.items() if reader.done}
        for key in done:
            await self._leases.give_up(*key)
            del self._readers[key]
        return done

    async def _give_all(self) -> None:
        """Give back what we hold, so that the next one need not wait."""
        with suppress(asyncio.CancelledError):
            try:
                await self._leases.end([self._leases.worker])
            except Exception as error:
                if not is_away(error):
                    raise
                log.warning("step.postponed", step="leases", kind=type(error).__name__)
