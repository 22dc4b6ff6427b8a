"""What vouchers look like on the wire of the API."""

from datetime import date
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from billing.io.vouchers import Grant
from billing.io.wire import AccountPath, BillNo, Currency, Minor
from billing.voucher import VoucherState
from metering.io.route import TEXT_PATTERN, Day, Instant, Wire
from metering.io.wire_desk import Sentence

# As much as the database takes: more is a typing error.
AMOUNT_MINOR_MAX: Final = 1_000_000_000_000

VoucherNo = Annotated[int, Field(ge=1, le=9999)]


class NewVoucherSaid(Wire):
    """What a document grants, for bills issued from one local day until, but without, another."""

    source: Annotated[
        str,
        Field(
            min_length=1,
            max_length=200,
            pattern=TEXT_PATTERN,
            description="the document that grants it; each grants once",
            examples=["akimat of Aqkol, order 17 of 2026-01-12"],
        ),
    ]
    amount_minor: Annotated[
        int, Field(ge=1, le=AMOUNT_MINOR_MAX, description="whole minor units (tiyn)")
    ]
    currency: Currency
    valid_from: Day
    valid_to: Annotated[Day, Field(description="the first day on which it pays no more")]

    @model_validator(mode="after")
    def _holds_a_day(self) -> Self:
        if self.valid_to <= self.valid_from:
            raise ValueError("valid_to must lie after valid_from")
        return self


class VoucherPath(AccountPath):
    """One voucher of one account."""

    voucher_no: VoucherNo


class NewRevocation(Wire):
    """Why what is left of a voucher is taken back."""

    because: Sentence


class VoucherUseShown(Wire):
    """What a voucher paid of one bill."""

    bill_no: BillNo
    amount_minor: Minor
    used_at: Instant


class VoucherShown(Wire):
    """A voucher: what was granted, what it paid, and what waits for later bills.

    One that is worth more than a bill pays that bill and keeps its rest.
    """

    voucher_no: VoucherNo
    source: str
    amount_minor: Minor
    used_minor: Minor
    rest_minor: Annotated[int, Field(description="what later bills may still take")]
    currency: Currency
    valid_from: date
    valid_to: Annotated[date, Field(description="the first day on which it pays no more")]
    state: VoucherState
    uses: list[VoucherUseShown]
    entered_by: str
    entered_at: Instant
    revoked_by: str | None
    revoked_because: str | None
    revoked_at: Instant | None


class VoucherList(Wire):
    """The vouchers of an account, in the order in which they were entered."""

    vouchers: list[VoucherShown]


def voucher_shown(grant: Grant) -> VoucherShown:
    """Show a voucher with what it paid."""
    voucher = grant.voucher
    return VoucherShown(
        voucher_no=voucher.voucher_no,
        source=voucher.source,
        amount_minor=voucher.amount_minor,
        used_minor=grant.used_minor,
        rest_minor=grant.rest_minor,
        currency=voucher.currency,
        valid_from=voucher.valid_from,
        valid_to=voucher.valid_to,
        state=grant.state,
        uses=[VoucherUseShown.model_validate(use, from_attributes=True) for use in grant.uses],
        entered_by=voucher.entered_by,
        entered_at=voucher.entered_at,
        revoked_by=voucher.revoked_by,
        revoked_because=voucher.revoked_because,
        revoked_at=voucher.revoked_at,
    )
