"""The press: makes PDF and HTML of a document, and adds nothing to it.

What people wrote reaches typst as data and HTML through escaping, never as markup. The compiler is
made once per process: with its fonts it is most of what the first bill costs.
"""

import base64
import hashlib
import json
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from enum import StrEnum
from functools import cache
from importlib.resources import as_file, files
from itertools import islice
from typing import Final

import jinja2
import typst
from markupsafe import Markup

from billing.paper import qr
from billing.paper.document import Document, document
from billing.paper.surroundings import Surroundings
from billing.paper.words import Language
from billing.record import Json

# Batches a pool works on at once, beside the one that is being taken: enough to keep it busy.
AHEAD: Final = 4
# Bills that travel to a process together: their travel costs less than their printing.
BATCH: Final = 16

# A bill to be printed.
Job = tuple[Json, Surroundings, Language]

# A compiler is one thread's at a time; more speed comes from more processes.
_ONE_AT_A_TIME: Final = threading.Lock()


class Form(StrEnum):
    """The forms of a bill for people; its form for programs is the record."""

    PDF = "pdf"
    HTML = "html"


class FormUnknownError(Exception):
    """A bill is printed as pdf or html."""


def form_of(text: str) -> Form:
    """Return the form that somebody asked for.

    Raises:
        FormUnknownError: there is no such form.
    """
    try:
        return Form(text)
    except ValueError:
        raise FormUnknownError("a bill is printed as pdf or html") from None


def pdf(document: Document, *, tagged: bool = True) -> bytes:
    """Print a document on A4; the same document gives the same bytes.

    Tags let a program read the file aloud; a file for paper needs none, and is a third smaller.
    """
    code = document["qr"]
    squares = {"qr": qr.pixels(code), "qr_side": len(code)}
    data = json.dumps({**document, **squares}, ensure_ascii=False)
    with _ONE_AT_A_TIME:
        content = compiler().compile(sys_inputs={"bill": data}, format="pdf", pdf_tags=tagged)
    assert isinstance(content, bytes), "a PDF is one file"
    return content


def html(document: Document) -> bytes:
    """Show a document as one page that loads nothing and needs no script."""
    page = _page().render(
        bill=document,
        style=Markup(_style()),  # noqa: S704 - our own file
        code=Markup(qr.svg(document["qr"])) if document["qr"] else "",  # noqa: S704 - our drawing
    )
    return page.encode()


def page_policy() -> str:
    """Return what a browser may load for the page: its one style, known by its digest."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def pdfs(jobs: Iterable[Job], pool: Executor) -> Iterator[bytes]:
    """Print bills on the processes of a pool, in order; only a few batches are in memory.

    Args:
        jobs: taken as the pool becomes free.
        pool: the processes; each keeps a compiler of its own.
    """
    waiting = iter(jobs)
    ahead: deque[Future[list[bytes]]] = deque()
    while True:
        batch = list(islice(waiting, BATCH))
        if batch:
            ahead.append(pool.submit(printed, batch))
        if ahead and (not batch or len(ahead) > AHEAD):
            yield from ahead.popleft().result()
        if not batch and not ahead:
            return


def printed(jobs: Sequence[Job]) -> list[bytes]:
    """Print bills for paper one after the other, in this process."""
    return [
        pdf(document(record, around, language), tagged=False) for record, around, language in jobs
    ]


@cache
def compiler() -> typst.Compiler:
    """Return this process's compiler, with the fonts inside typst and none of the system's."""
    with as_file(files("billing.paper").joinpath("bill.typ")) as source:
        return typst.Compiler(
            source,
            root=source.parent,
            font_paths=typst.Fonts(include_system_fonts=False, include_embedded_fonts=True),
        )


@cache
def _style() -> str:
    return files("billing.paper").joinpath("bill.css").read_text(encoding="utf-8")


@cache
def _page() -> jinja2.Template:
    text = files("billing.paper").joinpath("bill.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # For what we drew ourselves; every text in it was escaped where it was drawn.
    environment.filters["ours"] = Markup
    return environment.from_string(text)
