"""A file of readings: where its rows are, in which order they are taken, why it cannot be read.

A file is looked over as a whole before any row is taken, so that one in a wrong encoding or with
another head does nothing at all. Of each row 25 bytes are remembered, not what it says: it is read
again when its turn comes. Rows are taken meter by meter, as they stand in the file for each meter,
so that a part of a file that holds whole meters is decided like the whole file.
"""

import codecs
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import Final, Protocol

from metering.meter import bucket_number
from metering.upload import (
    LINE_BYTES_MAX,
    Fault,
    Head,
    Manner,
    Row,
    faulty,
    read_head,
    read_row,
)

# A monthly round of a town of 200,000 meters, or eight days of hourly registers of a thousand.
ROWS_MAX: Final = 200_000
# A year of hourly registers is 8,784; a meter's rows are decided in one transaction.
METER_ROWS_MAX: Final = 10_000
# Two hundred thousand rows of 60 bytes are 12 MB; the rest is room for flags and long ids.
FILE_BYTES_MAX: Final = 32 * 1024 * 1024
# One commit of this size costs about a tenth of a second, and meters that report meanwhile wait.
CHUNK_ROWS: Final = 2000

_PIECE_BYTES: Final = 64 * 1024
_BUCKETS: Final = 64
_MARK: Final = codecs.BOM_UTF8
_WIDE_MARKS: Final = (
    codecs.BOM_UTF32_LE,
    codecs.BOM_UTF32_BE,
    codecs.BOM_UTF16_LE,
    codecs.BOM_UTF16_BE,
)
# Rows that name no meter stand first.
_NOBODY: Final = 0


class Unreadable(StrEnum):
    """Why nothing of a file is taken. A closed set."""

    EMPTY = "empty"
    BAD_ENCODING = "bad_encoding"
    BAD_HEAD = "bad_head"
    TOO_LARGE = "too_large"
    TOO_MANY_ROWS = "too_many_rows"


class UnreadableError(Exception):
    """A file cannot be read as declared: nothing of it is taken.

    ``line_no`` counts lines and ``byte_no`` bytes of the file, both from 1, where a place can be
    named.
    """

    def __init__(
        self,
        reason: Unreadable,
        why: str,
        *,
        line_no: int | None = None,
        byte_no: int | None = None,
    ) -> None:
        where = f" at line {line_no}" if line_no is not None else ""
        where += f", byte {byte_no}" if byte_no is not None else ""
        super().__init__(f"{reason.value}{where}: {why}")
        self.reason = reason
        self.line_no = line_no
        self.byte_no = byte_no


