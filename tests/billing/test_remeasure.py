"""The gas of one installation measured anew."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from billing.bill import Quality
from billing.rating import Usage
from billing.remeasure import BrokenLine, Known, Sighting, remeasure
from metering.installation import Installation
from metering.reading import Mark

DIAL_DM3 = 100_000_000
# Four months of thirty days; the meter was hung up with the first.
HUNG = datetime(2026, 1, 1, tzinfo=UTC)
MONTH = timedelta(days=30)
ENDS = [HUNG + MONTH * number for number in range(5)]
MONTHS = [date(2026, number, 1) for number in range(1, 5)]


def mark(at: datetime, register_dm3: int) -> Mark:
    return Mark(read_at=at, register_dm3=register_dm3, turns=0)


def line(registers: list[int], *, estimated: tuple[int, ...] = ()) -> list[tuple[date, Usage]]:
    """Return the stretches between registers at the ends of months, by their numbers."""
    quality = [
        Quality.ESTIMATED if number in estimated else Quality.READ
        for number in range(len(registers))
    ]
    return [
        (
            MONTHS[number],
            Usage(
                meter_id="AQ-1",
                installed_at=HUNG,
                account_id="AC-1",
                supply_point_id="SP-1",
                from_at=ENDS[number],
                to_at=ENDS[number + 1],
                opening_register_dm3=registers[number],
                opening_turns=0,
                opening_read_at=ENDS[number],
                opening_quality=quality[number],
                closing_register_dm3=registers[number + 1],
                closing_turns=0,
                closing_read_at=ENDS[number + 1],
                closing_quality=quality[number + 1],
                volume_dm3=registers[number + 1] - registers[number],
            ),
        )
        for number in range(len(registers) - 1)
    ]


def known(
    corrected: dict[int, int] | None = None, sightings: dict[int, Sighting] | None = None
) -> Known:
    """Say what holds since, by the numbers of the months' ends."""
    return Known(
        installation=Installation(
            meter_id="AQ-1",
            installed_at=HUNG,
            account_id="AC-1",
            supply_point_id="SP-1",
            opening_dm3=0,
            removed_at=None,
            closing_dm3=None,
            closing_turns=None,
        ),
        dial_dm3=DIAL_DM3,
        corrected={
            ENDS[number]: mark(ENDS[number], it) for number, it in (corrected or {}).items()
        },
        sightings={ENDS[number]: it for number, it in (sightings or {}).items()},
    )


def volumes(found: dict[date, tuple[Usage, ...]] | BrokenLine) -> dict[int, int]:
    assert not isinstance(found, BrokenLine)
    return {start.month: sum(one.volume_dm3 for one in usages) for start, usages in found.items()}


class TestACorrectedRegister:
    """A register that was read and corrected ..."""

    def test_ends_one_month_and_opens_the_next(self) -> None:
        """What January loses February gains."""
        found = remeasure(line([0, 100, 150, 400]), known(corrected={1: 90}))

        assert volumes(found) == {1: 90, 2: 60}

    def test_changes_nothing_where_nobody_quotes_it(self) -> None:
        """The end of a month that was not measured yet is nobody's business here."""
        assert remeasure(line([0, 100]), known(corrected={2: 90})) == {}

    def test_below_the_one_before_it_breaks_the_line(self) -> None:
        """Gas never flows back: a person must say more."""
        found = remeasure(line([0, 100, 150]), known(corrected={2: 90}))

        assert found == BrokenLine(meter_id="AQ-1", at=ENDS[2])

    def test_leaves_the_end_of_a_stay_alone(self) -> None:
        """The register at the installation was seen by the installer, whatever a telegram says."""
        assert remeasure(line([0, 100]), known(corrected={0: 90})) == {}


