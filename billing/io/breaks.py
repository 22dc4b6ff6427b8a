"""Breaks and freezes as people work on them; with the service's rights."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import asyncpg
import structlog

import sql

_Q: Final = sql.queries("recon")

log: Final = structlog.get_logger()


class BreakUnknownError(Exception):
    """There is no such break."""


class BreakClosedError(Exception):
    """The break is closed already, by itself or with other words."""


class NotFrozenError(Exception):
    """The mandate is not frozen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptBreak:
    """One row of recon_break; without ``closed_by`` it was closed because the sides agree."""

    break_id: int
    kind: str
    subject: str
    account_id: str | None
    amount_minor: int | None
    currency: str | None
    detail: str
    suggested_action: str
    owner: str
    day: date
    opened_at: datetime
    seen_at: datetime
    closed_at: datetime | None
    closed_by: str | None
    because: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """A mandate under which nothing is asked for until a person lifts this."""

    account_id: str
    mandate_id: str
    because: str
    frozen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconDay:
    """A local day of the reconciliation; ``agreed_at`` says since when the three sides agree."""

    day: date
    statement_id: str | None
    statement_at: datetime | None
    read_at: datetime | None
    agreed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBreaks:
    """How many breaks of a kind are open, and since when the oldest is."""

    kind: str
    breaks: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakDesk:
    """What operators see of the reconciliation, and what they say about it."""

    pool: asyncpg.Pool

    async def breaks(self, *, still: bool, after: int, page: int) -> Sequence[KeptBreak]:
        """Return the next breaks that are still open, or that are closed, the oldest first."""
        rows = _Q.list_breaks(self.pool, open=still, after=after, page=page)
        return [KeptBreak(**dict(row)) async for row in rows]

    async def close(
        self, break_id: int, *, by: str, because: str, at: datetime
    ) -> tuple[KeptBreak, bool]:
        """Close a break because a person says so; False if he has said exactly this before.

        Raises:
            BreakUnknownError: there is no such break.
            BreakClosedError: it is closed already, by itself or with other words.
        """
        row = await _Q.close_break(self.pool, break_id=break_id, by=by, because=because, at=at)
        if row is not None:
            log.info("break.closed", kind=row["kind"], break_id=break_id)
            return KeptBreak(**dict(row)), True
        row = await _Q.break_by_id(self.pool, break_id=break_id)
        if row is None:
            raise BreakUnknownError
        if (row["closed_by"], row["because"]) != (by, because):
            raise BreakClosedError
        return KeptBreak(**dict(row)), False

    async def freezes(self, *, after: tuple[str, str] = ("", ""), page: int) -> Sequence[Freeze]:
        """Return the next mandates that are frozen."""
        rows = _Q.list_freezes(
            self.pool, after_account_id=after[0], after_mandate_id=after[1], page=page
        )
        return [Freeze(**dict(row)) async for row in rows]

    async def lift(
        self, account_id: str, mandate_id: str, *, by: str, because: str, at: datetime
    ) -> None:
        """Let a frozen mandate be used again, because a person says so.

        Raises:
            NotFrozenError: it is not frozen.
        """
        lifted = await _Q.lift_freeze(
            self.pool,
            account_id=account_id,
            mandate_id=mandate_id,
            by=by,
            because=because,
            at=at,
        )
        if lifted is not True:
            raise NotFrozenError
        log.info("mandate.lifted", account=account_id, mandate=mandate_id)

    async def days(self, *, before: date, page: int) -> Sequence[ReconDay]:
        """Return the days before one, the newest first."""
        rows = _Q.list_days(self.pool, before=before, page=page)
        return [ReconDay(**dict(row)) async for row in rows]

    async def reconciled_until(self) -> date | None:
        """Return the last day up to which, without a gap, all sides agree."""
        day: date | None = await _Q.reconciled_until(self.pool)
        return day

    async def figures(self) -> Sequence[OpenBreaks]:
        """Count the open breaks by kind."""
        return [OpenBreaks(**dict(row)) async for row in _Q.open_breaks_figures(self.pool)]
