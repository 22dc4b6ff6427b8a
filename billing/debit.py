"""A debit: one attempt to take one bill from one bank account.

      birth            birth
        |                |
        v    notice      v     record            send
       HELD --------> NOTICED --------> RECORDED ------> SENDING <------- UNKNOWN <--.
        |                |              |      ^         | |  | |   send   ^  |      |
        | cancel         | cancel       |      '---------' |  | '----------'  |      | release
        v                v       cancel |       back_off   |  |    lose       |      |
    CANCELLED <----------+--------------+------------------'  |               |      |
                                                 cancel       | accept        |      |
        .-----------------------------------------------------+---------------'      |
        v            submit             confirm              settle                  |
     ACCEPTED ---------------> SUBMITTED -------> CONFIRMED ---------> SETTLED       |
                                                                                     |
    SENDING, ACCEPTED .. SETTLED  --fail-->         FAILED         (SETTLED too: late failure)
    ACCEPTED .. SETTLED           --charge_back-->  CHARGED_BACK
    ACCEPTED, SUBMITTED           --cancel-->       CANCELLED
    SENDING, ACCEPTED .. SETTLED, and the three ends  --question-->  REVIEW ---------'

The bank may skip steps (ACCEPTED straight to SETTLED), never go back. UNKNOWN means that the bank
may have taken the order and we do not know: only the same key and the same bytes may be sent
again, and no other attempt for the bill may begin. REVIEW waits for a person.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypedDict, Unpack

from billing.bank import Payment, PaymentStatus
from billing.ledger import DebitAmount, DebitMove, Transfer, debit_transfer

# The resident hears of amount and day at least this many days ahead; five calendar days hold the
# three working days that direct-debit schemes ask for, except over long holidays.
NOTICE_DAYS: Final = 5
# The bank wants two days before it collects; one more because its day and ours may differ.
SEND_LEAD_DAYS: Final = 3
# The bank keeps a key for thirty days; long before that we stop sending and only look.
KEY_WINDOW: Final = timedelta(days=7)

# Account ids and bill numbers hold no colon, so a key reads back in one way only.
_KEY: Final = "debit:v1"
_KEY_PARTS: Final = 5


class State(StrEnum):
    """Where a debit stands; drawn at the top."""

    HELD = "held"
    NOTICED = "noticed"
    RECORDED = "recorded"
    SENDING = "sending"
    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    SUBMITTED = "submitted"
    CONFIRMED = "confirmed"
    SETTLED = "settled"
    FAILED = "failed"
    CANCELLED = "cancelled"
    CHARGED_BACK = "charged_back"
    REVIEW = "review"


class Event(StrEnum):
    """What can happen to a debit; drawn at the top."""

    NOTICE = "notice"
    RECORD = "record"
    SEND = "send"
    BACK_OFF = "back_off"
    LOSE = "lose"
    ACCEPT = "accept"
    SUBMIT = "submit"
    CONFIRM = "confirm"
    SETTLE = "settle"
    FAIL = "fail"
    CANCEL = "cancel"
    CHARGE_BACK = "charge_back"
    QUESTION = "question"
    RELEASE = "release"


# The drawing at the top, as data.
NEXT: Final[Mapping[tuple[State, Event], State]] = MappingProxyType(
    {
        (State.HELD, Event.NOTICE): State.NOTICED,
        (State.HELD, Event.CANCEL): State.CANCELLED,
        (State.NOTICED, Event.RECORD): State.RECORDED,
        (State.NOTICED, Event.CANCEL): State.CANCELLED,
        (State.RECORDED, Event.SEND): State.SENDING,
        (State.RECORDED, Event.CANCEL): State.CANCELLED,
        # The bank knows a payment that our restored backup has forgotten sending.
        (State.RECORDED, Event.ACCEPT): State.ACCEPTED,
        (State.SENDING, Event.BACK_OFF): State.RECORDED,
        (State.SENDING, Event.LOSE): State.UNKNOWN,
        (State.SENDING, Event.ACCEPT): State.ACCEPTED,
        (State.SENDING, Event.FAIL): State.FAILED,
        (State.SENDING, Event.CANCEL): State.CANCELLED,
        (State.SENDING, Event.QUESTION): State.REVIEW,
        (State.UNKNOWN, Event.SEND): State.SENDING,
        (State.UNKNOWN, Event.ACCEPT): State.ACCEPTED,
        (State.ACCEPTED, Event.SUBMIT): State.SUBMITTED,
        (State.ACCEPTED, Event.CONFIRM): State.CONFIRMED,
        (State.ACCEPTED, Event.SETTLE): State.SETTLED,
        (State.ACCEPTED, Event.FAIL): State.FAILED,
        (State.ACCEPTED, Event.CANCEL): State.CANCELLED,
        (State.ACCEPTED, Event.CHARGE_BACK): State.CHARGED_BACK,
        (State.ACCEPTED, Event.QUESTION): State.REVIEW,
        (State.SUBMITTED, Event.CONFIRM): State.CONFIRMED,
        (State.SUBMITTED, Event.SETTLE): State.SETTLED,
        (State.SUBMITTED, Event.FAIL): State.FAILED,
        (State.SUBMITTED, Event.CANCEL): State.CANCELLED,
        (State.SUBMITTED, Event.CHARGE_BACK): State.CHARGED_BACK,
        (State.SUBMITTED, Event.QUESTION): State.REVIEW,
        (State.CONFIRMED, Event.SETTLE): State.SETTLED,
        (State.CONFIRMED, Event.FAIL): State.FAILED,
        (State.CONFIRMED, Event.CHARGE_BACK): State.CHARGED_BACK,
        (State.CONFIRMED, Event.QUESTION): State.REVIEW,
        (State.SETTLED, Event.FAIL): State.FAILED,
        (State.SETTLED, Event.CHARGE_BACK): State.CHARGED_BACK,
        (State.SETTLED, Event.QUESTION): State.REVIEW,
        (State.FAILED, Event.QUESTION): State.REVIEW,
        (State.CANCELLED, Event.QUESTION): State.REVIEW,
        (State.CHARGED_BACK, Event.QUESTION): State.REVIEW,
        (State.REVIEW, Event.RELEASE): State.UNKNOWN,
    }
)

FINAL: Final = frozenset({State.FAILED, State.CANCELLED, State.CHARGED_BACK})
# One such debit per bill; the index debit_one_alive says the same.
ALIVE: Final = frozenset(State) - FINAL
# The bank has never seen these, so they can be taken back without asking it.
BEFORE_BANK: Final = frozenset({State.HELD, State.NOTICED, State.RECORDED})
# From here on only the bank can say what became of the money.
MAY_HAVE_REACHED_BANK: Final = ALIVE - BEFORE_BANK
# These use up the resident's cap of the month: the money may be taken or has been.
COUNTS_IN_MONTH: Final = ALIVE - {State.HELD}

# Reasons of REVIEW after which the same key may be sent again when a person says so.
RELEASABLE: Final = frozenset({"credentials", "unresolved", "idempotency_mismatch"})


class IllegalStepError(Exception):
    """A debit was asked to take a step that the table does not know: our bug, or a lost race."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"a debit that is {state} cannot {event}")
        self.state = state
        self.event = event


