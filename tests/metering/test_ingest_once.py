"""The order of one batch: stored, then acknowledged, then receipted."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from zlib import crc32

import pytest

from metering.ingest import BusyError, IngestCounts, ingest_once
from metering.outcome import Known, Outcome
from metering.port import Batch
from metering.signed import Key
from metering.telegram import Arrival, Telegram

AT = datetime(2026, 3, 1, tzinfo=UTC)
TOPIC = f"gas/v1/{crc32(b'AQ-1') % 64:02d}/AQ-1/up/json"


class Trail:
    """Everybody's steps in the order they were taken."""

    def __init__(self) -> None:
        self.steps: list[str] = []


class FakeSubscription:
    """Hands out one message and notes what is done with it."""

    def __init__(self, trail: Trail, *, connected: bool = True) -> None:
        self._trail = trail
        self._connected = connected

    async def get_batch(self, limit: int) -> list[Arrival]:
        """Return one message of an unknown meter."""
        assert limit > 0
        self._trail.steps.append("take")
        payload = b'{"meter":"AQ-1","counter":1,"readings":[{"at":"2026-02-01T00:00:00Z","dm3":1}]}'
        return [Arrival(topic=TOPIC, payload=payload, retained=False, handle=None)]

    def ack(self, arrivals: Iterable[Arrival]) -> None:
        """Note it."""
        self._trail.steps.append(f"ack {len(list(arrivals))}")

    def put_back(self, arrivals: Sequence[Arrival]) -> None:
        """Note it."""
        self._trail.steps.append(f"put back {len(arrivals)}")

    async def publish_many(self, messages: Sequence[tuple[str, bytes, bool]]) -> int:
        """Note it."""
        [(topic, payload, retain)] = messages
        assert topic.endswith("/AQ-1/down/receipt")
        assert payload
        assert not retain
        self._trail.steps.append("publish")
        return int(self._connected)


class FakeStore:
    """Knows nobody and keeps nothing; fails as told."""

    def __init__(self, trail: Trail, *failures: Exception) -> None:
        self._trail = trail
        self._failures = list(failures)

    def foresee(self, meter_ids: Iterable[str], telegrams: Sequence[Telegram]) -> None:
        """Foresee nothing."""

    def expect(self, foreseen: Known, outcome: Outcome) -> None:
        """Nothing was foreseen."""
        raise AssertionError(foreseen, outcome)

    async def holds(self, foreseen: Known) -> bool:
        """Nothing was foreseen."""
        raise AssertionError(foreseen)

    @asynccontextmanager
    async def batch(self, telegrams: Sequence[Telegram], *, foreseen: bool) -> AsyncIterator[Batch]:
        """Commit when left."""
        assert len(telegrams) == 1
        assert not foreseen
        yield self
        if self._failures:
            raise self._failures.pop(0)
        self._trail.steps.append("commit")

    async def load(self, meter_ids: Iterable[str], telegrams: Sequence[Telegram]) -> Known:
        """Know nothing."""
        assert set(meter_ids) == {telegram.meter_id for telegram in telegrams}
        return Known(heads={})

    async def keep(self, outcome: Outcome, *, at: datetime) -> None:
        """Keep nothing."""
        assert at == AT
        assert outcome.refused == 1

    async def keys(self, meter_ids: Iterable[str]) -> dict[str, list[Key]]:
        """Know no keys."""
        assert meter_ids
        return {}

    def forget_months(self) -> None:
        """Forget nothing."""


class SlowClock:
    """Shows the time only after the waiting is over."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail

    def now(self) -> datetime:
        """Return the present instant."""
        self._trail.steps.append("look at the clock")
        return AT


class TestIngestOnce:
    """One batch ..."""

    async def test_is_acknowledged_after_its_commit(self) -> None:
        """Before, and a crash in between would lose it; that is the one thing we promise."""
        trail = Trail()

        counts = await ingest_once(FakeSubscription(trail), FakeStore(trail), SlowClock(trail))

        assert trail.steps == ["take", "look at the clock", "commit", "ack 1", "publish"]
        assert counts == IngestCounts(telegrams=1, refused=1, receipts=1)

    async def test_is_put_back_when_the_database_is_away(self) -> None:
        """Nothing is acknowledged, nothing receipted, and the caller hears about it."""
        trail = Trail()
        store = FakeStore(trail, ConnectionResetError())

        with pytest.raises(ConnectionResetError):
            await ingest_once(FakeSubscription(trail), store, SlowClock(trail))

        assert trail.steps == ["take", "look at the clock", "put back 1"]

    async def test_is_tried_again_when_another_worker_got_in_between(self) -> None:
        """Twice is bad luck; three times, and the caller hears about it."""
        trail = Trail()
        store = FakeStore(trail, BusyError(), BusyError())

        await ingest_once(FakeSubscription(trail), store, SlowClock(trail))

        assert trail.steps[-3:] == ["commit", "ack 1", "publish"]
        store = FakeStore(trail, BusyError(), BusyError(), BusyError())
        with pytest.raises(BusyError):
            await ingest_once(FakeSubscription(trail), store, SlowClock(trail))

    async def test_counts_the_receipts_it_could_not_send(self) -> None:
        """Safe all the same: the meter sends again and is told that it is repeated."""
        trail = Trail()
        subscription = FakeSubscription(trail, connected=False)

        counts = await ingest_once(subscription, FakeStore(trail), SlowClock(trail))

        assert (counts.receipts, counts.receipts_unsent) == (0, 1)
