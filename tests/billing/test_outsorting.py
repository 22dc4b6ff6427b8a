"""Bills that wait for a person: unusual ones and questioned ones."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Final

import asyncpg
import pytest

from billing.bill import Hold, HoldReason
from billing.io.holds import (
    HoldDiffersError,
    HoldNotReleasableError,
    Holds,
    HoldUnknownError,
    MonthBilledError,
    QuestionAnsweredError,
    QuestionUnknownError,
)
from billing.io.store import BillingStore
from billing.outsorting import Outsorting, OutsortingWord, in_force
from billing.period import Period
from billing.reconcile import ReconcileCounts, reconcile
from tests.billing.town import Town

ZONE: Final = "Asia/Almaty"
AT: Final = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
FEBRUARY: Final = Period.month(2026, 2)
# 1 m3 costs 10 tenge; VAT is 12 % before 2026 and 16 % from then on.
PRICE: Final = 1_000_000


async def run(pool: asyncpg.Pool, period: Period, *, chunk: int = 5000) -> ReconcileCounts:
    return await reconcile(store=BillingStore(pool), period=period, at=AT, zone=ZONE, chunk=chunk)


async def hold(pool: asyncpg.Pool, period: Period = FEBRUARY) -> Hold:
    (found,) = await BillingStore(pool).holds(period.start, limit=10, after="")
    return found


async def home(town: Town, name: str, volumes_m3: list[int], *, until: date) -> None:
    """Settle a home that used so much in each of the months before a day, and read it monthly."""
    months = [Period.month(until.year, until.month)]
    while len(months) <= len(volumes_m3):
        months.insert(0, months[0].before())
    total = 0
    registers = {f"{months[0].start}T00:00:00+05:00": 0}
    for month, volume in zip(months[1:], volumes_m3, strict=True):
        total += volume * 1000
        registers[f"{month.start}T00:00:00+05:00"] = total
    await town.home(name, registers)


async def billed_before(pool: asyncpg.Pool, months: int) -> None:
    """Bill the months before February, oldest first."""
    periods = [FEBRUARY]
    for _ in range(months):
        periods.insert(0, periods[0].before())
    for period in periods[:-1]:
        await run(pool, period)


@pytest.fixture
async def town(owner: asyncpg.Connection) -> Town:
    """Give a town with one price."""
    town = Town(owner)
    await town.tariff(PRICE, "2024-01-01")
    return town


class TestUnusualBills:
    """A bill far above the account's habit ..."""

    async def test_waits_for_a_person(self, pool: asyncpg.Pool, town: Town) -> None:
        """100 m3 a month, then 1 500: 17 400 tenge instead of 1 160; the neighbour is billed.

        The mean of the three months is (1 120 + 1 120 + 1 160) / 3 = 1 133.33 tenge.
        """
        await home(town, "1", [100, 100, 100, 1500], until=date(2026, 3, 1))
        await home(town, "2", [100, 100, 100, 110], until=date(2026, 3, 1))
        await billed_before(pool, 3)

        counts = await run(pool, FEBRUARY)

        assert (counts.billed, counts.held, counts.lines) == (1, 1, 1)
        found = await hold(pool)
        assert (found.account_id, found.reason, found.meter_id) == (
            "AC-1",
            HoldReason.ANOMALOUS,
            "AQ-1",
        )
        assert (found.detail["total_minor"], found.detail["habit_minor"]) == (1_740_000, 113_333)
        books = await town.books()
        assert [row for row in books["transfer"] if row[0] == "AC-1" and row[6] == "2026-02"] == []
        assert len([row for row in books["bill_line"] if row[1] == "2026-02"]) == 1

    @pytest.mark.parametrize(
        ("volume_m3", "waits"),
        # Habit 1 133.33, so above 11 133.33 tenge: 959 m3 are 11 124.40, 960 are 11 136.00.
        [(959, False), (960, True)],
    )
    async def test_is_so_much_above(
        self, pool: asyncpg.Pool, town: Town, volume_m3: int, *, waits: bool
    ) -> None:
        """Ten thousand tenge above the habit pass, a litre's worth more does not."""
        await home(town, "1", [100, 100, 100, volume_m3], until=date(2026, 3, 1))
        await billed_before(pool, 3)

        assert (await run(pool, FEBRUARY)).held == int(waits)

    @pytest.mark.parametrize(
        ("volume_m3", "waits"),
        # Habit of 1 000 m3 in three months is 11 333.33 tenge; three times that are 34 000.
        [(2931, False), (2932, True)],
    )
    async def test_is_so_many_times_the_habit(
        self, pool: asyncpg.Pool, town: Town, volume_m3: int, *, waits: bool
    ) -> None:
        """2 931 m3 are 33 999.60 tenge, 2 932 are 34 011.20."""
        await home(town, "1", [1000, 1000, 1000, volume_m3], until=date(2026, 3, 1))
        await billed_before(pool, 3)

        assert (await run(pool, FEBRUARY)).held == int(waits)

    async def test_is_no_question_when_last_february_was_alike(
        self, pool: asyncpg.Pool, town: Town
    ) -> None:
        """A house that heats from February on does so every year."""
        volumes = [1400, *[50] * 11, 1500]
        await home(town, "1", volumes, until=date(2026, 3, 1))
        await billed_before(pool, 12)

        assert (await run(pool, FEBRUARY)).held == 0

    async def test_has_no_habit_to_differ_from_at_first(
        self, pool: asyncpg.Pool, town: Town
    ) -> None:
        """A first bill passes, unless the town says above what it does not."""
        await home(town, "1", [3000], until=date(2026, 3, 1))
        await home(town, "2", [2000], until=date(2026, 3, 1))
        await Holds(pool=pool).say_outsorting(
            Outsorting(first_minor=3_000_000), valid_from=date(2026, 2, 1), approved_by="o", at=AT
        )

        counts = await run(pool, FEBRUARY)

        assert (counts.billed, counts.held) == (1, 1)
        assert (await hold(pool)).detail["habit_minor"] is None

    async def test_goes_out_when_a_person_says_so(self, pool: asyncpg.Pool, town: Town) -> None:
        """The word names the total that was seen; saying it again changes nothing."""
        await home(town, "1", [100, 1500], until=date(2026, 3, 1))
        await billed_before(pool, 1)
        await run(pool, FEBRUARY)
        holds, word = Holds(pool=pool), {"because": "a sauna", "released_by": "Olga", "at": AT}

        with pytest.raises(HoldDiffersError):
            await holds.release("AC-1", FEBRUARY, total_minor=1_739_999, **word)
        _, fresh = await holds.release("AC-1", FEBRUARY, total_minor=1_740_000, **word)
        _, again = await holds.release("AC-1", FEBRUARY, total_minor=1_740_000, **word)
        counts = await run(pool, FEBRUARY)

        assert (fresh, again) == (True, False)
        assert (counts.billed, counts.total_minor, counts.held) == (1, 1_740_000, 0)
        assert (await town.books())["bill_hold"] == []
        with pytest.raises(MonthBilledError):
            await holds.release(
                "AC-1", FEBRUARY, total_minor=5, because="b", released_by="O", at=AT
            )

    async def test_waits_again_when_it_grows(self, pool: asyncpg.Pool, town: Town) -> None:
        """What was released was a total; a bill of more is another question."""
        await home(town, "1", [100, 1500], until=date(2026, 3, 1))
        await billed_before(pool, 1)
        await run(pool, FEBRUARY)
        await Holds(pool=pool).release(
            "AC-1", FEBRUARY, total_minor=1_740_000, because="ok", released_by="Olga", at=AT
        )
        await town.owner.execute(
            "UPDATE usage SET volume_dm3 = 1500001 WHERE from_at > '2026-01-15'"
        )

        await run(pool, FEBRUARY)

        assert (await hold(pool)).detail["total_minor"] == 1_740_001

    async def test_is_not_released_while_a_register_lacks(
        self, pool: asyncpg.Pool, town: Town
    ) -> None:
        """A person cannot make gas known by a word about money."""
        await home(town, "1", [100], until=date(2026, 2, 1))
        await home(town, "2", [100, 100], until=date(2026, 3, 1))
        await run(pool, FEBRUARY)
        word = {"total_minor": 1, "because": "b", "released_by": "o", "at": AT}

        with pytest.raises(HoldNotReleasableError):
            await Holds(pool=pool).release("AC-1", FEBRUARY, **word)
        with pytest.raises(HoldUnknownError):
            await Holds(pool=pool).release("AC-1", Period.month(2026, 1), **word)

    async def test_races_with_its_release(self, pool: asyncpg.Pool, town: Town) -> None:
        """Runs and releases at once: each account gets one bill, and none is lost."""
        for number in range(8):
            await home(town, f"{number}", [100, 1500], until=date(2026, 3, 1))
        await billed_before(pool, 1)
        await run(pool, FEBRUARY)
        holds = Holds(pool=pool)

        await asyncio.gather(
            *(
                holds.release(
                    f"AC-{number}",
                    FEBRUARY,
                    total_minor=1_740_000,
                    because="checked",
                    released_by="Olga",
                    at=AT,
                )
                for number in range(8)
            ),
            *(run(pool, FEBRUARY, chunk=size) for size in (1, 3)),
        )
        await run(pool, FEBRUARY)

        books = await town.books()
        assert len([row for row in books["bill"] if row[1] == "2026-02"]) == 8
        assert len([row for row in books["transfer"] if row[6] == "2026-02"]) == 16
        assert books["bill_hold"] == []


