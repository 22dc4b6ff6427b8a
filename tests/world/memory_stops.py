"""The circuit breaker of the run in memory: its stops, and what its rules look at.

See billing/io/run_stops.py; tests/contract/test_stop_store.py runs one suite against both.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any, Final

from billing.breaker import (
    MONTHS_MIN,
    RELEASES,
    Cause,
    Limits,
    Release,
    RunAmounts,
    RunOutcomes,
    Stop,
    StopUnknownError,
    Trip,
    check_release,
)
from billing.debit import State
from billing.io.run_stops import Waiting
from billing.mandate import Enrolment
from billing.mandate import State as MandateState
from tests.world.engine import Book, Table, Transaction
from tests.world.memory_breaks import Pool

_ENDED: Final = frozenset(
    {
        State.CONFIRMED,
        State.SETTLED,
        State.RECONCILED,
        State.FAILED,
        State.RETRY_DUE,
        State.CHARGED_BACK,
        State.EXHAUSTED,
    }
)
_ON_THE_WAY: Final = frozenset(
    {State.SENDING, State.UNKNOWN, State.ACCEPTED, State.CANCEL_REQUESTED, State.SUBMITTED}
)
_TAKEN: Final = frozenset({State.CONFIRMED, State.SETTLED, State.RECONCILED})
_WELL: Final = frozenset({State.CONFIRMED, State.SETTLED})
_BADLY: Final = frozenset({State.FAILED, State.RETRY_DUE, State.CHARGED_BACK, State.EXHAUSTED})
_UNORDERED: Final = frozenset({State.PLANNED, State.HELD, State.NOTICED, State.RECORDED})
_YEARS: Final = (1, 2, 3)
_YEAR: Final = 12


def stop_tables() -> dict[str, Table]:
    """Return the tables of stops and of the words that release them."""
    return {"run_stop": Table(), "run_release": Table()}


def _releases(tx: Transaction, stop_no: int) -> tuple[Release, ...]:
    found = (tx.get("run_release", (stop_no, number)) for number in range(1, RELEASES + 1))
    return tuple(one for one in found if one is not None)


def _whole(tx: Transaction, stop: Stop) -> Stop:
    return replace(stop, releases=_releases(tx, stop.stop_no))


def open_stops(tx: Transaction) -> list[Stop]:
    """Return the stops that keep the run back, the first one first."""
    found = [stop for row in tx.scan("run_stop") if (stop := _whole(tx, row)).is_open]
    return sorted(found, key=lambda one: one.stop_no)


class MemoryStopBook(Book):
    """Whether the run is stopped, for those who would go on with it."""

    async def stopped(self) -> Stop | None:
        """Return the first of the stops that keep the run back; None while it goes on."""
        async with self._read() as tx:
            found = open_stops(tx)
        return replace(found[0], releases=()) if found else None


class MemoryRunStops:
    """The stops of the run, what its rules look at, and who released it."""

    def __init__(self, store: Pool) -> None:
        self._store = store

    async def released_at(self, cause: Cause) -> datetime | None:
        """Return when a stop for this cause was last released by two people."""
        async with self._store.begin() as desk:
            await desk.tx.statement()
            stops = [_whole(desk.tx, row) for row in desk.tx.scan("run_stop")]
        return max(
            (
                one.releases[-1].released_at
                for one in stops
                if one.cause is cause and not one.is_open
            ),
            default=None,
        )

    async def run_amounts(
        self, *, issued_after: datetime, from_day: date, limits: Limits
    ) -> tuple[RunAmounts, ...]:
        """Return the bills that are to be asked for, by currency, beside what is usual."""
        async with self._store.begin() as desk:
            tx = desk.tx
            await tx.statement()
            bills = _bills(tx)
            debited = {
                (row.account_id, row.currency)
                for row in tx.scan("mandate")
                if row.state is MandateState.ACTIVE and row.enrolment is Enrolment.ACTIVE
            }
        run = [
            one
            for one in bills
            if one.period_start >= from_day
            and one.issued_at > issued_after
            and (one.account_id, one.currency) in debited
        ]
        beside: dict[str, list[tuple[int, int | None, int | None]]] = defaultdict(list)
        for one in run:
            before = [
                other
                for other in bills
                if (other.account_id, other.currency) == (one.account_id, one.currency)
            ]
            beside[one.currency].append((one.total_minor, *_usual(one, before)))
        return tuple(_amounts(currency, beside[currency], limits) for currency in sorted(beside))

    async def run_outcomes(
        self, *, since: datetime, unheard_since: datetime, from_day: date
    ) -> RunOutcomes:
        """Return what became of debits since an instant."""
        async with self._store.begin() as desk:
            tx = desk.tx
            await tx.statement()
            debits = {
                (row.account_id, row.bill_no, row.attempt): row
                for row in tx.scan("debit")
                if row.charge_on >= from_day
            }
            steps = _steps(tx)
        ends = [
            step.to_state
            for key, row in debits.items()
            if row.changed_at > since and row.state in _ENDED
            for step in steps[key]
            if step.taken_at > since and _ends(step)
        ]
        orders = [
            row
            for row in debits.values()
            if row.first_sent_at is not None
            and row.first_sent_at > since
            and row.state not in _UNORDERED
        ]
        return RunOutcomes(
            ended=len(ends),
            failed=sum(state not in _WELL for state in ends),
            sent=len(orders),
            unknown=sum(
                row.state is State.UNKNOWN and row.first_sent_at <= unheard_since for row in orders
            ),
        )

    async def compared_until(self) -> date | None:
        """Return the day up to which the books were compared with the bank's.

        None where no statement was ever brought: there nobody compares yet.
        """
        async with self._store.begin() as desk:
            await desk.tx.statement()
            days = list(desk.tx.scan("recon_day"))
        if not any(row.statement_at is not None for row in days):
            return None
        open_ = min((row.day for row in days if row.agreed_at is None), default=None)
        return max(row.day for row in days) if open_ is None else _day_before(open_)

    async def trip(self, trip: Trip, *, at: datetime) -> bool:
        """Stop the run because a rule says so; False if it is stopped for this cause."""
        return await self._stop(trip.cause, trip.facts, at=at)

    async def stop_by_hand(self, *, stopped_by: str, because: str, at: datetime) -> Stop:
        """Stop the run because a person says so; the same stop again if nobody has let it go."""
        await self._stop(Cause.BY_HAND, {}, stopped_by=stopped_by, because=because, at=at)
        found = await self.stops(only_open=True, limit=len(Cause))
        return next(one for one in found if one.cause is Cause.BY_HAND)

    async def _stop(
        self,
        cause: Cause,
        facts: Mapping[str, int | str],
        *,
        stopped_by: str | None = None,
        because: str | None = None,
        at: datetime,
    ) -> bool:
        async with self._store.begin() as desk:
            tx = desk.tx
            await tx.statement()
            await tx.lock("run")
            await tx.statement()
            if any(
                one.cause is cause and not (cause is Cause.BY_HAND and one.releases)
                for one in open_stops(tx)
            ):
                return False
            number = max((row.stop_no for row in tx.scan("run_stop")), default=0) + 1
            stop = Stop(
                stop_no=number,
                cause=cause,
                facts=facts,
                stopped_by=stopped_by,
                because=because,
                stopped_at=at,
            )
            await tx.add("run_stop", (number,), stop)
        return True

    async def release(self, stop_no: int, *, released_by: str, because: str, at: datetime) -> Stop:
        """Keep one person's word that the run may go on; it does with the second one's.

        Raises:
            StopUnknownError: the run was never stopped under this number.
            StopReleasedError: it goes on already.
            SamePersonError: this person has released it before.
        """
        async with self._store.begin() as desk:
            tx = desk.tx
            await tx.statement()
            await tx.lock("run")
            await tx.statement()
            row = tx.get("run_stop", (stop_no,))
            if row is None:
                raise StopUnknownError(f"the run was never stopped as number {stop_no}")
            stop = _whole(tx, row)
            check_release(stop, released_by)
            word = Release(released_by=released_by, because=because, released_at=at)
            await tx.add("run_release", (stop_no, len(stop.releases) + 1), word)
            return _whole(tx, row)

    async def stops(self, *, only_open: bool, limit: int) -> list[Stop]:
        """Return the newest stops, each with the words of those who released it."""
        async with self._store.begin() as desk:
            await desk.tx.statement()
            found = [_whole(desk.tx, row) for row in desk.tx.scan("run_stop")]
        found.sort(key=lambda one: -one.stop_no)
        return [one for one in found if one.is_open or not only_open][:limit]

    async def waiting(self) -> Waiting:
        """Return how many debits wait while the run is stopped."""
        async with self._store.begin() as desk:
            await desk.tx.statement()
            states = [row.state for row in desk.tx.scan("debit")]
        return Waiting(
            announced=sum(state in {State.PLANNED, State.NOTICED} for state in states),
            recorded=states.count(State.RECORDED),
        )


def _day_before(day: date) -> date:
    return date.fromordinal(day.toordinal() - 1)


def _bills(tx: Transaction) -> list[Any]:
    """Return the bills that ask for something and were not taken back."""
    gone = {
        (row.account_id, row.corrects_bill_no)
        for row in tx.scan("bill")
        if row.kind == "cancellation"
    }
    return [
        row
        for row in tx.scan("bill")
        if row.kind != "cancellation"
        and row.total_minor > 0
        and (row.account_id, row.bill_no) not in gone
    ]


def _months_back(day: date, months: int) -> date:
    number = day.year * _YEAR + day.month - 1 - months
    return date(number // _YEAR, number % _YEAR + 1, day.day)


def _usual(bill: Any, before: list[Any]) -> tuple[int | None, int | None]:
    """Return what is usual in this season, or else in the year before."""
    start = bill.period_start
    season = [
        one.total_minor
        for one in before
        for year in _YEARS
        if _months_back(start, _YEAR * year + 1)
        <= one.period_start
        <= _months_back(start, _YEAR * year - 1)
    ]
    if season:
        return _median(season), None
    plain = [
        one.total_minor for one in before if _months_back(start, _YEAR) <= one.period_start < start
    ]
    return None, _median(plain) if len(plain) >= MONTHS_MIN else None


def _median(amounts: Iterable[int]) -> int:
    """Return the lower of the two in the middle."""
    found = sorted(amounts)
    return found[(len(found) - 1) // 2]


def _amounts(
    currency: str, beside: list[tuple[int, int | None, int | None]], limits: Limits
) -> RunAmounts:
    return RunAmounts(
        currency=currency,
        compared=sum(season is not None or plain is not None for _, season, plain in beside),
        high=sum(
            (season is not None and now * 100 > season * limits.season_percent)
            or (plain is not None and now * 100 > plain * limits.plain_percent)
            for now, season, plain in beside
        ),
        seasonal=sum(season is not None for _, season, _ in beside),
        now_minor=sum(now for now, season, _ in beside if season is not None),
        usual_minor=sum(season or 0 for _, season, _ in beside),
    )


def _steps(tx: Transaction) -> dict[tuple[Any, ...], list[Any]]:
    found: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for key, step in tx.db.rows["debit_step"].items():
        found[key[:3]].append(step)
    return found


def _ends(step: Any) -> bool:
    """Tell whether a step is an end of its own, and follows from no earlier one."""
    if step.to_state in _WELL:
        return step.from_state in _ON_THE_WAY
    return step.to_state in _BADLY and step.from_state in _ON_THE_WAY | _TAKEN
