"""What must be true of the penalties on the bills of one account: day by day, from the ledger.

The run joins days into spans and adds up in whole numbers; here each day is asked for itself, and
its share is an exact fraction. What the town had decided (the factor K, the smallest sum that is
asked for) is taken from the charge, everything else from what was entered and posted.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final

from billing.bill import Bill, BillKind, Charge, ChargeKind
from billing.ledger import Account, Phase, Transfer
from billing.penalty import PAYING_DAYS, PenaltyBook
from billing.period import local_day, midnight
from billing.proof import Facts, Finding, Kind

_DAY: Final = timedelta(days=1)
_HALF: Final = Fraction(1, 2)


def check_penalties(facts: Facts, book: PenaltyBook, *, zone: str) -> Iterator[Finding]:
    """Find penalties that differ from what the formula says about the ledger."""
    bills = {bill.bill_no: bill for bill in facts.bills}
    charged_minor: dict[str, int] = {}
    for bill in sorted(facts.bills, key=lambda one: (one.issued_at, one.bill_no)):
        if bill.kind is not BillKind.BILL:
            continue  # a correction carries the charges of the bill that it corrects
        for charge in bill.charges:
            if charge.kind is not ChargeKind.PENALTY:
                continue
            subject = f"{bill.account_id}/{bill.bill_no}/charge {charge.charge_no}"
            late = bills.get(str(charge.detail.get("bill_no")))
            if late is None:
                yield Finding(
                    kind=Kind.CHARGE_UNEXPLAINED, subject=subject, detail="penalty for no bill"
                )
                continue
            before_minor = charged_minor.get(late.bill_no, 0)
            charged_minor[late.bill_no] = before_minor + charge.net_minor
            wanted = min(
                _formula(
                    _days(bill, late, facts=facts, book=book, charge=charge, zone=zone), charge
                ),
                max(0, _principal_minor(late, facts) - before_minor),
            )
            if wanted != charge.net_minor:
                yield Finding(
                    kind=Kind.CHARGE_WRONG,
                    subject=subject,
                    detail=f"net_minor {charge.net_minor}, should be {wanted}",
                )


def _formula(days: Iterator[tuple[int, int]], charge: Charge) -> int:
    factor = Fraction(int(charge.detail["factor_bp"]), 10_000)
    exact = sum(
        (Fraction(debt_minor * rate_bp, 10_000 * 365) * factor for debt_minor, rate_bp in days),
        Fraction(),
    )
    return int(exact + _HALF)


def _days(  # noqa: PLR0913 - everything a day's penalty depends on
    bill: Bill, late: Bill, *, facts: Facts, book: PenaltyBook, charge: Charge, zone: str
) -> Iterator[tuple[int, int]]:
    """Return debt and rate of each day of a bill's month on which another was owed too late."""
    last_to_pay = max(late.due_on, local_day(late.issued_at, zone) + PAYING_DAYS * _DAY)
    rates_bp = book.rates_bp(
        [bill.period_start + number * _DAY for number in range(31)], known_at=bill.issued_at
    )
    day = bill.period_start
    while day < min(bill.period_end, local_day(bill.issued_at, zone)):
        debt_minor = _owed_minor(late, facts, midnight(day, zone), known_at=bill.issued_at)
        disputed = any(
            one.bill_no == late.bill_no and one.holds(day, known_at=bill.issued_at)
            for one in facts.disputes
        )
        asked_for = debt_minor > 0 and debt_minor >= int(charge.detail["minimum_minor"])
        if day > last_to_pay and asked_for and day in rates_bp and not disputed:
            yield debt_minor, rates_bp[day]
        day += _DAY


def _owed_minor(late: Bill, facts: Facts, at: datetime, *, known_at: datetime) -> int:
    """Return what a bill was owed before an instant; what is on its way counts as paid."""
    known = [one for one in _of(late, facts) if one.posted_at <= known_at]
    names = {one.transfer_id for one in known}
    owed_minor = 0
    for one in known:
        name, _, step = one.transfer_id.rpartition("/")
        sign = (one.debit_code is Account.RECEIVABLE) - (one.credit_code is Account.RECEIVABLE)
        if one.posted_at >= at:
            continue
        if one.phase is Phase.PENDING:
            owed_minor += 0 if f"{name}/void" in names else sign * one.amount_minor
        elif one.phase is Phase.POSTED and not (step == "posted" and f"{name}/pending" in names):
            owed_minor += sign * one.amount_minor
    return owed_minor


def _principal_minor(late: Bill, facts: Facts) -> int:
    return sum(
        one.amount_minor
        * ((one.debit_code is Account.RECEIVABLE) - (one.credit_code is Account.RECEIVABLE))
        for one in _of(late, facts)
        if one.transfer_id.startswith(("bill/", "carry/"))
    )


def _of(late: Bill, facts: Facts) -> Iterator[Transfer]:
    """Return the ledger of a bill, without penalties on it."""
    for one in facts.transfers:
        if one.bill_no == late.bill_no and Account.PENALTY not in {one.debit_code, one.credit_code}:
            yield one
