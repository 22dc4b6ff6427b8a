"""Setting an event aside that leads nowhere yet; ``billing/hear.py`` looks at it again."""

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Final, Protocol

from billing.bank import UNREADABLE, BankEvent

# By which of its links an event names what it is about; other resources are not ours to follow.
NAMED_BY: Final = {
    "payments": "payment",
    "mandates": "mandate",
    "billing_requests": "billing_request",
    "refunds": "refund",
    UNREADABLE: "",
}
# The trouble of an event that leads to a mandate which another account of ours has already.
FOREIGN: Final = "mandate_of_another"
# The trouble of an event about something whose status, as the bank tells it, we do not know.
UNKNOWN_STATUS: Final = "unknown_status"


class AsideDesk(Protocol):
    """What setting aside needs inside one transaction."""

    async def set_aside(self, event: BankEvent, *, trouble: str, at: datetime) -> None:
        """Keep an event to be looked at again (``billing/hear.py``), unless it is kept."""


class AsideStore(Protocol):
    """Where events wait."""

    def begin(self) -> AbstractAsyncContextManager[AsideDesk]:
        """Open one transaction."""


async def aside(store: AsideStore, event: BankEvent, trouble: str, *, at: datetime) -> str:
    """Keep an event to be looked at again, and return the name of its count."""
    async with store.begin() as desk:
        await desk.set_aside(event, trouble=trouble, at=at)
    return "unknown"


def trouble_of(event: BankEvent) -> str:
    """Say in a word why an event about our kind of thing led nowhere."""
    if event.resource == UNREADABLE:
        return "unreadable"
    return "unknown_id" if NAMED_BY[event.resource] in event.links else "no_link"
