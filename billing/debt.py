"""What a bill was owed when each day began, read from the ledger.

Money that is on its way from the resident's bank counts as paid from the day on which we asked for
it: that a bank is slow is not the resident's delay. Money that never came, or was taken back, does
not count from the day on which it was asked for, or until it was taken back.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from billing.ledger import Account, Phase, Transfer, balance_minor
from billing.penalty import Dispute, Overdue, first_late_day
from billing.period import Period, local_day, midnight

_DAY: Final = timedelta(days=1)
# How the names of transfers begin with which a bill asks for money.
_ASKING: Final = ("bill/", "carry/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A bill, by when it was to be paid, and all that the ledger says about it."""

    bill_no: str
    due_on: date
    issued_at: datetime
    transfers: Sequence[Transfer]


def overdue(  # noqa: PLR0913 - which bill, which days, what was known of them
    asked: Asked,
    *,
    period: Period,
    charged_minor: int,
    disputes: Iterable[Dispute],
    known_at: datetime,
    zone: str,
) -> Overdue:
    """Return what of a bill was owed too late on the days of a month, but for penalties on it.

    Whoever pays a part pays gas first. A bill that was carried to a later one was not asked for.
    """
    from_day = first_late_day(due_on=asked.due_on, issued_on=local_day(asked.issued_at, zone))
    own = [
        one
        for one in asked.transfers
        if Account.PENALTY not in {one.debit_code, one.credit_code} and one.posted_at <= known_at
    ]
    carried = any(one.debit_code is Account.CARRIED for one in own)
    days = debts_minor(
        () if carried else own,
        from_day=max(period.start, from_day),
        to_day=min(period.end, local_day(known_at, zone)),
        known_at=known_at,
        zone=zone,
    )
    held = [one for one in disputes if one.bill_no == asked.bill_no]
    return Overdue(
        bill_no=asked.bill_no,
        principal_minor=balance_minor(
            Account.RECEIVABLE, [one for one in own if one.transfer_id.startswith(_ASKING)]
        ),
        charged_minor=charged_minor,
        debts_minor={
            day: debt_minor
            for day, debt_minor in days.items()
            if not any(one.holds(day, known_at=known_at) for one in held)
        },
    )


def debts_minor(
    transfers: Sequence[Transfer],
    *,
    from_day: date,
    to_day: date,
    known_at: datetime,
    zone: str,
) -> dict[date, int]:
    """Return what one bill was owed at the beginning of each local day of some, in minor units.

    ``transfers`` are the bill's; only what stood in the ledger at ``known_at`` counts.
    """
    moves = sorted(_moves([one for one in transfers if one.posted_at <= known_at]))
    days: dict[date, int] = {}
    owed_minor, place = 0, 0
    day = from_day
    while day < to_day:
        begins_at = midnight(day, zone)
        while place < len(moves) and moves[place][0] < begins_at:
            owed_minor += moves[place][1]
            place += 1
        days[day] = owed_minor
        day += _DAY
    return days


def _moves(transfers: Sequence[Transfer]) -> Iterator[tuple[datetime, int]]:
    """Return when a debt grew or shrank, and by how much; money under way counts when asked for."""
    asked = {_round(one): one for one in transfers if _answers(one, "pending")}
    answered = {_round(one) for one in transfers if _answers(one, "void", "posted")}
    for one in transfers:
        if one.phase is not Phase.POSTED:
            continue
        first = asked.get(_round(one)) if _answers(one, "posted") else None
        sign = (one.debit_code is Account.RECEIVABLE) - (one.credit_code is Account.RECEIVABLE)
        if sign:
            yield (first or one).posted_at, sign * one.amount_minor
    for name, one in asked.items():
        if name not in answered:
            yield one.posted_at, -one.amount_minor


def _answers(transfer: Transfer, *words: str) -> bool:
    """Say whether a transfer of a debit asks for money, or answers that it came or did not."""
    word = transfer.transfer_id.rpartition("/")[2].partition("-")[0]
    return word in words and transfer.credit_code is Account.RECEIVABLE


def _round(transfer: Transfer) -> tuple[str, str]:
    """Name the attempt that a debit's transfer belongs to, and the how manieth time it is made."""
    attempt, _, name = transfer.transfer_id.rpartition("/")
    return attempt, name.partition("-")[2]
