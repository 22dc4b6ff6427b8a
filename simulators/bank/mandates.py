"""Mandates: a payer's standing permission, and the end of it."""

import secrets
from collections.abc import Mapping
from datetime import date, timedelta
from types import MappingProxyType
from typing import Final

from simulators.bank import errors, notifications, payment_life
from simulators.bank.clock import midnight, parse, stamp
from simulators.bank.collection import drop
from simulators.bank.listing import listing
from simulators.bank.mandate_life import COURSE, COURSE_USUAL, ENDINGS, ENDS, LIVE, NEXT, TOLD
from simulators.bank.operation import Call, Operation
from simulators.bank.store import Document
from simulators.bank.world import NOTHING, Advance, Bank, Details, Note, shown

KIND: Final = "mandates"
REINSTATEMENTS_MAX: Final = 10
REFERENCE_SIGNS: Final = 8
REFERENCE_LENGTH_MAX: Final = 35
# Mandates that are not over but cannot be used; asking to reinstate them does not help.
STOPPED: Final = frozenset({"suspended_by_payer", "blocked"})


def show(bank: Bank, mandate: Document) -> Document:
    """Return a mandate as the contract shows it; the earliest charge date moves every day."""
    alive = mandate["status"] in LIVE
    return {
        **shown(mandate),
        "next_possible_charge_date": bank.earliest_charge_day().isoformat() if alive else None,
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
    action, details = TOLD["create"]
    notifications.offer(bank, bank.tell(KIND, mandate, action, details), mandate)
    customer = bank.find("customers", account["links"]["customer"])
    course = COURSE.get(customer["given_name"] or "", COURSE_USUAL)
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
    assert (mandate["status"], step) in NEXT, f"{mandate['status']} does not {step}"
    mandate["status"] = NEXT[mandate["status"], step]
    if step == "transfer":
        note = _transfer(bank, mandate)
    if step in {"activate", "revive"}:
        mandate["hidden"]["active_at"] = stamp(bank.at)
        _watch(bank, mandate)
    bank.store.put(mandate)
    action, usual = TOLD[step]
    event = bank.tell(KIND, mandate, action, usual, note)
    if step in ENDS:
        _end(bank, mandate, note.details or usual, event)


def _end(bank: Bank, mandate: Document, why: Details, event: Document) -> None:
    """Cancel what waits under a mandate that has ended, each with the reason and its event."""
    bank.store.strike_all(mandate["id"])
    details = Details(
        origin=why.origin,
        cause=why.cause,
        description="The payment was cancelled because its mandate ended.",
    )
    note = Note(details=details, links={"parent_event": event["id"]})
    for payment in bank.store.payments_of(mandate["id"]):
        if (payment["status"], "cancel") in payment_life.NEXT:
            drop(bank, payment, note)


def _transfer(bank: Bank, mandate: Document) -> Note:
    """Move a mandate to an account the payer has opened elsewhere."""
    before = bank.find("customer_bank_accounts", mandate["links"]["customer_bank_account"])
    copied = {name: before[name] for name in before if name not in {"id", "created_at"}}
    copied["account_number_ending"] = f"{secrets.randbelow(10_000):04}"
    copied["hidden"] = {"fingerprint": secrets.token_hex(32)}
    after = bank.create("customer_bank_accounts", copied)
    mandate["links"]["customer_bank_account"] = after["id"]
    return Note(
        links={
            "previous_customer_bank_account": before["id"],
            "new_customer_bank_account": after["id"],
        }
    )


def _watch(bank: Bank, mandate: Document) -> None:
    """Look again at a mandate when it would have slept for the time a rail allows."""
    bank.plan(KIND, mandate, "doze", midnight(_sleeps_until(bank, mandate)))


def _sleeps_until(bank: Bank, mandate: Document) -> date:
    used_at = bank.store.last_payment_at(mandate["id"]) or mandate["hidden"]["active_at"]
    return parse(used_at).date() + bank.profile.dormancy


def doze(bank: Bank, mandate: Document, _note: Note) -> None:
    """Let a mandate expire under which nothing was asked for too long; else look again later."""
    if mandate["status"] != "active":
        return
    if _sleeps_until(bank, mandate) <= bank.at.date():
        advance(bank, mandate, "expire")
    else:
        _watch(bank, mandate)


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
        "reference": fields.text("reference", length_max=REFERENCE_LENGTH_MAX),
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
    mandate["metadata"] = call.fields.metadata(mandate["metadata"])
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
    if (mandate["status"], "cancel") not in NEXT:
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
    if (mandate["status"], "resubmit") not in NEXT:
        if mandate["status"] in STOPPED:
            raise errors.invalid_state("reinstate_failed", f"Mandate is {mandate['status']}")
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
    return lambda bank, mandate, note: advance(bank, mandate, step, note)


STEPS: Final[Mapping[tuple[str, str], Advance]] = MappingProxyType(
    {
        (KIND, "doze"): doze,
        **{
            (KIND, step): _stepper(step)
            for step in (
                "submit",
                "activate",
                "revive",
                "fail",
                "expire",
                "suspend",
                "resume",
                "block",
                "transfer",
                *ENDINGS,
            )
        },
    }
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
