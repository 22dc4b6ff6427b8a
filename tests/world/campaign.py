"""Many seeds of every scenario, in several processes, with results that are kept as it goes.

    python -m tests.world.campaign --seeds 10000 --processes 2
    python -m tests.world.campaign --seeds 200 --only response_lost
    python -m tests.world.campaign --replay response_lost 17

A line of docs/simulation/results.jsonl says of one stretch of seeds of one scenario what came of
it and of which code; a campaign that was stopped goes on behind the stretches of the same code.
The command ends with 0 only if no seed was red.
"""

import argparse
import hashlib
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.world.play import play
from tests.world.scenarios import SCENARIOS

ROOT: Final = Path(__file__).resolve().parents[2]
RESULTS: Final = ROOT / "docs" / "simulation" / "results.jsonl"
# A stretch is some seconds of work, so that little is lost when a campaign is stopped.
STRETCH: Final = 100
CODE: Final = ("billing", "simulators/bank", "tests/world")
RED_KEPT: Final = 20


def code() -> str:
    """Return a short name of the code that runs: of every file that a run executes."""
    digest = hashlib.sha256()
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".sql"} and not path.name.startswith("test_"):
                digest.update(path.relative_to(ROOT).as_posix().encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def done(path: Path, version: str) -> set[tuple[str, int, int]]:
    """Return the stretches that this code has been through already."""
    if not path.exists():
        return set()
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {
        (line["scenario"], line["from"], line["to"]) for line in lines if line["code"] == version
    }


def stretches(names: list[str], seeds: int) -> Iterator[tuple[str, int, int]]:
    """Yield stretches so that all scenarios have their first seeds before any has its last."""
    for first in range(0, seeds, STRETCH):
        for name in names:
            yield name, first, min(first + STRETCH, seeds)


def run(stretch: tuple[str, int, int]) -> dict[str, Any]:
    """Run one stretch and return its line."""
    name, first, last = stretch
    began = time.process_time()
    digest = hashlib.sha256()
    red: list[dict[str, Any]] = []
    struck: Counter[str] = Counter()
    states: Counter[str] = Counter()
    steps = reds = 0
    for seed in range(first, last):
        outcome = play(name, seed)
        digest.update(outcome.digest.encode())
        struck += outcome.struck
        states += outcome.states
        steps += outcome.steps
        if outcome.wrong:
            reds += 1
            if len(red) < RED_KEPT:
                red.append({"seed": seed, "wrong": list(outcome.wrong[:3])})
    return {
        "scenario": name,
        "from": first,
        "to": last,
        "red": reds,
        "first_red": red,
        "steps": steps,
        "faults": dict(struck.most_common()),
        "debits": dict(states.most_common()),
        "digest": digest.hexdigest()[:16],
        "cpu_s": round(time.process_time() - began, 1),
    }


def replay(name: str, seed: int) -> int:
    """Run one seed again, say all that happened and what was wrong."""
    outcome = play(name, seed)
    sys.stdout.write("\n".join([*outcome.trace, "", *outcome.wrong, ""]))
    return 1 if outcome.wrong else 0


def campaign(names: list[str], seeds: int, processes: int, path: Path) -> int:
    """Run everything that is not done yet; return how many seeds were red."""
    version = code()
    path.parent.mkdir(parents=True, exist_ok=True)
    over = done(path, version)
    left = [stretch for stretch in stretches(names, seeds) if stretch not in over]
    red = 0
    with multiprocessing.Pool(processes) as pool, path.open("a", encoding="utf-8") as results:
        for line in pool.imap_unordered(run, left):
            results.write(json.dumps(line | {"code": version}) + "\n")
            results.flush()
            red += line["red"]
            word = f"{line['red']} red" if line["red"] else "good"
            sys.stdout.write(f"{line['scenario']} {line['from']}..{line['to']}: {word}\n")
            sys.stdout.flush()
    return red


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.world.campaign")
    parser.add_argument("--seeds", type=int, default=10_000, help="seeds of each scenario")
    parser.add_argument("--processes", type=int, default=2, help="as many as cores are free")
    parser.add_argument("--only", nargs="*", choices=sorted(SCENARIOS), help="these scenarios")
    parser.add_argument("--replay", nargs=2, metavar=("SCENARIO", "SEED"), help="one seed again")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the lines go")
    options = parser.parse_args()
    if options.replay:
        return replay(options.replay[0], int(options.replay[1]))
    names = options.only or list(SCENARIOS)
    return 1 if campaign(names, options.seeds, options.processes, options.results) else 0


if __name__ == "__main__":
    raise SystemExit(main())
