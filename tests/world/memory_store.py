"""The lists that debits are worked off from, in memory; one method is one statement."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import date, datetime
from typing import Final

from billing.debit import FELL_THROUGH, FINAL, Debit, DebitId, State
from billing.ledger import Account, Phase
from billing.mandate import ENDED, Enrolment, Mandate
from billing.mandate import State as MandateState
from billing.notice import (
    ATTEMPTS_MAX,
    FAILURES_MAX,
    REPEATABLE_CANCELS,
    RETRYABLE_CAUSES,
    Candidate,
    DueBill,
)
from billing.policy import NO_POLICY, BillPolicy
from tests.world.engine import Database, Transaction
from tests.world.memory import Bill, MemoryDesk, debits_of, last_step_at, owed_minor
from tests.world.memory_changes import MemoryChangeBook, bill_stopped, disputed
from tests.world.memory_recon import MemoryRecovery
from tests.world.memory_refunds import MemoryRefundBook
from tests.world.memory_stops import MemoryStopBook

# As many connections as a process has; the next one waits.
POOL: Final = 5
_UNDER_WAY: Final = frozenset(
    {State.ACCEPTED, State.CANCEL_REQUESTED, State.SUBMITTED, State.CONFIRMED}
)
_OVER: Final = frozenset(
    {
        State.SETTLED,
        State.RECONCILED,
        State.FAILED,
        State.RETRY_DUE,
        State.CANCELLED,
        State.CHARGED_BACK,
        State.EXHAUSTED,
    }
)


def _candidate(row: Debit) -> Candidate:
    return Candidate(debit_id=row.debit_id, mandate_id=row.mandate_id)


class _Session:
    """A connection out of a pool, with one transaction; a class, for there are thousands."""

    __slots__ = ("_db", "_gate", "_transaction")

    def __init__(self, database: Database, gate: asyncio.Semaphore) -> None:
        self._db = database
        self._gate = gate

    async def _open(self) -> Transaction:
        await self._gate.acquire()
        self._transaction = Transaction(self._db)
        return self._transaction


class _Writing(_Session, AbstractAsyncContextManager[MemoryDesk]):
    async def __aenter__(self) -> MemoryDesk:
        return MemoryDesk(await self._open())

    async def __aexit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            if error is None:
                await self._transaction.commit()
            else:
                self._transaction.rollback()
        finally:
            self._gate.release()


class _Reading(_Session, AbstractAsyncContextManager[Transaction]):
    async def __aenter__(self) -> Transaction:
        transaction = await self._open()
        try:
            await transaction.statement()
        except BaseException:
            await self.__aexit__()
            raise
        return transaction

    async def __aexit__(self, *_: object) -> None:
        self._transaction.rollback()
        self._gate.release()


class MemoryDebits(MemoryChangeBook, MemoryRefundBook, MemoryRecovery, MemoryStopBook):
    """One process's pool of connections to a database in memory."""

    def __init__(
        self, database: Database, policy: BillPolicy = NO_POLICY, *, pool: int = POOL
    ) -> None:
        self.db = database
        self._policy = policy
        self._gate = asyncio.Semaphore(pool)

    def begin(self) -> AbstractAsyncContextManager[MemoryDesk]:
        """Open one transaction; it is committed at the end, or undone if anything is raised."""
        return _Writing(self.db, self._gate)

    def _read(self) -> AbstractAsyncContextManager[Transaction]:
        return _Reading(self.db, self._gate)

    async def bills_to_notice(self, *, today: date, limit: int) -> list[DueBill]:
        """Return bills to be asked for, the longest due first."""
        async with self._read() as tx:
            found = []
            for bill in tx.scan("bill"):
                mandate = _mandate_for(tx, bill)
                if mandate is not None and self._to_be_asked_for(tx, bill, today):
                    found.append((bill, mandate))
        found.sort(key=lambda pair: (pair[0].due_on, pair[0].account_id, pair[0].bill_no))
        return [
            DueBill(
                account_id=bill.account_id,
                bill_no=bill.bill_no,
                due_on=bill.due_on,
                currency=bill.currency,
                mandate_id=mandate.mandate_id,
            )
            for bill, mandate in found[:limit]
        ]

    def _to_be_asked_for(self, tx: Transaction, bill: Bill, today: date) -> bool:
        past = debits_of(tx, bill.account_id, bill.bill_no)
        failures = sum(1 for row in past if row.state in FELL_THROUGH)
        minimum = self._policy.minimums_minor.get(bill.currency, 0)
        owed = owed_minor(tx, bill.account_id, bill.bill_no)
        return (
            bill.kind != "cancellation"
            and not any(
                other.kind == "cancellation"
                and other.account_id == bill.account_id
                and other.corrects_bill_no == bill.bill_no
                for other in tx.scan("bill")
            )
            and not any(_stands_in_the_way(row, today) for row in past)
            and not disputed(tx, bill.account_id, bill.bill_no)
            and not bill_stopped(tx, bill.account_id, bill.bill_no)
            and owed > 0
            and (owed >= minimum or tx.get("closing", (bill.account_id,)) is not None)
            and failures < FAILURES_MAX
            and max((row.attempt for row in past), default=0) < ATTEMPTS_MAX
        )

    async def debits_to_tell(self, *, at: datetime, limit: int) -> list[Candidate]:
        """Return held and planned debits, longest unseen first."""
        async with self._read() as tx:
            found = [
                row
                for row in tx.scan("debit")
                if row.state in {State.HELD, State.PLANNED} and row.changed_at < at
            ]
        found.sort(key=lambda row: (row.changed_at, row.account_id, row.bill_no))
        return [_candidate(row) for row in found[:limit]]

    async def debits_to_record(self, *, charge_until: date, limit: int) -> list[Candidate]:
        """Return noticed debits whose day to be recorded has come."""
        async with self._read() as tx:
            found = [
                row
                for row in tx.scan("debit")
                if row.state is State.NOTICED and row.charge_on <= charge_until
            ]
        found.sort(key=lambda row: (row.charge_on, row.account_id, row.bill_no))
        return [_candidate(row) for row in found[:limit]]

    async def payments_to_withdraw(self, *, limit: int) -> list[Debit]:
        """Return debits the bank has accepted, stopped or under a mandate paused since."""
        async with self._read() as tx:
            found = [
                row
                for row in tx.scan("debit")
                if row.bank_payment_id is not None
                and (
                    row.state is State.CANCEL_REQUESTED
                    or (
                        row.state is State.ACCEPTED
                        and (
                            tx.get("mandate", (row.account_id, row.mandate_id)).enrolment
                            is not Enrolment.ACTIVE
                            or bill_stopped(tx, row.account_id, row.bill_no)
                            or disputed(tx, row.account_id, row.bill_no)
                        )
                    )
                )
            ]
        found.sort(key=lambda row: (row.changed_at, row.account_id, row.bill_no))
        return found[:limit]

    async def debits_to_close(self, *, fallen_before: datetime, limit: int) -> list[DebitId]:
        """Return debits that failed or were disputed so long ago, and still wait."""
        async with self._read() as tx:
            found = [
                row.debit_id
                for row in tx.scan("debit")
                if (
                    row.state in {State.CHARGED_BACK, State.RETRY_DUE}
                    or (row.state is State.FAILED and row.reason == "bank_retries")
                )
                and last_step_at(tx, row) <= fallen_before
            ]
        found.sort(key=lambda one: (one.account_id, one.bill_no, one.attempt))
        return found[:limit]

    async def mandates_to_withdraw(self, *, limit: int) -> list[Mandate]:
        """Return mandates that the resident cancelled and the bank has not ended yet."""
        async with self._read() as tx:
            found = [
                row
                for row in tx.scan("mandate")
                if row.enrolment is Enrolment.CANCELLED and row.state not in ENDED
            ]
        found.sort(key=lambda row: (row.changed_at, row.account_id, row.mandate_id))
        return found[:limit]

    async def mandates_to_retire(self, *, limit: int) -> list[tuple[str, str]]:
        """Return account and mandate where the account has ended and nothing is owed any more."""
        async with self._read() as tx:
            found = [
                (row.account_id, row.mandate_id)
                for row in tx.scan("mandate")
                if row.enrolment is not Enrolment.CANCELLED
                and row.state not in ENDED
                and _has_ended(tx, row.account_id)
            ]
        return sorted(found)[:limit]

    async def debits_to_reread(self, *, unchanged_since: datetime, limit: int) -> list[Debit]:
        """Return debits under way of which we have heard nothing for too long."""
        async with self._read() as tx:
            found = [
                row
                for row in tx.scan("debit")
                if (
                    row.state in _UNDER_WAY
                    or (row.state is State.FAILED and row.reason == "bank_retries")
                )
                and row.bank_payment_id is not None
                and row.changed_at <= unchanged_since
            ]
        found.sort(key=lambda row: (row.changed_at, row.account_id, row.bill_no))
        return found[:limit]

    async def account_currency(self, account_id: str) -> str | None:
        """Return the currency in which an account is billed."""
        async with self._read() as tx:
            found = tx.get("account", (account_id,))
        return None if found is None else found[1]

    async def mandate(self, account_id: str, mandate_id: str) -> Mandate | None:
        """Return one mandate."""
        async with self._read() as tx:
            found: Mandate | None = tx.get("mandate", (account_id, mandate_id))
        return found

    async def mandate_by_return(self, digest: bytes) -> Mandate | None:
        """Return the mandate whose resident comes back from the bank's page."""
        return await self._mandate_where("return_digest", digest)

    async def mandate_by_bank_id(self, bank_mandate_id: str) -> Mandate | None:
        """Return the mandate behind the bank's name for it."""
        return await self._mandate_where("bank_mandate_id", bank_mandate_id)

    async def mandate_by_request(self, bank_request_id: str) -> Mandate | None:
        """Return the mandate that a billing request was made for."""
        return await self._mandate_where("bank_request_id", bank_request_id)

    async def _mandate_where(self, name: str, value: object) -> Mandate | None:
        async with self._read() as tx:
            return next((row for row in tx.scan("mandate") if getattr(row, name) == value), None)

    async def debit_by_payment(self, bank_payment_id: str) -> Debit | None:
        """Return the debit that a payment at the bank belongs to."""
        async with self._read() as tx:
            return next(
                (row for row in tx.scan("debit") if row.bank_payment_id == bank_payment_id), None
            )

    async def debit_by_key(self, account_id: str, key: str) -> Debit | None:
        """Return the debit that a key names, if it is recorded, or ended before it was."""
        async with self._read() as tx:
            return next(
                (
                    row
                    for row in tx.scan("debit")
                    if row.account_id == account_id
                    and row.key == key
                    and (row.idempotency_key is not None or row.state in FINAL)
                ),
                None,
            )

    async def bank_cursor(self) -> str | None:
        """Return the event up to which we have read; None before the first."""
        async with self._read() as tx:
            found: str | None = tx.get("bank_cursor", ())
        return found

    async def move_bank_cursor(self, event_id: str) -> None:
        """Note the event up to which we have read."""
        async with self.begin() as desk:
            await desk.tx.statement()
            await desk.tx.update("bank_cursor", (), event_id)

    async def seen_events(self, event_ids: Sequence[str]) -> frozenset[str]:
        """Return those of the given events that we have dealt with, or that wait."""
        async with self._read() as tx:
            return frozenset(
                one
                for one in event_ids
                if tx.get("bank_event", (one,)) is not None
                or getattr(tx.get("bank_hint", (one,)), "state", "done") != "done"
            )


