"""A meter that floods, all the way into PostgreSQL: answered, bounded, and shown to a person."""

import json
from datetime import UTC, datetime, timedelta
from zlib import crc32

import asyncpg
import pytest

from metering.ingest import IngestCounts, ingest
from metering.io.store import Store
from metering.telegram import Arrival

INSTALLED = datetime(2026, 1, 1, tzinfo=UTC)
AT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
async def store(pool: asyncpg.Pool, owner: asyncpg.Connection) -> Store:
    """Return a store that knows two meters."""
    for meter_id in ("AQ-1", "AQ-2"):
        await owner.execute(
            "INSERT INTO meter VALUES ($1, 100000000, 1, 6000, true, $2)", meter_id, INSTALLED
        )
        await owner.execute(
            "INSERT INTO installation VALUES ($1, $2, 'A-1', 'SP-1', 0)", meter_id, INSTALLED
        )
    return Store(pool)


def arrival(meter_id: str, body: dict[str, object]) -> Arrival:
    topic = f"gas/v1/{crc32(meter_id.encode()) % 64:02d}/{meter_id}/up/json"
    return Arrival(topic=topic, payload=json.dumps(body).encode(), retained=False, handle=None)


def nonsense(meter_id: str, counter: int) -> Arrival:
    return arrival(meter_id, {"meter": meter_id, "counter": counter})


def honest(meter_id: str, counter: int) -> Arrival:
    at = INSTALLED + timedelta(minutes=counter + 1)
    readings = [{"at": at.isoformat(), "dm3": counter // 100}]
    return arrival(meter_id, {"meter": meter_id, "counter": counter, "readings": readings})


async def take(store: Store, *arrivals: Arrival, at: datetime = AT) -> IngestCounts:
    counts, _ = await ingest(arrivals, store=store, at=at)
    return counts


async def cases(owner: asyncpg.Connection) -> list[tuple[str, str, str]]:
    rows = await owner.fetch("SELECT meter_id, kind, detail FROM meter_case ORDER BY 1, 2")
    return [tuple(row.values()) for row in rows]


class TestAFloodOfNonsense:
    """A registered meter that sends 3,000 different things nobody can read ..."""

    async def test_is_answered_counted_and_shown(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """Each is refused with its reason; from 2,000 on they share a row, and a case is open."""
        for start in range(0, 3000, 500):
            at = AT + timedelta(milliseconds=start)
            counts = await take(store, *[nonsense("AQ-1", start + n) for n in range(500)], at=at)
            assert (counts.refused, counts.receipts) == (500, 1)
        await take(store, nonsense("AQ-2", 1))

        assert await cases(owner) == [("AQ-1", "refused_flood", "more than 2000 refused in a day")]
        kept = await owner.fetch(
            "SELECT sender, times, detail, count(*) FROM refused_telegram GROUP BY 1, 2, 3"
            " ORDER BY 1, 2"
        )
        # The two batches beyond the quota are a row each; the oldest rows made room for them.
        assert [tuple(row.values()) for row in kept] == [
            ("AQ-1", 1, "readings: missing", 998),
            ("AQ-1", 500, "one of 500: readings: missing", 2),
            ("AQ-2", 1, "readings: missing", 1),
        ]

    async def test_is_no_flood_below_the_quota(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """Two thousand in a day are a broken meter and no case of its own."""
        for start in range(0, 2000, 500):
            await take(store, *[nonsense("AQ-1", start + n) for n in range(500)])

        assert await cases(owner) == []

    async def test_spends_nothing_when_the_batch_is_rolled_back(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """A database that is away must not make a flood out of what comes again."""
        broken = [nonsense("AQ-1", n) for n in range(1500)]
        await owner.execute("ALTER TABLE refused_telegram RENAME TO away")
        for _ in range(3):
            with pytest.raises(asyncpg.UndefinedTableError):
                await take(store, *broken)
        await owner.execute("ALTER TABLE away RENAME TO refused_telegram")
        await take(store, *broken)

        assert await cases(owner) == []


class TestAFloodOfTelegrams:
    """A meter whose telegrams are all in order, and far too many ..."""

    async def test_is_stored_and_shown(self, store: Store, owner: asyncpg.Connection) -> None:
        """Nothing is lost, because it may be true; a person looks at why."""
        for start in range(0, 5500, 1100):
            counts = await take(store, *[honest("AQ-1", start + n) for n in range(1100)])
            assert (counts.stored, counts.refused) == (1100, 0)

        assert await cases(owner) == [
            ("AQ-1", "telegram_flood", "more than 5000 telegrams in a day")
        ]
        assert await owner.fetchval("SELECT count(*) FROM telegram") == 5500

    async def test_is_seen_one_by_one_too(self, store: Store, owner: asyncpg.Connection) -> None:
        """When nobody else speaks, a flood arrives in batches of one."""
        await take(store, *[honest("AQ-1", n) for n in range(4998)])
        for n in range(4998, 5001):
            await take(store, honest("AQ-1", n))

        assert [kind for _, kind, _ in await cases(owner)] == ["telegram_flood"]

    async def test_is_not_a_town_that_catches_up(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """Ninety days of hourly telegrams, 2,160, are the longest honest debt."""
        for start in range(0, 2160, 1080):
            await take(store, *[honest("AQ-1", start + n) for n in range(1080)])

        assert await cases(owner) == []
