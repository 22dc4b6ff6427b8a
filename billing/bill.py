"""A bill and its lines. Once issued it never changes; a correction is another revision.

A line is one meter, one stretch of time, one price and one VAT rate. Each line is rounded once, and
the bill is the sum of its rounded lines, so that what is printed adds up.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from billing.period import Period


class HoldReason(StrEnum):
    """Why a bill waits: each is a question for a person or for a meter that is late."""

    NO_OPENING_REGISTER = "no_opening_register"
    NO_CLOSING_REGISTER = "no_closing_register"
    NO_PRICE = "no_price"
    NO_REGISTER_AT_PRICE_CHANGE = "no_register_at_price_change"
    HELD_FINDING = "held_finding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A bill that could not be issued, the meter that is to blame, and since when we know."""

    account_id: str
    period_start: date
    reason: HoldReason
    meter_id: str
    noted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one meter used between two instants at one price, in dm3 and minor units."""

    line_no: int
    meter_id: str
    supply_point_id: str
    from_at: datetime
    to_at: datetime
    opening_register_dm3: int
    opening_read_at: datetime
    closing_register_dm3: int
    closing_read_at: datetime
    volume_dm3: int
    tariff_code: str
    tariff_valid_from: date
    net_minor_per_1000_m3: int
    vat_rate_bp: int
    net_minor: int
    vat_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What one account owes for one period, with the lines it is made of."""

    account_id: str
    bill_no: str
    period_start: date
    period_end: date
    revision: int
    volume_dm3: int
    net_minor: int
    vat_minor: int
    total_minor: int
    currency: str
    issued_at: datetime
    due_on: date
    lines: tuple[Line, ...]


def bill_no(period: Period, revision: int) -> str:
    """Name a bill after its month; from the second revision on its number follows."""
    assert revision > 0, "revisions count from one"
    return period.label if revision == 1 else f"{period.label}-{revision}"


def draft(
    lines: tuple[Line, ...], *, account_id: str, currency: str, period: Period, at: datetime
) -> Bill:
    """Add up the lines of a first bill for a period."""
    net_minor = sum(line.net_minor for line in lines)
    vat_minor = sum(line.vat_minor for line in lines)
    return Bill(
        account_id=account_id,
        bill_no=bill_no(period, 1),
        period_start=period.start,
        period_end=period.end,
        revision=1,
        volume_dm3=sum(line.volume_dm3 for line in lines),
        net_minor=net_minor,
        vat_minor=vat_minor,
        total_minor=net_minor + vat_minor,
        currency=currency,
        issued_at=at,
        due_on=period.due_on,
        lines=lines,
    )
