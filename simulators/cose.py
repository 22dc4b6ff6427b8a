"""CBOR in its one deterministic form, and COSE_Sign1, as a meter's maker reads RFC 8949 and 9052.

Only what the wire needs: whole numbers, bytes, text, lists, maps and tags. Written from the two
standards alone and by hand, so that one wrong idea cannot stand on both sides of the wire.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey

# Names out of the registries of COSE.
EDDSA: Final = -8
ES256: Final = -7
HEADER_ALG: Final = 1
HEADER_KID: Final = 4
TAG_SIGN1: Final = 18
KID_BYTES: Final = 8
SIGNATURE_BYTES: Final = 64
_PUBLIC_ED25519_BYTES: Final = 32
_P256_BYTES: Final = 32

_UINT, _NINT, _BYTES, _TEXT, _LIST, _MAP, _TAG = range(7)
# Values below this stand in the first byte; the next four codes say how many bytes follow.
_SHORT_MAX: Final = 23
_HEAD_BYTES: Final[Mapping[int, int]] = {24: 1, 25: 2, 26: 4, 27: 8}
# Nothing on our wire nests deeper than a list of lists in a map in a message.
DEPTH_MAX: Final = 8


class CborError(ValueError):
    """Bytes are not one item of deterministic CBOR as the wire uses it."""


class SignatureError(ValueError):
    """A signed message is not one, or not by this key for this purpose."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A CBOR tag around a value."""

    number: int
    value: Any


def head(major: int, argument: int) -> bytes:
    """Return the first bytes of an item in their shortest form."""
    if argument <= _SHORT_MAX:
        return bytes([major << 5 | argument])
    for code, size in _HEAD_BYTES.items():
        if argument < 1 << 8 * size:
            return bytes([major << 5 | code]) + argument.to_bytes(size)
    raise CborError("a number of more than 64 bits")


def encode(item: Any) -> bytes:  # noqa: ANN401  (CBOR carries anything)
    """Return the deterministic encoding of an item; raises CborError for what the wire lacks."""
    match item:
        case bool() | float() | None:
            raise CborError("the wire knows no such value")
        case int():
            return head(_UINT, item) if item >= 0 else head(_NINT, -1 - item)
        case bytes():
            return head(_BYTES, len(item)) + item
        case str():
            text = item.encode()
            return head(_TEXT, len(text)) + text
        case list() | tuple():
            return head(_LIST, len(item)) + b"".join(map(encode, item))
        case Mapping():
            pairs = sorted((encode(key), encode(value)) for key, value in item.items())
            return head(_MAP, len(pairs)) + b"".join(key + value for key, value in pairs)
        case Tag(number, value):
            return head(_TAG, number) + encode(value)
    raise CborError("the wire knows no such value")


def decode(data: bytes) -> Any:  # noqa: ANN401  (CBOR carries anything)
    """Return the one item in these bytes; raises CborError unless they are its only encoding."""
    item, end = _item(data, 0, 0)
    if end != len(data):
        raise CborError("bytes after the end")
    return item


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    """Return major type, argument and the place behind a head; raises CborError."""
    if at >= len(data):
        raise CborError("cut off")
    major, code = data[at] >> 5, data[at] & 0x1F
    at += 1
    if code <= _SHORT_MAX:
        return major, code, at
    size = _HEAD_BYTES.get(code)
    if size is None or at + size > len(data):
        raise CborError("indefinite or cut off")
    argument = int.from_bytes(data[at : at + size])
    if len(head(0, argument)) != 1 + size:
        raise CborError("a number longer than it needs to be")
    return major, argument, at + size


