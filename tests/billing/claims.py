"""What a record claims, place by place, and each place off by the least it can be."""

from collections.abc import Iterator
from copy import deepcopy
from datetime import date, datetime, timedelta
from typing import Any

Json = dict[str, Any]
Place = tuple[str | int, ...]

CLAIMED = ("lines", "charges", "totals")


def leaves(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Yield every place of a record that holds a single value."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from leaves(part, (*place, name))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from leaves(part, (*place, number))
    else:
        yield place, value


def put(record: Json, place: Place, value: Any) -> Json:
    """Put another value in a place of a record."""
    changed: Any = record
    for step in place[:-1]:
        changed = changed[step]
    changed[place[-1]] = value
    return record


def moved(value: Any) -> list[Any]:
    """Return values that are off by as little as possible."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1]
    if value is None:
        return [1]
    if "T" in value:
        return [(datetime.fromisoformat(value) + timedelta(seconds=1)).isoformat()]
    if value[:2] == "20":
        return [(date.fromisoformat(value) + timedelta(days=1)).isoformat()]
    return [{"read": "estimated", "estimated": "read"}.get(value, value + "1")]


def claims(record: Json) -> list[tuple[Place, Any]]:
    """Return every place of what a record claims, with what must not stand there unseen."""
    return [
        (place, wrong)
        for name in CLAIMED
        for place, value in leaves(record[name], (name,))
        for wrong in moved(value)
    ]


def falsified(record: Json) -> Iterator[tuple[str, Json]]:
    """Yield a record with each claim off by the least, and without or with twice each row."""
    for place, wrong in claims(record):
        yield f"{place} says {wrong}", put(deepcopy(record), place, wrong)
    for name in ("lines", "charges"):
        for number, row in enumerate(record[name]):
            dropped, doubled = deepcopy(record), deepcopy(record)
            del dropped[name][number]
            doubled[name].insert(number, row)
            yield f"{name} without {number}", dropped
            yield f"{name} with {number} twice", doubled
