"""Which value stands when there are two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.quality import RANKING, Quality, rank, replaces, worst

QUALITIES = st.sampled_from(Quality)


class TestRanking:
    """The ranking ..."""

    def test_is_as_it_is_written(self) -> None:
        """Measured, then said, then mended, then made up, then the norm."""
        assert sorted(Quality, key=rank, reverse=True) == [
            Quality.ACTUAL,
            Quality.ACTUAL_LATE,
            Quality.CUSTOMER,
            Quality.EDITED,
            Quality.SUBSTITUTED,
            Quality.ESTIMATED,
            Quality.NORM,
            Quality.REJECTED,
        ]

    def test_leaves_no_quality_out(self) -> None:
        """A quality without a rank would stop a billing run at night."""
        assert set(RANKING) == set(Quality)

    @given(one=QUALITIES, two=QUALITIES, three=QUALITIES)
    def test_is_total(self, one: Quality, two: Quality, three: Quality) -> None:
        """Any two compare, no two are equal, and better than better is better."""
        assert (rank(one) == rank(two)) == (one is two)
        assert (rank(one) < rank(two)) + (rank(one) > rank(two)) + (one is two) == 1
        if rank(one) > rank(two) > rank(three):
            assert rank(one) > rank(three)


class TestReplacing:
    """A newer value ..."""

    @pytest.mark.parametrize(
        ("new", "old", "expected"),
        [
            (Quality.ACTUAL, Quality.ESTIMATED, True),
            (Quality.ACTUAL_LATE, Quality.ESTIMATED, True),
            (Quality.ACTUAL_LATE, Quality.ACTUAL, False),
            (Quality.CUSTOMER, Quality.EDITED, True),
            (Quality.CUSTOMER, Quality.ACTUAL, False),
            (Quality.ESTIMATED, Quality.CUSTOMER, False),
            (Quality.NORM, Quality.ESTIMATED, False),
            (Quality.ESTIMATED, Quality.ESTIMATED, True),
            (Quality.NORM, Quality.NORM, True),
            (Quality.ACTUAL, Quality.ACTUAL, False),
            (Quality.CUSTOMER, Quality.CUSTOMER, False),
            (Quality.REJECTED, Quality.NORM, False),
            (Quality.REJECTED, Quality.REJECTED, False),
            (Quality.NORM, Quality.REJECTED, True),
        ],
    )
    def test_stands_when_it_is_better(self, new: Quality, old: Quality, *, expected: bool) -> None:
        """Or when it was made again; what was measured is measured once."""
        assert replaces(new, old) is expected

    @given(new=QUALITIES, old=QUALITIES)
    def test_never_goes_back_and_forth(self, new: Quality, old: Quality) -> None:
        """Two values of different quality cannot each replace the other."""
        if new is not old:
            assert not (replaces(new, old) and replaces(old, new))


class TestWorst:
    """The quality of a whole ..."""

    def test_is_that_of_its_weakest_part(self) -> None:
        """A month with one estimated day is an estimated month."""
        assert worst([Quality.ACTUAL, Quality.ESTIMATED, Quality.ACTUAL]) is Quality.ESTIMATED

    def test_needs_a_part(self) -> None:
        """Nothing has no quality."""
        with pytest.raises(ValueError, match="empty"):
            worst([])
