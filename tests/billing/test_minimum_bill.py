"""Sums that are too small to be asked for wait for the next bill, and are never lost."""

from datetime import UTC, date, datetime

import asyncpg
import pytest

from billing.audit import audit
from billing.io.debits import Debits
from billing.io.moves import MoveOut, Moves
from billing.io.penalty_desk import PenaltyDesk
from billing.io.store import BillingStore
from billing.io.vouchers import NewVoucher, Vouchers
from billing.period import Calendar, Period
from billing.policy import NO_POLICY, BillPolicy
from billing.reconcile import reconcile
from tests.billing.debit_town import DebitTown, told
from tests.billing.town import Town

ZONE = "Asia/Almaty"
MONTHS = [f"2026-{month:02d}-01T00:00:00+05:00" for month in range(1, 5)]
# From 5 tenge on.
FIVE = BillPolicy(minimums_minor={"KZT": 500})

# Half a cubic metre a month: 3.20 net and 0.51 of VAT.
BILL_MINOR = 371


@pytest.fixture(autouse=True)
async def town(owner: asyncpg.Connection) -> Town:
    """Give a home that uses half a cubic metre a month, and lets us debit it."""
    place = Town(owner)
    await place.tariff(640_490, "2025-01-01")
    await place.home("1", {at: number * 500 for number, at in enumerate(MONTHS)})
    await DebitTown(owner).mandate("AC-1")
    return place


async def bill(pool: asyncpg.Pool, month: int, policy: BillPolicy = FIVE) -> int:
    """Issue the bills of a month on the 2nd of the next; say how many debits are announced."""
    issued_at = datetime(2026, month + 1, 2, tzinfo=UTC)
    period = Period.month(2026, month)
    await reconcile(store=BillingStore(pool, policy), period=period, at=issued_at, zone=ZONE)
    return (await told(Debits(pool, policy), at=issued_at)).noticed


async def debits(owner: asyncpg.Connection) -> dict[str, int]:
    rows = await owner.fetch("SELECT bill_no, amount_minor FROM debit ORDER BY bill_no")
    return {row["bill_no"]: row["amount_minor"] for row in rows}


async def carried(owner: asyncpg.Connection) -> list[tuple[str, str, str, int, str]]:
    rows = await owner.fetch(
        "SELECT transfer_id, debit_code, credit_code, amount_minor, bill_no FROM transfer"
        " WHERE transfer_id LIKE 'carry/%' ORDER BY transfer_id"
    )
    return [tuple(row) for row in rows]


async def findings(pool: asyncpg.Pool) -> list[str]:
    report = await audit(
        store=BillingStore(pool), bank=None, at=datetime(2026, 4, 3, tzinfo=UTC), zone=ZONE
    )
    return [f"{one.kind} {one.subject}" for one in report.findings if one.kind != "month_forgotten"]


