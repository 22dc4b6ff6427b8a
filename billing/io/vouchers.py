"""Vouchers in PostgreSQL: what people enter and take back, and how the run spends it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import asyncpg
import structlog

import sql
from billing.io.accounts import AccountUnknownError
from billing.period import Calendar
from billing.voucher import Voucher, VoucherState, VoucherUse

_Q: Final = sql.queries("vouchers")
_ACCOUNTS: Final = sql.queries("accounts")

# The smallest step of the database's clock.
_TICK: Final = timedelta(microseconds=1)

log: Final = structlog.get_logger()


class VoucherUnknownError(Exception):
    """The account has no such voucher."""


class VoucherDiffersError(Exception):
    """This document was entered already, with other words."""


class VoucherUnusableError(Exception):
    """No bill could ever be paid with this voucher."""


class VoucherRevokedError(Exception):
    """The voucher was revoked already, for another reason."""


class VoucherSpentError(Exception):
    """Nothing of the voucher is left to take back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A voucher, what it paid bill by bill, and what it can still do."""

    voucher: Voucher
    uses: tuple[VoucherUse, ...]
    state: VoucherState

    @property
    def used_minor(self) -> int:
        """Return what bills took of it, in minor units."""
        return sum(use.amount_minor for use in self.uses)

    @property
    def rest_minor(self) -> int:
        """Return what waits for later bills; nothing, once it can pay none."""
        if self.state in {VoucherState.EXPIRED, VoucherState.REVOKED}:
            return 0
        return self.voucher.amount_minor - self.used_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVoucher:
    """What a document grants, in minor units, for bills issued on some local days."""

    source: str
    amount_minor: int
    currency: str
    valid_from: date
    valid_to: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouchers:
    """The vouchers of a town; works with the service's rights."""

    pool: asyncpg.Pool
    calendar: Calendar

    async def enter(
        self, account_id: str, new: NewVoucher, *, entered_by: str, at: datetime
    ) -> tuple[Grant, bool]:
        """Enter a voucher; False when exactly this document was entered before.

        Raises:
            AccountUnknownError: no account has this id.
            VoucherUnusableError: it has expired, or is in another currency than the account.
            VoucherDiffersError: the document was entered with other words.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            currency = await locked(conn, account_id)
            for known in await _vouchers(conn, account_id):
                if known.source == new.source:
                    if _granted(known) != new:
                        raise VoucherDiffersError("this document was entered with other words")
                    return await self._grant(conn, known, at), False
            if new.currency != currency:
                raise VoucherUnusableError(f"the account is billed in {currency}")
            if new.valid_to <= self.calendar.day_of(at):
                raise VoucherUnusableError(f"it expired on {new.valid_to}")
            voucher_no = await _Q.add_voucher(
                conn,
                account_id=account_id,
                source=new.source,
                amount_minor=new.amount_minor,
                currency=new.currency,
                valid_from=new.valid_from,
                valid_to=new.valid_to,
                entered_by=entered_by,
                entered_at=await after_bills(conn, account_id, at),
            )
            made = await self._grant(conn, await _voucher(conn, account_id, voucher_no), at)
        log.info("voucher.entered", account_id=account_id, voucher_no=voucher_no)
        return made, True

    async def revoke(
        self, account_id: str, voucher_no: int, *, because: str, revoked_by: str, at: datetime
    ) -> tuple[Grant, bool]:
        """Take back what is left of a voucher; False when that was done for this reason before.

        Raises:
            AccountUnknownError: no account has this id.
            VoucherUnknownError: the account has no such voucher.
            VoucherRevokedError: it was revoked for another reason.
            VoucherSpentError: nothing of it is left.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            await locked(conn, account_id)
            known = await _voucher(conn, account_id, voucher_no)
            if known.revoked_because == because:
                return await self._grant(conn, known, at), False
            if known.revoked_because is not None:
                raise VoucherRevokedError("the voucher was revoked for another reason")
            if (await self._grant(conn, known, at)).rest_minor == 0:
                raise VoucherSpentError("nothing of the voucher is left")
            await _Q.revoke_voucher(
                conn,
                account_id=account_id,
                voucher_no=voucher_no,
                because=because,
                revoked_by=revoked_by,
                revoked_at=await after_bills(conn, account_id, at),
            )
            made = await self._grant(conn, await _voucher(conn, account_id, voucher_no), at)
        log.info("voucher.revoked", account_id=account_id, voucher_no=voucher_no)
        return made, True

    async def grants(self, account_id: str, *, at: datetime) -> tuple[Grant, ...]:
        """Return the vouchers of an account with what they paid, as they were entered.

        Raises:
            AccountUnknownError: no account has this id.
        """
        async with self.pool.acquire() as conn:
            if await _ACCOUNTS.find_account(conn, account_id=account_id) is None:
                raise AccountUnknownError
            return tuple(
                [await self._grant(conn, one, at) for one in await _vouchers(conn, account_id)]
            )

    async def _grant(self, conn: asyncpg.Connection, voucher: Voucher, at: datetime) -> Grant:
        rows = _Q.voucher_uses(conn, account_id=voucher.account_id)
        spent = [VoucherUse(**dict(row)) async for row in rows]
        uses = tuple(use for use in spent if use.voucher_no == voucher.voucher_no)
        state = voucher.state(
            used_minor=sum(use.amount_minor for use in uses), day=self.calendar.day_of(at)
        )
        return Grant(voucher=voucher, uses=uses, state=state)


async def apply_vouchers(
    connection: asyncpg.Connection,
    account_ids: Sequence[str],
    *,
    bill_no: str,
    at: datetime,
    day: date,
) -> int:
    """Pay new bills of locked accounts with their vouchers, in the caller's transaction.

    Returns what was paid, in minor units. ``at`` and ``day`` are when the bills were issued.
    """
    paid_minor: int = await _Q.apply_vouchers(
        connection, account_ids=list(account_ids), bill_no=bill_no, at=at, day=day
    )
    return paid_minor


async def locked(conn: asyncpg.Connection, account_id: str) -> str:
    """Hold an account still against a run, and return its currency.

    Raises:
        AccountUnknownError: no account has this id.
    """
    currency: str | None = await _Q.lock_account(conn, account_id=account_id)
    if currency is None:
        raise AccountUnknownError
    return currency


async def after_bills(conn: asyncpg.Connection, account_id: str, at: datetime) -> datetime:
    """Return when a word becomes known: now, but after every bill that did not know it.

    A long run issues its bills as of the instant at which it began; one that is not through yet may
    have billed the account a moment ago, as of an instant that another clock calls later.
    """
    issued_at: datetime | None = await _Q.last_issued_at(conn, account_id=account_id)
    return at if issued_at is None else max(at, issued_at + _TICK)


async def _vouchers(conn: asyncpg.Connection, account_id: str) -> list[Voucher]:
    rows = _Q.list_vouchers(conn, account_id=account_id)
    return [Voucher(**dict(row)) async for row in rows]


async def _voucher(conn: asyncpg.Connection, account_id: str, voucher_no: int) -> Voucher:
    for voucher in await _vouchers(conn, account_id):
        if voucher.voucher_no == voucher_no:
            return voucher
    raise VoucherUnknownError


def _granted(voucher: Voucher) -> NewVoucher:
    return NewVoucher(
        source=voucher.source,
        amount_minor=voucher.amount_minor,
        currency=voucher.currency,
        valid_from=voucher.valid_from,
        valid_to=voucher.valid_to,
    )
