"""``aqkol ingest --once``: what waits is taken, and no other process is pushed out for it."""

import asyncio

import aiomqtt
import asyncpg
import pytest

from app import config, intake
from app.run import SystemClock
from app.servers.embedded import Servers
from app.shares import place
from app.wiring import House
from metering.io.leases import Leases
from tests.conftest import Broker

UP = "gas/v1/46/AQ-1/up/json"


@pytest.fixture
def house(
    monkeypatch: pytest.MonkeyPatch, pool: asyncpg.Pool, own_mosquitto: Broker, database_url: str
) -> House:
    """Return a house with a broker of its own, where batches are of one message."""
    monkeypatch.setattr(intake, "IDLE_S", 0.3)
    monkeypatch.setattr(intake, "BATCH_MAX", 1)
    return House(
        settings=config.load(database_url=database_url, mqtt_urls=own_mosquitto.url),
        servers=Servers(database_url=database_url, mqtt_urls=(own_mosquitto.url,)),
        pool=pool,
        clock=SystemClock(),
    )


async def publish(broker: Broker, times: int) -> None:
    async with aiomqtt.Client(broker.host, broker.port) as client:
        for _ in range(times):
            await client.publish(UP, b"{}", qos=1)


async def once(house: House) -> int:
    counts = await intake.ingest_waiting(house, asyncio.Event())
    return int(counts["telegrams"])


class TestOnce:
    """One look at what waits ..."""

    async def test_takes_all_and_keeps_its_share_meanwhile(
        self, house: House, own_mosquitto: Broker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A lease is shorter than a long backlog: it is renewed after each batch."""
        assert await once(house) == 0
        await publish(own_mosquitto, 3)
        taken: list[str] = []
        take = Leases.take

        async def noted(leases: Leases, broker: str, share: str) -> bool:
            taken.append(share)
            return await take(leases, broker, share)

        monkeypatch.setattr(Leases, "take", noted)

        assert await once(house) == 3
        assert taken == ["0-of-1"] * 4

    async def test_ends_when_its_share_is_lost(
        self, house: House, own_mosquitto: Broker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is left waits for whoever has it now."""
        await once(house)
        await publish(own_mosquitto, 3)
        answers = iter([True, False])

        async def lost(*_: object) -> bool:
            return next(answers)

        with monkeypatch.context() as patch:
            patch.setattr(Leases, "take", lost)
            assert await once(house) == 1
        assert await once(house) == 2

    async def test_leaves_alone_what_another_process_reads(
        self, house: House, own_mosquitto: Broker
    ) -> None:
        """It would push that one out of the session."""
        await once(house)
        await publish(own_mosquitto, 1)
        other = Leases(pool=house.pool, worker="elsewhere")
        assert await other.take(place(own_mosquitto.url), "0-of-1")

        assert await once(house) == 0
        await other.give(place(own_mosquitto.url), "0-of-1")
        assert await once(house) == 1
