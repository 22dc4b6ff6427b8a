"""Debits that wait for somebody, by hand: ``aqkol debit``."""

import asyncio
import json
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner

from app import __main__ as shell
from tests.app.api_town import AT


@pytest.fixture
def aqkol(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Give a command line whose database is the test's, with one held debit in it."""

    async def prepare() -> None:
        owner = await asyncpg.connect(database_url)
        await owner.execute("INSERT INTO account VALUES ('A-1', 'household', 'KZT', $1)", AT)
        await owner.execute(
            "INSERT INTO bill VALUES ('A-1', '2026-01', '2026-01-01', '2026-02-01', 1, 1, 500, 0,"
            " 500, 'KZT', $1, '2026-02-25')",
            AT,
        )
        await owner.execute(
            "INSERT INTO mandate (account_id, mandate_id, state, enrolment, payment_minor_max,"
            " month_minor_max, currency, return_digest, bank_mandate_id, created_at, changed_at)"
            " VALUES ('A-1', 'M-1', 'active', 'active', 900, 900, 'KZT', sha256('x'), 'MD1',"
            " $1, $1)",
            AT,
        )
        await owner.execute(
            "INSERT INTO debit (account_id, bill_no, attempt, mandate_id, state, reason,"
            " amount_minor, currency, charge_on, changed_at) VALUES ('A-1', '2026-01', 1, 'M-1',"
            " 'held', 'anomaly', 500, 'KZT', '2026-02-25', $1)",
            AT,
        )
        await owner.close()

    asyncio.run(prepare())
    monkeypatch.setenv("AQKOL_DATABASE_URL", database_url)
    monkeypatch.setenv("AQKOL_STATE", str(tmp_path))
    monkeypatch.setattr(shell.logs, "configure", lambda *_: None)
    return CliRunner()


class TestTheCommand:
    """``aqkol debit`` ..."""

    def test_lists_and_approves(self, aqkol: CliRunner) -> None:
        """What the resident said by telephone is kept like his own click."""
        shown = aqkol.invoke(shell.cli, ["debit", "waiting", "--json"])
        assert json.loads(shown.stdout)["A-1/2026-01/1"]["reason"] == "anomaly"

        say = ["debit", "approve", "A-1", "2026-01", "--by", "Olga", "--amount-minor"]
        wrong = aqkol.invoke(shell.cli, [*say, "499"])
        assert (wrong.exit_code, "the debit is for 500 KZT" in wrong.stderr) == (2, True)
        assert "new: True" in aqkol.invoke(shell.cli, [*say, "500"]).stdout
        assert "new: False" in aqkol.invoke(shell.cli, [*say, "500"]).stdout

    def test_decides_only_with_a_bank_to_look_at(self, aqkol: CliRunner) -> None:
        """Nobody decides about money blindly."""
        say = ["debit", "decide", "A-1", "2026-01", "1", "--decision", "give_up"]
        wrong = aqkol.invoke(shell.cli, [*say, "--because", "old", "--by", "Olga"])

        assert (wrong.exit_code, "no bank" in wrong.stderr) == (2, True)

    def test_stops_one_debit_for_who_telephones(self, aqkol: CliRunner) -> None:
        """A resident without a screen has the same no; the second time it changes nothing."""
        say = ["debit", "stop", "A-1", "2026-01", "1", "--by", "Olga", "--json"]
        gone = {"state": "cancelled", "reason": "stopped_by_resident", "stopped": "done"}

        for _ in range(2):
            told = aqkol.invoke(shell.cli, say).stdout.splitlines()
            assert json.loads(told[-1]) == gone

    def test_says_what_cannot_be_stopped(self, aqkol: CliRunner) -> None:
        """A debit that nobody has is a sentence, not a traceback."""
        wrong = aqkol.invoke(shell.cli, ["debit", "stop", "A-1", "2026-01", "2", "--by", "Olga"])

        assert (wrong.exit_code, "2026-01" in wrong.stderr) == (2, True)

    @pytest.mark.parametrize(
        "say",
        [
            ["debit", "approve", "A-1\udcff", "2026-01", "--amount-minor", "500"],
            ["debit", "stop", "A-1", "2026-01\udcff", "1"],
            ["debit-run", "release", "99999999999", "--because", "checked"],
        ],
    )
    def test_says_that_a_name_is_none(self, aqkol: CliRunner, say: list[str]) -> None:
        """Bytes that are no text, a number that no column holds: the asker's to mend."""
        wrong = aqkol.invoke(shell.cli, [*say, "--by", "Olga"])

        assert (wrong.exit_code, "cannot be looked up" in wrong.stderr) == (2, True)
