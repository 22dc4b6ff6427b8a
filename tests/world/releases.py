"""Two releases of the service on one database, and a column that comes while both are at work.

Two releases cannot be imported into one process. What differs between them is put in for each
simulated process by its release instead: how a new order's body is written, and whether a row's
newest column is known. What an older release does not know it neither reads nor writes, as SQL that
names its columns does (tests/contract/test_releases.py holds PostgreSQL to that).
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Final

import billing.order
from billing.debit import Debit
from billing.order import frozen_body
from tests.world.engine import Database, Key
from tests.world.loop import PROCESS, Process

DEFAULT: Final = "no note"
# A transaction takes some steps at most; nobody holds a row for so many waits.
WAITS_MAX: Final = 1_000_000
_OLD_COLUMNS: Final = tuple(one.name for one in fields(Debit))


@dataclass(frozen=True, slots=True, kw_only=True)
class WiderDebit(Debit):
    """A debit as the newer release has it: one column more, with a default."""

    note: str = DEFAULT


def _columns(row: Debit) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _OLD_COLUMNS}


def older_body(debit: Debit, bank_mandate_id: str) -> bytes:
    """Return the order as an older release wrote it: other words, other order, same meaning."""
    order = json.loads(frozen_body(debit, bank_mandate_id))["payments"]
    order["description"] = f"Bill {debit.bill_no}"
    return json.dumps({"payments": dict(reversed(order.items()))}).encode()


@dataclass(slots=True)
class Releases:
    """Which process runs which release; by itself everybody runs this one."""

    db: Database
    older: set[str] = field(default_factory=set)
    struck: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    undo: list[Callable[[], None]] = field(default_factory=list)

    def is_older(self) -> bool:
        """Tell whether the process at work runs the older release."""
        process = PROCESS.get()
        return process is not None and process.name in self.older

    def two_bodies(self) -> None:
        """Let each process write the body of a new order as its release does."""
        kept = billing.order.frozen_body

        def written(debit: Debit, bank_mandate_id: str) -> bytes:
            older = self.is_older()
            self.struck["older_body" if older else "newer_body"] += 1
            return (older_body if older else frozen_body)(debit, bank_mandate_id)

        billing.order.frozen_body = written
        self.undo.append(lambda: setattr(billing.order, "frozen_body", kept))

    def watch(self, process: Process | None, undo: list[tuple[str, Key, Any]]) -> None:
        """See that no release loses or changes a column that it does not know."""
        for table, key, before in undo:
            if table != "debit" or not isinstance(before, WiderDebit):
                continue
            row = self.db.rows[table].get(key)
            older = process is not None and process.name in self.older
            note = getattr(row, "note", None)
            if note is None or (older and note != before.note):
                self.wrong.append(f"I11 {key} had the note {before.note!r} and has {note!r}")

    def forget(self) -> None:
        """Be one release again."""
        while self.undo:
            self.undo.pop()()

    async def migrate(self) -> None:
        """Add the column, as soon as nobody holds a row of the table; all rows get its default."""
        for _ in range(WAITS_MAX):
            if not any(key[0] == "debit" for key in self.db.owners):
                break
            await asyncio.sleep(0.01)
        for key, row in list(self.db.rows["debit"].items()):
            self.db.apply("debit", key, WiderDebit(**_columns(row)))
        self.db.read, self.db.written = self.read, self.written
        self.db.alter("debit")
        self.struck["migrated"] += 1

    # -- rows as a release reads and writes them

    def read(self, row: Debit) -> Debit:
        """Return a row as the release at work sees it."""
        narrow = isinstance(row, WiderDebit) and self.is_older()
        return Debit(**_columns(row)) if narrow else row

    def written(self, now: Debit | None, after: Debit) -> Debit:
        """Return the row that stands after a release has written the columns that it knows."""
        note = now.note if isinstance(now, WiderDebit) else DEFAULT
        if not self.is_older():
            note = f"seen in {after.state}"
        self.struck["kept_note"] += self.is_older() and note != DEFAULT
        return WiderDebit(**_columns(after), note=note)
