"""What must be true of corrected bills: nothing twice, nothing forgotten, no sign wrong.

a bill and its cancellation                                          are nothing
the bill in force, without what it carries for other months, and the
adjustments that stand for the month (and what was waived)           are its gas as it holds now
adjustments                                                          stand on one bill each
credit                                                               is never less than nothing
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import date, datetime
from types import MappingProxyType
from typing import Final

from billing import rating
from billing.bill import Bill, BillKind, Charge, ChargeKind, Line
from billing.correction import Adjustment, Month, Outcome, Sum, charged
from billing.ledger import Account, Phase, balance_minor
from billing.proof import Corrected, Facts, Finding, Kind, Priced, usages_at
from billing.proof_bill import household_at

# What turns its sign on a cancellation; everything else is as it was.
_TURNED: Final = frozenset({"volume_dm3", "energy_wh", "quantity", "net_minor", "vat_minor"})
_SHAPES: Final[Mapping[str, frozenset[tuple[Account, Account]]]] = MappingProxyType(
    {
        "credit": frozenset(
            {
                (Account.RESIDENT_CREDIT, Account.RECEIVABLE),
                (Account.RECEIVABLE, Account.RESIDENT_CREDIT),
            }
        ),
        "refund": frozenset({(Account.RESIDENT_CREDIT, Account.REFUND_DUE)}),
    }
)


def check_corrections(facts: Facts, priced: Mapping[date, Priced]) -> Iterator[Finding]:
    """Find bills that were corrected wrongly, twice, or not at all."""
    bills = {bill.bill_no: bill for bill in facts.bills}
    for bill in facts.bills:
        corrected = bills.get(bill.corrects_bill_no or "")
        if bill.kind is BillKind.CANCELLATION:
            yield from _check_cancellation(bill, corrected)
        elif bill.kind is BillKind.REBILL and corrected is None:
            yield _of(bill, Kind.BILL_WRONG, f"{bill.corrects_bill_no} does not exist")
    for start in {bill.period_start for bill in facts.bills}:
        yield from _check_month(start, facts, priced[start])
    yield from _check_adjustments(facts, bills)
    yield from _check_credit(facts)


def _check_cancellation(bill: Bill, corrected: Bill | None) -> Iterator[Finding]:
    if corrected is None:
        yield _of(bill, Kind.CANCELLATION_WRONG, f"{bill.corrects_bill_no} does not exist")
        return
    sums = ("volume_dm3", "net_minor", "vat_minor", "total_minor")
    if any(getattr(bill, name) != -getattr(corrected, name) for name in sums):
        yield _of(bill, Kind.CANCELLATION_WRONG, "its sums are not those of its bill, turned")
    pairs = (
        (bill.lines, corrected.lines),
        (bill.charges, corrected.charges),
    )
    if any(
        len(ours) != len(theirs) or not all(map(_turned, ours, theirs)) for ours, theirs in pairs
    ):
        yield _of(bill, Kind.CANCELLATION_WRONG, "its lines are not those of its bill, turned")


def _turned(one: Line | Charge, other: Line | Charge) -> bool:
    for field in fields(one):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if field.name in _TURNED and theirs is not None:
            theirs = -theirs
        if mine != theirs:
            return False
    return True


def _check_month(start: date, facts: Facts, priced: Priced) -> Iterator[Finding]:
    """Compare what was charged for a month in the end with its gas as it holds now."""
    documents = [bill for bill in facts.bills if bill.period_start == start]
    cancelled = {bill.corrects_bill_no for bill in documents if bill.kind is BillKind.CANCELLATION}
    in_force = [
        bill
        for bill in documents
        if bill.kind is not BillKind.CANCELLATION and bill.bill_no not in cancelled
    ]
    if len(in_force) != 1:
        detail = f"{len(in_force)} bills are in force"
        yield Finding(
            kind=Kind.BILL_WRONG, subject=f"{facts.account_id}/{priced.period.label}", detail=detail
        )
        return
    bill = in_force[0]
    looks = sorted(
        (one for one in facts.corrections if one.period_start == start),
        key=lambda one: one.correction_no,
    )
    last_at = max([bill.issued_at, *(one.made_at for one in looks)])
    yield from _check_looked_at(bill, last_at, facts, priced)
    if not looks:
        return
    asked = Sum()
    for amount in charged(_month(bill, looks, facts)).values():
        asked += amount
    if looks[-1].outcome is Outcome.WAIVED:
        asked += looks[-1].difference
    owes = _worth(bill, last_at, facts, priced)
    if owes is not None and owes != asked:
        yield _of(
            bill,
            Kind.CORRECTION_WRONG,
            f"{asked.volume_dm3} dm3 for {asked.net_minor} + {asked.vat_minor} charged in the end,"
            f" {owes.volume_dm3} dm3 for {owes.net_minor} + {owes.vat_minor} by its gas",
        )


def _check_looked_at(
    bill: Bill, last_at: datetime, facts: Facts, priced: Priced
) -> Iterator[Finding]:
    start_at, end_at = priced.period.bounds(priced.zone)
    newer = [
        one
        for one in facts.revisions
        if start_at <= one.usage.from_at < end_at and one.made_at > last_at
    ]
    if newer:
        yield _of(bill, Kind.CORRECTION_MISSING, "its gas was measured anew since")


def _month(bill: Bill, looks: Iterable[Corrected], facts: Facts) -> Month:
    """Return what was charged for a month: a rebill takes back all adjustments before it."""
    rebilled = max((one.correction_no for one in looks if one.outcome is Outcome.REBILL), default=0)
    return Month(
        bill=bill,
        revision=bill.revision,
        correction_no=0,
        adjustments=[
            one.adjustment
            for one in facts.adjustments
            if one.period_start == bill.period_start and one.adjustment.correction_no > rebilled
        ],
    )


def _worth(bill: Bill, at: datetime, facts: Facts, priced: Priced) -> Sum | None:
    """Return what a month's gas comes to as it was known at an instant; None without a price."""
    start_at, end_at = priced.period.bounds(priced.zone)
    usages = [one for one in usages_at(facts, at) if start_at <= one.from_at < end_at]
    household = household_at(facts, bill.currency, priced, at)
    rated = rating.rate(usages, priced.prices, household)
    if isinstance(rated, rating.Unpriced):
        return None
    lines, charges = rated.lines, rated.charges
    return Sum(
        volume_dm3=sum(one.volume_dm3 for one in lines),
        net_minor=sum(one.net_minor for one in lines) + sum(one.net_minor for one in charges),
        vat_minor=sum(one.vat_minor for one in lines) + sum(one.vat_minor for one in charges),
    )


