"""Files of readings over HTTP.

A file is taken in before it is answered, so the answer is what became of each row; the limits of a
file bound the time. Nothing hangs on the caller staying: once we have the file whole it is taken
whole, and stands among the uploads; whoever leaves before that has sent nothing. How far a file is
can be seen there meanwhile. If our process is killed, the same file sent again goes on.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from metering.io.blob import Blob
from metering.io.registry import LAST_INSTANT
from metering.io.route import Call, Files, Nothing, Policy, route
from metering.io.uploads import Uploads, UploadUnknownError, UploadUnreadableError, receive
from metering.io.wire_uploads import (
    RowPage,
    RowsQuery,
    UploadAnswered,
    UploadPage,
    UploadPath,
    UploadQuery,
    UploadShown,
    UploadsQuery,
    answered,
    kept_shown,
    upload_shown,
)
from metering.sheet import FILE_BYTES_MAX
from metering.take_in import UploadOvertakenError
from metering.upload import Encoding, Manner, ZoneUnknownError, zone_of

CSV: Final = "text/csv"
NDJSON: Final = "application/x-ndjson"
# The largest file over a line of 1 Mbit/s.
FILE_SECONDS_MAX: Final = 300.0

FILES: Final = Files(
    media_types=(CSV, NDJSON),
    bytes_max=FILE_BYTES_MAX,
    seconds_max=FILE_SECONDS_MAX,
    charsets=("utf-8", "windows-1251"),
)
_CHARSETS: Final[dict[str | None, Encoding]] = {"utf-8": "utf-8", "windows-1251": "windows-1251"}
_LAST_UPLOAD: Final = UUID(int=2**128 - 1)


class EncodingDiffersError(ValueError):
    """The query says another encoding than the head of the request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadApi:
    """The routes of uploads; one file is worked on at a time, so that memory has a limit."""

    uploads: Uploads
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @route(
        "POST",
        "/v1/uploads",
        policy=Policy.OPERATOR,
        summary="Send a file of readings",
        tag="uploads",
        raises=(
            UploadUnreadableError,
            UploadOvertakenError,
            EncodingDiffersError,
            ZoneUnknownError,
        ),
        files=FILES,
    )
    async def send_readings(self, call: Call[Nothing, UploadQuery, Blob]) -> UploadAnswered:
        """Take in the rows of a file, each once, whatever file it comes in again.

        A CSV names its columns in the first line: `meter`, `at`, `dm3` or `m3`, and maybe `flags`.
        A line of JSON has the same keys. A file that is not as declared is refused as a whole.
        """
        assert call.caller is not None, "this route is an operator's"
        async with self.turn:
            report = await receive(
                call.body,
                _manner(call.query, call.body),
                sent_by=call.caller.label,
                uploads=self.uploads,
                at=call.at,
                dry_run=call.query.dry_run,
            )
        return answered(report)

    @route("GET", "/v1/uploads", policy=Policy.OPERATOR, summary="List uploads", tag="uploads")
    async def list_uploads(self, call: Call[Nothing, UploadsQuery, Nothing]) -> UploadPage:
        """List the files that were sent, those that could not be read among them."""
        uploads = await self.uploads.newest(
            before=call.query.before or LAST_INSTANT,
            before_upload=call.query.before_upload or UUID(int=0)
            if call.query.before is not None
            else _LAST_UPLOAD,
            page=call.query.limit,
        )
        last = uploads[-1] if len(uploads) == call.query.limit else None
        return UploadPage(
            uploads=[upload_shown(it) for it in uploads],
            next_before=None if last is None else last.started_at,
            next_before_upload=None if last is None else last.upload_id,
        )

    @route(
        "GET",
        "/v1/uploads/{upload_id}",
        policy=Policy.OPERATOR,
        summary="Show an upload",
        tag="uploads",
        raises=(UploadUnknownError,),
    )
    async def show_upload(self, call: Call[UploadPath, Nothing, Nothing]) -> UploadShown:
        """Show how far a file is, and what became of its rows."""
        return upload_shown(await self.uploads.find(call.path.upload_id))

    @route(
        "GET",
        "/v1/uploads/{upload_id}/rows",
        policy=Policy.OPERATOR,
        summary="List the rows to look at",
        tag="uploads",
        raises=(UploadUnknownError,),
    )
    async def list_upload_rows(self, call: Call[UploadPath, RowsQuery, Nothing]) -> RowPage:
        """List the rows that were refused, suspect or flagged, for the newest hundred files."""
        rows = await self.uploads.rows(
            call.path.upload_id, after=call.query.after, page=call.query.limit
        )
        return RowPage(
            rows=[kept_shown(row) for row in rows],
            next=rows[-1].row_no if len(rows) == call.query.limit else None,
        )


def _manner(query: UploadQuery, blob: Blob) -> Manner:
    said = _CHARSETS.get(blob.charset)
    if None not in {said, query.encoding} and said != query.encoding:
        raise EncodingDiffersError("the charset of the body is another one")
    return Manner(
        encoding=query.encoding or said or "utf-8",
        zone=None if query.zone is None else zone_of(query.zone),
        decimal=query.decimal,
        json_lines=blob.media_type == NDJSON,
    )
