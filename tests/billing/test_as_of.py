"""What a bill would have been with what was known by an instant, over real PostgreSQL."""

import random
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from billing.as_of import AsOf, Said, Unsaid, Why
from billing.bill import Quality
from billing.io.accounts import AccountUnknownError
from billing.io.past import InstantAheadError, Pasts
from billing.io.store import BillingStore
from billing.period import Period
from billing.reconcile import PeriodNotOverError
from tests.billing import test_estimates as estimates
from tests.billing import test_heat as heat
from tests.billing.correct_town import ADJUST, AT, LATER, bill, look, say, winter
from tests.billing.test_bands import odd_town, run, tariff
from tests.billing.town import Town

ZONE = "Asia/Almaty"
JANUARY = Period.month(2026, 1)
FEBRUARY = Period.month(2026, 2)
JAN_1 = "2026-01-01T00:00:00+05:00"
JAN_31 = "2026-01-31T06:00:00+05:00"
JAN_31_LATE = "2026-01-31T23:00:00+05:00"
FEB_1 = "2026-02-01T00:00:00+05:00"
TICK = timedelta(microseconds=1)
FEB_5 = datetime(2026, 2, 5, 12, tzinfo=UTC)
FEB_10 = datetime(2026, 2, 10, 12, tzinfo=UTC)
NOW = datetime(2026, 5, 1, tzinfo=UTC)


async def asked(
    pool: asyncpg.Pool, at: datetime, period: Period = JANUARY, account: str = "AC-1"
) -> AsOf:
    return await Pasts(pool=pool, zone=ZONE).as_of(account, period, at=at, now=NOW)


async def sums(pool: asyncpg.Pool, at: datetime, period: Period = JANUARY) -> tuple[int, int]:
    """Return the gas (dm3) and the net sum (minor units) that would have been billed."""
    then = (await asked(pool, at, period)).then
    assert isinstance(then, Said), then
    return then.sums.volume_dm3, then.sums.net_minor


async def why(pool: asyncpg.Pool, at: datetime) -> Why:
    then = (await asked(pool, at)).then
    assert isinstance(then, Unsaid)
    return then.why


async def home(owner: asyncpg.Connection, registers: dict[str, int]) -> Town:
    """Settle one home that pays 10.00 a m3."""
    town = Town(owner)
    await town.tariff(1_000_000, "2025-01-01")
    await town.home("1", registers)
    return town


async def received(owner: asyncpg.Connection, read_at: str, at: datetime) -> None:
    """Say when a reading of the one meter came."""
    await owner.execute(
        "UPDATE reading SET received_at = $2 WHERE read_at = $1",
        datetime.fromisoformat(read_at),
        at,
    )


async def decided(owner: asyncpg.Connection, read_at: str, register_dm3: int, at: datetime) -> None:
    """Let a person replace the register of a suspect reading."""
    await owner.execute(
        "INSERT INTO reading_decision VALUES ('AQ-1', $1, 'replace', $2, 0, 'a clerk', 'a photo',"
        " $3)",
        datetime.fromisoformat(read_at),
        register_dm3,
        at,
    )


