"""A batch of messages against what we already know: which to store, which to refuse, what to say.

Pure: ``ingest`` loads the ``Known``, this decides, ``ingest`` stores the ``Outcome``.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Final, assert_never

from metering.bar import barred
from metering.head import Head
from metering.installation import Installation, Line, Outside, locate
from metering.outcome import (
    EVIDENCE_BYTES_MAX,
    TOPIC_CHARS_MAX,
    Evidence,
    Freeze,
    Heard,
    Judged,
    Known,
    Outcome,
)
from metering.reading import Mark, Reading
from metering.receipt import Answer, Result
from metering.telegram import (
    UNSIGNED,
    Arrival,
    Refusal,
    RefusalReason,
    Telegram,
    printable,
)
from metering.verdict import (
    CLOCK_AHEAD_MAX,
    Billable,
    Reason,
    Suspect,
    Verdict,
    judge,
    judge_place,
)

# The flag of a meter that does not know what time it is.
CLOCK_LOST: Final = "clock_lost"

_CLOCK_LOST: Final = Suspect(reason=Reason.CLOCK_LOST)
_CLOCK_AHEAD: Final = Suspect(reason=Reason.CLOCK_AHEAD)


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
        self._ahead = at + CLOCK_AHEAD_MAX
        self._digests = dict(known.digests)
        self._registers = dict(known.registers)
        self._lines: dict[tuple[str, datetime], Line] = {}

    def take(self, arrival: Arrival, telegram: Telegram) -> None:
        """Store a telegram with its readings judged, or say why not."""
        head = self._head(telegram.meter_id)
        if head is None:
            self._refuse(arrival, telegram, RefusalReason.UNKNOWN_METER, "no such meter")
            return
        bar = barred(telegram, head, self._at)
        if bar is not None:
            self._refuse(arrival, telegram, bar.reason, bar.detail, told=bar.told)
            return
        if telegram.meter_id not in self._known.looked_up:
            self._continue(head, telegram)
            return
        if self._told(arrival, telegram, head):
            return
        if not _hung(telegram, head):
            self._refuse(
                arrival, telegram, RefusalReason.NOT_INSTALLED, "hangs nowhere at these times"
            )
            return
        conflicts = [reading for reading in telegram.readings if self._contradicts(reading)]
        if len(conflicts) == len(telegram.readings):
            self._refuse(arrival, telegram, RefusalReason.READING_CONFLICT, _instants(conflicts))
            return
        if conflicts:
            # The rest is stored, so this is evidence and not an answer.
            self._keep(
                arrival, telegram.meter_id, RefusalReason.READING_CONFLICT, _instants(conflicts)
            )
            self.outcome.reading_conflicts += len(conflicts)
        self._store(head, telegram)

    def refuse(self, arrival: Arrival, refusal: Refusal) -> None:
        """Keep the evidence, and answer if we know whom."""
        self.outcome.refused += 1
        self._keep(arrival, refusal.meter_id, refusal.reason, refusal.detail)
        if refusal.meter_id is not None and refusal.answerable:
            if refusal.key_epoch > UNSIGNED:
                # An ack shows the window, also when nothing but this refusal was heard.
                self._head(refusal.meter_id)
            self._answer(
                refusal.meter_id,
                refusal.key_epoch,
                refusal.counter,
                Result.REFUSED,
                refusal.reason,
            )

    def _refuse(
        self,
        arrival: Arrival,
        telegram: Telegram,
        reason: RefusalReason,
        detail: str,
        *,
        told: bool = True,
    ) -> None:
        """Refuse a telegram that could be read; ``told`` tells the meter to forget it."""
        self.refuse(
            arrival,
            Refusal(
                reason=reason,
                detail=detail,
                meter_id=telegram.meter_id,
                counter=telegram.counter if told else None,
                key_epoch=telegram.key_epoch,
                answerable=telegram.meter_id in self._known.heads or telegram.key_epoch == UNSIGNED,
            ),
        )

    def _head(self, meter_id: str) -> Head | None:
        """Return the batch's own copy of a meter's head."""
        head = self.outcome.heads.get(meter_id)
        if head is None:
            known = self._known.heads.get(meter_id)
            if known is None:
                return None
            head = self.outcome.heads[meter_id] = known.copy()
        return head

    def _told(self, arrival: Arrival, telegram: Telegram, head: Head) -> bool:
        """Say whether this counter has told its story before, the same or another."""
        told = self._digests.get((telegram.meter_id, telegram.key_epoch, telegram.counter))
        if told is None:
            return False
        if told == telegram.digest:
            self.outcome.repeated += 1
            self._answer(telegram.meter_id, telegram.key_epoch, telegram.counter, Result.REPEATED)
            return True
        detail = f"counter {telegram.counter} said otherwise"
        if telegram.key_epoch > UNSIGNED:
            self._freeze(telegram, head, detail)
            self._refuse(arrival, telegram, RefusalReason.EQUIVOCATION, detail, told=False)
        else:
            self._refuse(arrival, telegram, RefusalReason.COUNTER_CONFLICT, detail)
        return True

    def _freeze(self, telegram: Telegram, head: Head, detail: str) -> None:
        """Two stories under one counter and one key: a clone. Nobody is believed from here on."""
        assert telegram.evidence is not None, "a signed telegram has its bytes"
        self.outcome.freezes.append(
            Freeze(
                meter_id=telegram.meter_id,
                key_epoch=telegram.key_epoch,
                detail=detail,
                evidence=telegram.evidence,
            )
        )
        head.keys = tuple(
            replace(key, frozen=True) if key.key_epoch == telegram.key_epoch else key
            for key in head.keys
        )

    def _contradicts(self, reading: Reading) -> bool:
        held = self._registers.get((reading.meter_id, reading.read_at))
        return held is not None and held != reading.register_dm3

    def _continue(self, head: Head, telegram: Telegram) -> None:
        """Take in a telegram that begins where the meter's last one ended: nothing to look up."""
        outcome = self.outcome
        installation = head.hanging
        assert installation is not None, "a meter that hangs nowhere is looked up"
        mark = head.mark or installation.opening
        counter, key_epoch = telegram.counter, telegram.key_epoch
        unset = CLOCK_LOST in telegram.flags
        for reading in telegram.readings:
            if unset:
                verdict: Verdict = _CLOCK_LOST
            elif reading.read_at > self._ahead:
                verdict = _CLOCK_AHEAD
            else:
                verdict = judge(reading, meter=head.meter, before=mark, after=None)
            if isinstance(verdict, Billable):
                mark = Mark(reading.read_at, reading.register_dm3, verdict.turns)
            else:
                outcome.suspect += 1
            outcome.readings.append(Judged(reading, verdict, counter, key_epoch))
        head.mark = mark
        head.last_read_at = telegram.readings[-1].read_at
        head.heard(key_epoch, counter)
        outcome.stored += 1
        outcome.telegrams.append(telegram)
        self._answer(telegram.meter_id, key_epoch, counter, Result.STORED)

    def _store(self, head: Head, telegram: Telegram) -> None:
        """Take a telegram in with every reading that is new; contradicting ones stay out."""
        self.outcome.stored += 1
        self.outcome.telegrams.append(telegram)
        key_epoch = telegram.key_epoch
        self._digests[telegram.meter_id, key_epoch, telegram.counter] = telegram.digest
        head.heard(key_epoch, telegram.counter)
        for reading in telegram.readings:
            place = (reading.meter_id, reading.read_at)
            if place in self._registers:
                continue
            verdict = self._judge(head, reading, unset=CLOCK_LOST in telegram.flags)
            self._registers[place] = reading.register_dm3
            if isinstance(verdict, Suspect):
                self.outcome.suspect += 1
            self.outcome.readings.append(Judged(reading, verdict, telegram.counter, key_epoch))
            if head.last_read_at is None or reading.read_at > head.last_read_at:
                head.last_read_at = reading.read_at
        self._answer(telegram.meter_id, key_epoch, telegram.counter, Result.STORED)

    def _judge(self, head: Head, reading: Reading, *, unset: bool) -> Verdict:
        if unset:
            return _CLOCK_LOST
        match locate(head.installations, reading.read_at):
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
            meter=head.meter,
            before=line.before(reading.read_at),
            after=line.after(reading.read_at),
        )
        if isinstance(verdict, Billable):
            mark = Mark(
                read_at=reading.read_at, register_dm3=reading.register_dm3, turns=verdict.turns
            )
            line.add(mark)
            if installation is head.hanging and (
                head.mark is None or head.mark.read_at <= mark.read_at
            ):
                head.mark = mark
        return verdict

    def _line(self, installation: Installation) -> Line:
        key = (installation.meter_id, installation.installed_at)
        if key not in self._lines:
            self._lines[key] = Line(installation, self._known.marks.get(key, ()))
        return self._lines[key]

    def _answer(
        self,
        meter_id: str,
        key_epoch: int,
        counter: int | None,
        result: Result,
        reason: RefusalReason | None = None,
    ) -> None:
        self.outcome.answers.append(
            Answer(meter_id, meter_id in self._known.heads, counter, result, reason, key_epoch)
        )

    def _keep(
        self, arrival: Arrival, meter_id: str | None, reason: RefusalReason, detail: str
    ) -> None:
        sender = meter_id if meter_id is not None and meter_id in self._known.heads else ""
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


def _hung(telegram: Telegram, head: Head) -> bool:
    """Say whether some reading lies in an installation of the meter, or before one."""
    return bool(head.installations) and any(
        locate(head.installations, reading.read_at) is not Outside.AFTER
        for reading in telegram.readings
    )
