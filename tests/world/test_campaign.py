"""The campaign: which seeds it runs, and that it goes on where it was stopped."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.world import campaign
from tests.world.campaign import RUNS_SEED, Stretch, done, drawn, run, stretches
from tests.world.scenarios import SCENARIOS


class TestRuns:
    """So many in all, spread over the scenarios."""

    def test_are_each_run_once(self) -> None:
        """Stretches overlap nowhere and leave nothing out, wherever they were cut."""
        seeds = [
            seed
            for stretch in stretches(sorted(SCENARIOS), "runs", 6_000)
            for seed in stretch.seeds()
        ]
        assert sorted(seeds) == list(range(RUNS_SEED, RUNS_SEED + 6_000))

    def test_leave_no_scenario_out(self) -> None:
        """With ten thousand even the one drawn least often is run many times."""
        names = [drawn(number) for number in range(10_000)]
        assert min(names.count(name) for name in SCENARIOS) > 40

    def test_have_seeds_of_their_own(self) -> None:
        """What 200 seeds of each have shown is not shown again."""
        of_seeds = {seed for one in stretches(["plain"], "seeds", 200) for seed in one.seeds()}
        of_runs = {seed for one in stretches(["plain"], "runs", 10_000) for seed in one.seeds()}
        assert len(of_seeds) == 200
        assert of_seeds & of_runs == set()


class TestAStretch:
    """A line says what came of it."""

    def test_that_is_done_is_not_run_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A campaign of hours must survive being stopped; other code begins anew."""
        path = tmp_path / "results.jsonl"
        todo = [Stretch(scenario="plain", of="seeds", first=0, last=1)]
        assert campaign.campaign(todo, 1, path) == 0
        assert done(path, campaign.code()) == set(todo)
        assert campaign.campaign(todo, 1, path) == 0
        assert len(path.read_text("utf-8").splitlines()) == 1
        monkeypatch.setattr(campaign, "code", lambda: "other")
        assert campaign.campaign(todo, 1, path) == 0
        assert len(path.read_text("utf-8").splitlines()) == 2

    def test_counts_what_it_ran(self) -> None:
        """A stretch of runs holds those of its numbers that drew its scenario."""
        name = drawn(7)
        line = run(Stretch(scenario=name, of="runs", first=7, last=8))
        assert (line["of"], line["from"], line["to"], line["count"]) == ("runs", 7, 8, 1)
        assert line["red"] == 0

    def test_is_written_short(self) -> None:
        """Results of a year of campaigns are kept in the repository."""
        line: dict[str, Any] = run(Stretch(scenario="plain", of="seeds", first=0, last=2))
        assert len(json.dumps(line)) < 700
