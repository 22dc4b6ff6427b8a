"""The gas of a home across exchanges, and the sum that must come out."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.consumption import register_at
from metering.installation import Installation
from metering.meter import Meter
from metering.reading import Mark, Reading
from metering.segment import Lacking, Segment, Stretch, segments, unaccounted_dm3
from metering.verdict import Billable, Reason, Suspect, judge

FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
DIAL_DM3 = 100_000
# One pass of the dial takes at least fifteen hours.
METER = Meter(meter_id="OLD", dial_dm3=DIAL_DM3, step_dm3=1, qmax_dm3_h=6000, compensated=True)


def day(number: int, hour: int = 0) -> datetime:
    return FEBRUARY + timedelta(days=number - 1, hours=hour)


def hung(
    meter_id: str,
    at: datetime,
    opening_dm3: int,
    removed: tuple[datetime, int, int] | None = None,
) -> Installation:
    removed_at, closing_dm3, closing_turns = removed or (None, None, None)
    return Installation(
        meter_id=meter_id,
        installed_at=at,
        account_id="A-1",
        supply_point_id="SP-1",
        opening_dm3=opening_dm3,
        removed_at=removed_at,
        closing_dm3=closing_dm3,
        closing_turns=closing_turns,
    )


def measured(
    installations: list[Installation], readings: dict[tuple[str, datetime], tuple[int, int]]
) -> list[tuple[str, int | None]]:
    """Return meter and dm3 of each share of February; None where it cannot be measured."""
    marks = {
        key: Mark(read_at=key[1], register_dm3=register, turns=turns)
        for key, (register, turns) in readings.items()
    }
    shares = segments(
        installations,
        start_at=FEBRUARY,
        end_at=MARCH,
        dials_dm3=lambda _: DIAL_DM3,
        register_at=lambda installation, instant: register_at(
            instant,
            installation=installation,
            chained={},
            billable=[
                mark for (meter_id, _), mark in marks.items() if meter_id == installation.meter_id
            ],
        ),
    )
    return [
        (share.installation.meter_id, share.volume_dm3 if isinstance(share, Segment) else None)
        for share in shares
    ]


EXCHANGES = {
    "never": (
        [hung("OLD", day(-30), 0)],
        {("OLD", FEBRUARY): (1_000, 0), ("OLD", MARCH): (1_700, 0)},
        [("OLD", 700)],
    ),
    "never, and nobody at home": (
        [hung("OLD", day(-30), 0)],
        {("OLD", FEBRUARY): (1_000, 0), ("OLD", MARCH): (1_000, 0)},
        [("OLD", 0)],
    ),
    "before the month": (
        [hung("OLD", day(-30), 0, (day(0), 900, 0)), hung("NEW", day(0), 5)],
        {("NEW", FEBRUARY): (105, 0), ("NEW", MARCH): (405, 0)},
        [("NEW", 300)],
    ),
    "at the very start of the month": (
        [hung("OLD", day(-30), 0, (FEBRUARY, 900, 0)), hung("NEW", FEBRUARY, 5)],
        {("NEW", MARCH): (405, 0)},
        [("NEW", 400)],
    ),
    "on the same day as a reading of both": (
        [hung("OLD", day(-30), 0, (day(10, 12), 1_300, 0)), hung("NEW", day(10, 12), 20)],
        {
            ("OLD", FEBRUARY): (1_000, 0),
            ("OLD", day(10, 6)): (1_290, 0),
            ("NEW", day(10, 18)): (25, 0),
            ("NEW", MARCH): (420, 0),
        },
        [("OLD", 300), ("NEW", 400)],
    ),
    "after the month": (
        [hung("OLD", day(-30), 0, (day(40), 2_000, 0)), hung("NEW", day(40), 5)],
        {("OLD", FEBRUARY): (1_000, 0), ("OLD", MARCH): (1_700, 0)},
        [("OLD", 700)],
    ),
    "twice in the month": (
        [
            hung("OLD", day(-30), 0, (day(5), 1_200, 0)),
            hung("NEW", day(5), 50, (day(15), 450, 0)),
            hung("THIRD", day(15, 3), 7),
        ],
        {("OLD", FEBRUARY): (1_000, 0), ("THIRD", MARCH): (107, 0)},
        [("OLD", 200), ("NEW", 400), ("THIRD", 100)],
    ),
    "and a dial that passed zero in the same gap": (
        # Nothing was heard between the 1st and the exchange: 99,900 to the closing of 150 a turn
        # later are 250.
        [hung("OLD", day(-30), 0, (day(20), 150, 1)), hung("NEW", day(20), 99_950)],
        {("OLD", FEBRUARY): (99_900, 0), ("NEW", MARCH): (30, 1)},
        [("OLD", 250), ("NEW", 80)],
    ),
    "a meter that starts above zero": (
        [hung("OLD", day(3), 45_678)],
        {("OLD", MARCH): (46_000, 0)},
        [("OLD", 322)],
    ),
    "no register at the end": (
        [hung("OLD", day(-30), 0, (day(5), 1_200, 0)), hung("NEW", day(5), 50)],
        {("OLD", FEBRUARY): (1_000, 0)},
        [("OLD", 200), ("NEW", None)],
    ),
    "a register that falls": (
        [hung("OLD", day(-30), 0)],
        {("OLD", FEBRUARY): (1_000, 0), ("OLD", MARCH): (999, 0)},
        [("OLD", None)],
    ),
    # Published (DCS, register reset): 300, closing 400 / opening 0, then 100: 100 and 100.
    "a register reset": (
        [hung("OLD", day(-30), 0, (day(2), 400, 0)), hung("OLD", day(2), 0)],
        {("OLD", FEBRUARY): (300, 0), ("OLD", MARCH): (100, 0)},
        [("OLD", 100), ("OLD", 100)],
    ),
}


class TestSegments:
    """A month with an exchange ..."""

    @pytest.mark.parametrize(
        ("installations", "readings", "expected"), EXCHANGES.values(), ids=EXCHANGES
    )
    def test_is_the_sum_of_its_meters(
        self,
        installations: list[Installation],
        readings: dict[tuple[str, datetime], tuple[int, int]],
        expected: list[tuple[str, int | None]],
    ) -> None:
        """Each from register to register, whichever comes first in the list."""
        assert measured(installations, readings) == expected
        assert measured(installations[::-1], readings) == expected

    def test_says_which_stretch_lacks(self) -> None:
        """So that a person knows for which days to ask."""
        (share,) = segments(
            [hung("OLD", day(3), 5)],
            start_at=FEBRUARY,
            end_at=MARCH,
            dials_dm3=lambda _: DIAL_DM3,
            register_at=lambda _installation, _instant: None,
        )

        assert isinstance(share, Lacking)
        assert (share.from_at, share.to_at) == (day(3), MARCH)


class TestAnExchangeThatNobodyEntered:
    """A register that begins again ..."""

    @pytest.mark.parametrize("register_dm3", [0, 120, 44_999])
    def test_is_refused_and_never_inferred(self, register_dm3: int) -> None:
        """From mid-dial it is no rollover, and to guess an exchange would give gas away."""
        before = Mark(read_at=FEBRUARY, register_dm3=45_000, turns=0)
        reading = Reading(meter_id="OLD", read_at=MARCH, register_dm3=register_dm3)

        verdict = judge(reading, meter=METER, before=before, after=None)

        assert verdict == Suspect(reason=Reason.INDEX_DOWN)

    def test_that_happens_after_a_rollover_is_two_events(self) -> None:
        """The closing carries the turn; the new meter's line starts at no turns."""
        closing = Mark(read_at=FEBRUARY, register_dm3=99_990, turns=2)
        reading = Reading(meter_id="OLD", read_at=day(1, 1), register_dm3=10)

        verdict = judge(reading, meter=METER, before=closing, after=None)

        assert isinstance(verdict, Billable)
        assert (verdict.turns, verdict.advance_dm3) == (3, 20)
        assert [finding.code for finding in verdict.findings] == ["rollover"]


