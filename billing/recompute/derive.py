"""Work out a bill from its record: what docs/bill-record.md says, written a third time.

    usages --(cut at midnights where price, VAT or terms change)--> parts
    parts  --(bands of their span)--> lines --> discounts
    days of each span --> standing charges

Fractions are exact; a sum is rounded once, when it becomes a line or a charge.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from math import floor
from typing import Final

from .record import WHOLE_BP, Record, Tariff, Terms, Usage, after_month
from .strict import RecordError, Value

# A price is for 1000 m3 in dm3, or for one GWh in Wh.
PER_1000_M3: Final = 1_000_000
PER_GWH: Final = 1_000_000_000

Made = dict[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Days of supply with the same terms and the same version of a tariff."""

    from_day: date
    to_day: date
    terms: Terms
    tariff: Tariff

    @property
    def days(self) -> int:
        """Return how many days it has."""
        return (self.to_day - self.from_day).days


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A usage, or what lies of it between two changes."""

    usage: Usage
    span: Span
    vat_rate_bp: int
    from_at: datetime
    to_at: datetime
    from_day: date
    to_day: date
    days_of: int
    volume_dm3: int
    energy_wh: int | None

    @property
    def days(self) -> int:
        """Return how many local days it touches."""
        return (self.to_day - self.from_day).days


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What lies of a part in one band, and how much of it the discount is for."""

    part: Part
    band_no: int
    multiplier_bp: int
    net_minor: int
    volume_dm3: int
    energy_wh: int | None
    discounted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """The lines and charges that a bill should have, by their columns."""

    lines: tuple[Made, ...]
    charges: tuple[Made, ...]


def derive(record: Record) -> Derived:
    """Work out the lines and charges of a bill.

    Raises:
        RecordError: a day of supply has no price or no VAT, or gas has no energy that needs one.
    """
    if not record.usages:
        return Derived(lines=(), charges=())
    spans = _spans(record)
    parts = [part for usage in record.usages for part in _parts(record, usage, spans)]
    slices = [found for span in spans for found in _fill(record, span, parts)]
    slices.sort(key=_place)
    lines = tuple(_line(number, one) for number, one in enumerate(slices, start=1))
    charges = [_discount(number, one) for number, one in enumerate(slices, 1) if one.discounted]
    charges += [made for span in spans for made in _standing(record, span)]
    return Derived(lines=lines, charges=tuple(charges))


def rounded(exact: Fraction, rounding: str) -> int:
    """Round what is not negative as a tariff says."""
    if rounding == "down":
        return floor(exact)
    if rounding == "half_even":
        return round(exact)
    return floor(exact + Fraction(1, 2))


def gas_net_minor(quantity: int, price: int, multiplier_bp: int, *, per_energy: bool) -> Fraction:
    """Return what gas costs without VAT, exactly."""
    per = PER_GWH if per_energy else PER_1000_M3
    return Fraction(quantity * price * multiplier_bp, per * WHOLE_BP)


def volume_dm3(usage: Usage) -> int:
    """Return the way of the dial between two registers."""
    turns = usage.closing.turns - usage.opening.turns
    return turns * usage.dial_dm3 + usage.closing.register_dm3 - usage.opening.register_dm3


def start_of(record: Record, day: date) -> datetime:
    """Return the instant at which a local day begins."""
    return datetime.combine(day, time(), record.zone).astimezone(UTC)


def _day_of(record: Record, at: datetime) -> date:
    return at.astimezone(record.zone).date()


def _last_day(record: Record, at: datetime) -> date:
    return _day_of(record, at - timedelta(microseconds=1))


def _supply(record: Record) -> tuple[date, date]:
    """Return the first day of supply and the first one after it."""
    first = min(_day_of(record, usage.from_at) for usage in record.usages)
    last = max(_last_day(record, usage.to_at) for usage in record.usages)
    return first, last + timedelta(days=1)


def _spans(record: Record) -> list[Span]:
    first, end = _supply(record)
    found = []
    for terms in _merged(record.terms):
        for tariff in sorted(record.tariffs, key=lambda tariff: tariff.valid_from):
            if tariff.tariff_code != terms.tariff_code:
                continue
            from_day = max(first, terms.from_day, tariff.valid_from)
            to_day = min(end, terms.to_day, tariff.valid_to or end)
            if from_day < to_day:
                found.append(Span(from_day=from_day, to_day=to_day, terms=terms, tariff=tariff))
    return sorted(found, key=lambda span: span.from_day)


def _merged(terms: Sequence[Terms]) -> list[Terms]:
    """Put consecutive terms that say the same together."""
    found: list[Terms] = []
    for one in terms:
        if found and replace(found[-1], from_day=one.from_day, to_day=one.to_day) == one:
            found[-1] = replace(found[-1], to_day=one.to_day)
        else:
            found.append(one)
    return found


