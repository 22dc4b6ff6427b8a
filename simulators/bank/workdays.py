"""Working days of a rail: when its files leave, and on which days it moves money.

The days stand in `closed_days.json`, which `scripts/closed_days` writes out from the `holidays`
library: loading all countries of the world takes longer than founding the bank. Days are in UTC.
"""

import json
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Final

_DAY: Final = timedelta(days=1)
_SATURDAY: Final = 5
_KNOWN: Final = json.loads(Path(__file__).with_name("closed_days.json").read_text(encoding="ascii"))
FIRST: Final = date.fromisoformat(_KNOWN["first"])
LAST: Final = date.fromisoformat(_KNOWN["last"])
# Nothing is planned further ahead: a payment at most three years, and the holidays after.
HORIZON: Final = timedelta(days=3 * 365 + 31)
UNKNOWN: Final = f"days of banks are known and can be planned from {FIRST} to {LAST - HORIZON}"


def is_known(at: datetime) -> bool:
    """Say whether every day that a bank plans at an instant has been written down."""
    return FIRST <= at.date() <= LAST - HORIZON


class DayUnknownError(ValueError):
    """Nobody has written down whether banks work on this day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """The days on which a rail works, and the hour after which today's file has left.

    `closed` are weekdays on which it rests, `opened` days of a weekend on which it works.
    """

    closed: frozenset[date]
    opened: frozenset[date]
    cut_off: time

    def works_on(self, day: date) -> bool:
        """Say whether the rail moves money on a day.

        :raises DayUnknownError: for a day beyond those that were written down.
        """
        if not FIRST <= day <= LAST:
            raise DayUnknownError(f"days of banks are known from {FIRST} to {LAST}, not {day}")
        if day.weekday() < _SATURDAY:
            return day not in self.closed
        return day in self.opened

    def roll(self, day: date) -> date:
        """Return the day itself, or the next working day when it is none."""
        while not self.works_on(day):
            day += _DAY
        return day

    def after(self, day: date, working_days: int) -> date:
        """Return the day so many working days after a day."""
        for _ in range(working_days):
            day = self.roll(day + _DAY)
        return day

    def file_day(self, at: datetime) -> date:
        """Return the day whose file still takes an order given at an instant."""
        day = at.date()
        return self.roll(day if at.time() < self.cut_off else day + _DAY)


def _calendar(name: str, cut_off: time) -> Calendar:
    days = {kind: frozenset(map(date.fromisoformat, found)) for kind, found in _KNOWN[name].items()}
    return Calendar(closed=days["closed"], opened=days["open"], cut_off=cut_off)


# 16:00 in Almaty.
KZ: Final = _calendar("kz", time(11))
# The days of TARGET; 16:00 in Frankfurt in winter.
TARGET: Final = _calendar("target", time(15))
