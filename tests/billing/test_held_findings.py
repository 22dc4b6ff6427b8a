"""What a rule holds holds the bill, until a person has decided."""

from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from billing.io.store import BillingStore
from billing.period import Calendar, Period
from billing.reconcile import ReconcileCounts, due_periods, reconcile
from billing.window import window_of
from metering.io.desk import Desk
from metering.io.findings import Findings
from metering.io.found import FindingAsked, FindingDesk
from metering.io.gaps import Gaps
from metering.validate import validate
from tests.billing.town import Town

ZONE = "Asia/Almaty"
JANUARY = Period.month(2026, 1)
AT = datetime(2026, 2, 3, tzinfo=UTC)
FIRST, LAST = "2026-01-01T00:00:00+05:00", "2026-02-01T00:00:00+05:00"
NOON = "2026-01-15T12:00:00+05:00"


async def home(owner: asyncpg.Connection, name: str = "1") -> Town:
    """Settle a home that used 100 m3 in January."""
    town = Town(owner)
    await town.home(name, {FIRST: 20_000, LAST: 120_000})
    return town


async def fell(town: Town, meter_id: str = "AQ-1") -> None:
    """Let the register of a meter fall once in the middle of January."""
    await town.read(meter_id, NOON, 10_000, None)
    await town.owner.execute("UPDATE reading SET reason = 'index_down' WHERE verdict = 'suspect'")


async def judged(pool: asyncpg.Pool) -> int:
    window = window_of(JANUARY, ZONE)
    return (await validate(store=Findings(pool), window=window, at=AT, heated=False)).held


async def run(pool: asyncpg.Pool) -> ReconcileCounts:
    return await reconcile(store=BillingStore(pool), period=JANUARY, at=AT, zone=ZONE)


async def holds(owner: asyncpg.Connection) -> list[tuple[Any, ...]]:
    rows = await owner.fetch("SELECT account_id, reason, meter_id FROM bill_hold ORDER BY 1")
    return [tuple(row) for row in rows]


async def let_stand(pool: asyncpg.Pool) -> None:
    """Let all that is held stand."""
    asked = FindingAsked(
        meter_id=None, outcome="held", state="open", from_at=None, to_at=None, month=None
    )
    desk = FindingDesk(pool=pool)
    end = (datetime(2099, 1, 1, tzinfo=UTC), "", b"")
    for found in await desk.findings(asked, before=end, page=100):
        await desk.decide(found.meter_id, found.digest, because="seen", decided_by="Olga", at=AT)


@pytest.fixture(autouse=True)
async def price(owner: asyncpg.Connection) -> None:
    await Town(owner).tariff(640_490, "2025-01-01")