class Bytes(Protocol):
    """The bytes of a file: in memory, or mapped into it."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, part: slice, /) -> bytes:
        """Return some of them."""

    def find(self, wanted: bytes, start: int, /) -> int:
        """Return where the next one of these is, or -1."""


@dataclass(slots=True, kw_only=True)
class Sheet:
    """A file that can be read, and where its rows are; never changed once it is made.

    Per row: where it begins, its line number, whether it stands inside another row's cell, and
    whose it is. ``order`` lists the rows as they are taken.
    """

    data: Bytes
    manner: Manner
    head: Head | None
    starts: "array[int]" = field(default_factory=lambda: array("Q"))
    lines: "array[int]" = field(default_factory=lambda: array("I"))
    inside: bytearray = field(default_factory=bytearray)
    owners: "array[int]" = field(default_factory=lambda: array("Q"))
    order: "array[int]" = field(default_factory=lambda: array("I"))

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self.starts)

    def chunks(self, start: int = 0) -> Iterator[tuple[int, int]]:
        """Cut the order into parts that are taken together, from a place on; no meter is cut."""
        while start < len(self):
            end = min(start + CHUNK_ROWS, len(self))
            owner = self._owner_at(end - 1)
            if owner != _NOBODY and end < len(self) and self._owner_at(end) == owner:
                whole = end
                while whole > start and self._owner_at(whole - 1) == owner:
                    whole -= 1
                if whole == start:
                    while end < len(self) and self._owner_at(end) == owner:
                        end += 1
                else:
                    end = whole
            yield start, end
            start = end

    def rows(self, start: int, end: int) -> list[Row]:
        """Read the rows between two places of the order."""
        return [self._row(place) for place in self.order[start:end]]

    def _owner_at(self, place: int) -> int:
        return self.owners[self.order[place]]

    def _row(self, place: int) -> Row:
        line, ended = line_at(self.data, self.starts[place])
        row_no = self.lines[place]
        if self.inside[place]:
            return faulty(row_no, line, Fault.QUOTED_NEWLINE)
        row = read_row(row_no, line, head=self.head, manner=self.manner)
        if not ended and self.head is not None and row.fault is not Fault.LINE_TOO_LONG:
            # A register that lost its last digits still looks like one.
            return faulty(row_no, line, Fault.HALF_ROW, row.meter_id)
        return row


def read_sheet(data: Bytes, manner: Manner) -> Sheet:
    """Look a whole file over and return where its rows are.

    Raises:
        UnreadableError: nothing of it can be taken.
    """
    if len(data) > FILE_BYTES_MAX:
        raise UnreadableError(Unreadable.TOO_LARGE, f"more than {FILE_BYTES_MAX} bytes")
    _check_encoding(data, manner)
    start = len(_MARK) if data[: len(_MARK)] == _MARK else 0
    line_no, head = 1, None
    if not manner.json_lines:
        line, _ = line_at(data, start)
        head = read_head(line.decode(manner.encoding)) if len(line) <= LINE_BYTES_MAX else None
        if head is None:
            raise UnreadableError(
                Unreadable.BAD_HEAD if len(data) > start else Unreadable.EMPTY,
                "the first line must name meter, at, and dm3 or m3; flags may be there too,"
                " and nothing else",
                line_no=1,
            )
        start, line_no = _after(data, start), 2
    sheet = Sheet(data=data, manner=manner, head=head)
    _find_rows(sheet, start, line_no)
    if not len(sheet):
        raise UnreadableError(Unreadable.EMPTY, "there is no row in it")
    _set_order(sheet)
    return sheet


def line_at(data: Bytes, start: int) -> tuple[bytes, bool]:
    """Return the line that begins at a byte, and whether it has an end.

    Of a line that is too long, as much as shows that it is.
    """
    end = data.find(b"\n", start)
    stop = len(data) if end < 0 else end
    line = data[start : min(stop, start + LINE_BYTES_MAX + 2)]
    return line.removesuffix(b"\r"), end >= 0


def _after(data: Bytes, start: int) -> int:
    end = data.find(b"\n", start)
    return len(data) if end < 0 else end + 1


def _find_rows(sheet: Sheet, start: int, line_no: int) -> None:
    data, open_quote = sheet.data, False
    while start < len(data):
        line, _ = line_at(data, start)
        if line.strip():
            if len(sheet) == ROWS_MAX:
                raise UnreadableError(
                    Unreadable.TOO_MANY_ROWS, f"more than {ROWS_MAX} rows", line_no=line_no
                )
            row = read_row(line_no, line, head=sheet.head, manner=sheet.manner)
            sheet.inside.append(open_quote)
            sheet.starts.append(start)
            sheet.lines.append(line_no)
            sheet.owners.append(_NOBODY if open_quote else _owner(row.meter_id))
            if sheet.head is not None:
                open_quote = _leaves_open(data, start, row.fault, open_quote=open_quote)
        start = _after(data, start)
        line_no += 1


def _leaves_open(data: Bytes, start: int, fault: Fault | None, *, open_quote: bool) -> bool:
    """Say whether a cell is open at the end of a line: it holds all up to the line that closes it.

    Of a line that opens one we know it from its fault; one too long to be read has an odd number of
    marks, and so has the line that closes.
    """
    if not open_quote and fault is not Fault.LINE_TOO_LONG:
        return fault is Fault.QUOTED_NEWLINE
    end = _after(data, start)
    marks = sum(
        data[place : min(place + _PIECE_BYTES, end)].count(b'"')
        for place in range(start, end, _PIECE_BYTES)
    )
    return open_quote ^ (marks % 2 == 1)


def _owner(meter_id: str | None) -> int:
    """Return a number for the meter of a row; its first six bits are the meter's bucket."""
    if meter_id is None:
        return _NOBODY
    digest = int.from_bytes(blake2b(meter_id.encode("ascii"), digest_size=8).digest(), "big")
    return bucket_number(meter_id) << 58 | digest >> 6 | 1


def _set_order(sheet: Sheet) -> None:
    """Sort rows by bucket and meter, and leave each meter's as they stand in the file."""
    by_bucket = [array("I") for _ in range(_BUCKETS)]
    for place, owner in enumerate(sheet.owners):
        by_bucket[owner >> 58].append(place)
    owned = Counter[int]()
    for places in by_bucket:
        owned.clear()
        owned.update(sheet.owners[place] for place in places)
        most = max((times for owner, times in owned.items() if owner != _NOBODY), default=0)
        if most > METER_ROWS_MAX:
            raise UnreadableError(
                Unreadable.TOO_MANY_ROWS, f"more than {METER_ROWS_MAX} rows of one meter"
            )
        sheet.order.extend(sorted(places, key=sheet.owners.__getitem__))


def _check_encoding(data: Bytes, manner: Manner) -> None:
    """Decode every byte as declared, in pieces.

    Raises:
        UnreadableError: some byte is not so encoded; where it stands.
    """
    first = data[:4]
    if first.startswith(_WIDE_MARKS):
        raise _misread("it is UTF-16 or UTF-32", 1, 1)
    if manner.encoding != "utf-8" and first.startswith(_MARK):
        raise _misread(f"it is marked as UTF-8, and declared as {manner.encoding}", 1, 1)
    decoder = codecs.getincrementaldecoder(manner.encoding)()
    line_no = 1
    for start in range(0, len(data), _PIECE_BYTES):
        piece = data[start : start + _PIECE_BYTES]
        pending = len(decoder.getstate()[0])
        zero = piece.find(b"\x00")
        try:
            decoder.decode(piece, final=start + _PIECE_BYTES >= len(data))
        except UnicodeDecodeError as error:
            bad = max(error.start - pending, 0)
            if not 0 <= zero < bad:
                place = start - pending + error.start + 1
                line_no += piece.count(b"\n", 0, bad)
                raise _misread(f"not {manner.encoding}", line_no, place) from None
        if zero >= 0:
            raise _misread(
                "a zero byte, as in UTF-16", line_no + piece.count(b"\n", 0, zero), start + zero + 1
            )
        line_no += piece.count(b"\n")


def _misread(why: str, line_no: int, byte_no: int) -> UnreadableError:
    return UnreadableError(Unreadable.BAD_ENCODING, why, line_no=line_no, byte_no=byte_no)
