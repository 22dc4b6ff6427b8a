"""Every period that is over becomes bills: measure the gas, then price it and issue.

    readings --measure--> usage          one transaction per chunk of meters
    usage    <-estimate-- registers that nobody read, if the town lets it
    usage    --heat-----> energy         likewise, where a tariff charges it
    usage    --issue----> bill, lines, charges, transfers    one transaction per chunk of accounts

Both steps ask the database what is not done yet, so the run may be killed anywhere, run again, or
run twice at the same time. Several sessions of one run work side by side, each on the chunk that
follows the one claimed last. What lacks a register or a price is held, never guessed; a later run
takes it up when the reading has come.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final, Generic, Protocol, TypeVar

import structlog

from billing.period import Period

# Meters report after local midnight; a run in the first hours would only hold what is on its way.
SETTLING: Final = timedelta(hours=3)

# A run that was killed leaves a month half billed. Asking again costs one look per account, so the
# last months are asked again each time; older ones only if something is known to be open.
MONTHS_ASKED_AGAIN: Final = 3

# Before every key: a meter's name is never empty.
FIRST_METER: Final = ("", datetime(2000, 1, 1, tzinfo=UTC))

log = structlog.get_logger()

_Key = TypeVar("_Key")
_Part = TypeVar("_Part", "Measured", "Issued")


class PeriodNotOverError(Exception):
    """The period still runs; its last register cannot be known yet."""

    def __init__(self, *, period: Period, over_at: datetime) -> None:
        super().__init__(f"{period.label} is over at {over_at.isoformat()}")
        self.period = period
        self.over_at = over_at


class ParallelRunError(Exception):
    """A town that only rehearses issues and debits nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What every chunk of one run has in common; ``chunk`` counts meters or accounts."""

    period: Period
    zone: str
    at: datetime
    chunk: int


class Claims(Generic[_Key]):
    """How far the sessions of a step have claimed: each in its turn, what follows the last key."""

    def __init__(self) -> None:
        self.last: _Key | None = None
        self.turn = asyncio.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One chunk of installations: the last key, how many have usage now, how many lack a register.

    Without a key there was nothing left to do.
    """

    last: tuple[str, datetime] | None
    measured: int
    lacking: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """One chunk of accounts: the last key, what was billed (dm3, minor units), what is held."""

    last: str | None
    billed: int
    lines: int
    volume_dm3: int
    total_minor: int
    held: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Heated:
    """One chunk of accounts that pay for energy: the last key, and how many stretches have it now.

    Stretches whose place or calorific value nobody knows are left out; they hold their bills.
    """

    last: str | None
    heated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated:
    """One chunk of installations that lack a register: the last key, how many have one made up."""

    last: tuple[str, datetime] | None
    made: int


