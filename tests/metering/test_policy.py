"""Which figures judge the readings of a day."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from metering.policy import STANDARD_POLICIES, policies_of
from metering.rule import MeterType, Override, take_override
from metering.verdict import STANDARD

MIDNIGHT = datetime(2026, 1, 31, 19, tzinfo=UTC)
DAY = timedelta(days=1)


def order(
    day: int = 0, code: str = "clock", meter_type: str | None = None, **figures: Any
) -> Override:
    from_at = MIDNIGHT + day * DAY
    override = take_override(
        code=code, meter_type=meter_type, valid_from=(from_at + DAY).date(), from_at=from_at,
        outcome=None, figures=figures, approved_by="order 12",
    )  # fmt: skip
    assert isinstance(override, Override), override
    return override


class TestWithoutOverrides:
    """A town that says nothing ..."""

    def test_shares_one_object(self) -> None:
        """A million meters of a type refer to the same figures; most types to our plainest."""
        assert policies_of(MeterType.DIAPHRAGM, []) is STANDARD_POLICIES
        assert policies_of(MeterType.PULSE, []) is STANDARD_POLICIES
        assert policies_of(MeterType.DIAPHRAGM_G4, []) is policies_of(MeterType.DIAPHRAGM_G4, [])
        assert policies_of(MeterType.DIAPHRAGM_G4, []).first.qmax_dm3_h_max == 6000

    def test_is_one_that_speaks_of_periods_only(self) -> None:
        """A limit on a month's use judges no reading."""
        word = order(code="high_low", high_percent=400)
        assert policies_of(MeterType.DIAPHRAGM, [word]) is STANDARD_POLICIES


class TestOverrides:
    """A town's word ..."""

    @pytest.mark.parametrize(
        ("at", "ahead_s"),
        [
            (MIDNIGHT - timedelta(microseconds=1), 600),
            (MIDNIGHT, 60),
            (MIDNIGHT + 2 * DAY - timedelta(microseconds=1), 60),
            (MIDNIGHT + 2 * DAY, 30),
            (MIDNIGHT + 900 * DAY, 30),
        ],
    )
    def test_holds_from_its_local_midnight(self, at: datetime, ahead_s: int) -> None:
        """Up to the midnight the earlier word holds, from it on the later one."""
        words = [order(2, ahead_max_s=30), order(0, ahead_max_s=60)]
        policies = policies_of(MeterType.DIAPHRAGM, words)
        assert policies.first is STANDARD
        assert policies.at(at).clock_ahead_max == timedelta(seconds=ahead_s)

    def test_for_a_type_comes_after_one_for_all_of_the_same_day(self) -> None:
        """Whoever names the type knows better; a later word for all still replaces it."""
        words = [
            order(0, meter_type="diaphragm_g4", ahead_max_s=20),
            order(0, ahead_max_s=60),
            order(3, ahead_max_s=90),
        ]

        def ahead_s(meter_type: MeterType, day: int) -> float:
            policy = policies_of(meter_type, words).at(MIDNIGHT + day * DAY)
            return policy.clock_ahead_max.total_seconds()

        assert [ahead_s(MeterType.DIAPHRAGM_G4, day) for day in (0, 2, 3)] == [20, 20, 90]
        assert [ahead_s(MeterType.DIAPHRAGM_G6, day) for day in (0, 2, 3)] == [60, 60, 90]
