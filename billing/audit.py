"""Derive every bill and every debit again, compare with the bank's books, report, repair nothing.

    readings, prices --> bills, ledger      account by account, in Python, apart from the run's SQL
    bills, notices   --> debits, ledger     likewise
    steps of debits  --> receipts, corrections
    debits          <--> the bank's list of payments, one to one
    refunds         <--> its list of refunds, likewise

Memory is bounded by a page of accounts, eight bytes per payment or refund of the bank, and a limit
on the findings that are kept.
"""

import hashlib
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final, Protocol

import structlog

from billing.bank import TAKEN_BY_BANK, BankRefund, Payment, RefundStatus
from billing.debit import Debit
from billing.order import account_of
from billing.penalty import PenaltyBook
from billing.period import Period
from billing.proof import Facts, Finding, Kind, Priced, check_usage
from billing.proof_bill import check_bill_transfers, check_bills, check_months
from billing.proof_carry import check_carried
from billing.proof_correction import check_corrections
from billing.proof_debit import check_debits, check_payment, collected_minor
from billing.proof_move import check_closing
from billing.proof_penalty import check_penalties
from billing.proof_record import check_records
from billing.proof_refund import check_bank_refund, check_refunds
from billing.proof_told import check_told
from billing.proof_voucher import check_vouchers
from billing.record import Prices
from billing.refund import Refund, RefundId, refund_of_key
from billing.tariff import Tariff, VatRate, price_intervals

# Ten years of monthly bills of so many accounts are read at once: some 30 000 lines.
ACCOUNTS_PER_PAGE: Final = 250
PAYMENTS_PER_PAGE: Final = 500
# Whoever has more contradictions than this needs no longer list.
FINDINGS_MAX: Final = 10_000

log = structlog.get_logger()


class BankBooks(Protocol):
    """The bank's own record."""

    def list_payments(
        self, *, bank_mandate_id: str | None, created_from: datetime | None
    ) -> AsyncIterator[Payment]:
        """Read all payments, in any order."""

    def list_refunds(self, *, payment_id: str | None) -> AsyncIterator[BankRefund]:
        """Read all refunds, in any order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactsPage:
    """Some accounts as they stood at one instant; ``last`` is None when there are no more."""

    last: str | None
    accounts: Sequence[Facts]


@dataclass(frozen=True, slots=True, kw_only=True)
class DebitAtBank:
    """A debit for which we keep the bank's name of a payment."""

    account_id: str
    bill_no: str
    attempt: int
    bank_payment_id: str


class AuditStore(Protocol):
    """What the audit reads; it writes nothing."""

    async def tariffs(self) -> tuple[Tariff, ...]:
        """Return every version of every tariff."""

    async def vat_rates(self) -> tuple[VatRate, ...]:
        """Return the VAT rates."""

    async def penalty_book(self) -> PenaltyBook:
        """Return all that was ever entered about penalties."""

    async def facts(self, *, after: str, limit: int) -> FactsPage:
        """Return the next accounts after one, with all that is stored about them."""

    async def debits_by_key(self, keys: Mapping[str, str]) -> dict[str, Debit]:
        """Return debits by their keys; ``keys`` says whose account each key names."""

    async def debits_at_bank(
        self, *, at: datetime, after: DebitAtBank | None, limit: int
    ) -> Sequence[DebitAtBank]:
        """Return the next debits that had a payment at the bank by an instant."""

    async def refunds_by_key(self, keys: Sequence[RefundId]) -> dict[str, Refund]:
        """Return refunds by their keys."""

    async def refunds_at_bank(
        self, *, at: datetime, after: Refund | None, limit: int
    ) -> Sequence[Refund]:
        """Return the next refunds that stood at the bank by an instant."""

    async def installations_without_account(self) -> Sequence[str]:
        """Return the meters whose gas nobody is billed for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What was looked at, and what contradicts itself; amounts in minor units by currency.

    ``findings`` holds the first ones, ``findings_total`` counts all.
    """

    findings: tuple[Finding, ...]
    findings_total: int
    accounts: int
    usages: int
    bills: int
    lines: int
    transfers: int
    debits: int
    bank_payments: int
    refunds: int
    bank_refunds: int
    collected_minor: Mapping[str, int]

    @property
    def clean(self) -> bool:
        """Say whether nothing contradicts itself."""
        return self.findings_total == 0