class TestWhatCameLater:
    """What a bill would have been ..."""

    async def test_hears_of_a_reading_when_it_came(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Read on the 31st at six; the reading of eleven at night came on the 5th of February."""
        await home(owner, {JAN_1: 0, JAN_31: 100_000, JAN_31_LATE: 103_000})
        await received(owner, JAN_31_LATE, FEB_5)

        assert await sums(pool, FEB_5 - TICK) == (100_000, 100_000)
        assert await sums(pool, FEB_5) == (103_000, 103_000)

    async def test_lacks_a_register_until_one_came(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Before that nothing is guessed; the opening is there, and today's sum stands beside."""
        await home(owner, {JAN_1: 0, FEB_1: 100_000})
        await received(owner, FEB_1, FEB_5)

        found = await asked(pool, FEB_5 - TICK)

        assert isinstance(found.then, Unsaid)
        assert (found.then.why, found.then.meter_id) == (Why.NO_CLOSING_REGISTER, "AQ-1")
        assert [one.register_dm3 for one in found.then.registers] == [0]
        assert isinstance(found.today, Said)
        assert found.today.sums.total_minor == 116_000
        assert await sums(pool, FEB_5) == (100_000, 100_000)

    async def test_hears_of_a_decision_when_it_was_made(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A suspect register counts from the moment a person has said what it is."""
        town = await home(owner, {JAN_1: 0})
        await town.read("AQ-1", FEB_1, 900_000, turns=None)
        await decided(owner, FEB_1, 90_000, FEB_5)

        assert await why(pool, FEB_5 - TICK) is Why.NO_CLOSING_REGISTER
        assert await sums(pool, FEB_5) == (90_000, 90_000)

    async def test_hears_of_each_correction_when_it_was_made(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The register came as 100 m3, was said to be 95 and then 97."""
        town = await home(owner, {JAN_1: 0, FEB_1: 100_000})
        await town.correct("AQ-1", FEB_1, 95_000, at=FEB_5)
        await town.correct("AQ-1", FEB_1, 97_000, at=FEB_10)

        found = [await sums(pool, at) for at in (FEB_5 - TICK, FEB_5, FEB_10 - TICK, FEB_10)]

        assert [volume for volume, _ in found] == [100_000, 95_000, 95_000, 97_000]

    async def test_hears_of_terms_when_they_were_said(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The social discount of a fifth was said on the 5th of February, for January."""
        town = Town(owner)
        await town.tariff_of(tariff(1_000_000, discount_bp=2_000))
        await town.home("1", {JAN_1: 0, FEB_1: 100_000})
        await town.terms("AC-1", "2026-01-01", social=True, said_at=FEB_5.isoformat())

        before, after = (await asked(pool, FEB_5 - TICK)).then, (await asked(pool, FEB_5)).then

        assert isinstance(before, Said)
        assert isinstance(after, Said)
        assert (before.sums.net_minor, before.charges) == (100_000, ())
        assert (after.sums.net_minor, [one.net_minor for one in after.charges]) == (
            80_000,
            [-20_000],
        )

    async def test_is_cut_by_terms_only_once_they_were_said(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The register of the 16th splits the month into two lines from the 5th on."""
        town = await home(owner, {JAN_1: 0, "2026-01-16T00:00:00+05:00": 70_000, FEB_1: 100_000})
        await town.terms("AC-1", "2026-01-16", persons=3, said_at=FEB_5.isoformat())

        found = [(await asked(pool, at)).then for at in (FEB_5 - TICK, FEB_5)]

        assert [
            [line.volume_dm3 for line in one.lines] for one in found if isinstance(one, Said)
        ] == [
            [100_000],
            [70_000, 30_000],
        ]

    async def test_hears_of_energy_when_it_was_reckoned(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """150 m3 are 1683.095 kWh, known from the run on; at 6.2475 a kWh that is 105.15.

        Half of the gas, as a person said later, has half of the heat: 52.58.
        """
        town = Town(owner)
        await town.tariff_of(heat.PER_KWH)
        await town.home("1", {heat.HUNG: 0, JAN_1: 1_000, FEB_1: 151_000})
        await heat.place(owner)
        await heat.warm(owner)
        await heat.run(pool)

        assert await why(pool, heat.AT - TICK) is Why.NO_ENERGY
        assert await sums(pool, heat.AT) == (150_000, 10_515)

        await town.correct("AQ-1", FEB_1, 76_000, at=heat.AT + TICK)

        assert await sums(pool, heat.AT + TICK) == (75_000, 5_258)

    async def test_hears_of_an_estimate_when_it_was_made(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """On 7 February the run made 62 m3 up; a question still kept the bill from going out."""
        await estimates.billed(pool, owner)
        await owner.execute(
            "INSERT INTO month_question VALUES ('AC-1', '2026-01-01', 1, 'why', 'a test', $1)",
            FEB_5,
        )
        await estimates.run(pool, "2026-01")
        made_at = JANUARY.bounds(ZONE)[1] + timedelta(days=6)

        assert await why(pool, made_at - TICK) is Why.NO_CLOSING_REGISTER
        found = await asked(pool, made_at)
        assert found.stood is None
        assert await sums(pool, made_at) == (62_000, 62_000)
        assert [one.quality.value for one in found.then.registers] == ["read", "estimated"]


class TestBillThatStood:
    """A month that had a bill at the instant ..."""

    async def test_keeps_the_registers_of_its_bill(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A register nearer to midnight that comes later changes no bill, and none that was."""
        town = await home(owner, {JAN_1: 0, JAN_31: 100_000})
        await bill(pool, 1, at=FEB_5)
        await town.read("AQ-1", JAN_31_LATE, 103_000)
        await received(owner, JAN_31_LATE, FEB_10)

        found = await asked(pool, FEB_10)

        assert found.stood is not None
        assert (found.stood.bill_no, found.stood.issued_at) == ("2026-01", FEB_5)
        assert found.stood.total_minor == 116_000
        assert await sums(pool, FEB_10) == (100_000, 100_000)
        assert found.differs_today is False

    async def test_opens_the_next_with_its_register(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """February begins where January's bill ended; before that bill, at the nearest register."""
        mar_1, billed_at = "2026-03-01T00:00:00+05:00", datetime(2026, 3, 10, tzinfo=UTC)
        town = await home(owner, {JAN_1: 0, JAN_31: 100_000, mar_1: 150_000})
        await bill(pool, 1, at=billed_at)
        await town.read("AQ-1", JAN_31_LATE, 103_000)

        assert await sums(pool, billed_at - TICK, FEBRUARY) == (47_000, 47_000)
        assert await sums(pool, billed_at, FEBRUARY) == (50_000, 50_000)

    async def test_opens_with_a_register_of_the_month_before_as_corrected(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Both bills quote what was read on the 31st of January; it was 2 m3 less."""
        billed_at = datetime(2026, 3, 10, tzinfo=UTC)
        town = await home(owner, {JAN_1: 0, JAN_31: 100_000, "2026-03-01T00:00:00+05:00": 150_000})
        await bill(pool, 1, 2, at=billed_at)
        await town.correct("AQ-1", JAN_31, 98_000, at=billed_at + TICK)

        assert await sums(pool, billed_at, FEBRUARY) == (50_000, 50_000)
        assert await sums(pool, billed_at + TICK, FEBRUARY) == (52_000, 52_000)

    async def test_stays_cut_as_it_was(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """Terms said after the bill share its gas by days: 15 of 31, whatever the 16th shows."""
        town = await home(owner, {JAN_1: 0, "2026-01-16T00:00:00+05:00": 70_000, FEB_1: 100_000})
        await bill(pool, 1, at=FEB_5)
        await town.terms("AC-1", "2026-01-16", persons=3, said_at=FEB_10.isoformat())

        then = (await asked(pool, FEB_10)).then

        assert isinstance(then, Said)
        assert [line.volume_dm3 for line in then.lines] == [48_387, 51_613]

    async def test_would_be_another_by_what_is_known_today(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """January's 100 m3 are said to be 90 a day after its bill: 576.44 instead of 640.49."""
        await winter(pool, owner)
        said_at = datetime(2026, 3, 3, 12, tzinfo=UTC)
        await say(owner, FEB_1, 90_000, at=said_at)

        before, after = await asked(pool, said_at - TICK), await asked(pool, said_at)

        assert before.stood is not None
        assert before.stood.sums.net_minor == 64_049
        assert before.differs_today is True
        assert isinstance(before.then, Said)
        assert before.then.sums == before.stood.sums
        assert isinstance(after.then, Said)
        assert (after.then.sums.volume_dm3, after.then.sums.net_minor) == (90_000, 57_644)
        assert await sums(pool, said_at, FEBRUARY) == (60_000, 38_429)

    async def test_is_the_rebill_once_there_is_one(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """What was corrected by the instant agrees with the document that corrected it."""
        await winter(pool, owner)
        await say(owner, FEB_1, 90_000)
        await look(pool)

        found = await asked(pool, LATER + timedelta(hours=1))

        assert found.stood is not None
        assert (found.stood.bill_no, found.stood.kind.value) == ("2026-01-3", "rebill")
        assert isinstance(found.then, Said)
        assert found.then.sums == found.stood.sums
        assert found.differs_today is False
        assert await sums(pool, AT) == (100_000, 64_049)

    async def test_leaves_out_what_it_carried_for_other_months(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """March's bill gives 12.81 back for 2 m3 of February; its own 22 m3 are 140.91."""
        town = await winter(pool, owner)
        await say(owner, "2026-03-01T00:00:00+05:00", 148_000)
        await look(pool, policy=ADJUST)
        await town.read("AQ-1", "2026-04-01T00:00:00+05:00", 170_000)
        april = datetime(2026, 4, 2, 12, tzinfo=UTC)
        await bill(pool, 3, at=april)
        carried = await owner.fetchval(
            "SELECT sum(net_minor) FROM bill_charge WHERE bill_no = '2026-03'"
        )
        assert carried == -1_281

        found = await asked(pool, april, Period.month(2026, 3))

        assert isinstance(found.then, Said)
        assert found.then.charges == ()
        assert found.then.sums.net_minor == 14_091
        assert found.stood is not None
        assert found.stood.sums == found.then.sums
        assert found.differs_today is False

    async def test_says_which_registers_were_estimated_until_one_was_read(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The register read at midnight came a week after the bill that had to do without."""
        await home(owner, {JAN_1: 0, FEB_1: 100_000})
        await bill(pool, 1, at=FEB_5)
        await owner.execute(
            "UPDATE usage SET closing_quality = 'estimated', closing_register_dm3 = 98000,"
            " volume_dm3 = 98000"
        )
        await received(owner, FEB_1, FEB_10)

        before, after = (await asked(pool, FEB_10 - TICK)).then, (await asked(pool, FEB_10)).then

        assert [(one.register_dm3, one.quality) for one in before.registers] == [
            (0, Quality.READ),
            (98_000, Quality.ESTIMATED),
        ]
        assert [(one.register_dm3, one.quality) for one in after.registers] == [
            (0, Quality.READ),
            (100_000, Quality.READ),
        ]

    @pytest.mark.parametrize("seed", range(3))
    async def test_agrees_with_its_bill_when_asked_as_it_was_issued(
        self, seed: int, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Line by line, also the instant before, when everything comes from readings."""
        await odd_town(owner, random.Random(seed), 20)  # noqa: S311 - towns, not secrets
        for period in (Period.month(2025, 12), JANUARY, FEBRUARY):
            await run(pool, period)
        rows = await owner.fetch("SELECT account_id, bill_no, period_start FROM bill")
        assert len(rows) > 30

        for row in rows:
            made = await BillingStore(pool).bill(row["account_id"], row["bill_no"])
            assert made is not None
            period = Period.month(made.period_start.year, made.period_start.month)
            for at in (made.issued_at - TICK, made.issued_at):
                found = await asked(pool, at, period, made.account_id)

                assert isinstance(found.then, Said)
                assert (found.then.lines, found.then.charges) == (made.lines, made.charges)
                assert (found.stood is None) is (at < made.issued_at)

    @pytest.mark.parametrize("seed", range(2))
    async def test_lacks_what_the_run_lacked(
        self, seed: int, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Where the run held a bill, the answer has the same reason and the same meter."""
        await odd_town(owner, random.Random(seed), 20)  # noqa: S311 - towns, not secrets
        await owner.execute(
            "DELETE FROM reading WHERE read_at = $1 AND right(meter_id, 1) IN ('1', '4', '7')",
            datetime.fromisoformat(FEB_1),
        )
        await run(pool)
        rows = await owner.fetch("SELECT * FROM bill_hold")
        assert len(rows) > 1

        for row in rows:
            then = (await asked(pool, row["noted_at"], JANUARY, row["account_id"])).then

            assert isinstance(then, Unsaid)
            assert (then.why.value, then.meter_id) == (row["reason"], row["meter_id"])


class TestNothingToSay:
    """A question without an answer ..."""

    async def test_is_told_why(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """No meter in the month, no register at its beginning, no price."""
        town = Town(owner)
        await town.home("1", {"2026-02-10T00:00:00+05:00": 0})
        assert await why(pool, FEB_10) is Why.NO_INSTALLATION

        await town.meter("AQ-2")
        await town.install("AQ-2", "AC-1", "2025-12-01T00:00:00+05:00", 0)
        assert await why(pool, FEB_10) is Why.NO_OPENING_REGISTER

        await town.read("AQ-2", JAN_1, 10)
        await town.read("AQ-2", FEB_1, 20)
        assert await why(pool, FEB_10) is Why.NO_PRICE

    @pytest.mark.parametrize(("register_dm3", "turns"), [(40_000, 0), (0, 90_000_000)])
    async def test_takes_no_register_that_cannot_be(
        self, register_dm3: int, turns: int, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Gas does not flow back, nor turn a dial ninety million times; the run would wait too."""
        town = await home(owner, {JAN_1: 50_000, FEB_1: 100_000})
        await town.correct("AQ-1", FEB_1, register_dm3, at=FEB_5, turns=turns)

        assert await sums(pool, FEB_5 - TICK) == (50_000, 50_000)
        assert await why(pool, FEB_5) is Why.NO_CLOSING_REGISTER

    async def test_names_the_first_meter_that_lacks_a_register(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Two meters, and nothing was read of either; both openings are shown."""
        town = await home(owner, {JAN_1: 50_000})
        await town.meter("AQ-2")
        await town.install("AQ-2", "AC-1", JAN_1, 7)

        then = (await asked(pool, FEB_5)).then

        assert isinstance(then, Unsaid)
        assert then.meter_id == "AQ-1"
        assert [one.register_dm3 for one in then.registers] == [50_000, 7]

    async def test_takes_no_register_of_the_place_before(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Twelve hours before midnight it was hung up here; before that it was read there."""
        town = await home(owner, {JAN_1: 0, JAN_31: 100_000})
        await town.remove("AQ-1", "2026-01-31T07:00:00+05:00", 100_000)
        await town.account("AC-2")
        await town.install("AQ-1", "AC-2", "2026-01-31T12:00:00+05:00", 100_000)

        assert await sums(pool, FEB_5) == (100_000, 100_000)
        then = (await asked(pool, FEB_5, account="AC-2")).then
        assert isinstance(then, Unsaid)
        assert then.why is Why.NO_CLOSING_REGISTER

    async def test_is_refused_before_the_end_of_the_month(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """At local midnight it may be asked, the instant before it may not."""
        await home(owner, {JAN_1: 0, FEB_1: 100_000})
        midnight = datetime.fromisoformat(FEB_1)

        with pytest.raises(PeriodNotOverError):
            await asked(pool, midnight - TICK)
        assert await sums(pool, midnight) == (100_000, 100_000)

    async def test_is_refused_for_an_instant_to_come(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Nobody knows what will be known; this very instant may be asked about."""
        await home(owner, {JAN_1: 0, FEB_1: 100_000})

        with pytest.raises(InstantAheadError):
            await asked(pool, NOW + TICK)
        assert (await asked(pool, NOW)).then == (await asked(pool, NOW)).today

    async def test_is_refused_for_an_account_that_does_not_exist(self, pool: asyncpg.Pool) -> None:
        """Nothing is known of it, at no time."""
        with pytest.raises(AccountUnknownError):
            await asked(pool, FEB_10, account="AC-404")
