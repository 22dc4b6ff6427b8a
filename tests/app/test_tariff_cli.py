"""``aqkol tariff`` by hand."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import Result
from typer.testing import CliRunner

from app import __main__ as shell

SET_UP: Final = ("--proposed-by", "Olga", "--approved-by", "Aigul")
# The clock is the real one, so what is still to come lies far ahead.
FIRST: Final[dict[str, Any]] = {
    "source": "order 1",
    "tariff": {
        "tariff_code": "home",
        "valid_from": "2020-01-01",
        "currency": "KZT",
        "net_minor_per_1000_m3": 640_490,
    },
}
LATER: Final[dict[str, Any]] = {
    "source": "order 2",
    "tariff": {**FIRST["tariff"], "valid_from": "2090-01-01", "net_minor_per_1000_m3": 700_000},
}


class Shell:
    """A command line whose database is the test's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def file(self, content: object) -> str:
        """Write a proposal to a file and return its name."""
        path = self._folder / "proposal.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return str(path)

    def run(self, *arguments: str) -> Result:
        """Run one command."""
        return CliRunner().invoke(shell.cli, ["tariff", *arguments])

    def told(self, *arguments: str) -> Any:
        """Run one command that succeeds, and return what it says."""
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture
def aqkol(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shell:
    """Give a command line over an empty town."""
    monkeypatch.setenv("AQKOL_DATABASE_URL", database_url)
    monkeypatch.setattr(shell.logs, "configure", lambda *_: None)
    return Shell(tmp_path)


class TestTheCommand:
    """``aqkol tariff`` ..."""

    def test_sets_up_proposes_and_approves(self, aqkol: Shell) -> None:
        """A town's first price, then its next: the first one ends where the next begins."""
        assert aqkol.told("set-up", aqkol.file(FIRST), *SET_UP)["new"] is True
        assert aqkol.told("set-up", aqkol.file(FIRST), *SET_UP)["new"] is False
        made = aqkol.told("propose", aqkol.file(LATER), "--by", "Olga")
        assert (made["proposal_no"], made["state"], made["new"]) == (2, "waiting", True)

        done = aqkol.told("approve", "2", "--by", "Aigul")

        assert (done["state"], done["decided_by"]) == ("approved", "Aigul")
        shown = aqkol.told("show", "2")
        assert shown == {name: value for name, value in done.items() if name != "new"}
        listed = aqkol.told("list")
        assert {name: one["valid_to"] for name, one in listed["tariffs"].items()} == {
            "home 2020-01-01": "2090-01-01",
            "home 2090-01-01": None,
        }
        assert listed["proposals"]["2"] == {"state": "approved", "proposed_by": "Olga"}
        assert listed["vat_rates"]["2026-01-01"]["rate_bp"] == 1600
        assert "approved_by: Aigul" in aqkol.run("list").stdout

    def test_refuses_with_a_reason(self, aqkol: Shell) -> None:
        """Another person refuses; the reason stays."""
        vat = {"source": "a law", "vat_rate": {"valid_from": "2090-01-01", "rate_bp": 1800}}
        aqkol.told("propose", aqkol.file(vat), "--by", "Olga")

        done = aqkol.told("refuse", "1", "--because", "no such law", "--by", "Aigul")

        assert (done["state"], done["because"]) == ("refused", "no such law")

    @pytest.mark.parametrize(
        ("content", "arguments", "sentence"),
        [
            (FIRST, ("propose", "--by", "Olga"), "a price changes after today"),
            ({"source": "x"}, ("propose", "--by", "Olga"), "names one of tariff, end and vat_rate"),
            (LATER, ("propose", "--by", ""), "a name or a reason has 1 to 100 letters"),
            (
                FIRST,
                ("set-up", "--proposed-by", "Olga", "--approved-by", "OLGA"),
                "who proposes a price does not approve it",
            ),
            (
                {"source": "x", "end": {"tariff_code": "home", "valid_to": "2090-01-01"}},
                ("set-up", *SET_UP),
                "only a tariff is set up",
            ),
        ],
    )
    def test_ends_with_a_sentence_for_a_mistake(
        self, aqkol: Shell, content: object, arguments: tuple[str, ...], sentence: str
    ) -> None:
        """No trace of Python, exit code 2, nothing changed."""
        result = aqkol.run(arguments[0], aqkol.file(content), *arguments[1:])

        assert (result.exit_code, sentence in result.stderr) == (2, True), result.stderr
        assert aqkol.told("list")["tariffs"] == {}

    def test_knows_one_person_by_one_name(self, aqkol: Shell) -> None:
        """Nor is an unknown number approved."""
        aqkol.told("propose", aqkol.file(LATER), "--by", "Olga")

        alone = aqkol.run("approve", "1", "--by", "Olga")
        unknown = aqkol.run("approve", "9", "--by", "Aigul")

        assert (alone.exit_code, alone.stderr.strip()) == (
            2,
            "aqkol: who proposes a price does not approve it.",
        )
        assert (unknown.exit_code, unknown.stderr.strip()) == (
            2,
            "aqkol: No proposal has this number.",
        )
