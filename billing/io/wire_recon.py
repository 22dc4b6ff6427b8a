"""What the reconciliation with the bank looks like on the wire of the API."""

from datetime import date
from typing import Annotated, Final

from pydantic import Field

from billing.io.breaks import Freeze, KeptBreak, ReconDay
from billing.io.wire import Currency
from billing.io.wire_debits import MandateId
from metering.io.route import YEAR_LAST, AccountId, Day, Instant, PageSize, Wire
from metering.io.wire_desk import Sentence

# What an identity column of the database can hold.
BREAK_ID_MAX: Final = 2**63 - 1


class BreakPath(Wire):
    """One break."""

    break_id: Annotated[int, Field(ge=1, le=BREAK_ID_MAX, examples=[1])]


class BreakQuery(Wire):
    """Which page of the breaks: those that are open, or those that are closed."""

    closed: bool = False
    after: Annotated[int, Field(ge=0, le=BREAK_ID_MAX)] = 0
    limit: PageSize = 100


class BreakShown(Wire):
    """What the sides do not agree about; without closed_by it was closed because they agree."""

    break_id: int
    kind: str
    subject: str
    account_id: AccountId | None
    amount_minor: int | None
    currency: Currency | None
    detail: str
    suggested_action: str
    owner: Annotated[str, Field(description="on_call: now; accounts: the next working morning")]
    day: Annotated[date, Field(description="the local day that does not agree because of it")]
    opened_at: Instant
    seen_at: Instant
    closed_at: Instant | None
    closed_by: str | None
    because: str | None


class BreakPage(Wire):
    """Breaks, the oldest first; the next page begins after the last of these."""

    breaks: list[BreakShown]
    next: int | None


class Said(Wire):
    """Why a person decides so."""

    because: Sentence


class FreezeQuery(Wire):
    """Which page of the frozen mandates."""

    after_account: AccountId | None = None
    after_mandate: MandateId | None = None
    limit: PageSize = 100


class FreezeShown(Wire):
    """A mandate under which nothing is asked for until a person lifts this."""

    account_id: AccountId
    mandate_id: MandateId
    because: str
    frozen_at: Instant


class FreezePage(Wire):
    """Frozen mandates in the order of their accounts."""

    freezes: list[FreezeShown]
    next_account: AccountId | None
    next_mandate: MandateId | None


class Lifted(Wire):
    """A mandate that may be used again."""

    account_id: AccountId
    mandate_id: MandateId


class DayQuery(Wire):
    """Which page of the days."""

    before: Day = date(YEAR_LAST, 12, 31)
    limit: PageSize = 31


class DayShown(Wire):
    """A local day; all three sides agree about it since agreed_at."""

    day: date
    statement_id: str | None
    statement_at: Annotated[Instant | None, Field(description="when its statement came")]
    read_at: Annotated[Instant | None, Field(description="when the bank's books were read last")]
    agreed_at: Instant | None


class DayPage(Wire):
    """Days, the newest first; without a gap, all up to reconciled_until agree."""

    days: list[DayShown]
    reconciled_until: date | None
    next_before: date | None


def break_shown(one: KeptBreak) -> BreakShown:
    """Show a break."""
    return BreakShown.model_validate(one, from_attributes=True)


def freeze_shown(one: Freeze) -> FreezeShown:
    """Show a freeze."""
    return FreezeShown.model_validate(one, from_attributes=True)


def day_shown(one: ReconDay) -> DayShown:
    """Show a day."""
    return DayShown.model_validate(one, from_attributes=True)
