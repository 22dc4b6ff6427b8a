"""Switching: a bank account that has cooled off takes the place of the one before.

The old mandate ends as if the resident had cancelled it, and takes back what the bank has not seen;
what is owed is announced anew, under the new one. A resident who paused debits stays paused.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime
from typing import Protocol

import structlog

from billing.account_change import Outcome
from billing.enrol import EnrolDesk, cancel_unsent
from billing.mandate import Enrolment, Mandate, State

log = structlog.get_logger()


class SwitchDesk(EnrolDesk, Protocol):
    """What switching needs inside one transaction."""

    async def usable_mandate(self, account_id: str) -> Mandate | None:
        """Lock the one mandate of an account that is debited."""


class SwitchStore(Protocol):
    """Where changes wait."""

    def begin(self) -> AbstractAsyncContextManager[SwitchDesk]:
        """Open one transaction."""

    async def changes_due(self, *, at: datetime, limit: int) -> list[tuple[str, str]]:
        """Return account and new mandate of changes that have cooled off."""


async def switch(*, store: SwitchStore, at: datetime, limit: int) -> int:
    """Let new mandates that have cooled off take the place of the old ones; return how many."""
    due = await store.changes_due(at=at, limit=limit)
    done = [await _switch_one(store, *one, at=at) for one in due]
    if any(done):
        log.info("switch.done", mandates=sum(done))
    return sum(done)


async def _switch_one(
    store: SwitchStore, account_id: str, mandate_id: str, *, at: datetime
) -> bool:
    async with store.begin() as desk:
        old = await desk.usable_mandate(account_id)
        new = await desk.lock_mandate(account_id, mandate_id)
        change = await desk.open_change(account_id, mandate_id)
        if new is None or change is None or at < change.cooled_at:
            return False
        if new.enrolment is not Enrolment.WAITING or new.state is not State.ACTIVE:
            return False
        paused = change.paused
        if old is not None:
            paused = paused or old.enrolment is Enrolment.PAUSED
            old = replace(old, enrolment=Enrolment.CANCELLED, changed_at=at)
            await desk.save_mandate(old)
            await cancel_unsent(desk, old, reason="account_changed", at=at)
        wish = Enrolment.PAUSED if paused else Enrolment.ACTIVE
        await desk.save_mandate(replace(new, enrolment=wish, changed_at=at))
        await desk.end_change(change, Outcome.DONE, at=at)
    return True
