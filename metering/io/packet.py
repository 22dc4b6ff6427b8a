"""The two things about an MQTT packet that the codec does not say: its length, and its rest.

The length while only the beginning of a packet is here, and what is behind a topic that is no text.
"""

from typing import Final

# The bit of a byte that says that another byte of the same number follows.
CONTINUED: Final = 0x80
PUBLISH_TYPE: Final = 3


def packet_bytes(head: bytes) -> int | None:
    """Return how long a packet is by its first bytes, or None when they do not say yet."""
    length = 0
    for index, byte in enumerate(head[1:5]):
        length |= (byte & ~CONTINUED) << 7 * index
        if not byte & CONTINUED:
            return 2 + index + length
    return None


def read_nameless(packet: bytes) -> tuple[bytes, bool, int, int] | None:
    """Return payload, retained, number and QoS of a message; None if the packet is none."""
    if packet[0] >> 4 != PUBLISH_TYPE:
        return None
    qos = packet[0] >> 1 & 3
    at = _number_end(packet, 1)
    at += 2 + int.from_bytes(packet[at : at + 2], "big")
    mid = int.from_bytes(packet[at : at + 2], "big") if qos else 0
    at += 2 if qos else 0
    properties = packet_bytes(packet[at - 1 : at + 4])
    if properties is None or at - 1 + properties > len(packet):
        return None
    return packet[at - 1 + properties :], bool(packet[0] & 1), mid, qos


def _number_end(packet: bytes, at: int) -> int:
    """Return where the number of variable length that begins here has ended."""
    while packet[at] & CONTINUED:
        at += 1
    return at + 1
