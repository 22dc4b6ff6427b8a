"""What holds for an account, on the wire of the API."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated

from pydantic import Field

from billing.io.wire import TariffCode
from billing.terms import PERSONS_MAX, Terms
from metering.io.route import Day, Instant, Wire


class NewTermsSaid(Wire):
    """Tariff, persons and the right to a social discount, from a local day on."""

    valid_from: Day
    tariff_code: TariffCode
    persons: Annotated[int, Field(ge=1, le=PERSONS_MAX)]
    social: Annotated[bool, Field(description="whether the tariff's discount is for this account")]
    corrects: Annotated[
        bool, Field(description="the days may stand on bills, which are corrected then")
    ] = False


class TermsShown(Wire):
    """One word on an account; ``stands`` is false once a later word spoke about the same day."""

    valid_from: date
    revision: int
    tariff_code: TariffCode
    persons: int
    social: bool
    stands: bool
    said_by: str
    said_at: Instant


class TermsList(Wire):
    """Every word on an account, by its day and then in the order in which they were said.

    Before the first: the tariff it was opened with, one person, no discount.
    """

    opened_with: TariffCode
    words: list[TermsShown]


def word_shown(word: Terms, *, stands: bool) -> TermsShown:
    """Show one word on an account."""
    return TermsShown(
        valid_from=word.valid_from,
        revision=word.revision,
        tariff_code=word.tariff_code,
        persons=word.persons,
        social=word.social,
        stands=stands,
        said_by=word.said_by,
        said_at=word.said_at,
    )


def terms_shown(opened_with: str, words: Sequence[Terms]) -> TermsList:
    """Show what was said about an account, and which of it stands."""
    newest = {word.valid_from: word for word in words}
    return TermsList(
        opened_with=opened_with,
        words=[word_shown(word, stands=newest[word.valid_from] is word) for word in words],
    )
