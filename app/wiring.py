"""The composition root: opens database, broker and bank, and hands them to the verbs."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import asyncpg
import structlog
from aiohttp import web

from app.broker_tls import broker_tls
from app.config import Settings
from app.migrate import MigrationError, migrate, status, verify
from app.pool import service_pool
from app.public import Check
from app.run import BACKOFF_S_MAX, Clock, is_away, pause
from app.serve import Runner
from app.servers.child import ServerError
from app.servers.embedded import Servers, servers
from app.signing import signer
from app.web import WebDeps, build_app
from billing.io.bank import BankClient
from billing.io.bank_files import FileBank
from billing.io.smtp import SmtpMailer, relay_of
from billing.io.store import BillingStore
from billing.iso.pain008 import Creditor
from billing.period import Calendar
from metering.conversion import EnergyRule
from metering.io.conversions import Conversions, Wanted
from metering.io.mqtt import Subscription
from metering.io.notary import Notary
from metering.lease import Share

log = structlog.get_logger()

# A bank with an API, or one with files; both are behind the same port.
Bank = BankClient | FileBank

# A wrong password, no such database, an address that makes no sense.
REFUSALS: Final = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    ValueError,
)

# Signatures are computed outside the interpreter's lock: as many at once as a small machine has
# cores, and no more, since the loop needs one of them too.
NOTARY_THREADS: Final = 2

# The broker knows our session by this name, also after a restart.
CLIENT_ID: Final = "aqkol-ingest"


class DatabaseError(Exception):
    """The database cannot be used as it is; the message is one sentence for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """Everything a verb works with: where the servers are, the database's pool, the time.

    ``checks`` is what /readyz asks; whoever opens something that may go away adds its own.
    """

    settings: Settings
    servers: Servers
    pool: asyncpg.Pool
    clock: Clock
    checks: dict[str, Check] = field(default_factory=dict)


@asynccontextmanager
async def opened(  # noqa: PLR0913 - what one kind of process needs and another does not
    settings: Settings,
    *,
    clock: Clock,
    stopping: asyncio.Event,
    broker: bool = False,
    share: bool = True,
    migrating: bool = False,
    patient: bool = False,
) -> AsyncIterator[House]:
    """Open the house: servers, schema, pool; everything is closed again at the end.

    Args:
        settings: what is configured.
        clock: what time it is.
        stopping: set when the process is asked to end.
        broker: whether a broker is needed.
        share: whether servers of another process may be used.
        migrating: bring a configured database to today's schema; our own always is.
        patient: wait for a database that is away, instead of giving up.

    Raises:
        ServerError: an embedded server cannot be had.
        DatabaseError: the configured database is away, refuses us, or is at another schema.
    """
    async with AsyncExitStack() as stack:
        own = await stack.enter_async_context(servers(settings, share=share, broker=broker))
        await _ready(own, stopping, migrating=migrating, patient=patient)
        pool = await stack.enter_async_context(service_pool(own.database_url))
        yield House(settings=settings, servers=own, pool=pool, clock=clock)


async def _ready(own: Servers, stopping: asyncio.Event, *, migrating: bool, patient: bool) -> None:
    """Wait for the database and see to its schema."""
    wait_s = 1.0
    while not stopping.is_set():
        try:
            connection = await asyncpg.connect(own.database_url, timeout=10)
            try:
                if migrating or own.embedded_database:
                    await migrate(connection)
                else:
                    await verify(connection)
            finally:
                await connection.close()
        except Exception as error:
            if not (patient and is_away(error)):
                raise refused(error) from error
            log.warning("database.awaited", kind=type(error).__name__)
            await pause(wait_s, stopping)
            wait_s = min(wait_s * 2, BACKOFF_S_MAX)
        else:
            return


def refused(error: Exception) -> Exception:
    """Return what a failure of the database means to people; an error of ours as it is."""
    if isinstance(error, MigrationError):
        return DatabaseError(str(error))
    if is_away(error):
        return DatabaseError(f"The database is not there: {error}.")
    if isinstance(error, REFUSALS):
        return DatabaseError(f"The database does not let us in: {error}.")
    return error


async def migrate_now(settings: Settings, *, only_show: bool) -> dict[str, str]:
    """Bring the database to today's schema, or only look; return each migration's state.

    Raises:
        ServerError: an embedded server cannot be had.
        DatabaseError: the database is not there, or its history is not ours.
    """
    async with servers(settings, broker=False) as found:
        try:
            connection = await asyncpg.connect(found.database_url, timeout=10)
            try:
                if not only_show:
                    await migrate(connection)
                return {step.name or step.version: step.state for step in await status(connection)}
            finally:
                await connection.close()
        except Exception as error:
            raise refused(error) from error


