"""A broker with the configuration we generate, two authorities, and an attacker who speaks MQTT.

The client is written by hand and waits for answers only: what a subscriber has heard is what came
before the answer to its ping, so nothing here depends on how long anything takes.
"""

import os
import ssl
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from socket import create_connection, socket
from typing import Self

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from app import broker_config
from app.broker_config import Plan
from metering.meter import bucket
from tests.conftest import free_port

HOST = "127.0.0.1"
ANSWER_S = 20
NOT_AUTHORIZED = 0x87
# Taken, and nobody subscribes to it.
NOBODY_LISTENS = 0x10
# Certificates and lists of revoked ones live by the machine's clock, not by ours.
BEGIN = datetime(2000, 1, 1, tzinfo=UTC)
END = datetime(2100, 1, 1, tzinfo=UTC)

Edit = Callable[[str], str]


def up(meter_id: str) -> str:
    return f"gas/v1/{bucket(meter_id)}/{meter_id}/up/json"


def down(meter_id: str) -> str:
    return f"gas/v1/{bucket(meter_id)}/{meter_id}/down/receipt"


def without(*beginnings: str) -> Edit:
    """Return an edit that takes lines out of a configuration; it must find each of them."""

    def edit(text: str) -> str:
        for beginning in beginnings:
            kept = [line for line in text.splitlines() if not line.startswith(beginning)]
            assert len(kept) < len(text.splitlines()), f"no line begins with {beginning}"
            text = "\n".join(kept) + "\n"
        return text

    return edit


def unchanged(text: str) -> str:
    return text


class Authority:
    """A certificate authority with a list of what it has revoked."""

    def __init__(self) -> None:
        self.ca = trustme.CA()
        self._revoked: list[int] = []

    @property
    def pem(self) -> bytes:
        """Its own certificate."""
        return self.ca.cert_pem.bytes()

    def issue(self, name: str) -> trustme.LeafCert:
        """Sign a certificate for a name."""
        return self.ca.issue_cert(common_name=name)

    def revoke(self, leaf: trustme.LeafCert) -> None:
        """Put a certificate on the list."""
        self._revoked.append(_read(leaf).serial_number)

    def crl(self) -> bytes:
        """Return the list, signed."""
        issuer = x509.load_pem_x509_certificate(self.pem)
        key = serialization.load_pem_private_key(self.ca.private_key_pem.bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        builder = x509.CertificateRevocationListBuilder(issuer.subject, BEGIN, END)
        for serial in self._revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder(serial, BEGIN).build()
            )
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _read(leaf: trustme.LeafCert) -> x509.Certificate:
    return x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())


