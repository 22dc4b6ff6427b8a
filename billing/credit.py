"""Money beyond what bills ask: where it comes from, on which bill it is used, what is sent back.

    a bill that was cancelled, or its cancellation:  nothing stays owed on it, either way
    a bill in force that asks less than was paid:    the rest is credit
    credit:  used on bills in force that owe, the longest due first; else carried or sent back

Where the money for a cancelled bill is taken back by the bank, its debt goes to the bill in force.
A bill whose debit may be at the bank gets no credit until that has come to its end: the same money
would come twice.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from billing.ledger import Account, Phase, Transfer


@dataclass(frozen=True, slots=True, kw_only=True)
class Owing:
    """What one bill owes by the ledger, in minor units; negative is what it was paid too much.

    ``heir`` is the bill in force of its month, itself if it is. ``moves`` counts its transfers of
    credit so far. ``busy`` says that a debit for it may be at the bank.
    """

    bill_no: str
    heir: str
    owed_minor: int
    due_on: date
    moves: int
    busy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """The credit of an account, in minor units, and what becomes of what is left."""

    account_id: str
    currency: str
    credit_minor: int
    refund: bool


def settle(owing: Sequence[Owing], purse: Purse, *, at: datetime) -> tuple[Transfer, ...]:
    """Return the transfers after which no cancelled bill owes and no credit lies beside a debt."""
    moved = list(_moves(owing, purse))
    numbers: dict[str, int] = {one.bill_no: one.moves for one in owing}
    found = []
    for bill_no, amount_minor in moved:
        numbers[bill_no] += 1
        taken = amount_minor > 0
        found.append(
            Transfer(
                account_id=purse.account_id,
                transfer_id=f"credit/{bill_no}/{numbers[bill_no]}",
                phase=Phase.POSTED,
                debit_code=Account.RESIDENT_CREDIT if taken else Account.RECEIVABLE,
                credit_code=Account.RECEIVABLE if taken else Account.RESIDENT_CREDIT,
                amount_minor=abs(amount_minor),
                currency=purse.currency,
                bill_no=bill_no,
                posted_at=at,
            )
        )
    left_minor = purse.credit_minor - sum(amount for _, amount in moved)
    if purse.refund and left_minor > 0:
        last = max(owing, key=lambda one: one.bill_no).bill_no
        found.append(
            Transfer(
                account_id=purse.account_id,
                transfer_id=f"refund/{last}/{numbers[last] + 1}",
                phase=Phase.POSTED,
                debit_code=Account.RESIDENT_CREDIT,
                credit_code=Account.REFUND_DUE,
                amount_minor=left_minor,
                currency=purse.currency,
                bill_no=last,
                posted_at=at,
            )
        )
    return tuple(found)


def _moves(owing: Sequence[Owing], purse: Purse) -> Iterator[tuple[str, int]]:
    """Say how much credit each bill takes; what it gives is negative."""
    credit_minor = purse.credit_minor
    after = {one.bill_no: one.owed_minor for one in owing}
    for bill_no, amount_minor in _from_the_dead(owing):
        yield bill_no, amount_minor
        credit_minor -= amount_minor
        after[bill_no] -= amount_minor
    for one in owing:
        if after[one.bill_no] < 0:
            yield one.bill_no, after[one.bill_no]
            credit_minor -= after[one.bill_no]
            after[one.bill_no] = 0
    waiting = [one for one in owing if after[one.bill_no] > 0 and not one.busy]
    for one in sorted(waiting, key=lambda one: (one.due_on, one.bill_no)):
        amount_minor = min(after[one.bill_no], credit_minor)
        if amount_minor > 0:
            yield one.bill_no, amount_minor
            credit_minor -= amount_minor


def _from_the_dead(owing: Iterable[Owing]) -> Iterator[tuple[str, int]]:
    """Leave nothing owed on bills that are not in force; together they may leave a debt."""
    debts: dict[str, int] = defaultdict(int)
    for one in owing:
        if one.heir != one.bill_no and one.owed_minor != 0:
            yield one.bill_no, one.owed_minor
            debts[one.heir] += one.owed_minor
    for heir, debt_minor in debts.items():
        if debt_minor > 0:
            yield heir, -debt_minor
