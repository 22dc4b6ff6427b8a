"""What corrections of bills, credit and refunds look like on the wire of the API."""

from typing import Annotated, Any, Literal

from pydantic import Field

from billing.io.wire import BillNo, Currency, Minor
from metering.io.route import AccountId, Day, Instant, PageSize, Wire

Plain = dict[str, Any]


class CorrectionOfBill(Wire):
    """One look at a bill: what became of it, why, who said it, and what differs.

    ``causes`` names registers and terms with who said what; ``difference`` holds each line and
    charge before and after, null where it does not stand. Sums are what the month is more.
    """

    correction_no: int
    corrects_bill_no: BillNo
    outcome: Annotated[
        Literal["unchanged", "adjustment", "waived", "rebill"],
        Field(description="waived: older than the limit of back-billing, never charged"),
    ]
    cancellation_bill_no: BillNo | None
    rebill_no: BillNo | None
    adjusted_on: Annotated[
        list[BillNo], Field(description="the bills that carry the adjustment; empty while it waits")
    ]
    volume_dm3: int
    net_minor: Minor
    vat_minor: Minor
    causes: list[Plain]
    difference: Plain
    made_at: Instant


class BillCorrections(Wire):
    """All looks at one bill, and at those that took its place, the newest first."""

    bill_no: BillNo
    in_force: Annotated[BillNo, Field(description="the bill that holds for the month now")]
    corrections: list[CorrectionOfBill]


class CreditShown(Wire):
    """Money beyond what the bills of an account ask: to be used on them, and to be sent back."""

    currency: Currency
    credit_minor: Minor
    refund_due_minor: Minor


class CorrectionQuery(Wire):
    """Which page of the corrections of a period."""

    period: Annotated[str, Field(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$", examples=["2026-01"])]
    after: AccountId | None = None
    limit: PageSize = 100


class CorrectionListed(Wire):
    """The last look at a month of an account."""

    account_id: AccountId
    corrects_bill_no: BillNo
    outcome: str
    rebill_no: BillNo | None
    volume_dm3: int
    net_minor: Minor
    vat_minor: Minor
    made_at: Instant


class CorrectionPage(Wire):
    """Corrections of a period in the order of their accounts."""

    period_start: Day
    corrections: list[CorrectionListed]
    next: str | None


class RefundQuery(Wire):
    """Which page of the refunds."""

    after: AccountId | None = None
    limit: PageSize = 100


class RefundDue(Wire):
    """What waits to be sent back to the resident of an account, since when."""

    account_id: AccountId
    amount_minor: Minor
    currency: Currency
    since: Instant


class RefundPage(Wire):
    """Refunds that wait, in the order of their accounts."""

    refunds: list[RefundDue]
    next: str | None
