"""Intervals between marks, as the rules about a row of them see it."""

from datetime import UTC, datetime, timedelta

import pytest

from metering.reading import Mark
from metering.series import Interval, epoch_s, intervals

START = datetime(2026, 1, 1, tzinfo=UTC)


def mark(hour: float, register_dm3: int, turns: int = 0) -> Mark:
    return Mark(read_at=START + timedelta(hours=hour), register_dm3=register_dm3, turns=turns)


class TestIntervals:
    """The gas between marks ..."""

    def test_is_counted_across_zero_in_any_order(self) -> None:
        """99,990 to 10 a turn later are 20; marks may come unsorted."""
        found = intervals([mark(2, 10, 1), mark(0, 99_900), mark(1, 99_990)], dial_dm3=100_000)

        assert [(one.from_at, one.to_at, one.volume_dm3) for one in found] == [
            (START, START + timedelta(hours=1), 90),
            (START + timedelta(hours=1), START + timedelta(hours=2), 20),
        ]

    def test_has_no_interval_without_time(self) -> None:
        """Two marks at one instant, an opening and a reading, are one place on the line."""
        found = intervals([mark(0, 5), mark(0, 6), mark(1, 8)], dial_dm3=100_000)

        assert [one.volume_dm3 for one in found] == [2]
        with pytest.raises(ValueError, match="after"):
            Interval(from_at=START, to_at=START, volume_dm3=0)

    def test_has_a_rate_in_whole_litres_an_hour(self) -> None:
        """100 dm3 in a quarter of an hour are 400 an hour; 100 in seven hours are 14.28."""
        for minutes, rate in ((15, 400), (420, 14)):
            one = Interval(from_at=START, to_at=START + timedelta(minutes=minutes), volume_dm3=100)
            assert one.rate_dm3_h == rate

    def test_names_instants_as_seconds(self) -> None:
        """1 January 2026 is 20,454 days after 1 January 1970; of 86,400 seconds each."""
        assert epoch_s(START) == 20_454 * 86_400
