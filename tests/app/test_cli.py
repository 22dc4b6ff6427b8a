"""The command line, as people and scripts use it: real processes, real servers, exit codes."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import aiomqtt
import asyncpg
import pytest

from tests.app.servers_town import ended
from tests.conftest import free_port

ROOT = Path(__file__).resolve().parents[2]

# Processes that start servers, on a machine that runs other tests beside.
pytestmark = pytest.mark.timeout(120)


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AQKOL_")}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"} | more


def aqkol(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "app", *words], capture_output=True, text=True, check=False,
        cwd="/", env=environment(**more),
    )  # fmt: skip


class Serving:
    """A process of "aqkol serve" that has said it is ready."""

    def __init__(self, state: Path, **more: str) -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve", "--state", str(state)],
            stderr=subprocess.PIPE, text=True, cwd="/",
            env=environment(AQKOL_HTTP_PORT=str(self.port), AQKOL_LOG_FORMAT="json", **more),
        )  # fmt: skip
        self.said: dict[str, dict[str, Any]] = {}
        assert self.process.stderr is not None
        for line in self.process.stderr:
            event = json.loads(line)
            self.said[event["event"]] = event
            if {"serve.ready", "broker.connected"} <= set(self.said):
                return
        raise AssertionError(f"serve did not start: {self.said}")

    @property
    def broker_port(self) -> int:
        """The port of the embedded broker."""
        return int(self.said["mosquitto.started"]["port"])

    def end(self, number: signal.Signals) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        self.process.communicate()
        return self.process.returncode


@pytest.fixture
def state() -> Iterator[Path]:
    """Give a state folder with a short path."""
    folder = Path(tempfile.mkdtemp(prefix="aqkol-t-"))
    yield folder / "state"
    shutil.rmtree(folder, ignore_errors=True)


async def receipt_for(port: int, meter: str) -> dict[str, Any]:
    """Send a telegram as a meter would and return the receipt."""
    place = f"gas/v1/{zlib.crc32(meter.encode()) % 64:02d}/{meter}"
    telegram = {
        "meter": meter,
        "counter": 1,
        "readings": [{"at": "2026-01-31T00:00:00+05:00", "dm3": 1000}],
    }
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        await client.subscribe(f"{place}/down/receipt", qos=1)
        await client.publish(f"{place}/up/json", json.dumps(telegram), qos=1)
        async for message in client.messages:
            answer: dict[str, Any] = json.loads(bytes(message.payload))
            return answer
    raise AssertionError("the broker went away")


async def status_of(url: str, token: str = "") -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status


class TestServe:
    """aqkol serve ..."""

    async def test_takes_telegrams_and_answers_the_api(self, state: Path) -> None:
        """Alone, with nothing configured: a meter is answered and the API is open."""
        serving = Serving(state)
        receipt = await receipt_for(serving.broker_port, "AQ-000123")
        ready = await status_of(f"http://127.0.0.1:{serving.port}/readyz")

        code = serving.end(signal.SIGINT)

        assert receipt["receipts"] == [
            {"counter": 1, "result": "refused", "reason": "unknown_meter"}
        ]
        assert (ready, code) == (200, 0)

    async def test_leaves_nothing_running(self, state: Path) -> None:
        """Ctrl-C stops the servers with it."""
        serving = Serving(state)
        pids = servers_of(serving.process.pid)

        serving.end(signal.SIGTERM)

        assert len(pids) >= 2
        assert all(ended(pid, within_s=0) for pid in pids)

    async def test_just_works_again_after_a_kill(self, state: Path) -> None:
        """After kill -9: the same broker at the same address, the same database."""
        first = Serving(state)
        issued = aqkol("token", "operator", "--state", str(state), "--json")
        first.end(signal.SIGKILL)

        second = Serving(state)
        token = json.loads(issued.stdout)["token"]
        status = await status_of(f"http://127.0.0.1:{second.port}/v1/meters", token)
        second.end(signal.SIGINT)

        assert second.broker_port == first.broker_port
        assert status == 200

    def test_does_not_share_its_folder(self, state: Path) -> None:
        """Two of them would bill twice as often; the second is told who has the folder."""
        first = Serving(state)
        second = aqkol("serve", "--state", str(state))
        first.end(signal.SIGINT)

        assert second.returncode == 3
        assert f"Another aqkol (process {first.process.pid}) uses the state folder" in second.stderr

    async def test_outlives_sessions_that_are_cut(
        self, state: Path, database_url: str, postgres_url: str
    ) -> None:
        """A database that restarts cuts sessions anywhere; every telegram is answered all the same.

        The cut falls before, into and after the batch; in between, the driver has no good name for
        what happened.
        """
        serving = Serving(state, AQKOL_DATABASE_URL=database_url)
        admin = await asyncpg.connect(postgres_url)
        answered = []
        for number in range(10):
            asked = asyncio.create_task(receipt_for(serving.broker_port, f"AQ-{number:06d}"))
            await asyncio.wait([asked], timeout=0.004 * number)
            await admin.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'aqkol'"
            )
            answered.append((await asyncio.wait_for(asked, 30))["receipts"][0]["reason"])
        await admin.close()

        assert serving.end(signal.SIGINT) == 0
        assert answered == ["unknown_meter"] * 10


def servers_of(parent: int) -> list[int]:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(word) for word in children.split()]


class TestSteps:
    """Each step of the business as its own process ..."""

    async def test_runs_once_and_says_what_it_did(self, database_url: str) -> None:
        """For cron, for scripts, for a person who wants to see it happen."""
        url = database_url
        done = {
            verb: aqkol(verb, "--once", "--json", AQKOL_DATABASE_URL=url)
            for verb in ("reconcile", "audit")
        }

        assert {verb: one.returncode for verb, one in done.items()} == {"reconcile": 0, "audit": 0}
        assert json.loads(done["reconcile"].stdout) == {}
        assert json.loads(done["audit"].stdout)["audit"] == "ok"

    async def test_refuses_a_month_that_is_not_over(self, database_url: str) -> None:
        """A bill for half a month would be neither right nor final."""
        url = database_url

        done = aqkol("reconcile", "--period", "2099-01", AQKOL_DATABASE_URL=url)

        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith("aqkol: 2099-01 is over at 2099-01-31")

    async def test_validates_the_last_month_that_is_over(
        self, database_url: str, tmp_path: Path
    ) -> None:
        """Or the month that is asked for; one that runs is refused."""
        clock = tmp_path / "clock"
        clock.write_text("2026-03-01T00:00:00+05:00", encoding="ascii")
        settings = {"AQKOL_DATABASE_URL": database_url, "AQKOL_CLOCK_FILE": str(clock)}
        nothing = {"installations": 0, "flagged": 0, "held": 0, "refused": 0, "written": 0}

        last = aqkol("validate", "--once", "--json", **settings)
        asked = aqkol("validate", "--period", "2025-12", "--json", **settings)
        early = aqkol("validate", "--period", "2026-03", **settings)

        assert json.loads(last.stdout) == {"2026-02": nothing}
        assert json.loads(asked.stdout) == {"2025-12": nothing}
        assert early.returncode == 2
        assert early.stderr.splitlines()[-1] == "aqkol: the period from 2026-03-01 is not over."

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (["reconcile", "--period", "January"], "--period"),
            (["validate", "--period", "2026-13"], "--period"),
            (["collect", "--once"], "AQKOL_BANK_URL must say which bank"),
            (["token", "king"], "operator or resident"),
            (["token", "resident"], "needs --account"),
        ],
    )
    def test_refuses_what_makes_no_sense(self, words: list[str], sentence: str) -> None:
        """A sentence and code 2, before anything is started."""
        done = aqkol(*words)

        assert done.returncode == 2
        assert sentence in done.stderr

    def test_says_which_setting_is_wrong(self) -> None:
        """And never starts with a default in its place."""
        done = aqkol("serve", AQKOL_DATABSE_URL="postgresql://db/aqkol")

        assert done.returncode == 2
        assert done.stderr == (
            "aqkol: AQKOL_DATABSE_URL is not a setting; did you mean AQKOL_DATABASE_URL?\n"
        )

    def test_says_that_the_database_is_away(self) -> None:
        """One sentence and code 3 for a command that a person waits for."""
        url = f"postgresql://127.0.0.1:{free_port()}/aqkol"

        done = aqkol("audit", "--once", AQKOL_DATABASE_URL=url)

        assert done.returncode == 3
        assert done.stderr.startswith("aqkol: The database is not there: ")

    async def test_works_at_today_s_schema_only(self, postgres_url: str) -> None:
        """Missing columns are better found at the start than at night."""
        done = aqkol("audit", "--once", AQKOL_DATABASE_URL=postgres_url)

        assert done.returncode == 3
        assert "run aqkol migrate" in done.stderr


class TestMigrate:
    """aqkol migrate ..."""

    def test_makes_the_schema_and_shows_it(self, state: Path) -> None:
        """--status looks and changes nothing: code 1 while something is missing."""
        before = aqkol("migrate", "--status", "--json", "--state", str(state))
        done = aqkol("migrate", "--json", "--state", str(state))
        after = aqkol("migrate", "--status", "--json", "--state", str(state))

        assert (before.returncode, done.returncode, after.returncode) == (1, 0, 0)
        assert set(json.loads(before.stdout).values()) == {"pending"}
        assert set(json.loads(after.stdout).values()) == {"applied"}


class TestSimulate:
    """aqkol simulate ..."""

    def test_hands_everything_on_untouched(self, tmp_path: Path) -> None:
        """The simulators have flags of their own, -h among them, and are no part of us."""
        (tmp_path / "simulators").mkdir()
        (tmp_path / "simulators" / "__init__.py").write_text("")
        (tmp_path / "simulators" / "__main__.py").write_text("import sys; print(sys.argv[1:])")

        done = aqkol(
            "simulate", "fleet", "-h", "host", "--help", "--", "-I", "5",
            PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}",
        )  # fmt: skip

        assert done.stdout == "['fleet', '-h', 'host', '--help', '--', '-I', '5']\n"
