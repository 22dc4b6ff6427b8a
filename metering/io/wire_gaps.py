"""What the gaps of a meter look like on the wire of the API."""

from datetime import date
from typing import Annotated
from uuid import UUID

from pydantic import Field

from metering.gaps import DayState, DeclaredGap, GapReason
from metering.io.gaps import GapMap
from metering.io.route import Day, Instant, MeterId, Wire
from metering.io.wire import MeterPath
from metering.io.wire_desk import Sentence

FirstDayAfter = Annotated[Day, Field(description="the first day after them")]


class GapQuery(Wire):
    """Which days of the town: up to, but without, the second; left out, the recent ones."""

    from_day: Annotated[Day | None, Field(alias="from")] = None
    to_day: Annotated[Day | None, Field(alias="to")] = None


class GapPath(MeterPath):
    """One declared gap of one meter."""

    gap_id: UUID


class NewGap(Wire):
    """Days on which a meter is silent, and why."""

    from_day: Day
    to_day: FirstDayAfter
    # JSON has no closed sets; the text is checked to be one of them.
    reason: Annotated[GapReason, Field(strict=False)]
    because: Sentence


class NewWithdrawal(Wire):
    """Why a declared gap is taken back."""

    because: Sentence


class DayShown(Wire):
    """One local day of a meter: read, suspect_only, declared, missing, not_due, not_installed."""

    day: date
    state: DayState
    billable: int
    suspect: int
    expected: Annotated[
        int, Field(description="readings that a meter of its type has while it hangs")
    ]
    declared: Annotated[GapReason | None, Field(description="why, where a person said so")]


class RunShown(Wire):
    """Days in a row that are missing."""

    from_day: date
    to_day: Annotated[date, Field(description="the first day after them")]
    days: int


class GapShown(Wire):
    """Days declared silent, by whom and why; withdrawn ones explain nothing any more."""

    gap_id: UUID
    meter_id: MeterId
    from_day: date
    to_day: Annotated[date, Field(description="the first day after them")]
    reason: GapReason
    because: str
    declared_by: str
    declared_at: Instant
    withdrawn_by: str | None
    withdrawn_because: str | None
    withdrawn_at: Instant | None


class GapMapShown(Wire):
    """A meter's days, the missing ones as runs, and what was declared of them."""

    meter_id: MeterId
    from_day: date
    to_day: Annotated[date, Field(description="the first day after them")]
    days: list[DayShown]
    missing: list[RunShown]
    declared: list[GapShown]


def gap_shown(gap: DeclaredGap) -> GapShown:
    """Show a declared gap."""
    return GapShown.model_validate(gap, from_attributes=True)


def map_shown(found: GapMap) -> GapMapShown:
    """Show the days of a meter."""
    return GapMapShown(
        meter_id=found.meter_id,
        from_day=found.span.start,
        to_day=found.span.end,
        days=[DayShown.model_validate(day, from_attributes=True) for day in found.days],
        missing=[
            RunShown(from_day=run.start, to_day=run.end, days=run.count) for run in found.missing
        ],
        declared=[gap_shown(gap) for gap in found.declared],
    )
