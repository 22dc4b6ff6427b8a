"""Breaks and freezes in memory, and what operators say about them; see billing/io/breaks.py."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from billing.break_kinds import ADVICE
from billing.breaks import Break
from billing.io.breaks import BreakClosedError, BreakUnknownError, KeptBreak, NotFrozenError
from tests.world.engine import Database, Key, Table, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeRow:
    """One row of mandate_freeze."""

    account_id: str
    mandate_id: str
    because: str
    frozen_at: datetime
    lifted_by: str | None = None
    lifted_for: str | None = None
    lifted_at: datetime | None = None


def _open(row: KeptBreak) -> Key | None:
    return (row.kind, row.subject) if row.closed_at is None else None


def break_tables() -> dict[str, Table]:
    """Return the tables of breaks and freezes, with the constraints they can run into."""
    by_mandate = ("mandate", lambda row: (row.account_id, row.mandate_id))
    return {
        "recon_break": Table(
            uniques={"recon_break_open": _open},
            checks={
                "closed_for_a_reason": lambda row: (row.closed_at is None) == (row.because is None),
                "closed_by_when_closed": lambda row: (
                    row.closed_by is None or row.closed_at is not None
                ),
            },
        ),
        "mandate_freeze": Table(
            parents=(by_mandate,),
            uniques={
                "mandate_frozen": lambda row: (
                    (row.account_id, row.mandate_id) if row.lifted_at is None else None
                )
            },
        ),
    }


def frozen(tx: Transaction, account_id: str, mandate_id: str) -> bool:
    """Tell whether a mandate is frozen."""
    return any(
        (row.account_id, row.mandate_id) == (account_id, mandate_id) and row.lifted_at is None
        for row in tx.scan("mandate_freeze")
    )


def seen_by_person(tx: Transaction, account_id: str, mandate_id: str, because: str) -> bool:
    """Tell whether a person has lifted a freeze of a mandate for the same reason before."""
    name = (account_id, mandate_id, because)
    return any(
        (row.account_id, row.mandate_id, row.because) == name and row.lifted_at is not None
        for row in tx.scan("mandate_freeze")
    )


class Desk(Protocol):
    """One open transaction of the store beside."""

    @property
    def tx(self) -> Transaction:
        """The transaction itself."""


class Pool(Protocol):
    """The store whose connections are used."""

    @property
    def db(self) -> Database:
        """The database."""

    def begin(self) -> AbstractAsyncContextManager[Desk]:
        """Open one transaction."""


class MemoryBreakDesk:
    """What operators say about breaks and freezes."""

    def __init__(self, store: Pool) -> None:
        self._store = store

    async def breaks(self, *, still: bool, after: int, page: int) -> Sequence[KeptBreak]:
        """Return the next breaks that are still open, or that are closed, the oldest first."""
        async with self._store.begin() as desk:
            await desk.tx.statement()
            found = [
                row
                for row in desk.tx.scan("recon_break")
                if (row.closed_at is None) == still and row.break_id > after
            ]
        return sorted(found, key=lambda row: row.break_id)[:page]

    async def close(
        self, break_id: int, *, by: str, because: str, at: datetime
    ) -> tuple[KeptBreak, bool]:
        """Close a break because a person says so; False if he has said exactly this before.

        Raises:
            BreakUnknownError: there is no such break.
            BreakClosedError: it is closed already, by itself or with other words.
        """
        key = (break_id,)
        async with self._store.begin() as desk:
            tx = desk.tx
            await tx.statement()
            if tx.get("recon_break", key) is None:
                raise BreakUnknownError
            await tx.lock("recon_break", key)
            row: KeptBreak = tx.get("recon_break", key)
            if row.closed_at is None:
                closed = replace(row, closed_at=at, closed_by=by, because=because)
                await tx.update("recon_break", key, closed)
                return closed, True
        if (row.closed_by, row.because) != (by, because):
            raise BreakClosedError
        return row, False

    async def freezes(self, *, after: tuple[str, str] = ("", ""), page: int) -> Sequence[FreezeRow]:
        """Return the next mandates that are frozen."""
        async with self._store.begin() as desk:
            await desk.tx.statement()
            found = [
                row
                for row in desk.tx.scan("mandate_freeze")
                if row.lifted_at is None and (row.account_id, row.mandate_id) > after
            ]
        return sorted(found, key=lambda row: (row.account_id, row.mandate_id))[:page]

    async def lift(
        self, account_id: str, mandate_id: str, *, by: str, because: str, at: datetime
    ) -> None:
        """Let a frozen mandate be used again, because a person says so.

        Raises:
            NotFrozenError: it is not frozen.
        """
        async with self._store.begin() as desk:
            tx = desk.tx
            await tx.statement()
            for row in list(tx.scan("mandate_freeze")):
                if (row.account_id, row.mandate_id) != (account_id, mandate_id):
                    continue
                key = (account_id, mandate_id, row.frozen_at)
                await tx.lock("mandate_freeze", key)
                now = tx.get("mandate_freeze", key)
                if now.lifted_at is None:
                    lifted = replace(now, lifted_by=by, lifted_for=because, lifted_at=at)
                    await tx.update("mandate_freeze", key, lifted)
                    return
        raise NotFrozenError


def _same(tx: Transaction, one: Break) -> list[KeptBreak]:
    return [row for row in tx.scan("recon_break") if (row.kind, row.subject) == one.name]


async def see(tx: Transaction, one: Break, at: datetime) -> bool:
    """Keep one finding; tell whether a break was opened for it."""
    fresh: dict[str, Any] = {
        "detail": one.detail,
        "account_id": one.account_id,
        "amount_minor": one.amount_minor,
        "currency": one.currency,
    }
    for row in _same(tx, one):
        if row.closed_at is None:
            await tx.lock("recon_break", (row.break_id,))
    await tx.statement()
    same = _same(tx, one)
    for row in same:
        if row.closed_at is None:
            await tx.update("recon_break", (row.break_id,), replace(row, seen_at=at, **fresh))
            return False
    if any(row.closed_by is not None and row.detail == one.detail for row in same):
        return False
    opened = KeptBreak(
        break_id=next(tx.db.numbers),
        kind=one.kind,
        subject=one.subject,
        suggested_action=ADVICE[one.kind].action,
        owner=ADVICE[one.kind].owner,
        day=one.day,
        opened_at=at,
        seen_at=at,
        closed_at=None,
        closed_by=None,
        because=None,
        **fresh,
    )
    if not await tx.insert("recon_break", (opened.break_id,), opened):
        # Somebody else has opened it a moment ago.
        for row in _same(tx, one):
            if row.closed_at is None:
                await tx.update("recon_break", (row.break_id,), replace(row, seen_at=at))
    return True


async def agree(tx: Transaction, row: KeptBreak, at: datetime) -> bool:
    await tx.lock("recon_break", (row.break_id,))
    now: KeptBreak = tx.get("recon_break", (row.break_id,))
    if now.closed_at is not None:
        return False
    closed = replace(now, closed_at=at, because="the sides agree")
    await tx.update("recon_break", (row.break_id,), closed)
    return True
