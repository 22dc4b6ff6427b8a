"""What is true of every priced month, whatever its prices, terms and registers are."""

import random
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise

from hypothesis import assume, given
from hypothesis import strategies as st

from billing.bill import ChargeKind, HoldReason
from billing.money import Rounding
from billing.period import Period, midnight
from billing.rating import Household, Rated, Unpriced, Usage, rate
from billing.tariff import Band, NormPer, PriceInterval, Tariff, VatRate, price_intervals
from billing.terms import TermSpan

Month = tuple[tuple[Usage, ...], tuple[PriceInterval, ...], Household]

ZONE = "Asia/Almaty"
FEBRUARY = Period.month(2024, 2)
DAYS = FEBRUARY.days_with_end()
# 2024-02 had an hour more than its 29 days: the zone moved at its end.
VAT = (
    VatRate(valid_from=date(2009, 1, 1), rate_bp=1200),
    VatRate(valid_from=date(2024, 2, 10), rate_bp=1600),
)


def usage(from_at: datetime, to_at: datetime, volume_dm3: int, meter_id: str = "AQ-1") -> Usage:
    return Usage(
        meter_id=meter_id,
        installed_at=midnight(date(2024, 1, 1), ZONE),
        account_id="AC-1",
        supply_point_id="SP-1",
        from_at=from_at,
        to_at=to_at,
        opening_register_dm3=0,
        opening_turns=0,
        opening_read_at=from_at,
        closing_register_dm3=volume_dm3,
        closing_turns=0,
        closing_read_at=to_at,
        volume_dm3=volume_dm3,
    )


def versions(**more: object) -> tuple[Tariff, ...]:
    """Make two versions of one tariff, of which the second begins on the 20th."""
    edges = (date(2023, 1, 1), date(2024, 2, 20), None)
    return tuple(
        Tariff(
            **{  # type: ignore[arg-type]
                "tariff_code": "household",
                "valid_from": valid_from,
                "valid_to": valid_to,
                "net_minor_per_1000_m3": price,
                "currency": "KZT",
                "approved_by": "a test",
                **more,
            }
        )
        for valid_from, valid_to, price in (
            (edges[0], edges[1], 640_490),
            (edges[1], edges[2], 700_123),
        )
    )


def prices(tariffs: Sequence[Tariff], vat: Sequence[VatRate] = VAT) -> tuple[PriceInterval, ...]:
    return price_intervals(tariffs, vat, FEBRUARY, ZONE)


def household(*spans: TermSpan) -> Household:
    return Household(currency="KZT", spans=spans, period=FEBRUARY, zone=ZONE)


def span(from_day: date, to_day: date, *, persons: int = 1, social: bool = False) -> TermSpan:
    return TermSpan(
        from_day=from_day,
        to_day=to_day,
        tariff_code="household",
        persons=persons,
        social=social,
    )


def rated(found: Rated | Unpriced) -> Rated:
    assert isinstance(found, Rated)
    return found


@st.composite
def months(draw: st.DrawFn) -> Month:
    """Draw a month: registers on some days, bands, a change of price, tax and terms inside."""
    inside = draw(st.sets(st.sampled_from(DAYS[1:-1]), max_size=4))
    edges = [midnight(day, ZONE) for day in (DAYS[0], *sorted(inside), DAYS[-1])]
    hours = draw(st.integers(0, 30))
    edges[0] += timedelta(hours=hours)
    assume(edges[0] < edges[1])
    usages = tuple(usage(one, two, draw(st.integers(0, 200_000))) for one, two in pairwise(edges))
    bounds = sorted(draw(st.sets(st.integers(1, 300_000), max_size=3)))
    bands = tuple(
        Band(up_to=bound, multiplier_bp=draw(st.sampled_from([0, 10_000, 13_000])))
        for bound in (*bounds, None)
    )
    tariffs = versions(
        bands=bands,
        rounding=draw(st.sampled_from(Rounding)),
        norm_per=draw(st.sampled_from(NormPer)),
        standing_net_minor_per_1000_days=draw(st.integers(0, 99_999)),
        discount_bp=draw(st.integers(0, 10_000)),
        discount_norm=draw(st.none() | st.integers(1, 300_000)),
    )
    turn = draw(st.sampled_from(DAYS[1:-1]))
    spans = (
        span(DAYS[0], turn, persons=draw(st.integers(1, 9)), social=draw(st.booleans())),
        span(turn, DAYS[-1], persons=draw(st.integers(1, 9)), social=draw(st.booleans())),
    )
    return usages, prices(tariffs), household(*spans)


