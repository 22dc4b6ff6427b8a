"""``aqkol bench billing``: the month of a whole town, beside the plain insertion of its rows.

    loop       a sample of accounts by a plain loop, one transaction each
    run        ``reconcile`` in a process of its own, on empty tables, and once more behind itself
    ceiling    the rows which that run wrote, put back into the emptied tables and nothing else
    late       of a share of the accounts a register is corrected, and ``correct`` bills them anew
    copy       a million of its usage rows by COPY, without foreign keys: the machine's own speed

Everything happens in one database, with the same schema, indexes, foreign keys and settings.
"""

import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import asyncpg

import sql
from app.bench import children
from app.bench.bill_loop import bill_one
from app.bench.bill_town import BillTown, account_id, meter_id
from app.bench.measure import middle, ratio
from app.bench.month import BOUNDS, SAID_AT, SESSIONS
from app.bench.stage import database

_Q: Final = sql.queries("owner/bench_billing")

# Enough bills of the loop to know a rate that hardly moves.
LOOP_BILLS: Final = 2_000
# Rows that the plain insertion puts into one transaction, as many as a chunk of the run has bills.
PLAIN_CHUNK: Final = 5_000
MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round measured; all rates are bills per second, ``copy_s`` is for a million rows."""

    seconds: float
    loop_per_s: float
    ceiling_per_s: float
    copy_s: float
    late_s: float
    rss_mb: float
    rerun_inserted: int
    wrong: int


async def bench_billing(*, meters: int, rounds: int, late: float = 0.0) -> dict[str, Any]:
    """Bill the month of so many meters, and correct a share of it, on a server of its own.

    Raises:
        BenchError: the run does not do its part.
        ServerError: no server can be started.
    """
    async with database() as (database_url, connection):
        town = BillTown(database_url=database_url, connection=connection, meters=meters)
        await town.build()
        corrected = round(meters * late)
        found = [await _round(town, corrected) for _ in range(rounds)]
    return report(found, accounts=meters, corrected=corrected)


def report(rounds: Sequence[Round], *, accounts: int, corrected: int = 0) -> dict[str, Any]:
    """Return one result from its rounds: medians, and ratios round by round."""
    rates = [accounts / found.seconds for found in rounds]
    ceilings = [found.ceiling_per_s for found in rounds]
    loops = [found.loop_per_s for found in rounds]

    def against(others: Sequence[float]) -> float:
        return round(median(map(ratio, rates, others)), 3)

    return {
        "accounts": accounts,
        "sessions": SESSIONS,
        "seconds": round(median(found.seconds for found in rounds), 3),
        "bills_per_s": middle(rates),
        "ceiling_bills_per_s": middle(ceilings),
        "ratio_to_ceiling": against(ceilings),
        "loop_bills_per_s": middle(loops),
        "ratio_to_loop": against(loops),
        "copy_1m_rows_s": middle([found.copy_s for found in rounds]),
        "late_accounts": corrected,
        "late_seconds": round(median(found.late_s for found in rounds), 3),
        "late_per_s": round(median(ratio(corrected, found.late_s) for found in rounds), 1),
        "rss_mb": max(found.rss_mb for found in rounds),
        "rerun_inserted": sum(found.rerun_inserted for found in rounds),
        "wrong": sum(found.wrong for found in rounds),
    }


def shown(found: Mapping[str, Any]) -> list[str]:
    """Return the result as lines for people."""
    run = "{accounts} accounts in {seconds} s: {bills_per_s:.0f} bills/s in {sessions} sessions,"
    run += " {rss_mb:.0f} MB in our process"
    beside = "{ratio_to_ceiling:.2f} of the plain insertion of the same rows"
    beside += " ({ceiling_bills_per_s:.0f}/s), {ratio_to_loop:.0f} times a loop"
    beside += " ({loop_bills_per_s:.0f}/s); COPY of a million rows takes {copy_1m_rows_s} s"
    kept = "run again it inserted {rerun_inserted} rows; wrong {wrong}"
    late = "{late_accounts} late corrections in {late_seconds} s ({late_per_s:.0f}/s)"
    lines = (run, beside, *((late,) if found["late_accounts"] else ()), kept)
    return [line.format(**found) for line in lines]


def wrongs(town: BillTown, held: Mapping[str, int]) -> int:
    """Count what a month of one bill, one line and two transfers for each account does not show."""
    expected = {
        "usages": town.meters,
        "bills": town.meters,
        "lines": town.meters,
        "transfers": 2 * town.meters,
        "volume_dm3": town.volume_dm3,
        "moved_minor": held["total_minor"],
    }
    return sum(held[name] != number for name, number in expected.items())


async def _round(town: BillTown, corrected: int) -> Round:
    loop_per_s = await _loop(town)
    await town.fresh()
    first = await _work(town, "run")
    held = await town.counted()
    again = await _work(town, "run")
    rows = ("usages", "bills", "lines", "transfers")
    then = await town.counted()
    ceiling_per_s = await _ceiling(town)
    late = await _late(town, corrected)
    return Round(
        seconds=first["seconds"],
        loop_per_s=loop_per_s,
        ceiling_per_s=ceiling_per_s,
        copy_s=await _copy(town),
        late_s=late["seconds"],
        rss_mb=max(part["rss_mb"] for part in (first, again, late)),
        rerun_inserted=sum(then[row] - held[row] for row in rows),
        wrong=wrongs(town, held) + (late["rebilled"] != corrected),
    )


async def _loop(town: BillTown) -> float:
    """Return the bills per second of the plain loop, on accounts from all over the town."""
    await town.fresh()
    bills = min(LOOP_BILLS, town.meters)
    begun = time.perf_counter()
    for number in range(bills):
        await bill_one(town.connection, account_id(number * town.meters // bills))
    return round(bills / (time.perf_counter() - begun), 1)


async def _late(town: BillTown, accounts: int) -> dict[str, Any]:
    """Correct so many registers of the finished month, and let the bills follow."""
    if not accounts:
        return {"seconds": 0.0, "rebilled": 0, "rss_mb": 0.0}
    numbers = {"accounts": accounts, "meters": town.meters}
    await _Q.say_late(town.connection, **numbers, read_at=BOUNDS[1], said_at=SAID_AT)
    await town.tidy()
    return await _work(town, "correct")


async def _work(town: BillTown, step: str) -> dict[str, Any]:
    """Do one step of the month in a process of its own and return what it said."""
    command = (sys.executable, "-m", "app.bench.month", town.database_url, step)
    async with children.child(*command) as process:
        return await children.last_word(process)


async def _ceiling(town: BillTown) -> float:
    """Return the bills per second of putting the same rows into the same empty tables."""
    await _Q.keep_month(town.connection)
    await town.fresh()
    begun = time.perf_counter()
    await town.halves(_put_back)
    return round(town.meters / (time.perf_counter() - begun), 1)


async def _put_back(connection: asyncpg.Connection, first: int, end: int) -> None:
    """Put one range of a finished month back, as the run does: usage first, then the bills."""
    parts = [(n, min(n + PLAIN_CHUNK, end)) for n in range(first, end, PLAIN_CHUNK)]
    for low, high in parts:
        await _Q.plain_usage(connection, first=meter_id(low), last=meter_id(high))
    for low, high in parts:
        accounts = {"first": account_id(low), "last": account_id(high)}
        async with connection.transaction():
            await _Q.plain_bill(connection, **accounts)
            await _Q.plain_bill_line(connection, **accounts)
            await _Q.plain_transfer(connection, **accounts)


async def _copy(town: BillTown) -> float:
    """Return the seconds in which COPY takes a million rows, from a file, in one session."""
    await _Q.make_copy(town.connection)
    with tempfile.TemporaryFile() as file:
        await town.connection.copy_from_table("bench_usage", output=file, format="binary")
        file.seek(0)
        begun = time.perf_counter()
        await town.connection.copy_to_table("bench_copy", source=file, format="binary")
        seconds = time.perf_counter() - begun
    return round(seconds * MILLION / town.meters, 2)
