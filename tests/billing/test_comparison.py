"""Why a bill differs from an earlier one, to the tiyn."""

from dataclasses import replace
from datetime import date
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from billing.paper.comparison import Part, Sums, compare, sums, supply
from tests.billing.bill_samples import BANDS, PLAIN, recorded, usage

# 100 m3 at 10.00 and 12 % in 31 days: 1000.00 net, 120.00 of tax; 310.00 standing, 37.20 of tax.
BEFORE: Final = Sums(
    bill_no="2025-12",
    period_start=date(2025, 12, 1),
    days=31,
    volume_dm3=100_000,
    gas_net_minor=100_000,
    standing_net_minor=31_000,
    vat_minor=15_720,
    other_minor=0,
    total_minor=146_720,
    degree_days_tenths=None,
)


def now(**changed: Any) -> Sums:
    """Return a bill like the earlier one but for what is changed; its total follows."""
    told = replace(BEFORE, bill_no="2026-01", **changed)
    total_minor = told.gas_net_minor + told.standing_net_minor + told.vat_minor + told.other_minor
    return replace(told, total_minor=total_minor)


def parts(later: Sums, earlier: Sums = BEFORE) -> dict[Part, int]:
    return dict(compare(later, earlier).parts)


amount = st.integers(min_value=-(10**9), max_value=10**9)
sums_of_any_bill = st.builds(
    replace,
    st.just(BEFORE),
    days=st.integers(1, 31),
    volume_dm3=st.integers(0, 10**7),
    gas_net_minor=amount,
    standing_net_minor=st.integers(0, 10**7),
    vat_minor=amount,
    other_minor=amount,
    degree_days_tenths=st.none() | st.integers(0, 20_000),
).map(
    lambda told: replace(
        told,
        total_minor=told.gas_net_minor
        + told.standing_net_minor
        + told.vat_minor
        + told.other_minor,
    )
)


class TestParts:
    """The parts of a difference ..."""

    def test_are_nothing_when_nothing_changed(self) -> None:
        """Every part is zero."""
        assert set(parts(now()).values()) == {0}

    def test_put_more_gas_to_the_volume(self) -> None:
        """20 m3 more at 10.00 and 12 %: 224.00."""
        more = now(volume_dm3=120_000, gas_net_minor=120_000, vat_minor=18_120)

        assert parts(more) == {
            Part.DAYS: 0,
            Part.VOLUME: 22_400,
            Part.PRICE: 0,
            Part.VAT: 0,
            Part.OTHER: 0,
        }

    def test_put_a_dearer_tariff_to_the_price(self) -> None:
        """The same 100 m3 at 11.00: 100.00 and its tax, 112.00."""
        dearer = now(gas_net_minor=110_000, vat_minor=16_920)

        assert {part: minor for part, minor in parts(dearer).items() if minor} == {
            Part.PRICE: 11_200
        }

    def test_put_a_higher_rate_to_the_tax(self) -> None:
        """16 % instead of 12 % on 1310.00: 52.40."""
        taxed = now(vat_minor=20_960)

        assert {part: minor for part, minor in parts(taxed).items() if minor} == {Part.VAT: 5_240}

    def test_put_fewer_days_to_the_days(self) -> None:
        """Half the days, half the gas, half the standing charge: all of it is the days'."""
        before = replace(BEFORE, days=30, standing_net_minor=30_000, vat_minor=15_600)
        before = replace(before, total_minor=145_600)
        half = now(
            days=15,
            volume_dm3=50_000,
            gas_net_minor=50_000,
            standing_net_minor=15_000,
            vat_minor=7_800,
        )

        assert {part: minor for part, minor in parts(half, before).items() if minor} == {
            Part.DAYS: -72_800
        }

    def test_put_a_penalty_to_the_rest(self) -> None:
        """In full: it is neither gas nor standing."""
        late = now(other_minor=1_234)

        assert {part: minor for part, minor in parts(late).items() if minor} == {Part.OTHER: 1_234}

    def test_put_what_the_cold_asked_for_to_the_weather(self) -> None:
        """A month a fifth colder asks for 120 m3; who burned 130 chose the last 10."""
        before = replace(BEFORE, degree_days_tenths=5_000)
        cold = now(
            volume_dm3=130_000,
            gas_net_minor=130_000,
            vat_minor=19_320,
            degree_days_tenths=6_000,
        )

        assert {part: minor for part, minor in parts(cold, before).items() if minor} == {
            Part.WEATHER: 22_400,
            Part.VOLUME: 11_200,
        }

    def test_do_not_speak_of_weather_in_summer(self) -> None:
        """Two degree days instead of one do not double what a stove burns."""
        before = replace(BEFORE, degree_days_tenths=10)
        warm = now(volume_dm3=90_000, gas_net_minor=90_000, degree_days_tenths=20)

        assert Part.WEATHER not in parts(warm, before)
        assert Part.WEATHER not in parts(now(degree_days_tenths=None), before)

    def test_use_todays_price_after_a_month_without_gas(self) -> None:
        """Nothing was burned, so there is no earlier price: all of it is the volume's."""
        idle = replace(
            BEFORE,
            volume_dm3=0,
            gas_net_minor=0,
            standing_net_minor=0,
            vat_minor=0,
            total_minor=0,
        )
        back = now(standing_net_minor=0, vat_minor=12_000)

        assert {part: minor for part, minor in parts(back, idle).items() if minor} == {
            Part.VOLUME: 112_000
        }

    @given(later=sums_of_any_bill, earlier=sums_of_any_bill)
    def test_add_up_to_the_difference(self, later: Sums, earlier: Sums) -> None:
        """To the tiyn, whatever the bills: what does not add up explains nothing."""
        compared = compare(later, earlier)

        assert sum(minor for _, minor in compared.parts) == compared.difference_minor
        assert len({part for part, _ in compared.parts}) == len(compared.parts)


class TestSums:
    """What is compared of a bill ..."""

    def test_is_gas_with_its_discounts_and_the_standing_charge(self) -> None:
        """34.567 m3 in three bands less a fifth of 15 m3; 310.00 standing."""
        told = sums(recorded(PLAIN, (BANDS,), social=True), degree_days_tenths=7)

        assert (told.days, told.volume_dm3) == (31, 34_567)
        assert told.standing_net_minor == 31_000
        # 128.10 + 83.26 + 58.50 - 19.21
        assert told.gas_net_minor == 25_065
        assert told.other_minor == 0
        assert told.total_minor == told.gas_net_minor + 31_000 + told.vat_minor

    def test_counts_the_days_of_supply(self) -> None:
        """A meter hung up at noon on the tenth counts that day."""
        late = recorded([usage(0, 5_000, start="2026-01-10T12:00")])

        assert supply(late) == (date(2026, 1, 10), date(2026, 2, 1))

    def test_counts_the_whole_period_where_nothing_says_more(self) -> None:
        """A bill without gas and without a standing charge."""
        assert supply(recorded([])) == (date(2026, 1, 1), date(2026, 2, 1))
