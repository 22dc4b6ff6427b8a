"""The states of a month on its way to its bills.

    collecting --> drafted --> approved --> issued --> reopened
                      |___________________^    ^__________|
                   (where nobody has to approve)

``drafted``: the figures wait for a person. ``reopened``: bills of stragglers followed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class MonthState(StrEnum):
    """Where a month stands."""

    COLLECTING = "collecting"
    DRAFTED = "drafted"
    APPROVED = "approved"
    ISSUED = "issued"
    REOPENED = "reopened"


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthStep:
    """One step: how many bills, minor units; who approved it and why."""

    step_no: int
    state: MonthState
    bills: int
    total_minor: int
    said_by: str | None
    because: str | None
    at: datetime


class Answer(StrEnum):
    """What a run says of a month that somebody asked it to bill."""

    ISSUED = "issued"
    ISSUED_THE_REST = "issued_the_rest"
    ALL_BILLED_BEFORE = "all_billed_before"
    ALL_HELD = "all_held"
    NOBODY_HAS_A_METER = "nobody_has_a_meter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How many accounts had their bill for a month before a run, and how many have no meter."""

    billed_before: int
    without_meter: int


def answer(standing: Standing, *, billed: int, held: int) -> Answer:
    """Return the word for a run that issued and held so many bills, after ``standing``."""
    if billed:
        return Answer.ISSUED_THE_REST if standing.billed_before else Answer.ISSUED
    if held:
        return Answer.ALL_HELD
    return Answer.ALL_BILLED_BEFORE if standing.billed_before else Answer.NOBODY_HAS_A_METER


def state_of(steps: Sequence[MonthStep]) -> MonthState:
    """Return where a month stands after its steps."""
    return steps[-1].state if steps else MonthState.COLLECTING


def after_issue(steps: Sequence[MonthStep]) -> MonthState:
    """Return where a month stands once bills of it went out."""
    if any(step.state in {MonthState.ISSUED, MonthState.REOPENED} for step in steps):
        return MonthState.REOPENED
    return MonthState.ISSUED


def may_draft(steps: Sequence[MonthStep], *, bills: int, total_minor: int) -> bool:
    """Say whether a draft is worth a step: nobody has approved, and the figures are new."""
    if any(step.state is not MonthState.DRAFTED for step in steps):
        return False
    return not steps or (steps[-1].bills, steps[-1].total_minor) != (bills, total_minor)
