# ruff: noqa: D102 - each method does what the port it stands in for says
"""A bank of a few dozen lines: keeps keys and payments, answers as it is told to."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from billing.bank import (
    Accepted,
    Answer,
    BankEvent,
    BankMandate,
    BankRefund,
    BankRefusedError,
    BankSilentError,
    BillingRequest,
    Conflict,
    EventPage,
    Flow,
    Made,
    MandateStatus,
    Payment,
    PaymentStatus,
    RefundAnswer,
    RefundStatus,
    Rejected,
    Unknown,
)

LOST = Unknown(reason="timeout")
# Under these nothing is taken any more. A mandate of which it keeps nothing takes every order.
OVER = frozenset(
    {
        MandateStatus.CANCELLED,
        MandateStatus.FAILED,
        MandateStatus.EXPIRED,
        MandateStatus.CONSUMED,
        MandateStatus.BLOCKED,
    }
)


@dataclass
class FakeBank:
    """What it was asked stands in ``orders``; what it made in ``payments`` and ``refunds``.

    ``script`` holds the next answers to orders: an answer given instead of doing anything, or
    "lost", which does it and then stays silent. ``silent`` makes every question unanswered. So many
    ``nameless`` events stand in every page of the list.
    """

    script: deque[Answer | str] = field(default_factory=deque)
    refund_script: deque[RefundAnswer | str] = field(default_factory=deque)
    refund_orders: list[tuple[bytes, str]] = field(default_factory=list)
    refunds: dict[str, BankRefund] = field(default_factory=dict)
    orders: list[tuple[bytes, str]] = field(default_factory=list)
    payments: dict[str, Payment] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    mandates: dict[str, BankMandate] = field(default_factory=dict)
    requests: dict[str, BillingRequest] = field(default_factory=dict)
    request_keys: dict[str, str] = field(default_factory=dict)
    flows: list[tuple[str, str]] = field(default_factory=list)
    events: list[BankEvent] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    silent: bool = False
    late: bool = False
    # Orders are answered with this name of a payment, whatever was made.
    rename: str | None = None
    nameless: int = 0

    def _listen(self, question: str) -> None:
        self.asked.append(question)
        if self.silent:
            raise BankSilentError("timeout")

    async def create_payment(self, body: bytes, key: str) -> Answer:
        self.orders.append((body, key))
        await asyncio.sleep(0)
        told = self.script.popleft() if self.script else None
        if told is not None and not isinstance(told, str):
            return told
        if key in self.keys:
            return Conflict(payment_id=self.keys[key])
        order = json.loads(body)["payments"]
        mandate = self.mandates.get(order["links"]["mandate"])
        if mandate is not None and mandate.status in OVER:
            return Rejected(reason="mandate_is_inactive", causes=("mandate_is_inactive",))
        payment = Payment(
            payment_id=f"PM{len(self.payments) + 1}",
            status=PaymentStatus.PENDING_SUBMISSION,
            amount_minor=order["amount"],
            currency=order["currency"],
            bank_mandate_id=order["links"]["mandate"],
            intent=order["metadata"]["intent"],
        )
        self.payments[payment.payment_id] = payment
        self.keys[key] = payment.payment_id
        if self.rename is not None:
            payment = replace(payment, payment_id=self.rename)
        return LOST if told == "lost" else Accepted(payment=payment)

    async def get_payment(self, payment_id: str) -> Payment | None:
        self._listen(f"payment {payment_id}")
        return self.payments.get(payment_id)

    async def list_payments(
        self,
        *,
        bank_mandate_id: str | None,
        created_from: datetime | None,  # noqa: ARG002 - it keeps no times
    ) -> AsyncIterator[Payment]:
        self._listen(f"payments of {bank_mandate_id}")
        for payment in list(self.payments.values()):
            if payment.bank_mandate_id == bank_mandate_id:
                yield payment

    async def create_refund(self, body: bytes, key: str) -> RefundAnswer:
        self.refund_orders.append((body, key))
        await asyncio.sleep(0)
        told = self.refund_script.popleft() if self.refund_script else None
        if told is not None and not isinstance(told, str):
            return told
        if key in self.keys:
            return Conflict(payment_id=self.keys[key])
        order = json.loads(body)["refunds"]
        payment = self.payments[order["links"]["payment"]]
        given = self._given(payment.payment_id) + order["amount"]
        if payment.status not in {PaymentStatus.CONFIRMED, PaymentStatus.PAID_OUT}:
            return Rejected(reason="refund_payment_invalid_state")
        if given > payment.amount_minor:
            return Rejected(reason="available_refund_amount_insufficient")
        if given != order["total_amount_confirmation"]:
            return Rejected(reason="total_amount_confirmation_invalid")
        refund = BankRefund(
            refund_id=f"RF{len(self.refunds) + 1}",
            status=RefundStatus.CREATED,
            amount_minor=order["amount"],
            currency=payment.currency,
            payment_id=payment.payment_id,
            intent=order["metadata"]["intent"],
        )
        self.refunds[refund.refund_id] = refund
        self.keys[key] = refund.refund_id
        return LOST if told == "lost" else Made(refund=refund)

    def _given(self, payment_id: str) -> int:
        not_given = {RefundStatus.BOUNCED, RefundStatus.CANCELLED}
        return sum(
            one.amount_minor
            for one in self.refunds.values()
            if one.payment_id == payment_id and one.status not in not_given
        )

    async def get_refund(self, refund_id: str) -> BankRefund | None:
        self._listen(f"refund {refund_id}")
        return self.refunds.get(refund_id)

    async def list_refunds(self, *, payment_id: str | None) -> AsyncIterator[BankRefund]:
        self._listen(f"refunds of {payment_id}")
        for refund in list(self.refunds.values()):
            if payment_id in {None, refund.payment_id}:
                yield refund

    def tell_refund(self, refund_id: str, status: RefundStatus, *, action: str) -> None:
        """Move a refund and put an event about it into the list."""
        self.refunds[refund_id] = replace(self.refunds[refund_id], status=status)
        self.events.append(
            BankEvent(
                event_id=f"EV{len(self.events) + 1}",
                resource="refunds",
                action=action,
                links={"refund": refund_id},
            )
        )

    async def list_events(
        self,
        *,
        before: str | None = None,
        after: str | None = None,
        payment_id: str | None = None,
        limit: int,
    ) -> EventPage:
        self._listen("events")
        names = [event.event_id for event in self.events]
        found = self.events
        if payment_id is not None:
            found = [event for event in found if event.links.get("payment") == payment_id]
        if before is not None:
            page = found[names.index(before) + 1 :][:limit]
            older = True
        else:
            found = found if after is None else found[: names.index(after)]
            page = found[-limit:]
            older = len(found) > limit
        page = page[::-1]
        return EventPage(
            nameless=self.nameless,
            events=tuple(page),
            before=page[0].event_id if page else None,
            after=page[-1].event_id if page and older else None,
        )

    async def cancel_payment(self, payment_id: str) -> Payment:
        self._listen(f"cancel {payment_id}")
        if self.late:
            raise BankRefusedError("cancellation_failed")
        return self.tell(payment_id, PaymentStatus.CANCELLED, action="cancelled")

    async def cancel_mandate(self, bank_mandate_id: str) -> BankMandate:
        self._listen(f"cancel {bank_mandate_id}")
        found = replace(self.mandates[bank_mandate_id], status=MandateStatus.CANCELLED)
        self.mandates[bank_mandate_id] = found
        return found

    async def get_mandate(self, bank_mandate_id: str) -> BankMandate | None:
        self._listen(f"mandate {bank_mandate_id}")
        return self.mandates.get(bank_mandate_id)

    async def create_billing_request(
        self, *, currency: str, scheme: str, key: str
    ) -> BillingRequest:
        self._listen(f"request {currency} {scheme}")
        name = self.request_keys.setdefault(key, f"BRQ{len(self.requests) + 1}")
        fresh = BillingRequest(request_id=name, cancelled=False, bank_mandate_id=None)
        return self.requests.setdefault(name, fresh)

    async def create_flow(
        self,
        *,
        request_id: str,
        redirect_uri: str,
        exit_uri: str,
        key: str,
    ) -> Flow:
        self._listen(f"flow {request_id} {exit_uri}")
        self.flows.append((redirect_uri, key))
        name = f"BRF{len(self.flows)}"
        return Flow(flow_id=name, authorisation_url=f"https://bank.test/flow/{name}")

    async def get_billing_request(self, request_id: str) -> BillingRequest | None:
        self._listen(f"request {request_id}")
        return self.requests.get(request_id)

    async def cancel_billing_request(self, request_id: str) -> BillingRequest:
        self._listen(f"cancel {request_id}")
        found = self.requests[request_id]
        if found.bank_mandate_id is not None:
            raise BankRefusedError("billing_request_not_pending")
        self.requests[request_id] = replace(found, cancelled=True)
        return self.requests[request_id]

    async def account_number_ending(self, bank_account_id: str) -> str | None:
        self._listen(f"account {bank_account_id}")
        return bank_account_id[-4:]

    def agree(self, request_id: str, bank_mandate_id: str = "MD1") -> None:
        """Let the payer say yes on the bank's page."""
        self.requests[request_id] = replace(
            self.requests[request_id], bank_mandate_id=bank_mandate_id
        )
        self.agree_to(bank_mandate_id)

    def agree_to(self, bank_mandate_id: str) -> None:
        """Let a mandate be active."""
        self.mandates[bank_mandate_id] = BankMandate(
            bank_mandate_id=bank_mandate_id, status=MandateStatus.ACTIVE, bank_account_id="BA9876"
        )

    def tell(
        self,
        payment_id: str,
        status: PaymentStatus,
        *,
        action: str | None = None,
        cause: str | None = None,
    ) -> Payment:
        """Move a payment and put an event about it into the list."""
        payment = replace(self.payments[payment_id], status=status)
        self.payments[payment_id] = payment
        self.hint(payment_id, action or status.value, cause=cause)
        return payment

    def hint(self, payment_id: str, action: str, *, cause: str | None = None) -> None:
        """Put an event about a payment into the list without moving it."""
        self.events.append(
            BankEvent(
                event_id=f"EV{len(self.events) + 1}",
                resource="payments",
                action=action,
                links={"payment": payment_id},
                cause=cause,
            )
        )
