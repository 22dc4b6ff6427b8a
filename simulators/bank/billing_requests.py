"""Billing requests: how a payer is asked, step by step, for a mandate.

pending --details, account, confirmation--> ready_to_fulfil --fulfil--> fulfilled
   '---------------------- cancel ---------------'----> cancelled
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from simulators.bank import bank_accounts, customers, errors, limits, mandates
from simulators.bank.fields import NO_METADATA, Fields
from simulators.bank.listing import listing
from simulators.bank.operation import Call, Operation
from simulators.bank.request_view import ACTIONS, show, show_short
from simulators.bank.store import Document
from simulators.bank.world import Advance, Bank, Details, Note

KIND: Final = "billing_requests"
OPEN: Final = frozenset({"pending", "ready_to_fulfil"})
CONFIRMED: Final = "confirm_payer_details"
VERIFY: Final = frozenset({"minimum", "recommended", "when_available", "always"})
TOLD: Final = {
    "created": "The billing request was created.",
    "collect_customer_details": "The payer's details were collected.",
    "collect_bank_account": "The payer's bank account was collected.",
    "payer_details_confirmed": "The payer confirmed their details.",
    "fulfilled": "The billing request was fulfilled.",
    "cancelled": "The billing request was cancelled.",
}
UNSUPPORTED: Final = ("payment_request", "subscription_request", "instalment_schedule_request")


def create(bank: Bank, call: Call) -> Document:
    """Ask for a mandate."""
    fields = call.fields
    for name in UNSUPPORTED:
        if fields.has(name):
            fields.refuse(name, "is not supported by this bank")
    fields.ignore(*UNSUPPORTED, "payment_purpose_code", "payment_context_code")
    wanted = fields.child("mandate_request", required=True)
    reference = wanted.text("reference", length_max=mandates.REFERENCE_LENGTH_MAX)
    asked = _mandate_request(bank, wanted)
    links = fields.child("links")
    found: Document = {
        "fallback_enabled": fields.boolean("fallback_enabled", default=False),
        "fallback_occurred": False,
        "instalment_schedule_request": None,
        "mandate_request": asked,
        "metadata": fields.metadata(),
        "payment_context_code": None,
        "payment_purpose_code": None,
        "payment_request": None,
        "purpose_code": fields.text("purpose_code"),
        "status": "pending",
        "subscription_request": None,
        "links": {
            "creditor": bank.creditor_id,
            "mandate_request": "MRQ" + bank.new_id(KIND).removeprefix("BRQ"),
            "organisation": "OR0001",
        },
        # The contract takes the mandate's reference and shows it with the mandate only.
        "hidden": {"done": [], "reference": reference},
    }
    _read_links(bank, links, found)
    fields.check()
    request = bank.create(KIND, found)
    tell(bank, request, "created")
    return show(bank, request)


def _mandate_request(bank: Bank, asked: Fields) -> Document:
    currency = asked.text("currency", required=True)
    if currency not in {None, bank.profile.currency}:
        asked.refuse("currency", f"must be {bank.profile.currency}")
    scheme = asked.text("scheme")
    if scheme not in {None, bank.profile.scheme}:
        asked.refuse("scheme", f"must be {bank.profile.scheme}")
    return {
        "authorisation_source": asked.choice("authorisation_source", {"web", "telephone", "paper"})
        or "web",
        "consent_type": asked.text("consent_type"),
        "constraints": limits.read(asked.child("constraints")),
        "currency": currency,
        "description": asked.text("description"),
        "funds_settlement": asked.choice("funds_settlement", {"managed", "direct"}) or "managed",
        "links": {},
        "metadata": asked.metadata(),
        "payer_requested_dual_signature": asked.boolean(
            "payer_requested_dual_signature", default=False
        ),
        "scheme": bank.profile.scheme,
        "sweeping": asked.boolean("sweeping", default=False),
        "verify": asked.choice("verify", VERIFY) or "recommended",
    }


def _read_links(bank: Bank, links: Fields, found: Document) -> None:
    if links.text("creditor") not in {None, bank.creditor_id}:
        links.refuse("creditor", "does not exist")
    customer_id = links.text("customer")
    if customer_id is not None:
        if bank.store.get("customers", customer_id) is None:
            links.refuse("customer", "does not exist")
        found["links"] |= {"customer": customer_id, "customer_billing_detail": customer_id}
        found["hidden"]["done"].append("collect_customer_details")
    account_id = links.text("customer_bank_account")
    if account_id is not None:
        account = bank.store.get("customer_bank_accounts", account_id)
        if account is None or account["links"]["customer"] != customer_id:
            links.refuse("customer_bank_account", "does not exist for this customer")
        elif not account["enabled"]:
            links.refuse("customer_bank_account", "is disabled")
        found["links"]["customer_bank_account"] = account_id
        found["hidden"]["done"].append("collect_bank_account")


def tell(
    bank: Bank,
    request: Document,
    action: str,
    *,
    origin: str = "api",
    metadata: Mapping[str, str] = NO_METADATA,
) -> None:
    """Write down an event of a billing request, linked to all it has led to so far."""
    links = {
        name: request["links"][name]
        for name in ("creditor", "customer", "customer_bank_account", "mandate_request_mandate")
        if name in request["links"]
    }
    cause = f"billing_request_{action}"
    details = Details(origin=origin, cause=cause, description=TOLD[action])
    bank.tell(KIND, request, action, details, Note(links=links, metadata=metadata))


def get(bank: Bank, call: Call) -> Document:
    """Return a billing request."""
    return show(bank, bank.find(KIND, call.identity))


def index(bank: Bank, call: Call) -> Document:
    """Return a page of billing requests."""
    return listing(bank, KIND, call.query, ("created_at", "customer", "status"), show_short)


def take_details(bank: Bank, request: Document, found: Document, *, origin: str) -> None:
    """Keep who the payer is: a new customer, or news of the one already linked."""
    customer_id = request["links"].get("customer")
    if customer_id is None:
        customer = customers.new(bank, found)
        request["links"]["customer"] = customer["id"]
        request["links"]["customer_billing_detail"] = customer["id"]
    else:
        customer = bank.find("customers", customer_id)
        customer.update(found)
        bank.store.put(customer)
    _done(bank, request, "collect_customer_details", origin)


def take_account(bank: Bank, request: Document, found: Document, *, origin: str) -> None:
    """Keep the payer's account; one the customer already has is used again."""
    customer_id = request["links"]["customer"]
    existing = bank.store.account_with(customer_id, found["hidden"]["fingerprint"])
    request["links"]["customer_bank_account"] = (
        existing or bank_accounts.new(bank, found, customer_id)["id"]
    )
    _done(bank, request, "collect_bank_account", origin)


