"""A meter that can exist."""

import pytest

from metering.meter import Meter


class TestAMeter:
    """The registry's meter ..."""

    @pytest.mark.parametrize(
        "wrong",
        [
            {"meter_id": ""},
            {"meter_id": "aq-1"},
            {"meter_id": "A" * 33},
            {"meter_id": "AQ-1\n"},
            {"step_dm3": 0},
            {"step_dm3": 100_000},
            {"dial_dm3": 0},
            {"qmax_dm3_h": 0},
        ],
        ids=repr,
    )
    def test_refuses_nonsense_at_birth(self, wrong: dict[str, object]) -> None:
        """The rules of judging divide by these; the database refuses the same."""
        good: dict[str, object] = {
            "meter_id": "AQ-1",
            "dial_dm3": 100_000,
            "step_dm3": 1,
            "qmax_dm3_h": 6000,
            "compensated": True,
        }

        with pytest.raises(ValueError, match="must"):
            Meter(**(good | wrong))  # type: ignore[arg-type] # the point of the test
