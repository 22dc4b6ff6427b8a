"""Refunds as people see them: lists to read, never to work on."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

import sql
from billing.refund import RefundId, RefundState

_Q: Final = sql.queries("refunds")

# Above every bill number, so that a list begins with the newest.
NEWEST_REFUND: Final = RefundId(account_id="", bill_no="9999-99-999", attempt=99, refund_no=99)
FIRST_REFUND: Final = RefundId(account_id="", bill_no="", attempt=0, refund_no=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundStepView:
    """One step that a refund took."""

    from_state: str | None
    to_state: str
    reason: str | None
    taken_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundView:
    """A refund as people see it."""

    account_id: str
    bill_no: str
    attempt: int
    refund_no: int
    state: str
    reason: str | None
    amount_minor: int
    currency: str
    cause: str
    asked_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundViews:
    """The lists in PostgreSQL; works with the service's rights."""

    pool: asyncpg.Pool

    async def stories(
        self, account_id: str, *, before: RefundId, page: int
    ) -> list[tuple[RefundView, tuple[RefundStepView, ...]]]:
        """Return a page of an account's refunds with their steps, newest bill first."""
        async with self.pool.acquire() as conn:
            rows = _Q.list_account_refunds(
                conn,
                account_id=account_id,
                before_bill_no=before.bill_no,
                before_attempt=before.attempt,
                before_refund_no=before.refund_no,
                page=page,
            )
            refunds = [RefundView(**row) async for row in rows]
            steps: dict[tuple[str, int, int], list[RefundStepView]] = {}
            bill_nos = sorted({one.bill_no for one in refunds})
            async for row in _Q.list_refund_steps(conn, account_id=account_id, bill_nos=bill_nos):
                name = (row["bill_no"], row["attempt"], row["refund_no"])
                steps.setdefault(name, []).append(
                    RefundStepView(
                        from_state=row["from_state"],
                        to_state=row["to_state"],
                        reason=row["reason"],
                        taken_at=row["taken_at"],
                    )
                )
        return [
            (one, tuple(steps.get((one.bill_no, one.attempt, one.refund_no), ())))
            for one in refunds
        ]

    async def in_state(self, state: RefundState, *, after: RefundId, page: int) -> list[RefundView]:
        """Return a page of all refunds in one state, in order of account."""
        async with self.pool.acquire() as conn:
            rows = _Q.list_refunds_in_state(
                conn,
                state=state.value,
                after_account_id=after.account_id,
                after_bill_no=after.bill_no,
                after_attempt=after.attempt,
                after_refund_no=after.refund_no,
                page=page,
            )
            return [RefundView(**row) async for row in rows]
