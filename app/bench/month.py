"""The month that a benchmark bills, and its steps, each as a process of its own.

``python -m app.bench.month DATABASE-URL run`` bills it, ``… correct`` corrects what was said later.
They print what was done, how long it took and the most memory the process held: nothing else is in
that process.
"""

import asyncio
import json
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Final

from app import logs
from app.bench import children
from app.pool import service_pool
from billing.correct import correct
from billing.correction import Policy
from billing.io.corrections import Corrections
from billing.io.store import BillingStore
from billing.period import Period
from billing.reconcile import reconcile

ZONE: Final = "Asia/Almaty"
PERIOD: Final = Period.month(2026, 1)
BOUNDS: Final = PERIOD.bounds(ZONE)
# As many at once as a small machine has cores.
SESSIONS: Final = 2
POOL_MAX: Final = 4
# A day after the month is over.
AT: Final = datetime(2026, 2, 2, tzinfo=UTC)
# Late words are said and taken up after everybody was billed.
SAID_AT: Final = AT + timedelta(days=1)
LOOKED_AT: Final = AT + timedelta(days=2)


async def run_month(database_url: str) -> dict[str, float]:
    """Run the month with the service's rights, and return counts, seconds and memory."""
    async with service_pool(database_url, size_max=POOL_MAX) as pool:
        begun = time.perf_counter()
        store = BillingStore(pool, sessions=SESSIONS)
        counts = await reconcile(store=store, period=PERIOD, at=AT, zone=ZONE)
        seconds = time.perf_counter() - begun
    return {
        "seconds": round(seconds, 3),
        "measured": counts.measured,
        "billed": counts.billed,
        "held": counts.held,
        "rss_mb": children.rss_mb(os.getpid()),
    }


async def correct_month(database_url: str) -> dict[str, float]:
    """Correct what was said later with the service's rights; return counts, seconds and memory."""
    async with service_pool(database_url, size_max=POOL_MAX) as pool:
        begun = time.perf_counter()
        store = Corrections(pool)
        counts = await correct(store=store, at=LOOKED_AT, zone=ZONE, policy=Policy())
        seconds = time.perf_counter() - begun
    return {
        "seconds": round(seconds, 3),
        "rebilled": counts.rebilled,
        "rss_mb": children.rss_mb(os.getpid()),
    }


if __name__ == "__main__":
    logs.configure("json")
    work = {"run": run_month, "correct": correct_month}[sys.argv[2]]
    sys.stdout.write(json.dumps(asyncio.run(work(sys.argv[1]))) + "\n")
