"""A signed telegram: COSE_Sign1 (RFC 9052) over deterministic CBOR (RFC 8949, 4.2).

The topic is ``gas/v1/<bucket>/<meter>/up``. The envelope is fixed but for its contents:

    18([ << {1: alg, 4: kid} >>, {}, << body >>, signature ])

``alg`` is EdDSA (-8) or, for secure elements without Ed25519, ES256 (-7). ``kid`` is the first
eight bytes of the SHA-256 of the public key. The signature also covers ``gas/v1/reading``, a zero
byte and the meter's id, so no telegram means anything on another meter's topic. The body is a map:

    1 meter id (bytes)   2 key epoch   3 counter   4 device clock, Unix seconds   5 register, dm3
    6 flags, bit by bit  7 earlier registers: [[seconds before 4, dm3 below 5], ...], newest first
    8 firmware hash (1-16 bytes)   9 first 16 bytes of the SHA-256 of the message before

7, 8 and 9 may be left out. Bytes that say the same in another way are refused: one story, one
spelling.
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from metering.meter import bucket
from metering.reading import Reading
from metering.telegram import (
    COUNTER_MAX,
    PAYLOAD_BYTES_MAX,
    READINGS_MAX,
    REGISTER_DM3_MAX,
    Refusal,
    RefusalReason,
    Telegram,
    refusal,
)

CONTEXT: Final = b"gas/v1/reading"
# Bits of field 6 from the lowest, as flags of a telegram.
FLAGS: Final = ("magnet", "tilt", "cover", "battery_low", "reverse", "valve", "clock_lost")
EPOCH_MAX: Final = 2**31 - 1

_TOPIC: Final = re.compile(r"gas/v1/([0-9]{2})/([A-Z0-9-]{1,32})/up")
# 18([ bytes(13): {1: alg, 4: bytes(8) ...
_HEAD: Final = {
    bytes.fromhex("d2844da201270448"): "EdDSA",
    bytes.fromhex("d2844da201260448"): "ES256",
}
_HEAD_BYTES: Final = 8
_KID_BYTES: Final = 8
_PROTECTED: Final = slice(3, 16)
_UNPROTECTED_AT: Final = 16
# bytes(64): both algorithms sign with as many.
_SIGNATURE_HEAD: Final = b"\x58\x40"
_SIGNATURE_BYTES: Final = 64
_COORDINATE_BYTES: Final = 32
# 500 registers of two 9-byte numbers each are under 10 KiB. A decoder spends the square of what a
# hostile number has in bytes, and all this comes before the signature is checked.
_BODY_BYTES_MAX: Final = 10 * 1024
_DIAGNOSED_BYTES_MAX: Final = 1024
_TAG_SIGN1: Final = 18
_ITEMS: Final = 4
_ALGORITHMS: Final = {-8, -7}
_T_MIN: Final = 946_684_800  # 2000-01-01
_T_MAX: Final = 4_102_444_800  # 2100-01-01
_METER, _EPOCH, _COUNTER, _T, _IDX, _FLAGS, _EARLIER, _FIRMWARE, _PREVIOUS = range(1, 10)
_FIELDS: Final = frozenset(range(1, 10))
_NEEDED: Final = frozenset(range(1, 7))
# Each number with the most it may be, each byte string with its lengths.
_NUMBERS: Final = (
    (_EPOCH, EPOCH_MAX),
    (_COUNTER, 2**64 - 1),
    (_T, 2**64 - 1),
    (_IDX, 2**64 - 1),
    (_FLAGS, 2 ** len(FLAGS) - 1),
)
_BYTES: Final = ((_METER, 1, 32), (_FIRMWARE, 1, 16), (_PREVIOUS, 16, 16))
_PAIR: Final = [int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A well-formed signed telegram whose signature nobody has checked yet."""

    telegram: Telegram
    algorithm: str
    signed: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A public key of a meter, with what may stand against it."""

    key_epoch: int
    algorithm: str
    public_key: bytes
    kid: bytes
    valid_until: datetime | None
    frozen: bool
    revoked: bool


@lru_cache(maxsize=65536)
def signer_of(topic: str) -> str | None:
    """Return the meter that a topic of signed telegrams names, or None when it is none."""
    match = _TOPIC.fullmatch(topic)
    if match is None or bucket(match[2]) != match[1]:
        return None
    return match[2]


def unseal(meter_id: str, payload: bytes) -> Sealed | Refusal:
    """Return what a message on a meter's own topic claims, or why it is refused; never raises."""
    if len(payload) > PAYLOAD_BYTES_MAX:
        return _unproven(RefusalReason.TOO_LARGE, f"{len(payload)} bytes", meter_id)
    algorithm = _HEAD.get(payload[:_HEAD_BYTES])
    body = _body(payload) if algorithm is not None else None
    if algorithm is None or body is None:
        return _diagnose(meter_id, payload)
    kid = payload[_HEAD_BYTES : _HEAD_BYTES + _KID_BYTES]
    telegram = _read(meter_id, body, kid=kid, payload=payload)
    if isinstance(telegram, Refusal):
        return telegram
    return Sealed(
        telegram=telegram,
        algorithm=algorithm,
        signed=to_be_signed(meter_id, payload[_PROTECTED], body),
        signature=payload[-_SIGNATURE_BYTES:],
    )


