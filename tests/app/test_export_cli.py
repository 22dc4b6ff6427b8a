"""``aqkol export`` as people type it: a file is there whole, or not at all."""

import asyncio
import csv
import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

from app import __main__ as shell
from app import export_cli
from billing.io.store import BillingStore
from billing.period import Period
from billing.reconcile import reconcile
from billing.settlement import NotReconciledError, Sums
from tests.app.api_town import AT, ZONE, settle


@pytest.fixture
def aqkol(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    """Give a command line over a home whose January is billed, on the 10th of February 2026."""

    async def town() -> None:
        owner = await asyncpg.connect(database_url)
        await owner.execute(
            "INSERT INTO tariff VALUES ('household', '2025-01-01', NULL, 640490, 'KZT', 'a test')"
        )
        await settle(owner, "A-1", "AQ-000001")
        await owner.close()
        async with asyncpg.create_pool(database_url, min_size=1, max_size=2) as pool:
            store = BillingStore(pool)
            await reconcile(store=store, period=Period.month(2026, 1), at=AT, zone=ZONE)

    asyncio.run(town())
    clock = tmp_path / "clock"
    clock.write_text("2026-02-11T12:00:00+05:00", encoding="ascii")
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    monkeypatch.setenv("AQKOL_DATABASE_URL", database_url)
    monkeypatch.setenv("AQKOL_CLOCK_FILE", str(clock))
    monkeypatch.setattr(shell.logs, "configure", lambda *_: None)
    return CliRunner()


def said(aqkol: CliRunner, *words: str) -> Any:
    result = aqkol.invoke(shell.cli, ["export", *words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def files() -> dict[str, bytes]:
    """Return what stands in the folder, hidden files among it."""
    return {file.name: file.read_bytes() for file in Path().iterdir()}


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(content.decode().splitlines(), strict=True))


class TestAnExport:
    """An export ..."""

    def test_is_a_file_with_its_sums_beside_it(
        self, aqkol: CliRunner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The centre takes the rows, the accountant checks them against the ledger."""
        monkeypatch.setenv("AQKOL_CHART", "receivable=1210")
        told = said(aqkol, "settlement", "2026-01")
        said(aqkol, "journal", "--from", "2026-02-10", "--to", "2026-02-11")
        found = files()

        assert set(found) == {
            "settlement-2026-01.csv", "settlement-2026-01.csv.summary.json",
            "journal-2026-02-10-2026-02-11.csv", "journal-2026-02-10-2026-02-11.csv.summary.json",
        }  # fmt: skip
        assert [row["to_pay"] for row in rows(found["settlement-2026-01.csv"])] == ["742.97"]
        summary = json.loads(found["settlement-2026-01.csv.summary.json"])
        assert summary["sums"][0]["ledger_receivable_minor"] == 74_297
        assert told == {"file": "settlement-2026-01.csv", **summary}
        entries = rows(found["journal-2026-02-10-2026-02-11.csv"])
        assert {entry["debit_code"] for entry in entries} == {"1210"}

    def test_takes_names_for_a_purpose(self, aqkol: CliRunner) -> None:
        """As over the API; who took them is the command line, whose users the machine knows."""
        words = ("settlement", "2026-01", "--with-names", "--purpose", "new centre")
        said(aqkol, *words, "--form", "json", "--out", "names.json")

        assert json.loads(files()["names.json"])["accounts"][0]["full_name"] == "Name of A-1"

    def test_leaves_no_half_a_file(self, aqkol: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
        """The file of before stands until the new one is whole; nothing else is left behind."""
        said(aqkol, "settlement", "2026-01")
        before = files()

        def differs(*_: Any) -> Any:
            raise NotReconciledError("to pay is another sum")

        monkeypatch.setattr(Sums, "told", differs)
        result = aqkol.invoke(shell.cli, ["export", "settlement", "2026-01"])

        assert (result.exit_code, files()) == (2, before)
        assert "to pay is another sum." in result.output

    def test_leaves_no_half_a_file_when_it_is_interrupted(self, tmp_path: Path) -> None:
        """Whatever ends it: the name is given last."""
        file = tmp_path / "whole.csv"

        def interrupted() -> None:
            with export_cli.Replacing(file) as part:
                part.write(b"half")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()

        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (("settlement", "2026-13"), "month must be in 1..12."),
            (("settlement", "januar"), "a month is written like 2026-01"),
            (("settlement", "2026-02"), "2026-02 is over at"),
            (("settlement", "2026-01", "--service", "water"), "--service is one of gas."),
            (("settlement", "2026-01", "--form", "xlsx"), "--form is one of csv, json, summary."),
            (("settlement", "2026-01", "--with-names"), "--with-names needs --purpose"),
            (("settlement", "2026-01", "--purpose", "x"), "--purpose belongs to --with-names."),
            (("settlement", "2026-01", "--with-names", "--purpose", "x", "--form", "summary"),
             "a summary holds no names."),
            (("settlement", "2026-01", "--out", "/nowhere/x.csv"), "No such file or directory"),
            (("journal",), "name a month, or the days"),
            (("journal", "2026-01", "--from", "2026-01-01"), "name a month, or the days"),
            (("journal", "--from", "2026-01-02", "--to", "2026-01-01"), "end before they begin"),
            (("journal", "2026-02"), "the days are not over; end them by 2026-02-11."),
            (("journal", "2026-01", "--form", "json"), "--form is one of csv, summary."),
        ],
    )  # fmt: skip
    def test_is_refused_in_words(
        self, aqkol: CliRunner, words: tuple[str, ...], sentence: str
    ) -> None:
        """Nothing is guessed, no file is made, and the exit code says so."""
        result = aqkol.invoke(shell.cli, ["export", *words])

        assert result.exit_code == 2
        assert sentence in result.output
        assert files() == {}
