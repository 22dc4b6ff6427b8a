"""What stands between a bill and a debit: the notice, the earlier attempts, the promise kept.

Three questions, each asked when the debit is announced and again when it is recorded:
may the bill be asked for at all, on which day, and is it still what the resident was told?
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Final

from billing.debit import FELL_THROUGH, SEND_LEAD_DAYS, Debit, DebitId, State
from billing.workdays import (
    NOTICE_DAYS,
    BankDays,
    bank_days,
    earliest_charge_day,
    earliest_ordered_day,
    in_time,
    open_day,
)

# After three returned debits a fourth one only costs the resident money: a person calls instead.
FAILURES_MAX: Final = 3
# A salary may have come by then; each retry has a notice of its own after these days.
RETRY_DAYS: Final = (5, 12)
# As long as a notice comes ahead: who was told of a day and is not debited until then is told anew.
LATE_MAX: Final = timedelta(days=NOTICE_DAYS)
# The column holds two digits.
ATTEMPTS_MAX: Final = 99

# Why a debit failed, and whether asking again later makes sense. A cause not listed here does not.
CAUSES: Final[Mapping[str, bool]] = MappingProxyType(
    {
        "insufficient_funds": True,
        "refer_to_payer": True,
        "charge_date_refused": True,  # our order came too late for its day; nothing was taken
        "bank_account_closed": False,
        "invalid_bank_details": False,
        "mandate_cancelled": False,
        "mandate_is_inactive": False,
        "mandate_expired": False,
        "authorisation_disputed": False,
        "direct_debit_not_enabled": False,
        "bank_account_transferred": False,
        "payer_deceased": False,
        "validation_failed": False,
        "bank_retries": False,  # the bank itself will ask again: ours would be the second debit
        "unknown_cause": False,
    }
)
RETRYABLE_CAUSES: Final = frozenset(cause for cause, retryable in CAUSES.items() if retryable)

# Cancelled by ourselves before any money moved: the bill may be asked for again once the guards
# allow it. A payment cancelled at the bank by somebody else is not in the list.
REPEATABLE_CANCELS: Final = frozenset(
    {
        "account_changed",
        "amount_changed",
        "bank_retries",
        "begin_anew",
        "cancelled_by_resident",
        "disputed",
        "later_attempt",
        "mandate_ended",
        "mandate_frozen",
        "mandate_pending",
        "no_notice",
        "notice_differs",
        "notice_too_short",
        "over_cap",
        "over_month_cap",
        "paid",
        "paused",
        "withdrawn",
    }
)

# Why a debit ended that its resident stopped before the bank saw it; nothing repeats it.
STOPPED: Final = "stopped_by_resident"

# The bill owes something else by now, or nothing: this attempt is over, whatever was promised.
GIVEN_UP_FOR: Final = frozenset({"paid", "amount_changed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DueBill:
    """A bill that owes money, and the mandate under which it may be asked for."""

    account_id: str
    bill_no: str
    due_on: date
    currency: str
    mandate_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A debit that a step may want to move, and its mandate, to be locked first."""

    debit_id: DebitId
    mandate_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What the resident was told: this amount, from that day; ``noticed_at`` is when."""

    amount_minor: int
    currency: str
    charge_on: date
    noticed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What became of one earlier attempt for the same bill."""

    attempt: int
    state: State
    reason: str | None
    retry_on: date | None = None


def may_try_again(past: Sequence[Attempt], *, today: date) -> bool:
    """Tell whether a bill with these attempts may get another one.

    Not while one is alive (its money may still come), not after a chargeback, and after a failure
    only for a cause that time can heal, from its day on, at most FAILURES_MAX times.
    """
    failures = [one.reason for one in past if one.state in FELL_THROUGH]
    waiting = [one.retry_on for one in past if one.state is State.RETRY_DUE]
    cancels = [one.reason for one in past if one.state is State.CANCELLED]
    return (
        all(one.state in {State.FAILED, State.RETRY_DUE, State.CANCELLED} for one in past)
        and all(day is not None and day <= today for day in waiting)
        and all(reason in RETRYABLE_CAUSES for reason in failures)
        and all(reason in REPEATABLE_CANCELS for reason in cancels)
        and len(failures) < FAILURES_MAX
        and max((one.attempt for one in past), default=0) < ATTEMPTS_MAX
    )


def retry_after(reason: str | None, past: Sequence[Attempt]) -> int | None:
    """Return after how many days a failed bill may be announced anew; None if never.

    ``past`` are all its attempts, the one that has just failed among them.
    """
    failures = sum(1 for one in past if one.state in FELL_THROUGH)
    if reason not in RETRYABLE_CAUSES or failures >= FAILURES_MAX:
        return None
    # An order that came too late for its day took nothing: there is nothing to wait for.
    return 0 if reason == "charge_date_refused" else RETRY_DAYS[failures - 1]


def first_charge_day(*, due_on: date, today: date, currency: str) -> date:
    """Return the earliest day a debit noticed today is charged: due, told in time, banks open."""
    days = bank_days(currency)
    return open_day(max(due_on, earliest_charge_day(today, days)), days)


def first_ordered_day(*, today: date, currency: str) -> date:
    """Return the earliest day for which an order given to the bank today is not too late."""
    return earliest_ordered_day(today, bank_days(currency), lead_days=SEND_LEAD_DAYS)


def ordered_until(*, today: date) -> date:
    """Return the last charge day whose order is given today, whatever its currency."""
    return max(earliest_ordered_day(today, one, lead_days=SEND_LEAD_DAYS) for one in BankDays)


def broken_promise(
    debit: Debit, *, notice: Notice | None, noticed_on: date | None, owed_minor: int
) -> str | None:
    """Return why this debit may not be recorded as it was announced, or None.

    The bill must owe exactly the amount, and the resident must have been told this amount, for
    this day or one a little earlier, in time.
    """
    if owed_minor <= 0:
        return "paid"
    if owed_minor != debit.amount_minor:
        return "amount_changed"
    if notice is None or noticed_on is None:
        return "no_notice"
    return _broken_notice(debit, notice, noticed_on)


def _broken_notice(debit: Debit, notice: Notice, noticed_on: date) -> str | None:
    told = (notice.amount_minor, notice.currency)
    if told != (debit.amount_minor, debit.currency) or notice.charge_on > debit.charge_on:
        return "notice_differs"
    if debit.charge_on > notice.charge_on + LATE_MAX:
        return "notice_too_old"
    if not in_time(noticed_on, debit.charge_on, bank_days(debit.currency)):
        return "notice_too_short"
    return None