class TestQuestions:
    """A month that somebody questions ..."""

    async def test_waits_for_the_answer(self, pool: asyncpg.Pool, town: Town) -> None:
        """Others are billed; after the answer it is billed too, and cannot be questioned so."""
        await home(town, "1", [100], until=date(2026, 3, 1))
        await home(town, "2", [100], until=date(2026, 3, 1))
        holds = Holds(pool=pool)
        asked = {"because": "I was away", "asked_by": "the resident", "at": AT}
        opened, fresh = await holds.question("AC-1", FEBRUARY, **asked)
        assert (opened.question_no, fresh) == (1, True)
        assert (await holds.question("AC-1", FEBRUARY, **asked))[1] is False

        counts = await run(pool, FEBRUARY)
        assert (counts.billed, counts.held) == (1, 1)
        assert (await hold(pool)).reason is HoldReason.DISPUTED

        answer = {"because": "the boiler ran", "answered_by": "Olga", "at": AT}
        with pytest.raises(QuestionUnknownError):
            await holds.close("AC-1", FEBRUARY, 2, **answer)
        assert (await holds.close("AC-1", FEBRUARY, 1, **answer))[1] is True
        assert (await holds.close("AC-1", FEBRUARY, 1, **answer))[1] is False
        with pytest.raises(QuestionAnsweredError):
            await holds.close("AC-1", FEBRUARY, 1, **{**answer, "because": "other"})
        assert (await run(pool, FEBRUARY)).billed == 1
        with pytest.raises(MonthBilledError):
            await holds.question("AC-1", FEBRUARY, **asked)

    async def test_says_what_else_lacks_first(self, pool: asyncpg.Pool, town: Town) -> None:
        """One bill has one hold; without a register there is nothing to question yet."""
        await home(town, "1", [100], until=date(2026, 2, 1))
        await Holds(pool=pool).question(
            "AC-1", FEBRUARY, because="why", asked_by="the resident", at=AT
        )

        await run(pool, FEBRUARY)

        assert (await hold(pool)).reason is HoldReason.NO_CLOSING_REGISTER


