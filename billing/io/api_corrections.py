"""Corrections over HTTP: what differs, why and by whom; credit, and what is to be sent back."""

import json
from dataclasses import dataclass
from typing import Final

import asyncpg

import sql
from billing.io.accounts import AccountUnknownError
from billing.io.wire import AccountPath, BillPath
from billing.io.wire_corrections import (
    BillCorrections,
    CorrectionListed,
    CorrectionOfBill,
    CorrectionPage,
    CorrectionQuery,
    CreditShown,
    RefundDue,
    RefundPage,
    RefundQuery,
)
from billing.period import Period
from metering.io.route import Call, Nothing, NotThereError, Policy, route

_Q: Final = sql.queries("corrections")


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionApi:
    """The routes of corrected bills and of money beyond what bills ask."""

    pool: asyncpg.Pool

    @route(
        "GET",
        "/v1/accounts/{account_id}/bills/{bill_no}/correction",
        policy=Policy.ACCOUNT,
        summary="Show what was corrected of a bill",
        tag="corrections",
    )
    async def show_correction(self, call: Call[BillPath, Nothing, Nothing]) -> BillCorrections:
        """Show every look at a bill of this month: which lines changed, by how much, why, who.

        A bill that was never looked at again has an empty list.
        """
        of = {"account_id": call.path.account_id, "bill_no": call.path.bill_no}
        async with self.pool.acquire() as connection:
            in_force = await _Q.bill_in_force(connection, **of)
            if in_force is None:
                raise NotThereError
            rows = [dict(row) async for row in _Q.looks_at_bill(connection, **of)]
        for row in rows:
            row |= {name: json.loads(row[name]) for name in ("causes", "difference")}
        return BillCorrections(
            bill_no=call.path.bill_no,
            in_force=in_force,
            corrections=[CorrectionOfBill(**row) for row in rows],
        )

    @route(
        "GET",
        "/v1/accounts/{account_id}/credit",
        policy=Policy.ACCOUNT,
        summary="Show the credit of an account",
        tag="corrections",
        raises=(AccountUnknownError,),
    )
    async def show_credit(self, call: Call[AccountPath, Nothing, Nothing]) -> CreditShown:
        """Show the money beyond all bills: what the next bill uses, what waits to be sent back."""
        async with self.pool.acquire() as connection:
            row = await _Q.credit_of_account(connection, account_id=call.path.account_id)
        if row is None:
            raise AccountUnknownError
        return CreditShown(**row)

    @route(
        "GET",
        "/v1/corrections",
        policy=Policy.OPERATOR,
        summary="List the corrections of a month",
        tag="corrections",
    )
    async def list_corrections(
        self, call: Call[Nothing, CorrectionQuery, Nothing]
    ) -> CorrectionPage:
        """List the last look at each bill of a month, in the order of the accounts."""
        period, query = Period.parse(call.query.period), call.query
        async with self.pool.acquire() as connection:
            found = _Q.list_corrections(
                connection,
                period_start=period.start,
                after=query.after or "",
                chunk=query.limit,
            )
            rows = [CorrectionListed(**row) async for row in found]
        return CorrectionPage(
            period_start=period.start,
            corrections=rows,
            next=rows[-1].account_id if len(rows) == query.limit else None,
        )

    @route(
        "GET",
        "/v1/refunds",
        policy=Policy.OPERATOR,
        summary="List what is to be sent back",
        tag="corrections",
    )
    async def list_refunds(self, call: Call[Nothing, RefundQuery, Nothing]) -> RefundPage:
        """List the credit that waits to be sent back to residents, in the order of the accounts."""
        async with self.pool.acquire() as connection:
            found = _Q.list_refunds(
                connection, after=call.query.after or "", chunk=call.query.limit
            )
            rows = [RefundDue(**row) async for row in found]
        return RefundPage(
            refunds=rows,
            next=rows[-1].account_id if len(rows) == call.query.limit else None,
        )
