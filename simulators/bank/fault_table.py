"""What may go wrong between a client and the bank, as a table.

How a fault does what it says stands in the file of its moment: `gate.py` (listener), `early.py`
(unread, before), `door.py` (doing), `twists.py` (answer), `wire_faults.py` (wire), `parcels.py`
(delivery), `statement.py` (statement).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Moment(StrEnum):
    """When a fault strikes, seen from the way of a request."""

    LISTENER = "listener"
    UNREAD = "unread"
    BEFORE = "before"
    DOING = "doing"
    ANSWER = "answer"
    WIRE = "wire"
    DELIVERY = "delivery"
    STATEMENT = "statement"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a fault does, which operations it suits, and how long it takes by default."""

    moment: Moment
    says: str
    suits: str = "asks"
    seconds: float = 0
    spans: bool = False


# `before` and `unread` mean that nothing was done, the later moments that all of it was.
KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "connection_refused": Kind(
            moment=Moment.LISTENER,
            says="for so many seconds nobody listens; open connections are cut",
            suits="listens",
            seconds=1,
        ),
        "partition_requests": Kind(
            moment=Moment.UNREAD,
            says="for so many seconds connections open, and nothing that is sent arrives",
            seconds=5,
            spans=True,
        ),
        "partition_answers": Kind(
            moment=Moment.WIRE,
            says="for so many seconds requests are carried out, and no answer leaves",
            seconds=5,
            spans=True,
        ),
        "silent_before": Kind(
            moment=Moment.UNREAD,
            says="nothing is read or done; after so many seconds the connection is dropped",
            seconds=120,
        ),
        "silent_after": Kind(
            moment=Moment.WIRE,
            says="the request is carried out; after so many seconds the connection is dropped",
            seconds=120,
        ),
        "reordered": Kind(
            moment=Moment.BEFORE,
            says="the request waits until another one was answered, at most so many seconds",
            seconds=5,
        ),
        "error_before": Kind(
            moment=Moment.BEFORE, says="500 in the contract's envelope, before anything is done"
        ),
        "bad_gateway": Kind(
            moment=Moment.BEFORE, says="502 with HTML from a proxy, before anything is done"
        ),
        "unavailable": Kind(
            moment=Moment.BEFORE, says="503 with plain text, before anything is done"
        ),
        "rate_limit": Kind(moment=Moment.BEFORE, says="429, before anything is done"),
        "rate_limit_bare": Kind(
            moment=Moment.BEFORE, says="429 that does not say until when, before anything is done"
        ),
        "unauthorized": Kind(
            moment=Moment.BEFORE, says="401 as while a token is rotated, before anything is done"
        ),
        "forbidden": Kind(moment=Moment.BEFORE, says="403, before anything is done"),
        "conflict_elsewhere": Kind(
            moment=Moment.BEFORE,
            says="409 that names somebody else's resource, before anything is done",
            suits="creates",
        ),
        "delivered_twice": Kind(
            moment=Moment.DOING, says="the request arrives twice; the second answer comes back"
        ),
        "key_forgotten": Kind(
            moment=Moment.DOING,
            says="the idempotency key is forgotten early: the request is carried out again",
            suits="creates",
        ),
        "stale_read": Kind(
            moment=Moment.DOING,
            says="the answer does not know the last so many seconds of the bank's clock",
            suits="reads",
            seconds=60,
        ),
        "page_shift": Kind(
            moment=Moment.DOING,
            says="the page begins with the row that ended the page before, as if pages shifted",
            suits="lists",
        ),
        "error_after": Kind(
            moment=Moment.ANSWER, says="500 in the contract's envelope, after everything is done"
        ),
        "new_enum": Kind(
            moment=Moment.ANSWER, says="done; the status (or action) is a word nobody knows"
        ),
        "extra_field": Kind(
            moment=Moment.ANSWER, says="done; the answer has fields that nobody knows"
        ),
        "missing_optional": Kind(
            moment=Moment.ANSWER, says="done; the fields that may be empty are not there at all"
        ),
        "clock_skew": Kind(
            moment=Moment.ANSWER,
            says="done; every created_at and the Date are so many seconds ahead (or behind)",
            seconds=3600,
        ),
        "same_id": Kind(
            moment=Moment.ANSWER,
            says="done; the answer bears the id of another resource of its kind",
            suits="creates",
        ),
        "amount_wrong": Kind(
            moment=Moment.ANSWER,
            says="done as asked; the amount in the answer is one minor unit more",
            suits="pays",
        ),
        "item_missing": Kind(
            moment=Moment.ANSWER,
            says="the first item of the payout is not in the list",
            suits="itemises",
        ),
        "item_twice": Kind(
            moment=Moment.ANSWER,
            says="the first item of the payout is in the list twice",
            suits="itemises",
        ),
        "item_off_by_one": Kind(
            moment=Moment.ANSWER,
            says="the first item of the payout is one minor unit more",
            suits="itemises",
        ),
        "delay": Kind(
            moment=Moment.WIRE, says="the request is carried out, the answer comes so much later"
        ),
        "answer_lost": Kind(
            moment=Moment.WIRE, says="the request is carried out, then the connection is dropped"
        ),
        "reset": Kind(
            moment=Moment.WIRE,
            says="the request is carried out; the connection is reset in the middle of the answer",
        ),
        "garbled": Kind(
            moment=Moment.WIRE,
            says="the request is carried out; the answer ends in the middle of its JSON",
        ),
        "slow_drip": Kind(
            moment=Moment.WIRE,
            says="the request is carried out; the answer drips in over so many seconds",
            seconds=1,
        ),
        "webhook_lost": Kind(
            moment=Moment.DELIVERY,
            says="the webhook is never sent, and the bank believes that it arrived",
            suits="delivers",
        ),
        "webhook_delayed": Kind(
            moment=Moment.DELIVERY,
            says="the webhook comes so many seconds of the bank's clock later; others overtake it",
            suits="delivers",
            seconds=3600,
        ),
        "webhook_duplicated": Kind(
            moment=Moment.DELIVERY,
            says="the webhook comes so many `copies` more often",
            suits="delivers",
        ),
        "webhook_replayed": Kind(
            moment=Moment.DELIVERY,
            says="after the webhook the oldest one of all comes again, as it was signed then",
            suits="delivers",
        ),
        "webhook_shuffled": Kind(
            moment=Moment.DELIVERY,
            says="the events of the webhook stand in reverse order",
            suits="delivers",
        ),
        "webhook_unknown_id": Kind(
            moment=Moment.DELIVERY,
            says="one more event tells of a payment that nobody has",
            suits="delivers",
        ),
        "webhook_reencoded": Kind(
            moment=Moment.DELIVERY,
            says="a proxy writes the body anew: the same JSON, other bytes, the old signature",
            suits="delivers",
        ),
        "webhook_forged": Kind(
            moment=Moment.DELIVERY,
            says="the signature is made with a secret that nobody has",
            suits="delivers",
        ),
        "webhook_second_secret": Kind(
            moment=Moment.DELIVERY,
            says="the signature is made with the second secret, as during a rotation",
            suits="delivers",
        ),
        "webhook_impatient": Kind(
            moment=Moment.DELIVERY,
            says="the bank hangs up after so many seconds, whatever the endpoint is doing",
            suits="delivers",
            seconds=0.2,
        ),
        "line_missing": Kind(
            moment=Moment.STATEMENT,
            says="the first line of the day is not on the statement",
            suits="states",
        ),
        "line_twice": Kind(
            moment=Moment.STATEMENT,
            says="the first line of the day is on the statement twice",
            suits="states",
        ),
        "line_off_by_one": Kind(
            moment=Moment.STATEMENT,
            says="the first line of the day is one minor unit less",
            suits="states",
        ),
        "line_orphan": Kind(
            moment=Moment.STATEMENT,
            says="one more line is on the statement, which nobody knows",
            suits="states",
        ),
    }
)
