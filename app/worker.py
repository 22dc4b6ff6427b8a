"""Who this process is among those that ingest, and whether another one has ended.

A process that was killed cannot give anything back. On the machine where it ran one can see that it
is gone; from elsewhere its leases have to run out.
"""

import os
import socket
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
# Among the fields behind the program's name: when the process started, in ticks since the boot.
_STARTED: Final = 19
_PARTS: Final = 3
_ENDED: Final = ("Z", "X")


def me() -> str:
    """Return the name of this process: machine, its view of processes, number, start."""
    pid = os.getpid()
    return f"{_here()}/{pid}/{_started(pid) or '0'}"


def gone(worker: str) -> bool:
    """Say whether a process ran here and has ended; False where that cannot be seen."""
    parts = worker.rsplit("/", 2)
    if len(parts) != _PARTS or parts[0] != _here() or not parts[1].isdecimal():
        return False
    return parts[2] != "0" and _started(int(parts[1])) != parts[2]


def _here() -> str:
    """Return the machine's name, and which numbers of processes mean the same."""
    try:
        view = str((_PROC / "self/ns/pid").readlink())
    except OSError:
        view = "unknown"
    return f"{socket.gethostname()[:64]}/{view}"


def _started(pid: int) -> str | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rsplit(")", 1)[1].split()
    # A process that nobody has buried yet has ended all the same.
    return None if fields[0] in _ENDED else fields[_STARTED]
