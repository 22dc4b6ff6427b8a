"""Go over the installations of a closed period, apply the rules, and write down what they find.

    installations, page by page --> survey --> [reading_finding], [period_finding]
    and, when all were looked at, that it was done --> [validation]

Nothing else is written: no reading, no bill. To do it again finds the same and writes no finding.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import structlog

from metering.rule import Finding, MeterType, Override, RuleBook, rule_book
from metering.survey import Case, Survey, Window, survey

# A month of hourly readings of so many meters is some 150 000 rows, read at once.
INSTALLATIONS_PER_PAGE: Final = 200

log = structlog.get_logger()

# Meter and instant of an installation.
Key = tuple[str, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some installations of a window; ``last`` is None when there are no more."""

    last: Key | None
    cases: Sequence[Case]


class FindingStore(Protocol):
    """What validating reads and writes."""

    async def overrides(self) -> Sequence[Override]:
        """Return every word of the town on the rules."""

    async def cases(
        self, window: Window, *, books: Mapping[MeterType, RuleBook], after: Key | None, limit: int
    ) -> Page:
        """Return the next installations that hung in a window, with all that is known of them."""

    async def keep(
        self, surveys: Sequence[tuple[Case, Survey]], *, window: Window, at: datetime
    ) -> int:
        """Write findings that are new, in one transaction, and return how many were."""

    async def note(self, counts: "ValidateCounts", *, window: Window, at: datetime) -> None:
        """Note that the rules have gone over all of a month."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidateCounts:
    """What one run did: installations looked at, findings by outcome, and how many were new."""

    installations: int
    flagged: int
    held: int
    refused: int
    written: int


class WindowNotOverError(Exception):
    """The period still runs; its gaps and sums would be found again and again."""


async def validate(
    *, store: FindingStore, window: Window, at: datetime, heated: bool
) -> ValidateCounts:
    """Apply the rules to every installation of a closed period.

    Raises:
        WindowNotOverError: the period has not ended.
    """
    if window.end_at > at:
        raise WindowNotOverError(f"the period from {window.days.start} is not over")
    overrides = await store.overrides()
    books = {kind: rule_book(kind, overrides, on=window.days.start) for kind in MeterType}
    outcomes: Counter[str] = Counter()
    installations = written = 0
    after: Key | None = None
    while True:
        page = await store.cases(window, books=books, after=after, limit=INSTALLATIONS_PER_PAGE)
        if page.last is None:
            break
        after = page.last
        surveys = [
            (case, survey(case, window=window, book=books[case.meter_type], heated=heated))
            for case in page.cases
        ]
        for _, found in surveys:
            outcomes.update(one.outcome for one in _all(found))
        installations += len(page.cases)
        written += await store.keep(surveys, window=window, at=at)
    counts = ValidateCounts(
        installations=installations,
        flagged=outcomes["flagged"],
        held=outcomes["held"],
        refused=outcomes["refused"],
        written=written,
    )
    await store.note(counts, window=window, at=at)
    log.info(
        "validate.done",
        installations=counts.installations,
        flagged=counts.flagged,
        held=counts.held,
        refused=counts.refused,
        written=counts.written,
    )
    return counts


def _all(found: Survey) -> list[Finding]:
    return [finding for _, finding in found.readings] + found.period
