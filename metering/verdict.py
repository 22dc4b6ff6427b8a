"""How far we believe a reading, and the rules for it.

A billable reading has a place on its installation's line, so gas can be measured from it. A suspect
one is kept as it came, with its reason, and measures nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from metering.installation import Outside
from metering.meter import Meter
from metering.reading import Mark, Reading, advance_dm3, advance_dm3_max

# A meter's clock may run ahead of ours by this much: drift of a cheap crystal between two settings.
CLOCK_AHEAD_MAX: Final = timedelta(minutes=10)
# What electronics says when it has nothing to say: all bits set, in 24, 31 and 32 bits.
SENTINELS: Final = frozenset({2**24 - 1, 2**31 - 1, 2**32 - 1})


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Billable:
    """A trusted reading: turns of the dial since the installation, and the gas since the last."""

    turns: int
    advance_dm3: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A reading that measures nothing, and why."""

    reason: Reason


Verdict = Billable | Suspect


def judge_place(reading: Reading, *, where: Outside | None, at: datetime) -> Suspect | None:
    """Judge when and where a reading was taken, before its register is looked at.

    ``where`` is None when an installation holds the reading. Returns None when all is well.
    """
    if reading.read_at > at + CLOCK_AHEAD_MAX:
        return Suspect(reason=Reason.CLOCK_AHEAD)
    if where is Outside.BEFORE:
        return Suspect(reason=Reason.BEFORE_INSTALLATION)
    if where is Outside.AFTER:
        return Suspect(reason=Reason.AFTER_REMOVAL)
    return None


def judge(reading: Reading, *, meter: Meter, before: Mark, after: Mark | None) -> Verdict:
    """Judge a register against the nearest marks of its installation, earlier and later.

    It must fit the dial, must not stand below the mark before it unless the dial passed zero, and
    must not ask for more gas than the meter can count, neither since the mark before nor until the
    mark after.
    """
    assert before.read_at <= reading.read_at, "before must not lie after the reading"
    if reading.register_dm3 in SENTINELS or reading.register_dm3 // meter.step_dm3 in SENTINELS:
        return Suspect(reason=Reason.SENTINEL)
    if max(reading.register_dm3, before.register_dm3) >= meter.dial_dm3:
        return Suspect(reason=Reason.BEYOND_DIAL)
    advance = advance_dm3(
        before_dm3=before.register_dm3, after_dm3=reading.register_dm3, dial_dm3=meter.dial_dm3
    )
    advance_max = _advance_max(meter, before.read_at, reading.read_at)
    turned = reading.register_dm3 < before.register_dm3
    if turned and not _rolled_over(meter, before, advance, advance_max):
        return Suspect(reason=Reason.INDEX_DOWN)
    if advance > advance_max:
        return Suspect(reason=Reason.TOO_FAST)
    turns = before.turns + 1 if turned else before.turns
    here = Mark(read_at=reading.read_at, register_dm3=reading.register_dm3, turns=turns)
    return _against_later(meter, here, after) or Billable(turns=turns, advance_dm3=advance)


def _against_later(meter: Meter, here: Mark, after: Mark | None) -> Suspect | None:
    """Judge a late reading against what is already known to have come after it."""
    if after is None:
        return None
    remaining = after.total_dm3(meter.dial_dm3) - here.total_dm3(meter.dial_dm3)
    if remaining < 0:
        return Suspect(reason=Reason.INDEX_DOWN)
    if remaining > _advance_max(meter, here.read_at, after.read_at):
        return Suspect(reason=Reason.TOO_FAST)
    return None


def _rolled_over(meter: Meter, before: Mark, advance: int, advance_max: int) -> bool:
    """Tell a dial that passed zero from one that went backwards.

    Near the end of the dial any possible advance will do; from further away only a small one, since
    a meter that was silent for long may have passed the end unseen.
    """
    if advance > advance_max:
        return False
    near_the_end = before.register_dm3 * 10 > meter.dial_dm3 * 9
    return near_the_end or advance * 10 < meter.dial_dm3


def _advance_max(meter: Meter, earlier: datetime, later: datetime) -> int:
    return advance_dm3_max(
        qmax_dm3_h=meter.qmax_dm3_h, step_dm3=meter.step_dm3, earlier=earlier, later=later
    )
