"""What a bank can say to us, in our own words.

Nothing here knows HTTP. An order to pay has one of six answers; only two of them are certain to
have done nothing (Rejected, NotExecuted), and Unknown must be treated as if it had been executed.
Questions that only read raise one of the errors below instead.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

# The bank's lists may lag behind its orders; an order not listed by then was never made.
LISTED_AFTER: Final = timedelta(hours=1)

_WORD: Final = re.compile(r"^[a-z_]{1,40}\Z")


def reason_word(text: str | None) -> str:
    """Return a reason of the bank if it is one short word, so that it may be kept and counted."""
    return text if text is not None and _WORD.match(text) else "other"


class PaymentStatus(StrEnum):
    """Where the bank says a payment stands."""

    PENDING_CUSTOMER_APPROVAL = "pending_customer_approval"
    PENDING_SUBMISSION = "pending_submission"
    SUBMITTED = "submitted"
    CONFIRMED = "confirmed"
    PAID_OUT = "paid_out"
    CANCELLED = "cancelled"
    CUSTOMER_APPROVAL_DENIED = "customer_approval_denied"
    FAILED = "failed"
    CHARGED_BACK = "charged_back"


# The bank has the payer's money, or has handed it to us.
TAKEN_BY_BANK: Final = frozenset({PaymentStatus.CONFIRMED, PaymentStatus.PAID_OUT})


class RefundStatus(StrEnum):
    """Where the bank says a refund stands."""

    CREATED = "created"
    PENDING_SUBMISSION = "pending_submission"
    SUBMITTED = "submitted"
    PAID = "paid"
    CANCELLED = "cancelled"
    BOUNCED = "bounced"
    FUNDS_RETURNED = "funds_returned"


class MandateStatus(StrEnum):
    """Where the bank says a mandate stands."""

    PENDING_CUSTOMER_APPROVAL = "pending_customer_approval"
    PENDING_SUBMISSION = "pending_submission"
    SUBMITTED = "submitted"
    ACTIVE = "active"
    SUSPENDED_BY_PAYER = "suspended_by_payer"
    CANCELLED = "cancelled"
    FAILED = "failed"
    EXPIRED = "expired"
    CONSUMED = "consumed"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment as the bank keeps it; ``status`` None is a status we do not know.

    ``intent`` is our own key, given back from the metadata; ``charge_on`` the day it is taken.
    """

    payment_id: str
    status: PaymentStatus | None
    amount_minor: int
    currency: str
    bank_mandate_id: str
    intent: str | None
    charge_on: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BankRefund:
    """A refund as the bank keeps it; ``status`` None is a status we do not know."""

    refund_id: str
    status: RefundStatus | None
    amount_minor: int
    currency: str
    payment_id: str
    intent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BankMandate:
    """A mandate as the bank keeps it; ``status`` None is a status we do not know."""

    bank_mandate_id: str
    status: MandateStatus | None
    bank_account_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingRequest:
    """A request for a mandate; ``bank_mandate_id`` is there once the payer has agreed."""

    request_id: str
    cancelled: bool
    bank_mandate_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """The bank's own page on which a payer agrees or not."""

    flow_id: str
    authorisation_url: str


# The resource of an event that has a name and nothing else that we can read.
UNREADABLE: Final = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class BankEvent:
    """Something happened at the bank. A hint only: what counts is the resource, read afresh."""

    event_id: str
    resource: str
    action: str
    links: Mapping[str, str] = field(default_factory=dict)
    cause: str | None = None
    will_attempt_retry: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """A page of the bank's events, newest first; ``after`` leads to older ones, if there are any.

    ``before`` names the newest, from which a later call goes on; None on an empty page. Events that
    were ``nameless`` cannot be remembered and are only counted.
    """

    events: tuple[BankEvent, ...]
    before: str | None
    after: str | None
    nameless: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The bank made the payment now."""

    payment: Payment


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The bank made the refund now."""

    refund: BankRefund


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """The bank had made something under this key before. It may differ: read it and compare."""

    payment_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The bank refused the order and made nothing; certain."""

    reason: str
    causes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NotExecuted:
    """The order never got in (rate_limited, unreachable); certain. Try again later."""

    reason: str
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """The bank may have executed the order; we did not hear."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """The bank does not accept our credentials, or not for this."""

    reason: str


NotMade = Conflict | Rejected | NotExecuted | Unknown | Denied
Answer = Accepted | NotMade
RefundAnswer = Made | NotMade


class BankError(Exception):
    """A question to the bank got no usable answer; ``reason`` is a short word for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BankSilentError(BankError):
    """The bank did not answer: unreachable, too slow, busy or broken. Ask again later."""


class BankGarbledError(BankError):
    """The bank answered something we cannot read."""


class BankDeniedError(BankError):
    """The bank does not accept our credentials."""


class BankRefusedError(BankError):
    """The bank understood and said no, for example because it is too late to cancel."""
