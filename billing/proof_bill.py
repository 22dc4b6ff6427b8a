"""What must be true of the bills of one account and of their place in the ledger, derived again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Final

from billing import rating
from billing.bill import Bill, BillKind, Charge, bill_no, draft
from billing.correction import RATED
from billing.ledger import BillAmount, bill_transfers
from billing.period import Period
from billing.proof import (
    Facts,
    Finding,
    Kind,
    Priced,
    compare_transfers,
    differences,
    stretch,
    usages_at,
)
from billing.rating import Household, Unpriced, Usage
from billing.terms import spans

# A month that ended this long ago is billed or held, unless nobody ran the run.
FORGOTTEN_AFTER: Final = timedelta(days=2)


def check_bills(facts: Facts, priced: Mapping[date, Priced], *, zone: str) -> Iterator[Finding]:
    """Find bills that their usage, prices and lines do not bear out."""
    for bill in facts.bills:
        if bill.kind is BillKind.CANCELLATION:
            continue
        held = usages_at(facts, bill.issued_at)
        usages = [one for one in held if _within(one, priced[bill.period_start])]
        usages = [
            replace(one, volume_dm3=rating.volume_dm3(one, dial_dm3=facts.dials_dm3[one.meter_id]))
            for one in usages
            if one.meter_id in facts.dials_dm3
        ]
        yield from _check_lines(bill, usages, priced[bill.period_start], facts)
        yield from _check_sums(bill, priced[bill.period_start])
        yield from _check_whole(bill, usages, facts, zone)


def _within(usage: Usage, priced: Priced) -> bool:
    start_at, end_at = priced.period.bounds(priced.zone)
    return start_at <= usage.from_at < end_at


def _check_lines(
    bill: Bill, usages: Sequence[Usage], priced: Priced, facts: Facts
) -> Iterator[Finding]:
    subject = f"{bill.account_id}/{bill.bill_no}"
    household = household_at(facts, bill.currency, priced, bill.issued_at)
    expected = rating.rate(usages, priced.prices, household)
    if isinstance(expected, Unpriced):
        yield Finding(kind=Kind.LINE_WRONG, subject=subject, detail=f"{expected.reason}")
        return
    wanted = {(line.meter_id, line.from_at, line.band_no): line for line in expected.lines}
    found = {(line.meter_id, line.from_at, line.band_no): line for line in bill.lines}
    for key in wanted.keys() - found.keys():
        yield Finding(
            kind=Kind.USAGE_NOT_BILLED, subject=subject, detail=f"no line for {stretch(*key[:2])}"
        )
    for key in found.keys() - wanted.keys():
        yield Finding(
            kind=Kind.LINE_WITHOUT_USAGE, subject=subject, detail=f"line for {stretch(*key[:2])}"
        )
    for key in wanted.keys() & found.keys():
        if wanted[key] != found[key]:
            yield Finding(
                kind=Kind.LINE_WRONG,
                subject=f"{subject}/{found[key].line_no}",
                detail=differences(found[key], wanted[key]),
            )
    yield from _check_charges(bill, expected.charges)


def household_at(facts: Facts, currency: str, priced: Priced, at: datetime) -> Household:
    """Return what was known at an instant of the account in one period."""
    return Household(
        currency=currency,
        spans=spans(facts.terms, opened_with=facts.opened_with, period=priced.period, known_at=at),
        period=priced.period,
        zone=priced.zone,
    )


def _check_charges(bill: Bill, expected: Sequence[Charge]) -> Iterator[Finding]:
    wanted = {charge.charge_no: charge for charge in expected}
    found = {charge.charge_no: charge for charge in bill.charges if charge.kind in RATED}
    for charge_no in wanted.keys() | found.keys():
        subject = f"{bill.account_id}/{bill.bill_no}/charge {charge_no}"
        one, other = found.get(charge_no), wanted.get(charge_no)
        if one is None:
            yield Finding(kind=Kind.CHARGE_MISSING, subject=subject, detail="not on the bill")
        elif other is None:
            yield Finding(
                kind=Kind.CHARGE_UNEXPLAINED, subject=subject, detail=f"{one.kind} of nothing"
            )
        elif one != other:
            yield Finding(kind=Kind.CHARGE_WRONG, subject=subject, detail=differences(one, other))


def _check_sums(bill: Bill, priced: Priced) -> Iterator[Finding]:
    period = priced.period
    first = bill.kind is BillKind.BILL
    expected = replace(
        draft(
            bill.lines,
            bill.charges,
            account_id=bill.account_id,
            currency=bill.currency,
            period=period,
            at=bill.issued_at,
        ),
        revision=bill.revision,
        bill_no=period.label if first else bill_no(period, bill.revision),
        kind=bill.kind,
        corrects_bill_no=bill.corrects_bill_no,
        due_on=period.due_on if first else Period.holding(bill.issued_at, priced.zone).due_on,
    )
    if expected != bill:
        yield Finding(
            kind=Kind.BILL_WRONG,
            subject=f"{bill.account_id}/{bill.bill_no}",
            detail=differences(bill, expected),
        )


def _check_whole(bill: Bill, usages: Sequence[Usage], facts: Facts, zone: str) -> Iterator[Finding]:
    """A bill covers every meter for the whole time it hung in the period."""
    start_at, end_at = Period(start=bill.period_start, end=bill.period_end).bounds(zone)
    for installation in facts.installations:
        removed_at = installation.removed_at or end_at
        first, last = max(start_at, installation.installed_at), min(end_at, removed_at)
        if first >= last:
            continue
        covered = sum(
            (
                one.to_at - one.from_at
                for one in usages
                if (one.meter_id, one.installed_at)
                == (installation.meter_id, installation.installed_at)
            ),
            timedelta(),
        )
        if covered != last - first:
            yield Finding(
                kind=Kind.BILL_INCOMPLETE,
                subject=f"{bill.account_id}/{bill.bill_no}",
                detail=f"meter {installation.meter_id} was measured for {covered}",
            )


def check_months(facts: Facts, *, zone: str, at: datetime) -> Iterator[Finding]:
    """Find months that are over, had a meter, and were neither billed nor held."""
    billed = {bill.period_start for bill in facts.bills}
    if not facts.installations:
        return
    period = Period.holding(min(one.installed_at for one in facts.installations), zone)
    while True:
        start_at, end_at = period.bounds(zone)
        if end_at + FORGOTTEN_AFTER > at:
            return
        hung = any(
            one.installed_at < end_at and (one.removed_at is None or one.removed_at > start_at)
            for one in facts.installations
        )
        if hung and period.start not in billed and period.start not in facts.held:
            yield Finding(
                kind=Kind.MONTH_FORGOTTEN,
                subject=f"{facts.account_id}/{period.label}",
                detail="neither billed nor held",
            )
        period = period.next()


def check_bill_transfers(facts: Facts) -> Iterator[Finding]:
    """Find bills that stand in the ledger otherwise than they were issued."""
    written = {one.transfer_id: one for one in facts.transfers}
    for bill in facts.bills:
        amount = BillAmount(
            account_id=bill.account_id,
            bill_no=bill.bill_no,
            net_minor=bill.net_minor,
            vat_minor=bill.vat_minor,
            currency=bill.currency,
            penalty_minor=bill.penalty_minor,
        )
        expected = {one.transfer_id: one for one in bill_transfers(amount, at=bill.issued_at)}
        found = {
            name: one
            for name, one in written.items()
            if one.bill_no == bill.bill_no and name.startswith("bill/")
        }
        yield from compare_transfers(expected, found)
