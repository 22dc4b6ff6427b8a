"""A refund: money that was taken from a bank account goes back to it, through the same payment.

      birth
        |
        v     record            send
    REQUESTED ------> RECORDED ------> SENDING <-------- UNKNOWN <------.
        |              |    ^          | | | |    send    ^   |         | release
        | refuse       |    '----------' | | '------------'   |         |
        |              |     back_off    | |      lose        |       REVIEW
        |       refuse |          refuse | | accept           | accept  ^
        v              v                 | v                  |         |
     REFUSED <---------+-----------------' PENDING <----------'         | question
        ^             refuse               |  |                         |
        '----------------------------------'  | pay                     |
                                              v        settle           |
                                            PAID -----------> SETTLED   |
                                                                        |
    PENDING, PAID, SETTLED  --bounce-->  BOUNCED,  --return-->  RETURNED|
    SENDING, UNKNOWN, PENDING .. SETTLED, and the three ends -----------'

UNKNOWN means that the bank may have taken the order and we do not know: only the same key and the
same bytes may be sent again. One refund of a payment at a time is on its way to the bank, because
each says how much goes back with it in all. REFUSED moved nothing. What BOUNCED or RETURNED is ours
again and waits to be paid by hand. REVIEW waits for a person.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypedDict, Unpack

from billing.bank import RefundStatus
from billing.debit import NUMBER, Debit, DebitId
from billing.ledger import Account

# Account ids and bill numbers hold no colon, so a key reads back in one way only.
_KEY: Final = "refund:v1"
_KEY_PARTS: Final = 6


class RefundState(StrEnum):
    """Where a refund stands; drawn at the top."""

    REQUESTED = "requested"
    RECORDED = "recorded"
    SENDING = "sending"
    UNKNOWN = "unknown"
    PENDING = "pending"
    PAID = "paid"
    SETTLED = "settled"
    BOUNCED = "bounced"
    RETURNED = "returned"
    REFUSED = "refused"
    REVIEW = "review"


class RefundEvent(StrEnum):
    """What can happen to a refund; drawn at the top."""

    RECORD = "record"
    SEND = "send"
    BACK_OFF = "back_off"
    LOSE = "lose"
    ACCEPT = "accept"
    REFUSE = "refuse"
    PAY = "pay"
    SETTLE = "settle"
    BOUNCE = "bounce"
    RETURN = "return"
    QUESTION = "question"
    RELEASE = "release"


class Cause(StrEnum):
    """Why money is given back."""

    CANCEL_TOO_LATE = "cancel_too_late"
    OVERCHARGED = "overcharged"
    DOUBLE_DEBIT = "double_debit"
    WRONG_DEBIT = "wrong_debit"
    OPERATOR = "operator"


_S, _E = RefundState, RefundEvent
_AT_BANK: Final = (_S.PENDING, _S.PAID, _S.SETTLED)

# The drawing at the top, as data.
NEXT: Final[Mapping[tuple[RefundState, RefundEvent], RefundState]] = MappingProxyType(
    {
        (_S.REQUESTED, _E.RECORD): _S.RECORDED,
        (_S.REQUESTED, _E.REFUSE): _S.REFUSED,
        (_S.RECORDED, _E.SEND): _S.SENDING,
        (_S.RECORDED, _E.REFUSE): _S.REFUSED,
        # The bank knows a refund that our restored backup has forgotten sending.
        (_S.RECORDED, _E.ACCEPT): _S.PENDING,
        (_S.SENDING, _E.BACK_OFF): _S.RECORDED,
        (_S.SENDING, _E.LOSE): _S.UNKNOWN,
        (_S.SENDING, _E.ACCEPT): _S.PENDING,
        (_S.SENDING, _E.REFUSE): _S.REFUSED,
        (_S.UNKNOWN, _E.SEND): _S.SENDING,
        (_S.UNKNOWN, _E.ACCEPT): _S.PENDING,
        (_S.PENDING, _E.PAY): _S.PAID,
        (_S.PENDING, _E.REFUSE): _S.REFUSED,
        (_S.PAID, _E.SETTLE): _S.SETTLED,
        **{(state, _E.BOUNCE): _S.BOUNCED for state in _AT_BANK},
        **{(state, _E.RETURN): _S.RETURNED for state in _AT_BANK},
        **{
            (state, _E.QUESTION): _S.REVIEW
            for state in (
                *(_S.SENDING, _S.UNKNOWN, *_AT_BANK),
                *(_S.BOUNCED, _S.RETURNED, _S.REFUSED),
            )
        },
        (_S.REVIEW, _E.RELEASE): _S.UNKNOWN,
    }
)

CAME_BACK: Final = frozenset({_S.BOUNCED, _S.RETURNED})
ENDS: Final = CAME_BACK | {_S.REFUSED}
# Nobody can tell yet what the bank counts as given back; the next refund of the payment waits.
UNCERTAIN: Final = frozenset({_S.RECORDED, _S.SENDING, _S.UNKNOWN, _S.REVIEW})
# The resident has the money, or will: all that is not certain to have moved nothing, or come back.
COUNTS: Final = frozenset(_S) - ENDS
# Reasons of REVIEW after which the same key may be sent again when a person says so.
RELEASABLE: Final = frozenset({"credentials", "unresolved", "idempotency_mismatch"})


class IllegalRefundError(Exception):
    """A refund was asked to take a step that the table does not know: our bug, or a lost race."""

    def __init__(self, state: RefundState, event: RefundEvent) -> None:
        super().__init__(f"a refund that is {state} cannot {event}")
        self.state = state
        self.event = event


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundId:
    """The name of a refund: the how manieth of this debit."""

    account_id: str
    bill_no: str
    attempt: int
    refund_no: int

    @property
    def debit_id(self) -> DebitId:
        """Return the debit whose money goes back."""
        return DebitId(account_id=self.account_id, bill_no=self.bill_no, attempt=self.attempt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """One row of the table refund.

    ``source`` is the account of the ledger that the money was taken from when it was asked for.
    ``counted_minor`` is what the bank said it had given back of the payment before this one, where
    it contradicted us. ``sends`` counts the sends that may have reached the bank.
    """

    account_id: str
    bill_no: str
    attempt: int
    refund_no: int
    state: RefundState
    reason: str | None
    amount_minor: int
    currency: str
    cause: Cause
    source: Account
    asked_by: str
    because: str | None = None
    asked_at: datetime
    changed_at: datetime
    idempotency_key: str | None = None
    body: bytes | None = None
    body_digest: bytes | None = None
    bank_refund_id: str | None = None
    lease_until: datetime | None = None
    sends: int = 0
    first_sent_at: datetime | None = None
    counted_minor: int | None = None

    def __post_init__(self) -> None:
        """Refuse a refund of nothing."""
        if self.amount_minor <= 0:
            raise ValueError("a refund gives back more than nothing")

    @property
    def refund_id(self) -> RefundId:
        """Return the name of this refund."""
        return RefundId(
            account_id=self.account_id,
            bill_no=self.bill_no,
            attempt=self.attempt,
            refund_no=self.refund_no,
        )

    @property
    def key(self) -> str:
        """Return the key of this refund at the bank; the same for ever, from its identity alone."""
        return f"{_KEY}:{self.account_id}:{self.bill_no}:{self.attempt}:{self.refund_no}"

    @property
    def releasable(self) -> bool:
        """Tell whether a person may let this refund be asked about again under its own key."""
        return self.state is RefundState.REVIEW and self.reason in RELEASABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundClaim:
    """A refund that is ours to send for a while, with the debit whose money it gives back."""

    refund: Refund
    debit: Debit


def refund_of_key(key: str | None) -> RefundId | None:
    """Return which refund a key names; None if it is not one of our keys."""
    parts = (key or "").split(":")
    numbers = parts[4:]
    # The bank's metadata may hold anything, numbers that no column can hold among it.
    if len(parts) != _KEY_PARTS or not all(NUMBER.match(one) for one in numbers):
        return None
    if f"{parts[0]}:{parts[1]}" != _KEY:
        return None
    return RefundId(
        account_id=parts[2], bill_no=parts[3], attempt=int(parts[4]), refund_no=int(parts[5])
    )


class RefundChanges(TypedDict, total=False):
    """What a step may write beside the state."""

    idempotency_key: str
    body: bytes
    body_digest: bytes
    bank_refund_id: str
    lease_until: datetime | None
    sends: int
    first_sent_at: datetime | None


def refunded(
    refund: Refund,
    event: RefundEvent,
    *,
    at: datetime,
    reason: str | None = None,
    **changes: Unpack[RefundChanges],
) -> Refund:
    """Return the refund after one step, with the reason and the changes that belong to it.

    Raises:
        IllegalRefundError: the table has no such step.
    """
    state = NEXT.get((refund.state, event))
    if state is None:
        raise IllegalRefundError(refund.state, event)
    return replace(refund, state=state, reason=reason, changed_at=at, **changes)


_EVENTS: Final[Mapping[RefundStatus, RefundEvent | None]] = MappingProxyType(
    {
        RefundStatus.CREATED: None,
        RefundStatus.PENDING_SUBMISSION: None,
        RefundStatus.SUBMITTED: None,
        RefundStatus.PAID: RefundEvent.PAY,
        RefundStatus.CANCELLED: RefundEvent.REFUSE,
        RefundStatus.BOUNCED: RefundEvent.BOUNCE,
        RefundStatus.FUNDS_RETURNED: RefundEvent.RETURN,
    }
)


def merge(
    state: RefundState, status: RefundStatus | None, *, settled: bool
) -> tuple[RefundEvent, ...]:
    """Return the steps that bring a refund to what the bank says of it, oldest first.

    ``settled`` says that a payout has borne it, which the refund itself does not say, and which may
    come before it is paid. The merge only goes forward: an older status changes nothing, in
    whatever order news arrives. What contradicts an end we believed in becomes a question.
    """
    if status is None or state in {RefundState.REVIEW, RefundState.REQUESTED}:
        return ()
    if state in {RefundState.RECORDED, RefundState.SENDING, RefundState.UNKNOWN}:
        return (RefundEvent.ACCEPT, *merge(RefundState.PENDING, status, settled=settled))
    event = _EVENTS[status]
    if state in ENDS:
        contradicted = state is RefundState.REFUSED and event is not RefundEvent.REFUSE
        return (RefundEvent.QUESTION,) if contradicted else ()
    if event is RefundEvent.REFUSE and state is not RefundState.PENDING:
        return (RefundEvent.QUESTION,)
    if event in {RefundEvent.REFUSE, RefundEvent.BOUNCE, RefundEvent.RETURN}:
        return (event,)
    paid = event is RefundEvent.PAY
    pays = (RefundEvent.PAY,) if paid and state is RefundState.PENDING else ()
    settles = paid and settled and state is not RefundState.SETTLED
    return (*pays, RefundEvent.SETTLE) if settles else pays
