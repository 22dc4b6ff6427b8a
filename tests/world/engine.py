"""A very small database in memory with the promises of PostgreSQL that the service leans on.

Read committed: each statement sees what is committed when it runs, and its own transaction's
writes. Row locks are kept until the end; who waits is woken in the order of asking, and reads the
row again. A circle of waiting is a deadlock and raises. Unique keys also wait for whoever is about
to take or to free them. A commit is one step, all or nothing; its undo log lets a failover or an
old backup take commits back. Nothing here knows what the rows mean.
"""

import asyncio
import itertools
import random
import types
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

from tests.world.loop import PROCESS, Process

Key = tuple[Any, ...]
Row = Any
Unique = Callable[[Row], Key | None]
Check = Callable[[Row], bool]
_NONE: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Its unique keys beside the primary one, checks, and foreign keys: (table, key of a row)."""

    uniques: dict[str, Unique] = field(default_factory=dict)
    checks: dict[str, Check] = field(default_factory=dict)
    parents: tuple[tuple[str, Callable[[Row], Key]], ...] = ()


class Database:
    """Committed rows, locks, and what can befall a database."""

    def __init__(self, tables: dict[str, Table], seed: object = 0) -> None:
        self.tables = tables
        self.rows: dict[str, dict[Key, Row]] = {name: {} for name in tables}
        self.index: dict[str, dict[str, dict[Key, Key]]] = {
            name: {unique: {} for unique in table.uniques} for name, table in tables.items()
        }
        self.owners: dict[Key, Transaction] = {}
        self.waiters: dict[Key, deque[tuple[Transaction, asyncio.Future[None]]]] = {}
        self.undo: list[tuple[datetime, list[tuple[str, Key, Row]]]] = []
        self.rng = random.Random(f"database {seed}")  # noqa: S311 - chance, not secrecy
        self.rates: dict[str, float] = {}
        self.struck: Counter[str] = Counter()
        self.sessions: set[Transaction] = set()
        # Like a sequence's, numbers that are taken and not used are gone.
        self.numbers = itertools.count(1)
        # Tables whose columns have changed, and the processes that have noticed.
        self.altered: set[str] = set()
        self.noticed: set[Process] = set()
        # How a release reads and writes a row of such a table: the columns that it knows.
        self.read: Callable[[Row], Row] = lambda row: row
        self.written: Callable[[Row | None, Row], Row] = lambda _, row: row
        self.commits = 0
        self.now: Callable[[], datetime] = lambda: datetime.max.replace(tzinfo=UTC)
        self.note: Callable[..., None] = lambda *_: None
        self.before_commit: Callable[[Transaction], None] | None = None
        self.on_commit: Callable[[Process | None, list[tuple[str, Key, Row]]], None] | None = None

    def strikes(self, name: str) -> bool:
        """Draw whether a fault strikes now."""
        rate = self.rates.get(name, 0.0) if self.rates else 0.0
        if not rate or self.rng.random() >= rate:
            return False
        self.struck[name] += 1
        self.note("fault", name)
        return True

    def alter(self, table: str) -> None:
        """Change the columns of a table; prepared statements of each process fail once."""
        self.altered.add(table)
        self.noticed.clear()
        self.note("altered", table)

    def apply(self, table: str, key: Key, row: Row) -> Row:
        """Put a committed row in its place, or take it away (``_NONE``); return the one before."""
        rows = self.rows[table]
        before = rows.get(key, _NONE)
        if row is _NONE:
            del rows[key]
        else:
            rows[key] = row
        for name, unique in self.tables[table].uniques.items():
            index = self.index[table][name]
            old = None if before is _NONE else unique(before)
            new = None if row is _NONE else unique(row)
            if old != new:
                if old is not None and index.get(old) == key:
                    del index[old]
                if new is not None:
                    index[new] = key
        return before

    def go_back_to(self, instant: datetime) -> int:
        """Take back every commit after an instant, and cut everybody off; return how many."""
        self.crash()
        taken = 0
        while self.undo and self.undo[-1][0] > instant:
            for table, key, before in reversed(self.undo.pop()[1]):
                self.apply(table, key, before)
            taken += 1
        self.note("database back", taken)
        return taken

    def crash(self) -> None:
        """Cut every session off; open transactions are undone."""
        for session in list(self.sessions):
            session.let_go()

    def circle(self, asking: "Transaction", key: Key) -> bool:
        """Tell whether waiting for a key would close a circle."""
        seen, at = set(), self.owners.get(key)
        while at is not None and at not in seen:
            if at is asking:
                return True
            seen.add(at)
            at = None if at.waits_for is None else self.owners.get(at.waits_for)
        return False

    def free(self, key: Key, owner: "Transaction") -> None:
        """Hand a lock to whoever waits longest, if anybody does."""
        if self.owners.get(key) is not owner:
            return
        del self.owners[key]
        queue = self.waiters.get(key)
        while queue:
            transaction, future = queue.popleft()
            if future.done() or not transaction.open:
                continue
            self.owners[key] = transaction
            transaction.locks.add(key)
            transaction.waits_for = None
            future.set_result(None)
            return
        self.waiters.pop(key, None)


@types.coroutine
def others_first() -> Generator[None, None, None]:
    """Let whoever is ready be next, as ``asyncio.sleep(0)`` does with more words."""
    yield


class Transaction:
    """One session with one transaction in it."""

    def __init__(self, database: Database) -> None:
        self.db = database
        self.open = True
        self.locks: set[Key] = set()
        self.waits_for: Key | None = None
        self._future: asyncio.Future[None] | None = None
        self.writes: dict[tuple[str, Key], Row] = {}
        self.process: Process | None = PROCESS.get()
        database.sessions.add(self)
        if self.process is not None:
            self.process.holds[id(self)] = self

    def let_go(self) -> None:
        """Lose the session: undone at the server, and an error at the next statement."""
        self.open = False
        self.writes.clear()
        if self._future is not None and not self._future.done():
            self._future.set_exception(asyncpg.ConnectionDoesNotExistError("connection was closed"))
        self._free()

    def _free(self) -> None:
        self.db.sessions.discard(self)
        if self.process is not None:
            self.process.holds.pop(id(self), None)
        if self.locks:
            for key in sorted(self.locks, key=repr):
                self.db.free(key, self)
            self.locks.clear()

    async def statement(self) -> None:
        """Go to the server: others may be faster, and the connection may break."""
        await others_first()
        if self.process is not None and not self.process.alive:
            await self._halt()
        if self.open and self.db.rates:
            if self.db.strikes("session_lost"):
                self.let_go()
            elif self.db.strikes("serialization"):
                self.let_go()
                raise asyncpg.SerializationError("could not serialize access")
            elif self.db.strikes("disk_full"):
                self.let_go()
                raise asyncpg.DiskFullError("could not extend file: no space left on device")
        if not self.open:
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle")
        if self.db.altered and self.process is not None and self.process not in self.db.noticed:
            self.db.noticed.add(self.process)
            self.db.struck["cached_plan"] += 1
            self.let_go()
            raise asyncpg.InvalidCachedStatementError("cached statement plan is invalid")

    async def _halt(self) -> None:
        """Go no further in a process that was killed in the middle of a step."""
        if self.process is not None and not self.process.alive:
            await asyncio.get_running_loop().create_future()

    def get(self, table: str, key: Key) -> Row | None:
        """Return a row as this transaction sees it."""
        row = self.writes.get((table, key), _NONE) if self.writes else _NONE
        found = self.db.rows[table].get(key) if row is _NONE else row
        return found if found is None or table not in self.db.altered else self.db.read(found)

    def scan(self, table: str) -> Iterator[Row]:
        """Return the rows of a table as this transaction sees them."""
        # In the order of writing, for a set would have one of its own in each process.
        written = {key: row for (name, key), row in self.writes.items() if name == table}
        rows = self._scan(table, written) if written else iter(self.db.rows[table].values())
        return map(self.db.read, rows) if table in self.db.altered else rows

    def _scan(self, table: str, written: dict[Key, Row]) -> Iterator[Row]:
        committed = self.db.rows[table]
        for key, row in committed.items():
            yield written.get(key, row)
        for key, row in written.items():
            if key not in committed:
                yield row

    def try_lock(self, *key: Any) -> bool:
        """Lock a row unless somebody else has it (SKIP LOCKED)."""
        owner = self.db.owners.get(key)
        if owner is not None:
            return owner is self
        self.db.owners[key] = self
        self.locks.add(key)
        return True

    async def lock(self, *key: Any) -> None:
        """Lock a row, waiting for whoever has it.

        Raises:
            DeadlockDetectedError: he, in the end, waits for us.
        """
        if self.try_lock(*key):
            return
        if self.db.circle(self, key):
            self.db.struck["deadlock"] += 1
            self.let_go()
            raise asyncpg.DeadlockDetectedError("deadlock detected")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.db.waiters.setdefault(key, deque()).append((self, future))
        self.waits_for, self._future = key, future
        try:
            await future
        finally:
            self.waits_for = self._future = None

    async def insert(self, table: str, key: Key, row: Row) -> bool:
        """Write a new row; False if a unique key is taken (ON CONFLICT DO NOTHING)."""
        self._check(table, row)
        await self.lock(table, key)
        if self.get(table, key) is not None:
            return False
        if not await self._free_for(table, key, row):
            return False
        self._write(table, key, row)
        return True

    async def add(self, table: str, key: Key, row: Row) -> None:
        """Write a new row.

        Raises:
            UniqueViolationError: there is one with one of its keys.
        """
        if not await self.insert(table, key, row):
            self.let_go()
            raise asyncpg.UniqueViolationError(f"{table} {key}")

    async def update(self, table: str, key: Key, row: Row) -> None:
        """Write a row back.

        Raises:
            UniqueViolationError: another row has one of its keys.
        """
        self._check(table, row)
        await self.lock(table, key)
        if not await self._free_for(table, key, row):
            self.let_go()
            raise asyncpg.UniqueViolationError(f"{table} {key}")
        self._write(table, key, row)

    def _check(self, table: str, row: Row) -> None:
        for name, check in self.db.tables[table].checks.items():
            if not check(row):
                self.let_go()
                raise asyncpg.CheckViolationError(f"{table} violates {name}: {row}")

    def _write(self, table: str, key: Key, row: Row) -> None:
        for parent, key_of in self.db.tables[table].parents:
            if self.get(parent, key_of(row)) is None:
                self.let_go()
                raise asyncpg.ForeignKeyViolationError(f"{table} {key} has no {parent}")
        if table in self.db.altered:
            row = self.db.written(self.writes.get((table, key), self.db.rows[table].get(key)), row)
        self.writes[table, key] = row

    async def _free_for(self, table: str, key: Key, row: Row) -> bool:
        before = self.get(table, key)
        for name, unique in self.db.tables[table].uniques.items():
            old = None if before is None else unique(before)
            new = unique(row)
            if old == new:
                continue
            for one in (old, new):
                if one is not None:
                    await self.lock("unique", table, name, one)
            if new is not None and self._taken(table, name, unique, new, key):
                return False
        return True

    def _taken(self, table: str, name: str, unique: Unique, wanted: Key, key: Key) -> bool:
        holder = self.db.index[table][name].get(wanted)
        if holder is not None and holder != key and (table, holder) not in self.writes:
            return True
        return any(
            where == table and other != key and unique(row) == wanted
            for (where, other), row in self.writes.items()
        )

    async def commit(self) -> None:
        """Make everything of it last, at once."""
        await self.statement()
        db = self.db
        undo: list[tuple[str, Key, Row]] = []
        if self.writes:
            if db.before_commit is not None:
                db.before_commit(self)
                await self._halt()
            if db.strikes("commit_refused"):
                self.let_go()
                raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle")
            undo = [
                (table, key, db.apply(table, key, row)) for (table, key), row in self.writes.items()
            ]
            db.undo.append((db.now(), undo))
            db.commits += 1
            db.note("commit", *(f"{table}{key}" for table, key in self.writes))
        self.writes = {}
        self.open = False
        self._free()
        if undo and db.on_commit is not None:
            db.on_commit(self.process, undo)
            await self._halt()
        if undo and db.strikes("commit_unheard"):
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle")
        await others_first()

    def rollback(self) -> None:
        """Undo everything of it."""
        if self.open:
            self.let_go()


class Book(ABC):
    """Lists that a store gives, each read in one statement."""

    @abstractmethod
    def _read(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction that only reads."""
