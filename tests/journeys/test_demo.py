"""The first command of the README, small."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


async def demo(state: Path, *, seed: int) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", "demo", "--once", "--json", "--meters", "12", "--months", "1",
        "--seed", str(seed), "--port", "0", "--state", str(state),
        cwd=ROOT, env={**os.environ, "AQKOL_LOG_FORMAT": "json"}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == 0, said
    found: dict[str, Any] = json.loads(said)
    return found


@pytest.mark.slow
@pytest.mark.timeout(240)
class TestDemo:
    """A town that lives through a month ..."""

    async def test_ends_with_truth_and_books_in_agreement(self, tmp_path: Path) -> None:
        """What the meters and the bank wrote down is what we stored, billed and collected."""
        summary = await demo(tmp_path, seed=7)

        assert summary["meters"] == 12
        assert summary["bills_issued"] == 12
        assert summary["lost_readings"] == 0
        assert summary["readings_stored"] == summary["readings_sent"] > 12 * 31
        assert summary["billed_dm3"] == summary["true_dm3"] > 12 * 100_000
        assert summary["collected_minor"] == summary["bank_collected_minor"] > 0
        assert summary["double_debits"] == 0
        assert summary["audit"] == "ok"
        faults = summary["faults"]
        assert faults["homes_without_network"] > 0, "a fault that did not happen proves nothing"
        assert faults["answers_lost"] > 0
        assert faults["debits_failed"] > 0

    async def test_depends_on_nothing_but_its_seed(self, tmp_path: Path) -> None:
        """The same seed gives the same bills, another seed gives others."""
        first = await demo(tmp_path / "a", seed=7)
        again = await demo(tmp_path / "b", seed=7)
        other = await demo(tmp_path / "c", seed=8)

        assert first["bills_fingerprint"] == again["bills_fingerprint"]
        assert first["bills_fingerprint"] != other["bills_fingerprint"]
