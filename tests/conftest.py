"""Real servers for the tests: one PostgreSQL and one broker per run, one database per test."""

import asyncio
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from app.migrate import migrate
from app.servers.child import Server
from app.servers.mosquitto import Mosquitto
from app.servers.postgres import THROW_AWAY, Postgres

pytest_plugins = ["tests.fixtures_bank"]


# A database per test is a copy of files: in memory it takes a quarter of the time.
MEMORY = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a folder of our own in it
MEMORY_BYTES_MIN = 2 * 1024**3


def quick_folder() -> str | None:
    """Return a folder in memory if the machine has one with room; None means the usual place."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES_MIN
    return str(MEMORY) if roomy and os.access(MEMORY, os.W_OK | os.X_OK) else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(server: Server, home: Path) -> Iterator[str]:
    """Run one of our servers for the whole session; the kernel stops it if we are killed."""
    # A server that may not run as root must be able to pass.
    home.chmod(0o711)
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        try:
            yield runner.run(server.start())
        finally:
            runner.run(server.stop())
            shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _nobodys_bank() -> Iterator[None]:
    """Forget the bank of the environment, which only the walk at a sandbox has read by now."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AQKOL_BANK_URL", "AQKOL_BANK_TOKEN"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Start a throw-away PostgreSQL and return the URL of its maintenance database."""
    home = Path(tempfile.mkdtemp(prefix="aqkol-pg-", dir=quick_folder()))
    server = Postgres(home=home / "postgres", options=THROW_AWAY)
    with running(server, home):
        yield server.url("postgres")


def database(url: str, name: str) -> str:
    return url.replace("///postgres?", f"///{name}?")


@pytest.fixture
async def database_url(postgres_url: str) -> AsyncIterator[str]:
    """Return the URL of a fresh database with today's schema."""
    admin = await asyncpg.connect(postgres_url)
    if not await admin.fetchval("SELECT true FROM pg_database WHERE datname = 'template_aqkol'"):
        await admin.execute("CREATE DATABASE template_aqkol")
        template = await asyncpg.connect(database(postgres_url, "template_aqkol"))
        await migrate(template)
        await template.close()
    name = f"t_{secrets.token_hex(6)}"
    # Five times as fast as the default for a template of this size.
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE template_aqkol STRATEGY file_copy")
    yield database(postgres_url, name)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """Return a pool that works with the service's rights, not the owner's."""
    async with asyncpg.create_pool(
        database_url, min_size=1, max_size=5, server_settings={"role": "aqkol_service"}
    ) as pool:
        yield pool


@pytest.fixture
async def owner(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a connection of the database's owner, who may do anything."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """A running broker on loopback."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """Say where it listens, as AQKOL_MQTT_URLS wants it."""
        return f"mqtt://{self.host}:{self.port}"


@pytest.fixture(scope="session")
def mosquitto() -> Iterator[Broker]:
    """Start a real broker that keeps everything in memory."""
    home = Path(tempfile.mkdtemp(prefix="aqkol-mq-"))
    server = Mosquitto(home=home / "mosquitto", persistence=False)
    with running(server, home):
        yield Broker(host="127.0.0.1", port=server.port)


@pytest.fixture
async def own_mosquitto(tmp_path: Path) -> AsyncIterator[Broker]:
    """Start a broker for one test: nobody else's sessions and receipts are there."""
    server = Mosquitto(home=tmp_path / "own-mosquitto", persistence=False)
    await server.start()
    yield Broker(host="127.0.0.1", port=server.port)
    await server.stop()
