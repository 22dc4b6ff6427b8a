"""A mandate: may we debit this account, how much, and does the resident still want it?

As the bank sees it (state):

    INVITED ----> PENDING <----> ACTIVE
       |             |              |
       '-------------+--------------+----> CANCELLED | FAILED | EXPIRED

As the resident wants it (enrolment), which is ours alone, stricter, and always wins:

    ACTIVE <----> PAUSED
     ^ |             |
     | '-------------'----> CANCELLED
     |                         ^
    WAITING -------------------'      (another bank account cools off: billing/account_change.py)

An ended mandate is never revived; the resident agrees to a new one. A mandate that the payer
suspended at the bank goes back to PENDING: no debit until the bank says active again.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from billing.bank import MandateStatus


class State(StrEnum):
    """Where the mandate stands at the bank; drawn at the top."""

    INVITED = "invited"
    PENDING = "pending"
    ACTIVE = "active"
    CANCELLED = "cancelled"
    FAILED = "failed"
    EXPIRED = "expired"


class Enrolment(StrEnum):
    """What the resident wants; drawn at the top."""

    ACTIVE = "active"
    PAUSED = "paused"
    WAITING = "waiting"
    CANCELLED = "cancelled"


ENDED: Final = frozenset({State.CANCELLED, State.FAILED, State.EXPIRED})

_STATE_OF: Final[Mapping[MandateStatus, State]] = MappingProxyType(
    {
        MandateStatus.PENDING_CUSTOMER_APPROVAL: State.PENDING,
        MandateStatus.PENDING_SUBMISSION: State.PENDING,
        MandateStatus.SUBMITTED: State.PENDING,
        MandateStatus.ACTIVE: State.ACTIVE,
        MandateStatus.SUSPENDED_BY_PAYER: State.PENDING,
        MandateStatus.CANCELLED: State.CANCELLED,
        MandateStatus.FAILED: State.FAILED,
        MandateStatus.EXPIRED: State.EXPIRED,
        MandateStatus.CONSUMED: State.EXPIRED,
        MandateStatus.BLOCKED: State.FAILED,
    }
)


class CapsError(ValueError):
    """The caps do not hold together; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """The most a resident lets us take, in minor units: at once, and in one month."""

    payment_minor_max: int
    month_minor_max: int

    def __post_init__(self) -> None:
        """Refuse caps that could never let a payment through, or contradict each other.

        Raises:
            CapsError: a cap is not positive, or the month allows less than one payment.
        """
        if self.payment_minor_max <= 0:
            raise CapsError("the cap of one payment must be positive")
        if self.month_minor_max < self.payment_minor_max:
            raise CapsError("the cap of a month must allow one payment")
        if self.month_minor_max >= 2**63:
            raise CapsError("the cap of a month is too large")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandate:
    """One row of the table mandate."""

    account_id: str
    mandate_id: str
    state: State
    enrolment: Enrolment
    caps: Caps
    currency: str
    bank_request_id: str | None = None
    bank_flow_id: str | None = None
    authorisation_url: str | None = None
    return_digest: bytes
    bank_mandate_id: str | None = None
    account_number_ending: str | None = None
    created_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """The mandate lets this debit happen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Not now; the resident can change that."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Not under this mandate, whatever the resident does."""

    reason: str


Permission = Allowed | Held | Refused


def may_debit(
    mandate: Mandate, *, amount_minor: int, currency: str, month_minor: int
) -> Permission:
    """Tell whether the mandate lets us take an amount, in minor units.

    ``month_minor`` is what other debits of the account already take in the same month.
    """
    if mandate.enrolment is Enrolment.CANCELLED:
        return Refused(reason="cancelled_by_resident")
    if mandate.state in ENDED:
        return Refused(reason="mandate_ended")
    if mandate.currency != currency:
        return Held(reason="currency_differs")
    if mandate.enrolment is Enrolment.PAUSED:
        return Held(reason="paused")
    if mandate.state is not State.ACTIVE or mandate.enrolment is Enrolment.WAITING:
        return Held(reason="mandate_pending")
    return within_caps(mandate.caps, amount_minor=amount_minor, month_minor=month_minor)


def within_caps(caps: Caps, *, amount_minor: int, month_minor: int) -> Allowed | Held:
    """Tell whether an amount fits; one over the cap is held whole and never split."""
    if amount_minor > caps.payment_minor_max:
        return Held(reason="over_cap")
    if month_minor + amount_minor > caps.month_minor_max:
        return Held(reason="over_month_cap")
    return Allowed()


def merge(state: State, status: MandateStatus | None) -> State:
    """Return the state after the bank told its status; an end stays an end.

    A status we do not know (None) changes nothing.
    """
    if status is None or state in ENDED:
        return state
    return _STATE_OF[status]


def return_digest(secret: str) -> bytes:
    """Return the SHA-256 of the word that brings a resident back from the bank's page.

    Only the digest is kept, so a stolen copy of the table opens nobody's way back.
    """
    return hashlib.sha256(secret.encode()).digest()
