"""Look at an installation and say what is there, what is not, and why: for people and for programs.

Nothing is started and nothing is changed. A configured broker gets a session of its own for a
moment, with more waiting messages than a broker with default settings would keep.
"""

import asyncio
import secrets
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import aiomqtt
import asyncpg

from app.broker_tls import broker_tls
from app.config import Settings, SettingsError, masked
from app.doctor_mail import mails
from app.finding import Finding, State
from app.migrate import MigrationError, verify
from app.servers import mosquitto, programs
from app.servers.child import ServerError
from app.servers.embedded import StateFolder
from app.servers.postgres import major_of
from app.wiring import refused
from metering.io.leases import Leases
from metering.io.link import BrokerAddress, parse_url
from metering.io.mqtt import Subscription

# A broker with Mosquitto's defaults keeps 1000 messages and 20 in flight for an absent session.
WAITING: Final = 1100
ANSWER_S: Final = 15.0
QUIET_S: Final = 3.0

# CONNECT of MQTT 5 with a clean start, no name and no password; and the packet that answers it.
STRANGER: Final = b"\x10\x16\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x09aqkol-who"
CONNACK: Final = 0x20


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that was looked at; healthy when nothing is a problem."""

    findings: Sequence[Finding]
    settings: dict[str, Any] = field(repr=False)

    @property
    def healthy(self) -> bool:
        """Whether nothing stands in the way."""
        return all(finding.state != "problem" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return the report for programs."""
        return {
            "healthy": self.healthy,
            "findings": [asdict(finding) for finding in self.findings],
            "settings": self.settings,
        }

    def as_text(self) -> str:
        """Return the report for people."""
        lines = [f"{one.state:8}{one.name}: {one.detail}" for one in self.findings]
        lines += ["", "Settings"]
        lines += [f"  {name} = {value}" for name, value in self.settings.items()]
        return "\n".join(lines)


async def examine(settings: Settings) -> Report:
    """Look at everything that the settings name or leave to us."""
    findings = [*_postgres(settings), *_mosquitto(settings)]
    folder = StateFolder(settings.state)
    running = folder.read() if (folder.path / "lock").exists() and not _free(folder) else {}
    database = settings.database or running.get("database_url")
    if database is None:
        findings.append(Finding(name="database", state="note", detail="embedded, not running"))
    else:
        found = await _database(database)
        findings.append(found)
        if found.state == "ok":
            findings += await _readers(database)
    for url in settings.brokers:
        findings += await _broker(url, settings)
    if not settings.brokers:
        state = f"embedded, running at {running['mqtt_url']}" if "mqtt_url" in running else None
        findings.append(
            Finding(name="broker", state="note", detail=state or "embedded, not running")
        )
    if settings.bank_files is not None:
        there = settings.bank_files.is_dir()
        detail = f"files in {settings.bank_files}" + ("" if there else ", which is not there yet")
        findings.append(Finding(name="bank", state="note", detail=detail))
    elif settings.bank_url is None:
        findings.append(
            Finding(name="bank", state="note", detail="AQKOL_BANK_URL is not set: no debits")
        )
    elif settings.bank_token is None:
        findings.append(Finding(name="bank", state="problem", detail="AQKOL_BANK_TOKEN is not set"))
    findings.append(await mails(settings))
    return Report(findings=findings, settings=settings.shown())


def _free(folder: StateFolder) -> bool:
    """Say whether nobody holds the state folder."""
    if not folder.hold():
        return False
    folder.release()
    return True


def _postgres(settings: Settings) -> list[Finding]:
    """Say where PostgreSQL's programs were looked for, if they are needed."""
    if settings.database is not None:
        detail = f"not needed: AQKOL_DATABASE_URL is {masked(settings.database)}"
        return [Finding(name="postgres programs", state="note", detail=detail)]
    tried = list(programs.postgres_candidates(settings.pg_bin))
    try:
        data = settings.state.absolute() / "postgres" / "data"
        chosen = programs.choose_postgres(tried, data_major=major_of(data))
    except ServerError as error:
        return [*_tried(tried, None), Finding(name="postgres", state="problem", detail=str(error))]
    return _tried(tried, chosen)