def _mandate_for(tx: Transaction, bill: Bill) -> Mandate | None:
    return next(
        (
            row
            for row in tx.scan("mandate")
            if row.account_id == bill.account_id
            and row.state is MandateState.ACTIVE
            and row.enrolment is Enrolment.ACTIVE
            and row.currency == bill.currency
        ),
        None,
    )


def _stands_in_the_way(row: Debit, today: date) -> bool:
    reason = row.reason or ""
    if row.state is State.RETRY_DUE:
        return row.retry_on is None or row.retry_on > today
    if row.state is State.FAILED:
        return reason not in RETRYABLE_CAUSES
    if row.state is State.CANCELLED:
        return reason not in REPEATABLE_CANCELS
    return True


def _has_ended(tx: Transaction, account_id: str) -> bool:
    """Tell whether an account has its final bill, nothing under way, and owes nothing."""
    last_day = tx.get("closing", (account_id,))
    if last_day is None:
        return False
    final = any(
        row.account_id == account_id and row.period_start <= last_day < row.period_end
        for row in tx.scan("bill")
    )
    under_way = any(
        row.account_id == account_id and row.state not in _OVER for row in tx.scan("debit")
    )
    owed = sum(
        row.amount_minor
        * ((row.debit_code is Account.RECEIVABLE) - (row.credit_code is Account.RECEIVABLE))
        for row in tx.scan("transfer")
        if row.account_id == account_id and row.phase is Phase.POSTED
    )
    return final and not under_way and owed <= 0
