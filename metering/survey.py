"""One installation in one closed period: all that the rules have to say about it.

Pure: ``validate`` loads the ``Case``, this looks at it, ``validate`` stores the ``Survey``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

from metering.consumption import REGISTER_AGE_MAX, register_at
from metering.habit import PeriodUse, check_high_low, check_zero, still_days
from metering.installation import Installation
from metering.match import check_flags, check_unit_ratio
from metering.meter import Meter
from metering.quality import Quality
from metering.reading import Mark, Reading
from metering.rule import INTERVAL_TYPES, Code, Finding, MeterType, RuleBook
from metering.series import check_frozen, check_gaps, check_spike, intervals, propose_level
from metering.verdict import Policy, Reason, Suspect, explain, policy_of, remarks

# Half-way between one telegram that was missed and none: meters report each day, interval channels
# each hour.
CADENCE: Final = timedelta(hours=36)
INTERVAL_CADENCE: Final = timedelta(minutes=90)
# Reasons for which a reading was measured against the line; only these say something of its level.
LEVEL_REASONS: Final = frozenset({Reason.INDEX_DOWN, Reason.TOO_FAST})


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """Local days from ``start`` up to, but without, ``end``."""

    start: date
    end: date

    @property
    def count(self) -> int:
        """Return how many they are."""
        return (self.end - self.start).days


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A closed period with its two instants, the one before it, and the same one last year."""

    days: Days
    start_at: datetime
    end_at: datetime
    previous: Days
    last_year: Days


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A reading as it stands: its mark if it is trusted, its reason if it was suspect.

    Both, when a person decided to trust a suspect one.
    """

    reading: Reading
    mark: Mark | None
    reason: Reason | None
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is known about one installation in a window.

    ``seen`` goes from a day before the window to its end. ``daily`` are the last marks of days, far
    enough back to know how long a register stands still. ``declared`` are silences that a person
    announced, two days wider on both sides: their days are local, and the marks around them up to a
    day away. ``degree_days_tenths`` are the window's.
    """

    installation: Installation
    meter: Meter
    meter_type: MeterType
    seen: Sequence[Seen]
    daily: Sequence[Mark]
    flags: Sequence[str]
    declared: Sequence[tuple[datetime, datetime]] = ()
    last_year: PeriodUse | None = None
    previous: PeriodUse | None = None
    degree_days_tenths: int | None = None


@dataclass(slots=True, kw_only=True)
class Survey:
    """Findings about single readings, each with its instant, and about the period."""

    readings: list[tuple[datetime, Finding]] = field(default_factory=list)
    period: list[Finding] = field(default_factory=list)


def survey(case: Case, *, window: Window, book: RuleBook, heated: bool) -> Survey:
    """Apply every rule that needs more than one reading, and say why single ones were not trusted.

    ``heated`` says whether homes here are heated by gas, for which a winter week without is long.
    """
    found = Survey()
    _look_at_readings(case, window, book, found)
    marks = [
        one.mark
        for one in case.seen
        if one.mark is not None and window.start_at <= one.mark.read_at <= window.end_at
    ]
    closing = case.installation.closing
    if closing is not None and window.start_at <= closing.read_at <= window.end_at:
        marks.append(closing)
    row = intervals(marks, dial_dm3=case.meter.dial_dm3)
    interval_type = case.meter_type in INTERVAL_TYPES
    ends_at = min(window.end_at, case.installation.removed_at or window.end_at)
    # A gap that ends in this window began where it began; one that ended with its first instant is
    # the business of the window before.
    begun = any(mark.read_at == window.start_at for mark in marks)
    found.period += check_gaps(
        marks if begun else [_before(case, window), *marks],
        cadence=INTERVAL_CADENCE if interval_type else CADENCE,
        end_at=ends_at,
        book=book,
        declared=case.declared,
    )
    single = [check_spike(row, book.rules[Code.SPIKE])]
    frozen = book.get(Code.FROZEN)
    if frozen is not None:
        single.append(check_frozen(row, frozen))
    single.append(
        check_zero(
            still_days(case.daily, dial_dm3=case.meter.dial_dm3),
            month=window.days.start.month,
            heated=heated,
            rule=book.rules[Code.ZERO],
        )
    )
    single += _against_history(case, window, book)
    found.period += [one for one in single if one is not None]
    found.period += check_flags(case.flags, book=book)
    return found