def _mosquitto(settings: Settings) -> list[Finding]:
    """Say where a broker's program was looked for, if one is needed."""
    if settings.brokers:
        detail = "not needed: AQKOL_MQTT_URLS is set"
        return [Finding(name="mosquitto program", state="note", detail=detail)]
    home = settings.state.absolute() / "mosquitto"
    tried = list(mosquitto.candidates(settings.mosquitto_bin, home))
    chosen = next((one for one in tried if one.problem is None), None)
    found = _tried(tried, chosen)
    if chosen is None:
        detail = "none found; the first start will try to unpack the distribution's package"
        found.append(Finding(name="mosquitto", state="note", detail=detail))
    return found


def _tried(tried: Sequence[programs.Candidate], chosen: programs.Candidate | None) -> list[Finding]:
    """Say for each place what was found there, and which one is used."""
    found = []
    for one in tried:
        if one.problem is not None:
            detail = f"{one.folder} {one.problem}"
        else:
            used = "used" if one is chosen else "not used: another comes first or fits the data"
            detail = f"{one.folder}, version {one.version}: {used}"
        found.append(
            Finding(name=one.origin, state="ok" if one is chosen else "note", detail=detail)
        )
    return found


async def _database(url: str) -> Finding:
    """Connect and compare the schema with ours."""
    try:
        connection = await asyncpg.connect(url, timeout=ANSWER_S)
    except Exception as error:
        known = refused(error)
        if known is error:
            raise
        return Finding(name="database", state="problem", detail=str(known))
    try:
        version = connection.get_settings().server_version
        await verify(connection)
    except MigrationError as error:
        return Finding(name="database", state="problem", detail=str(error))
    finally:
        await connection.close()
    detail = f"PostgreSQL {version} at {masked(url)}, schema is current"
    return Finding(name="database", state="ok", detail=detail)


async def _readers(url: str) -> list[Finding]:
    """Say which processes read the meters, what each has, and since when."""
    async with asyncpg.create_pool(url, min_size=0, max_size=1, timeout=ANSWER_S) as pool:
        leases = Leases(pool=pool, worker="doctor")
        there, held = await leases.there(), [one for one in await leases.all() if one.live]
    if not there:
        return [Finding(name="readers", state="note", detail="no process reads the meters now")]
    findings = [
        Finding(
            name=f"reader {who}",
            state="ok",
            detail="; ".join(
                f"{one.share} at {one.broker} since {one.since:%Y-%m-%dT%H:%M:%SZ}"
                for one in held
                if one.worker == who
            )
            or "stands by",
        )
        for who in sorted(there)
    ]
    if len(set(there.values())) > 1:
        cuts = ", ".join(str(cut) for cut in sorted(set(there.values())))
        detail = f"AQKOL_INGEST_SHARES differs between processes: {cuts}; work is done twice"
        findings.append(Finding(name="readers", state="problem", detail=detail))
    return findings


async def _broker(url: str, settings: Settings) -> list[Finding]:
    """Try what ingest relies on: a session that survives, and a queue that drops nothing."""
    name = f"broker {masked(url)}"
    client_id = f"aqkol-doctor-{secrets.token_hex(4)}"
    topic = f"aqkol/doctor/{client_id}"
    try:
        address = parse_url(url)
        tls = broker_tls(settings) if address.tls else None
        async with asyncio.timeout(ANSWER_S):
            async with _client(address, tls):
                pass  # Whoever does not let us in says so at once.
            await _visit(url, client_id, topic, tls)
            await _send(address, topic, tls)
        present, came = await _collect(url, client_id, topic, tls)
        await _forget(address, client_id, tls)
    except (aiomqtt.MqttError, TimeoutError, ValueError, OSError, SettingsError) as error:
        why = str(error) or "no answer in time"
        return [Finding(name=name, state="problem", detail=f"cannot be used: {why}")]
    findings = [
        Finding(name=name, state="ok", detail="keeps the session of an absent client")
        if present
        else Finding(name=name, state="problem", detail="forgets the session of an absent client")
    ]
    if came < WAITING:
        detail = (
            f"kept {came} of {WAITING} messages for an absent client: "
            "set max_queued_messages 0 (Mosquitto) or its like"
        )
        findings.append(Finding(name=name, state="problem", detail=detail))
    else:
        detail = f"kept all {WAITING} messages for an absent client"
        findings.append(Finding(name=name, state="ok", detail=detail))
    dropped = await _dropped(address, tls)
    if dropped is not None:
        state: State = "note" if dropped else "ok"
        detail = f"has dropped {dropped} messages since it started, by its own counter"
        findings.append(Finding(name=name, state=state, detail=detail))
    if address.tls:
        findings.append(await _door(name, address, settings))
    return findings


