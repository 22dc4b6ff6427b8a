"""What reconciling with the bank needs from outside: the bank's books, and ours."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from billing.bank import Payment
from billing.breaks import BookedLine, Break
from billing.debit import Debit, DebitId
from billing.decide import DecideStore
from billing.iso.camt053 import Statement
from billing.mandate import Mandate
from billing.payout import Payout, PayoutItem, PayoutStatus


class ReconBank(Protocol):
    """What reconciling asks of the bank; all of it may raise BankError."""

    def list_payments(
        self, *, bank_mandate_id: str | None, created_from: datetime | None
    ) -> AsyncIterator[Payment]:
        """Read all payments since an instant."""

    async def get_payment(self, payment_id: str) -> Payment | None:
        """Read a payment."""

    def list_payouts(self, *, created_from: datetime) -> AsyncIterator[Payout]:
        """Read all payouts since an instant."""

    async def list_payout_items(self, payout_id: str) -> tuple[PayoutItem, ...]:
        """Read all items of a payout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubledItem:
    """A payment that stands in payouts more often than it may, last in this one."""

    payment_id: str
    payout_id: str
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPayout:
    """How a payout stood when it was read last, and whether it was matched since."""

    status: PayoutStatus | None
    matched: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TornDay:
    """A day whose statement does not begin where the one before it ended."""

    day: date
    opening_minor: int
    before_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakCounts:
    """What became of breaks in one run; ``open`` counts all that are open now."""

    opened: int
    closed: int
    open: int


class DebitStore(DecideStore, Protocol):
    """Where debits and mandates are kept."""

    async def mandate_by_bank_id(self, bank_mandate_id: str) -> Mandate | None:
        """Return the mandate behind the bank's name for it."""


class ReconStore(Protocol):
    """Where payouts, lines, days and breaks are kept."""

    async def debits_by_key(self, keys: Mapping[str, str]) -> dict[str, Debit]:
        """Return debits by their keys; ``keys`` says whose account each key names."""

    async def debits_by_payment(self, payment_ids: Sequence[str]) -> dict[str, Debit]:
        """Return debits by the bank's names of their payments."""

    async def sent_debits(
        self, *, since: datetime, after: DebitId | None, limit: int
    ) -> Sequence[Debit]:
        """Return the next debits with a payment at the bank that were sent since an instant."""

    async def freeze(self, account_id: str, mandate_id: str, *, because: str, at: datetime) -> bool:
        """Freeze a mandate; False if it is frozen already, or a person has lifted it for this."""

    async def known_payouts(self, payout_ids: Sequence[str]) -> Mapping[str, KnownPayout]:
        """Return how those of the payouts that we know stood when they were read last."""

    async def keep_payout(
        self, payout: Payout, items: Sequence[PayoutItem], *, at: datetime
    ) -> None:
        """Keep a payout and its items as the bank tells them now."""

    async def debits_paid_out_again(self) -> Sequence[DebitId]:
        """Return debits whose payout came back and that another one has brought since."""

    async def unknown_debits(self, *, charge_until: date) -> Sequence[Debit]:
        """Return debits of which nobody knows, to be charged on a day or before."""

    async def doubled_items(self, *, since: datetime) -> Sequence[DoubledItem]:
        """Return payments that were paid out more than once."""

    async def overkept_items(self, *, since: datetime) -> Sequence[DoubledItem]:
        """Return payments that the bank has kept more often than it had paid them out."""

    async def paid_out_without_item(
        self, *, since: datetime, unchanged_since: datetime
    ) -> Sequence[Debit]:
        """Return debits that we believe paid out and that stand in no payout."""

    async def payouts_to_match(self, *, since: datetime) -> Sequence[Payout]:
        """Return payouts that wait for the statement, or of which it speaks anew."""

    async def lines_of_payouts(
        self, payout_ids: Sequence[str]
    ) -> Mapping[str, Sequence[BookedLine]]:
        """Return the lines that carry the reference of each payout."""

    async def unknown_lines(self) -> Sequence[BookedLine]:
        """Return the lines that nobody knows."""

    async def lines_taken_back(self) -> Mapping[str, str]:
        """Return what unknown lines are that name a refund or a payment, by line."""

    async def know_lines(self, lines: Sequence[BookedLine], known_as: str, *, at: datetime) -> None:
        """Note what lines are; what stood in suspense because of them leaves it, once."""

    async def suspend(self, booked: BookedLine, *, at: datetime) -> None:
        """Book a line that nobody knows to suspense, once."""

    async def match_payout(self, payout: Payout, *, at: datetime) -> Sequence[DebitId]:
        """Note that a payout agrees, book its fees once, and return its settled debits."""

    async def debits_paid_out_late(self) -> Sequence[DebitId]:
        """Return debits settled since their payout was matched, whose money was not kept again."""

    async def items_of(self, payout_id: str) -> tuple[PayoutItem, ...]:
        """Return the items of a payout as the bank told them last."""

    async def bounced_payouts(self, *, since: datetime) -> Sequence[Payout]:
        """Return payouts that came back and were not made again."""

    async def debits_paid_out_by(self, payout_id: str) -> Sequence[DebitId]:
        """Return debits that we believe paid out, by this payout and by no other that counts."""

    async def covered_until(self) -> date | None:
        """Return the last day of which a statement has come."""

    async def torn_days(self, *, since: date) -> Sequence[TornDay]:
        """Return days whose statement does not begin where the one before it ended."""

    async def keep_breaks(
        self, found: Sequence[Break], *, since: date, last_day: date, at: datetime
    ) -> BreakCounts:
        """Open, see again or close breaks, and judge all days up to ``last_day``."""

    async def add_statement(self, statement: Statement, *, at: datetime) -> int:
        """Keep the lines and days of a statement, each once; return how many lines were new."""

    async def reconciled_until(self) -> date | None:
        """Return the last day up to which, without a gap, all sides agree."""
