"""The order that a debit gives to the bank: its frozen bytes, and how we know it again."""

import hashlib
import json
from typing import Final, TypedDict

from billing.bank import Payment
from billing.debit import KEY, NUMBER, Debit, DebitId

_KEY_PARTS: Final = 5


class FrozenOrder(TypedDict, total=False):
    """What a debit keeps of its order: all of it, or nothing."""

    idempotency_key: str
    body: bytes
    body_digest: bytes


def account_of(key: str | None) -> str | None:
    """Return whose debit a key names; None if it is not one of our keys."""
    parts = (key or "").split(":")
    return parts[2] if len(parts) == _KEY_PARTS and key and key.startswith(f"{KEY}:") else None


def debit_of_key(key: str) -> DebitId | None:
    """Return the debit that a key names; None if it is not one of our keys."""
    account_id = account_of(key)
    if account_id is None:
        return None
    *_, bill_no, attempt = key.split(":")
    if not NUMBER.match(attempt):
        # The bank's metadata may hold anything, numbers that no column can hold among it.
        return None
    return DebitId(account_id=account_id, bill_no=bill_no, attempt=int(attempt))


def frozen_order(debit: Debit, bank_mandate_id: str) -> FrozenOrder:
    """Return what a debit keeps of its order from now on: the key, the bytes and their digest."""
    body = frozen_body(debit, bank_mandate_id)
    return {"idempotency_key": debit.key, "body": body, "body_digest": body_digest(body)}


def frozen_body(debit: Debit, bank_mandate_id: str) -> bytes:
    """Return the bytes of the order to the bank: compact JSON, keys sorted, made once and kept.

    The bank never asks again by itself (retry_if_possible): two who ask collect twice.
    """
    order = {
        "payments": {
            "amount": debit.amount_minor,
            "charge_date": debit.charge_on.isoformat(),
            "currency": debit.currency,
            "description": f"Gas {debit.bill_no}",
            "links": {"mandate": bank_mandate_id},
            "metadata": {"intent": debit.key},
            "retry_if_possible": False,
        }
    }
    return json.dumps(order, sort_keys=True, separators=(",", ":")).encode()


def ordered_under(debit: Debit) -> str | None:
    """Return the bank's name of the mandate in a debit's frozen order; None if it names none."""
    try:
        named = json.loads(debit.body or b"")["payments"]["links"]["mandate"]
    except (ValueError, KeyError, TypeError):
        return None
    return named if isinstance(named, str) else None


def body_digest(body: bytes) -> bytes:
    """Return the SHA-256 by which a body that was changed afterwards is found out."""
    return hashlib.sha256(body).digest()


def is_ours(debit: Debit, payment: Payment, bank_mandate_id: str) -> bool:
    """Tell whether a payment at the bank is what this debit ordered, in every respect we fixed."""
    return (
        payment.amount_minor == debit.amount_minor
        and payment.currency == debit.currency
        and payment.bank_mandate_id == bank_mandate_id
        and payment.intent == debit.key
    )