def _check_adjustments(facts: Facts, bills: Mapping[str, Bill]) -> Iterator[Finding]:
    """Compare what bills carry for other months with what was to be carried."""
    for bill in facts.bills:
        if bill.kind is BillKind.CANCELLATION:
            continue
        found = Counter(
            _key(charge) for charge in bill.charges if charge.kind is ChargeKind.ADJUSTMENT
        )
        wanted = Counter(
            (one.adjustment.vat_rate_bp, one.adjustment.amount)
            for one in facts.adjustments
            if one.adjustment.bill_no == bill.bill_no and one.period_start != bill.period_start
        )
        if bill.kind is BillKind.REBILL:
            wanted += _carried(bills.get(bill.corrects_bill_no or ""))
            wanted += Counter(_taken_back(bill, facts, bills))
        if found != wanted:
            yield _of(bill, Kind.ADJUSTMENT_WRONG, "it carries other sums for other bills")


def _carried(corrected: Bill | None) -> Counter[tuple[int, Sum]]:
    charges = () if corrected is None else corrected.charges
    return Counter(_key(charge) for charge in charges if charge.kind is ChargeKind.ADJUSTMENT)


def _taken_back(bill: Bill, facts: Facts, bills: Mapping[str, Bill]) -> Iterator[tuple[int, Sum]]:
    """Return what a rebill has to take back of its own month, by VAT rate."""
    own = [one for one in facts.corrections if one.period_start == bill.period_start]
    this = next((one.correction_no for one in own if one.rebill_no == bill.bill_no), 0)
    before = max(
        (
            one.correction_no
            for one in own
            if one.outcome is Outcome.REBILL and one.correction_no < this
        ),
        default=0,
    )
    sums: dict[int, Sum] = {}
    for one in facts.adjustments:
        adjustment: Adjustment = one.adjustment
        on = bills.get(adjustment.bill_no or "")
        if (
            one.period_start == bill.period_start
            and before < adjustment.correction_no < this
            and on is not None
            and on.bill_no != bill.bill_no
        ):
            rate_bp = adjustment.vat_rate_bp
            sums[rate_bp] = sums.get(rate_bp, Sum()) + -adjustment.amount
    yield from ((rate_bp, amount) for rate_bp, amount in sums.items() if amount != Sum())


def _key(charge: Charge) -> tuple[int, Sum]:
    return charge.vat_rate_bp, Sum(
        volume_dm3=charge.quantity or 0, net_minor=charge.net_minor, vat_minor=charge.vat_minor
    )


def _check_credit(facts: Facts) -> Iterator[Finding]:
    for one in facts.transfers:
        shapes = _SHAPES.get(one.transfer_id.split("/")[0])
        if shapes is not None and (
            one.phase is not Phase.POSTED or (one.debit_code, one.credit_code) not in shapes
        ):
            yield Finding(
                kind=Kind.TRANSFER_WRONG,
                subject=f"{facts.account_id}/{one.transfer_id}",
                detail=f"{one.debit_code} from {one.credit_code}",
            )
    left_minor = -balance_minor(Account.RESIDENT_CREDIT, facts.transfers)
    if left_minor < 0:
        yield Finding(
            kind=Kind.CREDIT_WRONG,
            subject=facts.account_id,
            detail=f"{-left_minor} more was used than there was",
        )


def _of(bill: Bill, kind: Kind, detail: str) -> Finding:
    return Finding(kind=kind, subject=f"{bill.account_id}/{bill.bill_no}", detail=detail)
