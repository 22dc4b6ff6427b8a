"""What a bill says besides its record, read from a real database."""

from datetime import UTC, date, datetime
from typing import Final

import asyncpg

from billing.io.papers import Papers
from billing.io.records import Records
from billing.io.store import BillingStore
from billing.paper.comparison import Part
from billing.paper.surroundings import Addressee, Surroundings
from billing.period import Period
from billing.reconcile import reconcile
from tests.billing.town import Town

ZONE: Final = "Asia/Almaty"
HUNG: Final = "2024-12-20T12:00:00+05:00"
# The register at the beginning of some months.
REGISTERS: Final = {
    "2025-01-01T00:00:00+05:00": 1_000,
    "2025-02-01T00:00:00+05:00": 61_000,
    "2025-12-01T00:00:00+05:00": 200_000,
    "2026-01-01T00:00:00+05:00": 250_000,
    "2026-02-01T00:00:00+05:00": 330_000,
}


async def bill(pool: asyncpg.Pool, label: str, at: datetime) -> None:
    await reconcile(store=BillingStore(pool), period=Period.parse(label), at=at, zone=ZONE)


async def town_of(pool: asyncpg.Pool, owner: asyncpg.Connection) -> Town:
    """Bill January of last year, December and January: 60, 50 and 80 m3 at 10.00."""
    town = Town(owner)
    await town.tariff(1_000_000, "2024-01-01")
    await town.home("1", {HUNG: 0, **REGISTERS})
    await bill(pool, "2025-01", datetime(2025, 2, 2, tzinfo=UTC))
    await bill(pool, "2025-12", datetime(2026, 1, 2, tzinfo=UTC))
    await bill(pool, "2026-01", datetime(2026, 2, 2, tzinfo=UTC))
    return town


async def paid(owner: asyncpg.Connection, bill_no: str, minor: int, at: datetime) -> None:
    await owner.execute(
        "INSERT INTO transfer VALUES ('AC-1', $1, 'posted', 'collections_in_transit', 'receivable',"
        " $2, 'KZT', $3, $4)",
        f"debit/{bill_no}/{minor}/posted",
        minor,
        bill_no,
        at,
    )


async def around(pool: asyncpg.Pool, bill_no: str, *, addressed: bool = False) -> Surroundings:
    records = [await Records(pool=pool, zone=ZONE).record("AC-1", bill_no)]
    papers = Papers(pool=pool, zone=ZONE, payee=None)
    ((_, found),) = await papers.around(records, addressed=addressed)
    return found


