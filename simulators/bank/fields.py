"""Reads a request's fields, gathering every error before refusing."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from simulators.bank.clock import parse_day
from simulators.bank.errors import validation_failed

METADATA_KEYS_MAX: Final = 3
METADATA_KEY_LENGTH_MAX: Final = 50
METADATA_VALUE_LENGTH_MAX: Final = 500
TEXT_LENGTH_MAX: Final = 255
# Ten thousand million in major units: far above any bill, far below SQLite's integers.
INTEGER_MAX: Final = 10**12
NO_METADATA: Final[Mapping[str, str]] = MappingProxyType({})


def is_http_url(text: str) -> bool:
    """Say whether a text is an absolute http(s) address that can stand in a header."""
    # The library forgives blanks and line ends; a header holds neither.
    if not text.isprintable() or " " in text:
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


class Fields:
    """The fields of one JSON object and where it stands in the request."""

    def __init__(
        self, raw: dict[str, Any], pointer: str, problems: list[dict[str, Any]] | None = None
    ) -> None:
        self._raw = raw
        self._pointer = pointer
        self._problems: list[dict[str, Any]] = [] if problems is None else problems
        self._asked: set[str] = set()
        self._children: list[Fields] = []

    def refuse(self, name: str, message: str) -> None:
        """Note an error of one field."""
        self._problems.append(
            {"field": name, "message": message, "request_pointer": f"{self._pointer}/{name}"}
        )

    def check(self) -> None:
        """End the reading.

        :raises BankError: 422 with every error noted, unknown fields included.
        """
        self.refuse_unknown()
        if self._problems:
            raise validation_failed(self._problems)

    def refuse_unknown(self) -> None:
        """Note an error for each field that nobody asked for, here and further inside."""
        for name in sorted(set(self._raw) - self._asked):
            self.refuse(name, "is not a known field")
        for child in self._children:
            child.refuse_unknown()

    def __contains__(self, name: str) -> bool:
        """Say whether the field is there, a null too."""
        return name in self._raw

    def has(self, name: str) -> bool:
        """Say whether the field is there and not null."""
        return self._raw.get(name) is not None

    def ignore(self, *names: str) -> None:
        """Accept fields of the contract that change nothing here."""
        self._asked.update(names)

    def _value(self, name: str, *, required: bool = False) -> object:
        self._asked.add(name)
        value: object = self._raw.get(name)
        if required and (value is None or value == ""):
            self.refuse(name, "is required")
            return None
        return value

    def text(
        self, name: str, *, required: bool = False, length_max: int = TEXT_LENGTH_MAX
    ) -> str | None:
        """Return a string, or None when it is missing."""
        value = self._value(name, required=required)
        if value is None:
            return None
        if not isinstance(value, str):
            self.refuse(name, "must be a string")
            return None
        if len(value) > length_max:
            self.refuse(name, f"is too long (maximum is {length_max} characters)")
        return value

    def choice(self, name: str, allowed: Collection[str], *, required: bool = False) -> str | None:
        """Return one of the allowed strings, or None when it is missing."""
        value = self.text(name, required=required)
        if value is not None and value not in allowed:
            self.refuse(name, f"must be one of {', '.join(sorted(allowed))}")
            return None
        return value

    def integer(self, name: str, *, required: bool = False, least: int = 1) -> int | None:
        """Return a whole number in range, or None when it is missing; 1.0 and true are none."""
        value = self._value(name, required=required)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            self.refuse(name, "must be an integer")
            return None
        if not least <= value <= INTEGER_MAX:
            self.refuse(name, f"must be between {least} and {INTEGER_MAX}")
            return None
        return value

    def boolean(self, name: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self._value(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(name, "must be true or false")
            return default
        return value

    def day(self, name: str) -> str | None:
        """Return a calendar day written YYYY-MM-DD, or None when it is missing."""
        value = self.text(name)
        if value is None:
            return None
        try:
            return parse_day(value).isoformat()
        except ValueError:
            self.refuse(name, "is not a valid date")
            return None

    def url(self, name: str) -> str | None:
        """Return an absolute http(s) address, or None when it is missing."""
        value = self.text(name, length_max=2000)
        if value is None:
            return None
        if not is_http_url(value):
            self.refuse(name, "must be an absolute http(s) URL")
            return None
        return value

    def metadata(self, kept: Mapping[str, str] = NO_METADATA) -> dict[str, str]:
        """Return the metadata, at most three short keys with strings of some length, or `kept`."""
        value = self._value("metadata")
        if value is None:
            return dict(kept)
        if not isinstance(value, dict):
            self.refuse("metadata", "must be an object")
            return {}
        if len(value) > METADATA_KEYS_MAX:
            self.refuse("metadata", f"must not have more than {METADATA_KEYS_MAX} keys")
        for key, entry in value.items():
            if len(key) > METADATA_KEY_LENGTH_MAX:
                self.refuse("metadata", f"keys have at most {METADATA_KEY_LENGTH_MAX} characters")
            if not isinstance(entry, str):
                self.refuse("metadata", "values must be strings")
            elif len(entry) > METADATA_VALUE_LENGTH_MAX:
                self.refuse(
                    "metadata", f"values have at most {METADATA_VALUE_LENGTH_MAX} characters"
                )
        return value

    def child(self, name: str, *, required: bool = False) -> "Fields":
        """Return the fields of an object inside this one, empty when it is missing."""
        value = self._value(name, required=required)
        if value is not None and not isinstance(value, dict):
            self.refuse(name, "must be an object")
        raw = value if isinstance(value, dict) else {}
        child = Fields(raw, f"{self._pointer}/{name}", self._problems)
        self._children.append(child)
        return child

    def children(self, name: str) -> "list[Fields]":
        """Return the fields of each object in a list, none when it is missing."""
        value = self._value(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            self.refuse(name, "must be a list of objects")
            return []
        found = [
            Fields(entry, f"{self._pointer}/{name}/{place}", self._problems)
            for place, entry in enumerate(value)
        ]
        self._children.extend(found)
        return found
