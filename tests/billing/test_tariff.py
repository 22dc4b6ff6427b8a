"""Prices and VAT over time."""

from datetime import UTC, date, datetime

import asyncpg
import pytest

from billing.io.store import BillingStore
from billing.period import Period
from billing.reconcile import reconcile
from billing.tariff import (
    Cut,
    Tariff,
    TariffBilledError,
    TariffOverlapError,
    TariffUnknownError,
    VatRate,
    cuts,
    price_intervals,
)
from tests.billing.town import Town

ZONE = "Asia/Almaty"
RATES = (
    VatRate(valid_from=date(2009, 1, 1), rate_bp=1200),
    VatRate(valid_from=date(2026, 1, 1), rate_bp=1600),
)


def tariff(
    valid_from: str, valid_to: str | None = None, *, code: str = "household", price: int = 640_490
) -> Tariff:
    return Tariff(
        tariff_code=code,
        valid_from=date.fromisoformat(valid_from),
        valid_to=date.fromisoformat(valid_to) if valid_to else None,
        net_minor_per_1000_m3=price,
        currency="KZT",
        approved_by="a test",
    )


class TestPriceIntervals:
    """A month ..."""

    def test_has_one_price_when_nothing_changes(self) -> None:
        """Clipped to the month, from local midnight to local midnight."""
        (price,) = price_intervals([tariff("2020-01-01")], RATES, Period.month(2026, 1), ZONE)

        assert price.from_at == datetime(2025, 12, 31, 19, tzinfo=UTC)
        assert price.to_at == datetime(2026, 1, 31, 19, tzinfo=UTC)
        assert (price.tariff.net_minor_per_unit, price.vat_rate_bp) == (640_490, 1600)

    def test_is_cut_where_tariff_and_tax_change(self) -> None:
        """A longer stretch over two changes has three prices that touch."""
        tariffs = [tariff("2020-01-01", "2026-01-10", price=1), tariff("2026-01-10", price=2)]
        span = Period(start=date(2025, 12, 20), end=date(2026, 1, 20))

        found = price_intervals(tariffs, RATES, span, ZONE)

        assert [(one.tariff.net_minor_per_unit, one.vat_rate_bp) for one in found] == [
            (1, 1200),
            (1, 1600),
            (2, 1600),
        ]
        assert found[0].to_at == found[1].from_at == datetime(2025, 12, 31, 19, tzinfo=UTC)
        assert found[1].to_at == found[2].from_at == datetime(2026, 1, 9, 19, tzinfo=UTC)
        assert found[2].tariff.valid_from == date(2026, 1, 10)

    def test_has_no_price_before_the_first_and_after_the_last(self) -> None:
        """A day without an approved price is not billed at its neighbour's."""
        tariffs = [tariff("2026-01-05", "2026-01-10")]

        (price,) = price_intervals(tariffs, RATES, Period.month(2026, 1), ZONE)

        assert price.from_at == datetime(2026, 1, 4, 19, tzinfo=UTC)
        assert price.to_at == datetime(2026, 1, 9, 19, tzinfo=UTC)

    def test_has_no_price_without_a_tax_rate(self) -> None:
        """A price whose tax nobody knows is no price."""
        assert price_intervals([tariff("2020-01-01")], (), Period.month(2026, 1), ZONE) == ()

    def test_knows_a_rate_that_begins_inside(self) -> None:
        """The last rate has no successor; it holds from its own day only."""
        rates = (*RATES, VatRate(valid_from=date(2026, 1, 15), rate_bp=1800))

        found = price_intervals([tariff("2020-01-01")], rates, Period.month(2026, 1), ZONE)

        assert [one.vat_rate_bp for one in found] == [1600, 1800]

    def test_keeps_the_day_of_the_change_of_zone(self) -> None:
        """At 2024-03-01 00:00 the clocks went back to 23:00 (UTC+5): February had an hour more."""
        (price,) = price_intervals([tariff("2020-01-01")], RATES, Period.month(2024, 2), ZONE)

        assert price.from_at == datetime(2024, 1, 31, 18, tzinfo=UTC)
        assert price.to_at == datetime(2024, 2, 29, 19, tzinfo=UTC)


