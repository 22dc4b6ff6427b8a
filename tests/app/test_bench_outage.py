"""The drill of a long outage: what it reports and compares, and that a small one loses nothing."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

import sql
from app.bench.outage import Drill, report

_Q = sql.queries("owner/bench")
ROOT = Path(__file__).resolve().parents[2]
START = datetime(2026, 1, 1, tzinfo=UTC)
# What a fleet of two meters says that owed ten registers each, in two telegrams.
TOLD = {
    "backlog_registers": 20,
    "backlog_telegrams": 4,
    "drain_seconds": 0.5,
    "registers_per_s": 40.0,
    "live": {"receipts": 4, "p50_ms": 10.0, "p99_ms": 30.0},
    "calm": {"receipts": 4, "p50_ms": 5.0, "p99_ms": 20.0},
    "resent": 1,
    "receipts": {"stored": 12, "repeated": 0, "refused": 0},
    "waiting": 0,
    "done": True,
}
DRILL = Drill(meters=2, hours=10, live_hours=2)


def compared(
    *, registers: int = 28, lost: tuple[int, int] = (0, 0), doubled: tuple[int, int] = (0, 0)
) -> dict[str, int]:
    return {
        "expected_registers": registers,
        "expected_telegrams": 12,
        "lost_registers": lost[0],
        "lost_telegrams": lost[1],
        "doubled_registers": doubled[0],
        "doubled_telegrams": doubled[1],
    }


class TestReport:
    """The report of a drill ..."""

    def test_counts_registers_and_telegrams_that_are_missing_or_too_many(self) -> None:
        """A telegram without its registers is as bad as a register without its telegram."""
        found = report(DRILL, TOLD, compared(lost=(3, 1), doubled=(0, 2)), rss_mb=90.0, cpu_s=1.26)

        assert (found["lost"], found["doubled"]) == (4, 2)
        assert (found["owed_registers"], found["owed_registers_per_s"]) == (20, 40.0)
        assert found["live_p99_to_calm"] == 1.5
        assert (found["rss_mb"], found["cpu_s"]) == (90.0, 1.3)
        assert found["done"]

    def test_is_not_done_when_the_truth_is_shorter_than_the_drill(self) -> None:
        """2 meters, 10 hours owed, 2 beside and 2 after: 28 registers, or somebody forgot some."""
        found = report(DRILL, TOLD, compared(registers=27), rss_mb=90.0, cpu_s=1.0)

        assert not found["done"]


class TestComparison:
    """The meters' record against the database ..."""

    async def test_finds_what_is_missing_and_what_is_too_many(
        self, owner: asyncpg.Connection
    ) -> None:
        """Of four registers one is missing, one has another value, and one nobody sent is here."""
        await _Q.make_rows(owner)
        await _Q.make_truth(owner)
        await _Q.register_plates(
            owner,
            meter_ids=["AQ-000001"],
            dials_dm3=[100_000_000],
            steps_dm3=[1],
            qmaxes_dm3_h=[6000],
            openings_dm3=[0],
        )
        truth = [("AQ-000001", START + timedelta(hours=hour), hour, 1 + hour // 2) for hour in (
            0, 1, 2, 3)]  # fmt: skip
        await owner.copy_records_to_table("bench_truth", records=truth)
        for hour, register_dm3, counter in ((0, 0, 1), (1, 1, 1), (2, 77, 2), (9, 9, 8)):
            await owner.execute("SELECT open_reading_month($1)", START)
            await owner.execute(
                "INSERT INTO reading VALUES ('AQ-000001', $1, $2, 0, 'billable', NULL, $3, $4, 0)",
                START + timedelta(hours=hour), register_dm3, counter, START,
            )  # fmt: skip
        for counter, readings in ((1, 2), (2, 1), (8, 1)):
            await owner.execute(
                "INSERT INTO telegram VALUES ('AQ-000001', $1, $2, $3, $4, '{}', 'unsigned', 0)",
                counter, bytes(32), START, readings,
            )  # fmt: skip

        found = dict(await _Q.compare_with_truth(owner))

        assert found == {
            "expected_registers": 4,
            "expected_telegrams": 2,
            "lost_registers": 2,
            "lost_telegrams": 1,
            "doubled_registers": 2,
            "doubled_telegrams": 1,
        }


@pytest.mark.slow
class TestBenchOutage:
    """A small drill ..."""

    @pytest.mark.timeout(180)
    @pytest.mark.parametrize(
        ("words", "telegrams"),
        [
            # 12 hours owed one by one, and 6 beside and 6 after the drain: 24 telegrams a meter.
            (["--registers-per-telegram", "1"], 60 * 24),
            # The newest alone, the other 11 together, and the same 12 hours after that.
            (["--signed"], 60 * 14),
        ],
    )
    def test_loses_and_doubles_nothing(self, words: list[str], telegrams: int) -> None:
        """Its speeds depend on the machine; what it counts does not."""
        command = [sys.executable, "-m", "app", "bench", "outage", "--json"]

        done = subprocess.run(
            [*command, "--meters", "60", "--hours", "12", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=170,
        )

        assert done.returncode == 0, done.stderr[-2000:]
        found = json.loads(done.stdout)
        assert (found["lost"], found["doubled"], found["refused"], found["waiting"]) == (0, 0, 0, 0)
        assert found["owed_registers"] == 60 * 12
        assert found["expected_registers"] == 60 * (12 + 6 + 6)
        assert found["expected_telegrams"] == telegrams
        assert found["owed_registers_per_s"] == pytest.approx(
            found["owed_registers"] / found["drain_seconds"], rel=0.02
        )
        assert found["live_p50_ms"] <= found["live_p99_ms"]
        assert found["calm_p50_ms"] <= found["calm_p99_ms"]
        assert found["rss_mb"] > 0