def stretch(first: int, last: int, volume: int | None = None, *, months: int = 0) -> Stretch:
    """Return gas between two registers, counted on a dial without end, in a month of its own."""
    from_at = FEBRUARY + timedelta(days=30 * months)
    turns, register = divmod(first, DIAL_DM3)
    later_turns, later_register = divmod(last, DIAL_DM3)
    return Stretch(
        from_at=from_at,
        to_at=from_at + timedelta(days=30),
        opening=Mark(read_at=from_at, register_dm3=register, turns=turns),
        closing=Mark(
            read_at=from_at + timedelta(days=30), register_dm3=later_register, turns=later_turns
        ),
        volume_dm3=last - first if volume is None else volume,
    )


class TestUnaccounted:
    """All gas of an installation ..."""

    @pytest.mark.parametrize(
        ("stretches", "expected"),
        [
            ([], 0),
            ([stretch(100, 300)], 0),
            ([stretch(100, 300), stretch(300, 150_000, months=1)], 0),
            # Two months later the register stands 50 higher: known, and not yet measured.
            ([stretch(100, 300), stretch(350, 400, months=2)], 0),
            # Touching stretches that leave 50 between them: billed to nobody.
            ([stretch(100, 300), stretch(350, 400, months=1)], 50),
            # Touching stretches that overlap by 50: billed twice.
            ([stretch(100, 300), stretch(250, 400, months=1)], -50),
            ([stretch(100, 300, 199)], 1),
            ([stretch(100, 300, 201)], -1),
            # Two wrongs that hide each other are not seen here, but volume by volume.
            ([stretch(100, 300, 201), stretch(300, 400, 99, months=1)], 0),
        ],
    )
    def test_is_last_register_less_first(self, stretches: list[Stretch], expected: int) -> None:
        """Above zero is gas given away, below zero gas sold twice."""
        assert unaccounted_dm3(stretches, dial_dm3=DIAL_DM3) == expected
        assert unaccounted_dm3(stretches[::-1], dial_dm3=DIAL_DM3) == expected

    @given(
        first=st.integers(0, DIAL_DM3 - 1),
        uses=st.lists(st.integers(0, 3 * DIAL_DM3), min_size=1, max_size=24),
        lost=st.integers(-5, 5),
    )
    def test_notices_every_litre(self, first: int, uses: list[int], lost: int) -> None:
        """Whatever the registers, a month that is some litres off is off by as many in the end."""
        totals = [first]
        for used in uses:
            totals.append(totals[-1] + used)
        months = [
            stretch(one, two, months=number) for number, (one, two) in enumerate(pairwise(totals))
        ]
        months[-1] = stretch(totals[-2], totals[-1], uses[-1] - lost, months=len(uses) - 1)

        assert unaccounted_dm3(months, dial_dm3=DIAL_DM3) == lost
