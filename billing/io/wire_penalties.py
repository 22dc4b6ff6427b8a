"""What base rates, moratoria and disputes look like on the wire of the API."""

from datetime import date
from typing import Annotated

from pydantic import Field

from billing.io.penalty_desk import DisputeWord
from billing.io.wire import BillNo
from billing.penalty import BaseRate, Moratorium
from metering.io.route import TEXT_PATTERN, Day, Instant, Wire
from metering.io.wire_desk import Sentence

Source = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        pattern=TEXT_PATTERN,
        description="where this is published",
        examples=["National Bank, decision of 2026-01-23"],
    ),
]


class NewBaseRate(Wire):
    """The National Bank's base rate from a local day on."""

    valid_from: Day
    rate_bp: Annotated[
        int, Field(ge=0, le=10_000, description="basis points a year: 1800 is 18 per cent")
    ]
    source: Source


class BaseRateShown(NewBaseRate):
    """A base rate, as it was entered; of several words on one day the last one counts."""

    revision: int
    entered_by: str
    entered_at: Instant


class NewMoratorium(Wire):
    """From a local day on no penalty is charged (active), or it is again."""

    valid_from: Day
    active: bool
    source: Source


class MoratoriumShown(NewMoratorium):
    """A moratorium's beginning or end, as it was entered."""

    revision: int
    entered_by: str
    entered_at: Instant


class PenaltyBookShown(Wire):
    """Everything that decides what paying late costs; without a factor nothing does."""

    factor_bp: Annotated[int | None, Field(description="K in ten thousandths; null: no penalties")]
    base_rates: list[BaseRateShown]
    moratoria: list[MoratoriumShown]


class NewDispute(Wire):
    """Why a bill is in dispute, and since when if not since today."""

    because: Sentence
    from_day: Day | None = None


class DisputeSettled(Wire):
    """What came of a dispute."""

    outcome: Sentence


class DisputeShown(Wire):
    """A dispute about a bill; on its days the bill is not asked for and costs no penalty."""

    bill_no: BillNo
    from_day: date
    because: str
    said_by: str
    said_at: Instant
    to_day: Annotated[date | None, Field(description="the first day after it")]
    outcome: str | None
    ended_by: str | None
    ended_at: Instant | None


def rate_shown(rate: BaseRate) -> BaseRateShown:
    """Show a base rate."""
    return BaseRateShown.model_validate(rate, from_attributes=True)


def moratorium_shown(word: Moratorium) -> MoratoriumShown:
    """Show the beginning or end of a moratorium."""
    return MoratoriumShown.model_validate(word, from_attributes=True)


def dispute_shown(word: DisputeWord) -> DisputeShown:
    """Show a dispute."""
    return DisputeShown(
        bill_no=word.bill_no,
        from_day=word.from_day,
        because=word.because,
        said_by=word.said_by,
        said_at=word.said_at,
        to_day=word.to_day,
        outcome=word.outcome,
        ended_by=word.ended_by,
        ended_at=word.ended_at,
    )
