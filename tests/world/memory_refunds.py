"""Refunds and what residents are told, in memory; see billing/io/refunds.py and io/telling.py."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from billing.debit import TAKEN, Debit, DebitId, State
from billing.io.refunds import StaleRefundError
from billing.ledger import Account, Phase, Transfer
from billing.message import Message
from billing.refund import ENDS, Cause, Refund, RefundClaim, RefundId, RefundState
from billing.refund_moves import refund_transfers
from billing.refund_order import Asked, GiveBack, NotGiven, Purse, Wanted, already, refusal
from billing.told import (
    corrections_of,
    notice_message,
    receipts_of,
    refund_message,
    step_message,
)
from tests.world.engine import Book, Key, Table, Transaction

_SENDABLE: Final = frozenset({RefundState.RECORDED, RefundState.UNKNOWN, RefundState.SENDING})
_UNFROZEN: Final = frozenset({RefundState.REQUESTED, RefundState.REFUSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One row of message."""

    message: Message
    delivered_at: datetime


def _name(row: Any) -> Key:
    return (row.account_id, row.bill_no, row.attempt)


def _number(row: Any) -> Key:
    return (*_name(row), row.refund_no)


def _on_its_way(row: Refund) -> Key | None:
    return _name(row) if row.state in _SENDABLE else None


def refund_tables() -> dict[str, Table]:
    """Return the tables of refunds and messages, with the constraints they can run into."""
    frozen = ("idempotency_key", "body", "body_digest")
    return {
        "refund": Table(
            parents=(("debit", _name),),
            uniques={
                "refund_one_on_its_way": _on_its_way,
                "bank_refund_once": lambda row: (
                    row.bank_refund_id and (row.account_id, row.bank_refund_id)
                ),
            },
            checks={
                "sent_refund_is_frozen": lambda row: (
                    row.state in _UNFROZEN or None not in {getattr(row, one) for one in frozen}
                )
            },
        ),
        "refund_step": Table(),
        "message": Table(),
    }


class MemoryTelling:
    """What a transaction tells residents; all of it stands in the API at once."""

    tx: Transaction

    async def tell(self, message: Message, *, at: datetime) -> bool:
        """Keep a message; False if its cause was told before."""
        await self.tx.statement()
        key = (message.account_id, message.message_id)
        return await self.tx.insert("message", key, Told(message=message, delivered_at=at))

    async def tell_step(self, before: Debit, after: Debit, *, step_no: int) -> None:
        """Tell what a step of a debit means for its resident, if it means anything."""
        await self.tx.statement()
        names = [
            row.message.message_id
            for row in self.tx.scan("message")
            if row.message.account_id == after.account_id
        ]
        message = step_message(
            before,
            after,
            step_no=step_no,
            receipts=sum(name.startswith(receipts_of(after)) for name in names),
            corrections=sum(name.startswith(corrections_of(after)) for name in names),
        )
        if message is not None:
            await self.tell(message, at=after.changed_at)

    async def tell_refund(self, refund: Refund) -> None:
        """Tell what the state of a refund means for its resident, if it means anything."""
        message = refund_message(refund)
        if message is not None:
            await self.tell(message, at=refund.changed_at)

    async def tell_notice(self, debit: Debit, *, at: datetime) -> datetime | None:
        """Tell the resident of a planned debit; return when he was told."""
        given = 0
        while self.tx.get("notice", (*_name(debit), given + 1)) is not None:
            given += 1
        number = 1
        while (step := self.tx.get("debit_step", (*_name(debit), number))) is not None:
            given += step.to_state is State.HELD
            number += 1
        message = notice_message(debit, notices=given)
        await self.tell(message, at=at)
        row: Told = self.tx.get("message", (message.account_id, message.message_id))
        return row.delivered_at


