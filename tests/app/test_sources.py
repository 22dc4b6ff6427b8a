"""Sources in the running service: a real broker, a real database, entered and removed meanwhile."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import aiomqtt
import asyncpg
import pytest

from app import config, intake, sources
from app.run import SteppedClock
from app.servers.embedded import Servers
from app.wiring import House
from metering.adapter import Source
from metering.family import FAMILIES
from metering.io.link import parse_url
from metering.io.sources import SourceBook
from tests.conftest import Broker
from tests.metering.test_sources_store import hang, refused, stored
from tests.metering.toy_family import read

AT: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE: Final = Source(source_id="", family="toy", topic="home/one", meter_id="AQ-1")
HEARD: Final = "SELECT count(*) FROM refused_telegram WHERE topic = $1"
TIMES: Final = "SELECT coalesce(sum(times), 0) FROM refused_telegram WHERE topic = $1"
MARKED: Final = "SELECT count(*) FROM refused_telegram WHERE payload = $1"
NOON: Final = "- 2026-03-01T11:00:00Z 5"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know the family of the tests, and look for changes without a pause."""
    monkeypatch.setitem(FAMILIES, "toy", read)
    monkeypatch.setattr(sources, "EVERY", timedelta(milliseconds=10))
    monkeypatch.setattr(intake, "IDLE_S", 0.3)


@pytest.fixture
async def house(
    pool: asyncpg.Pool, owner: asyncpg.Connection, own_mosquitto: Broker, database_url: str
) -> House:
    """Return a house with one meter and a broker of its own."""
    await hang(owner)
    return House(
        settings=config.load(database_url=database_url, mqtt_urls=own_mosquitto.url),
        servers=Servers(database_url=database_url, mqtt_urls=(own_mosquitto.url,)),
        pool=pool,
        clock=SteppedClock(AT),
    )


@asynccontextmanager
async def ingesting(house: House) -> AsyncIterator[None]:
    """Run ingest as a process does, and stop it in an orderly way."""
    stopping = asyncio.Event()
    running = asyncio.create_task(intake.ingest_until(house, stopping))
    try:
        yield
    finally:
        stopping.set()
        await asyncio.wait_for(running, 30)


@asynccontextmanager
async def gateway(house: House) -> AsyncIterator[Callable[..., Awaitable[None]]]:
    """Connect as other makers' hardware does; publish returns once the broker has it."""
    broker = parse_url(house.servers.mqtt_urls[0])
    async with aiomqtt.Client(broker.host, broker.port) as client:

        async def publish(payload: str, topic: str = "home/one", *, retain: bool = False) -> None:
            await client.publish(topic, payload.encode(), qos=1, retain=retain)

        yield publish


async def entered(house: House, topic: str = "home/one", device: str = "") -> UUID:
    source = Source(source_id="", family="toy", topic=topic, device=device, meter_id="AQ-1")
    entry, _ = await SourceBook(pool=house.pool).add(source, by="a test", at=AT)
    return UUID(entry.source.source_id)


