"""A month before its bills: rehearsed, and compared with another system's."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import asyncpg
import pytest

from billing.bill import HoldReason
from billing.compare import (
    BadRow,
    CompareError,
    Comparison,
    Fault,
    Figures,
    Kind,
    Tolerance,
    compare,
    read_theirs,
)
from billing.io.drafts import Drafts
from billing.io.store import BillingStore
from billing.period import Period
from billing.policy import BillPolicy
from billing.preview import Draft, Preview, preview
from billing.reconcile import ParallelRunError, PeriodNotOverError, Run, reconcile
from tests.billing.town import Town

ZONE: Final = "Asia/Almaty"
AT: Final = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
JANUARY: Final = Period.month(2026, 1)
FEBRUARY: Final = Period.month(2026, 2)
JAN_1: Final = "2026-01-01T00:00:00+05:00"
FEB_1: Final = "2026-02-01T00:00:00+05:00"
MAR_1: Final = "2026-03-01T00:00:00+05:00"
TABLES: Final = ("usage", "usage_gap", "bill", "bill_line", "bill_charge", "bill_hold", "transfer")


async def counts(owner: asyncpg.Connection) -> dict[str, int]:
    return {table: await owner.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES}


async def look(pool: asyncpg.Pool, period: Period = FEBRUARY, *, chunk: int = 1000) -> Preview:
    drafts = Drafts(pool=pool, store=BillingStore(pool))
    return await preview(store=drafts, period=period, at=AT, zone=ZONE, chunk=chunk)


async def bill(pool: asyncpg.Pool, period: Period) -> None:
    await reconcile(store=BillingStore(pool), period=period, at=AT, zone=ZONE)


@pytest.fixture
async def town(owner: asyncpg.Connection) -> Town:
    """Give three homes at 10 tenge a m3: 100 m3 and 150 m3 more, 200 and 100, and one unread."""
    town = Town(owner)
    await town.tariff(1_000_000, "2024-01-01")
    await town.home("1", {JAN_1: 0, FEB_1: 100_000, MAR_1: 250_000})
    await town.home("2", {JAN_1: 0, FEB_1: 200_000, MAR_1: 300_000})
    await town.home("3", {JAN_1: 0, FEB_1: 50_000})
    return town


class TestPreview:
    """A month that is only looked at ..."""

    async def test_says_what_the_run_would_do_and_writes_nothing(
        self, pool: asyncpg.Pool, town: Town
    ) -> None:
        """250 m3 for two homes: 2 500 tenge and 16 %; the third waits for its register."""
        await bill(pool, JANUARY)
        before = await counts(town.owner)

        made = await look(pool, chunk=2)

        assert await counts(town.owner) == before
        assert (made.accounts, made.issued, made.drafted) == (3, 0, 2)
        assert made.held == {HoldReason.NO_CLOSING_REGISTER: 1}
        sums = made.sums["KZT"]
        assert (sums.bills, sums.volume_dm3) == (2, 250_000)
        assert (sums.net_minor, sums.vat_minor, sums.total_minor) == (250_000, 40_000, 290_000)
        assert (made.last["KZT"].bills, made.last["KZT"].total_minor) == (3, 406_000)
        assert [(one.account_id, one.change_minor) for one in made.changes] == [
            ("AC-2", -116_000),
            ("AC-1", 58_000),
        ]

    @pytest.mark.usefixtures("town")
    async def test_is_what_the_run_then_does(self, pool: asyncpg.Pool) -> None:
        """The figures a person approved are those of the bills."""
        before = await look(pool, JANUARY)
        done = await reconcile(store=BillingStore(pool), period=JANUARY, at=AT, zone=ZONE)
        after = await look(pool, JANUARY)

        assert before.sums == after.sums
        assert before.sums["KZT"].total_minor == done.total_minor
        assert (before.issued, before.drafted) == (0, 3)
        assert (after.issued, after.drafted) == (3, 0)

    async def test_sees_unusual_bills(self, pool: asyncpg.Pool, town: Town) -> None:
        """What the run would hold for a person is counted as held."""
        await town.home("4", {JAN_1: 0, FEB_1: 100_000, MAR_1: 2_100_000})
        await bill(pool, JANUARY)

        assert (await look(pool)).held[HoldReason.ANOMALOUS] == 1
        assert await town.owner.fetchval("SELECT count(*) FROM bill_hold") == 0

    @pytest.mark.usefixtures("town")
    async def test_is_of_a_month_that_is_over(self, pool: asyncpg.Pool) -> None:
        """A month that runs has no last register."""
        with pytest.raises(PeriodNotOverError):
            await look(pool, Period.month(2026, 3))

    async def test_races_with_the_run(self, pool: asyncpg.Pool, town: Town) -> None:
        """Whoever looks while bills are issued neither stops nor doubles one."""
        await asyncio.gather(
            look(pool, JANUARY, chunk=1), bill(pool, JANUARY), look(pool, JANUARY, chunk=1)
        )

        assert await town.owner.fetchval("SELECT count(*) FROM bill") == 3
        assert await town.owner.fetchval("SELECT count(*) FROM transfer") == 6


class TestParallelRun:
    """A town that rehearses beside another system ..."""

    async def test_issues_and_measures_nothing(self, pool: asyncpg.Pool, town: Town) -> None:
        """Neither the run nor a final bill by hand; only looking goes on."""
        store = BillingStore(pool, BillPolicy(issues=False))
        run = Run(period=JANUARY, zone=ZONE, at=AT, chunk=10)

        with pytest.raises(ParallelRunError):
            await reconcile(store=store, period=JANUARY, at=AT, zone=ZONE)
        with pytest.raises(ParallelRunError):
            await store.issue_to(run, "AC-1")
        made = await preview(store=Drafts(pool=pool, store=store), period=JANUARY, at=AT, zone=ZONE)

        assert made.drafted == 3
        assert set((await counts(town.owner)).values()) == {0}


@dataclass(slots=True)
class Ours:
    """Bills as they would be, without a database."""

    found: list[Draft]

    async def drafts(self, run: Run, *, after: str) -> tuple[Draft, ...]:
        """Give one account at a time."""
        assert run.period == JANUARY
        return tuple(one for one in self.found if one.account_id > after)[:1]


def asked(account_id: str, total_minor: int | None) -> Draft:
    """Give a bill without tax, or a held one."""
    known = total_minor is not None
    return Draft(
        account_id=account_id,
        currency="KZT",
        issued=False,
        volume_dm3=1000 if known else None,
        net_minor=total_minor,
        vat_minor=0 if known else None,
        total_minor=total_minor,
        reason=None if known else HoldReason.NO_PRICE,
        last_volume_dm3=None,
        last_total_minor=None,
    )


async def against(found: list[Draft], *rows: str, tolerance: Tolerance | None = None) -> Comparison:
    text = "\n".join(["account_id,volume_dm3,net_minor,vat_minor,total_minor", *rows, ""])
    return await compare(
        store=Ours(found),
        lines=text.encode().splitlines(keepends=True),
        period=JANUARY,
        at=AT,
        zone=ZONE,
        tolerance=tolerance or Tolerance(),
    )


class TestCompare:
    """Two systems' bills of a month ..."""

    async def test_are_the_same_when_all_are(self) -> None:
        """Whatever the order of the other's rows; a held bill that nobody asks for is none."""
        made = await against(
            [asked("A-1", 700), asked("A-2", 500), asked("A-3", None)],
            "A-2,1000,500,0,500",
            "A-1,1000,700,0,700",
        )

        assert (made.same, made.equal, made.ours_minor, made.theirs_minor) == (True, 2, 1200, 1200)

    async def test_differ_by_account_and_kind(self) -> None:
        """One tiyn is a difference; what one system lacks is another."""
        made = await against(
            [asked("A-1", 700), asked("A-2", None), asked("A-3", 5)],
            "A-1,1000,700,1,701",
            "A-2,1000,9,0,9",
            "A-4,0,0,0,0",
        )

        assert not made.same
        assert [(one.account_id, one.kind, one.reason) for one in made.differences] == [
            ("A-1", Kind.DIFFERS, None),
            ("A-2", Kind.HELD_BY_US, "no_price"),
            ("A-3", Kind.ONLY_OURS, None),
            ("A-4", Kind.ONLY_THEIRS, None),
        ]
        assert made.differences[0].theirs == Figures(1000, 700, 1, 701)

    @pytest.mark.parametrize(("minor", "same"), [(0, False), (1, True)])
    async def test_may_differ_by_a_tolerance(self, minor: int, *, same: bool) -> None:
        """Only as far as somebody said."""
        made = await against(
            [asked("A-1", 700)], "A-1,1000,701,0,701", tolerance=Tolerance(minor=minor)
        )

        assert made.same is same

    async def test_name_rows_that_say_nothing(self) -> None:
        """Each with its line; the others are compared all the same."""
        made = await against(
            [asked("A-1", 700)],
            "A-1,1000,700,0,700",
            "A-1,1000,700,0,700",
            "A-2,1",
            "A-2,1,1,1.5,1",
            "A-2,1,1,٣,1",
            "A-2," + "1" * 2000,
        )

        assert made.bad_rows == [
            BadRow(line_no=3, fault=Fault.TWICE),
            BadRow(line_no=4, fault=Fault.WRONG_COLUMNS),
            BadRow(line_no=5, fault=Fault.NOT_A_NUMBER),
            BadRow(line_no=6, fault=Fault.NOT_A_NUMBER),
            BadRow(line_no=7, fault=Fault.TOO_LONG),
        ]
        assert (made.equal, made.same) == (1, False)

    def test_name_bytes_that_are_no_text(self) -> None:
        """A file in another charset is not read as if it were ours."""
        made = Comparison(period=JANUARY)
        lines = [b"account_id,volume_dm3,net_minor,vat_minor,total_minor\n", b"\xff,1,1,1,1\n"]

        assert read_theirs(lines, made) == {}
        assert made.bad_rows == [BadRow(line_no=2, fault=Fault.NOT_TEXT)]

    @pytest.mark.parametrize("first", [b"", b"account,volume,total\n", b"\xff\n"])
    def test_need_the_header(self, first: bytes) -> None:
        """Columns in another order would be compared with the wrong ones; no file is no answer."""
        with pytest.raises(CompareError):
            read_theirs([first] if first else [], Comparison(period=JANUARY))

    def test_have_no_tolerance_below_nothing(self) -> None:
        """A typing error would make everything differ."""
        with pytest.raises(ValueError, match="below nothing"):
            Tolerance(minor=-1)
