"""Years of a real-looking household go through the broker and come out as bills.

The file stands beside the project, not in it; without it there is nothing to replay.
"""

import asyncio
import csv
import gzip
import json
import sys
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from billing.io.store import BillingStore
from billing.period import Period
from billing.reconcile import reconcile
from metering.ingest import ingest_once
from metering.io.mqtt import Subscription
from metering.io.store import Store

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "gas"
FILES = sorted(DATA.glob("household-hourly-register.csv.gz"))
ALMATY = ZoneInfo("Asia/Almaty")
TODAY = datetime(2023, 1, 10, tzinfo=UTC)

WORLD = """
INSERT INTO tariff VALUES ('home', '2020-01-01', NULL, 640490, 'KZT', 'order 1');
INSERT INTO account VALUES ('A-1', 'home', 'KZT', '2020-04-01Z');
INSERT INTO meter VALUES ('AQ-000001', 100000000, 1, 6000, true, '2020-04-01Z');
"""


class StandingClock:
    """A clock on which no time passes."""

    def now(self) -> datetime:
        """Return the one instant."""
        return TODAY


def registers(path: Path) -> dict[datetime, int]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return {
            datetime.fromisoformat(row["read_at"]): int(Decimal(row["register_m3"]) * 1000)
            for row in csv.DictReader(lines)
        }


def local_midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ALMATY).astimezone(UTC)


def months_of(first: date, last: date) -> list[date]:
    found = [first]
    while found[-1] < last:
        found.append((found[-1] + timedelta(days=31)).replace(day=1))
    return found


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
async def test_a_household_is_replayed(
    path: Path, pool: asyncpg.Pool, owner: asyncpg.Connection, own_mosquitto: Any
) -> None:
    """Every register arrives, and each month costs what stands between its local midnights."""
    truth = registers(path)
    opening_at = min(truth)
    await owner.execute(WORLD)
    await owner.execute(
        "INSERT INTO installation VALUES ('AQ-000001', $1, 'A-1', 'P-1', $2)",
        opening_at, truth[opening_at],
    )  # fmt: skip

    async def take() -> None:
        store = Store(pool)
        while True:
            await ingest_once(subscription, store, StandingClock())

    async with Subscription(own_mosquitto.url, client_id="test-replay") as subscription:
        await subscription.wait_connected()
        ingest = asyncio.create_task(take())
        replay = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "simulators", "replay", str(path), "--meter", "AQ-000001",
            "-p", str(own_mosquitto.port), "--json", cwd=ROOT, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, _ = await replay.communicate()
        ingest.cancel()
        with suppress(asyncio.CancelledError):
            await ingest

    assert replay.returncode == 0
    assert json.loads(said)["rows"] == 23_508
    stored = {
        row["read_at"]: row["register_dm3"]
        for row in await owner.fetch("SELECT * FROM reading WHERE verdict = 'billable'")
    }
    assert stored == truth

    months = months_of(date(2020, 4, 1), date(2022, 11, 1))
    for month in months:
        period = Period.month(month.year, month.month)
        await reconcile(store=BillingStore(pool), period=period, at=TODAY, zone="Asia/Almaty")
    billed = {
        row["period_start"]: row["volume_dm3"] for row in await owner.fetch("SELECT * FROM bill")
    }
    ends = [local_midnight((month + timedelta(days=31)).replace(day=1)) for month in months]
    marks = [opening_at, *ends]
    assert billed == {
        month: truth[marks[number + 1]] - truth[marks[number]]
        for number, month in enumerate(months)
    }
