"""Customer notifications: what the payer must be told, by the creditor or else by the bank.

An event may carry one. The creditor handles it before its deadline, and then has told the payer;
after the deadline the bank has told the payer itself, and it is too late to handle it.
"""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from simulators.bank import errors
from simulators.bank.clock import parse, stamp
from simulators.bank.operation import Call, Operation
from simulators.bank.store import Document
from simulators.bank.world import Bank, shown

KIND: Final = "customer_notifications"
# Time enough for a service that follows the events, and before a payment leaves with its file.
DEADLINE: Final = timedelta(hours=12)

# What the payer is told of, by kind and action: the notification's type and whether it must be.
OFFERED: Final[Mapping[tuple[str, str], tuple[str, bool]]] = MappingProxyType(
    {
        ("mandates", "created"): ("mandate_created", True),
        ("payments", "created"): ("payment_created", True),
        ("payments", "cancelled"): ("payment_cancelled", False),
    }
)

LINKED: Final = frozenset({"customer", "event", "mandate", "payment", "refund"})


def offer(bank: Bank, event: Document, document: Document) -> Document:
    """Let an event carry a notification, if the payer is to be told of such; returns the event."""
    told = OFFERED.get((event["resource_type"], event["action"]))
    if told is None:
        return event
    name, mandatory = told
    links = {
        **document["links"],
        **event["links"],
        "customer": _customer(document),
        "event": event["id"],
    }
    notification = bank.create(
        KIND,
        {
            "action_taken": None,
            "action_taken_at": None,
            "action_taken_by": None,
            "links": {link: links[link] for link in links if link in LINKED},
            "type": name,
            "hidden": {"deadline": stamp(bank.at + DEADLINE)},
        },
    )
    event["customer_notifications"] = [
        {
            "deadline": notification["hidden"]["deadline"],
            "id": notification["id"],
            "mandatory": mandatory,
            "type": name,
        }
    ]
    bank.store.put(event)
    return event


def _customer(document: Document) -> str:
    found: str = document["links"].get("customer") or document["hidden"]["customer"]
    return found


def handle(bank: Bank, call: Call) -> Document:
    """Take it upon the creditor to tell the payer.

    :raises BankError: 422 already_actioned when it was handled before or the deadline has passed.
    """
    notification = bank.find(KIND, call.identity)
    call.fields.check()
    late = bank.at >= parse(notification["hidden"]["deadline"])
    if late or notification["action_taken"] is not None:
        raise errors.invalid_state(
            "already_actioned", "The notification was handled before, or the bank has sent it"
        )
    notification["action_taken"] = "handled"
    notification["action_taken_at"] = stamp(bank.at)
    notification["action_taken_by"] = bank.creditor_id
    bank.store.put(notification)
    # The contract does not say when a notification was made.
    return {name: value for name, value in shown(notification).items() if name != "created_at"}


OPERATIONS: Final = (
    Operation(
        name=f"{KIND}.handle",
        method="POST",
        path=f"/{KIND}/{{identity}}/actions/handle",
        run=handle,
    ),
)
