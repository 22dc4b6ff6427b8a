"""A debit: one attempt to take one bill from one bank account.

                birth                               RETRY_DUE --replace--> FAILED
                  |                                     ^                    |  |
        hold      v       notice      record            | retry     resubmit |  | give_up
    HELD <----- PLANNED --------> NOTICED ---.       FAILED ---> ACCEPTED <--'  v
     | |  free   ^  |  <--------     |  |    |                                EXHAUSTED
     | '---------'  |    rebill      |  |    v       send
     |  <------------- hold ---------'  | RECORDED ------> SENDING <------- UNKNOWN <-.
     |              |                   |  |    ^         | |  | |   send   ^  |      |
     | give_up      | cancel            |  |    '---------' |  | '----------'  |      | release
     v              v                   |  | cancel back_off |  |    lose       |      |
    EXHAUSTED   CANCELLED <-------------+--+-----------------'  |               |      |
                                                    cancel      | accept        |      |
        .-------------------------------------------------------+---------------'      |
        v            submit             confirm              settle         reconcile  |
     ACCEPTED ---------------> SUBMITTED -------> CONFIRMED <------> SETTLED ----> RECONCILED
        | withdraw                 ^                  ^      bounce        <----
        v               submit     |      confirm     |                   bounce       |
     CANCEL_REQUESTED -------------+------------------'                                |
        '--cancel--> CANCELLED                                                         |
                                                                                       |
    SENDING, ACCEPTED .. RECONCILED  --fail-->         FAILED     (after CONFIRMED: late failure)
    ACCEPTED .. RECONCILED           --charge_back-->  CHARGED_BACK
    CHARGED_BACK  --confirm, settle, reconcile-->      the state before; --give_up--> EXHAUSTED
    ACCEPTED, SUBMITTED              --cancel-->       CANCELLED
    HELD, PLANNED                    --cancel-->       CANCELLED
    PLANNED                          --postpone-->     PLANNED    (the notice was not delivered)
    what the bank may know, and the ends  --question-->  REVIEW ---------------------------'
    REVIEW  --accept--> ACCEPTED, --cancel--> CANCELLED, --fail--> FAILED, as a person decides

The bank may skip steps (ACCEPTED straight to SETTLED), never go back, but for a payout that bounced
and a chargeback that was cancelled. UNKNOWN means that the bank may have taken the order and we do
not know: only the same key and the same bytes may be sent again, and no other attempt for the bill
may begin. RETRY_DUE gives way to the next attempt and is FAILED from then on. REVIEW waits for a
person. docs/debits.md tells every step with the test that shows it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypedDict, Unpack

from billing.bank import PaymentStatus

# The bank wants two days before it collects; one more because its day and ours may differ.
SEND_LEAD_DAYS: Final = 3
# The bank keeps a key for thirty days; long before that we stop sending and only look.
KEY_WINDOW: Final = timedelta(days=7)

# Account ids and bill numbers hold no colon, so a key reads back in one way only.
KEY: Final = "debit:v1"
# Attempts and refunds are counted to 99, without a nought in front: one name has one spelling.
NUMBER: Final = re.compile(r"^[1-9][0-9]?\Z", re.ASCII)


class State(StrEnum):
    """Where a debit stands; drawn at the top."""

    PLANNED = "planned"
    HELD = "held"
    NOTICED = "noticed"
    RECORDED = "recorded"
    SENDING = "sending"
    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    CANCEL_REQUESTED = "cancel_requested"
    SUBMITTED = "submitted"
    CONFIRMED = "confirmed"
    SETTLED = "settled"
    RECONCILED = "reconciled"
    FAILED = "failed"
    RETRY_DUE = "retry_due"
    CANCELLED = "cancelled"
    CHARGED_BACK = "charged_back"
    EXHAUSTED = "exhausted"
    REVIEW = "review"


class Event(StrEnum):
    """What can happen to a debit; drawn at the top."""

    HOLD = "hold"
    FREE = "free"
    POSTPONE = "postpone"
    NOTICE = "notice"
    REBILL = "rebill"
    RECORD = "record"
    SEND = "send"
    BACK_OFF = "back_off"
    LOSE = "lose"
    ACCEPT = "accept"
    WITHDRAW = "withdraw"
    SUBMIT = "submit"
    CONFIRM = "confirm"
    SETTLE = "settle"
    RECONCILE = "reconcile"
    BOUNCE = "bounce"
    FAIL = "fail"
    RETRY = "retry"
    REPLACE = "replace"
    RESUBMIT = "resubmit"
    GIVE_UP = "give_up"
    CANCEL = "cancel"
    CHARGE_BACK = "charge_back"
    QUESTION = "question"
    RELEASE = "release"


_TAKEN: Final = (State.CONFIRMED, State.SETTLED, State.RECONCILED)

# The drawing at the top, as data.
NEXT: Final[Mapping[tuple[State, Event], State]] = MappingProxyType(
    {
        (State.PLANNED, Event.HOLD): State.HELD,
        (State.PLANNED, Event.POSTPONE): State.PLANNED,
        (State.PLANNED, Event.NOTICE): State.NOTICED,
        (State.PLANNED, Event.CANCEL): State.CANCELLED,
        (State.HELD, Event.FREE): State.PLANNED,
        (State.HELD, Event.CANCEL): State.CANCELLED,
        (State.HELD, Event.GIVE_UP): State.EXHAUSTED,
        (State.NOTICED, Event.REBILL): State.PLANNED,
        (State.NOTICED, Event.HOLD): State.HELD,
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
        (State.UNKNOWN, Event.SEND): State.SENDING,
        (State.UNKNOWN, Event.ACCEPT): State.ACCEPTED,
        (State.ACCEPTED, Event.WITHDRAW): State.CANCEL_REQUESTED,
        **{
            (state, event): following
            for state in (State.ACCEPTED, State.CANCEL_REQUESTED, State.SUBMITTED)
            for event, following in (
                (Event.SUBMIT, State.SUBMITTED),
                (Event.CONFIRM, State.CONFIRMED),
                (Event.SETTLE, State.SETTLED),
                (Event.CANCEL, State.CANCELLED),
            )
            if state is not following
        },
        (State.CONFIRMED, Event.SETTLE): State.SETTLED,
        (State.SETTLED, Event.BOUNCE): State.CONFIRMED,
        (State.SETTLED, Event.RECONCILE): State.RECONCILED,
        (State.RECONCILED, Event.BOUNCE): State.CONFIRMED,
        **{
            (state, event): following
            for state in (State.ACCEPTED, State.CANCEL_REQUESTED, State.SUBMITTED, *_TAKEN)
            for event, following in (
                (Event.FAIL, State.FAILED),
                (Event.CHARGE_BACK, State.CHARGED_BACK),
            )
        },
        (State.FAILED, Event.RETRY): State.RETRY_DUE,
        (State.FAILED, Event.RESUBMIT): State.ACCEPTED,
        (State.FAILED, Event.GIVE_UP): State.EXHAUSTED,
        (State.RETRY_DUE, Event.REPLACE): State.FAILED,
        (State.RETRY_DUE, Event.RESUBMIT): State.ACCEPTED,
        (State.RETRY_DUE, Event.GIVE_UP): State.EXHAUSTED,
        # The chargeback was cancelled: back to where it came from, as far as the bank says.
        (State.CHARGED_BACK, Event.CONFIRM): State.CONFIRMED,
        (State.CHARGED_BACK, Event.SETTLE): State.SETTLED,
        (State.CHARGED_BACK, Event.RECONCILE): State.RECONCILED,
        (State.CHARGED_BACK, Event.GIVE_UP): State.EXHAUSTED,
        **{
            (state, Event.QUESTION): State.REVIEW
            for state in State
            if state
            not in {
                State.PLANNED,
                State.HELD,
                State.NOTICED,
                State.RECORDED,
                State.REVIEW,
            }
        },
        (State.REVIEW, Event.RELEASE): State.UNKNOWN,
        (State.REVIEW, Event.ACCEPT): State.ACCEPTED,
        (State.REVIEW, Event.CANCEL): State.CANCELLED,
        (State.REVIEW, Event.FAIL): State.FAILED,
    }
)

# Money that failed: the bill may be asked for again, by the next attempt or by hand.
FELL_THROUGH: Final = frozenset({State.FAILED, State.RETRY_DUE, State.EXHAUSTED})
FINAL: Final = FELL_THROUGH | {State.CANCELLED, State.CHARGED_BACK}
# One such debit per bill; the index debit_one_alive says the same.
ALIVE: Final = frozenset(State) - FINAL
# The bank has never seen these, so they can be taken back without asking it.
BEFORE_BANK: Final = frozenset({State.PLANNED, State.HELD, State.NOTICED, State.RECORDED})
# From here on only the bank can say what became of the money.
MAY_HAVE_REACHED_BANK: Final = ALIVE - BEFORE_BANK
# We have the resident's money, or the bank has it for us.
TAKEN: Final = frozenset(_TAKEN)
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

    @property
    def key(self) -> str:
        """Return the key of this attempt at the bank; the same for ever, from its identity alone.

        The account, bill and attempt name the attempt, so no retry can ever make a second key.
        """
        return f"{KEY}:{self.account_id}:{self.bill_no}:{self.attempt}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Debit:
    """One row of the table debit; ``lease_until`` is also the instant before which to leave it.

    ``sends`` counts the sends that may have reached the bank, so zero means that none has. From
    ``retry_on`` on a failed debit may be announced anew; ``before_chargeback`` and
    ``before_review`` say where a chargeback or a question found it.
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
    retry_on: date | None = None
    before_chargeback: State | None = None
    before_review: State | None = None

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
        """Return the key of this attempt at the bank (see ``DebitId.key``)."""
        return self.debit_id.key

    @property
    def releasable(self) -> bool:
        """Tell whether a person may let this debit be asked about again under its own key."""
        return self.state is State.REVIEW and self.reason in RELEASABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A debit that is ours to send for a while; ``wanted`` is false once the resident withdrew.

    Under a ``frozen`` mandate nothing is sent either, until a person has looked.
    ``stopped`` says that the whole run is stopped: it is only asked about (``billing/breaker.py``).
    """

    debit: Debit
    bank_mandate_id: str
    wanted: bool
    frozen: bool = False
    stopped: bool = False


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
    retry_on: date


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
    after = replace(debit, state=step(debit.state, event), reason=reason, changed_at=at, **changes)
    if after.state is State.CHARGED_BACK:
        return replace(after, before_chargeback=debit.state)
    return replace(after, before_review=debit.state) if after.state is State.REVIEW else after


# How far the bank is; a request to cancel changes nothing of that.
_PROGRESS: Final[Mapping[State, int]] = MappingProxyType(
    {
        State.ACCEPTED: 0,
        State.CANCEL_REQUESTED: 0,
        State.SUBMITTED: 1,
        State.CONFIRMED: 2,
        State.SETTLED: 3,
        State.RECONCILED: 4,
    }
)
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
    if status is None or state in {State.REVIEW, State.PLANNED, State.HELD, State.NOTICED}:
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
    ahead = _PROGRESS[step(State.ACCEPTED, event)] > _PROGRESS[state]
    return (event,) if ahead else ()
