"""The servers that no setting names: ours, in one state folder, while a process needs them.

One process holds the folder. A short command beside it (``aqkol token``, ``aqkol audit``) borrows
the running servers through the addresses that the holder wrote down.
"""

import asyncio
import fcntl
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from app.config import Settings
from app.servers.child import Server, ServerError
from app.servers.mosquitto import Mosquitto
from app.servers.postgres import Postgres

log = structlog.get_logger()

ADDRESSES: Final = "servers.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Where the database and the brokers are, and which of them are ours to keep alive."""

    database_url: str
    mqtt_urls: tuple[str, ...]
    own: tuple[Server, ...] = ()
    embedded_database: bool = False

    async def keep(self, stopping: asyncio.Event) -> None:
        """Keep our own servers alive until ``stopping`` is set.

        Raises:
            ServerError: one of them dies again and again.
        """
        async with asyncio.TaskGroup() as group:
            for server in self.own:
                group.create_task(server.keep(stopping))


class StateFolder:
    """The state folder, held by one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._descriptor: int | None = None

    def hold(self) -> bool:
        """Make the folder and hold it; False when another process does.

        Raises:
            ServerError: the folder cannot be made or written.
        """
        try:
            # Root lets others pass through, because its PostgreSQL may run as nobody; what stands
            # inside is closed piece by piece.
            self.path.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ServerError(
                f"The state folder {self.path} cannot be used: {error.strerror}; "
                "choose another with --state or AQKOL_STATE."
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Let the next process hold the folder."""
        (self.path / ADDRESSES).unlink(missing_ok=True)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @property
    def holder(self) -> str:
        """The process that holds the folder, for people."""
        return (self.path / "lock").read_text(encoding="ascii").strip() or "unknown"

    def write(self, addresses: Mapping[str, str]) -> None:
        """Tell other processes where the running servers are."""
        draft = self.path / f"{ADDRESSES}.draft"
        draft.write_text(json.dumps(dict(addresses)), encoding="utf-8")
        draft.replace(self.path / ADDRESSES)

    def read(self) -> dict[str, str]:
        """Return where the holder's servers are; empty while it is still starting them."""
        try:
            found: dict[str, str] = json.loads((self.path / ADDRESSES).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return found


@asynccontextmanager
async def servers(
    settings: Settings, *, share: bool = True, broker: bool = True
) -> AsyncIterator[Servers]:
    """Give the configured servers, and run our own for those that are not configured.

    Args:
        settings: what is configured.
        share: use the servers of another process that holds the state folder; without it that is
            an error.
        broker: a command that sends and hears no telegrams needs no broker.

    Raises:
        ServerError: a server cannot be found or started, or the folder is held by another process.
    """
    need_database = settings.database is None
    need_broker = broker and not settings.brokers
    if not (need_database or need_broker):
        yield Servers(database_url=settings.database or "", mqtt_urls=settings.brokers)
        return
    folder = StateFolder(settings.state)
    if not folder.hold():
        yield _borrowed(folder, settings, share=share, broker=need_broker)
        return
    async with AsyncExitStack() as stack:
        stack.callback(folder.release)
        own: dict[str, Server] = {}
        if need_database:
            own["database_url"] = Postgres(home=folder.path / "postgres", pg_bin=settings.pg_bin)
        if need_broker:
            own["mqtt_url"] = Mosquitto(
                home=folder.path / "mosquitto",
                mosquitto_bin=settings.mosquitto_bin,
                port=settings.mqtt_port,
            )
        addresses = {}
        for name, server in own.items():
            stack.push_async_callback(server.stop)
            addresses[name] = await server.start()
        folder.write(addresses)
        yield Servers(
            database_url=addresses.get("database_url") or settings.database or "",
            mqtt_urls=(addresses["mqtt_url"],) if need_broker else settings.brokers,
            own=tuple(own.values()),
            embedded_database=need_database,
        )


def _borrowed(folder: StateFolder, settings: Settings, *, share: bool, broker: bool) -> Servers:
    """Return the addresses of the servers that another process runs.

    Raises:
        ServerError: sharing is not wanted, or they are not running yet.
    """
    if not share:
        raise ServerError(
            f"Another aqkol (process {folder.holder}) uses the state folder {folder.path}: "
            "stop it, or choose another folder with --state."
        )
    found = folder.read()
    lacking = (settings.database is None and "database_url" not in found) or (
        broker and "mqtt_url" not in found
    )
    if lacking:
        raise ServerError(
            f"Another aqkol (process {folder.holder}) uses the state folder {folder.path} and does "
            "not offer the servers needed here (it may still be starting): try again in a moment."
        )
    log.info("servers.borrowed", holder=folder.holder)
    return Servers(
        database_url=settings.database or found["database_url"],
        mqtt_urls=settings.brokers or ((found["mqtt_url"],) if broker else ()),
    )
