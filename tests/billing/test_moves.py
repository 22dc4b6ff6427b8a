"""Moving out and in: no gas lost, none counted twice, and a final bill at once."""

from datetime import UTC, date, datetime
from typing import Any

import asyncpg
import pytest

from billing.audit import audit
from billing.io.accounts import AccountStore, AccountUnknownError
from billing.io.debits import Debits
from billing.io.final import AccountOpenError, FinalBill, FinalBills
from billing.io.moves import (
    ClosingDiffersError,
    DialTurnedError,
    GasUnclaimedError,
    MoveDayError,
    MoveIn,
    MoveOut,
    Moves,
    NoRegisterError,
    NotAtAccountError,
    StillOccupiedError,
)
from billing.io.store import BillingStore
from billing.move import Closing
from billing.period import Calendar, Period
from billing.reconcile import reconcile
from billing.retire import retire
from metering.installation import Installation
from metering.io.api import AccountClosedError, SupplyPointUnknownError
from metering.io.registry import (
    AlreadyMeasuredError,
    ClosingImplausibleError,
    NotInstalledError,
)
from tests.billing.debit_town import DebitTown
from tests.billing.town import Town

ZONE = "Asia/Almaty"
JAN_1, FEB_1 = "2026-01-01T00:00:00+05:00", "2026-02-01T00:00:00+05:00"
EVENING, MAR_1 = "2026-02-10T20:00:00+05:00", "2026-03-01T00:00:00+05:00"
MIDNIGHT = datetime.fromisoformat("2026-02-11T00:00:00+05:00")
TWELFTH = datetime.fromisoformat("2026-02-12T10:00:00+05:00")
LAST_DAY = date(2026, 2, 10)


@pytest.fixture(autouse=True)
async def town(owner: asyncpg.Connection, pool: asyncpg.Pool) -> Town:
    """Give a home that used 100 m3 in January and 40 until the evening of the 10th of February.

    A day of supply costs 10 tenge. January is billed, and who comes next has his account.
    """
    place = Town(owner)
    await place.tariff(640_490, "2025-01-01")
    await owner.execute("UPDATE tariff SET standing_net_minor_per_1000_days = 1000000")
    await place.home("1", {JAN_1: 0, FEB_1: 100_000, EVENING: 140_000})
    await place.account("AC-2")
    await owner.execute("INSERT INTO supply_point VALUES ('AC-2', 'SP-9', '2020-01-01Z')")
    await bill(pool, 1)
    return place


def moves(pool: asyncpg.Pool) -> Moves:
    return Moves(pool=pool, calendar=Calendar(zone=ZONE))


async def bill(pool: asyncpg.Pool, month: int) -> None:
    await reconcile(
        store=BillingStore(pool),
        period=Period.month(2026, month),
        at=datetime(2026, month + 1, 2, tzinfo=UTC),
        zone=ZONE,
    )


async def out(
    pool: asyncpg.Pool,
    *,
    account_id: str = "AC-1",
    last_day: date = LAST_DAY,
    registers_dm3: dict[str, int] | None = None,
    because: str = "moved to Astana",
    at: datetime = TWELFTH,
) -> tuple[Closing, bool]:
    wanted = MoveOut(
        account_id=account_id,
        last_day=last_day,
        registers_dm3=registers_dm3 or {},
        because=because,
    )
    return await moves(pool).move_out(wanted, said_by="Olga", at=at)


async def into(pool: asyncpg.Pool, **change: Any) -> tuple[Installation, bool]:
    wanted: dict[str, Any] = {
        "account_id": "AC-2",
        "supply_point_id": "SP-9",
        "meter_id": "AQ-1",
        "from_day": date(2026, 2, 11),
        "register_dm3": None,
    }
    return await moves(pool).move_in(MoveIn(**{**wanted, **change}), at=TWELFTH)


async def final(pool: asyncpg.Pool, account_id: str = "AC-1") -> FinalBill:
    finals = FinalBills(pool=pool, store=BillingStore(pool), zone=ZONE)
    return await finals.issue(account_id, at=TWELFTH)


async def february(owner: asyncpg.Connection) -> list[tuple[Any, ...]]:
    """Return of each account's bill: the gas, the days of supply, net sum and total."""
    rows = await owner.fetch(
        "SELECT b.account_id, b.volume_dm3, c.quantity, b.net_minor, b.total_minor FROM bill b"
        " JOIN bill_charge c USING (account_id, bill_no) WHERE b.bill_no = '2026-02' ORDER BY 1"
    )
    return [tuple(row) for row in rows]


async def findings(pool: asyncpg.Pool) -> list[str]:
    report = await audit(
        store=BillingStore(pool), bank=None, at=datetime(2026, 3, 4, tzinfo=UTC), zone=ZONE
    )
    return [f"{one.kind} {one.subject}" for one in report.findings]


