"""Where a resident's money is, in one word that is never more than what is known.

    scheduled   we mean to take it; nothing has left the account
    held        we do not take it for now
    sent        the bank has our order, and has not said that it took the money
    unclear     the bank may have our order, or contradicts itself: we are finding out
    taken       the bank has said that it took the money
    returned    it was taken, and went back to the account
    not_taken   it was not taken
    withdrawn   we took our order back in time

No word is a guess of a balance: what is sent is not taken, however sure it looks, and what is
returned was taken before. Money that we give back by ourselves is a refund, told beside its debit.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from billing.debit import TAKEN, State


class MoneyState(StrEnum):
    """Where the money of a debit is; explained at the top."""

    SCHEDULED = "scheduled"
    HELD = "held"
    SENT = "sent"
    UNCLEAR = "unclear"
    TAKEN = "taken"
    RETURNED = "returned"
    NOT_TAKEN = "not_taken"
    WITHDRAWN = "withdrawn"


# By the state of the debit; what fell through is returned instead where it had been taken.
_WORDS: Final[Mapping[State, MoneyState]] = MappingProxyType(
    {
        State.PLANNED: MoneyState.SCHEDULED,
        State.NOTICED: MoneyState.SCHEDULED,
        State.RECORDED: MoneyState.SCHEDULED,
        State.HELD: MoneyState.HELD,
        State.SENDING: MoneyState.UNCLEAR,
        State.UNKNOWN: MoneyState.UNCLEAR,
        State.REVIEW: MoneyState.UNCLEAR,
        State.ACCEPTED: MoneyState.SENT,
        State.CANCEL_REQUESTED: MoneyState.SENT,
        State.SUBMITTED: MoneyState.SENT,
        State.CONFIRMED: MoneyState.TAKEN,
        State.SETTLED: MoneyState.TAKEN,
        State.RECONCILED: MoneyState.TAKEN,
        State.FAILED: MoneyState.NOT_TAKEN,
        State.RETRY_DUE: MoneyState.NOT_TAKEN,
        State.EXHAUSTED: MoneyState.NOT_TAKEN,
        State.CANCELLED: MoneyState.WITHDRAWN,
        State.CHARGED_BACK: MoneyState.RETURNED,
    }
)
# A dispute says that the money was taken, whether or not we heard of that before.
_LEFT_THE_ACCOUNT: Final = TAKEN | {State.CHARGED_BACK}
_FELL_THROUGH: Final = frozenset({MoneyState.NOT_TAKEN, MoneyState.WITHDRAWN})


def money_state(state: State, past: Iterable[State]) -> MoneyState:
    """Return where the money of a debit is, by its state and those it went through."""
    word = _WORDS[state]
    if word in _FELL_THROUGH and _LEFT_THE_ACCOUNT & set(past):
        return MoneyState.RETURNED
    return word
