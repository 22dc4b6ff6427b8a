"""What people say about paying late: base rates, moratoria, and disputes about bills."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import asyncpg
import structlog

import sql
from billing.io.penalties import read_book
from billing.io.records import BillUnknownError
from billing.io.vouchers import after_bills, locked
from billing.penalty import BaseRate, Moratorium, PenaltyBook
from billing.period import Calendar

_Q: Final = sql.queries("penalties")
_BILLS: Final = sql.queries("bills")

log: Final = structlog.get_logger()


class DisputeOpenError(Exception):
    """The bill is in dispute already, for another reason or from another day."""


class DisputeDayError(Exception):
    """A dispute begins today or before, after the one before it ended, and lasts a day at least."""


class NotDisputedError(Exception):
    """The bill is in no dispute, or this one ended otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeWord:
    """A dispute about a bill: from which day, why, who said so, and how it ended."""

    account_id: str
    bill_no: str
    from_day: date
    because: str
    said_by: str
    said_at: datetime
    to_day: date | None
    outcome: str | None
    ended_by: str | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PenaltyDesk:
    """Base rates, moratoria and disputes of a town; works with the service's rights."""

    pool: asyncpg.Pool
    calendar: Calendar

    async def book(self) -> PenaltyBook:
        """Return all that was ever entered about penalties."""
        async with self.pool.acquire() as conn:
            return await read_book(conn)

    async def enter_rate(
        self, valid_from: date, rate_bp: int, *, source: str, entered_by: str, at: datetime
    ) -> tuple[BaseRate, bool]:
        """Enter a base rate; False when exactly this is the last word on its day."""
        async with self.pool.acquire() as conn, conn.transaction():
            await _BILLS.lock_prices_for_change(conn)
            known = _last_rate(await read_book(conn), valid_from)
            if known is not None and (known.rate_bp, known.source) == (rate_bp, source):
                return known, False
            await _Q.add_base_rate(
                conn,
                valid_from=valid_from,
                rate_bp=rate_bp,
                source=source,
                entered_by=entered_by,
                entered_at=at,
            )
            made = _last_rate(await read_book(conn), valid_from)
        assert made is not None, "it was entered just now"
        log.info("base_rate.entered", valid_from=f"{valid_from}", rate_bp=rate_bp)
        return made, True

    async def enter_moratorium(
        self, valid_from: date, *, active: bool, source: str, entered_by: str, at: datetime
    ) -> tuple[Moratorium, bool]:
        """Enter that no penalty is charged from a day on, or again; False for no news."""
        async with self.pool.acquire() as conn, conn.transaction():
            await _BILLS.lock_prices_for_change(conn)
            known = _last_moratorium(await read_book(conn), valid_from)
            if known is not None and (known.active, known.source) == (active, source):
                return known, False
            await _Q.add_moratorium(
                conn,
                valid_from=valid_from,
                active=active,
                source=source,
                entered_by=entered_by,
                entered_at=at,
            )
            made = _last_moratorium(await read_book(conn), valid_from)
        assert made is not None, "it was entered just now"
        log.info("moratorium.entered", valid_from=f"{valid_from}", active=active)
        return made, True

    async def dispute(  # noqa: PLR0913 - which bill, since when, why, who and when
        self,
        account_id: str,
        bill_no: str,
        *,
        from_day: date | None,
        because: str,
        said_by: str,
        at: datetime,
    ) -> tuple[DisputeWord, bool]:
        """Say that a bill is in dispute, from today or an earlier day; False for no news.

        Raises:
            AccountUnknownError: no account has this id.
            BillUnknownError: the account has no such bill.
            DisputeOpenError: it is in dispute otherwise.
            DisputeDayError: the day lies in the future, or in the dispute before.
        """
        today = self.calendar.day_of(at)
        async with self.pool.acquire() as conn, conn.transaction():
            await locked(conn, account_id)
            if not await _Q.has_bill(conn, account_id=account_id, bill_no=bill_no):
                raise BillUnknownError
            known = await _last(conn, account_id, bill_no)
            if known is not None and known.to_day is None:
                if known.because == because and from_day in {None, known.from_day}:
                    return known, False
                raise DisputeOpenError(f"the bill is in dispute since {known.from_day}")
            begins = from_day or today
            if begins > today:
                raise DisputeDayError("a dispute does not begin in the future")
            if known is not None and known.to_day is not None and begins < known.to_day:
                raise DisputeDayError(f"the dispute before it ended on {known.to_day}")
            await _Q.add_dispute(
                conn,
                account_id=account_id,
                bill_no=bill_no,
                from_day=begins,
                because=because,
                said_by=said_by,
                said_at=await after_bills(conn, account_id, at),
            )
            made = await _last(conn, account_id, bill_no)
        assert made is not None, "it was written just now"
        log.info("bill.disputed", account_id=account_id, bill_no=bill_no)
        return made, True

    async def settle(
        self, account_id: str, bill_no: str, *, outcome: str, ended_by: str, at: datetime
    ) -> tuple[DisputeWord, bool]:
        """End a dispute today; the day counts no more, unless it is the first; False for no news.

        Raises:
            AccountUnknownError: no account has this id.
            NotDisputedError: the bill is in no dispute, or it ended otherwise.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            await locked(conn, account_id)
            known = await _last(conn, account_id, bill_no)
            if known is None or known.outcome not in {None, outcome}:
                raise NotDisputedError("the bill is in no dispute")
            if known.outcome is not None:
                return known, False
            await _Q.end_dispute(
                conn,
                account_id=account_id,
                bill_no=bill_no,
                from_day=known.from_day,
                to_day=max(self.calendar.day_of(at), self.calendar.next_day(known.from_day)),
                outcome=outcome,
                ended_by=ended_by,
                ended_at=await after_bills(conn, account_id, at),
            )
            made = await _last(conn, account_id, bill_no)
        assert made is not None, "it was written just now"
        log.info("bill.dispute_ended", account_id=account_id, bill_no=bill_no)
        return made, True


def _last_rate(book: PenaltyBook, valid_from: date) -> BaseRate | None:
    """Return the last word on a day; words stand in the order of their revisions."""
    own = [one for one in book.rates if one.valid_from == valid_from]
    return own[-1] if own else None


def _last_moratorium(book: PenaltyBook, valid_from: date) -> Moratorium | None:
    own = [one for one in book.moratoria if one.valid_from == valid_from]
    return own[-1] if own else None


async def _last(conn: asyncpg.Connection, account_id: str, bill_no: str) -> DisputeWord | None:
    row = await _Q.last_dispute(conn, account_id=account_id, bill_no=bill_no)
    return None if row is None else DisputeWord(**dict(row))
