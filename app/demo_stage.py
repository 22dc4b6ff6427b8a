"""The stage of the demo: fresh servers, a bank, meters, and our own service in this process."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import asyncpg
from aiohttp import web

from app import demo_town
from app.config import Settings
from app.migrate import migrate
from app.pool import service_pool
from app.run import SteppedClock
from app.serve import Runner
from app.servers.child import ServerError
from app.servers.embedded import StateFolder, servers
from app.tokens import issue_token
from app.web import WebDeps, build_app
from app.wiring import wanted
from billing.io.bank import BankClient
from metering.ingest import ingest_once
from metering.io.mqtt import Subscription
from metering.io.route import Role
from metering.io.store import Store

# Longer than any demo's simulated time, so that the tokens shown at the end still open doors.
TOKEN_DAYS: Final = 365


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything that runs while the town lives."""

    clock: SteppedClock
    pool: asyncpg.Pool
    fleet: demo_town.Party
    plates: list[dict[str, Any]]
    bank: BankClient
    control: demo_town.Web
    session: aiohttp.ClientSession
    truth: Path
    url: str
    operator_token: str

    @property
    def clerk(self) -> demo_town.Web:
        """The operator at our API."""
        return demo_town.Web(self.session, self.url, self.operator_token)


@asynccontextmanager
async def staged(
    settings: Settings, *, meters: int, seed: int, start: datetime
) -> AsyncIterator[Stage]:
    """Start everything in a fresh folder; end everything afterwards.

    Raises:
        ServerError: a server cannot be started, or another demo runs in this state folder.
        DemoError: a simulator did not start.
    """
    home = settings.state.absolute() / "demo"
    own = settings.model_copy(
        update={"state": home / "servers", "database_url": None, "mqtt_urls": ()}
    )
    _clear(home)
    clock = SteppedClock(start)
    bank_token = token_urlsafe(16)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        found = await enter(servers(own, share=False))
        pool = await enter(_database(found.database_url))
        books = await enter(demo_town.bank(state=home / "bank.sqlite", token=bank_token, now=start))
        address = await books.hear()
        bank = await enter(BankClient.open(url=address["url"], token=bank_token))
        session = await enter(aiohttp.ClientSession())
        broker = found.mqtt_urls[0]
        url = await enter(_web(own, pool, clock, bank))
        await enter(_ingest(broker, pool, clock))
        fleet = await enter(
            demo_town.fleet(
                port=urlsplit(broker).port or 1883,
                meters=meters,
                seed=seed,
                start=start,
                truth=home / "truth.jsonl",
            )
        )
        yield Stage(
            clock=clock,
            pool=pool,
            fleet=fleet,
            plates=(await fleet.hear())["meters"],
            bank=bank,
            control=demo_town.Web(session, address["control_url"]),
            session=session,
            truth=home / "truth.jsonl",
            url=url,
            operator_token=await token_of(pool, Role.OPERATOR, None, start),
        )


async def token_of(pool: asyncpg.Pool, role: Role, account_id: str | None, at: datetime) -> str:
    """Return a fresh token to look around with."""
    issued = await issue_token(
        pool,
        role=role,
        account_id=account_id,
        label="demo",
        at=at,
        lifetime=timedelta(days=TOKEN_DAYS),
    )
    return issued.token


def _clear(home: Path) -> None:
    """Throw away what an earlier demo left, unless it still runs.

    Raises:
        ServerError: another demo holds the folder.
    """
    folder = StateFolder(home / "servers")
    if not folder.hold():
        raise ServerError(f"Another demo (process {folder.holder}) runs in {home}: stop it first.")
    folder.release()
    shutil.rmtree(home)


@asynccontextmanager
async def _database(url: str) -> AsyncIterator[asyncpg.Pool]:
    """Bring the schema into an empty database and give a pool with the service's rights."""
    connection = await asyncpg.connect(url)
    try:
        await migrate(connection)
    finally:
        await connection.close()
    async with service_pool(url, size_min=2) as pool:
        yield pool


@asynccontextmanager
async def _web(
    settings: Settings, pool: asyncpg.Pool, clock: SteppedClock, bank: BankClient
) -> AsyncIterator[str]:
    """Serve our API on the wanted port or, when that is taken, on any free one."""
    door = _listen(settings.http_host, settings.http_port)
    url = f"http://{settings.http_host}:{door.getsockname()[1]}"
    deps = WebDeps(
        pool=pool,
        clock=clock,
        zone=settings.zone,
        public_url=url,
        bank=bank,
        bank_scheme=settings.bank_scheme,
        checks={},
        wanted=wanted(settings),
    )
    runner = Runner(build_app(deps))
    await runner.setup()
    try:
        await web.SockSite(runner, door).start()
        yield url
    finally:
        await runner.cleanup()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError:
        return socket.create_server((host, 0))


@asynccontextmanager
async def _ingest(url: str, pool: asyncpg.Pool, clock: SteppedClock) -> AsyncIterator[None]:
    """Take telegrams as long as the town lives; an error of ours ends the demo at its end."""

    async def take() -> None:
        store = Store(pool)
        while True:
            await ingest_once(subscription, store, clock)

    async with Subscription(url, client_id="aqkol-demo") as subscription:
        task = asyncio.create_task(take(), name="ingest")
        try:
            async with asyncio.timeout(30):
                await subscription.wait_connected()
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
