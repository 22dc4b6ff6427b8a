"""What a debit moves in the ledger on its way; the accounts are drawn in billing/ledger.py."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from billing.debit import FINAL, Debit, State
from billing.ledger import DebitAmount, DebitMove, Transfer, debit_transfer


class _Money(StrEnum):
    NONE = "none"
    PENDING = "pending"
    IN_TRANSIT = "in_transit"
    PAID_OUT = "paid_out"
    GIVEN_UP = "given_up"


_PLACES: Final[Mapping[State, _Money]] = MappingProxyType(
    {
        State.PLANNED: _Money.NONE,
        State.HELD: _Money.NONE,
        State.NOTICED: _Money.NONE,
        State.CONFIRMED: _Money.IN_TRANSIT,
        State.SETTLED: _Money.PAID_OUT,
        State.RECONCILED: _Money.PAID_OUT,
        **dict.fromkeys(FINAL, _Money.GIVEN_UP),
    }
)


def _money(debit: Debit) -> _Money:
    """Return where the money is; a question moves none."""
    state = debit.before_review if debit.state is State.REVIEW else debit.state
    return _Money.PENDING if state is None else _PLACES.get(state, _Money.PENDING)


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
    moves = _MOVES.get((_money(before), _money(after)), ())
    return tuple(debit_transfer(move, amount, at=after.changed_at) for move in moves)