def self_signed(name: str) -> tuple[bytes, bytes]:
    """Return a certificate that nobody but its holder has signed, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (x509.CertificateBuilder(who, who, key.public_key(), 1, BEGIN, END)).sign(
        key, hashes.SHA256()
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


class Town:
    """A running broker with its authorities; ``meter`` and ``service`` connect to it."""

    def __init__(self, home: Path, *, conf: Edit = unchanged, acl: Edit = unchanged) -> None:
        self.home = home
        self.meters, self.services, self._web = Authority(), Authority(), Authority()
        self.plan = Plan(
            folder=PurePosixPath(home),
            data=PurePosixPath(home),
            meters_address=HOST,
            meters_port=free_port(),
            psk_port=free_port(),
            services_port=free_port(),
            sources=("gate/#", "дом/газ"),
            gateways=(("gate-7", "gate/7/up"), ("gate-8", "дом/газ")),
        )
        self.keys = {"AQ-3": bytes(range(32))}
        server = self._web.ca.issue_cert("localhost", HOST)
        text = conf(broker_config.conf(self.plan))
        if os.geteuid() == 0:
            text += "user root\n"
        home.joinpath("mosquitto.conf").write_text(text)
        home.joinpath("acl").write_text(acl(broker_config.acl(self.plan)), encoding="utf-8")
        home.joinpath("psk").write_text(broker_config.psk(self.keys))
        home.joinpath("server.pem").write_bytes(server.cert_chain_pems[0].bytes())
        home.joinpath("server.key").write_bytes(server.private_key_pem.bytes())
        home.joinpath("meters-ca.pem").write_bytes(self.meters.pem)
        home.joinpath("services-ca.pem").write_bytes(self.services.pem)
        home.joinpath("web-ca.pem").write_bytes(self._web.pem)
        self.write_crls()
        for place in broker_config.places(self.plan):
            assert home.joinpath(place).exists(), "we say which files are needed"
            home.joinpath(place).chmod(0o600)
        self._process: subprocess.Popen[bytes] | None = None

    def write_crls(self) -> None:
        """Write both lists of revoked certificates as they are now."""
        self.home.joinpath("meters-crl.pem").write_bytes(self.meters.crl())
        self.home.joinpath("services-crl.pem").write_bytes(self.services.crl())

    def start(self) -> None:
        """Start the broker and wait until it takes connections."""
        with self.home.joinpath("log").open("ab") as log:
            self._process = subprocess.Popen(
                ["/usr/sbin/mosquitto", "-c", str(self.home / "mosquitto.conf")],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + ANSWER_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError), create_connection((HOST, self.plan.services_port)):
                return
        raise AssertionError(self.home.joinpath("log").read_text())

    def signal(self, number: int) -> None:
        """Send the broker a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """Stop the broker politely."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(ANSWER_S)

    def tls(self, leaf: trustme.LeafCert | None = None) -> ssl.SSLContext:
        """Return a context that believes the broker, with a certificate or without."""
        context = ssl.create_default_context(cafile=str(self.home / "web-ca.pem"))
        if leaf is not None:
            leaf.configure_cert(context)
        return context

    def meter(self, name: str, **more: object) -> "Client":
        """Connect as a meter with a certificate that its authority has signed."""
        return self.open(self.plan.meters_port, self.tls(self.meters.issue(name)), name, **more)

    def service(self, name: str = "aqkol-ingest", **more: object) -> "Client":
        """Connect as one of our services."""
        client_id = str(more.pop("client_id", name))
        context = self.tls(self.services.issue(name))
        return self.open(self.plan.services_port, context, client_id, **more)

    def open(
        self, port: int, context: ssl.SSLContext | None, client_id: str, **more: object
    ) -> "Client":
        """Connect in any way at all."""
        hello = replace(Hello(client_id=client_id), **more)  # type: ignore[arg-type] # fields of Hello
        return Client(port, context, hello)


@contextmanager
def running(home: Path, *, conf: Edit = unchanged, acl: Edit = unchanged) -> Iterator[Town]:
    """Run a town's broker for as long as the block lasts."""
    town = Town(home, conf=conf, acl=acl)
    try:
        town.start()
        yield town
    finally:
        town.stop()


