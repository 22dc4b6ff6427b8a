"""Changes of bank accounts in PostgreSQL, and who hears of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import asyncpg

import sql
from billing.account_change import COOLING_OFF, AccountChange, Outcome, change_message
from billing.io.contacts import hearers
from billing.io.debit_rows import mandate_of
from billing.io.telling import TellDesk
from billing.mandate import Mandate

_Q: Final = sql.queries("account_changes")


class ChangeDesk(TellDesk):
    """One open transaction: what it says of changes of the bank account."""

    async def waiting_mandate(self, account_id: str) -> Mandate | None:
        """Lock the one mandate of an account that cools off."""
        row = await _Q.waiting_mandate(self._db, account_id=account_id)
        return None if row is None else mandate_of(row)

    async def linked_before(self, account_id: str) -> bool:
        """Say whether a bank account was ever linked, so that another one is a change."""
        return bool(await _Q.linked_before(self._db, account_id=account_id))

    async def begin_change(self, mandate: Mandate, *, at: datetime) -> None:
        """Let a new mandate cool off, and tell everybody who must hear of it."""
        change = AccountChange(
            account_id=mandate.account_id,
            mandate_id=mandate.mandate_id,
            begun_at=at,
            usable_at=at + COOLING_OFF,
        )
        await _Q.add_change(
            self._db,
            account_id=change.account_id,
            mandate_id=change.mandate_id,
            begun_at=change.begun_at,
            usable_at=change.usable_at,
        )
        await self._warn(change, at)

    async def open_change(self, account_id: str, mandate_id: str) -> AccountChange | None:
        """Lock the change that a mandate waits for; None if it waits for none."""
        row = await _Q.open_change(self._db, account_id=account_id, mandate_id=mandate_id)
        return None if row is None else change_of(row)

    async def pause_change(self, change: AccountChange, *, paused: bool) -> None:
        """Note whether debits rest when the new account has cooled off."""
        await _Q.pause_change(
            self._db, account_id=change.account_id, mandate_id=change.mandate_id, paused=paused
        )

    async def name_account(self, change: AccountChange, *, at: datetime) -> None:
        """Note when we heard which bank account a change is to; the first time counts."""
        await _Q.name_account(
            self._db, account_id=change.account_id, mandate_id=change.mandate_id, at=at
        )

    async def end_change(self, change: AccountChange, outcome: Outcome, *, at: datetime) -> None:
        """Note how a change ended, and tell everybody who must hear of it."""
        ended = replace(change, outcome=outcome, ended_at=at)
        await _Q.end_change(
            self._db,
            account_id=ended.account_id,
            mandate_id=ended.mandate_id,
            outcome=outcome.value,
            at=at,
        )
        await self._warn(ended, at)

    async def _warn(self, change: AccountChange, at: datetime) -> None:
        hear: list[int | None] = [*await hearers(self._db, change.account_id, at=at)]
        for revision in hear or [None]:
            await self.tell(change_message(change, to_revision=revision), at=at)


class ChangeBook:
    """Lists of changes."""

    _pool: asyncpg.Pool

    async def changes_due(self, *, at: datetime, limit: int) -> list[tuple[str, str]]:
        """Return account and new mandate of changes that have cooled off."""
        rows = _Q.changes_due(self._pool, at=at, named_until=at - COOLING_OFF, batch=limit)
        return [(row["account_id"], row["mandate_id"]) async for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeViews:
    """Changes as their resident sees them."""

    pool: asyncpg.Pool

    async def of(self, account_id: str) -> list[AccountChange]:
        """Return the changes of an account, newest first."""
        rows = _Q.list_changes(self.pool, account_id=account_id)
        return [change_of(row) async for row in rows]


def change_of(row: Mapping[str, Any]) -> AccountChange:
    """Return a change from its row."""
    outcome = row["outcome"]
    return AccountChange(**{**row, "outcome": None if outcome is None else Outcome(outcome)})
