"""A letter: what a message says to its reader, in the reader's language.

The texts stand in ``billing/letters``, one file for each kind and language: the subject, an empty
line, and blocks of lines. The same blocks make the plain text and the page, which loads nothing and
links to nothing, so the two cannot say different things.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any, Final

import jinja2

from billing.message import Kind
from billing.paper.words import Language

_LETTERS: Final = files("billing").joinpath("letters")


class LetterError(Exception):
    """A letter cannot be written, because its text wants a fact that is not there: our bug."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A subject, and the same words twice: as plain text and as a page."""

    subject: str
    text: str
    html: str


def letter(kind: Kind, language: Language, facts: Mapping[str, Any]) -> Letter:
    """Write a letter; every fact that its text names must be there.

    Raises:
        LetterError: a fact is missing.
    """
    try:
        said = _template(f"{kind.value}.{language.value}.txt").render(facts).strip()
    except jinja2.TemplateError as error:
        raise LetterError(f"{kind.value}.{language.value}: {error}") from error
    lines = [" ".join(filter(None, line.split(" "))) for line in said.splitlines()]
    subject, *rest = lines
    blocks = [list(block) for full, block in groupby(rest, key=bool) if full]
    return Letter(
        subject=subject,
        text="\n\n".join("\n".join(block) for block in blocks) + "\n",
        html=_page().render(language=language.value, subject=subject, blocks=blocks),
    )


@cache
def _template(name: str) -> jinja2.Template:
    plain = jinja2.Environment(  # noqa: S701 - plain text: there is nothing to escape
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return plain.from_string(_LETTERS.joinpath(name).read_text(encoding="utf-8"))


@cache
def _page() -> jinja2.Template:
    pages = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return pages.from_string(_LETTERS.joinpath("page.html").read_text(encoding="utf-8"))
