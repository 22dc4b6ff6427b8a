"""What a refund writes into the ledger; the drawing at the top of billing/ledger.py, as data.

The money is owed to the resident (refunds_payable) from the moment in which it is asked for, and on
its way from the moment in which its order is written down.
"""

from typing import Final

from billing.ledger import Account, Phase, Transfer
from billing.refund import Refund, RefundState

# How the names of a refund's transfers begin.
PREFIX: Final = "give_back/"

_PAYABLE: Final = Account.REFUNDS_PAYABLE


def refund_transfer(refund: Refund, word: str) -> Transfer:
    """Return the one transfer of a refund with this word at the end of its name."""
    source, bank = refund.source, Account.BANK
    phase, debit_code, credit_code = {
        "asked": (Phase.POSTED, source, _PAYABLE),
        "undone": (Phase.POSTED, _PAYABLE, source),
        "pending": (Phase.PENDING, _PAYABLE, bank),
        "void": (Phase.VOID, _PAYABLE, bank),
        "paid": (Phase.POSTED, _PAYABLE, bank),
        "bounced": (Phase.POSTED, bank, _PAYABLE),
        "left": (Phase.POSTED, _PAYABLE, Account.REFUND_DUE),
    }[word]
    return Transfer(
        account_id=refund.account_id,
        transfer_id=f"{PREFIX}{refund.bill_no}/{refund.attempt}/{refund.refund_no}/{word}",
        phase=phase,
        debit_code=debit_code,
        credit_code=credit_code,
        amount_minor=refund.amount_minor,
        currency=refund.currency,
        bill_no=refund.bill_no,
        posted_at=refund.changed_at,
    )


def refund_transfers(before: Refund | None, after: Refund) -> tuple[Transfer, ...]:
    """Return what the ledger records when a refund is born (no ``before``) or takes a step."""
    was = None if before is None else before.state
    asked_only = was is RefundState.REQUESTED
    came_back = ("void" if was is RefundState.PENDING else "bounced", "left")
    words = {
        RefundState.REQUESTED: ("asked",),
        RefundState.RECORDED: ("pending",) if asked_only else (),
        RefundState.PAID: ("paid",),
        RefundState.REFUSED: ("undone",) if asked_only else ("void", "undone"),
        RefundState.BOUNCED: came_back,
        RefundState.RETURNED: came_back,
    }
    return tuple(refund_transfer(after, word) for word in words.get(after.state, ()))
