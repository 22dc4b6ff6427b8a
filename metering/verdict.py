"""How far we believe a reading, and the rules for it.

A billable reading has a place on its installation's line, so gas can be measured from it. A suspect
one is kept as it came, with its reason, and measures nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from metering.installation import Outside
from metering.meter import Meter
from metering.reading import RESOLUTION, SECONDS_PER_HOUR, Mark, Reading, advance_dm3
from metering.rule import Code, Finding, MeterType, Outcome, Rule, RuleBook, standard_book

# What electronics says when it has nothing to say: all bits set, in 24, 31 and 32 bits; and four
# overflows of loggers as they were published in m3 (8590.017, 34364.271, 4295.103, 186227.0865),
# whose last litre differs from logger to logger.
SENTINELS: Final = frozenset(
    {2**24 - 1, 2**31 - 1, 2**32 - 1}
    | {published + last for published in (8_590_017, 34_364_271, 4_295_103) for last in (-1, 0, 1)}
    | {186_227_086, 186_227_087}
)
PERMILLE: Final = 1000
SECONDS_PER_DAY: Final = 86_400


class Reason(StrEnum):
    """Why a reading is not trusted."""

    CLOCK_AHEAD = "clock_ahead"
    CLOCK_LOST = "clock_lost"
    BEFORE_INSTALLATION = "before_installation"
    AFTER_REMOVAL = "after_removal"
    SENTINEL = "sentinel"
    BEYOND_DIAL = "beyond_dial"
    INDEX_DOWN = "index_down"
    TOO_FAST = "too_fast"


class Billable(NamedTuple):
    """A trusted reading: turns of the dial since the installation, and the gas since the last."""

    turns: int
    advance_dm3: int
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A reading that measures nothing, and why."""

    reason: Reason


Verdict = Billable | Suspect