@dataclass(slots=True, kw_only=True)
class _Notes:
    """What the audit remembers while it goes."""

    findings: list[Finding] = field(default_factory=list)
    findings_total: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    ours_minor: Counter[str] = field(default_factory=Counter)
    theirs_minor: Counter[str] = field(default_factory=Counter)

    def add(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self.findings_total += 1
            if len(self.findings) < FINDINGS_MAX:
                self.findings.append(finding)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What holds for all accounts: prices, and what late payers are asked for."""

    prices: Prices
    book: PenaltyBook


async def audit(
    *, store: AuditStore, bank: BankBooks | None, at: datetime, zone: str
) -> AuditReport:
    """Check everything that was ever billed and debited; without a bank, our side only.

    Run it when the bank's news has been read: what we have not heard of yet is a contradiction too.

    Raises:
        BankError: the bank does not show its books.
    """
    notes = _Notes()
    await _check_accounts(store, notes, at=at, zone=zone)
    notes.add(
        Finding(kind=Kind.USAGE_MISPLACED, subject=meter_id, detail="hangs at no known account")
        for meter_id in await store.installations_without_account()
    )
    if bank is not None:
        await _check_bank(store, bank, notes, at=at)
    report = AuditReport(
        findings=tuple(notes.findings),
        findings_total=notes.findings_total,
        accounts=notes.seen["accounts"],
        usages=notes.seen["usages"],
        bills=notes.seen["bills"],
        lines=notes.seen["lines"],
        transfers=notes.seen["transfers"],
        debits=notes.seen["debits"],
        bank_payments=notes.seen["bank_payments"],
        refunds=notes.seen["refunds"],
        bank_refunds=notes.seen["bank_refunds"],
        collected_minor=dict(notes.ours_minor),
    )
    log.info(
        "audit.done",
        accounts=report.accounts,
        bills=report.bills,
        debits=report.debits,
        bank_payments=report.bank_payments,
        findings=report.findings_total,
    )
    return report


async def _check_accounts(store: AuditStore, notes: _Notes, *, at: datetime, zone: str) -> None:
    tariffs, vat_rates = await store.tariffs(), await store.vat_rates()
    prices = Prices(tariffs=tariffs, vat_rates=vat_rates, proposers={})
    known = _Known(prices=prices, book=await store.penalty_book())
    priced: dict[date, Priced] = {}
    after = ""
    while True:
        page = await store.facts(after=after, limit=ACCOUNTS_PER_PAGE)
        for facts in page.accounts:
            for bill in facts.bills:
                if bill.period_start not in priced:
                    period = Period(start=bill.period_start, end=bill.period_end)
                    priced[bill.period_start] = Priced(
                        period=period,
                        zone=zone,
                        prices=price_intervals(tariffs, vat_rates, period, zone),
                    )
            notes.add(_check_account(facts, priced, known, at=at, zone=zone))
            notes.ours_minor.update(collected_minor(facts))
            _count(notes.seen, facts)
        if page.last is None:
            return
        after = page.last


def _check_account(
    facts: Facts, priced: Mapping[date, Priced], known: _Known, *, at: datetime, zone: str
) -> Iterator[Finding]:
    found = [
        *check_usage(facts),
        *check_bills(facts, priced, zone=zone),
        *check_corrections(facts, priced),
    ]
    # What has been found already would be found again, in other words.
    yield from found or check_records(facts, known.prices, zone=zone)
    yield from check_months(facts, zone=zone, at=at)
    yield from check_bill_transfers(facts)
    yield from check_debits(facts, zone=zone)
    yield from check_told(facts)
    yield from check_refunds(facts)
    yield from check_vouchers(facts, zone=zone)
    yield from check_carried(facts)
    yield from check_closing(facts, zone=zone)
    yield from check_penalties(facts, known.book, zone=zone)


def _count(seen: Counter[str], facts: Facts) -> None:
    seen["accounts"] += 1
    seen["usages"] += len(facts.usages)
    seen["bills"] += len(facts.bills)
    seen["lines"] += sum(len(bill.lines) for bill in facts.bills)
    seen["transfers"] += len(facts.transfers)
    seen["debits"] += len(facts.debits)
    seen["refunds"] += len(facts.refunds)


async def _check_bank(store: AuditStore, bank: BankBooks, notes: _Notes, *, at: datetime) -> None:
    digests = array("Q")
    page: list[Payment] = []
    async for payment in bank.list_payments(bank_mandate_id=None, created_from=None):
        digests.append(_digest(payment.payment_id))
        page.append(payment)
        if len(page) == PAYMENTS_PER_PAGE:
            await _check_payments(store, page, notes)
            page = []
    await _check_payments(store, page, notes)
    known = array("Q", sorted(digests))
    notes.seen["bank_payments"] = len(known)
    _check_listed_once(known, notes)
    await _check_missing(store, known, notes, at=at)
    await _check_refunds(store, bank, notes, at=at)
    for currency in sorted(notes.ours_minor.keys() | notes.theirs_minor.keys()):
        ours_minor, theirs_minor = notes.ours_minor[currency], notes.theirs_minor[currency]
        if ours_minor != theirs_minor:
            detail = f"{ours_minor} {currency} in the ledger, {theirs_minor} at the bank"
            notes.add([Finding(kind=Kind.COLLECTED_DIFFERS, subject=currency, detail=detail)])


async def _check_payments(store: AuditStore, page: Sequence[Payment], notes: _Notes) -> None:
    keys = {
        payment.intent: account_id
        for payment in page
        if payment.intent is not None and (account_id := account_of(payment.intent)) is not None
    }
    debits = await store.debits_by_key(keys) if keys else {}
    for payment in page:
        notes.add(check_payment(payment, debits.get(payment.intent or "")))
        if payment.status in TAKEN_BY_BANK:
            notes.theirs_minor[payment.currency] += payment.amount_minor


def _check_listed_once(known: Sequence[int], notes: _Notes) -> None:
    repeats = sum(1 for index in range(1, len(known)) if known[index] == known[index - 1])
    if repeats:
        detail = f"{repeats} payments stand there twice"
        notes.add([Finding(kind=Kind.PAYMENT_DOUBLED, subject="the bank's list", detail=detail)])


async def _check_missing(
    store: AuditStore, known: Sequence[int], notes: _Notes, *, at: datetime
) -> None:
    after = None
    while debits := await store.debits_at_bank(at=at, after=after, limit=PAYMENTS_PER_PAGE):
        for debit in debits:
            digest = _digest(debit.bank_payment_id)
            place = bisect_left(known, digest)
            if place == len(known) or known[place] != digest:
                subject = f"{debit.account_id}/{debit.bill_no}/{debit.attempt}"
                notes.add(
                    [
                        Finding(
                            kind=Kind.PAYMENT_MISSING,
                            subject=subject,
                            detail=f"the bank does not know {debit.bank_payment_id}",
                        )
                    ]
                )
        after = debits[-1]


async def _check_refunds(
    store: AuditStore, bank: BankBooks, notes: _Notes, *, at: datetime
) -> None:
    digests = array("Q")
    page: list[BankRefund] = []
    async for refund in bank.list_refunds(payment_id=None):
        digests.append(_digest(refund.refund_id))
        page.append(refund)
        if len(page) == PAYMENTS_PER_PAGE:
            await _check_refunds_of(store, page, notes)
            page = []
    await _check_refunds_of(store, page, notes)
    known = array("Q", sorted(digests))
    notes.seen["bank_refunds"] = len(known)
    after: Refund | None = None
    while refunds := await store.refunds_at_bank(at=at, after=after, limit=PAYMENTS_PER_PAGE):
        for one in refunds:
            digest = _digest(one.bank_refund_id or "")
            place = bisect_left(known, digest)
            if place == len(known) or known[place] != digest:
                detail = f"the bank does not know {one.bank_refund_id}"
                notes.add([Finding(kind=Kind.REFUND_MISSING, subject=one.key, detail=detail)])
        after = refunds[-1]


async def _check_refunds_of(store: AuditStore, page: Sequence[BankRefund], notes: _Notes) -> None:
    names = [name for one in page if (name := refund_of_key(one.intent)) is not None]
    refunds = await store.refunds_by_key(names) if names else {}
    for one in page:
        notes.add(check_bank_refund(one, refunds.get(one.intent or "")))
        if one.status is RefundStatus.PAID:
            notes.theirs_minor[one.currency] -= one.amount_minor


def _digest(payment_id: str) -> int:
    return int.from_bytes(hashlib.sha256(payment_id.encode()).digest()[:8])
