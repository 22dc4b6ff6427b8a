"""How the customer port of Dutch and Belgian meters (P1) writes a time, for all who pass it on.

``YYMMDDhhmmss`` on the wall of the mapping's zone, with S (summer) or W (winter) behind it from
DSMR 4 on. A clock that was never set shows the first hours of 1970.
"""

import re
from datetime import datetime
from typing import Final

from metering.adapters import parse

_STAMP = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([SW]?)")
_UNSET: Final = "700101"


def is_unset(stamp: str) -> bool:
    """Say whether a stamp is that of a clock that nobody ever set."""
    return stamp.startswith(_UNSET)


def stamp_at(stamp: str, name: str, zone: str) -> datetime:
    """Return the instant of a stamp.

    In the hour that comes twice the letter says which; at any other time it must say what the zone
    says, or the meter's clock and its mapping do not mean the same wall.
    """
    match = _STAMP.fullmatch(stamp)
    if match is None:
        raise parse.unreadable(f"{name} is no time of a P1 port")
    if is_unset(stamp):
        raise parse.unreadable(f"{name}: the clock was never set")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    try:
        wall = datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001 - a wall
    except ValueError:
        raise parse.unreadable(f"{name} is no day or time of a calendar") from None
    letter = match[7]
    if not letter:
        return parse.wall_at(wall, name, zone)
    found = parse.wall_at(wall, name, zone, int(letter == "W"))
    if parse.is_summer(found, zone) != (letter == "S"):
        raise parse.unreadable(f"{name} says {letter}, and {zone} does not")
    return found
