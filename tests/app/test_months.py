"""The rules of belief go over a month by themselves: before its first bill, and once a day."""

from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from app.config import Settings
from app.run import SteppedClock
from app.servers.embedded import Servers
from app.verbs import reconcile_at, validate_due
from app.wiring import House
from tests.billing.town import Town

# The first of February 2026 in Almaty.
FIRST = datetime.fromisoformat("2026-02-01T00:00:00+05:00")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def house(pool: asyncpg.Pool) -> House:
    """A house without a broker, whose clock nobody asks: each step is told its instant."""
    return House(
        settings=Settings(zone="Asia/Almaty", validate_hour=4),
        servers=Servers(database_url="", mqtt_urls=()),
        pool=pool,
        clock=SteppedClock(FIRST),
    )


async def january(owner: asyncpg.Connection) -> None:
    """Settle a home that was read at both ends of January, and a price."""
    town = Town(owner)
    await town.tariff(640_490, "2025-01-01")
    await town.home("1", {"2026-01-01T00:00:00+05:00": 1000, "2026-01-31T23:59:00+05:00": 101_000})


async def validated(owner: asyncpg.Connection) -> list[tuple[Any, ...]]:
    rows = await owner.fetch("SELECT * FROM validation ORDER BY validated_at, period_start")
    return [(f"{row['period_start']:%Y-%m}", row["validated_at"]) for row in rows]


class TestOnceADay:
    """The daily round ..."""

    async def test_waits_for_the_towns_hour(self, house: House) -> None:
        """At 03:59 local time nothing; at four January, which was over yesterday."""
        assert await validate_due(house, FIRST + 4 * HOUR - timedelta(microseconds=1)) == {}
        assert set(await validate_due(house, FIRST + 4 * HOUR)) == {"2026-01"}

    async def test_goes_once_a_day_whoever_asks(
        self, house: House, owner: asyncpg.Connection
    ) -> None:
        """A restart, or a second process, finds that it was done; the next day it is done again."""
        await january(owner)
        first = await validate_due(house, FIRST + 5 * HOUR)
        assert first["2026-01"]["installations"] == 1
        assert await validate_due(house, FIRST + 6 * HOUR) == {}
        second = await validate_due(house, FIRST + DAY + 4 * HOUR)

        assert second["2026-01"] == {**first["2026-01"], "written": 0}
        assert await validated(owner) == [
            ("2026-01", FIRST + 5 * HOUR),
            ("2026-01", FIRST + DAY + 4 * HOUR),
        ]

    async def test_looks_again_at_months_in_which_something_is_held(
        self, house: House, owner: asyncpg.Connection
    ) -> None:
        """December lacks a register: what comes late is judged like all else."""
        await january(owner)
        await Town(owner).home("2", {"2025-12-15T00:00:00+05:00": 0})
        await reconcile_at(house, FIRST + 4 * HOUR)

        assert set(await validate_due(house, FIRST + DAY + 4 * HOUR)) == {"2025-12", "2026-01"}


class TestBeforeTheFirstBill:
    """A month that is billed ..."""

    async def test_was_gone_over_first(self, house: House, owner: asyncpg.Connection) -> None:
        """By what was there when it had settled; the next run has nothing to add."""
        await january(owner)

        done = await reconcile_at(house, FIRST + 3 * HOUR)

        assert done["2026-01"]["billed"] == 1
        assert ("2026-01", FIRST + 3 * HOUR) in await validated(owner)
        before = await validated(owner)
        await reconcile_at(house, FIRST + 4 * HOUR)
        assert await validated(owner) == before
