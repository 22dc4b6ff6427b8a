"""A document as plain text, for a terminal."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from billing.paper.document import Document


def text(document: Document) -> str:
    """Return a document line by line, without the drawings."""
    return "\n".join(_lines(document)) + "\n"


def _lines(document: Document) -> Iterator[str]:
    yield f"{document['title']} {document['number']}"
    yield from document["notes"]
    yield from _pairs(document["facts"])
    pay = document["pay"]
    yield f"{pay['label']}: {pay['amount']}. {pay['note']}"
    for block in document["blocks"]:
        sides = block["sides"] if block["kind"] == "pair" else [[block]]
        for one in chain.from_iterable(sides):
            yield ""
            yield one["heading"]
            yield from _block(one)


def _block(block: dict[str, Any]) -> Iterator[str]:
    match block["kind"]:
        case "facts":
            yield from _pairs([*block["rows"], *([block["foot"]] if block["foot"] else [])])
        case "text":
            yield from (f"  {paragraph}" for paragraph in block["paragraphs"])
        case "comparisons":
            for part in block["parts"]:
                yield f"  {part['text']}"
                foot = [part["foot"]] if part["foot"] else []
                yield from _pairs([*part["rows"], *foot], "    ")
            if block["note"]:
                yield f"  {block['note']}"
        case _:
            rows = [[_cell(cell) for cell in row] for row in block["rows"]]
            foot = [block["foot"]] if block["foot"] else []
            for row in [block["head"], *rows, *foot]:
                yield "  " + " | ".join(row)
            yield from (f"  {note}" for note in block.get("notes", ()))


def _pairs(rows: list[list[str]], indent: str = "  ") -> Iterator[str]:
    yield from (f"{indent}{name}: {said}" for name, said in rows)


def _cell(cell: dict[str, str]) -> str:
    return f"{cell['main']} ({cell['sub']})" if cell.get("sub") else cell["main"]
