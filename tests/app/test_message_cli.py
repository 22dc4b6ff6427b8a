"""Messages that no relay has taken, by hand: ``aqkol message``."""

import asyncio
import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from app import __main__ as shell
from tests.app.api_town import AT

MESSAGES = (
    ("receipt/2026-01/1/1", "receipt", "failed", "smtp_550"),
    ("receipt/2026-01/1/2", "receipt", "given_up", "smtp_451"),
    ("receipt/2026-01/1/3", "receipt", "queued", "smtp_421"),
    ("receipt/2026-01/1/4", "receipt", "sent", None),
)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(shell.cli, ["message", *arguments])


def told(*arguments: str) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(autouse=True)
def database(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command line speak to the test's database, in which two messages are stuck."""

    async def prepare() -> None:
        owner = await asyncpg.connect(database_url)
        await owner.execute("INSERT INTO account VALUES ('A-1', 'household', 'KZT', $1)", AT)
        for message_id, kind, state, trouble in MESSAGES:
            await owner.execute(
                "INSERT INTO message (account_id, message_id, kind, about, channel, state,"
                " queued_at, next_try_at, tries, trouble, delivered_at)"
                " VALUES ('A-1', $1, $2, '{}', 'mail', $3, $5, $5, 1, $4,"
                " CASE $3 WHEN 'sent' THEN $5::timestamptz END)",
                message_id,
                kind,
                state,
                trouble,
                AT,
            )
        await owner.close()

    asyncio.run(prepare())
    monkeypatch.setenv("AQKOL_DATABASE_URL", database_url)
    monkeypatch.setenv("AQKOL_STATE", str(tmp_path))
    monkeypatch.setattr(shell.logs, "configure", lambda *_: None)


class TestTheCommand:
    """``aqkol message`` ..."""

    def test_lists_what_is_stuck_and_what_waits(self) -> None:
        """With what the relay said, and without a word about the reader."""
        stuck = told("list", "--stuck")
        assert {name: (one["state"], one["trouble"]) for name, one in stuck.items()} == {
            "A-1 receipt/2026-01/1/1": ("failed", "smtp_550"),
            "A-1 receipt/2026-01/1/2": ("given_up", "smtp_451"),
        }

        assert [one["state"] for one in told("list").values()] == ["failed", "given_up", "queued"]

    def test_sends_one_again(self) -> None:
        """The one that is named; the other stays where it is."""
        assert told("send-again", "A-1", "receipt/2026-01/1/2") == {"messages": 1}

        assert list(told("list", "--stuck")) == ["A-1 receipt/2026-01/1/1"]

    def test_sends_all_of_an_account_again(self) -> None:
        """After its resident has emptied his mailbox."""
        assert told("send-again", "A-1") == {"messages": 2}

        assert told("list", "--stuck") == {}
        assert {one["state"] for one in told("list").values()} == {"queued"}

    @pytest.mark.parametrize(
        "name", ["receipt/2026-01/1/3", "receipt/2026-01/1/4", "receipt/2026-02/1/1", ""]
    )
    def test_sends_nothing_again_that_is_not_stuck(self, name: str) -> None:
        """What waits goes out by itself, and what was taken would be told twice."""
        result = run("send-again", "A-1", name)

        assert result.exit_code == 2
        assert "nothing of this name is stuck" in result.stderr
        assert len(told("list", "--stuck")) == 2
