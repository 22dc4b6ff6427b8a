"""What accounts and bills look like on the wire of the API."""

from datetime import date
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from metering.io.route import (
    TEXT_PATTERN,
    AccountId,
    Instant,
    MeterId,
    PageSize,
    SupplyPointId,
    Wire,
)

# A resident's token lasts a month unless the operator says otherwise, and never much over a year.
TOKEN_DAYS: Final = 30
TOKEN_DAYS_MAX: Final = 400

TariffCode = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$", examples=["household"])]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", examples=["KZT"])]
Month = Annotated[str, Field(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$", examples=["2026-01"])]
BillNo = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}(-[0-9]{1,3})?$", examples=["2026-01"])]
Minor = Annotated[int, Field(description="whole minor units of the currency (tiyn)")]


class PersonShown(Wire):
    """Who lives there; only that resident reads it."""

    full_name: Annotated[str, Field(min_length=1, max_length=200, pattern=TEXT_PATTERN)]
    address: Annotated[str, Field(min_length=1, max_length=500, pattern=TEXT_PATTERN)]


class SupplyPointShown(Wire):
    """Where gas enters a home."""

    supply_point_id: SupplyPointId
    connected_at: Instant


class NewAccount(Wire):
    """A personal account, its first supply point, and who lives there."""

    account_id: AccountId
    tariff_code: TariffCode
    currency: Currency
    person: PersonShown
    supply_point: SupplyPointShown


class AccountShown(Wire):
    """A personal account, without saying who that is."""

    account_id: AccountId
    tariff_code: TariffCode
    currency: Currency
    opened_at: Instant


class AccountDetail(AccountShown):
    """An account with what it owes; ``person`` is null for everybody but the resident."""

    owed_minor: Minor
    supply_points: list[SupplyPointShown]
    person: PersonShown | None


class AccountPage(Wire):
    """Accounts in the order of their ids."""

    accounts: list[AccountShown]
    next: str | None


class NewToken(Wire):
    """A token to be made for a resident."""

    label: Annotated[str, Field(min_length=1, max_length=100, pattern=TEXT_PATTERN)]
    days: Annotated[int, Field(ge=1, le=TOKEN_DAYS_MAX)] = TOKEN_DAYS


class TokenShown(Wire):
    """A token, shown this once; we keep only its digest."""

    token: str
    expires_at: Instant


class TokensRevoked(Wire):
    """How many tokens were taken back."""

    revoked: int


class NewBillRun(Wire):
    """The month to be billed."""

    period: Month


class BillRunDone(Wire):
    """What a run did; zeros when nothing was left to do."""

    period: Month
    measured: Annotated[int, Field(description="installations measured")]
    lacking: Annotated[int, Field(description="installations that lack a register")]
    billed: Annotated[int, Field(description="bills issued")]
    lines: int
    volume_dm3: int
    total_minor: Minor
    held: Annotated[int, Field(description="accounts whose bill waits")]


class BillShown(Wire):
    """A bill: what was used, what it costs, what of it is still owed."""

    bill_no: BillNo
    period_start: date
    period_end: Annotated[date, Field(description="the first day after the period")]
    revision: int
    volume_dm3: int
    net_minor: Minor
    vat_minor: Minor
    total_minor: Minor
    owed_minor: Minor
    currency: Currency
    state: Annotated[str, Field(description="open, in_transit (a debit is under way) or paid")]
    kind: Annotated[str, Field(description="bill, cancellation or rebill")]
    corrects_bill_no: BillNo | None
    issued_at: Instant
    due_on: date


class BillLineShown(Wire):
    """One part of a stretch of gas, one price, one VAT rate, one band.

    The registers are those of the whole stretch; the line is ``days`` of its ``days_of`` days.
    """

    line_no: int
    meter_id: MeterId
    supply_point_id: SupplyPointId
    from_at: Instant
    to_at: Instant
    opening_register_dm3: int
    opening_read_at: Instant
    closing_register_dm3: int
    closing_read_at: Instant
    volume_dm3: int
    tariff_code: TariffCode
    tariff_valid_from: date
    net_minor_per_1000_m3: int | None
    vat_rate_bp: Annotated[int, Field(description="basis points: 1600 is 16 per cent")]
    net_minor: Minor
    vat_minor: Minor
    band_no: int
    multiplier_bp: Annotated[int, Field(description="times the price: 12000 is 1.2")]
    energy_wh: int | None
    net_minor_per_gwh: int | None
    days: int
    days_of: int
    opening_quality: Annotated[str, Field(description="read or estimated")]
    closing_quality: Annotated[str, Field(description="read or estimated")]


class BillChargeShown(Wire):
    """What a bill asks for besides gas; a discount is negative."""

    charge_no: int
    kind: str
    from_day: date
    to_day: date
    tariff_code: TariffCode | None
    tariff_valid_from: date | None
    line_no: Annotated[int | None, Field(description="the line that a discount is for")]
    quantity: Annotated[int | None, Field(description="days, or the dm3 (Wh) of a discount")]
    detail: dict[str, Any]
    vat_rate_bp: int
    net_minor: Minor
    vat_minor: Minor


class BillDetail(BillShown):
    """A bill with its lines and charges."""

    lines: list[BillLineShown]
    charges: list[BillChargeShown]


class BillPage(Wire):
    """Bills, newest first."""

    bills: list[BillShown]
    next: str | None


class HoldShown(Wire):
    """A bill that could not be issued, and the meter to look at.

    An unusual bill (``anomalous``) is one for a person: ``detail`` has its total, the account's
    habit and the figures they were compared by, in minor units.
    """

    account_id: AccountId
    reason: str
    meter_id: MeterId
    noted_at: Instant
    detail: dict[str, int | str | None]


class HoldPage(Wire):
    """What holds the bills of one period; ``periods`` names all periods with something held."""

    period: Month | None
    periods: list[Month]
    holds: list[HoldShown]
    next: str | None


class AccountPath(Wire):
    """One account."""

    account_id: AccountId


class BillPath(AccountPath):
    """One bill of one account."""

    bill_no: BillNo


class DocumentQuery(Wire):
    """In which language and form a bill is wanted."""

    language: Annotated[
        Literal["kk", "ru", "en"], Field(description="Kazakh, Russian, English")
    ] = "kk"
    form: Literal["pdf", "html"] = "html"


class AccountQuery(Wire):
    """Which page of the accounts."""

    after: AccountId | None = None
    limit: PageSize = 100


class BillQuery(Wire):
    """Which page of the bills; each month adds one."""

    after: BillNo | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 24


class HoldQuery(Wire):
    """Which period and page; without a period, the oldest that has something held."""

    period: Month | None = None
    after: AccountId | None = None
    limit: PageSize = 100