def session_name(share: Share) -> str:
    """Return the name under which a broker keeps a share's session, whoever reads it."""
    return CLIENT_ID if share.of == 1 else f"{CLIENT_ID}-{share.name}"


def subscription(url: str, settings: Settings, share: Share) -> Subscription:
    """Return the session at a broker through which the telegrams of a share come.

    Raises:
        SettingsError: our certificate for the brokers cannot be used.
    """
    return Subscription(
        url,
        client_id=session_name(share),
        topics=share.topics,
        tls_context=broker_tls(settings),
    )


@asynccontextmanager
async def notary(settings: Settings) -> AsyncIterator[Notary]:
    """Open the threads that check and make signatures.

    Raises:
        SigningKeyError: the signing key cannot be used.
    """
    witness = Notary(signer(settings), threads=NOTARY_THREADS)
    try:
        yield witness
    finally:
        witness.close()


@asynccontextmanager
async def bank(settings: Settings) -> AsyncIterator[Bank | None]:
    """Open the bank's client, or its folder; None where no bank is configured."""
    if settings.bank_files is not None:
        yield FileBank(settings.bank_files, _creditor(settings))
        return
    if settings.bank_url is None:
        yield None
        return
    token = settings.bank_token.get_secret_value() if settings.bank_token else ""
    async with BankClient.open(url=settings.bank_url, token=token) as client:
        yield client


@asynccontextmanager
async def mailer(settings: Settings) -> AsyncIterator[SmtpMailer | None]:
    """Open the way to the relay; None where no mails are sent. Nothing is connected yet."""
    if settings.smtp_url is None or settings.mail_from is None:
        yield None
        return
    relay = relay_of(settings.smtp_url.get_secret_value())
    domain = settings.mail_from.rsplit("@", 1)[1]
    async with SmtpMailer.open(relay, domain=domain) as opened:
        yield opened


@asynccontextmanager
async def served(house: House, client: Bank | None) -> AsyncIterator[str]:
    """Serve the API and return its address.

    Raises:
        ServerError: the address is taken.
    """
    settings = house.settings

    async def migrations() -> bool:
        async with house.pool.acquire() as connection:
            return all(step.state == "applied" for step in await status(connection))

    listener = _listener(settings.http_host, settings.http_port)
    host = f"[{settings.http_host}]" if ":" in settings.http_host else settings.http_host
    url = f"http://{host}:{listener.getsockname()[1]}"
    # It asks the database, so it also says whether that is there.
    house.checks["database"] = migrations
    deps = WebDeps(
        pool=house.pool,
        clock=house.clock,
        zone=settings.zone,
        public_url=settings.public_url or url,
        bank=client,
        bank_scheme=settings.bank_scheme,
        checks=house.checks,
        wanted=wanted(settings),
        policy=settings.bill_policy,
        payee=settings.payee,
        chart=settings.chart_of_accounts,
        webhook_secrets=settings.webhook_secrets,
        review_two_from_minor=settings.review_two_from_minor,
    )
    runner = Runner(build_app(deps))
    try:
        await runner.setup()
        await web.SockSite(runner, listener).start()
        log.info("web.listening", url=url)
        yield url
    finally:
        await runner.cleanup()
        listener.close()


def billing_store(pool: asyncpg.Pool, settings: Settings) -> BillingStore:
    """Return what the billing run writes to; it knows energy where the town has a rule for it."""
    conversions = Conversions(
        pool=pool, calendar=Calendar(zone=settings.zone), wanted=wanted(settings)
    )
    return BillingStore(
        pool, settings.bill_policy, conversions=conversions, sessions=settings.billing_sessions
    )


def wanted(settings: Settings) -> Wanted:
    """Return what the town wants to know of a volume."""
    rule = settings.energy_rule
    return Wanted(
        standard=settings.standard_volume == "on",
        energy=None if rule == "off" else EnergyRule(rule),
    )


def _creditor(settings: Settings) -> Creditor:
    payee = settings.payee
    assert payee is not None, "the settings refuse files without somebody who is paid"
    assert settings.creditor_id is not None, "likewise without his name in the scheme"
    return Creditor(name=payee.name, iban=payee.iban, bic=payee.bic, scheme_id=settings.creditor_id)


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ServerError(
            f"The API cannot listen on {host}, port {port}: {error.strerror}; "
            "choose another with AQKOL_HTTP_HOST and AQKOL_HTTP_PORT."
        ) from error
