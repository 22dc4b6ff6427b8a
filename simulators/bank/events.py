"""Events: the bank's own diary, read page by page."""

from typing import Final

from simulators.bank.listing import written
from simulators.bank.operation import Call, Operation
from simulators.bank.store import Document
from simulators.bank.wire import Text
from simulators.bank.world import Bank, shown

FILTERS: Final = (
    "action",
    "billing_request",
    "created_at",
    "customer",
    "customer_bank_account",
    "mandate",
    "parent_event",
    "payment",
    "payout",
    "refund",
    "resource_type",
)


def get(bank: Bank, call: Call) -> Document:
    """Return an event."""
    return shown(bank.find("events", call.identity))


def index(bank: Bank, call: Call) -> Text:
    """Return a page of events; nothing of an event is hidden, so it goes out as it is written."""
    return written(bank, "events", call.query, FILTERS)


OPERATIONS: Final = (
    Operation(name="events.list", method="GET", path="/events", run=index),
    Operation(name="events.get", method="GET", path="/events/{identity}", run=get),
)