def confirm(
    bank: Bank, request: Document, *, origin: str, metadata: Mapping[str, str] = NO_METADATA
) -> None:
    """Keep that the payer has checked and confirmed what was collected."""
    request["status"] = "ready_to_fulfil"
    _done(bank, request, CONFIRMED, origin, metadata)


def complete(
    bank: Bank, request: Document, *, origin: str, metadata: Mapping[str, str] = NO_METADATA
) -> None:
    """Make the mandate that was asked for.

    :raises BankError: 422 when the account was disabled in the meantime.
    """
    asked = request["mandate_request"]
    account = bank.find("customer_bank_accounts", request["links"]["customer_bank_account"])
    if not account["enabled"]:
        raise errors.invalid_state("bank_account_disabled", "Bank account is disabled")
    found = {
        "authorisation_source": asked["authorisation_source"],
        "consent_parameters": limits.consent(asked["constraints"]),
        "consent_type": asked["consent_type"],
        "funds_settlement": asked["funds_settlement"],
        "metadata": asked["metadata"],
        "reference": request["hidden"].get("reference"),
        "hidden": {"constraints": asked["constraints"]},
    }
    mandate = mandates.new(bank, account, found)
    asked["links"] = {"mandate": mandate["id"]}
    request["links"]["mandate_request_mandate"] = mandate["id"]
    request["status"] = "fulfilled"
    bank.store.put(request)
    tell(bank, request, "fulfilled", origin=origin, metadata=metadata)


def authorise(bank: Bank, request: Document) -> None:
    """Confirm and fulfil a request in the payer's place.

    :raises BankError: 422 while payer or account are not known.
    """
    _check_done(request, "collect_customer_details", "collect_bank_account")
    confirm(bank, request, origin="payer")
    complete(bank, request, origin="payer")


