"""What a batch knows before it is decided, and what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from metering.ack import Ack
from metering.head import Head
from metering.reading import Mark, Reading
from metering.receipt import Answer
from metering.telegram import UNSIGNED, Arrival, Refusal, RefusalReason, Telegram
from metering.verdict import Verdict

# Enough of a refused message to see what it was; nobody fills the disk with one idea.
EVIDENCE_BYTES_MAX: Final = 4096
TOPIC_CHARS_MAX: Final = 256


class Heard(NamedTuple):
    """A message and what its bytes turned out to be."""

    arrival: Arrival
    said: Telegram | Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the database held about the meters of a batch when it was read, under their locks.

    ``heads`` has every registered meter of the batch. Of the meters in ``looked_up`` it also has:
    ``digests`` of telegrams by meter, epoch and counter; ``registers`` stored at the very instants
    of the batch, trusted or not; ``marks`` per installation (meter_id, installed_at), at least the
    nearest trusted readings before and after every reading of the batch.

    What was foreseen without a lock is true only if the buckets have these ``versions`` once they
    are locked, and nothing failed since (``era``).
    """

    heads: Mapping[str, Head]
    looked_up: frozenset[str] = frozenset()
    digests: Mapping[tuple[str, int, int], bytes] = field(default_factory=dict)
    registers: Mapping[tuple[str, datetime], int] = field(default_factory=dict)
    marks: Mapping[tuple[str, datetime], Sequence[Mark]] = field(default_factory=dict)
    versions: Mapping[int, int] = field(default_factory=dict)
    era: int = 0


class Judged(NamedTuple):
    """A reading to store with its verdict, and the telegram that brought it."""

    reading: Reading
    verdict: Verdict
    counter: int
    key_epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """A key that two stories were signed with, and the second of them."""

    meter_id: str
    key_epoch: int
    detail: str
    evidence: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A refused message to keep, its bytes cut; ``times`` counts the same one in this batch.

    ``sender`` is a registered meter, or empty for everybody we do not know, so that inventing names
    makes no new senders.
    """

    sender: str
    digest: bytes
    reason: RefusalReason
    detail: str
    topic: str
    payload: bytes
    size_bytes: int
    times: int


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What to store and what to answer; filled message by message, then read only.

    ``heads`` are the meters it changed, as they stand when it is committed.
    """

    telegrams: list[Telegram] = field(default_factory=list)
    readings: list[Judged] = field(default_factory=list)
    evidence: dict[tuple[str, bytes, RefusalReason], Evidence] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    freezes: list[Freeze] = field(default_factory=list)
    heads: dict[str, Head] = field(default_factory=dict)
    stored: int = 0
    repeated: int = 0
    refused: int = 0
    suspect: int = 0
    reading_conflicts: int = 0

    def acks(self) -> list[Ack]:
        """Return what to tell the signing meters, one for each key that was answered."""
        refused: dict[tuple[str, int], dict[int, str]] = {}
        for answer in self.answers:
            if answer.key_epoch > UNSIGNED:
                told = refused.setdefault((answer.meter_id, answer.key_epoch), {})
                if answer.reason is not None and answer.counter is not None:
                    told[answer.counter] = answer.reason.value
        return [
            Ack(
                meter_id=meter_id,
                key_epoch=key_epoch,
                window=self.heads[meter_id].window(key_epoch),
                refused=reasons,
            )
            for (meter_id, key_epoch), reasons in refused.items()
        ]
