"""Rules that compare what a device says of itself, or seems to say, with what we have written down.

A wrong unit, a wrong pulse weight and a counter that began again all look like gas. None of them is
mended here: they are held, and a person corrects the register of meters.
"""

from collections.abc import Sequence
from typing import Final

from metering.rule import Code, Finding, Rule, RuleBook

PERMILLE: Final = 1000
# A hundred cubic feet are 2.83 m3, and a m3 is a thousand litres: how one unit looks like another.
UNIT_RATIOS_PERMILLE: Final = (2_830, 1_000_000)
# Flags by which a device says that its counter is another one now; only an exchange or a reset
# that a person enters makes two lines of it.
RESET_FLAGS: Final = frozenset({"register_reset", "counter_reset", "serial_changed", "restarted"})


def check_duplicate(*, stored_dm3: int, said_dm3: int, rule: Rule) -> Finding | None:
    """Rule 1: a second story about an instant that is stored; the same story again is nothing."""
    if said_dm3 == stored_dm3:
        return None
    return rule.finding(stored_dm3=stored_dm3, said_dm3=said_dm3)


def check_unit_ratio(*, now_dm3: int, usual_dm3: int, rule: Rule) -> Finding | None:
    """Rule 3: gas is a known unit's ratio above or below what is usual in as long a time."""
    if now_dm3 <= 0 or usual_dm3 <= 0:
        return None
    tolerance = rule["ratio_tolerance_permille"]
    larger, smaller = max(now_dm3, usual_dm3), min(now_dm3, usual_dm3)
    for ratio in UNIT_RATIOS_PERMILLE:
        off = abs(larger * PERMILLE - smaller * ratio)
        if off * PERMILLE <= smaller * ratio * tolerance:
            return rule.finding(now_dm3=now_dm3, usual_dm3=usual_dm3, ratio_permille=ratio)
    return None


def check_multiplier(
    *, configured_dm3: int, reported_dm3: int | None, rule: Rule
) -> Finding | None:
    """Rule 19: the weight of a pulse or step, in dm3, is not the one we have written down.

    A device that reports none contradicts nothing.
    """
    if reported_dm3 is None or reported_dm3 == configured_dm3:
        return None
    return rule.finding(configured_dm3=configured_dm3, reported_dm3=reported_dm3)


def check_flags(flags: Sequence[str], *, book: RuleBook) -> tuple[Finding, ...]:
    """Rules 8 and 22: what a device says about itself is an event, never a reading.

    A flag of a reset or another serial number asks for an exchange to be entered; all other flags
    are told, known to us or not.
    """
    resets = sum(1 for flag in set(flags) if flag in RESET_FLAGS)
    others = len(set(flags)) - resets
    found = []
    if resets:
        found.append(book.rules[Code.EXCHANGE].finding(flags=resets))
    if others:
        found.append(book.rules[Code.DEVICE_FLAG].finding(flags=others))
    return tuple(found)
