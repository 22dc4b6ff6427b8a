"""Lines of a CSV after RFC 4180, in UTF-8, that no spreadsheet takes for a formula.

A text that begins with one of ``= + - @ '``, a tab or a carriage return gets an apostrophe in
front; whoever reads the file takes one apostrophe away from the front of a text. Whole numbers and
amounts are ours and stand as they are, also below zero.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

# The minor units of one unit; the currencies of this system have a hundred.
MINOR_PER_UNIT: Final = 100

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "'")

Cell = str | int | None


def safe(text: str) -> str:
    """Return a text that a spreadsheet shows and does not work out."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def unsafe(cell: str) -> str:
    """Return the text that a cell was made of."""
    return cell.removeprefix("'")


def decimal(amount_minor: int) -> str:
    """Return an amount with its two digits behind the point, as accountants read it."""
    units, rest = divmod(abs(amount_minor), MINOR_PER_UNIT)
    return f"{'-' if amount_minor < 0 else ''}{units}.{rest:02d}"


def line(cells: Iterable[Cell]) -> bytes:
    """Return one line of the file; texts must have been made ``safe``, None is an empty cell."""
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerow(cells)
    return written.getvalue().encode()


def listed(values: Sequence[object]) -> str:
    """Return several values of one cell with blanks between, none of which holds a blank."""
    return " ".join(str(value) for value in values)
