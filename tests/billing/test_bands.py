"""Prices with bands, seasons, persons, standing charge and discount, against sums done by hand."""

import random
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import asyncpg
import pytest

from billing.audit import audit
from billing.bill import Bill
from billing.io.store import BillingStore
from billing.money import Rounding
from billing.period import Period, midnight
from billing.proof import Kind
from billing.reconcile import ReconcileCounts, reconcile
from billing.tariff import Band, NormPer, Tariff
from tests.billing.town import Town

ZONE = "Asia/Almaty"
HUNG = "2025-12-20T12:00:00+05:00"
JAN_1 = "2026-01-01T00:00:00+05:00"
JAN_16 = "2026-01-16T00:00:00+05:00"
FEB_1 = "2026-02-01T00:00:00+05:00"
JANUARY = Period.month(2026, 1)

# Water in Aktobe, 2025: by person and month up to 3, 5 and 10 m3, and above. The multipliers act on
# the net price: 115.97 tenge per m3.
AKTOBE = (
    Band(up_to=3_000),
    Band(up_to=5_000, multiplier_bp=12_000),
    Band(up_to=10_000, multiplier_bp=15_000),
    Band(up_to=None, multiplier_bp=20_000),
)


def tariff(price: int | None = 640_490, **more: Any) -> Tariff:
    values: dict[str, Any] = {
        "tariff_code": "household",
        "valid_from": date(2025, 1, 1),
        "valid_to": None,
        "net_minor_per_1000_m3": price,
        "currency": "KZT",
        "approved_by": "a test",
    }
    return Tariff(**(values | more))


async def run(pool: asyncpg.Pool, period: Period = JANUARY) -> ReconcileCounts:
    at = period.bounds(ZONE)[1] + timedelta(hours=8)
    return await reconcile(store=BillingStore(pool), period=period, at=at, zone=ZONE)


async def bill_of(pool: asyncpg.Pool, bill_no: str = "2026-01", account: str = "AC-1") -> Bill:
    bill = await BillingStore(pool).bill(account, bill_no)
    assert bill is not None
    return bill


async def contradictions(pool: asyncpg.Pool) -> Sequence[str]:
    """Audit the months that were run; those that were not are none of these tests' business."""
    at = datetime.fromisoformat("2026-03-20T00:00:00+05:00")
    report = await audit(store=BillingStore(pool), bank=None, at=at, zone=ZONE)
    return [str(one) for one in report.findings if one.kind is not Kind.MONTH_FORGOTTEN]


