"""What other makers' hardware publishes, made a telegram of ours or refused with a reason.

Each family is one file in ``adapters/`` with one function, ``read``: it finds the samples in a
payload and knows nothing of meters. Here they become one meter's telegram. Nothing raises, whatever
the bytes. No key signed any of it, so the telegram says so in its epoch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from hashlib import sha256
from typing import Final

from metering.reading import Reading
from metering.telegram import (
    ADAPTED,
    FLAGS_MAX,
    PAYLOAD_BYTES_MAX,
    READINGS_MAX,
    REGISTER_DM3_MAX,
    Refusal,
    RefusalReason,
    Telegram,
    refusal,
)

# The counters of adapted telegrams count seconds from here: they grow as the readings do. Below the
# seconds stand bits of the digest, so that two stories that end in the same second have a counter
# each. Together they are 53 bits, which JSON still carries exactly.
COUNTER_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
DIGEST_BITS: Final = 20
_LAST_INSTANT: Final = datetime(2100, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One mapping: what a topic says about one device is what this meter's dial shows.

    ``topic`` is an MQTT filter. ``device`` is the identity inside the payload, as the family spells
    it (a DevEUI, an id, a unique id); empty where the topic alone says whose it is. A register is
    ``offset_dm3 + count * dm3_per_count`` for families that count pulses, and the payload's own
    volume otherwise. ``unit`` is that of a bare number (``count`` for pulses), ``zone`` (IANA) that
    of a local time. ``every_s`` is the least time between two messages taken from a source that has
    no times of its own.
    """

    source_id: str
    family: str
    topic: str
    meter_id: str
    device: str = ""
    dm3_per_count: Fraction = Fraction(1)
    offset_dm3: int = 0
    unit: str = "m3"
    zone: str = "UTC"
    every_s: int = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message as a stranger published it; ``retained`` means that it may be old."""

    topic: str
    payload: bytes
    retained: bool
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A register in whole dm3 at an instant (aware)."""

    read_at: datetime
    register_dm3: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """What one message says about one device; no samples at all is a sign of life and no reading.

    Flags are those of our own wire: lower case and underscores.
    """

    samples: Sequence[Sample] = ()
    flags: Sequence[str] = ()


class UnreadableError(Exception):
    """A payload is not as the family says; the reason is what the evidence is kept under."""

    def __init__(self, reason: RefusalReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


# Finds the samples of a source's device in a message; None when the message is about another
# device. Raises UnreadableError for everything it cannot take.
Read = Callable[[Message, Source], Samples | None]


def adapt(source: Source, message: Message, read: Read) -> Telegram | Refusal | None:
    """Return the telegram of the source's meter, a refusal with its reason, or None.

    None means that the message says nothing about this device, or nothing that is a reading.
    """
    if len(message.payload) > PAYLOAD_BYTES_MAX:
        detail = f"{len(message.payload)} bytes"
        return _refuse(source, RefusalReason.TOO_LARGE, detail)
    try:
        found = read(message, source)
        return None if found is None or not found.samples else _telegram(source, found)
    except UnreadableError as error:
        return _refuse(source, error.reason, error.detail)
    except RecursionError:
        return _refuse(source, RefusalReason.BAD_SHAPE, "nested too deeply")
    except Exception as error:  # noqa: BLE001 - a mistake of ours costs a message, not the line
        return _refuse(source, RefusalReason.BAD_SHAPE, f"not understood: {type(error).__name__}")


def _telegram(source: Source, found: Samples) -> Telegram | Refusal:
    if len(found.samples) > READINGS_MAX:
        detail = f"{len(found.samples)} readings"
        return _refuse(source, RefusalReason.TOO_MANY_READINGS, detail)
    registers: dict[datetime, int] = {}
    for sample in found.samples:
        fault = _fault(sample)
        if fault is not None:
            return _refuse(source, RefusalReason.BAD_SHAPE, fault)
        read_at = sample.read_at.astimezone(UTC)
        if registers.setdefault(read_at, sample.register_dm3) != sample.register_dm3:
            detail = f"two registers at {read_at.isoformat()}"
            return _refuse(source, RefusalReason.BAD_SHAPE, detail)
    return _told(source.meter_id, sorted(registers.items()), _flags(found))


def _flags(found: Samples) -> tuple[str, ...]:
    return tuple(dict.fromkeys(found.flags))[:FLAGS_MAX]


def _fault(sample: Sample) -> str | None:
    if not COUNTER_EPOCH <= sample.read_at < _LAST_INSTANT:
        return "a time outside 2000 to 2099"
    if not 0 <= sample.register_dm3 <= REGISTER_DM3_MAX:
        return "a register out of range"
    return None


def _told(
    meter_id: str, registers: Sequence[tuple[datetime, int]], flags: tuple[str, ...]
) -> Telegram:
    second = (registers[-1][0] - COUNTER_EPOCH) // _SECOND
    # Flags stay out: gateways repeat a reading with other signs of the weather beside it.
    lines = [f"adapted {meter_id}"]
    lines += [f"{read_at.isoformat()} {register_dm3}" for read_at, register_dm3 in registers]
    digest = sha256("\n".join(lines).encode("ascii")).digest()
    return Telegram(
        meter_id=meter_id,
        counter=second << DIGEST_BITS | int.from_bytes(digest[:4], "big") >> (32 - DIGEST_BITS),
        readings=tuple(
            Reading(meter_id=meter_id, read_at=read_at, register_dm3=register_dm3)
            for read_at, register_dm3 in registers
        ),
        flags=flags,
        digest=digest,
        key_epoch=ADAPTED,
    )


def _refuse(source: Source, reason: RefusalReason, detail: str) -> Refusal:
    refused = refusal(reason, detail, source.meter_id)
    # Nobody there would understand a receipt.
    return replace(refused, key_epoch=ADAPTED, answerable=False)
