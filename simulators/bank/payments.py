"""Payments: created, presented, collected, paid out; failing, late or not, and taken back."""

from datetime import date, timedelta
from typing import Final

from simulators.bank import errors, limits
from simulators.bank.collection import (
    KIND,
    RETRIES_MAX,
    drop,
    may_present,
    present_again,
    present_on,
    tell,
)
from simulators.bank.fields import Fields
from simulators.bank.listing import listing
from simulators.bank.mandate_life import LIVE
from simulators.bank.operation import Call, Operation
from simulators.bank.payment_life import NEXT
from simulators.bank.store import Document
from simulators.bank.world import Bank, Note, shown

# No payment is asked for years before: nobody knows the holidays of then.
AHEAD: Final = timedelta(days=3 * 365)


def create(bank: Bank, call: Call) -> Document:
    """Make a payment.

    :raises BankError: 422 for a wrong field, a payment the payer did not allow, or a dead mandate.
    """
    fields = call.fields
    found: Document = {
        "amount": fields.integer("amount", required=True),
        "amount_refunded": 0,
        "app_fee": None,
        "charge_date": fields.day("charge_date"),
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
        "hidden": {"retries": 0, "late": False, "before": None},
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
    present_on(bank, payment, date.fromisoformat(payment["charge_date"]))
    tell(bank, payment, "create")
    return shown(payment)


def _charge_day(bank: Bank, fields: Fields, asked: str | None) -> date:
    """Return the working day of a charge: as asked or the next after it, else the earliest."""
    earliest = bank.earliest_charge_day()
    if asked is None:
        return earliest
    day = date.fromisoformat(asked)
    if day < earliest:
        fields.refuse("charge_date", f"must be on or after {earliest.isoformat()}")
        return earliest
    if day > bank.at.date() + AHEAD:
        fields.refuse("charge_date", "is too far in the future")
        return earliest
    return bank.profile.calendar.roll(day)


def _check_allowed(bank: Bank, call: Call, mandate: Document, found: Document) -> None:
    if mandate["status"] not in LIVE:
        raise errors.invalid_state("mandate_is_inactive", "Mandate is inactive")
    if found["currency"] != bank.profile.currency:
        call.fields.refuse("currency", f"must be {bank.profile.currency} for this mandate")
    found["charge_date"] = _charge_day(bank, call.fields, found["charge_date"]).isoformat()
    for name, message in limits.objections(
        bank, mandate, amount=found["amount"], charge_date=found["charge_date"]
    ):
        call.fields.refuse(name, message)
    call.fields.check()


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
    payment["metadata"] = call.fields.metadata(payment["metadata"])
    payment["retry_if_possible"] = call.fields.boolean(
        "retry_if_possible", default=payment["retry_if_possible"]
    )
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
    if (payment["status"], "cancel") not in NEXT:
        raise errors.invalid_state(
            "cancellation_failed", "This payment cannot be cancelled in its present state"
        )
    drop(bank, payment, Note(metadata=metadata))
    return shown(payment)


def retry(bank: Bank, call: Call) -> Document:
    """Present a failed payment again, under the same id.

    :raises BankError: 422 retry_failed unless it failed, at most three times, mandate alive; or for
        a day on which the payer does not allow it.
    """
    payment = bank.find(KIND, call.identity)
    metadata = call.fields.metadata()
    asked = call.fields.day("charge_date")
    call.fields.check()
    if (payment["status"], "resubmit") not in NEXT or payment["hidden"]["late"]:
        raise errors.invalid_state("retry_failed", "This payment has not failed")
    if payment["hidden"]["retries"] >= RETRIES_MAX or not may_present(bank, payment):
        raise errors.invalid_state("retry_failed", "This payment cannot be retried")
    day = _charge_day(bank, call.fields, asked)
    mandate = bank.find("mandates", payment["links"]["mandate"])
    for name, message in limits.objections(
        bank, mandate, amount=payment["amount"], charge_date=day.isoformat()
    ):
        call.fields.refuse(name, message)
    call.fields.check()
    payment["status"] = "pending_submission"
    bank.store.strike_all(payment["id"])
    present_again(bank, payment, day)
    bank.store.put(payment)
    tell(bank, payment, "resubmit", Note(metadata=metadata))
    return shown(payment)


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
