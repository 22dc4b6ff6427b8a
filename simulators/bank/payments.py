"""Payments: created, presented, collected, paid out; failing, late or not, and taken back."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from types import MappingProxyType
from typing import Final

from simulators.bank import errors, limits
from simulators.bank.clock import midnight
from simulators.bank.listing import listing
from simulators.bank.lives import (
    MANDATE_LIVE,
    PAYMENT_COURSE,
    PAYMENT_COURSE_USUAL,
    PAYMENT_NEXT,
    PAYMENT_TOLD,
)
from simulators.bank.operation import Call, Operation
from simulators.bank.store import Document
from simulators.bank.world import NOTHING, Advance, Bank, Details, Note, shown

KIND: Final = "payments"
RETRIES_MAX: Final = 3
# The bank's own second try, for those who asked for it, comes this much later.
RESUBMIT_DAYS: Final = 3


def create(bank: Bank, call: Call) -> Document:
    """Make a payment.

    :raises BankError: 422 for a wrong field, a payment the payer did not allow, or a dead mandate.
    """
    fields = call.fields
    found: Document = {
        "amount": fields.integer("amount", required=True),
        "amount_refunded": 0,
        "app_fee": None,
        "charge_date": fields.day("charge_date") or bank.next_possible_charge_date(),
        "currency": fields.text("currency", required=True),
        "description": fields.text("description"),
        "faster_ach": False,
        "fx": {
            "estimated_exchange_rate": None,
            "exchange_rate": None,
            "fx_amount": None,
            "fx_currency": None,
        },
        "metadata": fields.metadata(),
        "reference": fields.text("reference", length_max=140),
        "retry_if_possible": fields.boolean("retry_if_possible", default=False),
        "hidden": {"retries": 0, "late": False},
    }
    fields.ignore("psu_interaction_type")
    links = fields.child("links", required=True)
    mandate_id = links.text("mandate", required=True) or ""
    mandate = bank.store.get("mandates", mandate_id)
    if mandate_id and mandate is None:
        links.refuse("mandate", "does not exist")
    fields.check()
    assert mandate is not None, "a missing mandate has been refused"
    _check_allowed(bank, call, mandate, found)
    found["hidden"]["customer"] = mandate["links"]["customer"]
    payment = bank.create(
        KIND,
        {
            **found,
            "scheme": mandate["scheme"],
            "status": "pending_submission",
            "links": {
                "mandate": mandate["id"],
                "creditor": mandate["links"]["creditor"],
            },
        },
    )
    bank.plan(KIND, payment, "submit", midnight(date.fromisoformat(payment["charge_date"])))
    _tell(bank, payment, "create")
    return shown(payment)


def _check_allowed(bank: Bank, call: Call, mandate: Document, found: Document) -> None:
    if mandate["status"] not in MANDATE_LIVE:
        raise errors.invalid_state("mandate_is_inactive", "Mandate is inactive")
    if found["currency"] != bank.profile.currency:
        call.fields.refuse("currency", f"must be {bank.profile.currency} for this mandate")
    earliest = bank.next_possible_charge_date()
    if found["charge_date"] < earliest:
        call.fields.refuse("charge_date", f"must be on or after {earliest}")
    for name, message in limits.objections(
        bank, mandate, amount=found["amount"], charge_date=found["charge_date"]
    ):
        call.fields.refuse(name, message)
    call.fields.check()


def _tell(bank: Bank, payment: Document, step: str, note: Note = NOTHING) -> None:
    action, usual = PAYMENT_TOLD[step]
    bank.tell(KIND, payment, action, usual, note)


def advance(bank: Bank, payment: Document, step: str) -> None:
    """Take one step of a payment's life now, and plan what follows from it by itself."""
    if step == "submit" and not _may_present(bank, payment):
        step = "reject"
    assert (payment["status"], step) in PAYMENT_NEXT, f"{payment['status']} does not {step}"
    payment["status"] = PAYMENT_NEXT[payment["status"], step]
    details: Details | None = None
    if step == "submit":
        _plan_course(bank, payment)
    elif step == "fail":
        details = _failure(bank, payment)
    elif step == "fail_late":
        payment["hidden"]["late"] = True
    elif step == "resubmit":
        _present_again(bank, payment, bank.at.date())
        details = replace(PAYMENT_TOLD[step][1], origin="gocardless")
    bank.store.put(payment)
    _tell(bank, payment, step, Note(details=details))


def _may_present(bank: Bank, payment: Document) -> bool:
    return bank.find("mandates", payment["links"]["mandate"])["status"] in MANDATE_LIVE


def _plan_course(bank: Bank, payment: Document) -> None:
    mandate = bank.find("mandates", payment["links"]["mandate"])
    customer = bank.store.get("customers", mandate["links"]["customer"]) or {}
    course = PAYMENT_COURSE.get(customer.get("given_name") or "", PAYMENT_COURSE_USUAL)
    for step, days in course:
        bank.plan(KIND, payment, step, midnight(bank.at.date() + timedelta(days=days)))