class TestEveryMonth:
    """Whatever the month is like ..."""

    @given(months())
    def test_the_lines_are_the_gas(self, month: Month) -> None:
        """No litre is lost between days, prices and bands, and none is charged twice."""
        usages, prices_, home = month

        lines = rated(rate(usages, prices_, home)).lines

        for one in usages:
            parts = [line for line in lines if one.from_at <= line.from_at < one.to_at]
            assert sum(line.volume_dm3 for line in parts) == one.volume_dm3
            assert all(line.volume_dm3 >= 0 for line in parts)
            days = {(line.from_at, line.days) for line in parts}
            assert sum(count for _, count in days) == parts[0].days_of

    @given(months(), st.randoms(use_true_random=False))
    def test_the_order_of_the_registers_does_not_matter(
        self, month: Month, dice: random.Random
    ) -> None:
        """Meters report in any order; a bill is one."""
        usages, prices_, home = month
        shuffled = list(usages)
        dice.shuffle(shuffled)

        assert rate(shuffled, prices_, home) == rate(usages, prices_, home)

    @given(months())
    def test_a_discount_is_never_more_than_its_line(self, month: Month) -> None:
        """It is for gas of that line, at most all of it."""
        found = rated(rate(*month))

        by_no = {line.line_no: line for line in found.lines}
        for charge in found.charges:
            if charge.kind is ChargeKind.DISCOUNT:
                assert charge.line_no is not None
                assert charge.quantity is not None
                line = by_no[charge.line_no]
                assert 0 < charge.quantity <= line.volume_dm3
                assert -line.net_minor <= charge.net_minor <= 0

    @given(months())
    def test_the_standing_charge_counts_every_day_of_supply_once(self, month: Month) -> None:
        """The meter was hung up some hours into the month: that day counts, one before does not."""
        usages, prices_, home = month
        assume(prices_[0].tariff.standing_net_minor_per_1000_days > 0)

        charges = rated(rate(usages, prices_, home)).charges

        standing = [one for one in charges if one.kind is ChargeKind.STANDING]
        late = usages[0].from_at >= midnight(DAYS[1], ZONE)
        assert sum(one.quantity or 0 for one in standing) == 29 - late


class TestAPeriod:
    """The same gas ..."""

    @given(volume_dm3=st.integers(0, 10_000_000), cut=st.sampled_from(DAYS[1:-1]))
    def test_is_as_much_when_its_price_is_cut(self, volume_dm3: int, cut: date) -> None:
        """A change of tax inside divides the gas, and makes none of it."""
        whole = usage(*FEBRUARY.bounds(ZONE), volume_dm3)
        vat = (VAT[0], VatRate(valid_from=cut, rate_bp=1600))
        tariffs = versions()[:1]
        home = household(span(DAYS[0], date(2024, 2, 20)))

        found = rate([whole], prices(tariffs, vat), home)

        assert found == Unpriced(meter_id="AQ-1", reason=HoldReason.NO_PRICE)
        home = household(span(DAYS[0], DAYS[-1]))
        lines = rated(rate([whole], prices(versions(), vat), home)).lines
        assert sum(line.volume_dm3 for line in lines) == volume_dm3

    def test_is_shared_by_the_days_that_each_price_held(self) -> None:
        """29 000 dm3 in February 2024: 9 days, 10 days and 10 days of a thousand each."""
        whole = usage(*FEBRUARY.bounds(ZONE), 29_000)

        found = rated(rate([whole], prices(versions()), household(span(DAYS[0], DAYS[-1]))))

        assert [(one.volume_dm3, one.days, one.vat_rate_bp) for one in found.lines] == [
            (9_000, 9, 1200),
            (10_000, 10, 1600),
            (10_000, 10, 1600),
        ]

    def test_waits_for_its_energy(self) -> None:
        """A price per GWh says nothing about litres."""
        tariffs = versions(net_minor_per_1000_m3=None, net_minor_per_gwh=6_247_500)
        whole = usage(*FEBRUARY.bounds(ZONE), 29_000)

        found = rate([whole], prices(tariffs), household(span(DAYS[0], DAYS[-1])))

        assert found == Unpriced(meter_id="AQ-1", reason=HoldReason.NO_ENERGY)
