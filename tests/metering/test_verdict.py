"""How far we believe a reading: vectors by hand, and properties where the input is a space."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import assert_never

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from metering.installation import Outside
from metering.meter import Meter
from metering.reading import Mark, Reading, advance_dm3, advance_dm3_max
from metering.rule import DEFAULTS
from metering.verdict import (
    RULE_OF,
    SENTINELS,
    STANDARD,
    Billable,
    Reason,
    Suspect,
    Verdict,
    judge,
    judge_place,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
# A dial of 100 m3 in steps of 10 litres, at most 6 m3 an hour: in ten hours 66,000 and a step.
METER = Meter(meter_id="AQ-1", dial_dm3=100_000, step_dm3=10, qmax_dm3_h=6000, compensated=True)


def hours(number: float) -> datetime:
    return START + timedelta(hours=number)


def mark(at: float, register_dm3: int, turns: int = 0) -> Mark:
    return Mark(read_at=hours(at), register_dm3=register_dm3, turns=turns)


def look(at: float, register_dm3: int) -> Reading:
    return Reading(meter_id="AQ-1", read_at=hours(at), register_dm3=register_dm3)


def words(verdict: Verdict) -> str:
    """Say a verdict in words, so that a table of them can be read."""
    match verdict:
        case Billable(turns=turns, advance_dm3=advance):
            return f"{turns} turns, {advance} dm3"
        case Suspect(reason=reason):
            return reason.value
        case other:
            assert_never(other)


BEFORE_ONLY = {
    "nothing used": (mark(0, 500), look(1, 500), "0 turns, 0 dm3"),
    "a little used": (mark(0, 500), look(1, 510), "0 turns, 10 dm3"),
    "the most in an hour": (mark(0, 500), look(1, 500 + 6610), "0 turns, 6610 dm3"),
    "more than the most in an hour": (mark(0, 500), look(1, 500 + 6611), "too_fast"),
    "a step at the same instant": (mark(0, 500), look(0, 510), "0 turns, 10 dm3"),
    "two steps at the same instant": (mark(0, 500), look(0, 520), "too_fast"),
    "backwards by one litre": (mark(0, 500), look(1, 499), "index_down"),
    "backwards across zero": (mark(0, 105), look(1, 99_110), "too_fast"),
    "past zero near the end": (mark(0, 99_990, 3), look(1, 10), "4 turns, 20 dm3"),
    "past zero to zero": (mark(0, 99_999), look(1, 0), "1 turns, 1 dm3"),
    "past zero near the end, too fast": (mark(0, 99_990), look(1, 7000), "index_down"),
    "past zero near the end, far and slow": (
        mark(0, 90_001), look(10, 40_000), "1 turns, 49999 dm3",
    ),
    "past zero from exactly nine tenths": (mark(0, 90_000), look(10, 0), "index_down"),
    "past zero from nine tenths and a litre": (mark(0, 90_001), look(10, 0), "1 turns, 9999 dm3"),
    "past zero from nine tenths, too much": (mark(0, 90_000), look(10, 5000), "index_down"),
    "exchanged for a new one": (mark(0, 45_000), look(24, 120), "index_down"),
    "at the end of the dial": (mark(0, 99_990), look(1, 99_999), "0 turns, 9 dm3"),
    "beyond the dial": (mark(0, 99_990), look(1, 100_000), "beyond_dial"),
    "after an opening beyond the dial": (mark(0, 100_000), look(1, 10), "beyond_dial"),
    "24 bits set": (mark(0, 0), look(1, 16_777_215), "sentinel"),
    "24 bits set, counted in steps": (mark(0, 0), look(1, 167_772_150), "sentinel"),
    "31 bits set": (mark(0, 0), look(1, 2_147_483_647), "sentinel"),
    "32 bits set": (mark(0, 0), look(1, 4_294_967_295), "sentinel"),
}  # fmt: skip

BETWEEN_TWO = {
    "between the two": (mark(0, 500), look(1, 600), mark(2, 700), "0 turns, 100 dm3"),
    "equal to the later": (mark(0, 500), look(1, 700), mark(2, 700), "0 turns, 200 dm3"),
    "above the later": (mark(0, 500), look(1, 701), mark(2, 700), "index_down"),
    "too little to reach the later": (mark(0, 0), look(9, 0), mark(10, 6611), "too_fast"),
    "enough to reach the later": (mark(0, 0), look(9, 1), mark(10, 6611), "0 turns, 1 dm3"),
    "before the later passed zero": (
        mark(0, 99_000), look(1, 99_900), mark(2, 100, 1), "0 turns, 900 dm3",
    ),
    "after zero was passed": (
        mark(0, 99_900), look(1, 50), mark(2, 100, 1), "1 turns, 150 dm3",
    ),
    "past zero when the later had not": (
        mark(0, 99_900), look(1, 50), mark(2, 99_950, 0), "index_down",
    ),
}  # fmt: skip


class TestJudge:
    """The verdict on a register ..."""

    @pytest.mark.parametrize(
        ("before", "reading", "expected"), BEFORE_ONLY.values(), ids=BEFORE_ONLY
    )
    def test_against_what_came_before(self, before: Mark, reading: Reading, expected: str) -> None:
        """Each line worked out by hand: 6000 dm3/h * 1.1 + one step of 10."""
        assert words(judge(reading, meter=METER, before=before, after=None)) == expected

    @pytest.mark.parametrize(
        ("before", "reading", "after", "expected"), BETWEEN_TWO.values(), ids=BETWEEN_TWO
    )
    def test_against_what_came_after(
        self, before: Mark, reading: Reading, after: Mark, expected: str
    ) -> None:
        """A late reading must fit between its neighbours."""
        assert words(judge(reading, meter=METER, before=before, after=after)) == expected

    @settings(deadline=None)
    @given(
        dial=st.integers(10_000, 10**9),
        start=st.integers(0, 10**9),
        uses=st.lists(st.integers(0, 6000), min_size=1, max_size=40),
    )
    def test_bills_honest_use_in_full(self, dial: int, start: int, uses: list[int]) -> None:
        """Wherever the dial stands, even across zero, hour by hour: all gas is billed, once."""
        meter = Meter(
            meter_id="AQ-1", dial_dm3=dial, step_dm3=1, qmax_dm3_h=6000, compensated=False
        )
        # Further than this the dial passes zero within an hour from anywhere: nobody builds that.
        assume(dial > 10 * 6601)
        before = Mark(read_at=START, register_dm3=start % dial, turns=0)
        total = 0
        for number, used in enumerate(uses, start=1):
            total += used
            register = (start % dial + total) % dial
            # A word of the electronics is no register, wherever the dial stands.
            assume(register not in SENTINELS)
            reading = Reading(
                meter_id="AQ-1", read_at=START + timedelta(hours=number), register_dm3=register
            )

            verdict = judge(reading, meter=meter, before=before, after=None)

            assert isinstance(verdict, Billable)
            assert verdict.advance_dm3 == used
            before = Mark(read_at=reading.read_at, register_dm3=register, turns=verdict.turns)
        assert before.turns * dial + before.register_dm3 == start % dial + total

    @settings(deadline=None)
    @given(
        registers=st.tuples(*[st.integers(0, 99_999)] * 3),
        turns=st.tuples(st.integers(0, 3), st.integers(0, 3)),
        times=st.tuples(*[st.integers(0, 10**6)] * 3),
    )
    def test_never_lets_gas_flow_backwards(
        self,
        registers: tuple[int, int, int],
        turns: tuple[int, int],
        times: tuple[int, int, int],
    ) -> None:
        """Whatever is trusted lies between its neighbours, in time and in gas."""
        first, middle, last = sorted(times)
        before = Mark(read_at=hours(first / 60), register_dm3=registers[0], turns=turns[0])
        after = Mark(read_at=hours(last / 60), register_dm3=registers[2], turns=turns[1])
        reading = look(middle / 60, registers[1])

        verdict = judge(reading, meter=METER, before=before, after=after)

        if isinstance(verdict, Billable):
            here = verdict.turns * 100_000 + registers[1]
            assert turns[0] * 100_000 + registers[0] <= here
            assert here <= turns[1] * 100_000 + registers[2]


class TestReasons:
    """The reasons for not trusting a reading ..."""

    def test_each_have_a_rule(self) -> None:
        """A suspect reading that no rule explains would be a question without words."""
        assert set(RULE_OF) == set(Reason)
        assert set(RULE_OF.values()) <= set(DEFAULTS)


class TestJudgePlace:
    """The verdict on a time and a place ..."""

    @pytest.mark.parametrize(
        ("read_at", "where", "expected"),
        [
            (START, None, None),
            (START + timedelta(minutes=10), None, None),
            (START + timedelta(minutes=10, microseconds=1), None, Reason.CLOCK_AHEAD),
            (START, Outside.BEFORE, Reason.BEFORE_INSTALLATION),
            (START, Outside.AFTER, Reason.AFTER_REMOVAL),
            (START + timedelta(hours=1), Outside.AFTER, Reason.CLOCK_AHEAD),
        ],
    )
    def test_comes_before_the_register(
        self, read_at: datetime, where: Outside | None, expected: Reason | None
    ) -> None:
        """A wrong clock is said first: it may be why the place is wrong."""
        reading = Reading(meter_id="AQ-1", read_at=read_at, register_dm3=0)

        verdict = judge_place(reading, where=where, at=START)

        assert (verdict.reason if verdict else None) == expected


class TestAdvance:
    """The gas that passed between two looks at one dial ..."""

    def test_carries_across_zero(self) -> None:
        """A dial that goes from 99,990 to 10 has passed 20, not lost 99,980."""
        assert advance_dm3(before_dm3=99_990, after_dm3=10, dial_dm3=100_000) == 20

    def test_has_a_limit_in_whole_litres(self) -> None:
        """A minute and a half of 6000 dm3/h is 150; a tenth more is 165, and one step of 10."""
        assert (
            advance_dm3_max(
                qmax_dm3_h=6000, step_dm3=10, earlier=START, later=START + timedelta(seconds=90)
            )
            == 175
        )


class TestOrdinaryReadings:
    """Nearly every reading is judged in a shorter way, which ..."""

    @given(
        register_dm3=st.one_of(st.integers(0, 1_200), st.sampled_from(sorted(SENTINELS))),
        before_dm3=st.integers(0, 1_000),
        passed_ms=st.integers(0, 400_000),
        step_dm3=st.sampled_from([1, 10, 7]),
        dial_dm3=st.sampled_from([1_000, 10**10]),
        qmax_dm3_h_max=st.sampled_from([0, 1_000]),
    )
    @settings(max_examples=2_000, deadline=None)
    def test_says_what_the_longer_way_says(
        self,
        register_dm3: int,
        before_dm3: int,
        passed_ms: int,
        step_dm3: int,
        dial_dm3: int,
        qmax_dm3_h_max: int,
    ) -> None:
        """An instant of receipt, when the reading is not late, asks for the longer way only."""
        meter = Meter(
            meter_id="AQ-1", dial_dm3=dial_dm3, step_dm3=step_dm3, qmax_dm3_h=6_000,
            compensated=False,
        )  # fmt: skip
        read_at = START + timedelta(milliseconds=passed_ms)
        reading = Reading(meter_id="AQ-1", read_at=read_at, register_dm3=register_dm3)
        before = Mark(read_at=START, register_dm3=before_dm3, turns=3)
        policy = replace(STANDARD, qmax_dm3_h_max=qmax_dm3_h_max)

        shorter, longer = (
            judge(reading, meter=meter, before=before, after=None, policy=policy, at=at)
            for at in (None, read_at)
        )

        assert shorter == longer
