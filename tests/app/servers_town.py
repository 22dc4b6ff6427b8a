"""What the tests of both supervisors share: processes that run a server, as anybody."""

import json
import os
import select
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("server_process.py")
NOBODY = 65534


def ended(pid: int, *, within_s: float = 15) -> bool:
    """Wait until a process that is not our child has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], within_s)[0])
    finally:
        os.close(descriptor)


def alive(pid: int) -> bool:
    return not ended(pid, within_s=0)


@dataclass
class Runner:
    """A process of ours that keeps one server."""

    process: subprocess.Popen[str]
    url: str
    pid: int

    def kill(self) -> None:
        """Kill the process that keeps the server, not the server."""
        self.process.kill()
        self.process.communicate()

    def close(self) -> None:
        """End it in an orderly way."""
        self.process.communicate("", timeout=30)


def start(name: str, home: Path, *, uid: int | None = None) -> Runner:
    """Run a server in a process of its own, as the user given."""
    python, paths = sys.executable, [str(ROOT)]
    if uid is not None:
        # That user cannot enter our home, where our Python may be; the system's Python of the same
        # version reads the same packages.
        python = f"/usr/bin/python3.{sys.version_info.minor}"
        paths.append(next(path for path in sys.path if path.endswith("site-packages")))
    process = subprocess.Popen(
        [python, str(SCRIPT), name, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(paths),
            "HOME": "/nonexistent",
        },
        **({} if uid is None else {"user": uid, "group": uid, "extra_groups": []}),
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"{name} did not start"
    said = json.loads(line)
    return Runner(process=process, url=said["url"], pid=said["pid"])


def can_be_nobody() -> bool:
    """Say whether this machine lets the tests run something as an ordinary user."""
    return (
        os.geteuid() == 0
        and shutil.which(f"python3.{sys.version_info.minor}", path="/usr/bin") is not None
    )
