"""``aqkol bench outage``: a town without a network for days catches up beside its live traffic.

The meters are a process of their own and write down what their dials showed before they send it.
What was lost and doubled is found by comparing that file with the database's rows, in SQL.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import sql
from app.bench import children
from app.bench.measure import ratio
from app.bench.stage import Stage, stage
from app.signing import signer

_Q: Final = sql.queries("owner/bench")

# Hours of live traffic beside the drain, and as many without it to compare with.
LIVE_HOURS: Final = 6
# Telegrams in flight on each connection of 500 meters. Ten of them fill two batches of the ingest:
# with more, a telegram waits longer than a meter is patient, and is sent again for nothing.
WINDOW: Final = 400
# Rows of the truth per COPY, to need little memory.
_ROWS: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """How many meters were away for how many hours, and how they pack what they owe."""

    meters: int = 5000
    hours: int = 72
    registers_per_telegram: int = 24
    signed: bool = False
    live_hours: int = LIVE_HOURS

    @property
    def owed_registers(self) -> int:
        """How many registers nobody has when the network comes back."""
        return self.meters * self.hours

    @property
    def lived_registers(self) -> int:
        """How many registers there are in the end, those of the hours beside and after it too."""
        return self.owed_registers + self.meters * 2 * self.live_hours


async def bench_outage(drill: Drill) -> dict[str, Any]:
    """Let a town catch up, on servers of its own, and return what was counted and timed.

    Raises:
        BenchError: a program is missing or a process does not do its part.
        ServerError: no server can be started.
    """
    async with stage(persistence=True) as place:
        options = _options(place, drill)
        await _register(place, json.loads(await _said(*options, "--registry"))["meters"])
        truth = place.settings.state / "truth.jsonl"
        async with children.ingest(place.environment) as ingest:
            told = json.loads(await _said(*options, "--truth", str(truth), *_outage(drill)))
            rss_mb = children.rss_mb(ingest.pid)
            cpu_s = children.cpu_s(ingest.pid)
        compared = await _compared(place, truth)
    return report(drill, told, compared, rss_mb=rss_mb, cpu_s=cpu_s)


def report(
    drill: Drill, told: dict[str, Any], compared: dict[str, int], *, rss_mb: float, cpu_s: float
) -> dict[str, Any]:
    """Return the result from what the meters counted and what the database was found to hold.

    ``expected`` telegrams and registers are the truth's, so both must agree with the drill.
    """
    calm_ms, live_ms = told["calm"]["p99_ms"], told["live"]["p99_ms"]
    return {
        "meters": drill.meters,
        "outage_hours": drill.hours,
        "live_hours": drill.live_hours,
        "registers_per_telegram": drill.registers_per_telegram,
        "codec": "signed" if drill.signed else "json",
        "owed_registers": told["backlog_registers"],
        "owed_telegrams": told["backlog_telegrams"],
        "drain_seconds": told["drain_seconds"],
        "owed_registers_per_s": told["registers_per_s"],
        "live_p50_ms": told["live"]["p50_ms"],
        "live_p99_ms": live_ms,
        "calm_p50_ms": told["calm"]["p50_ms"],
        "calm_p99_ms": calm_ms,
        "live_p99_to_calm": ratio(live_ms or 0.0, calm_ms or 0.0),
        "sent_again": told["resent"],
        "refused": told["receipts"]["refused"],
        "waiting": told["waiting"],
        "expected_registers": compared["expected_registers"],
        "expected_telegrams": compared["expected_telegrams"],
        "lost": compared["lost_registers"] + compared["lost_telegrams"],
        "doubled": compared["doubled_registers"] + compared["doubled_telegrams"],
        "rss_mb": rss_mb,
        "cpu_s": round(cpu_s, 1),
        "done": told["done"] and compared["expected_registers"] == drill.lived_registers,
    }


def _options(place: Stage, drill: Drill) -> list[str]:
    """Return the options that make the same meters each time."""
    broker = urlsplit(place.mqtt_url)
    options = ["-h", broker.hostname or "", "-p", str(broker.port), "-c", str(drill.meters)]
    options += ["--scenario", "new-dials", "--json"]
    if drill.signed:
        options += ["--signed", "--server-key", signer(place.settings).public_key.hex()]
    return options


def _outage(drill: Drill) -> list[str]:
    hours = ["--live-hours", str(drill.live_hours), "--calm-hours", str(drill.live_hours)]
    packing = ["--registers-per-telegram", str(drill.registers_per_telegram)]
    return ["--outage", str(drill.hours), "--window", str(WINDOW), *hours, *packing]


async def _said(*options: str) -> bytes:
    """Run the meters to their end and return their last line."""
    command = [sys.executable, "-m", "simulators", "fleet", *options]
    async with children.child(*command) as fleet:
        assert fleet.stdout is not None, "the pipe is ours"
        lines = (await fleet.stdout.read()).splitlines()
        await fleet.wait()
    if not lines:
        raise children.BenchError("The meters ended without a result.")
    return lines[-1]


async def _register(place: Stage, plates: Sequence[dict[str, Any]]) -> None:
    """Hang the meters up as their plates say, at their opening registers."""
    names = [plate["meter_id"] for plate in plates]
    await _Q.register_plates(
        place.connection,
        meter_ids=names,
        dials_dm3=[plate["dial_dm3"] for plate in plates],
        steps_dm3=[plate["step_dm3"] for plate in plates],
        qmaxes_dm3_h=[plate["qmax_dm3_h"] for plate in plates],
        openings_dm3=[plate["opening_dm3"] for plate in plates],
    )
    if "public_key" in plates[0]:
        keys = [bytes.fromhex(plate["public_key"]) for plate in plates]
        await _Q.register_keys(place.connection, meter_ids=names, public_keys=keys)
    await _Q.settle_down(place.connection)


async def _compared(place: Stage, truth: Path) -> dict[str, int]:
    """Compare the meters' own record with the database, row by row."""
    for rows in _truth(truth):
        await place.connection.copy_records_to_table("bench_truth", records=rows)
    found = await _Q.compare_with_truth(place.connection)
    return dict(found)


def _truth(path: Path) -> Iterator[list[tuple[str, datetime, int, int]]]:
    """Yield what the dials showed: meter, instant, register and counter."""
    rows: list[tuple[str, datetime, int, int]] = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            said = json.loads(line)
            at = datetime.fromisoformat(said["at"])
            rows.append((said["meter"], at, said["register_dm3"], said["counter"]))
            if len(rows) == _ROWS:
                yield rows
                rows = []
    yield rows


def shown(found: dict[str, Any]) -> Sequence[str]:
    """Return the result as lines for people."""
    away = "{meters} meters, {outage_hours} hours without a network, {registers_per_telegram}"
    away += " registers per telegram ({codec})"
    owed = "{owed_registers} registers owed in {owed_telegrams} telegrams, the last one safe after"
    owed += " {drain_seconds} s ({owed_registers_per_s:.0f} registers/s)"
    live = "live beside it p50 {live_p50_ms} ms, p99 {live_p99_ms} ms; without it p50"
    live += " {calm_p50_ms} ms, p99 {calm_p99_ms} ms"
    kept = "lost {lost}, doubled {doubled}, refused {refused}, sent again {sent_again};"
    kept += " the ingest held {rss_mb} MB and took {cpu_s} s"
    return [line.format(**found) for line in (away, owed, live, kept)]
