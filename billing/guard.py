"""The guards of a debit: asked when it is planned, and all of them again when it is recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from billing.debit import Debit
from billing.habit import Habit, doubt
from billing.mandate import Allowed, Held, Mandate, Permission, Refused, may_debit
from billing.notice import STOPPED, Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the guards look at, read in one snapshot; sums are in minor units.

    ``notice`` is what the resident was told last of the debit, ``month_minor`` what the account's
    other bills take with a charge day in the debit's month, or may take because the bank asks again
    by itself, ``frozen`` whether a person has to look before anything is asked for under the
    mandate, ``stopped`` whether the resident has said no to a debit for this bill.
    """

    owed_minor: int
    notice: Notice | None
    frozen: bool
    stopped: bool
    disputed: bool
    month_minor: int
    habit: Habit


class GuardDesk(Protocol):
    """What the guards look at inside one transaction."""

    async def facts(self, debits: Sequence[Debit]) -> list[Facts]:
        """Return what holds for each debit, kept or only thought of, in the same order."""


def permission(mandate: Mandate, debit: Debit, facts: Facts) -> Permission:
    """Tell whether a debit may go on now: the resident's no, the mandate, caps, disputes, habit."""
    if facts.stopped:
        return Refused(reason=STOPPED)
    if facts.frozen:
        return Held(reason="mandate_frozen")
    if facts.disputed:
        return Held(reason="disputed")
    allowed = may_debit(
        mandate,
        amount_minor=debit.amount_minor,
        currency=debit.currency,
        month_minor=facts.month_minor,
    )
    if not isinstance(allowed, Allowed):
        return allowed
    why = doubt(facts.habit, debit.amount_minor)
    return allowed if why is None else Held(reason=why)
