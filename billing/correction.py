"""What becomes of an issued bill that would be another one today.

    nothing is more or less            -> unchanged
    more, older than the limit, ours   -> waived: noted, and never charged
    less than the town's least sum     -> adjustment: a charge on the next bill, for each VAT rate
    else                               -> rebill: the bill is cancelled, another takes its place

What has been charged for a month is its bill in force without what that bill carries for other
months, and the adjustments that were made for the month since. A rebill takes those back.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

from billing.bill import Bill, BillKind, Charge, ChargeKind, Line, bill_no, draft
from billing.period import Period, local_day
from billing.rating import Rated

# What rating.py makes of a month; everything else on a bill came from elsewhere and is carried on.
RATED: Final = frozenset({ChargeKind.STANDING, ChargeKind.DISCOUNT})
# The column holds three digits.
REVISION_MAX: Final = 999


class Outcome(StrEnum):
    """What becomes of a bill; drawn at the top."""

    UNCHANGED = "unchanged"
    WAIVED = "waived"
    ADJUSTMENT = "adjustment"
    REBILL = "rebill"


class Cause(StrEnum):
    """Why a bill is looked at again."""

    READING = "reading"
    ESTIMATE = "estimate"
    TERMS = "terms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The town's rules of correcting: sums in minor units, the limit in months (0: none).

    ``refund`` says that credit is to be sent back instead of being carried to the next bill.
    """

    adjust_below_minor: int = 0
    back_billing_months: int = 0
    refund: bool = False

    def __post_init__(self) -> None:
        """Refuse rules that say nothing."""
        if self.adjust_below_minor < 0 or self.back_billing_months < 0:
            raise ValueError("a limit is not negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """Gas and money: dm3 and minor units."""

    volume_dm3: int = 0
    net_minor: int = 0
    vat_minor: int = 0

    @property
    def total_minor(self) -> int:
        """Return the money with VAT."""
        return self.net_minor + self.vat_minor

    def __add__(self, other: "Sum") -> "Sum":
        return Sum(
            volume_dm3=self.volume_dm3 + other.volume_dm3,
            net_minor=self.net_minor + other.net_minor,
            vat_minor=self.vat_minor + other.vat_minor,
        )

    def __neg__(self) -> "Sum":
        return Sum(
            volume_dm3=-self.volume_dm3, net_minor=-self.net_minor, vat_minor=-self.vat_minor
        )


NOTHING: Final = Sum()


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """What was put on a later bill for a month; ``bill_no`` says which, None while it waits."""

    correction_no: int
    vat_rate_bp: int
    amount: Sum
    bill_no: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """A month of one account as it was charged: the bill in force, and what was adjusted since.

    ``revision`` is the highest of its documents, ``correction_no`` that of its corrections;
    ``adjustments`` are those no rebill has taken back.
    """

    bill: Bill
    revision: int
    correction_no: int
    adjustments: Sequence[Adjustment] = ()

    @property
    def period(self) -> Period:
        """Return the month."""
        return Period(start=self.bill.period_start, end=self.bill.period_end)

    @property
    def carried(self) -> tuple[Charge, ...]:
        """Return what the bill carries besides what its month is rated with."""
        return tuple(charge for charge in self.bill.charges if charge.kind not in RATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """When a correction is made, whose fault it is, and whether there will be another bill."""

    at: datetime
    zone: str
    ours: bool
    another_bill: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What becomes of a bill: by how much it would differ, for each VAT rate, and the documents."""

    outcome: Outcome
    by_vat: Mapping[int, Sum]
    documents: tuple[Bill, ...] = ()

    @property
    def difference(self) -> Sum:
        """Return by how much the month is more than what was charged."""
        return sum(self.by_vat.values(), NOTHING)


def decide(month: Month, rated: Rated, policy: Policy, around: Circumstances) -> Decided:
    """Compare a month with what was charged for it, and say what becomes of its bill."""
    by_vat = _minus(_by_vat(rated.lines, rated.charges), charged(month))
    difference = sum(by_vat.values(), NOTHING)
    if not by_vat:
        return Decided(outcome=Outcome.UNCHANGED, by_vat={})
    if difference.total_minor > 0 and around.ours and _too_old(month.period, policy, around):
        return Decided(outcome=Outcome.WAIVED, by_vat=by_vat)
    if abs(difference.total_minor) < policy.adjust_below_minor and around.another_bill:
        return Decided(outcome=Outcome.ADJUSTMENT, by_vat=by_vat)
    return Decided(
        outcome=Outcome.REBILL,
        by_vat=by_vat,
        documents=(cancellation(month, around), rebill(month, rated, around)),
    )


def charged(month: Month) -> dict[int, Sum]:
    """Return what was charged for a month so far, for each VAT rate."""
    own = [charge for charge in month.bill.charges if charge.kind in RATED]
    found = defaultdict(Sum, _by_vat(month.bill.lines, own))
    for one in month.adjustments:
        found[one.vat_rate_bp] += one.amount
    return dict(found)


def cancellation(month: Month, around: Circumstances) -> Bill:
    """Return the bill that takes back another to the last tiyn: every sign turned."""
    bill = month.bill
    return replace(
        bill,
        bill_no=bill_no(month.period, month.revision + 1),
        revision=month.revision + 1,
        kind=BillKind.CANCELLATION,
        corrects_bill_no=bill.bill_no,
        volume_dm3=-bill.volume_dm3,
        net_minor=-bill.net_minor,
        vat_minor=-bill.vat_minor,
        total_minor=-bill.total_minor,
        issued_at=around.at,
        due_on=due_on(around),
        lines=tuple(_negated_line(line) for line in bill.lines),
        charges=tuple(_negated_charge(charge) for charge in bill.charges),
    )


def rebill(month: Month, rated: Rated, around: Circumstances) -> Bill:
    """Return the bill that takes the place of another, with what that one carried besides."""
    bill = month.bill
    carried = [*month.carried, *taken_back(month)]
    first = len(rated.charges) + 1
    charges = (
        *rated.charges,
        *(replace(one, charge_no=number) for number, one in enumerate(carried, start=first)),
    )
    added_up = draft(
        rated.lines,
        charges,
        account_id=bill.account_id,
        currency=bill.currency,
        period=month.period,
        at=around.at,
    )
    return replace(
        added_up,
        bill_no=bill_no(month.period, month.revision + 2),
        revision=month.revision + 2,
        kind=BillKind.REBILL,
        corrects_bill_no=bill.bill_no,
        due_on=due_on(around),
    )


def taken_back(month: Month) -> list[Charge]:
    """Return what a rebill takes back of the adjustments that stand on other bills already."""
    sums: dict[int, Sum] = defaultdict(Sum)
    for one in month.adjustments:
        if one.bill_no is not None:
            sums[one.vat_rate_bp] += one.amount
    return [
        adjusting(month.bill, vat_rate_bp, -sums[vat_rate_bp], detail={"takes_back": True})
        for vat_rate_bp in sorted(sums)
        if sums[vat_rate_bp] != NOTHING
    ]


def adjusting(bill: Bill, vat_rate_bp: int, amount: Sum, *, detail: Mapping[str, Any]) -> Charge:
    """Return a charge that puts an amount for an earlier bill on another; number it afterwards."""
    return Charge(
        charge_no=1,
        kind=ChargeKind.ADJUSTMENT,
        from_day=bill.period_start,
        to_day=bill.period_end,
        tariff_code=None,
        tariff_valid_from=None,
        line_no=None,
        quantity=amount.volume_dm3,
        detail={"corrects_bill_no": bill.bill_no, **detail},
        vat_rate_bp=vat_rate_bp,
        net_minor=amount.net_minor,
        vat_minor=amount.vat_minor,
    )


def due_on(around: Circumstances) -> date:
    """Return the day by which a correction is paid: as if its month's bill came only now."""
    return Period.holding(around.at, around.zone).due_on


def _too_old(period: Period, policy: Policy, around: Circumstances) -> bool:
    """Say whether a month began before the limit, which counts whole months before this one."""
    if policy.back_billing_months == 0:
        return False
    today = local_day(around.at, around.zone)
    months = today.year * 12 + today.month - 1 - policy.back_billing_months
    return (period.start.year * 12 + period.start.month - 1) < months


def _by_vat(lines: Iterable[Line], charges: Iterable[Charge]) -> dict[int, Sum]:
    found: dict[int, Sum] = defaultdict(Sum)
    for line in lines:
        found[line.vat_rate_bp] += Sum(
            volume_dm3=line.volume_dm3, net_minor=line.net_minor, vat_minor=line.vat_minor
        )
    for charge in charges:
        found[charge.vat_rate_bp] += Sum(net_minor=charge.net_minor, vat_minor=charge.vat_minor)
    return dict(found)


def _minus(one: Mapping[int, Sum], other: Mapping[int, Sum]) -> dict[int, Sum]:
    rates = sorted(one.keys() | other.keys())
    left = {rate: one.get(rate, NOTHING) + -other.get(rate, NOTHING) for rate in rates}
    return {rate: amount for rate, amount in left.items() if amount != NOTHING}


def _negated_line(line: Line) -> Line:
    return replace(
        line,
        volume_dm3=-line.volume_dm3,
        energy_wh=None if line.energy_wh is None else -line.energy_wh,
        net_minor=-line.net_minor,
        vat_minor=-line.vat_minor,
    )


def _negated_charge(charge: Charge) -> Charge:
    return replace(
        charge,
        quantity=None if charge.quantity is None else -charge.quantity,
        net_minor=-charge.net_minor,
        vat_minor=-charge.vat_minor,
    )
