"""The one creditor of this bank: the gas company the others point to."""

from typing import Final

from simulators.bank.listing import listing
from simulators.bank.operation import Call, Operation
from simulators.bank.store import Document
from simulators.bank.world import Bank, Profile, shown


def founding(profile: Profile) -> Document:
    """Return the creditor as it stands on the bank's first day."""
    address = {
        "address_line1": "1 Gas Street",
        "address_line2": None,
        "address_line3": None,
        "city": "Aqkol",
        "region": "Aqmola",
        "postal_code": "020100",
        "country_code": "KZ",
    }
    identifier = {
        **address,
        "id": "SU0001",
        "name": "Aqkol Gas",
        "scheme": profile.scheme,
        "currency": profile.currency,
        "reference": "AQKOLGAS",
        "email": "gas@example.com",
        "phone_number": "+7 700 000 00 00",
        "minimum_advance_notice": 2,
        "can_specify_mandate_reference": False,
        "status": "active",
    }
    return {
        **address,
        "name": "Aqkol Gas",
        "bank_reference_prefix": "AQKOL",
        "can_create_refunds": False,
        "creditor_type": "company",
        "custom_payment_pages_enabled": False,
        "fx_payout_currency": None,
        "links": {},
        "logo_url": None,
        "mandate_imports_enabled": False,
        "merchant_responsible_for_notifications": True,
        "scheme_identifiers": [identifier],
        "verification_status": "successful",
    }


def show(_: Bank, document: Document) -> Document:
    """Return a creditor as the contract shows it."""
    identifiers = [
        {**identifier, "created_at": document["created_at"]}
        for identifier in document["scheme_identifiers"]
    ]
    return {**shown(document), "scheme_identifiers": identifiers}


def get(bank: Bank, call: Call) -> Document:
    """Return the creditor."""
    return show(bank, bank.find("creditors", call.identity))


def index(bank: Bank, call: Call) -> Document:
    """Return the list of one."""
    return listing(bank, "creditors", call.query, ("created_at",), show)


OPERATIONS: Final = (
    Operation(name="creditors.list", method="GET", path="/creditors", run=index),
    Operation(name="creditors.get", method="GET", path="/creditors/{identity}", run=get),
)
