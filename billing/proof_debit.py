"""What must be true of the debits of one account and of the bank's record of them."""

import json
from collections.abc import Iterator, Sequence
from typing import Final

from billing.bank import TAKEN_BY_BANK, Payment
from billing.bill import Bill
from billing.debit import ALIVE, TAKEN, Debit, State
from billing.ledger import Account, Transfer, balance_minor
from billing.order import body_digest, ordered_under
from billing.period import local_day
from billing.proof import Facts, Finding, Kind, compare_transfers
from billing.proof_carry import CARRIED, is_carried_to
from billing.proof_ledger import check_ledger
from billing.refund_moves import PREFIX as REFUNDS
from billing.voucher import PREFIX as VOUCHERS
from billing.workdays import bank_days, in_time

_WITH_PAYMENT: Final = frozenset(
    {State.ACCEPTED, State.CANCEL_REQUESTED, State.SUBMITTED, *TAKEN, State.CHARGED_BACK}
)


def check_debits(facts: Facts, *, zone: str) -> Iterator[Finding]:
    """Find debits without a bill, a notice, a key or a place in the ledger that fits them."""
    bills = {bill.bill_no: bill for bill in facts.bills}
    explained: set[str] = set()
    for debit in facts.debits:
        bill = bills.get(debit.bill_no)
        if bill is None:
            yield _about(debit, Kind.DEBIT_AMOUNT_WRONG, "its bill does not exist")
            continue
        earlier = [one for one in facts.debits if _same_bill(one, debit) and _before(one, debit)]
        yield from _check_amount(debit, bill, earlier, facts.transfers)
        yield from _check_notice(debit, facts, zone)
        yield from _check_order(debit, facts.bank_mandate_ids.get(debit.mandate_id))
        found = _of_debit(debit, facts.transfers)
        explained |= found.keys()
        yield from check_ledger(debit, found)
    yield from _check_alive(facts.debits)
    yield from _check_paid(facts)
    orphans = {
        one.transfer_id: one
        for one in facts.transfers
        if one.transfer_id not in explained
        and not (
            one.transfer_id.startswith(("bill/", "credit/", "refund/")) and one.bill_no in bills
        )
        and not one.transfer_id.startswith((VOUCHERS, CARRIED, REFUNDS))
    }
    yield from compare_transfers({}, orphans)


def _same_bill(one: Debit, two: Debit) -> bool:
    return one.bill_no == two.bill_no


def _before(one: Debit, two: Debit) -> bool:
    return one.attempt < two.attempt


def _check_amount(
    debit: Debit, bill: Bill, earlier: Sequence[Debit], transfers: Sequence[Transfer]
) -> Iterator[Finding]:
    """A debit asks for bill and carried sums, less vouchers and what earlier attempts took."""
    granted = [
        one
        for one in transfers
        if one.bill_no == bill.bill_no
        and (one.transfer_id.startswith(VOUCHERS) or is_carried_to(one, bill.bill_no))
    ]
    paid_minor = -balance_minor(Account.RECEIVABLE, granted) - sum(
        balance_minor(Account.RECEIVABLE, _of_debit(one, transfers).values()) for one in earlier
    )
    owed_minor = bill.total_minor - paid_minor
    # Credit may have been used on the bill before the resident was told, or after. What was given
    # back is not taken again.
    used = sorted(
        (one for one in transfers if one.transfer_id.startswith(f"credit/{bill.bill_no}/")),
        key=lambda one: one.posted_at,
    )
    possible = {
        owed_minor + balance_minor(Account.RECEIVABLE, used[:count])
        for count in range(len(used) + 1)
    }
    if debit.amount_minor not in possible or debit.currency != bill.currency:
        yield _about(
            debit,
            Kind.DEBIT_AMOUNT_WRONG,
            f"{debit.amount_minor} {debit.currency}, owed {owed_minor} {bill.currency}",
        )


def _check_notice(debit: Debit, facts: Facts, zone: str) -> Iterator[Finding]:
    notice = facts.notices.get((debit.bill_no, debit.attempt))
    if notice is None:
        if debit.state is State.NOTICED or debit.idempotency_key is not None:
            yield _about(debit, Kind.NOTICE_MISSING, "the resident was not told")
        return
    if debit.idempotency_key is None:
        return
    told = (notice.amount_minor, notice.currency)
    # The day of a notice is the first on which money may go; a late run takes it later.
    if told != (debit.amount_minor, debit.currency) or notice.charge_on > debit.charge_on:
        detail = f"told {told[0]} {told[1]} from {notice.charge_on}"
        yield _about(debit, Kind.NOTICE_WRONG, detail)
    told_on = local_day(notice.noticed_at, zone)
    if not in_time(told_on, debit.charge_on, bank_days(debit.currency)):
        yield _about(debit, Kind.NOTICE_LATE, f"told at {notice.noticed_at.isoformat()}")


