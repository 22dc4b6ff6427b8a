"""Why a bill differs from an earlier one: the difference split into parts that add up to it.

One thing after the other changes from the earlier bill to this one, and each change has its cost:

    days      as much gas and standing charge per day as before, for this bill's days
    weather   the gas that the earlier use per degree day gives for this bill's cold
    volume    the rest of the gas, at the earlier bill's average price
    price     this bill's average price for this bill's gas, and its standing charge per day
    vat       this bill's VAT rate on this bill's net sum
    other     charges that are neither gas nor standing: in full, with their VAT

All but the last two carry the earlier VAT rate. The parts are fractions whose sum is whole; each is
rounded down, and the tiyn that are left go to those that lost most.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Final

from billing.period import local_day
from billing.record import Json

# Below this (in tenths of a degree day, for a whole month) nobody heats, and a ratio means nothing.
COLD_TENTHS_MIN: Final = 1_000

_DAY: Final = timedelta(days=1)
_INSTANT: Final = timedelta(microseconds=1)


class Part(StrEnum):
    """What may have changed."""

    DAYS = "days"
    WEATHER = "weather"
    VOLUME = "volume"
    PRICE = "price"
    VAT = "vat"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """A bill in the few numbers that are compared; dm3, minor units, tenths of a degree day."""

    bill_no: str
    period_start: date
    days: int
    volume_dm3: int
    gas_net_minor: int
    standing_net_minor: int
    vat_minor: int
    other_minor: int
    total_minor: int
    degree_days_tenths: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """This bill beside an earlier one; the parts add up to ``difference_minor`` exactly."""

    now: Sums
    before: Sums
    parts: tuple[tuple[Part, int], ...]

    @property
    def difference_minor(self) -> int:
        """Return how much more this bill asks for than the earlier one."""
        return self.now.total_minor - self.before.total_minor


def sums(record: Json, *, degree_days_tenths: int | None) -> Sums:
    """Return what of a record is compared; ``degree_days_tenths`` are those of its supply."""
    first, end = supply(record)
    standing = [charge for charge in record["charges"] if charge["kind"] == "standing"]
    gas = record["lines"] + [one for one in record["charges"] if one["kind"] == "discount"]
    known = [*gas, *standing]
    total_minor = record["totals"]["total_minor"]
    net_minor = sum(part["net_minor"] for part in known)
    vat_minor = sum(part["vat_minor"] for part in known)
    return Sums(
        bill_no=record["bill_no"],
        period_start=date.fromisoformat(record["period"]["from"]),
        days=(end - first).days,
        volume_dm3=sum(line["volume_dm3"] for line in record["lines"]),
        gas_net_minor=sum(part["net_minor"] for part in gas),
        standing_net_minor=sum(part["net_minor"] for part in standing),
        vat_minor=vat_minor,
        other_minor=total_minor - net_minor - vat_minor,
        total_minor=total_minor,
        degree_days_tenths=degree_days_tenths,
    )


def supply(record: Json) -> tuple[date, date]:
    """Return the local days a bill is for: those with gas or a standing charge, else all."""
    zone = record["period"]["zone"]
    lines = record["lines"]
    starts = [local_day(datetime.fromisoformat(line["from_at"]), zone) for line in lines]
    ends = [
        local_day(datetime.fromisoformat(line["to_at"]) - _INSTANT, zone) + _DAY for line in lines
    ]
    for charge in record["charges"]:
        if charge["kind"] == "standing":
            starts.append(date.fromisoformat(charge["from_day"]))
            ends.append(date.fromisoformat(charge["to_day"]))
    if not starts:
        starts = [date.fromisoformat(record["period"]["from"])]
        ends = [date.fromisoformat(record["period"]["to"])]
    return min(starts), max(ends)


def compare(now: Sums, before: Sums) -> Comparison:
    """Split the difference between two bills."""
    rate = _vat_rate(before, instead=_vat_rate(now, instead=Fraction(0)))
    price = _price(before, instead=_price(now, instead=Fraction(0)))
    expected_dm3 = Fraction(before.volume_dm3 * now.days, before.days)
    expected_standing = Fraction(before.standing_net_minor * now.days, before.days)
    changes = {
        Part.DAYS: (
            (expected_dm3 - before.volume_dm3) * price
            + expected_standing
            - before.standing_net_minor
        ),
        Part.WEATHER: Fraction(0),
        Part.VOLUME: (now.volume_dm3 - expected_dm3) * price,
        Part.PRICE: (
            now.gas_net_minor
            - now.volume_dm3 * price
            + now.standing_net_minor
            - expected_standing
            - (before.gas_net_minor - before.volume_dm3 * price)
        ),
    }
    cold_dm3 = _followed_the_cold(now, before)
    if cold_dm3 is not None:
        changes[Part.WEATHER] = (cold_dm3 - expected_dm3) * price
        changes[Part.VOLUME] = (now.volume_dm3 - cold_dm3) * price
    net_minor = now.gas_net_minor + now.standing_net_minor
    exact = {part: change * (1 + rate) for part, change in changes.items()}
    # What the earlier rate does not explain is the tax's: its rate, and what lines rounded.
    before_net_minor = before.gas_net_minor + before.standing_net_minor
    exact[Part.VAT] = (now.vat_minor - net_minor * rate) - (
        before.vat_minor - before_net_minor * rate
    )
    exact[Part.OTHER] = Fraction(now.other_minor - before.other_minor)
    shared = _whole(list(exact.values()))
    parts = zip(exact, shared, strict=True)
    return Comparison(
        now=now,
        before=before,
        parts=tuple((part, minor) for part, minor in parts if part is not Part.WEATHER or cold_dm3),
    )


def _vat_rate(bill: Sums, *, instead: Fraction) -> Fraction:
    net_minor = bill.gas_net_minor + bill.standing_net_minor
    return Fraction(bill.vat_minor, net_minor) if net_minor else instead


def _price(bill: Sums, *, instead: Fraction) -> Fraction:
    return Fraction(bill.gas_net_minor, bill.volume_dm3) if bill.volume_dm3 else instead


def _followed_the_cold(now: Sums, before: Sums) -> Fraction | None:
    """Return the gas of the earlier use per degree day; None where the cold is not known."""
    colds = (now.degree_days_tenths, before.degree_days_tenths)
    if colds[0] is None or colds[1] is None or min(colds[0], colds[1]) < COLD_TENTHS_MIN:
        return None
    return Fraction(before.volume_dm3 * colds[0], colds[1])


def _whole(exact: Sequence[Fraction]) -> list[int]:
    """Round fractions whose sum is whole, so that it stays what it is."""
    total = sum(exact, Fraction(0))
    assert total.denominator == 1, "the parts of whole sums add up to a whole"
    floors = [part.numerator // part.denominator for part in exact]
    short = total.numerator - sum(floors)
    losers = sorted(range(len(exact)), key=lambda at: (floors[at] - exact[at], at))
    for at in losers[:short]:
        floors[at] += 1
    return floors
