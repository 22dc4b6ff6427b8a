"""``aqkol upload``: take in a file of readings from the command line.

It works in the database as the API does, and the file is copied first, so that whoever writes into
it meanwhile changes nothing.
"""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, get_args

import typer

from app.command import DONE, UNUSABLE, Json, State, in_house, leave, say, settings_of
from app.wiring import House
from metering.io.blob import BlobTooLargeError, Spool
from metering.io.uploads import Uploads, UploadUnreadableError, receive
from metering.io.wire_uploads import answered
from metering.sheet import FILE_BYTES_MAX
from metering.take_in import ANSWERS_MAX, Report, UploadOvertakenError
from metering.upload import Decimal, Encoding, Manner, ZoneUnknownError, zone_of

SOME_REFUSED: Final = 1
NOTHING_READ: Final = 3
INTERRUPTED: Final = 130
# Names of files whose lines are JSON objects; all others are CSV.
JSON_SUFFIXES: Final = frozenset({".ndjson", ".jsonl"})
SENT_BY: Final = "command line"
_PIECE_BYTES: Final = 64 * 1024


upload = typer.Typer(invoke_without_command=True)


@upload.callback(context_settings={"allow_interspersed_args": True})
def send(  # noqa: PLR0913 - options
    file: Annotated[
        Path, typer.Argument(help="CSV with meter,at,dm3 (or m3), or .ndjson with the same keys.")
    ],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Decide every row, and write nothing.")
    ] = False,
    encoding: Annotated[str, typer.Option(help="utf-8 or windows-1251.")] = "utf-8",
    zone: Annotated[
        str | None, typer.Option(help="Zone of times without an offset, such as Asia/Almaty.")
    ] = None,
    decimal: Annotated[str, typer.Option(help="The mark inside m3: . or ,")] = ".",
    state: State = None,
    as_json: Json = False,
) -> None:
    """Take in a file of readings, each row once; what is refused is told, row by row.

    Ends with 0 when all rows were taken, 1 when some were refused, 3 when nothing could be read.
    """
    manner = _manner(file, encoding, zone, decimal)

    async def main(house: House, stopping: asyncio.Event) -> int:
        def progress(done: int, rows: int) -> None:
            sys.stderr.write(f"aqkol: {done} of {rows} rows.\n")
            if stopping.is_set() and done < rows:
                raise leave("stopped; the same file again goes on from here.", INTERRUPTED)

        try:
            with Spool(FILE_BYTES_MAX) as spool:
                for piece in _pieces(file):
                    spool.add(piece)
                report = await receive(
                    spool.blob(),
                    manner,
                    sent_by=SENT_BY,
                    uploads=Uploads(pool=house.pool),
                    at=house.clock.now(),
                    dry_run=dry_run,
                    progress=progress,
                )
        except BlobTooLargeError:
            raise leave(f"the file has more than {FILE_BYTES_MAX} bytes.", NOTHING_READ) from None
        except UploadUnreadableError as error:
            raise leave(f"{error}.", NOTHING_READ) from None
        except UploadOvertakenError as error:
            raise leave(f"{error}.", SOME_REFUSED) from None
        _say(report, as_json=as_json)
        return SOME_REFUSED if report.counts.refused else DONE

    if not file.is_file():
        raise leave(f"{file} is no file that can be read.", NOTHING_READ)
    in_house(settings_of(state=state), main)


def _manner(file: Path, encoding: str, zone: str | None, decimal: str) -> Manner:
    encodings: dict[str, Encoding] = {it: it for it in get_args(Encoding)}
    marks: dict[str, Decimal] = {it: it for it in get_args(Decimal)}
    if encoding not in encodings:
        raise leave(f"--encoding is one of {', '.join(encodings)}.", UNUSABLE)
    if decimal not in marks:
        raise leave("--decimal is . or ,", UNUSABLE)
    try:
        return Manner(
            encoding=encodings[encoding],
            zone=None if zone is None else zone_of(zone),
            decimal=marks[decimal],
            json_lines=file.suffix.lower() in JSON_SUFFIXES,
        )
    except ZoneUnknownError as error:
        raise leave(f"--zone: {error}.", UNUSABLE) from None


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as source:
        while piece := source.read(_PIECE_BYTES):
            yield piece


def _say(report: Report, *, as_json: bool) -> None:
    told: dict[str, Any] = answered(report, most=ANSWERS_MAX).model_dump(mode="json")
    if as_json:
        say(told, as_json=True)
        return
    answers, left_out = told.pop("answers"), told.pop("answers_left_out")
    for answer in answers:
        place = " ".join(filter(None, (answer["meter_id"], answer["read_at"])))
        line = f"row {answer['row']}: {answer['result']}, {answer['reason']}"
        typer.echo(f"{line} ({place})" if place else line)
    if left_out:
        typer.echo(f"and {left_out} more")
    say(told, as_json=False)