def _check_order(debit: Debit, bank_mandate_id: str | None) -> Iterator[Finding]:
    """The key follows from the debit's name, the digest from the body, the body from the debit."""
    if debit.state in _WITH_PAYMENT and debit.bank_payment_id is None:
        yield _about(debit, Kind.DEBIT_WITHOUT_PAYMENT, "the bank's name for it is not kept")
    if debit.idempotency_key is None and debit.body is None:
        return
    if debit.idempotency_key != debit.key:
        yield _about(debit, Kind.DEBIT_KEY_WRONG, "its key is not made from its name")
    if debit.body is None or debit.body_digest != body_digest(debit.body):
        yield _about(debit, Kind.DEBIT_BODY_WRONG, "its body does not fit its digest")
        return
    try:
        order = json.loads(debit.body)["payments"]
        said = (
            order["amount"],
            order["currency"],
            order["charge_date"],
            order["metadata"]["intent"],
            order["links"]["mandate"],
        )
    except (ValueError, KeyError, TypeError):
        yield _about(debit, Kind.DEBIT_BODY_WRONG, "its body is not an order")
        return
    meant = (
        debit.amount_minor,
        debit.currency,
        debit.charge_on.isoformat(),
        debit.key,
        bank_mandate_id or said[4],
    )
    if said != meant:
        yield _about(debit, Kind.DEBIT_BODY_WRONG, f"it orders {said[0]} {said[1]} on {said[2]}")


def _check_alive(debits: Sequence[Debit]) -> Iterator[Finding]:
    alive: set[str] = set()
    for debit in debits:
        if debit.state in ALIVE and debit.bill_no in alive:
            yield _about(debit, Kind.DEBIT_DOUBLED, "another attempt for the bill is alive too")
        if debit.state in ALIVE:
            alive.add(debit.bill_no)


def _check_paid(facts: Facts) -> Iterator[Finding]:
    for bill in facts.bills:
        owed_minor = balance_minor(
            Account.RECEIVABLE, [one for one in facts.transfers if one.bill_no == bill.bill_no]
        )
        # A bill that asks less than nothing waits until the credit is taken from it.
        if owed_minor < min(0, bill.total_minor):
            yield Finding(
                kind=Kind.BILL_OVERPAID,
                subject=f"{bill.account_id}/{bill.bill_no}",
                detail=f"{-owed_minor} {bill.currency} more than it asks for",
            )


def check_payment(payment: Payment, debit: Debit | None) -> Iterator[Finding]:
    """Find a payment at the bank that is not exactly the one its debit ordered."""
    if debit is None:
        yield _at_bank(payment, Kind.PAYMENT_UNKNOWN, "no debit of ours ordered it")
        return
    if debit.bank_payment_id is not None and debit.bank_payment_id != payment.payment_id:
        yield _at_bank(payment, Kind.PAYMENT_DOUBLED, f"{_name(debit)} has another payment")
        return
    if (payment.amount_minor, payment.currency) != (debit.amount_minor, debit.currency):
        yield _at_bank(
            payment,
            Kind.PAYMENT_WRONG,
            f"{payment.amount_minor} {payment.currency},"
            f" ordered {debit.amount_minor} {debit.currency}",
        )
    ordered = ordered_under(debit)
    if ordered is not None and payment.bank_mandate_id != ordered:
        detail = f"under {payment.bank_mandate_id}, ordered under {ordered}"
        yield _at_bank(payment, Kind.PAYMENT_WRONG, detail)
    taken = payment.status in TAKEN_BY_BANK
    if debit.state is not State.REVIEW and taken != (debit.state in TAKEN):
        yield _at_bank(
            payment, Kind.COLLECTED_DIFFERS, f"{payment.status} there, {debit.state} here"
        )


def collected_minor(facts: Facts) -> dict[str, int]:
    """Return what the ledger has taken and kept, by currency, in minor units."""
    sums: dict[str, int] = {}
    for currency in {one.currency for one in facts.transfers}:
        own = [one for one in facts.transfers if one.currency == currency]
        sums[currency] = balance_minor(Account.COLLECTIONS_IN_TRANSIT, own) + balance_minor(
            Account.BANK, own
        )
    return sums


def _of_debit(debit: Debit, transfers: Sequence[Transfer]) -> dict[str, Transfer]:
    prefix = f"debit/{debit.bill_no}/{debit.attempt}/"
    return {one.transfer_id: one for one in transfers if one.transfer_id.startswith(prefix)}


def _name(debit: Debit) -> str:
    return f"{debit.account_id}/{debit.bill_no}/{debit.attempt}"


def _about(debit: Debit, kind: Kind, detail: str) -> Finding:
    return Finding(kind=kind, subject=_name(debit), detail=detail)


def _at_bank(payment: Payment, kind: Kind, detail: str) -> Finding:
    return Finding(kind=kind, subject=f"payment {payment.payment_id}", detail=detail)
