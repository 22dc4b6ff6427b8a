"""The rules by which readings and periods are believed: named, numbered, versioned, and data.

A rule says what it makes of what it catches and with which figures; the code that applies it reads
the figures and has none of its own. A finding is a rule's word on one reading or one period. It
stands beside the reading, which is never changed.

Numbers are those of the table in metering/README.md. Defaults differ by type of meter; a town may
override figures and outcomes from a day on, by name, and only within the limits below.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

# No figure of ours is larger: a dial of a million m3 in dm3.
FIGURE_MAX: Final = 10**9
APPROVED_BY_CHARS_MAX: Final = 200


class Outcome(StrEnum):
    """What becomes of what a rule looked at."""

    ACCEPTED = "accepted"
    FLAGGED = "flagged"
    HELD = "held"
    REFUSED = "refused"


class Code(StrEnum):
    """The name of a rule."""

    DUPLICATE = "duplicate"
    CLOCK = "clock"
    LATE = "late"
    UNIT = "unit"
    SENTINEL = "sentinel"
    DIAL = "dial"
    INDEX_DOWN = "index_down"
    ROLLOVER = "rollover"
    EXCHANGE = "exchange"
    TOO_FAST = "too_fast"
    SPIKE = "spike"
    HIGH_LOW = "high_low"
    ZERO = "zero"
    FROZEN = "frozen"
    SUM = "sum"
    GAP_SHORT = "gap_short"
    GAP_BOUNDED = "gap_bounded"
    GAP_OPEN = "gap_open"
    PROLONGED = "prolonged"
    MULTIPLIER = "multiplier"
    UNKNOWN_DEVICE = "unknown_device"
    REBASELINE = "rebaseline"
    DEVICE_FLAG = "device_flag"


class MeterType(StrEnum):
    """What kind of meter it is; ``DIAPHRAGM`` is one whose size nobody wrote down."""

    DIAPHRAGM = "diaphragm"
    DIAPHRAGM_G1_6 = "diaphragm_g1_6"
    DIAPHRAGM_G2_5 = "diaphragm_g2_5"
    DIAPHRAGM_G4 = "diaphragm_g4"
    DIAPHRAGM_G6 = "diaphragm_g6"
    DIAPHRAGM_G10 = "diaphragm_g10"
    ULTRASONIC = "ultrasonic"
    PULSE = "pulse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: what it makes of what it catches, and its figures, whole numbers named by unit.

    ``version`` is ours ("1") or, where a town overrides it, ours and the day of the override.
    """

    number: int
    code: Code
    version: str
    outcome: Outcome
    figures: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def __getitem__(self, figure: str) -> int:
        """Return one figure."""
        return self.figures[figure]

    def finding(self, **figures: int) -> "Finding":
        """Say that this rule caught something, and what it measured."""
        return Finding(
            code=self.code,
            version=self.version,
            outcome=self.outcome,
            figures=MappingProxyType(figures),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A rule's word on one reading or period: what it measured, named by unit, as whole numbers."""

    code: Code
    version: str
    outcome: Outcome
    figures: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleBook:
    """The rules in force for one type of meter on one day; a rule that is not in it is off."""

    meter_type: MeterType
    rules: Mapping[Code, Rule]

    def get(self, code: Code) -> Rule | None:
        """Return a rule, or None when it is off for this type of meter."""
        return self.rules.get(code)


def _rule(number: int, code: Code, outcome: Outcome, **figures: int) -> Rule:
    return Rule(
        number=number,
        code=code,
        version="1",
        outcome=outcome,
        figures=MappingProxyType(figures),
    )


# Each figure's source is in metering/README.md, beside the same number.
DEFAULTS: Final[Mapping[Code, Rule]] = MappingProxyType(
    {
        rule.code: rule
        for rule in (
            _rule(1, Code.DUPLICATE, Outcome.REFUSED),
            _rule(2, Code.CLOCK, Outcome.REFUSED, ahead_max_s=600),
            _rule(2, Code.LATE, Outcome.FLAGGED, late_after_days=35),
            _rule(3, Code.UNIT, Outcome.HELD, ratio_tolerance_permille=20),
            _rule(4, Code.SENTINEL, Outcome.REFUSED),
            _rule(5, Code.DIAL, Outcome.REFUSED),
            _rule(6, Code.INDEX_DOWN, Outcome.HELD, jitter_steps=1),
            _rule(
                7,
                Code.ROLLOVER,
                Outcome.FLAGGED,
                near_end_permille=900,
                advance_max_permille=100,
            ),
            _rule(8, Code.EXCHANGE, Outcome.HELD),
            _rule(9, Code.TOO_FAST, Outcome.REFUSED, tolerance_permille=100),
            _rule(10, Code.SPIKE, Outcome.FLAGGED, tolerance_permille=1800, floor_dm3_h=1000),
            _rule(
                11,
                Code.HIGH_LOW,
                Outcome.HELD,
                high_percent=300,
                low_percent=25,
                floor_dm3_month=10_000,
                degree_days_min=30,
            ),
            _rule(
                12,
                Code.ZERO,
                Outcome.FLAGGED,
                days=45,
                days_heating=7,
                heating_first_month=10,
                heating_last_month=4,
            ),
            _rule(13, Code.FROZEN, Outcome.FLAGGED, intervals=3),
            _rule(14, Code.SUM, Outcome.FLAGGED, tolerance_steps=2, tolerance_permille=5),
            _rule(15, Code.GAP_SHORT, Outcome.FLAGGED, hours_max=3),
            _rule(16, Code.GAP_BOUNDED, Outcome.FLAGGED),
            _rule(17, Code.GAP_OPEN, Outcome.FLAGGED),
            _rule(18, Code.PROLONGED, Outcome.HELD, periods_max=3),
            _rule(19, Code.MULTIPLIER, Outcome.HELD),
            _rule(20, Code.UNKNOWN_DEVICE, Outcome.REFUSED),
            _rule(21, Code.REBASELINE, Outcome.HELD, readings=3),
            _rule(22, Code.DEVICE_FLAG, Outcome.FLAGGED),
        )
    }
)
# Largest flow on the plate by size, EN 1359, in dm3 an hour: a registered flow above it is no
# reason to believe more gas than the meter can pass.
QMAX_DM3_H: Final[Mapping[MeterType, int]] = MappingProxyType(
    {
        MeterType.DIAPHRAGM_G1_6: 2_500,
        MeterType.DIAPHRAGM_G2_5: 4_000,
        MeterType.DIAPHRAGM_G4: 6_000,
        MeterType.DIAPHRAGM_G6: 10_000,
        MeterType.DIAPHRAGM_G10: 16_000,
    }
)
# Types that report gas per interval; on the others a flat hour is nothing strange.
INTERVAL_TYPES: Final = frozenset({MeterType.ULTRASONIC, MeterType.PULSE})
INTERVAL_RULES: Final = frozenset({Code.FROZEN, Code.SUM})
# What an override may set a figure to, from and to; every other figure is 0 to FIGURE_MAX.
FIGURE_LIMITS: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {
        "ahead_max_s": (0, 86_400),
        "late_after_days": (1, 3_660),
        "ratio_tolerance_permille": (0, 200),
        "jitter_steps": (0, 10),
        "tolerance_permille": (0, 10_000),
        "hours_max": (0, 24),
        "near_end_permille": (500, 1_000),
        "advance_max_permille": (0, 500),
        "high_percent": (101, 100_000),
        "low_percent": (0, 99),
        "days": (1, 366),
        "days_heating": (1, 366),
        "heating_first_month": (1, 12),
        "heating_last_month": (1, 12),
        "intervals": (2, 10_000),
        "readings": (2, 1_000),
        "periods_max": (1, 12),
        "qmax_dm3_h": (1, FIGURE_MAX),
    }
)
# These guard the line itself: a town may not make them believe more than we do.
NOT_SOFTENED: Final = frozenset(
    {
        Code.DUPLICATE,
        Code.CLOCK,
        Code.SENTINEL,
        Code.DIAL,
        Code.INDEX_DOWN,
        Code.EXCHANGE,
        Code.TOO_FAST,
        Code.UNKNOWN_DEVICE,
        Code.REBASELINE,
    }
)
_STRICTNESS: Final = (Outcome.ACCEPTED, Outcome.FLAGGED, Outcome.HELD, Outcome.REFUSED)


