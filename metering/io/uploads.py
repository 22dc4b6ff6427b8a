"""Uploads in PostgreSQL: how far each one is, and the answers to its rows."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg

import sql
from metering.io.blob import Blob
from metering.io.store import Batch, Store
from metering.outcome import EVIDENCE_BYTES_MAX, Known, Outcome
from metering.row_answer import RowCounts
from metering.sheet import Sheet, UnreadableError, read_sheet
from metering.take_in import (
    Begun,
    Letter,
    Progress,
    Report,
    Step,
    UploadOvertakenError,
    take_in,
    try_out,
    turn_away,
    unheard,
)
from metering.telegram import Telegram
from metering.upload import Manner

# Answers to rows are looked at in the days after; those of this many files are kept.
UPLOADS_WITH_ROWS_MAX: Final = 100

_Q: Final = sql.queries("uploads")


class UploadUnknownError(Exception):
    """There is no such upload."""


class UploadUnreadableError(Exception):
    """Nothing of a file was taken; the text says why and where, and how it was noted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file of readings: whose it is, how far it is, and what became of its rows."""

    upload_id: UUID
    digest: bytes
    size_bytes: int
    form: str
    encoding: str
    zone: str
    decimal_mark: str
    sent_by: str
    state: str
    rows: int
    rows_done: int
    rows_kept: int
    stored: int
    repeated: int
    refused: int
    suspect: int
    flagged: int
    reason: str | None
    detail: str | None
    started_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRow:
    """The answer to one row, as it is kept."""

    row_no: int
    meter_id: str | None
    read_at: datetime | None
    result: str
    reason: str


class UploadBatch:
    """A batch of telegrams, and with it the step that the upload comes on."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    async def load(self, meter_ids: Iterable[str], telegrams: Sequence[Telegram]) -> Known:
        """Lock the meters against other workers, and return what is known about them."""
        return await self._batch.load(meter_ids, telegrams)

    async def keep(self, outcome: Outcome, *, at: datetime) -> None:
        """Write telegrams, readings and refused rows."""
        await self._batch.keep(outcome, at=at)

    async def move(self, step: Step, *, at: datetime) -> None:
        """Write how far the upload has come, and the answers to keep.

        Raises:
            UploadOvertakenError: it has come further meanwhile.
        """
        connection = self._batch.connection
        moved = await _Q.move_upload(
            connection,
            upload_id=step.upload_id,
            start=step.start,
            upto=step.end,
            kept=len(step.answers),
            at=at,
            **asdict(step.counts),
        )
        if moved is None:
            raise UploadOvertakenError("somebody else goes on with this file")
        if step.answers:
            await _Q.add_rows(
                connection,
                upload_id=step.upload_id,
                row_nos=[answer.row_no for answer in step.answers],
                meter_ids=[answer.meter_id for answer in step.answers],
                read_ats=[answer.read_at for answer in step.answers],
                results=[answer.result.value for answer in step.answers],
                reasons=[answer.reason and answer.reason.value for answer in step.answers],
            )

    async def fail(self, letter: Letter, error: UnreadableError, *, at: datetime) -> UUID:
        """Write down an upload of which nothing can be taken, and return its id."""
        upload_id = uuid4()
        await _Q.fail_upload(
            self._batch.connection,
            upload_id=upload_id,
            size_bytes=letter.size_bytes,
            sent_by=letter.sent_by,
            reason=error.reason.value,
            detail=str(error),
            at=at,
            **_identity(letter),
        )
        return upload_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploads:
    """The uploads of a town; works with the service's rights."""

    pool: asyncpg.Pool

    @asynccontextmanager
    async def batch(self, telegrams: Sequence[Telegram]) -> AsyncIterator[UploadBatch]:
        """Open a transaction that commits when left, with room for these telegrams' months.

        Each has a store of its own: a file has each meter once, so there is nothing to remember
        from one batch to the next, and memory ends with the batch.

        Raises:
            NotStorableError: something in the batch cannot be stored.
            BusyError: somebody else got in between.
        """
        async with Store(self.pool).batch(telegrams) as batch:
            yield UploadBatch(batch)

    async def begin(self, letter: Letter, *, rows: int, at: datetime) -> Begun:
        """Begin an upload, or go on with the one of this file that was killed."""
        async with self.pool.acquire() as connection, connection.transaction():
            await _Q.forget_rows(connection, uploads_max=UPLOADS_WITH_ROWS_MAX)
            made = await _Q.begin_upload(
                connection,
                upload_id=uuid4(),
                size_bytes=letter.size_bytes,
                sent_by=letter.sent_by,
                rows=rows,
                at=at,
                **_identity(letter),
            )
            if made is not None:
                return Begun(upload_id=made, rows_done=0, rows_kept=0, counts=RowCounts())
            row = await _Q.find_running(connection, **_identity(letter))
        if row is None:
            raise UploadOvertakenError("somebody else has just ended with this file")
        found = dict(row)
        return Begun(
            upload_id=found.pop("upload_id"),
            rows_done=found.pop("rows_done"),
            rows_kept=found.pop("rows_kept"),
            counts=RowCounts(**found),
        )

    async def find(self, upload_id: UUID) -> Upload:
        """Return an upload.

        Raises:
            UploadUnknownError: there is none with this id.
        """
        async with self.pool.acquire() as connection:
            row = await _Q.find_upload(connection, upload_id=upload_id)
        if row is None:
            raise UploadUnknownError
        return Upload(**row)

    async def newest(
        self, *, before: datetime, before_upload: UUID, page: int
    ) -> Sequence[Upload]:  # fmt: skip
        """Return a page of uploads, the newest first."""
        async with self.pool.acquire() as connection:
            rows = _Q.list_uploads(
                connection, before=before, before_upload=before_upload, page=page
            )
            return [Upload(**row) async for row in rows]

    async def rows(self, upload_id: UUID, *, after: int, page: int) -> Sequence[KeptRow]:
        """Return a page of the kept answers to the rows of an upload, by row.

        Raises:
            UploadUnknownError: there is none with this id.
        """
        await self.find(upload_id)
        async with self.pool.acquire() as connection:
            rows = _Q.list_rows(connection, upload_id=upload_id, after=after, page=page)
            return [KeptRow(**row) async for row in rows]


