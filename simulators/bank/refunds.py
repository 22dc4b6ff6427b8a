"""Refunds: money given back to a payer, all of a payment or a part of it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from simulators.bank import errors, settlement
from simulators.bank.clock import midnight
from simulators.bank.listing import listing
from simulators.bank.operation import Call, Operation
from simulators.bank.refund_life import COURSE, COURSE_USUAL, NEXT, TOLD
from simulators.bank.store import Document
from simulators.bank.world import NOTHING, Advance, Bank, Note, shown

KIND: Final = "refunds"
REFUNDS_MAX: Final = 5
REFUNDABLE: Final = frozenset({"confirmed", "paid_out"})


def create(bank: Bank, call: Call) -> Document:
    """Give a payment or a part of it back.

    :raises BankError: 422 when the sum confirmed is not the sum there will be, when the payment has
        too little left or too many refunds, or when it is not the creditor's to give back.
    """
    fields = call.fields
    amount = fields.integer("amount", required=True)
    confirmed = fields.integer("total_amount_confirmation", required=True)
    found: Document = {
        "metadata": fields.metadata(),
        "reference": fields.text("reference", length_max=140),
    }
    links = fields.child("links", required=True)
    payment_id = links.text("payment", required=True) or ""
    payment = bank.store.get("payments", payment_id)
    if payment_id and payment is None:
        links.refuse("payment", "does not exist")
    fields.check()
    assert payment is not None, "a missing payment has been refused"
    assert amount is not None, "a missing amount has been refused"
    _check_allowed(bank, payment, amount, confirmed)
    payment["amount_refunded"] += amount
    bank.store.put(payment)
    refund = bank.create(
        KIND,
        {
            "amount": amount,
            "currency": payment["currency"],
            "fx": {
                "estimated_exchange_rate": None,
                "exchange_rate": None,
                "fx_amount": None,
                "fx_currency": None,
            },
            "links": {"mandate": payment["links"]["mandate"], "payment": payment["id"]},
            "status": "created",
            **found,
        },
    )
    settlement.refund(bank, refund)
    leaves_on = bank.profile.calendar.after(bank.profile.calendar.file_day(bank.at), 1)
    bank.plan(KIND, refund, "submit", midnight(leaves_on))
    _tell(bank, refund, "create")
    return shown(refund)


def _check_allowed(bank: Bank, payment: Document, amount: int, confirmed: int | None) -> None:
    if payment["status"] not in REFUNDABLE:
        raise errors.invalid_state(
            "refund_payment_invalid_state",
            f"A payment that is {payment['status']} cannot be refunded",
        )
    if len(bank.store.refunds_of(payment["id"])) >= REFUNDS_MAX:
        raise errors.invalid_state(
            "number_of_refunds_exceeded", f"A payment has at most {REFUNDS_MAX} refunds"
        )
    if payment["amount_refunded"] + amount > payment["amount"]:
        raise errors.invalid_state(
            "available_refund_amount_insufficient",
            f"{payment['amount'] - payment['amount_refunded']} of the payment is left to refund",
        )
    if payment["amount_refunded"] + amount != confirmed:
        raise errors.invalid_state(
            "total_amount_confirmation_invalid",
            f"All refunds together would be {payment['amount_refunded'] + amount}",
        )


def _tell(bank: Bank, refund: Document, step: str, note: Note = NOTHING) -> None:
    if step in TOLD:
        action, usual = TOLD[step]
        payment = {"payment": refund["links"]["payment"]}
        links = Note(details=note.details, metadata=note.metadata, links={**payment, **note.links})
        bank.tell(KIND, refund, action, usual, links)


def advance(bank: Bank, refund: Document, step: str, note: Note = NOTHING) -> None:
    """Take one step of a refund's life now, and plan what follows from it by itself."""
    assert (refund["status"], step) in NEXT, f"{refund['status']} does not {step}"
    refund["status"] = NEXT[refund["status"], step]
    bank.store.put(refund)
    payment = bank.find("payments", refund["links"]["payment"])
    if step == "bounce":
        payment["amount_refunded"] -= refund["amount"]
        bank.store.put(payment)
        settlement.refund(bank, refund, returned=True)
    customer = bank.store.get("customers", payment["hidden"]["customer"]) or {}
    course = COURSE.get(customer.get("given_name") or "", COURSE_USUAL)
    if step in course:
        following, days = course[step]
        bank.plan(KIND, refund, following, midnight(bank.days_on(days)))
    _tell(bank, refund, step, note)


def get(bank: Bank, call: Call) -> Document:
    """Return a refund."""
    return shown(bank.find(KIND, call.identity))


def index(bank: Bank, call: Call) -> Document:
    """Return a page of refunds."""
    return listing(bank, KIND, call.query, ("created_at", "mandate", "payment"))


def update(bank: Bank, call: Call) -> Document:
    """Change a refund's metadata; nothing else of it can change."""
    refund = bank.find(KIND, call.identity)
    refund["metadata"] = call.fields.metadata(refund["metadata"])
    call.fields.check()
    bank.store.put(refund)
    return shown(refund)


def _stepper(step: str) -> Advance:
    return lambda bank, refund, note: advance(bank, refund, step, note)


STEPS: Final[Mapping[tuple[str, str], Advance]] = MappingProxyType(
    {(KIND, step): _stepper(step) for step in ("submit", "pay", "bounce", "return", "settle")}
)

OPERATIONS: Final = (
    Operation(name=f"{KIND}.create", method="POST", path=f"/{KIND}", run=create, creates=True),
    Operation(name=f"{KIND}.list", method="GET", path=f"/{KIND}", run=index),
    Operation(name=f"{KIND}.get", method="GET", path=f"/{KIND}/{{identity}}", run=get),
    Operation(name=f"{KIND}.update", method="PUT", path=f"/{KIND}/{{identity}}", run=update),
)
