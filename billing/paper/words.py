"""The words of a bill in three languages, from one catalogue."""

import string
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any


class Language(StrEnum):
    """The languages a bill is written in."""

    KK = "kk"
    RU = "ru"
    EN = "en"


class LanguageUnknownError(Exception):
    """A bill is written in kk, ru or en."""


def language_of(text: str) -> Language:
    """Return the language that somebody asked for.

    Raises:
        LanguageUnknownError: the bill is not written in it.
    """
    try:
        return Language(text)
    except ValueError:
        raise LanguageUnknownError("a bill is written in kk, ru or en") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The words of one language, by key."""

    language: Language
    texts: Mapping[str, str]

    def __call__(self, key: str, **values: str) -> str:
        """Return a word, or a sentence with its names filled in by what stays as it is."""
        return self.texts[key].format_map(values)

    def has(self, key: str) -> bool:
        """Say whether there is such a word."""
        return key in self.texts

    @property
    def months(self) -> tuple[str, ...]:
        """Return the twelve months, short."""
        return tuple(self.texts["months"].split())


@cache
def catalogue() -> Mapping[str, Mapping[str, str]]:
    """Return every word: key, then language."""
    text = files(__package__).joinpath("words.toml").read_text(encoding="utf-8")
    return dict(_entries(tomllib.loads(text)))


@cache
def words(language: Language) -> Words:
    """Return the words of one language."""
    return Words(
        language=language,
        texts={key: entry[language] for key, entry in catalogue().items()},
    )


def names_in(text: str) -> frozenset[str]:
    """Return the names that a sentence wants filled in."""
    return frozenset(name for _, name, _, _ in string.Formatter().parse(text) if name)


def _entries(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Mapping[str, str]]]:
    for key, value in tree.items():
        name = f"{above}{key}"
        if all(isinstance(part, str) for part in value.values()):
            yield name, value
        else:
            yield from _entries(value, f"{name}.")
