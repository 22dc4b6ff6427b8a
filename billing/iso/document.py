"""Files of ISO 20022 as trees: strange files are turned away here, before anybody reads them.

A file is UTF-8, has no document type (so no entity can unfold or fetch anything), is not larger
than a bank's day can be, and is of a version we know. What is left is walked by names without
their namespace, which changes from version to version while the names stay.
"""

import re
from collections.abc import Iterator
from datetime import date
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

# A day of a town with 100 000 accounts, each entry with a page of text, stays below.
FILE_BYTES_MAX: Final = 64 * 1024 * 1024
# The minor units of one unit; the currencies of this system have a hundred.
MINOR_DIGITS: Final = 2

_AMOUNT: Final = re.compile(r"^([0-9]{1,15})(?:\.([0-9]{1,5}))?$")
_CURRENCY: Final = re.compile(r"^[A-Z]{3}$")
_DAY: Final = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(?=$|T|Z|\+|-)")
_ENCODING: Final = re.compile(rb"^\s*<\?xml[^>]*?encoding\s*=\s*[\"']([^\"']{1,40})[\"']")
_NAMESPACE: Final = re.compile(
    r"^\{urn:iso:std:iso:20022:tech:xsd:([a-z]{4}\.\d{3}\.\d{3}\.\d{2})\}"
)
_BOM: Final = b"\xef\xbb\xbf"


class FileError(Exception):
    """A file cannot be taken; ``reason`` is a word, ``where`` a place, never its content."""

    reason = "unusable"

    def __init__(self, where: str) -> None:
        super().__init__(f"{self.reason}: {where}")
        self.where = where


class TooLargeError(FileError):
    """The file is larger than any day can be."""

    reason = "too_large"


class EncodingError(FileError):
    """The file is not UTF-8, or says that it is not."""

    reason = "wrong_encoding"


class EntityError(FileError):
    """The file has a document type or entities: nobody honest sends those."""

    reason = "entities"


class NotXmlError(FileError):
    """The file is not XML."""

    reason = "not_xml"


class VersionError(FileError):
    """The file is of another kind or version than those we know."""

    reason = "unknown_version"


class FieldError(FileError):
    """A field that we rely on is missing, or does not hold what it should."""

    reason = "bad_field"


class CurrencyError(FileError):
    """An amount is in another currency than its account."""

    reason = "wrong_currency"


class SumError(FileError):
    """The parts do not add up to the whole."""

    reason = "sums_differ"


def tree(data: bytes, *, versions: frozenset[str]) -> tuple[Element, str]:
    """Return the root of a file and its version, such as ``camt.053.001.08``.

    Raises:
        FileError: it is too large, not UTF-8, not XML, has entities, or is of an unknown version.
    """
    if len(data) > FILE_BYTES_MAX:
        raise TooLargeError(f"{len(data)} bytes")
    body = data.removeprefix(_BOM)
    said = _ENCODING.match(body)
    if said is not None and said[1].lower() not in {b"utf-8", b"utf8", b"us-ascii"}:
        raise EncodingError("the first line")
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EncodingError(f"byte {error.start}") from None
    try:
        root: Element = fromstring(
            body, forbid_dtd=True, forbid_entities=True, forbid_external=True
        )
    except DefusedXmlException:
        raise EntityError("the document type") from None
    except ParseError as error:
        raise NotXmlError(f"line {error.position[0]}") from None
    space = _NAMESPACE.match(root.tag)
    if space is None or root.tag != f"{space[0]}Document" or space[1] not in versions:
        raise VersionError("the namespace")
    # Every name carries the namespace; without it the same walk reads every version.
    for element in root.iter():
        element.tag = element.tag.removeprefix(space[0])
    return root, space[1]


def text(element: Element | None, path: str) -> str | None:
    """Return the text at a path, without blanks around it; None if there is none."""
    if element is None:
        return None
    found = element.findtext(path)
    return (found or "").strip() or None


def needed(element: Element, path: str) -> str:
    """Return the text at a path.

    Raises:
        FieldError: there is none.
    """
    found = text(element, path)
    if found is None:
        raise FieldError(f"{element.tag}/{path}")
    return found


def texts(element: Element, path: str) -> Iterator[str]:
    """Return all texts at a path."""
    for one in element.iterfind(path):
        found = (one.text or "").strip()
        if found:
            yield found


def day(element: Element, path: str) -> date:
    """Return the day at a path, whether a date or an instant stands there, as the bank wrote it.

    Raises:
        FieldError: there is none.
    """
    for form in ("Dt", "DtTm"):
        found = text(element, f"{path}/{form}")
        if found is not None:
            return parsed_day(found, f"{element.tag}/{path}/{form}")
    raise FieldError(f"{element.tag}/{path}")


def parsed_day(found: str, where: str) -> date:
    """Return the day that a date or an instant begins with.

    Raises:
        FieldError: it is neither.
    """
    match = _DAY.match(found)
    try:
        return date.fromisoformat(match[0] if match else "")
    except ValueError:
        raise FieldError(where) from None


def amount_minor(element: Element, path: str) -> tuple[int, str]:
    """Return an amount in minor units, exactly, and its currency.

    Raises:
        FieldError: it is no amount, or finer than the currency's minor unit.
    """
    found = element.find(path)
    where = f"{element.tag}/{path}"
    if found is None:
        raise FieldError(where)
    match = _AMOUNT.fullmatch((found.text or "").strip())
    currency = found.get("Ccy", "")
    if match is None or _CURRENCY.fullmatch(currency) is None:
        raise FieldError(where)
    fraction = (match[2] or "").ljust(MINOR_DIGITS, "0")
    if fraction[MINOR_DIGITS:].strip("0"):
        raise FieldError(where)
    return int(match[1]) * 10**MINOR_DIGITS + int(fraction[:MINOR_DIGITS]), currency
