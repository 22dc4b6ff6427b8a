"""Payouts: what the creditor gets, working day by working day.

    pending --send--> paid --bounce--> bounced

A payout is made at the beginning of a working day and sent some hours later. One that the
creditor's bank sends back is made again on the next working day, of the same items.
"""

import secrets
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from simulators.bank import errors, payment_life, refund_life, settlement
from simulators.bank.clock import midnight, stamp
from simulators.bank.listing import listing
from simulators.bank.operation import Call, Operation
from simulators.bank.store import Document
from simulators.bank.world import NOTHING, Advance, Bank, Details, Note, shown, singular

KIND: Final = "payouts"
# Between the making of a payout and its sending.
SEND_AFTER: Final = timedelta(hours=9)
# Ten signs without 0 and O, 1 and I, which people mix up on paper.
SIGNS: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
REFERENCE_SIGNS: Final = 10

NEXT: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("pending", "send"): "paid",
        ("paid", "bounce"): "bounced",
    }
)
TABLES: Final = MappingProxyType({"payments": payment_life.NEXT, "refunds": refund_life.NEXT})
PAID: Final = Details(
    origin="gocardless", cause="payout_paid", description="The payout was sent to your account."
)
# What each kind of item tells of when its payout is sent.
TELLS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "payment_paid_out": ("payments", "pay_out"),
        "payment_failed": ("payments", "settle_late"),
        "payment_charged_back": ("payments", "settle_chargeback"),
        "payment_refunded": ("refunds", "settle"),
        "refund_funds_returned": ("refunds", "return"),
    }
)


def account_of(creditor_id: str) -> str:
    """Return the id of the account to which a creditor is paid."""
    return "BA" + creditor_id.removeprefix("CR")


def make(bank: Bank, items: list[Document]) -> Document:
    """Make a payout of items whose sum is whole and more than nothing, and plan its sending."""
    total = settlement.total_tenths(items)
    assert total > 0, "a payout pays something"
    assert total % settlement.TENTHS == 0, "a payout is whole"
    fees = sum(item["hidden"]["tenths"] for item in items if item["type"] == settlement.FEE)
    signs = "".join(secrets.choice(SIGNS) for _ in range(REFERENCE_SIGNS))
    payout = bank.create(
        KIND,
        {
            "amount": total // settlement.TENTHS,
            "arrival_date": bank.days_on(bank.profile.payout_days).isoformat(),
            "currency": bank.profile.currency,
            "deducted_fees": -fees // settlement.TENTHS,
            "fx": {
                "estimated_exchange_rate": None,
                "exchange_rate": None,
                "fx_amount": None,
                "fx_currency": None,
            },
            "links": {
                "creditor": bank.creditor_id,
                "creditor_bank_account": account_of(bank.creditor_id),
            },
            "metadata": {},
            "payout_type": "merchant",
            "reference": f"AQKOL-{signs}",
            "status": "pending",
            "tax_currency": bank.profile.currency,
        },
    )
    settlement.settle(bank, items, payout["id"])
    for item in items:
        if item["type"] == "payment_paid_out":
            payment = bank.find("payments", item["links"]["payment"])
            payment["links"]["payout"] = payout["id"]
            bank.store.put(payment)
    bank.plan(KIND, payout, "send", bank.at + SEND_AFTER)
    return payout


def settle(bank: Bank, _creditor: Document, _note: Note) -> None:
    """Make the payout of this working day of all that waited before it began."""
    waiting = bank.store.unsettled(stamp(midnight(bank.at.date())))
    if items := settlement.with_fees(bank, waiting):
        make(bank, items)


def pay_now(bank: Bank, payment: Document) -> None:
    """Pay one payment out now, alone, or send the payout it waits in.

    :raises BankError: 422 when nothing of it is left to pay.
    """
    waiting = [item for item in _about(bank, payment) if item["hidden"]["settled_by"] is None]
    payout = bank.store.get(KIND, payment["links"].get("payout", ""))
    if payout is None or payout["status"] != "pending":
        items = settlement.with_fees(bank, waiting)
        if not items:
            raise errors.invalid_state("scenario_not_possible", "Nothing is left to pay out")
        payout = make(bank, items)
    bank.store.strike_all(payout["id"])
    send(bank, payout, NOTHING)


def debit_now(bank: Bank, document: Document) -> None:
    """Move what waits about a payment or a refund to or from the creditor's own account."""
    waiting = [
        item
        for item in _about(bank, document)
        if item["hidden"]["settled_by"] is None and item["type"] != "payment_paid_out"
    ]
    settlement.settle(bank, waiting, account_of(bank.creditor_id))


def _about(bank: Bank, document: Document) -> list[Document]:
    """Return the items about a payment, or those about one refund of it."""
    payment_id = document["links"].get("payment")
    if payment_id is None:
        return bank.store.items_about(document["id"])
    items = bank.store.items_about(payment_id)
    return [item for item in items if item["links"].get("refund") == document["id"]]


def send(bank: Bank, payout: Document, _note: Note) -> None:
    """Send a payout, and tell so of it and of everything in it."""
    payout["status"] = NEXT[payout["status"], "send"]
    bank.store.put(payout)
    event = bank.tell(KIND, payout, "paid", PAID, Note(links={"creditor": bank.creditor_id}))
    note = Note(links={"payout": payout["id"], "parent_event": event["id"]})
    for item in bank.store.items_of(payout["id"]):
        if item["type"] in TELLS and not item["hidden"]["again"]:
            kind, step = TELLS[item["type"]]
            document = bank.find(kind, item["links"][singular(kind)])
            if (document["status"], step) in TABLES[kind]:
                bank.take(kind, document, step, note)


def bounce(bank: Bank, payout: Document, _note: Note) -> None:
    """Take back what the creditor's bank refused, and pay it again on the next working day.

    The contract has no event for it; whoever reads the payout sees it.
    """
    payout["status"] = NEXT[payout["status"], "bounce"]
    bank.store.put(payout)
    bank.plan(KIND, payout, "repeat", midnight(bank.days_on(1)))


def repeat(bank: Bank, payout: Document, _note: Note) -> None:
    """Pay the items of a bounced payout once more."""
    make(bank, settlement.copies(bank, bank.store.items_of(payout["id"])))


def get(bank: Bank, call: Call) -> Document:
    """Return a payout."""
    return shown(bank.find(KIND, call.identity))


def index(bank: Bank, call: Call) -> Document:
    """Return a page of payouts."""
    filters = (
        "created_at",
        "creditor",
        "creditor_bank_account",
        "currency",
        "payout_type",
        "reference",
        "status",
    )
    return listing(bank, KIND, call.query, filters)


def update(bank: Bank, call: Call) -> Document:
    """Change a payout's metadata; nothing else of it can change."""
    payout = bank.find(KIND, call.identity)
    payout["metadata"] = call.fields.metadata(payout["metadata"])
    call.fields.check()
    bank.store.put(payout)
    return shown(payout)


STEPS: Final[Mapping[tuple[str, str], Advance]] = MappingProxyType(
    {
        ("creditors", "settle"): settle,
        (KIND, "send"): send,
        (KIND, "bounce"): bounce,
        (KIND, "repeat"): repeat,
    }
)

OPERATIONS: Final = (
    Operation(name=f"{KIND}.list", method="GET", path=f"/{KIND}", run=index),
    Operation(name=f"{KIND}.get", method="GET", path=f"/{KIND}/{{identity}}", run=get),
    Operation(name=f"{KIND}.update", method="PUT", path=f"/{KIND}/{{identity}}", run=update),
)
