"""Debits and mandates in memory: the same ports as billing/io/debits.py, on the small engine.

tests/contract/test_debit_store.py runs one suite against both, so this one cannot lie. One method
is one statement, under the docstring of the query it stands for in sql/debits.sql.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Final

from billing.bank import BankEvent
from billing.debit import COUNTS_IN_MONTH, Claim, Debit, DebitId, State
from billing.debit_moves import GOALS, Goal, goes_on, postings, prefix_of, recovery
from billing.guard import Facts
from billing.habit import Habit
from billing.io.debits import StaleDebitError
from billing.ledger import Account, Phase, Transfer
from billing.mandate import ENDED, Enrolment, Mandate
from billing.mandate import State as MandateState
from billing.notice import Attempt, Candidate, Notice
from billing.webhook import ASIDE_FOR
from tests.world.engine import Key, Table, Transaction
from tests.world.memory_breaks import frozen
from tests.world.memory_changes import MemoryChangeDesk, bill_stopped, change_tables, disputed
from tests.world.memory_recon import recon_tables
from tests.world.memory_refunds import MemoryRefundDesk, refund_tables
from tests.world.memory_review import MemoryReviewDesk, review_tables
from tests.world.memory_stops import open_stops, stop_tables

_LONG_AGO: Final = datetime(2020, 1, 1, tzinfo=UTC)
_SENDABLE: Final = frozenset({State.RECORDED, State.UNKNOWN, State.SENDING})
_UNFROZEN: Final = frozenset(
    {State.PLANNED, State.HELD, State.NOTICED, State.CANCELLED, State.EXHAUSTED}
)
_DEAD: Final = frozenset(
    {State.FAILED, State.RETRY_DUE, State.CANCELLED, State.CHARGED_BACK, State.EXHAUSTED}
)
_UNSENT: Final = frozenset({State.PLANNED, State.HELD, State.NOTICED, State.RECORDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """As much of a bill as debits know."""

    account_id: str
    bill_no: str
    due_on: date
    currency: str
    kind: str = "regular"
    corrects_bill_no: str | None = None
    period_start: date = date.min
    period_end: date = date.min
    total_minor: int = 0
    issued_at: datetime = _LONG_AGO


@dataclass(frozen=True, slots=True, kw_only=True)
class HintRow:
    """One row of bank_hint: an event that waits to be looked at."""

    event: BankEvent
    heard_at: datetime
    look_at: datetime
    state: str = "waiting"
    looks: int = 0
    trouble: str | None = None
    settled_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One row of debit_step."""

    from_state: State | None
    to_state: State
    reason: str | None
    taken_at: datetime


def _month(row: Debit) -> tuple[int, int]:
    return (row.charge_on.year, row.charge_on.month)


def _name(row: Any) -> Key:
    return (row.account_id, row.bill_no, row.attempt)


def _usable(row: Mandate) -> Key | None:
    open_ = row.state not in ENDED and row.enrolment not in {
        Enrolment.CANCELLED,
        Enrolment.WAITING,
    }
    return (row.account_id,) if open_ else None


def _alive(row: Debit) -> Key | None:
    return None if row.state in _DEAD else (row.account_id, row.bill_no)


def _frozen(row: Debit) -> bool:
    told = (row.idempotency_key, row.body, row.body_digest)
    return row.state in _UNFROZEN or None not in told


