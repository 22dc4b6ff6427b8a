"""Months in the town's own zone."""

from datetime import UTC, date, datetime, timedelta

import pytest

from billing.period import Period, local_day, midnight

ZONE = "Asia/Almaty"
MONTHS = [(year, month) for year in range(2024, 2041) for month in range(1, 13)]


class TestPeriod:
    """A billing month ..."""

    def test_spans_the_change_of_zone(self) -> None:
        """At 2024-03-01 00:00 Almaty went from UTC+6 to UTC+5: it was 23:00 again.

        So February had an hour more than its 29 days, and March began at 19:00 UTC.
        """
        start_at, end_at = Period.month(2024, 2).bounds(ZONE)

        assert start_at == datetime(2024, 1, 31, 18, tzinfo=UTC)
        assert end_at == datetime(2024, 2, 29, 19, tzinfo=UTC)
        assert end_at - start_at == timedelta(days=29, hours=1)
        assert Period.month(2024, 4).bounds(ZONE)[0] == datetime(2024, 3, 31, 19, tzinfo=UTC)

    @pytest.mark.parametrize(("year", "month"), MONTHS)
    def test_ends_where_the_next_one_begins(self, year: int, month: int) -> None:
        """No instant belongs to two months or to none."""
        period = Period.month(year, month)

        assert period.bounds(ZONE)[1] == period.next().bounds(ZONE)[0]
        assert period.end == period.next().start
        assert period.next().before() == period
        assert period.due_on == date(period.end.year, period.end.month, 25)
        assert Period.parse(period.label) == period

    @pytest.mark.parametrize(("year", "month"), MONTHS[2:])
    def test_begins_at_19_utc_since_the_change(self, year: int, month: int) -> None:
        """Since March 2024 local midnight is 19:00 UTC of the day before, all year."""
        end_at = Period.month(year, month).bounds(ZONE)[1]

        assert (end_at.hour, end_at.minute) == (19, 0)
        assert end_at.utcoffset() == timedelta(0)

    def test_knows_the_months_of_other_zones(self) -> None:
        """Where summer time exists, March has an hour less."""
        start_at, end_at = Period.month(2026, 3).bounds("Europe/Berlin")

        assert end_at - start_at == timedelta(days=31) - timedelta(hours=1)

    def test_holds_the_instants_of_its_days(self) -> None:
        """The last second of January belongs to January, the next one to February."""
        end_at = Period.month(2026, 1).bounds(ZONE)[1]

        assert Period.holding(end_at - timedelta(seconds=1), ZONE) == Period.month(2026, 1)
        assert Period.holding(end_at, ZONE) == Period.month(2026, 2)

    @pytest.mark.parametrize("text", ["2026-13", "2026-1", "2026", "26-01", "2026-01-01", ""])
    def test_is_written_in_one_way_only(self, text: str) -> None:
        """A month that could be read in two ways would be billed twice."""
        with pytest.raises(ValueError, match=r"month|2026-01"):
            Period.parse(text)

    def test_has_a_day_in_it(self) -> None:
        """An empty period would be over before it began."""
        with pytest.raises(ValueError, match="at least one day"):
            Period(start=date(2026, 1, 1), end=date(2026, 1, 1))


class TestDays:
    """A local day ..."""

    def test_begins_at_its_midnight(self) -> None:
        """The instant of midnight belongs to the day that it begins."""
        day = date(2026, 2, 20)

        assert local_day(midnight(day, ZONE), ZONE) == day
        assert local_day(midnight(day, ZONE) - timedelta(microseconds=1), ZONE) == date(2026, 2, 19)

    def test_is_asked_of_whole_instants_only(self) -> None:
        """An instant without a zone is a bug of ours."""
        with pytest.raises(AssertionError):
            local_day(datetime(2026, 1, 1), ZONE)  # noqa: DTZ001