def _before(case: Case, window: Window) -> Mark:
    """Return the last mark before the window, the opening if there is none."""
    earlier = [mark for mark in case.daily if mark.read_at < window.start_at]
    return max(earlier, key=lambda mark: mark.read_at, default=case.installation.opening)


def _look_at_readings(case: Case, window: Window, book: RuleBook, found: Survey) -> None:
    """Say of each reading of the window by which rule it is flagged or suspect."""
    policy: Policy = policy_of(book)
    before = _before(case, window)
    off_line: list[Reading] = []
    for one in case.seen:
        if not window.start_at <= one.reading.read_at < window.end_at:
            continue
        if one.reason is not None:
            word = explain(
                Suspect(reason=one.reason),
                one.reading,
                meter=case.meter,
                before=before,
                book=book,
                at=one.received_at,
            )
            found.readings.append((one.reading.read_at, word))
        elif one.mark is not None:
            found.readings += [
                (one.reading.read_at, word)
                for word in remarks(one.reading, before, policy, one.received_at)
            ]
        if one.mark is not None:
            before, off_line = one.mark, []
        elif one.reason in LEVEL_REASONS:
            off_line.append(one.reading)
    proposal = propose_level(
        off_line, meter=case.meter, before=before, rule=book.rules[Code.REBASELINE]
    )
    if proposal is not None:
        found.period.append(proposal.finding)


def _against_history(case: Case, window: Window, book: RuleBook) -> list[Finding | None]:
    """Compare the period's gas with its own past, once its registers are there."""
    now = _use(case, window)
    if now is None:
        return []
    found = [
        check_high_low(
            now,
            last_year=case.last_year,
            previous=case.previous,
            rule=book.rules[Code.HIGH_LOW],
        )
    ]
    usual = case.last_year or case.previous
    if usual is not None:
        found.append(
            check_unit_ratio(
                now_dm3=now.volume_dm3 * usual.days // now.days,
                usual_dm3=usual.volume_dm3,
                rule=book.rules[Code.UNIT],
            )
        )
    return found


def _use(case: Case, window: Window) -> PeriodUse | None:
    """Return the gas of the window, when registers stand at both ends of its part."""
    installation = case.installation
    billable = [one.mark for one in case.seen if one.mark is not None]
    from_at = max(window.start_at, installation.installed_at)
    to_at = min(window.end_at, installation.removed_at or window.end_at)
    first, last = (
        register_at(instant, installation=installation, chained={}, billable=billable)
        for instant in (from_at, to_at)
    )
    days = round((to_at - from_at) / timedelta(days=1))
    if first is None or last is None or days < 1:
        return None
    volume_dm3 = last.total_dm3(case.meter.dial_dm3) - first.total_dm3(case.meter.dial_dm3)
    if volume_dm3 < 0:
        return None
    whole = days == window.days.count
    return PeriodUse(
        days=days,
        volume_dm3=volume_dm3,
        quality=Quality.ACTUAL,
        degree_days_tenths=case.degree_days_tenths if whole else None,
    )


def seen_from(window: Window) -> datetime:
    """Return from when on readings are needed: a register may stand for the first instant."""
    return window.start_at - REGISTER_AGE_MAX


def daily_from(window: Window, book: RuleBook) -> datetime:
    """Return from when on daily marks are needed, so that rule 12 can count all its days."""
    rule = book.rules[Code.ZERO]
    return window.end_at - timedelta(days=max(rule["days"], rule["days_heating"]) + 2)
