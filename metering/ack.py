"""What a signing meter is told: a window of safe counters, signed, so that nobody else can say so.

The topic is ``gas/v1/<bucket>/<meter>/down/ack``, retained. The message is a COSE_Sign1 like a
telegram's, over ``gas/v1/ack``, a zero byte and the meter's id, with our own Ed25519 key:

    1 meter id   2 key epoch   3 high water   4 seen, 128 bytes   5 our clock, Unix seconds
    6 refused: [[counter, reason], ...], left out when there is none

A meter frees a telegram when its counter's bit is set, or when it stands among the refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from metering.meter import bucket
from metering.receipt import Receipt
from metering.signed import bytes_head, to_be_signed
from metering.window import Window

CONTEXT: Final = b"gas/v1/ack"
# A batch holds few telegrams of one meter; more refusals than this are one fault, told next time.
REFUSED_MAX: Final = 64
# 18([protected, {}, payload, bytes(64)]), written out: RFC 9052, 4.2.
_SIGN1: Final = b"\xd2\x84"
_NO_HEADERS: Final = b"\xa0"
_SIGNATURE_HEAD: Final = b"\x58\x40"
_EDDSA: Final = -8


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """What to tell one meter about one of its keys; ``refused`` gives counters their reasons."""

    meter_id: str
    key_epoch: int
    window: Window
    refused: Mapping[int, str]


class Signer:
    """Signs acks with our key; may be used from many threads."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        public = key.public_key().public_bytes_raw()
        self._protected = cbor2.dumps({1: _EDDSA, 4: sha256(public).digest()[:8]}, canonical=True)
        self._head = _SIGN1 + bytes_head(len(self._protected)) + self._protected + _NO_HEADERS

    @property
    def public_key(self) -> bytes:
        """The 32 bytes that meters are provisioned with."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, ack: Ack, *, at: datetime) -> Receipt:
        """Return the message that tells a meter, at our instant."""
        body: dict[int, Any] = {
            1: ack.meter_id.encode("ascii"),
            2: ack.key_epoch,
            3: max(ack.window.high_water, 0),
            4: ack.window.to_bytes(),
            5: int(at.timestamp()),
        }
        if ack.refused:
            pairs = sorted(ack.refused.items())[:REFUSED_MAX]
            body[6] = [[counter, reason] for counter, reason in pairs]
        payload = cbor2.dumps(body, canonical=True)
        signature = self._key.sign(
            to_be_signed(ack.meter_id, self._protected, payload, context=CONTEXT)
        )
        return Receipt(
            topic=f"gas/v1/{bucket(ack.meter_id)}/{ack.meter_id}/down/ack",
            payload=b"".join(
                (self._head, bytes_head(len(payload)), payload, _SIGNATURE_HEAD, signature)
            ),
            retain=True,
        )

    def sign_all(self, acks: Sequence[Ack], *, at: datetime) -> list[Receipt]:
        """Return one message per ack, in the order given."""
        return [self.sign(ack, at=at) for ack in acks]
