"""The days of a meter: which were read, and of the rest why not."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.period import Calendar
from metering.gaps import (
    DAILY,
    HOURLY,
    BadSpanError,
    DayRead,
    DayState,
    DeclaredGap,
    GapReason,
    Heard,
    gap_map,
    local_days,
    missing_runs,
    recent,
    rhythm_of,
    span,
)
from metering.installation import Installation
from metering.survey import Days

ALMATY = Calendar(zone="Asia/Almaty")
BERLIN = Calendar(zone="Europe/Berlin")
# 5 February in Almaty begins at 19:00 UTC of the 4th.
FIFTH = date(2026, 2, 5)
LONG_AFTER = datetime(2026, 3, 1, tzinfo=UTC)


def stay(installed_at: datetime, removed_at: datetime | None = None) -> Installation:
    down = removed_at is not None
    return Installation(
        meter_id="AQ-1",
        installed_at=installed_at,
        account_id="A-1",
        supply_point_id="SP-1",
        opening_dm3=100,
        removed_at=removed_at,
        closing_dm3=200 if down else None,
        closing_turns=0 if down else None,
    )


def gap(
    from_day: date, to_day: date, reason: GapReason = GapReason.WORKSHOP, *, back: bool = False
) -> DeclaredGap:
    return DeclaredGap(
        gap_id=UUID(int=1),
        meter_id="AQ-1",
        from_day=from_day,
        to_day=to_day,
        reason=reason,
        because="in the workshop",
        declared_by="a clerk",
        declared_at=LONG_AFTER,
        withdrawn_by="a clerk" if back else None,
        withdrawn_because="it was another meter" if back else None,
        withdrawn_at=LONG_AFTER if back else None,
    )


HUNG = [stay(datetime(2026, 1, 1, tzinfo=UTC))]


def one_day(
    *,
    stays: list[Installation] | None = None,
    heard: Heard | None = None,
    declared: tuple[DeclaredGap, ...] = (),
    at: datetime = LONG_AFTER,
    rhythm: str = "diaphragm",
) -> DayRead:
    """Return the map of the fifth alone."""
    [day] = gap_map(
        local_days(Days(start=FIFTH, end=FIFTH + timedelta(days=1)), ALMATY),
        stays=HUNG if stays is None else stays,
        heard={} if heard is None else {FIFTH: heard},
        declared=declared,
        rhythm=rhythm_of(rhythm),
        at=at,
    )
    return day


class TestADay:
    """A local day of a meter ..."""

    def test_is_read_with_one_trusted_register(self) -> None:
        """However much nonsense stands beside it, and whatever was declared."""
        day = one_day(heard=Heard(billable=1, suspect=9), declared=(gap(FIFTH, date(2026, 2, 6)),))

        assert (day.state, day.billable, day.suspect) == (DayState.READ, 1, 9)
        assert day.declared is GapReason.WORKSHOP

    def test_that_only_lied_is_not_missing(self) -> None:
        """The meter is there and speaks; what it says waits on another list."""
        assert one_day(heard=Heard(suspect=1)).state is DayState.SUSPECT_ONLY

    def test_of_silence_is_missing_unless_somebody_said_why(self) -> None:
        """A word for the day before or the day after is none for this one."""
        fourth, sixth, seventh = date(2026, 2, 4), date(2026, 2, 6), date(2026, 2, 7)

        assert one_day().state is DayState.MISSING
        assert one_day(declared=(gap(fourth, FIFTH),)).state is DayState.MISSING
        assert one_day(declared=(gap(sixth, seventh),)).state is DayState.MISSING
        assert one_day(declared=(gap(fourth, sixth),)).state is DayState.DECLARED

    def test_is_missing_again_when_the_word_is_withdrawn(self) -> None:
        """A gap declared for the wrong meter must not hide anything a day longer."""
        day = one_day(declared=(gap(FIFTH, date(2026, 2, 6), back=True),))

        assert (day.state, day.declared) == (DayState.MISSING, None)

    @pytest.mark.parametrize(
        ("meter_type", "before", "due"),
        [
            # The day ends at 19:00 UTC of the 5th: twelve hours later, or half an hour.
            ("diaphragm", "2026-02-06T06:59Z", "2026-02-06T07:00Z"),
            ("pulse", "2026-02-05T19:29Z", "2026-02-05T19:30Z"),
            ("somebody_s", "2026-02-06T06:59Z", "2026-02-06T07:00Z"),
        ],
    )
    def test_is_not_missed_before_it_is_due(self, meter_type: str, before: str, due: str) -> None:
        """Half a rhythm of patience, as the rules of belief have it; then somebody has to look."""
        assert (
            one_day(at=datetime.fromisoformat(before), rhythm=meter_type).state is DayState.NOT_DUE
        )
        assert one_day(at=datetime.fromisoformat(due), rhythm=meter_type).state is DayState.MISSING

    def test_is_nobodys_before_it_hung_and_after(self) -> None:
        """Down at the very midnight is down; up at the next one is not yet up."""
        midnight, next_one = (datetime(2026, 2, day, 19, tzinfo=UTC) for day in (4, 5))

        for stays in ([], [stay(next_one)], [stay(datetime(2026, 1, 1, tzinfo=UTC), midnight)]):
            day = one_day(stays=stays, heard=Heard(suspect=2))
            assert (day.state, day.expected) == (DayState.NOT_INSTALLED, 0)

    def test_is_read_where_a_person_wrote_the_register_down(self) -> None:
        """Hung up at noon, or taken down: the register of that day is on paper."""
        noon = datetime(2026, 2, 5, 7, tzinfo=UTC)

        assert one_day(stays=[stay(noon)]).state is DayState.READ
        down = one_day(stays=[stay(datetime(2026, 1, 1, tzinfo=UTC), noon)])
        assert (down.state, down.billable) == (DayState.READ, 0)

    def test_of_an_hourly_meter_owes_as_many_as_it_has_hours(self) -> None:
        """23 when the clocks go forward, 25 when they go back; half a day owes its hours only."""
        summer, winter = date(2026, 3, 29), date(2026, 10, 25)
        expected = []
        for day in (summer, winter):
            local = local_days(Days(start=day, end=day + timedelta(days=1)), BERLIN)
            [read] = gap_map(local, stays=HUNG, heard={}, declared=(), rhythm=HOURLY, at=LONG_AFTER)
            expected.append(read.expected)

        assert expected == [23, 25]
        half = [stay(datetime(2026, 2, 5, 9, 30, tzinfo=UTC))]
        assert one_day(stays=half, rhythm="pulse").expected == 9
        assert one_day(stays=half).expected == 1

    def test_of_a_type_nobody_knows_speaks_daily(self) -> None:
        """Nobody is called late on a guess."""
        assert rhythm_of("ultrasonic") is HOURLY
        assert rhythm_of("diaphragm_g4") is DAILY
        assert rhythm_of("camera") is DAILY


class TestRuns:
    """Missing days in a row ..."""

    def test_are_one_gap_until_another_day_stands_between(self) -> None:
        """Two gaps with a declared day between them are two things to look at."""
        days = local_days(Days(start=date(2026, 2, 1), end=date(2026, 2, 8)), ALMATY)
        found = gap_map(
            days,
            stays=HUNG,
            heard={date(2026, 2, 1): Heard(billable=1)},
            declared=[gap(date(2026, 2, 4), FIFTH)],
            rhythm=DAILY,
            at=LONG_AFTER,
        )

        assert missing_runs(found) == (
            Days(start=date(2026, 2, 2), end=date(2026, 2, 4)),
            Days(start=date(2026, 2, 5), end=date(2026, 2, 8)),
        )

    @given(heard=st.sets(st.integers(0, 30)), backfilled=st.sets(st.integers(0, 30)))
    def test_only_shrink_when_something_comes_late(
        self, heard: set[int], backfilled: set[int]
    ) -> None:
        """A late register closes its own day and opens no other."""
        first = date(2026, 1, 5)
        days = local_days(Days(start=first, end=first + timedelta(days=31)), ALMATY)

        def missing(read: set[int]) -> set[date]:
            found = gap_map(
                days,
                stays=HUNG,
                heard={first + timedelta(days=day): Heard(billable=1) for day in read},
                declared=(),
                rhythm=DAILY,
                at=LONG_AFTER,
            )
            runs = missing_runs(found)
            return {
                run.start + timedelta(days=number) for run in runs for number in range(run.count)
            }

        late = {first + timedelta(days=day) for day in backfilled}
        assert missing(heard | backfilled) == missing(heard) - late


class TestSpan:
    """The days that are asked for ..."""

    def test_are_the_recent_ones_when_nobody_says(self) -> None:
        """31 days that are over, and the one that runs."""
        today = date(2026, 2, 10)

        assert recent(today) == Days(start=date(2026, 1, 10), end=date(2026, 2, 11))
        assert span(None, None, today=today) == recent(today)
        assert span(date(2026, 1, 1), None, today=today).end == date(2026, 2, 2)
        assert span(None, date(2026, 2, 2), today=today).start == date(2026, 1, 1)

    @pytest.mark.parametrize(
        ("from_day", "to_day"),
        [
            (date(2026, 2, 1), date(2026, 2, 1)),
            (date(2026, 2, 2), date(2026, 2, 1)),
            (date(2025, 1, 1), date(2026, 2, 6)),
        ],
    )
    def test_are_some_but_not_too_many(self, from_day: date, to_day: date) -> None:
        """401 days are more than one answer shows; none is a mistake."""
        with pytest.raises(BadSpanError):
            span(from_day, to_day, today=to_day)

    def test_reach_over_a_year_and_a_month(self) -> None:
        """Enough to look at the same days last year."""
        assert span(date(2025, 1, 1), date(2026, 2, 5), today=FIFTH).count == 400

    def test_of_a_declared_gap_hold_one_at_least(self) -> None:
        """A gap without a day would be a word about nothing."""
        with pytest.raises(ValueError, match="one day"):
            gap(FIFTH, FIFTH)
