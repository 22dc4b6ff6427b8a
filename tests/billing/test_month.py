"""The states of a month, and the person who approves it."""

import asyncio
from datetime import UTC, datetime
from typing import Final

import asyncpg
import pytest

from billing.io.months import DraftDiffersError, MonthApprovedError, Months, NotApprovedError
from billing.io.store import BillingStore
from billing.month import MonthState, MonthStep, after_issue, may_draft, state_of
from billing.period import Period
from billing.policy import BillPolicy
from billing.reconcile import reconcile
from tests.billing.town import Town

AT: Final = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
JANUARY: Final = Period.month(2026, 1)
JAN_1: Final = "2026-01-01T00:00:00+05:00"
FEB_1: Final = "2026-02-01T00:00:00+05:00"


async def run(pool: asyncpg.Pool, *, approval: bool) -> int:
    store = BillingStore(pool, BillPolicy(approval=approval))
    return (await reconcile(store=store, period=JANUARY, at=AT, zone="Asia/Almaty")).billed


async def states(pool: asyncpg.Pool) -> list[str]:
    return [step.state.value for step in await Months(pool=pool).steps(JANUARY)]


async def approve(pool: asyncpg.Pool, *, seen_minor: int = 116_000) -> None:
    await Months(pool=pool).approve(
        JANUARY,
        bills=1,
        total_minor=116_000,
        seen_minor=seen_minor,
        said_by="Olga",
        because="like last year",
        at=AT,
    )


@pytest.fixture
async def town(owner: asyncpg.Connection) -> Town:
    """Give a home with a bill of 1 160 tenge, and one whose register is late."""
    town = Town(owner)
    await town.tariff(1_000_000, "2024-01-01")
    await town.home("1", {JAN_1: 0, FEB_1: 100_000})
    await town.home("2", {JAN_1: 0})
    return town


class TestApproval:
    """A month in a town that approves ..."""

    @pytest.mark.usefixtures("town")
    async def test_is_not_issued_before_a_person_says_so(self, pool: asyncpg.Pool) -> None:
        """It is measured, and nobody is asked for anything."""
        with pytest.raises(NotApprovedError):
            await run(pool, approval=True)

        assert await pool.fetchval("SELECT count(*) FROM usage") == 1
        assert await pool.fetchval("SELECT count(*) FROM bill") == 0
        assert await pool.fetchval("SELECT count(*) FROM transfer") == 0

    async def test_is_issued_and_reopened_afterwards(self, pool: asyncpg.Pool, town: Town) -> None:
        """One word is enough: stragglers follow without another; a run without bills is no step."""
        await Months(pool=pool).draft(JANUARY, bills=1, total_minor=116_000, at=AT)
        await Months(pool=pool).draft(JANUARY, bills=1, total_minor=116_000, at=AT)
        await approve(pool)

        assert await run(pool, approval=True) == 1
        assert await run(pool, approval=True) == 0
        await town.read("AQ-2", FEB_1, 50_000)
        assert await run(pool, approval=True) == 1

        assert await states(pool) == ["drafted", "approved", "issued", "reopened"]

    async def test_is_approved_for_the_total_that_was_seen(self, pool: asyncpg.Pool) -> None:
        """Readings may have come since a person looked."""
        with pytest.raises(DraftDiffersError, match="116000"):
            await approve(pool, seen_minor=115_999)

        assert await states(pool) == []

    async def test_is_approved_once_by_two_at_once(self, pool: asyncpg.Pool) -> None:
        """Two people press the same button: one of them is told that it was done."""
        done = await asyncio.gather(approve(pool), approve(pool), return_exceptions=True)

        assert [type(one) for one in done if one is not None] == [MonthApprovedError]
        assert await states(pool) == ["approved"]

    @pytest.mark.usefixtures("town")
    async def test_needs_no_word_where_a_town_wants_none(self, pool: asyncpg.Pool) -> None:
        """The default: the run issues, and says so."""
        assert await run(pool, approval=False) == 1

        assert await states(pool) == ["issued"]

    async def test_cannot_be_approved_by_nobody(self, owner: asyncpg.Connection) -> None:
        """The database wants a name and a reason for an approval, and for nothing else."""
        insert = "INSERT INTO month_step VALUES ('2026-01-01', 1, $1, 0, 0, $2, $3, $4)"
        for row in [("approved", None, None), ("approved", "Olga", None), ("issued", "O", "b")]:
            with pytest.raises(asyncpg.CheckViolationError, match="approved_by_a_person"):
                await owner.execute(insert, *row, AT)


def steps(*names: MonthState, total_minor: int = 5) -> list[MonthStep]:
    return [
        MonthStep(
            step_no=number,
            state=name,
            bills=1,
            total_minor=total_minor,
            said_by=None,
            because=None,
            at=AT,
        )
        for number, name in enumerate(names, start=1)
    ]


class TestStates:
    """Where a month stands ..."""

    def test_is_its_last_step(self) -> None:
        """Without one it is still collected."""
        assert state_of([]) is MonthState.COLLECTING
        assert state_of(steps(MonthState.DRAFTED, MonthState.APPROVED)) is MonthState.APPROVED

    def test_is_reopened_by_bills_after_the_first(self) -> None:
        """Whoever reads the steps sees when stragglers came."""
        assert after_issue([]) is MonthState.ISSUED
        assert after_issue(steps(MonthState.APPROVED)) is MonthState.ISSUED
        assert after_issue(steps(MonthState.ISSUED)) is MonthState.REOPENED
        assert after_issue(steps(MonthState.ISSUED, MonthState.REOPENED)) is MonthState.REOPENED

    def test_is_drafted_anew_only_with_new_figures(self) -> None:
        """The run looks every ten minutes; a step each time would bury the others."""
        drafted = steps(MonthState.DRAFTED)

        assert may_draft([], bills=1, total_minor=5)
        assert not may_draft(drafted, bills=1, total_minor=5)
        assert may_draft(drafted, bills=1, total_minor=6)
        assert not may_draft(steps(MonthState.APPROVED), bills=1, total_minor=6)
