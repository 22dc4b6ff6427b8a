"""A month before its bills: what the run would issue and hold, beside the month before.

The run is rehearsed chunk by chunk and rolled back, so the figures are the run's own. What was
issued already counts as it was issued. What the rules of belief have not gone over yet is not held
here; the run lets them do so first.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from billing.bill import HoldReason
from billing.period import Period
from billing.reconcile import PeriodNotOverError, Run

# As many as a person looks at before approving a month.
CHANGES_SHOWN: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What an account is, or would be, asked for: dm3 and minor units, None where it is held.

    ``issued`` says that the bill is out; ``last_…`` is the bill of the month before, if any.
    """

    account_id: str
    currency: str
    issued: bool
    volume_dm3: int | None
    net_minor: int | None
    vat_minor: int | None
    total_minor: int | None
    reason: HoldReason | None
    last_volume_dm3: int | None
    last_total_minor: int | None


@dataclass(slots=True, kw_only=True)
class Sums:
    """Bills added up: how many, dm3, minor units of one currency."""

    bills: int = 0
    volume_dm3: int = 0
    net_minor: int = 0
    vat_minor: int = 0
    total_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How much more (or less, below nothing) an account is asked for than the month before."""

    account_id: str
    total_minor: int
    last_total_minor: int

    @property
    def change_minor(self) -> int:
        """Return the difference in minor units."""
        return self.total_minor - self.last_total_minor


@dataclass(slots=True, kw_only=True)
class Preview:
    """A month as it would be billed; sums by currency, the biggest changes first."""

    period: Period
    accounts: int = 0
    issued: int = 0
    drafted: int = 0
    sums: dict[str, Sums] = field(default_factory=lambda: defaultdict(Sums))
    last: dict[str, Sums] = field(default_factory=lambda: defaultdict(Sums))
    held: Counter[HoldReason] = field(default_factory=Counter)
    changes: list[Change] = field(default_factory=list)

    @property
    def total_minor(self) -> int:
        """Return what all bills ask for, in minor units of the town's currency."""
        return sum(sums.total_minor for sums in self.sums.values())


class DraftStore(Protocol):
    """Where months are rehearsed; each call is one transaction that is rolled back."""

    async def drafts(self, run: Run, *, after: str) -> tuple[Draft, ...]:
        """Return what the next chunk of accounts is, or would be, asked for; empty at the end."""


async def drafts_of(
    *, store: DraftStore, period: Period, at: datetime, zone: str, chunk: int = 1000
) -> AsyncIterator[Draft]:
    """Rehearse a month and yield what becomes of each account, in order of their ids.

    Raises:
        PeriodNotOverError: the month still runs at that instant.
    """
    _, over_at = period.bounds(zone)
    if at < over_at:
        raise PeriodNotOverError(period=period, over_at=over_at)
    run = Run(period=period, zone=zone, at=at, chunk=chunk)
    after = ""
    while found := await store.drafts(run, after=after):
        for draft in found:
            yield draft
        after = found[-1].account_id


async def preview(
    *, store: DraftStore, period: Period, at: datetime, zone: str, chunk: int = 1000
) -> Preview:
    """Rehearse a month and add it up.

    Raises:
        PeriodNotOverError: the month still runs at that instant.
    """
    made = Preview(period=period)
    biggest: list[tuple[int, str, Change]] = []
    async for draft in drafts_of(store=store, period=period, at=at, zone=zone, chunk=chunk):
        _count(made, draft)
        if draft.total_minor is None or draft.last_total_minor is None:
            continue
        change = Change(
            account_id=draft.account_id,
            total_minor=draft.total_minor,
            last_total_minor=draft.last_total_minor,
        )
        heapq.heappush(biggest, (abs(change.change_minor), draft.account_id, change))
        if len(biggest) > CHANGES_SHOWN:
            heapq.heappop(biggest)
    made.changes = [change for _, _, change in sorted(biggest, key=lambda one: (-one[0], one[1]))]
    return made


def _count(made: Preview, draft: Draft) -> None:
    made.accounts += 1
    if draft.last_total_minor is not None:
        last = made.last[draft.currency]
        last.bills += 1
        last.volume_dm3 += draft.last_volume_dm3 or 0
        last.total_minor += draft.last_total_minor
    if draft.total_minor is None:
        if draft.reason is not None:
            made.held[draft.reason] += 1
        return
    if draft.issued:
        made.issued += 1
    else:
        made.drafted += 1
    sums = made.sums[draft.currency]
    sums.bills += 1
    sums.volume_dm3 += draft.volume_dm3 or 0
    sums.net_minor += draft.net_minor or 0
    sums.vat_minor += draft.vat_minor or 0
    sums.total_minor += draft.total_minor
