"""Approving: the resident says that an unusual or estimated sum may be taken for a bill.

The word counts for this bill and up to this sum. It only lets the guards go on: notice, caps and
everything else are asked as always, by the next round of ``notice``.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import structlog

from billing.debit import Debit, State

log = structlog.get_logger()

# What a resident's word lets go. Other holds end otherwise: a cap is raised, a pause or a dispute
# ends, the bank says that the mandate is active.
APPROVABLE: Final = frozenset({"anomaly", "estimated"})


class NoSuchDebitError(Exception):
    """No debit for this bill is on its way."""


class NotApprovableError(Exception):
    """The debit does not wait for this word; the message says what it waits for."""


class AmountDiffersError(Exception):
    """The debit is for another amount than the one that was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Somebody's word for one bill, in minor units."""

    amount_minor: int
    approved_by: str
    approved_at: datetime


class ApproveDesk(Protocol):
    """What approving needs inside one transaction."""

    async def lock_alive(self, account_id: str, bill_no: str) -> Debit | None:
        """Lock the one attempt for a bill that may still take money."""

    async def approval(self, account_id: str, bill_no: str, amount_minor: int) -> Approval | None:
        """Return the word that was given for a sum."""

    async def add_approval(self, account_id: str, bill_no: str, approval: Approval) -> None:
        """Keep a word."""


class ApproveStore(Protocol):
    """Where approvals are kept."""

    def begin(self) -> AbstractAsyncContextManager[ApproveDesk]:
        """Open one transaction."""


async def approve(  # noqa: PLR0913 - each argument is a fact of its own
    *,
    store: ApproveStore,
    account_id: str,
    bill_no: str,
    amount_minor: int,
    approved_by: str,
    at: datetime,
) -> tuple[Approval, bool]:
    """Keep the resident's word, and say whether it is new; the same word again changes nothing.

    Raises:
        NoSuchDebitError: there is no debit for this bill under way.
        AmountDiffersError: it is for another sum than the resident saw.
        NotApprovableError: it is not held, or for something that a word does not change.
    """
    async with store.begin() as desk:
        debit = await desk.lock_alive(account_id, bill_no)
        if debit is None:
            raise NoSuchDebitError(bill_no)
        given = await desk.approval(account_id, bill_no, amount_minor)
        if given is not None:
            return given, False
        if debit.state is not State.HELD or debit.reason not in APPROVABLE:
            raise NotApprovableError(f"the debit is {debit.state}: {debit.reason or 'not held'}")
        if debit.amount_minor != amount_minor:
            raise AmountDiffersError(f"the debit is for {debit.amount_minor} {debit.currency}")
        word = Approval(amount_minor=amount_minor, approved_by=approved_by, approved_at=at)
        await desk.add_approval(account_id, bill_no, word)
    log.info("debit.approved", key=debit.key)
    return word, True
