"""A change of the bank account: the new one is debited only when it has cooled off.

        begin                    switch
    ------------> WAITING ------------------> the mandate that is debited
                     |      72 hours later
                     | cancel                 (until then the old one is debited, or none)
                     v
                 CANCELLED

Whoever took an account over can name another bank account; the resident hears of it, at the old
address too, and has three days to say no, and three from when the account was named at the bank:
who set out to name one on Monday may do so on Friday. No debit is announced, recorded or sent under
a mandate that waits.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from billing.message import Kind, Message

# As long as the old address hears of changes: a weekend passes, and somebody has read his mail.
COOLING_OFF: Final = timedelta(hours=72)


class Outcome(StrEnum):
    """How a change ended; drawn at the top."""

    DONE = "done"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountChange:
    """One row of the table account_change: from ``cooled_at`` on the new mandate may be debited.

    ``usable_at`` is what was told when it began, ``named_at`` when we heard which bank account it
    is. With ``paused`` the resident wants debits to rest even then.
    """

    account_id: str
    mandate_id: str
    begun_at: datetime
    usable_at: datetime
    paused: bool = False
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    named_at: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse a change that does not cool off."""
        if self.usable_at < self.begun_at + COOLING_OFF:
            raise ValueError("a new bank account cools off for 72 hours")

    @property
    def cooled_at(self) -> datetime:
        """Return from when on the new bank account may be debited, for all we know."""
        return max(self.usable_at, (self.named_at or self.begun_at) + COOLING_OFF)


def change_message(change: AccountChange, *, to_revision: int | None) -> Message:
    """Return what a change tells to one address that must hear of it; None is the API alone."""
    step = "begun" if change.outcome is None else change.outcome.value
    return Message(
        account_id=change.account_id,
        message_id=f"{Kind.ACCOUNT_CHANGE}/{change.mandate_id}/{step}/{to_revision or 0}",
        kind=Kind.ACCOUNT_CHANGE,
        about={
            "mandate_id": change.mandate_id,
            "step": step,
            "usable_at": change.cooled_at.isoformat(),
        },
        to_revision=to_revision,
    )
