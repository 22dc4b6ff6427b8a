"""What a connection to a broker is, whichever library speaks MQTT on it.

Two backends keep this promise, and one suite holds both to it (``tests/contract/test_mqtt.py``):
``link_codec.py`` on the codec ``mqtt5``, and ``link_paho.py`` on ``aiomqtt`` and the paho client
inside it. A link is used once: when it is lost, a new one is made.
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias
from urllib.parse import unquote, urlsplit

# Long enough for a worker to be mended. Meters keep what we never receipted, so even a session
# that is gone loses nothing.
SESSION_EXPIRY_SECONDS: Final = 7 * 24 * 3600
# Sixteen times the largest telegram, so that a too large one arrives and is refused by name.
# A broker silently drops what is larger still.
PACKET_BYTES_MAX: Final = 1024 * 1024
# How long the broker may take to answer a CONNECT, SUBSCRIBE or DISCONNECT.
ANSWER_SECONDS_MAX: Final = 5.0
# Our messages the broker has not acknowledged yet: the receipts of a few batches, so that a batch
# seldom waits. The broker may allow fewer.
PUBLISHING_MAX: Final = 8000

# Topics in one SUBSCRIBE: even the longest, in four bytes a letter, fit a broker's smallest packet.
TOPICS_PER_PACKET: Final = 50

# What takes a message: its topic, payload, whether it is a retained one, the broker's number for
# it on this connection, its QoS. No object is made for it, that would cost more than to decode it.
Deliver: TypeAlias = Callable[[str, bytes, bool, int, int], None]
# A message of ours: its topic, payload, and whether the broker keeps it for those who come later.
Message: TypeAlias = tuple[str, bytes, bool]


class BrokerUrlError(ValueError):
    """The address of the broker cannot be read."""


class MqttAdapterError(Exception):
    """The MQTT library is not the one its adapter was written for."""


class LinkError(Exception):
    """The broker is there, and does not let us in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """Where a broker is and who we are there."""

    host: str
    port: int
    tls: bool
    username: str | None
    password: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How we connect: the same on every connection, so that the session is found again.

    Without a session nothing is subscribed to, and the broker need not remember us. ``dropped``
    are topics that the session may still hold and that we no longer want.
    """

    broker: BrokerAddress
    client_id: str
    session: bool
    topics: tuple[str, ...]
    dropped: tuple[str, ...] = ()
    keepalive_seconds: int
    receive_max: int
    tls_context: ssl.SSLContext | None

    def make_tls_context(self) -> ssl.SSLContext | None:
        """Return what the connection is encrypted with, or None when it is not."""
        if not self.broker.tls:
            return None
        return self.tls_context or ssl.create_default_context()


class Link(Protocol):
    """One connection from CONNECT to its end.

    ``room`` is set when messages may be published again, ``lost`` when the connection is over.
    """

    lost: asyncio.Event
    room: asyncio.Event
    session_present: bool
    publishing_max: int

    @property
    def publishing(self) -> int:
        """How many of our messages the broker has not acknowledged yet."""

    async def open(self) -> None:
        """Connect and subscribe. Messages may be delivered before it returns.

        A session that the broker still knows is subscribed already, and what it collected comes
        before the answer to a SUBSCRIBE. So that answer is waited for in a new session only.

        Raises:
            LinkError: the broker refused us or did not answer.
            OSError: there is no broker.
        """

    def read(self, *, on: bool) -> None:
        """Read the socket, or leave what comes in to the kernel and so to the broker."""

    def ack(self, handles: Sequence[tuple[int, int]]) -> None:
        """Tell the broker that messages of this connection are safe: their numbers and QoS."""

    def publish(self, messages: Sequence[Message]) -> int:
        """Hand over messages with QoS 1, as many as there is room for; return how many."""

    def subscribe(self, topics: Sequence[str]) -> None:
        """Ask for topics; a refusal ends the connection."""

    def unsubscribe(self, topics: Sequence[str]) -> None:
        """Ask for topics no more; what the broker holds of them already still comes."""

    async def close(self) -> None:
        """Send what is waiting, let the broker hear it to the end, and let go.

        A socket that is closed with something unread in it is reset, and the broker then throws
        away what it has not read yet: our last acknowledgements. So we close our half, read until
        the broker has closed its own, and only then let go. The session stays with the broker.
        """

    def abandon(self) -> None:
        """Let go of the connection at once; safe to call again."""


def parse_url(url: str) -> BrokerAddress:
    """Read ``mqtt://user:password@host:port`` or ``mqtts://…``; ports default to 1883 and 8883.

    Raises:
        BrokerUrlError: another scheme, no host, or a port that is no number.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BrokerUrlError("the broker's URL has no valid host and port") from error
    if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname or parts.path not in {"", "/"}:
        raise BrokerUrlError("a broker's URL is mqtt://host:port or mqtts://host:port")
    tls = parts.scheme == "mqtts"
    return BrokerAddress(
        host=parts.hostname,
        port=port if port is not None else (8883 if tls else 1883),
        tls=tls,
        username=unquote(parts.username) if parts.username is not None else None,
        password=unquote(parts.password) if parts.password is not None else None,
    )