def _failure(bank: Bank, payment: Document) -> Details:
    again = payment["retry_if_possible"] and payment["hidden"]["retries"] < RETRIES_MAX
    if again:
        bank.plan(KIND, payment, "resubmit", bank.at + timedelta(days=RESUBMIT_DAYS))
    return replace(PAYMENT_TOLD["fail"][1], will_attempt_retry=again)


def _present_again(bank: Bank, payment: Document, day: date) -> None:
    payment["hidden"]["retries"] += 1
    payment["charge_date"] = day.isoformat()
    bank.plan(KIND, payment, "submit", midnight(day))


def drop(bank: Bank, payment: Document, details: Details, parent_event: str | None = None) -> None:
    """Cancel a payment that has not been presented, because its mandate ended."""
    payment["status"] = PAYMENT_NEXT[payment["status"], "cancel"]
    bank.store.put(payment)
    bank.store.strike_all(payment["id"])
    links = {} if parent_event is None else {"parent_event": parent_event}
    _tell(bank, payment, "cancel", Note(details=details, links=links))


def get(bank: Bank, call: Call) -> Document:
    """Return a payment."""
    return shown(bank.find(KIND, call.identity))


def index(bank: Bank, call: Call) -> Document:
    """Return a page of payments."""
    filters = ("created_at", "charge_date", "creditor", "currency", "customer", "mandate", "status")
    return listing(bank, KIND, call.query, filters)


def update(bank: Bank, call: Call) -> Document:
    """Change a payment's metadata and whether the bank may retry it."""
    payment = bank.find(KIND, call.identity)
    if call.fields.has("metadata"):
        payment["metadata"] = call.fields.metadata()
    payment["retry_if_possible"] = call.fields.boolean(
        "retry_if_possible", default=payment["retry_if_possible"]
    )
    call.fields.ignore("metadata")
    call.fields.check()
    bank.store.put(payment)
    return shown(payment)


def cancel(bank: Bank, call: Call) -> Document:
    """Cancel a payment.

    :raises BankError: 422 cancellation_failed once it has been presented.
    """
    payment = bank.find(KIND, call.identity)
    metadata = call.fields.metadata()
    call.fields.check()
    if (payment["status"], "cancel") not in PAYMENT_NEXT:
        raise errors.invalid_state(
            "cancellation_failed", "This payment cannot be cancelled in its present state"
        )
    payment["status"] = "cancelled"
    bank.store.put(payment)
    bank.store.strike_all(payment["id"])
    _tell(bank, payment, "cancel", Note(metadata=metadata))
    return shown(payment)


def retry(bank: Bank, call: Call) -> Document:
    """Present a failed payment again, under the same id.

    :raises BankError: 422 retry_failed unless it failed, at most three times, mandate alive.
    """
    payment = bank.find(KIND, call.identity)
    metadata = call.fields.metadata()
    earliest = bank.next_possible_charge_date()
    charge_date = call.fields.day("charge_date") or earliest
    if charge_date < earliest:
        call.fields.refuse("charge_date", f"must be on or after {earliest}")
    call.fields.check()
    if (payment["status"], "resubmit") not in PAYMENT_NEXT or payment["hidden"]["late"]:
        raise errors.invalid_state("retry_failed", "This payment has not failed")
    if payment["hidden"]["retries"] >= RETRIES_MAX or not _may_present(bank, payment):
        raise errors.invalid_state("retry_failed", "This payment cannot be retried")
    payment["status"] = "pending_submission"
    bank.store.strike_all(payment["id"])
    _present_again(bank, payment, date.fromisoformat(charge_date))
    bank.store.put(payment)
    _tell(bank, payment, "resubmit", Note(metadata=metadata))
    return shown(payment)


def _stepper(step: str) -> Advance:
    return lambda bank, payment: advance(bank, payment, step)


STEPS: Final[Mapping[tuple[str, str], Advance]] = MappingProxyType(
    {
        (KIND, step): _stepper(step)
        for step in (
            "submit",
            "confirm",
            "pay_out",
            "fail",
            "fail_late",
            "settle_late",
            "charge_back",
            "resubmit",
        )
    }
)

OPERATIONS: Final = (
    Operation(name="payments.create", method="POST", path="/payments", run=create, creates=True),
    Operation(name="payments.list", method="GET", path="/payments", run=index),
    Operation(name="payments.get", method="GET", path="/payments/{identity}", run=get),
    Operation(name="payments.update", method="PUT", path="/payments/{identity}", run=update),
    Operation(
        name="payments.cancel",
        method="POST",
        path="/payments/{identity}/actions/cancel",
        run=cancel,
    ),
    Operation(
        name="payments.retry", method="POST", path="/payments/{identity}/actions/retry", run=retry
    ),
)
