"""Many seeds of every scenario, in several processes, with results that are kept as it goes.

    python -m tests.world.campaign --seeds 200
    python -m tests.world.campaign --runs 10000 --processes 2
    python -m tests.world.campaign --seeds 1000 --only response_lost
    python -m tests.world.campaign --replay response_lost 17

``--seeds`` runs so many seeds of each scenario. ``--runs`` runs so many in all: run number k is a
scenario drawn by k, with a seed that belongs to k alone and to no ``--seeds``. A line of
docs/simulation/results.jsonl says of one stretch of one scenario what came of it and of which code;
a campaign that was stopped goes on behind the stretches of the same code. The command ends with 0
only if no seed was red.
"""

import argparse
import functools
import hashlib
import json
import multiprocessing
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.world.play import play
from tests.world.scenarios import SCENARIOS

ROOT: Final = Path(__file__).resolve().parents[2]
RESULTS: Final = ROOT / "docs" / "simulation" / "results.jsonl"
# A stretch is some seconds of work, so that little is lost when a campaign is stopped; and so many
# that the lines of 200 seeds of each scenario and of 10,000 runs stay under half a megabyte.
SEEDS_STRETCH: Final = 100
RUNS_STRETCH: Final = 2_500
# Run number k has the seed RUNS_SEED + k: beyond all that ``--seeds`` may ask for.
RUNS_SEED: Final = 1_000_000
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Seeds ``first`` until before ``last`` of a scenario, or the runs of these numbers."""

    scenario: str
    of: str
    first: int
    last: int

    def seeds(self) -> list[int]:
        """Return the seeds to be run."""
        if self.of == "seeds":
            return list(range(self.first, self.last))
        return [
            RUNS_SEED + number
            for number in range(self.first, self.last)
            if drawn(number) == self.scenario
        ]


@functools.cache
def drawn(number: int) -> str:
    """Return the scenario of a run."""
    chance = random.Random(f"run {number}")  # noqa: S311 - chance, not secrecy
    return chance.choice(sorted(SCENARIOS))


def done(path: Path, version: str) -> set[Stretch]:
    """Return the stretches that this code has been through already."""
    if not path.exists():
        return set()
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {
        Stretch(
            scenario=line["scenario"],
            of=line.get("of", "seeds"),
            first=line["from"],
            last=line["to"],
        )
        for line in lines
        if line["code"] == version
    }


def stretches(names: list[str], of: str, count: int) -> Iterator[Stretch]:
    """Yield stretches so that all scenarios have their first seeds before any has its last."""
    step = SEEDS_STRETCH if of == "seeds" else RUNS_STRETCH
    for first in range(0, count, step):
        for name in names:
            yield Stretch(scenario=name, of=of, first=first, last=min(first + step, count))


def run(stretch: Stretch) -> dict[str, Any]:
    """Run one stretch and return its line."""
    began = time.process_time()
    digest = hashlib.sha256()
    red: list[dict[str, Any]] = []
    struck: Counter[str] = Counter()
    states: Counter[str] = Counter()
    seeds = stretch.seeds()
    steps = reds = 0
    for seed in seeds:
        outcome = play(stretch.scenario, seed)
        digest.update(outcome.digest.encode())
        struck += outcome.struck
        states += outcome.states
        steps += outcome.steps
        if outcome.wrong:
            reds += 1
            if len(red) < RED_KEPT:
                red.append({"seed": seed, "wrong": list(outcome.wrong[:3])})
    return {
        "scenario": stretch.scenario,
        "of": stretch.of,
        "from": stretch.first,
        "to": stretch.last,
        "count": len(seeds),
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


def campaign(todo: Iterable[Stretch], processes: int, path: Path) -> int:
    """Run everything that is not done yet; return how many seeds were red."""
    version = code()
    path.parent.mkdir(parents=True, exist_ok=True)
    over = done(path, version)
    left = [stretch for stretch in todo if stretch not in over]
    red = 0
    with multiprocessing.Pool(processes) as pool, path.open("a", encoding="utf-8") as results:
        for line in pool.imap_unordered(run, left):
            results.write(json.dumps(line | {"code": version}, separators=(",", ":")) + "\n")
            results.flush()
            red += line["red"]
            word = f"{line['red']} red" if line["red"] else "good"
            where = f"{line['of']} {line['from']}..{line['to']}"
            sys.stdout.write(f"{line['scenario']} {where}: {word}\n")
            sys.stdout.flush()
    return red


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.world.campaign")
    many = parser.add_mutually_exclusive_group()
    many.add_argument("--seeds", type=_seeds, default=200, help="seeds of each scenario")
    many.add_argument("--runs", type=int, help="runs in all, spread over the scenarios")
    parser.add_argument("--processes", type=int, default=2, help="as many as cores are free")
    parser.add_argument("--only", nargs="*", choices=sorted(SCENARIOS), help="these scenarios")
    parser.add_argument("--replay", nargs=2, metavar=("SCENARIO", "SEED"), help="one seed again")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the lines go")
    options = parser.parse_args()
    if options.replay:
        return replay(options.replay[0], int(options.replay[1]))
    names = options.only or list(SCENARIOS)
    of, count = ("seeds", options.seeds) if options.runs is None else ("runs", options.runs)
    todo = stretches(names, of, count)
    return 1 if campaign(todo, options.processes, options.results) else 0


def _seeds(text: str) -> int:
    """Read how many seeds of each scenario; those beyond belong to runs."""
    if not 0 < int(text) <= RUNS_SEED:
        raise argparse.ArgumentTypeError(f"must be from 1 to {RUNS_SEED}")
    return int(text)


if __name__ == "__main__":
    raise SystemExit(main())
