"""Stopping one debit: the resident's no to one bill, while his mandate goes on.

In force with its commit, whether the bank listens or not. What the bank has not seen is gone; what
it has accepted is withdrawn (``billing/withdraw.py``); what it may have is only looked for, and
withdrawn if it is found; what it could not stop any more is given back by itself. The bill is not
asked for by debit again: its resident pays by hand. So a no to an attempt that was cancelled before
is one to the attempt that came after it.
"""

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Final, NamedTuple, Protocol

import structlog

from billing.approve import NoSuchDebitError
from billing.debit import BEFORE_BANK, FINAL, TAKEN, Debit, DebitId, Event, State, moved
from billing.mandate import Mandate
from billing.notice import STOPPED
from billing.turn import BANK_RETRIES

log = structlog.get_logger()

# The bank has passed these on, or has the money: only it, or a refund, can give it back.
_TOO_LATE: Final = TAKEN | {State.SUBMITTED}
# Nobody knows whether the bank has these, or a person or the bank decides: the wish waits for them.
_UNCERTAIN: Final = frozenset(
    {State.RECORDED, State.SENDING, State.UNKNOWN, State.CANCEL_REQUESTED, State.REVIEW}
)


class DebitTooLateError(Exception):
    """The bank has passed the debit on; the payer's bank, or a refund, gives money back."""


class DebitOverError(Exception):
    """The debit is over; there is nothing to stop."""


class StopDesk(Protocol):
    """What stopping needs inside one transaction."""

    async def mandate_of_debit(self, debit_id: DebitId) -> str | None:
        """Return the mandate of a debit, which never changes; None if there is no such debit."""

    async def lock_mandate(self, account_id: str, mandate_id: str) -> Mandate | None:
        """Lock a mandate."""

    async def lock_debit(self, debit_id: DebitId) -> Debit | None:
        """Lock one debit."""

    async def other_alive(self, debit_id: DebitId) -> Debit | None:
        """Lock another attempt for the same bill that may still take money."""

    async def add_stop(self, debit_id: DebitId, *, stopped_by: str, at: datetime) -> bool:
        """Keep that a debit was stopped, and by whom; False if it was stopped before."""

    async def save_debit(self, before: Debit, after: Debit) -> None:
        """Write a locked debit back, one step on."""


class StopStore(Protocol):
    """Where debits are kept."""

    def begin(self) -> AbstractAsyncContextManager[StopDesk]:
        """Open one transaction."""


class Stopped(NamedTuple):
    """A debit after the resident's no; until it is ``done`` the bank has to be asked.

    Where the one that was named had ended before another one began, it is that other one.
    """

    debit: Debit
    done: bool


async def stop_debit(
    *, store: StopStore, debit_id: DebitId, stopped_by: str, at: datetime
) -> Stopped:
    """Stop a debit for good, in force when this returns; the same wish again changes nothing.

    Raises:
        NoSuchDebitError: there is no such debit.
        DebitTooLateError: the bank has passed it on, or has the money.
        DebitOverError: it failed, or was given back, before.
    """
    async with store.begin() as desk:
        debit = await _locked(desk, debit_id)
        if debit.state is State.CANCELLED:
            debit = await desk.other_alive(debit_id) or debit
        if await desk.add_stop(debit_id, stopped_by=stopped_by, at=at):
            after = _step(debit, at)
            if after is not debit:
                await desk.save_debit(debit, after)
            debit = after
            log.info("debit.stopped", key=debit.key, state=debit.state)
    return Stopped(debit, debit.state in FINAL and not _revived(debit))


def _revived(debit: Debit) -> bool:
    """Tell whether the bank said that it asks again by itself."""
    return debit.state is State.FAILED and debit.reason == BANK_RETRIES


async def _locked(desk: StopDesk, debit_id: DebitId) -> Debit:
    """Lock the mandate first, then the debit, as everybody does."""
    mandate_id = await desk.mandate_of_debit(debit_id)
    if mandate_id is None:
        raise NoSuchDebitError(debit_id.bill_no)
    await desk.lock_mandate(debit_id.account_id, mandate_id)
    debit = await desk.lock_debit(debit_id)
    assert debit is not None, "debits are never removed"
    return debit


def _step(debit: Debit, at: datetime) -> Debit:
    """Return the debit one step on, or as it is where only the bank's next word can move it."""
    state = debit.state
    if state in _TOO_LATE:
        raise DebitTooLateError(f"the debit is {state}")
    if state in BEFORE_BANK and debit.sends == 0:
        return moved(debit, Event.CANCEL, at=at, reason=STOPPED)
    if state is State.ACCEPTED:
        return moved(debit, Event.WITHDRAW, at=at, reason="withdrawn")
    if state is State.RETRY_DUE:
        return moved(debit, Event.GIVE_UP, at=at, reason=debit.reason)
    if _revived(debit) or state is State.CANCELLED or state in _UNCERTAIN:
        return debit
    raise DebitOverError(f"the debit is {state}")
