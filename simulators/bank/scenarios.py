"""Scenario simulators: walk a payment or a mandate to a state now, whatever the calendar says."""

import secrets
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from simulators.bank import errors, mandates, payments
from simulators.bank.lives import MANDATE_NEXT, PAYMENT_NEXT
from simulators.bank.operation import Call, Operation
from simulators.bank.store import Document
from simulators.bank.world import Bank, Note

# Steps a resource has already taken are left out; the last one must be possible.
SCENARIOS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = MappingProxyType(
    {
        "payment_submitted": ("payments", ("submit",)),
        "payment_confirmed": ("payments", ("submit", "confirm")),
        "payment_paid_out": ("payments", ("submit", "confirm", "pay_out")),
        "payment_failed": ("payments", ("submit", "fail")),
        "payment_charged_back": ("payments", ("submit", "confirm", "pay_out", "charge_back")),
        "payment_chargeback_settled": (
            "payments",
            ("submit", "confirm", "pay_out", "charge_back", "settle_chargeback"),
        ),
        "payment_late_failure": ("payments", ("submit", "confirm", "fail_late")),
        "payment_late_failure_settled": (
            "payments",
            ("submit", "confirm", "fail_late", "settle_late"),
        ),
        "mandate_activated": ("mandates", ("submit", "activate")),
        "mandate_failed": ("mandates", ("submit", "fail")),
        "mandate_expired": ("mandates", ("submit", "activate", "expire")),
        "mandate_suspended_by_payer": ("mandates", ("submit", "activate", "suspend")),
        "mandate_transferred": ("mandates", ("submit", "activate", "transfer")),
    }
)


def run(bank: Bank, call: Call) -> Document:
    """Run a scenario on one resource; what was planned for it by the calendar is forgotten.

    :raises BankError: 404 for an unknown scenario, 422 when the resource cannot get there.
    """
    if call.identity not in SCENARIOS:
        raise errors.not_found()
    kind, steps = SCENARIOS[call.identity]
    links = call.fields.child("links", required=True)
    resource_id = links.text("resource", required=True) or ""
    if resource_id and bank.store.get(kind, resource_id) is None:
        links.refuse("resource", f"is not one of the {kind}")
    call.fields.check()
    table = PAYMENT_NEXT if kind == "payments" else MANDATE_NEXT
    bank.store.strike_all(resource_id)
    taken = ""
    for step in steps:
        document = bank.find(kind, resource_id)
        if step == "settle_late" and not document["hidden"]["late"]:
            break
        if (document["status"], step) in table:
            _take(bank, document, kind, step)
            taken = step
    if taken != steps[-1]:
        raise errors.invalid_state(
            "scenario_not_possible", f"{call.identity} is not possible in the present state"
        )
    bank.store.strike_all(resource_id)
    return {"id": call.identity}


def _take(bank: Bank, document: Document, kind: str, step: str) -> None:
    if kind == "payments":
        payments.advance(bank, document, step)
    elif step == "transfer":
        _transfer(bank, document)
    else:
        mandates.advance(bank, document, step)


def _transfer(bank: Bank, mandate: Document) -> None:
    """Move a mandate to an account the payer has opened elsewhere."""
    before = bank.find("customer_bank_accounts", mandate["links"]["customer_bank_account"])
    copied = {name: before[name] for name in before if name not in {"id", "created_at"}}
    copied["account_number_ending"] = f"{secrets.randbelow(10_000):04}"
    copied["hidden"] = {"fingerprint": secrets.token_hex(32)}
    after = bank.create("customer_bank_accounts", copied)
    mandate["links"]["customer_bank_account"] = after["id"]
    links = {
        "previous_customer_bank_account": before["id"],
        "new_customer_bank_account": after["id"],
    }
    mandates.advance(bank, mandate, "transfer", Note(links=links))


OPERATIONS: Final = (
    Operation(
        name="scenario_simulators.run",
        method="POST",
        path="/scenario_simulators/{identity}/actions/run",
        run=run,
    ),
)