class TestBands:
    """Gas of a month ..."""

    @pytest.mark.parametrize(
        ("volume_dm3", "expected"),
        [
            (2_999, [(1, 2_999, 34_779)]),
            (3_000, [(1, 3_000, 34_791)]),
            (3_001, [(1, 3_000, 34_791), (2, 1, 14)]),
            (5_000, [(1, 3_000, 34_791), (2, 2_000, 27_833)]),
            (5_001, [(1, 3_000, 34_791), (2, 2_000, 27_833), (3, 1, 17)]),
            (
                11_000,
                [(1, 3_000, 34_791), (2, 2_000, 27_833), (3, 5_000, 86_978), (4, 1_000, 23_194)],
            ),
            (0, [(1, 0, 0)]),
        ],
    )
    async def test_fills_its_bands_one_after_another(
        self,
        volume_dm3: int,
        expected: list[tuple[int, int, int]],
        pool: asyncpg.Pool,
        owner: asyncpg.Connection,
    ) -> None:
        """115.97 a m3: 3 are 347.91, 2 at 1.2 278.328, 5 at 1.5 869.775, 1 at 2 231.94."""
        town = Town(owner)
        await town.tariff_of(tariff(11_597_000, bands=AKTOBE))
        await town.home("1", {HUNG: 0, JAN_1: 100, FEB_1: 100 + volume_dm3})

        await run(pool)

        bill = await bill_of(pool)
        found = [(line.band_no, line.volume_dm3, line.net_minor) for line in bill.lines]
        assert found == expected
        assert await contradictions(pool) == []

    async def test_has_bounds_for_each_person(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Three persons have 9 m3 at the first price; a fourth moves in on the 16th.

        1-15 January: 9 x 15 / 31 is 4.355 m3. 16-31: 12 x 16 / 31 is 6.194 m3. Registers split the
        10 m3 into 6 and 4: 4 355 + 1 645 in the first half (up to 5 x 3 x 15 / 31 = 7.258 at 1.2),
        4 000 in the second.
        """
        town = Town(owner)
        await town.tariff_of(tariff(11_597_000, bands=AKTOBE, norm_per=NormPer.PERSON))
        await town.home("1", {HUNG: 0, JAN_1: 0, JAN_16: 6_000, FEB_1: 10_000})
        await town.terms("AC-1", "2025-12-01", persons=3)
        await town.terms("AC-1", "2026-01-16", persons=4)

        await run(pool)

        found = [(line.band_no, line.volume_dm3) for line in (await bill_of(pool)).lines]
        assert found == [(1, 4_355), (2, 1_645), (1, 4_000)]
        assert await contradictions(pool) == []

    async def test_has_wider_bounds_when_it_is_cold(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """500 m3 in a month of the season, 100 otherwise, as in Uzbekistan; another price above.

        600 m3 in January: 500 at 6.40490 and 100 at 8.32637.
        """
        bands = (Band(up_to=100_000, up_to_heating=500_000), Band(up_to=None, net_minor=832_637))
        town = Town(owner)
        await town.tariff_of(tariff(bands=bands, heating_months=(11, 12, 1, 2)))
        await town.home("1", {HUNG: 0, JAN_1: 0, FEB_1: 600_000})

        await run(pool)

        found = [(one.volume_dm3, one.net_minor) for one in (await bill_of(pool)).lines]
        assert found == [(500_000, 320_245), (100_000, 83_264)]

    async def test_goes_on_filling_them_over_a_change_of_tax(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A new VAT rate on the 16th is no new month: the first band stays filled."""
        town = Town(owner)
        await owner.execute("INSERT INTO vat_rate VALUES ('2026-01-16', 2000, 'a test')")
        await town.tariff_of(tariff(1_000_000, bands=(Band(up_to=1_000), Band(up_to=None))))
        await town.home("1", {HUNG: 0, JAN_1: 0, JAN_16: 1_500, FEB_1: 2_000})

        await run(pool)

        found = [
            (one.band_no, one.volume_dm3, one.vat_rate_bp) for one in (await bill_of(pool)).lines
        ]
        assert found == [(1, 1_000, 1600), (2, 500, 1600), (2, 500, 2000)]


class TestCharges:
    """A bill ..."""

    async def test_has_a_standing_charge_by_days_of_supply(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """32.68 pence a day, as Octopus publishes it, for 12 days of December and 31 of January.

        12 x 32.68 is 392.16, 31 x 32.68 is 1 013.08.
        """
        town = Town(owner)
        await town.tariff_of(tariff(standing_net_minor_per_1000_days=32_680))
        await town.home("1", {HUNG: 0, JAN_1: 0, FEB_1: 0})

        await run(pool, Period.month(2025, 12))
        await run(pool)

        charges = [
            *(await bill_of(pool, "2025-12")).charges,
            *(await bill_of(pool)).charges,
        ]
        found = [(one.kind, one.quantity, one.net_minor, one.vat_minor) for one in charges]
        assert found == [("standing", 12, 392, 47), ("standing", 31, 1_013, 162)]
        assert await contradictions(pool) == []

    async def test_shares_a_monthly_charge_between_two_prices(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """310 a month until the 15th, 620 from the 16th: 15 and 16 days are 150.00 and 320.00."""
        town = Town(owner)
        await town.tariff_of(
            tariff(valid_to=date(2026, 1, 16), standing_net_minor_per_month=31_000)
        )
        await town.tariff_of(
            tariff(valid_from=date(2026, 1, 16), standing_net_minor_per_month=62_000)
        )
        await town.home("1", {HUNG: 0, JAN_1: 0, FEB_1: 0})

        await run(pool)

        found = [(one.quantity, one.net_minor) for one in (await bill_of(pool)).charges]
        assert found == [(15, 15_000), (16, 32_000)]

    async def test_gives_a_social_household_its_discount_up_to_the_norm(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """11.57 a m3 less 20 % on the first 50 of 75 m3: 867.75, less 115.70, and its tax."""
        town = Town(owner)
        await town.tariff_of(tariff(1_157_000, discount_bp=2_000, discount_norm=50_000))
        await town.home("1", {HUNG: 0, JAN_1: 0, FEB_1: 75_000})
        await town.home("2", {HUNG: 0, JAN_1: 0, FEB_1: 75_000})
        await town.terms("AC-1", "2026-01-01", social=True)

        await run(pool)

        bill, other = await bill_of(pool), await bill_of(pool, account="AC-2")
        found = [(one.line_no, one.quantity, one.net_minor, one.vat_minor) for one in bill.charges]
        assert found == [(1, 50_000, -11_570, -1_851)]
        assert (bill.net_minor, bill.vat_minor) == (86_775 - 11_570, 13_884 - 1_851)
        assert (other.charges, other.net_minor) == ((), 86_775)
        assert await contradictions(pool) == []

    async def test_hears_the_last_word_on_a_day(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Somebody said social by mistake and took it back; a word said later is not known yet."""
        town = Town(owner)
        await town.tariff_of(tariff(discount_bp=2_000))
        await town.home("1", {HUNG: 0, JAN_1: 0, FEB_1: 75_000})
        await town.terms("AC-1", "2026-01-01", social=True)
        await town.terms("AC-1", "2026-01-01", social=False, revision=2)
        await town.terms("AC-1", "2026-01-05", social=True, said_at="2026-06-01T00:00:00+00:00")

        await run(pool)

        assert (await bill_of(pool)).charges == ()
        assert await contradictions(pool) == []


def odd_tariffs(dice: random.Random) -> list[Tariff]:
    """Make versions of two tariffs that change inside months, with everything they can have."""
    made = []
    for code in ("household", "other"):
        edges = [date(2025, 1, 1), date(2026, 1, dice.randint(2, 30)), date(2026, 2, 14), None]
        for valid_from, valid_to in pairwise(edges):
            assert valid_from is not None
            bounds = sorted(dice.sample(range(1, 60_000), dice.randint(0, 3)))
            factors = [
                {"multiplier_bp": dice.choice([10_000, 12_000, 13_337])}
                if dice.random() < 0.6
                else {"net_minor": dice.randint(0, 999_999)}
                for _ in range(len(bounds) + 1)
            ]
            bands = [
                Band(
                    up_to=bound,
                    up_to_heating=bound * 3 if bound and dice.random() < 0.5 else None,
                    **factor,
                )
                for bound, factor in zip([*bounds, None], factors, strict=True)
            ]
            wide = [band.bound(heating=True) for band in bands[:-1]]
            if wide != sorted({one for one in wide if one is not None}):
                bands = [
                    Band(up_to=b.up_to, multiplier_bp=b.multiplier_bp, net_minor=b.net_minor)
                    for b in bands
                ]
            made.append(
                tariff(
                    dice.randint(1, 9_999_999),
                    tariff_code=code,
                    valid_from=valid_from,
                    valid_to=valid_to,
                    bands=tuple(bands) if bounds else (),
                    rounding=dice.choice(list(Rounding)),
                    norm_per=dice.choice(list(NormPer)),
                    heating_months=dice.choice([(), (1, 12), (2,)]),
                    standing_net_minor_per_1000_days=dice.choice([0, 32_680, 1]),
                    standing_net_minor_per_month=dice.choice([0, 0, 9_999]),
                    discount_bp=dice.choice([0, 2_000, 10_000]),
                    discount_norm=dice.choice([None, dice.randint(1, 40_000)]),
                    discount_norm_heating=dice.choice([None, dice.randint(1, 40_000)]),
                )
            )
    return made


async def odd_town(owner: asyncpg.Connection, dice: random.Random, homes: int) -> None:
    """Settle homes with registers on odd days, exchanged meters and terms that change."""
    town = Town(owner)
    await owner.execute("INSERT INTO vat_rate VALUES ('2026-02-09', 1250, 'a test')")
    for one in odd_tariffs(dice):
        await town.tariff_of(one)
    days = [midnight(date(2026, 1, 1) + timedelta(days=day), ZONE) for day in range(60)]
    for number in range(homes):
        account, meter = f"AC-{number}", f"AQ-{number}"
        await town.account(account, tariff_code=dice.choice(["household", "other"]))
        await town.meter(meter)
        register = dice.randint(0, 9_000_000)
        await town.install(
            meter, account, f"2025-12-{dice.randint(10, 28)}T10:11:12+00:00", register
        )
        read = {days[0], days[31], days[59], *dice.sample(days, dice.randint(0, 6))}
        moves_at = days[dice.randint(3, 50)] + timedelta(hours=9) if dice.random() < 0.3 else None
        for at in sorted(read):
            if moves_at is not None and at > moves_at:
                register += dice.randint(0, 30_000)
                await town.remove(meter, moves_at.isoformat(), register)
                meter, register, moves_at = f"AQ-{number}-B", dice.randint(0, 5_000), None
                await town.meter(meter)
                hung_at = at - timedelta(hours=1) if at in read - {days[31], days[59]} else None
                begun = sorted(read)[sorted(read).index(at) - 1] + timedelta(hours=23)
                await town.install(meter, account, (hung_at or begun).isoformat(), register)
            register += dice.choice([0, dice.randint(0, 90_000)])
            await town.read(meter, at.isoformat(), register)
        for valid_from in dice.sample(days, dice.choice([0, 0, 1, 3])):
            await town.terms(
                account,
                valid_from.astimezone().date().isoformat(),
                tariff_code=dice.choice(["household", "other"]),
                persons=dice.randint(1, 6),
                social=dice.random() < 0.5,
            )


class TestTwoWays:
    """The run and the rating of one account ..."""

    @pytest.mark.parametrize("seed", range(6))
    async def test_agree_on_odd_towns(
        self, seed: int, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Whatever changes in the middle of a month, both come to the same tiyn."""
        await odd_town(owner, random.Random(seed), 40)  # noqa: S311 - towns, not secrets

        counts = [await run(pool, Period.month(2025, 12)), await run(pool)]
        counts.append(await run(pool, Period.month(2026, 2)))

        assert sum(one.billed for one in counts) > 60
        assert sum(one.lines for one in counts) > 200
        odd = await owner.fetchrow(
            "SELECT count(*) FILTER (WHERE days < days_of) AS split,"
            " count(*) FILTER (WHERE band_no > 1) AS banded FROM bill_line"
        )
        assert odd is not None
        assert min(odd) > 10
        assert await contradictions(pool) == []
