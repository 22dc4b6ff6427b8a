"""A home whose bills are issued, what people say about it later, and what the books say then."""

from datetime import UTC, datetime, timedelta

import asyncpg

from billing.audit import audit
from billing.correct import CorrectCounts, correct
from billing.correction import Policy
from billing.io.corrections import Corrections
from billing.io.store import BillingStore
from billing.period import Period
from billing.reconcile import reconcile
from tests.billing.town import Town

ZONE = "Asia/Almaty"
AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = datetime(2026, 3, 10, 12, tzinfo=UTC)
MUCH_LATER = datetime(2026, 4, 2, 12, tzinfo=UTC)

JAN_1 = "2026-01-01T00:00:00+05:00"
FEB_1 = "2026-02-01T00:00:00+05:00"
FEB_20 = "2026-02-20T00:00:00+05:00"
MAR_1 = "2026-03-01T00:00:00+05:00"
APR_1 = "2026-04-01T00:00:00+05:00"

REBILL = Policy()
ADJUST = Policy(adjust_below_minor=1_000_000)


async def bill(pool: asyncpg.Pool, *months: int, at: datetime = AT) -> None:
    for month in months:
        await reconcile(
            store=BillingStore(pool), period=Period.month(2026, month), at=at, zone=ZONE
        )


async def look(
    pool: asyncpg.Pool, *, at: datetime = LATER, policy: Policy = REBILL, chunk: int = 100
) -> CorrectCounts:
    return await correct(store=Corrections(pool), at=at, zone=ZONE, policy=policy, chunk=chunk)


async def findings(pool: asyncpg.Pool, *, at: datetime = LATER) -> list[str]:
    report = await audit(store=BillingStore(pool), bank=None, at=at, zone=ZONE)
    return [str(finding) for finding in report.findings]


async def winter(pool: asyncpg.Pool, owner: asyncpg.Connection) -> Town:
    """Bill 100 m3 for January and 50 m3 for February, of one home."""
    town = Town(owner)
    await town.tariff(640_490, "2025-01-01")
    await town.home("1", {JAN_1: 0, FEB_1: 100_000, MAR_1: 150_000})
    await bill(pool, 1, 2)
    return town


async def say(
    owner: asyncpg.Connection,
    read_at: str,
    register_dm3: int,
    *,
    at: datetime = AT + timedelta(days=1),
    fault: str = "ours",
) -> None:
    """Correct a register of the one meter, as the operator's desk does."""
    await Town(owner).correct("AQ-1", read_at, register_dm3, at=at, fault=fault)


async def bills(owner: asyncpg.Connection) -> dict[str, tuple[int, int, int]]:
    rows = await owner.fetch("SELECT * FROM bill ORDER BY bill_no")
    return {row["bill_no"]: (row["volume_dm3"], row["net_minor"], row["vat_minor"]) for row in rows}


async def owed(owner: asyncpg.Connection) -> dict[str, int]:
    rows = await owner.fetch(
        "SELECT bill_no, sum(CASE 'receivable' WHEN debit_code THEN amount_minor"
        " WHEN credit_code THEN -amount_minor ELSE 0 END) AS minor FROM transfer"
        " WHERE phase = 'posted' GROUP BY bill_no"
    )
    return {row["bill_no"]: int(row["minor"]) for row in rows}


async def balance(owner: asyncpg.Connection, code: str) -> int:
    """Return what stands on an account of the ledger, on its credit side."""
    return int(
        await owner.fetchval(
            "SELECT coalesce(sum(CASE $1 WHEN credit_code THEN amount_minor"
            " WHEN debit_code THEN -amount_minor ELSE 0 END), 0) FROM transfer"
            " WHERE phase = 'posted'",
            code,
        )
    )
