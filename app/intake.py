"""Taking telegrams: what one process reads, from one session after another.

``shares`` decides which sessions are ours; here each is read, and what comes is stored. All of them
share one store: it remembers the meters, and writes one batch at a time.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

import structlog

from app import worker
from app.run import BACKOFF_S_MAX, is_away, pause
from app.shares import Reader, Shares, place
from app.sources import source_watch
from app.wiring import House, notary, session_name, subscription
from metering.ingest import BATCH_MAX, IngestCounts, ingest_batch
from metering.io.leases import Leases
from metering.io.mqtt import Subscription
from metering.io.notary import Notary
from metering.io.store import Store
from metering.lease import SOURCES, share_named, shares
from metering.source import Switchboard
from metering.telegram import Arrival

log = structlog.get_logger()

# While one batch is written, the next is decided; a third writer would find nothing to do.
WRITERS: Final = 2
# A session that has had nothing for us for so long is empty.
IDLE_S: Final = 2.0
# A broker that was reachable a moment ago.
CONNECT_S_MAX: Final = 30.0
# How many new objects, and how many rounds, before the collector looks for circles.
GC_OBJECTS: Final = 100_000
GC_ROUNDS: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class _Intake:
    house: House
    store: Store
    witness: Notary

    async def take(
        self, arrivals: list[Arrival], session: Subscription, sources: Switchboard | None = None
    ) -> IngestCounts:
        """Store what came."""
        return await ingest_batch(
            arrivals,
            subscription=session,
            store=self.store,
            at=self.house.clock.now(),
            notary=self.witness,
            receipts=self.house.settings.receipts == "on",
            sources=sources,
        )

    async def write(
        self, session: Subscription, stopping: asyncio.Event, sources: Switchboard | None = None
    ) -> None:
        """Store what comes until ``stopping`` is set; what the world does only postpones."""
        failures = 0
        while not stopping.is_set():
            arrivals = await _next(session, stopping)
            if not arrivals:
                continue
            try:
                await self.take(arrivals, session, sources)
            except Exception as error:
                if not is_away(error):
                    raise
                failures += 1
                log.warning("step.postponed", step="ingest", kind=type(error).__name__)
                # The messages were put back; reading pauses by itself when too many wait.
                await pause(min(2.0 ** (failures - 1), BACKOFF_S_MAX), stopping)
            else:
                failures = 0

    async def drain(
        self,
        session: Subscription,
        stopping: asyncio.Event,
        sources: Switchboard | None = None,
        *,
        keep: Callable[[], Awaitable[bool]] | None = None,
    ) -> IngestCounts:
        """Store what waits in a session, for as long as ``keep`` says that it is ours."""
        total = IngestCounts()
        await asyncio.wait_for(session.wait_connected(), CONNECT_S_MAX)
        while arrivals := await _next(session, stopping, within_s=IDLE_S):
            total += await self.take(arrivals, session, sources)
            if keep is not None and not await keep():
                break
        return total

    async def read(self, url: str, name: str, reader: Reader) -> None:
        """Read one share of one broker until told to stop."""
        if name == SOURCES:
            await self.listen(url, reader)
            return
        share = share_named(name)
        async with (
            subscription(url, self.house.settings, share) as session,
            asyncio.TaskGroup() as group,
        ):
            reader.session = session
            for _ in range(WRITERS):
                group.create_task(self.write(session, reader.stopping))

    async def listen(self, url: str, reader: Reader) -> None:
        """Take what other makers' hardware publishes at one broker, once a source was entered."""
        house, watch = self.house, source_watch(self.house)
        if not await watch.begin(house.clock, reader.stopping):
            return
        async with watch.session(url, house.settings) as session, asyncio.TaskGroup() as group:
            group.create_task(watch.follow(session, house.clock, reader.stopping))
            group.create_task(self.write(session, reader.stopping, watch.board))

    async def empty(self, url: str, name: str, reader: Reader) -> None:
        """Read out the session of a share that nobody reads any more, and let it listen no more.

        Told to stop, or cut off, it leaves the rest to the next time.
        """
        share = share_named(name)
        async with subscription(url, self.house.settings, share) as session:
            session.unsubscribe(share.topics)
            try:
                await self.drain(session, reader.stopping)
            except Exception as error:
                if not is_away(error):
                    raise
                log.warning("step.postponed", step="empty", kind=type(error).__name__)
            else:
                reader.done = not reader.stopping.is_set()


async def ingest_until(house: House, stopping: asyncio.Event) -> None:
    """Take telegrams from every broker until ``stopping`` is set; what was taken is finished.

    Raises:
        Exception: a mistake of ours; what the world does only postpones.
    """
    # A batch makes many small objects that all go at once, and no circles worth looking for.
    gc.set_threshold(GC_OBJECTS, GC_ROUNDS, GC_ROUNDS)
    async with notary(house.settings) as witness:
        intake = _Intake(house=house, store=Store(house.pool), witness=witness)
        held = Shares(
            leases=Leases(pool=house.pool, worker=worker.me()),
            urls=house.servers.mqtt_urls,
            names=[share.name for share in shares(house.settings.ingest_shares)],
            read=intake.read,
            empty=intake.empty,
        )
        for number, url in enumerate(house.servers.mqtt_urls, start=1):
            house.checks[f"broker-{number}"] = held.check(url)
        await held.run(stopping)


async def ingest_waiting(house: House, stopping: asyncio.Event) -> dict[str, Any]:
    """Store what the brokers have for us now, and return the counts.

    A share that another process reads is left to it.
    """
    leases = Leases(pool=house.pool, worker=worker.me())
    watch, total = source_watch(house), IngestCounts()
    await watch.look(house.clock.now())
    async with notary(house.settings) as witness:
        intake = _Intake(house=house, store=Store(house.pool), witness=witness)
        await leases.end(
            {lease.worker for lease in await leases.all() if worker.gone(lease.worker)}
        )
        for url in house.servers.mqtt_urls:
            for share in shares(house.settings.ingest_shares):
                if not await leases.take(place(url), share.name):
                    log.warning("share.taken", share=share.name, session=session_name(share))
                    continue
                keep = partial(leases.take, place(url), share.name)
                async with subscription(url, house.settings, share) as session:
                    total += await intake.drain(session, stopping, keep=keep)
                await leases.give(place(url), share.name)
            if watch.board.topics and await leases.take(place(url), SOURCES):
                keep = partial(leases.take, place(url), SOURCES)
                async with watch.session(url, house.settings) as session:
                    total += await intake.drain(session, stopping, watch.board, keep=keep)
                await leases.give(place(url), SOURCES)
    return asdict(total)


async def _next(
    session: Subscription, stopping: asyncio.Event, *, within_s: float | None = None
) -> list[Arrival]:
    """Return the next messages; none when told to stop, or when the time is up."""
    batch = asyncio.create_task(session.get_batch(BATCH_MAX))
    told = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({batch, told}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        told.cancel()
        batch.cancel()
        # A batch that came in the same instant is not cancelled any more: it is ours.
        await asyncio.wait({batch, told})
    return [] if batch.cancelled() else batch.result()