def tables() -> dict[str, Table]:
    """Return the tables with the constraints of sql/schema.sql that debits can run into."""
    by_account = ("account", lambda row: (row.account_id,))
    by_bill = ("bill", lambda row: (row.account_id, row.bill_no))
    by_mandate = ("mandate", lambda row: (row.account_id, row.mandate_id))
    return {
        "account": Table(),
        "bill": Table(parents=(by_account,)),
        "dispute": Table(),
        "closing": Table(),
        "mandate": Table(
            parents=(by_account,),
            uniques={"mandate_usable": _usable},
            checks={
                "active_has_bank_id": lambda row: (
                    row.state is not MandateState.ACTIVE or row.bank_mandate_id is not None
                )
            },
        ),
        "debit": Table(
            parents=(by_bill, by_mandate),
            uniques={
                "debit_one_alive": _alive,
                "key_once": lambda row: (
                    row.idempotency_key and (row.account_id, row.idempotency_key)
                ),
                "payment_once": lambda row: (
                    row.bank_payment_id and (row.account_id, row.bank_payment_id)
                ),
            },
            checks={
                "sent_is_frozen": _frozen,
                "sends": lambda row: row.sends >= 0,
                "retry_has_day": lambda row: (
                    row.state is not State.RETRY_DUE or row.retry_on is not None
                ),
            },
        ),
        "debit_step": Table(),
        "debit_approval": Table(),
        "notice": Table(),
        "transfer": Table(parents=(by_bill,)),
        "bank_event": Table(),
        "bank_hint": Table(),
        "webhook_delivery": Table(),
        "bank_cursor": Table(),
        **refund_tables(),
        **change_tables(),
        **recon_tables(),
        **review_tables(),
        **stop_tables(),
    }


def owed_minor(tx: Transaction, account_id: str, bill_no: str) -> int:
    """Return what may still be debited for a bill; what was given back is not taken again."""
    return sum(
        row.amount_minor
        * ((row.debit_code is Account.RECEIVABLE) - (row.credit_code is Account.RECEIVABLE))
        for row in tx.scan("transfer")
        if row.account_id == account_id
        and row.bill_no == bill_no
        and row.phase is Phase.POSTED
        and Account.REFUNDS_PAYABLE not in {row.debit_code, row.credit_code}
    )


def last_step_at(tx: Transaction, debit: Debit) -> datetime:
    """Return when a debit took its last step."""
    number = 1
    while tx.get("debit_step", (*_name(debit), number + 1)) is not None:
        number += 1
    taken_at: datetime = tx.get("debit_step", (*_name(debit), number)).taken_at
    return taken_at


def debits_of(tx: Transaction, account_id: str, bill_no: str) -> list[Debit]:
    """Return the attempts for a bill."""
    return [
        row for row in tx.scan("debit") if row.account_id == account_id and row.bill_no == bill_no
    ]


