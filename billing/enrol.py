"""What a resident decides about a mandate: pause, resume, cancel, other caps.

Nobody is asked: one transaction of ours, in force when it commits. It also takes back every debit
that the bank has not seen yet. What the bank has to hear is told later by the step ``withdraw``.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple, Protocol

import structlog

from billing.account_change import AccountChange, Outcome
from billing.debit import Debit, Event, moved
from billing.mandate import ENDED, Caps, Enrolment, Mandate, State

log = structlog.get_logger()


class NoSuchMandateError(Exception):
    """There is no mandate of this name, or nobody comes back with this word."""


class MandateEndedError(Exception):
    """The mandate is over; only a new one helps."""


class UnsentDesk(Protocol):
    """What taking debits back needs inside one transaction."""

    async def unsent_debits(self, account_id: str, mandate_id: str) -> list[Debit]:
        """Lock the debits that the bank has certainly never seen."""

    async def save_debit(self, before: Debit, after: Debit) -> None:
        """Write a locked debit back, one step on."""


class WishDesk(UnsentDesk, Protocol):
    """What a resident's no needs inside one transaction."""

    async def accepted_debits(self, account_id: str, mandate_id: str) -> list[Debit]:
        """Lock the debits that the bank has accepted and, for all we know, not sent on."""


async def withdraw_accepted(desk: WishDesk, mandate: Mandate, *, at: datetime) -> int:
    """Note that nobody wants what the bank has accepted; the step ``withdraw`` tells the bank."""
    debits = await desk.accepted_debits(mandate.account_id, mandate.mandate_id)
    for debit in debits:
        await desk.save_debit(debit, moved(debit, Event.WITHDRAW, at=at, reason="withdrawn"))
    return len(debits)


async def cancel_unsent(desk: UnsentDesk, mandate: Mandate, *, reason: str, at: datetime) -> int:
    """Take back every debit under a mandate that the bank has never seen; return how many."""
    debits = await desk.unsent_debits(mandate.account_id, mandate.mandate_id)
    for debit in debits:
        await desk.save_debit(debit, moved(debit, Event.CANCEL, at=at, reason=reason))
    return len(debits)


class EnrolDesk(WishDesk, Protocol):
    """What residents' wishes need inside one transaction."""

    async def lock_mandate(self, account_id: str, mandate_id: str) -> Mandate | None:
        """Lock a mandate."""

    async def save_mandate(self, mandate: Mandate) -> None:
        """Write a locked mandate back."""

    async def open_change(self, account_id: str, mandate_id: str) -> AccountChange | None:
        """Lock the change that a mandate waits for; None if it waits for none."""

    async def pause_change(self, change: AccountChange, *, paused: bool) -> None:
        """Note whether debits rest when the new account has cooled off."""

    async def end_change(self, change: AccountChange, outcome: Outcome, *, at: datetime) -> None:
        """Note how a change ended, and tell everybody who must hear of it."""


class EnrolStore(Protocol):
    """Where mandates are kept."""

    def begin(self) -> AbstractAsyncContextManager[EnrolDesk]:
        """Open one transaction."""


class Changed(NamedTuple):
    """A mandate after the resident's wish, and how many debits it took back."""

    mandate: Mandate
    debits_cancelled: int


async def pause(*, store: EnrolStore, account_id: str, mandate_id: str, at: datetime) -> Changed:
    """Let no new debit begin until the resident resumes; in force when this returns.

    Raises:
        NoSuchMandateError: the account has no such mandate.
        MandateEndedError: there is nothing left to pause.
    """
    async with store.begin() as desk:
        mandate = await _wanted(desk, account_id, mandate_id)
        return await _enrol(desk, mandate, Enrolment.PAUSED, reason="paused", at=at)


async def resume(*, store: EnrolStore, account_id: str, mandate_id: str, at: datetime) -> Changed:
    """Let debits begin again, each with a fresh notice.

    Raises:
        NoSuchMandateError: the account has no such mandate.
        MandateEndedError: a cancelled mandate stays cancelled.
    """
    async with store.begin() as desk:
        mandate = await _wanted(desk, account_id, mandate_id)
        return await _enrol(desk, mandate, Enrolment.ACTIVE, reason=None, at=at)


async def cancel(*, store: EnrolStore, account_id: str, mandate_id: str, at: datetime) -> Changed:
    """End a mandate for good; in force when this returns, and told to the bank afterwards.

    Cancelling what is over already changes nothing.

    Raises:
        NoSuchMandateError: the account has no such mandate.
    """
    async with store.begin() as desk:
        mandate = await desk.lock_mandate(account_id, mandate_id)
        if mandate is None:
            raise NoSuchMandateError(mandate_id)
        if mandate.state is State.INVITED and mandate.bank_request_id is None:
            # The bank has shown nobody a page for it, so there is nothing to undo there.
            mandate = replace(mandate, state=State.CANCELLED)
        reason = "cancelled_by_resident"
        return await _enrol(desk, mandate, Enrolment.CANCELLED, reason=reason, at=at)


async def change_caps(
    *, store: EnrolStore, account_id: str, mandate_id: str, caps: Caps, at: datetime
) -> Mandate:
    """Set the resident's caps anew; every debit not yet recorded is measured against them.

    Raises:
        NoSuchMandateError: the account has no such mandate.
        MandateEndedError: the mandate is over.
    """
    async with store.begin() as desk:
        mandate = await _wanted(desk, account_id, mandate_id)
        if mandate.caps != caps:
            mandate = replace(mandate, caps=caps, changed_at=at)
            await desk.save_mandate(mandate)
    log.info("mandate.caps_changed", mandate=mandate_id)
    return mandate


async def _wanted(desk: EnrolDesk, account_id: str, mandate_id: str) -> Mandate:
    mandate = await desk.lock_mandate(account_id, mandate_id)
    if mandate is None:
        raise NoSuchMandateError(mandate_id)
    if mandate.state in ENDED or mandate.enrolment is Enrolment.CANCELLED:
        raise MandateEndedError(mandate_id)
    return mandate


async def _enrol(
    desk: EnrolDesk, mandate: Mandate, wish: Enrolment, *, reason: str | None, at: datetime
) -> Changed:
    if mandate.enrolment is Enrolment.WAITING:
        change = await desk.open_change(mandate.account_id, mandate.mandate_id)
        assert change is not None, "whoever waits, waits for a change"
        if wish is not Enrolment.CANCELLED:
            # It is not debited yet in any case; the wish counts from when it would be.
            await desk.pause_change(change, paused=wish is Enrolment.PAUSED)
            return Changed(mandate, 0)
        await desk.end_change(change, Outcome.CANCELLED, at=at)
    if mandate.enrolment is not wish:
        mandate = replace(mandate, enrolment=wish, changed_at=at)
        await desk.save_mandate(mandate)
    taken_back = 0
    if reason is not None:
        taken_back = await cancel_unsent(desk, mandate, reason=reason, at=at)
        await withdraw_accepted(desk, mandate, at=at)
    log.info("mandate.enrolled", mandate=mandate.mandate_id, wish=wish, cancelled=taken_back)
    return Changed(mandate, taken_back)
