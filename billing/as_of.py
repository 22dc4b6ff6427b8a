"""What the bill of one account for one month would have been with what was known by an instant.

    what had come and been said by then --a register at each boundary--> gas --rate--> the bill

A register is found as the run finds it. Gas that a bill had asked for by then was measured by then,
so its registers stay, but for corrections that had been said; everything else is measured from the
readings that had come. What a bill carries besides its month is left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from itertools import pairwise
from typing import Final

from billing import rating
from billing.bill import BillKind, Charge, ChargeKind, Line, Quality
from billing.period import Period, midnight
from billing.rating import Household, Unpriced, Usage
from billing.remeasure import Point, energy_wh, points
from billing.tariff import Tariff, VatRate, cuts, price_intervals
from billing.terms import Terms, spans
from metering.consumption import register_at
from metering.installation import Installation
from metering.reading import Mark

# What a bill asks for besides its own month.
LEFT_OUT: Final = (ChargeKind.ADJUSTMENT, ChargeKind.PENALTY)

# The run takes no more turns of a dial in one stretch: the volume must fit 64 bits.
_VOLUME_DM3_MAX: Final = 9_000_000_000_000_000


class Why(StrEnum):
    """Why no bill can be said."""

    NO_INSTALLATION = "no_installation"
    NO_OPENING_REGISTER = "no_opening_register"
    NO_CLOSING_REGISTER = "no_closing_register"
    NO_PRICE = "no_price"
    NO_ENERGY = "no_energy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """One installation in the month, and how much its dial can show."""

    installation: Installation
    dial_dm3: int

    @property
    def key(self) -> tuple[str, datetime]:
        """Return what names the installation."""
        return self.installation.meter_id, self.installation.installed_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Gas:
    """Gas as its measurement held at the instant; ``billed`` says that its month had a bill."""

    period_start: date
    usage: Usage
    billed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What was known of one account by an instant.

    ``gas`` lies in the month or touches it; ``corrected`` holds registers by meter and when they
    were read; by installation and boundary, ``registers`` holds the latest trusted ones and
    ``estimated`` those that had been made up.
    """

    account_id: str
    currency: str
    opened_with: str
    stays: Sequence[Stay]
    terms: Sequence[Terms]
    gas: Sequence[Gas]
    corrected: Mapping[tuple[str, datetime], Mark]
    estimated: Mapping[tuple[str, datetime, datetime], Mark]
    registers: Mapping[tuple[str, datetime, datetime], Mark] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """The month that is asked for, in the town's zone, with all prices and VAT rates."""

    period: Period
    zone: str
    tariffs: Sequence[Tariff]
    vat_rates: Sequence[VatRate]


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """The register that stands for a boundary of the gas, and how it came to be known."""

    meter_id: str
    boundary_at: datetime
    read_at: datetime
    register_dm3: int
    turns: int
    quality: Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """A month's own gas in dm3 and what it costs, in minor units."""

    volume_dm3: int
    net_minor: int
    vat_minor: int

    @property
    def total_minor(self) -> int:
        """Return net and VAT together."""
        return self.net_minor + self.vat_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The bill as it would have been."""

    lines: tuple[Line, ...]
    charges: tuple[Charge, ...]
    sums: Sums
    registers: tuple[Register, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsaid:
    """Why there would have been no bill, the meter to look at, and the registers there were."""

    why: Why
    meter_id: str | None
    registers: tuple[Register, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stood:
    """The bill in force at an instant; ``sums`` are those of its month alone."""

    bill_no: str
    kind: BillKind
    issued_at: datetime
    total_minor: int
    sums: Sums


@dataclass(frozen=True, slots=True, kw_only=True)
class AsOf:
    """The answer: the bill as of an instant, as of now, and the bill that stood then."""

    account_id: str
    period: Period
    currency: str
    at: datetime
    then: Said | Unsaid
    today: Said | Unsaid
    stood: Stood | None

    @property
    def differs_today(self) -> bool | None:
        """Say whether today's facts give another bill than the one that stood, if one did."""
        if self.stood is None or isinstance(self.today, Unsaid):
            return None
        return self.today.sums != self.stood.sums


def boundaries(stay: Stay, past: Past, month: Month) -> list[datetime]:
    """Return where the gas of an installation is cut, from its first instant to its last.

    Gas that was billed stays cut as it was. Else a price or a word on the terms cuts where a
    register is known.
    """
    billed = [one.usage for one in past.gas if one.billed and _is_of(stay, one, month.period)]
    if billed:
        return sorted({at for one in billed for at in (one.from_at, one.to_at)})
    start_at, end_at = month.period.bounds(month.zone)
    home = stay.installation
    begins_at = max(home.installed_at, start_at)
    ends_at = end_at if home.removed_at is None else min(home.removed_at, end_at)
    words = [word for word in past.terms if word.valid_from < month.period.end]
    codes = {None, past.opened_with} | {word.tariff_code for word in words}
    inside = {
        cut.at
        for cut in cuts(month.tariffs, month.vat_rates, month.period, month.zone)
        if cut.tariff_code in codes
    } | {midnight(word.valid_from, month.zone) for word in words}
    return [begins_at, *sorted(at for at in inside if begins_at < at < ends_at), ends_at]


