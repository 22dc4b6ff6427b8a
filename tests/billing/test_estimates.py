"""Months that are billed although nobody read the meter at their end."""

from datetime import timedelta

import asyncpg

from billing.audit import audit
from billing.bill import Bill, HoldReason
from billing.correct import correct
from billing.correction import Policy
from billing.io.corrections import Corrections
from billing.io.store import BillingStore
from billing.period import Period
from billing.policy import BillPolicy
from billing.reconcile import ReconcileCounts, reconcile
from tests.billing.town import Town

ZONE = "Asia/Almaty"
HUNG = "2025-11-01T00:00:00+05:00"
DEC_1 = "2025-12-01T00:00:00+05:00"
JAN_1 = "2026-01-01T00:00:00+05:00"
FEB_1 = "2026-02-01T00:00:00+05:00"
LETS = BillPolicy(estimate_after_days=5)


async def run(
    pool: asyncpg.Pool, label: str, *, days: int = 6, policy: BillPolicy = LETS
) -> ReconcileCounts:
    period = Period.parse(label)
    at = period.bounds(ZONE)[1] + timedelta(days=days)
    return await reconcile(store=BillingStore(pool, policy), period=period, at=at, zone=ZONE)


async def bill_of(pool: asyncpg.Pool, bill_no: str) -> Bill:
    bill = await BillingStore(pool).bill("AC-1", bill_no)
    assert bill is not None
    return bill


async def town_of(owner: asyncpg.Connection) -> Town:
    """Settle a home that used 30 m3 in November and 62 m3 in December, then fell silent."""
    town = Town(owner)
    await town.tariff(1_000_000, "2025-01-01")
    await town.home("1", {HUNG: 0, DEC_1: 30_000, JAN_1: 92_000})
    return town


async def billed(pool: asyncpg.Pool, owner: asyncpg.Connection) -> Town:
    town = await town_of(owner)
    await run(pool, "2025-11")
    await run(pool, "2025-12")
    return town


class TestASilentMeter:
    """A meter that says nothing at the end of a month ..."""

    async def test_is_waited_for(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """On the fourth day its reading may still be on the way; on the sixth it is made up.

        62 m3 in the 31 days before are 2 m3 a day, so 62 m3 again.
        """
        await billed(pool, owner)

        early = await run(pool, "2026-01", days=4)
        assert (early.billed, early.held) == (0, 1)
        counts = await run(pool, "2026-01")

        assert (counts.billed, counts.lacking, counts.held) == (1, 0, 0)
        (line,) = (await bill_of(pool, "2026-01")).lines
        assert (line.volume_dm3, line.closing_register_dm3) == (62_000, 154_000)
        assert (line.opening_quality, line.closing_quality) == ("read", "estimated")
        row = await owner.fetchrow("SELECT quality, method, why FROM estimated_register")
        assert row is not None
        assert tuple(row) == ("estimated", "previous", "no_last_year")

    async def test_is_held_where_the_town_does_not_estimate(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Without a word of the town nothing is made up, however late it is."""
        await billed(pool, owner)

        counts = await run(pool, "2026-01", days=90, policy=BillPolicy())

        assert (counts.billed, counts.held) == (0, 1)
        assert await owner.fetchval("SELECT count(*) FROM estimated_register") == 0

    async def test_keeps_what_it_said_inside_the_month(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """It showed 20 m3 by the 11th; the 21 days left are 2 m3 each: 62 m3 less 20 plus 20."""
        town = await billed(pool, owner)
        await town.read("AQ-1", "2026-01-11T00:00:00+05:00", 112_000)

        await run(pool, "2026-01")

        (line,) = (await bill_of(pool, "2026-01")).lines
        assert line.closing_register_dm3 == 112_000 + 21 * 2_000

    async def test_stands_on_a_line_when_it_speaks_again(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """On 3 February it showed 99 m3 more than on 1 January: 33 days, so 93 m3 in January."""
        town = await billed(pool, owner)
        await town.read("AQ-1", "2026-02-03T00:00:00+05:00", 92_000 + 99_000)

        await run(pool, "2026-01")

        (line,) = (await bill_of(pool, "2026-01")).lines
        assert line.volume_dm3 == 93_000

    async def test_goes_on_from_the_estimate(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The next register that is read makes good what was too much or too little."""
        town = await billed(pool, owner)
        await run(pool, "2026-01")
        await town.read("AQ-1", "2026-03-01T00:00:00+05:00", 200_000)

        await run(pool, "2026-02")

        (line,) = (await bill_of(pool, "2026-02")).lines
        assert (line.opening_register_dm3, line.volume_dm3) == (154_000, 46_000)
        assert (line.opening_quality, line.closing_quality) == ("estimated", "read")
        total = await owner.fetchval("SELECT sum(volume_dm3) FROM bill")
        assert total == 200_000
        report = await audit(
            store=BillingStore(pool),
            bank=None,
            at=Period.parse("2026-02").bounds(ZONE)[1] + timedelta(days=7),
            zone=ZONE,
        )
        assert report.findings == ()

    async def test_is_billed_anew_when_the_estimate_was_too_high(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """1 March shows 130 m3, less than 154: January and February share the 38 m3 by time."""
        town = await billed(pool, owner)
        await run(pool, "2026-01")
        await town.read("AQ-1", "2026-03-01T00:00:00+05:00", 130_000)
        at = Period.parse("2026-02").bounds(ZONE)[1] + timedelta(days=6)

        await correct(store=Corrections(pool), at=at, zone=ZONE, policy=Policy())
        counts = await run(pool, "2026-02", days=7)

        assert (counts.billed, counts.held) == (1, 0)
        assert (await bill_of(pool, "2026-01-2")).kind == "cancellation"
        anew, after = await bill_of(pool, "2026-01-3"), await bill_of(pool, "2026-02")
        assert anew.volume_dm3 == 38_000 * 31 // 59
        assert anew.volume_dm3 + after.volume_dm3 == 38_000

    async def test_is_not_made_up_for_ever(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """After as many months in a row as the rule lets, somebody must go and look."""
        await billed(pool, owner)
        months = [f"2026-{month:02d}" for month in range(1, 8)]

        made = [await run(pool, month) for month in months]

        billed_months = [one.billed for one in made]
        allowed = billed_months.index(0)
        assert 1 <= allowed < len(months) - 1
        assert billed_months == [1] * allowed + [0] * (len(months) - allowed)
        held_from = Period.parse(months[allowed]).start
        (hold,) = await BillingStore(pool).holds(held_from, limit=10, after="")
        assert hold.reason is HoldReason.ESTIMATED_BEYOND_CAP

    async def test_is_never_estimated_from_nothing(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A meter that was hung up this month has no habit."""
        town = Town(owner)
        await town.tariff(1_000_000, "2025-01-01")
        await town.home("1", {JAN_1: 0})

        counts = await run(pool, "2026-01")

        assert (counts.billed, counts.held) == (0, 1)

    async def test_comes_too_late_with_a_register_of_that_midnight(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """It stood at 150 m3, not 154: the month is billed anew with what was read."""
        town = await billed(pool, owner)
        await run(pool, "2026-01")
        await town.read("AQ-1", FEB_1, 150_000)
        at = Period.parse("2026-01").bounds(ZONE)[1] + timedelta(days=20)

        await correct(store=Corrections(pool), at=at, zone=ZONE, policy=Policy())

        anew = await bill_of(pool, "2026-01-3")
        assert (anew.kind, anew.volume_dm3) == ("rebill", 58_000)
        assert anew.lines[0].closing_quality == "read"