class TestCuts:
    """A register is needed ..."""

    def test_where_a_price_changes_inside_the_month_only(self) -> None:
        """Changes at its ends need none: a register is there anyway."""
        tariffs = [
            tariff("2020-01-01", "2026-01-15"),
            tariff("2026-01-15", "2026-02-01"),
            tariff("2026-01-20", code="shops"),
        ]

        found = cuts(tariffs, RATES, Period.month(2026, 1), ZONE)

        assert found == (
            Cut(tariff_code="household", at=datetime(2026, 1, 14, 19, tzinfo=UTC)),
            Cut(tariff_code="shops", at=datetime(2026, 1, 19, 19, tzinfo=UTC)),
        )

    def test_from_everybody_where_the_tax_changes(self) -> None:
        """VAT knows no tariff."""
        rates = (*RATES, VatRate(valid_from=date(2026, 1, 15), rate_bp=1800))

        found = cuts([], rates, Period.month(2026, 1), ZONE)

        assert found == (Cut(tariff_code=None, at=datetime(2026, 1, 14, 19, tzinfo=UTC)),)


class TestTariff:
    """A version of a tariff ..."""

    @pytest.mark.parametrize(
        "wrong",
        [
            {"tariff_code": "House Hold"},
            {"currency": "tenge"},
            {"valid_to": date(2026, 1, 1)},
            {"net_minor_per_1000_m3": -1},
            {"net_minor_per_1000_m3": 1_000_000_001},
        ],
    )
    def test_refuses_what_cannot_be_meant(self, wrong: dict[str, object]) -> None:
        """The schema would refuse it too, but less kindly."""
        values: dict[str, object] = {
            "tariff_code": "household",
            "valid_from": date(2026, 1, 1),
            "valid_to": None,
            "net_minor_per_1000_m3": 1,
            "currency": "KZT",
            "approved_by": "a test",
        }

        with pytest.raises(ValueError, match=r"tariff|currency|price"):
            Tariff(**(values | wrong))


class TestStoredTariffs:
    """The list of prices ..."""

    async def test_takes_versions_that_follow_each_other(self, pool: asyncpg.Pool) -> None:
        """The old one ends on the day on which the new one begins."""
        store = BillingStore(pool)
        await store.add_tariff(tariff("2025-01-01"))
        await store.end_tariff("household", valid_to=date(2026, 1, 1), zone=ZONE)

        await store.add_tariff(tariff("2026-01-01", price=700_000))

        assert await store.tariffs() == (
            tariff("2025-01-01", "2026-01-01"),
            tariff("2026-01-01", price=700_000),
        )

    @pytest.mark.parametrize("valid_from", ["2025-01-01", "2024-01-01", "2026-06-01"])
    async def test_refuses_two_prices_for_one_day(
        self, pool: asyncpg.Pool, valid_from: str
    ) -> None:
        """Nothing is closed by itself: whoever adds a price says when the old one ends."""
        store = BillingStore(pool)
        await store.add_tariff(tariff("2025-01-01"))

        with pytest.raises(TariffOverlapError, match="household already has a price"):
            await store.add_tariff(tariff(valid_from, price=1))

        assert len(await store.tariffs()) == 1

    async def test_refuses_to_end_what_is_not_open(self, pool: asyncpg.Pool) -> None:
        """A version has one end, and not before its beginning."""
        store = BillingStore(pool)
        await store.add_tariff(tariff("2025-01-01"))

        for code, day in (("nobody", "2026-01-01"), ("household", "2025-01-01")):
            with pytest.raises(TariffUnknownError):
                await store.end_tariff(code, valid_to=date.fromisoformat(day), zone=ZONE)
        await store.end_tariff("household", valid_to=date(2026, 1, 1), zone=ZONE)
        with pytest.raises(TariffUnknownError):
            await store.end_tariff("household", valid_to=date(2027, 1, 1), zone=ZONE)

    async def test_refuses_to_end_before_a_day_that_was_billed(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A bill quotes the price; it must not lose its day afterwards."""
        town = Town(owner)
        store = BillingStore(pool)
        await store.add_tariff(tariff("2025-01-01"))
        await town.home("1", {"2026-01-01T00:00+05:00": 0, "2026-02-01T00:00+05:00": 10})
        await reconcile(
            store=store,
            period=Period.month(2026, 1),
            at=datetime(2026, 2, 2, tzinfo=UTC),
            zone=ZONE,
        )

        with pytest.raises(TariffBilledError):
            await store.end_tariff("household", valid_to=date(2026, 1, 31), zone=ZONE)
        await store.end_tariff("household", valid_to=date(2026, 2, 1), zone=ZONE)

        assert (await store.tariffs())[0].valid_to == date(2026, 2, 1)
