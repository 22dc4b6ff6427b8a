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
