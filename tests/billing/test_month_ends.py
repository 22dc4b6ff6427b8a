"""Every month from 2024 to 2040, with the days that Python's calendar counts."""

import calendar
import json
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import asyncpg
import pytest

from billing.audit import audit
from billing.bill import Bill
from billing.io.records import Records
from billing.io.store import BillingStore
from billing.period import Period
from billing.recompute import check, loads, read
from billing.recompute.derive import derive
from billing.reconcile import reconcile
from billing.tariff import Tariff
from tests.billing.town import Town

ZONE: Final = "Asia/Almaty"
MONTHS: Final = [(year, month) for year in range(2024, 2041) for month in range(1, 13)]
# The first midnight of a month in Almaty: UTC+6 until February 2024, UTC+5 ever since.
SIX: Final = {(2024, 1), (2024, 2)}


def first_instant(year: int, month: int) -> datetime:
    hours = 6 if (year, month) in SIX else 5
    return datetime(year, month, 1, tzinfo=UTC) - timedelta(hours=hours)


def days_of(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1]


@pytest.fixture
async def town(owner: asyncpg.Connection) -> None:
    """Settle a home that uses 1000 dm3 a day and is social until the 15th of each month.

    Registers are read at the ends of months only, so each month is shared by days. A day's standing
    charge is 1 tenge, 1000 dm3 cost 2 tenge, and a social household pays half.
    """
    town = Town(owner)
    await town.tariff_of(
        Tariff(
            tariff_code="household",
            valid_from=date(2020, 1, 1),
            valid_to=None,
            net_minor_per_1000_m3=200_000,
            standing_net_minor_per_1000_days=100_000,
            discount_bp=5_000,
            currency="KZT",
            approved_by="a test",
        )
    )
    await town.account("AC-1")
    await town.meter("AQ-1")
    instants = [first_instant(*one) for one in [*MONTHS, (2041, 1)]]
    await town.install("AQ-1", "AC-1", (instants[0] - timedelta(hours=9)).isoformat(), 0)
    register_dm3 = 0
    await town.read("AQ-1", instants[0].isoformat(), 0)
    for (year, month), at in zip(MONTHS, instants[1:], strict=True):
        register_dm3 += days_of(year, month) * 1000
        await town.read("AQ-1", at.isoformat(), register_dm3)
    for year, month in MONTHS:
        await town.terms("AC-1", f"{year}-{month:02}-01", social=True)
        await town.terms("AC-1", f"{year}-{month:02}-16", social=False)


def shape(lines: Any, charges: Any) -> tuple[Any, ...]:
    """Return what is expected of a bill, from rows of the run or of the calculator."""
    return (
        [
            (one["from_at"], one["to_at"], one["volume_dm3"], one["days"], one["days_of"])
            for one in lines
        ],
        [(one["kind"], one["from_day"], one["to_day"], one["quantity"]) for one in charges],
        [one["net_minor"] for one in (*lines, *charges)],
        {one["vat_rate_bp"] for one in (*lines, *charges)},
    )


def expected(year: int, month: int) -> tuple[Any, ...]:
    """Return the same, from the calendar."""
    days = days_of(year, month)
    late = days - 15
    following = (year + month // 12, month % 12 + 1)
    first, end = first_instant(year, month), first_instant(*following)
    # The 16th begins at the same hour as the 1st: no clock was turned before the end of a month.
    middle = first + timedelta(days=15)
    begins, turns, ends = date(year, month, 1), date(year, month, 16), date(*following, 1)
    return (
        [(first, middle, 15_000, 15, days), (middle, end, late * 1000, late, days)],
        [
            ("discount", begins, turns, 15_000),
            ("standing", begins, turns, 15),
            ("standing", turns, ends, late),
        ],
        # 15 m3 at 2.00, and the rest; half of 30.00 back; 1.00 for each day.
        [3_000, late * 200, -1_500, 1_500, late * 100],
        {1200 if year < 2026 else 1600},
    )


def rows(bill: Bill) -> tuple[Any, ...]:
    lines = [{name: getattr(one, name) for name in type(one).__slots__} for one in bill.lines]
    charges = [{name: getattr(one, name) for name in type(one).__slots__} for one in bill.charges]
    return shape(lines, charges)


@pytest.mark.slow
class TestMonthEnds:
    """A month ..."""

    async def test_has_the_days_of_the_calendar(
        self, town: None, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """204 months in three implementations: 29 February, the 25-hour day, the rise of VAT."""
        assert town is None
        store, records = BillingStore(pool), Records(pool=pool, zone=ZONE)
        for year, month in MONTHS:
            period = Period.month(year, month)
            at = first_instant(year + month // 12, month % 12 + 1) + timedelta(hours=8)
            await reconcile(store=store, period=period, at=at, zone=ZONE)

            bill = await store.bill("AC-1", period.label)
            assert bill is not None
            assert rows(bill) == expected(year, month)
            said = read(loads(json.dumps(await records.record("AC-1", period.label)).encode()))
            derived = derive(said)
            assert shape(derived.lines, derived.charges) == expected(year, month)
            assert check(said).correct

        report = await audit(
            store=store, bank=None, at=first_instant(2041, 1) + timedelta(days=9), zone=ZONE
        )
        # The home's first nine hours lie in a December that nobody ran.
        assert [one.subject for one in report.findings] == ["AC-1/2023-12"]
        bounds = await owner.fetch("SELECT from_at, to_at FROM usage ORDER BY from_at")
        assert len(bounds) == len(MONTHS)
        assert all(one["to_at"] == two["from_at"] for one, two in pairwise(bounds))

    def test_is_of_29_days_five_times(self) -> None:
        """The list itself: 2024, 2028, 2032, 2036 and 2040 have a leap day."""
        assert sum(days_of(year, 2) == 29 for year in range(2024, 2041)) == 5
        assert len(MONTHS) == 204
