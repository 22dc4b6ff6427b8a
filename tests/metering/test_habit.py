"""A period as history: what it may be, and when it counts."""

from typing import Any

import pytest

from metering.habit import PeriodUse, in_heating_season, made_up_in_a_row
from metering.quality import Quality
from metering.rule import DEFAULTS, Code, Rule

USE: dict[str, Any] = {"days": 30, "volume_dm3": 0, "quality": Quality.ACTUAL}


class TestPeriodUse:
    """The gas of a period ..."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"days": 0},
            {"days": -1},
            {"made_up_days": -1},
            {"made_up_days": 31},
            {"volume_dm3": -1},
            {"degree_days_tenths": -1},
        ],
    )
    def test_is_refused_when_it_cannot_be(self, changes: dict[str, Any]) -> None:
        """A period without a day would divide by nothing."""
        with pytest.raises(ValueError, match=r"period|negative"):
            PeriodUse(**{**USE, **changes})

    @pytest.mark.parametrize(
        "changes", [{"days": 1}, {"made_up_days": 30}, {"degree_days_tenths": 0}]
    )
    def test_may_be_as_small_as_can_be(self, changes: dict[str, Any]) -> None:
        """One day, all of it estimated, or as warm as a room."""
        assert PeriodUse(**{**USE, **changes}).volume_dm3 == 0

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({}, False),
            ({"made_up_days": 15}, False),
            ({"made_up_days": 16}, True),
            ({"quality": Quality.ESTIMATED}, True),
            ({"quality": Quality.SUBSTITUTED}, True),
            ({"quality": Quality.NORM}, True),
            ({"quality": Quality.REJECTED}, True),
            ({"quality": Quality.CUSTOMER}, False),
            ({"quality": Quality.EDITED}, False),
            # Estimated in part only: the days say how much.
            ({"quality": Quality.ESTIMATED, "made_up_days": 3}, False),
        ],
    )
    def test_is_no_history_when_most_of_it_was_made_up(
        self, changes: dict[str, Any], *, expected: bool
    ) -> None:
        """An estimate made from an estimate drifts away from the home."""
        assert PeriodUse(**{**USE, **changes}).mostly_made_up is expected


class TestMadeUpInARow:
    """The made-up periods in a row ..."""

    @pytest.mark.parametrize(
        ("qualities", "count"),
        [
            ([], 0),
            ([Quality.NORM, Quality.ACTUAL], 0),
            ([Quality.ACTUAL, Quality.NORM, Quality.SUBSTITUTED], 2),
            ([Quality.ESTIMATED] * 4, 4),
            ([Quality.NORM, Quality.EDITED, Quality.NORM], 1),
        ],
    )
    def test_end_with_the_newest(self, qualities: list[Quality], count: int) -> None:
        """What lies before a measured period is forgiven."""
        assert made_up_in_a_row(qualities) == count


class TestTheHeatingSeason:
    """The heating season ..."""

    @pytest.mark.parametrize(
        ("first", "last", "months"),
        [
            (10, 4, [1, 2, 3, 4, 10, 11, 12]),
            # South of the equator it does not pass the new year.
            (5, 9, [5, 6, 7, 8, 9]),
            (7, 7, [7]),
        ],
    )
    def test_may_pass_the_new_year(self, first: int, last: int, months: list[int]) -> None:
        """From its first month to its last, both included."""
        zero = DEFAULTS[Code.ZERO]
        rule = Rule(
            number=zero.number,
            code=zero.code,
            version="1",
            outcome=zero.outcome,
            figures={"heating_first_month": first, "heating_last_month": last},
        )

        assert [month for month in range(1, 13) if in_heating_season(month, rule)] == months