def standard_book(meter_type: MeterType) -> RuleBook:
    """Return our own rules for a type of meter."""
    rules = dict(DEFAULTS)
    if meter_type not in INTERVAL_TYPES:
        for code in INTERVAL_RULES:
            del rules[code]
    qmax_dm3_h = QMAX_DM3_H.get(meter_type)
    if qmax_dm3_h is not None:
        fast = rules[Code.TOO_FAST]
        rules[Code.TOO_FAST] = replace(
            fast, figures=MappingProxyType({**fast.figures, "qmax_dm3_h": qmax_dm3_h})
        )
    return RuleBook(meter_type=meter_type, rules=MappingProxyType(rules))


class OverrideReason(StrEnum):
    """Why an override is refused."""

    UNKNOWN_RULE = "unknown_rule"
    UNKNOWN_METER_TYPE = "unknown_meter_type"
    UNKNOWN_OUTCOME = "unknown_outcome"
    UNKNOWN_FIGURE = "unknown_figure"
    NOT_WHOLE = "not_whole"
    NEGATIVE = "negative"
    OUT_OF_RANGE = "out_of_range"
    SOFTENED = "softened"
    NOT_APPROVED = "not_approved"
    RULE_OFF = "rule_off"
    EMPTY = "empty"
    IN_THE_PAST = "in_the_past"


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideRefusal:
    """An override that does not take effect, and why."""

    reason: OverrideReason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A town's word on one rule for one type of meter, or for all, from a local day on.

    ``from_at`` is the midnight with which that day began. ``outcome`` is None, and ``figures``
    lacks a name, where our own word stands.
    """

    code: Code
    meter_type: MeterType | None
    valid_from: date
    from_at: datetime
    outcome: Outcome | None
    figures: Mapping[str, int]
    approved_by: str


def take_override(  # noqa: PLR0913 - the seven columns of the table
    *,
    code: str,
    meter_type: str | None,
    valid_from: date,
    from_at: datetime,
    outcome: str | None,
    figures: Mapping[str, object],
    approved_by: str,
) -> Override | OverrideRefusal:
    """Check what a town wants to override; nothing is guessed and nothing is rounded."""
    unusable = _misnamed(code, meter_type, outcome)
    if unusable is None and not 0 < len(approved_by.strip()) <= APPROVED_BY_CHARS_MAX:
        unusable = OverrideReason.NOT_APPROVED, "nobody stands for it"
    if unusable is None and outcome is None and not figures:
        unusable = OverrideReason.EMPTY, "it changes nothing"
    if unusable is not None:
        return OverrideRefusal(reason=unusable[0], detail=unusable[1])
    types = list(MeterType) if meter_type is None else [MeterType(meter_type)]
    books = [standard_book(one) for one in types]
    rules = [rule for book in books if (rule := book.get(Code(code))) is not None]
    if not rules:
        return OverrideRefusal(reason=OverrideReason.RULE_OFF, detail=f"{code} for {meter_type}")
    checked: dict[str, int] = {}
    for name, value in figures.items():
        taken = _figure(rules, name, value)
        if isinstance(taken, OverrideRefusal):
            return taken
        checked[name] = taken
    wanted = None if outcome is None else Outcome(outcome)
    if wanted is not None and _softer(rules[0], wanted):
        return OverrideRefusal(reason=OverrideReason.SOFTENED, detail=f"{code} to {wanted}")
    return Override(
        code=Code(code),
        meter_type=None if meter_type is None else MeterType(meter_type),
        valid_from=valid_from,
        from_at=from_at,
        outcome=wanted,
        figures=MappingProxyType(checked),
        approved_by=approved_by.strip(),
    )


def _misnamed(
    code: str, meter_type: str | None, outcome: str | None
) -> tuple[OverrideReason, str] | None:
    if code not in list(Code):
        return OverrideReason.UNKNOWN_RULE, code
    if meter_type is not None and meter_type not in list(MeterType):
        return OverrideReason.UNKNOWN_METER_TYPE, meter_type
    if outcome is not None and outcome not in list(Outcome):
        return OverrideReason.UNKNOWN_OUTCOME, outcome
    return None


def _figure(rules: Iterable[Rule], name: str, value: object) -> int | OverrideRefusal:
    """Return a figure that every rule meant by the override has, within its limits."""
    if any(name not in rule.figures for rule in rules):
        return OverrideRefusal(reason=OverrideReason.UNKNOWN_FIGURE, detail=name)
    if isinstance(value, bool) or not isinstance(value, int):
        return OverrideRefusal(reason=OverrideReason.NOT_WHOLE, detail=f"{name}: {value!r}")
    if value < 0:
        return OverrideRefusal(reason=OverrideReason.NEGATIVE, detail=f"{name}: {value}")
    least, most = FIGURE_LIMITS.get(name, (0, FIGURE_MAX))
    if not least <= value <= most:
        return OverrideRefusal(
            reason=OverrideReason.OUT_OF_RANGE, detail=f"{name}: {value}, not {least} to {most}"
        )
    return value


def _softer(rule: Rule, wanted: Outcome) -> bool:
    return rule.code in NOT_SOFTENED and _STRICTNESS.index(wanted) < _STRICTNESS.index(rule.outcome)


def rule_book(meter_type: MeterType, overrides: Iterable[Override], *, on: date) -> RuleBook:
    """Return the rules in force for a type of meter on a local day.

    Later overrides build on earlier ones; one for the type itself comes after one for all types of
    the same day. An override of a rule that is off for this type changes nothing.
    """
    rules = dict(standard_book(meter_type).rules)
    for one in in_force(meter_type, overrides, on=on):
        if one.code not in rules:
            continue
        rule = rules[one.code]
        rules[one.code] = replace(
            rule,
            version=f"{DEFAULTS[one.code].version}+{one.valid_from:%Y%m%d}",
            outcome=one.outcome or rule.outcome,
            figures=MappingProxyType({**rule.figures, **one.figures}),
        )
    return RuleBook(meter_type=meter_type, rules=MappingProxyType(rules))


def in_force(meter_type: MeterType, overrides: Iterable[Override], *, on: date) -> list[Override]:
    """Return the overrides for a type of meter on a local day, in the order they build."""
    mine = [
        one for one in overrides if one.valid_from <= on and one.meter_type in {None, meter_type}
    ]
    return sorted(mine, key=lambda one: (one.valid_from, one.meter_type is not None))
