"""``aqkol books`` and ``aqkol refund`` by hand."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from app import __main__ as shell


def run(*arguments: str) -> Result:
    return CliRunner().invoke(shell.cli, list(arguments))


def told(*arguments: str) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(autouse=True)
def database(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the command line speak to the test's database, on the 5th of March 2026."""
    clock = tmp_path / "clock"
    clock.write_text("2026-03-05T12:00:00+05:00", encoding="ascii")
    monkeypatch.setenv("AQKOL_DATABASE_URL", database_url)
    monkeypatch.setenv("AQKOL_CLOCK_FILE", str(clock))
    monkeypatch.setattr(shell.logs, "configure", lambda *_: None)


class TestTheCommands:
    """The books by hand ..."""

    def test_are_empty_before_the_first_bill(self) -> None:
        """Nothing adds up to nothing."""
        days = ("--from", "2026-02-01", "--to", "2026-03-01")

        shown = told("books", "trial-balance", *days)

        assert (shown["accounts"], shown["sums"]) == ({}, {})
        assert told("refund", "list") == {}

    def test_end_with_a_sentence_for_a_mistake(self) -> None:
        """A day that is none, an account that is none, a debit that never was."""
        why = ("--because", "x", "--by", "Olga")
        for arguments in (
            ("books", "trial-balance", "--from", "yesterday", "--to", "2026-03-01"),
            ("books", "trial-balance", "--from", "2026-03-02", "--to", "2026-03-01"),
            ("books", "statement", "A-9", "--from", "2026-02-01", "--to", "2026-03-01"),
            ("refund", "ask", "A-9", "2026-01", "1", "--amount-minor", "5", *why),
            ("refund", "ask", "A-9", "2026-01", "1", "--amount-minor", "0", *why),
            ("refund", "list", "--in", "nowhere"),
            ("refund", "release", "A-9", "2026-01", "1", "1"),
        ):
            result = run(*arguments)
            assert result.exit_code == 2, result.stdout
            assert "Traceback" not in result.stderr