def to_be_signed(
    meter_id: str, protected: bytes, body: bytes, *, context: bytes = CONTEXT
) -> bytes:
    """Return the Sig_structure of RFC 9052, 4.4, that a signature of this context covers."""
    bound = context + b"\x00" + meter_id.encode("ascii")
    return (
        b"\x84\x6aSignature1"
        + bytes_head(len(protected))
        + protected
        + bytes_head(len(bound))
        + bound
        + bytes_head(len(body))
        + body
    )


def verify(sealed: Sealed, key: Key) -> bool:
    """Say whether this key signed it: same algorithm, same key id, right signature.

    It waits for nothing and holds no lock while it computes, so it may run in threads.
    """
    if sealed.algorithm != key.algorithm or sealed.telegram.kid != key.kid:
        return False
    try:
        if key.algorithm == "EdDSA":
            _ed25519(key.public_key).verify(sealed.signature, sealed.signed)
        else:
            half = _COORDINATE_BYTES
            r = int.from_bytes(sealed.signature[:half], "big")
            s = int.from_bytes(sealed.signature[half:], "big")
            _p256(key.public_key).verify(encode_dss_signature(r, s), sealed.signed, ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


@lru_cache(maxsize=65536)
def _ed25519(public_key: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public_key)


@lru_cache(maxsize=4096)
def _p256(public_key: bytes) -> EllipticCurvePublicKey:
    return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), public_key)


def bytes_head(length: int) -> bytes:
    """Return the head of a CBOR byte string, in its shortest form."""
    if length < 24:  # noqa: PLR2004 - RFC 8949, 3
        return bytes([0x40 | length])
    if length < 2**8:
        return bytes([0x58, length])
    return b"\x59" + length.to_bytes(2, "big")


def _body(payload: bytes) -> bytes | None:
    """Return the body between the headers and the signature, or None when the frame is wrong."""
    end = len(payload) - _SIGNATURE_BYTES - len(_SIGNATURE_HEAD)
    if payload[_UNPROTECTED_AT : _UNPROTECTED_AT + 1] != b"\xa0":
        return None
    if payload[end : end + len(_SIGNATURE_HEAD)] != _SIGNATURE_HEAD:
        return None
    framed = payload[_UNPROTECTED_AT + 1 : end]
    for head_bytes in (2, 1, 3):
        body = framed[head_bytes:]
        if body and framed[:head_bytes] == bytes_head(len(body)):
            return body
    return None


def _diagnose(meter_id: str, payload: bytes) -> Refusal:
    """Say what is wrong with a frame that is not ours; slow, for the bad ones only."""
    reason, detail = RefusalReason.NOT_COSE, "headers or encoding are not as agreed"
    if len(payload) > _DIAGNOSED_BYTES_MAX:
        return _unproven(reason, detail, meter_id)
    try:
        frame = cbor2.loads(payload)
        items = frame.value if isinstance(frame, cbor2.CBORTag) else None
        if not isinstance(items, list) or len(items) != _ITEMS or frame.tag != _TAG_SIGN1:
            detail = "not a tagged COSE_Sign1"
        elif cbor2.loads(items[0]).get(1) not in _ALGORITHMS:
            reason, detail = RefusalReason.WRONG_ALGORITHM, "only EdDSA and ES256"
        elif not isinstance(items[3], bytes) or len(items[3]) != _SIGNATURE_BYTES:
            reason, detail = RefusalReason.BAD_SIGNATURE, "a signature has 64 bytes"
    except Exception as error:  # noqa: BLE001 - whatever a decoder makes of hostile bytes
        detail = f"not CBOR: {type(error).__name__}"
    return _unproven(reason, detail, meter_id)


