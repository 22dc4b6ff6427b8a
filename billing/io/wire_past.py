"""What a bill as of an instant looks like on the wire of the API."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from billing.as_of import LEFT_OUT, AsOf, Said, Sums, Unsaid
from billing.io.wire import BillChargeShown, BillLineShown, BillNo, Currency, Minor, Month
from metering.io.route import AccountId, Instant, MeterId, Wire


class AsOfQuery(Wire):
    """By when it must have been known."""

    at: Annotated[
        Instant,
        Field(
            description="not before the end of the month, not in the future",
            examples=["2026-02-10T12:00:00Z"],
        ),
    ]


class RegisterShown(Wire):
    """The register that stands for a boundary of the gas."""

    meter_id: MeterId
    boundary_at: Instant
    read_at: Instant
    register_dm3: int
    turns: int
    quality: Annotated[str, Field(description="read or estimated")]


class MonthSums(Wire):
    """A month's own gas and what it costs."""

    volume_dm3: int
    net_minor: Minor
    vat_minor: Minor
    total_minor: Minor


class BillThen(Wire):
    """The bill in force at the instant; ``month`` is what it asked for its month alone."""

    bill_no: BillNo
    kind: Annotated[str, Field(description="bill or rebill")]
    issued_at: Instant
    total_minor: Annotated[int, Field(description="with what else the bill carried, minor units")]
    month: MonthSums
    differs_today: Annotated[
        bool | None,
        Field(description="whether today's facts give another; null where they give none"),
    ]


class AsOfShown(Wire):
    """A bill as it would have been with what was known by an instant.

    Where there would have been none, ``reason`` says why, ``meter_id`` which meter to look at, and
    ``sums`` is null. ``today`` is the same month with what is known now.
    """

    account_id: AccountId
    period: Month
    period_start: date
    period_end: Annotated[date, Field(description="the first day after the period")]
    at: Instant
    currency: Currency
    without: Annotated[list[str], Field(description="kinds of charges that are left out")]
    reason: (
        Literal[
            "no_installation",
            "no_opening_register",
            "no_closing_register",
            "no_price",
            "no_energy",
        ]
        | None
    )
    meter_id: MeterId | None
    sums: MonthSums | None
    lines: list[BillLineShown]
    charges: list[BillChargeShown]
    registers: list[RegisterShown]
    bill_then: Annotated[BillThen | None, Field(description="null where there was no bill yet")]
    today: MonthSums | None


def as_of_shown(found: AsOf) -> AsOfShown:
    """Return an answer as the wire shows it."""
    then = found.then
    lines, charges = (then.lines, then.charges) if isinstance(then, Said) else ((), ())
    return AsOfShown(
        account_id=found.account_id,
        period=found.period.label,
        period_start=found.period.start,
        period_end=found.period.end,
        at=found.at,
        currency=found.currency,
        without=[kind.value for kind in LEFT_OUT],
        reason=then.why.value if isinstance(then, Unsaid) else None,
        meter_id=then.meter_id if isinstance(then, Unsaid) else None,
        sums=_sums(then),
        lines=[BillLineShown.model_validate(one, from_attributes=True) for one in lines],
        charges=[BillChargeShown.model_validate(one, from_attributes=True) for one in charges],
        registers=[
            RegisterShown.model_validate(one, from_attributes=True) for one in then.registers
        ],
        bill_then=_bill_then(found),
        today=_sums(found.today),
    )


def _sums(what: Said | Unsaid | Sums) -> MonthSums | None:
    if isinstance(what, Unsaid):
        return None
    sums = what.sums if isinstance(what, Said) else what
    return MonthSums.model_validate(sums, from_attributes=True)


def _bill_then(found: AsOf) -> BillThen | None:
    stood = found.stood
    if stood is None:
        return None
    return BillThen(
        bill_no=stood.bill_no,
        kind=stood.kind.value,
        issued_at=stood.issued_at,
        total_minor=stood.total_minor,
        month=MonthSums.model_validate(stood.sums, from_attributes=True),
        differs_today=found.differs_today,
    )
