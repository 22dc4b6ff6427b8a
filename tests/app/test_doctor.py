"""The doctor: what is there, what is not, and why, in sentences and for programs."""

import json
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from app import config, doctor
from app.doctor import Finding, Report
from metering.io.leases import Leases
from tests.conftest import Broker, database, free_port

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def forgetful() -> Iterator[str]:
    """Run a broker as the distribution configures it: a thousand waiting messages, no more."""
    folder = Path(tempfile.mkdtemp(prefix="aqkol-t-"))
    port = free_port()
    conf = folder / "mosquitto.conf"
    conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest stderr\n")
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    process = subprocess.Popen([program, "-v", "-c", str(conf)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "running" in line:
            break
    # Its chatter must go somewhere, or it stops when the pipe is full.
    drain = subprocess.Popen(["/bin/cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
    yield f"mqtt://127.0.0.1:{port}"
    process.send_signal(signal.SIGTERM)
    process.wait()
    process.stderr.close()
    drain.wait()
    shutil.rmtree(folder)


def problems(report: Report) -> list[str]:
    return [one.detail for one in report.findings if one.state == "problem"]


async def examined(folder: Path, **chosen: object) -> Report:
    return await doctor.examine(config.load(state=folder / "state", **chosen))


class TestBroker:
    """A configured broker ..."""

    async def test_is_content_with_ours(self, tmp_path: Path, mosquitto: Broker) -> None:
        """The settings we ship keep everything."""
        report = await examined(tmp_path, mqtt_urls=mosquitto.url)

        assert problems(report) == []
        assert "kept all 1100 messages" in report.as_text()
        assert "keeps the session" in report.as_text()

    async def test_is_found_out_when_it_drops(self, tmp_path: Path, forgetful: str) -> None:
        """Default settings drop what waits beyond a thousand, without a word to anybody."""
        report = await examined(tmp_path, mqtt_urls=forgetful)

        assert [one for one in problems(report) if "set max_queued_messages 0" in one]
        assert not report.healthy

    async def test_is_missed_when_it_is_away(self, tmp_path: Path) -> None:
        """A wrong address is a finding, not a traceback."""
        report = await examined(tmp_path, mqtt_urls=f"mqtt://127.0.0.1:{free_port()}")

        assert len(problems(report)) == 1
        assert problems(report)[0].startswith("cannot be used")


class TestDatabase:
    """A configured database ..."""

    async def test_is_current_or_not(self, tmp_path: Path, postgres_url: str) -> None:
        """A forgotten migration is found before the first error at night."""
        report = await examined(tmp_path, database_url=postgres_url)

        assert [one for one in problems(report) if "run aqkol migrate" in one]

    async def test_is_missed_when_it_is_away(self, tmp_path: Path) -> None:
        """One sentence, and no password in it."""
        url = f"postgresql://me:geheim@127.0.0.1:{free_port()}/aqkol"
        report = await examined(tmp_path, database_url=url)

        assert len(problems(report)) == 1
        assert "geheim" not in report.as_text() + json.dumps(report.as_dict())

    async def test_must_exist(self, tmp_path: Path, postgres_url: str) -> None:
        """A mistyped name is told apart from a server that is away."""
        report = await examined(tmp_path, database_url=database(postgres_url, "nosuch"))

        assert problems(report) == [
            'The database does not let us in: database "nosuch" does not exist.'
        ]

    async def test_is_only_looked_at(self, tmp_path: Path, postgres_url: str) -> None:
        """A look must not migrate, nor leave anything behind."""
        await examined(tmp_path, database_url=postgres_url)
        connection = await asyncpg.connect(postgres_url)
        record = await connection.fetchval("SELECT to_regclass('public.schema_migrations')")
        await connection.close()

        assert record is None
        assert not left_behind(tmp_path / "state")


def left_behind(state: Path) -> list[str]:
    return sorted(entry.name for entry in state.iterdir()) if state.exists() else []


class TestEmbedded:
    """Nothing configured ..."""

    async def test_says_which_programs_and_why(self, tmp_path: Path) -> None:
        """The one that would be used, and every other with the reason."""
        report = await examined(tmp_path)

        used = [one for one in report.findings if one.detail.endswith(": used")]
        assert len(used) == 2
        assert report.healthy

    async def test_says_what_is_wrong_with_a_named_folder(self, tmp_path: Path) -> None:
        """The setting, the folder, and what it lacks."""
        report = await examined(tmp_path, pg_bin=tmp_path)

        assert (
            Finding(
                name="setting AQKOL_PG_BIN",
                state="note",
                detail=f"{tmp_path} has no postgres and no initdb that can be run",
            )
            in report.findings
        )
        assert not report.healthy

    async def test_asks_for_the_bank_s_token(self, tmp_path: Path) -> None:
        """An address without a token would be refused with every debit."""
        report = await examined(tmp_path, bank_url="https://bank.example")

        assert problems(report) == ["AQKOL_BANK_TOKEN is not set"]


class TestReaders:
    """The processes that read the meters ..."""

    async def test_are_named_with_what_they_read(
        self, tmp_path: Path, database_url: str, pool: asyncpg.Pool
    ) -> None:
        """An operator sees who reads what, who stands by, and that nobody does."""
        nobody = await examined(tmp_path, database_url=database_url)
        await Leases(pool=pool, worker="first").beat(1)
        await Leases(pool=pool, worker="second").beat(1)
        await Leases(pool=pool, worker="first").take("broker:1883", "0-of-1")
        report = await examined(tmp_path, database_url=database_url)

        assert "no process reads the meters now" in {one.detail for one in nobody.findings}
        found = {one.name: one.detail for one in report.findings}
        assert found["reader first"].startswith("0-of-1 at broker:1883 since 20")
        assert found["reader second"] == "stands by"

    async def test_are_told_when_they_cut_the_meters_differently(
        self, tmp_path: Path, database_url: str, pool: asyncpg.Pool
    ) -> None:
        """Half the work would be done twice, and nothing else would show it."""
        await Leases(pool=pool, worker="first").beat(1)
        await Leases(pool=pool, worker="second").beat(2)

        assert problems(await examined(tmp_path, database_url=database_url)) == [
            "AQKOL_INGEST_SHARES differs between processes: 1, 2; work is done twice"
        ]