class TestBalance:
    """How an account stood ..."""

    async def test_is_that_of_the_day_of_the_bill(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """672.00 and 560.00 were owed on 2 January; 700.00 came in time, 60.00 too late."""
        await town_of(pool, owner)
        await paid(owner, "2025-12", 50_000, datetime(2026, 1, 20, tzinfo=UTC))
        await paid(owner, "2025-01", 20_000, datetime(2026, 1, 21, tzinfo=UTC))
        await paid(owner, "2025-12", 6_000, datetime(2026, 2, 5, tzinfo=UTC))

        balance = (await around(pool, "2026-01")).balance

        # 60 m3: 600.00 and 72.00; 50 m3: 500.00 and 60.00.
        assert balance.opening_on == date(2026, 1, 2)
        assert balance.opening_minor == 67_200 + 56_000
        assert balance.paid_minor == 70_000
        assert balance.moved_minor == 0
        assert balance.before_minor == 53_200

    async def test_is_nothing_before_the_first_bill(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Later bills and payments do not reach back."""
        await town_of(pool, owner)
        await paid(owner, "2025-01", 67_200, datetime(2025, 2, 20, tzinfo=UTC))

        balance = (await around(pool, "2025-01")).balance

        assert (balance.opening_on, balance.before_minor) == (None, 0)

    async def test_keeps_bills_of_one_instant_apart(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A run that catches up issues two months at once; the later one owes the earlier."""
        town = Town(owner)
        await town.tariff(1_000_000, "2024-01-01")
        await town.home("1", {HUNG: 0, **REGISTERS})
        at = datetime(2026, 2, 2, tzinfo=UTC)
        await bill(pool, "2025-12", at)
        await bill(pool, "2026-01", at)

        assert (await around(pool, "2025-12")).balance.before_minor == 0
        assert (await around(pool, "2026-01")).balance.before_minor == 56_000

    async def test_counts_what_was_paid_too_much(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """100.00 left in credit are not owed; a voucher that paid the bill at once says so."""
        await town_of(pool, owner)
        await paid(owner, "2025-01", 77_200, datetime(2026, 1, 20, tzinfo=UTC))
        at = datetime(2026, 1, 21, tzinfo=UTC)
        issued_at = datetime(2026, 2, 2, tzinfo=UTC)
        for transfer_id, debit_code, credit_code, minor, bill_no, posted_at in (
            ("credit/2025-01/1", "receivable", "resident_credit", 10_000, "2025-01", at),
            ("credit/2026-01/1", "resident_credit", "receivable", 10_000, "2026-01", issued_at),
            ("voucher/1/2026-01", "voucher", "receivable", 5_000, "2026-01", issued_at),
        ):
            await owner.execute(
                "INSERT INTO transfer VALUES ('AC-1', $1, 'posted', $2, $3, $4, 'KZT', $5, $6)",
                transfer_id,
                debit_code,
                credit_code,
                minor,
                bill_no,
                posted_at,
            )

        balance = (await around(pool, "2026-01")).balance

        # 672.00 and 560.00 less 772.00.
        assert balance.before_minor == 46_000
        assert (balance.paid_minor, balance.settled_minor) == (77_200, 5_000)


class TestYear:
    """The twelve months ..."""

    async def test_end_with_the_bill_and_leave_gaps(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """December and January have bills; months without one say so."""
        await town_of(pool, owner)

        months = (await around(pool, "2026-01")).months

        assert [month.start for month in months][::11] == [date(2025, 2, 1), date(2026, 1, 1)]
        assert [month.volume_dm3 for month in months] == [None] * 10 + [50_000, 80_000]
        # 800.00 and 16 %.
        assert [month.total_minor for month in months[-2:]] == [56_000, 92_800]

    async def test_leave_out_a_bill_that_was_cancelled(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """December was taken back before January was billed: nothing to compare with."""
        await town_of(pool, owner)
        await owner.execute(
            "INSERT INTO bill VALUES ('AC-1', '2025-12-2', '2025-12-01', '2026-01-01', 2, -50000,"
            " -50000, -6000, -56000, 'KZT', '2026-01-10Z', '2026-01-25', 'cancellation', '2025-12')"
        )

        found = await around(pool, "2026-01")

        assert [month.volume_dm3 for month in found.months[-2:]] == [None, 80_000]
        assert [beside.comparison is None for beside in found.besides] == [True, False]


class TestBeside:
    """The bills beside ..."""

    async def test_are_last_month_and_last_year(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """928.00 are 368.00 more than in December and 256.00 more than a year ago."""
        await town_of(pool, owner)

        besides = (await around(pool, "2026-01")).besides

        assert [beside.month for beside in besides] == [date(2025, 12, 1), date(2025, 1, 1)]
        compared = [beside.comparison for beside in besides if beside.comparison]
        assert [one.difference_minor for one in compared] == [36_800, 25_600]
        # 30 m3 at 10.00 and 12 %; 4 % of 800.00.
        assert dict(compared[0].parts) == {
            Part.DAYS: 0,
            Part.VOLUME: 33_600,
            Part.PRICE: 0,
            Part.VAT: 3_200,
            Part.OTHER: 0,
        }

    async def test_know_the_cold_of_every_day_or_none(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """One day unknown, or known only after the bill, and nothing is said about weather."""
        await town_of(pool, owner)
        await owner.execute(
            "INSERT INTO degree_day"
            " SELECT day, 1, CASE WHEN day < '2026-01-01' THEN 250 ELSE 300 END, 'a test',"
            " '2026-02-01Z'"
            " FROM generate_series(date '2025-12-01', date '2026-01-30', '1 day') AS day"
        )
        without = (await around(pool, "2026-01")).besides[0].comparison
        await owner.execute(
            "INSERT INTO degree_day VALUES ('2026-01-31', 1, 300, 'a test', '2026-02-01Z')"
        )
        known = (await around(pool, "2026-01")).besides[0].comparison
        assert without is not None
        assert known is not None

        assert Part.WEATHER not in dict(without.parts)
        assert (known.before.degree_days_tenths, known.now.degree_days_tenths) == (7_750, 9_300)
        # A fifth colder: 10 of the 30 m3 at 10.00 and 12 %.
        assert dict(known.parts)[Part.WEATHER] == 11_200
        assert dict(known.parts)[Part.VOLUME] == 22_400


class TestAddressee:
    """Who lives there ..."""

    async def test_is_read_for_the_residents_copy_only(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Whoever does not ask for it does not get it, and no copy prints it by accident."""
        await town_of(pool, owner)
        await owner.execute("INSERT INTO person VALUES ('AC-1', 'Айгүл', 'Абай 1')")

        assert (await around(pool, "2026-01")).addressee is None
        named = await around(pool, "2026-01", addressed=True)
        assert named.addressee == Addressee(full_name="Айгүл", address="Абай 1")
        assert "Айгүл" not in repr(named)
