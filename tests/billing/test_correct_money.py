"""Money that was paid, or is under way, for bills that are corrected."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from billing.bank import PaymentStatus
from billing.correction import Policy
from billing.io.debits import Debits
from tests.billing.correct_town import (
    FEB_1,
    JAN_1,
    MAR_1,
    balance,
    bill,
    findings,
    look,
    owed,
    say,
)
from tests.billing.debit_town import (
    ISSUED,
    TO_RECORD,
    DebitTown,
    day,
    followed,
    recorded,
    sent,
    told,
)
from tests.billing.fake_bank import FakeBank
from tests.billing.town import Town

# January's 100 m3 and 90 m3 with VAT, as worked out in test_correct.py.
BEFORE, AFTER = 74_297, 66_867
SAID = day("02-23")
LOOK = day("02-24")


@pytest.fixture
def store(pool: asyncpg.Pool) -> Debits:
    return Debits(pool)


@pytest.fixture
def bank() -> FakeBank:
    return FakeBank()


async def january(pool: asyncpg.Pool, owner: asyncpg.Connection) -> Town:
    """Bill 100 m3 to a resident who is debited."""
    town = Town(owner)
    await town.tariff(640_490, "2025-01-01")
    await town.home("1", {JAN_1: 0, FEB_1: 100_000})
    await DebitTown(owner).mandate("AC-1")
    await bill(pool, 1, at=ISSUED)
    return town


async def paid(pool: asyncpg.Pool, owner: asyncpg.Connection, bank: FakeBank) -> Town:
    """Debit January's bill to the end."""
    town, store = await january(pool, owner), Debits(pool)
    await told(store)
    await recorded(store)
    await sent(store, bank)
    bank.tell("PM1", PaymentStatus.PAID_OUT)
    await followed(store, bank)
    return town


async def states(owner: asyncpg.Connection) -> list[str]:
    return await DebitTown(owner).states("AC-1")


