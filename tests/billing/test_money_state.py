"""Where a resident's money is: in words that promise nothing that is not known."""

import pytest

from billing.debit import State
from billing.money_state import MoneyState, money_state

# Written by hand from payments.md 5.8: scheduled, sent, taken, returned.
WORDS = {
    "planned": "scheduled",
    "held": "held",
    "noticed": "scheduled",
    "recorded": "scheduled",
    "sending": "unclear",
    "unknown": "unclear",
    "accepted": "sent",
    "cancel_requested": "sent",
    "submitted": "sent",
    "confirmed": "taken",
    "settled": "taken",
    "reconciled": "taken",
    "failed": "not_taken",
    "retry_due": "not_taken",
    "cancelled": "withdrawn",
    "charged_back": "returned",
    "exhausted": "not_taken",
    "review": "unclear",
}


class TestAWord:
    """A word for the money ..."""

    def test_is_there_for_every_state(self) -> None:
        """A state that is added must be given its word by a person."""
        assert {state.value: money_state(state, ()).value for state in State} == WORDS

    @pytest.mark.parametrize("state", [State.FAILED, State.RETRY_DUE, State.EXHAUSTED])
    @pytest.mark.parametrize(
        "taken", [State.CONFIRMED, State.SETTLED, State.RECONCILED, State.CHARGED_BACK]
    )
    def test_says_that_what_was_taken_went_back(self, state: State, taken: State) -> None:
        """Not taken would be untrue: the resident saw it leave his account."""
        assert money_state(state, (State.ACCEPTED, taken)) is MoneyState.RETURNED

    @pytest.mark.parametrize("state", [State.ACCEPTED, State.SUBMITTED, State.UNKNOWN])
    def test_never_says_taken_before_the_bank_does(self, state: State) -> None:
        """However sure it looks."""
        assert money_state(state, tuple(State)) not in {MoneyState.TAKEN, MoneyState.RETURNED}
