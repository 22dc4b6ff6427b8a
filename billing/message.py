"""A message to a resident, from the step that causes it to the relay that takes it.

      queued ----> sending ----> sent
        ^             |  |
        '-------------'  +-----> failed     (the relay will never take it)
          not yet        +-----> given_up   (it was not taken in two days)
                         '-----> withdrawn  (what it announces is not planned any more)

A message is born in the transaction of its cause, under a name made of that cause, so that there is
one for each cause and none without. Where nobody is written to by mail it is born as sent: then it
is told by standing in the API. Failed and given-up ones wait for a person, or another address.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from billing.mail import Away, Delivery, NotYet, Refused, Sent, Unsure

# After 1, 2, 4 ... minutes, at most four hours: the last try is about two days after the first.
# A notice given up then has cost three of the days by which it must come ahead, and moves its day.
FIRST_WAIT: Final = timedelta(minutes=1)
WAIT_MAX: Final = timedelta(hours=4)
TRIES_MAX: Final = 20
# Longer than a batch of slow answers; a sender that was killed holds its message no longer.
LEASE: Final = timedelta(minutes=15)


class Kind(StrEnum):
    """What a message is about; there is a letter for each in three languages."""

    NOTICE = "notice"
    RECEIPT = "receipt"
    CORRECTION = "correction"
    HOLD = "hold"
    RETRY = "retry"
    FAILED = "failed"
    REFUND = "refund"
    ACCOUNT_CHANGE = "account_change"
    CONTACT_CHANGE = "contact_change"


class Channel(StrEnum):
    """How a message reaches its reader; everything stands in the API too."""

    API = "api"
    MAIL = "mail"


class State(StrEnum):
    """Where a message stands; drawn at the top."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    GIVEN_UP = "given_up"
    WITHDRAWN = "withdrawn"


# What a person has to look at.
STUCK: Final = frozenset({State.FAILED, State.GIVEN_UP})


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a resident is told, and why: ``message_id`` names the cause.

    ``about`` holds the facts of the letter and nothing about the person. ``to_revision`` names the
    contact it is for; None is the one that holds when it is sent.
    """

    account_id: str
    message_id: str
    kind: Kind
    about: Mapping[str, Any] = field(default_factory=dict)
    to_revision: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A message that is ours to send until ``lease_until``, and how often it was tried before."""

    message: Message
    tries: int
    queued_at: datetime
    lease_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What becomes of a message after a try: its state, its tries, when the next one is due."""

    state: State
    tries: int
    next_try_at: datetime
    trouble: str | None


def outcome(delivery: Delivery, *, tries: int, at: datetime) -> Outcome:
    """Return what a relay's answer makes of a message that was tried so often before.

    A relay that is away costs no try: it would give up a whole town's letters for one broken cable.
    """
    match delivery:
        case Sent():
            return Outcome(state=State.SENT, tries=tries + 1, next_try_at=at, trouble=None)
        case Refused(reason=reason):
            return Outcome(state=State.FAILED, tries=tries + 1, next_try_at=at, trouble=reason)
        case Away(reason=reason):
            return Outcome(
                state=State.QUEUED, tries=tries, next_try_at=at + FIRST_WAIT, trouble=reason
            )
        case NotYet(reason=reason) | Unsure(reason=reason):
            given_up = tries + 1 >= TRIES_MAX
            return Outcome(
                state=State.GIVEN_UP if given_up else State.QUEUED,
                tries=tries + 1,
                next_try_at=at + wait(tries),
                trouble=reason,
            )


def withdrawn(*, tries: int, at: datetime) -> Outcome:
    """Return what becomes of a message whose cause is gone before it was sent."""
    return Outcome(state=State.WITHDRAWN, tries=tries, next_try_at=at, trouble=None)


def wait(tries: int) -> timedelta:
    """Return how long to wait after so many tries and one more."""
    return min(FIRST_WAIT * (1 << min(tries, TRIES_MAX)), WAIT_MAX)
