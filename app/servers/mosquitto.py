"""A Mosquitto of our own in one folder, on loopback only, with the settings that lose nothing.

It keeps the port of its first start, so that meters find it again after a crash. Its store is
written every few seconds; what is newer is lost with a power cut, and harmless: a meter trusts
our receipt, not the broker, and sends again.
"""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import aiomqtt
import structlog

from app.servers import child, programs, rights, unpack

log = structlog.get_logger()

HOST: Final = "127.0.0.1"
PLACES: Final = ("/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto")
VERSION_MIN: Final = (2, 0)
START_S_MAX: Final = 60.0
STARTS_MAX: Final = 3

# Defaults of Mosquitto drop silently: more than 1000 queued or 20 in flight per session.
SETTINGS: Final = """\
allow_anonymous true
max_queued_messages 0
max_inflight_messages 65535
set_tcp_nodelay true
persistent_client_expiration 90d
connection_messages false
log_dest stderr
log_type error
log_type warning
log_type notice
"""

# Seconds between two writes of the broker's store.
AUTOSAVE_S: Final = 10


def candidates(mosquitto_bin: Path | None, home: Path) -> Iterator[programs.Candidate]:
    """Yield every place that may hold a broker, the preferred first; a setting is meant."""
    if mosquitto_bin is not None:
        yield _examined("setting AQKOL_MOSQUITTO_BIN", mosquitto_bin.absolute())
        return
    on_path = shutil.which("mosquitto")
    if on_path is not None:
        yield _examined("PATH", Path(on_path))
    for place in PLACES:
        if place != on_path and Path(place).exists():
            yield _examined("system", Path(place))
    own = unpack.unpacked(home)
    if own is not None:
        yield _examined("unpacked", own, unpack.libraries(own))


