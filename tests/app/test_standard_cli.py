"""``aqkol standard`` as people type it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

from app import __main__ as shell
from tests.app.api_town import NEW_YEAR, settle
from tests.app.test_standard_api import HEAT, TABLE, ZONE


@pytest.fixture
def aqkol(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    """Give a command line over a home with a meter, on the 10th of February 2026."""

    async def town() -> None:
        owner = await asyncpg.connect(database_url)
        await owner.execute(
            "INSERT INTO tariff VALUES ('household', '2025-01-01', NULL, 640490, 'KZT', 'a test')"
        )
        await settle(owner, "A-1", "AQ-000001")
        await owner.close()

    asyncio.run(town())
    clock = tmp_path / "clock"
    clock.write_text("2026-02-10T12:00:00+05:00", encoding="ascii")
    monkeypatch.setenv("AQKOL_DATABASE_URL", database_url)
    monkeypatch.setenv("AQKOL_CLOCK_FILE", str(clock))
    monkeypatch.setattr(shell.logs, "configure", lambda *_: None)
    return CliRunner()


def said(aqkol: CliRunner, *words: str) -> Any:
    result = aqkol.invoke(shell.cli, ["standard", *words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def place(meter_id: str = "AQ-000001", **changes: str) -> list[str]:
    options = {"installed-at": NEW_YEAR, "valid-from": "2026-01-01", "place": "outdoor",
               "zone": "town"}  # fmt: skip
    words = (options | changes).items()
    return ["place", meter_id, *(word for name, value in words for word in (f"--{name}", value))]


class TestStandard:
    """The commands of the standard volume ..."""

    @pytest.mark.parametrize(
        ("command", "body", "listed"), [("table", TABLE, "tables"), ("zone", ZONE, "zones")]
    )
    def test_take_a_file_once(
        self, aqkol: CliRunner, tmp_path: Path, command: str, body: Any, listed: str
    ) -> None:
        """The same file twice is one row, and the list shows it."""
        file = tmp_path / "told.json"
        file.write_text(json.dumps(body), encoding="utf-8")
        assert said(aqkol, command, str(file))["new"] is True
        assert said(aqkol, command, str(file))["new"] is False
        shown = said(aqkol, listed)[listed]
        assert len(shown) == 1
        assert {name: shown[0][name] for name in body} == body

    def test_take_calorific_values(self, aqkol: CliRunner, tmp_path: Path) -> None:
        """And show the newest of each."""
        file = tmp_path / "told.json"
        file.write_text(json.dumps(HEAT), encoding="utf-8")
        assert said(aqkol, "heat", str(file)) == {"values": 1, "news": 1}
        words = ("--zone", "town", "--unit", "mj_m3", "--from-day", "2026-01-01")
        shown = said(aqkol, "heats", *words, "--to-day", "2026-01-02")["values"]
        assert [one["hundred_thousandths"] for one in shown] == [4_000_000]
        assert said(aqkol, "heats", *words, "--to-day", "2026-01-01")["values"] == []

    def test_say_where_a_meter_hangs(self, aqkol: CliRunner) -> None:
        """Signed by the command, since there is no token."""
        assert said(aqkol, *place())["new"] is True
        assert said(aqkol, *place())["new"] is False
        shown = said(aqkol, "places", "AQ-000001")["places"]
        assert [(one["place"], one["said_by"]) for one in shown] == [("outdoor", "aqkol standard")]

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (place("AQ-9"), "No meter has this id."),
            (["places", "AQ-9"], "No meter has this id."),
            (place(zone="No zone"), "the place cannot be used at zone"),
            (place(**{"installed-at": "2026-01-01"}), "the place cannot be used at installed_at"),
            (place(**{"valid-from": "2025-12-31"}), "before_installation."),
            (["table", "/nowhere.json"], "cannot be read"),
            (["heats", "--zone", "town", "--unit", "mj_m3", "--from-day", "now",
              "--to-day", "2026-01-01"], "a day is written like 2026-02-01."),
        ],
    )  # fmt: skip
    def test_refuse_with_a_sentence(
        self, aqkol: CliRunner, words: list[str], sentence: str
    ) -> None:
        """Nothing is guessed, and the process says so with its exit code."""
        result = aqkol.invoke(shell.cli, ["standard", *words])
        assert result.exit_code == 2
        assert sentence in result.output
