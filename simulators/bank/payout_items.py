"""Payout items: what one payout is made of, to one decimal of a minor unit."""

from typing import Final

from simulators.bank import errors
from simulators.bank.clock import parse
from simulators.bank.listing import listing
from simulators.bank.operation import Call, Operation
from simulators.bank.settlement import KIND
from simulators.bank.store import Document
from simulators.bank.world import Bank

# Items of older payouts are gone: the contract keeps them for six months.
KEPT_MONTHS: Final = 6
SHOWN: Final = ("amount", "links", "taxes", "type")


def show(_: Bank, item: Document) -> Document:
    """Return an item as the contract shows it: without an id of its own."""
    return {name: item[name] for name in SHOWN}


def index(bank: Bank, call: Call) -> Document:
    """Return a page of the items of one payout.

    :raises BankError: 400 without a payout, 404 for an unknown one, 410 for one that is too old.
    """
    payout_id = call.query.get("payout")
    if payout_id is None:
        raise errors.invalid_usage(
            400, "invalid_query_parameter", "Invalid query parameter", "payout is required"
        )
    made_on = parse(bank.find("payouts", payout_id)["created_at"]).date()
    today = bank.at.date()
    age_months = (today.year - made_on.year) * 12 + today.month - made_on.month
    if (age_months, today.day) > (KEPT_MONTHS, made_on.day):
        raise errors.invalid_usage(410, "payout_items_gone", "Payout items are no longer kept")
    query = {name: call.query[name] for name in call.query if name != CUTOVER}
    return listing(bank, KIND, query, ("payout",), show)


# A switch of the contract for the taxes of 2020, which this bank has none of.
CUTOVER: Final = "include_2020_tax_cutover"

OPERATIONS: Final = (Operation(name=f"{KIND}.list", method="GET", path=f"/{KIND}", run=index),)
