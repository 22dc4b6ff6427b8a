"""The blocks a document is made of; whoever prints it knows these four kinds and no bill.

    table    head, rows of cells, foot, notes       facts    rows of a name and what is said
    text     paragraphs                             pair     blocks on two sides

``comparisons`` are texts with facts, a ``chart`` is a table with bars.
"""

from collections.abc import Sequence
from typing import Any

# A cell of a table: one text, or a text with a smaller one below it.
Cell = str | dict[str, str]
Block = dict[str, Any]


def table(  # noqa: PLR0913 - what a table is made of
    heading: str,
    *,
    head: Sequence[str],
    align: str,
    widths: Sequence[int],
    rows: Sequence[Sequence[Cell]],
    foot: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Block:
    """Lay out a table; a column without a width is as wide as what stands in it."""
    return {
        "kind": "table",
        "heading": heading,
        "head": list(head),
        "align": align,
        "widths": list(widths),
        "rows": [
            [cell if isinstance(cell, dict) else {"main": cell} for cell in row] for row in rows
        ],
        "foot": list(foot),
        "notes": list(notes),
    }


def text(heading: str, paragraphs: Sequence[str]) -> Block:
    """Lay out some paragraphs under a heading."""
    return {"kind": "text", "heading": heading, "paragraphs": list(paragraphs)}