class TestADebit:
    """A debit for a bill that is corrected ..."""

    async def test_that_was_only_announced_is_given_up(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, store: Debits
    ) -> None:
        """The resident hears of the new bill's debit instead, and pays that one."""
        await january(pool, owner)
        await told(store)
        await say(owner, FEB_1, 90_000, at=SAID)

        counts = await look(pool, at=LOOK)
        assert counts.debits_given_up == 1
        await told(store, LOOK)

        assert await states(owner) == [
            "2026-01/1 cancelled bill_corrected",
            "2026-01-3/1 noticed",
        ]
        assert await findings(pool, at=LOOK) == []

    async def test_that_is_recorded_but_not_sent_is_given_up(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, store: Debits, bank: FakeBank
    ) -> None:
        """Its order is frozen with the old sum: it must never be sent."""
        await january(pool, owner)
        await told(store)
        await recorded(store)
        await say(owner, FEB_1, 90_000, at=SAID)

        await look(pool, at=LOOK)
        await sent(store, bank, LOOK)

        assert bank.orders == []
        assert await states(owner) == ["2026-01/1 cancelled bill_corrected"]
        assert await findings(pool, at=LOOK) == []

    async def test_that_may_be_at_the_bank_makes_the_correction_wait(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, store: Debits, bank: FakeBank
    ) -> None:
        """Two debits for one month's gas at the same time would charge the resident twice."""
        await january(pool, owner)
        await told(store)
        await recorded(store)
        bank.script.append("lost")
        await sent(store, bank)
        assert await states(owner) == ["2026-01/1 unknown timeout"]
        await say(owner, FEB_1, 90_000, at=SAID)

        counts = await look(pool, at=LOOK)

        assert (counts.rebilled, counts.waiting) == (0, {"debit_under_way": 1})
        assert await owed(owner) == {"2026-01": BEFORE}
        assert await findings(pool, at=LOOK) == []

    async def test_is_never_taken_twice(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, store: Debits, bank: FakeBank
    ) -> None:
        """When the bank has paid, the old sum pays the new bill, and the rest is credit."""
        await january(pool, owner)
        await told(store)
        await recorded(store)
        await sent(store, bank)
        await say(owner, FEB_1, 90_000, at=SAID)
        assert (await look(pool, at=LOOK)).waiting == {"debit_under_way": 1}
        bank.tell("PM1", PaymentStatus.PAID_OUT)
        await followed(store, bank, LOOK)

        assert (await look(pool, at=LOOK)).rebilled == 1
        for number in range(1, 40):
            at = LOOK + timedelta(days=number)
            await told(store, at)
            await recorded(store, at)
            await sent(store, bank, at)

        assert len(bank.orders) == 1
        assert await owed(owner) == {"2026-01": 0, "2026-01-2": 0, "2026-01-3": 0}
        assert await balance(owner, "resident_credit") == BEFORE - AFTER
        assert await findings(pool, at=LOOK) == []

    async def test_that_failed_leaves_the_new_bill_to_be_asked_for(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, store: Debits, bank: FakeBank
    ) -> None:
        """The old bill owes nothing any more; its second attempt would be money for nothing."""
        await january(pool, owner)
        await told(store)
        await recorded(store)
        await sent(store, bank)
        await say(owner, FEB_1, 90_000, at=SAID)
        bank.tell("PM1", PaymentStatus.FAILED, cause="insufficient_funds")
        await followed(store, bank, LOOK)

        await look(pool, at=LOOK)
        await told(store, LOOK)

        assert await states(owner) == [
            "2026-01/1 retry_due insufficient_funds",
            "2026-01-3/1 noticed",
        ]
        assert await findings(pool, at=LOOK) == []

    async def test_that_the_bank_takes_back_leaves_its_debt_on_the_new_bill(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, store: Debits, bank: FakeBank
    ) -> None:
        """Paid, corrected, and booked back: nobody has paid for January, once, not twice."""
        await paid(pool, owner, bank)
        await say(owner, FEB_1, 90_000, at=SAID)
        await look(pool, at=LOOK)
        bank.tell("PM1", PaymentStatus.FAILED, cause="refer_to_payer")
        bank.hint("PM1", "late_failure_settled")
        await followed(store, bank, LOOK)
        assert (await owed(owner))["2026-01"] == BEFORE

        await look(pool, at=LOOK + timedelta(hours=1))

        assert await owed(owner) == {"2026-01": 0, "2026-01-2": 0, "2026-01-3": AFTER}
        assert await balance(owner, "resident_credit") == 0
        await told(store, LOOK + timedelta(hours=1))
        assert "2026-01-3/1 noticed" in await states(owner)
        assert not [one for one in await states(owner) if one.startswith("2026-01/2")]
        assert await findings(pool, at=LOOK + timedelta(hours=1)) == []