def _vat(record: Record, from_day: date, to_day: date) -> list[tuple[date, date, int]]:
    """Return the days between two by what was said about VAT."""
    found: list[tuple[date, date, int]] = []
    rates = list(record.vat_rates)
    ends = [valid_from for valid_from, _ in rates[1:]] + [to_day]
    for (valid_from, rate_bp), valid_to in zip(rates, ends, strict=True):
        start, end = max(from_day, valid_from), min(to_day, valid_to)
        if start < end:
            found.append((start, end, rate_bp))
    return found


def _parts(record: Record, usage: Usage, spans: Sequence[Span]) -> Iterator[Part]:
    """Cut a usage at the midnights where something changes, and share its gas by days."""
    first, end = _day_of(record, usage.from_at), _last_day(record, usage.to_at) + timedelta(days=1)
    cells = [
        (start, stop, rate_bp, span)
        for span in spans
        if span.from_day < end and first < span.to_day
        for start, stop, rate_bp in _vat(record, max(first, span.from_day), min(end, span.to_day))
    ]
    _demand_whole(cells, first, end)
    way = volume_dm3(usage)
    if way < 0:
        raise RecordError(f"usages: the dial of {usage.meter_id!a} went backwards by {-way} dm3")
    done = 0
    for start, stop, rate_bp, span in cells:
        before, done = done, done + (stop - start).days
        if span.tariff.per_energy and usage.energy_wh is None:
            raise RecordError(f"usages: {usage.meter_id!a} has no energy, its price is per energy")
        yield Part(
            usage=usage,
            span=span,
            vat_rate_bp=rate_bp,
            from_at=usage.from_at if start == first else start_of(record, start),
            to_at=usage.to_at if stop == end else start_of(record, stop),
            from_day=start,
            to_day=stop,
            days_of=(end - first).days,
            volume_dm3=_share(way, before, done, (end - first).days),
            energy_wh=(
                _share(usage.energy_wh or 0, before, done, (end - first).days)
                if span.tariff.per_energy
                else None
            ),
        )


def _demand_whole(cells: Sequence[tuple[date, date, int, Span]], first: date, end: date) -> None:
    """Refuse gas of a day on which no price or no VAT holds."""
    expected = first
    for start, stop, _, _ in cells:
        if start != expected:
            break
        expected = stop
    if expected != end:
        raise RecordError(
            f"tariffs, vat_rates: there is gas but no price, or no VAT, on {expected}"
        )


def _share(whole: int, before: int, after: int, of: int) -> int:
    """Return what falls between two marks, so that all shares add up to the whole."""
    return _half_up(whole * after, of) - _half_up(whole * before, of)


def _half_up(numerator: int, denominator: int) -> int:
    return rounded(Fraction(numerator, denominator), "half_up")


def _norm(record: Record, span: Span, whole_month: int) -> int:
    """Return the share of a month's norm that a span has."""
    persons = span.terms.persons if span.tariff.per_person else 1
    month = after_month(record.from_day) - record.from_day.replace(day=1)
    return _half_up(whole_month * persons * span.days, month.days)


def _season(record: Record, span: Span, usual: int | None, heating: int | None) -> int | None:
    """Return the figure of the month's season."""
    if heating is not None and record.from_day.month in span.tariff.heating_months:
        return heating
    return usual


def _bounds(record: Record, span: Span) -> list[tuple[int, int | None, int, int]]:
    """Return number, end, multiplier and price of a span's bands; the last has no end."""
    if not span.tariff.bands:
        return [(1, None, WHOLE_BP, span.tariff.net_minor)]
    found = []
    for number, band in enumerate(span.tariff.bands, start=1):
        up_to = _season(record, span, band.up_to, band.up_to_heating)
        end = None if up_to is None else _norm(record, span, up_to)
        price = span.tariff.net_minor if band.net_minor is None else band.net_minor
        found.append((number, end, band.multiplier_bp, price))
    return found


def _discount_norm(record: Record, span: Span) -> int | None:
    """Return how much of a span's gas the discount is for; None: all of it."""
    if not span.terms.social or not span.tariff.discount_bp:
        return 0
    norm = _season(record, span, span.tariff.discount_norm, span.tariff.discount_norm_heating)
    return None if norm is None else _norm(record, span, norm)


