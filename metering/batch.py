"""A batch of messages against what we already know: which to store, which to refuse, what to say.

Pure: ``ingest`` loads the ``Known``, this decides, ``ingest`` stores the ``Outcome``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Final, assert_never

from metering.installation import Installation, Line, Outside, locate
from metering.meter import Meter
from metering.reading import Mark, Reading
from metering.receipt import Answer, Result
from metering.telegram import (
    Arrival,
    Refusal,
    RefusalReason,
    Telegram,
    printable,
)
from metering.verdict import Billable, Suspect, Verdict, judge, judge_place

# Enough of a refused message to see what it was; nobody fills the disk with one idea.
EVIDENCE_BYTES_MAX: Final = 4096
TOPIC_CHARS_MAX: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A message and what its bytes turned out to be."""

    arrival: Arrival
    said: Telegram | Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the database held about the meters of a batch when it was read, under their locks.

    ``marks`` holds, per installation (meter_id, installed_at), at least the nearest billable
    readings before and after every reading of the batch. ``registers`` holds what is stored at the
    very instants of the batch, trusted or not.
    """

    meters: Mapping[str, Meter]
    installations: Mapping[str, Sequence[Installation]]
    digests: Mapping[tuple[str, int], bytes]
    registers: Mapping[tuple[str, datetime], int]
    marks: Mapping[tuple[str, datetime], Sequence[Mark]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A reading to store with its verdict, and the counter of the telegram that brought it."""

    reading: Reading
    verdict: Verdict
    counter: int


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
    """What to store and what to answer; filled message by message, then read only."""

    telegrams: list[Telegram] = field(default_factory=list)
    readings: list[Judged] = field(default_factory=list)
    evidence: dict[tuple[str, bytes, RefusalReason], Evidence] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    stored: int = 0
    repeated: int = 0
    refused: int = 0
    suspect: int = 0
    reading_conflicts: int = 0


def settle(heard: Sequence[Heard], *, known: Known, at: datetime) -> Outcome:
    """Decide every message of a batch in order of arrival, each knowing what came before it."""
    batch = _Batch(known, at)
    for message in heard:
        match message.said:
            case Refusal() as refusal:
                batch.refuse(message.arrival, refusal)
            case Telegram() as telegram:
                batch.take(message.arrival, telegram)
            case other:
                assert_never(other)
    return batch.outcome


