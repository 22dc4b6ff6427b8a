"""What holds for an account from a local day on: tariff, number of persons, right to a discount.

A later word on the same day takes the place of the earlier one; both are kept. Before the first
word holds what the account was opened with.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import Final

from billing.period import Period

PERSONS_MAX: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """One word on an account, good from a local day on; ``revision`` counts that day's words."""

    account_id: str
    valid_from: date
    revision: int
    tariff_code: str
    persons: int
    social: bool
    said_by: str
    said_at: datetime

    def __post_init__(self) -> None:
        """Refuse a household nobody lives in, or a crowd."""
        if not 1 <= self.persons <= PERSONS_MAX:
            raise ValueError(f"a household is 1 to {PERSONS_MAX} persons")
        if self.revision < 1:
            raise ValueError("revisions count from one")


@dataclass(frozen=True, slots=True, kw_only=True)
class TermSpan:
    """Local days [from_day, to_day) of one period on which the terms are the same."""

    from_day: date
    to_day: date
    tariff_code: str
    persons: int
    social: bool


def spans(
    words: Iterable[Terms],
    *,
    opened_with: str,
    period: Period,
    known_at: datetime | None = None,
) -> tuple[TermSpan, ...]:
    """Cut a period at every change of an account's terms; spans leave no day out.

    ``opened_with`` is the tariff code the account began with. With ``known_at`` only what had been
    said by then counts.
    """
    latest: dict[date, Terms] = {}
    for word in sorted(words, key=lambda one: (one.valid_from, one.revision)):
        if known_at is None or word.said_at <= known_at:
            latest[word.valid_from] = word
    held: list[tuple[date, tuple[str, int, bool]]] = [(date.min, (opened_with, 1, False))]
    for day, word in latest.items():
        said = (word.tariff_code, word.persons, word.social)
        if said != held[-1][1]:
            held.append((day, said))
    ends = [two[0] for _, two in pairwise(held)]
    return tuple(
        TermSpan(
            from_day=max(first, period.start),
            to_day=min(last, period.end),
            tariff_code=said[0],
            persons=said[1],
            social=said[2],
        )
        for (first, said), last in zip(held, [*ends, date.max], strict=True)
        if first < period.end and last > period.start
    )
