"""Meters are hung up and taken down while their telegrams come in."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg

from metering.installation import Installation
from metering.io.registry import Registry
from metering.io.store import Store
from metering.telegram import Telegram, decode

AT = datetime(2026, 1, 10, tzinfo=UTC)
METER = "INSERT INTO meter VALUES ('AQ-000123', 100000000, 1, 6000, true, '2026-01-01Z')"
WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def telegram() -> Telegram:
    found = decode(
        "gas/v1/36/AQ-000123/up/json",
        b'{"meter": "AQ-000123", "counter": 1,'
        b' "readings": [{"at": "2026-01-05T00:00:00Z", "dm3": 5}]}',
    )
    assert isinstance(found, Telegram)
    return found


class TestRegistry:
    """A change of a meter's whereabouts ..."""

    async def test_waits_for_a_batch_that_is_judging_it(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A reading judged by where the meter hung a moment ago would stand on the wrong line."""
        await owner.execute(METER)
        wanted = Installation(
            meter_id="AQ-000123",
            account_id="A-1",
            supply_point_id="SP-1",
            installed_at=AT - timedelta(days=5),
            opening_dm3=0,
            removed_at=None,
            closing_dm3=None,
            closing_turns=None,
        )
        said = telegram()
        async with Store(pool).batch([said]) as batch:
            await batch.load({"AQ-000123"}, [said])
            hanging = asyncio.create_task(Registry(pool=pool).install(wanted))
            async with asyncio.timeout(10):
                while not await owner.fetchval(WAITING):
                    assert not hanging.done(), "it did not wait"

        assert await hanging
