"""Our own service as a real process, for the journeys."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def environment(*, database_url: str, mqtt_url: str, state: Path, **more: str) -> dict[str, str]:
    """Return the environment of a service with servers of its own choice."""
    return {
        **os.environ,
        "AQKOL_DATABASE_URL": database_url,
        "AQKOL_MQTT_URLS": mqtt_url,
        "AQKOL_HTTP_PORT": "0",
        "AQKOL_STATE": str(state),
        "AQKOL_LOG_FORMAT": "json",
        **more,
    }


async def command(env: Mapping[str, str], *words: str) -> str:
    """Run one of our commands to its end and return what it printed; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", *words, cwd=ROOT, env=dict(env), stdout=PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said
    return said.decode().strip()


@dataclass(slots=True, kw_only=True)
class Serve:
    """One life of ``aqkol serve``."""

    process: Process
    url: str
    reader: asyncio.Task[None]

    @classmethod
    async def start(cls, env: Mapping[str, str], *words: str) -> "Serve":
        """Start it and wait until its API listens."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app", "serve", *words, cwd=ROOT, env=dict(env), stderr=PIPE
        )
        assert process.stderr is not None
        url, line = "", b""
        while not url:
            before, line = line, await process.stderr.readline()
            assert line, f"serve ended before it listened: {before!r}"
            with suppress(json.JSONDecodeError):
                url = json.loads(line).get("url", "")
        return cls(process=process, url=url, reader=asyncio.create_task(cls._drain(process)))

    @staticmethod
    async def _drain(process: Process) -> None:
        assert process.stderr is not None
        while await process.stderr.readline():
            pass

    async def kill(self) -> None:
        """End it without a word, as a power cut does."""
        self.process.kill()
        await self.process.wait()
        await self.reader

    async def stop(self) -> int:
        """End it as Ctrl-C does; return its exit code."""
        self.process.send_signal(signal.SIGINT)
        code = await self.process.wait()
        await self.reader
        return code