class ShutError(Exception):
    """The broker did not let us in, or threw us out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What a client says when it connects."""

    client_id: str
    version: int = 5
    clean: bool = True
    will: tuple[str, bytes] | None = None
    username: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A message that came."""

    topic: str
    payload: bytes
    retained: bool


class Client:
    """One connection, spoken by hand; every call waits for the broker's answer."""

    def __init__(self, port: int, context: ssl.SSLContext | None, hello: Hello) -> None:
        """Connect; raises ShutError when the broker does not want us."""
        self.hello = hello
        self._heard: list[Heard] = []
        try:
            plain = create_connection((HOST, port), timeout=ANSWER_S)
            self.sock: socket = plain
            if context is not None:
                try:
                    self.sock = context.wrap_socket(plain, server_hostname="localhost")
                except BaseException:
                    plain.close()
                    raise
            try:
                self._write(self._connect())
                first, body = self._read()
            except BaseException:
                self.sock.close()
                raise
        except OSError as error:
            raise ShutError(str(error)) from error
        if first != 0x20 or body[1] != 0:
            self.sock.close()
            raise ShutError(f"refused with {body[1]:#x}")
        self.session_present = bool(body[0])

    def _connect(self) -> bytes:
        hello = self.hello
        five = hello.version == 5
        flags = (2 if hello.clean else 0) | (4 if hello.will else 0)
        flags |= 0x80 if hello.username is not None else 0
        body = text("MQTT") + bytes([hello.version, flags]) + b"\x00\x00"
        # A session that lasts a day.
        body += b"\x05\x11" + struct.pack("!I", 86_400) if five else b""
        body += text(hello.client_id)
        if hello.will is not None:
            body += (b"\x00" if five else b"") + text(hello.will[0])
            body += struct.pack("!H", len(hello.will[1])) + hello.will[1]
        if hello.username is not None:
            body += text(hello.username)
        return packet(0x10, body)

    def publish(self, topic: str, payload: bytes = b"x", *, retain: bool = False) -> int:
        """Publish with QoS 1 and return the broker's reason; older than MQTT 5 it has none."""
        self._write(self.telegram(topic, payload, retain=retain))
        body = self._until(0x40)
        return body[2] if len(body) > 2 else 0

    def telegram(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> bytes:
        """Return the bytes of a message."""
        body = text(topic) + (b"\x00\x07" if qos else b"")
        body += (b"\x00" if self.hello.version == 5 else b"") + payload
        return packet(0x30 | qos << 1 | int(retain), body)

    def shout(self, data: bytes, answers: int) -> None:
        """Send many messages at once, then take that many answers."""
        self._write(data)
        for _ in range(answers):
            self._until(0x40)

    def whisper(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 0, which nobody answers; a ping behind it proves that it was read."""
        self._write(self.telegram(topic, payload, qos=0))
        self.heard()

    def subscribe(self, topic: str) -> int:
        """Subscribe with QoS 1 and return the broker's answer."""
        five = b"\x00" if self.hello.version == 5 else b""
        self._write(packet(0x82, b"\x00\x09" + five + text(topic) + b"\x01"))
        return self._until(0x90)[-1]

    def heard(self) -> list[Heard]:
        """Return everything that came so far, and forget it."""
        self._write(b"\xc0\x00")
        self._until(0xD0)
        found, self._heard = self._heard, []
        return found

    def topics(self) -> list[str]:
        """Return the topics of what came so far."""
        return [one.topic for one in self.heard()]

    def vanish(self) -> None:
        """Close the connection without a goodbye, so that the will is published."""
        self.sock.close()

    def close(self) -> None:
        """Say goodbye, and wait until the broker has heard it."""
        with suppress(OSError, ShutError):
            self._write(b"\xe0\x00")
            while self._read():
                pass
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _until(self, wanted: int) -> bytes:
        """Read until that answer comes; messages on the way are kept and acknowledged."""
        while True:
            first, body = self._read()
            if first == wanted:
                return body
            if first & 0xF0 == 0x30:
                self._keep(first, body)
            elif first == 0xE0:
                raise ShutError(f"thrown out with {body[:1].hex()}")

    def _keep(self, first: int, body: bytes) -> None:
        length = struct.unpack("!H", body[:2])[0]
        topic, rest = body[2 : 2 + length].decode(), body[2 + length :]
        if first & 0x06:
            self._write(packet(0x40, rest[:2]))
            rest = rest[2:]
        if self.hello.version == 5:
            rest = rest[1 + rest[0] :]
        self._heard.append(Heard(topic=topic, payload=rest, retained=bool(first & 1)))

    def _write(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise ShutError(str(error)) from error

    def _read(self) -> tuple[int, bytes]:
        first = self._exactly(1)[0]
        size = shift = 0
        while True:
            byte = self._exactly(1)[0]
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return first, self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            try:
                part = self.sock.recv(size - len(found))
            except OSError as error:
                raise ShutError(str(error)) from error
            if not part:
                raise ShutError("the connection was closed")
            found += part
        return found


def packet(first: int, body: bytes) -> bytes:
    size, length = len(body), bytearray()
    while True:
        size, low = divmod(size, 128)
        length.append(low | (128 if size else 0))
        if not size:
            return bytes([first, *length]) + body


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("!H", len(raw)) + raw


def shut(connect: Callable[[], Client]) -> bool:
    """Say whether the broker keeps somebody out."""
    return why_shut(connect) is not None


def let_in(connect: Callable[[], Client]) -> bool:
    """Say whether the broker lets somebody in, at one of three tries.

    A connection can break while the broker reads its files again; that keeps nobody out.
    """
    return any(not shut(connect) for _ in range(3))


def why_shut(connect: Callable[[], Client]) -> str | None:
    """Return what the broker said when it kept somebody out; None when it let him in."""
    try:
        client = connect()
    except ShutError as error:
        return str(error)
    client.close()
    return None


def refused_soon(town: Town, leaf: trustme.LeafCert, client_id: str) -> bool:
    """Say whether a broker that was just told of a revocation soon names it as its reason.

    It reads the list between two events, so it is asked a few times. Any other way of being shut
    out does not count: a connection can also break while the broker reads its files again.
    """
    port, context = town.plan.meters_port, town.tls(leaf)
    said = (why_shut(lambda: town.open(port, context, client_id)) or "" for _ in range(100))
    return any("certificate revoked" in why for why in said)