# Which rule speaks when a reading is suspect.
RULE_OF: Final[Mapping[Reason, Code]] = MappingProxyType(
    {
        Reason.CLOCK_AHEAD: Code.CLOCK,
        Reason.CLOCK_LOST: Code.CLOCK,
        Reason.BEFORE_INSTALLATION: Code.UNKNOWN_DEVICE,
        Reason.AFTER_REMOVAL: Code.UNKNOWN_DEVICE,
        Reason.SENTINEL: Code.SENTINEL,
        Reason.BEYOND_DIAL: Code.DIAL,
        Reason.INDEX_DOWN: Code.INDEX_DOWN,
        Reason.TOO_FAST: Code.TOO_FAST,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The figures of a rule book that judging a single reading needs, ready to hand.

    ``qmax_dm3_h_max`` is 0 where the type of meter sets no limit of its own.
    """

    clock_ahead_max: timedelta
    late_after: timedelta
    advance_tolerance_permille: int
    qmax_dm3_h_max: int
    near_end_permille: int
    rollover_advance_max_permille: int
    rollover: Rule
    late: Rule

    @property
    def permille(self) -> int:
        """How much of Qmax a meter may run at."""
        return PERMILLE + self.advance_tolerance_permille


def policy_of(book: RuleBook) -> Policy:
    """Return what judging needs out of a rule book; make it once and not for every reading."""
    rules = book.rules
    late, rollover = rules[Code.LATE], rules[Code.ROLLOVER]
    fast = rules[Code.TOO_FAST]
    return Policy(
        clock_ahead_max=timedelta(seconds=rules[Code.CLOCK]["ahead_max_s"]),
        late_after=timedelta(days=late["late_after_days"]),
        advance_tolerance_permille=fast["tolerance_permille"],
        qmax_dm3_h_max=fast.figures.get("qmax_dm3_h", 0),
        near_end_permille=rollover["near_end_permille"],
        rollover_advance_max_permille=rollover["advance_max_permille"],
        rollover=rollover,
        late=late,
    )


STANDARD: Final = policy_of(standard_book(MeterType.DIAPHRAGM))
# A meter's clock may run ahead of ours by this much: drift of a cheap crystal between two settings.
CLOCK_AHEAD_MAX: Final = STANDARD.clock_ahead_max


def judge_place(
    reading: Reading, *, where: Outside | None, at: datetime, policy: Policy = STANDARD
) -> Suspect | None:
    """Judge when and where a reading was taken, before its register is looked at.

    ``where`` is None when an installation holds the reading. Returns None when all is well.
    """
    if reading.read_at > at + policy.clock_ahead_max:
        return Suspect(reason=Reason.CLOCK_AHEAD)
    if where is Outside.BEFORE:
        return Suspect(reason=Reason.BEFORE_INSTALLATION)
    if where is Outside.AFTER:
        return Suspect(reason=Reason.AFTER_REMOVAL)
    return None


def judge(  # noqa: PLR0913 - the reading, its meter, its neighbours, and by which rules
    reading: Reading,
    *,
    meter: Meter,
    before: Mark,
    after: Mark | None,
    policy: Policy = STANDARD,
    at: datetime | None = None,
) -> Verdict:
    """Judge a register against the nearest marks of its installation, earlier and later.

    It must fit the dial, must not stand below the mark before it unless the dial passed zero, and
    must not ask for more gas than the meter can count, neither since the mark before nor until the
    mark after. A dial that passed zero is flagged, and so is a reading that ``at``, when we got it,
    was late.
    """
    assert before.read_at <= reading.read_at, "before must not lie after the reading"
    if after is None and at is None and _ordinary(reading, meter, before, policy):
        return Billable(before.turns, reading.register_dm3 - before.register_dm3)
    if reading.register_dm3 in SENTINELS or reading.register_dm3 // meter.step_dm3 in SENTINELS:
        return Suspect(reason=Reason.SENTINEL)
    if max(reading.register_dm3, before.register_dm3) >= meter.dial_dm3:
        return Suspect(reason=Reason.BEYOND_DIAL)
    advance = advance_dm3(
        before_dm3=before.register_dm3, after_dm3=reading.register_dm3, dial_dm3=meter.dial_dm3
    )
    advance_max = _advance_max(meter, before.read_at, reading.read_at, policy)
    turned = reading.register_dm3 < before.register_dm3
    if turned and not _rolled_over(meter, before, advance, advance_max, policy):
        return Suspect(reason=Reason.INDEX_DOWN)
    if advance > advance_max:
        return Suspect(reason=Reason.TOO_FAST)
    turns = before.turns + 1 if turned else before.turns
    here = Mark(read_at=reading.read_at, register_dm3=reading.register_dm3, turns=turns)
    findings = remarks(reading, before, policy, at) if turned or at is not None else ()
    return _against_later(meter, here, after, policy) or Billable(
        turns=turns, advance_dm3=advance, findings=findings
    )


def _ordinary(reading: Reading, meter: Meter, before: Mark, policy: Policy) -> bool:
    """Say of nearly every reading, at little cost, that no rule has anything against it.

    The room it allows is that of whole seconds without the step, so never more than the exact one.
    """
    register_dm3, step_dm3 = reading.register_dm3, meter.step_dm3
    advance_dm3 = register_dm3 - before.register_dm3
    if (
        advance_dm3 < 0
        or register_dm3 >= meter.dial_dm3
        or register_dm3 in SENTINELS
        or (step_dm3 != 1 and register_dm3 // step_dm3 in SENTINELS)
    ):
        return False
    if advance_dm3 <= step_dm3:
        return True
    if 0 < policy.qmax_dm3_h_max < meter.qmax_dm3_h:
        return False
    passed = reading.read_at - before.read_at
    room = meter.qmax_dm3_h * (passed.days * SECONDS_PER_DAY + passed.seconds) * policy.permille
    return advance_dm3 * (SECONDS_PER_HOUR * PERMILLE) <= room


def explain(  # noqa: PLR0913 - what was judged, with what, and by which rules
    verdict: Suspect,
    reading: Reading,
    *,
    meter: Meter,
    before: Mark | None,
    book: RuleBook,
    at: datetime,
) -> Finding:
    """Say by which rule a reading is suspect, with the figures a person needs to decide.

    Apart from judging, because it is asked for a few readings and not for all. A register that fell
    by no more than the jitter of its reader is flagged only: it measures nothing, and says nothing
    about the meter. ``before`` is the mark before it, or None where there is none.
    """
    rule = book.rules[RULE_OF[verdict.reason]]
    figures = {"register_dm3": reading.register_dm3}
    if verdict.reason is Reason.CLOCK_AHEAD:
        figures["ahead_s"] = (reading.read_at - at) // timedelta(seconds=1)
    if verdict.reason is Reason.BEYOND_DIAL:
        figures["dial_dm3"] = meter.dial_dm3
    if before is None or verdict.reason not in {Reason.INDEX_DOWN, Reason.TOO_FAST}:
        return rule.finding(**figures)
    figures["before_dm3"] = before.register_dm3
    figures["since_s"] = (reading.read_at - before.read_at) // timedelta(seconds=1)
    figures["advance_max_dm3"] = _advance_max(
        meter, before.read_at, reading.read_at, policy_of(book)
    )
    found = rule.finding(**figures)
    if verdict.reason is Reason.INDEX_DOWN:
        fall_dm3 = before.register_dm3 - reading.register_dm3
        if 0 < fall_dm3 <= rule["jitter_steps"] * meter.step_dm3:
            return replace(found, outcome=Outcome.FLAGGED)
    return found


def remarks(
    reading: Reading, before: Mark, policy: Policy, at: datetime | None
) -> tuple[Finding, ...]:
    """Return what is worth saying about a reading that is believed."""
    flags = []
    if reading.register_dm3 < before.register_dm3:
        flags.append(
            policy.rollover.finding(
                before_dm3=before.register_dm3, register_dm3=reading.register_dm3
            )
        )
    if at is not None and at - reading.read_at > policy.late_after:
        flags.append(policy.late.finding(late_days=(at - reading.read_at).days))
    return tuple(flags)


def _against_later(meter: Meter, here: Mark, after: Mark | None, policy: Policy) -> Suspect | None:
    """Judge a late reading against what is already known to have come after it."""
    if after is None:
        return None
    remaining = after.total_dm3(meter.dial_dm3) - here.total_dm3(meter.dial_dm3)
    if remaining < 0:
        return Suspect(reason=Reason.INDEX_DOWN)
    if remaining > _advance_max(meter, here.read_at, after.read_at, policy):
        return Suspect(reason=Reason.TOO_FAST)
    return None


def _rolled_over(
    meter: Meter, before: Mark, advance: int, advance_max: int, policy: Policy
) -> bool:
    """Tell a dial that passed zero from one that went backwards.

    Near the end of the dial any possible advance will do; from further away only a small one, since
    a meter that was silent for long may have passed the end unseen.
    """
    if advance > advance_max:
        return False
    near_the_end = before.register_dm3 * PERMILLE > meter.dial_dm3 * policy.near_end_permille
    return (
        near_the_end or advance * PERMILLE < meter.dial_dm3 * policy.rollover_advance_max_permille
    )


def _advance_max(meter: Meter, earlier: datetime, later: datetime, policy: Policy) -> int:
    """Return the most gas in dm3 between two instants: Qmax, its tolerance, and one step."""
    qmax_dm3_h = meter.qmax_dm3_h
    if 0 < policy.qmax_dm3_h_max < qmax_dm3_h:
        qmax_dm3_h = policy.qmax_dm3_h_max
    microseconds = (later - earlier) // RESOLUTION
    assert microseconds >= 0, "later must not lie before earlier"
    return (
        qmax_dm3_h * microseconds * policy.permille // (SECONDS_PER_HOUR * 1_000_000 * PERMILLE)
        + meter.step_dm3
    )