def step(state: State, event: Event) -> State:
    """Return the state that follows.

    Raises:
        IllegalStepError: the table has no such step.
    """
    following = NEXT.get((state, event))
    if following is None:
        raise IllegalStepError(state, event)
    return following


@dataclass(frozen=True, slots=True, kw_only=True)
class DebitId:
    """The name of a debit: the attempt with this number to be paid for this bill."""

    account_id: str
    bill_no: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Debit:
    """One row of the table debit; ``lease_until`` is also the instant before which to leave it.

    ``sends`` counts the sends that may have reached the bank, so zero means that none has.
    """

    account_id: str
    bill_no: str
    attempt: int
    mandate_id: str
    state: State
    reason: str | None
    amount_minor: int
    currency: str
    charge_on: date
    idempotency_key: str | None = None
    body: bytes | None = None
    body_digest: bytes | None = None
    bank_payment_id: str | None = None
    lease_until: datetime | None = None
    sends: int = 0
    first_sent_at: datetime | None = None
    changed_at: datetime

    def __post_init__(self) -> None:
        """Refuse a debit of nothing."""
        if self.amount_minor <= 0:
            raise ValueError("a debit takes more than nothing")

    @property
    def debit_id(self) -> DebitId:
        """Return the name of this debit."""
        return DebitId(account_id=self.account_id, bill_no=self.bill_no, attempt=self.attempt)

    @property
    def key(self) -> str:
        """Return the key of this attempt at the bank; the same for ever, from its identity alone.

        The account, bill and attempt name the attempt, so no retry can ever make a second key.
        """
        return f"{_KEY}:{self.account_id}:{self.bill_no}:{self.attempt}"

    @property
    def releasable(self) -> bool:
        """Tell whether a person may let this debit be asked about again under its own key."""
        return self.state is State.REVIEW and self.reason in RELEASABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A debit that is ours to send for a while; ``wanted`` is false once the resident withdrew."""

    debit: Debit
    bank_mandate_id: str
    wanted: bool


def account_of(key: str | None) -> str | None:
    """Return whose debit a key names; None if it is not one of our keys."""
    parts = (key or "").split(":")
    return parts[2] if len(parts) == _KEY_PARTS and key and key.startswith(f"{_KEY}:") else None


class Changes(TypedDict, total=False):
    """What a step may write beside the state."""

    charge_on: date
    idempotency_key: str
    body: bytes
    body_digest: bytes
    bank_payment_id: str
    lease_until: datetime | None
    sends: int
    first_sent_at: datetime | None


def moved(
    debit: Debit,
    event: Event,
    *,
    at: datetime,
    reason: str | None = None,
    **changes: Unpack[Changes],
) -> Debit:
    """Return the debit after one step, with the reason and the changes that belong to it.

    Raises:
        IllegalStepError: the table has no such step.
    """
    return replace(debit, state=step(debit.state, event), reason=reason, changed_at=at, **changes)


def frozen_body(debit: Debit, bank_mandate_id: str) -> bytes:
    """Return the bytes of the order to the bank: compact JSON, keys sorted, made once and kept.

    The bank never asks again by itself (retry_if_possible): two who ask collect twice.
    """
    order = {
        "payments": {
            "amount": debit.amount_minor,
            "charge_date": debit.charge_on.isoformat(),
            "currency": debit.currency,
            "description": f"Gas {debit.bill_no}",
            "links": {"mandate": bank_mandate_id},
            "metadata": {"intent": debit.key},
            "retry_if_possible": False,
        }
    }
    return json.dumps(order, sort_keys=True, separators=(",", ":")).encode()


def body_digest(body: bytes) -> bytes:
    """Return the SHA-256 by which a body that was changed afterwards is found out."""
    return hashlib.sha256(body).digest()


def is_ours(debit: Debit, payment: Payment, bank_mandate_id: str) -> bool:
    """Tell whether a payment at the bank is what this debit ordered, in every respect we fixed."""
    return (
        payment.amount_minor == debit.amount_minor
        and payment.currency == debit.currency
        and payment.bank_mandate_id == bank_mandate_id
        and payment.intent == debit.key
    )


_PROGRESS: Final = (State.ACCEPTED, State.SUBMITTED, State.CONFIRMED, State.SETTLED)
_EVENT_OF: Final[Mapping[PaymentStatus, Event | None]] = MappingProxyType(
    {
        PaymentStatus.PENDING_CUSTOMER_APPROVAL: None,
        PaymentStatus.PENDING_SUBMISSION: None,
        PaymentStatus.SUBMITTED: Event.SUBMIT,
        PaymentStatus.CONFIRMED: Event.CONFIRM,
        PaymentStatus.PAID_OUT: Event.SETTLE,
        PaymentStatus.CANCELLED: Event.CANCEL,
        PaymentStatus.CUSTOMER_APPROVAL_DENIED: Event.CANCEL,
        PaymentStatus.FAILED: Event.FAIL,
        PaymentStatus.CHARGED_BACK: Event.CHARGE_BACK,
    }
)
_ENDS: Final = frozenset({Event.CANCEL, Event.FAIL, Event.CHARGE_BACK})


def merge(state: State, status: PaymentStatus | None) -> tuple[Event, ...]:
    """Return the steps that bring a debit to what the bank says of its payment, oldest first.

    The merge only goes forward: an older status changes nothing, in whatever order news arrives.
    What contradicts an end we believed in becomes a question. A status we do not know (None), a
    debit in REVIEW and one the bank cannot know yet are left as they are.
    """
    if status is None or state in {State.REVIEW, State.HELD, State.NOTICED}:
        return ()
    if state in {State.RECORDED, State.SENDING, State.UNKNOWN}:
        return (Event.ACCEPT, *merge(State.ACCEPTED, status))
    event = _EVENT_OF[status]
    if state in FINAL:
        return () if event in _ENDS else (Event.QUESTION,)
    if event is None:
        return ()
    if event in _ENDS:
        return (event,) if (state, event) in NEXT else (Event.QUESTION,)
    ahead = _PROGRESS.index(step(State.ACCEPTED, event)) > _PROGRESS.index(state)
    return (event,) if ahead else ()


class _Money(StrEnum):
    NONE = "none"
    PENDING = "pending"
    IN_TRANSIT = "in_transit"
    PAID_OUT = "paid_out"
    GIVEN_UP = "given_up"


def _money(state: State) -> _Money:
    if state in {State.HELD, State.NOTICED}:
        return _Money.NONE
    if state in FINAL:
        return _Money.GIVEN_UP
    places = {State.CONFIRMED: _Money.IN_TRANSIT, State.SETTLED: _Money.PAID_OUT}
    return places.get(state, _Money.PENDING)


_MOVES: Final[Mapping[tuple[_Money, _Money], tuple[DebitMove, ...]]] = MappingProxyType(
    {
        (_Money.NONE, _Money.PENDING): (DebitMove.PENDING,),
        (_Money.PENDING, _Money.IN_TRANSIT): (DebitMove.POSTED,),
        (_Money.PENDING, _Money.PAID_OUT): (DebitMove.POSTED, DebitMove.PAYOUT),
        (_Money.PENDING, _Money.GIVEN_UP): (DebitMove.VOID,),
        (_Money.IN_TRANSIT, _Money.PAID_OUT): (DebitMove.PAYOUT,),
        (_Money.IN_TRANSIT, _Money.GIVEN_UP): (DebitMove.REVERSAL,),
        (_Money.PAID_OUT, _Money.GIVEN_UP): (DebitMove.REVERSAL_AFTER_PAYOUT,),
    }
)


def transfers(before: Debit, after: Debit) -> tuple[Transfer, ...]:
    """Return what the ledger records when a debit goes from one state to another."""
    amount = DebitAmount(
        account_id=after.account_id,
        bill_no=after.bill_no,
        attempt=after.attempt,
        amount_minor=after.amount_minor,
        currency=after.currency,
    )
    moves = _MOVES.get((_money(before.state), _money(after.state)), ())
    return tuple(debit_transfer(move, amount, at=after.changed_at) for move in moves)
