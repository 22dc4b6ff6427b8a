"""Mandates: a payer's standing permission, and the end of it."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from simulators.bank import errors, payments
from simulators.bank.clock import midnight
from simulators.bank.listing import listing
from simulators.bank.lives import (
    MANDATE_COURSE,
    MANDATE_COURSE_USUAL,
    MANDATE_LIVE,
    MANDATE_NEXT,
    MANDATE_TOLD,
    PAYMENT_NEXT,
)
from simulators.bank.operation import Call, Operation
from simulators.bank.store import Document
from simulators.bank.world import NOTHING, Advance, Bank, Details, Note, shown

KIND: Final = "mandates"
REINSTATEMENTS_MAX: Final = 10
REFERENCE_SIGNS: Final = 8
ENDS: Final = frozenset({"cancel", "fail", "expire"})


def show(bank: Bank, mandate: Document) -> Document:
    """Return a mandate as the contract shows it; the earliest charge date moves every day."""
    alive = mandate["status"] in MANDATE_LIVE
    return {
        **shown(mandate),
        "next_possible_charge_date": bank.next_possible_charge_date() if alive else None,
    }


def new(bank: Bank, account: Document, found: Document) -> Document:
    """Write down a new mandate on a bank account and let its life begin."""
    mandate = bank.create(
        KIND,
        {
            "authorisation_source": "web",
            "consent_parameters": None,
            "consent_type": None,
            "funds_settlement": "managed",
            "mandate_type": "bank_debit",
            "metadata": {},
            "next_possible_standard_ach_charge_date": None,
            "payments_require_approval": False,
            "scheme": bank.profile.scheme,
            "status": "pending_submission",
            "verified_at": None,
            **found,
            "reference": found.get("reference") or f"AQ-{bank.new_id(KIND)[-REFERENCE_SIGNS:]}",
            "links": {
                "creditor": bank.creditor_id,
                "customer": account["links"]["customer"],
                "customer_bank_account": account["id"],
            },
            "hidden": {"constraints": None, "reinstatements": 0, **found.get("hidden", {})},
        },
    )
    action, details = MANDATE_TOLD["create"]
    bank.tell(KIND, mandate, action, details)
    customer = bank.find("customers", account["links"]["customer"])
    course = MANDATE_COURSE.get(customer["given_name"] or "", MANDATE_COURSE_USUAL)
    _begin(bank, mandate, course)
    return mandate


def _begin(bank: Bank, mandate: Document, course: tuple[str, ...]) -> None:
    """Take the first two steps now on an instant rail, else plan one for each coming day."""
    today = bank.at.date()
    for place, step in enumerate(course):
        if bank.profile.mandate_days == 0 and place < 2:  # noqa: PLR2004 - submit and its answer
            advance(bank, mandate, step)
        else:
            days = place + 1 if bank.profile.mandate_days else 1
            bank.plan(KIND, mandate, step, midnight(today + timedelta(days=days)))


def advance(bank: Bank, mandate: Document, step: str, note: Note = NOTHING) -> None:
    """Take one step of a mandate's life now; its end cancels the payments that wait."""
    assert (mandate["status"], step) in MANDATE_NEXT, f"{mandate['status']} does not {step}"
    mandate["status"] = MANDATE_NEXT[mandate["status"], step]
    bank.store.put(mandate)
    action, usual = MANDATE_TOLD[step]
    event = bank.tell(KIND, mandate, action, usual, note)
    if step in ENDS:
        bank.store.strike_all(mandate["id"])
        cause = Details(
            origin=(note.details or usual).origin,
            cause=(note.details or usual).cause,
            description="The payment was cancelled because its mandate ended.",
        )
        for payment in bank.store.payments_of(mandate["id"]):
            if (payment["status"], "cancel") in PAYMENT_NEXT:
                payments.drop(bank, payment, cause, event["id"])