class TestFigures:
    """The figures of outsorting ..."""

    def test_are_those_of_the_newest_day_and_word(self) -> None:
        """A later word on a day wins, a later day wins from then on."""
        words = [
            OutsortingWord(
                valid_from=day,
                revision=revision,
                figures=Outsorting(high_percent=percent),
                approved_by="a test",
                entered_at=AT + timedelta(days=revision),
            )
            for day, revision, percent in [
                (date(2026, 1, 1), 1, 200),
                (date(2026, 1, 1), 2, 250),
                (date(2026, 3, 1), 1, 400),
            ]
        ]

        assert in_force(words, Period.month(2025, 12)).high_percent == 300
        assert in_force(words, FEBRUARY).high_percent == 250
        assert in_force(words, Period.month(2026, 3)).high_percent == 400

    @pytest.mark.parametrize(
        "wrong",
        [{"high_percent": 99}, {"floor_minor": -1}, {"months_back": 0}, {"first_minor": -1}],
    )
    def test_hold_neither_all_nor_nothing(self, wrong: dict[str, int]) -> None:
        """A typing error must not stop a town's bills, or let every one pass."""
        with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[0] + "|amounts"):
            Outsorting(**wrong)

    def test_look_at_the_same_month_last_year_and_the_last_ones(self) -> None:
        """Three months before February 2026 begin in November."""
        assert Outsorting().for_period(FEBRUARY) == {
            "high_percent": 300,
            "floor_minor": 1_000_000,
            "first_minor": None,
            "year_ago": "2025-02-01",
            "recent_from": "2025-11-01",
        }
