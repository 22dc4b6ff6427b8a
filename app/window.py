"""A billing month as the rules of belief see it, and what they say before it is billed."""

from datetime import datetime
from typing import Final

import asyncpg

from billing.period import Period
from billing.reconcile import SETTLING
from metering.io.findings import Findings
from metering.survey import Days, Window
from metering.validate import validate

# Which homes are heated by gas is not known, so a silent winter week is not strange.
HEATED: Final = False


def window_of(period: Period, zone: str) -> Window:
    """Return a month as the rules see it: its instants, the month before, the same last year."""
    start_at, end_at = period.bounds(zone)
    before = period.before()
    last_year = Period.month(period.start.year - 1, period.start.month)
    return Window(
        days=Days(start=period.start, end=period.end),
        start_at=start_at,
        end_at=end_at,
        previous=Days(start=before.start, end=before.end),
        last_year=Days(start=last_year.start, end=last_year.end),
    )


async def go_over(pool: asyncpg.Pool, zone: str, period: Period, at: datetime) -> None:
    """Apply the rules to a month, unless they have heard all that came while it settled.

    A month that still runs is left alone: whoever bills it is refused for that.
    """
    over_at = period.bounds(zone)[1]
    findings = Findings(pool)
    if at >= over_at and not await findings.validated_since(period.start, over_at + SETTLING):
        await validate(store=findings, window=window_of(period, zone), at=at, heated=HEATED)
