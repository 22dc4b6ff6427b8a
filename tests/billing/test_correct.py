"""Issued bills whose registers or terms no longer hold, against a real database."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import asyncpg

from billing.correct import CorrectCounts
from billing.correction import Policy
from tests.billing.correct_town import (
    ADJUST,
    APR_1,
    FEB_1,
    FEB_20,
    LATER,
    MAR_1,
    MUCH_LATER,
    balance,
    bill,
    bills,
    findings,
    look,
    owed,
    say,
    winter,
)


class TestACorrectedRegister:
    """A register that bills quote and a person corrects ..."""

    async def test_corrects_both_months_that_quote_it(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Ten m3 of January were February's: 90 m3 and 60 m3, worked out by hand."""
        await winter(pool, owner)
        await say(owner, FEB_1, 90_000)

        counts = await look(pool)

        assert (counts.accounts, counts.rebilled, counts.waiting) == (1, 2, {})
        assert await bills(owner) == {
            "2026-01": (100_000, 64_049, 10_248),
            "2026-01-2": (-100_000, -64_049, -10_248),
            "2026-01-3": (90_000, 57_644, 9_223),
            "2026-02": (50_000, 32_025, 5_124),
            "2026-02-2": (-50_000, -32_025, -5_124),
            "2026-02-3": (60_000, 38_429, 6_149),
        }
        assert await findings(pool) == []

    async def test_leaves_only_the_new_bills_to_pay(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A bill and its cancellation are nothing, to the tiyn, and neither is asked for."""
        await winter(pool, owner)
        await say(owner, FEB_1, 90_000)

        await look(pool)

        assert await owed(owner) == {
            "2026-01": 0,
            "2026-01-2": 0,
            "2026-01-3": 66_867,
            "2026-02": 0,
            "2026-02-2": 0,
            "2026-02-3": 44_578,
        }
        assert await balance(owner, "resident_credit") == 0

    async def test_changes_no_bill_and_no_usage(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """What was issued is what was issued: the old rows are evidence."""
        town = await winter(pool, owner)
        before = await town.books()
        await say(owner, FEB_1, 90_000)

        await look(pool)

        after = await town.books()
        assert after["usage"] == before["usage"]
        assert set(before["bill"]) < set(after["bill"])
        assert set(before["bill_line"]) < set(after["bill_line"])
        assert set(before["transfer"]) < set(after["transfer"])

    async def test_opens_the_next_month_that_is_measured(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The chain goes on from the register that holds now, not from the one first quoted."""
        town = await winter(pool, owner)
        await say(owner, MAR_1, 140_000)
        await look(pool)
        await town.read("AQ-1", APR_1, 200_000)

        await bill(pool, 3, at=MUCH_LATER)

        assert (await bills(owner))["2026-03"][0] == 60_000
        assert await findings(pool, at=MUCH_LATER) == []

    async def test_is_corrected_once(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """The second look finds nothing to do, and nothing to move."""
        town = await winter(pool, owner)
        await say(owner, FEB_1, 90_000)
        await look(pool)
        once = await town.books()

        assert await look(pool) == CorrectCounts()

        assert await town.books() == once

    async def test_is_corrected_once_by_two_at_the_same_time(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Two workers look at once: one outcome."""
        await winter(pool, owner)
        await say(owner, FEB_1, 90_000)

        counts = await asyncio.gather(look(pool), look(pool), look(pool))

        assert sum(one.rebilled for one in counts) == 2
        assert len(await bills(owner)) == 6
        assert await findings(pool) == []

    async def test_can_be_corrected_again(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The correction of a correction cancels the rebill, not the bill that is dead already."""
        await winter(pool, owner)
        await say(owner, FEB_1, 90_000)
        await look(pool)
        await say(owner, FEB_1, 100_000, at=LATER + timedelta(hours=1))

        await look(pool, at=LATER + timedelta(hours=2))

        found = await bills(owner)
        assert found["2026-01-4"] == (-90_000, -57_644, -9_223)
        assert found["2026-01-5"] == found["2026-01"]
        assert {bill_no: minor for bill_no, minor in (await owed(owner)).items() if minor} == {
            "2026-01-5": 74_297,
            "2026-02-5": 37_149,
        }
        assert await findings(pool, at=LATER + timedelta(hours=2)) == []

    async def test_that_no_bill_quotes_changes_nothing(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A register in the middle of a month stands on no bill."""
        town = await winter(pool, owner)
        await town.read("AQ-1", FEB_20, 120_000)
        await say(owner, FEB_20, 110_000)

        assert (await look(pool)).rebilled == 0

        assert len(await bills(owner)) == 2
        assert await owner.fetchval("SELECT count(*) FROM usage_doubt") == 0

    async def test_leaves_a_month_of_the_same_sum_alone(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Only March's end moved: January has nothing to do with it."""
        await winter(pool, owner)
        await say(owner, MAR_1, 149_000)

        await look(pool)

        assert sorted(await bills(owner)) == ["2026-01", "2026-02", "2026-02-2", "2026-02-3"]


class TestAnAdjustment:
    """A difference below the town's least sum ..."""

    async def test_goes_onto_the_next_bill(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """January is 6405 + 1025 less, February 6404 + 1025 more, both on March's bill."""
        town = await winter(pool, owner)
        await say(owner, FEB_1, 90_000)

        counts = await look(pool, policy=ADJUST)
        assert (counts.adjusted, counts.rebilled) == (2, 0)
        assert len(await bills(owner)) == 2
        await town.read("AQ-1", APR_1, 250_000)
        await bill(pool, 3, at=MUCH_LATER)

        rows = await owner.fetch("SELECT * FROM bill_charge ORDER BY charge_no")
        assert [
            (row["bill_no"], row["kind"], row["quantity"], row["net_minor"], row["vat_minor"])
            for row in rows
        ] == [
            ("2026-03", "adjustment", -10_000, -6_405, -1_025),
            ("2026-03", "adjustment", 10_000, 6_404, 1_025),
        ]
        assert (await bills(owner))["2026-03"] == (100_000, 64_048, 10_248)
        assert await findings(pool, at=MUCH_LATER) == []

    async def test_is_carried_once(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """April's bill does not ask for what March's has asked."""
        town = await winter(pool, owner)
        await say(owner, FEB_1, 90_000)
        await look(pool, policy=ADJUST)
        await town.read("AQ-1", APR_1, 250_000)
        await town.read("AQ-1", "2026-05-01T00:00:00+05:00", 350_000)

        await bill(pool, 3, 4, at=datetime(2026, 5, 2, tzinfo=UTC))

        assert await owner.fetchval("SELECT count(*) FROM bill_charge") == 2
        assert (await bills(owner))["2026-04"] == (100_000, 64_049, 10_248)

    async def test_that_waits_is_withdrawn_by_a_rebill(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Otherwise the month would be corrected twice: by the new bill, and on the next one."""
        town = await winter(pool, owner)
        await say(owner, FEB_1, 90_000)
        await look(pool, policy=ADJUST)
        await say(owner, FEB_1, 80_000, at=LATER + timedelta(hours=1))

        await look(pool, at=LATER + timedelta(hours=2))
        await town.read("AQ-1", APR_1, 250_000)
        await bill(pool, 3, at=MUCH_LATER)

        found = await bills(owner)
        # 80 m3: 51239.2 and 16 % of it; 70 m3: 44834.3.
        assert found["2026-01-3"] == (80_000, 51_239, 8_198)
        assert found["2026-02-3"] == (70_000, 44_834, 7_173)
        assert found["2026-03"] == (100_000, 64_049, 10_248)
        assert await findings(pool, at=MUCH_LATER) == []

    async def test_that_was_charged_is_taken_back_by_a_rebill(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """All bills together ask for 250 m3 as if the registers had been right from the start."""
        town = await winter(pool, owner)
        await say(owner, FEB_1, 90_000)
        await look(pool, policy=ADJUST)
        await town.read("AQ-1", APR_1, 250_000)
        await bill(pool, 3, at=MUCH_LATER)
        await say(owner, FEB_1, 80_000, at=MUCH_LATER + timedelta(hours=1))

        await look(pool, at=MUCH_LATER + timedelta(hours=2))

        found = await bills(owner)
        assert found["2026-01-3"] == (80_000, 51_239 + 6_405, 8_198 + 1_025)
        assert found["2026-02-3"] == (70_000, 44_834 - 6_404, 7_173 - 1_025)
        assert sum(net for _, net, _ in found.values()) == 51_239 + 44_834 + 64_049
        assert sum(vat for _, _, vat in found.values()) == 8_198 + 7_173 + 10_248
        assert await findings(pool, at=MUCH_LATER + timedelta(hours=2)) == []

    async def test_is_no_way_to_correct_a_home_without_a_meter(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """There will be no next bill: the old one is replaced, however small the difference."""
        town = await winter(pool, owner)
        await town.remove("AQ-1", "2026-03-01T12:00:00+05:00", 150_000)
        await say(owner, FEB_1, 90_000)

        assert (await look(pool, policy=ADJUST)).rebilled == 2


class TestTerms:
    """What is said later about an account's terms ..."""

    async def test_rates_the_months_anew(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The home was on the other tariff since February; January stays."""
        town = await winter(pool, owner)
        await town.tariff(500_000, "2025-01-01", code="rural")
        await owner.execute(
            "INSERT INTO account_terms VALUES ('AC-1', '2026-02-01', 1, 'rural', 1, false, 'a"
            " clerk', '2026-03-05Z')"
        )

        counts = await look(pool)

        assert (counts.rebilled, counts.unchanged) == (1, 0)
        # 50 m3 at 5.00 are 250.00, and 16 %.
        assert (await bills(owner))["2026-02-3"] == (50_000, 25_000, 4_000)
        assert await findings(pool) == []
        assert await look(pool) == CorrectCounts()

    async def test_that_change_nothing_are_looked_at_once(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Two persons instead of one make no difference to a flat price."""
        await winter(pool, owner)
        await owner.execute(
            "INSERT INTO account_terms VALUES ('AC-1', '2026-02-01', 1, 'household', 2, false, 'a"
            " clerk', '2026-03-05Z')"
        )

        first, second = await look(pool), await look(pool)

        assert (first.unchanged, first.rebilled) == (1, 0)
        assert second == CorrectCounts()
        assert await findings(pool) == []


class TestBackBilling:
    """The limit of back-billing ..."""

    RULE = Policy(back_billing_months=1)

    async def test_keeps_old_gas_from_being_charged(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Looked at in March, January began before the limit; February did not."""
        await winter(pool, owner)
        await say(owner, FEB_1, 110_000)

        counts = await look(pool, policy=self.RULE)

        assert (counts.waived, counts.rebilled) == (1, 1)
        assert sorted(await bills(owner)) == ["2026-01", "2026-02", "2026-02-2", "2026-02-3"]
        row = await owner.fetchrow("SELECT * FROM bill_correction WHERE outcome = 'waived'")
        assert (row["period_start"], row["volume_dm3"]) == (date(2026, 1, 1), 10_000)
        # 110 m3: 70453.9 instead of 64049, VAT 11272.64 instead of 10248.
        assert (row["net_minor"], row["vat_minor"]) == (6_405, 1_025)
        assert await findings(pool) == []

    async def test_keeps_no_credit_back(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """What was charged too much is given back, however old."""
        await winter(pool, owner)
        await say(owner, FEB_1, 90_000)

        assert (await look(pool, policy=self.RULE)).rebilled == 2

    async def test_is_not_for_what_the_resident_has_done(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Whoever turned the meter back pays for all of it."""
        await winter(pool, owner)
        await say(owner, FEB_1, 110_000, fault="resident")

        assert (await look(pool, policy=self.RULE)).rebilled == 2
