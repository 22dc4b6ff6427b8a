"""Which local days of a meter nobody has read, and why.

Each day is one word, the first of these that fits:

    not_installed   the meter hung nowhere on it
    read            a trusted register stands in it: billable, decided by a person, or written down
                    when the meter was hung up or taken down
    suspect_only    the meter spoke, and nothing of it is believed
    declared        a person said why it would be silent
    not_due         the day still runs, or what it said may still be on its way
    missing         none of these: somebody has to look

All of it is derived each time, so a register that comes late closes its gap by itself. A meter
cannot declare a gap: the wire has no word for it, and whoever holds a meter must not explain its
silence.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol
from uuid import UUID

from metering.installation import Installation
from metering.rule import INTERVAL_TYPES
from metering.survey import CADENCE, INTERVAL_CADENCE, Days

DAY: Final = timedelta(days=1)
HOUR: Final = timedelta(hours=1)
# As long as the longest billing period, so that what this month's bill needs is in sight.
RECENT_DAYS: Final = 31
# A year and a month: enough to compare a day with the same one last year.
MAP_DAYS_MAX: Final = 400


class BadSpanError(ValueError):
    """These are no days, or more of them than one answer shows."""


class Calendar(Protocol):
    """When days begin in the town."""

    def midnight(self, day: date) -> datetime:
        """Return the instant at which a local day begins."""

    def day_of(self, at: datetime) -> date:
        """Return the local day that an instant falls into."""


class DayState(StrEnum):
    """What is known about one local day of a meter."""

    NOT_INSTALLED = "not_installed"
    READ = "read"
    SUSPECT_ONLY = "suspect_only"
    DECLARED = "declared"
    NOT_DUE = "not_due"
    MISSING = "missing"


class GapReason(StrEnum):
    """Why a meter is silent, as a person may say it."""

    WORKSHOP = "workshop"  # it was taken away to be tested or mended
    SHUT_OFF = "shut_off"  # no gas and no meter's duty: an empty home, a cut supply
    NO_NETWORK = "no_network"  # the network it speaks over is away for days
    NO_POWER = "no_power"  # its battery is empty and will be changed
    OTHER = "other"  # the text says what


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """How often a meter of a type speaks, and how long after a day's end its last word may take."""

    every: timedelta
    grace: timedelta


DAILY: Final = Rhythm(every=DAY, grace=CADENCE - DAY)
HOURLY: Final = Rhythm(every=HOUR, grace=INTERVAL_CADENCE - HOUR)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalDay:
    """One day of the town: from its midnight up to, but without, the next."""

    day: date
    start_at: datetime
    end_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """How many trusted and how many suspect readings a day holds."""

    billable: int = 0
    suspect: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredGap:
    """Days from ``from_day`` up to, but without, ``to_day`` on which a meter is silent.

    What was declared by mistake is withdrawn, and stays.
    """

    gap_id: UUID
    meter_id: str
    from_day: date
    to_day: date
    reason: GapReason
    because: str
    declared_by: str
    declared_at: datetime
    withdrawn_by: str | None = None
    withdrawn_because: str | None = None
    withdrawn_at: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse a gap without a day in it."""
        if self.to_day <= self.from_day:
            raise ValueError("a gap holds at least one day")

    @property
    def days(self) -> Days:
        """Return its days."""
        return Days(start=self.from_day, end=self.to_day)

    def holds(self, day: date) -> bool:
        """Say whether this explains a day; what was withdrawn explains nothing."""
        return self.withdrawn_at is None and self.from_day <= day < self.to_day


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRead:
    """One day of the map; ``expected`` readings are what the meter's type has while it hangs."""

    day: date
    state: DayState
    billable: int
    suspect: int
    expected: int
    declared: GapReason | None


def recent(today: date) -> Days:
    """Return the days before today that are always shown, and today."""
    return Days(start=today - RECENT_DAYS * DAY, end=today + DAY)


