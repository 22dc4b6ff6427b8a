"""Prices and VAT over time."""

from datetime import UTC, date, datetime

import pytest

from billing.period import Period
from billing.tariff import (
    Cut,
    Tariff,
    VatRate,
    cuts,
    price_intervals,
)

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
