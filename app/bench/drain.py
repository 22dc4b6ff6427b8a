"""How fast a backlog is drained: everything waits in the broker's session before anybody connects.

A session is made and left alone, N telegrams are published, then one side connects and is timed
until it has all: ``mosquitto_sub`` throws them away, ``aqkol ingest`` has committed them. Beside
that stand the rates at which PostgreSQL takes the same rows when nothing is judged.
"""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final

import sql
from app.bench import children
from app.bench.measure import middle, ratio
from app.bench.stage import Stage, stage

_Q: Final = sql.queries("owner/bench")

METERS: Final = 10_000
COPY_BATCH: Final = 5_000
# As many rows per INSERT as plain loops usually take; more gains nothing.
UNNEST_BATCH: Final = 1_000
# Enough to know a rate that is far above ours.
ROWS_MAX: Final = 100_000
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_UPLINK: Final = ("-q", "1", "-t", "gas/v1/+/+/up/#")


async def bench_drain(*, messages: int, rounds: int) -> dict[str, Any]:
    """Drain the same backlog both ways, ``rounds`` times, on servers of its own.

    Raises:
        BenchError: a program is missing or a process does not do its part.
        ServerError: no server can be started.
    """
    found: list[dict[str, Any]] = []
    async with stage(persistence=False) as place:
        for _ in range(rounds):
            sub_per_s = await _sub(place, messages)
            ours = await _ours(place, messages)
            plain = await _plain(place, min(messages, ROWS_MAX))
            found.append({"sub_per_s": sub_per_s, **ours, **plain})
    return drain_of(found, messages=messages)


def drain_of(rounds: Sequence[dict[str, Any]], *, messages: int) -> dict[str, Any]:
    """Return one result from its rounds: medians, and ratios round by round."""

    def against(name: str) -> float:
        return round(median(ratio(found["drain_per_s"], found[name]) for found in rounds), 3)

    names = ("drain_per_s", "sub_per_s", "unnest_per_s", "copy_per_s")
    return {
        "messages": messages,
        **{name: middle([found[name] for found in rounds]) for name in names},
        "drain_ratio": against("sub_per_s"),
        "ratio_to_unnest": against("unnest_per_s"),
        "ratio_to_copy": against("copy_per_s"),
        "rss_mb": max(found["rss_mb"] for found in rounds),
        "lost": sum(found["lost"] for found in rounds),
        "doubled": sum(found["doubled"] for found in rounds),
        "rounds": list(rounds),
    }


def shown_drain(found: dict[str, Any]) -> str:
    """Return the result as a line for people."""
    line = "drain of {messages}: {drain_per_s:.0f}/s, {drain_ratio:.2f} of mosquitto_sub"
    line += " ({sub_per_s:.0f}/s), {ratio_to_unnest:.2f} of unnest, {ratio_to_copy:.2f} of COPY,"
    line += " {rss_mb:.0f} MB, lost {lost}, doubled {doubled}"
    return line.format(**found)


async def _sub(place: Stage, messages: int) -> float:
    """Return how many messages per second ``mosquitto_sub`` takes out of its session."""
    name = ["-i", "bench-drain"]
    await place.heard(*name, "-c", "-x", "600", *_UPLINK, "-E")
    await _publish(place, messages)
    begun = time.perf_counter()
    await place.heard(*name, "-c", "-x", "600", *_UPLINK, "-C", str(messages), "-F", "%l")
    took_s = time.perf_counter() - begun
    # A clean start, so that the session holds back nothing of what follows.
    await place.heard(*name, *_UPLINK, "-E")
    return round(messages / took_s, 1)


async def _ours(place: Stage, messages: int) -> dict[str, Any]:
    """Let ``aqkol ingest`` find the backlog in its session, and count what it made durable."""
    text = (place.settings.state / "keys.json").read_text(encoding="utf-8")
    await _Q.empty(place.connection)
    names = [meter["meter_id"] for meter in json.loads(text)["meters"]]
    await _Q.register_meters(place.connection, meter_ids=names)
    await _Q.settle_down(place.connection)
    async with children.ingest(place.environment):
        pass  # From now on the broker keeps for it what comes.
    await _publish(place, messages)
    async with children.ingest(place.environment) as ingest:
        begun = time.perf_counter()
        await ingest.until(messages)
        took_s = time.perf_counter() - begun
        rss_mb = children.rss_mb(ingest.pid)
        cpu_s = children.cpu_s(ingest.pid)
    telegrams = await _Q.stored_telegrams(place.connection)
    readings = await _Q.stored_readings(place.connection)
    return {
        "drain_per_s": round(messages / took_s, 1),
        "seconds": round(took_s, 2),
        "cpu_s": round(cpu_s, 2),
        "rss_mb": rss_mb,
        "lost": max(messages - telegrams, messages - readings, 0),
        "doubled": max(telegrams - messages, readings - messages, 0),
    }


async def _plain(place: Stage, rows: int) -> dict[str, float]:
    """Return the rows per second of plain INSERTs from arrays, and of plain COPY."""
    ats = [START + timedelta(hours=hour) for hour in range(rows // METERS + 1)]
    records = [
        (f"FL-{n % METERS:06d}", ats[n // METERS], n, 0, "billable", None, n, START, 0)
        for n in range(rows)
    ]
    await _Q.empty(place.connection)
    begun = time.perf_counter()
    for start in range(0, rows, UNNEST_BATCH):
        part = records[start : start + UNNEST_BATCH]
        await _Q.add_rows(
            place.connection,
            meter_ids=[row[0] for row in part],
            read_ats=[row[1] for row in part],
            registers_dm3=[row[2] for row in part],
            counters=[row[6] for row in part],
        )
    unnest_s = time.perf_counter() - begun
    await _Q.empty(place.connection)
    begun = time.perf_counter()
    for start in range(0, rows, COPY_BATCH):
        await place.connection.copy_records_to_table(
            "bench_row", records=records[start : start + COPY_BATCH]
        )
    copy_s = time.perf_counter() - begun
    return {"unnest_per_s": round(rows / unnest_s, 1), "copy_per_s": round(rows / copy_s, 1)}


async def _publish(place: Stage, messages: int) -> None:
    """Publish the backlog, and wait until the broker has all of it."""
    options = ["-c", str(METERS), "--messages", str(messages), "--registers", "1"]
    options += ["--keys-out", str(place.settings.state / "keys.json")]
    async with children.flood(place.mqtt_url, *options) as flood:
        flood.begin()
        if (await flood.result())["acked"] != messages:
            raise children.BenchError("The broker did not take the whole backlog.")
