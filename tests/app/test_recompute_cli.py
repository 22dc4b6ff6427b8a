"""``aqkol recompute``, and the same calculator copied to a computer that has nothing but Python."""

import json
import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
BILL = ROOT / "tests" / "vectors" / "records" / "everything_at_once.json"
RIGHT = "AC-1/2026-01: correct\n"


def aqkol(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", "recompute", *map(str, words)],
        capture_output=True, text=True, check=False, cwd="/",
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"},
    )  # fmt: skip


def off_by_one(folder: Path) -> Path:
    record: dict[str, Any] = json.loads(BILL.read_text())
    record["lines"][2]["net_minor"] = 621
    (folder / "wrong.json").write_text(json.dumps(record))
    return folder / "wrong.json"


class TestRecompute:
    """``aqkol recompute`` ..."""

    def test_says_that_a_bill_is_correct(self) -> None:
        """Exit code 0, one line; no settings, no server."""
        done = aqkol(BILL)

        assert (done.returncode, done.stdout, done.stderr) == (0, RIGHT, "")

    def test_says_exactly_what_differs(self, tmp_path: Path) -> None:
        """Exit code 1, and one line for each place."""
        done = aqkol(off_by_one(tmp_path))

        assert done.returncode == 1
        assert done.stdout.splitlines() == [
            "AC-1/2026-01: WRONG in 1 place",
            "line 3 net_minor: says 621, should be 620",
        ]

    def test_tells_programs_the_same(self, tmp_path: Path) -> None:
        """With --json one object, with whose zone data was used."""
        done = aqkol(off_by_one(tmp_path), "--json")

        assert json.loads(done.stdout) == {
            "number": "AC-1/2026-01",
            "verdict": "wrong",
            "differences": [{"where": "line 3 net_minor", "says": 621, "should_be": 620}],
            "taken_as_given": [],
            "zone_data": "the package tzdata",
        }

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (None, "No such file or directory"),
            ("{", "the file is not JSON"),
            ("{}", "format is missing"),
        ],
    )
    def test_says_that_a_file_is_unusable(
        self, tmp_path: Path, content: str | None, why: str
    ) -> None:
        """Exit code 2: neither right nor wrong."""
        file = tmp_path / "bill.json"
        if content is not None:
            file.write_text(content)

        done = aqkol(file, "--json")

        assert done.returncode == 2
        assert json.loads(done.stdout)["verdict"] == "unusable"
        assert why in json.loads(done.stdout)["because"]
        assert why in done.stderr

    def test_needs_nothing_but_python_if_it_is_copied(self, tmp_path: Path) -> None:
        """The folder alone, without any package of ours or others': -S leaves them all out."""
        shutil.copytree(ROOT / "billing" / "recompute", tmp_path / "recompute")

        done = subprocess.run(
            [sys.executable, "-S", "-B", "-m", "recompute", str(BILL), "--json"],
            capture_output=True, text=True, check=False, cwd=tmp_path,
            env={"PYTHONTZPATH": str(files("tzdata").joinpath("zoneinfo"))},
        )  # fmt: skip

        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["zone_data"] == "this computer"
