"""The body of a webhook, parsed once, after its signature was found right.

Of an event we take what we rely on, as from the bank's list (``bank_wire``). One that cannot be
read keeps its name; one without a name is counted.
"""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from billing.bank import BankEvent, BankGarbledError
from billing.io import bank_wire


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    events: list[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The events of one webhook, each once, and how many had no name to remember them by."""

    events: tuple[BankEvent, ...]
    nameless: int


def delivery(body: bytes) -> Delivery:
    """Read the body of a webhook.

    Raises:
        BankGarbledError: it is not one, such as HTML or a list.
    """
    try:
        told = _Body.model_validate_json(body).events
    except ValidationError:
        # The text of the error would carry the bank's data into our logs.
        raise BankGarbledError("garbled") from None
    found, nameless = bank_wire.readable(told)
    events: dict[str, BankEvent] = {}
    for event in found:
        events.setdefault(event.event_id, event)
    return Delivery(events=tuple(events.values()), nameless=nameless)
