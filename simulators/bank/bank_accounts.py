"""Customer bank accounts: known by a fingerprint and four digits, never by the whole number."""

from typing import Final

from simulators.bank import errors, iban, mandates
from simulators.bank.fields import Fields
from simulators.bank.listing import listing
from simulators.bank.mandate_life import NEXT
from simulators.bank.operation import Call, Operation
from simulators.bank.store import Document
from simulators.bank.world import Bank, Details, Note, shown

KIND: Final = "customer_bank_accounts"
# Names travel in clearing files that have room for this many signs.
HOLDER_LENGTH_MAX: Final = 18
CLOSED: Final = Details(
    origin="api",
    cause="bank_account_disabled",
    description="The bank account was disabled at your request.",
)


def read(bank: Bank, fields: Fields) -> Document:
    """Return the account's fields; the number itself is already reduced to its fingerprint."""
    holder = fields.text("account_holder_name", required=True) or ""
    number = iban.normal(fields.text("iban", required=True) or "")
    if number and not iban.is_valid(number):
        fields.refuse("iban", "is invalid")
    elif number and number[:2] not in bank.profile.countries:
        fields.refuse("iban", f"cannot be debited under {bank.profile.scheme}")
    country = fields.text("country_code", length_max=2)
    if number and country is not None and country != number[:2]:
        fields.refuse("country_code", "does not match the IBAN")
    currency = fields.text("currency", length_max=3)
    if currency not in {None, bank.profile.currency}:
        fields.refuse("currency", f"must be {bank.profile.currency}")
    return {
        "account_holder_name": holder.upper()[:HOLDER_LENGTH_MAX],
        "account_number_ending": number[-4:],
        "account_type": fields.choice("account_type", {"savings", "checking"}),
        "bank_account_token": None,
        "bank_name": iban.bank_name(number),
        "country_code": number[:2],
        "currency": bank.profile.currency,
        "enabled": True,
        "metadata": fields.metadata(),
        "payer_name_verification_result": None,
        "trusted_recipient": False,
        "hidden": {"fingerprint": iban.fingerprint(number, bank.salt)},
    }


def new(bank: Bank, found: Document, customer_id: str) -> Document:
    """Write down a new account.

    :raises BankError: 409 when the customer already has this number, enabled.
    """
    existing = bank.store.account_with(customer_id, found["hidden"]["fingerprint"])
    if existing is not None:
        raise errors.account_exists(existing)
    return bank.create(KIND, {**found, "links": {"customer": customer_id}})


def close(bank: Bank, account: Document) -> None:
    """Disable an account and cancel the mandates on it."""
    account["enabled"] = False
    bank.store.put(account)
    for mandate in bank.store.mandates_of(account["id"]):
        if (mandate["status"], "cancel") in NEXT:
            mandates.advance(bank, mandate, "cancel", Note(details=CLOSED))


def create(bank: Bank, call: Call) -> Document:
    """Add a bank account to a customer."""
    found = read(bank, call.fields)
    links = call.fields.child("links", required=True)
    customer_id = links.text("customer", required=True) or ""
    if customer_id and bank.store.get("customers", customer_id) is None:
        links.refuse("customer", "does not exist")
    call.fields.check()
    return shown(new(bank, found, customer_id))


def get(bank: Bank, call: Call) -> Document:
    """Return a bank account."""
    return shown(bank.find(KIND, call.identity))


def index(bank: Bank, call: Call) -> Document:
    """Return a page of bank accounts."""
    return listing(bank, KIND, call.query, ("created_at", "customer", "enabled"))


def update(bank: Bank, call: Call) -> Document:
    """Change a bank account's metadata; nothing else of it can change."""
    account = bank.find(KIND, call.identity)
    account["metadata"] = call.fields.metadata(account["metadata"])
    call.fields.check()
    bank.store.put(account)
    return shown(account)


def disable(bank: Bank, call: Call) -> Document:
    """Disable a bank account.

    :raises BankError: 422 disable_failed when it already is.
    """
    account = bank.find(KIND, call.identity)
    call.fields.check()
    if not account["enabled"]:
        raise errors.invalid_state("disable_failed", "Bank account is already disabled")
    close(bank, account)
    return shown(account)


OPERATIONS: Final = (
    Operation(name=f"{KIND}.create", method="POST", path=f"/{KIND}", run=create, creates=True),
    Operation(name=f"{KIND}.list", method="GET", path=f"/{KIND}", run=index),
    Operation(name=f"{KIND}.get", method="GET", path=f"/{KIND}/{{identity}}", run=get),
    Operation(name=f"{KIND}.update", method="PUT", path=f"/{KIND}/{{identity}}", run=update),
    Operation(
        name=f"{KIND}.disable",
        method="POST",
        path=f"/{KIND}/{{identity}}/actions/disable",
        run=disable,
    ),
)
