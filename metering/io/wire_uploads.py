"""What uploads look like on the wire of the API."""

from typing import Annotated, Final, Self
from uuid import UUID

from pydantic import Field, model_validator

from metering.io.route import Instant, PageSize, Wire
from metering.io.uploads import KeptRow, Upload
from metering.row_answer import RowAnswer, RowResult
from metering.sheet import ROWS_MAX
from metering.take_in import Report
from metering.upload import Decimal, Encoding

# Enough to see what is wrong with a file; the rest is read page by page.
ANSWERS_SHOWN_MAX: Final = 1000

RowNo = Annotated[int, Field(ge=0, description="the line of the file, counted from 1")]


class UploadQuery(Wire):
    """How a file is to be read, and whether it is only tried out."""

    dry_run: Annotated[bool, Field(description="decide all rows, and write nothing")] = False
    encoding: Annotated[
        Encoding | None, Field(description="UTF-8 unless said otherwise here or in the charset")
    ] = None
    zone: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z0-9_+/-]{1,64}$",
            description="IANA zone of times without an offset; without it they are refused",
            examples=["Asia/Almaty"],
        ),
    ] = None
    decimal: Annotated[Decimal, Field(description="the mark inside cubic metres")] = "."


class UploadPath(Wire):
    """One upload."""

    upload_id: UUID


class UploadsQuery(Wire):
    """Which page of the uploads: what ``next_before`` and ``next_before_upload`` said."""

    before: Instant | None = None
    before_upload: UUID | None = None
    limit: PageSize = 100

    @model_validator(mode="after")
    def _place_is_whole(self) -> Self:
        if self.before_upload is not None and self.before is None:
            raise ValueError("before_upload needs before")
        return self


class RowsQuery(Wire):
    """Which page of the answers to rows."""

    after: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    limit: PageSize = 100


class RowShown(Wire):
    """What became of a row; meter and instant are null where they could not be read."""

    row: RowNo
    meter_id: str | None
    read_at: Instant | None
    result: RowResult
    reason: str


class RowPage(Wire):
    """Answers to rows that were refused, suspect or flagged, by row."""

    rows: list[RowShown]
    next: int | None


class UploadShown(Wire):
    """A file of readings: how far it is, and what became of its rows.

    The state is ``running`` also when it was killed: the same file again goes on with it.
    """

    upload_id: UUID
    sha256: str
    size_bytes: int
    form: str
    encoding: str
    zone: str | None
    decimal: str
    sent_by: str
    state: Annotated[str, Field(description="running, done or failed")]
    rows: int
    rows_done: int
    stored: int
    repeated: int
    refused: int
    suspect: int
    flagged: int
    reason: str | None
    detail: str | None
    started_at: Instant
    changed_at: Instant


class UploadPage(Wire):
    """Uploads, the newest first."""

    uploads: list[UploadShown]
    next_before: Instant | None
    next_before_upload: UUID | None


class UploadAnswered(Wire):
    """What became of a file; ``upload_id`` is null after a dry run.

    ``answers`` are those to rows that were refused, suspect or flagged, by row, as many as fit.
    """

    upload_id: UUID | None
    rows: Annotated[int, Field(le=ROWS_MAX)]
    stored: int
    repeated: int
    refused: int
    suspect: int
    flagged: int
    answers: list[RowShown]
    answers_left_out: int


def answered(report: Report, *, most: int = ANSWERS_SHOWN_MAX) -> UploadAnswered:
    """Show what became of a file, with so many answers at most."""
    counts, shown = report.counts, report.answers[:most]
    return UploadAnswered(
        upload_id=report.upload_id,
        rows=report.rows,
        stored=counts.stored,
        repeated=counts.repeated,
        refused=counts.refused,
        suspect=counts.suspect,
        flagged=counts.flagged,
        answers=[_row(answer) for answer in shown],
        answers_left_out=report.told - len(shown),
    )


def upload_shown(upload: Upload) -> UploadShown:
    """Show an upload; its digest travels as hexadecimal digits."""
    return UploadShown(
        upload_id=upload.upload_id,
        sha256=upload.digest.hex(),
        size_bytes=upload.size_bytes,
        form=upload.form,
        encoding=upload.encoding,
        zone=upload.zone or None,
        decimal=upload.decimal_mark,
        sent_by=upload.sent_by,
        state=upload.state,
        rows=upload.rows,
        rows_done=upload.rows_done,
        stored=upload.stored,
        repeated=upload.repeated,
        refused=upload.refused,
        suspect=upload.suspect,
        flagged=upload.flagged,
        reason=upload.reason,
        detail=upload.detail,
        started_at=upload.started_at,
        changed_at=upload.changed_at,
    )


def kept_shown(row: KeptRow) -> RowShown:
    """Show an answer that was kept."""
    return RowShown(
        row=row.row_no,
        meter_id=row.meter_id,
        read_at=row.read_at,
        result=RowResult(row.result),
        reason=row.reason,
    )


def _row(answer: RowAnswer) -> RowShown:
    assert answer.reason is not None, "only answers with a reason are told"
    return RowShown(
        row=answer.row_no,
        meter_id=answer.meter_id,
        read_at=answer.read_at,
        result=answer.result,
        reason=answer.reason.value,
    )
