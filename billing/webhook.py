"""What the bank tells us by itself: who signed it, and how long we go on looking at it.

An event that waits goes through these states:

    waiting ──dealt with──▶ done
       ├──not yet──▶ waiting     what it names is unknown, the bank is silent, or it broke our code
       └──too long──▶ asked ──a person: done with──▶ done
                        └─────a person: again──────▶ waiting

The signature carries no time, so a delivery can be replayed for ever; that does nothing, because
the names of events that were dealt with are kept for ever and what counts is the resource itself.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from billing.bank import BankEvent

# What the bank calls the header with its signature.
SIGNATURE_HEADER: Final = "Webhook-Signature"
# One, and the one before it while the bank still signs with that.
SECRETS_MAX: Final = 2
# A shorter secret could be guessed from one delivery that somebody has seen.
SECRET_LENGTH_MIN: Final = 16

# When to look again after the first, second, ... look that led nowhere. The first is soon: our own
# order may still be on its way, and the bank's answers lag behind its news.
LOOK_AGAIN: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 360))
# An event that ``follow`` has met is looked at again after this.
ASIDE_FOR: Final = LOOK_AGAIN[0]
# News was seen to be two to three days late; what is unexplained after that is a person's.
PATIENCE: Final = timedelta(days=3)
# For eight weeks a payer may have his money back without a reason: until then we can show what the
# bank said, to the letter.
BODIES_KEPT: Final = timedelta(weeks=8)


class HintState(StrEnum):
    """Where an event that has to be looked at stands."""

    WAITING = "waiting"
    ASKED = "asked"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """An event to be looked at for the ``looks``-th time; ``known`` if it was dealt with before."""

    event: BankEvent
    heard_at: datetime
    looks: int
    known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedHint:
    """An event that a person has to look at, and why."""

    event: BankEvent
    heard_at: datetime
    looks: int
    trouble: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingNews:
    """How much of what the bank told us waits; ``asked`` waits for a person."""

    deliveries: int
    events: int
    asked: int
    oldest_age: timedelta


def signer(body: bytes, signature: str, secrets: Sequence[str]) -> int | None:
    """Return which secret signed a body, counted from 1; None if none of them did.

    The signature is the HMAC-SHA256 of the bytes as they came, in hexadecimal digits. All secrets
    are tried and compared in constant time, whatever is found.
    """
    said = signature.encode("utf-8", "replace")
    found = None
    for number, secret in enumerate(secrets, start=1):
        right = hmac.new(secret.encode(), body, "sha256").hexdigest().encode()
        if hmac.compare_digest(right, said) and found is None:
            found = number
    return found


def next_look(hint: Hint, *, at: datetime) -> datetime | None:
    """Return when to look at an event again that led nowhere; None once it is a person's."""
    if at >= hint.heard_at + PATIENCE:
        return None
    return at + LOOK_AGAIN[min(max(hint.looks, 1), len(LOOK_AGAIN)) - 1]
