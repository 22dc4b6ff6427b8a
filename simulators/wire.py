"""The wire as a meter's maker reads it: topics, telegrams up, receipts down.

Written from the protocol page alone, so that one wrong idea cannot stand on both sides.
"""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

# The protocol spreads meters over this many topic branches.
BUCKETS: Final = 64
# What one telegram may carry; the service refuses more.
READINGS_PER_TELEGRAM_MAX: Final = 500
# The counter is a 32-bit number and never wraps in a meter's life.
COUNTER_MAX: Final = 2**32 - 1
# The largest register the wire can carry.
REGISTER_DM3_MAX: Final = 10**15
UP_TEMPLATE: Final = "gas/v1/%b/%c/up/json"
# How a topic up ends, and the topic down where its answers come.
_DOWN_OF_UP: Final[Mapping[str, str]] = {"/up/json": "/down/receipt", "/up": "/down/ack"}
_RESULTS: Final = frozenset({"stored", "repeated", "refused"})


class ReceiptError(ValueError):
    """What came down is not a receipt; a meter must live on regardless."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the service says about one telegram; no counter means it could not read one."""

    counter: int | None
    result: str
    reason: str | None


class Voice(Protocol):
    """How a meter speaks and listens."""

    def speak(self, counter: int, registers: Sequence[tuple[datetime, int]]) -> bytes:
        """Return a telegram; registers are (aware time, dm3), oldest first, at least one."""

    def listen(self, payload: bytes, waiting: Iterable[int]) -> tuple[Receipt, ...]:
        """Return what a message down says of the waiting counters; raises ReceiptError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainVoice:
    """How a meter without a key speaks and listens: JSON, believed as it is."""

    meter_id: str

    def speak(self, counter: int, registers: Sequence[tuple[datetime, int]]) -> bytes:
        """Return a telegram as JSON."""
        return encode(meter_id=self.meter_id, counter=counter, registers=registers)

    def listen(self, payload: bytes, waiting: Iterable[int]) -> tuple[Receipt, ...]:  # noqa: ARG002
        """Return the receipts, also those of counters that do not wait; raises ReceiptError."""
        meter_id, receipts = decode_receipts(payload)
        if meter_id != self.meter_id:
            raise ReceiptError("a receipt of another meter")
        return receipts


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """Where a meter speaks and listens; %b is the bucket, %c meter, %i number, %u user."""

    template: str = UP_TEMPLATE
    user: str = ""

    def __post_init__(self) -> None:
        """Refuse a template that leaves no place for the receipts."""
        if not self.template.endswith(tuple(_DOWN_OF_UP)) or "%c" not in self.template:
            raise ValueError(f"a topic template holds %c and ends in {' or '.join(_DOWN_OF_UP)}")

    @property
    def is_signed(self) -> bool:
        """Say whether these topics are for signed telegrams."""
        return not self.template.endswith("/json")

    def up(self, meter_id: str, number: int) -> str:
        """Return the topic on which a meter sends."""
        words = {"%b": bucket(meter_id), "%c": meter_id, "%i": str(number), "%u": self.user}
        topic = self.template
        for word, value in words.items():
            topic = topic.replace(word, value)
        return topic

    def down(self, meter_id: str, number: int) -> str:
        """Return the topic on which a meter hears its receipts."""
        up = self.up(meter_id, number)
        suffix = next(suffix for suffix in _DOWN_OF_UP if up.endswith(suffix))
        return up.removesuffix(suffix) + _DOWN_OF_UP[suffix]


def bucket(meter_id: str) -> str:
    """Return the two digits of the topic branch that a meter belongs to."""
    return f"{zlib.crc32(meter_id.encode('ascii')) % BUCKETS:02d}"


def encode(*, meter_id: str, counter: int, registers: Sequence[tuple[datetime, int]]) -> bytes:
    """Return a telegram as bytes; registers are (aware time, dm3) pairs, at least one."""
    assert 0 < len(registers) <= READINGS_PER_TELEGRAM_MAX, "a telegram carries 1 to 500 readings"
    assert 0 <= counter <= COUNTER_MAX, "the counter has 32 bits"
    readings = [{"at": at.isoformat(), "dm3": register_dm3} for at, register_dm3 in registers]
    body = {"meter": meter_id, "counter": counter, "readings": readings, "flags": []}
    return json.dumps(body, separators=(",", ":")).encode()


def decode_receipts(payload: bytes) -> tuple[str, tuple[Receipt, ...]]:
    """Return the meter and its receipts; raises ReceiptError for anything else."""
    try:
        body = json.loads(payload)
        meter_id, items = body["meter"], body["receipts"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ReceiptError("not a receipt") from error
    if not isinstance(meter_id, str) or not isinstance(items, list):
        raise ReceiptError("meter or receipts have the wrong shape")
    return meter_id, tuple(_receipt(item) for item in items)


def _receipt(item: object) -> Receipt:
    """Return one entry of a receipt; raises ReceiptError."""
    if not isinstance(item, dict):
        raise ReceiptError("an entry is not an object")
    counter, result, reason = item.get("counter"), item.get("result"), item.get("reason")
    if counter is not None and not (type(counter) is int and 0 <= counter <= COUNTER_MAX):
        raise ReceiptError("a counter is a whole number of 32 bits")
    if not isinstance(result, str) or result not in _RESULTS:
        raise ReceiptError("a result is stored, repeated or refused")
    if not isinstance(reason, str | None):
        raise ReceiptError("a reason is text")
    return Receipt(counter=counter, result=result, reason=reason)
