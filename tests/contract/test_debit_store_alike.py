"""Both stores of debits go through the same random history and must say the same all along."""

import random
from collections.abc import Awaitable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Final

import asyncpg
import pytest

from billing.debit import NEXT, Debit, DebitId, State
from billing.io.debits import Debits
from billing.mandate import Caps, Enrolment
from billing.mandate import State as MandateState
from billing.notice import REPEATABLE_CANCELS, RETRYABLE_CAUSES
from tests.contract.test_debit_store import AT, Facts, Store, after, debit
from tests.world.engine import Database
from tests.world.facts import MemoryFacts, PostgresFacts
from tests.world.memory import tables
from tests.world.memory_store import MemoryDebits

STEPS: Final = 60
ACCOUNTS: Final = ("ACC-1", "ACC-2")
BILLS: Final = ("2026-01", "2026-02")
REASONS: Final = (
    *sorted(RETRYABLE_CAUSES)[:2],
    *sorted(REPEATABLE_CANCELS)[:3],
    "bank_account_closed",
    "cancelled_at_bank",
    None,
)


async def home(facts: Facts) -> None:
    for account_id in ACCOUNTS:
        await facts.account(account_id)
        await facts.mandate(account_id, bank_mandate_id=f"MD-{account_id}")
        for number, bill_no in enumerate(BILLS):
            await facts.bill(account_id, bill_no=bill_no, due_on=date(2026, 2, 20 + number))


async def born(store: Store, rng: random.Random, account_id: str, bill_no: str, at: Any) -> object:
    one = debit(
        account_id=account_id,
        bill_no=bill_no,
        attempt=rng.randint(1, 3),
        state=rng.choice((State.HELD, State.NOTICED)),
        amount_minor=rng.choice((74_297, 900_000)),
        charge_on=date(2026, 2, rng.randint(20, 28)),
        changed_at=at,
    )
    async with store.begin() as desk:
        return await desk.add_debit(one)


async def stepped(store: Store, rng: random.Random, account_id: str, bill_no: str, at: Any) -> Any:
    attempt = rng.randint(1, 3)
    async with store.begin() as desk:
        one = await desk.lock_debit(
            DebitId(account_id=account_id, bill_no=bill_no, attempt=attempt)
        )
        choice, reason, lease = rng.random(), rng.choice(REASONS), rng.randint(-3, 3)
        if one is None:
            return None
        events = sorted(event for state, event in NEXT if state is one.state)
        if not events:
            return None
        event = events[int(choice * len(events))]
        changes: dict[str, Any] = {"reason": reason, "lease_until": at + timedelta(minutes=lease)}
        try:
            following = after(one, event, at=at, **changes)
        except TypeError:
            following = after(one, event, at=at)
        await desk.save_debit(one, following)
        return following


async def willed(store: Store, rng: random.Random, account_id: str, _: str, at: Any) -> object:
    wish = rng.choice(tuple(Enrolment)[:2])
    state = rng.choice((MandateState.ACTIVE, MandateState.PENDING, MandateState.ACTIVE))
    most = rng.choice((74_297, 1_000_000))
    async with store.begin() as desk:
        found = await desk.lock_mandate(account_id, "M-1")
        assert found is not None
        now = replace(
            found,
            enrolment=wish,
            state=state,
            caps=Caps(payment_minor_max=most, month_minor_max=1_000_000),
            changed_at=at,
        )
        await desk.save_mandate(now)
        return now


OPERATIONS: Final = (born, stepped, stepped, stepped, stepped, willed)


async def outcome(what: Awaitable[object]) -> object:
    try:
        return await what
    except asyncpg.PostgresError as error:
        return type(error).__name__


def shown(rows: list[Any]) -> list[Any]:
    """Return debits without what only their order in a table decides."""
    return [row if isinstance(row, Debit) else str(row) for row in rows]


async def lists(store: Store, at: Any) -> list[Any]:
    unsent = []
    async with store.begin() as desk:
        for account_id in ACCOUNTS:
            found = await desk.unsent_debits(account_id, "M-1")
            unsent.append(sorted(found, key=lambda row: (row.bill_no, row.attempt)))
        unsent += [await desk.owed_minor(one, bill) for one in ACCOUNTS for bill in BILLS]
        unsent += [await desk.attempts(one, bill) for one in ACCOUNTS for bill in BILLS]
    return [
        unsent,
        shown(await store.bills_to_notice(today=date(2026, 2, 25), limit=9)),
        shown(await store.debits_to_tell(at=at, limit=9)),
        shown(await store.debits_to_record(charge_until=date(2026, 2, 25), limit=9)),
        shown(await store.payments_to_withdraw(limit=9)),
        shown(await store.debits_to_reread(unchanged_since=at, limit=9)),
    ]


class TestBothStores:
    """The one in memory stands for PostgreSQL in the simulation."""

    @pytest.mark.parametrize("seed", range(8))
    async def test_say_the_same_all_along(
        self, seed: int, owner: asyncpg.Connection, pool: asyncpg.Pool
    ) -> None:
        """A blind spot of the written suite shows up in some random history."""
        real, memory = PostgresFacts(owner), MemoryFacts(Database(tables()))
        stores: tuple[Store, Store] = (Debits(pool), MemoryDebits(memory.db))
        await home(real)
        await home(memory)
        rng = random.Random(f"alike {seed}")  # noqa: S311 - chance, not secrecy
        for number in range(STEPS):
            at = AT + timedelta(minutes=number)
            what, drawn = rng.choice(OPERATIONS), rng.random()
            account_id, bill_no = rng.choice(ACCOUNTS), rng.choice(BILLS)
            said = [
                await outcome(what(store, random.Random(drawn), account_id, bill_no, at))  # noqa: S311
                for store in stores
            ]
            assert said[0] == said[1], (number, what.__name__)
            assert await lists(stores[0], at) == await lists(stores[1], at), number
        assert await real.debit_rows() == await memory.debit_rows()
        assert await real.step_rows() == await memory.step_rows()
        assert await real.transfer_rows() == await memory.transfer_rows()
