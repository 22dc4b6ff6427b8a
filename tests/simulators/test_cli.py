"""The simulators as programs: what they print, how they end, what survives their death."""

import asyncio
import contextlib
import json
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Broker, free_port
from tests.simulators.desk import SETTLE_S, Desk


@contextlib.asynccontextmanager
async def started(*args: object) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulators", *map(str, args), stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def finished(*args: object, stdin: str = "") -> tuple[int, str, str]:
    async with started(*args) as process:
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), SETTLE_S)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()


def fleet(broker: Broker, prefix: str, *args: object) -> tuple[object, ...]:
    return ("fleet", "-h", broker.host, "-p", broker.port, "--prefix", prefix, "--seed", 7, *args)


class TestFleetCommand:
    """`python -m simulators fleet` ..."""

    async def test_prints_one_json_object(
        self, mosquitto: Broker, desk: Desk, prefix: str, tmp_path: Path
    ) -> None:
        """A program that starts a fleet reads one line and an exit code."""
        truth = tmp_path / "truth.jsonl"

        code, out, _ = await finished(
            *fleet(mosquitto, prefix, "-c", 5, "-I", 0, "--limit", 40, "--json", "--truth", truth)
        )

        summary = json.loads(out)
        assert code == 0
        assert summary["telegrams_sent"] == summary["readings_sent"] == 40
        assert summary["receipts"] == {"stored": 40, "repeated": 0, "refused": 0}
        assert summary["waiting"] == 0
        assert set(summary["latency_ms"]) == {"p50", "p95", "p99"}
        assert len(truth.read_text().splitlines()) == len(desk.stored) == 40

    async def test_gives_the_same_truth_for_the_same_seed(
        self, mosquitto: Broker, desk: Desk, prefix: str, tmp_path: Path
    ) -> None:
        """Two processes, two scenarios of the network, one truth."""
        files = [tmp_path / "first.jsonl", tmp_path / "second.jsonl"]
        for path, scenario in zip(files, ("lost-network-day", "noisy-air"), strict=True):
            code, _, err = await finished(
                *fleet(mosquitto, prefix, "-c", 4, "-I", 0, "--limit", 60, "--truth", path),
                *("--scenario", scenario, "--resend-after", 0.4),
            )
            assert (code, err) == (0, "")

        assert files[0].read_text() == files[1].read_text()
        assert desk.conflicts == []

    async def test_ends_in_good_order_on_ctrl_c(
        self, mosquitto: Broker, desk: Desk, prefix: str
    ) -> None:
        """The summary is printed, and the exit code says that it was interrupted."""
        async with started(*fleet(mosquitto, prefix, "-c", 3, "-I", 20, "--json")) as process:
            await asyncio.wait_for(desk.arrived.wait(), SETTLE_S)
            process.send_signal(signal.SIGINT)
            out, err = await asyncio.wait_for(process.communicate(), SETTLE_S)

        assert process.returncode == 130
        assert json.loads(out)["telegrams_sent"] >= 1
        assert b"Traceback" not in err

    async def test_continues_after_kill_9(
        self, mosquitto: Broker, desk: Desk, prefix: str, tmp_path: Path
    ) -> None:
        """Killed in full flight and started again: no reading lost, none told in two ways."""
        desk.swallow_every = 2
        until = ("--until", "2025-03-02T00:00:00+05:00", "--resend-after", 0.5)
        command = fleet(mosquitto, prefix, "-c", 10, "-I", 50, "--keep", tmp_path, *until)
        for heard in (20, 60):
            async with started(*command) as process:
                await asyncio.wait_for(desk.hears(heard), SETTLE_S)
                process.kill()
                await process.wait()

        code, out, _ = await finished(*command, "--json", "-I", 0)

        lines = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
        truth = {(line["meter"], line["at"]): line["register_dm3"] for line in lines}
        assert code == 0, out
        assert len(lines) == len(truth) == 600  # Ten meters, sixty midnights.
        assert desk.readings == truth
        assert desk.conflicts == []

    async def test_follows_a_conductor(self, mosquitto: Broker, desk: Desk, prefix: str) -> None:
        """One line in, one line out, and the registry first."""
        script = [
            {"until": "2025-01-02T00:00:00+05:00"},
            {"silent": [f"{prefix}000001"], "until": "2025-01-04T00:00:00+05:00"},
            {"until": "2025-01-03T00:00:00+05:00"},
            {"stop": True},
        ]
        lines = "".join(json.dumps(line) + "\n" for line in script) + "never read\n"

        code, out, err = await finished(
            *fleet(mosquitto, prefix, "-c", 2, "--conducted"), stdin=lines
        )

        said: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
        assert (code, err) == (0, "")
        assert [meter["meter_id"] for meter in said[0]["meters"]] == [
            f"{prefix}000001",
            f"{prefix}000002",
        ]
        assert [(step.get("telegrams_sent"), step.get("held")) for step in said[1:]] == [
            (2, 0),
            (None, None),
            (1, 1),
            (3, 1),
        ]
        assert len(desk.stored) == 3

    async def test_ends_with_its_conductor(self, mosquitto: Broker, prefix: str) -> None:
        """A conductor that dies must not leave a fleet behind."""
        code, out, _ = await finished(*fleet(mosquitto, prefix, "-c", 1, "--conducted"))

        assert code == 0
        assert json.loads(out.splitlines()[-1])["stopped"] is True

    async def test_prints_the_registry_without_a_broker(self) -> None:
        """Who registers meters needs no network for it."""
        code, out, _ = await finished("fleet", "--registry", "-c", 3, "-p", free_port())

        assert code == 0
        assert len(json.loads(out)["meters"]) == 3

    async def test_says_plainly_that_there_is_no_broker(self) -> None:
        """One sentence instead of a traceback."""
        port = free_port()

        code, _, err = await finished("fleet", "-p", port, "--patience", 0.3, "--limit", 1)

        assert code == 1
        assert f"simulators: no connection to a broker at 127.0.0.1:{port}" in err
        assert "Traceback" not in err

    @pytest.mark.parametrize(
        "args",
        [
            ("fleet", "-c", 0),
            ("fleet", "--start", "2025-01-01"),
            ("fleet", "--start", "2025-01-01T00:30:00Z"),
            ("fleet", "--prefix", "a/b"),
            ("fleet", "-t", "gas/%c"),
            ("fleet", "--scenario", "doomsday"),
            ("replay", "x.csv"),
            ("replay", "x.csv", "--meter", "A", "--readings-per-telegram", 501),
            ("weather",),
            (),
        ],
    )
    async def test_refuses_bad_usage(self, args: tuple[object, ...]) -> None:
        """Exit code 2 and a usage line, before anything is connected."""
        code, out, err = await finished(*args)

        assert (code, out) == (2, "")
        assert "usage" in err
        assert "Traceback" not in err

    @pytest.mark.parametrize("args", [("--help",), ("fleet", "--help"), ("replay", "--help")])
    async def test_knows_help(self, args: tuple[str, ...]) -> None:
        """-h is the host, as people know it; help has its own name."""
        code, out, _ = await finished(*args)

        assert code == 0
        assert "usage" in out


