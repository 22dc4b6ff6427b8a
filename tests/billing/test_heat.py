"""Tariffs per energy: from a register to kWh to money."""

from datetime import date, timedelta

import asyncpg

from billing.audit import audit
from billing.bill import HoldReason
from billing.io.store import BillingStore
from billing.period import Calendar, Period
from billing.proof import Kind
from billing.reconcile import ReconcileCounts, reconcile
from billing.tariff import Tariff
from metering.conversion import EnergyRule
from metering.io.conversions import Conversions, Wanted
from tests.billing.town import Town

ZONE = "Asia/Almaty"
HUNG = "2025-12-20T12:00:00+05:00"
JAN_1 = "2026-01-01T00:00:00+05:00"
FEB_1 = "2026-02-01T00:00:00+05:00"
JANUARY = Period.month(2026, 1)
AT = JANUARY.bounds(ZONE)[1] + timedelta(hours=8)

PER_KWH = Tariff(
    tariff_code="household",
    valid_from=date(2025, 1, 1),
    valid_to=None,
    net_minor_per_1000_m3=None,
    net_minor_per_gwh=6_247_500,
    currency="KZT",
    approved_by="a test",
)


def store(pool: asyncpg.Pool) -> BillingStore:
    conversions = Conversions(
        pool=pool, calendar=Calendar(zone=ZONE), wanted=Wanted(energy=EnergyRule.UK)
    )
    return BillingStore(pool, conversions=conversions)


async def run(pool: asyncpg.Pool) -> ReconcileCounts:
    return await reconcile(store=store(pool), period=JANUARY, at=AT, zone=ZONE)


async def place(owner: asyncpg.Connection) -> None:
    await owner.execute(
        "INSERT INTO stay_place"
        " SELECT meter_id, installed_at, '2025-12-01', 1, 'heated', 'north', 'a test', now()"
        " FROM installation"
    )


async def warm(owner: asyncpg.Connection) -> None:
    await owner.execute(
        "INSERT INTO calorific_value"
        " VALUES ('north', 'mj_m3', 'month', '2026-01-01', 1, 3950000, 'a test', now())"
    )


class TestEnergy:
    """Gas that is charged by its heat ..."""

    async def test_is_priced_per_kwh(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """150 m3 at 39.5 MJ are 1683.095 kWh; at 6.2475 a kWh that is 105.15, and 16.82 of VAT."""
        town = Town(owner)
        await town.tariff_of(PER_KWH)
        await town.home("1", {HUNG: 0, JAN_1: 1_000, FEB_1: 151_000})
        await place(owner)
        await warm(owner)

        counts = await run(pool)

        assert (counts.billed, counts.held) == (1, 0)
        bill = await store(pool).bill("AC-1", "2026-01")
        assert bill is not None
        (line,) = bill.lines
        assert (line.volume_dm3, line.energy_wh) == (150_000, 1_683_095)
        assert (line.net_minor_per_1000_m3, line.net_minor_per_gwh) == (None, 6_247_500)
        assert (line.net_minor, line.vat_minor) == (10_515, 1_682)
        report = await audit(store=store(pool), bank=None, at=AT, zone=ZONE)
        assert {one.kind for one in report.findings} == {Kind.MONTH_FORGOTTEN}

    async def test_waits_for_the_heat_of_the_gas(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Nobody has said the calorific value: held, and billed when it is known."""
        town = Town(owner)
        await town.tariff_of(PER_KWH)
        await town.home("1", {HUNG: 0, JAN_1: 1_000, FEB_1: 151_000})
        await place(owner)

        assert (await run(pool)).held == 1
        (hold,) = await store(pool).holds(JANUARY.start, limit=10, after="")
        assert hold.reason is HoldReason.NO_ENERGY

        await warm(owner)
        counts = await run(pool)

        assert (counts.billed, counts.held) == (1, 0)
        assert await store(pool).holds(JANUARY.start, limit=10, after="") == ()

    async def test_is_held_in_a_town_without_a_rule(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A price per kWh in a town that never said how a m3 becomes one."""
        town = Town(owner)
        await town.tariff_of(PER_KWH)
        await town.home("1", {HUNG: 0, JAN_1: 1_000, FEB_1: 151_000})

        counts = await reconcile(store=BillingStore(pool), period=JANUARY, at=AT, zone=ZONE)

        assert (counts.billed, counts.held) == (0, 1)
