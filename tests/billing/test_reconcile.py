"""The billing run against a real database."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.bill import HoldReason
from billing.io.store import BillingStore
from billing.period import Period
from billing.reconcile import PeriodNotOverError, ReconcileCounts, due_periods, reconcile
from tests.billing.town import Town

ZONE = "Asia/Almaty"
JANUARY = Period.month(2026, 1)
FEBRUARY = Period.month(2026, 2)
AT = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)

HUNG = "2025-12-01T12:00:00+05:00"
JAN_1 = "2026-01-01T00:00:00+05:00"
JAN_15 = "2026-01-15T00:00:00+05:00"
FEB_1 = "2026-02-01T00:00:00+05:00"
MAR_1 = "2026-03-01T00:00:00+05:00"


async def run(
    pool: asyncpg.Pool,
    period: Period = JANUARY,
    *,
    at: datetime = AT,
    chunk: int = 5000,
    sessions: int = 1,
) -> ReconcileCounts:
    store = BillingStore(pool, sessions=sessions)
    return await reconcile(store=store, period=period, at=at, zone=ZONE, chunk=chunk)


async def street(town: Town, homes: int) -> None:
    """Settle some homes that differ in what they burn; every third lacks its last reading."""
    await town.tariff(640_490, "2025-01-01")
    for number in range(1, homes + 1):
        registers = {HUNG: 0, JAN_1: 1_000 * number, FEB_1: 1_000 * number + 77_777 * number}
        if number % 3 == 0:
            del registers[FEB_1]
        await town.home(f"{number:03d}", registers)


async def hold_of(pool: asyncpg.Pool, period: Period = JANUARY) -> tuple[str, str]:
    (hold,) = await BillingStore(pool).holds(period.start, limit=10, after="")
    return hold.reason, hold.meter_id


class TestPeriods:
    """Which months are run ..."""

    async def test_refuses_a_month_that_still_runs(self, pool: asyncpg.Pool) -> None:
        """One second before local midnight the last register cannot be known."""
        over_at = datetime(2026, 1, 31, 19, 0, tzinfo=UTC)

        with pytest.raises(PeriodNotOverError, match="2026-01 is over at 2026-01-31T19:00:00"):
            await run(pool, at=over_at - timedelta(seconds=1))

        assert (await run(pool, at=over_at)).billed == 0

    async def test_are_none_in_an_empty_town(self, pool: asyncpg.Pool) -> None:
        """Without a meter there is nothing to bill."""
        assert await due_periods(store=BillingStore(pool), at=AT, zone=ZONE) == ()

    async def test_begin_with_the_first_meter(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A meter hung up in December makes December, January and February due in March."""
        await Town(owner).home("1", {HUNG: 0})

        due = await due_periods(store=BillingStore(pool), at=AT, zone=ZONE)

        assert [period.label for period in due] == ["2025-12", "2026-01", "2026-02"]

    async def test_wait_until_the_meters_have_reported(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Two hours after midnight January is over, but most telegrams are still on their way."""
        await Town(owner).home("1", {JAN_1: 0})
        midnight = datetime(2026, 1, 31, 19, 0, tzinfo=UTC)
        store = BillingStore(pool)

        early = await due_periods(store=store, at=midnight + timedelta(hours=2), zone=ZONE)
        later = await due_periods(store=store, at=midnight + timedelta(hours=3), zone=ZONE)

        assert early == ()
        assert later == (JANUARY,)

    async def test_come_again_while_something_is_held(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A reading can come months later; until then its month is asked again each time."""
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01")
        await town.home("1", {JAN_1: 0, FEB_1: 5_000})
        await town.home("2", {JAN_1: 0})
        store = BillingStore(pool)
        for period in (JANUARY, FEBRUARY):
            await run(pool, period)
        late = datetime(2026, 9, 10, tzinfo=UTC)

        due = await due_periods(store=store, at=late, zone=ZONE)
        await town.read("AQ-2", FEB_1, 9_000)
        await run(pool, JANUARY)
        then = await due_periods(store=store, at=late, zone=ZONE)

        assert JANUARY in due
        assert JANUARY not in then
        assert [period.label for period in then][-3:] == ["2026-06", "2026-07", "2026-08"]


class TestReconcile:
    """The run of a month ..."""

    async def test_is_harmless_twice(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """The second run finds nothing to do and changes nothing."""
        town = Town(owner)
        await street(town, 10)

        first = await run(pool)
        once = await town.books()
        second = await run(pool)

        assert (first.measured, first.lacking, first.billed, first.held) == (7, 3, 7, 3)
        assert (second.measured, second.lacking, second.billed, second.held) == (0, 3, 0, 3)
        assert await town.books() == once

    async def test_does_not_depend_on_the_chunk(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """One at a time or all at once: the same bills, by the same sums worked out by hand."""
        town = Town(owner)
        await street(town, 8)

        counts = await run(pool, chunk=1)

        # Homes 1, 2, 4, 5, 7 and 8: 27 times 77 777 dm3.
        assert counts.volume_dm3 == 27 * 77_777
        assert counts.lines == 6
        # 77.777 m3 at 6.4049 are 498.1539, two times that 996.3079, and so on; then 16 % of each.
        nets = [49_815, 99_631, 199_262, 249_077, 348_708, 398_523]
        bills = (await town.books())["bill"]
        assert [bill[3] for bill in bills] == nets
        assert [bill[4] for bill in bills] == [7_970, 15_941, 31_882, 39_852, 55_793, 63_764]

    async def test_does_not_depend_on_the_sessions(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Three hands on one pile: everything once, and the same as by one hand."""
        town = Town(owner)
        await street(town, 20)
        alone = await run(pool)
        books = await town.books()
        await owner.execute("TRUNCATE usage, bill, bill_hold, usage_gap CASCADE")

        counts = await run(pool, chunk=2, sessions=3)

        assert counts == alone
        assert await town.books() == books

    async def test_works_on_chunks_side_by_side(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """While one session writes its chunk, the other has claimed the next and writes too."""
        town = Town(owner)
        await street(town, 4)
        together = asyncio.Barrier(2)

        class Meeting(BillingStore):
            """Ends its first chunks only when both sessions have one."""

            async def issue(self, run, claims):  # noqa: ANN001, ANN202
                part = await super().issue(run, claims)
                if part.last in {"AC-001", "AC-002"}:
                    await together.wait()
                return part

        store = Meeting(pool, sessions=2)
        counts = await reconcile(store=store, period=JANUARY, at=AT, zone=ZONE, chunk=1)

        assert (counts.billed, counts.held) == (3, 1)

    async def test_ends_all_its_sessions_when_one_fails(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A session that went on alone would write after the run was reported as failed."""
        town = Town(owner)
        await street(town, 9)
        begun, ended = asyncio.Event(), []

        class Failing(BillingStore):
            """One session fails while the other is in the middle of its chunk."""

            async def issue(self, run, claims):  # noqa: ANN001, ANN202
                if begun.is_set():
                    raise ConnectionResetError
                begun.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    ended.append(True)
                return await super().issue(run, claims)

        with pytest.raises(ConnectionResetError):
            await reconcile(
                store=Failing(pool, sessions=2), period=JANUARY, at=AT, zone=ZONE, chunk=2
            )

        assert ended == [True]
        assert (await town.books())["bill"] == []

    async def test_is_harmless_twice_at_the_same_time(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Two operators press the same button: each account gets one bill."""
        town = Town(owner)
        await street(town, 40)

        counts = await asyncio.gather(
            run(pool, chunk=3), run(pool, chunk=5, sessions=2), run(pool, chunk=7, sessions=2)
        )

        assert sum(one.billed for one in counts) == 27
        assert sum(one.measured for one in counts) == 27
        books = await town.books()
        assert len(books["bill"]) == 27
        assert len(books["bill_line"]) == 27
        assert len(books["transfer"]) == 54
        assert len(books["bill_hold"]) == 13

    async def test_can_be_killed_between_chunks(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Whatever was committed stays, whatever was not comes with the next run."""
        town = Town(owner)
        await street(town, 9)

        class Killed(BillingStore):
            """Dies in the middle of the second chunk of accounts."""

            async def issue(self, run, claims):  # noqa: ANN001, ANN202
                if claims.last is not None:
                    raise ConnectionResetError
                return await super().issue(run, claims)

        with pytest.raises(ConnectionResetError):
            await reconcile(store=Killed(pool), period=JANUARY, at=AT, zone=ZONE, chunk=2)
        half = len((await town.books())["bill"])
        await run(pool)

        assert half == 2
        assert len((await town.books())["bill"]) == 6
        assert len((await town.books())["transfer"]) == 12

    async def test_can_lose_its_connection_inside_a_chunk(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, database_url: str
    ) -> None:
        """The server ends the session while a chunk is written: nothing of the chunk stays."""
        town = Town(owner)
        await street(town, 6)
        await owner.execute("BEGIN; SELECT FROM account WHERE account_id = 'AC-004' FOR UPDATE")

        task = asyncio.create_task(run(pool))
        waiting = (
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock'"
        )
        watcher = await asyncpg.connect(database_url)
        while (pid := await watcher.fetchval(waiting)) is None:
            assert not task.done()
        await watcher.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            await task
        before = await watcher.fetchval("SELECT count(*) FROM bill")
        await owner.execute("ROLLBACK")
        await watcher.close()
        await run(pool)

        assert before == 0
        assert len((await town.books())["bill"]) == 4
        assert len((await town.books())["usage"]) == 4

    async def test_writes_the_ledger_with_the_bill(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """What the resident owes is revenue and tax, and nothing else."""
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01")
        await town.home("1", {HUNG: 0, JAN_1: 0, FEB_1: 100_000})

        await run(pool)

        assert (await town.books())["transfer"] == [
            (
                "AC-1",
                "bill/2026-01/net",
                "posted",
                "receivable",
                "revenue",
                64_049,
                "2026-01",
            ),
            ("AC-1", "bill/2026-01/vat", "posted", "receivable", "vat", 10_248, "2026-01"),
        ]
        store = BillingStore(pool)
        assert await store.owed_minor("AC-1", ["2026-01", "2026-02"]) == {
            "2026-01": 74_297,
            "2026-02": 0,
        }
        assert await store.account_owed_minor("AC-1") == 74_297

    async def test_bills_nothing_for_no_gas(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """An empty home gets a bill over nothing, and the ledger no empty row."""
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01")
        await town.home("1", {HUNG: 5, JAN_1: 5, FEB_1: 5})

        await run(pool)

        bill = await BillingStore(pool).bill("AC-1", "2026-01")
        assert bill is not None
        assert (bill.total_minor, len(bill.lines)) == (0, 1)
        assert (await town.books())["transfer"] == []

    async def test_prices_the_largest_volume_without_overflow(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A country's inlet at the highest price the schema takes still fits 64 bits."""
        town = Town(owner)
        await town.tariff(1_000_000_000, "2025-01-01")
        await town.account("AC-1")
        await town.meter("AQ-1", dial_dm3=1_000_000_000_000_000)
        await town.install("AQ-1", "AC-1", JAN_1, 0)
        await town.read("AQ-1", FEB_1, 999_999_999_999_999)

        await run(pool)

        bill = await BillingStore(pool).bill("AC-1", "2026-01")
        assert bill is not None
        assert bill.net_minor == 999_999_999_999_999_000
        assert bill.vat_minor == 159_999_999_999_999_840

    async def test_adds_up_two_meters_of_one_account(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A home with a second supply point gets one bill with a line for each."""
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01")
        await town.home("1", {HUNG: 0, JAN_1: 0, FEB_1: 1_000})
        await town.meter("AQ-2")
        await town.install("AQ-2", "AC-1", JAN_1, 0, point="SP-2")
        await town.read("AQ-2", FEB_1, 2_000)

        await run(pool, chunk=1)

        bill = await BillingStore(pool).bill("AC-1", "2026-01")
        assert bill is not None
        assert [(line.line_no, line.meter_id, line.volume_dm3) for line in bill.lines] == [
            (1, "AQ-1", 1_000),
            (2, "AQ-2", 2_000),
        ]
        assert bill.net_minor == 640 + 1_281


class TestRegisters:
    """The register that stands for a boundary ..."""

    async def test_may_be_a_day_old_but_no_older(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A reading of 23:59 before stands for midnight; the midnight before that does not."""
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01")
        await town.home(
            "1", {HUNG: 0, "2025-12-31T00:01:00+05:00": 10, "2026-01-31T23:59:00+05:00": 90}
        )
        await town.home("2", {HUNG: 0, JAN_1: 0, "2026-01-31T00:00:00+05:00": 50})

        counts = await run(pool)

        assert (counts.billed, counts.held) == (1, 1)
        assert await hold_of(pool) == ("no_closing_register", "AQ-2")
        bill = await BillingStore(pool).bill("AC-1", "2026-01")
        assert bill is not None
        assert bill.volume_dm3 == 80

    async def test_is_never_a_suspect_reading(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A reading that was not believed when it came is not billed either."""
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01")
        await town.home("1", {HUNG: 0, JAN_1: 0, "2026-01-31T22:00:00+05:00": 40})
        await town.read("AQ-1", FEB_1, 99_000_000, turns=None)

        await run(pool)

        bill = await BillingStore(pool).bill("AC-1", "2026-01")
        assert bill is not None
        assert bill.volume_dm3 == 40

    async def test_is_what_a_person_said(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A suspect reading that was replaced, and a trusted one that was corrected later."""
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01")
        for name in ("1", "2"):
            await town.home(name, {HUNG: 0, JAN_1: 0})
        await town.read("AQ-1", FEB_1, 99_000_000, turns=None)
        await town.read("AQ-2", FEB_1, 900)
        await owner.execute(
            "INSERT INTO reading_decision VALUES"
            " ('AQ-1', $1, 'replace', 70, 0, 'ann', 'seen on a photo', $2)",
            datetime.fromisoformat(FEB_1),
            AT,
        )
        await owner.execute(
            "INSERT INTO reading_correction VALUES"
            " ('AQ-2', $1, 1, 800, 0, 'ours', 'ann', 'misread', $2)",
            datetime.fromisoformat(FEB_1),
            AT,
        )

        counts = await run(pool)

        assert counts.billed == 2
        assert [bill[2] for bill in (await town.books())["bill"]] == [70, 800]

    async def test_is_never_one_of_another_installation(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """What the meter read in its former home says nothing about the new one."""
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01")
        await town.home("1", {HUNG: 0, "2026-01-31T10:00:00+05:00": 500})
        await town.remove("AQ-1", "2026-01-31T18:00:00+05:00", 510)
        await town.account("AC-2")
        await town.install("AQ-1", "AC-2", "2026-01-31T18:00:00+05:00", 0)
        await town.read("AQ-1", MAR_1, 800)

        await run(pool)

        assert ("AC-2", JANUARY.start, "no_closing_register", "AQ-1") in (await town.books())[
            "bill_hold"
        ]

    async def test_is_the_one_the_last_bill_ended_with(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A reading of midnight that comes after January was billed must not lose 20 litres."""
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01")
        await town.home("1", {HUNG: 0, JAN_1: 0, "2026-01-31T20:00:00+05:00": 100, MAR_1: 300})
        await run(pool, JANUARY)

        await town.read("AQ-1", FEB_1, 120)
        await run(pool, FEBRUARY)

        assert [row[-3] for row in (await town.books())["usage"]] == [100, 200]

    async def test_is_the_one_the_next_bill_began_with(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """February was billed first; when January is released it ends where February began."""
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01")
        await town.home("1", {HUNG: 0, "2026-01-31T20:00:00+05:00": 100, MAR_1: 300})
        await run(pool, JANUARY)
        await run(pool, FEBRUARY)

        await town.read("AQ-1", JAN_1, 10)
        await town.read("AQ-1", FEB_1, 120)
        await run(pool, JANUARY)

        assert [row[-3] for row in (await town.books())["usage"]] == [90, 200]

    async def test_is_not_believed_when_it_stands_below_the_first(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A removal noted with too low a register holds one bill and stops no other."""
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01")
        await town.home("1", {HUNG: 0, JAN_1: 5_000})
        await town.remove("AQ-1", "2026-01-20T10:00:00+05:00", 4_000)
        await town.home("2", {HUNG: 0, JAN_1: 0, FEB_1: 10})

        counts = await run(pool)

        assert (counts.billed, counts.held) == (1, 1)
        assert await hold_of(pool) == ("no_closing_register", "AQ-1")


class TestHolds:
    """A bill that waits ..."""

    async def test_says_that_the_first_register_lacks(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Nobody guesses what the dial showed at the beginning of the month."""
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01")
        await town.home("1", {HUNG: 0, FEB_1: 10})

        await run(pool)

        assert await hold_of(pool) == ("no_opening_register", "AQ-1")

    async def test_is_released_by_the_late_reading(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The meter was silent for a week; its stored telegram ends the wait."""
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01")
        await town.home("1", {HUNG: 0, JAN_1: 0})
        await run(pool)
        assert await hold_of(pool) == ("no_closing_register", "AQ-1")

        await town.read("AQ-1", FEB_1, 100_000)
        counts = await run(pool)

        assert (counts.measured, counts.lacking, counts.billed, counts.held) == (1, 0, 1, 0)
        assert (await town.books())["bill_hold"] == []
        assert await owner.fetchval("SELECT count(*) FROM usage_gap") == 0

    async def test_waits_for_all_meters_of_the_account(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Half a bill now and half later would be two bills for one month."""
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01")
        await town.home("1", {HUNG: 0, JAN_1: 0, FEB_1: 10})
        await town.meter("AQ-0")
        await town.install("AQ-0", "AC-1", JAN_1, 0, point="SP-2")

        await run(pool)

        assert (await town.books())["bill"] == []
        assert await hold_of(pool) == ("no_closing_register", "AQ-0")

    async def test_moves_to_the_meter_that_still_lacks(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Somebody is sent to a meter: it had better be the right one."""
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01")
        await town.home("1", {HUNG: 0, JAN_1: 0})
        await town.meter("AQ-2")
        await town.install("AQ-2", "AC-1", JAN_1, 0, point="SP-2")
        await run(pool)
        first = await hold_of(pool)

        await town.read("AQ-1", FEB_1, 10)
        await run(pool)

        assert first == ("no_closing_register", "AQ-1")
        assert await hold_of(pool) == ("no_closing_register", "AQ-2")

    async def test_says_that_there_is_no_price(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Without a tariff, or with one in another currency, gas has no price; later it has."""
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01", currency="EUR")
        await town.home("1", {HUNG: 0, JAN_1: 0, FEB_1: 10})
        await run(pool)
        assert await hold_of(pool) == ("no_price", "AQ-1")

        await owner.execute("DELETE FROM tariff")
        await town.tariff(640_490, "2025-01-01")
        counts = await run(pool)

        assert (counts.billed, counts.held) == (1, 0)
        assert (await town.books())["bill_hold"] == []

    async def test_does_not_wait_for_a_register_at_a_price_change(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Nobody read the meter on the 15th: 14 of 31 days have the old price, 17 the new one.

        75 500 x 14 / 31 is 34 096.8 dm3, so 34 097 and 41 403; net 205.31 and 265.18, VAT 32.85 and
        42.43.
        """
        town = Town(owner)
        await town.tariff(602_142, "2025-01-01", "2026-01-15")
        await town.tariff(640_490, "2026-01-15")
        await town.home("1", {HUNG: 0, JAN_1: 0, FEB_1: 75_500})

        counts = await run(pool)

        assert (counts.billed, counts.lines, counts.total_minor) == (1, 2, 54_577)
        bill = await BillingStore(pool).bill("AC-1", "2026-01")
        assert bill is not None
        assert [(line.volume_dm3, line.days, line.days_of) for line in bill.lines] == [
            (34_097, 14, 31),
            (41_403, 17, 31),
        ]

    async def test_takes_the_register_of_a_price_change_where_there_is_one(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A reading of that midnight says more than the calendar."""
        town = Town(owner)
        await town.tariff(602_142, "2025-01-01", "2026-01-15")
        await town.tariff(640_490, "2026-01-15")
        await town.home("1", {HUNG: 0, JAN_1: 0, JAN_15: 30_000, FEB_1: 75_500})

        counts = await run(pool)

        assert (counts.billed, counts.lines, counts.total_minor) == (1, 2, 54_759)

    async def test_never_comes_from_the_price_change_of_others(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A tariff for shops changes; a home needs no register on that day and gets one line."""
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01")
        await town.tariff(900_000, "2025-01-01", "2026-01-15", code="shops")
        await town.tariff(950_000, "2026-01-15", code="shops")
        await town.home("1", {HUNG: 0, JAN_1: 0, FEB_1: 10})

        counts = await run(pool)

        assert (counts.billed, counts.lines, counts.held) == (1, 1, 0)

    async def test_does_not_come_from_a_price_that_is_known_too_late(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Measured in one piece, the gas is divided by days when the price turns out to change."""
        town = Town(owner)
        await town.home("1", {HUNG: 0, JAN_1: 0, FEB_1: 31_000})
        await run(pool)
        assert await hold_of(pool) == ("no_price", "AQ-1")
        await town.tariff(602_142, "2025-01-01", "2026-01-15")
        await town.tariff(640_490, "2026-01-15")

        counts = await run(pool)

        assert (counts.billed, counts.held, counts.volume_dm3) == (1, 0, 31_000)
        bill = await BillingStore(pool).bill("AC-1", "2026-01")
        assert bill is not None
        assert [line.volume_dm3 for line in bill.lines] == [14_000, 17_000]

    async def test_ends_when_the_meter_turns_out_not_to_have_hung_there(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A removal noted late takes the question away."""
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01")
        await town.home("1", {HUNG: 0})
        await run(pool)

        await town.remove("AQ-1", "2025-12-20T10:00:00+05:00", 10)
        counts = await run(pool)

        assert counts.held == 0
        assert (await town.books())["bill_hold"] == []
        assert await owner.fetchval("SELECT count(*) FROM usage_gap") == 0

    def test_has_the_reasons_that_the_schema_takes(self) -> None:
        """A reason without a name here could not be read back."""
        assert sorted(HoldReason) == [
            "anomalous",
            "disputed",
            "estimated_beyond_cap",
            "held_finding",
            "no_closing_register",
            "no_energy",
            "no_opening_register",
            "no_price",
            "not_measured",
        ]


class TestMonths:
    """Months, one after another ..."""

    @settings(
        max_examples=12,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        # Below the floor under which no bill is unusual.
        used=st.lists(st.integers(0, 1_300_000), min_size=3, max_size=3),
        start=st.integers(0, 1_999_999),
        order=st.permutations([0, 1, 2]),
        chunk=st.integers(1, 3),
    )
    def test_bill_the_whole_way_of_the_register_in_any_order(
        self,
        used: list[int],
        start: int,
        order: list[int],
        chunk: int,
        database_url: str,
    ) -> None:
        """Whatever is run first, the volumes add up to the register's way, over the dial's zero."""
        asyncio.run(self.bill_all(database_url, used, start, order, chunk))

    async def bill_all(
        self, url: str, used: list[int], start: int, order: list[int], chunk: int
    ) -> None:
        """Run three months in some order on an emptied database."""
        dial = 2_000_000
        owner = await asyncpg.connect(url)
        await owner.execute("TRUNCATE account, meter, tariff, reading CASCADE")
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01")
        await town.account("AC-1")
        await town.meter("AQ-1", dial_dm3=dial)
        await town.install("AQ-1", "AC-1", JAN_1, start)
        total = start
        for month, volume in zip((2, 3, 4), used, strict=True):
            total += volume
            at = f"2026-{month:02d}-01T00:00:00+05:00"
            await town.read("AQ-1", at, total % dial, total // dial)

        async with asyncpg.create_pool(url, min_size=1, max_size=2) as pool:
            for index in order:
                await run(
                    pool,
                    Period.month(2026, index + 1),
                    at=datetime(2026, 5, 1, tzinfo=UTC),
                    chunk=chunk,
                )
            bills = await BillingStore(pool).bills("AC-1", limit=10, before=None)
        await owner.close()

        assert [bill.volume_dm3 for bill in reversed(bills)] == used
        for bill in bills:
            assert bill.net_minor == sum(line.net_minor for line in bill.lines)
            assert bill.total_minor == bill.net_minor + bill.vat_minor


class TestReadingBills:
    """Bills as they are read back ..."""

    async def test_come_newest_first_in_pages(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A resident pages back through the months without missing one."""
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01")
        await town.home("1", {JAN_1: 0, FEB_1: 10, MAR_1: 30})
        for period in (JANUARY, FEBRUARY):
            await run(pool, period)
        store = BillingStore(pool)

        first = await store.bills("AC-1", limit=1, before=None)
        second = await store.bills("AC-1", limit=1, before=first[0].bill_no)
        third = await store.bills("AC-1", limit=1, before=second[0].bill_no)

        assert [bill.bill_no for bill in (*first, *second, *third)] == ["2026-02", "2026-01"]
        assert first[0].lines[0].volume_dm3 == 20
        assert first[0].due_on == date(2026, 3, 25)

    async def test_are_not_found_under_another_account(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A bill's number is every resident's number; only the account makes it theirs."""
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01")
        await town.home("1", {JAN_1: 0, FEB_1: 10})
        await town.account("AC-2")
        await run(pool)

        assert await BillingStore(pool).bill("AC-2", "2026-01") is None
