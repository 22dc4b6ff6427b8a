"""What the rules of belief say about a month before it is billed."""

from datetime import datetime
from typing import Final

import asyncpg

from billing.period import Period
from billing.reconcile import SETTLING
from billing.window import window_of
from metering.io.findings import Findings
from metering.validate import validate

# Which homes are heated by gas is not known, so a silent winter week is not strange.
HEATED: Final = False


async def go_over(pool: asyncpg.Pool, zone: str, period: Period, at: datetime) -> None:
    """Apply the rules to a month, unless they have heard all that came while it settled.

    A month that still runs is left alone: whoever bills it is refused for that.
    """
    over_at = period.bounds(zone)[1]
    findings = Findings(pool)
    if at >= over_at and not await findings.validated_since(period.start, over_at + SETTLING):
        await validate(store=findings, window=window_of(period, zone), at=at, heated=HEATED)
