"""The bank's JSON, parsed once: what we need of it, strictly, and nothing else of it at all.

Fields we do not know are passed over, so the bank may add some; a status we do not know becomes
None, so the bank may add those too. What we rely on must be there and of its type.
"""

import re
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from billing.bank import (
    UNREADABLE,
    BankEvent,
    BankGarbledError,
    BankMandate,
    BillingRequest,
    EventPage,
    Flow,
    MandateStatus,
    Payment,
    PaymentStatus,
    Rejected,
    reason_word,
)

# Names of the bank's go into addresses, so they may hold nothing that means something there.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Word = Annotated[str, Field(max_length=64)]
# Ten times what any bank asks of a gas bill.
AMOUNT_MAX: Final = 10**15

_PAYMENT_STATUS: Final = {status.value: status for status in PaymentStatus}
_MANDATE_STATUS: Final = {status.value: status for status in MandateStatus}
_CONFLICT: Final = "idempotent_creation_conflict"


def kept(text: str) -> str:
    """Return a text of the bank's that a database can keep: none keeps the character of nothing."""
    return text.replace("\0", "\ufffd")


def day_of(text: str | None) -> date | None:
    """Return the day that a text of the bank's is; None if it is none."""
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None


class _Wire(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


Body = TypeVar("Body", bound=_Wire)


class _PaymentLinks(_Wire):
    mandate: Name


class _Payment(_Wire):
    id: Name
    status: Word
    amount: Annotated[int, Field(ge=1, le=AMOUNT_MAX)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    links: _PaymentLinks
    metadata: dict[str, Any] | None = None
    charge_date: str | None = None

    def ours(self) -> Payment:
        """Return the payment in our own words."""
        intent = (self.metadata or {}).get("intent")
        return Payment(
            payment_id=self.id,
            status=_PAYMENT_STATUS.get(self.status),
            amount_minor=self.amount,
            currency=self.currency,
            bank_mandate_id=self.links.mandate,
            intent=kept(intent) if isinstance(intent, str) else None,
            charge_on=day_of(self.charge_date),
        )


class _MandateLinks(_Wire):
    customer_bank_account: Name | None = None


class _Mandate(_Wire):
    id: Name
    status: Word
    links: _MandateLinks = _MandateLinks()


class _RequestLinks(_Wire):
    mandate_request_mandate: Name | None = None


class _Request(_Wire):
    id: Name
    status: Word
    links: _RequestLinks | None = None


class _Flow(_Wire):
    id: Name
    authorisation_url: Annotated[str, Field(max_length=1000, pattern=r"^https?://")]


class _Account(_Wire):
    account_number_ending: Annotated[str, Field(max_length=34)] | None = None


class _Details(_Wire):
    cause: Word | None = None
    will_attempt_retry: bool | None = None


class _Event(_Wire):
    id: Name
    resource_type: Name
    action: Name
    links: dict[str, Any] | None = None
    details: _Details | None = None

    def ours(self) -> BankEvent:
        """Return the event in our own words; links we could not use in an address are dropped."""
        details = self.details or _Details()
        return BankEvent(
            event_id=self.id,
            resource=self.resource_type,
            action=self.action,
            links={
                name: value
                for name, value in (self.links or {}).items()
                if isinstance(value, str) and _NAME.match(value) and _NAME.match(name)
            },
            cause=None if details.cause is None else reason_word(details.cause),
            will_attempt_retry=details.will_attempt_retry or False,
        )


class _Named(_Wire):
    id: Name


class _ErrorItem(_Wire):
    reason: Word | None = None
    field: Word | None = None
    links: dict[str, Any] | None = None


class _Error(_Wire):
    type: Word
    errors: list[_ErrorItem] = []


class _Cursors(_Wire):
    after: Name | None = None


class _Meta(_Wire):
    cursors: _Cursors = _Cursors()


class _ErrorBody(_Wire):
    error: _Error


class _PaymentBody(_Wire):
    payments: _Payment


class _MandateBody(_Wire):
    mandates: _Mandate


class _RequestBody(_Wire):
    billing_requests: _Request


class _FlowBody(_Wire):
    billing_request_flows: _Flow


class _AccountBody(_Wire):
    customer_bank_accounts: _Account


class _EventsBody(_Wire):
    events: list[_Event]
    meta: _Meta = _Meta()


class _AnyEventsBody(_Wire):
    events: list[Any]
    meta: _Meta = _Meta()


class _PaymentsBody(_Wire):
    payments: list[_Payment]
    meta: _Meta = _Meta()


_NAME: Final = re.compile(r"^[A-Za-z0-9_-]{1,64}\Z")
_EVENT: Final = TypeAdapter(_Event)
_NAMED: Final = TypeAdapter(_Named)


def payment(body: bytes, asked: str | None = None) -> Payment:
    """Read one payment; where one was ``asked`` for by name, no other one will do.

    Raises:
        BankGarbledError: it is not one, lacks what we rely on, or is another one.
    """
    found = _read(_PaymentBody, body).payments.ours()
    demand_named(found.payment_id, asked)
    return found


def payments(body: bytes) -> tuple[list[Payment], str | None]:
    """Read a page of payments, and the cursor of the next one.

    Raises:
        BankGarbledError: it is not one, or a payment lacks what we rely on.
    """
    page = _read(_PaymentsBody, body)
    return [one.ours() for one in page.payments], page.meta.cursors.after


def mandate(body: bytes, asked: str) -> BankMandate:
    """Read the one mandate that was asked for by name.

    Raises:
        BankGarbledError: it is not one, lacks what we rely on, or is another one.
    """
    found = _read(_MandateBody, body).mandates
    demand_named(found.id, asked)
    return BankMandate(
        bank_mandate_id=found.id,
        status=_MANDATE_STATUS.get(found.status),
        bank_account_id=found.links.customer_bank_account,
    )


def billing_request(body: bytes, asked: str | None = None) -> BillingRequest:
    """Read one billing request; where one was ``asked`` for by name, no other one will do.

    Raises:
        BankGarbledError: it is not one, lacks what we rely on, or is another one.
    """
    found = _read(_RequestBody, body).billing_requests
    demand_named(found.id, asked)
    return BillingRequest(
        request_id=found.id,
        cancelled=found.status == "cancelled",
        bank_mandate_id=None if found.links is None else found.links.mandate_request_mandate,
    )


def demand_named(found: str, asked: str | None) -> None:
    """Refuse an answer about something else than was asked for.

    Raises:
        BankGarbledError: it is about something else; believed, it would move somebody's money.
    """
    if asked is not None and found != asked:
        raise BankGarbledError("another_one")


def flow(body: bytes) -> Flow:
    """Read one billing request flow.

    Raises:
        BankGarbledError: it is not one, or has no address to go to.
    """
    found = _read(_FlowBody, body).billing_request_flows
    return Flow(flow_id=found.id, authorisation_url=found.authorisation_url)


def account_number_ending(body: bytes) -> str | None:
    """Read the last characters of an account number; never more than four, whatever is sent.

    Raises:
        BankGarbledError: it is not a bank account.
    """
    ending = _read(_AccountBody, body).customer_bank_accounts.account_number_ending
    return ending[-4:] if ending else None


def events(body: bytes) -> EventPage:
    """Read a page of events; one that cannot be read but has a name is kept under that name.

    One without a name cannot be remembered, so it is counted, and stands in nobody's way.

    Raises:
        BankGarbledError: it is not a page.
    """
    try:
        page = _EventsBody.model_validate_json(body)
        found, nameless, meta = tuple(one.ours() for one in page.events), 0, page.meta
    except ValidationError:
        # Some of it cannot be read: then one after the other, so that the rest can.
        every = _read(_AnyEventsBody, body)
        (found, nameless), meta = readable(every.events), every.meta
    return EventPage(
        nameless=nameless,
        events=found,
        before=found[0].event_id if found else None,
        after=meta.cursors.after,
    )


def readable(told: Sequence[object]) -> tuple[tuple[BankEvent, ...], int]:
    """Return the events that have a name, and how many have none to remember them by."""
    found: list[BankEvent] = []
    for one in told:
        try:
            found.append(event(one))
        except BankGarbledError:
            continue
    return tuple(found), len(told) - len(found)


def event(one: object) -> BankEvent:
    """Read one event; one that cannot be read but has a name becomes an unreadable one.

    Raises:
        BankGarbledError: it has no name to remember it by.
    """
    try:
        return _EVENT.validate_python(one).ours()
    except ValidationError:
        pass
    try:
        name = _NAMED.validate_python(one)
    except ValidationError:
        raise BankGarbledError("event_without_name") from None
    return BankEvent(event_id=name.id, resource=UNREADABLE, action=UNREADABLE)


def refusal(body: bytes) -> Rejected | None:
    """Read why a request was refused; None if it is not the bank's own error envelope.

    The causes name fields where the bank names them, reasons where it does not.
    """
    try:
        error = _ErrorBody.model_validate_json(body).error
    except ValidationError:
        return None
    reasons = [item.reason for item in error.errors if item.reason]
    causes = tuple(item.field or item.reason or "" for item in error.errors)
    reason = reasons[0] if reasons else error.type
    return Rejected(reason=reason_word(reason), causes=tuple(cause for cause in causes if cause))


def conflicting_id(body: bytes) -> str | None:
    """Read which resource was made under the same key before; None if the bank does not say."""
    try:
        error = _ErrorBody.model_validate_json(body).error
    except ValidationError:
        return None
    for item in error.errors:
        name = (item.links or {}).get("conflicting_resource_id")
        if item.reason == _CONFLICT and isinstance(name, str) and _NAME.match(name):
            return name
    return None


def _read(model: type[Body], body: bytes) -> Body:
    try:
        return model.model_validate_json(body)
    except ValidationError:
        # The text of the error would carry the bank's data into our logs.
        raise BankGarbledError("garbled") from None
