"""What a refund writes into the ledger; the drawing at the top of billing/ledger.py, as data.

The money is owed to the resident (refunds_payable) from the moment in which it is asked for, and on
its way from the moment in which its order is written down.
"""

from dataclasses import dataclass, replace
from typing import Final

from billing.ledger import Account, Phase, Transfer
from billing.refund import Refund, RefundState

# How the names of a refund's transfers begin.
PREFIX: Final = "give_back/"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leg:
    """One transfer of a refund: the end of its name, its phase, and how it is written."""

    word: str
    phase: Phase
    debit_code: Account
    credit_code: Account


_PAYABLE: Final = Account.REFUNDS_PAYABLE
_PENDING: Final = _Leg(
    word="pending", phase=Phase.PENDING, debit_code=_PAYABLE, credit_code=Account.BANK
)
_VOID: Final = replace(_PENDING, word="void", phase=Phase.VOID)
_PAID: Final = replace(_PENDING, word="paid", phase=Phase.POSTED)
_BOUNCED: Final = _Leg(
    word="bounced", phase=Phase.POSTED, debit_code=Account.BANK, credit_code=_PAYABLE
)
_LEFT: Final = _Leg(
    word="left", phase=Phase.POSTED, debit_code=_PAYABLE, credit_code=Account.REFUND_DUE
)


def _asked(refund: Refund) -> _Leg:
    return _Leg(word="asked", phase=Phase.POSTED, debit_code=refund.source, credit_code=_PAYABLE)


def _legs(refund: Refund, *, was: RefundState | None) -> tuple[_Leg, ...]:
    """Return what a step of a refund writes."""
    asked = _asked(refund)
    undone = replace(asked, word="undone", debit_code=_PAYABLE, credit_code=refund.source)
    asked_only = was is RefundState.REQUESTED
    came_back = (_VOID if was is RefundState.PENDING else _BOUNCED, _LEFT)
    legs = {
        RefundState.REQUESTED: (asked,),
        RefundState.RECORDED: (_PENDING,) if asked_only else (),
        RefundState.PAID: (_PAID,),
        RefundState.REFUSED: (undone,) if asked_only else (_VOID, undone),
        RefundState.BOUNCED: came_back,
        RefundState.RETURNED: came_back,
    }
    return legs.get(refund.state, ())


def refund_transfers(before: Refund | None, after: Refund) -> tuple[Transfer, ...]:
    """Return what the ledger records when a refund is born (no ``before``) or takes a step."""
    return tuple(
        Transfer(
            account_id=after.account_id,
            transfer_id=(f"{PREFIX}{after.bill_no}/{after.attempt}/{after.refund_no}/{leg.word}"),
            phase=leg.phase,
            debit_code=leg.debit_code,
            credit_code=leg.credit_code,
            amount_minor=after.amount_minor,
            currency=after.currency,
            bill_no=after.bill_no,
            posted_at=after.changed_at,
        )
        for leg in _legs(after, was=None if before is None else before.state)
    )
