"""What must be true of the refunds of one account and of the bank's record of them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from billing.bank import BankRefund, RefundStatus
from billing.debit import Debit
from billing.ledger import Transfer
from billing.order import body_digest
from billing.proof import Facts, Finding, Kind, compare_transfers
from billing.refund import COUNTS, UNCERTAIN, Refund, RefundState
from billing.refund_moves import PREFIX, refund_transfer

_ASKED: Final = ("asked",)
_ORDERED: Final = ("asked", "pending")
_PAID: Final = (*_ORDERED, "paid")
_CAME_BACK: Final = ((*_ORDERED, "void", "left"), (*_PAID, "bounced", "left"))
_REFUSED: Final = ((*_ASKED, "undone"), (*_ORDERED, "void", "undone"))
# What may stand in the ledger for a refund in each state; REVIEW keeps whatever there was.
_LEDGERS: Final[Mapping[RefundState, tuple[tuple[str, ...], ...]]] = MappingProxyType(
    {
        RefundState.REQUESTED: (_ASKED,),
        RefundState.RECORDED: (_ORDERED,),
        RefundState.SENDING: (_ORDERED,),
        RefundState.UNKNOWN: (_ORDERED,),
        RefundState.PENDING: (_ORDERED,),
        RefundState.PAID: (_PAID,),
        RefundState.SETTLED: (_PAID,),
        RefundState.BOUNCED: _CAME_BACK,
        RefundState.RETURNED: _CAME_BACK,
        RefundState.REFUSED: _REFUSED,
        RefundState.REVIEW: (_ORDERED, _PAID, *_CAME_BACK, *_REFUSED),
    }
)
_PAID_BY_US: Final = frozenset({RefundState.PAID, RefundState.SETTLED})
_WITH_NAME: Final = _PAID_BY_US | {
    RefundState.PENDING,
    RefundState.BOUNCED,
    RefundState.RETURNED,
}


def check_refunds(facts: Facts) -> Iterator[Finding]:
    """Find refunds of too much, under a wrong key, or without a place in the ledger that fits."""
    debits = {(one.bill_no, one.attempt): one for one in facts.debits}
    explained: set[str] = set()
    for refund in facts.refunds:
        debit = debits.get((refund.bill_no, refund.attempt))
        if debit is None:
            yield _about(refund, Kind.REFUND_WRONG, "no debit took what it gives back")
            continue
        yield from _check_order(refund, debit)
        found = _of_refund(refund, facts.transfers)
        explained |= found.keys()
        yield from _check_ledger(refund, found)
    for (bill_no, attempt), debit in debits.items():
        own = [one for one in facts.refunds if (one.bill_no, one.attempt) == (bill_no, attempt)]
        yield from _check_sum(debit, own)
    orphans = {
        one.transfer_id: one
        for one in facts.transfers
        if one.transfer_id.startswith(PREFIX) and one.transfer_id not in explained
    }
    yield from compare_transfers({}, orphans)


def _check_sum(debit: Debit, refunds: Sequence[Refund]) -> Iterator[Finding]:
    """Nobody gets more back than was taken, and one refund at a time is on its way."""
    given_minor = sum(one.amount_minor for one in refunds if one.state in COUNTS)
    if given_minor > debit.amount_minor:
        subject = f"{debit.account_id}/{debit.bill_no}/{debit.attempt}"
        detail = f"{given_minor} given back of {debit.amount_minor} {debit.currency}"
        yield Finding(kind=Kind.REFUND_TOO_MUCH, subject=subject, detail=detail)
    on_its_way = [one for one in refunds if one.state in UNCERTAIN - {RefundState.REVIEW}]
    for one in on_its_way[1:]:
        yield _about(one, Kind.REFUND_DOUBLED, "another refund of the payment is on its way too")


def _check_order(refund: Refund, debit: Debit) -> Iterator[Finding]:
    """The key follows from the refund's name, the digest from the body, the body from both."""
    if refund.state in _WITH_NAME and refund.bank_refund_id is None:
        yield _about(refund, Kind.REFUND_WRONG, "the bank's name for it is not kept")
    if refund.currency != debit.currency:
        yield _about(refund, Kind.REFUND_WRONG, f"{refund.currency}, taken in {debit.currency}")
    if refund.idempotency_key is None and refund.body is None:
        return
    if refund.idempotency_key != refund.key:
        yield _about(refund, Kind.REFUND_KEY_WRONG, "its key is not made from its name")
    if refund.body is None or refund.body_digest != body_digest(refund.body):
        yield _about(refund, Kind.REFUND_BODY_WRONG, "its body does not fit its digest")
        return
    try:
        order = json.loads(refund.body)["refunds"]
        said = (order["amount"], order["links"]["payment"], order["metadata"]["intent"])
        total_minor = int(order["total_amount_confirmation"])
    except (ValueError, KeyError, TypeError):
        yield _about(refund, Kind.REFUND_BODY_WRONG, "its body is not an order")
        return
    if said != (refund.amount_minor, debit.bank_payment_id, refund.key):
        yield _about(refund, Kind.REFUND_BODY_WRONG, f"it gives {said[0]} of {said[1]} back")
    if total_minor > debit.amount_minor:
        detail = f"it says {total_minor} go back in all, of {debit.amount_minor}"
        yield _about(refund, Kind.REFUND_BODY_WRONG, detail)


def _check_ledger(refund: Refund, found: Mapping[str, Transfer]) -> Iterator[Finding]:
    """Find what the ledger has against the nearest history that the refund's state allows."""
    answers = []
    for words in _LEDGERS[refund.state]:
        expected = [refund_transfer(refund, word) for word in words]
        answers.append(list(compare_transfers({one.transfer_id: one for one in expected}, found)))
    yield from min(answers, key=len)


def check_bank_refund(found: BankRefund, refund: Refund | None) -> Iterator[Finding]:
    """Find a refund at the bank that is not exactly the one we ordered."""
    if refund is None:
        yield _at_bank(found, Kind.REFUND_UNKNOWN, "none of ours ordered it")
        return
    if refund.bank_refund_id is not None and refund.bank_refund_id != found.refund_id:
        yield _at_bank(found, Kind.REFUND_DOUBLED, f"{_name(refund)} has another")
        return
    if (found.amount_minor, found.currency) != (refund.amount_minor, refund.currency):
        detail = (
            f"{found.amount_minor} {found.currency},"
            f" ordered {refund.amount_minor} {refund.currency}"
        )
        yield _at_bank(found, Kind.REFUND_WRONG, detail)
    paid = found.status is RefundStatus.PAID
    if refund.state is not RefundState.REVIEW and paid != (refund.state in _PAID_BY_US):
        detail = f"{found.status} there, {refund.state} here"
        yield _at_bank(found, Kind.COLLECTED_DIFFERS, detail)


def _of_refund(refund: Refund, transfers: Sequence[Transfer]) -> dict[str, Transfer]:
    prefix = f"{PREFIX}{refund.bill_no}/{refund.attempt}/{refund.refund_no}/"
    return {one.transfer_id: one for one in transfers if one.transfer_id.startswith(prefix)}


def _name(refund: Refund) -> str:
    return f"{refund.account_id}/{refund.bill_no}/{refund.attempt}/{refund.refund_no}"


def _about(refund: Refund, kind: Kind, detail: str) -> Finding:
    return Finding(kind=kind, subject=f"refund {_name(refund)}", detail=detail)


def _at_bank(found: BankRefund, kind: Kind, detail: str) -> Finding:
    return Finding(kind=kind, subject=f"refund {found.refund_id}", detail=detail)
