"""A square code that says how to pay, as text: Kazakhstan has no open format of a bank's.

It holds no name and no address of the resident; whoever photographs it learns what the payee wants.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

import segno

# Medium error correction survives a crease in the paper.
_CORRECTION: Final = "m"
# Every mask can be read; finding the prettiest of the eight costs five times the rest.
_MASK: Final = 3
# The quiet zone that readers need around the code.
_BORDER: Final = 2

_DARK: Final = "1"
_LIGHT: Final = "0"


def rows(text: str) -> list[str]:
    """Return the code of a text, its quiet zone included, as rows of 1 (dark) and 0 (light)."""
    code = segno.make(text, error=_CORRECTION, micro=False, mask=_MASK)
    edge = _LIGHT * _BORDER
    inner = [edge + row.hex()[1::2] + edge for row in code.matrix]
    beyond = [_LIGHT * len(inner[0])] * _BORDER
    return [*beyond, *inner, *beyond]


def svg(code: Sequence[str]) -> str:
    """Draw the rows of a code as one path; colours come from the page's own style."""
    size = len(code)
    drawn = "".join(_strokes(row, at) for at, row in enumerate(code))
    box = f'viewBox="0 0 {size} {size}"'
    return f'<svg class="qr" xmlns="http://www.w3.org/2000/svg" {box}><path d="{drawn}"/></svg>'


def _strokes(row: str, at: int) -> str:
    """Draw the dark runs of one row as rectangles of height one."""
    drawn, left = "", 0
    for shade, run in groupby(row):
        width = len(list(run))
        if shade == _DARK:
            drawn += f"M{left} {at}h{width}v1h-{width}z"
        left += width
    return drawn


def pixels(code: Sequence[str]) -> list[int]:
    """Return the rows of a code as one byte of grey per square, black (0) and white (255)."""
    return [0 if square == _DARK else 255 for row in code for square in row]
