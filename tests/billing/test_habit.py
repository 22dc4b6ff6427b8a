"""When a sum is so unusual that its resident is asked first."""

from datetime import date

import pytest

from billing.habit import Habit, PastBill, doubt


def habit(
    *past: tuple[int, int, int], estimated: bool = False, approved: int | None = None
) -> Habit:
    return Habit(
        period_start=date(2026, 1, 1),
        estimated=estimated,
        approved_minor=approved,
        past=tuple(
            PastBill(period_start=date(year, month, 1), total_minor=total)
            for year, month, total in past
        ),
    )


class TestDoubt:
    """A sum ..."""

    @pytest.mark.parametrize(("amount_minor", "why"), [(250, None), (251, "anomaly")])
    def test_is_unusual_above_two_and_a_half_times(
        self, amount_minor: int, why: str | None
    ) -> None:
        """Exactly two and a half times is still usual."""
        assert doubt(habit((2025, 1, 100)), amount_minor) == why

    def test_is_held_against_the_same_month_first(self) -> None:
        """A January is no summer: the summers would call every January unusual."""
        known = habit((2025, 1, 1_000), *((2025, month, 100) for month in (6, 7, 8)))

        assert doubt(known, 2_500) is None
        assert doubt(known, 2_501) == "anomaly"

    def test_is_held_against_the_median_of_the_last_bills(self) -> None:
        """No January before: the middle of the last ones, so that one odd month weighs little."""
        known = habit((2025, 10, 100), (2025, 11, 9_000), (2025, 12, 120))

        assert doubt(known, 300) is None
        assert doubt(known, 301) == "anomaly"

    def test_is_usual_where_nothing_is_known(self) -> None:
        """Two bills are no habit; a new account is not asked about every bill."""
        assert doubt(habit((2025, 11, 1), (2025, 12, 1)), 1_000_000) is None

    def test_counts_no_credit_as_a_habit(self) -> None:
        """Whoever got money back once is not unusual for ever after."""
        assert doubt(habit((2025, 1, -500)), 1_000) is None

    def test_is_doubtful_with_an_estimate(self) -> None:
        """Nobody read the meter; nobody is debited for a guess without being asked."""
        assert doubt(habit(estimated=True), 1) == "estimated"

    @pytest.mark.parametrize(("amount_minor", "why"), [(500, None), (501, "anomaly")])
    def test_is_certain_once_its_resident_said_so(self, amount_minor: int, why: str | None) -> None:
        """His word counts for what he saw, not for more."""
        assert doubt(habit((2025, 1, 100), approved=500), amount_minor) == why
