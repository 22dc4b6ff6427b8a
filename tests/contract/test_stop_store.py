"""One suite for the stops of the run and the words of a review: PostgreSQL, and in memory."""

import asyncio
import random
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Final

import asyncpg
import pytest

from billing.breaker import (
    Cause,
    Limits,
    SamePersonError,
    StopReleasedError,
    StopUnknownError,
    Trip,
)
from billing.debit import NEXT, Event, State
from billing.decision import Decision, ReviewWord
from billing.io.debits import Debits
from billing.io.run_stops import RunStops
from billing.mandate import Enrolment
from tests.billing.debit_town import ISSUED
from tests.contract.test_debit_store import (
    AT,
    MINUTE,
    Facts,
    Store,
    after,
    debit,
    facts,
    home,
    store,
    walk,
)
from tests.world.engine import Database
from tests.world.facts import MemoryFacts, PostgresFacts
from tests.world.memory import tables
from tests.world.memory_stops import MemoryRunStops
from tests.world.memory_store import MemoryDebits

__all__ = ["facts", "store"]

DAY: Final = timedelta(days=1)
LIMITS: Final = Limits()
TRIP: Final = Trip(cause=Cause.FAILURES, facts={"ended": 20, "failed": 6})
Stops = RunStops | MemoryRunStops


def stops_of(store: Store) -> Stops:
    return MemoryRunStops(store) if isinstance(store, MemoryDebits) else RunStops(store._pool)


@pytest.fixture
def stops(store: Store) -> Stops:
    return stops_of(store)


async def release(stops: Stops, by: str, number: int = 1) -> Any:
    return await stops.release(number, released_by=by, because="seen", at=AT + DAY)


class TestAStop:
    """It holds everybody back until two people have let the run go on."""

    async def test_holds_the_run_until_two_people_release_it(
        self, store: Store, stops: Stops
    ) -> None:
        """One person's word is half a word."""
        assert await store.stopped() is None
        assert await stops.trip(TRIP, at=AT)
        found = await store.stopped()
        assert found is not None
        assert (found.stop_no, found.cause, dict(found.facts)) == (1, TRIP.cause, TRIP.facts)
        assert (await release(stops, "Aigul")).is_open
        assert await store.stopped() is not None
        assert not (await release(stops, "Boris")).is_open
        assert await store.stopped() is None
        assert await stops.released_at(Cause.FAILURES) == AT + DAY
        assert await stops.released_at(Cause.UNKNOWN) is None

    async def test_is_one_for_a_cause(self, stops: Stops) -> None:
        """Every round of every process sees the same facts."""
        said = await asyncio.gather(*(stops.trip(TRIP, at=AT) for _ in range(3)))
        assert sorted(said) == [False, False, True]
        by_hand = await stops.stop_by_hand(stopped_by="Aigul", because="odd", at=AT)
        again = await stops.stop_by_hand(stopped_by="Boris", because="mine", at=AT)
        assert (by_hand.stop_no, again) == (2, by_hand)
        found = await stops.stops(only_open=True, limit=9)
        assert [one.stop_no for one in found] == [2, 1]

    async def test_by_hand_holds_though_another_was_half_released(self, stops: Stops) -> None:
        """Who stops the run when one person has let it go on says no to that, and is heard."""
        first = await stops.stop_by_hand(stopped_by="Aigul", because="odd", at=AT)
        await stops.release(first.stop_no, released_by="Olga", because="checked", at=AT)

        second = await stops.stop_by_hand(stopped_by="Boris", because="wait", at=AT)
        again = await stops.stop_by_hand(stopped_by="Dana", because="yes, wait", at=AT)
        await stops.release(first.stop_no, released_by="Timur", because="checked", at=AT)

        assert (second.stop_no, second.stopped_by, again) == (2, "Boris", second)
        assert await stops.stops(only_open=True, limit=9) == [second]

    @pytest.mark.parametrize("name", ["Aigul", " aigul"])
    async def test_takes_a_second_person(self, stops: Stops, name: str) -> None:
        """Who says it twice, or in small letters, is still one."""
        await stops.trip(TRIP, at=AT)
        await release(stops, "Aigul")
        with pytest.raises(SamePersonError):
            await release(stops, name)
        with pytest.raises(StopUnknownError):
            await release(stops, "Boris", number=7)

    async def test_is_released_by_two_of_three_at_once(self, stops: Stops) -> None:
        """The third is told that the run goes on already."""
        await stops.trip(TRIP, at=AT)
        said = await asyncio.gather(
            *(release(stops, name) for name in ("Aigul", "Boris", "Dana")), return_exceptions=True
        )
        assert sum(isinstance(one, StopReleasedError) for one in said) == 1
        assert await stops.stops(only_open=True, limit=9) == []
        (one,) = await stops.stops(only_open=False, limit=9)
        assert len(one.releases) == 2

    async def test_leaves_what_was_never_sent(
        self, facts: Facts, store: Store, stops: Stops
    ) -> None:
        """What was sent before is asked about; a first order waits, a withdrawn one does not."""
        await home(facts)
        await facts.bill(bill_no="2026-02")
        await walk(store, debit(), Event.RECORD)
        await walk(store, debit(bill_no="2026-02"), Event.RECORD, Event.SEND, Event.LOSE)
        await stops.trip(TRIP, at=AT)
        assert await claimed(store) == [("2026-02", True, True)]
        async with store.begin() as desk:
            mandate = await desk.lock_mandate("ACC-1", "M-1")
            assert mandate is not None
            await desk.save_mandate(replace(mandate, enrolment=Enrolment.PAUSED))
        assert await claimed(store) == [("2026-01", True, False), ("2026-02", True, False)]
        waiting = await stops.waiting()
        assert (waiting.announced, waiting.recorded) == (0, 1)


