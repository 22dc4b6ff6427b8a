"""Where the money of a debit lies, and the transfers that bring it where the debit's state says.

    planned, held, noticed                  receivable
    recorded .. submitted                   receivable, with a pending row to collections_in_transit
    confirmed                               collections_in_transit
    settled, reconciled                     bank
    failed, retry_due, cancelled, charged_back, exhausted
                                            receivable; after a payout chargebacks_receivable, until
                                            the bank has kept it from a later payout
    review                                  wherever it is

The ledger says where the money lies, the state where it belongs, and the difference is posted. So
it does not matter which news was skipped, or in which order it came: the balances are the same.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from billing.debit import FINAL, Debit, State
from billing.ledger import (
    DEBIT_SHAPES,
    Account,
    DebitAmount,
    DebitMove,
    Phase,
    Transfer,
    balance_minor,
    debit_transfer,
)


class Goal(StrEnum):
    """Where the money of a debit belongs, by its state."""

    NOTHING = "nothing"
    UNDER_WAY = "under_way"
    IN_TRANSIT = "in_transit"
    PAID_OUT = "paid_out"
    GIVEN_UP = "given_up"
    WHEREVER = "wherever"


# The table at the top, as data.
GOALS: Final[Mapping[State, Goal]] = MappingProxyType(
    {
        State.PLANNED: Goal.NOTHING,
        State.HELD: Goal.NOTHING,
        State.NOTICED: Goal.NOTHING,
        State.RECORDED: Goal.UNDER_WAY,
        State.SENDING: Goal.UNDER_WAY,
        State.UNKNOWN: Goal.UNDER_WAY,
        State.ACCEPTED: Goal.UNDER_WAY,
        State.CANCEL_REQUESTED: Goal.UNDER_WAY,
        State.SUBMITTED: Goal.UNDER_WAY,
        State.CONFIRMED: Goal.IN_TRANSIT,
        State.SETTLED: Goal.PAID_OUT,
        State.RECONCILED: Goal.PAID_OUT,
        State.FAILED: Goal.GIVEN_UP,
        State.RETRY_DUE: Goal.GIVEN_UP,
        State.CANCELLED: Goal.GIVEN_UP,
        State.CHARGED_BACK: Goal.GIVEN_UP,
        State.EXHAUSTED: Goal.GIVEN_UP,
        State.REVIEW: Goal.WHEREVER,
    }
)

_OWED: Final = Account.RECEIVABLE
_TRANSIT: Final = Account.COLLECTIONS_IN_TRANSIT
_BANK: Final = Account.BANK
_DISPUTED: Final = Account.CHARGEBACKS_RECEIVABLE

# From where the money lies to where it belongs; from receivable it depends on the pending row.
_WAYS: Final[Mapping[tuple[Goal, Account], tuple[DebitMove, ...]]] = MappingProxyType(
    {
        (Goal.UNDER_WAY, _DISPUTED): (DebitMove.RECOVERED, DebitMove.PENDING),
        (Goal.IN_TRANSIT, _BANK): (DebitMove.PAYOUT_BOUNCED,),
        (Goal.IN_TRANSIT, _DISPUTED): (DebitMove.RESTORED_OPEN, DebitMove.PAYOUT_BOUNCED),
        (Goal.PAID_OUT, _TRANSIT): (DebitMove.PAYOUT,),
        (Goal.PAID_OUT, _DISPUTED): (DebitMove.RESTORED_OPEN,),
        (Goal.GIVEN_UP, _TRANSIT): (DebitMove.REVERSAL,),
        (Goal.GIVEN_UP, _BANK): (DebitMove.REVERSAL_AFTER_PAYOUT,),
    }
)
_FROM_PENDING: Final[Mapping[Goal, tuple[DebitMove, ...]]] = MappingProxyType(
    {
        Goal.NOTHING: (DebitMove.VOID,),
        Goal.IN_TRANSIT: (DebitMove.POSTED,),
        Goal.PAID_OUT: (DebitMove.POSTED, DebitMove.PAYOUT),
        Goal.GIVEN_UP: (DebitMove.VOID,),
    }
)
_FROM_NOTHING: Final[Mapping[Goal, tuple[DebitMove, ...]]] = MappingProxyType(
    {
        Goal.UNDER_WAY: (DebitMove.PENDING,),
        Goal.IN_TRANSIT: (DebitMove.RESTORED_TO_TRANSIT,),
        Goal.PAID_OUT: (DebitMove.RESTORED_TO_BANK,),
    }
)
_ANSWERS: Final = frozenset({DebitMove.VOID, DebitMove.POSTED})


def prefix_of(debit: Debit) -> str:
    """Return how the names of a debit's transfers begin."""
    return f"debit/{debit.bill_no}/{debit.attempt}/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What the ledger says of one debit: where its money lies, and how often what has happened."""

    lies_on: Account = _OWED
    pending: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, transfers: Iterable[Transfer]) -> "Page":
        """Read the transfers of one debit."""
        written = list(transfers)
        counts = Counter(named(one)[0] for one in written)
        answered = counts["void"] + counts["posted"]
        beyond = (_TRANSIT, _BANK, _DISPUTED)
        return cls(
            lies_on=next((one for one in beyond if balance_minor(one, written) > 0), _OWED),
            pending=counts["pending"] > answered,
            counts=counts,
        )

    def number(self, move: DebitMove) -> int:
        """Return for the how manieth time a move would be made; an answer has its question's."""
        if move in _ANSWERS:
            return self.counts.get("pending", 0)
        return self.counts.get(DEBIT_SHAPES[move].suffix, 0) + 1

    def way_to(self, goal: Goal) -> tuple[DebitMove, ...]:
        """Return the moves that bring the money where it belongs."""
        if self.lies_on is not _OWED:
            return _WAYS.get((goal, self.lies_on), ())
        return (_FROM_PENDING if self.pending else _FROM_NOTHING).get(goal, ())


