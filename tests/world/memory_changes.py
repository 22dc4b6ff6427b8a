"""Changes of the bank account and approvals in memory; see billing/io/account_changes.py."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from billing.account_change import COOLING_OFF, AccountChange, Outcome, change_message
from billing.approve import Approval
from billing.debit import FINAL, Debit, DebitId
from billing.mandate import ENDED, Enrolment, Mandate
from billing.mandate import State as MandateState
from tests.world.engine import Book, Key, Table, Transaction
from tests.world.memory_refunds import MemoryTelling

_WAITING: Final = Enrolment.WAITING


def _name(debit_id: DebitId) -> Key:
    return (debit_id.account_id, debit_id.bill_no, debit_id.attempt)


def change_tables() -> dict[str, Table]:
    """Return the tables of changes and approvals."""
    return {"account_change": Table(), "debit_approval": Table(), "debit_stop": Table()}


def disputed(tx: Transaction, account_id: str, bill_no: str) -> bool:
    """Tell whether a dispute about a bill is open."""
    return any(row[:2] == (account_id, bill_no) and not row[3] for row in tx.scan("dispute"))


def bill_stopped(tx: Transaction, account_id: str, bill_no: str) -> bool:
    """Tell whether a resident has stopped a debit for a bill."""
    return any(row[:2] == (account_id, bill_no) for row in tx.scan("debit_stop"))


class MemoryChangeDesk(MemoryTelling):
    """One open transaction: what it says of changes and approvals."""

    tx: Transaction

    async def waiting_mandate(self, account_id: str) -> Mandate | None:
        """Lock the one mandate of an account that cools off."""
        await self.tx.statement()
        for row in list(self.tx.scan("mandate")):
            if row.account_id == account_id and _cools_off(row):
                await self.tx.lock("mandate", (account_id, row.mandate_id))
                now: Mandate = self.tx.get("mandate", (account_id, row.mandate_id))
                return now if _cools_off(now) else None
        return None

    async def linked_before(self, account_id: str) -> bool:
        """Say whether the bank ever agreed to a mandate of an account."""
        await self.tx.statement()
        return any(
            row.account_id == account_id and row.bank_mandate_id is not None
            for row in self.tx.scan("mandate")
        )

    async def begin_change(self, mandate: Mandate, *, at: datetime) -> None:
        """Let a new mandate cool off, and tell everybody who must hear of it."""
        change = AccountChange(
            account_id=mandate.account_id,
            mandate_id=mandate.mandate_id,
            begun_at=at,
            usable_at=at + COOLING_OFF,
        )
        await self.tx.statement()
        await self.tx.add("account_change", (change.account_id, change.mandate_id), change)
        await self.tell(change_message(change, to_revision=None), at=at)

    async def open_change(self, account_id: str, mandate_id: str) -> AccountChange | None:
        """Lock the change that a mandate waits for."""
        await self.tx.statement()
        key = (account_id, mandate_id)
        if self.tx.get("account_change", key) is None:
            return None
        await self.tx.lock("account_change", key)
        found: AccountChange = self.tx.get("account_change", key)
        return found if found.ended_at is None else None

    async def pause_change(self, change: AccountChange, *, paused: bool) -> None:
        """Note whether debits rest when the new account has cooled off."""
        await self.tx.statement()
        key = (change.account_id, change.mandate_id)
        await self.tx.update("account_change", key, replace(change, paused=paused))

    async def name_account(self, change: AccountChange, *, at: datetime) -> None:
        """Note when we heard which bank account a change is to; the first time counts."""
        await self.tx.statement()
        key = (change.account_id, change.mandate_id)
        if change.named_at is None:
            await self.tx.update("account_change", key, replace(change, named_at=at))

    async def end_change(self, change: AccountChange, outcome: Outcome, *, at: datetime) -> None:
        """Note how a change ended, and tell everybody who must hear of it."""
        await self.tx.statement()
        ended = replace(change, outcome=outcome, ended_at=at)
        await self.tx.update("account_change", (change.account_id, change.mandate_id), ended)
        await self.tell(change_message(ended, to_revision=None), at=at)

    async def approval(self, account_id: str, bill_no: str, amount_minor: int) -> Approval | None:
        """Return the word that a sum may be taken for a bill."""
        await self.tx.statement()
        found: Approval | None = self.tx.get("debit_approval", (account_id, bill_no, amount_minor))
        return found

    async def add_approval(self, account_id: str, bill_no: str, approval: Approval) -> None:
        """Keep a word that a sum may be taken for a bill."""
        await self.tx.statement()
        key = (account_id, bill_no, approval.amount_minor)
        await self.tx.add("debit_approval", key, approval)

    async def mandate_of_debit(self, debit_id: DebitId) -> str | None:
        """Under which mandate a debit is."""
        await self.tx.statement()
        found: Debit | None = self.tx.get("debit", _name(debit_id))
        return None if found is None else found.mandate_id

    async def is_stopped(self, debit_id: DebitId) -> bool:
        """Say whether a debit for a bill was stopped."""
        await self.tx.statement()
        return bill_stopped(self.tx, debit_id.account_id, debit_id.bill_no)

    async def is_disputed(self, debit_id: DebitId) -> bool:
        """Say whether a dispute about a bill is open."""
        await self.tx.statement()
        return disputed(self.tx, debit_id.account_id, debit_id.bill_no)

    async def add_stop(self, debit_id: DebitId, *, stopped_by: str, at: datetime) -> bool:
        """Keep that a debit was stopped, and say whether that is new."""
        await self.tx.statement()
        name = _name(debit_id)
        return await self.tx.insert("debit_stop", name, (*name, stopped_by, at))

    async def lock_alive(self, account_id: str, bill_no: str) -> Debit | None:
        """Lock the one attempt for a bill that may still take money."""
        await self.tx.statement()
        for row in list(self.tx.scan("debit")):
            if (row.account_id, row.bill_no) == (account_id, bill_no) and row.state not in FINAL:
                key = (row.account_id, row.bill_no, row.attempt)
                await self.tx.lock("debit", key)
                now: Debit = self.tx.get("debit", key)
                return None if now.state in FINAL else now
        return None


class MemoryChangeBook(Book):
    """Lists of changes."""

    async def changes_due(self, *, at: datetime, limit: int) -> list[tuple[str, str]]:
        """Return changes that have cooled off and whose mandate the bank lets us debit."""
        async with self._read() as tx:
            found = []
            for row in tx.scan("account_change"):
                mandate = tx.get("mandate", (row.account_id, row.mandate_id))
                due = row.ended_at is None and row.cooled_at <= at
                usable = mandate.state is MandateState.ACTIVE and mandate.enrolment is _WAITING
                if due and usable:
                    found.append((row.usable_at, row.account_id, row.mandate_id))
        return [(account_id, mandate_id) for _, account_id, mandate_id in sorted(found)][:limit]


def _cools_off(row: Mandate) -> bool:
    return row.enrolment is _WAITING and row.state not in ENDED
