"""The benchmark of printing: that a small one runs to its end, and that its bills differ."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.bench.documents import jobs_of
from billing.paper.words import Language

ROOT = Path(__file__).resolve().parents[2]


class TestBenchDocuments:
    """``aqkol bench documents`` ..."""

    def test_prints_bills_of_which_no_two_are_alike(self) -> None:
        """A printer that remembers the last bill must not look fast."""
        told = [record for record, _, _ in jobs_of(Language.KK, 30)]

        assert len({json.dumps(record["usages"]) for record in told}) == 30
        assert {len(record["lines"]) for record in told} == {1, 3}
        assert {len(record["charges"]) for record in told} == {0, 2}

    @pytest.mark.slow
    def test_runs_to_its_end(self) -> None:
        """The figures are there; how large they are is the machine's affair."""
        result = subprocess.run(
            [sys.executable, "-m", "app", "bench", "documents", "--bills", "10", "--json"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=80,
        )
        found = json.loads(result.stdout)

        assert set(found["languages"]) == {"kk", "ru", "en"}
        assert all(rate > 0 for rate in found["languages"].values())
        assert found["pdf_per_s_per_core"] > 0
        assert found["bytes"] > 10_000
        assert found["rss_mb"] > 0
