"""What announcing and its guards read and write, inside the transaction of a Desk."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import asyncpg

import sql
from billing.approve import Approval
from billing.debit import COUNTS_IN_MONTH, Debit, DebitId, State
from billing.decision import Decision, ReviewWord
from billing.guard import Facts
from billing.habit import Habit, PastBill
from billing.io.debit_rows import debit_of, name_of, names_of
from billing.notice import Attempt, Notice
from billing.period import Period

_Q: Final = sql.queries("debits")


class AnnounceRows:
    """The part of a Desk with which a debit is announced."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._db = connection

    async def attempts(self, account_id: str, bill_no: str) -> list[Attempt]:
        """Return what became of the attempts for a bill so far, oldest first."""
        rows = _Q.attempts(self._db, account_id=account_id, bill_no=bill_no)
        return [
            Attempt(
                attempt=row["attempt"],
                state=State(row["state"]),
                reason=row["reason"],
                retry_on=row["retry_on"],
            )
            async for row in rows
        ]

    async def owed_minor(self, account_id: str, bill_no: str) -> int:
        """Return what a bill still owes by posted transfers, in minor units."""
        return int(await _Q.owed_minor(self._db, account_id=account_id, bill_no=bill_no))

    async def facts(self, debits: Sequence[Debit]) -> list[Facts]:
        """Return what the guards look at for each debit, kept or only thought of, in this order."""
        months = [Period.month(one.charge_on.year, one.charge_on.month) for one in debits]
        rows = _Q.guard_facts(
            self._db,
            **names_of(debits),
            mandate_ids=[one.mandate_id for one in debits],
            month_starts=[month.start for month in months],
            month_ends=[month.end for month in months],
            states=sorted(COUNTS_IN_MONTH),
        )
        return [_facts_of(row) async for row in rows]

    async def add_debit(self, debit: Debit) -> bool:
        """Keep a new attempt with its first step; False if another one for the bill is alive."""
        row = await _Q.add_debit(
            self._db,
            **name_of(debit.debit_id),
            mandate_id=debit.mandate_id,
            state=debit.state,
            reason=debit.reason,
            amount_minor=debit.amount_minor,
            currency=debit.currency,
            charge_on=debit.charge_on,
            at=debit.changed_at,
        )
        return row is not None

    async def add_notice(self, debit_id: DebitId, notice: Notice) -> None:
        """Tell the resident what will be taken, and from which day."""
        await _Q.add_notice(
            self._db,
            **name_of(debit_id),
            amount_minor=notice.amount_minor,
            currency=notice.currency,
            charge_on=notice.charge_on,
            at=notice.noticed_at,
        )

    async def approval(self, account_id: str, bill_no: str, amount_minor: int) -> Approval | None:
        """Return the word that was given for a sum."""
        row = await _Q.approval(
            self._db, account_id=account_id, bill_no=bill_no, amount_minor=amount_minor
        )
        return None if row is None else Approval(**dict(row))

    async def add_approval(self, account_id: str, bill_no: str, approval: Approval) -> None:
        """Keep a word that a sum may be taken."""
        await _Q.add_approval(
            self._db,
            account_id=account_id,
            bill_no=bill_no,
            amount_minor=approval.amount_minor,
            approved_by=approval.approved_by,
            at=approval.approved_at,
        )

    async def lock_alive(self, account_id: str, bill_no: str) -> Debit | None:
        """Lock the one attempt for a bill that may still take money."""
        row = await _Q.lock_alive(self._db, account_id=account_id, bill_no=bill_no)
        return None if row is None else debit_of(row)

    async def last_step(self, debit_id: DebitId) -> int:
        """Return the number of the last step a debit took."""
        return int(await _Q.last_step(self._db, **name_of(debit_id)))

    async def review_words(self, debit_id: DebitId, step_no: int) -> list[ReviewWord]:
        """Return what was said about a debit since a step put it in review, oldest first."""
        rows = _Q.review_words(self._db, **name_of(debit_id), step_no=step_no)
        return [
            ReviewWord(
                decision=Decision(row["decision"]),
                because=row["because"],
                said_by=row["said_by"],
                said_at=row["said_at"],
            )
            async for row in rows
        ]

    async def add_review_word(self, debit_id: DebitId, step_no: int, word: ReviewWord) -> bool:
        """Keep a person's word; False if he has said the same before."""
        fresh = await _Q.add_review_word(
            self._db,
            **name_of(debit_id),
            step_no=step_no,
            decision=word.decision,
            said_by=word.said_by,
            because=word.because,
            said_at=word.said_at,
        )
        return fresh is True

    async def held_since(self, debit_id: DebitId) -> datetime | None:
        """Return since when a debit is held; None if it never was."""
        since: datetime | None = await _Q.held_since(self._db, **name_of(debit_id))
        return since


def _facts_of(row: asyncpg.Record) -> Facts:
    past = zip(row["months"] or (), row["totals"] or (), strict=True)
    return Facts(
        owed_minor=row["owed_minor"],
        notice=None
        if row["noticed_at"] is None
        else Notice(
            amount_minor=row["told_minor"],
            currency=row["told_currency"],
            charge_on=row["told_charge_on"],
            noticed_at=row["noticed_at"],
        ),
        frozen=row["frozen"],
        stopped=row["stopped"],
        disputed=row["disputed"],
        month_minor=row["month_minor"],
        habit=Habit(
            period_start=row["period_start"],
            estimated=row["estimated"],
            approved_minor=row["approved_minor"],
            past=tuple(PastBill(period_start=month, total_minor=total) for month, total in past),
        ),
    )
