"""Faults of a delivery: what may happen to a webhook between the bank and its endpoint."""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from simulators.bank.clock import stamp
from simulators.bank.faults import Fault
from simulators.bank.store import Document
from simulators.bank.webhooks import KIND, Endpoint, sign
from simulators.bank.world import Bank

SIGNATURE: Final = "Webhook-Signature"


@dataclass(slots=True, kw_only=True)
class Parcel:
    """One delivery as it will go out; faults change it before it does."""

    body: bytes
    signature: str
    copies: int = 1
    lost: bool = False
    put_off_seconds: float | None = None
    hang_up_seconds: float | None = None
    # Bodies and signatures that go out behind it.
    after: list[tuple[bytes, str]] = field(default_factory=list)


def pack(webhook: Document, endpoint: Endpoint) -> Parcel:
    """Return the delivery of a webhook as a healthy bank makes it."""
    body = webhook["request_body"].encode()
    return Parcel(body=body, signature=sign(body, endpoint.secrets[0]))


Meddle = Callable[[Bank, Endpoint, Fault, Parcel], bool]


def _lost(_: Bank, __: Endpoint, ___: Fault, parcel: Parcel) -> bool:
    parcel.lost = True
    return True


def _delayed(_: Bank, __: Endpoint, fault: Fault, parcel: Parcel) -> bool:
    parcel.put_off_seconds = fault.seconds
    return True


def _duplicated(_: Bank, __: Endpoint, fault: Fault, parcel: Parcel) -> bool:
    parcel.copies += fault.copies
    return True


def _replayed(bank: Bank, endpoint: Endpoint, _: Fault, parcel: Parcel) -> bool:
    old = bank.store.oldest(KIND)
    if old is None or old["request_body"].encode() == parcel.body:
        return False
    signature = old["request_headers"].get(SIGNATURE)
    body = old["request_body"].encode()
    parcel.after.append((body, signature or sign(body, endpoint.secrets[0])))
    return True


def _shuffled(_: Bank, endpoint: Endpoint, __: Fault, parcel: Parcel) -> bool:
    whole = json.loads(parcel.body)
    whole["events"].reverse()
    _seal(parcel, endpoint, whole)
    return len(whole["events"]) > 1


def _unknown_id(bank: Bank, endpoint: Endpoint, _: Fault, parcel: Parcel) -> bool:
    whole = json.loads(parcel.body)
    whole["events"].append(
        {
            "id": bank.new_id("events"),
            "created_at": stamp(bank.at),
            "resource_type": "payments",
            "action": "confirmed",
            "links": {"payment": bank.new_id("payments")},
            "details": {
                "origin": "gocardless",
                "cause": "payment_confirmed",
                "description": "A payment that nobody knows was collected.",
            },
            "metadata": {},
            "resource_metadata": {},
        }
    )
    _seal(parcel, endpoint, whole)
    return True


def _seal(parcel: Parcel, endpoint: Endpoint, whole: Document) -> None:
    parcel.body = json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()
    parcel.signature = sign(parcel.body, endpoint.secrets[0])


def _reencoded(_: Bank, __: Endpoint, ___: Fault, parcel: Parcel) -> bool:
    parcel.body = json.dumps(json.loads(parcel.body), sort_keys=True, indent=1).encode()
    return True


def _forged(_: Bank, __: Endpoint, ___: Fault, parcel: Parcel) -> bool:
    parcel.signature = sign(parcel.body, secrets.token_hex(16))
    return True


def _second_secret(_: Bank, endpoint: Endpoint, __: Fault, parcel: Parcel) -> bool:
    parcel.signature = sign(parcel.body, endpoint.secrets[-1])
    return len(endpoint.secrets) > 1


def _impatient(_: Bank, __: Endpoint, fault: Fault, parcel: Parcel) -> bool:
    parcel.hang_up_seconds = fault.seconds
    return True


# Each changes the parcel and says whether there was anything to change.
MEDDLE: Final[Mapping[str, Meddle]] = MappingProxyType(
    {
        "webhook_lost": _lost,
        "webhook_delayed": _delayed,
        "webhook_duplicated": _duplicated,
        "webhook_replayed": _replayed,
        "webhook_shuffled": _shuffled,
        "webhook_unknown_id": _unknown_id,
        "webhook_reencoded": _reencoded,
        "webhook_forged": _forged,
        "webhook_second_secret": _second_secret,
        "webhook_impatient": _impatient,
    }
)