def span(from_day: date | None, to_day: date | None, *, today: date) -> Days:
    """Return the days somebody asks for; what is left out is the recent ones.

    Raises:
        BadSpanError: the end is not after the start, or they are too many.
    """
    shown = recent(today)
    if from_day is None and to_day is None:
        return shown
    length = shown.count * DAY
    start = from_day if from_day is not None else (to_day or today) - length
    days = Days(start=start, end=to_day if to_day is not None else start + length)
    if not 0 < days.count <= MAP_DAYS_MAX:
        raise BadSpanError(f"from 1 to {MAP_DAYS_MAX} days, the second named after the first")
    return days


def local_days(days: Days, calendar: Calendar) -> tuple[LocalDay, ...]:
    """Return the days with their two midnights; some have 23 or 25 hours."""
    named = [days.start + number * DAY for number in range(days.count)]
    return tuple(
        LocalDay(day=day, start_at=calendar.midnight(day), end_at=calendar.midnight(day + DAY))
        for day in named
    )


def rhythm_of(meter_type: str) -> Rhythm:
    """Return how often a meter of this type speaks; what nobody knows is one that speaks daily."""
    return HOURLY if meter_type in INTERVAL_TYPES else DAILY


def gap_map(  # noqa: PLR0913 - all that a day depends on
    days: Iterable[LocalDay],
    *,
    stays: Sequence[Installation],
    heard: Mapping[date, Heard],
    declared: Sequence[DeclaredGap],
    rhythm: Rhythm,
    at: datetime,
) -> tuple[DayRead, ...]:
    """Say of each day what is known of it at an instant; ``heard`` lacks the silent ones."""
    return tuple(
        _day(
            local,
            [stay for stay in stays if _touches(stay, local)],
            heard.get(local.day, _SILENCE),
            next((gap.reason for gap in declared if gap.holds(local.day)), None),
            rhythm,
            at,
        )
        for local in days
    )


def missing_runs(days: Iterable[DayRead]) -> tuple[Days, ...]:
    """Return the missing days, neighbours merged."""
    runs: list[Days] = []
    for day in days:
        if day.state is not DayState.MISSING:
            continue
        if runs and runs[-1].end == day.day:
            runs[-1] = Days(start=runs[-1].start, end=day.day + DAY)
        else:
            runs.append(Days(start=day.day, end=day.day + DAY))
    return tuple(runs)


_SILENCE: Final = Heard()


def _day(  # noqa: PLR0913, PLR0917 - all that a day depends on
    local: LocalDay,
    stays: Sequence[Installation],
    heard: Heard,
    declared: GapReason | None,
    rhythm: Rhythm,
    at: datetime,
) -> DayRead:
    hung = sum((_hung(stay, local) for stay in stays), timedelta())
    if not stays:
        state = DayState.NOT_INSTALLED
    elif heard.billable or any(_written_down(stay, local) for stay in stays):
        state = DayState.READ
    elif heard.suspect:
        state = DayState.SUSPECT_ONLY
    elif declared is not None:
        state = DayState.DECLARED
    elif at < local.end_at + rhythm.grace:
        state = DayState.NOT_DUE
    else:
        state = DayState.MISSING
    return DayRead(
        day=local.day,
        state=state,
        billable=heard.billable,
        suspect=heard.suspect,
        # A meter that hung for half a day still owes one register for it.
        expected=max(1, hung // rhythm.every) if stays else 0,
        declared=declared,
    )


def _touches(stay: Installation, local: LocalDay) -> bool:
    return stay.installed_at < local.end_at and (
        stay.removed_at is None or stay.removed_at > local.start_at
    )


def _hung(stay: Installation, local: LocalDay) -> timedelta:
    ended = local.end_at if stay.removed_at is None else min(stay.removed_at, local.end_at)
    return ended - max(stay.installed_at, local.start_at)


def _written_down(stay: Installation, local: LocalDay) -> bool:
    """Say whether somebody wrote the register down on that day, hanging it up or taking it down."""
    return any(
        mark is not None and local.start_at <= mark.read_at < local.end_at
        for mark in (stay.opening, stay.closing)
    )
