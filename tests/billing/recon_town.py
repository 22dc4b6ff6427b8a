"""A town whose debits were paid out, and a bank that shows its books, for reconciling."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date, datetime

from billing.bank import Payment, PaymentStatus
from billing.bank_recon import ReconCounts, import_statement, reconcile_bank
from billing.io.debits import Debits
from billing.io.recon import ReconBooks
from billing.iso.camt053 import read
from billing.payout import Payout, PayoutItem, PayoutStatus, tenths
from tests.billing.debit_town import TO_RECORD, ZONE, DebitTown, day, followed, recorded, sent, told
from tests.billing.fake_bank import FakeBank
from tests.billing.statement_file import entry, part, statement

# The bank pays February's debits out on Friday the 27th; the morning after, all has been heard.
PAID_ON = date(2026, 2, 27)
PAID_AT = day("02-27", hour=20)
MORNING = day("02-28")
NEXT = day("03-01")
REFERENCE = "AQKOL-7QX2M9K4TA"


@dataclass
class PayingBank(FakeBank):
    """The bank of a few dozen lines, with payouts; every method of the port for reconciling."""

    payouts: dict[str, Payout] = field(default_factory=dict)
    items: dict[str, list[PayoutItem]] = field(default_factory=dict)

    async def list_payments(
        self, *, bank_mandate_id: str | None, created_from: datetime | None
    ) -> AsyncIterator[Payment]:
        """Read the payments of one mandate, or all."""
        del created_from
        self._listen(f"payments of {bank_mandate_id}")
        for payment in list(self.payments.values()):
            if bank_mandate_id in {None, payment.bank_mandate_id}:
                yield payment

    async def list_payouts(self, *, created_from: datetime) -> AsyncIterator[Payout]:
        """Read all payouts since an instant."""
        self._listen("payouts")
        for payout in list(self.payouts.values()):
            if payout.created_at >= created_from:
                yield payout

    async def list_payout_items(self, payout_id: str) -> tuple[PayoutItem, ...]:
        """Read the items of a payout."""
        self._listen(f"items of {payout_id}")
        return tuple(self.items[payout_id])

    def pay_out(
        self,
        *amounts: tuple[str, str],
        fee: str = "-50.0",
        payout_id: str = "PO1",
        reference: str = REFERENCE,
        amount_minor: int,
        on: date = PAID_ON,
    ) -> None:
        """Pay out some payments, each with its amount in the bank's own words."""
        self.items[payout_id] = [
            *(
                PayoutItem(kind="payment_paid_out", amount_tenths=tenths(text), payment_id=name)
                for name, text in amounts
            ),
            PayoutItem(kind="gocardless_fee", amount_tenths=tenths(fee)),
        ]
        self.payouts[payout_id] = Payout(
            payout_id=payout_id,
            status=PayoutStatus.PAID,
            amount_minor=amount_minor,
            fees_minor=-tenths(fee) // 10,
            currency="KZT",
            reference=reference,
            arrival_on=on,
            created_at=PAID_AT,
        )


async def paid(town: DebitTown, store: Debits, bank: PayingBank, *names: str) -> None:
    """Bring a debit of 742.97 of each account to the bank, and let the bank pay it out."""
    for name in names:
        await town.account(name)
        await town.mandate(name, bank_mandate_id=f"MD-{name}")
        await town.bill(name)
    await told(store)
    await recorded(store)
    await sent(store, bank)
    for payment_id in list(bank.payments):
        bank.tell(payment_id, PaymentStatus.PAID_OUT, action="paid_out")
    await followed(store, bank, PAID_AT)


async def reconciled(
    books: ReconBooks, store: Debits, bank: PayingBank, at: datetime = MORNING
) -> ReconCounts:
    return await reconcile_bank(store=books, debits=store, bank=bank, at=at, zone=ZONE)


async def told_by_bank(
    books: ReconBooks,
    *lines: tuple[str, str | None],
    on: date = PAID_ON,
    opening: str = "0",
    closing: str,
    at: datetime = MORNING,
) -> int:
    """Import the statement of a day: each line an amount and what it names."""
    entries = [
        entry(
            amount.removeprefix("-"),
            on,
            sign="DBIT" if amount.startswith("-") else "CRDT",
            parts=[part(end_to_end_id=reference)] if reference else None,
        )
        for amount, reference in lines
    ]
    data = statement(on=on, opening=opening, closing=closing, entries=entries)
    return await import_statement(store=books, statements=read(data), at=at)


__all__ = ["MORNING", "NEXT", "PAID_AT", "PAID_ON", "TO_RECORD"]