class TestASmallBill:
    """A bill below the smallest sum that is asked for ..."""

    async def test_waits_and_is_asked_for_with_the_next(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """3.71 tenge wait; with February's they are 7.42, and that is one debit."""
        assert await bill(pool, 1) == 0
        assert await bill(pool, 2) == 1

        assert await carried(owner) == [
            ("carry/2026-01/2026-02/in", "receivable", "carried", BILL_MINOR, "2026-02"),
            ("carry/2026-01/2026-02/out", "carried", "receivable", BILL_MINOR, "2026-01"),
        ]
        assert await debits(owner) == {"2026-02": 742}
        store = BillingStore(pool)
        assert await store.owed_minor("AC-1", ["2026-01", "2026-02"]) == {
            "2026-01": 0,
            "2026-02": 742,
        }
        assert await store.account_owed_minor("AC-1") == 742
        assert await findings(pool) == []

    async def test_is_asked_for_where_no_minimum_is_set(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """So it is by default, and where only another currency has one."""
        dollars = BillPolicy(minimums_minor={"USD": 500})
        assert await bill(pool, 1, NO_POLICY) == 1
        assert await bill(pool, 2, dollars) == 1
        assert await carried(owner) == []

    @pytest.mark.parametrize(("minimum", "noticed"), [(371, 1), (372, 0)])
    async def test_is_one_below_the_minimum(
        self, pool: asyncpg.Pool, minimum: int, noticed: int
    ) -> None:
        """The minimum itself is asked for."""
        assert await bill(pool, 1, BillPolicy(minimums_minor={"KZT": minimum})) == noticed

    async def test_is_carried_once_whatever_runs_twice(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The second run finds the bill there."""
        await bill(pool, 1)
        await bill(pool, 2)
        await bill(pool, 2)
        assert len(await carried(owner)) == 2

    async def test_stays_where_a_debit_already_asks_for_it(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """It was announced before the town set a minimum: the promise is kept, not doubled."""
        await bill(pool, 1, NO_POLICY)
        await bill(pool, 2)
        assert await carried(owner) == []
        assert await debits(owner) == {"2026-01": BILL_MINOR}

    async def test_stays_while_it_is_in_dispute(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A disputed sum does not hide in a bill that nobody disputes."""
        await bill(pool, 1)
        await PenaltyDesk(pool=pool, calendar=Calendar(zone=ZONE)).dispute(
            "AC-1",
            "2026-01",
            from_day=None,
            because="not my gas",
            said_by="Olga",
            at=datetime(2026, 2, 10, tzinfo=UTC),
        )
        await bill(pool, 2)
        assert await carried(owner) == []

    async def test_is_what_a_voucher_leaves(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """2 tenge granted: 1.71 wait, come with 3.71 of February to 5.42, and are asked for."""
        await Vouchers(pool=pool, calendar=Calendar(zone=ZONE)).enter(
            "AC-1",
            NewVoucher(
                source="order 17",
                amount_minor=200,
                currency="KZT",
                valid_from=date(2026, 1, 1),
                valid_to=date(2027, 1, 1),
            ),
            entered_by="Olga",
            at=datetime(2026, 1, 10, tzinfo=UTC),
        )
        assert await bill(pool, 1) == 0
        assert await bill(pool, 2) == 1
        assert await debits(owner) == {"2026-02": 542}
        assert await findings(pool) == []

    async def test_is_paid_by_a_voucher_with_the_next_bill(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The akimat's money pays what was carried like everything else on the bill."""
        await bill(pool, 1)
        await Vouchers(pool=pool, calendar=Calendar(zone=ZONE)).enter(
            "AC-1",
            NewVoucher(
                source="order 17",
                amount_minor=10_000,
                currency="KZT",
                valid_from=date(2026, 1, 1),
                valid_to=date(2027, 1, 1),
            ),
            entered_by="Olga",
            at=datetime(2026, 2, 10, tzinfo=UTC),
        )
        assert await bill(pool, 2) == 0
        amount = await owner.fetchval(
            "SELECT amount_minor FROM transfer WHERE debit_code = 'voucher'"
        )
        assert amount == 742
        assert await findings(pool) == []

    async def test_is_asked_for_when_the_account_ends(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """There is no next bill to wait for."""
        await bill(pool, 1)
        await bill(pool, 2)
        await owner.execute("DELETE FROM notice; DELETE FROM debit_step; DELETE FROM debit")
        assert await bill(pool, 3) == 1
        assert await debits(owner) == {"2026-02": 742}
        wanted = MoveOut(
            account_id="AC-1", last_day=date(2026, 3, 31), registers_dm3={}, because="moved"
        )
        at = datetime(2026, 4, 3, tzinfo=UTC)
        await Moves(pool=pool, calendar=Calendar(zone=ZONE)).move_out(wanted, said_by="Olga", at=at)

        assert (await told(Debits(pool, FIVE), at=at)).noticed == 1
        assert await debits(owner) == {"2026-02": 742, "2026-03": BILL_MINOR}


class TestTheAudit:
    """The audit finds a carried sum that ..."""

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE transfer SET amount_minor = 370 WHERE transfer_id ~ '^carry.*out'",
            "DELETE FROM transfer WHERE transfer_id = 'carry/2026-01/2026-02/out'",
            "UPDATE transfer SET transfer_id = 'carry/2025-12/2026-2/in' WHERE transfer_id ~ 'in$'",
            "UPDATE transfer SET debit_code = 'bank' WHERE transfer_id ~ '^carry.*out'",
            "UPDATE transfer SET posted_at = '2026-03-05Z' WHERE transfer_id ~ '/in'",
        ],
        ids=["differs", "vanished", "of no bill", "from the bank", "later"],
    )
    async def test_does_not_come_from_an_earlier_bill(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, change: str
    ) -> None:
        """Both halves, between the two bills, at the instant of issue; nothing else."""
        await bill(pool, 1)
        await bill(pool, 2)
        await owner.execute(change)

        assert "transfer_wrong" in {one.partition(" ")[0] for one in await findings(pool)}
