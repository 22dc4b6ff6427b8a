"""One file of readings that an operator sent: decide its rows as telegrams, chunk by chunk.

    file ─▶ sheet ─▶ chunk of whole meters ─▶ settle ─▶ [telegram] [reading] [upload] [upload_row]

Each chunk is one transaction that also moves the upload on, so a killed upload stands exactly where
its readings stand, and the same file sent again goes on from there. A file that was taken in and
comes again is found repeated, row by row. A dry run decides the same and rolls every chunk back.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from heapq import merge
from typing import Final, Protocol
from uuid import UUID

import structlog

from metering.batch import settle
from metering.ingest import TRIES_MAX, BusyError, NotStorableError
from metering.outcome import EVIDENCE_BYTES_MAX, Heard, Known, Outcome
from metering.row_answer import (
    RowAnswer,
    RowCounts,
    RowResult,
    answer_rows,
    count,
    refused,
)
from metering.sheet import Sheet, UnreadableError
from metering.telegram import (
    UPLOADED,
    Arrival,
    Refusal,
    RefusalReason,
    Telegram,
    refusal,
)
from metering.upload import Manner, Row

# What the evidence of a refused row says in the place of a topic.
TOPIC: Final = "upload"
# Nobody reads more mistakes of one file than this; the rest is counted.
ANSWERS_MAX: Final = 10_000
# The results that a person may have to act on; the others are only counted.
TOLD: Final = frozenset({RowResult.REFUSED, RowResult.SUSPECT, RowResult.FLAGGED})

log = structlog.get_logger()


class UploadOvertakenError(Exception):
    """Somebody else goes on with the same file; one of the two is enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A file as it came: the SHA-256 and the size of its bytes, how it is to be read, whose it is.

    ``sent_by`` is the label of the operator's token, or says that it was the command line.
    """

    digest: bytes
    size_bytes: int
    manner: Manner
    sent_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """An upload that runs: new, or one that was killed, with what is decided of it."""

    upload_id: UUID
    rows_done: int
    rows_kept: int
    counts: RowCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How far an upload comes with one chunk; written with the chunk, or not at all.

    ``answers`` are those to keep for the operator.
    """

    upload_id: UUID
    start: int
    end: int
    counts: RowCounts
    answers: Sequence[RowAnswer]


@dataclass(slots=True, kw_only=True)
class Report:
    """What became of a file; ``upload_id`` is None after a dry run.

    ``answers`` are those to refused, suspect and flagged rows, decided now and not before it was
    killed, by row; at most ``ANSWERS_MAX``, so ``told`` says how many there were.
    """

    rows: int
    upload_id: UUID | None = None
    counts: RowCounts = field(default_factory=RowCounts)
    answers: list[RowAnswer] = field(default_factory=list)
    told: int = 0


class UploadBatch(Protocol):
    """One open transaction of the store."""

    async def load(self, meter_ids: Iterable[str], telegrams: Sequence[Telegram]) -> Known:
        """Lock the meters against other workers, and return what is known about them."""

    async def keep(self, outcome: Outcome, *, at: datetime) -> None:
        """Write telegrams, readings and refused rows."""

    async def move(self, step: Step, *, at: datetime) -> None:
        """Write how far the upload has come.

        Raises:
            UploadOvertakenError: it has come further meanwhile.
        """

    async def fail(self, letter: Letter, error: UnreadableError, *, at: datetime) -> UUID:
        """Write down an upload of which nothing can be taken, and return its id."""


class UploadStore(Protocol):
    """Where uploads go."""

    async def begin(self, letter: Letter, *, rows: int, at: datetime) -> Begun:
        """Begin an upload, or go on with the one of this file that was killed."""

    def batch(self, telegrams: Sequence[Telegram]) -> AbstractAsyncContextManager[UploadBatch]:
        """Open a transaction that commits when left, with room for these telegrams' months.

        Raises:
            NotStorableError: something in the batch cannot be stored.
            BusyError: somebody else got in between.
        """


# Told how many rows are decided, and of how many.
Progress = Callable[[int, int], None]


def unheard(_done: int, _rows: int) -> None:
    """Tell nobody how far it is."""


async def take_in(
    sheet: Sheet,
    letter: Letter,
    *,
    store: UploadStore,
    at: datetime,
    progress: Progress = unheard,
) -> Report:
    """Take a file in and return what became of its rows; when it returns, all is committed.

    When it raises, the chunks before are committed, and the same file again goes on from there.

    Raises:
        UploadOvertakenError: somebody else goes on with the same file.
        Exception: whatever the store raises when the database is away.
    """
    begun = await store.begin(letter, rows=len(sheet), at=at)
    report = Report(rows=len(sheet), upload_id=begun.upload_id, counts=begun.counts)
    room = ANSWERS_MAX - begun.rows_kept
    for start, end in sheet.chunks(begun.rows_done):
        rows = sheet.rows(start, end)
        part = _Part(
            upload_id=begun.upload_id,
            start=start,
            rows=rows,
            said=[row.said for row in rows],
            room=room,
        )
        for step in await _store(part, store=store, at=at):
            _add(report, step.counts, step.answers)
            room -= len(step.answers)
        progress(end, len(sheet))
    log.info(
        "upload.taken",
        upload_id=str(begun.upload_id),
        rows=report.rows,
        **{result.value: getattr(report.counts, result.value) for result in RowResult},
    )
    return report


async def try_out(
    sheet: Sheet, *, store: UploadStore, at: datetime, progress: Progress = unheard
) -> Report:
    """Decide a whole file as ``take_in`` would, and write nothing.

    What the database alone would refuse is not foreseen, since it is not asked to write.

    Raises:
        Exception: whatever the store raises when the database is away.
    """
    report = Report(rows=len(sheet))
    for start, end in sheet.chunks():
        rows = sheet.rows(start, end)
        answers = answer_rows(rows, await _decide(rows, store=store, at=at))
        _add(report, count(answers), [answer for answer in answers if answer.result in TOLD])
        progress(end, len(sheet))
    return report


