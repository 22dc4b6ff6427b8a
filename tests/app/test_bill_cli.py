"""``aqkol bill`` as people type it."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import asyncpg
import pytest
from pypdf import PdfReader
from typer.testing import CliRunner

from app import __main__ as shell
from billing.io.store import BillingStore
from billing.period import Period
from billing.reconcile import reconcile
from tests.billing.town import Town

HUNG: Final = "2025-12-20T12:00:00+05:00"
JAN_1: Final = "2026-01-01T00:00:00+05:00"
FEB_1: Final = "2026-02-01T00:00:00+05:00"


@pytest.fixture
def aqkol(database_url: str, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Give a command line whose database is the test's, with one bill of 100 m3 at 10.00."""

    async def settle() -> None:
        owner = await asyncpg.connect(database_url)
        town = Town(owner)
        await town.tariff(1_000_000, "2025-01-01")
        await town.home("1", {HUNG: 0, JAN_1: 1_000, FEB_1: 101_000})
        await owner.execute("INSERT INTO person VALUES ('AC-1', 'Айгүл Ә.', 'Абай 1')")
        async with asyncpg.create_pool(database_url, min_size=0) as pool:
            await reconcile(
                store=BillingStore(pool),
                period=Period.month(2026, 1),
                at=datetime(2026, 2, 2, tzinfo=UTC),
                zone="Asia/Almaty",
            )
        await owner.close()

    asyncio.run(settle())
    monkeypatch.setenv("AQKOL_DATABASE_URL", database_url)
    monkeypatch.setattr(shell.logs, "configure", lambda *_: None)
    return CliRunner()


class TestBill:
    """The commands of a bill ..."""

    def test_print_its_record(self, aqkol: CliRunner) -> None:
        """One line of JSON, and nothing else, so that a file of it can be checked."""
        result = aqkol.invoke(shell.cli, ["bill", "record", "AC-1", "2026-01"])

        assert result.exit_code == 0, result.output
        (line,) = result.stdout.splitlines()
        assert json.loads(line)["totals"]["total_minor"] == 116_000

    def test_show_it_as_text(self, aqkol: CliRunner) -> None:
        """In the language asked for, without a name."""
        result = aqkol.invoke(shell.cli, ["bill", "show", "AC-1", "2026-01", "--language", "ru"])

        assert result.exit_code == 0, result.output
        assert "оплате: 1\u00a0160,00\u00a0₸" in result.stdout
        assert "Айгүл" not in result.stdout

    def test_write_it_as_pdf(self, aqkol: CliRunner, tmp_path: Path) -> None:
        """With the name on it only for who says so."""
        for words, named in (([], False), (["--addressed"], True)):
            out = tmp_path / "bill.pdf"
            result = aqkol.invoke(
                shell.cli, ["bill", "pdf", "AC-1", "2026-01", "--out", str(out), *words]
            )

            assert result.exit_code == 0, result.output
            said = PdfReader(out).pages[0].extract_text()
            assert "1\u00a0160,00" in said
            assert ("Айгүл Ә." in said) is named

    def test_print_a_month_into_a_folder(self, aqkol: CliRunner, tmp_path: Path) -> None:
        """Each bill into a file that says whose it is; again they are the same bytes."""
        words = ["bill", "print", "--period", "2026-01", "--out", str(tmp_path / "paper")]
        contents = []
        for _ in range(2):
            result = aqkol.invoke(shell.cli, [*words, "--language", "ru"])
            assert result.exit_code == 0, result.output
            assert result.stdout == "1 bills written\n"
            (file,) = (tmp_path / "paper").iterdir()
            contents.append(file.read_bytes())

        assert file.name == "AC-1_2026-01_ru.pdf"
        assert contents[0] == contents[1]

    @pytest.mark.parametrize(
        ("words", "said", "code"),
        [
            (["show", "AC-1", "2026-02"], "no bill of this number", 2),
            (["record", "AC-9", "2026-01"], "no bill of this number", 2),
            (["show", "AC-1", "2026-01", "--language", "de"], "kk, ru or en", 2),
            (["pdf", "AC-1", "2026-01", "--out", "/nowhere/bill.pdf"], "cannot be written", 3),
            (["print", "--period", "2026-1", "--out", "paper"], "a month is written like", 2),
            (["print", "--period", "2026-01", "--out", "/dev/null/x"], "cannot be written", 3),
        ],
    )
    def test_end_with_a_sentence(
        self, aqkol: CliRunner, words: list[str], said: str, code: int
    ) -> None:
        """What cannot be had is named, and nothing is printed."""
        result = aqkol.invoke(shell.cli, ["bill", *words])

        assert result.exit_code == code
        assert said in result.stderr
        assert result.stdout == ""
