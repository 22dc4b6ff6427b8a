"""The creditor's balance: what is owed to and by the creditor until a payout takes it.

An item is one movement. It waits, unsettled, until the batch of the next working day puts it into a
payout: everything that waited before that day, if there is anything left to pay. Less than nothing
waits for better days. Amounts are kept in tenths of a minor unit, because a fee can be a part of
one.
"""

from typing import Final

from simulators.bank.clock import midnight, stamp
from simulators.bank.store import Document
from simulators.bank.world import Bank, Profile

KIND: Final = "payout_items"
TENTHS: Final = 10
BASIS_POINTS: Final = 10_000
FEE: Final = "gocardless_fee"
# What a chargeback writes down.
TAKEN_BACK: Final = frozenset({"payment_charged_back", FEE})


def fee_tenths(profile: Profile, amount_minor: int) -> int:
    """Return what a payment costs the creditor, in tenths of a minor unit."""
    part = amount_minor * TENTHS * profile.fee_basis_points // BASIS_POINTS
    return min(part + profile.fee_fixed_minor * TENTHS, profile.fee_minor_max * TENTHS)


def text(tenths: int) -> str:
    """Return an amount as items carry it: minor units with one decimal."""
    whole, tenth = divmod(abs(tenths), TENTHS)
    return f"{'-' if tenths < 0 else ''}{whole}.{tenth}"


def credit(bank: Bank, payment: Document) -> None:
    """Owe the creditor a payment that was collected."""
    _add(bank, "payment_paid_out", payment["amount"] * TENTHS, _links(payment))


def take_back(bank: Bank, payment: Document, name: str) -> bool:
    """Take a payment from the creditor again; returns whether a payout has to bear it.

    What has not been paid out yet is simply not owed any more. Else the amount is owed by the
    creditor, and the fee is given back.
    """
    waiting = [item for item in _items(bank, payment) if item["hidden"]["settled_by"] is None]
    for item in waiting:
        if item["type"] == "payment_paid_out":
            bank.store.remove(item["id"])
            return False
    _add(bank, name, -payment["amount"] * TENTHS, _links(payment))
    fees = sum(item["hidden"]["tenths"] for item in _items(bank, payment) if item["type"] == FEE)
    if fees:
        _add(bank, FEE, -fees, _links(payment))
    return True


def give_back(bank: Bank, payment: Document) -> None:
    """Undo a chargeback that was cancelled, whether a payout has borne it or not."""
    waiting = [
        item
        for item in _items(bank, payment)
        if item["hidden"]["settled_by"] is None and item["type"] in TAKEN_BACK
    ]
    for item in waiting:
        bank.store.remove(item["id"])
    if not waiting:
        credit(bank, payment)


def refund(bank: Bank, refund: Document, *, returned: bool = False) -> None:
    """Take a refund from the creditor, or give back one that did not reach the payer."""
    links = {**refund["links"], "refund": refund["id"]}
    sign, name = (1, "refund_funds_returned") if returned else (-1, "payment_refunded")
    _add(bank, name, sign * refund["amount"] * TENTHS, links)


def _links(payment: Document) -> dict[str, str]:
    return {"mandate": payment["links"]["mandate"], "payment": payment["id"]}


def _items(bank: Bank, payment: Document) -> list[Document]:
    items = bank.store.items_about(payment["id"])
    return [item for item in items if not item["hidden"]["again"]]


def _add(bank: Bank, name: str, tenths: int, links: dict[str, str]) -> None:
    """Write an item down and see to it that the next batch looks at it."""
    due = midnight(bank.days_on(1))
    if not bank.store.planned(bank.creditor_id, "settle", stamp(due)):
        bank.plan("creditors", {"id": bank.creditor_id}, "settle", due)
    _write(bank, name, tenths, links)


def _write(
    bank: Bank, name: str, tenths: int, links: dict[str, str], *, again: bool = False
) -> Document:
    return bank.create(
        KIND,
        {
            "amount": text(tenths),
            "type": name,
            "links": links,
            "taxes": [],
            "hidden": {"tenths": tenths, "settled_by": None, "again": again},
        },
    )


def with_fees(bank: Bank, items: list[Document]) -> list[Document]:
    """Return the items and the fees of the payments among them, which a payout is made of.

    The fees of one payout are rounded together, so that the sum is whole. Nothing is returned when
    less than one minor unit is left to pay.
    """
    sold = [item for item in items if item["type"] == "payment_paid_out"]
    fees = {
        item["id"]: fee_tenths(bank.profile, item["hidden"]["tenths"] // TENTHS) for item in sold
    }
    total = sum(item["hidden"]["tenths"] for item in items) - sum(fees.values())
    if total < TENTHS:
        return []
    charged = [
        _write(bank, FEE, -fees[item["id"]], item["links"]) for item in sold if fees[item["id"]]
    ]
    _round(bank, [*items, *charged], total % TENTHS)
    return [*items, *charged]


def _round(bank: Bank, items: list[Document], rest: int) -> None:
    if rest == 0:
        return
    fee = [item for item in items if item["type"] == FEE][-1]
    fee["hidden"]["tenths"] -= rest
    fee["amount"] = text(fee["hidden"]["tenths"])
    bank.store.put(fee)


def settle(bank: Bank, items: list[Document], settled_by: str) -> None:
    """Write down which payout has taken the items."""
    for item in items:
        item["hidden"]["settled_by"] = settled_by
        bank.store.put(item)


def copies(bank: Bank, items: list[Document]) -> list[Document]:
    """Write items down once more, because the payout that took them came back."""
    return [
        _write(bank, item["type"], item["hidden"]["tenths"], item["links"], again=True)
        for item in items
    ]


def total_tenths(items: list[Document]) -> int:
    """Return the sum of items."""
    return sum(item["hidden"]["tenths"] for item in items)
