"""The final bill of an account that has ended: issued at once, or held with the reason."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import asyncpg

import sql
from billing.bill import Bill, HoldReason, bill_no
from billing.io.accounts import AccountUnknownError
from billing.io.rows import closing_of
from billing.io.store import BillingStore
from billing.period import Period
from billing.reconcile import Run

_Q: Final = sql.queries("moves")
_ACCOUNTS: Final = sql.queries("accounts")


class AccountOpenError(Exception):
    """Nobody has moved out of the account yet."""


class FinalState(StrEnum):
    """What became of a final bill."""

    ISSUED = "issued"
    ISSUED_BEFORE = "issued_before"
    HELD = "held"
    NOTHING_TO_BILL = "nothing_to_bill"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalBill:
    """A final bill, or why there is none: a hold's reason and the meter to look at."""

    bill_no: str
    state: FinalState
    bill: Bill | None = None
    reason: HoldReason | None = None
    meter_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalBills:
    """Bills accounts that have ended; the month need not be over."""

    pool: asyncpg.Pool
    store: BillingStore
    zone: str

    async def issue(self, account_id: str, *, at: datetime) -> FinalBill:
        """Bill the month in which an account ended; asked again it only says what there is.

        Raises:
            AccountUnknownError: no account has this id.
            AccountOpenError: it has not ended.
        """
        async with self.pool.acquire() as conn:
            if await _ACCOUNTS.find_account(conn, account_id=account_id) is None:
                raise AccountUnknownError
            row = await _Q.find_closing(conn, account_id=account_id)
        if row is None:
            raise AccountOpenError("nobody has moved out of the account")
        last_day = closing_of(dict(row)).last_day
        period = Period.month(last_day.year, last_day.month)
        number = bill_no(period, 1)
        before = await self.store.bill(account_id, number)
        if before is not None:
            return FinalBill(bill_no=number, state=FinalState.ISSUED_BEFORE, bill=before)
        run = Run(period=period, zone=self.zone, at=at, chunk=1)
        await self.store.issue_to(run, account_id)
        made = await self.store.bill(account_id, number)
        if made is not None:
            return FinalBill(bill_no=number, state=FinalState.ISSUED, bill=made)
        async with self.pool.acquire() as conn:
            hold = await _Q.hold_of(conn, account_id=account_id, period_start=period.start)
        if hold is None:
            return FinalBill(bill_no=number, state=FinalState.NOTHING_TO_BILL)
        return FinalBill(
            bill_no=number,
            state=FinalState.HELD,
            reason=HoldReason(hold["reason"]),
            meter_id=hold["meter_id"],
        )
