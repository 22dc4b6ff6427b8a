"""Strict JSON: whole numbers of 64 bits, days, instants, and the place of whatever does not fit.

Nothing is guessed and nothing is converted. Python's standard library is all that is needed.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Final, NoReturn

# A bill's record has some ten thousand bytes; what is so much longer is none.
BYTES_MAX: Final = 4_000_000
# What the database can hold in a column.
WHOLE_MAX: Final = 2**63 - 1
# Whoever says another year is mistaken, and the calendar of Python ends somewhere too.
YEARS: Final = range(1900, 3000)
TEXT_MAX: Final = 200

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})"
)

Value = int | str | date | datetime | None
Row = Mapping[str, Value]


class RecordError(ValueError):
    """The record cannot be used; says where and why."""


def loads(content: bytes) -> object:
    """Return what a file of JSON says, without floats and without a key that stands twice.

    Raises:
        RecordError: it is no such file.
    """
    if len(content) > BYTES_MAX:
        raise RecordError(f"the file is longer than {BYTES_MAX} bytes")
    try:
        return json.loads(
            content.decode("utf-8"),
            parse_float=_no_float,
            parse_constant=_no_float,
            parse_int=_whole,
            object_pairs_hook=_once,
        )
    except UnicodeDecodeError:
        raise RecordError("the file is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise RecordError(f"the file is not JSON: {error}") from None
    except RecursionError:
        raise RecordError("the file is nested too deeply") from None


def _no_float(text: str) -> NoReturn:
    raise RecordError(f"{text[:40]} is not a whole number")


def _whole(text: str) -> int:
    if len(text) > len(str(-WHOLE_MAX)) or abs(int(text)) > WHOLE_MAX:
        raise RecordError(f"the number {text[:20]}… is larger than any that a bill holds")
    return int(text)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RecordError(f"the key {twice[:TEXT_MAX]!a} stands twice in one object")
    return found


class At:
    """A value and where it stands; the place is put into words only when something is wrong."""

    __slots__ = ("_name", "_outer", "value")

    def __init__(self, value: object, name: str | int = "", outer: "At | None" = None) -> None:
        self.value = value
        self._name = name
        self._outer = outer

    @property
    def place(self) -> str:
        """Say where the value stands, such as ``usages/1/opening``."""
        above = self._outer.place if self._outer else ""
        return f"{above}/{self._name}" if above else str(self._name)

    def refuse(self, why: str) -> NoReturn:
        """Say where the record is wrong, and why."""
        raise RecordError(f"{self.place or 'the record'}: {why}")

    def field(self, name: str) -> "At":
        """Return a field that must be there."""
        if not isinstance(self.value, dict):
            self.refuse("should be an object")
        if name not in self.value:
            self.refuse(f"{name} is missing")
        return At(self.value[name], name, self)

    def items(self, most: int) -> Iterator["At"]:
        """Yield the items of a list, which may have so many at most."""
        if not isinstance(self.value, list):
            self.refuse("should be a list")
        if len(self.value) > most:
            self.refuse(f"has more than {most} items")
        for number, item in enumerate(self.value, start=1):
            yield At(item, number, self)

    @property
    def absent(self) -> bool:
        """Say whether it is null."""
        return self.value is None

    def whole(self, low: int = -WHOLE_MAX, high: int = WHOLE_MAX) -> int:
        """Return a whole number between two."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            self.refuse("should be a whole number")
        if not low <= self.value <= high:
            self.refuse(f"{self.value} is not between {low} and {high}")
        return self.value

    def count(self) -> int:
        """Return a whole number that is not negative."""
        return self.whole(0)

    def truth(self) -> bool:
        """Return true or false."""
        if not isinstance(self.value, bool):
            self.refuse("should be true or false")
        return self.value

    def text(self) -> str:
        """Return a short text."""
        if not isinstance(self.value, str) or not 1 <= len(self.value) <= TEXT_MAX:
            self.refuse(f"should be a text of 1 to {TEXT_MAX} characters")
        return self.value

    def one_of(self, *names: str) -> str:
        """Return one of these words."""
        if self.value not in names:
            self.refuse(f"should be one of {', '.join(names)}")
        return self.text()

    def day(self) -> date:
        """Return a day."""
        text = self.text()
        if not _DAY.fullmatch(text):
            self.refuse("should be a day such as 2026-01-01")
        try:
            day = date.fromisoformat(text)
        except ValueError:
            self.refuse(f"there is no day {text}")
        if day.year not in YEARS:
            self.refuse(f"{text} is too far away")
        return day

    def instant(self) -> datetime:
        """Return an instant, in UTC."""
        text = self.text()
        if not _INSTANT.fullmatch(text):
            self.refuse("should be an instant such as 2026-01-01T00:00:00+00:00")
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            self.refuse(f"there is no instant {text}")
        if at.year not in YEARS:
            self.refuse(f"{text} is too far away")
        return at.astimezone(UTC)

    def quality(self) -> str:
        """Return how a register is known."""
        return self.one_of("read", "estimated")

    def row(self, readers: Mapping[str, str]) -> Row:
        """Read the named fields; a reader that ends in ``?`` also takes null."""
        found: dict[str, Value] = {}
        for name, reader in readers.items():
            at = self.field(name)
            if reader[-1] != "?":
                found[name] = getattr(at, reader)()
            else:
                found[name] = None if at.value is None else getattr(at, reader[:-1])()
        return found