async def _door(name: str, address: BrokerAddress, settings: Settings) -> Finding:
    """Knock as somebody without certificate, name and password; nobody may open."""
    nobody = settings.model_copy(update={"mqtt_cert": None, "mqtt_key": None})
    try:
        async with asyncio.timeout(ANSWER_S):
            opened = await _knock(address, broker_tls(nobody))
    except TimeoutError:
        detail = "neither let a stranger in nor sent him away"
        return Finding(name=name, state="note", detail=detail)
    except (OSError, asyncio.IncompleteReadError):
        opened = False
    if opened:
        detail = "lets anybody in: set allow_anonymous false and require_certificate true"
        return Finding(name=name, state="problem", detail=detail)
    detail = "lets nobody in without a certificate or a password"
    return Finding(name=name, state="ok", detail=detail)


async def _knock(address: BrokerAddress, tls: ssl.SSLContext) -> bool:
    """Say whether the broker welcomes a client that does not say who it is.

    By hand, because a library waits in silence when it is sent away after the handshake.
    """
    reader, writer = await asyncio.open_connection(address.host, address.port, ssl=tls)
    try:
        writer.write(STRANGER)
        answer = await reader.readexactly(4)
    finally:
        writer.transport.abort()
    return answer[0] == CONNACK and answer[3] == 0


async def _visit(url: str, client_id: str, topic: str, tls: ssl.SSLContext | None) -> None:
    """Open a session, subscribe, and go away."""
    async with Subscription(url, client_id=client_id, topics=(topic,), tls_context=tls) as session:
        await session.wait_connected()


async def _collect(
    url: str, client_id: str, topic: str, tls: ssl.SSLContext | None
) -> tuple[bool, int]:
    """Come back, and return whether the session was still known and how many messages came."""
    came = 0
    async with Subscription(url, client_id=client_id, topics=(topic,), tls_context=tls) as session:
        async with asyncio.timeout(ANSWER_S):
            await session.wait_connected()
        present = session.session_present
        with suppress(TimeoutError):
            while came < WAITING:
                async with asyncio.timeout(QUIET_S):
                    arrivals = await session.get_batch(WAITING)
                came += len(arrivals)
                session.ack(arrivals)
    return present, came


def _client(
    address: BrokerAddress, tls: ssl.SSLContext | None, client_id: str | None = None
) -> aiomqtt.Client:
    return aiomqtt.Client(
        address.host,
        address.port,
        username=address.username,
        password=address.password,
        identifier=client_id,
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=True,
        tls_context=tls,
        timeout=ANSWER_S,
    )


async def _send(address: BrokerAddress, topic: str, tls: ssl.SSLContext | None) -> None:
    """Send more than a broker with default settings keeps."""
    async with _client(address, tls) as client, asyncio.TaskGroup() as group:
        for number in range(WAITING):
            group.create_task(client.publish(topic, str(number), qos=1))


async def _forget(address: BrokerAddress, client_id: str, tls: ssl.SSLContext | None) -> None:
    """Take the session's name with a clean start, so that nothing of it stays behind."""
    async with _client(address, tls, client_id):
        return


async def _dropped(address: BrokerAddress, tls: ssl.SSLContext | None) -> int | None:
    """Return the broker's own count of dropped messages, None where it does not tell."""
    topic = "$SYS/broker/publish/messages/dropped"
    with suppress(TimeoutError, aiomqtt.MqttError, ValueError):
        async with asyncio.timeout(QUIET_S), _client(address, tls) as client:
            await client.subscribe(topic)
            async for message in client.messages:
                return int(bytes(message.payload))
    return None
