"""What the bank hands over: payouts, and the items that each is made of.

Amounts of items are written by the bank as text with one digit behind the point, in tenths of a
minor unit, because a fee may be less than one: "45.0" is 450 tenths. They are read as whole tenths
and never as a float; the items of a payout add up to it exactly, or something is wrong.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

# An item's amount counts tenths of a minor unit.
TENTHS_PER_MINOR: Final = 10

_TENTHS: Final = re.compile(r"^(-?)([0-9]{1,16})(?:\.([0-9]))?$")

# What a payment that was collected is called among the items.
PAID_OUT: Final = "payment_paid_out"
# What the bank takes back for a payment that it had paid out before.
TAKEN_BACK: Final = frozenset({"payment_failed", "payment_charged_back", "payment_refunded"})
# What the bank keeps for its work.
FEES: Final = frozenset({"gocardless_fee", "app_fee", "revenue_share", "surcharge_fee"})


class PayoutStatus(StrEnum):
    """Where the bank says a payout stands."""

    PENDING = "pending"
    PAID = "paid"
    BOUNCED = "bounced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    """Money that the bank hands over in one sum; ``status`` None is a status we do not know.

    ``fees_minor`` is what the bank says it kept; ``reference`` is what the statement will show.
    """

    payout_id: str
    status: PayoutStatus | None
    amount_minor: int
    fees_minor: int
    currency: str
    reference: str
    arrival_on: date | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutItem:
    """One part of a payout, in tenths of a minor unit; what was taken back or kept is negative."""

    kind: str
    amount_tenths: int
    payment_id: str | None = None
    refund_id: str | None = None


def tenths(text: str) -> int:
    """Return an item's amount as whole tenths of a minor unit, exactly.

    Raises:
        ValueError: it is not an amount with at most one digit behind the point.
    """
    match = _TENTHS.fullmatch(text)
    if match is None:
        raise ValueError("not an amount with at most one digit behind the point")
    sign, units, digit = match.groups()
    whole = int(units) * TENTHS_PER_MINOR + int(digit or "0")
    return -whole if sign else whole


def sum_tenths(items: Iterable[PayoutItem]) -> int:
    """Return what items add up to, in tenths of a minor unit."""
    return sum(item.amount_tenths for item in items)


def fee_tenths(items: Iterable[PayoutItem]) -> int:
    """Return what the bank kept for its work, in tenths of a minor unit, as a positive number."""
    return -sum_tenths(item for item in items if item.kind in FEES)