def stop(
    bank: Bank, request: Document, *, origin: str, metadata: Mapping[str, str] = NO_METADATA
) -> None:
    """Cancel a request that is still open."""
    request["status"] = "cancelled"
    bank.store.put(request)
    tell(bank, request, "cancelled", origin=origin, metadata=metadata)


def _done(
    bank: Bank,
    request: Document,
    name: str,
    origin: str,
    metadata: Mapping[str, str] = NO_METADATA,
) -> None:
    done = request["hidden"]["done"]
    if CONFIRMED in done and name != CONFIRMED:
        # The payer has confirmed something else.
        done.remove(CONFIRMED)
        request["status"] = "pending"
    if name not in done:
        done.append(name)
    bank.store.put(request)
    action = "payer_details_confirmed" if name == CONFIRMED else name
    tell(bank, request, action, origin=origin, metadata=metadata)


def _open(bank: Bank, call: Call, *needs: str) -> Document:
    """Return the request when it is open and the named actions are done."""
    request = bank.find(KIND, call.identity)
    if request["status"] not in OPEN:
        raise errors.invalid_state(
            "billing_request_not_pending", f"Billing request is {request['status']}"
        )
    _check_done(request, *needs)
    return request


def _check_done(request: Document, *needs: str) -> None:
    missing = [name for name in needs if name not in request["hidden"]["done"]]
    if missing:
        raise errors.invalid_state(
            "billing_request_not_ready", f"Still to do: {', '.join(missing)}"
        )


def collect_customer_details(bank: Bank, call: Call) -> Document:
    """Say who the payer is."""
    request = _open(bank, call)
    given = call.fields.child("customer")
    found = customers.read(given)
    found.update(customers.read_detail(call.fields.child("customer_billing_detail")))
    known = bank.store.get("customers", request["links"].get("customer", "")) or {}
    if not customers.is_named({**known, **found}):
        given.refuse("given_name", "and family_name, or company_name, are required")
    call.fields.check()
    take_details(bank, request, found, origin="api")
    return show(bank, request)


def collect_bank_account(bank: Bank, call: Call) -> Document:
    """Say which account is to be debited."""
    request = _open(bank, call, "collect_customer_details")
    found = bank_accounts.read(bank, call.fields)
    call.fields.check()
    take_account(bank, request, found, origin="api")
    return show(bank, request)


def confirm_payer_details(bank: Bank, call: Call) -> Document:
    """Say that the payer has confirmed the details."""
    request = _open(bank, call, "collect_customer_details", "collect_bank_account")
    metadata = call.fields.metadata()
    call.fields.ignore("payer_requested_dual_signature")
    call.fields.check()
    confirm(bank, request, origin="api", metadata=metadata)
    return show(bank, request)


def fulfil(bank: Bank, call: Call) -> Document:
    """Make the mandate once everything is collected and confirmed."""
    request = _open(bank, call, *(name for name, _ in ACTIONS))
    metadata = call.fields.metadata()
    call.fields.check()
    complete(bank, request, origin="api", metadata=metadata)
    return show(bank, request)


def cancel(bank: Bank, call: Call) -> Document:
    """Withdraw an open request."""
    request = _open(bank, call)
    metadata = call.fields.metadata()
    call.fields.check()
    stop(bank, request, origin="api", metadata=metadata)
    return show(bank, request)


def _end(bank: Bank, request: Document, _note: Note) -> None:
    stop(bank, request, origin="api")


STEPS: Final[Mapping[tuple[str, str], Advance]] = MappingProxyType({(KIND, "cancel"): _end})


def _action_of(run: Callable[[Bank, Call], Document]) -> Operation:
    name = run.__name__
    return Operation(
        name=f"{KIND}.{name}", method="POST", path=f"/{KIND}/{{identity}}/actions/{name}", run=run
    )


OPERATIONS: Final = (
    Operation(name=f"{KIND}.create", method="POST", path=f"/{KIND}", run=create, creates=True),
    Operation(name=f"{KIND}.list", method="GET", path=f"/{KIND}", run=index),
    Operation(name=f"{KIND}.get", method="GET", path=f"/{KIND}/{{identity}}", run=get),
    _action_of(collect_customer_details),
    _action_of(collect_bank_account),
    _action_of(confirm_payer_details),
    _action_of(fulfil),
    _action_of(cancel),
)