class _Batch:
    """The batch so far: what was known, plus what its own earlier messages added."""

    def __init__(self, known: Known, at: datetime) -> None:
        self.outcome = Outcome()
        self._known = known
        self._at = at
        self._digests = dict(known.digests)
        self._registers = dict(known.registers)
        self._lines: dict[tuple[str, datetime], Line] = {}

    def take(self, arrival: Arrival, telegram: Telegram) -> None:
        """Store a telegram with its readings judged, or say why not."""
        refuse = self._refuser(arrival, telegram)
        if telegram.meter_id not in self._known.meters:
            refuse(RefusalReason.UNKNOWN_METER, "no such meter")
            return
        told = self._digests.get((telegram.meter_id, telegram.counter))
        if told == telegram.digest:
            self.outcome.repeated += 1
            self._answer(telegram.meter_id, telegram.counter, Result.REPEATED)
            return
        if told is not None:
            refuse(RefusalReason.COUNTER_CONFLICT, f"counter {telegram.counter} said otherwise")
            return
        if not self._hung(telegram):
            refuse(RefusalReason.NOT_INSTALLED, "hangs nowhere at these times")
            return
        conflicts = [reading for reading in telegram.readings if self._contradicts(reading)]
        if len(conflicts) == len(telegram.readings):
            refuse(RefusalReason.READING_CONFLICT, _instants(conflicts))
            return
        if conflicts:
            # The rest is stored, so this is evidence and not an answer.
            self._keep(
                arrival, telegram.meter_id, RefusalReason.READING_CONFLICT, _instants(conflicts)
            )
            self.outcome.reading_conflicts += len(conflicts)
        self._store(telegram)

    def refuse(self, arrival: Arrival, refusal: Refusal) -> None:
        """Keep the evidence, and answer if we know whom."""
        self.outcome.refused += 1
        self._keep(arrival, refusal.meter_id, refusal.reason, refusal.detail)
        if refusal.meter_id is not None:
            self._answer(refusal.meter_id, refusal.counter, Result.REFUSED, refusal.reason)

    def _refuser(
        self, arrival: Arrival, telegram: Telegram
    ) -> Callable[[RefusalReason, str], None]:
        def refuse(reason: RefusalReason, detail: str) -> None:
            self.refuse(
                arrival,
                Refusal(
                    reason=reason,
                    detail=detail,
                    meter_id=telegram.meter_id,
                    counter=telegram.counter,
                ),
            )

        return refuse

    def _hung(self, telegram: Telegram) -> bool:
        """Say whether some reading lies in an installation of the meter, or before one."""
        installations = self._known.installations.get(telegram.meter_id, ())
        return bool(installations) and any(
            locate(installations, reading.read_at) is not Outside.AFTER
            for reading in telegram.readings
        )

    def _contradicts(self, reading: Reading) -> bool:
        held = self._registers.get((reading.meter_id, reading.read_at))
        return held is not None and held != reading.register_dm3

    def _store(self, telegram: Telegram) -> None:
        """Take a telegram in with every reading that is new; contradicting ones stay out."""
        self.outcome.stored += 1
        self.outcome.telegrams.append(telegram)
        self._digests[telegram.meter_id, telegram.counter] = telegram.digest
        for reading in telegram.readings:
            place = (reading.meter_id, reading.read_at)
            if place in self._registers:
                continue
            verdict = self._judge(reading)
            self._registers[place] = reading.register_dm3
            if isinstance(verdict, Suspect):
                self.outcome.suspect += 1
            self.outcome.readings.append(
                Judged(reading=reading, verdict=verdict, counter=telegram.counter)
            )
        self._answer(telegram.meter_id, telegram.counter, Result.STORED)

    def _judge(self, reading: Reading) -> Verdict:
        installations = self._known.installations[reading.meter_id]
        match locate(installations, reading.read_at):
            case Installation() as installation:
                misplaced = judge_place(reading, where=None, at=self._at)
            case Outside() as side:
                misplaced = judge_place(reading, where=side, at=self._at)
                assert misplaced is not None, "outside every installation is always misplaced"
                return misplaced
            case other:
                assert_never(other)
        if misplaced is not None:
            return misplaced
        line = self._line(installation)
        verdict = judge(
            reading,
            meter=self._known.meters[reading.meter_id],
            before=line.before(reading.read_at),
            after=line.after(reading.read_at),
        )
        if isinstance(verdict, Billable):
            line.add(
                Mark(
                    read_at=reading.read_at,
                    register_dm3=reading.register_dm3,
                    turns=verdict.turns,
                )
            )
        return verdict

    def _line(self, installation: Installation) -> Line:
        key = (installation.meter_id, installation.installed_at)
        if key not in self._lines:
            self._lines[key] = Line(installation, self._known.marks.get(key, ()))
        return self._lines[key]

    def _answer(
        self,
        meter_id: str,
        counter: int | None,
        result: Result,
        reason: RefusalReason | None = None,
    ) -> None:
        self.outcome.answers.append(
            Answer(
                meter_id=meter_id,
                registered=meter_id in self._known.meters,
                counter=counter,
                result=result,
                reason=reason,
            )
        )

    def _keep(
        self, arrival: Arrival, meter_id: str | None, reason: RefusalReason, detail: str
    ) -> None:
        sender = meter_id if meter_id is not None and meter_id in self._known.meters else ""
        digest = sha256(arrival.payload).digest()
        key = (sender, digest, reason)
        before = self.outcome.evidence.get(key)
        self.outcome.evidence[key] = Evidence(
            sender=sender,
            digest=digest,
            reason=reason,
            detail=detail,
            topic=printable(arrival.topic, TOPIC_CHARS_MAX),
            payload=arrival.payload[:EVIDENCE_BYTES_MAX],
            size_bytes=len(arrival.payload),
            times=before.times + 1 if before is not None else 1,
        )


def _instants(readings: Sequence[Reading]) -> str:
    """Name the first contradicting instant and how many there are."""
    return f"{len(readings)} other registers, first at {readings[0].read_at.isoformat()}"
