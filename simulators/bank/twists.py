"""Faults of the answer: everything was done, and the answer says something else."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from simulators.bank import errors
from simulators.bank.clock import parse, stamp
from simulators.bank.faults import Fault
from simulators.bank.operation import Operation
from simulators.bank.store import Document
from simulators.bank.world import Bank

NEW_WORD: Final = "awaiting_moon_phase"
# Fields with a closed list of words, the first of them that an answer has is changed.
ENUMS: Final = ("status", "action", "period", "payout_type", "language")
# Fields the contract allows to be null or to stay away; ids, amounts and states are never these.
OPTIONAL: Final = (
    "description",
    "reference",
    "fx",
    "app_fee",
    "metadata",
    "resource_metadata",
    "customer_notifications",
    "source",
    "consent_parameters",
    "consent_type",
    "verified_at",
    "bank_name",
    "address_line1",
    "phone_number",
)

Twist = Callable[[Bank, Operation, Fault, Document], bool]


def resources(operation: Operation, envelope: Document) -> list[Document]:
    """Return the resources an answer carries: one, a page of them, or none."""
    inside = envelope.get(operation.kind)
    return inside if isinstance(inside, list) else [inside] if inside else []


def _new_enum(_: Bank, operation: Operation, __: Fault, envelope: Document) -> bool:
    for resource in resources(operation, envelope)[:1]:
        for name in ENUMS:
            if resource.get(name) is not None:
                resource[name] = NEW_WORD
                return True
    return False


def _extra_field(_: Bank, operation: Operation, __: Fault, envelope: Document) -> bool:
    envelope["surprise"] = {"since": "2026-10"}
    for resource in resources(operation, envelope):
        resource["surprise"] = [{"depth": [1, None, True]}]
        if isinstance(resource.get("links"), dict):
            resource["links"]["surprise"] = "SP000001"
    return True


def _missing_optional(_: Bank, operation: Operation, __: Fault, envelope: Document) -> bool:
    found = [
        resource.pop(name)
        for resource in resources(operation, envelope)
        for name in OPTIONAL
        if name in resource
    ]
    return bool(found)


def _clock_skew(_: Bank, operation: Operation, fault: Fault, envelope: Document) -> bool:
    for inside, name in _instants(resources(operation, envelope)):
        inside[name] = stamp(parse(inside[name]) + timedelta(seconds=fault.seconds))
    return True


def _instants(value: Any) -> Iterator[tuple[Document, str]]:  # noqa: ANN401 - JSON can be anything
    if isinstance(value, list):
        for entry in value:
            yield from _instants(entry)
    if isinstance(value, dict):
        for name, inside in value.items():
            if name == "created_at" and isinstance(inside, str):
                yield value, name
            else:
                yield from _instants(inside)


def _same_id(bank: Bank, operation: Operation, _: Fault, envelope: Document) -> bool:
    resource = envelope[operation.kind]
    other = bank.store.newest(operation.kind, other_than=resource["id"])
    resource["id"] = other or resource["id"]
    return other is not None


def _amount_wrong(_: Bank, operation: Operation, __: Fault, envelope: Document) -> bool:
    for resource in resources(operation, envelope)[:1]:
        resource["amount"] += 1
        return True
    return False


def _item_missing(_: Bank, operation: Operation, __: Fault, envelope: Document) -> bool:
    return bool(resources(operation, envelope)) and bool(envelope[operation.kind].pop(0))


def _item_twice(_: Bank, operation: Operation, __: Fault, envelope: Document) -> bool:
    items = resources(operation, envelope)
    envelope[operation.kind] = [*items[:1], *items]
    return bool(items)


def _item_off_by_one(_: Bank, operation: Operation, __: Fault, envelope: Document) -> bool:
    for item in resources(operation, envelope)[:1]:
        item["amount"] = str(Decimal(item["amount"]) + 1)
        return True
    return False


def _error_after(_: Bank, __: Operation, ___: Fault, ____: Document) -> bool:
    raise errors.internal_error()


# Each changes the answer and says whether there was anything to change.
TWISTS: Final[Mapping[str, Twist]] = MappingProxyType(
    {
        "error_after": _error_after,
        "new_enum": _new_enum,
        "extra_field": _extra_field,
        "missing_optional": _missing_optional,
        "clock_skew": _clock_skew,
        "same_id": _same_id,
        "amount_wrong": _amount_wrong,
        "item_missing": _item_missing,
        "item_twice": _item_twice,
        "item_off_by_one": _item_off_by_one,
    }
)
