"""Billing request flows: the address of a page on which the payer says yes or no."""

import secrets
from datetime import timedelta
from typing import Final

from simulators.bank import billing_requests, customers, errors
from simulators.bank.clock import stamp
from simulators.bank.operation import Call, Operation
from simulators.bank.store import Document
from simulators.bank.world import Bank, shown

KIND: Final = "billing_request_flows"
LIFE_DAYS: Final = 7
BOOLEANS: Final = (
    "auto_fulfil",
    "lock_bank_account",
    "lock_currency",
    "lock_customer_details",
    "show_redirect_buttons",
    "show_success_redirect_button",
    "skip_success_screen",
)
PREFILLED: Final = (
    "address_line1",
    "address_line2",
    "address_line3",
    "city",
    "company_name",
    "country_code",
    "danish_identity_number",
    "email",
    "family_name",
    "given_name",
    "postal_code",
    "region",
    "swedish_identity_number",
)


def create(bank: Bank, call: Call) -> Document:
    """Make the page for a billing request that is still open."""
    fields = call.fields
    prefilled = fields.child("prefilled_customer")
    account = fields.child("prefilled_bank_account")
    found: Document = {
        **{name: fields.boolean(name, default=name == "auto_fulfil") for name in BOOLEANS},
        "authorisation_url": "",
        "customer_details_captured": False,
        "exit_uri": fields.url("exit_uri"),
        "expires_at": stamp(bank.at + timedelta(days=LIFE_DAYS)),
        "language": fields.choice("language", customers.LANGUAGES),
        "prefilled_bank_account": {"account_type": account.text("account_type")},
        "prefilled_customer": {name: prefilled.text(name) for name in PREFILLED},
        "redirect_uri": fields.url("redirect_uri"),
        "session_token": None,
    }
    if not found["auto_fulfil"]:
        fields.refuse("auto_fulfil", "cannot be switched off")
    fields.ignore("customer_details_captured")
    links = fields.child("links", required=True)
    request_id = links.text("billing_request", required=True) or ""
    request = bank.store.get("billing_requests", request_id)
    if request_id and request is None:
        links.refuse("billing_request", "does not exist")
    fields.check()
    assert request is not None, "a missing request has been refused"
    if request["status"] not in billing_requests.OPEN:
        raise errors.invalid_state(
            "billing_request_not_pending", f"Billing request is {request['status']}"
        )
    flow = bank.create(KIND, {**found, "links": {"billing_request": request["id"]}})
    flow["authorisation_url"] = f"{bank.public_url}/flow/{flow['id']}"
    bank.store.put(flow)
    return shown(flow)


def initialise(bank: Bank, call: Call) -> Document:
    """Return the flow with a fresh session token."""
    flow = bank.find(KIND, call.identity)
    call.fields.check()
    flow["session_token"] = "sesh_" + secrets.token_urlsafe(24)
    bank.store.put(flow)
    return shown(flow)


OPERATIONS: Final = (
    Operation(name=f"{KIND}.create", method="POST", path=f"/{KIND}", run=create, creates=True),
    Operation(
        name=f"{KIND}.initialise",
        method="POST",
        path=f"/{KIND}/{{identity}}/actions/initialise",
        run=initialise,
    ),
)
