"""What must be true of the gas, the bills and the ledger of one account, derived a second time.

Every check takes facts as they were stored and returns what contradicts them. Nothing here changes
anything, and nothing says whose account it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from billing import rating
from billing.bill import Bill, Line, draft
from billing.debit import Debit
from billing.ledger import BillAmount, Transfer, bill_transfers
from billing.notice import Notice
from billing.period import Period
from billing.rating import Unpriced, Usage
from billing.tariff import PriceInterval
from metering.consumption import register_at
from metering.installation import Installation
from metering.reading import Mark
from metering.segment import Stretch, unaccounted_dm3

# A month that ended this long ago is billed or held, unless nobody ran the run.
FORGOTTEN_AFTER = timedelta(days=2)


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
    BILL_WRONG = "bill_wrong"
    TRANSFER_MISSING = "transfer_missing"
    TRANSFER_WRONG = "transfer_wrong"
    TRANSFER_UNEXPLAINED = "transfer_unexplained"
    DEBIT_AMOUNT_WRONG = "debit_amount_wrong"
    DEBIT_DOUBLED = "debit_doubled"
    DEBIT_KEY_WRONG = "debit_key_wrong"
    DEBIT_BODY_WRONG = "debit_body_wrong"
    DEBIT_WITHOUT_PAYMENT = "debit_without_payment"
    NOTICE_MISSING = "notice_missing"
    NOTICE_WRONG = "notice_wrong"
    NOTICE_LATE = "notice_late"
    BILL_OVERPAID = "bill_overpaid"
    PAYMENT_UNKNOWN = "payment_unknown"
    PAYMENT_DOUBLED = "payment_doubled"
    PAYMENT_WRONG = "payment_wrong"
    PAYMENT_MISSING = "payment_missing"
    COLLECTED_DIFFERS = "collected_differs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One contradiction: what kind, about which row, and the two sides of it."""

    kind: Kind
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is stored about one account, but personal data.

    ``readings`` holds, by meter and instant, the billable readings that its usage quotes.
    """

    account_id: str
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """The prices of one period."""

    period: Period
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


def check_usage(facts: Facts) -> Iterator[Finding]:
    """Find usage that its registers do not bear out."""
    placed = {(one.meter_id, one.installed_at): one for one in facts.installations}
    for usage in facts.usages:
        installation = placed.get((usage.meter_id, usage.installed_at))
        if installation is None or not _inside(usage, installation):
            yield _about(usage, Kind.USAGE_MISPLACED, "outside its installation")
            continue
        yield from _check_marks(usage, installation, facts)
        yield from _check_volume(usage, facts)
    for key in placed:
        line = [one for one in facts.usages if (one.meter_id, one.installed_at) == key]
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
    for name, instant, quoted in (
        ("opening", usage.from_at, opening(usage)),
        ("closing", usage.to_at, closing(usage)),
    ):
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


def check_bills(facts: Facts, priced: Mapping[date, Priced], *, zone: str) -> Iterator[Finding]:
    """Find bills that their usage, prices and lines do not bear out."""
    for bill in facts.bills:
        usages = [one for one in facts.usages if _within(one, priced[bill.period_start], zone)]
        usages = [
            replace(one, volume_dm3=rating.volume_dm3(one, dial_dm3=facts.dials_dm3[one.meter_id]))
            for one in usages
            if one.meter_id in facts.dials_dm3
        ]
        yield from _check_lines(bill, usages, priced[bill.period_start])
        yield from _check_sums(bill, priced[bill.period_start].period)
        yield from _check_whole(bill, usages, facts, zone)


def _within(usage: Usage, priced: Priced, zone: str) -> bool:
    start_at, end_at = priced.period.bounds(zone)
    return start_at <= usage.from_at < end_at


def _check_lines(bill: Bill, usages: Sequence[Usage], priced: Priced) -> Iterator[Finding]:
    codes = {line.tariff_code for line in bill.lines}
    subject = f"{bill.account_id}/{bill.bill_no}"
    if len(codes) != 1:
        yield Finding(kind=Kind.LINE_WRONG, subject=subject, detail=f"{len(codes)} tariffs")
        return
    expected = rating.rate(usages, priced.prices, tariff_code=codes.pop(), currency=bill.currency)
    if isinstance(expected, Unpriced):
        yield Finding(kind=Kind.LINE_WRONG, subject=subject, detail=f"{expected.reason}")
        return
    wanted = {(line.meter_id, line.from_at): line for line in expected}
    found = {(line.meter_id, line.from_at): line for line in bill.lines}
    for key in wanted.keys() - found.keys():
        yield Finding(
            kind=Kind.USAGE_NOT_BILLED, subject=subject, detail=f"no line for {_stretch(*key)}"
        )
    for key in found.keys() - wanted.keys():
        yield Finding(
            kind=Kind.LINE_WITHOUT_USAGE, subject=subject, detail=f"line for {_stretch(*key)}"
        )
    for key in wanted.keys() & found.keys():
        if wanted[key] != found[key]:
            yield Finding(
                kind=Kind.LINE_WRONG,
                subject=f"{subject}/{found[key].line_no}",
                detail=_differences(found[key], wanted[key]),
            )


def _check_sums(bill: Bill, period: Period) -> Iterator[Finding]:
    expected = replace(
        draft(
            bill.lines,
            account_id=bill.account_id,
            currency=bill.currency,
            period=period,
            at=bill.issued_at,
        ),
        revision=bill.revision,
        bill_no=bill.bill_no if bill.revision > 1 else period.label,
    )
    if expected != bill:
        yield Finding(
            kind=Kind.BILL_WRONG,
            subject=f"{bill.account_id}/{bill.bill_no}",
            detail=_differences(bill, expected),
        )


def _check_whole(bill: Bill, usages: Sequence[Usage], facts: Facts, zone: str) -> Iterator[Finding]:
    """A bill covers every meter for the whole time it hung in the period."""
    start_at, end_at = Period(start=bill.period_start, end=bill.period_end).bounds(zone)
    for installation in facts.installations:
        removed_at = installation.removed_at or end_at
        first, last = max(start_at, installation.installed_at), min(end_at, removed_at)
        if first >= last:
            continue
        covered = sum(
            (
                one.to_at - one.from_at
                for one in usages
                if (one.meter_id, one.installed_at)
                == (installation.meter_id, installation.installed_at)
            ),
            timedelta(),
        )
        if covered != last - first:
            yield Finding(
                kind=Kind.BILL_INCOMPLETE,
                subject=f"{bill.account_id}/{bill.bill_no}",
                detail=f"meter {installation.meter_id} was measured for {covered}",
            )


def check_months(facts: Facts, *, zone: str, at: datetime) -> Iterator[Finding]:
    """Find months that are over, had a meter, and were neither billed nor held."""
    billed = {bill.period_start for bill in facts.bills}
    if not facts.installations:
        return
    period = Period.holding(min(one.installed_at for one in facts.installations), zone)
    while True:
        start_at, end_at = period.bounds(zone)
        if end_at + FORGOTTEN_AFTER > at:
            return
        hung = any(
            one.installed_at < end_at and (one.removed_at is None or one.removed_at > start_at)
            for one in facts.installations
        )
        if hung and period.start not in billed and period.start not in facts.held:
            yield Finding(
                kind=Kind.MONTH_FORGOTTEN,
                subject=f"{facts.account_id}/{period.label}",
                detail="neither billed nor held",
            )
        period = period.next()


def check_bill_transfers(facts: Facts) -> Iterator[Finding]:
    """Find bills that stand in the ledger otherwise than they were issued."""
    written = {one.transfer_id: one for one in facts.transfers}
    for bill in facts.bills:
        amount = BillAmount(
            account_id=bill.account_id,
            bill_no=bill.bill_no,
            net_minor=bill.net_minor,
            vat_minor=bill.vat_minor,
            currency=bill.currency,
        )
        expected = {one.transfer_id: one for one in bill_transfers(amount, at=bill.issued_at)}
        found = {
            name: one
            for name, one in written.items()
            if one.bill_no == bill.bill_no and name.startswith("bill/")
        }
        yield from compare_transfers(expected, found)


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
                kind=Kind.TRANSFER_WRONG, subject=subject, detail=_differences(one, wanted)
            )
    for name in found.keys() - expected.keys():
        yield Finding(
            kind=Kind.TRANSFER_UNEXPLAINED,
            subject=f"{found[name].account_id}/{name}",
            detail="no bill and no debit accounts for it",
        )


def _about(usage: Usage, kind: Kind, detail: str) -> Finding:
    return Finding(kind=kind, subject=_stretch(usage.meter_id, usage.from_at), detail=detail)


def _stretch(meter_id: str, from_at: datetime) -> str:
    return f"{meter_id} from {from_at.isoformat()}"


def _differences(found: Line | Bill | Transfer, wanted: Line | Bill | Transfer) -> str:
    parts = [
        f"{field.name} {getattr(found, field.name)}, should be {getattr(wanted, field.name)}"
        for field in fields(found)
        if getattr(found, field.name) != getattr(wanted, field.name)
    ]
    return "; ".join(parts)
