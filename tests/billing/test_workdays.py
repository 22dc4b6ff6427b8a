"""Days on which banks are open, and how long before its day a debit must be told."""

from datetime import date

import pytest

from billing import workdays
from billing.workdays import BankDays


class TestWorkingDays:
    """A working day ..."""

    @pytest.mark.parametrize(
        ("day", "kz", "target"),
        [
            (date(2026, 3, 20), True, True),  # a Friday like others
            (date(2026, 3, 21), False, False),  # a Saturday, and Nowruz
            (date(2026, 3, 23), False, True),  # Nowruz, a Monday
            (date(2026, 4, 3), True, False),  # Good Friday
            (date(2026, 5, 1), False, False),  # unity of the people, and labour day
            (date(2026, 12, 16), False, True),  # independence day
            (date(2026, 12, 25), True, False),  # Christmas
        ],
    )
    def test_is_one_where_the_bank_is(self, day: date, kz: bool, target: bool) -> None:  # noqa: FBT001
        """Read from two printed calendars; a day too many shortens somebody's time to react."""
        assert workdays.is_working_day(day, BankDays.KZ) is kz
        assert workdays.is_working_day(day, BankDays.TARGET) is target

    def test_is_that_of_the_currency(self) -> None:
        """Tenge go over banks in Kazakhstan, euro over TARGET."""
        assert workdays.bank_days("KZT") is BankDays.KZ
        assert workdays.bank_days("EUR") is BankDays.TARGET


class TestNoticeTime:
    """Whoever is told of a debit ..."""

    @pytest.mark.parametrize(
        ("told_on", "charge_on"),
        [
            (date(2026, 2, 2), date(2026, 2, 7)),  # Monday: Saturday, with four working days
            (date(2026, 2, 6), date(2026, 2, 11)),  # Friday: Monday, Tuesday, Wednesday
            (date(2026, 3, 19), date(2026, 3, 27)),  # the 20th, the 26th, the 27th are open
            (
                date(2026, 12, 31),
                date(2027, 1, 8),
            ),  # the 5th, the 6th, the 8th
        ],
    )
    def test_has_five_days_and_three_working_days(self, told_on: date, charge_on: date) -> None:
        """Counted on paper with the calendar of Kazakhstan."""
        assert workdays.earliest_charge_day(told_on, BankDays.KZ) == charge_on
        assert workdays.in_time(told_on, charge_on, BankDays.KZ)
        assert not workdays.in_time(
            told_on, date.fromordinal(charge_on.toordinal() - 1), BankDays.KZ
        )


class TestOrderTime:
    """An order that is given on one day ..."""

    @pytest.mark.parametrize(
        ("today", "charge_on"),
        [
            (date(2026, 2, 22), date(2026, 2, 25)),  # Sunday: three days, of which two are open
            (date(2026, 2, 20), date(2026, 2, 24)),  # Friday: Monday, and Tuesday
            (date(2026, 2, 18), date(2026, 2, 23)),  # Wednesday: the third day is a Saturday
            (date(2026, 3, 19), date(2026, 3, 26)),  # the 20th is open, and the first after Nowruz
            (date(2026, 3, 20), date(2026, 3, 27)),  # in the evening its file has left
            (date(2026, 3, 22), date(2026, 3, 27)),  # read on the 26th
            (date(2026, 5, 8), date(2026, 5, 13)),  # the 11th is free
        ],
    )
    def test_is_for_a_day_before_which_the_bank_has_one_more(
        self, today: date, charge_on: date
    ) -> None:
        """Counted on paper with the calendar of Kazakhstan; three days at least."""
        assert workdays.earliest_ordered_day(today, BankDays.KZ, lead_days=3) == charge_on

    def test_reaches_every_open_day_of_a_year(self) -> None:
        """None is left out, and a later order is never for an earlier day."""
        year = [date.fromordinal(date(2026, 1, 1).toordinal() + passed) for passed in range(380)]
        for days in BankDays:
            reached = [workdays.earliest_ordered_day(day, days, lead_days=3) for day in year]
            assert reached == sorted(reached)
            open_days = [day for day in year[20:] if workdays.is_working_day(day, days)]
            assert set(open_days) <= set(reached)
