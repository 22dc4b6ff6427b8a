"""A bill, its lines and charges. Once issued it never changes; a correction is another revision.

A line is gas: one part of a stretch between two registers, one price, one VAT rate, one band. A
charge is everything else. Each is rounded once, and the bill is the sum of them, so that what is
printed adds up.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from billing.period import Period


class HoldReason(StrEnum):
    """Why a bill waits: each is a question for a person or for a meter that is late."""

    NO_OPENING_REGISTER = "no_opening_register"
    NO_CLOSING_REGISTER = "no_closing_register"
    NO_PRICE = "no_price"
    NO_ENERGY = "no_energy"
    NOT_MEASURED = "not_measured"
    HELD_FINDING = "held_finding"
    ANOMALOUS = "anomalous"
    DISPUTED = "disputed"
    ESTIMATED_BEYOND_CAP = "estimated_beyond_cap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A bill that could not be issued, the meter that is to blame, and since when we know.

    ``detail`` are the figures a person must see to decide, by name.
    """

    account_id: str
    period_start: date
    reason: HoldReason
    meter_id: str
    noted_at: datetime
    detail: Mapping[str, Any] = field(default_factory=dict)


class Quality(StrEnum):
    """How a register came to be known."""

    READ = "read"
    ESTIMATED = "estimated"


class BillKind(StrEnum):
    """What a document does: ask, take back what another asked, or ask in its place."""

    BILL = "bill"
    CANCELLATION = "cancellation"
    REBILL = "rebill"


class ChargeKind(StrEnum):
    """What a bill asks for besides gas."""

    STANDING = "standing"
    DISCOUNT = "discount"
    ADJUSTMENT = "adjustment"
    PENALTY = "penalty"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one meter used between two instants at one price, in dm3, Wh and minor units.

    The registers are those of the whole stretch. Where no register stands at a change of price, the
    line is the share of ``days`` days out of ``days_of``.
    """

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
    net_minor_per_1000_m3: int | None
    vat_rate_bp: int
    net_minor: int
    vat_minor: int
    band_no: int = 1
    multiplier_bp: int = 10_000
    energy_wh: int | None = None
    net_minor_per_gwh: int | None = None
    days: int = 1
    days_of: int = 1
    opening_quality: Quality = Quality.READ
    closing_quality: Quality = Quality.READ


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What a bill asks for besides gas on the days [from_day, to_day); a discount is negative.

    ``quantity`` counts days of a standing charge or of a penalty, or the dm3 (Wh) of line
    ``line_no`` that a discount is for. ``detail`` says what a kind needs besides.
    """

    charge_no: int
    kind: ChargeKind
    from_day: date
    to_day: date
    tariff_code: str | None
    tariff_valid_from: date | None
    line_no: int | None
    quantity: int | None
    detail: Mapping[str, Any]
    vat_rate_bp: int
    net_minor: int
    vat_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What one account owes for one period, with what it is made of."""

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
    charges: tuple[Charge, ...] = ()
    kind: BillKind = BillKind.BILL
    corrects_bill_no: str | None = None

    @property
    def penalty_minor(self) -> int:
        """Return what it asks for because earlier bills were paid late, in minor units."""
        return sum(one.net_minor for one in self.charges if one.kind is ChargeKind.PENALTY)


def bill_no(period: Period, revision: int) -> str:
    """Name a bill after its month; from the second revision on its number follows."""
    assert revision > 0, "revisions count from one"
    return period.label if revision == 1 else f"{period.label}-{revision}"


def revision_of(bill_no: str) -> int:
    """Return which revision of its month a bill's number names."""
    _, _, revision = bill_no[len("2026-01") :].rpartition("-")
    return int(revision or 1)


def draft(  # noqa: PLR0913 - what a bill is made of
    lines: tuple[Line, ...],
    charges: tuple[Charge, ...] = (),
    *,
    account_id: str,
    currency: str,
    period: Period,
    at: datetime,
) -> Bill:
    """Add up the lines and charges of a first bill for a period."""
    net_minor = sum(line.net_minor for line in lines) + sum(one.net_minor for one in charges)
    vat_minor = sum(line.vat_minor for line in lines) + sum(one.vat_minor for one in charges)
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
        charges=charges,
    )
