"""The gas of one stay in January 2026, by the best that is known; every figure by hand."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from metering.estimate import Why
from metering.habit import PeriodUse
from metering.installation import Installation
from metering.quality import Quality
from metering.reading import Mark
from metering.rule import MeterType, standard_book
from metering.used import Boundary, Past, Used, used

START = datetime(2025, 12, 31, 19, tzinfo=UTC)
DAY = timedelta(days=1)
END = START + 31 * DAY
DIAL_DM3 = 100_000_000
BOOK = standard_book(MeterType.DIAPHRAGM)
STAY = Installation(
    meter_id="AQ-1", installed_at=START - 60 * DAY, account_id="A-1", supply_point_id="SP-1",
    opening_dm3=0, removed_at=None, closing_dm3=None, closing_turns=None,
)  # fmt: skip
NOTHING = Past(last_year=None, previous=None, qualities=(), norm_dm3_month=None)
# 2 m3 a day last year, 3 m3 a day the month before.
LAST_YEAR = PeriodUse(days=31, volume_dm3=62_000, quality=Quality.ACTUAL)
PREVIOUS = PeriodUse(days=31, volume_dm3=93_000, quality=Quality.ACTUAL)


def mark(days: int, register_dm3: int, turns: int = 0) -> Mark:
    return Mark(read_at=START + days * DAY, register_dm3=register_dm3, turns=turns)


def exact(days: int, register_dm3: int, quality: Quality = Quality.ACTUAL) -> Boundary:
    here = mark(days, register_dm3)
    return Boundary(at=here.read_at, exact=here, quality=quality, before=here, after=None)


def between(days: int, before: Mark, after: Mark | None) -> Boundary:
    return Boundary(
        at=START + days * DAY, exact=None, quality=Quality.ACTUAL, before=before, after=after
    )


def of(opening: Boundary, closing: Boundary, past: Past = NOTHING) -> Used:
    return used(STAY, dial_dm3=DIAL_DM3, opening=opening, closing=closing, past=past, book=BOOK)


def said(found: Used) -> tuple[int | None, str | None, str | None, Why | None]:
    quality = None if found.quality is None else found.quality.value
    return found.volume_dm3, quality, found.method, found.why


class TestRegistersAtBothEnds:
    """Registers at both ends ..."""

    def test_measure(self) -> None:
        """156 m3 less 1 m3; across the end of the dial likewise."""
        assert said(of(exact(0, 1_000), exact(31, 156_000))) == (
            155_000, "actual", "registers", None,
        )  # fmt: skip
        over = Boundary(
            at=END, exact=mark(31, 5_000, 1), quality=Quality.ACTUAL, before=mark(31, 5_000, 1),
            after=None,
        )  # fmt: skip
        assert of(exact(0, 99_990_000), over).volume_dm3 == 15_000

    def test_are_as_good_as_the_worse_of_them(self) -> None:
        """One that a person wrote makes the whole an edited value."""
        found = of(exact(0, 1_000), exact(31, 156_000, Quality.EDITED))
        assert said(found) == (155_000, "edited", "registers", None)


class TestALine:
    """A line between registers ..."""

    def test_gives_the_register_at_the_end(self) -> None:
        """150 m3 a day before, 170 m3 a day after: 160 m3 at midnight."""
        found = of(exact(0, 1_000), between(31, mark(30, 150_000), mark(32, 170_000)))
        assert said(found) == (159_000, "substituted", "flat", Why.BETWEEN_REGISTERS)
        (rule,) = found.findings
        assert (rule.code.value, dict(rule.figures)) == (
            "gap_bounded",
            {
                "before_dm3": 150_000, "after_dm3": 170_000, "gap_s": 172_800,
                "register_dm3": 160_000,
            },
        )  # fmt: skip

    def test_gives_it_at_the_start_and_loses_nothing_to_the_month_before(self) -> None:
        """What one month leaves on the line, the next begins with: 1.5 m3, rounded down once."""
        start = between(0, mark(-2, 0), mark(2, 3_001))
        found = of(start, exact(31, 156_000))
        assert found.volume_dm3 == 156_000 - 1_500
        december = used(
            STAY, dial_dm3=DIAL_DM3, opening=exact(-31, 0), closing=start, past=NOTHING, book=BOOK
        )
        assert december.volume_dm3 == 1_500


class TestTheLadder:
    """Without a register at the end ..."""

    @pytest.mark.parametrize(
        ("past", "expected"),
        [
            # 100 m3 until the 21st, and eleven days of 2 m3, of 3 m3, of a norm of 30 m3 a month.
            (
                replace(NOTHING, last_year=LAST_YEAR, previous=PREVIOUS),
                (122_000, "estimated", "last_year", Why.NO_CLOSING_REGISTER),
            ),
            (
                replace(NOTHING, previous=PREVIOUS, norm_dm3_month=30_000),
                (133_000, "estimated", "previous", Why.NO_LAST_YEAR),
            ),
            (
                replace(NOTHING, norm_dm3_month=30_000),
                (111_000, "norm", "norm", Why.NO_HISTORY),
            ),
            (NOTHING, (None, None, None, Why.NO_HISTORY)),
        ],
    )
    def test_the_first_that_is_there_fills_the_days_since_the_last_register(
        self, past: Past, expected: tuple[int | None, str | None, str | None, Why | None]
    ) -> None:
        """What the dial has shown is kept, so the value never lies below it."""
        found = of(exact(0, 1_000), between(31, mark(20, 101_000), None), past)
        assert said(found) == expected
        assert [(rule.code.value, dict(rule.figures)) for rule in found.findings] == [
            ("gap_open", {"days": 11, "measured_dm3": 100_000, "last_dm3": 101_000})
        ]

    def test_a_meter_silent_since_before_is_estimated_whole(self) -> None:
        """Nothing since the 20th of December: 31 days of 2 m3."""
        silent = mark(-12, 50_000)
        found = of(
            between(0, silent, None),
            between(31, silent, None),
            replace(NOTHING, last_year=LAST_YEAR),
        )
        assert said(found)[:3] == (62_000, "estimated", "last_year")
        assert found.findings[0].figures["measured_dm3"] == 0

    def test_only_the_norm_is_left_after_three_months(self) -> None:
        """The fourth in a row is no estimate any more, and somebody must go and look."""
        past = Past(
            last_year=LAST_YEAR, previous=PREVIOUS, norm_dm3_month=30_000,
            qualities=[Quality.ACTUAL, *[Quality.ESTIMATED] * 3],
        )  # fmt: skip
        found = of(exact(0, 1_000), between(31, mark(20, 101_000), None), past)
        assert said(found) == (111_000, "norm", "norm", Why.TOO_MANY_IN_A_ROW)
        assert [(one.code.value, one.outcome.value) for one in found.findings] == [
            ("gap_open", "flagged"),
            ("prolonged", "held"),
        ]
        two = replace(past, qualities=[Quality.ACTUAL, *[Quality.ESTIMATED] * 2])
        found = of(exact(0, 1_000), between(31, mark(20, 101_000), None), two)
        assert said(found)[1:3] == ("estimated", "last_year")