async def receive(  # noqa: PLR0913 - a file, how to read it, whose it is, and where it goes
    blob: Blob,
    manner: Manner,
    *,
    sent_by: str,
    uploads: Uploads,
    at: datetime,
    dry_run: bool = False,
    progress: Progress = unheard,
) -> Report:
    """Take a file in, or only try it out, and return what became of its rows.

    Looking a file over takes seconds of computing, so a thread does it while others are answered.

    Raises:
        UploadUnreadableError: nothing of it can be taken; that was noted, unless it is a dry run.
        UploadOvertakenError: somebody else goes on with the same file.
        Exception: whatever the database raises when it is away.
    """
    letter = Letter(digest=blob.digest, size_bytes=blob.size_bytes, manner=manner, sent_by=sent_by)
    with blob.mapped() as data:
        try:
            sheet: Sheet = await asyncio.to_thread(read_sheet, data, manner)
        except UnreadableError as error:
            if dry_run:
                raise UploadUnreadableError(str(error)) from None
            beginning = data[:EVIDENCE_BYTES_MAX]
            upload_id = await turn_away(letter, error, beginning, store=uploads, at=at)
            raise UploadUnreadableError(f"{error} (upload {upload_id})") from None
        if dry_run:
            return await try_out(sheet, store=uploads, at=at, progress=progress)
        return await take_in(sheet, letter, store=uploads, at=at, progress=progress)


def _identity(letter: Letter) -> dict[str, Any]:
    """Return what makes two files the same: their bytes, and how they are read."""
    manner = letter.manner
    return {
        "digest": letter.digest,
        "form": "ndjson" if manner.json_lines else "csv",
        "encoding": manner.encoding,
        "zone": "" if manner.zone is None else manner.zone.key,
        "decimal_mark": manner.decimal,
    }
