"""The guards of a debit: asked when it is planned, and all of them again when it is recorded."""

from datetime import date
from typing import Protocol

from billing.debit import COUNTS_IN_MONTH, Debit, State
from billing.habit import Habit, doubt
from billing.mandate import Allowed, Held, Mandate, Permission, may_debit
from billing.period import Period


class GuardDesk(Protocol):
    """What the guards look at inside one transaction."""

    async def disputed(self, account_id: str, bill_no: str) -> bool:
        """Say whether a bill is in dispute."""

    async def frozen(self, account_id: str, mandate_id: str) -> bool:
        """Say whether nothing may be asked for under a mandate until a person has looked."""

    async def month_minor(
        self, account_id: str, bill_no: str, *, states: frozenset[State], start: date, end: date
    ) -> int:
        """Return what the account's other bills take between two days."""

    async def habit(self, account_id: str, bill_no: str) -> Habit:
        """Return what the account usually pays, and what its resident said of this bill."""


async def permission(desk: GuardDesk, mandate: Mandate, debit: Debit) -> Permission:
    """Tell whether a debit may go on now: the mandate, the caps, disputes, the habit."""
    if await desk.frozen(mandate.account_id, mandate.mandate_id):
        return Held(reason="mandate_frozen")
    if await desk.disputed(debit.account_id, debit.bill_no):
        return Held(reason="disputed")
    month = Period.month(debit.charge_on.year, debit.charge_on.month)
    month_minor = await desk.month_minor(
        debit.account_id, debit.bill_no, states=COUNTS_IN_MONTH, start=month.start, end=month.end
    )
    allowed = may_debit(
        mandate,
        amount_minor=debit.amount_minor,
        currency=debit.currency,
        month_minor=month_minor,
    )
    if not isinstance(allowed, Allowed):
        return allowed
    why = doubt(await desk.habit(debit.account_id, debit.bill_no), debit.amount_minor)
    return allowed if why is None else Held(reason=why)