class TestAHeldFinding:
    """A finding that waits for a person ..."""

    async def test_about_a_reading_holds_the_bill_until_it_is_decided(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Nothing is measured, the operator is told which meter, and the run asks again."""
        await fell(await home(owner))
        await home(owner, "2")
        assert await judged(pool) == 1

        first = await run(pool)

        assert (first.measured, first.lacking, first.billed, first.held) == (1, 1, 1, 1)
        assert await holds(owner) == [("AC-1", "held_finding", "AQ-1")]
        assert await due_periods(store=BillingStore(pool), at=AT, zone=ZONE) == (JANUARY,)
        assert (await run(pool)).billed == 0

        await let_stand(pool)
        second = await run(pool)

        assert (second.measured, second.billed, second.volume_dm3) == (1, 1, 100_000)
        assert await holds(owner) == []
        assert await owner.fetchval("SELECT count(*) FROM usage_gap") == 0

    async def test_is_answered_by_a_word_on_the_reading(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The right register entered for the wrong one: nothing else is left to ask."""
        await fell(await home(owner))
        await judged(pool)
        assert (await run(pool)).held == 1

        await Desk(pool=pool, gaps=Gaps(pool=pool, calendar=Calendar(zone=ZONE))).decide(
            "AQ-1", datetime.fromisoformat(NOON), register_dm3=70_000, because="photo",
            decided_by="Olga", at=AT,
        )  # fmt: skip

        assert (await run(pool)).billed == 1

    async def test_about_a_month_holds_the_bill_until_it_is_decided(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """100 m3 after 20 m3 in December: more than three times as much."""
        await home(owner)
        await owner.execute(
            "INSERT INTO installation VALUES ('AQ-1', '2025-12-01T00:00+05', 'AC-1', 'SP-1', 0,"
            " '2025-12-31T23:00+05', 20000, 0)"
        )
        await owner.execute("DELETE FROM installation WHERE installed_at >= '2026-01-01T00:00+05'")
        await owner.execute(
            "UPDATE installation SET removed_at = NULL, closing_dm3 = NULL, closing_turns = NULL"
        )
        await Town(owner).read("AQ-1", "2025-12-31T23:30:00+05:00", 20_000)
        await owner.execute(
            "INSERT INTO usage VALUES ('AQ-1', '2025-12-01T00:00+05', '2026-01-01T00:00+05',"
            " '2025-12-01', '2025-12-01T00:00+05', 'AC-1', 'SP-1', 0, 0, '2025-12-01T00:00+05',"
            " 20000, 0, '2025-12-31T23:30+05', 20000)"
        )
        assert await judged(pool) == 1

        assert (await run(pool)).billed == 0
        assert await holds(owner) == [("AC-1", "held_finding", "AQ-1")]
        await let_stand(pool)
        assert (await run(pool)).billed == 1

    async def test_that_comes_after_measuring_holds_what_is_not_billed_yet(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The price lacked, so no bill went out; now a rule speaks, and the bill waits for that."""
        town = await home(owner)
        await owner.execute("DELETE FROM tariff")
        assert (await run(pool)).measured == 1
        assert await holds(owner) == [("AC-1", "no_price", "AQ-1")]
        await fell(town)
        await judged(pool)
        await town.tariff(640_490, "2025-01-01")

        assert (await run(pool)).billed == 0
        assert await holds(owner) == [("AC-1", "held_finding", "AQ-1")]
        await let_stand(pool)
        assert (await run(pool)).billed == 1

    async def test_says_what_lacks_next_when_it_is_decided(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A second meter of the account has no register: the operator is sent there now."""
        town = await home(owner)
        await town.meter("AQ-9")
        await town.install("AQ-9", "AC-1", FIRST, 0, point="SP-2")
        await fell(town)
        await judged(pool)
        await run(pool)
        assert await holds(owner) == [("AC-1", "held_finding", "AQ-1")]

        await let_stand(pool)
        await run(pool)

        assert await holds(owner) == [("AC-1", "no_closing_register", "AQ-9")]

    @pytest.mark.parametrize(
        ("read_at", "held"), [("2026-01-31T23:59:59.999999+05:00", 1), (LAST, 0)]
    )
    async def test_about_another_month_holds_nothing(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, read_at: str, held: int
    ) -> None:
        """The first instant of February is February's; so is what was found about it."""
        await home(owner)
        await owner.execute(
            "INSERT INTO reading_finding VALUES ('AQ-1', $1, 'unit', $2, '1', 'held', '{}', $1)",
            datetime.fromisoformat(read_at),
            bytes(32),
        )
        await owner.execute(
            "INSERT INTO period_finding VALUES ('AQ-1', $1, '2026-02-01', 'high_low', $2, '1',"
            " 'held', '{}', $1)",
            datetime.fromisoformat(FIRST),
            bytes(31) + b"1",
        )

        counts = await run(pool)

        assert (counts.held, counts.billed) == (held, 1 - held)

    async def test_that_is_flagged_only_holds_nothing(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A month of silence between two good registers is billed as it was."""
        await home(owner)
        await judged(pool)
        assert await owner.fetchval("SELECT count(*) FROM period_finding") > 0

        assert (await run(pool)).billed == 1