async def turn_away(
    letter: Letter, error: UnreadableError, beginning: bytes, *, store: UploadStore, at: datetime
) -> UUID:
    """Write down a file of which nothing is taken, with its beginning as evidence.

    Raises:
        Exception: whatever the store raises when the database is away.
    """
    said = refusal(RefusalReason.BAD_SHAPE, str(error))
    heard = [Heard(arrival=_arrival(beginning[:EVIDENCE_BYTES_MAX]), said=said)]
    async with store.batch(()) as batch:
        known = await batch.load((), ())
        await batch.keep(settle(heard, known=known, at=at), at=at)
        upload_id = await batch.fail(letter, error, at=at)
    log.warning("upload.unreadable", upload_id=str(upload_id), reason=error.reason.value)
    return upload_id


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Rows that are stored together: where they begin, and how many answers may be kept."""

    upload_id: UUID
    start: int
    rows: Sequence[Row]
    said: Sequence[Telegram | Refusal]
    room: int


async def _store(part: _Part, *, store: UploadStore, at: datetime) -> list[Step]:
    """Store rows together; what the database refuses is found by halving, and refused alone."""
    try:
        return [await _together(part, store=store, at=at)]
    except NotStorableError as error:
        if len(part.rows) == 1:
            # Without the trace: PostgreSQL's own words repeat the row.
            log.error(  # noqa: TRY400
                "upload.not_storable", meter_id=part.rows[0].meter_id, error=str(error)
            )
            part = replace(part, said=[_not_storable(part.rows[0])])
            return [await _together(part, store=store, at=at)]
    middle = len(part.rows) // 2
    first = replace(part, rows=part.rows[:middle], said=part.said[:middle])
    steps = await _store(first, store=store, at=at)
    rest = replace(
        part,
        start=part.start + middle,
        rows=part.rows[middle:],
        said=part.said[middle:],
        room=part.room - sum(len(step.answers) for step in steps),
    )
    return steps + await _store(rest, store=store, at=at)


async def _together(part: _Part, *, store: UploadStore, at: datetime) -> Step:
    """Store rows in one transaction, again from the start if somebody got in between."""
    heard = _heard(part.rows, part.said)
    telegrams, meter_ids = _asked(part.said)
    for tries_left in reversed(range(TRIES_MAX)):
        try:
            async with store.batch(telegrams) as batch:
                outcome = settle(heard, known=await batch.load(meter_ids, telegrams), at=at)
                await batch.keep(outcome, at=at)
                step = _step(part, outcome)
                await batch.move(step, at=at)
        except BusyError:
            if not tries_left:
                raise
        else:
            return step
    raise AssertionError("the last try returns or raises")


class _UndoneError(Exception):
    """Ends the transaction of a dry run; it never leaves this module."""


async def _decide(rows: Sequence[Row], *, store: UploadStore, at: datetime) -> Outcome:
    """Decide rows under the locks of their meters, and roll the transaction back.

    No telegram is announced to the store, so that no room is made for a month either.
    """
    said = [row.said for row in rows]
    heard = _heard(rows, said)
    telegrams, meter_ids = _asked(said)
    outcome: Outcome | None = None
    try:
        async with store.batch(()) as batch:
            outcome = settle(heard, known=await batch.load(meter_ids, telegrams), at=at)
            raise _UndoneError  # noqa: TRY301 - a transaction is left this way or committed
    except _UndoneError:
        pass
    assert outcome is not None, "it was decided before it was undone"
    return outcome


def _step(part: _Part, outcome: Outcome) -> Step:
    answers = [
        refused(row, said.reason)
        if isinstance(said, Refusal) and said.reason is _NOT_STORABLE
        else answer
        for row, said, answer in zip(
            part.rows, part.said, answer_rows(part.rows, outcome), strict=True
        )
    ]
    told = sorted((it for it in answers if it.result in TOLD), key=lambda it: it.row_no)
    return Step(
        upload_id=part.upload_id,
        start=part.start,
        end=part.start + len(part.rows),
        counts=count(answers),
        answers=told[: max(part.room, 0)],
    )


_NOT_STORABLE: Final = RefusalReason.NOT_STORABLE


def _asked(said: Sequence[Telegram | Refusal]) -> tuple[list[Telegram], set[str]]:
    telegrams = [it for it in said if isinstance(it, Telegram)]
    return telegrams, {it.meter_id for it in said if it.meter_id is not None}


def _heard(rows: Sequence[Row], said: Sequence[Telegram | Refusal]) -> list[Heard]:
    return [Heard(arrival=_arrival(row.line), said=it) for row, it in zip(rows, said, strict=True)]


def _arrival(line: bytes) -> Arrival:
    return Arrival(topic=TOPIC, payload=line, retained=False, handle=None)


def _not_storable(row: Row) -> Refusal:
    return Refusal(
        reason=_NOT_STORABLE,
        detail="the database refused it",
        meter_id=row.meter_id,
        counter=None,
        key_epoch=UPLOADED,
        answerable=False,
    )


def _add(report: Report, counts: RowCounts, answers: Sequence[RowAnswer]) -> None:
    report.counts += counts
    report.told += sum((counts.refused, counts.suspect, counts.flagged))
    ordered = sorted(answers, key=lambda it: it.row_no)
    kept = merge(report.answers, ordered, key=lambda it: it.row_no)
    report.answers = list(kept)[:ANSWERS_MAX]
