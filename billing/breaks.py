"""What three parties say of the same money, and where they disagree.

    (A)  our attempts  <->  the bank's payments           one to one, by name and by our key
    (B)  payouts  <->  their items  <->  what we think was paid out
    (C)  payouts  <->  the lines of the bank's statement  by reference

A disagreement is a break: it has a kind, a subject, the day to which it belongs, a person whose
work it is and what he should do first. Everything here is compared, nothing is changed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from billing.bank import Payment, PaymentStatus
from billing.break_kinds import Kind
from billing.debit import FINAL, TAKEN, Debit
from billing.iso.camt053 import StatementLine
from billing.order import ordered_under
from billing.payout import (
    PAID_OUT,
    TAKEN_BACK,
    TENTHS_PER_MINOR,
    Payout,
    PayoutItem,
    PayoutStatus,
    fee_tenths,
    sum_tenths,
)

# A bank rolls a charge past a long holiday; New Year in Kazakhstan and the days around it are six.
DRIFT_DAYS_MAX: Final = 7
# A payout is on the account on the bank's own day, or on the next working day.
ARRIVAL_DAYS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """One disagreement; kind and subject name it, so that it is the same one tomorrow.

    ``day`` is the local day that does not agree because of it.
    """

    kind: Kind
    subject: str
    detail: str
    day: date
    account_id: str | None = None
    amount_minor: int | None = None
    currency: str | None = None

    @property
    def name(self) -> tuple[Kind, str]:
        """Return what makes two findings the same break."""
        return self.kind, self.subject


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedLine:
    """A line of a statement as it is kept; ``line_id`` is its name here."""

    line_id: str
    line: StatementLine


# What the bank says of the money; what it says otherwise is not decided yet.
_TAKEN_THERE: Final = frozenset({PaymentStatus.CONFIRMED, PaymentStatus.PAID_OUT})
_GONE_THERE: Final = frozenset(
    {
        PaymentStatus.CANCELLED,
        PaymentStatus.CUSTOMER_APPROVAL_DENIED,
        PaymentStatus.FAILED,
        PaymentStatus.CHARGED_BACK,
    }
)


def check_payment(payment: Payment, debit: Debit | None, *, day: date) -> Iterator[Break]:
    """Compare a payment at the bank with the attempt that ordered it, if there is one."""
    subject = f"payment {payment.payment_id}"
    if debit is None:
        yield Break(
            kind=Kind.PAYMENT_UNKNOWN,
            subject=subject,
            detail="no attempt of ours ordered it",
            day=day,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
        )
        return

    def found(kind: Kind, detail: str) -> Break:
        return Break(
            kind=kind,
            subject=subject,
            detail=detail,
            day=min(debit.charge_on, day),
            account_id=debit.account_id,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
        )

    if debit.bank_payment_id not in {None, payment.payment_id}:
        yield found(Kind.PAYMENT_DOUBLED, f"{debit.key} has {debit.bank_payment_id} already")
        return
    if payment.currency != debit.currency:
        yield found(Kind.PAYMENT_CURRENCY, f"ordered in {debit.currency}")
    elif payment.amount_minor != debit.amount_minor:
        yield found(Kind.PAYMENT_AMOUNT, f"ordered {debit.amount_minor}")
    ordered = ordered_under(debit)
    if ordered is not None and payment.bank_mandate_id != ordered:
        yield found(Kind.PAYMENT_MANDATE, f"under {payment.bank_mandate_id}, not {ordered}")
    if payment.charge_on is not None and drifted(payment.charge_on, debit.charge_on):
        yield found(Kind.PAYMENT_DATE, f"on {payment.charge_on}, ordered for {debit.charge_on}")
    here, there = debit.state, payment.status
    if (there in _TAKEN_THERE and here in FINAL) or (there in _GONE_THERE and here in TAKEN):
        yield found(Kind.PAYMENT_STATE, f"{there} there, {here} here")


def drifted(charged_on: date, promised_on: date) -> bool:
    """Say whether a charge is earlier than promised, or later than holidays explain."""
    return not promised_on <= charged_on <= promised_on + timedelta(days=DRIFT_DAYS_MAX)


def check_payout(
    payout: Payout, items: Sequence[PayoutItem], debits: Mapping[str, Debit], *, day: date
) -> Iterator[Break]:
    """Compare a payout with its items, and each item with the attempt it pays.

    ``debits`` holds those that we know, by the bank's name of their payment.
    """

    def found(kind: Kind, subject: str, detail: str, debit: Debit | None = None) -> Break:
        return Break(
            kind=kind,
            subject=subject,
            detail=detail,
            day=min(payout.arrival_on or day, day),
            account_id=None if debit is None else debit.account_id,
            amount_minor=payout.amount_minor if debit is None else debit.amount_minor,
            currency=payout.currency,
        )

    name = f"payout {payout.payout_id}"
    total = sum_tenths(items)
    if total != payout.amount_minor * TENTHS_PER_MINOR:
        yield found(Kind.PAYOUT_SUM, name, f"its items are {total} tenths")
    kept = fee_tenths(items)
    # Single fees may be a part of a unit; those of a payout together are whole and can be booked.
    if kept != payout.fees_minor * TENTHS_PER_MINOR:
        yield found(Kind.PAYOUT_FEES, name, f"{payout.fees_minor} said, {kept} tenths kept")
    for item in items:
        if item.payment_id is None or item.kind not in {PAID_OUT, *TAKEN_BACK}:
            continue
        debit = debits.get(item.payment_id)
        subject = f"payment {item.payment_id} in {payout.payout_id}"
        if debit is None:
            yield found(Kind.ITEM_UNKNOWN, subject, f"{item.kind} of {item.amount_tenths} tenths")
        elif item.kind != "payment_refunded" and not _is_whole(item, debit):
            detail = f"{item.kind} of {item.amount_tenths} tenths"
            yield found(Kind.ITEM_AMOUNT, subject, detail, debit)
        elif debit.currency != payout.currency:
            yield found(Kind.PAYOUT_CURRENCY, subject, f"debited in {debit.currency}", debit)


def _is_whole(item: PayoutItem, debit: Debit) -> bool:
    """Say whether an item is all of what was debited; a refund may be a part of it."""
    sign = 1 if item.kind == PAID_OUT else -1
    return item.amount_tenths == sign * debit.amount_minor * TENTHS_PER_MINOR


def check_lines(
    payout: Payout, lines: Sequence[BookedLine], *, covered_until: date | None, day: date
) -> Iterator[Break]:
    """Compare a payout with the lines of statements that carry its reference.

    ``covered_until`` is the last day of which statements have come. A payout that bounced has been
    on the account and left it, or was never there: both add up to nothing.
    """

    def found(kind: Kind, detail: str) -> Break:
        return Break(
            kind=kind,
            subject=f"payout {payout.payout_id}",
            detail=detail,
            day=min(payout.arrival_on or day, day),
            amount_minor=payout.amount_minor,
            currency=payout.currency,
        )

    expected_minor = 0 if payout.status is PayoutStatus.BOUNCED else payout.amount_minor
    came_minor = sum(one.line.amount_minor for one in lines)
    foreign = sorted({one.line.currency for one in lines} - {payout.currency})
    if foreign:
        yield found(Kind.PAYOUT_CURRENCY, f"came in {', '.join(foreign)}")
    elif came_minor == expected_minor:
        return
    elif not lines:
        late_on = payout.arrival_on and payout.arrival_on + timedelta(days=ARRIVAL_DAYS)
        if late_on is not None and covered_until is not None and covered_until >= late_on:
            yield found(Kind.PAYOUT_NOT_ARRIVED, f"awaited on {payout.arrival_on}")
    elif len(lines) > 1 and all(one.line.amount_minor == payout.amount_minor for one in lines):
        yield found(Kind.LINE_DOUBLED, f"{len(lines)} lines carry {payout.reference}")
    else:
        yield found(Kind.PAYOUT_AMOUNT, f"{came_minor} came")


def arrived(payout: Payout, lines: Sequence[BookedLine]) -> bool:
    """Say whether a payout is on the account, as a whole and in its own currency.

    One of nothing is there once it is paid: no statement has a line of nothing.
    """
    if payout.status is PayoutStatus.PAID and payout.amount_minor == 0 and not lines:
        return True
    return (
        payout.status is PayoutStatus.PAID
        and bool(lines)
        and {one.line.currency for one in lines} == {payout.currency}
        and sum(one.line.amount_minor for one in lines) == payout.amount_minor
    )


def orphan(booked: BookedLine) -> Break:
    """Return the break of a line that nobody knows."""
    line = booked.line
    return Break(
        kind=Kind.LINE_ORPHAN,
        subject=f"line {booked.line_id}",
        detail=f"entry {line.entry_ref} of {line.booked_on} names nothing we know",
        day=line.booked_on,
        amount_minor=abs(line.amount_minor),
        currency=line.currency,
    )


def missing_payment(debit: Debit, *, day: date) -> Break:
    """Return the break of an attempt whose payment the bank does not know."""
    return _of_debit(
        Kind.PAYMENT_MISSING, debit, f"payment {debit.bank_payment_id}", f"{debit.key} made it", day
    )


def missing_item(debit: Debit, *, day: date) -> Break:
    """Return the break of an attempt that was paid out in no payout."""
    subject = f"payment {debit.bank_payment_id}"
    return _of_debit(Kind.ITEM_MISSING, debit, subject, f"{debit.state} here, in no payout", day)


def _of_debit(kind: Kind, debit: Debit, subject: str, detail: str, day: date) -> Break:
    return Break(
        kind=kind,
        subject=subject,
        detail=detail,
        day=min(debit.charge_on, day),
        account_id=debit.account_id,
        amount_minor=debit.amount_minor,
        currency=debit.currency,
    )


def bounced(payout: Payout, *, day: date) -> Break:
    """Return the break of a payout that came back and was not made again."""
    return Break(
        kind=Kind.PAYOUT_BOUNCED,
        subject=f"payout {payout.payout_id}",
        detail=f"{payout.reference} came back",
        day=min(payout.arrival_on or day, day),
        amount_minor=payout.amount_minor,
        currency=payout.currency,
    )


def doubled_item(payment_id: str, payout_id: str, *, times: int, day: date) -> Break:
    """Return the break of a payment that was paid out more than once, last in this payout."""
    return Break(
        kind=Kind.ITEM_DOUBLED,
        subject=f"payment {payment_id} in {payout_id}",
        detail=f"paid out {times} times",
        day=day,
    )


def overkept_item(payment_id: str, payout_id: str, *, times: int, day: date) -> Break:
    """Return the break of a payment that was kept too often, last by this payout."""
    return Break(
        kind=Kind.ITEM_OVERKEPT,
        subject=f"payment {payment_id} in {payout_id}",
        detail=f"kept {times} times more often than paid out",
        day=day,
    )


def torn(day: date, *, opening_minor: int, before_minor: int) -> Break:
    """Return the break of a statement that does not begin where the one before it ended."""
    return Break(
        kind=Kind.STATEMENT_TORN,
        subject=f"statement of {day}",
        detail=f"it begins with {opening_minor}, the one before ended with {before_minor}",
        day=day,
        amount_minor=opening_minor - before_minor,
    )