class TestMovingOut:
    """Whoever moves out ..."""

    async def test_ends_with_the_register_of_his_last_day(self, pool: asyncpg.Pool) -> None:
        """Read in the evening, it stands for the midnight that follows."""
        closing, fresh = await out(pool)

        assert fresh
        [register] = closing.registers
        assert (register.meter_id, register.register_dm3) == ("AQ-1", 140_000)
        assert register.read_at == datetime.fromisoformat(EVENING)
        assert (closing.last_day, closing.closed_by) == (LAST_DAY, "Olga")

    async def test_gets_his_final_bill_at_once(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """40 m3 for 256.20, ten days for 100 tenge, 16 per cent on each, on the 12th."""
        await out(pool)
        made = await final(pool)

        assert (made.state, made.bill_no) == ("issued", "2026-02")
        # 25 620 + 4 099 for the gas, 10 000 + 1 600 for the days.
        assert await february(owner) == [("AC-1", 40_000, 10, 35_620, 41_319)]
        assert made.bill is not None
        assert made.bill.due_on == date(2026, 3, 25)
        assert (await final(pool)).state == "issued_before"

    async def test_is_billed_by_the_run_if_nobody_hurries(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The month's own run makes the very same bill, and only one."""
        await out(pool)
        await bill(pool, 2)
        assert await february(owner) == [("AC-1", 40_000, 10, 35_620, 41_319)]
        assert (await final(pool)).state == "issued_before"

    async def test_may_say_the_register_himself(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """He photographed it at midnight: 141 m3. It is known that a person said so."""
        closing, _ = await out(pool, registers_dm3={"AQ-1": 141_000})

        [register] = closing.registers
        assert (register.register_dm3, register.read_at) == (141_000, None)
        await final(pool)
        assert (await february(owner))[0][1] == 41_000
        assert await findings(pool) == []

    async def test_does_so_once(self, pool: asyncpg.Pool) -> None:
        """The same again is no news; another day or register is a question."""
        await out(pool)
        assert not (await out(pool))[1]
        for change in (
            {"last_day": date(2026, 2, 9)},
            {"registers_dm3": {"AQ-1": 140_000}},
            {"because": "died"},
        ):
            with pytest.raises(ClosingDiffersError):
                await out(pool, **change)  # type: ignore[arg-type] # one keyword at a time

    async def test_needs_a_register_of_that_day(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The 9th has none; and nothing is half done."""
        with pytest.raises(NoRegisterError):
            await out(pool, last_day=date(2026, 2, 9))
        assert await owner.fetchval("SELECT count(*) FROM account_closing") == 0
        assert await owner.fetchval("SELECT removed_at FROM installation") is None

    async def test_cannot_do_so_tomorrow(self, pool: asyncpg.Pool) -> None:
        """The day must be over: its last register is not known before."""
        with pytest.raises(MoveDayError):
            await out(pool, last_day=date(2026, 2, 12))

    async def test_cannot_undo_a_bill(self, pool: asyncpg.Pool) -> None:
        """January is billed to its end."""
        with pytest.raises(AlreadyMeasuredError):
            await out(pool, last_day=date(2026, 1, 20), registers_dm3={"AQ-1": 60_000})

    @pytest.mark.parametrize(
        ("registers_dm3", "error"),
        [
            ({"AQ-1": 139_999}, ClosingImplausibleError),
            ({"AQ-1": 100_000_000}, ClosingImplausibleError),
            ({"AQ-2": 1}, NotAtAccountError),
        ],
    )
    async def test_cannot_say_what_cannot_be(
        self, pool: asyncpg.Pool, registers_dm3: dict[str, int], error: type[Exception]
    ) -> None:
        """Less than was read, more than the dial shows, a meter of somebody else."""
        with pytest.raises(error):
            await out(pool, registers_dm3=registers_dm3)

    async def test_has_an_account(self, pool: asyncpg.Pool) -> None:
        """And a final bill is for one that has ended."""
        with pytest.raises(AccountUnknownError):
            await out(pool, account_id="AC-9")
        with pytest.raises(AccountUnknownError):
            await final(pool, "AC-9")
        with pytest.raises(AccountOpenError):
            await final(pool)

    async def test_may_have_no_meter(self, pool: asyncpg.Pool) -> None:
        """An account nobody ever moved into ends without a bill."""
        closing, _ = await out(pool, account_id="AC-2")
        assert closing.registers == ()
        assert (await final(pool, "AC-2")).state == "nothing_to_bill"

    async def test_learns_what_holds_his_final_bill(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """No price: the answer says why and where to look; a price releases it."""
        await owner.execute("UPDATE tariff SET valid_to = '2026-02-01'")
        await out(pool)
        made = await final(pool)
        assert (made.state, made.reason, made.meter_id) == ("held", "no_price", "AQ-1")
        await Town(owner).tariff(640_490, "2026-02-01")
        assert (await final(pool)).state == "issued"


class TestMovingIn:
    """Whoever moves in ..."""

    async def test_goes_on_from_the_same_register(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, town: Town
    ) -> None:
        """40 m3 and 10 days are the one's, 45 m3 and 18 days the other's: 85 m3, 28 days."""
        await out(pool)
        stay, fresh = await into(pool)
        assert (fresh, stay.installed_at, stay.opening_dm3) == (True, MIDNIGHT, 140_000)
        assert not (await into(pool))[1]
        await final(pool)
        await town.read("AQ-1", MAR_1, 185_000)
        await bill(pool, 2)

        # 45 m3: 28 822 + 4 612; 18 days: 18 000 + 2 880.
        assert await february(owner) == [
            ("AC-1", 40_000, 10, 35_620, 41_319),
            ("AC-2", 45_000, 18, 46_822, 54_314),
        ]
        assert await findings(pool) == []

    async def test_may_come_later(self, pool: asyncpg.Pool) -> None:
        """Days between are nobody's; the register is the same, as he saw himself."""
        await out(pool)
        stay, _ = await into(pool, from_day=date(2026, 2, 12), register_dm3=140_000)
        assert stay.installed_at == datetime.fromisoformat("2026-02-12T00:00:00+05:00")

    async def test_is_not_billed_for_gas_of_nobody(self, pool: asyncpg.Pool) -> None:
        """The meter shows 2 m3 more than when the last account ended."""
        await out(pool)
        with pytest.raises(GasUnclaimedError):
            await into(pool, from_day=date(2026, 2, 12), register_dm3=142_000)

    async def test_waits_for_the_other_to_move_out(self, pool: asyncpg.Pool) -> None:
        """One meter, one account."""
        with pytest.raises(StillOccupiedError):
            await into(pool)

    @pytest.mark.parametrize("from_day", [date(2026, 2, 10), date(2026, 2, 13)])
    async def test_does_so_on_a_day_that_can_be(self, pool: asyncpg.Pool, from_day: date) -> None:
        """Not on the last day of the other, not in the future."""
        await out(pool)
        with pytest.raises(MoveDayError):
            await into(pool, from_day=from_day)

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"account_id": "AC-9"}, AccountUnknownError),
            ({"account_id": "AC-1", "supply_point_id": "SP-1"}, AccountClosedError),
            ({"supply_point_id": "SP-1"}, SupplyPointUnknownError),
            ({"meter_id": "AQ-9"}, NotInstalledError),
        ],
    )
    async def test_is_somebody_somewhere(
        self, pool: asyncpg.Pool, change: dict[str, Any], error: type[Exception]
    ) -> None:
        """Accounts, points and meters that do not exist, or have ended."""
        await out(pool)
        with pytest.raises(error):
            await into(pool, **change)

    async def test_needs_readings_that_count_from_his_line(
        self, pool: asyncpg.Pool, town: Town
    ) -> None:
        """The dial passed zero on the 10th, and a reading of the 11th counts that turn."""
        await town.owner.execute("UPDATE meter SET dial_dm3 = 141000")
        await town.read("AQ-1", "2026-02-10T23:00:00+05:00", 500, 1)
        await town.read("AQ-1", "2026-02-11T12:00:00+05:00", 600, 1)
        await out(pool)
        with pytest.raises(DialTurnedError):
            await into(pool)


