"""The circuit breaker of the debit run: when it stops as a whole, and who lets it go on.

    running ──a rule trips, or a person──▶ stopped ──one person──▶ half released
                                                                    └──another one──▶ running

While it is stopped nothing is announced, recorded or sent for the first time, and nothing that was
sent is sent again; what is under way is followed as always. So a stopped debit is one that was not
sent, never one that failed.

A release is a word on everything until then: a rule looks at what came after it only, so the same
facts do not stop the run twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Self

from billing.proposal import same_person

PERCENT: Final = 100
# How many people release a run.
RELEASES: Final = 2
# Bills older than this belong to a month whose debits are over.
RUN_BACK: Final = timedelta(days=40)
# A month's bills are issued within this of its first day, also late ones.
MONTH_BACK: Final = timedelta(days=100)
# A bank returns a day's debits within a day.
OUTCOMES_BACK: Final = timedelta(hours=24)
# A lost answer is found out about within minutes; one that is not says something about the bank.
UNKNOWN_FOR: Final = timedelta(minutes=30)
# Debits with an earlier charge day have come to their end or before a person.
CHARGED_BACK_TO: Final = timedelta(days=60)
# Without the same season in another year, so many months must be known to say what is usual.
MONTHS_MIN: Final = 3


# How the figures are called in AQKOL_RUN_LIMITS.
LIMIT_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "season": "season_percent",
        "plain": "plain_percent",
        "high": "high_percent",
        "total": "total_percent",
        "total_low": "total_low_percent",
        "failed": "failed_percent",
        "unknown": "unknown_percent",
        "counted": "counted_min",
        "days": "unreconciled_days",
    }
)
FIGURE_DIGITS_MAX: Final = 6


class Cause(StrEnum):
    """Why the run was stopped."""

    AMOUNTS = "amounts"  # too many bills are far above what their accounts are used to
    TOTAL = "total"  # all bills together are far from the same month of the years before
    FAILURES = "failures"  # too many debits came back
    UNKNOWN = "unknown"  # of too many orders we do not hear what became
    UNRECONCILED = "unreconciled"  # nobody has compared the books with the bank's for days
    BY_HAND = "by_hand"  # a person said so


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """From which figures on the run stops.

    In Los Angeles (2013) twelve times the usual was taken automatically (3,900 dollars instead of
    325), so ten times is too much even where no other year is known; less than that a cold month
    may well be of a warm one. Between two years of the same season there is no such reason. The
    other figures are ours, and low on purpose: a stop costs two people a look. Below 20 bills or
    debits a share says nothing; single bills are looked at before they are issued.
    """

    season_percent: int = 300
    plain_percent: int = 1000
    high_percent: int = 5
    total_percent: int = 200
    total_low_percent: int = 25
    failed_percent: int = 25
    unknown_percent: int = 20
    counted_min: int = 20
    unreconciled_days: int = 5

    def __post_init__(self) -> None:
        """Refuse figures by which the run would always or never be stopped."""
        figures = (
            self.high_percent,
            self.total_low_percent,
            self.failed_percent,
            self.unknown_percent,
        )
        if not all(0 < figure < PERCENT for figure in figures):
            raise ValueError("a share lies between 0 and 100 percent")
        if min(self.season_percent, self.plain_percent, self.total_percent) <= PERCENT:
            raise ValueError("too much is more than 100 percent of the usual")
        if self.counted_min < 1 or self.unreconciled_days < 1:
            raise ValueError("a count and a number of days are 1 at least")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``season=300,high=5``: figures that are not named stay as they are.

        Raises:
            ValueError: a name is not known or said twice, or a figure makes no sense.
        """
        said: dict[str, int] = {}
        for pair in text.split(",") if text.strip() else ():
            name, _, figure = (part.strip() for part in pair.partition("="))
            if name not in LIMIT_NAMES or LIMIT_NAMES[name] in said:
                raise ValueError(f"{name!r} is not one of {', '.join(LIMIT_NAMES)}, each once")
            if not (figure.isascii() and figure.isdigit() and len(figure) <= FIGURE_DIGITS_MAX):
                raise ValueError(f"{name} is a whole number")
            said[LIMIT_NAMES[name]] = int(figure)
        return cls(**said)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAmounts:
    """The bills of a run in one currency, beside what their accounts are used to.

    ``compared`` bills have an earlier one to compare with, ``high`` of them are far above it.
    ``seasonal`` ones have one of the same season: their sum now, and what was usual then.
    """

    currency: str
    compared: int
    high: int
    seasonal: int
    now_minor: int
    usual_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcomes:
    """What became of debits lately: ``ended`` well or not, ``failed``; ``sent``, ``unknown``."""

    ended: int
    failed: int
    sent: int
    unknown: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """A rule says that the run stops, and by which figures."""

    cause: Cause
    facts: Mapping[str, int | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One person lets the run go on, for a reason."""

    released_by: str
    because: str
    released_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The run was stopped; by a person if ``stopped_by`` names one."""

    stop_no: int
    cause: Cause
    facts: Mapping[str, int | str]
    stopped_by: str | None
    because: str | None
    stopped_at: datetime
    releases: Sequence[Release] = field(default=())

    @property
    def is_open(self) -> bool:
        """Say whether the run is still stopped."""
        return len(self.releases) < RELEASES


class StopUnknownError(Exception):
    """The run was never stopped under this number."""


class StopReleasedError(Exception):
    """Two people have let this run go on already."""


class SamePersonError(Exception):
    """It takes a second person to let a run go on."""


def check_release(stop: Stop, by: str) -> None:
    """Refuse a release that does not count.

    Raises:
        StopReleasedError: the run goes on already.
        SamePersonError: this person has released it before.
    """
    if not stop.is_open:
        raise StopReleasedError(f"stop {stop.stop_no} was released by two people")
    if any(same_person(one.released_by, by) for one in stop.releases):
        raise SamePersonError("another person has to release the run too")


def judge_amounts(amounts: RunAmounts, limits: Limits) -> Trip | None:
    """Compare the bills of a run with what their accounts are used to."""
    high_over = amounts.high * PERCENT > limits.high_percent * amounts.compared
    if amounts.compared >= limits.counted_min and high_over:
        return Trip(
            cause=Cause.AMOUNTS,
            facts={
                "currency": amounts.currency,
                "compared": amounts.compared,
                "high": amounts.high,
                "high_percent_max": limits.high_percent,
            },
        )
    return None


def judge_total(amounts: RunAmounts, limits: Limits) -> Trip | None:
    """Compare the sum of a run with the same season of the years before."""
    if amounts.seasonal < limits.counted_min:
        return None
    percent = amounts.now_minor * PERCENT
    high, low = limits.total_percent, limits.total_low_percent
    if low * amounts.usual_minor <= percent <= high * amounts.usual_minor:
        return None
    return Trip(
        cause=Cause.TOTAL,
        facts={
            "currency": amounts.currency,
            "bills": amounts.seasonal,
            "now_minor": amounts.now_minor,
            "usual_minor": amounts.usual_minor,
        },
    )


def judge_outcomes(outcomes: RunOutcomes, limits: Limits) -> tuple[Trip, ...]:
    """Look at what became of the last debits."""
    found = []
    failed_over = outcomes.failed * PERCENT > limits.failed_percent * outcomes.ended
    if outcomes.ended >= limits.counted_min and failed_over:
        facts: Mapping[str, int | str] = {"ended": outcomes.ended, "failed": outcomes.failed}
        found.append(Trip(cause=Cause.FAILURES, facts=facts))
    unknown_over = outcomes.unknown * PERCENT > limits.unknown_percent * outcomes.sent
    if outcomes.sent >= limits.counted_min and unknown_over:
        facts = {"sent": outcomes.sent, "unknown": outcomes.unknown}
        found.append(Trip(cause=Cause.UNKNOWN, facts=facts))
    return tuple(found)


def judge_days(
    *, compared_until: date | None, released_on: date | None, today: date, limits: Limits
) -> Trip | None:
    """Look at how long the books were not compared; where they never were, nobody does so yet."""
    if compared_until is None:
        return None
    known = compared_until if released_on is None else max(compared_until, released_on)
    if (today - known).days <= limits.unreconciled_days:
        return None
    return Trip(cause=Cause.UNRECONCILED, facts={"compared_until": compared_until.isoformat()})
