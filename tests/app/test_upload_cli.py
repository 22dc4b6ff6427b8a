"""``aqkol upload`` as people type it."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

from app import __main__ as shell
from app import upload_cli
from metering import sheet as limits
from tests.metering.test_ingest import hang
from tests.metering.test_take_in import contents, file, line, tables
from tests.serving import ROOT

GOOD = file(*(line("AQ-000001", n, n * 1000) for n in (1, 2, 3)))


@pytest.fixture
def aqkol(database_url: str, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Give a command line whose database is the test's, with one meter in it."""

    async def prepare() -> None:
        owner = await asyncpg.connect(database_url)
        await hang(owner)
        await owner.close()

    asyncio.run(prepare())
    monkeypatch.setenv("AQKOL_DATABASE_URL", database_url)
    monkeypatch.setattr(shell.logs, "configure", lambda *_: None)
    return CliRunner()


def upload(aqkol: CliRunner, path: Path, data: bytes, *words: str) -> tuple[int, str, str]:
    path.write_bytes(data)
    result = aqkol.invoke(shell.cli, ["upload", str(path), *words])
    assert "Traceback" not in result.output
    return result.exit_code, result.stdout, result.stderr


class TestUpload:
    """``aqkol upload`` ..."""

    def test_takes_a_file(self, aqkol: CliRunner, tmp_path: Path) -> None:
        """All taken: 0, and how far it is on the other channel, so that a pipe gets only JSON."""
        code, out, err = upload(aqkol, tmp_path / "a.csv", GOOD, "--json")

        told = json.loads(out.splitlines()[-1])
        assert (code, told["stored"], told["answers"]) == (0, 3, [])
        assert "aqkol: 3 of 3 rows.\n" in err
        assert upload(aqkol, tmp_path / "a.csv", GOOD)[0] == 0

    def test_tells_each_row_that_is_refused(self, aqkol: CliRunner, tmp_path: Path) -> None:
        """Some refused: 1; what is told of a formula is its row."""
        data = GOOD + b"=1+1,2026-01-05T00:00:00Z,5\nAQ-000001,2026-01-05T00:00:00Z,9999999\n"

        code, out, _ = upload(aqkol, tmp_path / "a.csv", data)

        assert code == 1
        assert "row 5: refused, bad_meter\n" in out
        assert "row 6: suspect, too_fast (AQ-000001 2026-01-05T00:00:00Z)\n" in out
        assert "=1+1" not in out

    def test_reads_as_declared(self, aqkol: CliRunner, tmp_path: Path) -> None:
        """Local times, a comma; and lines of JSON by the name of the file."""
        data = b"meter;at;m3\nAQ-000001;2026-01-05 00:00;5,5\n"
        words = ("--zone", "Asia/Almaty", "--decimal", ",", "--encoding", "windows-1251")
        lines = b'{"meter": "AQ-000001", "at": "2026-01-05T00:00:00+05:00", "dm3": 5500}\n'

        assert upload(aqkol, tmp_path / "a.csv", data, *words)[0] == 0
        code, out, _ = upload(aqkol, tmp_path / "a.ndjson", lines, "--json")
        assert (code, json.loads(out.splitlines()[-1])["repeated"]) == (0, 1)

    @pytest.mark.parametrize(
        ("data", "sentence"),
        [
            (b"", "aqkol: empty at line 1: "),
            (GOOD.decode().encode("utf-16"), "aqkol: bad_encoding at line 1, byte 1: "),
            (GOOD + b"\xff\n", "aqkol: bad_encoding at line 5, byte 137: "),
            (b"meter,at\n", "aqkol: bad_head at line 1: "),
        ],
    )
    def test_says_when_nothing_could_be_read(
        self, aqkol: CliRunner, tmp_path: Path, data: bytes, sentence: str
    ) -> None:
        """A sentence with the place, and 3."""
        code, _, err = upload(aqkol, tmp_path / "a.csv", data)

        assert code == 3
        assert sentence in err

    def test_says_when_there_is_no_file(
        self, aqkol: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing there, a folder, or a file that is larger than we take."""
        for path in (tmp_path / "none.csv", tmp_path):
            assert aqkol.invoke(shell.cli, ["upload", str(path)]).exit_code == 3
        monkeypatch.setattr(upload_cli, "FILE_BYTES_MAX", 10)
        assert upload(aqkol, tmp_path / "a.csv", GOOD)[0] == 3

    @pytest.mark.parametrize(
        "words", [["--zone", "Mars/Base"], ["--encoding", "koi8-r"], ["--decimal", ";"]]
    )
    def test_refuses_what_it_does_not_know(
        self, aqkol: CliRunner, tmp_path: Path, words: list[str]
    ) -> None:
        """A misspelt option must not be taken for none."""
        assert upload(aqkol, tmp_path / "a.csv", GOOD, *words)[0] == 2

    def test_may_only_try(self, aqkol: CliRunner, database_url: str, tmp_path: Path) -> None:
        """The same answers, and not a row in any table."""

        async def count() -> dict[str, int]:
            owner = await asyncpg.connect(database_url)
            found = await tables(owner)
            await owner.close()
            return found

        before = asyncio.run(count())
        code, out, _ = upload(aqkol, tmp_path / "a.csv", GOOD + b"x\n", "--dry-run", "--json")

        assert (code, json.loads(out.splitlines()[-1])["upload_id"]) == (1, None)
        assert asyncio.run(count()) == before


@pytest.mark.slow
class TestAKill:
    """A process that is killed while it takes a file in ..."""

    async def test_leaves_what_the_same_file_completes(
        self, database_url: str, owner: asyncpg.Connection, tmp_path: Path
    ) -> None:
        """Killed after its second chunk; the same command again does the rest, nothing twice."""
        meters = [f"AQ-{n:06d}" for n in range(1, 301)]
        for meter in meters:
            await hang(owner, meter)
        rows = [line(meter, n, n * 100) for n in range(1, 28) for meter in meters]
        path = tmp_path / "round.csv"
        path.write_bytes(file(*rows, "x\n"))
        assert len(rows) > 2 * limits.CHUNK_ROWS
        environment: dict[str, Any] = {**os.environ, "AQKOL_DATABASE_URL": database_url}
        command = (sys.executable, "-m", "app", "upload", str(path), "--state", str(tmp_path))

        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env=environment, stdout=PIPE, stderr=PIPE
        )
        assert process.stderr is not None
        for _ in range(2):
            while b" rows." not in await process.stderr.readline():
                pass
        process.send_signal(signal.SIGKILL)
        await process.communicate()
        killed = await owner.fetchrow("SELECT state, rows_done, stored, refused FROM upload")
        stood = await owner.fetchval("SELECT count(*) FROM reading")
        again = await asyncio.create_subprocess_exec(
            *command, "--json", cwd=ROOT, env=environment, stdout=PIPE, stderr=PIPE
        )
        out, _ = await again.communicate()

        assert killed["state"] == "running"
        assert killed["rows_done"] == killed["stored"] + killed["refused"] == stood + 1
        told = json.loads(out.splitlines()[-1])
        assert (again.returncode, told["stored"], told["repeated"]) == (1, len(rows), 0)
        assert await owner.fetchval("SELECT count(*) FROM upload") == 1
        readings, telegrams = (await contents(owner))[1], (await contents(owner))[0]
        assert len(readings) == len(telegrams) == len(rows)