def goes_on(before: Debit, after: Debit) -> bool:
    """Say whether a step of a debit may move money, so that the ledger must be read."""
    return GOALS[before.state] is not GOALS[after.state]


def postings(debit: Debit, written: Iterable[Transfer]) -> tuple[Transfer, ...]:
    """Return what brings the ledger to a debit's state; ``written`` is what it has of the debit."""
    page = Page.of(written)
    return _posted(debit, page, page.way_to(GOALS[debit.state]), at=debit.changed_at)


def recovery(debit: Debit, written: Iterable[Transfer], *, at: datetime) -> tuple[Transfer, ...]:
    """Return what is posted when the bank has kept disputed money from a payout: it is owed again.

    Nothing, where the money was never paid out, is not disputed any more, or was kept already.
    """
    page = Page.of(written)
    if debit.state not in FINAL or page.lies_on is not _DISPUTED:
        return ()
    return _posted(debit, page, (DebitMove.RECOVERED,), at=at)


def _posted(
    debit: Debit, page: Page, moves: Iterable[DebitMove], *, at: datetime
) -> tuple[Transfer, ...]:
    amount = DebitAmount(
        account_id=debit.account_id,
        bill_no=debit.bill_no,
        attempt=debit.attempt,
        amount_minor=debit.amount_minor,
        currency=debit.currency,
    )
    return tuple(debit_transfer(move, amount, at=at, number=page.number(move)) for move in moves)


def named(transfer: Transfer) -> tuple[str, int]:
    """Return the word and the number in the name of a debit's transfer."""
    word, _, number = transfer.transfer_id.rpartition("/")[2].partition("-")
    return word, int(number) if number.isascii() and number.isdigit() else 1


def shapes_of(word: str) -> tuple[tuple[Phase, Account, Account], ...]:
    """Return how a transfer of a debit with this word may be written."""
    return tuple(
        (shape.phase, shape.debit_code, shape.credit_code)
        for shape in DEBIT_SHAPES.values()
        if shape.suffix == word
    )
