"""From gas used to money: the same rules as the set-based run, written a second time in Python.

The run in sql/bills.sql prices a country at a time; this prices one account. The audit and the
worked bills in tests/vectors compare the two, so a mistake must be made twice to go unseen.

    usage --cut at changes of price, VAT and terms--> parts --fill the bands in order--> lines
    lines of a social household --> discounts         days of supply --> standing charges
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import groupby

from billing.bill import Charge, ChargeKind, HoldReason, Line, Quality
from billing.money import BASIS_POINTS, round_div, round_half_up_div, vat_minor
from billing.period import Period, local_day, midnight
from billing.tariff import BandPrice, NormPer, PriceInterval
from billing.terms import TermSpan

_DAY = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Gas used by one installation between two instants, from register to register, in dm3."""

    meter_id: str
    installed_at: datetime
    account_id: str
    supply_point_id: str
    from_at: datetime
    to_at: datetime
    opening_register_dm3: int
    opening_turns: int
    opening_read_at: datetime
    closing_register_dm3: int
    closing_turns: int
    closing_read_at: datetime
    volume_dm3: int
    opening_quality: Quality = Quality.READ
    closing_quality: Quality = Quality.READ
    energy_wh: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated:
    """What an account owes for a period, item by item."""

    lines: tuple[Line, ...]
    charges: tuple[Charge, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpriced:
    """A stretch of gas that cannot be priced, and why."""

    meter_id: str
    reason: HoldReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Household:
    """What must be known of an account to price its gas."""

    currency: str
    spans: Sequence[TermSpan]
    period: Period
    zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """The share of a stretch that has one price, one VAT rate and one set of terms."""

    usage: Usage
    price: PriceInterval
    span: TermSpan
    from_at: datetime
    to_at: datetime
    days: int
    days_of: int = 0
    volume_dm3: int = 0
    energy_wh: int | None = None

    @property
    def quantity(self) -> int:
        """Return what is priced: dm3, or Wh."""
        return (self.energy_wh or 0) if self.price.tariff.per_energy else self.volume_dm3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filled:
    """The gas of a part that lies in one band: from one quantity of its group to another."""

    part: _Part
    band: BandPrice
    low: int
    high: int
    volume_dm3: int


def volume_dm3(usage: Usage, *, dial_dm3: int) -> int:
    """Return the gas between the two registers of a usage, in dm3, counting turns of the dial."""
    opening_dm3 = usage.opening_turns * dial_dm3 + usage.opening_register_dm3
    closing_dm3 = usage.closing_turns * dial_dm3 + usage.closing_register_dm3
    return closing_dm3 - opening_dm3


def rate(
    usages: Iterable[Usage], prices: Sequence[PriceInterval], household: Household
) -> Rated | Unpriced:
    """Price every usage of one account; one that cannot be priced holds all of them."""
    parts: list[_Part] = []
    in_order = sorted(usages, key=lambda one: (one.meter_id, one.from_at))
    for usage in in_order:
        cut = tuple(_parts(usage, prices, household))
        if sum((part.to_at - part.from_at for part in cut), timedelta()) != (
            usage.to_at - usage.from_at
        ):
            return Unpriced(meter_id=usage.meter_id, reason=HoldReason.NO_PRICE)
        if usage.energy_wh is None and any(part.price.tariff.per_energy for part in cut):
            return Unpriced(meter_id=usage.meter_id, reason=HoldReason.NO_ENERGY)
        parts.extend(_shares(usage, cut))
    if not parts:
        return Rated(lines=(), charges=())
    supply = (
        local_day(min(one.from_at for one in in_order), household.zone),
        local_day(max(one.to_at for one in in_order) - _INSTANT, household.zone) + _DAY,
    )
    numbered = [
        (_line(line_no, filled), filled)
        for line_no, filled in enumerate(
            sorted(_fill(parts, household, supply), key=_place_on_bill), start=1
        )
    ]
    charges = [
        *_discounts(numbered, household, supply),
        *_standing(prices, household, supply),
    ]
    return Rated(
        lines=tuple(line for line, _ in numbered),
        charges=tuple(
            replace(charge, charge_no=charge_no)
            for charge_no, charge in enumerate(charges, start=1)
        ),
    )


def _parts(usage: Usage, prices: Iterable[PriceInterval], household: Household) -> Iterator[_Part]:
    for span in household.spans:
        span_from = midnight(span.from_day, household.zone)
        span_to = midnight(span.to_day, household.zone)
        for price in prices:
            if (price.tariff.tariff_code, price.tariff.currency) != (
                span.tariff_code,
                household.currency,
            ):
                continue
            from_at = max(usage.from_at, span_from, price.from_at)
            to_at = min(usage.to_at, span_to, price.to_at)
            if from_at < to_at:
                yield _Part(
                    usage=usage,
                    price=price,
                    span=span,
                    from_at=from_at,
                    to_at=to_at,
                    days=_days(from_at, to_at, household.zone),
                )


def _days(from_at: datetime, to_at: datetime, zone: str) -> int:
    """Count the local days that a stretch touches."""
    return (local_day(to_at - _INSTANT, zone) - local_day(from_at, zone)).days + 1


def _shares(usage: Usage, parts: Iterable[_Part]) -> Iterator[_Part]:
    """Share out a stretch by days, so that its parts always add up to it."""
    in_order = sorted(parts, key=lambda part: part.from_at)
    days_of = sum(part.days for part in in_order)
    passed = 0
    for part in in_order:
        before, passed = passed, passed + part.days

        def share(whole: int, before: int = before, passed: int = passed) -> int:
            return round_half_up_div(whole * passed, days_of) - round_half_up_div(
                whole * before, days_of
            )

        yield replace(
            part,
            days_of=days_of,
            volume_dm3=share(usage.volume_dm3),
            energy_wh=share(usage.energy_wh or 0) if part.price.tariff.per_energy else None,
        )


def _fill(
    parts: Iterable[_Part], household: Household, supply: tuple[date, date]
) -> Iterator[_Filled]:
    """Let the gas of each group of days fill its bands, in the order in which it was used."""
    for _, group in groupby(sorted(parts, key=_group), key=_group):
        used = 0
        in_order = sorted(
            group, key=lambda one: (one.from_at, one.usage.supply_point_id, one.usage.meter_id)
        )
        for part in in_order:
            before, used = used, used + part.quantity
            yield from _in_bands(part, before, used, household, supply)


def _group(part: _Part) -> tuple[date, date]:
    return part.span.from_day, part.price.tariff.valid_from


def _in_bands(
    part: _Part, before: int, used: int, household: Household, supply: tuple[date, date]
) -> Iterator[_Filled]:
    low, volume_left = 0, part.volume_dm3
    for band in part.price.bands:
        high = None if band.up_to is None else _scaled(band.up_to, part, household, supply)
        first, last = max(before, low), used if high is None else min(used, high)
        if first < last or (before == used and low <= before and (high is None or before < high)):
            volume = last - first
            if before == used:
                volume = part.volume_dm3
            elif part.price.tariff.per_energy:
                volume = _volume_of(part, last - before) - _volume_of(part, first - before)
            volume_left -= volume
            yield _Filled(part=part, band=band, low=first, high=last, volume_dm3=volume)
        low = low if high is None else high
    assert volume_left == 0, "bands leave no gas out"


def _volume_of(part: _Part, energy_wh: int) -> int:
    """Return the volume of the first so many Wh of a part."""
    return round_half_up_div(part.volume_dm3 * energy_wh, part.energy_wh or 1)


def _scaled(norm: int, part: _Part, household: Household, supply: tuple[date, date]) -> int:
    """Return a month's norm for the days on which these terms and this tariff hold."""
    tariff, period = part.price.tariff, household.period
    first = max(part.span.from_day, tariff.valid_from, supply[0])
    last = min(part.span.to_day, tariff.valid_to or period.end, supply[1])
    heads = part.span.persons if tariff.norm_per is NormPer.PERSON else 1
    return round_half_up_div(norm * heads * (last - first).days, (period.end - period.start).days)


def _place_on_bill(filled: _Filled) -> tuple[str, datetime, str, int]:
    usage = filled.part.usage
    return usage.supply_point_id, filled.part.from_at, usage.meter_id, filled.band.band_no


def _line(line_no: int, filled: _Filled) -> Line:
    part, usage, tariff = filled.part, filled.part.usage, filled.part.price.tariff
    net_minor = round_div(
        (filled.high - filled.low) * filled.band.net_minor * filled.band.multiplier_bp,
        tariff.quantity_per_price * BASIS_POINTS,
        tariff.rounding,
    )
    vat_rate_bp = part.price.vat_rate_bp
    return Line(
        line_no=line_no,
        meter_id=usage.meter_id,
        supply_point_id=usage.supply_point_id,
        from_at=part.from_at,
        to_at=part.to_at,
        opening_register_dm3=usage.opening_register_dm3,
        opening_read_at=usage.opening_read_at,
        closing_register_dm3=usage.closing_register_dm3,
        closing_read_at=usage.closing_read_at,
        volume_dm3=filled.volume_dm3,
        tariff_code=tariff.tariff_code,
        tariff_valid_from=tariff.valid_from,
        net_minor_per_1000_m3=None if tariff.per_energy else filled.band.net_minor,
        vat_rate_bp=vat_rate_bp,
        net_minor=net_minor,
        vat_minor=vat_minor(net_minor=net_minor, vat_rate_bp=vat_rate_bp, rounding=tariff.rounding),
        band_no=filled.band.band_no,
        multiplier_bp=filled.band.multiplier_bp,
        energy_wh=filled.high - filled.low if tariff.per_energy else None,
        net_minor_per_gwh=filled.band.net_minor if tariff.per_energy else None,
        days=part.days,
        days_of=part.days_of,
        opening_quality=usage.opening_quality,
        closing_quality=usage.closing_quality,
    )


def _discounts(
    numbered: Iterable[tuple[Line, _Filled]], household: Household, supply: tuple[date, date]
) -> Iterator[Charge]:
    for line, filled in numbered:
        part, tariff = filled.part, filled.part.price.tariff
        if not part.span.social or tariff.discount_bp == 0:
            continue
        norm = part.price.discount_norm
        end = filled.high if norm is None else _scaled(norm, part, household, supply)
        eligible = min(filled.high, end) - filled.low
        if eligible <= 0:
            continue
        net_minor = -round_div(
            eligible * filled.band.net_minor * filled.band.multiplier_bp * tariff.discount_bp,
            tariff.quantity_per_price * BASIS_POINTS * BASIS_POINTS,
            tariff.rounding,
        )
        yield Charge(
            charge_no=0,
            kind=ChargeKind.DISCOUNT,
            from_day=local_day(line.from_at, household.zone),
            to_day=local_day(line.to_at - _INSTANT, household.zone) + _DAY,
            tariff_code=tariff.tariff_code,
            tariff_valid_from=tariff.valid_from,
            line_no=line.line_no,
            quantity=eligible,
            detail={},
            vat_rate_bp=line.vat_rate_bp,
            net_minor=net_minor,
            vat_minor=vat_minor(
                net_minor=net_minor, vat_rate_bp=line.vat_rate_bp, rounding=tariff.rounding
            ),
        )


def _standing(
    prices: Iterable[PriceInterval], household: Household, supply: tuple[date, date]
) -> Iterator[Charge]:
    month = (household.period.end - household.period.start).days
    for span in household.spans:
        for price in prices:
            tariff = price.tariff
            if (tariff.tariff_code, tariff.currency) != (span.tariff_code, household.currency):
                continue
            first = max(span.from_day, price.from_day, supply[0])
            last = min(span.to_day, price.to_day, supply[1])
            per_day = 1000 * tariff.standing_net_minor_per_month
            per_day += month * tariff.standing_net_minor_per_1000_days
            if first >= last or per_day == 0:
                continue
            days = (last - first).days
            net_minor = round_div(days * per_day, 1000 * month, tariff.rounding)
            yield Charge(
                charge_no=0,
                kind=ChargeKind.STANDING,
                from_day=first,
                to_day=last,
                tariff_code=tariff.tariff_code,
                tariff_valid_from=tariff.valid_from,
                line_no=None,
                quantity=days,
                detail={},
                vat_rate_bp=price.vat_rate_bp,
                net_minor=net_minor,
                vat_minor=vat_minor(
                    net_minor=net_minor, vat_rate_bp=price.vat_rate_bp, rounding=tariff.rounding
                ),
            )
