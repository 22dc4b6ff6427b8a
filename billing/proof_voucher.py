"""What must be true of the vouchers of one account, derived from bills and documents again."""

from collections import Counter
from collections.abc import Iterator

from billing.bill import Bill
from billing.ledger import Account, Transfer, balance_minor
from billing.period import local_day
from billing.proof import Facts, Finding, compare_transfers
from billing.proof_carry import is_carried_to
from billing.voucher import PREFIX, shares, voucher_transfer


def check_vouchers(facts: Facts, *, zone: str) -> Iterator[Finding]:
    """Find vouchers that paid too much, too little, too late, or a bill that they may not pay."""
    yield from compare_transfers(
        _expected(facts, zone),
        {one.transfer_id: one for one in facts.transfers if one.transfer_id.startswith(PREFIX)},
    )


def _expected(facts: Facts, zone: str) -> dict[str, Transfer]:
    """Pay every bill again, in the order in which they were issued."""
    used_minor: Counter[int] = Counter()
    paid: dict[str, Transfer] = {}
    for bill in sorted(facts.bills, key=lambda one: (one.issued_at, one.bill_no)):
        if bill.revision > 1:
            continue
        day = local_day(bill.issued_at, zone)
        able = [
            one
            for one in facts.vouchers
            if one.pays(currency=bill.currency, day=day, at=bill.issued_at)
        ]
        for voucher, amount_minor in shares(
            able, used_minor=used_minor, owed_minor=asked_minor(bill, facts)
        ):
            used_minor[voucher.voucher_no] += amount_minor
            one = voucher_transfer(voucher, amount_minor, bill_no=bill.bill_no, at=bill.issued_at)
            paid[one.transfer_id] = one
    return paid


def asked_minor(bill: Bill, facts: Facts) -> int:
    """Return what a bill asked for when it was issued, before any voucher."""
    return balance_minor(
        Account.RECEIVABLE,
        [
            one
            for one in facts.transfers
            if one.bill_no == bill.bill_no
            and (one.transfer_id.startswith("bill/") or is_carried_to(one, bill.bill_no))
        ],
    )