def create(bank: Bank, call: Call) -> Document:
    """Make a mandate on an existing bank account, as the sandbox allows."""
    fields = call.fields
    scheme = fields.text("scheme")
    if scheme not in {None, bank.profile.scheme}:
        fields.refuse("scheme", f"must be {bank.profile.scheme}")
    found: Document = {
        "authorisation_source": fields.choice("authorisation_source", {"web", "telephone", "paper"})
        or "web",
        "metadata": fields.metadata(),
        "reference": fields.text("reference", length_max=35),
    }
    fields.ignore("payer_ip_address")
    links = fields.child("links", required=True)
    if links.text("creditor") not in {None, bank.creditor_id}:
        links.refuse("creditor", "does not exist")
    account_id = links.text("customer_bank_account", required=True) or ""
    account = bank.store.get("customer_bank_accounts", account_id)
    if account_id and account is None:
        links.refuse("customer_bank_account", "does not exist")
    fields.check()
    assert account is not None, "a missing account has been refused"
    if not account["enabled"]:
        raise errors.invalid_state("bank_account_disabled", "Bank account is disabled")
    return show(bank, new(bank, account, found))


def get(bank: Bank, call: Call) -> Document:
    """Return a mandate."""
    return show(bank, bank.find(KIND, call.identity))


def index(bank: Bank, call: Call) -> Document:
    """Return a page of mandates."""
    filters = (
        "created_at",
        "creditor",
        "customer",
        "customer_bank_account",
        "reference",
        "scheme",
        "status",
    )
    return listing(bank, KIND, call.query, filters, show)


def update(bank: Bank, call: Call) -> Document:
    """Change a mandate's metadata; nothing else of it can change."""
    mandate = bank.find(KIND, call.identity)
    mandate["metadata"] = call.fields.metadata()
    call.fields.check()
    bank.store.put(mandate)
    return show(bank, mandate)


def cancel(bank: Bank, call: Call) -> Document:
    """Cancel a mandate and its waiting payments.

    :raises BankError: 422 cancellation_failed when it has already ended.
    """
    mandate = bank.find(KIND, call.identity)
    metadata = call.fields.metadata()
    call.fields.check()
    if (mandate["status"], "cancel") not in MANDATE_NEXT:
        raise errors.invalid_state("cancellation_failed", "Mandate has already ended")
    advance(bank, mandate, "cancel", Note(metadata=metadata))
    return show(bank, mandate)


def reinstate(bank: Bank, call: Call) -> Document:
    """Send an ended mandate to the bank again.

    :raises BankError: 422 when it has not ended, its account is closed, or it is too often.
    """
    mandate = bank.find(KIND, call.identity)
    metadata = call.fields.metadata()
    call.fields.check()
    if (mandate["status"], "resubmit") not in MANDATE_NEXT:
        raise errors.invalid_state(
            "mandate_not_inactive", "Mandate is already active or being submitted"
        )
    account = bank.find("customer_bank_accounts", mandate["links"]["customer_bank_account"])
    if mandate["hidden"]["reinstatements"] >= REINSTATEMENTS_MAX or not account["enabled"]:
        raise errors.invalid_state("reinstate_failed", "Mandate cannot be reinstated")
    mandate["hidden"]["reinstatements"] += 1
    advance(bank, mandate, "resubmit", Note(metadata=metadata))
    _begin(bank, mandate, ("submit", "revive"))
    return show(bank, mandate)


def _stepper(step: str) -> Advance:
    return lambda bank, mandate: advance(bank, mandate, step)


STEPS: Final[Mapping[tuple[str, str], Advance]] = MappingProxyType(
    {(KIND, step): _stepper(step) for step in ("submit", "activate", "revive", "fail", "expire")}
)

OPERATIONS: Final = (
    Operation(name="mandates.create", method="POST", path="/mandates", run=create, creates=True),
    Operation(name="mandates.list", method="GET", path="/mandates", run=index),
    Operation(name="mandates.get", method="GET", path="/mandates/{identity}", run=get),
    Operation(name="mandates.update", method="PUT", path="/mandates/{identity}", run=update),
    Operation(
        name="mandates.cancel",
        method="POST",
        path="/mandates/{identity}/actions/cancel",
        run=cancel,
    ),
    Operation(
        name="mandates.reinstate",
        method="POST",
        path="/mandates/{identity}/actions/reinstate",
        run=reinstate,
    ),
)