class TestCredit:
    """What a resident has paid beyond all bills ..."""

    async def test_is_used_on_the_next_bill(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, store: Debits, bank: FakeBank
    ) -> None:
        """January was paid with 7430 too much; February's 44578 ask for that much less."""
        town = await paid(pool, owner, bank)
        await say(owner, FEB_1, 90_000, at=SAID)
        await look(pool, at=LOOK)
        assert await balance(owner, "resident_credit") == 7_430
        await town.read("AQ-1", MAR_1, 150_000)
        at = datetime(2026, 3, 2, 4, tzinfo=UTC)
        await bill(pool, 2, at=at)

        await look(pool, at=at)
        await told(store, at)

        assert (await owed(owner))["2026-02"] == 44_578 - 7_430
        assert await balance(owner, "resident_credit") == 0
        amount = await owner.fetchval("SELECT amount_minor FROM debit WHERE bill_no = '2026-02'")
        assert amount == 44_578 - 7_430
        assert await findings(pool, at=at) == []

    async def test_waits_while_a_debit_for_the_next_bill_is_under_way(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, store: Debits, bank: FakeBank
    ) -> None:
        """The order with the full sum is with the bank: using credit too would pay it twice."""
        town = await paid(pool, owner, bank)
        await town.read("AQ-1", MAR_1, 150_000)
        at = datetime(2026, 3, 2, 4, tzinfo=UTC)
        await bill(pool, 2, at=at)
        await told(store, at)
        await recorded(store, day("03-22"))
        await sent(store, bank, day("03-22"))
        # Only January's opening was wrong, so that February stays as it is.
        await owner.execute(
            "INSERT INTO account_terms VALUES ('AC-1', '2026-01-01', 1, 'cheap', 1, false, 'a"
            " clerk', $1), ('AC-1', '2026-02-01', 1, 'household', 1, false, 'a clerk', $1)",
            day("03-22"),
        )
        await town.tariff(320_245, "2025-01-01", code="cheap")

        counts = await look(pool, at=day("03-23"))

        assert (counts.rebilled, counts.unchanged) == (1, 1)
        assert (await owed(owner))["2026-02"] == 37_149
        left = await balance(owner, "resident_credit")
        assert left == BEFORE - (32_025 + 5_124)
        bank.tell("PM2", PaymentStatus.PAID_OUT)
        await followed(store, bank, day("03-24"))
        assert (await look(pool, at=day("03-25"))).credits == 0
        assert await balance(owner, "resident_credit") == left
        assert await findings(pool, at=day("03-25")) == []

    async def test_can_be_sent_back_by_rule(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, bank: FakeBank
    ) -> None:
        """The sum waits on its own account of the ledger, and no later bill uses it."""
        town = await paid(pool, owner, bank)
        await say(owner, FEB_1, 90_000, at=SAID)
        rule = Policy(refund=True)
        await look(pool, at=LOOK, policy=rule)

        assert await balance(owner, "resident_credit") == 0
        assert await balance(owner, "refund_due") == 7_430
        await town.read("AQ-1", MAR_1, 150_000)
        at = datetime(2026, 3, 2, 4, tzinfo=UTC)
        await bill(pool, 2, at=at)
        await look(pool, at=at, policy=rule)

        assert (await owed(owner))["2026-02"] == 44_578
        assert await findings(pool, at=at) == []

    async def test_of_an_adjustment_below_nothing_is_used_too(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, bank: FakeBank
    ) -> None:
        """A next bill of nothing, less 7430, is a credit, not a bill of less than nothing."""
        town = await paid(pool, owner, bank)
        await owner.execute(
            "INSERT INTO account_terms VALUES ('AC-1', '2026-01-01', 1, 'cheap', 1, false, 'a"
            " clerk', $1), ('AC-1', '2026-02-01', 1, 'household', 1, false, 'a clerk', $1)",
            SAID,
        )
        await town.tariff(576_441, "2025-01-01", code="cheap")
        assert (await look(pool, at=LOOK, policy=Policy(adjust_below_minor=10_000))).adjusted == 1
        await town.read("AQ-1", MAR_1, 100_000)
        at = datetime(2026, 3, 2, 4, tzinfo=UTC)
        await bill(pool, 2, at=at)
        assert await findings(pool, at=at) == []

        await look(pool, at=at)

        # 100 m3 at 5.76441 are 57644.1 and 9223 VAT: 7430 less than 74297.
        assert await owed(owner) == {"2026-01": 0, "2026-02": 0}
        assert await balance(owner, "resident_credit") == 7_430
        assert await findings(pool, at=at) == []


class TestTheRecord:
    """Whoever must not be there ..."""

    async def test_nobody_debits_a_cancellation(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, store: Debits
    ) -> None:
        """Not even if somebody's transfer made it owe."""
        await january(pool, owner)
        await say(owner, FEB_1, 90_000, at=SAID)
        await look(pool, at=LOOK)
        for bill_no in ("2026-01", "2026-01-2"):
            await DebitTown(owner).transfer("AC-1", bill_no, "odd", "receivable", "revenue", 1)

        await told(store, TO_RECORD + timedelta(days=3))

        assert await states(owner) == ["2026-01-3/1 noticed"]
