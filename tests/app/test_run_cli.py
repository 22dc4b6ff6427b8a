"""``aqkol debit-run`` by hand."""

import json
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from app import __main__ as shell


def run(*arguments: str) -> Result:
    return CliRunner().invoke(shell.cli, ["debit-run", *arguments])


def told(*arguments: str) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(autouse=True)
def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command line speak to the test's database."""
    monkeypatch.setenv("AQKOL_DATABASE_URL", database_url)
    monkeypatch.setattr(shell.logs, "configure", lambda *_: None)


class TestTheCommand:
    """``aqkol debit-run`` ..."""

    def test_stops_and_releases(self) -> None:
        """One person stops, two let it go on, and everything stays to be read."""
        assert told("status") == {"stopped": False, "announced": 0, "recorded": 0, "stops": {}}
        assert told("stop", "--by", "Dana", "--because", "a wrong price")["stop_no"] == 1
        assert told("status")["stopped"] is True
        half = told("release", "1", "--by", "Olga N.", "--because", "corrected")
        assert half["releases_missing"] == 1
        done = told("release", "1", "--by", "Aigul K.", "--because", "looked at ten")
        assert done["releases_missing"] == 0

        status = told("status")

        assert status["stopped"] is False
        assert [one["because"] for one in status["stops"]["1"]["releases"]] == [
            "corrected",
            "looked at ten",
        ]

    def test_ends_with_a_sentence_for_a_mistake(self) -> None:
        """The same person twice, a stop that never was, a word without a reason."""
        told("stop", "--by", "Dana", "--because", "x")
        told("release", "1", "--by", "Dana", "--because", "x")
        for arguments in (
            ("release", "1", "--by", "dana", "--because", "x"),
            ("release", "9", "--by", "Olga", "--because", "x"),
            ("stop", "--by", "Dana", "--because", ""),
        ):
            result = run(*arguments)
            assert result.exit_code == 2, result.stdout
            assert "Traceback" not in result.stderr