class TestAnAccountThatHasEnded:
    """An account that has ended ..."""

    async def test_takes_no_meter(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """Whoever hangs one up is told before anything is written; the audit looks again."""
        await owner.execute("INSERT INTO supply_point VALUES ('AC-1', 'SP-1', '2020-01-01Z')")
        accounts = AccountStore(pool=pool)
        assert await accounts.has_supply_point("AC-1", "SP-1")
        await out(pool)
        with pytest.raises(AccountClosedError):
            await accounts.has_supply_point("AC-1", "SP-1")
        await Town(owner).meter("AQ-7")
        await Town(owner).install("AQ-7", "AC-1", "2026-02-20T10:00:00+05:00", 0)
        assert "closing_wrong AC-1/AQ-7" in await findings(pool)

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE installation SET closing_dm3 = 140001",
            "UPDATE installation SET removed_at = '2026-02-10T21:00+05'",
            "UPDATE account_closing SET last_day = '2026-02-09'",
        ],
    )
    async def test_is_looked_at_by_the_audit(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, change: str
    ) -> None:
        """Another register, another instant, another day than the resident was told."""
        await out(pool)
        await owner.execute(change)
        assert "closing_wrong AC-1/AQ-1" in await findings(pool)

    async def test_keeps_no_mandate_when_all_is_paid(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Not before the final bill, not while something is owed; then there are no more debits."""
        await DebitTown(owner).mandate("AC-1")
        store = Debits(pool)

        async def retired() -> int:
            return await retire(store=store, at=TWELFTH, limit=10)

        async def pay(bill_no: str, amount_minor: int) -> None:
            await owner.execute(
                "INSERT INTO transfer VALUES ('AC-1', $1, 'posted', 'bank', 'receivable', $2,"
                " 'KZT', $3, '2026-02-12Z')",
                f"cash/{bill_no}",
                amount_minor,
                bill_no,
            )

        # January: 74 297 for the gas, 31 days for 31 000 + 4 960.
        await pay("2026-01", 110_257)
        await out(pool)
        assert await retired() == 0
        await final(pool)
        assert await retired() == 0
        await pay("2026-02", 41_319)

        assert await retired() == 1
        assert await owner.fetchval("SELECT enrolment FROM mandate") == "cancelled"
        assert await retired() == 0
