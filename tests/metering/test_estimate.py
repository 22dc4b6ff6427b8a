"""What nobody measured: shared out exactly, estimated by the ladder, never negative."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.estimate import (
    Estimate,
    Filled,
    Impossible,
    Method,
    Rounding,
    Why,
    by_average,
    cpuc_units,
    estimate,
    fill,
)
from metering.habit import PeriodUse, still_days
from metering.quality import Quality
from metering.reading import Mark
from metering.rule import MeterType, standard_book
from metering.spread import day_weights, register_between, share_out

START = datetime(2026, 1, 1, tzinfo=UTC)
BOOK = standard_book(MeterType.DIAPHRAGM_G4)
DIAL_DM3 = 100_000


def mark(hour: float, register_dm3: int, turns: int = 0) -> Mark:
    return Mark(read_at=START + timedelta(hours=hour), register_dm3=register_dm3, turns=turns)


def past(volume_dm3: int, *, days: int = 30, quality: Quality = Quality.ACTUAL) -> PeriodUse:
    return PeriodUse(days=days, volume_dm3=volume_dm3, quality=quality)


class TestSharingOut:
    """A known sum ..."""

    @pytest.mark.parametrize(
        ("total", "weights", "expected"),
        [
            (10, [1, 1, 1], (4, 3, 3)),
            (11, [1, 1, 1], (4, 4, 3)),
            (100, [2, 1], (67, 33)),
            (100, [0, 1, 0], (0, 100, 0)),
            (5, [0, 0], (3, 2)),
            (0, [3, 4], (0, 0)),
            # 7 * 1/10 = 0.7, 7 * 4/10 = 2.8, 7 * 5/10 = 3.5: two litres left, to .8 and .7.
            (7, [1, 4, 5], (1, 3, 3)),
        ],
    )
    def test_goes_to_the_largest_remainders(
        self, total: int, weights: list[int], expected: tuple[int, ...]
    ) -> None:
        """Worked out by hand; of equal remainders the earlier gets the litre."""
        assert share_out(total, weights) == expected

    @given(
        total=st.integers(0, 10**12),
        weights=st.lists(st.integers(0, 10**9), min_size=1, max_size=40),
    )
    def test_is_exact(self, total: int, weights: list[int]) -> None:
        """Not a litre is lost or made, no part is negative, and none is off by a litre or more."""
        parts = share_out(total, weights)

        assert sum(parts) == total
        assert min(parts) >= 0
        whole = sum(weights)
        if whole:
            assert all(
                abs(part * whole - total * weight) < whole
                for part, weight in zip(parts, weights, strict=True)
            )

    @pytest.mark.parametrize(("total", "weights"), [(1, []), (-1, [1]), (1, [2, -1])])
    def test_is_never_negative(self, total: int, weights: list[int]) -> None:
        """A negative part would be a credit that nobody decided on."""
        with pytest.raises(ValueError, match="negative"):
            share_out(total, weights)


class TestRegisterBetween:
    """The register between two marks ..."""

    @pytest.mark.parametrize(
        ("hour", "register"), [(0.5, 1200), (1, 1300), (1.5, 1400), (2, 1500), (2.5, 1600)]
    )
    def test_lies_on_the_line(self, hour: float, register: int) -> None:
        """Published (DCS, exchange with outage): 1200 at 00:30, closing 1700 at 03:00."""
        found = register_between(
            START + timedelta(hours=hour),
            before=mark(0.5, 1200),
            after=mark(3, 1700),
            dial_dm3=DIAL_DM3,
        )

        assert found == mark(hour, register)

    def test_passes_zero(self) -> None:
        """From 99,990 to 10 a turn later are 20 dm3: half-way stands at zero, one turn on."""
        found = register_between(
            START + timedelta(hours=1),
            before=mark(0, 99_990),
            after=mark(2, 10, 1),
            dial_dm3=DIAL_DM3,
        )

        assert found == mark(1, 0, 1)

    @pytest.mark.parametrize(("hour", "register"), [(0, 50), (1, 50), (2, 50)])
    def test_may_stand_still_and_lie_at_an_end(self, hour: float, register: int) -> None:
        """A vacant home between two marks, and the marks themselves."""
        found = register_between(
            START + timedelta(hours=hour), before=mark(0, 50), after=mark(2, 50), dial_dm3=DIAL_DM3
        )

        assert found.register_dm3 == register

    def test_needs_two_instants(self) -> None:
        """One mark is no line."""
        with pytest.raises(ValueError, match="two marks"):
            register_between(START, before=mark(0, 50), after=mark(0, 50), dial_dm3=DIAL_DM3)

    @pytest.mark.parametrize(("hour", "last"), [(-1, 100), (3, 100), (1, 0)])
    def test_is_refused_outside_and_backwards(self, hour: float, last: int) -> None:
        """Beyond two registers it would be a guess with the name of a measurement."""
        with pytest.raises(ValueError, match="mark"):
            register_between(
                START + timedelta(hours=hour),
                before=mark(0, 50),
                after=mark(2, last),
                dial_dm3=DIAL_DM3,
            )


class TestFilling:
    """A gap between two registers ..."""

    @pytest.mark.parametrize(
        ("hours", "profile", "method"),
        [
            (3, [1, 2, 3], Method.LINEAR),
            (3.01, [1, 2, 3], Method.DEGREE_DAYS),
            (72, None, Method.FLAT),
            (72, [0, 0, 0], Method.FLAT),
        ],
    )
    def test_is_filled_by_the_rule_of_its_length(
        self, hours: float, profile: list[int] | None, method: Method
    ) -> None:
        """Three hours are a straight line whatever the weather."""
        filled = fill(
            before=mark(0, 0), after=mark(hours, 12), dial_dm3=DIAL_DM3, parts=3,
            profile=profile, book=BOOK,
        )  # fmt: skip

        assert filled.method is method
        assert filled.quality is Quality.SUBSTITUTED
        assert sum(filled.parts_dm3) == 12

    def test_follows_the_cold(self) -> None:
        """Three days of 10, 20 and 15 degree days and a base of 5: 15, 25, 20 of 60; 1,000 dm3."""
        profile = day_weights([100, 200, 150], base_tenths=50)
        assert profile == (150, 250, 200)

        filled = fill(
            before=mark(0, 99_500), after=mark(72, 500, 1), dial_dm3=DIAL_DM3, parts=3,
            profile=profile, book=BOOK,
        )  # fmt: skip

        assert filled == Filled(
            # 250.0, 416.67 and 333.33: the litre left goes to .67.
            parts_dm3=(250, 417, 333),
            quality=Quality.SUBSTITUTED,
            method=Method.DEGREE_DAYS,
        )

    def test_needs_all_temperatures(self) -> None:
        """Half a profile would give the warm days the gas of the cold."""
        assert day_weights([100, None, 150], base_tenths=50) is None
        assert day_weights([], base_tenths=50) is None
        assert day_weights([100, 0], base_tenths=0) == (100, 0)
        with pytest.raises(ValueError, match="negative"):
            day_weights([100], base_tenths=-1)

    @pytest.mark.parametrize(("parts", "profile"), [(0, None), (0, []), (2, [1]), (2, [1, 1, 1])])
    def test_needs_a_weight_for_each_part(self, parts: int, profile: list[int] | None) -> None:
        """A profile of another month would shift the gas by a day."""
        with pytest.raises(ValueError, match="one weight for each part"):
            fill(
                before=mark(0, 0), after=mark(72, 12), dial_dm3=DIAL_DM3, parts=parts,
                profile=profile, book=BOOK,
            )  # fmt: skip

    @given(
        first=st.integers(0, DIAL_DM3 - 1),
        used=st.integers(0, 10**6),
        hours=st.integers(1, 2_000),
        profile=st.lists(st.integers(0, 10_000), min_size=1, max_size=60),
    )
    def test_keeps_the_register(
        self, first: int, used: int, hours: int, profile: list[int]
    ) -> None:
        """However it is shared out, the next register is the one that was read."""
        turns, last = divmod(first + used, DIAL_DM3)

        filled = fill(
            before=mark(0, first), after=mark(hours, last, turns), dial_dm3=DIAL_DM3,
            parts=len(profile), profile=profile, book=BOOK,
        )  # fmt: skip

        assert sum(filled.parts_dm3) == used
        assert min(filled.parts_dm3) >= 0

    def test_is_refused_backwards(self) -> None:
        """Then one of the two registers is wrong."""
        with pytest.raises(ValueError, match="below"):
            fill(
                before=mark(0, 5), after=mark(1, 4), dial_dm3=DIAL_DM3, parts=1, profile=None,
                book=BOOK,
            )  # fmt: skip


LADDER = {
    "same period last year": (
        past(93_000, days=31), past(60_000), [], Method.LAST_YEAR, 90_000, Quality.ESTIMATED,
        Why.NO_CLOSING_REGISTER,
    ),
    "last year was estimated": (
        past(93_000, quality=Quality.ESTIMATED), past(60_000), [], Method.PREVIOUS, 60_000,
        Quality.ESTIMATED, Why.NO_LAST_YEAR,
    ),
    "last year was too short": (
        past(93_000, days=14), past(60_000), [], Method.PREVIOUS, 60_000, Quality.ESTIMATED,
        Why.NO_LAST_YEAR,
    ),
    "last year was long enough": (
        past(45_000, days=15), past(60_000), [], Method.LAST_YEAR, 90_000, Quality.ESTIMATED,
        Why.NO_CLOSING_REGISTER,
    ),
    "no history": (None, None, [], Method.NORM, 24_500, Quality.NORM, Why.NO_HISTORY),
    "the month before was the norm": (
        None, past(20_000, quality=Quality.NORM), [Quality.NORM], Method.NORM, 24_500,
        Quality.NORM, Why.NO_HISTORY,
    ),
    "the third in a row": (
        past(90_000), None, [Quality.ACTUAL, Quality.ESTIMATED, Quality.ESTIMATED],
        Method.LAST_YEAR, 90_000, Quality.ESTIMATED, Why.NO_CLOSING_REGISTER,
    ),
    "the fourth in a row": (
        past(90_000), None, [Quality.ESTIMATED] * 3, Method.NORM, 24_500, Quality.NORM,
        Why.TOO_MANY_IN_A_ROW,
    ),
}  # fmt: skip


class TestTheLadder:
    """A period without a closing register ..."""

    @pytest.mark.parametrize(
        ("last_year", "previous", "qualities", "method", "volume", "quality", "why"),
        LADDER.values(),
        ids=LADDER,
    )
    def test_takes_the_first_step_that_is_there(
        self,
        last_year: PeriodUse | None,
        previous: PeriodUse | None,
        qualities: list[Quality],
        method: Method,
        volume: int,
        quality: Quality,
        why: Why,
    ) -> None:
        """Thirty days; the norm is 24.5 m3, one person with stove and heater (Tatarstan)."""
        found = estimate(
            days=30, last_year=last_year, previous=previous, norm_dm3_month=24_500,
            qualities=qualities, book=BOOK,
        )  # fmt: skip

        assert isinstance(found, Estimate)
        assert (found.method, found.volume_dm3, found.quality, found.why) == (
            method, volume, quality, why,
        )  # fmt: skip
        assert (found.inspect is not None) is (why is Why.TOO_MANY_IN_A_ROW)

    def test_says_when_nothing_is_left(self) -> None:
        """No history and no norm: better no bill than an invented one; somebody goes to look."""
        found = estimate(
            days=30, last_year=past(90_000), previous=None, norm_dm3_month=None,
            qualities=[Quality.NORM] * 5, book=BOOK,
        )  # fmt: skip

        assert isinstance(found, Impossible)
        assert found.why is Why.TOO_MANY_IN_A_ROW
        assert found.inspect is not None
        assert dict(found.inspect.figures) == {"periods": 6}

    @pytest.mark.parametrize(("days", "norm"), [(0, 24_500), (30, -1)])
    def test_needs_days_and_a_norm_that_can_be(self, days: int, norm: int) -> None:
        """A negative norm would pay people for burning gas."""
        with pytest.raises(ValueError, match="norm is not negative"):
            estimate(
                days=days, last_year=None, previous=None, norm_dm3_month=norm, qualities=[],
                book=BOOK,
            )  # fmt: skip

    def test_may_have_a_norm_of_nothing(self) -> None:
        """A summer house is allowed its zero."""
        found = estimate(
            days=1, last_year=None, previous=None, norm_dm3_month=0, qualities=[], book=BOOK
        )

        assert isinstance(found, Estimate)
        assert (found.volume_dm3, found.quality) == (0, Quality.NORM)

    def test_rounds_the_norm_half_up(self) -> None:
        """24,500 dm3 for thirty days are 25,316.67 for thirty-one."""
        found = estimate(
            days=31, last_year=None, previous=None, norm_dm3_month=24_500, qualities=[], book=BOOK
        )

        assert isinstance(found, Estimate)
        assert found.volume_dm3 == 25_317

    @given(
        days=st.integers(1, 366),
        volumes=st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)),
        history=st.tuples(st.integers(1, 366), st.integers(1, 366)),
        norm=st.none() | st.integers(0, 10**9),
        qualities=st.lists(st.sampled_from(Quality), max_size=6),
        rounding=st.sampled_from(Rounding),
    )
    def test_never_gives_gas_back(
        self,
        days: int,
        volumes: tuple[int, int],
        history: tuple[int, int],
        norm: int | None,
        qualities: list[Quality],
        rounding: Rounding,
    ) -> None:
        """An estimate is never negative, and never passes for a measurement."""
        found = estimate(
            days=days,
            last_year=past(volumes[0], days=history[0]),
            previous=past(volumes[1], days=history[1]),
            norm_dm3_month=norm,
            qualities=qualities,
            book=BOOK,
            rounding=rounding,
        )

        if isinstance(found, Estimate):
            assert found.volume_dm3 >= 0
            assert found.quality in {Quality.ESTIMATED, Quality.NORM}


class TestThePublishedRounding:
    """The chain of the Californian working group ..."""

    @pytest.mark.parametrize(
        ("average", "days", "constant", "units"),
        [
            # 3.345 -> 3.35 (published); * 30 = 100.50; cut to 100.
            ("3.345", 30, "1", 100),
            # 3.344 -> 3.34; * 30 = 100.20; cut to 100. 3.35 * 31 = 103.85; cut to 103.
            ("3.344", 30, "1", 100),
            ("3.345", 31, "1", 103),
            # 3.345 * 20 would be 66.9; rounded first it is 67.00.
            ("3.345", 20, "1", 67),
            # 67.00 / 10 = 6.7; cut to 6.
            ("3.345", 20, "10", 6),
            ("0", 30, "1", 0),
        ],
    )
    def test_rounds_twice_and_cuts_once(
        self, average: str, days: int, constant: str, units: int
    ) -> None:
        """In the order that was published (pswg3/msg00102), each step by hand."""
        assert cpuc_units(average=Decimal(average), days=days, constant=Decimal(constant)) == units

    def test_is_an_option_of_the_ladder(self) -> None:
        """100,350 dm3 in thirty days are 3.345 m3 a day: 67 m3 in twenty, against 66,900 dm3."""
        assert by_average(past(100_350), 20, Rounding.CPUC) == 67_000
        assert by_average(past(100_350), 20, Rounding.HALF_UP) == 66_900


class TestStillDays:
    """The days without gas ..."""

    @pytest.mark.parametrize(
        ("marks", "days"),
        [
            ([], 0),
            ([mark(0, 5)], 0),
            ([mark(0, 5), mark(24, 5), mark(47.9, 5)], 1),
            ([mark(0, 5), mark(24, 5), mark(48, 5)], 2),
            ([mark(0, 4), mark(24, 5), mark(48, 5)], 1),
            ([mark(0, 5), mark(24, 5, 1)], 0),
        ],
    )
    def test_are_counted_back_from_the_last_mark(self, marks: list[Mark], days: int) -> None:
        """Since the first mark with the last one's register; a whole turn is not standing still."""
        assert still_days(marks, dial_dm3=DIAL_DM3) == days