class TestAnEstimate:
    """A register that was estimated ..."""

    def test_below_the_next_register_stays(self) -> None:
        """Estimated 100, then read 150: the next bill makes it good by itself."""
        seen = {1: Sighting(low=mark(HUNG, 0), high=mark(ENDS[2], 150))}

        assert remeasure(line([0, 100, 150], estimated=(1,)), known(sightings=seen)) == {}

    def test_above_the_next_register_lies_on_a_line_between_those_read(self) -> None:
        """Estimated 100, then read 60 a month later: half of it in each month."""
        seen = {1: Sighting(low=mark(HUNG, 0), high=mark(ENDS[2], 60))}

        found = remeasure(line([0, 100], estimated=(1,)), known(sightings=seen))

        assert volumes(found) == {1: 30}
        assert not isinstance(found, BrokenLine)
        assert found[MONTHS[0]][0].closing_quality is Quality.ESTIMATED

    def test_goes_with_its_neighbours(self) -> None:
        """Three estimates in a row, and 40 read after four months: ten in each."""
        seen = {number: Sighting(low=mark(HUNG, 0), high=mark(ENDS[4], 40)) for number in (1, 2, 3)}

        found = remeasure(line([0, 10, 30, 60, 40][:4], estimated=(1, 2, 3)), known(sightings=seen))

        assert volumes(found) == {2: 10, 3: 10}

    def test_gives_way_to_a_register_of_its_day(self) -> None:
        """The telegram of the evening before came two weeks late: it is what it is."""
        evening = mark(ENDS[1] - timedelta(hours=3), 80)
        seen = {1: Sighting(near=evening, low=evening, high=mark(ENDS[2], 150))}

        found = remeasure(line([0, 100, 150], estimated=(1,)), known(sightings=seen))

        assert volumes(found) == {1: 80, 2: 70}
        assert not isinstance(found, BrokenLine)
        assert found[MONTHS[0]][0].closing_quality is Quality.READ

    def test_below_an_earlier_register_is_lifted(self) -> None:
        """Read 120 on the tenth, a month estimated at 100: at least what the dial showed."""
        tenth = mark(HUNG + timedelta(days=10), 120)

        found = remeasure(line([0, 100], estimated=(1,)), known(sightings={1: Sighting(low=tenth)}))

        assert volumes(found) == {1: 120}

    def test_gives_energy_in_the_same_proportion(self) -> None:
        """It is the same gas: half the volume is half the heat."""
        ((start, usage),) = line([0, 100])
        fuelled = [(start, replace(usage, energy_wh=1_000))]

        found = remeasure(fuelled, known(corrected={1: 50}))

        assert not isinstance(found, BrokenLine)
        assert found[MONTHS[0]][0].energy_wh == 500


class TestAllGas:
    """The gas of all months together ..."""

    @given(
        registers=st.lists(st.integers(0, 1_000), min_size=4, max_size=4).map(sorted),
        estimated=st.sets(st.integers(1, 4)),
        corrected=st.dictionaries(st.integers(1, 4), st.integers(0, 1_000)),
        near=st.dictionaries(st.integers(1, 4), st.integers(0, 1_000)),
        high_dm3=st.integers(0, 2_000),
    )
    def test_is_last_register_less_first(
        self,
        registers: list[int],
        estimated: set[int],
        corrected: dict[int, int],
        near: dict[int, int],
        high_dm3: int,
    ) -> None:
        """Whatever is said later: each month begins where the one before it ended."""
        before = line([0, *registers], estimated=tuple(estimated))
        seen = {
            number: Sighting(
                # What is trusted is trusted as corrected.
                near=mark(ENDS[number], corrected.get(number, near[number]))
                if number in near
                else None,
                low=mark(HUNG, 0),
                high=mark(ENDS[4] + MONTH, high_dm3),
            )
            for number in estimated
        }

        found = remeasure(before, known(corrected, seen))

        if isinstance(found, BrokenLine):
            return
        now = [found[start][0] if start in found else usage for start, usage in before]
        assert all(
            one.closing_register_dm3 == two.opening_register_dm3 for one, two in pairwise(now)
        )
        assert all(usage.volume_dm3 >= 0 for usage in now)
        assert sum(usage.volume_dm3 for usage in now) == now[-1].closing_register_dm3
        assert remeasure(list(zip(MONTHS, now, strict=True)), known(corrected, seen)) == {}
