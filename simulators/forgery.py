"""How a telegram is forged: tricks that take a heard one and return hostile bytes.

A trick gets dice, the telegram of its victim and one of another meter. `hostile.py` has the list.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from simulators import cose, signed
from simulators.signed import Identity
from simulators.wire import Topics

_TOPICS: Final = Topics(template=signed.UP_TEMPLATE)
# The order of the curve P-256: with it everybody can turn one good ES256 signature into another.
_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_EMPTY_MAP: Final = b"\xa0"
_TAG_18: Final = b"\xd2"
_LIST_OF_4: Final = b"\x84"


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """An honest telegram, as somebody heard it on its way, and whose it is."""

    identity: Identity
    counter: int
    message: bytes

    @property
    def topic(self) -> str:
        """Return where it was heard."""
        return _TOPICS.up(self.identity.meter_id, 0)


Trick = Callable[[random.Random, Captured, Captured], bytes]


def capture(identity: Identity, counter: int, registers: Sequence[tuple[int, int]]) -> Captured:
    """Return an honest telegram; registers are (Unix seconds, dm3), newest first."""
    message = signed.telegram(identity, counter=counter, registers=registers)
    return Captured(identity=identity, counter=counter, message=message)


def envelope(
    protected: bytes, payload: bytes, signature: bytes, *, unprotected: bytes = _EMPTY_MAP
) -> bytes:
    """Return a tagged message out of parts that need not fit; `unprotected` is CBOR already."""
    parts = cose.encode(protected) + unprotected + cose.encode(payload) + cose.encode(signature)
    return _TAG_18 + _LIST_OF_4 + parts


def raw_map(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return a map out of encoded pairs, in this order and as often as they stand there."""
    return cose.head(5, len(pairs)) + b"".join(key + value for key, value in pairs)


def pairs_of(one: Captured) -> list[tuple[bytes, bytes]]:
    """Return the encoded pairs of an honest payload, in order."""
    return [(cose.encode(key), cose.encode(value)) for key, value in fields_of(one).items()]


def fields_of(one: Captured) -> dict[int, Any]:
    """Return the map of an honest telegram."""
    fields: dict[int, Any] = cose.decode(cose.opened(one.message)[1])
    return fields


def sealed(one: Captured, payload: bytes) -> bytes:
    """Return any payload under the victim's own good signature."""
    return cose.sign(one.identity.key, payload, aad=signed.reading_aad(one.identity.meter_id))


def changed(changes: Mapping[int, Any], *, without: int = 0) -> Trick:
    """Return the trick of an opened meter that changes or drops fields and signs well."""

    def trick(_dice: random.Random, one: Captured, _other: Captured) -> bytes:
        fields = fields_of(one) | dict(changes)
        fields.pop(without, None)
        return sealed(one, cose.encode(fields))

    return trick


def spoiled(key: int, value: bytes) -> Trick:
    """Return the trick of an opened meter whose field holds CBOR that the wire does not know."""

    def trick(_dice: random.Random, one: Captured, _other: Captured) -> bytes:
        raw = cose.encode(key)
        pairs = [(name, value if name == raw else old) for name, old in pairs_of(one)]
        if all(name != raw for name, _ in pairs):
            pairs = sorted([*pairs, (raw, value)])
        return sealed(one, raw_map(pairs))

    return trick


def bit_flip(dice: random.Random, one: Captured, _other: Captured) -> bytes:
    """Turn one bit over."""
    place = dice.randrange(8 * len(one.message))
    changed = bytearray(one.message)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def bytes_changed(dice: random.Random, one: Captured, _other: Captured) -> bytes:
    """Change some bytes."""
    changed = bytearray(one.message)
    for _ in range(dice.randint(2, 9)):
        changed[dice.randrange(len(changed))] ^= dice.randint(1, 255)
    return bytes(changed) if changed != one.message else b""


def cut(dice: random.Random, one: Captured, _other: Captured) -> bytes:
    """Lose the end."""
    return one.message[: dice.randrange(len(one.message))]


def piece_lost(dice: random.Random, one: Captured, _other: Captured) -> bytes:
    """Lose a piece."""
    start = dice.randrange(len(one.message))
    return one.message[:start] + one.message[start + dice.randint(1, 16) :]


def replay(_dice: random.Random, one: Captured, _other: Captured) -> bytes:
    """Say it again."""
    return one.message


def trailing(dice: random.Random, one: Captured, _other: Captured) -> bytes:
    """Add bytes behind the end."""
    return one.message + dice.randbytes(dice.randint(1, 40))


def noise(dice: random.Random, _one: Captured, _other: Captured) -> bytes:
    """Say nothing of sense."""
    return dice.randbytes(dice.randint(0, 300))


def with_parts(make: Callable[[bytes, bytes, bytes, Captured], bytes]) -> Trick:
    """Return the trick that puts the parts of a message together in another way."""

    def trick(_dice: random.Random, one: Captured, other: Captured) -> bytes:
        return make(*cose.opened(one.message), other)

    return trick


def forged(key_of: Callable[[Captured, Captured], cose.PrivateKey], *, own_kid: bool) -> Trick:
    """Return the trick that signs the victim's payload with somebody else's key."""

    def trick(_dice: random.Random, one: Captured, other: Captured) -> bytes:
        protected, payload, _ = cose.opened(one.message)
        key = key_of(one, other)
        header = cose.protected_of(key) if own_kid else protected
        aad = signed.reading_aad(one.identity.meter_id)
        signature = cose.signature_of(key, cose.structure(header, aad, payload))
        return envelope(header, payload, signature)

    return trick


def with_header(fields: Mapping[Any, Any], *, keep: bool = True) -> Trick:
    """Return the trick that signs well under a header that the protocol does not know."""

    def trick(_dice: random.Random, one: Captured, _other: Captured) -> bytes:
        protected, payload, _ = cose.opened(one.message)
        header = cose.encode({**(cose.decode(protected) if keep else {}), **fields})
        aad = signed.reading_aad(one.identity.meter_id)
        to_sign = cose.structure(header, aad, payload)
        return envelope(header, payload, cose.signature_of(one.identity.key, to_sign))

    return trick


def for_purpose(aad_of: Callable[[str], bytes]) -> Trick:
    """Return the trick that signs well for another purpose."""

    def trick(_dice: random.Random, one: Captured, _other: Captured) -> bytes:
        payload = cose.opened(one.message)[1]
        return cose.sign(one.identity.key, payload, aad=aad_of(one.identity.meter_id))

    return trick


def twisted(signature: bytes) -> bytes:
    """Return r and n - s: of ES256 the same good signature in other bytes; of EdDSA nothing."""
    s = int.from_bytes(signature[32:])
    return signature[:32] + ((_P256_ORDER - s) % _P256_ORDER).to_bytes(32)


def ahead(changes: Mapping[int, Any]) -> Trick:
    """Return the trick of an opened meter on a counter that nobody has used yet."""

    def trick(dice: random.Random, one: Captured, _other: Captured) -> bytes:
        counter = one.counter + dice.randint(1, 1000)
        fields = fields_of(one) | {signed.COUNTER: counter, **changes}
        return sealed(one, cose.encode(fields))

    return trick


def stranger(one: Captured, _other: Captured) -> cose.PrivateKey:
    """Return a key that nobody registered."""
    return Identity.of(seed="stranger", meter_id=one.identity.meter_id).key


def neighbour(_one: Captured, other: Captured) -> cose.PrivateKey:
    """Return the key of another meter."""
    return other.identity.key
