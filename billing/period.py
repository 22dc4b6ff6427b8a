"""Half-open billing months in the town's own time zone.

The only module that turns a zone's name into instants: a month has as many hours as it has.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib.resources import files
from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# Kazakhstan, nationwide since 2025-09-20: pay by the 25th of the month that follows.
DUE_DAY = 25

_LABEL = re.compile(r"^(\d{4})-(\d{2})$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Local days from ``start`` up to, but without, ``end``."""

    start: date
    end: date

    def __post_init__(self) -> None:
        """Refuse a period without a day in it."""
        if self.end <= self.start:
            raise ValueError("a period must hold at least one day")

    @classmethod
    def month(cls, year: int, month: int) -> Self:
        """Return one calendar month.

        Raises:
            ValueError: there is no such month.
        """
        start = date(year, month, 1)
        end = date(year + 1, 1, 1) if month == 12 else date(year, month + 1, 1)  # noqa: PLR2004
        return cls(start=start, end=end)

    @classmethod
    def parse(cls, label: str) -> Self:
        """Read ``2026-01``.

        Raises:
            ValueError: the text is not a month.
        """
        match = _LABEL.match(label)
        if match is None:
            raise ValueError(f"a month is written like 2026-01, not {label!r}")
        return cls.month(int(match[1]), int(match[2]))

    @classmethod
    def holding(cls, at: datetime, zone: str) -> Self:
        """Return the month that an instant falls into, in the town's zone."""
        day = local_day(at, zone)
        return cls.month(day.year, day.month)

    @property
    def label(self) -> str:
        """Say the month as ``2026-01``."""
        return f"{self.start:%Y-%m}"

    @property
    def due_on(self) -> date:
        """Return the day by which the period's bill is paid: the 25th of the next month."""
        return self.end.replace(day=DUE_DAY)

    def before(self) -> "Period":
        """Return the month that came before."""
        last = self.start - timedelta(days=1)
        return Period.month(last.year, last.month)

    def next(self) -> "Period":
        """Return the month that follows."""
        return Period.month(self.end.year, self.end.month)

    def days_with_end(self) -> list[date]:
        """Return every local day of the period and the first one after it."""
        count = (self.end - self.start).days
        return [self.start + timedelta(days=day) for day in range(count + 1)]

    def bounds(self, zone: str) -> tuple[datetime, datetime]:
        """Return the two instants, in UTC, between which the period lies."""
        return midnight(self.start, zone), midnight(self.end, zone)


@cache
def zone_of(name: str) -> ZoneInfo:
    """Return a time zone from our own pinned data; the system's copy may be years old.

    Raises:
        ZoneInfoNotFoundError: there is no such zone.
    """
    try:
        with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as data:
            return ZoneInfo.from_file(data, key=name)
    except (FileNotFoundError, IsADirectoryError):
        raise ZoneInfoNotFoundError(name) from None


def midnight(day: date, zone: str) -> datetime:
    """Return the instant, in UTC, at which a local day begins."""
    return datetime.combine(day, time(), zone_of(zone)).astimezone(UTC)


def local_day(at: datetime, zone: str) -> date:
    """Return the local day that an instant falls into."""
    assert at.utcoffset() is not None, "an instant carries a time zone"
    return at.astimezone(zone_of(zone)).date()


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """The days of one zone, for those who must not know its name."""

    zone: str

    def midnight(self, day: date) -> datetime:
        """Return the instant, in UTC, at which a local day begins."""
        return midnight(day, self.zone)

    def day_of(self, at: datetime) -> date:
        """Return the local day that an instant falls into."""
        return local_day(at, self.zone)

    def next_day(self, day: date) -> date:
        """Return the day that follows."""
        return day + timedelta(days=1)
