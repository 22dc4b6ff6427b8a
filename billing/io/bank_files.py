"""A bank without an API behind the same port as one with: orders out as files, answers in as files.

What it is asked is answered from the files that are there: an order stands where the bank's newest
word about it says. Every credit on a statement that names an order is a payout of its own. What
such a bank cannot do (a page to agree on, refunds) it refuses in the port's own words.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, time
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

from billing.bank import (
    Accepted,
    Answer,
    BankEvent,
    BankGarbledError,
    BankMandate,
    BankRefund,
    BankRefusedError,
    BankSilentError,
    BillingRequest,
    Conflict,
    EventPage,
    Flow,
    MandateStatus,
    Payment,
    PaymentStatus,
    RefundAnswer,
    Rejected,
    Unknown,
)
from billing.io.file_box import FileBox, MandateFileError
from billing.io.file_news import FULFILLED, FileJournal, FileNews
from billing.iso import pain008
from billing.iso.document import FileError
from billing.iso.pain008 import Creditor, Order, OrderError
from billing.payout import PAID_OUT, TENTHS_PER_MINOR, Payout, PayoutItem, PayoutStatus

# What reaches us as a name becomes a part of a file's name.
_NAME: Final = re.compile(r"^[A-Za-z0-9_-]{1,64}$")
_REQUEST_DIGITS: Final = 32

T = TypeVar("T")

_STATUS: Final[Mapping[str, PaymentStatus]] = MappingProxyType(
    {
        "submitted": PaymentStatus.SUBMITTED,
        "confirmed": PaymentStatus.CONFIRMED,
        "paid_out": PaymentStatus.PAID_OUT,
        "failed": PaymentStatus.FAILED,
        "charged_back": PaymentStatus.CHARGED_BACK,
        "cancelled": PaymentStatus.CANCELLED,
    }
)
_PROGRESS: Final = ("submitted", "confirmed", "paid_out")
# What failed or came back is taken again only by a credit on a statement, never by a late status.
_BACK: Final = frozenset({PaymentStatus.FAILED, PaymentStatus.CHARGED_BACK})


class FileBank:
    """One bank behind a folder; several processes may use it at once."""

    def __init__(self, root: Path, creditor: Creditor) -> None:
        self._box = FileBox(root)
        self._creditor = creditor
        self._known: dict[str, Order] = {}
        self._journal = FileJournal(
            self._box,
            knows=lambda name: bool(_NAME.fullmatch(name)) and self._order(name) is not None,
        )

    async def create_payment(self, body: bytes, key: str) -> Answer:
        """Give the bank an order under a key, once.

        Nothing is raised for what the disk does: it is one of the answers.
        """
        return await asyncio.to_thread(self._give, body, key)

    def _give(self, body: bytes, key: str) -> Answer:
        try:
            order = pain008.order_of(body, key)
            mandate = self._box.mandate(_name(order.bank_mandate_id))
            if mandate is None or mandate.cancelled:
                gone = "mandate_not_found" if mandate is None else "mandate_is_inactive"
                return Rejected(reason=gone)
            data = pain008.write(order, mandate.payer, self._creditor)
            fresh = self._box.give(order.order_id, data)
            made = Accepted(payment=self._payment(order, ()))
            return made if fresh else Conflict(payment_id=order.order_id)
        except OrderError as error:
            return Rejected(reason=str(error))
        except (MandateFileError, BankGarbledError):
            return Rejected(reason="mandate_unreadable")
        except OSError:
            return Unknown(reason="disk")

    async def get_payment(self, payment_id: str) -> Payment | None:
        """Read a payment; None if no order of this name was given.

        Raises:
            BankError: the disk does not tell.
        """
        return await self._asked(lambda: self._one(payment_id))

    def _one(self, payment_id: str) -> Payment | None:
        order = self._order(_name(payment_id))
        return None if order is None else self._payment(order, self._journal.news())

    async def list_payments(
        self, *, bank_mandate_id: str | None, created_from: datetime | None
    ) -> AsyncIterator[Payment]:
        """Read all payments, newest first; those of one mandate, or since an instant, if given.

        Raises:
            BankError: the disk does not tell.
        """

        def listed() -> list[Payment]:
            news = self._journal.news()
            since = 0 if created_from is None else int(created_from.timestamp())
            recent = [file for file in self._box.orders() if file.stat().st_mtime >= since]
            orders = [self._order(file.stem) for file in reversed(recent)]
            return [
                self._payment(order, news)
                for order in orders
                if order is not None and bank_mandate_id in {None, order.bank_mandate_id}
            ]

        for payment in await self._asked(listed):
            yield payment

    async def list_events(
        self,
        *,
        before: str | None = None,
        after: str | None = None,
        payment_id: str | None = None,
        limit: int,
    ) -> EventPage:
        """Read a page of events, newest first: those just newer than ``before``, or older.

        Raises:
            BankError: the disk does not tell, or the place was never given out.
        """
        found = await self._asked(lambda: [_event(one) for one in self._journal.news()])
        if payment_id is not None:
            found = [one for one in found if one.links.get("payment") == payment_id]
        names = [one.event_id for one in found]
        try:
            if before is not None:
                page, older = found[names.index(before) + 1 :][:limit], True
            else:
                found = found if after is None else found[: names.index(after)]
                page, older = found[-limit:], len(found) > limit
        except ValueError:
            raise BankGarbledError("unknown_cursor") from None
        page = page[::-1]
        return EventPage(
            events=tuple(page),
            before=page[0].event_id if page else None,
            after=page[-1].event_id if page and older else None,
        )

    async def list_payouts(self, *, created_from: datetime) -> AsyncIterator[Payout]:
        """Read the credits on statements since an instant, newest first, each as a payout.

        Raises:
            BankError: the disk does not tell.
        """
        for payout, _ in reversed([*_payouts(await self._asked(self._journal.news))]):
            if payout.created_at >= created_from:
                yield payout

    async def list_payout_items(self, payout_id: str) -> tuple[PayoutItem, ...]:
        """Read the one item of a payout.

        Raises:
            BankError: the disk does not tell.
        """
        news = await self._asked(self._journal.news)
        return tuple(item for payout, item in _payouts(news) if payout.payout_id == payout_id)

    async def create_billing_request(
        self, *, currency: str, scheme: str, key: str
    ) -> BillingRequest:
        """Name the paper that a payer will sign; the same key gives the same name."""
        digest = hashlib.sha256(f"{currency}|{scheme}|{key}".encode()).hexdigest()
        return await self._request(f"BR{digest[:_REQUEST_DIGITS].upper()}")

    async def create_flow(
        self, *, request_id: str, redirect_uri: str, exit_uri: str, key: str
    ) -> Flow:
        """Lead the payer back to us: he signs on paper."""
        del exit_uri, key
        return Flow(flow_id=f"{request_id}-paper", authorisation_url=redirect_uri)

    async def get_billing_request(self, request_id: str) -> BillingRequest | None:
        """Read a request; the mandate has its name once the paper is there."""
        return await self._request(request_id)

    async def _request(self, request_id: str) -> BillingRequest:
        def look() -> BillingRequest:
            there = self._box.mandate(_name(request_id)) is not None
            return BillingRequest(
                request_id=request_id,
                cancelled=self._box.given_up(request_id),
                bank_mandate_id=request_id if there else None,
            )

        return await self._asked(look)

    async def cancel_billing_request(self, request_id: str) -> BillingRequest:
        """Wait for a paper no more.

        Raises:
            BankRefusedError: the paper is there.
            BankError: the disk does not tell.
        """
        if (await self._request(request_id)).bank_mandate_id is not None:
            raise BankRefusedError("billing_request_fulfilled")
        await self._asked(lambda: self._box.give_up(request_id))
        return await self._request(request_id)

    async def get_mandate(self, bank_mandate_id: str) -> BankMandate | None:
        """Read a mandate on paper; None if there is none.

        Raises:
            BankError: its file does not say what it must.
        """

        def look() -> BankMandate | None:
            mandate = self._box.mandate(_name(bank_mandate_id))
            if mandate is None:
                return None
            return BankMandate(
                bank_mandate_id=bank_mandate_id,
                status=MandateStatus.CANCELLED if mandate.cancelled else MandateStatus.ACTIVE,
                bank_account_id=bank_mandate_id,
            )

        return await self._asked(look)

    async def account_number_ending(self, bank_account_id: str) -> str | None:
        """Read the last four characters of a payer's account number."""

        def look() -> str | None:
            mandate = self._box.mandate(_name(bank_account_id))
            return None if mandate is None else mandate.payer.iban[-4:]

        return await self._asked(look)

    async def cancel_payment(self, payment_id: str) -> Payment:
        """Take an order back, if the bank has not fetched it.

        Raises:
            BankRefusedError: it is too late.
            BankError: the disk does not say whether it did; read the payment.
        """

        def take_back() -> Payment | None:
            there = self._box.withdraw(_name(payment_id))
            return self._one(payment_id) if there else None

        taken = await self._asked(take_back)
        if taken is None:
            raise BankRefusedError("cancellation_failed")
        return taken

    async def cancel_mandate(self, bank_mandate_id: str) -> BankMandate:
        """End a mandate: nothing is written under it any more.

        Raises:
            BankError: there is none, or the disk does not play along.
        """
        mandate = await self.get_mandate(bank_mandate_id)
        if mandate is None:
            raise BankRefusedError("mandate_not_found")
        await self._asked(lambda: self._box.cancel_mandate(bank_mandate_id))
        found = await self.get_mandate(bank_mandate_id)
        assert found is not None, "files of mandates are never removed"
        return found

    async def create_refund(self, body: bytes, key: str) -> RefundAnswer:
        """Refuse: money goes back by a payment order of a person."""
        del body, key
        return Rejected(reason="not_offered")

    async def get_refund(self, refund_id: str) -> BankRefund | None:
        """Return None: there are no refunds."""
        del refund_id
        return None

    async def list_refunds(self, *, payment_id: str | None) -> AsyncIterator[BankRefund]:
        """Return nothing: there are no refunds."""
        del payment_id
        none: tuple[BankRefund, ...] = ()
        for refund in none:
            yield refund

    # -- what the files say

    async def _asked(self, look: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(look)
        except OSError:
            raise BankSilentError("disk") from None
        except (MandateFileError, FileError):
            raise BankGarbledError("unreadable_file") from None

    def _order(self, order_id: str) -> Order | None:
        if order_id not in self._known:
            data = self._box.order(order_id)
            if data is None:
                return None
            self._known[order_id] = pain008.read(data)
        return self._known[order_id]

    def _payment(self, order: Order, news: Sequence[FileNews]) -> Payment:
        status = PaymentStatus.PENDING_SUBMISSION
        if self._box.withdrawn(order.order_id):
            status = PaymentStatus.CANCELLED
        for one in news:
            if one.order_id == order.order_id:
                status = _later(status, one.action)
        return Payment(
            payment_id=order.order_id,
            status=status,
            amount_minor=order.amount_minor,
            currency=order.currency,
            bank_mandate_id=order.bank_mandate_id,
            intent=order.key,
            charge_on=order.charge_on,
        )


def _name(name: str) -> str:
    """Return a name that may be a part of a file's name.

    Raises:
        BankGarbledError: it may not.
    """
    if _NAME.fullmatch(name) is None:
        raise BankGarbledError("not_a_name")
    return name


def _later(status: PaymentStatus, action: str) -> PaymentStatus:
    """Return where a payment stands after one more word of the bank; progress never goes back."""
    said = _STATUS.get(action)
    if said is None or (status in _BACK and action in {"submitted", "confirmed"}):
        return status
    if action in _PROGRESS and status.value in _PROGRESS:
        ahead = _PROGRESS.index(action) > _PROGRESS.index(status.value)
        return said if ahead else status
    return said


def _event(one: FileNews) -> BankEvent:
    paper = one.action == FULFILLED
    return BankEvent(
        event_id=one.name,
        resource="billing_requests" if paper else "payments",
        action=one.action,
        links={"billing_request" if paper else "payment": one.order_id},
        cause=one.cause,
    )


def _payouts(news: Iterable[FileNews]) -> Iterator[tuple[Payout, PayoutItem]]:
    """Return every credit that names an order, as a payout with its one item."""
    for one in news:
        if one.booked_on is None or one.amount_minor is None:
            continue
        name = one.entry_ref or one.name
        payout = Payout(
            payout_id=name,
            status=PayoutStatus.PAID,
            amount_minor=one.amount_minor,
            fees_minor=0,
            currency=one.currency or "",
            reference=name,
            arrival_on=one.booked_on,
            created_at=datetime.combine(one.booked_on, time.min, UTC),
        )
        amount_tenths = one.amount_minor * TENTHS_PER_MINOR
        yield (
            payout,
            PayoutItem(kind=PAID_OUT, amount_tenths=amount_tenths, payment_id=one.order_id),
        )
