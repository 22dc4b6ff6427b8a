"""Every bill worked out a third time, from its record, by the calculator that anybody can copy.

What a resident would find with ``python -m recompute`` the audit finds first.
"""

from collections.abc import Iterator

from billing.bill import Bill, BillKind
from billing.period import Period
from billing.proof import Facts, Finding, Kind, usages_at
from billing.recompute import RecordError, check, read
from billing.record import Json, Prices, Stretch, record
from billing.terms import spans

# Whoever wants to see the tenth difference of one bill asks the calculator.
DIFFERENCES_MAX = 3


def check_records(facts: Facts, prices: Prices, *, zone: str) -> Iterator[Finding]:
    """Find bills whose record does not bear them out, or cannot be worked out at all."""
    bills = {bill.bill_no: bill for bill in facts.bills}
    for bill in facts.bills:
        subject = f"{bill.account_id}/{bill.bill_no}"
        cancelled = bills.get(bill.corrects_bill_no or "")
        if bill.kind is not BillKind.CANCELLATION:
            cancelled = None
        try:
            answer = check(
                read(_record(bill, facts, prices, zone)),
                None if cancelled is None else read(_record(cancelled, facts, prices, zone)),
            )
        except RecordError as error:
            yield Finding(kind=Kind.BILL_NOT_RECOMPUTABLE, subject=subject, detail=str(error))
            continue
        if not answer.correct:
            told = [one.sentence() for one in answer.differences[:DIFFERENCES_MAX]]
            if len(answer.differences) > DIFFERENCES_MAX:
                told.append(f"and {len(answer.differences) - DIFFERENCES_MAX} more")
            yield Finding(kind=Kind.RECOMPUTE_DIFFERS, subject=subject, detail="; ".join(told))


def _record(bill: Bill, facts: Facts, prices: Prices, zone: str) -> Json:
    """Return the record of a bill as it was known when the bill was issued."""
    period = Period(start=bill.period_start, end=bill.period_end)
    start_at, end_at = period.bounds(zone)
    return record(
        bill,
        zone=zone,
        spans=spans(
            facts.terms,
            opened_with=facts.opened_with,
            period=period,
            known_at=bill.issued_at,
        ),
        prices=prices,
        stretches=[
            Stretch(usage=usage, dial_dm3=facts.dials_dm3[usage.meter_id])
            for usage in usages_at(facts, bill.issued_at)
            if start_at <= usage.from_at < end_at and usage.meter_id in facts.dials_dm3
        ],
    )
