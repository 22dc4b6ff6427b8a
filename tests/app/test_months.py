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
from billing.io.months import Months
from billing.period import Period
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


class TestAskedForOneMonth:
    """A run of a month that somebody names ..."""

    async def test_says_that_all_was_billed_before(
        self, house: House, owner: asyncpg.Connection
    ) -> None:
        """The second time nothing is issued again, and the answer says why."""
        await january(owner)
        month = Period.month(2026, 1)

        first = (await reconcile_at(house, FIRST + 3 * HOUR, month))["2026-01"]
        again = (await reconcile_at(house, FIRST + 4 * HOUR, month))["2026-01"]

        assert (first["answer"], first["billed"], first["billed_before"]) == ("issued", 1, 0)
        assert (again["answer"], again["billed"], again["billed_before"]) == (
            "all_billed_before",
            0,
            1,
        )

    async def test_says_that_it_issued_the_rest(
        self, house: House, owner: asyncpg.Connection
    ) -> None:
        """A straggler's bill follows; those that went out before are not counted as new."""
        await january(owner)
        month = Period.month(2026, 1)
        await reconcile_at(house, FIRST + 3 * HOUR, month)
        await Town(owner).home(
            "2", {"2026-01-01T00:00:00+05:00": 0, "2026-01-31T23:59:00+05:00": 5_000}
        )

        done = (await reconcile_at(house, FIRST + 4 * HOUR, month))["2026-01"]

        assert (done["answer"], done["billed"], done["billed_before"]) == ("issued_the_rest", 1, 1)

    async def test_says_that_all_is_held(self, house: House, owner: asyncpg.Connection) -> None:
        """No bill, and not because there was nobody to bill."""
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01")
        await town.home("1", {"2026-01-15T00:00:00+05:00": 0})

        done = (await reconcile_at(house, FIRST + 3 * HOUR, Period.month(2026, 1)))["2026-01"]

        assert (done["answer"], done["billed"], done["held"]) == ("all_held", 0, 1)

    async def test_counts_and_lists_accounts_without_a_meter(
        self, house: House, owner: asyncpg.Connection
    ) -> None:
        """One never had a meter; one moved out before the month and is not asked about."""
        await january(owner)
        month, zone = Period.month(2026, 1), "Asia/Almaty"
        for name in ("A-8", "A-9"):
            await owner.execute(
                "INSERT INTO account (account_id, currency, tariff_code, opened_at)"
                " SELECT $1, currency, tariff_code, opened_at FROM account LIMIT 1",
                name,
            )
        await owner.execute(
            "INSERT INTO account_closing VALUES"
            " ('A-9', '2025-12-31', '[]', 'moved', 'Olga', '2026-01-02Z')"
        )

        done = (await reconcile_at(house, FIRST + 3 * HOUR, month))["2026-01"]
        months = Months(pool=house.pool)

        assert done["without_meter"] == 1
        assert await months.without_meter(month, zone=zone, after="", limit=10) == ["A-8"]
        assert await months.without_meter(month, zone=zone, after="A-8", limit=10) == []

    async def test_says_that_nobody_has_a_meter(
        self, house: House, owner: asyncpg.Connection
    ) -> None:
        """A month before the first meter was hung up is not an error, and not "billed"."""
        await january(owner)

        done = (await reconcile_at(house, FIRST + 3 * HOUR, Period.month(2019, 1)))["2019-01"]

        assert (done["answer"], done["without_meter"]) == ("nobody_has_a_meter", 0)
