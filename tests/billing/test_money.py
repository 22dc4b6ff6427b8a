"""Whole minor units and the one rounding."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import money
from billing.money import Rounding


class TestRounding:
    """Half a tiyn ..."""

    @pytest.mark.parametrize(
        ("numerator", "denominator", "rounded"),
        [
            (0, 7, 0),
            (1, 2, 1),
            (5, 2, 3),
            (7, 2, 4),
            (4, 10, 0),
            (5, 10, 1),
            (6, 10, 1),
            (14, 7, 2),
        ],
    )
    def test_counts_as_a_whole_one(self, numerator: int, denominator: int, rounded: int) -> None:
        """2.5 becomes 3 and 3.5 becomes 4; rounding to even would make 2 of the first."""
        assert money.round_half_up_div(numerator, denominator) == rounded

    @given(numerator=st.integers(0, 10**30), denominator=st.integers(1, 10**12))
    def test_is_never_further_away_than_a_half(self, numerator: int, denominator: int) -> None:
        """The error is at most a half, and a half goes up."""
        error = money.round_half_up_div(numerator, denominator) - Fraction(numerator, denominator)

        assert Fraction(-1, 2) < error <= Fraction(1, 2)

    def test_is_not_defined_below_zero(self) -> None:
        """What we owe a resident is another fact, not a negative amount."""
        with pytest.raises(AssertionError):
            money.round_half_up_div(-1, 2)


class TestAmounts:
    """A volume ..."""

    def test_costs_its_share_of_the_price_of_1000_m3(self) -> None:
        """One m3 at 6404.90 tenge per 1000 m3 costs 6.4049, so 6.40."""
        assert money.round_half_up_div(1_000 * 640_490, money.DM3_PER_1000_M3) == 640

    @pytest.mark.parametrize(
        ("rounding", "expected"),
        [
            (Rounding.HALF_UP, [2, 3, 3, 4]),
            (Rounding.HALF_EVEN, [2, 2, 3, 4]),
            (Rounding.DOWN, [2, 2, 2, 3]),
        ],
    )
    def test_is_rounded_as_its_tariff_says(self, rounding: Rounding, expected: list[int]) -> None:
        """2.4, 2.5, 2.6 and 3.5 in the three ways; AGL published 357.15990 as 357.15."""
        found = [money.round_div(tenths, 10, rounding) for tenths in (24, 25, 26, 35)]
        assert found == expected

    def test_is_taxed_alike_when_it_is_given_back(self) -> None:
        """A discount of 0.05 carries the tax of 0.05, turned: 0.8 of a tiyn, so one."""
        assert money.vat_minor(net_minor=-5, vat_rate_bp=1_600) == -1

    def test_is_taxed_on_its_net_sum(self) -> None:
        """619.64 net carry 99.14 of VAT at 16 % (exact 99.1424)."""
        assert money.vat_minor(net_minor=61_964, vat_rate_bp=1_600) == 9_914
