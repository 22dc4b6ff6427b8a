"""The signed wire as a meter's maker reads it: signed telegrams up, signed acknowledgements down.

An acknowledgement speaks of counters at and below its high-water mark: bit i of `seen` says that
counter high_water - i is safe. What lies further back than its bits, it does not speak of.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from simulators import cose
from simulators.household import luck
from simulators.wire import READINGS_PER_TELEGRAM_MAX, Receipt, ReceiptError

UP_TEMPLATE: Final = "gas/v1/%b/%c/up"
READING_PURPOSE: Final = b"gas/v1/reading\x00"
ACK_PURPOSE: Final = b"gas/v1/ack\x00"
# How far an acknowledgement looks back, in counters.
SEEN_BITS: Final = 1024
HASH_BYTES: Final = 16
# The service signs with Ed25519.
SERVER_KEY_BYTES: Final = 32
_SEED_BYTES: Final = 32
# Keys of a telegram's map, and the optional one of an acknowledgement's.
METER, EPOCH, COUNTER, TIME, REGISTER, FLAGS, EARLIER, FIRMWARE, PREVIOUS = range(1, 10)
_ACK_REFUSED: Final = 6


class AckError(ReceiptError):
    """What came down is not an acknowledgement by the service for this meter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a meter is: its name and the key that never leaves it; the epoch counts its keys."""

    meter_id: str
    key_epoch: int
    key: cose.PrivateKey = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse a name that is not ASCII and an epoch before the first."""
        if not self.meter_id.isascii() or not self.meter_id or self.key_epoch < 1:
            raise ValueError("an identity has an ASCII name and an epoch from 1")

    @classmethod
    def of(cls, *, seed: str, meter_id: str, key_epoch: int = 1) -> Self:
        """Return the identity, with an Ed25519 key, that this seed gives a meter."""
        dice = luck(seed, "key", meter_id, key_epoch)
        key = Ed25519PrivateKey.from_private_bytes(dice[:_SEED_BYTES])
        return cls(meter_id=meter_id, key_epoch=key_epoch, key=key)

    @classmethod
    def of_p256(cls, *, seed: str, meter_id: str, key_epoch: int = 1) -> Self:
        """Return the identity of a meter whose secure element knows only ES256."""
        dice = luck(seed, "key-p256", meter_id, key_epoch)
        # Half the length of the curve's order: never zero in practice and always below it.
        secret = int.from_bytes(dice[: _SEED_BYTES // 2]) + 1
        key = derive_private_key(secret, SECP256R1())
        return cls(meter_id=meter_id, key_epoch=key_epoch, key=key)

    @property
    def public(self) -> bytes:
        """Return the public key as it is registered."""
        return cose.public_bytes(self.key)

    def entry(self) -> dict[str, Any]:
        """Return what somebody registers: meter, epoch and public key in hex."""
        return {
            "meter_id": self.meter_id,
            "key_epoch": self.key_epoch,
            "public_key": self.public.hex(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """What the service has of one meter and key epoch; times in Unix seconds."""

    meter_id: str
    key_epoch: int
    high_water: int
    seen: bytes
    server_time_s: int
    refused: tuple[tuple[int, str], ...] = ()

    def is_safe(self, counter: int) -> bool:
        """Say whether the service has stored the telegram of this counter."""
        back = self.high_water - counter
        return 0 <= back < SEEN_BITS and bool(self.seen[back // 8] >> back % 8 & 1)


def body(  # noqa: PLR0913  (the fields of the protocol page)
    *,
    meter_id: str,
    key_epoch: int,
    counter: int,
    registers: Sequence[tuple[int, int]],
    flags: int = 0,
    firmware: bytes | None = None,
    previous: bytes | None = None,
) -> dict[int, Any]:
    """Return a telegram's map; registers are (Unix seconds, dm3), newest first, at least one."""
    assert 0 < len(registers) <= READINGS_PER_TELEGRAM_MAX, "a telegram carries 1 to 500 registers"
    at_s, register_dm3 = registers[0]
    fields: dict[int, Any] = {
        METER: meter_id.encode("ascii"),
        EPOCH: key_epoch,
        COUNTER: counter,
        TIME: at_s,
        REGISTER: register_dm3,
        FLAGS: flags,
    }
    if len(registers) > 1:
        fields[EARLIER] = [[at_s - then_s, register_dm3 - dm3] for then_s, dm3 in registers[1:]]
    if firmware is not None:
        fields[FIRMWARE] = firmware
    if previous is not None:
        fields[PREVIOUS] = hashlib.sha256(previous).digest()[:HASH_BYTES]
    return fields


def telegram(  # noqa: PLR0913  (the fields of the protocol page)
    identity: Identity,
    *,
    counter: int,
    registers: Sequence[tuple[int, int]],
    flags: int = 0,
    firmware: bytes | None = None,
    previous: bytes | None = None,
) -> bytes:
    """Return a signed telegram; registers are (Unix seconds, dm3), newest first.

    `previous` is the whole message before this one, of which only a hash is sent.
    """
    fields = body(
        meter_id=identity.meter_id,
        key_epoch=identity.key_epoch,
        counter=counter,
        registers=registers,
        flags=flags,
        firmware=firmware,
        previous=previous,
    )
    return cose.sign(identity.key, cose.encode(fields), aad=reading_aad(identity.meter_id))


def reading_aad(meter_id: str) -> bytes:
    """Return what binds a signature to readings of one meter."""
    return READING_PURPOSE + meter_id.encode("ascii")


def ack_aad(meter_id: str) -> bytes:
    """Return what binds a signature to acknowledgements for one meter."""
    return ACK_PURPOSE + meter_id.encode("ascii")


def read_ack(message: bytes, *, meter_id: str, server_key: bytes) -> Ack:
    """Return an acknowledgement that this server key signed for this meter; raises AckError."""
    try:
        payload = cose.verify(message, server_key, aad=ack_aad(meter_id))
    except cose.SignatureError as error:
        raise AckError(str(error)) from error
    ack = parse_ack(payload)
    if ack.meter_id != meter_id:
        raise AckError("an acknowledgement of another meter")
    return ack


def parse_ack(payload: bytes) -> Ack:
    """Return what an acknowledgement says, whoever signed it; raises AckError."""
    try:
        match cose.decode(payload):
            case {
                1: bytes(name),
                2: int(epoch),
                3: int(high_water),
                4: bytes(seen),
                5: int(at_s),
                **rest,
            } if (
                len(seen) == SEEN_BITS // 8
                and min(epoch, high_water, at_s) >= 0
                and set(rest) <= {_ACK_REFUSED}
            ):
                return Ack(
                    meter_id=name.decode("ascii"),
                    key_epoch=epoch,
                    high_water=high_water,
                    seen=seen,
                    server_time_s=at_s,
                    refused=_refusals(rest.get(_ACK_REFUSED, [])),
                )
    except (cose.CborError, UnicodeDecodeError) as error:
        raise AckError("not an acknowledgement") from error
    raise AckError("an acknowledgement of the wrong shape")


def _refusals(items: object) -> tuple[tuple[int, str], ...]:
    """Return counter and reason of each refused telegram; raises AckError."""
    refused: list[tuple[int, str]] = []
    for item in items if isinstance(items, list) else [items]:
        match item:
            case [int(counter), str(reason)]:
                refused.append((counter, reason))
            case _:
                raise AckError("a refusal is a counter and a reason")
    return tuple(refused)


@dataclass(slots=True, kw_only=True)
class SignedVoice:
    """How a meter with a key speaks and listens; it remembers its last message for the chain."""

    identity: Identity
    server_key: bytes
    firmware: bytes | None = None
    _last: bytes | None = None

    def speak(self, counter: int, registers: Sequence[tuple[datetime, int]]) -> bytes:
        """Return a signed telegram; registers are (aware time, dm3), oldest first."""
        self._last = telegram(
            self.identity,
            counter=counter,
            registers=[(int(at.timestamp()), dm3) for at, dm3 in reversed(registers)],
            firmware=self.firmware,
            previous=self._last,
        )
        return self._last

    def listen(self, payload: bytes, waiting: Iterable[int]) -> tuple[Receipt, ...]:
        """Return what an acknowledgement settles of the waiting counters; raises AckError.

        A refusal weighs more than a bit: the bit may stand for another telegram of this counter.
        """
        meter_id = self.identity.meter_id
        ack = read_ack(payload, meter_id=meter_id, server_key=self.server_key)
        if ack.key_epoch != self.identity.key_epoch:
            return ()
        refused = dict(ack.refused)
        return tuple(
            Receipt(
                counter=counter,
                result="refused" if counter in refused else "stored",
                reason=refused.get(counter),
            )
            for counter in waiting
            if counter in refused or ack.is_safe(counter)
        )