def _fill(record: Record, span: Span, parts: Sequence[Part]) -> Iterator[Slice]:
    """Let a span's gas fill its bands, and the discount's norm, in order."""
    bounds, norm = _bounds(record, span), _discount_norm(record, span)
    mine = [part for part in parts if part.span is span]
    mine.sort(key=lambda p: (p.from_at, p.usage.supply_point_id, p.usage.meter_id))
    place = 0
    for part in mine:
        quantity = part.volume_dm3 if part.energy_wh is None else part.energy_wh
        start = place
        for number, end, multiplier_bp, price in bounds:
            if end is not None and end <= place:
                continue
            stop = start + quantity if end is None else min(end, start + quantity)
            energy_wh, gas_dm3 = None, stop - place
            if part.energy_wh is not None:
                energy_wh = stop - place
                gas_dm3 = (
                    _share(part.volume_dm3, place - start, stop - start, quantity)
                    if quantity
                    else part.volume_dm3
                )
            eligible = stop - place if norm is None else max(0, min(stop, norm) - place)
            yield Slice(
                part=part,
                band_no=number,
                multiplier_bp=multiplier_bp,
                net_minor=price,
                volume_dm3=gas_dm3,
                energy_wh=energy_wh,
                discounted=eligible,
            )
            place = stop
            if place == start + quantity:
                break


def _place(one: Slice) -> tuple[str, datetime, str, int]:
    usage = one.part.usage
    return (usage.supply_point_id, one.part.from_at, usage.meter_id, one.band_no)


def _line(number: int, one: Slice) -> Made:
    part, usage, tariff = one.part, one.part.usage, one.part.span.tariff
    quantity = one.volume_dm3 if one.energy_wh is None else one.energy_wh
    exact = gas_net_minor(quantity, one.net_minor, one.multiplier_bp, per_energy=tariff.per_energy)
    net_minor = rounded(exact, tariff.rounding)
    return {
        "line_no": number,
        "meter_id": usage.meter_id,
        "supply_point_id": usage.supply_point_id,
        "from_at": part.from_at,
        "to_at": part.to_at,
        "opening_register_dm3": usage.opening.register_dm3,
        "opening_read_at": usage.opening.read_at,
        "closing_register_dm3": usage.closing.register_dm3,
        "closing_read_at": usage.closing.read_at,
        "volume_dm3": one.volume_dm3,
        "tariff_code": tariff.tariff_code,
        "tariff_valid_from": tariff.valid_from,
        "net_minor_per_1000_m3": None if tariff.per_energy else one.net_minor,
        "vat_rate_bp": part.vat_rate_bp,
        "net_minor": net_minor,
        "vat_minor": vat_minor(net_minor, part.vat_rate_bp, tariff.rounding),
        "band_no": one.band_no,
        "multiplier_bp": one.multiplier_bp,
        "energy_wh": one.energy_wh,
        "net_minor_per_gwh": one.net_minor if tariff.per_energy else None,
        "days": part.days,
        "days_of": part.days_of,
        "opening_quality": usage.opening.quality,
        "closing_quality": usage.closing.quality,
    }


def vat_minor(net_minor: int, vat_rate_bp: int, rounding: str) -> int:
    """Return the VAT on a net sum that is not negative."""
    return rounded(Fraction(net_minor * vat_rate_bp, WHOLE_BP), rounding)


def _discount(line_no: int, one: Slice) -> Made:
    """Return what a line is let off; of negative sums the positive one is rounded."""
    part, tariff = one.part, one.part.span.tariff
    exact = gas_net_minor(
        one.discounted, one.net_minor, one.multiplier_bp, per_energy=tariff.per_energy
    )
    net_minor = rounded(exact * tariff.discount_bp / WHOLE_BP, tariff.rounding)
    return {
        "kind": "discount",
        "from_day": part.from_day,
        "to_day": part.to_day,
        "tariff_code": tariff.tariff_code,
        "tariff_valid_from": tariff.valid_from,
        "line_no": line_no,
        "quantity": one.discounted,
        "vat_rate_bp": part.vat_rate_bp,
        "net_minor": -net_minor,
        "vat_minor": -vat_minor(net_minor, part.vat_rate_bp, tariff.rounding),
    }


def _standing(record: Record, span: Span) -> Iterator[Made]:
    """Yield the standing charge of a span, one for each VAT rate."""
    tariff = span.tariff
    if not tariff.standing_net_minor_per_1000_days and not tariff.standing_net_minor_per_month:
        return
    month = after_month(record.from_day) - record.from_day.replace(day=1)
    for from_day, to_day, rate_bp in _vat(record, span.from_day, span.to_day):
        days = (to_day - from_day).days
        exact = Fraction(days * tariff.standing_net_minor_per_1000_days, 1000)
        exact += Fraction(days * tariff.standing_net_minor_per_month, month.days)
        net_minor = rounded(exact, tariff.rounding)
        yield {
            "kind": "standing",
            "from_day": from_day,
            "to_day": to_day,
            "tariff_code": tariff.tariff_code,
            "tariff_valid_from": tariff.valid_from,
            "line_no": None,
            "quantity": days,
            "vat_rate_bp": rate_bp,
            "net_minor": net_minor,
            "vat_minor": vat_minor(net_minor, rate_bp, tariff.rounding),
        }