class MemoryRefundDesk(MemoryTelling):
    """One open transaction: what it says of refunds."""

    async def ask_refund(  # noqa: D102 - as in billing/io/refunds.py
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
        if cause in {Cause.OVERCHARGED, Cause.DOUBLE_DEBIT}:
            await self.tx.statement()
            await self.tx.lock("account", (debit_id.account_id,))
        debit: Debit | None = await self.lock_debit(debit_id)  # type: ignore[attr-defined]
        if debit is None:
            return NotGiven(reason="no_such_debit")
        refunds = await self.refunds_of(debit_id)
        again = already(refunds, cause, amount_minor)
        if again is not None and counted_minor is None:
            return again
        await self.tx.statement()
        wanted = Wanted(
            amount_minor=amount_minor,
            cause=cause,
            source=self._purse(debit).source(cause, amount_minor),
            asked_by=asked_by,
            because=because,
            counted_minor=counted_minor,
        )
        return await self._ask(debit, refunds, wanted, at=at)

    async def ask_stray(self, debit: Debit, *, asked_by: str, at: datetime) -> Asked:
        """Ask for all of a locked debit to go back that the bank took although we gave it up."""
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
        self, debit: Debit, refunds: list[Refund], wanted: Wanted, *, at: datetime
    ) -> Asked:
        reason = refusal(debit, refunds, wanted)
        if reason is not None or wanted.source is None:
            return NotGiven(reason=reason or "nothing_to_give_back")
        refund = Refund(
            account_id=debit.account_id,
            bill_no=debit.bill_no,
            attempt=debit.attempt,
            refund_no=len(refunds) + 1,
            state=RefundState.REQUESTED,
            reason=None,
            amount_minor=wanted.amount_minor,
            currency=debit.currency,
            cause=wanted.cause,
            source=wanted.source,
            asked_by=wanted.asked_by,
            because=wanted.because,
            asked_at=at,
            changed_at=at,
            counted_minor=wanted.counted_minor,
        )
        await self.tx.statement()
        await self.tx.add("refund", _number(refund), refund)
        await self._step(None, refund)
        await self._post_all(refund_transfers(None, refund))
        await self.tell_refund(refund)
        return refund

    def _purse(self, debit: Debit) -> Purse:
        rows = [
            row
            for row in self.tx.scan("transfer")
            if row.account_id == debit.account_id and row.phase is Phase.POSTED
        ]
        owed = [row for row in rows if row.bill_no == debit.bill_no]
        return Purse(
            bill_minor=_credited(Account.RECEIVABLE, owed),
            refund_due_minor=_credited(Account.REFUND_DUE, rows),
            credit_minor=_credited(Account.RESIDENT_CREDIT, rows),
        )

    async def refunds_of(self, debit_id: DebitId) -> list[Refund]:
        """Return the refunds of a debit, the first one first."""
        await self.tx.statement()
        found = [row for row in self.tx.scan("refund") if row.refund_id.debit_id == debit_id]
        return sorted(found, key=lambda row: row.refund_no)

    async def lock_refund(self, refund_id: RefundId) -> Refund | None:
        """Lock one refund."""
        await self.tx.statement()
        key = _number(refund_id)
        if self.tx.get("refund", key) is None:
            return None
        await self.tx.lock("refund", key)
        found: Refund | None = self.tx.get("refund", key)
        return found

    async def claim_refund(self, *, at: datetime) -> RefundClaim | None:
        """Lock one refund that is ready to be sent, passing over those in other hands."""
        await self.tx.statement()
        ready = [
            row
            for row in self.tx.scan("refund")
            if row.state in _SENDABLE and (row.lease_until is None or row.lease_until <= at)
        ]
        ready.sort(key=lambda row: (row.changed_at, row.account_id, row.bill_no))
        for row in ready:
            if self.tx.try_lock("refund", _number(row)):
                return RefundClaim(refund=row, debit=self.tx.get("debit", _name(row)))
        return None

    async def save_refund(self, before: Refund, after: Refund) -> None:
        """Write a locked refund back, one step on, with its step, transfers and message."""
        await self.tx.statement()
        key = _number(after)
        now = self.tx.get("refund", key)
        if now is None or now.state is not before.state:
            self.tx.let_go()
            raise StaleRefundError(f"{before.key} is not {before.state} any more")
        await self.tx.update("refund", key, after)
        await self._step(before, after)
        await self._post_all(refund_transfers(before, after))
        if after.state is not before.state:
            await self.tell_refund(after)

    async def _step(self, before: Refund | None, after: Refund) -> None:
        key = _number(after)
        keys = [one for one in self.tx.db.rows["refund_step"] if one[:4] == key]
        keys += [one for table, one in self.tx.writes if table == "refund_step" and one[:4] == key]
        row = (None if before is None else before.state, after.state, after.reason)
        await self.tx.add("refund_step", (*key, len(set(keys)) + 1), (*row, after.changed_at))

    async def _post_all(self, transfers: Iterable[Transfer]) -> None:
        for transfer in transfers:
            await self.post(transfer)  # type: ignore[attr-defined]

    async def touch_refund(self, refund_id: RefundId, *, at: datetime) -> None:
        """Note that we looked at a refund and found nothing to do."""
        await self.tx.statement()
        key = _number(refund_id)
        row = self.tx.get("refund", key)
        if row is not None:
            await self.tx.update("refund", key, replace(row, changed_at=at))


