"""Changes of prices, proposed by one person and approved by another.

    waiting ──approve───▶ approved    by a second person; the price stands in the list at once
       ├──────refuse────▶ refused     by a second person, with a reason
       └──────withdraw──▶ withdrawn   by the proposer, with a reason

A change counts from a local day that is still to come, and what was approved stays. Versions of
one tariff follow each other: a new one ends the open one, and leaves no day between two without a
price.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import TypeAlias, assert_never

from billing.tariff import Tariff, TariffOverlapError, TariffUnknownError, VatRate


class PriceDayPastError(Exception):
    """A price changes on a day that is still to come."""

    def __init__(self, *, first_day: date, today: date) -> None:
        super().__init__(f"a price changes after today, {today}, not on {first_day}")


class TariffGapError(Exception):
    """Between two versions of a tariff would lie days without a price."""

    def __init__(self, *, tariff_code: str, from_day: date, to_day: date) -> None:
        super().__init__(
            f"tariff {tariff_code} would have no price from {from_day} until, but without, {to_day}"
        )


class TariffCurrencyError(Exception):
    """All versions of a tariff are in one currency."""

    def __init__(self, *, tariff_code: str, currency: str) -> None:
        super().__init__(f"tariff {tariff_code} is in {currency}")


class VatKnownError(Exception):
    """Another rate of VAT begins on that day."""

    def __init__(self, *, valid_from: date) -> None:
        super().__init__(f"a rate of VAT begins on {valid_from} already")


class VatBilledError(Exception):
    """Days have been billed with the VAT that holds until now."""

    def __init__(self, *, valid_from: date) -> None:
        super().__init__(f"days from {valid_from} on have been billed with the VAT before")


class SecondPersonError(Exception):
    """Who proposes a price does not approve it: that takes a second person."""


class PriceDecidedError(Exception):
    """The proposal was decided already."""


class PriceProposalUnknownError(Exception):
    """No proposal has this number."""


class Outcome(StrEnum):
    """What became of a proposal."""

    APPROVED = "approved"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class TariffEnd:
    """The open version of a tariff ends on the day before ``valid_to``, and none follows yet."""

    tariff_code: str
    valid_to: date


# A tariff that waits for approval has nobody yet in ``approved_by``.
Change: TypeAlias = Tariff | TariffEnd | VatRate


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a person decided about a proposal; a reason is told unless it was approved."""

    outcome: Outcome
    because: str | None
    decided_by: str
    decided_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One change of a price; ``source`` is the document that sets it.

    ``set_up`` says that both names were given at once, on the machine itself.
    """

    proposal_no: int
    change: Change
    source: str
    set_up: bool
    proposed_by: str
    proposed_at: datetime
    decision: Decision | None = None

    @property
    def state(self) -> str:
        """Say where it stands in the table above."""
        return "waiting" if self.decision is None else self.decision.outcome.value

    def outcome_of_refusal(self, by: str) -> Outcome:
        """Say what a person does who turns the proposal down."""
        return Outcome.WITHDRAWN if same_person(by, self.proposed_by) else Outcome.REFUSED


def first_day(change: Change) -> date:
    """Return the first local day on which a price is another than without the change."""
    match change:
        case Tariff() | VatRate():
            return change.valid_from
        case TariffEnd():
            return change.valid_to
        case _:
            assert_never(change)


def check_future(change: Change, *, today: date) -> None:
    """Refuse a change of days that have begun.

    Raises:
        PriceDayPastError: its first day is today or over.
    """
    if first_day(change) <= today:
        raise PriceDayPastError(first_day=first_day(change), today=today)


def ended_by(new: Tariff, versions: Iterable[Tariff]) -> Tariff | None:
    """Return the open version that ends where a new one begins; None where none is open.

    Raises:
        TariffCurrencyError: the others are in another currency.
        TariffOverlapError: a day would have two prices.
        TariffGapError: days between it and its neighbour would have none.
    """
    before = after = None
    for one in sorted(versions, key=lambda version: version.valid_from):
        if one.tariff_code != new.tariff_code:
            continue
        if one.currency != new.currency:
            raise TariffCurrencyError(tariff_code=one.tariff_code, currency=one.currency)
        if one.valid_from < new.valid_from:
            before = one
        else:
            after = after or one
    if before is not None and before.valid_to is not None:
        _check_meeting(new.tariff_code, before.valid_to, new.valid_from, other=before)
    if after is not None:
        _check_meeting(new.tariff_code, new.valid_to, after.valid_from, other=after)
    return before if before is not None and before.valid_to is None else None


def check_end(end: TariffEnd, versions: Iterable[Tariff]) -> None:
    """Refuse an end of what is not open on the day before.

    Raises:
        TariffUnknownError: no open version began before that day.
    """
    if not any(
        one.tariff_code == end.tariff_code
        and one.valid_to is None
        and one.valid_from < end.valid_to
        for one in versions
    ):
        raise TariffUnknownError(tariff_code=end.tariff_code, valid_to=end.valid_to)


def check_vat(new: VatRate, rates: Iterable[VatRate]) -> None:
    """Refuse a second rate of one day.

    Raises:
        VatKnownError: a rate begins on that day.
    """
    if any(rate.valid_from == new.valid_from for rate in rates):
        raise VatKnownError(valid_from=new.valid_from)


def check_second_person(proposed_by: str, approved_by: str) -> None:
    """Refuse an approval by the proposer.

    Raises:
        SecondPersonError: both names are one person's.
    """
    if same_person(proposed_by, approved_by):
        raise SecondPersonError("who proposes a price does not approve it")


def same_person(one: str, two: str) -> bool:
    """Say whether two names are one: case, spaces and forms of a letter make no person."""
    return _plain(one) == _plain(two)


def _check_meeting(code: str, ends: date | None, begins: date, *, other: Tariff) -> None:
    if ends is None or ends > begins:
        raise TariffOverlapError(tariff_code=code, valid_from=other.valid_from)
    if ends < begins:
        raise TariffGapError(tariff_code=code, from_day=ends, to_day=begins)


def _plain(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