def _unproven(reason: RefusalReason, detail: str, meter_id: str) -> Refusal:
    """Return a refusal that nobody is told: nothing says that the meter sent this."""
    return replace(refusal(reason, detail, meter_id), answerable=False)


def unproven(sealed: Sealed, reason: RefusalReason, detail: str) -> Refusal:
    """Return the refusal of a telegram whose signature is not that of its meter."""
    return _unproven(reason, detail, sealed.telegram.meter_id)


def _read(meter_id: str, body: bytes, *, kid: bytes, payload: bytes) -> Telegram | Refusal:
    if len(body) > _BODY_BYTES_MAX:
        return _unproven(RefusalReason.BAD_SHAPE, f"body: {len(body)} bytes", meter_id)
    try:
        said = cbor2.loads(body)
        wrong = _wrong_field(said)
        if wrong is None and cbor2.dumps(said, canonical=True) != body:
            wrong = "not in deterministic CBOR"
        registers = _registers(said) if wrong is None else []
    except Exception as error:  # noqa: BLE001 - whatever a decoder makes of hostile bytes
        return _unproven(RefusalReason.BAD_SHAPE, f"body: {type(error).__name__}", meter_id)
    if isinstance(registers, str):
        wrong = registers
    if wrong is not None or isinstance(registers, str):
        return _unproven(RefusalReason.BAD_SHAPE, str(wrong), meter_id)
    if said[_METER] != meter_id.encode("ascii"):
        return _unproven(RefusalReason.METER_MISMATCH, "the body names another meter", meter_id)
    if said[_COUNTER] > COUNTER_MAX:
        return _unproven(RefusalReason.COUNTER_JUMP, f"counter {said[_COUNTER]}", meter_id)
    return Telegram(
        meter_id=meter_id,
        counter=said[_COUNTER],
        readings=tuple(
            [
                Reading(
                    meter_id=meter_id,
                    read_at=datetime.fromtimestamp(seconds, UTC),
                    register_dm3=register_dm3,
                )
                for seconds, register_dm3 in reversed(registers)
            ]
        ),
        flags=_names(said[_FLAGS]),
        digest=sha256(body).digest(),
        key_epoch=said[_EPOCH],
        kid=kid,
        firmware=said.get(_FIRMWARE),
        evidence=payload,
    )


@lru_cache(maxsize=128)
def _names(bits: int) -> tuple[str, ...]:
    return tuple(name for bit, name in enumerate(FLAGS) if bits >> bit & 1)


def _wrong_field(said: object) -> str | None:
    """Name the first field that is not as agreed; times and registers come later."""
    if not isinstance(said, dict) or not _NEEDED <= said.keys() <= _FIELDS:
        return "fields missing or too many"
    if any(type(field) is not int for field in said):
        # In Python true and 1.0 are the same key as 1; on the wire they are another spelling.
        return "fields are numbered"
    for field, most in _NUMBERS:
        if type(said[field]) is not int or not 0 <= said[field] <= most:
            return f"{field}: an unsigned number"
    for field, least, most in _BYTES:
        value = said.get(field)
        if field in said and (type(value) is not bytes or not least <= len(value) <= most):
            return f"{field}: {least} to {most} bytes"
    return None if said[_EPOCH] else "2: epochs begin with 1"


def _registers(said: dict[Any, Any]) -> list[tuple[int, int]] | str:
    """Return (Unix seconds, dm3), newest first, or what is wrong with them."""
    t, idx, earlier = said[_T], said[_IDX], said.get(_EARLIER, [])
    if type(earlier) is not list or (_EARLIER in said and not 0 < len(earlier) < READINGS_MAX):
        return "7: too many or none"
    registers = [(t, idx)]
    for pair in earlier:
        if type(pair) is not list or [type(part) for part in pair] != _PAIR:
            return "7: pairs of whole numbers"
        registers.append((t - pair[0], idx - pair[1]))
    last = _T_MAX
    for seconds, register_dm3 in registers:
        if not _T_MIN <= seconds < last:
            return "4, 7: outside 2000 to 2099, or not newest first"
        if not 0 <= register_dm3 <= REGISTER_DM3_MAX:
            return "5, 7: register out of range"
        last = seconds
    return registers
