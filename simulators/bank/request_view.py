"""Billing requests as the contract shows them: with what is to do, and with who was found."""

from typing import Final

from simulators.bank.store import Document
from simulators.bank.world import Bank

ACTIONS: Final = (
    ("collect_customer_details", ()),
    ("collect_bank_account", ("collect_customer_details",)),
    ("confirm_payer_details", ("collect_customer_details", "collect_bank_account")),
)
LISTED: Final = (
    "created_at",
    "id",
    "instalment_schedule_request",
    "links",
    "mandate_request",
    "metadata",
    "payment_request",
    "status",
    "subscription_request",
)
CUSTOMER_SHOWN: Final = (
    "company_name",
    "created_at",
    "email",
    "family_name",
    "given_name",
    "id",
    "language",
    "metadata",
    "phone_number",
)
DETAIL_SHOWN: Final = (
    "address_line1",
    "address_line2",
    "address_line3",
    "city",
    "country_code",
    "created_at",
    "danish_identity_number",
    "id",
    "postal_code",
    "region",
    "swedish_identity_number",
)
ACCOUNT_SHOWN: Final = (
    "account_holder_name",
    "account_number_ending",
    "account_type",
    "bank_account_token",
    "bank_name",
    "country_code",
    "created_at",
    "currency",
    "enabled",
    "id",
    "links",
    "metadata",
    "payer_name_verification_result",
)


def show(bank: Bank, request: Document) -> Document:
    """Return a billing request as the contract shows it, with what is still to do."""
    hidden = request["hidden"]
    customer = bank.store.get("customers", request["links"].get("customer", ""))
    account = bank.store.get(
        "customer_bank_accounts", request["links"].get("customer_bank_account", "")
    )
    resources: Document = {}
    if customer is not None:
        resources["customer"] = _only(customer, CUSTOMER_SHOWN)
        resources["customer_billing_detail"] = {
            **_only(customer, DETAIL_SHOWN),
            "ip_address": None,
            "schemes": [bank.profile.scheme],
        }
    if account is not None:
        resources["customer_bank_account"] = _only(account, ACCOUNT_SHOWN)
    shown = {name: value for name, value in request.items() if name != "hidden"}
    actions = [_action(bank, name, needs, name in hidden["done"]) for name, needs in ACTIONS]
    return {**shown, "actions": actions, "resources": resources}


def show_short(_: Bank, request: Document) -> Document:
    """Return a billing request as lists show it: without actions and people."""
    return _only(request, LISTED)


def _only(document: Document, names: tuple[str, ...]) -> Document:
    return {name: document[name] for name in names}


def _action(bank: Bank, name: str, needs: tuple[str, ...], done: bool) -> Document:  # noqa: FBT001 - one call, in order
    action: Document = {
        "type": name,
        "required": True,
        "completes_actions": [],
        "requires_actions": list(needs),
        "status": "completed" if done else "pending",
    }
    if name == "collect_customer_details":
        missing = [] if done else ["given_name", "family_name"]
        action[name] = {
            "default_country_code": min(bank.profile.countries),
            "incomplete_fields": {"customer": missing, "customer_billing_detail": []},
        }
    if name == "collect_bank_account":
        action["available_currencies"] = [bank.profile.currency]
    return action
