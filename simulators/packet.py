"""The few packets of MQTT 5 that a flood needs, as bytes, after chapter 3 of the standard."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

# First bytes of packets, as sent.
PUBLISH_QOS1: Final = 0x32
_CONNECT, _PUBACK, _SUBSCRIBE, _DISCONNECT = 0x10, 0x40, 0x82, 0xE0
# Kinds of packets, the upper half of their first byte.
CONNACK, PUBLISH, PUBACK, SUBACK, GOODBYE = 2, 3, 4, 9, 14
PACKET_ID_MAX: Final = 65_535
# From here on a reason code means no.
FAILURE_MIN: Final = 0x80
_CLEAN_START, _PASSWORD, _USER = 0x02, 0x40, 0x80
# We never fall silent for this long, in seconds, so no ping is needed.
_KEEPALIVE_S: Final = 65_535
_RECEIVE_MAXIMUM: Final = 0x21
# How many bytes the value of a CONNACK's property takes, or how many texts it is.
_PROPERTY_BYTES: Final = {
    0x11: 4, 0x13: 2, 0x21: 2, 0x22: 2, 0x24: 1, 0x25: 1, 0x27: 4, 0x28: 1, 0x29: 1, 0x2A: 1,
}  # fmt: skip
_PROPERTY_TEXTS: Final = {0x12: 1, 0x15: 1, 0x16: 1, 0x1A: 1, 0x1C: 1, 0x1F: 1, 0x26: 2}
_VARINT_BYTES_MAX: Final = 4


class PacketError(ValueError):
    """Bytes from a broker are not MQTT 5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """What a broker says to a new connection; a reason of 0 is yes."""

    reason: int
    receive_maximum: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A message from a broker; `packet_id` is 0 when it wants no acknowledgement."""

    topic: str
    payload: bytes
    packet_id: int
    retained: bool


def _text(value: str) -> bytes:
    """Return a text with its length in front."""
    raw = value.encode()
    return len(raw).to_bytes(2) + raw


def varint(number: int) -> bytes:
    """Return a length as MQTT writes it, seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:  # noqa: PLR2004  (seven bits)
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _packet(first: int, body: bytes) -> bytes:
    """Return a packet."""
    return bytes([first]) + varint(len(body)) + body


def connect(client_id: str, *, user: str | None, password: str | None) -> bytes:
    """Return the first packet of a connection with a clean start and no session after it."""
    flags, tail = _CLEAN_START, _text(client_id)
    if user is not None:
        flags, tail = flags | _USER, tail + _text(user)
    if password is not None:
        flags, tail = flags | _PASSWORD, tail + _text(password)
    return _packet(
        _CONNECT, _text("MQTT") + bytes([5, flags]) + _KEEPALIVE_S.to_bytes(2) + b"\x00" + tail
    )


def publish(topic: bytes, payload: bytes, packet_id: int) -> bytes:
    """Return a message of QoS 1; the topic is what ``topic_bytes`` made of it."""
    size = len(topic) + 3 + len(payload)
    return b"\x32%b%b%b\x00%b" % (varint(size), topic, packet_id.to_bytes(2), payload)


def topic_bytes(topic: str) -> bytes:
    """Return a topic as it stands in a message."""
    return _text(topic)


def puback(packet_id: int) -> bytes:
    """Return the acknowledgement of a message."""
    return bytes([_PUBACK, 2]) + packet_id.to_bytes(2)


def subscribe(topics: Sequence[str], packet_id: int) -> bytes:
    """Return a subscription to topics with QoS 1."""
    wanted = b"".join(_text(topic) + b"\x01" for topic in topics)
    return _packet(_SUBSCRIBE, packet_id.to_bytes(2) + b"\x00" + wanted)


def goodbye() -> bytes:
    """Return the last packet of a connection that ends well."""
    return bytes([_DISCONNECT, 0])


def split(buffer: bytearray) -> Iterator[tuple[int, bytes]]:
    """Take the whole packets out of a buffer: first byte and body of each.

    Raises PacketError.
    """
    at = 0
    while (length := _varint_at(buffer, at + 1)) is not None:
        size, start = length
        if start + size > len(buffer):
            break
        yield buffer[at], bytes(buffer[start : start + size])
        at = start + size
    del buffer[:at]


def _varint_at(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """Return a length and the place behind it, None when it is cut off; raises PacketError."""
    number = 0
    for place in range(_VARINT_BYTES_MAX):
        if at + place >= len(data):
            return None
        number |= (data[at + place] & 0x7F) << 7 * place
        if data[at + place] <= 0x7F:  # noqa: PLR2004  (seven bits)
            return number, at + place + 1
    raise PacketError("a length of more than four bytes")


def acknowledged(buffer: bytearray) -> tuple[int, int]:
    """Take the whole PUBACKs out of a buffer; return how many say yes and how many say no.

    A flood hears nothing else, so this is the one loop that must be short. Raises PacketError.
    """
    yes = no = at = 0
    end = len(buffer)
    while at + 2 <= end:
        if buffer[at] != _PUBACK or buffer[at + 1] > 0x7F:  # noqa: PLR2004  (seven bits)
            raise PacketError(f"a packet {buffer[at]:#x} instead of an acknowledgement")
        after = at + 2 + buffer[at + 1]
        if after > end:
            break
        if after - at > 4 and buffer[at + 4] >= FAILURE_MIN:  # noqa: PLR2004  (the reason's place)
            no += 1
        else:
            yes += 1
        at = after
    del buffer[:at]
    return yes, no


def welcome(body: bytes) -> Welcome:
    """Return what a CONNACK says; raises PacketError."""
    length = _varint_at(body, 2)
    if length is None or length[0] + length[1] != len(body):
        raise PacketError("a broker that greets in no known way")
    receive_maximum, at = PACKET_ID_MAX, length[1]
    while at < len(body):
        name = body[at]
        if name not in _PROPERTY_BYTES and name not in _PROPERTY_TEXTS:
            raise PacketError(f"an unknown property {name:#x}")
        if name == _RECEIVE_MAXIMUM:
            receive_maximum = int.from_bytes(body[at + 1 : at + 3])
        at += 1 + _PROPERTY_BYTES.get(name, 0)
        for _ in range(_PROPERTY_TEXTS.get(name, 0)):
            at += 2 + int.from_bytes(body[at : at + 2])
    return Welcome(reason=body[1], receive_maximum=receive_maximum)


def heard(first: int, body: bytes) -> Heard:
    """Return the message in a PUBLISH; raises PacketError."""
    topic_end = 2 + int.from_bytes(body[:2])
    at, packet_id = topic_end, 0
    if first & 0x06:
        packet_id, at = int.from_bytes(body[at : at + 2]), at + 2
    length = _varint_at(body, at)
    if length is None:
        raise PacketError("a message without properties")
    try:
        topic = body[2:topic_end].decode()
    except UnicodeDecodeError as error:
        raise PacketError("a topic that is no text") from error
    payload = body[sum(length) :]
    return Heard(topic=topic, payload=payload, packet_id=packet_id, retained=bool(first & 1))
