"""Our bills of a month against another system's, account by account.

    account_id,volume_dm3,net_minor,vat_minor,total_minor        the header of the other's CSV

Ours are what was issued, or what the run would issue now; both are read once. Nothing is equal that
differs by more than the tolerance, which is nothing unless somebody says otherwise.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from billing.period import Period
from billing.preview import Draft, DraftStore, drafts_of

HEADER: Final = ("account_id", "volume_dm3", "net_minor", "vat_minor", "total_minor")
# Two million accounts: more than any town, and what a small machine's memory holds.
ROWS_MAX: Final = 2_000_000
# A row has five short values; a longer line is no row of ours.
LINE_BYTES_MAX: Final = 1000
# As many differences and bad rows as a report shows; all are counted.
SHOWN_MAX: Final = 1000
# What the database holds.
FIGURE_MAX: Final = 9_223_372_036_854_775_807


class CompareError(Exception):
    """The other system's file cannot be compared at all."""


class Fault(StrEnum):
    """Why a row of the other system says nothing."""

    NOT_TEXT = "not_text"
    TOO_LONG = "too_long"
    WRONG_COLUMNS = "wrong_columns"
    NOT_A_NUMBER = "not_a_number"
    TWICE = "twice"


class Kind(StrEnum):
    """How an account differs."""

    DIFFERS = "differs"
    HELD_BY_US = "held_by_us"
    ONLY_OURS = "only_ours"
    ONLY_THEIRS = "only_theirs"


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that says nothing; lines count from one, the header is the first."""

    line_no: int
    fault: Fault


@dataclass(frozen=True, slots=True)
class Figures:
    """What one system asks an account for: dm3 and minor units."""

    volume_dm3: int
    net_minor: int
    vat_minor: int
    total_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """An account that is not alike; ``reason`` says what holds our bill."""

    account_id: str
    kind: Kind
    ours: Figures | None
    theirs: Figures | None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """By how much figures may differ and still be equal: dm3, minor units."""

    volume_dm3: int = 0
    minor: int = 0

    def __post_init__(self) -> None:
        """Refuse a tolerance below nothing."""
        if self.volume_dm3 < 0 or self.minor < 0:
            raise ValueError("a tolerance is not below nothing")

    def equal(self, ours: Figures, theirs: Figures) -> bool:
        """Say whether two systems ask for the same."""
        return (
            abs(ours.volume_dm3 - theirs.volume_dm3) <= self.volume_dm3
            and abs(ours.net_minor - theirs.net_minor) <= self.minor
            and abs(ours.vat_minor - theirs.vat_minor) <= self.minor
            and abs(ours.total_minor - theirs.total_minor) <= self.minor
        )


@dataclass(slots=True, kw_only=True)
class Comparison:
    """What came of it; ``differences`` and ``bad_rows`` are the first ones, the counts all."""

    period: Period
    equal: int = 0
    ours_minor: int = 0
    theirs_minor: int = 0
    counts: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))
    differences: list[Difference] = field(default_factory=list)
    bad_rows_total: int = 0
    bad_rows: list[BadRow] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Say whether both systems ask every account for the same."""
        return not any(self.counts.values()) and not self.bad_rows_total

    def note(self, difference: Difference) -> None:
        """Count a difference, and keep it if it is one of the first."""
        self.counts[difference.kind] += 1
        if len(self.differences) < SHOWN_MAX:
            self.differences.append(difference)

    def refuse(self, line_no: int, fault: Fault) -> None:
        """Count a row that says nothing, and keep it if it is one of the first."""
        self.bad_rows_total += 1
        if len(self.bad_rows) < SHOWN_MAX:
            self.bad_rows.append(BadRow(line_no=line_no, fault=fault))


def read_theirs(lines: Iterable[bytes], made: Comparison) -> dict[str, Figures]:
    """Return what another system asks for, by account; rows that say nothing are noted.

    An account that is named twice is compared by its first row.

    Raises:
        CompareError: the header is another, or there are too many rows.
    """
    theirs: dict[str, Figures] = {}
    line_no = 0
    for line_no, line in enumerate(lines, start=1):
        row = _row(line)
        if line_no == 1:
            if row != list(HEADER):
                raise CompareError(f"the first line must be {','.join(HEADER)}")
            continue
        if line_no > ROWS_MAX + 1:
            raise CompareError(f"the file has more than {ROWS_MAX} rows")
        if row == []:
            continue
        if isinstance(row, Fault):
            made.refuse(line_no, row)
            continue
        figures = _figures(row)
        if isinstance(figures, Fault):
            made.refuse(line_no, figures)
        elif row[0] in theirs:
            made.refuse(line_no, Fault.TWICE)
        else:
            theirs[row[0]] = figures
            made.theirs_minor += figures.total_minor
    if line_no == 0:
        raise CompareError("the file is empty")
    return theirs


async def compare(  # noqa: PLR0913 - two systems, a month, and how alike
    *,
    store: DraftStore,
    lines: Iterable[bytes],
    period: Period,
    at: datetime,
    zone: str,
    tolerance: Tolerance,
    chunk: int = 1000,
) -> Comparison:
    """Compare our bills of a month with another system's; nothing is written.

    Raises:
        CompareError: the file cannot be compared at all.
        PeriodNotOverError: the month still runs at that instant.
    """
    made = Comparison(period=period)
    theirs = read_theirs(lines, made)
    async for draft in drafts_of(store=store, period=period, at=at, zone=zone, chunk=chunk):
        _compare_one(made, draft, theirs.pop(draft.account_id, None), tolerance)
    for account_id in sorted(theirs):
        made.note(
            Difference(
                account_id=account_id, kind=Kind.ONLY_THEIRS, ours=None, theirs=theirs[account_id]
            )
        )
    return made


def _compare_one(
    made: Comparison, draft: Draft, theirs: Figures | None, tolerance: Tolerance
) -> None:
    ours = _ours(draft)
    if ours is not None:
        made.ours_minor += ours.total_minor
    if ours is not None and theirs is not None:
        if tolerance.equal(ours, theirs):
            made.equal += 1
            return
        kind = Kind.DIFFERS
    elif theirs is not None:
        kind = Kind.HELD_BY_US
    elif ours is not None:
        kind = Kind.ONLY_OURS
    else:
        # Held by us, and not asked for by them: nothing to compare.
        return
    made.note(
        Difference(
            account_id=draft.account_id,
            kind=kind,
            ours=ours,
            theirs=theirs,
            reason=draft.reason.value if draft.reason else None,
        )
    )


def _ours(draft: Draft) -> Figures | None:
    if draft.volume_dm3 is None or draft.net_minor is None:
        return None
    if draft.vat_minor is None or draft.total_minor is None:
        return None
    return Figures(draft.volume_dm3, draft.net_minor, draft.vat_minor, draft.total_minor)


def _row(line: bytes) -> list[str] | Fault:
    if len(line) > LINE_BYTES_MAX:
        return Fault.TOO_LONG
    try:
        text = line.decode("utf-8-sig").strip("\r\n")
    except UnicodeDecodeError:
        return Fault.NOT_TEXT
    try:
        return next(csv.reader([text]), [])
    except csv.Error:
        return Fault.NOT_TEXT


def _figures(row: list[str]) -> Figures | Fault:
    if len(row) != len(HEADER):
        return Fault.WRONG_COLUMNS
    figures = []
    for text in row[1:]:
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal()) or int(digits) > FIGURE_MAX:
            return Fault.NOT_A_NUMBER
        figures.append(int(text))
    return Figures(*figures)