NOTHING_ESTIMATED: Final = Estimated(last=None, made=0)
NOTHING_HEATED: Final = Heated(last=None, heated=0)
NOTHING_MEASURED: Final = Measured(last=None, measured=0, lacking=0)
NOTHING_ISSUED: Final = Issued(last=None, billed=0, lines=0, volume_dm3=0, total_minor=0, held=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileCounts:
    """What one run did; a run with nothing left to do counts zeros, and what is still held."""

    measured: int
    lacking: int
    billed: int
    lines: int
    volume_dm3: int
    total_minor: int
    held: int


class RunStore(Protocol):
    """What the run asks of the database; each call is one transaction."""

    @property
    def sessions(self) -> int:
        """On how many connections chunks are worked on side by side."""

    async def measure(self, run: Run, claims: Claims[tuple[str, datetime]]) -> Measured:
        """Measure the next chunk of installations that nobody claimed."""

    async def estimate(self, run: Run, *, after: tuple[str, datetime]) -> Estimated:
        """Make up registers that lack, if the town lets it and has waited long enough for them."""

    async def heat(self, run: Run, *, after: str) -> Heated:
        """Say the energy of gas that is charged by it, of the next chunk of accounts."""

    async def settle(self, run: Run) -> None:
        """Forget questions about the period that have been answered."""

    async def issue(self, run: Run, claims: Claims[str]) -> Issued:
        """Issue the bills of the next chunk of accounts that nobody claimed."""

    async def note(self, run: Run, counts: ReconcileCounts) -> None:
        """Note that bills of the month went out."""


class PeriodStore(Protocol):
    """What is known about which periods are open."""

    async def first_installed_at(self) -> datetime | None:
        """Return when the first meter was hung up."""

    async def periods_with_questions(self) -> set[date]:
        """Return the starts of periods in which something is held."""

    async def periods_without_bills(self, starts: Iterable[date]) -> set[date]:
        """Return which of these periods have no bill."""


async def reconcile(
    *, store: RunStore, period: Period, at: datetime, zone: str, chunk: int = 5000
) -> ReconcileCounts:
    """Measure and bill one period, in chunks of so many meters or accounts.

    Raises:
        PeriodNotOverError: the period still runs at that instant.
    """
    _, over_at = period.bounds(zone)
    if at < over_at:
        raise PeriodNotOverError(period=period, over_at=over_at)
    run = Run(period=period, zone=zone, at=at, chunk=chunk)
    meters, accounts = Claims[tuple[str, datetime]](), Claims[str]()
    measured = await _together(lambda: store.measure(run, meters), store.sessions)
    if await _estimate_all(store, run):
        again = Claims[tuple[str, datetime]]()
        made = await _together(lambda: store.measure(run, again), store.sessions)
        measured = [*(replace(part, lacking=0) for part in measured), *made]
    await _heat_all(store, run)
    await store.settle(run)
    issued = await _together(lambda: store.issue(run, accounts), store.sessions)
    counts = ReconcileCounts(
        measured=sum(part.measured for part in measured),
        lacking=sum(part.lacking for part in measured),
        billed=sum(part.billed for part in issued),
        lines=sum(part.lines for part in issued),
        volume_dm3=sum(part.volume_dm3 for part in issued),
        total_minor=sum(part.total_minor for part in issued),
        held=sum(part.held for part in issued),
    )
    if counts.billed:
        await store.note(run, counts)
    log.info(
        "reconcile.done",
        period=period.label,
        measured=counts.measured,
        lacking=counts.lacking,
        billed=counts.billed,
        held=counts.held,
    )
    return counts


async def due_periods(*, store: PeriodStore, at: datetime, zone: str) -> tuple[Period, ...]:
    """Return the months, oldest first, that are over and may still have something to bill.

    These are the last few months, every month in which something is held, and every month since
    the first meter was hung up that has no bill.
    """
    first_at = await store.first_installed_at()
    if first_at is None:
        return ()
    over: list[Period] = []
    period = Period.holding(first_at, zone)
    while period.bounds(zone)[1] + SETTLING <= at:
        over.append(period)
        period = period.next()
    open_starts = await store.periods_with_questions()
    open_starts |= await store.periods_without_bills(one.start for one in over)
    open_starts |= {one.start for one in over[-MONTHS_ASKED_AGAIN:]}
    return tuple(one for one in over if one.start in open_starts)


async def _estimate_all(store: RunStore, run: Run) -> int:
    made, after = 0, FIRST_METER
    while True:
        part = await store.estimate(run, after=after)
        if part.last is None:
            return made
        made, after = made + part.made, part.last


async def _heat_all(store: RunStore, run: Run) -> None:
    after: str | None = ""
    while after is not None:
        after = (await store.heat(run, after=after)).last


async def _together(step: Callable[[], Awaitable[_Part]], sessions: int) -> list[_Part]:
    """Let sessions do one step until nothing is left; when one fails, the others end too."""
    tasks = [asyncio.create_task(_until_done(step)) for _ in range(sessions)]
    try:
        return [part for parts in await asyncio.gather(*tasks) for part in parts]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _until_done(step: Callable[[], Awaitable[_Part]]) -> list[_Part]:
    parts: list[_Part] = []
    while (part := await step()).last is not None:
        parts.append(part)
    return parts
