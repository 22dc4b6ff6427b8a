"""What balances, statements and refunds look like on the wire of the API."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from billing.io.wire import BillNo, Currency, Minor
from billing.refund import RefundState
from billing.statement import MoveKind
from metering.io.route import TEXT_PATTERN, AccountId, Day, Instant, PageSize, Wire

# No household was ever charged more at once; a typing error stays below.
REFUND_MINOR_MAX = 1_000_000_000

Attempt = Annotated[int, Field(ge=1, le=99)]


class DaysQuery(Wire):
    """Which local days; ``to_day`` is the first day after."""

    from_day: Day
    to_day: Day


class TrialRowShown(Wire):
    """One account of the ledger: debits less credits, in minor units."""

    code: str
    side: Annotated[
        Literal["debit", "credit"], Field(description="where its normal balance stands")
    ]
    currency: Currency
    opening_minor: Minor
    debited_minor: Minor
    credited_minor: Minor
    closing_minor: Minor


class TrialSumShown(Wire):
    """What all accounts add up to; both balances are nothing."""

    currency: Currency
    opening_minor: Minor
    debited_minor: Minor
    credited_minor: Minor
    closing_minor: Minor


class TrialBalance(Wire):
    """Every account over some days, and what they add up to, currency by currency."""

    from_day: date
    to_day: Annotated[date, Field(description="the first day after")]
    zone: str
    accounts: list[TrialRowShown]
    sums: list[TrialSumShown]


class WordsShown(Wire):
    """The same in three languages."""

    kk: str
    ru: str
    en: str


class MovementShown(Wire):
    """One movement: by how much more is owed with it; below zero less, nothing where it waits."""

    at: Instant
    kind: MoveKind
    words: WordsShown
    bill_no: BillNo
    moved_minor: Annotated[int, Field(description="how much money it is about")]
    amount_minor: Minor
    owed_minor: Annotated[int, Field(description="what is owed after it; below zero we owe")]


class StatementShown(Wire):
    """What was owed, every movement in plain words, and what is owed."""

    account_id: AccountId
    from_day: date
    to_day: Annotated[date, Field(description="the first day after")]
    zone: str
    currency: Currency
    opening_minor: Minor
    movements: list[MovementShown]
    closing_minor: Minor
    under_way_minor: Annotated[
        int, Field(description="of it, on its way from the resident's bank account")
    ]


class NewRefund(Wire):
    """Money to give back, why, and in the operator's own words."""

    bill_no: BillNo
    attempt: Attempt
    amount_minor: Annotated[int, Field(ge=1, le=REFUND_MINOR_MAX)]
    cause: Annotated[
        Literal["operator", "wrong_debit", "double_debit", "overcharged"],
        Field(
            description="operator and wrong_debit: the bill is owed again;"
            " double_debit and overcharged: what was too much"
        ),
    ]
    because: Annotated[str, Field(min_length=1, max_length=500, pattern=TEXT_PATTERN)]


class RefundStepShown(Wire):
    """One step that a refund took."""

    from_state: str | None
    to_state: str
    reason: str | None
    taken_at: Instant


class RefundShown(Wire):
    """Money that goes back, or went."""

    account_id: AccountId
    bill_no: BillNo
    attempt: int
    refund_no: int
    state: Annotated[
        str,
        Field(
            description="requested, recorded, sending, unknown, pending, paid, settled, bounced,"
            " returned, refused or review"
        ),
    ]
    reason: str | None
    amount_minor: Minor
    currency: Currency
    cause: str
    asked_at: Instant
    changed_at: Instant


class RefundDetail(RefundShown):
    """A refund with every step it took."""

    steps: list[RefundStepShown]


class RefundStories(Wire):
    """The refunds of an account, newest first."""

    refunds: list[RefundDetail]
    next: str | None


class RefundStoryQuery(Wire):
    """Which page of an account's refunds."""

    after: (
        Annotated[
            str,
            Field(pattern=r"^[0-9]{4}-[0-9]{2}(-[0-9]{1,3})?~[0-9]{1,2}~[0-9]{1,2}$"),
        ]
        | None
    ) = None
    limit: Annotated[int, Field(ge=1, le=100)] = 24


class RefundStateQuery(Wire):
    """Which state, and which page."""

    state: Annotated[RefundState, Field(strict=False)]
    after: (
        Annotated[
            str,
            Field(
                pattern=r"^[A-Z0-9-]{1,32}~[0-9]{4}-[0-9]{2}(-[0-9]{1,3})?~[0-9]{1,2}~[0-9]{1,2}$"
            ),
        ]
        | None
    ) = None
    limit: PageSize = 100


class RefundsInState(Wire):
    """Refunds in one state, in the order of their accounts."""

    refunds: list[RefundShown]
    next: str | None
