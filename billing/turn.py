"""What the bank's own list of events says of a payment beyond its status: why, and which way.

A payment that failed may be asked for again by the bank itself, and a chargeback may be taken back;
the status alone then looks like an old one that comes late. So the way back needs a word for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from billing.bank import BankEvent, PaymentStatus, reason_word
from billing.debit import FINAL, Debit, Event, State, merge

# What the bank calls the end of a payment that had begun.
FAILURE_ACTIONS: Final = frozenset({"failed", "charged_back"})
# The bank will ask again by itself; and it does not say why.
BANK_RETRIES: Final = "bank_retries"
NO_CAUSE: Final = "unknown_cause"
RESUBMITTED: Final = "resubmission_requested"
RESTORED: Final = "chargeback_cancelled"
# Our own word for a debit whose payout came back to the bank.
BOUNCED: Final = "payout_bounced"
# Why a debit ended that a person has ended in review, where it stands and where it began anew.
GIVEN_UP: Final = "given_up_by_person"
BEGUN_ANEW: Final = "begin_anew"
ENDED_BY_PERSON: Final = frozenset({GIVEN_UP, BEGUN_ANEW})
_TURNS: Final = FAILURE_ACTIONS | {RESUBMITTED, RESTORED}
# The bank takes nothing under a payment that stands so.
ENDED_AT_BANK: Final = frozenset(
    {
        PaymentStatus.CANCELLED,
        PaymentStatus.CUSTOMER_APPROVAL_DENIED,
        PaymentStatus.FAILED,
        PaymentStatus.CHARGED_BACK,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """Why a payment failed, and which turn it took last, as far as the bank was asked."""

    cause: str = NO_CAUSE
    turn: str | None = None
    asked: bool = True


NO_WORD: Final = Word(asked=False)


def cause_of(event: BankEvent) -> str:
    """Return why a payment failed, as an event tells it."""
    return BANK_RETRIES if event.will_attempt_retry else reason_word(event.cause)


def word_of(events: Sequence[BankEvent]) -> Word:
    """Return what the events of one payment say, newest first."""
    failures = [event for event in events if event.action in FAILURE_ACTIONS]
    turns = [event.action for event in events if event.action in _TURNS]
    return Word(
        cause=cause_of(failures[0]) if failures else NO_CAUSE,
        turn=turns[0] if turns else None,
    )


def steps(debit: Debit, status: PaymentStatus | None, word: Word) -> tuple[Event, ...]:
    """Return the steps that bring a debit to what the bank says, the ways back included."""
    alive = status is not None and status not in ENDED_AT_BANK
    if alive and debit.state is State.CHARGED_BACK and word.turn == RESTORED:
        return _restored(debit, status)
    if debit.reason == BOUNCED and status is PaymentStatus.PAID_OUT:
        # The payment's status does not know of it; the next payout does.
        return ()
    disputed = status is PaymentStatus.CHARGED_BACK and _came_and_went(debit)
    again = (
        disputed
        or (alive and word.turn == RESUBMITTED)
        or (status is PaymentStatus.FAILED and _failed_again(debit, word))
    )
    if again and debit.state in {State.FAILED, State.RETRY_DUE}:
        return (Event.RESUBMIT, *merge(State.ACCEPTED, status))
    return (Event.QUESTION,) if disputed else merge(debit.state, status)


def _failed_again(debit: Debit, word: Word) -> bool:
    """Say whether the bank tried once more and failed otherwise before we heard that it tried.

    Its last cause counts: what time would have healed may be a closed account by now.
    """
    hoping = debit.state is State.RETRY_DUE or debit.reason == BANK_RETRIES
    return hoping and word.asked and word.cause not in {debit.reason, NO_CAUSE}


def _came_and_went(debit: Debit) -> bool:
    """Say whether money was taken and disputed for a debit that had ended, and nobody heard of it.

    What was disputed before has its own way back, and what a person has ended stays so.
    """
    heard = debit.before_chargeback is not None or debit.reason in ENDED_BY_PERSON
    return debit.state in FINAL and not heard


def _restored(debit: Debit, status: PaymentStatus | None) -> tuple[Event, ...]:
    if status is PaymentStatus.PAID_OUT:
        again = debit.before_chargeback is State.RECONCILED
        return (Event.RECONCILE,) if again else (Event.SETTLE,)
    return (Event.CONFIRM,) if status is PaymentStatus.CONFIRMED else ()
