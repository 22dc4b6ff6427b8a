"""Rules as data: defaults by type of meter, and what a town may and may not override."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from metering.rule import (
    DEFAULTS,
    Code,
    MeterType,
    Outcome,
    Override,
    OverrideReason,
    OverrideRefusal,
    rule_book,
    standard_book,
    take_override,
)

FEBRUARY = date(2026, 2, 1)
ORDER = {
    "code": "high_low",
    "meter_type": None,
    "valid_from": FEBRUARY,
    "from_at": datetime(2026, 1, 31, 19, tzinfo=UTC),
    "outcome": None,
    "figures": {"high_percent": 200},
    "approved_by": "order 12",
}


def taken(**changes: Any) -> Override:
    override = take_override(**{**ORDER, **changes})
    assert isinstance(override, Override), override
    return override


class TestDefaults:
    """Our own rules ..."""

    def test_are_the_whole_table(self) -> None:
        """Twenty-two numbers; the second has two names, for too early and too late."""
        assert sorted({rule.number for rule in DEFAULTS.values()}) == list(range(1, 23))
        assert set(DEFAULTS) == set(Code)

    @pytest.mark.parametrize(
        ("meter_type", "qmax_dm3_h", "interval_rules"),
        [
            (MeterType.DIAPHRAGM, None, False),
            (MeterType.DIAPHRAGM_G1_6, 2_500, False),
            (MeterType.DIAPHRAGM_G2_5, 4_000, False),
            (MeterType.DIAPHRAGM_G4, 6_000, False),
            (MeterType.DIAPHRAGM_G6, 10_000, False),
            (MeterType.DIAPHRAGM_G10, 16_000, False),
            (MeterType.ULTRASONIC, None, True),
            (MeterType.PULSE, None, True),
        ],
    )
    def test_differ_by_type(
        self, meter_type: MeterType, qmax_dm3_h: int | None, *, interval_rules: bool
    ) -> None:
        """The size on the plate limits the flow; only interval channels have intervals to check."""
        book = standard_book(meter_type)

        assert book.rules[Code.TOO_FAST].figures.get("qmax_dm3_h") == qmax_dm3_h
        assert (book.get(Code.FROZEN) is not None) is interval_rules
        assert (book.get(Code.SUM) is not None) is interval_rules

    def test_cannot_be_changed_in_place(self) -> None:
        """A figure that changes without a version would make old findings untrue."""
        with pytest.raises(TypeError):
            DEFAULTS[Code.SPIKE].figures["floor_dm3_h"] = 1  # type: ignore[index]


class TestAnOverride:
    """A town's word on a rule ..."""

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"code": "no_such_rule"}, OverrideReason.UNKNOWN_RULE),
            ({"meter_type": "steam"}, OverrideReason.UNKNOWN_METER_TYPE),
            ({"outcome": "believed"}, OverrideReason.UNKNOWN_OUTCOME),
            ({"figures": {"colour": 1}}, OverrideReason.UNKNOWN_FIGURE),
            ({"figures": {"high_percent": True}}, OverrideReason.NOT_WHOLE),
            ({"figures": {"high_percent": 300.0}}, OverrideReason.NOT_WHOLE),
            ({"figures": {"high_percent": "300"}}, OverrideReason.NOT_WHOLE),
            ({"figures": {"high_percent": -1}}, OverrideReason.NEGATIVE),
            ({"figures": {"high_percent": 100}}, OverrideReason.OUT_OF_RANGE),
            ({"figures": {"low_percent": 100}}, OverrideReason.OUT_OF_RANGE),
            ({"figures": {"floor_dm3_month": 10**9 + 1}}, OverrideReason.OUT_OF_RANGE),
            (
                {"code": "zero", "figures": {"heating_first_month": 13}},
                OverrideReason.OUT_OF_RANGE,
            ),
            ({"code": "clock", "figures": {"ahead_max_s": 86_401}}, OverrideReason.OUT_OF_RANGE),
            (
                {"code": "sentinel", "figures": {}, "outcome": "accepted"},
                OverrideReason.SOFTENED,
            ),
            ({"code": "index_down", "figures": {}, "outcome": "flagged"}, OverrideReason.SOFTENED),
            (
                {"code": "rebaseline", "figures": {}, "outcome": "accepted"},
                OverrideReason.SOFTENED,
            ),
            ({"approved_by": "  "}, OverrideReason.NOT_APPROVED),
            ({"approved_by": "x" * 201}, OverrideReason.NOT_APPROVED),
            ({"figures": {}}, OverrideReason.EMPTY),
            (
                {"code": "frozen", "meter_type": "diaphragm_g4", "figures": {"intervals": 4}},
                OverrideReason.RULE_OFF,
            ),
            ({"code": "too_fast", "figures": {"qmax_dm3_h": 9}}, OverrideReason.UNKNOWN_FIGURE),
        ],
    )
    def test_is_refused_with_a_reason(
        self, changes: dict[str, Any], reason: OverrideReason
    ) -> None:
        """A rule that means something else than was typed would hold the wrong bills."""
        refusal = take_override(**{**ORDER, **changes})

        assert isinstance(refusal, OverrideRefusal)
        assert refusal.reason is reason

    @pytest.mark.parametrize(
        "changes",
        [
            {"figures": {"high_percent": 101}},
            {"figures": {"low_percent": 99}},
            {"figures": {"low_percent": 0}},
            {"code": "index_down", "figures": {}, "outcome": "refused"},
            {"code": "index_down", "figures": {}, "outcome": "held"},
            {"code": "spike", "figures": {}, "outcome": "accepted"},
            {"approved_by": "x" * 200},
            {"code": "frozen", "figures": {"intervals": 4}},
        ],
    )
    def test_is_taken_up_to_its_limit(self, changes: dict[str, Any]) -> None:
        """Stricter is always allowed, and what does not guard the line may be switched off."""
        assert isinstance(take_override(**{**ORDER, **changes}), Override)

    def test_holds_from_its_day_on(self) -> None:
        """A period is judged by the rules of its own days, however late that is done."""
        override = taken()

        before = rule_book(MeterType.DIAPHRAGM_G4, [override], on=date(2026, 1, 31))
        after = rule_book(MeterType.DIAPHRAGM_G4, [override], on=FEBRUARY)

        assert before.rules[Code.HIGH_LOW]["high_percent"] == 300
        assert before.rules[Code.HIGH_LOW].version == "1"
        assert after.rules[Code.HIGH_LOW]["high_percent"] == 200
        assert after.rules[Code.HIGH_LOW]["low_percent"] == 25
        assert after.rules[Code.HIGH_LOW].outcome is Outcome.HELD
        assert after.rules[Code.HIGH_LOW].version == "1+20260201"

    def test_for_the_type_comes_after_one_for_all(self) -> None:
        """Whatever order they were entered in."""
        special = taken(meter_type="diaphragm_g4", figures={"high_percent": 150})

        book = rule_book(MeterType.DIAPHRAGM_G4, [special, taken()], on=FEBRUARY)
        other = rule_book(MeterType.DIAPHRAGM_G6, [special, taken()], on=FEBRUARY)

        assert book.rules[Code.HIGH_LOW]["high_percent"] == 150
        assert other.rules[Code.HIGH_LOW]["high_percent"] == 200

    def test_of_a_later_day_builds_on_the_one_before(self) -> None:
        """Two orders about two figures are both in force."""
        later = taken(valid_from=date(2026, 3, 1), figures={"low_percent": 10}, outcome="flagged")

        rule = rule_book(MeterType.PULSE, [later, taken()], on=date(2026, 3, 1)).rules[
            Code.HIGH_LOW
        ]

        assert (rule["high_percent"], rule["low_percent"]) == (200, 10)
        assert rule.outcome is Outcome.FLAGGED
        assert rule.version == "1+20260301"

    def test_of_an_interval_rule_leaves_diaphragms_alone(self) -> None:
        """What is off stays off."""
        override = taken(code="frozen", figures={"intervals": 4})

        assert rule_book(MeterType.DIAPHRAGM_G4, [override], on=FEBRUARY).get(Code.FROZEN) is None
        pulse = rule_book(MeterType.PULSE, [override], on=FEBRUARY).rules[Code.FROZEN]
        assert pulse["intervals"] == 4
