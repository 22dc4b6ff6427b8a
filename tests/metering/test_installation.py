"""Where a meter hung, and the line of its marks."""

from datetime import UTC, datetime, timedelta

import pytest

from metering.installation import Installation, Line, Outside, locate
from metering.reading import Mark

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def day(number: float) -> datetime:
    return START + number * DAY


def hung(from_day: float, to_day: float | None = None) -> Installation:
    gone = to_day is not None
    return Installation(
        meter_id="AQ-1",
        installed_at=day(from_day),
        account_id="A-1",
        supply_point_id="SP-1",
        opening_dm3=100,
        removed_at=day(to_day) if to_day is not None else None,
        closing_dm3=900 if gone else None,
        closing_turns=1 if gone else None,
    )


class TestLocate:
    """Where an instant lies ..."""

    @pytest.mark.parametrize(
        ("at", "expected"),
        [
            (-1, Outside.BEFORE),
            (0, 0),
            (9.99, 0),
            (10, Outside.AFTER),
            (15, Outside.AFTER),
            (20, 1),
            (500, 1),
        ],
    )
    def test_is_half_open(self, at: float, expected: int | Outside) -> None:
        """The instant of the removal belongs to nobody, or to the next installation."""
        installations = [hung(0, 10), hung(20)]

        found = locate(installations, day(at))

        assert found == (installations[expected] if isinstance(expected, int) else expected)

    def test_is_before_everything_when_nothing_hung_yet(self) -> None:
        """A meter without installations has no after."""
        assert locate([], START) is Outside.BEFORE

    def test_passes_from_one_home_to_the_next(self) -> None:
        """Taken down and hung up at the same instant: the reading is the new home's."""
        installations = [hung(0, 10), hung(10)]

        assert locate(installations, day(10)) == installations[1]


class TestAnInstallation:
    """One meter in one place ..."""

    def test_is_removed_wholly_or_not(self) -> None:
        """A removal without its register would lose the last gas."""
        whole = hung(0, 10)

        with pytest.raises(ValueError, match="removal"):
            Installation(
                meter_id=whole.meter_id,
                installed_at=whole.installed_at,
                account_id=whole.account_id,
                supply_point_id=whole.supply_point_id,
                opening_dm3=0,
                removed_at=whole.removed_at,
                closing_dm3=None,
                closing_turns=None,
            )

    def test_does_not_end_before_it_begins(self) -> None:
        """Time runs one way."""
        with pytest.raises(ValueError, match="after"):
            hung(10, 10)


class TestALine:
    """The marks of one installation ..."""

    def test_runs_from_the_opening_to_the_closing(self) -> None:
        """Both ends are marks like any other: no reading may pass them."""
        line = Line(hung(0, 10), [])

        assert line.before(day(0)) == Mark(read_at=day(0), register_dm3=100, turns=0)
        assert line.before(day(5)) == Mark(read_at=day(0), register_dm3=100, turns=0)
        assert line.after(day(5)) == Mark(read_at=day(10), register_dm3=900, turns=1)

    def test_finds_the_nearest_marks(self) -> None:
        """In whatever order they became known."""
        marks = [Mark(read_at=day(n), register_dm3=100 + n, turns=0) for n in (7, 3)]
        line = Line(hung(0), marks)
        line.add(Mark(read_at=day(5), register_dm3=105, turns=0))

        assert line.before(day(4)).register_dm3 == 103
        assert line.before(day(5)).register_dm3 == 105
        after = line.after(day(5))
        assert after is not None
        assert after.register_dm3 == 107
        assert line.after(day(7)) is None
