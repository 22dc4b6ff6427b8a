"""Where refunds are kept, and what debits and refunds write into the ledger.

``RefundDesk`` and ``RefundBook`` are the part of ``billing/io/debits.py`` that speaks of refunds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Final

import asyncpg

import sql
from billing.debit import FINAL, TAKEN, Debit, DebitId
from billing.debit_moves import GOALS, Goal, goes_on, postings, prefix_of, recovery
from billing.io.debit_rows import debit_of
from billing.io.refund_rows import refund_of, transfer_of
from billing.io.store import insert_transfers
from billing.io.telling import TellDesk
from billing.ledger import Account, Transfer
from billing.refund import ENDS, Cause, Refund, RefundClaim, RefundId
from billing.refund_moves import refund_transfers
from billing.refund_order import Asked, GiveBack, NotGiven, Purse, Wanted, already, refusal

_Q: Final = sql.queries("refunds")
_DEBITS: Final = sql.queries("debits")


class StaleRefundError(Exception):
    """A refund was no longer in the state we saw it in, although it was locked: our bug."""


async def post_steps(connection: asyncpg.Connection, steps: Iterable[tuple[Debit, Debit]]) -> None:
    """Write what steps of debits move in the ledger, in the transaction of the steps."""
    moves: list[Transfer] = []
    for before, after in steps:
        if goes_on(before, after):
            # A debit that was never recorded has nothing in the ledger yet.
            fresh = GOALS[before.state] is Goal.NOTHING
            moves += postings(after, () if fresh else await _written(connection, after))
    if moves:
        await insert_transfers(connection, moves)


async def _written(connection: asyncpg.Connection, debit: Debit) -> list[Transfer]:
    rows = _Q.debit_transfers(connection, account_id=debit.account_id, prefix=prefix_of(debit))
    return [transfer_of(row) async for row in rows]


class RefundDesk(TellDesk):
    """One open transaction: what it says of refunds."""

    async def recover(self, debit: Debit, *, at: datetime) -> bool:
        """Let a locked debit's disputed money be owed again, because a payout was cut for it.

        Returns whether anything was; asking twice posts once.
        """
        moves = recovery(debit, await _written(self._db, debit), at=at)
        await insert_transfers(self._db, moves)
        return bool(moves)

    async def ask_refund(  # noqa: PLR0913 - each argument is a fact of its own
        self,
        debit_id: DebitId,
        amount_minor: int,
        cause: Cause,
        *,
        asked_by: str,
        at: datetime,
        because: str | None = None,
        counted_minor: int | None = None,
    ) -> Asked:
        """Ask for money of a debit to be given back; the same again while it is under way is one.

        Locks the debit, so refunds of one payment are asked for one after the other, and the
        account where the money may lie on it.
        """
        if cause in {Cause.OVERCHARGED, Cause.DOUBLE_DEBIT}:
            await _Q.lock_account(self._db, account_id=debit_id.account_id)
        row = await _DEBITS.lock_debit(self._db, **asdict(debit_id))
        if row is None:
            return NotGiven(reason="no_such_debit")
        debit = debit_of(row)
        refunds = await self.refunds_of(debit_id)
        again = already(refunds, cause, amount_minor)
        if again is not None and counted_minor is None:
            return again
        purse = await _Q.paid_too_much(
            self._db, account_id=debit_id.account_id, bill_no=debit_id.bill_no
        )
        wanted = Wanted(
            amount_minor=amount_minor,
            cause=cause,
            source=Purse(**dict(purse)).source(cause, amount_minor),
            asked_by=asked_by,
            because=because,
            counted_minor=counted_minor,
        )
        return await self._ask(debit, refunds, wanted, at=at)

    async def ask_stray(self, debit: Debit, *, asked_by: str, at: datetime) -> Asked:
        """Ask for all of a locked debit to go back that the bank took although we had given it up.

        It stands on no bill: another attempt takes, or has taken, what the bill asks.
        """
        refunds = await self.refunds_of(debit.debit_id)
        again = already(refunds, Cause.DOUBLE_DEBIT, debit.amount_minor)
        if again is not None:
            return again
        wanted = Wanted(
            amount_minor=debit.amount_minor,
            cause=Cause.DOUBLE_DEBIT,
            source=Account.BANK,
            asked_by=asked_by,
        )
        return await self._ask(debit, refunds, wanted, at=at)

    async def _ask(
        self, debit: Debit, refunds: Sequence[Refund], wanted: Wanted, *, at: datetime
    ) -> Asked:
        reason = refusal(debit, refunds, wanted)
        if reason is not None:
            return NotGiven(reason=reason)
        born = await _Q.add_refund(
            self._db,
            **asdict(debit.debit_id),
            **asdict(wanted),
            refund_no=len(refunds) + 1,
            left_out=sorted(ENDS),
            at=at,
        )
        refund = refund_of(born)
        await insert_transfers(self._db, refund_transfers(None, refund))
        await self.tell_refund(refund)
        return refund

    async def refunds_of(self, debit_id: DebitId) -> list[Refund]:
        """Return the refunds of a debit, the first one first."""
        return [refund_of(row) async for row in _Q.refunds_of(self._db, **asdict(debit_id))]

    async def lock_refund(self, refund_id: RefundId) -> Refund | None:
        """Lock one refund; None if there is none."""
        row = await _Q.lock_refund(self._db, **asdict(refund_id))
        return None if row is None else refund_of(row)

    async def claim_refund(self, *, at: datetime) -> RefundClaim | None:
        """Lock one refund that is ready to be sent, passing over those in other hands."""
        row = await _Q.claim_refund(self._db, at=at)
        if row is None:
            return None
        refund = refund_of(row)
        debit = await _Q.debit(self._db, **asdict(refund.refund_id.debit_id))
        return RefundClaim(refund=refund, debit=debit_of(debit))

    async def save_refund(self, before: Refund, after: Refund) -> None:
        """Write a locked refund back, one step on, with that step and what the ledger says of it.

        Raises:
            StaleRefundError: the refund is not in the state it was read in.
        """
        row = await _Q.move_refund(
            self._db,
            **asdict(after.refund_id),
            from_state=before.state,
            state=after.state,
            reason=after.reason,
            idempotency_key=after.idempotency_key,
            body=after.body,
            body_digest=after.body_digest,
            bank_refund_id=after.bank_refund_id,
            lease_until=after.lease_until,
            sends=after.sends,
            first_sent_at=after.first_sent_at,
            at=after.changed_at,
        )
        if row is None:
            raise StaleRefundError(f"{before.key} is not {before.state} any more")
        await insert_transfers(self._db, refund_transfers(before, after))
        if after.state is not before.state:
            await self.tell_refund(after)

    async def touch_refund(self, refund_id: RefundId, *, at: datetime) -> None:
        """Note that we looked at a refund and found nothing to do."""
        await _Q.touch_refund(self._db, **asdict(refund_id), at=at)


# Items of a payout with which the bank keeps what it had paid out before.
TAKEN_BACK: Final = ("payment_charged_back", "payment_failed")


class RefundBook:
    """Lists of refunds, and of money that was taken back, to work on."""

    _pool: asyncpg.Pool

    async def debits_to_recover(self, *, limit: int) -> list[DebitId]:
        """Return debits whose money the bank has kept more often than the ledger has it."""
        rows = _Q.debits_to_recover(
            self._pool, ends=sorted(FINAL), kinds=list(TAKEN_BACK), batch=limit
        )
        return [DebitId(**dict(row)) async for row in rows]

    async def debits_to_give_back(self, *, limit: int) -> list[GiveBack]:
        """Return money that waits to be sent back, with a debit through which it can go."""
        rows = _Q.debits_to_give_back(
            self._pool, taken=sorted(TAKEN), ends=sorted(ENDS), batch=limit
        )
        return [
            GiveBack(
                debit_id=DebitId(
                    account_id=row["account_id"], bill_no=row["bill_no"], attempt=row["attempt"]
                ),
                amount_minor=row["amount_minor"],
            )
            async for row in rows
        ]

    async def refunds_to_record(self, *, at: datetime, limit: int) -> list[RefundId]:
        """Return refunds that were asked for."""
        rows = _Q.refunds_to_record(self._pool, at=at, batch=limit)
        return [RefundId(**dict(row)) async for row in rows]

    async def refunds_to_reread(
        self, *, unchanged_since: datetime, paid_since: datetime, limit: int
    ) -> list[Refund]:
        """Return refunds at the bank without news for too long."""
        rows = _Q.refunds_to_reread(
            self._pool, unchanged_since=unchanged_since, paid_since=paid_since, batch=limit
        )
        return [refund_of(row) async for row in rows]

    async def refund(self, refund_id: RefundId) -> Refund | None:
        """Return one refund."""
        row = await _Q.refund(self._pool, **asdict(refund_id))
        return None if row is None else refund_of(row)

    async def refund_by_bank_id(self, bank_refund_id: str) -> Refund | None:
        """Return the refund behind a name of the bank's."""
        row = await _Q.refund_by_bank_id(self._pool, bank_refund_id=bank_refund_id)
        return None if row is None else refund_of(row)
