"""Customers: people who pay. Removing one ends everything that hangs on it."""

from typing import Final

from simulators.bank import bank_accounts
from simulators.bank.fields import Fields
from simulators.bank.listing import listing
from simulators.bank.operation import Call, Operation
from simulators.bank.store import Document
from simulators.bank.world import Bank, shown

# The contract's languages, and the two of Kazakhstan: a declared extension of this mock.
LANGUAGES: Final = frozenset(
    {"da", "de", "en", "es", "fr", "it", "kk", "nb", "nl", "pt", "ru", "sl", "sv"}
)
TEXTS: Final = (
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
    "phone_number",
    "postal_code",
    "region",
    "swedish_identity_number",
)

ADDRESS: Final = (
    "address_line1",
    "address_line2",
    "address_line3",
    "city",
    "country_code",
    "danish_identity_number",
    "postal_code",
    "region",
    "swedish_identity_number",
)


def read(fields: Fields) -> Document:
    """Return the customer's fields that the request carries, a null to empty one among them."""
    found: Document = {name: fields.text(name) for name in TEXTS if name in fields}
    language = fields.choice("language", LANGUAGES)
    if language is not None:
        found["language"] = language
    if fields.has("metadata"):
        found["metadata"] = fields.metadata()
    fields.ignore("metadata")
    return found


def read_detail(fields: Fields) -> Document:
    """Return the address part of the fields, as billing requests keep it apart."""
    fields.ignore("ip_address")
    return {name: fields.text(name) for name in ADDRESS if name in fields}


def is_named(customer: Document) -> bool:
    """Say whether it is clear who the customer is: a full name or a company's."""
    return bool(
        customer.get("company_name") or (customer.get("given_name") and customer.get("family_name"))
    )


def new(bank: Bank, found: Document) -> Document:
    """Write down a new customer from the fields read."""
    blank = dict.fromkeys(TEXTS)
    return bank.create(
        "customers", {**blank, "language": bank.profile.language, "metadata": {}, **found}
    )


def create(bank: Bank, call: Call) -> Document:
    """Make a customer."""
    found = read(call.fields)
    if not is_named(found):
        call.fields.refuse("given_name", "and family_name, or company_name, are required")
    call.fields.check()
    return shown(new(bank, found))


def get(bank: Bank, call: Call) -> Document:
    """Return a customer."""
    return shown(bank.find("customers", call.identity))


def index(bank: Bank, call: Call) -> Document:
    """Return a page of customers."""
    return listing(bank, "customers", call.query, ("created_at",))


def update(bank: Bank, call: Call) -> Document:
    """Change a customer's fields."""
    customer = bank.find("customers", call.identity)
    customer.update(read(call.fields))
    if not is_named(customer):
        call.fields.refuse("given_name", "and family_name, or company_name, are required")
    call.fields.check()
    bank.store.put(customer)
    return shown(customer)


def remove(bank: Bank, call: Call) -> None:
    """Forget a customer: end what is still asked, and disable the accounts with all on them."""
    customer = bank.find("customers", call.identity)
    for request in bank.store.open_requests_of(customer["id"]):
        bank.take("billing_requests", request, "cancel")
    for account in bank.store.accounts_of(customer["id"]):
        if account["enabled"]:
            bank_accounts.close(bank, account)
    bank.store.remove(customer["id"])


OPERATIONS: Final = (
    Operation(name="customers.create", method="POST", path="/customers", run=create, creates=True),
    Operation(name="customers.list", method="GET", path="/customers", run=index),
    Operation(name="customers.get", method="GET", path="/customers/{identity}", run=get),
    Operation(name="customers.update", method="PUT", path="/customers/{identity}", run=update),
    Operation(name="customers.remove", method="DELETE", path="/customers/{identity}", run=remove),
)
