"""A PostgreSQL of our own in one folder: real programs, started and stopped by us.

Nobody else gets in: it listens on no network, only on a Unix socket in a folder that only its
user may enter, and therefore asks for no password. ``data`` is made under another name and
renamed when it is whole; a half-made one is thrown away. The pid file is not believed: whoever
works in the data folder is found by the kernel's own list and stopped before the next start.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

import asyncpg
import structlog

from app.servers import child, programs, rights

log = structlog.get_logger()

USER: Final = "aqkol"
DATABASE: Final = "aqkol"

# A path of a Unix socket has 108 bytes in the kernel, the last one is a zero.
SOCKET_PATH_BYTES_MAX: Final = 107
SOCKET_NAME: Final = ".s.PGSQL.5432"

# Replaying the log after a crash takes as long as it takes; this only ends a start that hangs.
START_S_MAX: Final = 300.0
INITDB_S_MAX: Final = 120.0

# After kill -9 of the server its children need a moment to notice and let go of shared memory.
STARTS_MAX: Final = 3

# Everything the programs need from our environment, so that PGHOST and friends cannot mislead them.
ENVIRONMENT: Final = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}

# What a test may give away for speed: its data need not survive a power cut.
THROW_AWAY: Final[Mapping[str, str]] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
}


class Postgres(child.Server):
    """Our PostgreSQL in ``home``; ``options`` are server settings on top of its defaults."""

    program = "postgres"
    # A fast stop: end sessions, write everything, go. Then without a checkpoint.
    patience = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0))

    def __init__(
        self, *, home: Path, pg_bin: Path | None = None, options: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self._wanted = home
        self._pg_bin = pg_bin
        self._options = dict(options or {})
        self._rights = rights.Rights()
        self._home = home
        self._sockets = home
        self._short: Path | None = None

    def url(self, database: str) -> str:
        """Return the address of one database on this server."""
        folder = quote(str(self._sockets), safe="/")
        return f"postgresql:///{database}?host={folder}&port=5432&user={USER}"

    async def start(self) -> str:
        """Start the server, making its data first if there is none, and return its URL.

        Raises:
            child.ServerError: no programs, foreign data, or a server that does not come up.
        """
        self._rights = rights.unprivileged()
        self._home = rights.home(self._wanted, self._rights)
        data = self._home / "data"
        await child.stop_leftovers(data, self.program, self.patience)
        self._choose_sockets()
        chosen = programs.choose_postgres(
            list(programs.postgres_candidates(self._pg_bin)), data_major=major_of(data)
        )
        folder = rights.copy_for(self._rights, chosen.folder, chosen.trees, self._home)
        if not data.exists():
            await self._make_data(folder, chosen.major)
        rights.give(data, self._rights)
        for attempt in range(1, STARTS_MAX + 1):
            # No process of ours works there, so a pid file names nobody, whatever number it holds.
            for stale in (data / "postmaster.pid", *self._sockets.glob(f"{SOCKET_NAME}*")):
                stale.unlink(missing_ok=True)
            self._process = self._spawn(folder)
            if await self._answers():
                break
            if attempt == STARTS_MAX:
                await self.stop()
                raise child.ServerError(f"PostgreSQL did not start: {self._last_words()}.")
            await child.ended(self._process, within_s=0.5)
        await self._make_database()
        log.info("postgres.started", version=chosen.version, origin=chosen.origin)
        return self.url(DATABASE)

    async def stop(self) -> None:
        """Stop the server and remove the short-named socket folder, if one was needed."""
        await super().stop()
        if self._short is not None:
            shutil.rmtree(self._short, ignore_errors=True)
            self._short = None

    def _choose_sockets(self) -> None:
        """Use ``home/run``, or a private folder with a short name when that path is too long."""
        usual = self._home / "run"
        name = os.fsencode(usual / SOCKET_NAME)
        if len(name) <= SOCKET_PATH_BYTES_MAX and b"," not in name:
            self._sockets = rights.private_folder(usual, self._rights)
        elif self._short is None:
            self._short = Path(tempfile.mkdtemp(prefix="aqkol-"))
            self._sockets = rights.private_folder(self._short, self._rights)

    async def _make_data(self, folder: Path, major: int) -> None:
        """Run ``initdb`` under another name and rename the result when it is whole."""
        half = self._home / "data.half"
        await child.stop_leftovers(half, self.program, ((signal.SIGKILL, 5.0),))
        words = ["-A", "trust", "-U", USER, "-E", "UTF8", "--no-instructions"]
        words += ["--no-sync"] if self._options.get("fsync") == "off" else []
        # Bytes decide the order everywhere; names are sorted for people in Python.
        locales = [["--locale=C.UTF-8"], ["--locale=C"]]
        if major >= 17:  # noqa: PLR2004 - the first version with a locale of its own
            locales.insert(
                0, ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
            )
        for locale in locales:
            shutil.rmtree(half, ignore_errors=True)
            rights.private_folder(half, self._rights)
            process = child.spawn(
                [*self._rights.prefix, str(folder / "initdb"), "-D", str(half), *words, *locale],
                folder=half,
                log_file=self._home / "initdb.log",
                death_signal=signal.SIGTERM,
                environment=ENVIRONMENT,
                uid=self._rights.uid,
            )
            if not await child.ended(process, within_s=INITDB_S_MAX):
                await child.stop(process, ((signal.SIGTERM, 5.0),))
            if process.returncode == 0:
                half.rename(self._home / "data")
                return
        last = _last_line(self._home / "initdb.log")
        raise child.ServerError(f"PostgreSQL could not make its data in {half}: {last}.")

    def _spawn(self, folder: Path) -> subprocess.Popen[bytes]:
        # A relative folder keeps strange characters of the path out of the server's settings.
        sockets = str(self._short) if self._short else "../run"
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": sockets,
            "unix_socket_permissions": "0700",
            "port": "5432",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "logging_collector": "off",
            "log_destination": "stderr",
        } | self._options
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        data = self._home / "data"
        return child.spawn(
            [*self._rights.prefix, str(folder / "postgres"), "-D", str(data), *words],
            folder=data,
            log_file=self._home / "log",
            death_signal=signal.SIGINT,
            environment=ENVIRONMENT,
            uid=self._rights.uid,
        )

    async def _answers(self) -> bool:
        """Wait until the server lets us in; False when it has ended instead."""
        assert self._process is not None
        deadline = time.monotonic() + START_S_MAX
        while self._process.poll() is None:
            try:
                connection = await asyncpg.connect(self.url("postgres"), timeout=5)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                if time.monotonic() >= deadline:
                    raise child.ServerError(f"PostgreSQL does not answer: {error}.") from error
                await asyncio.sleep(child.POLL_S)
                continue
            await connection.close()
            return True
        return False

    async def _make_database(self) -> None:
        connection = await asyncpg.connect(self.url("postgres"), timeout=30)
        try:
            await connection.execute(f"CREATE DATABASE {DATABASE}")
        except asyncpg.DuplicateDatabaseError:
            log.debug("postgres.database_kept")
        finally:
            await connection.close()

    def _last_words(self) -> str:
        return f"{_last_line(self._home / 'log')} (see {self._home / 'log'})"


def major_of(data: Path) -> int | None:
    """Return the version that wrote the data, None when there is none yet.

    Raises:
        child.ServerError: the folder is there but is not data of PostgreSQL.
    """
    if not data.exists():
        return None
    try:
        return int((data / "PG_VERSION").read_text(encoding="ascii").strip())
    except FileNotFoundError:
        raise child.ServerError(
            f"{data} is not a data folder of PostgreSQL; move it away."
        ) from None
    except PermissionError:
        raise child.ServerError(
            f"{data} belongs to another user; use another folder with --state."
        ) from None


def _last_line(path: Path) -> str:
    """Return the last line of a log that says what went wrong."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    telling = [line for line in lines if "FATAL" in line or "error" in line.lower()]
    telling = [line for line in telling if "starting up" not in line]
    return (telling or lines or ["it said nothing"])[-1].strip().rstrip(".")
