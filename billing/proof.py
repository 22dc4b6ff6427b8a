"""What must be true of the gas, the bills and the ledger of one account, derived a second time.

Every check takes facts as they were stored and returns what contradicts them. Nothing here changes
anything, and nothing says whose account it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from enum import StrEnum
from itertools import pairwise

from billing import rating
from billing.bill import Bill, Charge, Line, Quality
from billing.correction import Adjustment, Outcome, Sum
from billing.debit import Debit, State
from billing.ledger import Transfer
from billing.move import Closing
from billing.notice import Notice
from billing.penalty import Dispute
from billing.period import Period
from billing.rating import Usage
from billing.refund import Refund
from billing.tariff import PriceInterval
from billing.terms import Terms
from billing.voucher import Voucher
from metering.consumption import register_at
from metering.installation import Installation
from metering.reading import Mark
from metering.segment import Stretch, unaccounted_dm3


class Kind(StrEnum):
    """What can be wrong."""

    USAGE_MISPLACED = "usage_misplaced"
    USAGE_REGISTER_WRONG = "usage_register_wrong"
    USAGE_VOLUME_WRONG = "usage_volume_wrong"
    USAGE_NOT_CONTINUOUS = "usage_not_continuous"
    USAGE_SUM_WRONG = "usage_sum_wrong"
    USAGE_NOT_BILLED = "usage_not_billed"
    MONTH_FORGOTTEN = "month_forgotten"
    BILL_INCOMPLETE = "bill_incomplete"
    LINE_WITHOUT_USAGE = "line_without_usage"
    LINE_WRONG = "line_wrong"
    CHARGE_WRONG = "charge_wrong"
    CHARGE_MISSING = "charge_missing"
    CHARGE_UNEXPLAINED = "charge_unexplained"
    BILL_WRONG = "bill_wrong"
    BILL_NOT_RECOMPUTABLE = "bill_not_recomputable"
    RECOMPUTE_DIFFERS = "recompute_differs"
    CANCELLATION_WRONG = "cancellation_wrong"
    CORRECTION_MISSING = "correction_missing"
    CORRECTION_WRONG = "correction_wrong"
    ADJUSTMENT_WRONG = "adjustment_wrong"
    CREDIT_WRONG = "credit_wrong"
    TRANSFER_MISSING = "transfer_missing"
    TRANSFER_WRONG = "transfer_wrong"
    TRANSFER_UNEXPLAINED = "transfer_unexplained"
    DEBIT_AMOUNT_WRONG = "debit_amount_wrong"
    DEBIT_DOUBLED = "debit_doubled"
    DEBIT_KEY_WRONG = "debit_key_wrong"
    DEBIT_BODY_WRONG = "debit_body_wrong"
    DEBIT_WITHOUT_PAYMENT = "debit_without_payment"
    CLOSING_WRONG = "closing_wrong"
    NOTICE_MISSING = "notice_missing"
    NOTICE_WRONG = "notice_wrong"
    NOTICE_LATE = "notice_late"
    BILL_OVERPAID = "bill_overpaid"
    PAYMENT_UNKNOWN = "payment_unknown"
    PAYMENT_DOUBLED = "payment_doubled"
    PAYMENT_WRONG = "payment_wrong"
    PAYMENT_MISSING = "payment_missing"
    COLLECTED_DIFFERS = "collected_differs"
    REFUND_WRONG = "refund_wrong"
    REFUND_KEY_WRONG = "refund_key_wrong"
    REFUND_BODY_WRONG = "refund_body_wrong"
    REFUND_TOO_MUCH = "refund_too_much"
    REFUND_DOUBLED = "refund_doubled"
    REFUND_UNKNOWN = "refund_unknown"
    REFUND_MISSING = "refund_missing"
    MESSAGE_MISSING = "message_missing"
    MESSAGE_UNEXPLAINED = "message_unexplained"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One contradiction: what kind, about which row, and the two sides of it."""

    kind: Kind
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """Gas that was measured anew, for the how manieth time, and when."""

    usage: Usage
    revision: int
    made_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """That a bill was looked at again, and by how much the month is more than was charged."""

    period_start: date
    correction_no: int
    corrects_bill_no: str
    outcome: Outcome
    rebill_no: str | None
    difference: Sum
    made_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjusted:
    """What was put on another bill for a month; ``adjustment.bill_no`` says which."""

    period_start: date
    adjustment: Adjustment


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyStep:
    """That a debit's money came, or that the debit ended, and when."""

    bill_no: str
    attempt: int
    to_state: State
    taken_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is stored about one account, but personal data.

    ``readings`` holds, by meter and instant, the trusted readings that its usage quotes; without
    corrections that bills have not been looked at for. ``usages`` is the gas as measured first.
    ``opened_with`` is the tariff code that holds before the first of the ``terms``. ``told`` names
    the receipts and corrections; ``told_since`` is when the resident was first told of anything.
    """

    account_id: str
    opened_with: str
    terms: Sequence[Terms]
    installations: Sequence[Installation]
    dials_dm3: Mapping[str, int]
    readings: Mapping[tuple[str, datetime], Mark]
    usages: Sequence[Usage]
    bills: Sequence[Bill]
    held: frozenset[date]
    transfers: Sequence[Transfer]
    debits: Sequence[Debit]
    notices: Mapping[tuple[str, int], Notice]
    bank_mandate_ids: Mapping[str, str | None]
    revisions: Sequence[Revision] = ()
    corrections: Sequence[Corrected] = ()
    adjustments: Sequence[Adjusted] = ()
    vouchers: Sequence[Voucher] = ()
    disputes: Sequence[Dispute] = ()
    closing: Closing | None = None
    refunds: Sequence[Refund] = ()
    money_steps: Sequence[MoneyStep] = ()
    told: frozenset[str] = frozenset()
    told_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """The prices of one period."""

    period: Period
    zone: str
    prices: Sequence[PriceInterval]


def opening(usage: Usage) -> Mark:
    """Return the mark at which a usage begins."""
    return Mark(
        read_at=usage.opening_read_at,
        register_dm3=usage.opening_register_dm3,
        turns=usage.opening_turns,
    )


def closing(usage: Usage) -> Mark:
    """Return the mark at which a usage ends."""
    return Mark(
        read_at=usage.closing_read_at,
        register_dm3=usage.closing_register_dm3,
        turns=usage.closing_turns,
    )


def usages_at(facts: Facts, at: datetime | None) -> list[Usage]:
    """Return the gas as it held at an instant; without one, as it holds now."""
    held = {(usage.meter_id, usage.from_at): usage for usage in facts.usages}
    for one in sorted(facts.revisions, key=lambda one: one.revision):
        if at is None or one.made_at <= at:
            held[one.usage.meter_id, one.usage.from_at] = one.usage
    return list(held.values())


def check_usage(facts: Facts) -> Iterator[Finding]:
    """Find usage that its registers do not bear out."""
    placed = {(one.meter_id, one.installed_at): one for one in facts.installations}
    holds = usages_at(facts, None)
    for usage in (*facts.usages, *(one.usage for one in facts.revisions)):
        if usage.meter_id in facts.dials_dm3:
            yield from _check_volume(usage, facts)
    for usage in holds:
        installation = placed.get((usage.meter_id, usage.installed_at))
        if installation is None or not _inside(usage, installation):
            yield _about(usage, Kind.USAGE_MISPLACED, "outside its installation")
            continue
        yield from _check_marks(usage, installation, facts)
    for key in placed:
        line = [one for one in holds if (one.meter_id, one.installed_at) == key]
        yield from _check_line(sorted(line, key=lambda one: one.from_at))
        yield from _check_accounted(line, facts)


def _inside(usage: Usage, installation: Installation) -> bool:
    return (
        usage.supply_point_id == installation.supply_point_id
        and usage.account_id == installation.account_id
        and usage.from_at >= installation.installed_at
        and (installation.removed_at is None or usage.to_at <= installation.removed_at)
    )


def _check_marks(usage: Usage, installation: Installation, facts: Facts) -> Iterator[Finding]:
    for name, instant, quoted, quality in (
        ("opening", usage.from_at, opening(usage), usage.opening_quality),
        ("closing", usage.to_at, closing(usage), usage.closing_quality),
    ):
        if quality is Quality.ESTIMATED:
            continue
        reading = facts.readings.get((usage.meter_id, quoted.read_at))
        found = register_at(
            instant,
            installation=installation,
            chained={},
            billable=() if reading is None else (reading,),
        )
        if found != quoted:
            stored = "none" if found is None else f"{found.register_dm3} dm3, turn {found.turns}"
            yield _about(
                usage,
                Kind.USAGE_REGISTER_WRONG,
                f"{name} {quoted.register_dm3} dm3, turn {quoted.turns}; read {stored}",
            )


def _check_volume(usage: Usage, facts: Facts) -> Iterator[Finding]:
    volume_dm3 = rating.volume_dm3(usage, dial_dm3=facts.dials_dm3[usage.meter_id])
    if volume_dm3 != usage.volume_dm3 or volume_dm3 < 0:
        yield _about(
            usage,
            Kind.USAGE_VOLUME_WRONG,
            f"{usage.volume_dm3} dm3; its registers say {volume_dm3} dm3",
        )


def _check_line(line: Sequence[Usage]) -> Iterator[Finding]:
    """Gas is counted once: stretches touch at one mark, or leave a whole month out."""
    for one, two in pairwise(line):
        if one.to_at > two.from_at or (one.to_at == two.from_at and closing(one) != opening(two)):
            yield _about(two, Kind.USAGE_NOT_CONTINUOUS, "does not begin where the last one ended")


def _check_accounted(line: Sequence[Usage], facts: Facts) -> Iterator[Finding]:
    """All gas of an installation adds up to its last register less its first."""
    left_dm3 = unaccounted_dm3(
        [
            Stretch(
                from_at=one.from_at,
                to_at=one.to_at,
                opening=opening(one),
                closing=closing(one),
                volume_dm3=one.volume_dm3,
            )
            for one in line
        ],
        dial_dm3=facts.dials_dm3[line[0].meter_id] if line else 1,
    )
    if left_dm3:
        yield _about(
            line[0], Kind.USAGE_SUM_WRONG, f"{left_dm3} dm3 between first and last register"
        )


def compare_transfers(
    expected: Mapping[str, Transfer], found: Mapping[str, Transfer]
) -> Iterator[Finding]:
    """Find transfers that lack, that differ but for their instant, and that nothing explains."""
    for name, wanted in expected.items():
        subject = f"{wanted.account_id}/{name}"
        one = found.get(name)
        if one is None:
            yield Finding(kind=Kind.TRANSFER_MISSING, subject=subject, detail="not in the ledger")
        elif replace(one, posted_at=wanted.posted_at) != wanted:
            yield Finding(
                kind=Kind.TRANSFER_WRONG, subject=subject, detail=differences(one, wanted)
            )
    for name in found.keys() - expected.keys():
        yield Finding(
            kind=Kind.TRANSFER_UNEXPLAINED,
            subject=f"{found[name].account_id}/{name}",
            detail="no bill and no debit accounts for it",
        )


def _about(usage: Usage, kind: Kind, detail: str) -> Finding:
    return Finding(kind=kind, subject=stretch(usage.meter_id, usage.from_at), detail=detail)


def stretch(meter_id: str, from_at: datetime) -> str:
    """Name a stretch of gas."""
    return f"{meter_id} from {from_at.isoformat()}"


def differences(
    found: Line | Charge | Bill | Transfer, wanted: Line | Charge | Bill | Transfer
) -> str:
    """Say in which fields two rows differ, and how."""
    parts = [
        f"{field.name} {getattr(found, field.name)}, should be {getattr(wanted, field.name)}"
        for field in fields(found)
        if getattr(found, field.name) != getattr(wanted, field.name)
    ]
    return "; ".join(parts)