async def claimed(store: Store) -> list[tuple[Any, ...]]:
    async with store.begin() as desk:
        found = await desk.claim_debits(at=AT + DAY, limit=9)
    return sorted((one.debit.bill_no, one.stopped, one.wanted) for one in found)


class TestAWordInReview:
    """It belongs to the step that put the debit before a person."""

    async def test_is_kept_once_for_each_person_and_step(self, facts: Facts, store: Store) -> None:
        """A debit that comes back into review is another question."""
        await home(facts)
        one = await walk(store, debit(), Event.RECORD, Event.SEND, Event.QUESTION)
        word = ReviewWord(
            decision=Decision.RELEASE, because="seen", said_by="Aigul", said_at=AT + MINUTE
        )
        other = replace(word, said_by="Boris", said_at=AT)
        async with store.begin() as desk:
            assert await desk.last_step(one.debit_id) == 4
            assert await desk.add_review_word(one.debit_id, 4, word)
            assert not await desk.add_review_word(one.debit_id, 4, replace(word, because="again"))
            assert await desk.add_review_word(one.debit_id, 4, other)
            assert await desk.add_review_word(
                one.debit_id, 4, replace(word, decision=Decision.GIVE_UP)
            )
            found = await desk.review_words(one.debit_id, 4)
            assert await desk.review_words(one.debit_id, 3) == []
        assert [(row.said_by, row.decision) for row in found] == [
            ("Boris", Decision.RELEASE),
            ("Aigul", Decision.GIVE_UP),
            ("Aigul", Decision.RELEASE),
        ]
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            async with store.begin() as desk:
                await desk.add_review_word(one.debit_id, 5, word)


async def many_bills(facts: Facts, rng: random.Random) -> None:
    """Issue bills of some years to some accounts, and take a few back."""
    for number in range(1, 7):
        account_id = f"ACC-{number}"
        await facts.account(account_id)
        if number < 6:
            state = "active" if number < 5 else "pending"
            await facts.mandate(account_id, bank_mandate_id=f"MD{number}", state=state)
        for year in (2022, 2023, 2024, 2025, 2026):
            for month in range(1, 13):
                if (year, month) > (2026, 2) or rng.random() < (0.8 if number % 2 else 0.3):
                    continue
                bill_no = f"{year}-{month:02}"
                total_minor = rng.choice((5_000, 20_000, 70_000, 300_000))
                await facts.bill(account_id, bill_no=bill_no, total_minor=total_minor)
                if rng.random() < 0.1:
                    await facts.bill(account_id, bill_no=f"{bill_no}-2", corrects=bill_no)


async def many_debits(facts: Facts, store: Store, rng: random.Random) -> None:
    """Take a debit for each of many bills through random steps."""
    await facts.account("ACC-9")
    await facts.mandate("ACC-9", bank_mandate_id="MD9")
    for number in range(40):
        bill_no = f"{2020 + number // 12}-{number % 12 + 1:02}"
        await facts.bill("ACC-9", bill_no=bill_no)
        one = debit(account_id="ACC-9", bill_no=bill_no, charge_on=date(2026, 2, 1 + number % 28))
        async with store.begin() as desk:
            await desk.add_debit(one)
            for step in range(rng.randint(0, 9)):
                events = sorted(event for state, event in NEXT if state is one.state)
                if not events:
                    break
                event = rng.choice(events) if step else Event.RECORD
                at = AT + rng.randint(0, 60) * MINUTE
                changes: dict[str, Any] = {}
                if event is Event.ACCEPT:
                    changes["bank_payment_id"] = f"PM-{bill_no}-{step}"
                if event is Event.SEND:
                    changes = {"sends": 1, "first_sent_at": one.first_sent_at or at}
                try:
                    following = after(one, event, at=at, **changes)
                except TypeError:
                    break
                if following.state is State.RETRY_DUE:
                    following = replace(following, retry_on=date(2026, 3, 1))
                await desk.save_debit(one, following)
                one = following


async def figures(facts: Facts, store: Store, seed: int) -> list[object]:
    """Return all that the rules look at in a random town."""
    rng = random.Random(seed)  # noqa: S311 - chance, not secrecy
    await many_bills(facts, rng)
    await many_debits(facts, store, rng)
    stops = stops_of(store)
    said: list[object] = [await stops.compared_until()]
    for issued_after in (ISSUED - DAY, ISSUED):
        for from_day in (date(2022, 1, 1), date(2025, 10, 1), date(2026, 2, 1)):
            amounts = await stops.run_amounts(
                issued_after=issued_after, from_day=from_day, limits=LIMITS
            )
            said += [amounts]
    for minutes in (0, 10, 30):
        for from_day in (date(2026, 2, 1), date(2026, 2, 15)):
            since, unheard_since = AT + minutes * MINUTE, AT + 40 * MINUTE
            outcomes = await stops.run_outcomes(
                since=since, unheard_since=unheard_since, from_day=from_day
            )
            said += [outcomes]
    return said


class TestBothStores:
    """They look at the same figures."""

    @pytest.mark.parametrize("seed", range(5))
    async def test_count_the_same(
        self, owner: asyncpg.Connection, pool: asyncpg.Pool, seed: int
    ) -> None:
        """A run that trips in the simulation and not in the town, or the other way, is no test."""
        db = Database(tables())
        real = await figures(PostgresFacts(owner), Debits(pool), seed)
        ours = await figures(MemoryFacts(db), MemoryDebits(db), seed)
        assert real == ours
        assert len({repr(one) for one in real}) > 5
