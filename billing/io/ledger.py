"""The ledger in PostgreSQL: balances for people."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import asyncpg

import sql
from billing.io.accounts import AccountUnknownError
from billing.io.refund_rows import transfer_of
from billing.period import local_day, midnight
from billing.statement import HIS, Statement, movements
from billing.trial import BadSpanOfDaysError, TrialRow, days_to_look_at

_Q: Final = sql.queries("ledger")

# Ten years of a busy account; whoever has more asks for fewer days.
MOVEMENTS_MAX: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Balances and movements, each in one snapshot."""

    pool: asyncpg.Pool
    zone: str

    async def trial_balance(self, from_day: date, to_day: date, *, at: datetime) -> list[TrialRow]:
        """Return every account over some local days; ``to_day`` is the first day after.

        Raises:
            BadSpanOfDaysError: these cannot be looked at.
        """
        days_to_look_at(from_day, to_day, today=local_day(at, self.zone))
        rows = _Q.trial_balance(
            self.pool,
            start_at=midnight(from_day, self.zone),
            end_at=midnight(to_day, self.zone),
        )
        return [TrialRow(**dict(row)) async for row in rows]

    async def statement(
        self, account_id: str, from_day: date, to_day: date, *, at: datetime
    ) -> Statement:
        """Return what an account owed, what moved it and what it owes, over some local days.

        Raises:
            AccountUnknownError: there is no such account.
            BadSpanOfDaysError: these cannot be looked at, or hold too much for one answer.
        """
        days_to_look_at(from_day, to_day, today=local_day(at, self.zone))
        bounds = {
            "account_id": account_id,
            "his": sorted(HIS),
            "start_at": midnight(from_day, self.zone),
            "end_at": midnight(to_day, self.zone),
        }
        async with self.pool.acquire() as connection, _snapshot(connection):
            head = await _Q.account_of_statement(connection, **bounds)
            if head is None:
                raise AccountUnknownError
            found = _Q.statement_transfers(connection, **bounds, most=MOVEMENTS_MAX + 1)
            rows = [transfer_of(row) async for row in found]
        if len(rows) > MOVEMENTS_MAX:
            raise BadSpanOfDaysError("too much has moved in these days; ask for fewer")
        moved = movements(rows, opening_minor=head["opening_minor"])
        return Statement(
            currency=head["currency"],
            opening_minor=head["opening_minor"],
            movements=moved,
            closing_minor=moved[-1].owed_minor if moved else head["opening_minor"],
            under_way_minor=head["under_way_minor"],
        )


def _snapshot(connection: asyncpg.Connection) -> AbstractAsyncContextManager[object]:
    transaction: AbstractAsyncContextManager[object] = connection.transaction(
        isolation="repeatable_read", readonly=True
    )
    return transaction
