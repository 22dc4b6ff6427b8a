"""Where a register lies on the line when a person vouches for it."""

from datetime import UTC, datetime, timedelta
from typing import Final

from metering.line import least_turns
from metering.reading import Mark

BEFORE: Final = Mark(read_at=datetime(2026, 2, 1, tzinfo=UTC), register_dm3=99_000, turns=2)
DIAL_DM3: Final = 100_000


def after(register_dm3: int, turns: int) -> Mark:
    return Mark(read_at=BEFORE.read_at + timedelta(days=1), register_dm3=register_dm3, turns=turns)


class TestLeastTurns:
    """The turns of a register that a person vouches for ..."""

    def test_are_those_before_when_the_register_grew_or_stood(self) -> None:
        """No gas at all is no turn either."""
        for register_dm3 in (99_000, 99_999):
            found = least_turns(register_dm3, dial_dm3=DIAL_DM3, before=BEFORE, after=None)
            assert found == 2

    def test_are_one_more_when_the_dial_passed_zero(self) -> None:
        """98 999 dm3 after 99 000 dm3 can only mean almost a whole dial."""
        assert least_turns(98_999, dial_dm3=DIAL_DM3, before=BEFORE, after=None) == 3

    def test_reach_the_mark_after_and_no_further(self) -> None:
        """The later mark is believed; a litre beyond it would have to flow back."""
        later = after(500, 3)

        assert least_turns(500, dial_dm3=DIAL_DM3, before=BEFORE, after=later) == 3
        assert least_turns(501, dial_dm3=DIAL_DM3, before=BEFORE, after=later) is None

    def test_do_not_exist_beyond_the_dial(self) -> None:
        """A dial that ends before 100 000 dm3 cannot show it."""
        assert least_turns(DIAL_DM3, dial_dm3=DIAL_DM3, before=BEFORE, after=None) is None
        assert least_turns(-1, dial_dm3=DIAL_DM3, before=BEFORE, after=None) is None
