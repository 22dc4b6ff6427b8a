"""Refunds and transfers from their rows."""

from collections.abc import Mapping
from typing import Any

from billing.ledger import Account, Phase, Transfer
from billing.refund import Cause, Refund, RefundState


def refund_of(row: Mapping[str, Any]) -> Refund:
    """Return a refund from its row."""
    values = dict(row)
    del values["debit_minor"], values["before_minor"]
    values["state"] = RefundState(values["state"])
    values["cause"] = Cause(values["cause"])
    values["source"] = Account(values["source"])
    return Refund(**values)


def transfer_of(row: Mapping[str, Any]) -> Transfer:
    """Return a transfer from its row."""
    values = dict(row)
    values["phase"] = Phase(values["phase"])
    values["debit_code"] = Account(values["debit_code"])
    values["credit_code"] = Account(values["credit_code"])
    return Transfer(**values)
