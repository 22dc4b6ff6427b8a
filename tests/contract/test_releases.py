"""A table gets a column while the service is at work: what PostgreSQL and our SQL make of it.

The simulation lets two releases share one database (tests/world/releases.py); here the real one is
held to the same.
"""

from typing import Any

import asyncpg
import pytest

from app.run import is_away
from billing.debit import Debit, Event
from billing.io.debits import Debits
from tests.contract.test_debit_store import AT, MINUTE, after, debit, home, walk
from tests.world.facts import PostgresFacts

# asyncpg prepares a statement; each of the pool's connections has its own.
CONNECTIONS = 5


@pytest.fixture
async def one(owner: asyncpg.Connection, store: Debits) -> Debit:
    """Return a debit that is recorded, before the column comes."""
    facts = PostgresFacts(owner)
    await home(facts)
    await facts.bill(bill_no="2026-02")
    return await walk(store, debit(), Event.RECORD)


@pytest.fixture
def store(pool: asyncpg.Pool) -> Debits:
    return Debits(pool)


async def alter(owner: asyncpg.Connection) -> None:
    """Do what the migration of a later release does; our code does not know the column."""
    await owner.execute("ALTER TABLE debit ADD COLUMN note text NOT NULL DEFAULT 'no note'")


async def notes(owner: asyncpg.Connection) -> list[tuple[Any, ...]]:
    rows = await owner.fetch("SELECT bill_no, state, note FROM debit ORDER BY bill_no")
    return [tuple(row) for row in rows]


async def failures(store: Debits, one: Debit) -> list[Exception]:
    """Lock a debit until it works on some connection; return what went wrong before."""
    found = []
    for _ in range(CONNECTIONS + 1):
        try:
            async with store.begin() as desk:
                assert await desk.lock_debits([one.debit_id]) == [one]
        except asyncpg.PostgresError as error:
            found.append(error)
            continue
        return found
    raise AssertionError("it never works again")


class TestAColumnThatComes:
    """The release that is at work does not know it, and does no harm to it."""

    async def test_fails_a_prepared_statement_once(
        self, owner: asyncpg.Connection, store: Debits, one: Debit
    ) -> None:
        """A process that took this for its own mistake would end in the middle of a deploy."""
        assert await failures(store, one) == []
        await alter(owner)

        found = await failures(store, one)

        assert found
        assert all(is_away(error) for error in found)
        assert await failures(store, one) == []

    async def test_keeps_its_value_when_a_row_takes_a_step(
        self, owner: asyncpg.Connection, store: Debits, one: Debit
    ) -> None:
        """A newer release has written it; an older one must not write it away."""
        await alter(owner)
        await owner.execute("UPDATE debit SET note = 'of the newer release'")
        await failures(store, one)
        async with store.begin() as desk:
            await desk.save_debit(one, after(one, Event.SEND, at=AT + MINUTE))

        assert await notes(owner) == [("2026-01", "sending", "of the newer release")]

    async def test_has_its_default_in_new_rows(
        self, owner: asyncpg.Connection, store: Debits, one: Debit
    ) -> None:
        """The older release gives birth to debits as before."""
        await alter(owner)
        await failures(store, one)
        async with store.begin() as desk:
            assert await desk.add_debit(debit(bill_no="2026-02"))

        assert await notes(owner) == [
            ("2026-01", "recorded", "no note"),
            ("2026-02", "noticed", "no note"),
        ]
