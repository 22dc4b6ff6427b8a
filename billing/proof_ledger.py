"""What must be true of the ledger's rows for one debit: a path that ends where its state says.

The plain histories stand below. Longer ones, in which a bank takes money back, gives it up and
takes it again, are right if each row is written as the drawing in billing/ledger.py says, each
answer has its question, and the rows lead from what is owed to where the money must be.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from billing.debit import Debit, State
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
from billing.proof import Finding, compare_transfers

_PENDING: Final = (DebitMove.PENDING,)
_IN_TRANSIT: Final = (*_PENDING, DebitMove.POSTED)
_PAID_OUT: Final = (*_IN_TRANSIT, DebitMove.PAYOUT)
_GIVEN_UP: Final = (
    (*_PENDING, DebitMove.VOID),
    (*_IN_TRANSIT, DebitMove.REVERSAL),
    (*_PAID_OUT, DebitMove.REVERSAL_AFTER_PAYOUT),
    (*_PAID_OUT, DebitMove.REVERSAL_AFTER_PAYOUT, DebitMove.RECOVERED),
)
_NOTHING: Final[tuple[DebitMove, ...]] = ()
_UNDER_WAY: Final = (
    *(State.RECORDED, State.SENDING, State.UNKNOWN),
    *(State.ACCEPTED, State.CANCEL_REQUESTED, State.SUBMITTED),
)
# What may stand in the ledger for a debit in each state; REVIEW keeps whatever there was.
_LEDGERS: Final[Mapping[State, tuple[tuple[DebitMove, ...], ...]]] = MappingProxyType(
    {
        **dict.fromkeys((State.PLANNED, State.HELD, State.NOTICED), (_NOTHING,)),
        **dict.fromkeys(_UNDER_WAY, (_PENDING,)),
        State.CONFIRMED: (_IN_TRANSIT,),
        State.SETTLED: (_PAID_OUT,),
        State.RECONCILED: (_PAID_OUT,),
        State.FAILED: _GIVEN_UP,
        State.RETRY_DUE: _GIVEN_UP,
        State.EXHAUSTED: (_NOTHING, *_GIVEN_UP),
        State.CHARGED_BACK: _GIVEN_UP,
        State.CANCELLED: (_NOTHING, *_GIVEN_UP),
        State.REVIEW: (_PENDING, _IN_TRANSIT, _PAID_OUT, *_GIVEN_UP),
    }
)
_BEYOND: Final = (Account.COLLECTIONS_IN_TRANSIT, Account.BANK, Account.CHARGEBACKS_RECEIVABLE)
_OWED: Final = Account.RECEIVABLE
# Where the money of a longer history may end, by state.
_PLACES: Final[Mapping[State, tuple[Account, ...]]] = MappingProxyType(
    {
        **dict.fromkeys(_UNDER_WAY, (_OWED,)),
        State.CONFIRMED: (Account.COLLECTIONS_IN_TRANSIT,),
        State.SETTLED: (Account.BANK,),
        State.RECONCILED: (Account.BANK,),
        **dict.fromkeys(
            (
                *(State.FAILED, State.RETRY_DUE, State.EXHAUSTED),
                *(State.CHARGED_BACK, State.CANCELLED),
            ),
            (_OWED, Account.CHARGEBACKS_RECEIVABLE),
        ),
        State.REVIEW: (_OWED, *_BEYOND),
    }
)


def check_ledger(debit: Debit, found: Mapping[str, Transfer]) -> Iterator[Finding]:
    """Find what the ledger has against the nearest history that the debit's state allows."""
    amount = DebitAmount(
        account_id=debit.account_id,
        bill_no=debit.bill_no,
        attempt=debit.attempt,
        amount_minor=debit.amount_minor,
        currency=debit.currency,
    )
    if _leads_there(debit, amount, found):
        return
    allowed = _LEDGERS[debit.state]
    if debit.idempotency_key is not None and len(allowed) > 1:
        allowed = tuple(moves for moves in allowed if moves)
    answers = []
    for moves in allowed:
        expected = [debit_transfer(move, amount, at=debit.changed_at) for move in moves]
        answers.append(list(compare_transfers({one.transfer_id: one for one in expected}, found)))
    yield from min(answers, key=len)


def _leads_there(debit: Debit, amount: DebitAmount, found: Mapping[str, Transfer]) -> bool:
    """Say whether all rows are well written and lead where the money must be."""
    places = _PLACES.get(debit.state)
    if not found or places is None:
        return False
    questions, answers = Counter[int](), Counter[int]()
    for one in found.values():
        word, _, digits = one.transfer_id.rpartition("/")[2].partition("-")
        number = int(digits) if digits.isascii() and digits.isdigit() else 1
        written = (
            debit_transfer(move, amount, at=one.posted_at, number=number)
            for move, shape in DEBIT_SHAPES.items()
            if shape.suffix == word
        )
        if one not in written:
            return False
        if one.phase is Phase.PENDING:
            questions[number] += 1
        elif word in {"void", "posted"}:
            answers[number] += 1
    open_questions = questions - answers
    under_way = debit.state in _UNDER_WAY
    asked_well = not answers - questions and set(answers.values()) <= {1}
    if not asked_well or (debit.state is not State.REVIEW and open_questions.total() != under_way):
        return False
    sums = {account: balance_minor(account, found.values()) for account in (_OWED, *_BEYOND)}
    lies_on = next((account for account in _BEYOND if sums[account]), _OWED)
    whole = dict.fromkeys(sums, 0)
    if lies_on is not _OWED:
        whole |= {_OWED: -debit.amount_minor, lies_on: debit.amount_minor}
    return lies_on in places and sums == whole
