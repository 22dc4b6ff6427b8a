"""The processes that a measurement starts: each is ended by its own number, whatever happens."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

ROOT: Final = Path(__file__).resolve().parents[2]
# A process that says nothing for so long is stuck.
PATIENCE_S: Final = 120.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """A measurement cannot be made; the message is one sentence for people."""


@asynccontextmanager
async def child(
    *command: str, environment: Mapping[str, str] | None = None, stderr: int | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a process with pipes, and end it at the end."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            limit=2**20,
        )
    except FileNotFoundError:
        raise BenchError(f"The program {command[0]} is not installed.") from None
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            try:
                await asyncio.wait_for(process.wait(), 30)
            except TimeoutError:
                process.kill()
                await process.wait()


async def last_word(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """Wait until a process has ended well, and return the JSON object on its last line.

    Raises:
        BenchError: it failed or said nothing.
    """
    assert process.stdout is not None, "the pipe is ours"
    lines = [line async for line in process.stdout]
    if await process.wait() != 0 or not lines:
        raise BenchError("A process of the measurement ended without a result.")
    found: dict[str, Any] = json.loads(lines[-1])
    return found


class Flood:
    """The publisher, with everything prepared, waiting for the word."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def begin(self) -> None:
        """Let it pour."""
        assert self._process.stdin is not None, "the pipe is ours"
        self._process.stdin.write(b"\n")

    async def result(self) -> dict[str, Any]:
        """Wait until everything is acknowledged, and return what it counted."""
        assert self._process.stdout is not None, "the pipe is ours"
        lines = [line async for line in self._process.stdout]
        if not lines:
            raise BenchError("The publisher ended without a result.")
        found: dict[str, Any] = json.loads(lines[-1])
        return found


@asynccontextmanager
async def flood(url: str, *options: str) -> AsyncIterator[Flood]:
    """Start the publisher of the simulators, and wait until it has prepared its telegrams."""
    broker = urlsplit(url)
    command = [sys.executable, "-m", "simulators", "flood", "--hold"]
    command += ["-h", broker.hostname or "", "-p", str(broker.port), *options]
    async with child(*command) as process:
        assert process.stdout is not None, "the pipe is ours"
        line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)
        if b"ready" not in line:
            raise BenchError("The publisher did not get ready.")
        yield Flood(process)


class Ingest:
    """An ingest process, watched through its log: one line for each committed batch."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.done = 0
        self.connections = 0
        self._process = process
        self._moved = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    async def until(self, messages: int) -> None:
        """Wait until so many messages are committed.

        Raises:
            TimeoutError: nothing was committed for a long time.
        """
        while self.done < messages:
            await self.moved()

    async def connected(self) -> None:
        """Wait until it listens to the broker."""
        while not self.connections:
            await self.moved()

    async def moved(self) -> None:
        """Wait until it has done something since this was last asked.

        Raises:
            TimeoutError: nothing was done for a long time.
        """
        await asyncio.wait_for(self._moved.wait(), PATIENCE_S)
        self._moved.clear()

    async def _read(self) -> None:
        assert self._process.stderr is not None, "the pipe is ours"
        async for line in self._process.stderr:
            if b'"telegrams.ingested"' in line:
                self.done += int(json.loads(line)["telegrams"])
                self._moved.set()
            elif b'"broker.connected"' in line:
                self.connections += 1
                self._moved.set()


@asynccontextmanager
async def ingest(environment: Mapping[str, str]) -> AsyncIterator[Ingest]:
    """Start ``aqkol ingest`` and wait until it listens."""
    command = [sys.executable, "-m", "app", "ingest"]
    async with child(*command, environment=environment, stderr=asyncio.subprocess.PIPE) as process:
        running = Ingest(process)
        await running.connected()
        yield running


async def together(ingests: Sequence[Ingest], messages: int) -> None:
    """Wait until processes have committed so many messages between them.

    Raises:
        TimeoutError: nothing was committed for a long time.
    """
    while sum(one.done for one in ingests) < messages:
        moves = [asyncio.create_task(one.moved()) for one in ingests]
        done, rest = await asyncio.wait(moves, return_when=asyncio.FIRST_COMPLETED)
        for move in rest:
            move.cancel()
        await asyncio.wait(moves)
        for move in done:
            move.result()


def cpu_s(pid: int) -> float:
    """Return the seconds of processor time that a process and its ended children used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return sum(int(field) for field in fields[11:15]) / _TICKS


def tree_cpu_s(pid: int) -> float:
    """Return the processor time of a process and of its living children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    total = cpu_s(pid)
    for one in children:
        try:
            total += cpu_s(int(one))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def rss_mb(pid: int) -> float:
    """Return the most memory a process ever held, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise BenchError("The system does not say how much memory a process used.")
