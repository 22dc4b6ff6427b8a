"""``aqkol bench ingest``: how fast telegrams become durable, beside what nothing can beat.

The broker runs with our settings but without its own disk: a meter trusts the receipt that follows
the database's commit, so that is what has to be durable here.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import sql
from app.bench import children
from app.bench.measure import middle, run_of
from app.bench.stage import Stage, stage
from app.wiring import session_name
from metering.lease import BEAT, shares

_Q: Final = sql.queries("owner/bench")

METERS: Final = 10_000
COPY_BATCH: Final = 5_000
# A minute and more of tenths of a beat.
SHARE_TRIES_MAX: Final = 300
COPY_ROWS: Final = 200_000
VERIFICATIONS: Final = 4_000
SAMPLE: Final = 200
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
# Turns, verdict and reason of a reading without anything special.
_JUDGED: Final = (0, "billable", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What one run pours in, and whether meters are told."""

    codec: str
    registers: int
    receipts: bool
    processes: int = 1


KINDS: Final = (
    Kind(codec="json", registers=1, receipts=True),
    Kind(codec="json", registers=1, receipts=False),
    Kind(codec="json", registers=24, receipts=True),
    Kind(codec="signed", registers=1, receipts=True),
    Kind(codec="signed", registers=1, receipts=False),
    Kind(codec="signed", registers=24, receipts=True),
    Kind(codec="json", registers=1, receipts=True, processes=2),
    Kind(codec="signed", registers=1, receipts=True, processes=2),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where it is measured, and with how many messages."""

    place: Stage
    messages: int


async def bench_ingest(
    *, messages: int, rounds: int, kinds: Sequence[Kind] = KINDS
) -> dict[str, Any]:
    """Measure all kinds ``rounds`` times, one after another, and return medians and all rounds.

    Raises:
        BenchError: a program is missing or a process does not do its part.
        ServerError: no server can be started.
    """
    async with stage(persistence=False) as place:
        return await _rounds(Bench(place=place, messages=messages), rounds, kinds)


async def _rounds(bench: Bench, rounds: int, kinds: Sequence[Kind]) -> dict[str, Any]:
    ceilings: dict[Kind, list[float]] = {kind: [] for kind in kinds}
    found: dict[Kind, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    plain, copied = [], []
    for _ in range(rounds):
        for kind in kinds:
            ceilings[kind].append(await _ceiling(bench, kind))
            found[kind].append(await _ours(bench, kind))
        plain.append(await _plain(bench))
        copied.append(await _copy(bench))
    return {
        "ceiling_per_s": middle(ceilings[kinds[0]]),
        "row_by_row_per_s": middle(plain),
        "copy_registers_per_s": middle(copied),
        "verify_per_s": await asyncio.to_thread(_verify, os.cpu_count() or 1),
        "verify_per_s_one_core": await asyncio.to_thread(_verify, 1),
        "runs": [
            run_of(found[kind], ceilings=ceilings[kind], plain=middle(plain)) for kind in kinds
        ],
        "machine": {"cores": os.cpu_count(), "messages": bench.messages, "rounds": rounds},
    }


def _options(bench: Bench, kind: Kind) -> list[str]:
    messages = _messages(bench, kind)
    options = ["-c", str(METERS), "--messages", str(messages)]
    options += ["--registers", str(kind.registers)]
    options += ["--keys-out", str(bench.place.settings.state / "keys.json")]
    return options + (["--signed"] if kind.codec == "signed" else [])


def _messages(bench: Bench, kind: Kind) -> int:
    """A telegram with many registers is worth several."""
    return bench.messages if kind.registers == 1 else bench.messages // 4


async def _ceiling(bench: Bench, kind: Kind) -> float:
    """Return how many messages per second ``mosquitto_sub`` takes from the same publisher.

    Its session is made beforehand, so that it need not say when it listens.
    """
    messages, heard = _messages(bench, kind), bench.place.heard
    topic = ["-i", "bench-ceiling", "-q", "1", "-t", "gas/v1/+/+/up/#"]
    kept = ["-c", "-x", "600", *topic]
    await heard(*kept, "-E")
    async with children.flood(bench.place.mqtt_url, *_options(bench, kind)) as flood:
        begun = time.perf_counter()
        flood.begin()
        await heard(*kept, "-C", str(messages), "-F", "%l")
        took_s = time.perf_counter() - begun
        await flood.result()
    # A clean start, so that the session holds back nothing of what follows.
    await heard(*topic, "-E")
    return messages / took_s


async def _prepare(bench: Bench, kind: Kind) -> None:
    """Register the meters that the publisher speaks for."""
    keys_file = bench.place.settings.state / "keys.json"
    text = await asyncio.to_thread(keys_file.read_text, encoding="utf-8")
    meters = json.loads(text)["meters"]
    names = [meter["meter_id"] for meter in meters]
    # The broker keeps for the ingest what the ceiling's publisher said: a clean start forgets it.
    for share in (share for processes in (1, 2) for share in shares(processes)):
        await bench.place.heard("-i", session_name(share), "-t", "gas/v1/none", "-E")
    await _Q.empty(bench.place.connection)
    await _Q.register_meters(bench.place.connection, meter_ids=names)
    if kind.codec == "signed":
        keys = [bytes.fromhex(meter["public_key"]) for meter in meters]
        await _Q.register_keys(bench.place.connection, meter_ids=names, public_keys=keys)
    await _Q.settle_down(bench.place.connection)


async def _ours(bench: Bench, kind: Kind) -> dict[str, Any]:
    """Pour the same telegrams into ``aqkol ingest``, and count what became durable."""
    await _prepare(bench, kind)
    messages = _messages(bench, kind)
    listening = ["--receipts", str(SAMPLE)] if kind.receipts else []
    environment = {
        **bench.place.environment,
        "AQKOL_RECEIPTS": "on" if kind.receipts else "off",
        "AQKOL_INGEST_SHARES": str(kind.processes),
    }
    async with AsyncExitStack() as stack:
        team = [
            await stack.enter_async_context(children.ingest(environment))
            for _ in range(kind.processes)
        ]
        flood = await stack.enter_async_context(
            children.flood(bench.place.mqtt_url, *_options(bench, kind), *listening)
        )
        await _shared_out(bench, kind.processes)
        pids = (*(one.pid for one in team), bench.place.broker_pid)
        before = [children.cpu_s(pid) for pid in pids]
        database_cpu_s = children.tree_cpu_s(bench.place.database_pid)
        begun = time.perf_counter()
        flood.begin()
        await children.together(team, messages)
        took_s = time.perf_counter() - begun
        *ours, broker_cpu_s = (
            children.cpu_s(pid) - cpu_s for pid, cpu_s in zip(pids, before, strict=True)
        )
        told = (await flood.result()).get("receipts") or {}
        stored = await _Q.stored_telegrams(bench.place.connection)
        readings = await _Q.stored_readings(bench.place.connection)
        return {
            "codec": kind.codec,
            "registers": kind.registers,
            "receipts": kind.receipts,
            "processes": kind.processes,
            "telegrams_per_s": round(messages / took_s, 1),
            "seconds": round(took_s, 2),
            "cpu_s": round(sum(ours), 2),
            "broker_cpu_s": round(broker_cpu_s, 2),
            "database_cpu_s": round(
                children.tree_cpu_s(bench.place.database_pid) - database_cpu_s, 2
            ),
            "rss_mb": max(children.rss_mb(one.pid) for one in team),
            "p50_ms": told.get("p50_ms"),
            "p99_ms": told.get("p99_ms"),
            "lost": max(messages - stored, messages * kind.registers - readings, 0),
            "doubled": max(stored - messages, readings - messages * kind.registers, 0),
        }


async def _shared_out(bench: Bench, processes: int) -> None:
    """Wait until each process reads a share of its own; the first one had them all."""
    for _ in range(SHARE_TRIES_MAX):
        if await _Q.readers(bench.place.connection) == processes:
            return
        await asyncio.sleep(BEAT.total_seconds() / 10)
    raise children.BenchError("The processes did not share the meters out.")


async def _plain(bench: Bench) -> float:
    """Return the messages per second of a plain loop, measured on a twentieth of them."""
    kind, messages = KINDS[0], max(bench.messages // 20, 200)
    await _Q.empty(bench.place.connection)
    options = _options(bench, kind)
    options[options.index("--messages") + 1] = str(messages)
    command = [sys.executable, "-m", "app.bench.plain"]
    async with (
        children.flood(bench.place.mqtt_url, *options) as flood,
        children.child(
            *command, bench.place.mqtt_url, bench.place.database_url, str(messages)
        ) as loop,
    ):
        assert loop.stdout is not None, "the pipe is ours"
        await loop.stdout.readline()
        begun = time.perf_counter()
        flood.begin()
        await loop.wait()
        return messages / (time.perf_counter() - begun)


async def _copy(bench: Bench) -> float:
    """Return the rows per second of a plain COPY of the same rows into a table with their key."""
    await _Q.empty(bench.place.connection)
    rows = [
        (
            f"FL-{n % METERS:06d}",
            START + timedelta(hours=n // METERS),
            n,
            0,
            "billable",
            None,
            n,
            START,
            0,
        )
        for n in range(COPY_ROWS)
    ]
    begun = time.perf_counter()
    for start in range(0, COPY_ROWS, COPY_BATCH):
        await bench.place.connection.copy_records_to_table(
            "bench_row", records=rows[start : start + COPY_BATCH]
        )
    return COPY_ROWS / (time.perf_counter() - begun)


def _verify(threads: int) -> float:
    """Return how many signatures per second the library alone checks on so many threads."""
    key = Ed25519PrivateKey.generate()
    public, message = key.public_key(), os.urandom(120)
    signature = key.sign(message)

    def check(_: int) -> None:
        for _ in range(VERIFICATIONS):
            public.verify(signature, message)

    with ThreadPoolExecutor(threads) as pool:
        begun = time.perf_counter()
        list(pool.map(check, range(threads)))
        return round(threads * VERIFICATIONS / (time.perf_counter() - begun), 1)


def shown(found: dict[str, Any]) -> Sequence[str]:
    """Return the result as lines for people."""
    head = (
        "mosquitto_sub {:.0f}/s, row by row {:.0f}/s, COPY {:.0f} registers/s, signatures {:.0f}/s"
    )
    names = ("ceiling_per_s", "row_by_row_per_s", "copy_registers_per_s", "verify_per_s")
    lines = [head.format(*(found[name] for name in names))]
    lines += [
        f"{run['codec']:>6} x{run['registers']:<2} receipts {'on ' if run['receipts'] else 'off'}"
        f" {run['processes']} process{'es' if run['processes'] > 1 else '  '}"
        f" {run['telegrams_per_s']:>9.0f} telegrams/s {run['registers_per_s']:>9.0f} registers/s"
        f"  {run['ratio_to_ceiling']:.2f} of the ceiling, {run['ratio_to_row_by_row']:.1f} x plain,"
        f" {run['rss_mb']:.0f} MB, p99 {run['p99_ms']} ms, lost {run['lost']},"
        f" doubled {run['doubled']}"
        for run in found["runs"]
    ]
    return lines
