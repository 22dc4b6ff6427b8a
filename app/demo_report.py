"""What the demo claims, worked out from the outside.

The truth is the meters' own record and the bank's own books; our database is only what is compared
with them. Nothing here imports metering or billing, so a mistake of theirs is not repeated here.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

# What the bank calls money it has taken from a resident.
TAKEN = frozenset({"confirmed", "paid_out"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueReading:
    """One line of the meters' own record: the register, and the gas that really passed."""

    meter_id: str
    at: datetime
    register_dm3: int
    total_dm3: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """A billed month as the demo knows it: its name and the two instants that bound it."""

    label: str
    start_at: datetime
    end_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedBill:
    """A bill as our API shows it."""

    account_id: str
    bill_no: str
    label: str
    meter_id: str
    volume_dm3: int
    total_minor: int


def read_truth(lines: Iterable[str]) -> list[TrueReading]:
    """Read the meters' record, one JSON object a line."""
    return [
        TrueReading(
            meter_id=line["meter"],
            at=datetime.fromisoformat(line["at"]),
            register_dm3=line["register_dm3"],
            total_dm3=line["total_dm3"],
        )
        for line in map(json.loads, lines)
    ]


def lost_readings(
    truth: Sequence[TrueReading], stored: Mapping[tuple[str, datetime], int]
) -> list[TrueReading]:
    """Return what a meter measured and we do not have, or have with another register."""
    return [
        reading
        for reading in truth
        if stored.get((reading.meter_id, reading.at)) != reading.register_dm3
    ]


def true_volumes(
    truth: Sequence[TrueReading], opening: Mapping[str, int], months: Sequence[Month]
) -> dict[tuple[str, str], int]:
    """Return the gas in dm3 that passed each meter in each month, by the meters' own record.

    ``opening`` is each meter's total when it was installed, at the start of the first month.
    """
    totals = {(reading.meter_id, reading.at): reading.total_dm3 for reading in truth}
    for meter_id, total_dm3 in opening.items():
        totals[meter_id, months[0].start_at] = total_dm3
    return {
        (meter_id, month.label): totals[meter_id, month.end_at] - totals[meter_id, month.start_at]
        for meter_id in opening
        for month in months
        if (meter_id, month.end_at) in totals and (meter_id, month.start_at) in totals
    }


def dials_past_zero(truth: Sequence[TrueReading]) -> int:
    """Return how many dials passed zero, by the meters' own record."""
    last: dict[str, int] = {}
    turned = set()
    for reading in truth:
        if reading.register_dm3 < last.get(reading.meter_id, 0):
            turned.add(reading.meter_id)
        last[reading.meter_id] = reading.register_dm3
    return len(turned)


def billed_minor(bills: Sequence[IssuedBill]) -> int:
    """Return the sum of all bills; a bill with two meters stands here in two rows."""
    return sum({(bill.account_id, bill.bill_no): bill.total_minor for bill in bills}.values())


def collected_by_bank(books: Mapping[str, Any]) -> int:
    """Return what the bank says it took and did not give back, in minor units."""
    return int(books["collected_minor"])


def double_debits(books: Mapping[str, Any]) -> int:
    """Return how many bills the bank took money for more than once.

    The intent that came with a payment names account, bill and attempt; two attempts at one bill
    are one debit too many as soon as both took money.
    """
    taken: dict[str, int] = {}
    for payment in books["payments"]:
        if payment["status"] in TAKEN:
            bill = payment["metadata"]["intent"].rsplit(":", 1)[0]
            taken[bill] = taken.get(bill, 0) + 1
    return sum(1 for count in taken.values() if count > 1)


def fingerprint(bills: Sequence[IssuedBill]) -> str:
    """Return one line that two runs with the same seed must share."""
    rows = sorted(
        (bill.account_id, bill.bill_no, bill.volume_dm3, bill.total_minor) for bill in bills
    )
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]