def _examined(origin: str, program: Path, libraries: list[str] | None = None) -> programs.Candidate:
    """Try a broker's program; ``trees`` carries the folders of libraries it brought along."""
    trees = tuple(Path(library) for library in libraries or ())
    if not os.access(program, os.X_OK):
        return programs.Candidate(origin=origin, folder=program, problem="cannot be run")
    environment = _environment(trees)
    try:
        said = subprocess.run(  # noqa: S603 - a program found in known places
            [str(program), "-h"],
            check=False,
            capture_output=True,
            text=True,
            timeout=10,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return programs.Candidate(origin=origin, folder=program, problem=f"does not run: {error}")
    found = re.search(r"mosquitto version (\d+)\.(\d+)(\.\d+)?", said.stdout)
    if found is None:
        why = (said.stderr.strip().splitlines() or ["it does not say its version"])[0]
        return programs.Candidate(origin=origin, folder=program, problem=f"does not run: {why}")
    old = (int(found[1]), int(found[2])) < VERSION_MIN
    return programs.Candidate(
        origin=origin,
        folder=program,
        version=found[0].removeprefix("mosquitto version "),
        problem="is older than Mosquitto 2.0" if old else None,
        trees=trees,
    )


def _environment(libraries: tuple[Path, ...]) -> dict[str, str]:
    environment = {"PATH": os.defpath, "LC_ALL": "C"}
    if libraries:
        environment["LD_LIBRARY_PATH"] = ":".join(str(folder) for folder in libraries)
    return environment


def _free(port: int) -> int | None:
    """Return the port if nobody listens on it (0: any free one), else None."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return None
        return int(probe.getsockname()[1])


class Mosquitto(child.Server):
    """Our broker in ``home``; ``port`` 0 means the port of last time, or any free one."""

    program = "mosquitto"
    # It writes its store when it is asked to end.
    patience = ((signal.SIGTERM, 20.0),)

    def __init__(
        self,
        *,
        home: Path,
        mosquitto_bin: Path | None = None,
        port: int = 0,
        persistence: bool = True,
    ) -> None:
        super().__init__()
        self._home = home
        self._mosquitto_bin = mosquitto_bin
        self._wanted_port = port
        self._persistence = persistence
        self.port = 0

    async def start(self) -> str:
        """Start the broker and return its URL once it lets a client in.

        Raises:
            child.ServerError: no program, a taken port, or a broker that does not come up.
        """
        self._home.mkdir(parents=True, exist_ok=True)
        self._home.chmod(0o700)
        self._home = self._home.resolve()
        await child.stop_leftovers(self._home, self.program, self.patience)
        chosen = await self._choose()
        allowed = rights.unprivileged()
        for attempt in range(1, STARTS_MAX + 1):
            self._configure(self._choose_port(), allowed)
            said = len(self._said())
            self._process = child.spawn(
                [*allowed.prefix, str(chosen.folder), "-c", str(self._home / "mosquitto.conf")],
                folder=self._home,
                log_file=self._home / "log",
                death_signal=signal.SIGTERM,
                environment=_environment(chosen.trees),
            )
            if await self._answers():
                break
            if attempt == STARTS_MAX:
                await self.stop()
                raise child.ServerError(f"Mosquitto did not start: see {self._home / 'log'}.")
            self._set_store_aside(self._said()[said:])
        (self._home / "port").write_text(str(self.port), encoding="ascii")
        log.info("mosquitto.started", version=chosen.version, origin=chosen.origin, port=self.port)
        return f"mqtt://{HOST}:{self.port}"

    async def _choose(self) -> programs.Candidate:
        """Return the first usable broker; unpack one as the last resort."""
        tried = list(candidates(self._mosquitto_bin, self._home))
        usable = [candidate for candidate in tried if candidate.problem is None]
        if usable:
            return usable[0]
        if self._mosquitto_bin is not None:
            raise child.ServerError(f"AQKOL_MOSQUITTO_BIN: {tried[0].folder} {tried[0].problem}.")
        program = await asyncio.to_thread(unpack.unpack, self._home)
        own = _examined("unpacked", program, unpack.libraries(program))
        if own.problem is not None:
            raise child.ServerError(f"{unpack.MISSING} (the unpacked one {own.problem})")
        return own

    def _choose_port(self) -> int:
        """Return the wanted port, else the one of last time, else any free one."""
        if self._wanted_port:
            if _free(self._wanted_port) is None:
                raise child.ServerError(
                    f"Port {self._wanted_port} of {HOST} is taken by another program."
                )
            return self._wanted_port
        try:
            last = int((self._home / "port").read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            last = 0
        port = _free(last) or _free(0)
        if port is None:
            raise child.ServerError(f"No port of {HOST} is free.")
        return port

    def _configure(self, port: int, allowed: rights.Rights) -> None:
        self.port = port
        lines = [f"listener {port} {HOST}", SETTINGS.rstrip()]
        if self._persistence:
            lines += [
                "persistence true",
                f"persistence_location {self._home}/",
                f"autosave_interval {AUTOSAVE_S}",
            ]
        if allowed.uid:
            # Else it would become the user "mosquitto", who may not enter our folder.
            lines.append("user root")
        (self._home / "mosquitto.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")

    async def _answers(self) -> bool:
        """Wait until the broker lets a client in; False when it has ended instead."""
        assert self._process is not None
        deadline = time.monotonic() + START_S_MAX
        while self._process.poll() is None:
            try:
                async with aiomqtt.Client(
                    HOST, self.port, protocol=aiomqtt.ProtocolVersion.V5, timeout=5
                ):
                    return self._process.poll() is None
            except aiomqtt.MqttError as error:
                if time.monotonic() >= deadline:
                    raise child.ServerError(f"Mosquitto does not answer: {error}.") from error
                await asyncio.sleep(child.POLL_S)
        return False

    def _said(self) -> str:
        path = self._home / "log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def _set_store_aside(self, words: str) -> None:
        """Start without a store that the broker cannot read; meters send again what was in it."""
        store = self._home / "mosquitto.db"
        if store.exists() and any(
            word in words.lower() for word in ("database", "persist", "restor")
        ):
            store.replace(self._home / "mosquitto.db.unreadable")
            log.error("mosquitto.store_unreadable")
