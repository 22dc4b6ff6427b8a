"""One row of a file that an operator sends: text in, one reading or a fault out; it never raises.

Each row becomes a telegram of its own, with the second of its reading for a counter. So the same
row is the same telegram in whatever file it comes again, and how a file is cut into parts changes
nothing. Which rows a file has is said in ``sheet.py``.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from metering.meter import METER_ID
from metering.reading import Reading
from metering.telegram import (
    FLAGS_MAX,
    REGISTER_DM3_MAX,
    UPLOADED,
    Refusal,
    RefusalReason,
    Telegram,
    no_constant,
    printable,
    unique_keys,
)

# What is kept of a refused message; a row of a meter, an instant and a register has 60 bytes.
LINE_BYTES_MAX: Final = 4096
# The counters of uploaded telegrams count seconds from here; they fit until the year 2136.
COUNTER_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LAST_INSTANT: Final = datetime(2100, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)

METER: Final = "meter"
AT: Final = "at"
DM3: Final = "dm3"
M3: Final = "m3"
FLAGS: Final = "flags"
COLUMNS: Final = (METER, AT, DM3, M3, FLAGS)
SEPARATORS: Final = (",", ";", "\t")

_INSTANT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]((?:[01][0-9]|2[0-3]):[0-5][0-9])"
    r"(?:(:[0-5][0-9])(?:\.0{1,6})?)?(Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?"
)
_WHOLE: Final = re.compile(r"[0-9]{1,16}")
# Digits beyond the third are finer than a litre; zeros there say nothing.
_CUBIC: Final = {
    ".": re.compile(r"([0-9]{1,13})(?:\.([0-9]{1,3})0{0,6})?"),
    ",": re.compile(r"([0-9]{1,13})(?:,([0-9]{1,3})0{0,6})?"),
}
_FLAG: Final = re.compile(r"[a-z_]{1,32}")

Encoding = Literal["utf-8", "windows-1251"]
Decimal = Literal[".", ","]


class Fault(StrEnum):
    """Why a row is no reading, before anything is looked up. A closed set."""

    HALF_ROW = "half_row"
    EXTRA_FIELDS = "extra_fields"
    BAD_QUOTES = "bad_quotes"
    QUOTED_NEWLINE = "quoted_newline"
    LINE_TOO_LONG = "line_too_long"
    NOT_JSON = "not_json"
    BAD_SHAPE = "bad_shape"
    BAD_METER = "bad_meter"
    BAD_TIME = "bad_time"
    NO_OFFSET = "no_offset"
    TIME_SKIPPED = "time_skipped"
    TIME_AMBIGUOUS = "time_ambiguous"
    BAD_REGISTER = "bad_register"
    BAD_FLAGS = "bad_flags"


_WORDS: Final = {
    Fault.HALF_ROW: "fewer fields than the head has, or the last line has no end",
    Fault.EXTRA_FIELDS: "more fields than the head has",
    Fault.BAD_QUOTES: "a quotation mark where none belongs",
    Fault.QUOTED_NEWLINE: "a cell begins on one line and ends on another, or nowhere",
    Fault.LINE_TOO_LONG: f"a line of more than {LINE_BYTES_MAX} bytes",
    Fault.NOT_JSON: "not a JSON object",
    Fault.BAD_SHAPE: "an object with other keys or values than a row has",
    Fault.BAD_METER: "not the id of a meter",
    Fault.BAD_TIME: "not an instant in whole seconds, from 2000 to 2099",
    Fault.NO_OFFSET: "a time without an offset, and no zone was named",
    Fault.TIME_SKIPPED: "no clock showed this time: it was put forward",
    Fault.TIME_AMBIGUOUS: "two instants had this local time: the clock was put back",
    Fault.BAD_REGISTER: "not a register in whole litres",
    Fault.BAD_FLAGS: "not up to 16 words of a-z and _",
}


class ZoneUnknownError(ValueError):
    """Nobody keeps time by this name."""


def zone_of(name: str) -> ZoneInfo:
    """Return the zone with an IANA name.

    Raises:
        ZoneUnknownError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ZoneUnknownError(
            f"{printable(name, 40)} is not the name of a zone, such as Asia/Almaty"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a file is to be read, as its sender declares; nothing of it is guessed.

    ``zone`` is that of times without an offset, None where every time must carry one; ``decimal``
    is the mark inside cubic metres; ``json_lines`` says that each line is a JSON object.
    """

    encoding: Encoding = "utf-8"
    zone: ZoneInfo | None = None
    decimal: Decimal = "."
    json_lines: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What the first line of a CSV says: its columns in order, and what stands between them."""

    columns: tuple[str, ...]
    separator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a file, numbered as an editor numbers it, and what it says.

    ``fault`` is None exactly when ``telegram`` is there; ``meter_id`` is also there when only
    the rest of the row cannot be read. ``line`` is as it came, cut to what is kept.
    """

    row_no: int
    line: bytes
    meter_id: str | None
    telegram: Telegram | None
    fault: Fault | None

    @property
    def said(self) -> Telegram | Refusal:
        """Return what is to be decided: the telegram, or its refusal."""
        if self.telegram is not None:
            return self.telegram
        assert self.fault is not None, "a row says something or has a fault"
        return Refusal(
            reason=RefusalReason.BAD_SHAPE,
            detail=f"{self.fault.value}: {_WORDS[self.fault]}",
            meter_id=self.meter_id,
            counter=None,
            key_epoch=UPLOADED,
            answerable=False,
        )


class _FaultError(Exception):
    """A row cannot be read; it never leaves this module."""

    def __init__(self, fault: Fault, meter_id: str | None = None) -> None:
        super().__init__(fault.value)
        self.fault = fault
        self.meter_id = meter_id


def read_head(text: str) -> Head | None:
    """Return what the first line of a CSV says, or None when it is no such line.

    The separator is the one that stands in this line; nothing below it is asked.
    """
    found = [separator for separator in SEPARATORS if separator in text]
    if len(found) != 1:
        return None
    try:
        columns = tuple(name.strip() for name in _fields(text, found[0]))
    except _FaultError:
        return None
    known = set(columns) <= set(COLUMNS) and len(set(columns)) == len(columns)
    whole = {METER, AT} <= set(columns) and (DM3 in columns) is not (M3 in columns)
    return Head(columns=columns, separator=found[0]) if known and whole else None


def read_row(row_no: int, line: bytes, *, head: Head | None, manner: Manner) -> Row:
    """Return what one line says, without its line end; ``head`` is None for JSON lines.

    The bytes were found to be in the declared encoding.
    """
    meter_id: str | None = None
    try:
        text = _decoded(line, manner)
        cells = _json_cells(text) if head is None else _csv_cells(text, head, manner)
        meter_id = cells.meter_id
        return Row(
            row_no=row_no, line=line, meter_id=meter_id, telegram=_told(cells, manner), fault=None
        )
    except _FaultError as error:
        return faulty(row_no, line, error.fault, meter_id or error.meter_id)


def faulty(row_no: int, line: bytes, fault: Fault, meter_id: str | None = None) -> Row:
    """Return a row that cannot be taken."""
    return Row(
        row_no=row_no, line=line[:LINE_BYTES_MAX], meter_id=meter_id, telegram=None, fault=fault
    )


def _decoded(line: bytes, manner: Manner) -> str:
    if len(line) > LINE_BYTES_MAX:
        raise _FaultError(Fault.LINE_TOO_LONG)
    return line.decode(manner.encoding)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cells:
    meter_id: str
    at: str
    register_dm3: int
    flags: tuple[str, ...]


def _csv_cells(text: str, head: Head, manner: Manner) -> _Cells:
    fields = [field.strip() for field in _fields(text, head.separator)]
    named = dict(zip(head.columns, fields, strict=False))
    meter_id = named.get(METER, "")
    known = meter_id if METER_ID.fullmatch(meter_id) else None
    if len(fields) != len(head.columns):
        fault = Fault.HALF_ROW if len(fields) < len(head.columns) else Fault.EXTRA_FIELDS
        raise _FaultError(fault, known)
    if known is None:
        raise _FaultError(Fault.BAD_METER)
    register_dm3 = (
        _whole(named[DM3]) if DM3 in named else _cubic(named[M3], manner.decimal)
    )  # fmt: skip
    if register_dm3 is None:
        raise _FaultError(Fault.BAD_REGISTER, known)
    flags = _flags(named.get(FLAGS, "").split(), known)
    return _Cells(meter_id=known, at=named[AT], register_dm3=register_dm3, flags=flags)


def _json_cells(text: str) -> _Cells:
    document = _parsed(text)
    if not isinstance(document, dict):
        raise _FaultError(Fault.NOT_JSON)
    meter_id, at, flags = document.get(METER), document.get(AT), document.get(FLAGS, [])
    if not isinstance(meter_id, str) or METER_ID.fullmatch(meter_id) is None:
        raise _FaultError(Fault.BAD_METER)
    keys = set(document)
    if not keys <= set(COLUMNS) or (DM3 in keys) is (M3 in keys) or not isinstance(at, str):
        raise _FaultError(Fault.BAD_SHAPE, meter_id)
    if not isinstance(flags, list) or not all(isinstance(flag, str) for flag in flags):
        raise _FaultError(Fault.BAD_FLAGS, meter_id)
    register_dm3: int | None = None
    if DM3 in keys and type(document[DM3]) is int and 0 <= document[DM3] <= REGISTER_DM3_MAX:
        register_dm3 = document[DM3]
    if M3 in keys and isinstance(document[M3], str):
        register_dm3 = _cubic(document[M3], ".")
    if register_dm3 is None:
        raise _FaultError(Fault.BAD_REGISTER, meter_id)
    return _Cells(
        meter_id=meter_id, at=at, register_dm3=register_dm3, flags=_flags(flags, meter_id)
    )


def _parsed(text: str) -> Any:  # noqa: ANN401 - JSON may be anything
    try:
        return _JSON.decode(text)
    except (ValueError, RecursionError):
        raise _FaultError(Fault.NOT_JSON) from None


_JSON: Final = json.JSONDecoder(object_pairs_hook=unique_keys, parse_constant=no_constant)


def _fields(text: str, separator: str) -> list[str]:
    """Cut a line into its fields; a field that begins with a quotation mark ends with one."""
    if '"' not in text:
        return text.split(separator)
    fields: list[str] = []
    rest = text
    while True:
        if rest.startswith('"'):
            field, rest = _quoted(rest)
            more = rest.startswith(separator)
            if rest and not more:
                raise _FaultError(Fault.BAD_QUOTES)
            rest = rest[1:]
        else:
            field, found, rest = rest.partition(separator)
            more = bool(found)
            if '"' in field:
                raise _FaultError(Fault.BAD_QUOTES)
        fields.append(field)
        if not more:
            return fields


def _quoted(text: str) -> tuple[str, str]:
    """Return the quoted field that a text begins with, and what comes after its last mark."""
    start = 1
    while (end := text.find('"', start)) >= 0:
        if not text.startswith('""', end):
            return text[1:end].replace('""', '"'), text[end + 1 :]
        start = end + 2
    raise _FaultError(Fault.QUOTED_NEWLINE)


def _whole(text: str) -> int | None:
    if _WHOLE.fullmatch(text) is None:
        return None
    register_dm3 = int(text)
    return register_dm3 if register_dm3 <= REGISTER_DM3_MAX else None


def _cubic(text: str, decimal: Decimal) -> int | None:
    """Return cubic metres as whole dm3, exactly; None for what is finer, or no number."""
    found = _CUBIC[decimal].fullmatch(text)
    if found is None:
        return None
    register_dm3 = int(found[1]) * 1000 + int((found[2] or "").ljust(3, "0"))
    return register_dm3 if register_dm3 <= REGISTER_DM3_MAX else None


def _flags(flags: Sequence[str], meter_id: str) -> tuple[str, ...]:
    if len(flags) > FLAGS_MAX or any(_FLAG.fullmatch(flag) is None for flag in flags):
        raise _FaultError(Fault.BAD_FLAGS, meter_id)
    return tuple(flags)


def _told(cells: _Cells, manner: Manner) -> Telegram:
    read_at = _instant(cells.at, manner.zone)
    # Flags stay out: the same register with another remark beside it is no other story.
    story = f"uploaded {cells.meter_id} {read_at.isoformat()} {cells.register_dm3}"
    reading = Reading(
        meter_id=cells.meter_id, read_at=read_at, register_dm3=cells.register_dm3
    )  # fmt: skip
    return Telegram(
        meter_id=cells.meter_id,
        counter=(read_at - COUNTER_EPOCH) // _SECOND,
        readings=(reading,),
        flags=cells.flags,
        digest=sha256(story.encode("ascii")).digest(),
        key_epoch=UPLOADED,
    )


def _instant(text: str, zone: ZoneInfo | None) -> datetime:
    """Return an instant in UTC; a local time needs a zone, and an hour that was there once."""
    found = _INSTANT.fullmatch(text)
    if found is None:
        raise _FaultError(Fault.BAD_TIME)
    day, hour, second, offset = found.groups()
    try:
        said = datetime.fromisoformat(f"{day}T{hour}{second or ':00'}{offset or ''}")
        at = said.astimezone(UTC) if offset else _placed(said, zone)
    except (ValueError, OverflowError):
        raise _FaultError(Fault.BAD_TIME) from None
    if not COUNTER_EPOCH <= at < _LAST_INSTANT:
        raise _FaultError(Fault.BAD_TIME)
    return at


def _placed(local: datetime, zone: ZoneInfo | None) -> datetime:
    if zone is None:
        raise _FaultError(Fault.NO_OFFSET)
    first = local.replace(tzinfo=zone, fold=0)
    second = local.replace(tzinfo=zone, fold=1)
    before, after = first.utcoffset(), second.utcoffset()
    assert before is not None, "a zone has an offset at every instant"
    assert after is not None, "a zone has an offset at every instant"
    if before < after:
        raise _FaultError(Fault.TIME_SKIPPED)
    if before > after:
        raise _FaultError(Fault.TIME_AMBIGUOUS)
    return first.astimezone(UTC)