def _may_still_turn(row: Refund, paid_since: datetime) -> bool:
    if row.state is RefundState.PAID:
        return row.first_sent_at is not None and row.first_sent_at >= paid_since
    return row.state is RefundState.PENDING


def _credited(account: Account, rows: Iterable[Transfer]) -> int:
    return sum(
        row.amount_minor * ((row.credit_code is account) - (row.debit_code is account))
        for row in rows
    )


class MemoryRefundBook(Book):
    """Lists of refunds to work on."""

    async def debits_to_give_back(self, *, limit: int) -> list[GiveBack]:
        """Return money that waits to be sent back, each with the newest debit it can go through."""
        async with self._read() as tx:
            due: dict[str, int] = {}
            for row in tx.scan("transfer"):
                if row.phase is Phase.POSTED:
                    minor = _credited(Account.REFUND_DUE, (row,))
                    due[row.account_id] = due.get(row.account_id, 0) + minor
            found: dict[str, GiveBack] = {}
            for debit in sorted(tx.scan("debit"), key=lambda row: (row.bill_no, row.attempt)):
                owed = due.get(debit.account_id, 0)
                if owed <= 0 or debit.state not in TAKEN or debit.bank_payment_id is None:
                    continue
                refunds = [row for row in tx.scan("refund") if _name(row) == _name(debit)]
                left = debit.amount_minor - sum(row.amount_minor for row in refunds)
                if left > 0 and not any(row.state in ENDS for row in refunds):
                    found[debit.account_id] = GiveBack(
                        debit_id=debit.debit_id, amount_minor=min(owed, left)
                    )
        return [found[account_id] for account_id in sorted(found)][:limit]

    async def refunds_to_record(self, *, at: datetime, limit: int) -> list[RefundId]:
        """Return refunds that were asked for, those nobody looked at for longest first."""
        async with self._read() as tx:
            found = [
                row
                for row in tx.scan("refund")
                if row.state is RefundState.REQUESTED and row.changed_at <= at
            ]
        found.sort(key=lambda row: (row.changed_at, *_number(row)))
        return [row.refund_id for row in found[:limit]]

    async def refunds_to_reread(
        self, *, unchanged_since: datetime, paid_since: datetime, limit: int
    ) -> list[Refund]:
        """Return refunds at the bank, or paid not long ago, of which we have heard nothing."""
        async with self._read() as tx:
            found = [
                row
                for row in tx.scan("refund")
                if _may_still_turn(row, paid_since) and row.changed_at <= unchanged_since
            ]
        found.sort(key=lambda row: (row.changed_at, row.account_id, row.bill_no))
        return found[:limit]

    async def refund(self, refund_id: RefundId) -> Refund | None:
        """Return one refund."""
        async with self._read() as tx:
            found: Refund | None = tx.get("refund", _number(refund_id))
        return found

    async def refund_by_bank_id(self, bank_refund_id: str) -> Refund | None:
        """Return the refund that a name of the bank's belongs to."""
        async with self._read() as tx:
            return next(
                (row for row in tx.scan("refund") if row.bank_refund_id == bank_refund_id), None
            )
