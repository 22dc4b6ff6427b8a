"""The debits that a benchmark collects, in a process of its own.

``python -m app.bench.collecting DATABASE-URL BANK-URL AT`` records and sends every debit that is
due at that instant, and prints how many, how long it took and the most memory it held. The token of
the bank stands in the environment.
"""

import asyncio
import json
import os
import sys
import time
from datetime import datetime
from typing import Final

from app import logs
from app.bench import children
from app.pool import POOL_MAX, service_pool
from billing.collect import record
from billing.io.bank import BankClient
from billing.io.debits import Debits
from billing.send import send
from billing.workdays import bank_days, in_time

ZONE: Final = "Asia/Almaty"
CURRENCY: Final = "KZT"
TOKEN: Final = "AQKOL_BANK_TOKEN"  # noqa: S105 - its name, not the token
# As many as one round of the service takes at once.
BATCH: Final = 200


async def collect_all(
    database_url: str, bank_url: str, token: str, at: datetime
) -> dict[str, float]:
    """Record and send until nothing is left to do; return counts, seconds, CPU and memory."""
    async with (
        service_pool(database_url, size_min=POOL_MAX) as pool,
        BankClient.open(url=bank_url, token=token) as bank,
    ):
        store = Debits(pool)
        # A service that runs has its calendar of bank days; it is read once, in half a second.
        in_time(at.date(), at.date(), bank_days(CURRENCY))
        begun, cpu_s = time.perf_counter(), time.process_time()
        recorded = accepted = 0
        while True:
            made = await record(store=store, at=at, zone=ZONE, limit=BATCH)
            sent = await send(store=store, bank=bank, at=at, limit=BATCH)
            recorded += made.recorded
            accepted += sent.accepted
            if not made.recorded and not sent.accepted:
                break
        seconds = time.perf_counter() - begun
    return {
        "seconds": round(seconds, 3),
        "recorded": recorded,
        "accepted": accepted,
        "cpu_s": round(time.process_time() - cpu_s, 3),
        "rss_mb": children.rss_mb(os.getpid()),
    }


if __name__ == "__main__":
    logs.configure("json")
    words = sys.argv[1], sys.argv[2], os.environ[TOKEN], datetime.fromisoformat(sys.argv[3])
    sys.stdout.write(json.dumps(asyncio.run(collect_all(*words))) + "\n")
