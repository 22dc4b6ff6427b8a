"""``aqkol rules`` as people type it."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app import __main__ as shell


@pytest.fixture
def aqkol(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    """Give a command line whose database is the test's, on the 10th of February 2026."""
    clock = tmp_path / "clock"
    clock.write_text("2026-02-10T12:00:00+05:00", encoding="ascii")
    monkeypatch.setenv("AQKOL_DATABASE_URL", database_url)
    monkeypatch.setenv("AQKOL_CLOCK_FILE", str(clock))
    monkeypatch.setattr(shell.logs, "configure", lambda *_: None)
    return CliRunner()


def said(aqkol: CliRunner, *words: str) -> Any:
    result = aqkol.invoke(shell.cli, ["rules", *words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


ORDER = ("override", "high_low", "--valid-from", "2026-02-10", "--approved-by", "order 12")


class TestRules:
    """The commands of the rules ..."""

    def test_enter_an_override_and_show_it(self, aqkol: CliRunner) -> None:
        """The same words twice are one; the list says whose figure it is."""
        words = (*ORDER, "--figure", "high_percent=400", "--meter-type", "diaphragm_g4")
        assert said(aqkol, *words)["new"] is True
        assert said(aqkol, *words)["new"] is False

        shown = said(aqkol, "list", "--meter-type", "diaphragm_g4")
        rule = shown["rules"]["high_low"]
        assert (shown["day"], rule["source"], rule["figures"]["high_percent"]) == (
            "2026-02-10",
            "override",
            400,
        )
        early = said(aqkol, "list", "--meter-type", "diaphragm_g4", "--day", "2026-02-09")
        assert early["rules"]["high_low"]["source"] == "default"

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            ((*ORDER, "--figure", "high_percent=4.5"), "high_percent must be a whole number."),
            ((*ORDER, "--figure", "high_percent"), "a figure is written once"),
            ((*ORDER, "--figure", "high=400"), "unknown_figure."),
            (("override", "high_low", "--valid-from", "2026-02-09", "--approved-by", "x",
              "--outcome", "flagged"), "in_the_past."),
            (("list", "--day", "tomorrow"), "a day is written like 2026-02-01."),
            (("degree-days", "/nowhere.json"), "cannot be read"),
        ],
    )  # fmt: skip
    def test_refuse_with_a_sentence(
        self, aqkol: CliRunner, words: tuple[str, ...], sentence: str
    ) -> None:
        """Nothing is guessed, and the process says so with its exit code."""
        result = aqkol.invoke(shell.cli, ["rules", *words])
        assert result.exit_code == 2
        assert sentence in result.output

    def test_take_a_list_of_temperatures(self, aqkol: CliRunner, tmp_path: Path) -> None:
        """A list with a mistake is refused whole, and the place is named."""
        file = tmp_path / "cold.json"
        days = [{"day": f"2026-01-0{day}", "degree_days_tenths": 300} for day in (1, 2, 3)]
        file.write_text(json.dumps({"source": "station 35394", "days": days}), encoding="utf-8")
        assert said(aqkol, "degree-days", str(file)) == {"days": 3, "news": 3}
        assert said(aqkol, "degree-days", str(file)) == {"days": 3, "news": 0}

        days[1]["degree_days_tenths"] = -1
        file.write_text(json.dumps({"source": "station 35394", "days": days}), encoding="utf-8")
        result = aqkol.invoke(shell.cli, ["rules", "degree-days", str(file)])
        assert result.exit_code == 2
        assert "days/1/degree_days_tenths" in result.output