class MemoryDesk(MemoryChangeDesk, MemoryRefundDesk, MemoryReviewDesk):
    """One open transaction; see billing/io/debits.py for what each method promises."""

    def __init__(self, transaction: Transaction) -> None:
        self.tx = transaction

    # -- mandates

    async def lock_mandate(self, account_id: str, mandate_id: str) -> Mandate | None:
        """Lock a mandate, waiting for whoever holds it."""
        await self.tx.statement()
        if self.tx.get("mandate", (account_id, mandate_id)) is None:
            return None
        await self.tx.lock("mandate", (account_id, mandate_id))
        found: Mandate | None = self.tx.get("mandate", (account_id, mandate_id))
        return found

    async def try_lock_mandate(self, account_id: str, mandate_id: str) -> Mandate | None:
        """Lock a mandate unless somebody else is at work on it."""
        await self.tx.statement()
        found: Mandate | None = self.tx.get("mandate", (account_id, mandate_id))
        free = found is not None and self.tx.try_lock("mandate", (account_id, mandate_id))
        return found if free else None

    async def usable_mandate(self, account_id: str) -> Mandate | None:
        """Lock the one mandate of an account that is usable or on its way to be."""
        await self.tx.statement()
        for row in list(self.tx.scan("mandate")):
            if row.account_id == account_id and _usable(row):
                key = (row.account_id, row.mandate_id)
                await self.tx.lock("mandate", key)
                now: Mandate = self.tx.get("mandate", key)
                return now if _usable(now) else None
        return None

    async def mandate(self, account_id: str, mandate_id: str) -> Mandate | None:
        """One mandate, as it stands."""
        await self.tx.statement()
        found: Mandate | None = self.tx.get("mandate", (account_id, mandate_id))
        return found

    async def add_mandate(self, mandate: Mandate) -> bool:
        """Keep a new mandate unless the account has a usable one."""
        await self.tx.statement()
        # As the INSERT does: what the bank tells later is not there yet.
        row = replace(
            mandate,
            bank_request_id=None,
            bank_flow_id=None,
            authorisation_url=None,
            bank_mandate_id=None,
            account_number_ending=None,
            changed_at=mandate.created_at,
        )
        return await self.tx.insert("mandate", (mandate.account_id, mandate.mandate_id), row)

    async def save_mandate(self, mandate: Mandate) -> None:
        """Write a locked mandate back."""
        await self.tx.statement()
        key = (mandate.account_id, mandate.mandate_id)
        before = self.tx.get("mandate", key)
        row = replace(mandate, currency=before.currency, created_at=before.created_at)
        await self.tx.update("mandate", key, row)

    # -- debits

    async def claim_debits(self, *, at: datetime, limit: int) -> list[Claim]:
        """Lock debits that are ready to be sent, passing over those in other hands."""
        await self.tx.statement()
        found: list[Claim] = []
        stopped = bool(open_stops(self.tx))
        for row in list(self.tx.scan("debit")):
            if len(found) == limit:
                break
            ready = row.lease_until is None or row.lease_until <= at
            mandate = self.tx.get("mandate", (row.account_id, row.mandate_id))
            wanted = (
                mandate.state is MandateState.ACTIVE
                and mandate.enrolment is Enrolment.ACTIVE
                and not bill_stopped(self.tx, row.account_id, row.bill_no)
                and not disputed(self.tx, row.account_id, row.bill_no)
            )
            frozen = self._frozen(row.account_id, row.mandate_id)
            ready = ready and (not frozen or row.sends > 0 or not wanted)
            ready = ready and not (stopped and wanted and row.state is State.RECORDED)
            if row.state in _SENDABLE and ready and self.tx.try_lock("debit", _name(row)):
                claim = Claim(
                    debit=row,
                    bank_mandate_id=mandate.bank_mandate_id,
                    wanted=wanted,
                    frozen=frozen,
                    stopped=stopped,
                )
                found.append(claim)
        return found

    async def lock_debits(self, debit_ids: Sequence[DebitId]) -> list[Debit]:
        """Lock debits in the order of their names."""
        await self.tx.statement()
        found: list[Debit] = []
        for key in sorted(_name(one) for one in debit_ids):
            if self.tx.get("debit", key) is not None:
                await self.tx.lock("debit", key)
                found.append(self.tx.get("debit", key))
        return found

    async def try_lock_noticed(
        self, candidates: Sequence[Candidate]
    ) -> list[tuple[Mandate, Debit]]:
        """Lock what is announced, mandates first; leave out what somebody else is at work on."""
        await self.tx.statement()
        free = [
            (one, mandate)
            for one in candidates
            if (key := (one.debit_id.account_id, one.mandate_id))
            and (mandate := self.tx.get("mandate", key)) is not None
            and self.tx.try_lock("mandate", key)
        ]
        await self.tx.statement()
        return [
            (mandate, debit)
            for one, mandate in free
            if (debit := self.tx.get("debit", _name(one.debit_id))) is not None
            and debit.state is State.NOTICED
            and self.tx.try_lock("debit", _name(one.debit_id))
        ]

    async def lock_debit(self, debit_id: DebitId) -> Debit | None:
        """Lock one debit."""
        await self.tx.statement()
        if self.tx.get("debit", _name(debit_id)) is None:
            return None
        await self.tx.lock("debit", _name(debit_id))
        found: Debit | None = self.tx.get("debit", _name(debit_id))
        return found

    async def payment_holders(
        self, named: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], DebitId]:
        """Debits that go by one of these names of payments already."""
        await self.tx.statement()
        wanted = set(named)
        return {
            (row.account_id, row.bank_payment_id): row.debit_id
            for row in self.tx.scan("debit")
            if (row.account_id, row.bank_payment_id) in wanted
        }

    async def unsent_debits(self, account_id: str, mandate_id: str) -> list[Debit]:
        """Lock the debits of a mandate that the bank has certainly never seen."""

        def wanted(row: Debit) -> bool:
            whose = (row.account_id, row.mandate_id) == (account_id, mandate_id)
            return whose and row.state in _UNSENT and row.sends == 0

        await self.tx.statement()
        return await self._locked(wanted)

    async def accepted_debits(self, account_id: str, mandate_id: str) -> list[Debit]:
        """Lock the debits that the bank has accepted and, for all we know, not sent on."""

        def wanted(row: Debit) -> bool:
            whose = (row.account_id, row.mandate_id) == (account_id, mandate_id)
            return whose and row.state is State.ACCEPTED and row.bank_payment_id is not None

        await self.tx.statement()
        return await self._locked(wanted)

    async def other_alive(self, debit_id: DebitId) -> Debit | None:
        """Lock another attempt for the same bill that may still take money."""

        def wanted(row: Debit) -> bool:
            bill = (row.account_id, row.bill_no) == (debit_id.account_id, debit_id.bill_no)
            return bill and row.attempt != debit_id.attempt and row.state not in _DEAD

        await self.tx.statement()
        found = await self._locked(wanted)
        return found[0] if found else None

    async def _locked(self, wanted: Any) -> list[Debit]:
        """Lock the rows that fit, and leave out those that fit no more once they are locked."""
        found = []
        for row in [row for row in self.tx.scan("debit") if wanted(row)]:
            await self.tx.lock("debit", _name(row))
            now = self.tx.get("debit", _name(row))
            if wanted(now):
                found.append(now)
        return found

    async def attempts(self, account_id: str, bill_no: str) -> list[Attempt]:
        """What became of the attempts for a bill so far."""
        await self.tx.statement()
        rows = debits_of(self.tx, account_id, bill_no)
        return [
            Attempt(attempt=row.attempt, state=row.state, reason=row.reason, retry_on=row.retry_on)
            for row in sorted(rows, key=lambda row: row.attempt)
        ]

    async def owed_minor(self, account_id: str, bill_no: str) -> int:
        """What a bill still owes by posted transfers."""
        await self.tx.statement()
        return owed_minor(self.tx, account_id, bill_no)

    async def facts(self, debits: Sequence[Debit]) -> list[Facts]:
        """What the guards look at; nothing is known here of what other months asked for."""
        await self.tx.statement()
        return [
            Facts(
                owed_minor=owed_minor(self.tx, one.account_id, one.bill_no),
                notice=self._notice(one.debit_id),
                frozen=self._frozen(one.account_id, one.mandate_id),
                stopped=bill_stopped(self.tx, one.account_id, one.bill_no),
                disputed=disputed(self.tx, one.account_id, one.bill_no),
                month_minor=self._month_minor(one),
                habit=self._habit(one.account_id, one.bill_no),
            )
            for one in debits
        ]

    def _frozen(self, account_id: str, mandate_id: str) -> bool:
        return frozen(self.tx, account_id, mandate_id)

    def _month_minor(self, debit: Debit) -> int:
        return sum(
            row.amount_minor
            for row in self.tx.scan("debit")
            if row.account_id == debit.account_id
            and row.bill_no != debit.bill_no
            and (
                (row.state in COUNTS_IN_MONTH and _month(row) == _month(debit))
                or (
                    (row.state, row.reason) == (State.FAILED, "bank_retries")
                    and _month(row) <= _month(debit)
                )
            )
        )

    def _notice(self, debit_id: DebitId) -> Notice | None:
        told = self._notices(debit_id)
        found: Notice | None = self.tx.get("notice", (*_name(debit_id), told)) if told else None
        return found

    def _notices(self, debit_id: DebitId) -> int:
        """Return how many notices a debit has."""
        number = 0
        while self.tx.get("notice", (*_name(debit_id), number + 1)) is not None:
            number += 1
        return number

    def _habit(self, account_id: str, bill_no: str) -> Habit:
        bill = self.tx.get("bill", (account_id, bill_no))
        said = [
            row[2] for row in self.tx.scan("debit_approval") if row[:2] == (account_id, bill_no)
        ]
        return Habit(
            period_start=bill.period_start,
            estimated=False,
            approved_minor=max(said, default=None),
            past=(),
        )

    async def held_since(self, debit_id: DebitId) -> datetime | None:
        """Since when a debit is held."""
        await self.tx.statement()
        steps = [
            self.tx.get("debit_step", key)
            for key in self._step_keys()
            if key[:3] == _name(debit_id)
        ]
        return max((one.taken_at for one in steps if one.to_state is State.HELD), default=None)

    async def add_debit(self, debit: Debit) -> bool:
        """Keep a new attempt with its first step, unless another one for the bill is alive."""
        await self.tx.statement()
        if not await self.tx.insert("debit", _name(debit), debit):
            return False
        step = Step(
            from_state=None, to_state=debit.state, reason=debit.reason, taken_at=debit.changed_at
        )
        await self.tx.add("debit_step", (*_name(debit), 1), step)
        return True

    async def save_debit(self, before: Debit, after: Debit) -> None:
        """Take a debit one step on from the state we saw it in, with its step and transfers."""
        await self.save_debits([(before, after)])

    async def save_debits(self, steps: Sequence[tuple[Debit, Debit]]) -> None:
        """Take debits one step on, each from the state we saw it in."""
        await self.tx.statement()
        for before, after in steps:
            await self._save_debit(before, after)

    async def _save_debit(self, before: Debit, after: Debit) -> None:
        key = _name(after)
        now = self.tx.get("debit", key)
        if now is None or now.state is not before.state:
            self.tx.let_go()
            raise StaleDebitError(f"{before.key} is not {before.state} any more")
        fixed = replace(
            after,
            mandate_id=now.mandate_id,
            amount_minor=now.amount_minor,
            currency=now.currency,
        )
        await self.tx.update("debit", key, fixed)
        number = 1 + sum(1 for step in self._step_keys() if step[:3] == key)
        step = Step(
            from_state=before.state,
            to_state=after.state,
            reason=after.reason,
            taken_at=after.changed_at,
        )
        await self.tx.add("debit_step", (*key, number), step)
        await self.tell_step(before, after, step_no=number)
        if goes_on(before, after):
            fresh = GOALS[before.state] is Goal.NOTHING
            for transfer in postings(after, () if fresh else self._written(after)):
                await self.post(transfer)

    def _written(self, debit: Debit) -> list[Transfer]:
        """Read what the ledger has of one debit."""
        return [
            one
            for one in self.tx.scan("transfer")
            if one.account_id == debit.account_id and one.transfer_id.startswith(prefix_of(debit))
        ]

    async def recover(self, debit: Debit, *, at: datetime) -> bool:
        """Post what is owed again once the bank has cut a payout for it; say whether any was."""
        await self.tx.statement()
        moves = recovery(debit, self._written(debit), at=at)
        for transfer in moves:
            await self.post(transfer)
        return bool(moves)

    def _step_keys(self) -> Iterable[Key]:
        yield from self.tx.db.rows["debit_step"]
        yield from (key for table, key in self.tx.writes if table == "debit_step")

    async def touch_debit(self, debit_id: DebitId, *, at: datetime) -> None:
        """Note that we looked at a debit and found nothing new."""
        await self.tx.statement()
        row = self.tx.get("debit", _name(debit_id))
        if row is not None:
            await self.tx.update("debit", _name(debit_id), replace(row, changed_at=at))

    async def add_notice(self, debit_id: DebitId, notice: Notice) -> None:
        """Tell the resident what will be taken and from which day."""
        await self.tx.statement()
        await self.tx.add("notice", (*_name(debit_id), self._notices(debit_id) + 1), notice)

    async def post(self, transfer: Transfer) -> None:
        """Post one transfer; the same one twice is an error, never a second movement."""
        await self.tx.statement()
        await self.tx.add("transfer", (transfer.account_id, transfer.transfer_id), transfer)

    async def first_time(self, event_id: str, *, resource: str, action: str, at: datetime) -> bool:
        """Keep an event of the bank as dealt with, and say whether this is the first time."""
        await self.tx.statement()
        return await self.tx.insert("bank_event", (event_id,), (resource, action, at))

    async def set_aside(self, event: BankEvent, *, trouble: str, at: datetime) -> None:
        """Put one event where it is looked at again; one that waits there gets its trouble."""
        await self.tx.statement()
        key = (event.event_id,)
        row = HintRow(event=event, heard_at=at, look_at=at + ASIDE_FOR, trouble=trouble)
        if not await self.tx.insert("bank_hint", key, row):
            now: HintRow = self.tx.get("bank_hint", key)
            if now.state == "waiting":
                await self.tx.update("bank_hint", key, replace(now, trouble=trouble))
