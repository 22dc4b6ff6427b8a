"""Estimated months, and anything else people say later, in any order, against a real database."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.correct import CorrectCounts
from billing.correction import Policy
from billing.io.corrections import CorrectionDesk
from tests.billing.correct_town import (
    APR_1,
    AT,
    FEB_1,
    JAN_1,
    LATER,
    MAR_1,
    MUCH_LATER,
    balance,
    bill,
    bills,
    findings,
    look,
    owed,
)
from tests.billing.town import Town

JAN_10 = "2026-01-10T00:00:00+05:00"
JAN_31_EVENING = "2026-01-31T21:00:00+05:00"
MAR_5 = "2026-03-05T00:00:00+05:00"
PRICE = 640_490


async def estimated(pool: asyncpg.Pool, owner: asyncpg.Connection, months: int = 1) -> Town:
    """Bill January, or January and February, with 100 m3 each that nobody read."""
    town = Town(owner)
    await town.tariff(PRICE, "2025-01-01")
    ends = [FEB_1, MAR_1][:months]
    registers = {at: 100_000 * number for number, at in enumerate(ends, start=1)}
    await town.home("1", {JAN_1: 0, **registers})
    await bill(pool, *range(1, months + 1))
    await owner.execute("DELETE FROM reading")
    for at in ends:
        instant = datetime.fromisoformat(at)
        for table in ("usage", "bill_line"):
            await owner.execute(
                f"UPDATE {table} SET closing_quality = 'estimated' WHERE closing_read_at = $1",
                instant,
            )
            await owner.execute(
                f"UPDATE {table} SET opening_quality = 'estimated' WHERE opening_read_at = $1",
                instant,
            )
    assert await findings(pool, at=AT) == []
    return town


class TestTrueUp:
    """An estimated month ..."""

    async def test_below_the_next_register_needs_nothing(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The next bill goes on from the estimate, and all gas is billed once."""
        town = await estimated(pool, owner)
        await town.read("AQ-1", MAR_1, 150_000)
        await bill(pool, 2)

        assert await look(pool) == CorrectCounts()

        assert {name: it[0] for name, it in (await bills(owner)).items()} == {
            "2026-01": 100_000,
            "2026-02": 50_000,
        }
        assert await findings(pool) == []

    async def test_above_the_next_register_is_issued_anew(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """59 days and 59 m3: 31 of them were January's. February waits for its register."""
        town = await estimated(pool, owner)
        await town.read("AQ-1", MAR_1, 59_000)
        await bill(pool, 2)
        assert sorted(await bills(owner)) == ["2026-01"]

        assert (await look(pool)).rebilled == 1
        await bill(pool, 2, at=LATER)

        assert {name: it[0] for name, it in (await bills(owner)).items()} == {
            "2026-01": 100_000,
            "2026-01-2": -100_000,
            "2026-01-3": 31_000,
            "2026-02": 28_000,
        }
        assert await findings(pool) == []

    async def test_goes_with_the_estimate_before_it(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Two months of 100 m3, then 90 m3 on the first of April: a m3 for each of 90 days."""
        town = await estimated(pool, owner, months=2)
        await town.read("AQ-1", APR_1, 90_000)

        assert (await look(pool, at=MUCH_LATER)).rebilled == 2
        await bill(pool, 3, at=MUCH_LATER)

        found = {name: it[0] for name, it in (await bills(owner)).items()}
        assert (found["2026-01-3"], found["2026-02-3"], found["2026-03"]) == (
            31_000,
            28_000,
            31_000,
        )
        assert await findings(pool, at=MUCH_LATER) == []

    async def test_is_read_after_all_when_the_telegram_comes_late(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The register of the last evening replaces the estimate, also where it is above it."""
        town = await estimated(pool, owner)
        await town.read("AQ-1", JAN_31_EVENING, 110_000)

        assert (await look(pool)).rebilled == 1

        assert (await bills(owner))["2026-01-3"][0] == 110_000
        quality = await owner.fetchval(
            "SELECT closing_quality FROM bill_line WHERE bill_no = '2026-01-3'"
        )
        assert quality == "read"
        assert await findings(pool) == []

    async def test_below_an_earlier_register_is_lifted(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """On the tenth of January the dial showed 120 m3; the month had no less."""
        town = await estimated(pool, owner)
        await town.read("AQ-1", JAN_10, 120_000)

        await look(pool)

        assert (await bills(owner))["2026-01-3"][0] == 120_000
        assert await look(pool, at=LATER + timedelta(hours=1)) == CorrectCounts()

    async def test_older_than_three_years_rests(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Nobody can claim it any more, and nobody looks for it every ten minutes."""
        town = await estimated(pool, owner)
        await town.read("AQ-1", MAR_5, 59_000)

        late = datetime(2029, 2, 2, tzinfo=UTC)
        assert (await look(pool, at=late)).rebilled == 0


class TestKilled:
    """A correction that is killed ..."""

    @pytest.mark.parametrize("step", ["months", "debits", "write", "purses", "transfer"])
    async def test_leaves_nothing_half_done(
        self,
        pool: asyncpg.Pool,
        owner: asyncpg.Connection,
        monkeypatch: pytest.MonkeyPatch,
        step: str,
    ) -> None:
        """Between any two steps: the books are as before, and the next look does it all."""
        town = await estimated(pool, owner)
        await town.read("AQ-1", MAR_1, 59_000)
        before = await town.books()

        class KilledError(Exception):
            pass

        whole: Callable[..., object] = getattr(CorrectionDesk, step)

        async def killed(desk: CorrectionDesk, *args: object, **named: object) -> object:
            await whole(desk, *args, **named)  # type: ignore[misc]
            raise KilledError

        with monkeypatch.context() as patch:
            patch.setattr(CorrectionDesk, step, killed)
            with pytest.raises(KilledError):
                await look(pool)
        assert await town.books() == before

        assert (await look(pool)).rebilled == 1
        assert await findings(pool) == []


class TestAnyOrder:
    """Whatever is said later, in whatever order ..."""

    @settings(
        max_examples=12,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(seed=st.integers(0, 2**32 - 1))
    async def test_the_books_come_to_what_the_registers_say(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, seed: int
    ) -> None:
        """Volumes add up, money adds up, what was paid is paid once or credit."""
        await owner.execute(
            "TRUNCATE meter, account, tariff, reading, usage, bill, transfer CASCADE"
        )
        dice = random.Random(seed)  # noqa: S311 - a test's choice, repeatable
        town = Town(owner)
        await town.tariff(PRICE, "2025-01-01")
        steps = sorted(dice.sample(range(1, 400), 4))
        registers = dict(zip([FEB_1, MAR_1, APR_1, MAR_5], [0, 0, 0, 0], strict=True))
        registers[FEB_1], registers[MAR_1], registers[MAR_5], registers[APR_1] = (
            step * 1_000 for step in steps
        )
        await town.home("1", {JAN_1: 0, **registers})
        await bill(pool, 1, 2)
        at, paid_minor, months = LATER, 0, 2
        for number in range(dice.randint(3, 7)):
            at += timedelta(hours=1)
            match dice.choice(["read", "terms", "pay", "bill", "look"]):
                case "read":
                    await _correct(town, owner, dice, at)
                case "terms":
                    await _terms(owner, dice, at, number)
                case "pay":
                    paid_minor += await _pay(owner, dice, at, number)
                case "bill" if months < 3:
                    months = 3
                    await bill(pool, 3, at=MUCH_LATER)
                    at = max(at, MUCH_LATER)
                case _:
                    await look(pool, at=at, policy=_policy(dice))
        at += timedelta(hours=1)
        await bill(pool, 3, at=max(at, MUCH_LATER))
        at = max(at, MUCH_LATER) + timedelta(hours=1)
        await look(pool, at=at, policy=_policy(dice))

        assert await look(pool, at=at + timedelta(hours=1), policy=Policy()) in (
            CorrectCounts(),
            CorrectCounts(credits=1),
        )
        at += timedelta(hours=2)
        assert await findings(pool, at=at) == []
        await _adds_up(owner, paid_minor)


def _policy(dice: random.Random) -> Policy:
    return Policy(adjust_below_minor=dice.choice([0, 5_000, 1_000_000]))


async def _correct(
    town: Town, owner: asyncpg.Connection, dice: random.Random, at: datetime
) -> None:
    """Correct one register to anything between its neighbours."""
    read_at = dice.choice([FEB_1, MAR_1, MAR_5, APR_1])
    instant = datetime.fromisoformat(read_at)
    low = await owner.fetchval(
        "SELECT coalesce(max(register_dm3), 0) FROM trusted_reading WHERE read_at < $1", instant
    )
    high = await owner.fetchval(
        "SELECT coalesce(min(register_dm3), 500000) FROM trusted_reading WHERE read_at > $1",
        instant,
    )
    await town.correct("AQ-1", read_at, dice.randint(low, high), at=at)


async def _terms(owner: asyncpg.Connection, dice: random.Random, at: datetime, number: int) -> None:
    """Say how many live there: with one price for all gas, that changes no sum."""
    day = dice.choice([1, 2, 3])
    await owner.execute(
        "INSERT INTO account_terms VALUES ('AC-1', make_date(2026, $1, 1), $2, 'household', $3,"
        " false, 'a clerk', $4)",
        day,
        number + 1,
        dice.randint(1, 5),
        at,
    )


async def _pay(owner: asyncpg.Connection, dice: random.Random, at: datetime, number: int) -> int:
    """Let a resident pay what a bill owes, as a debit that came to its end does."""
    owing = sorted((bill_no, minor) for bill_no, minor in (await owed(owner)).items() if minor > 0)
    if not owing:
        return 0
    bill_no, minor = dice.choice(owing)
    await owner.execute(
        "INSERT INTO mandate (account_id, mandate_id, state, enrolment, payment_minor_max,"
        " month_minor_max, currency, return_digest, bank_mandate_id, created_at, changed_at)"
        " VALUES ('AC-1', 'M-1', 'active', 'active', 9000000, 9000000, 'KZT',"
        " decode(repeat('00', 32), 'hex'), 'MD1', $1, $1) ON CONFLICT DO NOTHING",
        at,
    )
    await owner.execute(
        "INSERT INTO transfer VALUES ('AC-1', $1, 'posted', 'voucher', 'receivable', $2, 'KZT',"
        " $3, $4)",
        f"voucher/{number + 1}/{bill_no}",
        minor,
        bill_no,
        at,
    )
    await owner.execute(
        "INSERT INTO voucher VALUES ('AC-1', $1, $2, $3, 'KZT', '2020-01-01', '2030-01-01', 'a"
        " clerk', '2020-01-01Z')",
        number + 1,
        f"order {number + 1}",
        minor,
    )
    return minor


async def _adds_up(owner: asyncpg.Connection, paid_minor: int) -> None:
    """Compare volumes and money with the registers, worked out here."""
    last, gas = await owner.fetchrow(
        "SELECT max(register_dm3) FILTER (WHERE read_at = $1), (SELECT sum(volume_dm3)"
        " FROM usage_now) FROM trusted_reading",
        datetime.fromisoformat(APR_1),
    )
    assert gas == last
    charged, money = await owner.fetchrow(
        "SELECT (SELECT sum(volume_dm3) FROM bill), (SELECT sum(total_minor) FROM bill)"
    )
    waiting = await owner.fetchrow(
        "SELECT coalesce(sum(volume_dm3), 0), coalesce(sum(net_minor + vat_minor), 0)"
        " FROM adjustment a WHERE NOT EXISTS (SELECT FROM adjustment_taken t WHERE"
        " (t.period_start, t.correction_no, t.vat_rate_bp)"
        " = (a.period_start, a.correction_no, a.vat_rate_bp))"
    )
    carried = await owner.fetchval(
        "SELECT coalesce(sum(quantity), 0) FROM bill_charge WHERE kind = 'adjustment'"
    )
    assert charged + waiting[0] + carried == last
    now = await owner.fetch("SELECT volume_dm3 FROM usage_now")
    nets = [(row["volume_dm3"] * PRICE + 500_000) // 1_000_000 for row in now]
    assert money + waiting[1] == sum(net + (net * 1_600 + 5_000) // 10_000 for net in nets)
    left = sum((await owed(owner)).values())
    assert left == money - paid_minor + await balance(owner, "resident_credit")