async def until(seen: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that another task brings about."""
    never = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(30):
        while not await seen():
            await asyncio.wait([never], timeout=0.01)


async def heard(house: House, owner: asyncpg.Connection, topic: str) -> None:
    """Wait until the session of the sources listens to a topic: publish until it is refused."""
    async with gateway(house) as publish:

        async def seen() -> bool:
            await publish(f"probe {topic}", topic)
            return bool(await owner.fetchval(HEARD, topic))

        await until(seen)


async def count(owner: asyncpg.Connection, readings: int) -> None:
    """Wait until so many readings are stored."""

    async def seen() -> bool:
        return bool(await owner.fetchval("SELECT count(*) = $1 FROM reading", readings))

    await until(seen)


class TestIngest:
    """A source in the running service ..."""

    async def test_is_heard_from_the_start(self, house: House, owner: asyncpg.Connection) -> None:
        """Published as a gateway does, stored as adapted; the repeat and the nonsense are told."""
        await entered(house)
        async with ingesting(house), gateway(house) as publish:
            await heard(house, owner, "home/one")
            await publish(NOON)
            await publish(NOON)
            await publish("gas 3")
            await publish(NOON, "home/two")
            await publish("- 2026-03-01T11:30:00Z 6")
            await count(owner, 2)

        assert await stored(owner) == [("AQ-1", 5000, "adapted"), ("AQ-1", 6000, "adapted")]
        found = [row for row in await refused(owner) if row[2] == "not three words"]
        # The word that found out whether anybody listens is nonsense too.
        assert {row[:2] for row in found} == {("AQ-1", "bad_shape")}
        assert len(found) == 2
        assert await owner.fetchval("SELECT count(*) FROM refused_telegram") == 2

    async def test_is_heard_when_it_is_entered_later(
        self, house: House, owner: asyncpg.Connection
    ) -> None:
        """The first one and the next, and nobody starts anything again."""
        async with ingesting(house), gateway(house) as publish:
            await entered(house)
            await heard(house, owner, "home/one")
            await entered(house, "home/+/late", "A")
            await heard(house, owner, "home/x/late")
            await publish("A 2026-03-01T11:00:00Z 5", "home/x/late")
            await count(owner, 1)

        assert await stored(owner) == [("AQ-1", 5000, "adapted")]

    async def test_is_heard_no_more_once_it_is_removed(
        self, house: House, owner: asyncpg.Connection
    ) -> None:
        """The broker is told as well, or it would send for ever what we throw away."""
        source_id = await entered(house)
        await entered(house, "home/two")
        async with ingesting(house), gateway(house) as publish:
            await heard(house, owner, "home/one")
            await heard(house, owner, "home/two")
            await SourceBook(pool=house.pool).remove(source_id, by="a test", at=AT)

            rounds = itertools.count()

            async def silent() -> bool:
                before, marker = await _times(owner, "home/one"), f"round {next(rounds)}"
                await publish("gas 3", "home/one")
                await publish(marker, "home/two")

                async def told() -> bool:
                    return bool(await owner.fetchval(MARKED, marker.encode()))

                await until(told)
                # While the removed one is heard it is refused, for one reason or another.
                return await _times(owner, "home/one") == before

            await until(silent)
            before = await _times(owner, "home/one")
            await publish("gas 3", "home/one")
            await publish(NOON, "home/two")
            await count(owner, 1)
            assert await _times(owner, "home/one") == before

    async def test_finds_what_waited_while_nobody_listened(
        self, house: House, owner: asyncpg.Connection
    ) -> None:
        """And is not sent what was removed meanwhile: its session at the broker is told first."""
        await entered(house)
        gone = await entered(house, "home/gone")
        async with ingesting(house):
            await heard(house, owner, "home/gone")
            await heard(house, owner, "home/one")
        await SourceBook(pool=house.pool).remove(gone, by="a test", at=AT)
        async with gateway(house) as publish:
            await publish(NOON)
            async with ingesting(house):
                await count(owner, 1)
                before = await _times(owner, "home/gone")
                await publish(NOON, "home/gone")
                await publish("- 2026-03-01T11:30:00Z 6")
                await count(owner, 2)

            assert await _times(owner, "home/gone") == before

    async def test_leaves_a_retained_message_to_its_family(
        self, house: House, owner: asyncpg.Connection
    ) -> None:
        """It may be a year old, and it comes with every new subscription."""
        async with gateway(house) as publish:
            await publish("- - 7", retain=True)
            await entered(house)
            async with ingesting(house):
                await heard(house, owner, "home/one")
                await publish(NOON)
                await count(owner, 1)

        assert await stored(owner) == [("AQ-1", 5000, "adapted")]

    async def test_is_heard_by_a_single_round(
        self, house: House, owner: asyncpg.Connection
    ) -> None:
        """``ingest --once`` takes what waits, ours and strangers'."""
        await entered(house)
        await intake.ingest_waiting(house, asyncio.Event())
        async with gateway(house) as publish:
            await publish(NOON)

        counts = await intake.ingest_waiting(house, asyncio.Event())

        assert (counts["telegrams"], counts["stored"], counts["ignored"]) == (1, 1, 0)
        assert await stored(owner) == [("AQ-1", 5000, "adapted")]


async def _times(owner: asyncpg.Connection, topic: str) -> int:
    return int(await owner.fetchval(TIMES, topic))
