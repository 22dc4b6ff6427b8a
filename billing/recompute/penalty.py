"""Work a penalty for late payment out again from what its charge says it is made of.

P = debt x rate / 100 x K x days / 365, summed over all its days, rounded half up once, and never
more than what the late bill asked for. Which debts stood and which rates held, the charge says.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Final

from .derive import rounded
from .record import WHOLE_BP
from .strict import At, Row, Value

YEAR_DAYS: Final = 365
# A month has a new debt or rate at most every day, but a late penalty may cover some years.
SPANS_MAX: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """Days with one debt and one rate."""

    from_day: date
    to_day: date
    exact: Fraction

    @property
    def days(self) -> int:
        """Return how many days these are."""
        return (self.to_day - self.from_day).days


def penalty(detail: Mapping[str, object], charge: Row) -> Iterator[tuple[str, Value, Value]]:
    """Yield what a penalty says otherwise than it should: the field, what it says, what it should.

    Raises:
        RecordError: its detail does not say what it is made of.
    """
    at = At(detail, f"detail of charge {charge['charge_no']}")
    factor_bp = at.field("factor_bp").count()
    minimum_minor = at.field("minimum_minor").count()
    spans: list[_Span] = []
    for one in at.field("spans").items(SPANS_MAX):
        span = _span(one, factor_bp)
        if spans and span.from_day < spans[-1].to_day:
            one.refuse("begins before the one before it has ended")
        if one.field("debt_minor").count() < minimum_minor:
            one.refuse("is for a debt that was too small to be asked for")
        spans.append(span)
    if not spans:
        at.field("spans").refuse("are none, so there is nothing to pay")
    uncapped = rounded(sum((span.exact for span in spans), Fraction()), "half_up")
    principal, charged = at.field("principal_minor").count(), at.field("charged_minor").count()
    expected: dict[str, Value] = {
        "from_day": spans[0].from_day,
        "to_day": spans[-1].to_day,
        "tariff_code": None,
        "tariff_valid_from": None,
        "line_no": None,
        "quantity": sum(span.days for span in spans),
        "vat_rate_bp": 0,
        "net_minor": min(uncapped, max(0, principal - charged)),
        "vat_minor": 0,
    }
    told = {"uncapped_minor": at.field("uncapped_minor"), "year_days": at.field("year_days")}
    for name, should_be in (("uncapped_minor", uncapped), ("year_days", YEAR_DAYS)):
        yield f"detail {name}", told[name].whole(), should_be
    for name, value in expected.items():
        yield name, charge[name], value


def _span(at: At, factor_bp: int) -> _Span:
    from_day, to_day = at.field("from_day").day(), at.field("to_day").day()
    days = (to_day - from_day).days
    if days <= 0 or at.field("days").count() != days:
        at.refuse("does not have the days that it says")
    owed = at.field("debt_minor").count() * at.field("rate_bp").count() * factor_bp * days
    exact = Fraction(owed, WHOLE_BP * WHOLE_BP * YEAR_DAYS)
    return _Span(from_day=from_day, to_day=to_day, exact=exact)
