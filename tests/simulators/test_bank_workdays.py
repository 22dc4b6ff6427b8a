"""Working days of the bank's two rails, against published calendars."""

from datetime import UTC, date, datetime, timedelta

import pytest
from holidays import HolidayBase, country_holidays, financial_holidays

from simulators.bank.workdays import FIRST, KZ, LAST, TARGET, Calendar, DayUnknownError
from tests.simulators.teller import OpenBank, Teller, at


class TestCalendar:
    """A rail's calendar ..."""

    @pytest.mark.parametrize(
        ("day", "works"),
        [
            ("2026-01-02", False),  # the second day of the New Year
            ("2026-01-05", True),
            ("2026-01-07", False),  # Christmas
            ("2026-03-09", False),  # for 8 March, a Sunday
            ("2026-03-24", False),  # for a day of Nauryz on a weekend
            ("2026-03-26", True),
            ("2026-12-16", False),  # Independence Day
            ("2026-12-25", True),
        ],
    )
    def test_knows_kazakhstan(self, day: str, works: bool) -> None:  # noqa: FBT001 - a table
        """The law of 13 December 2001 on holidays, with days moved from weekends."""
        assert KZ.works_on(date.fromisoformat(day)) is works

    @pytest.mark.parametrize(
        ("day", "works"),
        [
            ("2026-01-01", False),
            ("2026-01-02", True),
            ("2026-04-03", False),  # Good Friday
            ("2026-04-06", False),  # Easter Monday
            ("2026-05-01", False),
            ("2026-12-25", False),
            ("2026-12-28", True),
        ],
    )
    def test_knows_target(self, day: str, works: bool) -> None:  # noqa: FBT001 - a table
        """The six closing days the European Central Bank publishes."""
        assert TARGET.works_on(date.fromisoformat(day)) is works

    @pytest.mark.parametrize(
        ("calendar", "book"), [(KZ, country_holidays("KZ")), (TARGET, financial_holidays("ECB"))]
    )
    def test_is_the_librarys_on_every_day(self, calendar: Calendar, book: HolidayBase) -> None:
        """What was written down is what the library says today; else run scripts/closed_days."""
        days = (FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1))

        assert [day for day in days if calendar.works_on(day) != book.is_working_day(day)] == []

    def test_does_not_guess_beyond_what_was_written_down(self) -> None:
        """A day nobody knows is an error, never an ordinary Tuesday."""
        with pytest.raises(DayUnknownError, match="2060-01-01"):
            KZ.works_on(date(2060, 1, 1))

    def test_rolls_over_a_long_holiday(self) -> None:
        """Nauryz of 2026: five days closed in a row, from Saturday on."""
        assert KZ.roll(date(2026, 3, 21)) == date(2026, 3, 26)
        assert KZ.after(date(2026, 3, 20), 1) == date(2026, 3, 26)
        assert KZ.after(date(2026, 3, 20), 0) == date(2026, 3, 20)

    @pytest.mark.parametrize(
        ("calendar", "instant", "expected"),
        [
            (KZ, datetime(2026, 1, 15, 10, 59, 59, tzinfo=UTC), "2026-01-15"),
            (KZ, datetime(2026, 1, 15, 11, tzinfo=UTC), "2026-01-16"),
            (KZ, datetime(2026, 1, 16, 11, tzinfo=UTC), "2026-01-19"),
            (TARGET, datetime(2026, 1, 15, 14, 59, tzinfo=UTC), "2026-01-15"),
            (TARGET, datetime(2026, 1, 17, 9, tzinfo=UTC), "2026-01-19"),
        ],
    )
    def test_has_a_cut_off(self, calendar: Calendar, instant: datetime, expected: str) -> None:
        """Four o'clock in Almaty is too late for today's file; on Friday, Monday's takes it."""
        assert calendar.file_day(instant).isoformat() == expected


class TestChargeDate:
    """A charge date ..."""

    async def test_on_a_holiday_rolls_to_the_next_working_day(self, teller: Teller) -> None:
        """The payer is charged later than asked, never earlier."""
        mandate_id = await teller.mandate()

        _, weekend = await teller.ask(mandate_id, charge_date="2026-01-17")
        _, nauryz = await teller.ask(mandate_id, charge_date="2026-03-21")

        assert (weekend["charge_date"], nauryz["charge_date"]) == ("2026-01-19", "2026-03-26")

    async def test_left_out_is_the_earliest_that_the_mandate_shows(
        self, open_teller: OpenBank
    ) -> None:
        """Both move on together at the cut-off, past the weekend."""
        shown = {}
        for profile, hours in (("mock-kz", (10, 11)), ("sandbox-sepa", (14, 15))):
            teller = open_teller(profile)
            mandate_id = await teller.mandate()
            for hour in hours:
                await teller.advance(at(15, hour=hour))
                mandate = await teller.read("mandates", mandate_id)
                _, made = await teller.ask(mandate_id, charge_date=None)
                assert made["charge_date"] == mandate["next_possible_charge_date"]
                shown[profile, hour] = made["charge_date"]

        assert shown == {
            ("mock-kz", 10): "2026-01-16",
            ("mock-kz", 11): "2026-01-19",
            ("sandbox-sepa", 14): "2026-01-16",
            ("sandbox-sepa", 15): "2026-01-19",
        }

    async def test_years_ahead_is_refused(self, teller: Teller) -> None:
        """Nobody knows which days will be holidays then."""
        mandate_id = await teller.mandate()

        status, refusal = await teller.ask(mandate_id, charge_date="9999-12-31")

        assert (status, refusal["errors"][0]["field"]) == (422, "charge_date")

    async def test_of_a_retry_obeys_the_same_rules(self, teller: Teller) -> None:
        """A second try is a debit like the first."""
        payment_id = await teller.pay("Penniless")
        await teller.advance(at(15, hour=12))

        early, refusal = await teller.act("payments", payment_id, "retry", charge_date="2026-01-16")
        status, again = await teller.act("payments", payment_id, "retry", charge_date="2026-01-24")

        assert (early, refusal["message"]) == (422, "must be on or after 2026-01-19")
        assert (status, again["charge_date"]) == (200, "2026-01-26")
