"""Estimated months, and anything else people say later, in any order, against a real database."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.bank import PaymentStatus
from billing.correct import CorrectCounts
from billing.correction import Policy
from billing.debit import SEND_LEAD_DAYS
from billing.io.corrections import CorrectionDesk
from billing.io.debits import Debits
from billing.period import midnight
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
from tests.billing.debit_town import DebitTown, followed, recorded, sent, told
from tests.billing.fake_bank import FakeBank
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
        await bill(pool, 2)
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
        await bill(pool, 2, at=LATER)
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
            "TRUNCATE meter, account, tariff, reading, usage, bill, bank_cursor, bank_event CASCADE"
        )
        dice = random.Random(seed)  # noqa: S311 - a test's choice, repeatable
        town = Town(owner)
        await town.tariff(PRICE, "2025-01-01")
        steps = sorted(dice.sample(range(1, 400), 4))
        ends = [FEB_1, MAR_1, MAR_5, APR_1]
        registers = {at: step * 1_000 for at, step in zip(ends, steps, strict=True)}
        await town.home("1", {JAN_1: 0, **registers})
        await bill(pool, 1, 2)
        await DebitTown(owner).mandate("AC-1", payment_minor_max=10**9, month_minor_max=10**9)
        store, bank, at = Debits(pool), FakeBank(), LATER
        for _ in range(dice.randint(3, 8)):
            at += timedelta(hours=1)
            match dice.choice(["read", "terms", "order", "pay", "bill", "look", "look"]):
                case "read":
                    await _correct(town, owner, dice, at)
                case "terms":
                    await _terms(owner, dice, at)
                case "order":
                    at = await _order(owner, store, bank, at)
                case "pay":
                    await _pay(store, bank, dice, at)
                case "bill":
                    at = max(at, MUCH_LATER)
                    await bill(pool, 3, at=at)
                case _:
                    await look(pool, at=at, policy=_policy(dice))
        at = max(at, MUCH_LATER) + timedelta(hours=1)
        await _pay(store, bank, dice, at)
        await bill(pool, 3, at=at)
        await look(pool, at=at + timedelta(hours=1), policy=_policy(dice))

        assert await look(pool, at=at + timedelta(hours=2)) == CorrectCounts()
        # Spring and summer pass while debits take their time, and nobody reads the meter.
        found = await findings(pool, at=at + timedelta(hours=3))
        assert [one for one in found if not one.startswith("month_forgotten")] == []
        await _adds_up(owner)


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


async def _terms(owner: asyncpg.Connection, dice: random.Random, at: datetime) -> None:
    """Say how many live there: with one price for all gas, that changes no sum."""
    await owner.execute(
        "INSERT INTO account_terms SELECT 'AC-1', make_date(2026, $1, 1), 1 + (SELECT count(*)"
        " FROM account_terms), 'household', $2, false, 'a clerk', $3",
        dice.choice([1, 2, 3]),
        dice.randint(1, 5),
        at,
    )


async def _order(
    owner: asyncpg.Connection, store: Debits, bank: FakeBank, at: datetime
) -> datetime:
    """Announce debits for all that is owed, and order each when its day has come."""
    await told(store, at)
    rows = await owner.fetch("SELECT DISTINCT charge_on FROM debit WHERE state = 'noticed'")
    for charge_on in sorted(row["charge_on"] for row in rows):
        at = max(at, midnight(charge_on - timedelta(days=SEND_LEAD_DAYS), "Asia/Almaty"))
        await recorded(store, at)
        await sent(store, bank, at)
    return at


async def _pay(store: Debits, bank: FakeBank, dice: random.Random, at: datetime) -> None:
    """Let the bank say what became of its orders: paid, not paid, or taken back afterwards."""
    for payment in list(bank.payments.values()):
        if payment.status is PaymentStatus.PENDING_SUBMISSION:
            bank.tell(payment.payment_id, PaymentStatus.PAID_OUT)
        if dice.random() < 0.3:
            bank.tell(payment.payment_id, PaymentStatus.FAILED, cause="refer_to_payer")
    await followed(store, bank, at)


async def _adds_up(owner: asyncpg.Connection) -> None:
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
    # What the bank has taken back and not cut from a payout yet is owed by nobody.
    paid_minor = -await balance(owner, "bank") - await balance(owner, "chargebacks_receivable")
    assert left == money - paid_minor + await balance(owner, "resident_credit")
