"""A meter as a device: its states, its keys, and the code on its label.

pending -> active    installer and resident saw the same start register
active  -> frozen    a person has to look first
frozen  -> active    a person looked, and said what came of it
any     -> removed   taken out of service, for good
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

PENDING: Final = "pending"
ACTIVE: Final = "active"
FROZEN: Final = "frozen"
REMOVED: Final = "removed"
NEXT: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        PENDING: frozenset({ACTIVE, REMOVED}),
        ACTIVE: frozenset({FROZEN, REMOVED}),
        FROZEN: frozenset({ACTIVE, REMOVED}),
        REMOVED: frozenset(),
    }
)


class Event(StrEnum):
    """What can happen to a device, as its history tells it."""

    PROVISIONED = "provisioned"
    CLAIMED = "claimed"
    CLAIM_REFUSED = "claim_refused"
    CODE_REISSUED = "code_reissued"
    ACTIVATED = "activated"
    FROZEN = "frozen"
    THAWED = "thawed"
    REMOVED = "removed"
    KEY_ROTATED = "key_rotated"
    KEY_REVOKED = "key_revoked"
    KEY_VOUCHED = "key_vouched"


EDDSA: Final = "EdDSA"
ES256: Final = "ES256"
# A meter that sleeps through a rotation still has a week of telegrams under its old key.
OLD_KEY_GOOD_FOR: Final = timedelta(days=7)
# Nobody guesses 80 bits in five tries, and a person mistypes a label less often.
CLAIM_TRIES: Final = 5
CLAIM_BYTES: Final = 10
KID_BYTES: Final = 8
SIGNATURE_BYTES: Final = 64

_COORDINATE_BYTES: Final = 32
_ED25519_BYTES: Final = 32
_ES256_BYTES: Final = 65
_UNCOMPRESSED: Final = 4
# Crockford's letters: none that is easily taken for another.
_LETTERS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LETTER_BITS: Final = 5
_GROUP: Final = 4
_MISREAD: Final = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})
# The curve of Ed25519 (RFC 8032, 5.1): -x² + y² = 1 + dx²y² modulo p.
_P: Final = 2**255 - 19
_D: Final = -121665 * pow(121666, -1, _P) % _P
# The y of every point of order 1, 2, 4 or 8: under such a key anybody can sign.
_LOW_ORDER: Final = frozenset(
    {
        0,
        1,
        _P - 1,
        int.from_bytes(
            bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
            "little",
        ),
        int.from_bytes(
            bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
            "little",
        ),
    }
)


class KeyUnusableError(ValueError):
    """These bytes are no public key that only one can sign for."""


class StateError(Exception):
    """A meter in its state cannot do that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A public key that was checked: Ed25519 as 32 bytes, P-256 as an uncompressed point."""

    algorithm: str
    public_key: bytes

    def __post_init__(self) -> None:
        """Refuse what is no key, or one that anybody can sign for.

        Raises:
            KeyUnusableError: the bytes or the algorithm will not do.
        """
        if self.algorithm == EDDSA:
            _check_ed25519(self.public_key)
        elif self.algorithm == ES256:
            _check_p256(self.public_key)
        else:
            raise KeyUnusableError("the algorithm is EdDSA or ES256")

    @property
    def kid(self) -> bytes:
        """Return the name by which telegrams call this key."""
        return kid_of(self.public_key)

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Say whether this key made this signature, which is r and s side by side for ES256."""
        if len(signature) != SIGNATURE_BYTES:
            return False
        try:
            if self.algorithm == EDDSA:
                Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, message)
            else:
                r = int.from_bytes(signature[:_COORDINATE_BYTES])
                s = int.from_bytes(signature[_COORDINATE_BYTES:])
                point = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), self.public_key)
                point.verify(encode_dss_signature(r, s), message, ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What installer or resident saw on the dial when the meter was hung up, in dm3."""

    witness: str
    register_dm3: int
    photo_digest: bytes


def next_state(state: str, wanted: str) -> str:
    """Return the wanted state if the table leads there.

    Raises:
        StateError: it does not.
    """
    if wanted not in NEXT[state]:
        raise StateError(f"a {state} meter cannot become {wanted}")
    return wanted


def kid_of(public_key: bytes) -> bytes:
    """Return the first eight bytes of the SHA-256 of a public key."""
    return sha256(public_key).digest()[:KID_BYTES]


def rotation_message(meter_id: str, key_epoch: int, public_key: bytes) -> bytes:
    """Return what the old key signs to say: from this epoch on, believe that key."""
    name = meter_id.encode("ascii")
    return b"gas/v1/rotate\0" + name + b"\0" + key_epoch.to_bytes(4) + public_key


def claim_code(raw: bytes) -> str:
    """Write ten random bytes as a person types them: XXXX-XXXX-XXXX-XXXX."""
    assert len(raw) == CLAIM_BYTES, "a claim code has 80 bits"
    number = int.from_bytes(raw)
    letters = [
        _LETTERS[number >> shift & 2**_LETTER_BITS - 1]
        for shift in range(CLAIM_BYTES * 8 - _LETTER_BITS, -1, -_LETTER_BITS)
    ]
    return "-".join(
        "".join(letters[start : start + _GROUP]) for start in range(0, len(letters), _GROUP)
    )


def claim_digest(meter_id: str, code: str) -> bytes:
    """Return what we keep of a code; it is good for this one meter only.

    Small letters, spaces and dashes do not matter; O is read as 0, I and L as 1.
    """
    typed = code.upper().translate(_MISREAD)
    return sha256(f"gas/v1/claim\0{meter_id}\0{typed}".encode()).digest()


def is_claimed_by(digest: bytes, meter_id: str, code: str) -> bool:
    """Say whether this is the code, in a time that does not tell how close it came."""
    return hmac.compare_digest(digest, claim_digest(meter_id, code))


def _check_ed25519(key: bytes) -> None:
    if len(key) != _ED25519_BYTES:
        raise KeyUnusableError("an Ed25519 key has 32 bytes")
    y = int.from_bytes(key, "little") & 2**255 - 1
    if y >= _P or y in _LOW_ORDER:
        raise KeyUnusableError("anybody can sign for this Ed25519 key")
    x_squared = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    if pow(x_squared, (_P - 1) // 2, _P) != 1:
        raise KeyUnusableError("the Ed25519 key is no point of its curve")


def _check_p256(key: bytes) -> None:
    if len(key) != _ES256_BYTES or key[0] != _UNCOMPRESSED:
        raise KeyUnusableError("an ES256 key is an uncompressed point of 65 bytes")
    try:
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), key)
    except ValueError:
        raise KeyUnusableError("the ES256 key is no point of its curve") from None
