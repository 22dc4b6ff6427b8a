"""Where a measurement happens: servers of its own, gone when it is over."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import asyncpg

import sql
from app.bench import children
from app.config import Settings, load
from app.migrate import migrate
from app.servers.embedded import servers
from app.servers.mosquitto import Mosquitto
from app.servers.postgres import DATABASE, Postgres

_Q: Final = sql.queries("owner/bench")

# What a server that serves a million accounts is given; every commit still waits for the disk.
ROOMY: Final[Mapping[str, str]] = {
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "maintenance_work_mem": "256MB",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A database and a broker of our own, for as long as the measurement lasts."""

    settings: Settings
    mqtt_url: str
    database_url: str
    database_pid: int
    broker_pid: int
    connection: asyncpg.Connection

    @property
    def environment(self) -> Mapping[str, str]:
        """What tells an ``aqkol ingest`` to work here, and to say what it does."""
        return {
            "AQKOL_STATE": str(self.settings.state),
            "AQKOL_MQTT_URLS": self.mqtt_url,
            "AQKOL_LOG_FORMAT": "json",
        }

    @property
    def place(self) -> list[str]:
        """The options with which the programs of Mosquitto find the broker."""
        broker = urlsplit(self.mqtt_url)
        return ["-h", broker.hostname or "", "-p", str(broker.port), "-V", "5"]

    async def heard(self, *options: str) -> None:
        """Run ``mosquitto_sub`` to its end.

        Raises:
            BenchError: it is not installed, or did not hear everything.
        """
        async with children.child("mosquitto_sub", *self.place, *options) as listener:
            assert listener.stdout is not None, "the pipe is ours"
            while await listener.stdout.read(2**20):
                pass
            if await listener.wait() != 0:
                raise children.BenchError("mosquitto_sub did not hear everything.")


@asynccontextmanager
async def stage(*, persistence: bool) -> AsyncIterator[Stage]:
    """Start the servers, and end them and everything they wrote; ``persistence`` is the broker's.

    Raises:
        ServerError: no server can be started.
    """
    with tempfile.TemporaryDirectory(prefix="aqkol-bench-", ignore_cleanup_errors=True) as folder:
        # The database may run as somebody else, who has to pass through.
        await asyncio.to_thread(Path(folder).chmod, 0o755)
        broker = Mosquitto(home=Path(folder) / "broker", persistence=persistence)
        mqtt_url = await broker.start()
        try:
            settings = load(state=Path(folder) / "town", mqtt_urls=mqtt_url)
            async with servers(settings, share=False, broker=True) as own:
                connection = await asyncpg.connect(own.database_url)
                try:
                    await migrate(connection)
                    await _Q.make_rows(connection)
                    await _Q.make_truth(connection)
                    yield Stage(
                        settings=settings,
                        mqtt_url=mqtt_url,
                        database_url=own.database_url,
                        database_pid=_postmaster(settings.state),
                        broker_pid=broker.pid or 0,
                        connection=connection,
                    )
                finally:
                    await connection.close()
        finally:
            await broker.stop()


@asynccontextmanager
async def database() -> AsyncIterator[tuple[str, asyncpg.Connection]]:
    """Start a roomy database alone, and end it and everything in it; give its URL and its owner.

    Raises:
        ServerError: no server can be started.
    """
    with tempfile.TemporaryDirectory(prefix="aqkol-bench-", ignore_cleanup_errors=True) as folder:
        await asyncio.to_thread(Path(folder).chmod, 0o755)
        server = Postgres(home=Path(folder) / "postgres", options=ROOMY)
        await server.start()
        try:
            url = server.url(DATABASE)
            connection = await asyncpg.connect(url)
            try:
                await migrate(connection)
                yield url, connection
            finally:
                await connection.close()
        finally:
            await server.stop()


def _postmaster(state: Path) -> int:
    found = next(iter(state.rglob("postmaster.pid")))
    return int(found.read_text(encoding="ascii").split()[0])
