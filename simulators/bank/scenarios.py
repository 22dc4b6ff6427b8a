"""Scenario simulators: walk a resource to a state now, whatever the calendar says."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from simulators.bank import (
    billing_requests,
    errors,
    mandate_life,
    payment_life,
    payouts,
    refund_life,
)
from simulators.bank.operation import Call, Operation
from simulators.bank.store import Document
from simulators.bank.world import Bank

_COLLECTED: Final = ("submit", "confirm")
_PAID_OUT: Final = (*_COLLECTED, "pay_out")
_ACTIVE: Final = ("submit", "activate")

# Steps a resource has already taken are left out; the last one must be possible.
SCENARIOS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = MappingProxyType(
    {
        "payment_submitted": ("payments", ("submit",)),
        "payment_confirmed": ("payments", _COLLECTED),
        "payment_paid_out": ("payments", _PAID_OUT),
        "payment_failed": ("payments", ("submit", "fail")),
        "payment_charged_back": ("payments", (*_PAID_OUT, "charge_back")),
        "payment_chargeback_settled": (
            "payments",
            (*_PAID_OUT, "charge_back", "settle_chargeback"),
        ),
        "payment_late_failure": ("payments", (*_COLLECTED, "fail_late")),
        "payment_late_failure_settled": ("payments", (*_PAID_OUT, "fail_late", "settle_late")),
        "mandate_activated": ("mandates", _ACTIVE),
        "mandate_failed": ("mandates", ("submit", "fail")),
        "mandate_expired": ("mandates", (*_ACTIVE, "expire")),
        "mandate_suspended_by_payer": ("mandates", (*_ACTIVE, "suspend")),
        "mandate_transferred": ("mandates", (*_ACTIVE, "transfer")),
        "refund_paid": ("refunds", ("submit", "pay")),
        "refund_settled": ("refunds", ("settle",)),
        "refund_bounced": ("refunds", ("submit", "bounce")),
        "refund_returned": ("refunds", ("submit", "bounce", "return")),
        "payout_bounced": ("payouts", ("send", "bounce")),
        "billing_request_fulfilled": ("billing_requests", ("fulfil",)),
        # This bank's own: the sandbox has no name for them.
        "payment_chargeback_cancelled": (
            "payments",
            (*_PAID_OUT, "charge_back", "cancel_chargeback"),
        ),
        "mandate_resumed": ("mandates", (*_ACTIVE, "suspend", "resume")),
        "mandate_blocked": ("mandates", (*_ACTIVE, "block")),
        "mandate_withdrawn": ("mandates", (*_ACTIVE, "withdraw")),
    }
)
TABLES: Final[Mapping[str, Mapping[tuple[str, str], str]]] = MappingProxyType(
    {
        "mandates": mandate_life.NEXT,
        "payments": payment_life.NEXT,
        "payouts": payouts.NEXT,
        "refunds": refund_life.NEXT,
    }
)
RESUBMIT: Final = "resubmit"
# Steps by which a payout takes or gives money, wherever the payout comes from.
BORNE: Final = frozenset({"settle", "settle_late", "settle_chargeback", "return"})


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
    bank.store.strike_all(resource_id)
    taken = ""
    for step in steps:
        document = bank.find(kind, resource_id)
        if _is_possible(kind, document, step):
            _take(bank, document, kind, step)
            if step == "submit" and bank.find(kind, resource_id)["status"] != "submitted":
                break
            taken = step
    if taken != steps[-1]:
        raise errors.invalid_state(
            "scenario_not_possible", f"{call.identity} is not possible in the present state"
        )
    if kind != "payouts":
        # A second try that an event has announced is no calendar's: it comes.
        bank.store.strike_all(resource_id, but=RESUBMIT)
    return {"id": call.identity}


def _is_possible(kind: str, document: Document, step: str) -> bool:
    if kind == "billing_requests":
        return document["status"] in billing_requests.OPEN
    if step == "settle_late" and not document["hidden"]["late"]:
        return False
    if step == "cancel_chargeback":
        return bool(document["status"] == "charged_back")
    return (document["status"], step) in TABLES[kind]


def _take(bank: Bank, document: Document, kind: str, step: str) -> None:
    if kind == "billing_requests":
        billing_requests.authorise(bank, document)
    elif step == "pay_out":
        payouts.pay_now(bank, document)
    else:
        if step in BORNE:
            payouts.debit_now(bank, document)
        bank.take(kind, document, step)


OPERATIONS: Final = (
    Operation(
        name="scenario_simulators.run",
        method="POST",
        path="/scenario_simulators/{identity}/actions/run",
        run=run,
    ),
)
