"""The gas of one stay in one period, measured or made up, and how good the value is.

    what was billed --> registers at both ends --> a line between registers --> the ladder
        ACTUAL              ACTUAL, EDITED ...           SUBSTITUTED         ESTIMATED, NORM

The first that is there is taken. Billing does not ask: it bills what was measured, and holds the
rest. Where only the end lacks a register, what was measured before it is kept, and only the days
since the last register are estimated, so that the value never lies below what the dial has shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from metering.estimate import Estimate, Impossible, Method, Why, estimate
from metering.habit import PeriodUse
from metering.installation import Installation
from metering.quality import Quality, worst
from metering.reading import Mark
from metering.rule import Code, Finding, RuleBook
from metering.spread import register_between

DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """What is known about the register at one end of a stretch.

    ``exact`` is the mark that stands for the instant as billing takes it, with its quality;
    ``before`` and ``after`` are the nearest marks of the stay, ``after`` None where none came yet.
    """

    at: datetime
    exact: Mark | None
    quality: Quality
    before: Mark
    after: Mark | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What is known about earlier periods; ``qualities`` of those just before, oldest first.

    ``norm_dm3_month`` is the norm of the home for thirty days.
    """

    last_year: PeriodUse | None
    previous: PeriodUse | None
    qualities: Sequence[Quality]
    norm_dm3_month: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """Gas of a stay between two instants in dm3, None where nothing can be said; and by which rule.

    ``method`` is ``billed``, ``registers`` or one of ``Method``; ``why`` says what the better ones
    lacked.
    """

    installation: Installation
    from_at: datetime
    to_at: datetime
    volume_dm3: int | None
    quality: Quality | None
    method: str | None
    why: Why | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    total_dm3: int
    quality: Quality
    method: str
    finding: Finding | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A register that nobody read: how it was made up, how good it is, what better ways lacked."""

    mark: Mark
    quality: Quality
    method: Method
    why: Why


def made_register(
    closing: Boundary, *, opening: Mark, dial_dm3: int, past: Past, book: RuleBook
) -> Made | Impossible | None:
    """Make up the register at a boundary; None where one stands for it.

    On a line between two registers where a later one is known, else what was read before plus an
    estimate of the days since. It never lies below ``opening``, nor below what the dial has shown.
    """
    if closing.exact is not None:
        return None
    low_dm3 = opening.total_dm3(dial_dm3)
    if closing.after is not None and closing.after.total_dm3(dial_dm3) >= low_dm3:
        before = max(opening, closing.before, key=lambda mark: mark.read_at)
        line = register_between(closing.at, before=before, after=closing.after, dial_dm3=dial_dm3)
        return Made(
            mark=_mark(closing.at, max(low_dm3, line.total_dm3(dial_dm3)), dial_dm3),
            quality=Quality.SUBSTITUTED,
            method=Method.FLAT,
            why=Why.BETWEEN_REGISTERS,
        )
    since = opening.read_at
    if closing.before.read_at > since:
        since, low_dm3 = closing.before.read_at, max(low_dm3, closing.before.total_dm3(dial_dm3))
    found = estimate(
        days=max(round((closing.at - since) / DAY), 1),
        last_year=past.last_year,
        previous=past.previous,
        norm_dm3_month=past.norm_dm3_month,
        qualities=past.qualities,
        book=book,
    )
    if isinstance(found, Impossible):
        return found
    return Made(
        mark=_mark(closing.at, low_dm3 + found.volume_dm3, dial_dm3),
        quality=found.quality,
        method=found.method,
        why=found.why,
    )


def _mark(at: datetime, total_dm3: int, dial_dm3: int) -> Mark:
    turns, register_dm3 = divmod(total_dm3, dial_dm3)
    return Mark(read_at=at, register_dm3=register_dm3, turns=turns)


def used(  # noqa: PLR0913 - a stretch is its two ends, its past and the rules
    installation: Installation,
    *,
    dial_dm3: int,
    opening: Boundary,
    closing: Boundary,
    past: Past,
    book: RuleBook,
) -> Used:
    """Return the gas of a stay between two boundaries that was not billed yet."""
    first, last = (_end(one, dial_dm3, book) for one in (opening, closing))
    if first is not None and last is not None:
        ends = (first, last)
        made_up = [one for one in ends if one.finding is not None]
        return Used(
            installation=installation,
            from_at=opening.at,
            to_at=closing.at,
            volume_dm3=last.total_dm3 - first.total_dm3,
            quality=worst(one.quality for one in ends),
            method=made_up[-1].method if made_up else "registers",
            why=Why.BETWEEN_REGISTERS if made_up else None,
            findings=tuple(one.finding for one in made_up if one.finding is not None),
        )
    measured_dm3, since = 0, opening.at
    if first is not None and closing.before.read_at > opening.at:
        measured_dm3 = closing.before.total_dm3(dial_dm3) - first.total_dm3
        since = closing.before.read_at
    days = max(round((closing.at - since) / DAY), 1)
    found = estimate(
        days=days,
        last_year=past.last_year,
        previous=past.previous,
        norm_dm3_month=past.norm_dm3_month,
        qualities=past.qualities,
        book=book,
    )
    gap = book.rules[Code.GAP_OPEN].finding(
        days=days, measured_dm3=measured_dm3, last_dm3=closing.before.register_dm3
    )
    return _estimated(installation, opening, closing, found, measured_dm3, gap)


def _end(boundary: Boundary, dial_dm3: int, book: RuleBook) -> _End | None:
    """Return the register at a boundary: the one that stands for it, else one on a line.

    One that stands for it is younger than a day, so the gap that a line spans is never a short one.
    """
    if boundary.exact is not None:
        return _End(
            total_dm3=boundary.exact.total_dm3(dial_dm3),
            quality=boundary.quality,
            method="registers",
            finding=None,
        )
    if boundary.after is None:
        return None
    before, after = boundary.before, boundary.after
    mark = register_between(boundary.at, before=before, after=after, dial_dm3=dial_dm3)
    gap = after.read_at - before.read_at
    return _End(
        total_dm3=mark.total_dm3(dial_dm3),
        quality=Quality.SUBSTITUTED,
        method=Method.FLAT.value,
        finding=book.rules[Code.GAP_BOUNDED].finding(
            before_dm3=before.register_dm3,
            after_dm3=after.register_dm3,
            gap_s=gap // timedelta(seconds=1),
            register_dm3=mark.register_dm3,
        ),
    )


def _estimated(  # noqa: PLR0913, PLR0917 - the parts of one answer
    installation: Installation,
    opening: Boundary,
    closing: Boundary,
    found: Estimate | Impossible,
    measured_dm3: int,
    gap: Finding,
) -> Used:
    findings = (gap,) if found.inspect is None else (gap, found.inspect)
    if isinstance(found, Impossible):
        return Used(
            installation=installation,
            from_at=opening.at,
            to_at=closing.at,
            volume_dm3=None,
            quality=None,
            method=None,
            why=found.why,
            findings=findings,
        )
    return Used(
        installation=installation,
        from_at=opening.at,
        to_at=closing.at,
        volume_dm3=measured_dm3 + found.volume_dm3,
        quality=found.quality,
        method=found.method.value,
        why=found.why,
        findings=findings,
    )
