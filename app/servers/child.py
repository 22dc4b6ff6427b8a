"""Servers that run as our children: started, stopped, kept alive, and found again after a crash.

A child gets its own session, so that Ctrl-C in a terminal reaches us and not it, and a wish at
the kernel for a signal when we die, so that ``kill -9`` leaves no server behind. Whoever stays
behind all the same is found by what the kernel knows (which program works in which folder), never
by a pid file alone: pid files lie after a crash.
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import structlog

log = structlog.get_logger()

LAUNCH: Final = Path(__file__).with_name("launch.py")
POLL_S: Final = 0.02

# A server that dies more often than this needs a person, not another start.
RESTARTS_MAX: Final = 5

# The log of a server is renamed to log.old beyond this, so that it cannot fill the disk.
LOG_BYTES_MAX: Final = 10_000_000

# A signal, and the seconds its receiver gets before the next one.
Patience: TypeAlias = tuple[signal.Signals, float]


class ServerError(Exception):
    """A server cannot be found, started or kept; the message is one sentence for people."""


def spawn(  # noqa: PLR0913 - each says how the child differs from us
    command: Sequence[str],
    *,
    folder: Path,
    log_file: Path,
    death_signal: signal.Signals,
    environment: Mapping[str, str],
    uid: int = 0,
) -> subprocess.Popen[bytes]:
    """Start a program that gets ``death_signal`` when the calling thread dies.

    Call it from the main thread: the kernel watches the thread, not the process.
    """
    if log_file.exists() and log_file.stat().st_size > LOG_BYTES_MAX:
        log_file.replace(log_file.with_name(log_file.name + ".old"))
    assert threading.current_thread() is threading.main_thread(), "the kernel watches the thread"
    words = [str(os.getpid()), str(int(death_signal)), str(uid), *command]
    with log_file.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - the command is made by our own supervisors
            [sys.executable, "-I", "-S", str(LAUNCH), *words],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


async def ended(process: subprocess.Popen[bytes], *, within_s: float) -> bool:
    """Wait until a child has ended; False when it has not within the given seconds."""
    deadline = time.monotonic() + within_s
    while process.poll() is None:
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True


async def stop(process: subprocess.Popen[bytes], patience: Sequence[Patience]) -> None:
    """Ask a child to end, ever less politely; each signal comes with the seconds to wait."""
    for number, within_s in patience:
        if process.poll() is not None:
            return
        process.send_signal(number)
        if await ended(process, within_s=within_s):
            return
    process.kill()
    await ended(process, within_s=POLL_S * 100)


def living_in(folder: Path, program: str) -> list[int]:
    """Return the pids of a program's processes whose working folder is this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "comm").read_text().strip() == program and (entry / "cwd").samefile(folder):
                found.append(int(entry.name))
        except OSError:
            continue  # It ended meanwhile, or belongs to somebody else: not ours either way.
    return found


def _leaders(pids: Sequence[int]) -> list[int]:
    """Return those whose parent is not among them; they end the others by themselves."""
    leaders = []
    for pid in pids:
        try:
            after_name = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1]
        except OSError:
            continue
        if int(after_name.split()[1]) not in pids:
            leaders.append(pid)
    return leaders


async def stop_leftovers(folder: Path, program: str, patience: Sequence[Patience]) -> int:
    """Stop what an earlier start left running in a folder, and return how many there were.

    Raises:
        ServerError: they belong to another user, or do not end.
    """
    count = len(living_in(folder, program))
    for number, within_s in (*patience, (signal.SIGKILL, 5.0)):
        pids = living_in(folder, program)
        for pid in _leaders(pids):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
            except PermissionError:
                raise ServerError(
                    f"A {program} of another user (process {pid}) still works in {folder}; "
                    "stop it first."
                ) from None
        deadline = time.monotonic() + within_s
        while living_in(folder, program) and time.monotonic() < deadline:  # noqa: ASYNC110 - not ours, no event tells
            await asyncio.sleep(POLL_S)
    if living_in(folder, program):
        raise ServerError(f"An earlier {program} in {folder} does not end, not even by force.")
    if count:
        log.warning("server.leftover_stopped", program=program, processes=count)
    return count


class Server(ABC):
    """A server of ours: start it, use its address, keep it alive, stop it."""

    program: str
    patience: tuple[Patience, ...]

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    async def start(self) -> str:
        """Start the server and return its URL once it answers.

        Raises:
            ServerError: it cannot be found or does not start.
        """

    async def stop(self) -> None:
        """Stop the server in an orderly way; a second call does nothing."""
        process, self._process = self._process, None
        if process is not None:
            await stop(process, self.patience)

    @property
    def pid(self) -> int | None:
        """The server's process, None when it does not run."""
        return self._process.pid if self._process else None

    async def keep(self, stopping: asyncio.Event) -> None:
        """Start the server again whenever it dies, until ``stopping`` is set.

        Raises:
            ServerError: it dies again and again, or does not come back.
        """
        deaths = 0
        while not stopping.is_set():
            process = self._process
            if process is None:
                return
            if not await ended(process, within_s=0.5):
                continue
            if self._process is process and not stopping.is_set():
                deaths += 1
                log.error("server.died", program=self.program, code=process.returncode)
                if deaths > RESTARTS_MAX:
                    raise ServerError(f"{self.program} has died {deaths} times; its log says why.")
                await self.start()
