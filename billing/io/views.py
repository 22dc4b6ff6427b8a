"""Debits and mandates as people see them: lists to read, never to work on."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import asyncpg

import sql
from billing.debit import State

_Q: Final = sql.queries("views")


@dataclass(frozen=True, slots=True, kw_only=True)
class MandateView:
    """A mandate as its resident sees it."""

    mandate_id: str
    state: str
    enrolment: str
    payment_minor_max: int
    month_minor_max: int
    currency: str
    authorisation_url: str | None
    account_number_ending: str | None
    created_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """One step that a debit took."""

    from_state: str | None
    to_state: str
    reason: str | None
    taken_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeView:
    """What the resident was told: this amount, from that day."""

    amount_minor: int
    currency: str
    charge_on: date
    noticed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DebitView:
    """One attempt to be paid for one bill."""

    account_id: str
    bill_no: str
    attempt: int
    mandate_id: str
    state: str
    reason: str | None
    amount_minor: int
    currency: str
    charge_on: date
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DebitStory:
    """A debit with its notice and every step it took."""

    debit: DebitView
    notice: NoticeView | None
    steps: tuple[StepView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DebitPlace:
    """A place in the list of all debits in one state."""

    charge_on: date
    account_id: str
    bill_no: str
    attempt: int


FIRST_DEBIT: Final = DebitPlace(charge_on=date(1999, 12, 31), account_id="", bill_no="", attempt=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """The lists in PostgreSQL; works with the service's rights."""

    pool: asyncpg.Pool

    async def mandates(self, account_id: str) -> list[MandateView]:
        """Return the mandates of an account, newest first."""
        async with self.pool.acquire() as conn:
            rows = _Q.list_mandates(conn, account_id=account_id)
            return [MandateView(**row) async for row in rows]

    async def stories(
        self, account_id: str, *, before: tuple[str, int], page: int
    ) -> list[DebitStory]:
        """Return a page of an account's debits, newest bill and last attempt first."""
        async with self.pool.acquire() as conn:
            rows = _Q.list_account_debits(
                conn,
                account_id=account_id,
                before_bill_no=before[0],
                before_attempt=before[1],
                page=page,
            )
            debits = [DebitView(**row) async for row in rows]
            bill_nos = sorted({debit.bill_no for debit in debits})
            steps: dict[tuple[str, int], list[StepView]] = {}
            async for row in _Q.list_steps(conn, account_id=account_id, bill_nos=bill_nos):
                steps.setdefault(_attempt(row), []).append(
                    StepView(
                        from_state=row["from_state"],
                        to_state=row["to_state"],
                        reason=row["reason"],
                        taken_at=row["taken_at"],
                    )
                )
            notices = {
                _attempt(row): NoticeView(
                    amount_minor=row["amount_minor"],
                    currency=row["currency"],
                    charge_on=row["charge_on"],
                    noticed_at=row["noticed_at"],
                )
                async for row in _Q.list_notices(conn, account_id=account_id, bill_nos=bill_nos)
            }
        return [
            DebitStory(
                debit=debit,
                notice=notices.get((debit.bill_no, debit.attempt)),
                steps=tuple(steps.get((debit.bill_no, debit.attempt), ())),
            )
            for debit in debits
        ]

    async def in_state(self, state: State, *, after: DebitPlace, page: int) -> list[DebitView]:
        """Return a page of all debits in one state, by the day of their charge."""
        async with self.pool.acquire() as conn:
            rows = _Q.list_debits_in_state(
                conn,
                state=state.value,
                after_charge_on=after.charge_on,
                after_account_id=after.account_id,
                after_bill_no=after.bill_no,
                after_attempt=after.attempt,
                page=page,
            )
            return [DebitView(**row) async for row in rows]


def _attempt(row: Any) -> tuple[str, int]:  # noqa: ANN401 - the driver's row has no type
    return row["bill_no"], row["attempt"]
