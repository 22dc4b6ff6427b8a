"""One account looked at again: its gas measured anew, its months rated anew, what becomes of each.

Everything is derived from what holds now, so whoever looks twice finds nothing the second time.
An account is corrected whole or not at all: the closing register of one month opens the next.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from billing.bill import Bill, Quality
from billing.correction import (
    REVISION_MAX,
    Cause,
    Circumstances,
    Decided,
    Month,
    Outcome,
    Policy,
    decide,
)
from billing.difference import as_data, difference
from billing.period import Period
from billing.rating import Household, Rated, Unpriced, Usage, rate
from billing.remeasure import BrokenLine, Known, Point, points, remeasure
from billing.tariff import PriceInterval
from billing.terms import Terms, spans

_TICK: Final = timedelta(microseconds=1)


class Fault(StrEnum):
    """Whose fault it was that a register was wrong."""

    OURS = "ours"
    RESIDENT = "resident"


class Wait(StrEnum):
    """Why an account cannot be corrected yet."""

    DEBIT_UNDER_WAY = "debit_under_way"
    LINE_BROKEN = "line_broken"
    NO_ENERGY = "no_energy"
    NO_PRICE = "no_price"
    REVISIONS_USED_UP = "revisions_used_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What a person said later about a register, for the how manieth time."""

    revision: int
    register_dm3: int
    fault: Fault
    said_by: str
    because: str
    said_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """One installation: its gas by period as it holds now, what is known since, who said it.

    ``revisions`` counts, by period, how often the gas was measured.
    """

    known: Known
    line: Sequence[tuple[date, Usage]]
    revisions: Mapping[date, int]
    words: Mapping[datetime, Word]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """All that is needed to look at one account again.

    ``written_at`` is when something was last written about its bills; ``reworded`` are the months
    billed before something was said about their terms.
    """

    account_id: str
    currency: str
    opened_with: str
    written_at: datetime | None
    terms: Sequence[Terms]
    stays: Sequence[Stay]
    reworded: frozenset[date]


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """The gas of one stay in one period, measured anew."""

    period_start: date
    revision: int
    because: Cause
    usages: tuple[Usage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of one month's bill, why, and what differs."""

    month: Month
    decided: Decided
    causes: tuple[Mapping[str, Any], ...]
    difference: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """What is to be written for one account, at one instant."""

    case: CaseFile
    at: datetime
    renewed: tuple[Renewed, ...]
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """An account that cannot be corrected yet, and why."""

    account_id: str
    why: Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """The town's rules and prices, by period, and the instant of the look."""

    policy: Policy
    prices: Mapping[date, Sequence[PriceInterval]]
    zone: str
    at: datetime


def measured(case: CaseFile) -> tuple[Renewed, ...] | Waits:
    """Measure the gas of an account anew; only the periods in which something changes."""
    found: list[Renewed] = []
    for stay in case.stays:
        fresh = remeasure(stay.line, stay.known)
        if isinstance(fresh, BrokenLine):
            return Waits(account_id=case.account_id, why=Wait.LINE_BROKEN)
        found += [
            Renewed(
                period_start=start,
                revision=stay.revisions[start] + 1,
                because=_because(stay, start, usages),
                usages=usages,
            )
            for start, usages in fresh.items()
        ]
    return tuple(found)


def review(
    case: CaseFile, renewed: Sequence[Renewed], months: Sequence[Month], office: Office
) -> Reviewed | Waits:
    """Rate the given months of an account anew and decide on each; months without a bill wait."""
    at = office.at if case.written_at is None else max(office.at, case.written_at + _TICK)
    verdicts: list[Verdict] = []
    for month in months:
        rated = _rated(case, renewed, month, replace(office, at=at))
        if isinstance(rated, Unpriced):
            return Waits(account_id=case.account_id, why=Wait(rated.reason))
        causes = tuple(_causes(case, renewed, month.bill))
        decided = decide(
            month,
            rated,
            office.policy,
            Circumstances(
                at=at,
                zone=office.zone,
                ours=all(cause.get("fault") != Fault.RESIDENT for cause in causes),
                another_bill=any(stay.known.installation.removed_at is None for stay in case.stays),
            ),
        )
        if decided.outcome is Outcome.REBILL and month.revision + 2 > REVISION_MAX:
            return Waits(account_id=case.account_id, why=Wait.REVISIONS_USED_UP)
        changes = difference(
            (month.bill.lines, month.bill.charges),
            (rated.lines, (*rated.charges, *month.carried)),
        )
        verdicts.append(
            Verdict(month=month, decided=decided, causes=causes, difference=as_data(changes))
        )
    return Reviewed(case=case, at=at, renewed=tuple(renewed), verdicts=tuple(verdicts))


def _rated(
    case: CaseFile, renewed: Sequence[Renewed], month: Month, office: Office
) -> Rated | Unpriced:
    period: Period = month.period
    household = Household(
        currency=case.currency,
        spans=spans(case.terms, opened_with=case.opened_with, period=period, known_at=office.at),
        period=period,
        zone=office.zone,
    )
    return rate(_gas(case, renewed, period.start), office.prices[period.start], household)


def _gas(case: CaseFile, renewed: Sequence[Renewed], period_start: date) -> list[Usage]:
    """Return the gas of a period as it holds now, with what was measured anew."""
    found = {
        (usage.meter_id, usage.from_at): usage
        for stay in case.stays
        for start, usage in stay.line
        if start == period_start
    }
    found |= {
        (usage.meter_id, usage.from_at): usage
        for one in renewed
        if one.period_start == period_start
        for usage in one.usages
    }
    return list(found.values())


def _changed(
    stay: Stay, start: date, usages: Sequence[Usage]
) -> Iterator[tuple[datetime, Point, Point]]:
    """Return the registers of a period that are other ones now."""
    was = points(usage for period_start, usage in stay.line if period_start == start)
    now = points(usages)
    for at in sorted(was):
        if was[at] != now[at]:
            yield at, was[at], now[at]


def _because(stay: Stay, start: date, usages: Sequence[Usage]) -> Cause:
    estimated = any(was.quality is Quality.ESTIMATED for _, was, _ in _changed(stay, start, usages))
    return Cause.ESTIMATE if estimated else Cause.READING


def _causes(case: CaseFile, renewed: Sequence[Renewed], bill: Bill) -> Iterator[dict[str, Any]]:
    """Say, as plain values, what is behind the correction of a bill, and who said it."""
    stays = {
        (stay.known.installation.meter_id, stay.known.installation.installed_at): stay
        for stay in case.stays
    }
    for one in renewed:
        if one.period_start != bill.period_start:
            continue
        stay = stays[one.usages[0].meter_id, one.usages[0].installed_at]
        for at, was, now in _changed(stay, one.period_start, one.usages):
            yield _register_cause(one.usages[0].meter_id, at, was, now, stay)
    words: dict[date, Terms] = defaultdict()
    for word in case.terms:
        if bill.period_start in case.reworded and word.said_at > bill.issued_at:
            words[word.valid_from] = word
    for word in words.values():
        if word.valid_from < bill.period_end:
            yield {
                "cause": Cause.TERMS,
                "valid_from": word.valid_from.isoformat(),
                "tariff_code": word.tariff_code,
                "persons": word.persons,
                "social": word.social,
                "said_by": word.said_by,
                "said_at": word.said_at.isoformat(),
            }


def _register_cause(
    meter_id: str, at: datetime, was: Point, now: Point, stay: Stay
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "cause": Cause.ESTIMATE if was.quality is Quality.ESTIMATED else Cause.READING,
        "meter_id": meter_id,
        "boundary_at": at.isoformat(),
        "was_dm3": was.mark.register_dm3,
        "was_read_at": was.mark.read_at.isoformat(),
        "was_quality": was.quality,
        "register_dm3": now.mark.register_dm3,
        "read_at": now.mark.read_at.isoformat(),
        "quality": now.quality,
    }
    word = stay.words.get(now.mark.read_at)
    if word is not None:
        told |= {
            "fault": word.fault,
            "said_by": word.said_by,
            "because": word.because,
            "said_at": word.said_at.isoformat(),
        }
    return told
