"""The benchmark: its arithmetic, and that a small one runs to its end and loses nothing."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.bench.measure import middle, ratio, run_of

ROOT = Path(__file__).resolve().parents[2]


def one_round(rate: float, *, p99_ms: float | None = 5.0, rss_mb: float = 90.0) -> dict[str, Any]:
    return {
        "codec": "json",
        "registers": 24,
        "receipts": True,
        "processes": 1,
        "telegrams_per_s": rate,
        "rss_mb": rss_mb,
        "p99_ms": p99_ms,
        "lost": 0,
        "doubled": 1,
    }


class TestArithmetic:
    """Figures of a measurement ..."""

    def test_are_medians(self) -> None:
        """One slow round must not decide."""
        assert middle([300.0, 100.0, 120.04]) == 120.0

    def test_compare_with_nothing_as_nothing(self) -> None:
        """A ceiling that was not measured makes no ratio."""
        assert ratio(5.0, 0.0) == 0.0
        assert ratio(1.0, 3.0) == 0.333

    def test_compare_each_round_with_its_own_ceiling(self) -> None:
        """A machine that slows down slows both: 0.5, 0.8 and 0.5, whatever the speeds were."""
        rounds = [one_round(100.0), one_round(400.0, rss_mb=120.0), one_round(50.0, p99_ms=None)]

        run = run_of(rounds, ceilings=[200.0, 500.0, 100.0], plain=4.0)

        assert run["ratio_to_ceiling"] == 0.5
        assert run["telegrams_per_s"] == 100.0
        assert run["registers_per_s"] == 2400.0
        assert run["ratio_to_row_by_row"] == 25.0
        assert run["rss_mb"] == 120.0
        assert run["p99_ms"] == 5.0
        assert (run["lost"], run["doubled"]) == (0, 3)


@pytest.mark.slow
class TestBenchIngest:
    """A small measurement ..."""

    @pytest.mark.timeout(300)
    def test_runs_to_its_end_and_loses_nothing(self) -> None:
        """Its speeds depend on the machine; what it counts does not."""
        command = [sys.executable, "-m", "app", "bench", "ingest", "--json"]

        done = subprocess.run(
            [*command, "--messages", "2000", "--rounds", "1", "--only", "json"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )

        assert done.returncode == 0, done.stderr[-2000:]
        found = json.loads(done.stdout)
        assert {"ceiling_per_s", "row_by_row_per_s", "copy_registers_per_s", "verify_per_s"} <= set(
            found
        )
        kinds = [(run["registers"], run["receipts"], run["processes"]) for run in found["runs"]]
        assert kinds == [(1, True, 1), (1, False, 1), (24, True, 1), (1, True, 2)]
        assert [(run["lost"], run["doubled"]) for run in found["runs"]] == [(0, 0)] * 4
