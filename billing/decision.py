"""What a person may decide about a debit in review, and what the bank must show for it.

    release      ask the bank again, under the same key and with the same bytes     -> UNKNOWN
    adopt        the payment that the bank shows is ours: go on with it             -> ACCEPTED
    give_up      nothing was taken, and nothing more is asked by debit              -> EXHAUSTED
    begin_anew   nothing was taken: announce the bill again, as a new attempt       -> CANCELLED

A person says which; what the bank shows must allow it: all that it has for the debit, whatever
payment the person has named, and not before its list can show it. Above a sum two people say the
same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from billing.bank import LISTED_AFTER, Payment
from billing.debit import Debit, Event
from billing.order import is_ours
from billing.proposal import same_person
from billing.turn import BEGUN_ANEW, ENDED_AT_BANK, GIVEN_UP

# A large winter bill; below it one person's mistake costs less than a second person's time.
REVIEW_TWO_FROM_MINOR: Final = 1_000_000


class Decision(StrEnum):
    """What becomes of a debit in review; drawn at the top."""

    RELEASE = "release"
    ADOPT = "adopt"
    GIVE_UP = "give_up"
    BEGIN_ANEW = "begin_anew"


EVENTS: Final[Mapping[Decision, Event]] = MappingProxyType(
    {
        Decision.RELEASE: Event.RELEASE,
        Decision.ADOPT: Event.ACCEPT,
        Decision.GIVE_UP: Event.FAIL,
        Decision.BEGIN_ANEW: Event.CANCEL,
    }
)
# The reason that stands with the step.
REASONS: Final[Mapping[Decision, str]] = MappingProxyType(
    {
        Decision.RELEASE: "released",
        Decision.ADOPT: "adopted",
        Decision.GIVE_UP: GIVEN_UP,
        Decision.BEGIN_ANEW: BEGUN_ANEW,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewWord:
    """One person's word about one debit in review, and why."""

    decision: Decision
    because: str
    said_by: str
    said_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the bank shows: the payment that a person has ``named``, and all that are ``ours``.

    Ours are the one that we know and the one under our key. Where nobody has named one, it is one
    of these.
    """

    named: Payment | None
    ours: tuple[Payment, ...]


def why_not(
    debit: Debit, decision: Decision, shown: Shown, bank_mandate_id: str, *, at: datetime
) -> str | None:
    """Return in one word why what the bank shows forbids a decision; None if it does not."""
    if decision is Decision.RELEASE:
        return None if debit.releasable else "not_releasable"
    if decision is Decision.ADOPT:
        if shown.named is None:
            return "no_payment"
        return None if is_ours(debit, shown.named, bank_mandate_id) else "payment_differs"
    if any(one.status not in ENDED_AT_BANK for one in shown.ours):
        return "bank_has_it"
    unheard = debit.sends > 0 and not shown.ours
    return "not_listed_yet" if unheard and at < debit.changed_at + LISTED_AFTER else None


def enough(debit: Debit, words: Sequence[ReviewWord], *, two_from_minor: int) -> bool:
    """Tell whether enough different people have said the same as the last one did."""
    same = [one.said_by for one in words if one.decision is words[-1].decision]
    if debit.amount_minor < two_from_minor:
        return bool(same)
    return any(not same_person(one, same[-1]) for one in same)