def _item(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    """Return an item and the place behind it; raises CborError."""
    if depth > DEPTH_MAX:
        raise CborError("too deep")
    major, argument, at = _head(data, at)
    match major:
        case 0:
            return argument, at
        case 1:
            return -1 - argument, at
        case 2 | 3:
            if at + argument > len(data):
                raise CborError("cut off")
            raw = data[at : at + argument]
            return raw if major == _BYTES else _text(raw), at + argument
        case 4:
            items: list[Any] = []
            for _ in range(argument):
                item, at = _item(data, at, depth + 1)
                items.append(item)
            return items, at
        case 5:
            return _pairs(data, at, argument, depth)
        case 6:
            value, at = _item(data, at, depth + 1)
            return Tag(argument, value), at
    raise CborError("the wire knows no such value")


def _pairs(data: bytes, at: int, count: int, depth: int) -> tuple[dict[Any, Any], int]:
    """Return a map and the place behind it; its keys stand in order and once each."""
    pairs: dict[Any, Any] = {}
    before = b""
    for _ in range(count):
        begin = at
        key, at = _item(data, at, depth + 1)
        if not isinstance(key, int | str | bytes) or data[begin:at] <= before:
            raise CborError("keys out of order, twice or strange")
        before = data[begin:at]
        pairs[key], at = _item(data, at, depth + 1)
    return pairs, at


def _text(raw: bytes) -> str:
    """Return text; raises CborError."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise CborError("text that is none") from error


def public_bytes(key: PrivateKey) -> bytes:
    """Return a public key as it is registered: 32 bytes of Ed25519, or 65 of a P-256 point."""
    if isinstance(key, Ed25519PrivateKey):
        return key.public_key().public_bytes_raw()
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def kid_of(public: bytes) -> bytes:
    """Return the name of a public key."""
    return hashlib.sha256(public).digest()[:KID_BYTES]


def protected_of(key: PrivateKey) -> bytes:
    """Return the protected header under which a key signs."""
    algorithm = EDDSA if isinstance(key, Ed25519PrivateKey) else ES256
    return encode({HEADER_ALG: algorithm, HEADER_KID: kid_of(public_bytes(key))})


def signature_of(key: PrivateKey, to_sign: bytes) -> bytes:
    """Return 64 bytes: an Ed25519 signature, or r and s of an ECDSA one."""
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(to_sign)
    r, s = decode_dss_signature(key.sign(to_sign, ECDSA(hashes.SHA256())))
    return r.to_bytes(_P256_BYTES) + s.to_bytes(_P256_BYTES)


def structure(protected: bytes, aad: bytes, payload: bytes) -> bytes:
    """Return the bytes that are really signed."""
    return encode(["Signature1", protected, aad, payload])


def sign(key: PrivateKey, payload: bytes, *, aad: bytes) -> bytes:
    """Return a tagged COSE_Sign1 message; `aad` says what it is for and is not sent along."""
    protected = protected_of(key)
    signature = signature_of(key, structure(protected, aad, payload))
    return encode(Tag(TAG_SIGN1, [protected, {}, payload, signature]))


def opened(message: bytes) -> tuple[bytes, bytes, bytes]:
    """Return protected header, payload and signature, unverified; raises SignatureError."""
    try:
        match decode(message):
            case Tag(18, [bytes(protected), {**unprotected}, bytes(payload), bytes(signature)]) if (
                not unprotected
            ):
                return protected, payload, signature
    except CborError as error:
        raise SignatureError("not a signed message") from error
    raise SignatureError("not a signed message")


def verify(message: bytes, public: bytes, *, aad: bytes) -> bytes:
    """Return the payload of a message that this key signed for this purpose.

    Raises SignatureError.
    """
    protected, payload, signature = opened(message)
    algorithm = EDDSA if len(public) == _PUBLIC_ED25519_BYTES else ES256
    if protected != encode({HEADER_ALG: algorithm, HEADER_KID: kid_of(public)}):
        raise SignatureError("another algorithm or another key")
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureError("a signature of the wrong length")
    to_verify = structure(protected, aad, payload)
    try:
        if algorithm == EDDSA:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, to_verify)
        else:
            r, s = signature[:_P256_BYTES], signature[_P256_BYTES:]
            der = encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
            point = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), public)
            point.verify(der, to_verify, ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError) as error:
        raise SignatureError("the signature does not hold") from error
    return payload