class TestReplayCommand:
    """`python -m simulators replay FILE` ..."""

    async def test_replays_and_names_bad_rows(
        self, mosquitto: Broker, desk: Desk, prefix: str, tmp_path: Path
    ) -> None:
        """The exit code tells that the file did not go in whole, the text says which line."""
        path = tmp_path / "register.csv"
        path.write_text("read_at,register_m3\n2020-04-01T02:00:00Z,1\nsoon,2\n")

        code, out, err = await finished(
            *("replay", path, "--meter", f"{prefix}1", "-p", mosquitto.port, "--json")
        )

        assert code == 1
        assert json.loads(out)["stored"] == len(desk.stored) == 1
        assert err == "line 3: bad_time\n"

    async def test_says_plainly_that_there_is_no_file(self, mosquitto: Broker) -> None:
        """One sentence instead of a traceback."""
        code, _, err = await finished(
            "replay", "/nowhere.csv", "--meter", "A", "-p", mosquitto.port
        )

        assert code == 1
        assert err.startswith("simulators: /nowhere.csv cannot be read")


class TestBankCommand:
    """`python -m simulators bank` ..."""

    @pytest.mark.parametrize(
        "args",
        [
            ("--port", 65_536),
            ("--control-port", -1),
            ("--now", "9999-12-31T23:59:59-14:00"),
            ("--now", "2059-12-31T00:00:00Z"),
            ("--now", "2014-12-31T00:00:00Z"),
            ("--webhook-timeout", "nan"),
            ("--webhook-timeout", "0"),
            ("--rate-limit", "0"),
        ],
    )
    async def test_refuses_bad_usage(self, tmp_path: Path, args: tuple[object, ...]) -> None:
        """Exit code 2 and a usage line, before anybody is served."""
        code, out, err = await finished("bank", "--state", tmp_path / "bank.sqlite", *args)

        assert (code, out) == (2, "")
        assert "usage" in err
        assert "Traceback" not in err

    @pytest.mark.parametrize(
        "state",
        ["missing/bank.sqlite", ".", "letter.txt"],
        ids=["no such place", "place", "letter"],
    )
    async def test_says_plainly_that_there_are_no_books(self, tmp_path: Path, state: str) -> None:
        """One sentence that names the file, instead of a traceback."""
        (tmp_path / "letter.txt").write_text("Dear bank")

        code, out, err = await finished("bank", "--state", tmp_path / state)

        assert (code, out) == (1, "")
        assert err.startswith(f"the bank cannot open with {tmp_path / state}: ")
        assert len(err.splitlines()) == 1

    async def test_says_plainly_that_a_port_is_taken(self, tmp_path: Path) -> None:
        """Two banks of one port are a mistake of whoever starts them."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            code, _, err = await finished("bank", "--state", tmp_path / "bank", "--port", port)

        assert (code, len(err.splitlines())) == (1, 1)
        assert "already in use" in err

    @pytest.mark.parametrize(
        ("written", "said"),
        [
            (None, "cannot be read"),
            (b"\xff\xfe", "cannot be read"),
            (b"a b c", "one secret, or two"),
        ],
    )
    async def test_says_plainly_that_there_are_no_secrets(
        self, tmp_path: Path, written: bytes | None, said: str
    ) -> None:
        """A webhook that nobody can check is not sent."""
        file = tmp_path / "secrets"
        if written is not None:
            file.write_bytes(written)
        told = ("--webhook-url", "http://127.0.0.1:1/", "--webhook-secret-file", file)

        code, _, err = await finished("bank", "--state", tmp_path / "bank", *told)

        assert (code, len(err.splitlines())) == (1, 1)
        assert said in err