def as_of(past: Past, month: Month) -> Said | Unsaid:
    """Return the bill of a month as it would have been, or why there would have been none."""
    usages: list[Usage] = []
    registers: list[Register] = []
    lacking: Unsaid | None = None
    for stay in past.stays:
        instants = boundaries(stay, past, month)
        found = _points(stay, past, instants)
        registers += [_register(stay, at, point) for at, point in found.items()]
        gas = _measured(stay, found, instants)
        if isinstance(gas, Why):
            lacking = lacking or Unsaid(why=gas, meter_id=stay.installation.meter_id)
        else:
            usages += [replace(one, energy_wh=_energy_wh(one, past)) for one in gas]
    if lacking is not None:
        return replace(lacking, registers=tuple(registers))
    if not past.stays:
        return Unsaid(why=Why.NO_INSTALLATION, meter_id=None)
    household = Household(
        currency=past.currency,
        spans=spans(past.terms, opened_with=past.opened_with, period=month.period),
        period=month.period,
        zone=month.zone,
    )
    prices = price_intervals(month.tariffs, month.vat_rates, month.period, month.zone)
    rated = rating.rate(usages, prices, household)
    if isinstance(rated, Unpriced):
        return Unsaid(why=Why(rated.reason), meter_id=rated.meter_id, registers=tuple(registers))
    items: tuple[Line | Charge, ...] = (*rated.lines, *rated.charges)
    return Said(
        lines=rated.lines,
        charges=rated.charges,
        sums=Sums(
            volume_dm3=sum(line.volume_dm3 for line in rated.lines),
            net_minor=sum(one.net_minor for one in items),
            vat_minor=sum(one.vat_minor for one in items),
        ),
        registers=tuple(registers),
    )


def _is_of(stay: Stay, gas: Gas, period: Period) -> bool:
    key = (gas.usage.meter_id, gas.usage.installed_at)
    return key == stay.key and gas.period_start == period.start


def _points(stay: Stay, past: Past, instants: Sequence[datetime]) -> dict[datetime, Point]:
    """Return the registers that stand for these instants, where there is one."""
    billed = points(
        one.usage
        for one in past.gas
        if one.billed and (one.usage.meter_id, one.usage.installed_at) == stay.key
    )
    found = {at: _point(stay, at, billed.get(at), past) for at in instants}
    return {at: point for at, point in found.items() if point is not None}


def _point(stay: Stay, at: datetime, billed: Point | None, past: Past) -> Point | None:
    read = past.registers.get((*stay.key, at))
    if billed is not None and billed.quality is Quality.ESTIMATED and read is not None:
        # A register that came after all takes the place of its estimate.
        billed = None
    chained = {}
    if billed is not None:
        mark = billed.mark
        if billed.quality is Quality.READ:
            mark = past.corrected.get((stay.installation.meter_id, mark.read_at), mark)
        chained[at] = mark
    found = register_at(
        at,
        installation=stay.installation,
        chained=chained,
        billable=() if read is None else (read,),
    )
    if found is None:
        estimate = past.estimated.get((*stay.key, at))
        return None if estimate is None else Point(mark=estimate, quality=Quality.ESTIMATED)
    return Point(mark=found, quality=Quality.READ if billed is None else billed.quality)


def _register(stay: Stay, at: datetime, point: Point) -> Register:
    return Register(
        meter_id=stay.installation.meter_id,
        boundary_at=at,
        read_at=point.mark.read_at,
        register_dm3=point.mark.register_dm3,
        turns=point.mark.turns,
        quality=point.quality,
    )


def _measured(
    stay: Stay, found: Mapping[datetime, Point], instants: Sequence[datetime]
) -> list[Usage] | Why:
    """Return the gas between the registers of one installation, or which register lacks."""
    if instants[0] not in found:
        return Why.NO_OPENING_REGISTER
    if instants[-1] not in found:
        return Why.NO_CLOSING_REGISTER
    gas = list(_stretches(stay, found))
    turns_max = _VOLUME_DM3_MAX // stay.dial_dm3 - 1
    for one in gas:
        # A register below the one before it is none to bill from.
        if one.volume_dm3 < 0 or one.closing_turns - one.opening_turns > turns_max:
            return Why.NO_CLOSING_REGISTER
    return gas


def _stretches(stay: Stay, found: Mapping[datetime, Point]) -> Iterator[Usage]:
    home = stay.installation
    for (from_at, opening), (to_at, closing) in pairwise(sorted(found.items(), key=_instant)):
        usage = Usage(
            meter_id=home.meter_id,
            installed_at=home.installed_at,
            account_id=home.account_id,
            supply_point_id=home.supply_point_id,
            from_at=from_at,
            to_at=to_at,
            opening_register_dm3=opening.mark.register_dm3,
            opening_turns=opening.mark.turns,
            opening_read_at=opening.mark.read_at,
            closing_register_dm3=closing.mark.register_dm3,
            closing_turns=closing.mark.turns,
            closing_read_at=closing.mark.read_at,
            volume_dm3=0,
            opening_quality=opening.quality,
            closing_quality=closing.quality,
        )
        yield replace(usage, volume_dm3=rating.volume_dm3(usage, dial_dm3=stay.dial_dm3))


def _instant(item: tuple[datetime, Point]) -> datetime:
    return item[0]


def _energy_wh(usage: Usage, past: Past) -> int | None:
    """Return the energy of a stretch, in proportion to what was known of the same one."""
    for one in past.gas:
        known = one.usage
        if (known.meter_id, known.from_at, known.to_at) == (
            usage.meter_id,
            usage.from_at,
            usage.to_at,
        ):
            return energy_wh(known, usage.volume_dm3)
    return None
