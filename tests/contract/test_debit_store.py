"""One suite for the store of debits: PostgreSQL, and the one in memory that the simulation uses.

Whatever the one in memory promises beyond or beneath this suite would be a lie that hides defects.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import asyncpg
import pytest

from billing.debit import Debit, DebitId, Event, State, moved
from billing.io.debits import Debits, StaleDebitError
from billing.mandate import Caps, Enrolment, Mandate
from billing.mandate import State as MandateState
from billing.notice import Attempt, Candidate, Notice
from billing.order import body_digest, frozen_body
from billing.policy import BillPolicy
from tests.world.engine import Database
from tests.world.facts import MemoryFacts, PostgresFacts
from tests.world.memory import tables
from tests.world.memory_store import MemoryDebits

AT: Final = datetime(2026, 2, 2, 4, tzinfo=UTC)
MINUTE: Final = timedelta(minutes=1)
CHARGE: Final = date(2026, 2, 25)
# Enough turns of the loop for anything in memory, and for a statement to reach a server.
TURNS: Final = 10_000
BOTH: Final = ("postgres", "memory")
ACCEPTED: Final = (Event.RECORD, Event.SEND, Event.ACCEPT)

Facts = MemoryFacts | PostgresFacts
Store = Debits | MemoryDebits


@pytest.fixture(params=BOTH)
def facts(request: pytest.FixtureRequest) -> Facts:
    """Return who writes what is there before: in PostgreSQL, then in memory."""
    if request.param == "memory":
        return MemoryFacts(Database(tables()))
    return PostgresFacts(request.getfixturevalue("owner"))


@pytest.fixture
def store(facts: Facts, request: pytest.FixtureRequest) -> Store:
    """Return the store beside those facts."""
    if isinstance(facts, MemoryFacts):
        return MemoryDebits(facts.db)
    return Debits(request.getfixturevalue("pool"))


def debit(**changes: Any) -> Debit:
    usual: dict[str, Any] = {
        "account_id": "ACC-1",
        "bill_no": "2026-01",
        "attempt": 1,
        "mandate_id": "M-1",
        "state": State.NOTICED,
        "reason": None,
        "amount_minor": 74_297,
        "currency": "KZT",
        "charge_on": CHARGE,
        "changed_at": AT,
    }
    return Debit(**usual | changes)


def mandate(**changes: Any) -> Mandate:
    usual: dict[str, Any] = {
        "account_id": "ACC-1",
        "mandate_id": "M-1",
        "state": MandateState.INVITED,
        "enrolment": Enrolment.ACTIVE,
        "caps": Caps(payment_minor_max=100, month_minor_max=200),
        "currency": "KZT",
        "return_digest": bytes(32),
        "created_at": AT,
        "changed_at": AT,
    }
    return Mandate(**usual | changes)


def after(before: Debit, event: Event, *, at: datetime, **changes: Any) -> Debit:
    """Return the debit one step on, with what the step has to bring."""
    if event is Event.RECORD:
        body = frozen_body(before, "MD1")
        changes |= {"idempotency_key": before.key, "body": body, "body_digest": body_digest(body)}
    if event is Event.ACCEPT:
        changes = {"bank_payment_id": f"PM-{before.account_id}-{before.attempt}"} | changes
    return moved(before, event, at=at, **changes)


async def walk(store: Store, one: Debit, *events: Event, **last: Any) -> Debit:
    """Add a debit and take it through steps, a minute each; ``last`` belongs to the last step."""
    async with store.begin() as desk:
        assert await desk.add_debit(one)
        for number, event in enumerate(events, 1):
            changes = last if number == len(events) else {}
            following = after(one, event, at=AT + number * MINUTE, **changes)
            await desk.save_debit(one, following)
            one = following
    return one


class CrashError(Exception):
    """A process ends in the middle of a transaction."""


def crash_unless(ends: bool) -> None:  # noqa: FBT001 - reads like a sentence
    if not ends:
        raise CrashError


async def nothing() -> None:
    """Nothing happens in between."""


async def born(
    store: Store,
    one: Debit,
    *,
    commits: bool = True,
    in_between: Callable[[], Awaitable[None]] = nothing,
) -> bool:
    """Add a debit, let something happen, and commit or crash; return whether it was kept."""
    async with store.begin() as desk:
        kept = await desk.add_debit(one)
        await in_between()
        crash_unless(commits)
    return kept


async def home(facts: Facts, account_id: str = "ACC-1", **bill: Any) -> None:
    await facts.account(account_id)
    await facts.mandate(account_id)
    await facts.bill(account_id, **bill)


async def until(what: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(TURNS):
        if await what():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


async def names(found: Awaitable[list[Any]]) -> list[str]:
    """Return what a list names, as account/bill."""
    rows = [getattr(row, "debit_id", row) for row in await found]
    return [f"{row.account_id}/{row.bill_no}" for row in rows]


class TestATransaction:
    """All of it or nothing, and nobody sees the middle."""

    async def test_is_undone_when_something_is_raised(self, facts: Facts, store: Store) -> None:
        """A crash in the middle must leave no half of a step."""
        await home(facts)
        with pytest.raises(CrashError):
            await born(store, debit(), commits=False)
        assert (await facts.debit_rows(), await facts.step_rows()) == ([], [])

    async def test_is_seen_by_others_once_it_ends(self, facts: Facts, store: Store) -> None:
        """Half-done work of another process must not be worked on."""
        await home(facts)
        async with store.begin() as desk, store.begin() as other:
            await desk.add_debit(debit())
            assert len(await desk.attempts("ACC-1", "2026-01")) == 1
            assert await other.attempts("ACC-1", "2026-01") == []
        async with store.begin() as other:
            told = [Attempt(attempt=1, state=State.NOTICED, reason=None)]
            assert await other.attempts("ACC-1", "2026-01") == told

    async def test_that_waits_in_a_circle_ends(self, facts: Facts, store: Store) -> None:
        """Two who wait for each other would wait for ever; one is sent away, one goes on."""
        await home(facts, "ACC-1")
        await home(facts, "ACC-2")
        first_has, second_has = asyncio.Event(), asyncio.Event()

        async def take(one: str, two: str, mine: asyncio.Event, theirs: asyncio.Event) -> None:
            async with store.begin() as desk:
                await desk.lock_mandate(one, "M-1")
                mine.set()
                await theirs.wait()
                await desk.lock_mandate(two, "M-1")

        done = await asyncio.gather(
            take("ACC-1", "ACC-2", first_has, second_has),
            take("ACC-2", "ACC-1", second_has, first_has),
            return_exceptions=True,
        )
        assert sorted(type(one).__name__ for one in done) == ["DeadlockDetectedError", "NoneType"]


class TestALock:
    """Who comes second waits, or passes by; and then sees what the first one did."""

    async def test_lets_the_second_see_what_the_first_did(self, facts: Facts, store: Store) -> None:
        """A decision on what was true before the wait would be a second debit."""
        await home(facts)
        one = await walk(store, debit())
        async with store.begin() as desk:
            await desk.lock_debit(one.debit_id)

            async def second() -> Debit | None:
                async with store.begin() as other:
                    return await other.lock_debit(one.debit_id)

            waiting = asyncio.create_task(second())
            await until(facts.somebody_waits)
            await desk.save_debit(one, moved(one, Event.CANCEL, at=AT, reason="paused"))
        found = await waiting
        assert found is not None
        assert found.state is State.CANCELLED

    async def test_on_a_mandate_makes_others_pass_by(self, facts: Facts, store: Store) -> None:
        """Announcing never waits for a resident who is changing his mind."""
        await home(facts)
        async with store.begin() as desk:
            assert await desk.lock_mandate("ACC-1", "M-1") is not None
            async with store.begin() as other:
                assert await other.try_lock_mandate("ACC-1", "M-1") is None
        async with store.begin() as other:
            assert await other.try_lock_mandate("ACC-1", "M-1") is not None
            assert await other.try_lock_mandate("ACC-1", "M-9") is None

    async def test_leaves_out_what_does_not_fit_any_more(self, facts: Facts, store: Store) -> None:
        """A debit that was sent while we waited is not unsent."""
        await home(facts)
        one = await walk(store, debit(), Event.RECORD)
        async with store.begin() as desk:
            await desk.lock_debit(one.debit_id)

            async def pause() -> list[Debit]:
                async with store.begin() as other:
                    return await other.unsent_debits("ACC-1", "M-1")

            waiting = asyncio.create_task(pause())
            await until(facts.somebody_waits)
            await desk.save_debit(one, after(one, Event.SEND, at=AT, sends=1))
        assert await waiting == []

    @pytest.mark.parametrize(("commits", "kept"), [(True, False), (False, True)])
    async def test_on_a_bill_decides_between_two_births(
        self, facts: Facts, store: Store, *, commits: bool, kept: bool
    ) -> None:
        """Two attempts at once for one bill: the second waits for what becomes of the first."""
        await home(facts)
        waiting: list[asyncio.Task[bool]] = []

        async def in_between() -> None:
            waiting.append(asyncio.create_task(born(store, debit(attempt=2))))
            await until(facts.somebody_waits)

        with nullcontext() if commits else pytest.raises(CrashError):
            assert await born(store, debit(), commits=commits, in_between=in_between)
        assert await waiting[0] is kept

    @pytest.mark.parametrize(("commits", "first"), [(True, False), (False, True)])
    async def test_on_an_event_decides_who_deals_with_it(
        self, facts: Facts, store: Store, *, commits: bool, first: bool
    ) -> None:
        """The same event twice at once has one effect, and none is lost with a crash."""
        waiting: list[asyncio.Task[bool]] = []

        async def deal(*, ends: bool, in_between: Callable[[], Awaitable[None]] = nothing) -> bool:
            told = {"resource": "payments", "action": "confirmed", "at": AT}
            async with store.begin() as desk:
                kept = await desk.first_time("EV1", **told)
                assert not await desk.first_time("EV1", **told)
                await in_between()
                crash_unless(ends)
            return kept

        async def in_between() -> None:
            waiting.append(asyncio.create_task(deal(ends=True)))
            await until(facts.somebody_waits)

        with nullcontext() if commits else pytest.raises(CrashError):
            assert await deal(ends=commits, in_between=in_between)
        assert await waiting[0] is first
        assert await store.seen_events(["EV1", "EV2"]) == {"EV1"}


class TestABirth:
    """One attempt at a time may still take money for a bill."""

    async def test_waits_until_the_one_before_is_over(self, facts: Facts, store: Store) -> None:
        """The second attempt begins when the first can take nothing any more."""
        await home(facts)
        one = await walk(store, debit())
        async with store.begin() as desk:
            assert not await desk.add_debit(debit(attempt=2))
            assert not await desk.add_debit(debit())
            await desk.save_debit(one, moved(one, Event.CANCEL, at=AT, reason="paused"))
            assert await desk.add_debit(debit(attempt=2))
        steps = [row[2:7] for row in await facts.step_rows()]
        assert steps == [
            (1, 1, None, "noticed", None),
            (1, 2, "noticed", "cancelled", "paused"),
            (2, 1, None, "noticed", None),
        ]

    async def test_never_comes_back_to_life_beside_another(
        self, facts: Facts, store: Store
    ) -> None:
        """A dead debit that is questioned while another lives would be two that take money."""
        await home(facts)
        one = await walk(store, debit(), *ACCEPTED, Event.FAIL)
        await walk(store, debit(attempt=2))
        with pytest.raises(asyncpg.UniqueViolationError):
            async with store.begin() as desk:
                await desk.save_debit(one, moved(one, Event.QUESTION, at=AT, reason="x"))

    async def test_needs_its_bill_and_its_mandate(self, facts: Facts, store: Store) -> None:
        """Nothing may be taken for a bill that does not exist."""
        await home(facts)
        for wrong in ({"bill_no": "2026-02"}, {"mandate_id": "M-9"}):
            with pytest.raises(asyncpg.ForeignKeyViolationError):
                async with store.begin() as desk:
                    await desk.add_debit(debit(**wrong))


class TestAStep:
    """A debit is written from the state it was seen in, or not at all."""

    async def test_from_a_state_that_is_past_is_refused(self, facts: Facts, store: Store) -> None:
        """A lost lock must never overwrite what somebody else knew better."""
        await home(facts)
        one = await walk(store, debit())
        cancelled = moved(one, Event.CANCEL, at=AT, reason="paused")
        async with store.begin() as desk:
            await desk.save_debit(one, cancelled)
        with pytest.raises(StaleDebitError):
            async with store.begin() as desk:
                await desk.save_debit(one, cancelled)

    async def test_needs_the_frozen_order(self, facts: Facts, store: Store) -> None:
        """What may be sent has its key and its body, or it is not recorded."""
        await home(facts)
        one = await walk(store, debit())
        with pytest.raises(asyncpg.CheckViolationError):
            async with store.begin() as desk:
                await desk.save_debit(one, moved(one, Event.RECORD, at=AT))

    async def test_keeps_one_payment_for_one_debit(self, facts: Facts, store: Store) -> None:
        """A payment counted for two debits would be money that nobody paid."""
        await home(facts)
        await facts.bill(bill_no="2026-02")
        await walk(store, debit(), *ACCEPTED, bank_payment_id="PM1")
        with pytest.raises(asyncpg.UniqueViolationError):
            await walk(store, debit(bill_no="2026-02"), *ACCEPTED, bank_payment_id="PM1")

    async def test_books_what_it_moves(self, facts: Facts, store: Store) -> None:
        """The ledger and the state are one write."""
        await home(facts)
        await walk(store, debit(), *ACCEPTED, Event.CONFIRM, Event.SETTLE)
        rows = [row[1:6] for row in await facts.transfer_rows()]
        assert rows == [
            ("bill/2026-01/net", "posted", "receivable", "revenue", 74_297),
            ("debit/2026-01/1/payout", "posted", "bank", "collections_in_transit", 74_297),
            ("debit/2026-01/1/pending", "pending", "collections_in_transit", "receivable", 74_297),
            ("debit/2026-01/1/posted", "posted", "collections_in_transit", "receivable", 74_297),
        ]
        async with store.begin() as desk:
            assert await desk.owed_minor("ACC-1", "2026-01") == 0

    async def test_is_kept_whole(self, facts: Facts, store: Store) -> None:
        """Every column of the row comes back as it was written."""
        await home(facts)
        sent = {"lease_until": AT + MINUTE, "sends": 2, "first_sent_at": AT}
        one = await walk(store, debit(), Event.RECORD, Event.SEND, **sent)
        async with store.begin() as desk:
            assert await desk.lock_debit(one.debit_id) == one
        assert await store.debit_by_key("ACC-1", one.key) == one
        assert await store.debit_by_key("ACC-2", one.key) is None

    async def test_is_named_by_its_key_once_it_is_recorded_or_over(
        self, facts: Facts, store: Store
    ) -> None:
        """The bank may know one that an old backup had forgotten; what may still go out waits."""
        await home(facts)
        over = await walk(store, debit(), Event.CANCEL)
        second = await walk(store, debit(attempt=2))

        assert await store.debit_by_key("ACC-1", over.key) == over
        assert await store.debit_by_key("ACC-1", second.key) is None
        assert await store.debit_by_key("ACC-1", "debit:v1:ACC-1:2026-01:01") is None

    async def test_may_find_nothing_new(self, facts: Facts, store: Store) -> None:
        """Who was looked at goes to the end of the queue, and nothing else changes."""
        await home(facts)
        one = await walk(store, debit())
        async with store.begin() as desk:
            await desk.touch_debit(one.debit_id, at=AT + MINUTE)
            assert await desk.lock_debit(one.debit_id) == replace(one, changed_at=AT + MINUTE)
            nobody = DebitId(account_id="ACC-9", bill_no="2026-01", attempt=1)
            await desk.touch_debit(nobody, at=AT)
            assert await desk.lock_debit(nobody) is None


class TestClaiming:
    """A debit to send goes to one worker at a time."""

    async def test_passes_over_what_others_hold(self, facts: Facts, store: Store) -> None:
        """Two workers with the same debit in their hands would send it twice."""
        await home(facts)
        one = await walk(store, debit(), Event.RECORD)
        async with store.begin() as desk, store.begin() as other:
            (claim,) = await desk.claim_debits(at=AT, limit=9)
            assert (claim.debit, claim.bank_mandate_id, claim.wanted) == (one, "MD1", True)
            assert await other.claim_debits(at=AT, limit=9) == []

    async def test_respects_a_lease_until_it_runs_out(self, facts: Facts, store: Store) -> None:
        """Who died may have sent; who lives is not disturbed."""
        await home(facts)
        lease = {"lease_until": AT + MINUTE, "sends": 1, "first_sent_at": AT}
        await walk(store, debit(), Event.RECORD, Event.SEND, **lease)
        async with store.begin() as desk:
            early = AT + MINUTE - timedelta(microseconds=1)
            assert await desk.claim_debits(at=early, limit=9) == []
            assert len(await desk.claim_debits(at=AT + MINUTE, limit=9)) == 1

    async def test_says_whether_it_is_still_wanted(self, facts: Facts, store: Store) -> None:
        """A resident who paused wins against whoever is about to send."""
        await home(facts)
        await walk(store, debit(), Event.RECORD)
        async with store.begin() as desk:
            found = await desk.lock_mandate("ACC-1", "M-1")
            assert found is not None
            await desk.save_mandate(replace(found, enrolment=Enrolment.PAUSED))
        async with store.begin() as desk:
            (claim,) = await desk.claim_debits(at=AT, limit=9)
            assert not claim.wanted

    async def test_leaves_alone_what_is_not_to_be_sent(self, facts: Facts, store: Store) -> None:
        """Neither what is announced nor what the bank has already is sent."""
        await home(facts)
        await facts.bill(bill_no="2026-02")
        await walk(store, debit())
        await walk(store, debit(bill_no="2026-02"), *ACCEPTED)
        async with store.begin() as desk:
            assert await desk.claim_debits(at=AT, limit=9) == []

    async def test_are_as_many_as_are_asked_for(self, facts: Facts, store: Store) -> None:
        """A worker leases what it can ask for soon, and leaves the rest to others."""
        await home(facts)
        for number in range(2, 5):
            await facts.bill(bill_no=f"2026-0{number}")
            await walk(store, debit(bill_no=f"2026-0{number}"), Event.RECORD)
        async with store.begin() as desk, store.begin() as other:
            mine = [one.debit.bill_no for one in await desk.claim_debits(at=AT, limit=2)]
            theirs = [one.debit.bill_no for one in await other.claim_debits(at=AT, limit=2)]
            assert len(mine) == 2
            assert sorted(mine + theirs) == ["2026-02", "2026-03", "2026-04"]


class TestManyAtOnce:
    """What is locked and written together is as if it were done one by one."""

    async def test_lock_what_is_free_and_announced(self, facts: Facts, store: Store) -> None:
        """Who waits for one locked mandate lets all others wait."""
        for account_id in ("ACC-1", "ACC-2", "ACC-3"):
            await home(facts, account_id)
        one = await walk(store, debit())
        two = await walk(store, debit(account_id="ACC-2"))
        three = await walk(store, debit(account_id="ACC-3"), Event.RECORD)
        wanted = [Candidate(debit_id=each.debit_id, mandate_id="M-1") for each in (one, two, three)]
        async with store.begin() as desk, store.begin() as other:
            assert await other.lock_mandate("ACC-2", "M-1") is not None
            locked = await desk.try_lock_noticed(wanted)
            assert [(found.account_id, each) for found, each in locked] == [("ACC-1", one)]
            assert await other.try_lock_noticed(wanted[:1]) == []

    async def test_lock_in_the_order_of_names(self, facts: Facts, store: Store) -> None:
        """Two who lock the same in two orders would wait for each other for ever."""
        for account_id in ("ACC-1", "ACC-2"):
            await home(facts, account_id)
        one = await walk(store, debit(), Event.RECORD)
        two = await walk(store, debit(account_id="ACC-2"))
        async with store.begin() as desk:
            missing = DebitId(account_id="ACC-3", bill_no="2026-01", attempt=1)
            found = await desk.lock_debits([two.debit_id, missing, one.debit_id])
            assert found == [one, two]

    async def test_take_a_step_each(self, facts: Facts, store: Store) -> None:
        """Both are written, with their steps and their money."""
        for account_id in ("ACC-1", "ACC-2"):
            await home(facts, account_id)
        one = await walk(store, debit())
        two = await walk(store, debit(account_id="ACC-2"))
        async with store.begin() as desk:
            steps = [(each, after(each, Event.RECORD, at=AT)) for each in (one, two)]
            await desk.save_debits(steps)
        async with store.begin() as desk:
            found = await desk.lock_debits([one.debit_id, two.debit_id])
        assert found == [following for _, following in steps]
        pending = [row[0] for row in await facts.transfer_rows() if row[2] == "pending"]
        assert sorted(pending) == ["ACC-1", "ACC-2"]

    async def test_take_none_if_one_is_stale(self, facts: Facts, store: Store) -> None:
        """A step that somebody else took before us undoes the whole transaction."""
        for account_id in ("ACC-1", "ACC-2"):
            await home(facts, account_id)
        one = await walk(store, debit())
        two = await walk(store, debit(account_id="ACC-2"), Event.RECORD)
        stale = replace(two, state=State.NOTICED)
        with pytest.raises(StaleDebitError):
            async with store.begin() as desk:
                await desk.save_debits(
                    [(each, after(each, Event.RECORD, at=AT)) for each in (one, stale)]
                )
        async with store.begin() as desk:
            assert await desk.lock_debits([one.debit_id, two.debit_id]) == [one, two]


class TestBillsToNotice:
    """Only what is owed, wanted and not under way is asked for."""

    async def test_are_ordered_and_limited(self, facts: Facts, store: Store) -> None:
        """The longest due come first, whatever a batch holds."""
        await home(facts, "ACC-2", due_on=date(2026, 2, 20))
        await home(facts, "ACC-1")
        await facts.bill("ACC-1", bill_no="2026-02", due_on=date(2026, 2, 20))
        everything = ["ACC-1/2026-02", "ACC-2/2026-01", "ACC-1/2026-01"]
        assert await names(store.bills_to_notice(today=CHARGE, limit=9)) == everything
        assert await names(store.bills_to_notice(today=CHARGE, limit=2)) == everything[:2]

    async def test_need_a_usable_mandate_in_their_currency(
        self, facts: Facts, store: Store
    ) -> None:
        """Nobody is told of a debit that cannot be made."""
        await facts.account()
        await facts.bill()
        assert await store.bills_to_notice(today=CHARGE, limit=9) == []
        await facts.mandate(currency="EUR")
        assert await store.bills_to_notice(today=CHARGE, limit=9) == []
        await facts.account("ACC-2")
        await facts.bill("ACC-2")
        await facts.mandate("ACC-2", state="pending")
        assert await store.bills_to_notice(today=CHARGE, limit=9) == []

    async def test_owe_something(self, facts: Facts, store: Store) -> None:
        """What was paid another way is not asked for again."""
        await home(facts)
        await facts.transfer("ACC-1", "2026-01", "desk", "bank", "receivable", 74_297)
        assert await store.bills_to_notice(today=CHARGE, limit=9) == []

    @pytest.mark.parametrize(
        ("events", "reason", "asked"),
        [
            ((), None, False),
            ((Event.CANCEL,), "paused", True),
            ((Event.CANCEL,), "cancelled_at_bank", False),
            ((*ACCEPTED, Event.FAIL), "insufficient_funds", True),
            ((*ACCEPTED, Event.FAIL), "bank_account_closed", False),
            ((*ACCEPTED, Event.CHARGE_BACK), "insufficient_funds", False),
            ((*ACCEPTED, Event.CONFIRM), None, False),
        ],
    )
    async def test_depend_on_the_attempts_before(
        self,
        facts: Facts,
        store: Store,
        events: tuple[Event, ...],
        reason: str | None,
        *,
        asked: bool,
    ) -> None:
        """A second debit is only asked for where the first took nothing and time can help."""
        await home(facts)
        told = {} if reason is None else {"reason": reason}
        await walk(store, debit(), *events, **told)
        assert (
            await names(store.bills_to_notice(today=CHARGE, limit=9)) == ["ACC-1/2026-01"]
        ) is asked

    async def test_stop_after_three_failures(self, facts: Facts, store: Store) -> None:
        """A fourth try only costs the resident money."""
        await home(facts)
        for attempt in (1, 2, 3):
            assert len(await store.bills_to_notice(today=CHARGE, limit=9)) == 1
            one = debit(attempt=attempt)
            await walk(store, one, *ACCEPTED, Event.FAIL, reason="insufficient_funds")
        assert await store.bills_to_notice(today=CHARGE, limit=9) == []

    async def test_are_in_no_dispute(self, facts: Facts, store: Store) -> None:
        """Who disputes a bill is not debited for it; afterwards he is."""
        await home(facts)
        await facts.dispute("ACC-1", "2026-01")
        assert await store.bills_to_notice(today=CHARGE, limit=9) == []
        async with store.begin() as desk:
            assert (await desk.facts([debit()]))[0].disputed
        await facts.dispute("ACC-1", "2026-01", ended=True)
        assert len(await store.bills_to_notice(today=CHARGE, limit=9)) == 1
        async with store.begin() as desk:
            assert not (await desk.facts([debit()]))[0].disputed

    async def test_are_not_cancelled(self, facts: Facts, store: Store) -> None:
        """A bill that was taken back is asked for no more, nor is what took it back."""
        await home(facts)
        await facts.bill(bill_no="2026-01-2", total_minor=1, corrects="2026-01")
        assert await store.bills_to_notice(today=CHARGE, limit=9) == []

    async def test_are_large_enough_unless_it_is_the_last(self, facts: Facts, store: Store) -> None:
        """A sum too small waits for the next bill, if there is one."""
        policy = BillPolicy(minimums_minor={"KZT": 74_298})
        strict: Store = (
            MemoryDebits(store.db, policy)
            if isinstance(store, MemoryDebits)
            else Debits(store._pool, policy)
        )
        await home(facts)
        assert await strict.bills_to_notice(today=CHARGE, limit=9) == []
        await facts.close("ACC-1", date(2026, 1, 20))
        assert len(await strict.bills_to_notice(today=CHARGE, limit=9)) == 1


class TestLists:
    """What each step finds to work on, in its order."""

    async def test_debits_to_tell_are_held_or_planned(self, facts: Facts, store: Store) -> None:
        """Whatever keeps them back is asked again, the longest unseen first."""
        await home(facts)
        for number, state in ((1, State.HELD), (2, State.NOTICED), (3, State.PLANNED)):
            if number > 1:
                await facts.bill(bill_no=f"2026-0{number}")
            one = debit(bill_no=f"2026-0{number}", state=state, changed_at=AT - number * MINUTE)
            await walk(store, one)
        found = await names(store.debits_to_tell(at=AT - MINUTE, limit=9))
        assert found == ["ACC-1/2026-03"]
        found = await names(store.debits_to_tell(at=AT, limit=9))
        assert found == ["ACC-1/2026-03", "ACC-1/2026-01"]

    async def test_debits_to_record_have_reached_their_day(
        self, facts: Facts, store: Store
    ) -> None:
        """Nothing is recorded before its time."""
        await home(facts)
        await facts.bill(bill_no="2026-02")
        await walk(store, debit(charge_on=CHARGE))
        await walk(store, debit(bill_no="2026-02", charge_on=CHARGE - timedelta(days=1)))
        found = await names(store.debits_to_record(charge_until=CHARGE, limit=9))
        assert found == ["ACC-1/2026-02", "ACC-1/2026-01"]
        early = CHARGE - timedelta(days=1)
        found = await names(store.debits_to_record(charge_until=early, limit=9))
        assert found == ["ACC-1/2026-02"]

    async def test_payments_to_withdraw_are_accepted_and_unwanted(
        self, facts: Facts, store: Store
    ) -> None:
        """What is submitted is too late; what is wanted goes on."""
        await home(facts)
        await walk(store, debit(), *ACCEPTED)
        assert await store.payments_to_withdraw(limit=9) == []
        async with store.begin() as desk:
            found = await desk.lock_mandate("ACC-1", "M-1")
            assert found is not None
            await desk.save_mandate(replace(found, enrolment=Enrolment.PAUSED))
        assert await names(store.payments_to_withdraw(limit=9)) == ["ACC-1/2026-01"]
        assert await store.mandates_to_withdraw(limit=9) == []

    async def test_a_stopped_debit_is_wanted_by_nobody(self, facts: Facts, store: Store) -> None:
        """Not sent, withdrawn where the bank has it, and its bill not asked for again."""
        await home(facts)
        await facts.bill(bill_no="2026-02")
        await facts.bill(bill_no="2026-03")
        one = await walk(store, debit(), *ACCEPTED)
        two = await walk(store, debit(bill_no="2026-02"), Event.RECORD)
        await walk(store, debit(bill_no="2026-03"), Event.CANCEL, reason="withdrawn")
        missing = replace(two.debit_id, attempt=2)
        async with store.begin() as desk:
            assert await desk.mandate_of_debit(two.debit_id) == "M-1"
            assert await desk.mandate_of_debit(missing) is None
            assert not await desk.is_stopped(two.debit_id)
            assert [fact.stopped for fact in await desk.facts([two])] == [False]
            for stopped in (one.debit_id, two.debit_id):
                assert await desk.add_stop(stopped, stopped_by="the resident", at=AT)
            assert not await desk.add_stop(two.debit_id, stopped_by="a neighbour", at=AT)
        assert await names(store.bills_to_notice(today=CHARGE, limit=9)) == ["ACC-1/2026-03"]
        async with store.begin() as desk:
            await desk.add_stop(
                replace(one.debit_id, bill_no="2026-03"), stopped_by="the resident", at=AT
            )

        assert await names(store.payments_to_withdraw(limit=9)) == ["ACC-1/2026-01"]
        assert await store.bills_to_notice(today=CHARGE, limit=9) == []
        async with store.begin() as desk:
            assert await desk.is_stopped(two.debit_id)
            assert await desk.is_stopped(missing)
            assert not await desk.is_stopped(replace(missing, bill_no="2026-04"))
            assert [fact.stopped for fact in await desk.facts([one, two])] == [True, True]
            (claim,) = await desk.claim_debits(at=AT, limit=9)
        assert (claim.debit, claim.wanted) == (two, False)

    async def test_a_debit_in_dispute_is_wanted_again_when_that_ends(
        self, facts: Facts, store: Store
    ) -> None:
        """Neither sent nor left with the bank meanwhile."""
        await home(facts)
        await facts.bill(bill_no="2026-02")
        one = await walk(store, debit(), *ACCEPTED)
        two = await walk(store, debit(bill_no="2026-02"), Event.RECORD)
        for ended in (False, True):
            for bill_no in (one.bill_no, two.bill_no):
                await facts.dispute("ACC-1", bill_no, ended=ended)
            async with store.begin() as desk:
                assert await desk.is_disputed(two.debit_id) is not ended
                (claim,) = await desk.claim_debits(at=AT, limit=9)
            assert (claim.debit, claim.wanted) == (two, ended)
            wanted = [] if ended else ["ACC-1/2026-01"]
            assert await names(store.payments_to_withdraw(limit=9)) == wanted

    async def test_mandates_to_withdraw_are_cancelled_here_only(
        self, facts: Facts, store: Store
    ) -> None:
        """The bank hears of it until it has ended the mandate too."""
        await home(facts)
        async with store.begin() as desk:
            found = await desk.lock_mandate("ACC-1", "M-1")
            assert found is not None
            gone = replace(found, enrolment=Enrolment.CANCELLED)
            await desk.save_mandate(gone)
        assert await store.mandates_to_withdraw(limit=9) == [gone]
        async with store.begin() as desk:
            await desk.save_mandate(replace(gone, state=MandateState.CANCELLED))
        assert await store.mandates_to_withdraw(limit=9) == []

    async def test_mandates_to_retire_owe_nothing_more(self, facts: Facts, store: Store) -> None:
        """Who has moved out is debited until his final bill is paid, and no longer."""
        await home(facts)
        assert await store.mandates_to_retire(limit=9) == []
        await facts.close("ACC-1", date(2026, 1, 20))
        assert await store.mandates_to_retire(limit=9) == []
        one = await walk(store, debit(), *ACCEPTED, Event.CONFIRM)
        assert await store.mandates_to_retire(limit=9) == []
        async with store.begin() as desk:
            await desk.save_debit(one, moved(one, Event.SETTLE, at=AT))
        assert await store.mandates_to_retire(limit=9) == [("ACC-1", "M-1")]

    async def test_debits_to_reread_are_silent_and_under_way(
        self, facts: Facts, store: Store
    ) -> None:
        """The backstop looks at what the bank has, the longest silent first."""
        await home(facts)
        await facts.bill(bill_no="2026-02")
        await facts.bill(bill_no="2026-03")
        await walk(store, debit(), *ACCEPTED, Event.SUBMIT)
        await walk(store, debit(bill_no="2026-02"), *ACCEPTED, bank_payment_id="PM2")
        await walk(store, debit(bill_no="2026-03"), Event.RECORD)
        later = AT + 4 * MINUTE
        found = await names(store.debits_to_reread(unchanged_since=later, limit=9))
        assert found == ["ACC-1/2026-02", "ACC-1/2026-01"]
        found = await names(store.debits_to_reread(unchanged_since=AT + 3 * MINUTE, limit=9))
        assert found == ["ACC-1/2026-02"]


class TestWhatIsRead:
    """The guards are only as good as what they are told."""

    async def test_of_a_month_counts_the_other_bills(self, facts: Facts, store: Store) -> None:
        """The cap of a month holds for all bills of the account together."""
        await home(facts)
        for number, charge_on in ((2, date(2026, 2, 1)), (3, date(2026, 3, 1))):
            await facts.bill(bill_no=f"2026-0{number}")
            await walk(store, debit(bill_no=f"2026-0{number}", charge_on=charge_on))
        await walk(store, debit())
        await home(facts, "ACC-2")
        thought_of = [
            debit(),
            debit(bill_no="2026-03", charge_on=date(2026, 2, 28)),
            debit(charge_on=date(2026, 3, 31)),
            debit(charge_on=date(2026, 1, 31)),
            debit(account_id="ACC-2"),
        ]
        async with store.begin() as desk:
            found = await desk.facts(thought_of)
        assert [one.month_minor for one in found] == [74_297, 148_594, 74_297, 0, 0]

    async def test_of_a_month_leaves_out_what_takes_nothing(
        self, facts: Facts, store: Store
    ) -> None:
        """A debit that is held or fell through uses up nothing."""
        await home(facts)
        for number, event in ((2, Event.HOLD), (3, Event.CANCEL)):
            await facts.bill(bill_no=f"2026-0{number}")
            one = debit(bill_no=f"2026-0{number}", state=State.PLANNED)
            await walk(store, one, event, reason="over_cap")
        async with store.begin() as desk:
            assert (await desk.facts([debit()]))[0].month_minor == 0

    async def test_of_a_month_counts_what_the_bank_asks_for_again_by_itself(
        self, facts: Facts, store: Store
    ) -> None:
        """From its month on, for nobody knows in which one the bank takes it."""
        await home(facts)
        for number, reason in ((2, "bank_retries"), (3, "insufficient_funds")):
            await facts.bill(bill_no=f"2026-0{number}")
            await walk(
                store,
                debit(bill_no=f"2026-0{number}"),
                *ACCEPTED,
                Event.FAIL,
                reason=reason,
                bank_payment_id=f"PM{number}",
            )
        months = [date(2026, 1, 31), date(2026, 2, 1), date(2026, 3, 31)]
        async with store.begin() as desk:
            found = await desk.facts([debit(charge_on=day) for day in months])
        assert [one.month_minor for one in found] == [0, 74_297, 74_297]

    async def test_of_another_attempt_is_the_one_alive(self, facts: Facts, store: Store) -> None:
        """A contradiction must find whoever may take money for the same bill."""
        await home(facts)
        one = await walk(store, debit(), *ACCEPTED, Event.FAIL, reason="refer_to_payer")
        two = await walk(store, debit(attempt=2))
        async with store.begin() as desk:
            assert await desk.other_alive(one.debit_id) == two
            assert await desk.other_alive(two.debit_id) is None

    async def test_of_a_notice_is_what_was_told(self, facts: Facts, store: Store) -> None:
        """An announcement that changes is a new one, and the last counts."""
        await home(facts)
        one = await walk(store, debit())
        told = Notice(amount_minor=74_297, currency="KZT", charge_on=CHARGE, noticed_at=AT)
        async with store.begin() as desk:
            assert (await desk.facts([one]))[0].notice is None
            await desk.add_notice(one.debit_id, told)
            assert (await desk.facts([one]))[0].notice == told
            later = replace(told, amount_minor=50, noticed_at=AT + MINUTE)
            await desk.add_notice(one.debit_id, later)
            assert (await desk.facts([one, replace(one, attempt=2)]))[0].notice == later
            assert (await desk.facts([replace(one, attempt=2)]))[0].notice is None

    async def test_of_a_payment_is_its_debit(self, facts: Facts, store: Store) -> None:
        """News is for the debit whose payment it is about."""
        await home(facts)
        one = await walk(store, debit(), *ACCEPTED)
        assert await store.debit_by_payment("PM-ACC-1-1") == one
        assert await store.debit_by_payment("PM-9") is None

    async def test_of_the_events_is_remembered(self, facts: Facts, store: Store) -> None:
        """The cursor goes where it is put, and is nowhere before."""
        assert facts is not None
        assert await store.bank_cursor() is None
        await store.move_bank_cursor("EV1")
        await store.move_bank_cursor("EV2")
        assert await store.bank_cursor() == "EV2"


class TestMandates:
    """One usable mandate for an account, found by every name it has."""

    async def test_are_one_for_an_account(self, facts: Facts, store: Store) -> None:
        """Two mandates would be two debits."""
        await facts.account()
        async with store.begin() as desk:
            assert await desk.usable_mandate("ACC-1") is None
            assert await desk.add_mandate(mandate())
            assert not await desk.add_mandate(mandate(mandate_id="M-2"))
            assert await desk.usable_mandate("ACC-1") == mandate()
            over = mandate(state=MandateState.CANCELLED)
            await desk.save_mandate(over)
            assert await desk.add_mandate(mandate(mandate_id="M-2"))
        assert await store.mandate("ACC-1", "M-1") == over
        assert await store.mandate("ACC-1", "M-9") is None

    async def test_are_found_by_every_name(self, facts: Facts, store: Store) -> None:
        """The bank and the returning resident name it each in their way."""
        await facts.account()
        named = mandate(
            state=MandateState.ACTIVE,
            bank_request_id="BRQ1",
            bank_flow_id="BRF1",
            authorisation_url="https://bank.test/flow/1",
            bank_mandate_id="MD1",
            account_number_ending="0100",
            return_digest=bytes(range(32)),
        )
        async with store.begin() as desk:
            await desk.add_mandate(mandate())
            await desk.save_mandate(named)
            assert await desk.mandate("ACC-1", "M-1") == named
        assert await store.mandate_by_request("BRQ1") == named
        assert await store.mandate_by_bank_id("MD1") == named
        assert await store.mandate_by_return(bytes(range(32))) == named
        assert await store.mandate_by_return(bytes(32)) is None
        assert await store.account_currency("ACC-1") == "KZT"
        assert await store.account_currency("ACC-9") is None

    async def test_that_are_active_have_their_name_at_the_bank(
        self, facts: Facts, store: Store
    ) -> None:
        """A debit cannot be ordered under a mandate without a name."""
        await facts.account()
        async with store.begin() as desk:
            await desk.add_mandate(mandate())
        with pytest.raises(asyncpg.CheckViolationError):
            async with store.begin() as desk:
                await desk.save_mandate(mandate(state=MandateState.ACTIVE))
