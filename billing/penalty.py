"""The penalty for paying late (пеня), by the published formula, so that all can work it out again.

    P = debt x rate / 100 x K x days / 365, not more than the debt was at first

The rate is the National Bank's base rate of each day, K a number of the town's contract. A bill's
penalty for a month is one exact sum over its days, rounded half up once. A day counts with what
was owed when it began, so the day on which somebody pays is the last. It begins on the day after
the one by which the bill was to be paid, and there is none on days of a moratorium, of a dispute,
or for which nobody entered a rate. Nothing is charged on a penalty itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby, pairwise
from typing import Any, Final

from billing.bill import Charge, ChargeKind
from billing.money import BASIS_POINTS, round_half_up_div

# The formula divides by 365 in leap years too.
YEAR_DAYS: Final = 365

# A bill that goes out late leaves as many days to pay it as the notice of a debit does.
PAYING_DAYS: Final = 5

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseRate:
    """The base rate, in basis points a year, from a local day on; a later word is a revision."""

    valid_from: date
    revision: int
    rate_bp: int
    source: str
    entered_by: str
    entered_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Moratorium:
    """From a local day on no penalty is charged (``active``), or it is again."""

    valid_from: date
    revision: int
    active: bool
    source: str
    entered_by: str
    entered_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PenaltyBook:
    """All that was ever entered about penalties."""

    rates: tuple[BaseRate, ...] = ()
    moratoria: tuple[Moratorium, ...] = ()

    def rates_bp(self, days: Iterable[date], *, known_at: datetime) -> Mapping[date, int]:
        """Return the rate of each day that has one and lies in no moratorium, as known then."""
        rates = _words(self.rates, known_at)
        pauses = _words(self.moratoria, known_at)
        found: dict[date, int] = {}
        for day in days:
            rate, pause = _latest(rates, day), _latest(pauses, day)
            if rate is not None and not (pause is not None and pause.active):
                found[day] = rate.rate_bp
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """Local days, from one until another or until further notice, on which a bill is in dispute.

    ``said_at`` and ``ended_at`` are when we were told so.
    """

    bill_no: str
    from_day: date
    to_day: date | None
    said_at: datetime
    ended_at: datetime | None

    def holds(self, day: date, *, known_at: datetime) -> bool:
        """Say whether the bill was in dispute on a day, by what was known at an instant."""
        ended = self.to_day is not None and self.ended_at is not None and self.ended_at <= known_at
        return (
            self.said_at <= known_at
            and self.from_day <= day
            and not (ended and self.to_day is not None and day >= self.to_day)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """A bill after its day: what it asked for at first, what was owed as each day began.

    ``charged_minor`` is what earlier bills charged for it. All in minor units, without penalties.
    """

    bill_no: str
    principal_minor: int
    charged_minor: int
    debts_minor: Mapping[date, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PenaltySpan:
    """Local days [from_day, to_day) with one debt and one rate."""

    from_day: date
    to_day: date
    debt_minor: int
    rate_bp: int

    @property
    def days(self) -> int:
        """Return how many days these are."""
        return (self.to_day - self.from_day).days


@dataclass(frozen=True, slots=True, kw_only=True)
class Penalty:
    """What late payment of one bill costs for some days, with all that it is made of."""

    bill_no: str
    principal_minor: int
    charged_minor: int
    factor_bp: int
    minimum_minor: int
    spans: tuple[PenaltySpan, ...]

    @property
    def uncapped_minor(self) -> int:
        """Return the sum of the formula over all spans, rounded once."""
        numerator = sum(
            span.debt_minor * span.rate_bp * self.factor_bp * span.days for span in self.spans
        )
        return round_half_up_div(numerator, BASIS_POINTS * BASIS_POINTS * YEAR_DAYS)

    @property
    def amount_minor(self) -> int:
        """Return what is charged: all penalties for a bill are not more than the bill was."""
        return min(self.uncapped_minor, max(0, self.principal_minor - self.charged_minor))


def first_late_day(*, due_on: date, issued_on: date) -> date:
    """Return the first day on which a bill is overdue; one issued late has its days too."""
    return max(due_on, issued_on + PAYING_DAYS * _DAY) + _DAY


def penalty(
    overdue: Overdue,
    *,
    rates_bp: Mapping[date, int],
    factor_bp: int,
    minimum_minor: int = 0,
) -> Penalty | None:
    """Return the penalty for the days on which a bill was owed; None if nothing is to charge.

    A debt below ``minimum_minor`` was not asked for, and nobody is late with it.
    """
    counted = [
        (day, (debt_minor, rates_bp[day]))
        for day, debt_minor in sorted(overdue.debts_minor.items())
        if debt_minor >= max(1, minimum_minor) and day in rates_bp
    ]
    found = Penalty(
        bill_no=overdue.bill_no,
        principal_minor=overdue.principal_minor,
        charged_minor=overdue.charged_minor,
        factor_bp=factor_bp,
        minimum_minor=minimum_minor,
        spans=tuple(_spans(counted)),
    )
    return found if found.amount_minor > 0 else None


def penalty_charge(found: Penalty, *, charge_no: int) -> Charge:
    """Return a penalty as a charge of a bill, without VAT; ``detail`` holds all it is made of."""
    return Charge(
        charge_no=charge_no,
        kind=ChargeKind.PENALTY,
        from_day=found.spans[0].from_day,
        to_day=found.spans[-1].to_day,
        tariff_code=None,
        tariff_valid_from=None,
        line_no=None,
        quantity=sum(span.days for span in found.spans),
        detail=penalty_detail(found),
        vat_rate_bp=0,
        net_minor=found.amount_minor,
        vat_minor=0,
    )


def penalty_detail(found: Penalty) -> dict[str, Any]:
    """Return what a stranger needs to work a penalty out again."""
    return {
        "bill_no": found.bill_no,
        "principal_minor": found.principal_minor,
        "charged_minor": found.charged_minor,
        "factor_bp": found.factor_bp,
        "minimum_minor": found.minimum_minor,
        "year_days": YEAR_DAYS,
        "uncapped_minor": found.uncapped_minor,
        "spans": [
            {
                "from_day": span.from_day.isoformat(),
                "to_day": span.to_day.isoformat(),
                "days": span.days,
                "debt_minor": span.debt_minor,
                "rate_bp": span.rate_bp,
            }
            for span in found.spans
        ],
    }


def _spans(counted: Sequence[tuple[date, tuple[int, int]]]) -> Iterable[PenaltySpan]:
    """Join days in a row that have the same debt and rate."""
    breaks = [0] + [
        place
        for place, ((one, said), (two, says)) in enumerate(pairwise(counted), start=1)
        if two - one != _DAY or said != says
    ]
    for first, last in pairwise([*breaks, len(counted)]):
        if first < last:
            debt_minor, rate_bp = counted[first][1]
            yield PenaltySpan(
                from_day=counted[first][0],
                to_day=counted[last - 1][0] + _DAY,
                debt_minor=debt_minor,
                rate_bp=rate_bp,
            )


def _words(words: Iterable[Any], known_at: datetime) -> list[Any]:
    """Return the last word of each day that was known at an instant, in the order of days."""
    known = sorted(
        (one for one in words if one.entered_at <= known_at),
        key=lambda one: (one.valid_from, one.revision),
    )
    return [list(same)[-1] for _, same in groupby(known, key=lambda one: one.valid_from)]


def _latest(words: Sequence[Any], day: date) -> Any | None:  # noqa: ANN401 - a rate or a moratorium
    found = None
    for word in words:
        if word.valid_from <= day:
            found = word
    return found
