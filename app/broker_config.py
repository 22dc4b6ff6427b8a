"""The configuration of a Mosquitto that meters of strangers may reach: text only, nothing is run.

Two doors for meters (a certificate each, or a shared key each) and one for the services, each over
TLS 1.3. Who somebody is comes from the handshake; what he may do comes from one list of topics.
``docs/brokers.md`` says what each lock does, and what a broker cannot do.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from metering.meter import METER_ID
from metering.telegram import PAYLOAD_BYTES_MAX
from metering.topic import FilterError, checked, overlap

# Lower case, so that no meter's name can ever be a service's.
SERVICE: Final = re.compile(r"aqkol-[a-z0-9-]{1,40}")
# A gateway of other makers' hardware: in lower case, so that it is no meter either.
GATEWAY: Final = re.compile(r"(?!aqkol-)[a-z][a-z0-9-]{0,39}")
# It ends up in a line of a configuration: no space, no line break, no way out of the folder.
_PATH: Final = re.compile(r"(/[A-Za-z0-9._-]+)+")
_ADDRESS: Final = re.compile(r"[0-9A-Fa-f.:]{2,45}")

# Where Debian's Mosquitto looks for its files, and keeps its store.
FOLDER: Final = PurePosixPath("/etc/mosquitto/aqkol")
DATA: Final = PurePosixPath("/var/lib/mosquitto")
PORT_MAX: Final = 65535
# The largest telegram and room for its topic and properties.
PACKET_BYTES_MAX: Final = PAYLOAD_BYTES_MAX + 1024
# What one broker of a town takes; a country has several (docs/decisions).
METERS_MAX: Final = 20_000
# Ingest has two connections to each broker; the rest is for a change of version and the doctor.
SERVICES_MAX: Final = 64
# Seconds between two writes of the broker's store; what is newer, the meters send again.
AUTOSAVE_S: Final = 5
# Bytes of a pre-shared key. The broker takes up to 48; 32 are as strong as the cipher.
KEY_BYTES_MIN: Final = 16
KEY_BYTES_MAX: Final = 48
# The first version that can refuse older protocols than MQTT 5.
VERSION_REFUSING: Final = (2, 1)


class BrokerConfigError(ValueError):
    """Something that must not get into a broker's configuration; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where a broker listens, where its files will lie, and who the services are.

    ``psk_port`` None means no door for shared keys. ``revocations`` False means no list of revoked
    certificates: then only our own registry of keys refuses a stolen meter. ``sources`` are filters
    that ingest may hear besides our own topics; each of ``gateways`` has a certificate from the
    meters' authority, and a filter that it may publish to.
    """

    folder: PurePosixPath = FOLDER
    data: PurePosixPath = DATA
    meters_address: str = "0.0.0.0"  # noqa: S104 - meters come from outside
    meters_port: int = 8883
    psk_port: int | None = None
    services_address: str = "127.0.0.1"
    services_port: int = 8884
    ingests: tuple[str, ...] = ("aqkol-ingest",)
    admins: tuple[str, ...] = ("aqkol-admin",)
    sources: tuple[str, ...] = ()
    gateways: tuple[tuple[str, str], ...] = ()
    revocations: bool = True
    version: tuple[int, int] = (2, 0)

    def __post_init__(self) -> None:
        """Refuse what would break a line or open a door."""
        for path in (self.folder, self.data):
            if _PATH.fullmatch(str(path)) is None or ".." in path.parts:
                raise BrokerConfigError("a folder must be a plain absolute path")
        for address in (self.meters_address, self.services_address):
            if _ADDRESS.fullmatch(address) is None:
                raise BrokerConfigError("an address must be written in digits")
        ports = [self.meters_port, self.services_port]
        ports += [] if self.psk_port is None else [self.psk_port]
        if any(not 0 < port <= PORT_MAX for port in ports) or len(set(ports)) < len(ports):
            raise BrokerConfigError("ports must differ and lie between 1 and 65535")
        names = [*self.ingests, *self.admins]
        if not self.ingests or len(set(names)) < len(names):
            raise BrokerConfigError("services must have names, each its own")
        for name in names:
            if SERVICE.fullmatch(name) is None:
                raise BrokerConfigError("a service is named aqkol- and a-z, 0-9 or -")
        self._check_strangers()

    def _check_strangers(self) -> None:
        for topic in (*self.sources, *(topic for _, topic in self.gateways)):
            try:
                checked(topic)
            except FilterError as error:
                raise BrokerConfigError(f"{topic!a} cannot be a source's: {error}") from None
        for name, topic in self.gateways:
            if GATEWAY.fullmatch(name) is None:
                raise BrokerConfigError("a gateway is named a-z, 0-9 or -, and not aqkol-")
            if not any(overlap(topic, source) for source in self.sources):
                raise BrokerConfigError(f"no source hears {topic!a} of the gateway {name}")


def meter_name(text: str) -> str:
    """Return a meter's name as certificate, key and topic carry it.

    Raises:
        BrokerConfigError: ``+`` or ``#`` would be everybody, a letter of another alphabet would
            look like somebody else.
    """
    if METER_ID.fullmatch(text) is None:
        raise BrokerConfigError(f"{text!a} is no meter: 1 to 32 of A-Z, 0-9 and -")
    return text


def conf(plan: Plan) -> str:
    """Return ``mosquitto.conf``."""
    lines = [
        "# Written by aqkol broker config; docs/brokers.md says what each line is for.",
        "# One list for all listeners: with per_listener_settings the broker would keep",
        "# nothing for an absent ingest (eclipse-mosquitto/mosquitto#2618).",
        "per_listener_settings false",
        "allow_anonymous false",
        f"acl_file {plan.folder / 'acl'}",
        "# The defaults drop messages silently: 1000 queued per session, 20 in flight.",
        "max_queued_messages 0",
        "max_inflight_messages 65535",
        f"max_packet_size {PACKET_BYTES_MAX}",
        "# Receipts are retained; a retained telegram is only a telegram that comes twice.",
        "retain_available true",
        "check_retain_source true",
        "set_tcp_nodelay true",
        "persistence true",
        f"persistence_location {plan.data}/",
        f"autosave_interval {AUTOSAVE_S}",
        "persistent_client_expiration 90d",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        "log_type notice",
        "connection_messages false",
    ]
    if plan.psk_port is not None:
        lines.append(f"psk_file {plan.folder / 'psk'}")
    lines += ["", "# Meters with a certificate each."]
    lines += _door(plan, plan.meters_address, plan.meters_port, METERS_MAX)
    lines += [*_certificates(plan, "meters"), "use_username_as_clientid true"]
    if plan.psk_port is not None:
        lines += ["", "# Meters with a shared key each, for small batteries."]
        lines += _door(plan, plan.meters_address, plan.psk_port, METERS_MAX)
        lines += ["psk_hint aqkol", "use_identity_as_username true"]
        lines += ["use_username_as_clientid true"]
    lines += ["", "# Services; one of them has several connections, so each names its own session."]
    lines += _door(plan, plan.services_address, plan.services_port, SERVICES_MAX)
    lines += _certificates(plan, "services")
    return "\n".join(lines) + "\n"


def _door(plan: Plan, address: str, port: int, connections: int) -> list[str]:
    lines = [f"listener {port} {address}", f"max_connections {connections}", "max_topic_alias 0"]
    if plan.version >= VERSION_REFUSING:
        lines.append("accept_protocol_versions 5")
    return [*lines, "tls_version tlsv1.3"]


def _certificates(plan: Plan, whose: str) -> list[str]:
    lines = [
        f"cafile {plan.folder / f'{whose}-ca.pem'}",
        f"certfile {plan.folder / 'server.pem'}",
        f"keyfile {plan.folder / 'server.key'}",
        "require_certificate true",
        "use_identity_as_username true",
    ]
    if plan.revocations:
        lines.append(f"crlfile {plan.folder / f'{whose}-crl.pem'}")
    return lines


def acl(plan: Plan) -> str:
    """Return the list of topics: what is not in it is denied."""
    lines = ["# A meter: its own telegrams out, its own receipts in. %u is its certificate's name."]
    lines += ["pattern write gas/v1/+/%u/up", "pattern write gas/v1/+/%u/up/json"]
    lines += ["pattern read gas/v1/+/%u/down/#"]
    for name in plan.ingests:
        lines += ["", "# Takes every telegram in and answers; can pretend to be no meter."]
        lines += [f"user {name}", "topic read gas/v1/+/+/up", "topic read gas/v1/+/+/up/json"]
        lines += ["topic write gas/v1/+/+/down/receipt", "topic write gas/v1/+/+/down/ack"]
        lines += [f"topic read {topic}" for topic in plan.sources]
        lines += _examined()
    for name, topic in plan.gateways:
        lines += ["", "# Other makers' hardware: speaks where nobody signs, hears nothing."]
        lines += [f"user {name}", f"topic write {topic}"]
    for name in plan.admins:
        lines += ["", "# Looks after the broker; reads no telegram and writes no receipt."]
        lines += [f"user {name}", "topic read $SYS/#", *_examined()[:1]]
    return "\n".join(lines) + "\n"


def _examined() -> list[str]:
    """Return what the doctor needs: a corner to try the queue in, and one counter."""
    return [
        "topic readwrite aqkol/doctor/+",
        "topic read $SYS/broker/publish/messages/dropped",
    ]


def psk(keys: Mapping[str, bytes]) -> str:
    """Return the file of shared keys, a meter per line.

    Raises:
        BrokerConfigError: a name that is no meter's, or a key too short or too long.
    """
    lines = []
    for name in sorted(keys):
        if not KEY_BYTES_MIN <= len(keys[name]) <= KEY_BYTES_MAX:
            raise BrokerConfigError(f"the key of {name!a} must have 16 to 48 bytes")
        lines.append(f"{meter_name(name)}:{keys[name].hex()}\n")
    return "".join(lines)


def read_psk(text: str) -> dict[str, bytes]:
    """Return the keys of a file that ``psk`` wrote.

    Raises:
        BrokerConfigError: a line that it would not have written.
    """
    keys = {}
    for line in text.splitlines():
        name, _, key = line.partition(":")
        try:
            keys[meter_name(name)] = bytes.fromhex(key)
        except ValueError as error:
            # Without the line: it holds a key.
            raise BrokerConfigError("the file of keys has a line that is not ours") from error
    return keys


def meter_names(lines: Iterable[str]) -> list[str]:
    """Return the meters of a list, one per line; empty lines do not count.

    Raises:
        BrokerConfigError: a name that is no meter's.
    """
    return [meter_name(line.strip()) for line in lines if line.strip()]


def places(plan: Plan) -> dict[str, str]:
    """Return what somebody else must put in the folder: file and what it holds."""
    found = {
        "server.pem": "the broker's certificate and what leads to its authority",
        "server.key": "its key, readable by the broker only",
        "meters-ca.pem": "the authority that signs meters, and nothing but meters",
        "services-ca.pem": "the authority that signs our services, another one",
    }
    if plan.revocations:
        found["meters-crl.pem"] = "that authority's revoked meters, renewed before it runs out"
        found["services-crl.pem"] = "that authority's revoked services, likewise"
    return found
