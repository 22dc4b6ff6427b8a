"""Which figures hold for a meter's readings, from which instant on.

A town may override a rule from a local day on, so one meter may have several policies, one after
another. Nearly every meter has one, and every meter of a type shares it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from metering.rule import MeterType, Override, rule_book, standard_book
from metering.verdict import STANDARD, Policy, policy_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The first policy, and those that take its place, each with the instant, in that order."""

    first: Policy
    later: tuple[tuple[datetime, Policy], ...] = ()

    def at(self, instant: datetime) -> Policy:
        """Return the policy in force at an instant."""
        found = self.first
        for from_at, policy in self.later:
            if instant < from_at:
                break
            found = policy
        return found


STANDARD_POLICIES: Final = Policies(first=STANDARD)
_OURS: Final[Mapping[MeterType, Policies]] = MappingProxyType(
    {
        kind: STANDARD_POLICIES
        if policy_of(standard_book(kind)) == STANDARD
        else Policies(first=policy_of(standard_book(kind)))
        for kind in MeterType
    }
)


def policies_of(meter_type: MeterType, overrides: Iterable[Override]) -> Policies:
    """Return the policies of a type of meter under a town's overrides.

    Overrides that change nothing a single reading is judged by leave no trace, and where there are
    none the same object is returned each time.
    """
    ours = _OURS[meter_type]
    words = sorted(overrides, key=lambda one: one.from_at)
    later: list[tuple[datetime, Policy]] = []
    before = ours.first
    for number, word in enumerate(words):
        if number + 1 < len(words) and words[number + 1].from_at == word.from_at:
            continue
        policy = policy_of(rule_book(meter_type, words, on=word.valid_from))
        if policy != before:
            later.append((word.from_at, policy))
            before = policy
    return Policies(first=ours.first, later=tuple(later)) if later else ours


def meter_type_of(text: str) -> MeterType:
    """Return the type of a meter; one that our rules do not know is a meter of no known size."""
    return MeterType(text) if text in list(MeterType) else MeterType.DIAPHRAGM
