"""The record of a bill, ``aqkol-bill/1``, read strictly and without our other code.

What stands in ``usages``, ``terms``, ``tariffs`` and ``vat_rates`` is what the bill was made of;
lines, charges and totals are what it claims.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from importlib.resources import files
from typing import Final
from zoneinfo import ZoneInfo

from .strict import At, Row, Value

FORMAT: Final = "aqkol-bill/1"
# Basis points of the whole: 100 %, once.
WHOLE_BP: Final = 10_000
# What a month of one account can have; a hostile file must not keep us busy.
VERSIONS_MAX: Final = 100
USAGES_MAX: Final = 1_000
ROWS_MAX: Final = 10_000
# No dial passes zero so often while it hangs.
TURNS_MAX: Final = 1_000_000

_ZONE: Final = re.compile(r"[A-Z][A-Za-z0-9_+-]*(/[A-Z][A-Za-z0-9_+-]*){0,2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What held for the account on some local days; ``to_day`` is the first day after them."""

    from_day: date
    to_day: date
    tariff_code: str
    persons: int
    social: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """One band: its end for a whole month (None: no end), and its price or multiplier."""

    up_to: int | None
    up_to_heating: int | None
    multiplier_bp: int
    net_minor: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """One version of a tariff; norms count dm3, or Wh where ``per_energy``."""

    tariff_code: str
    valid_from: date
    valid_to: date | None
    per_energy: bool
    net_minor: int
    rounding: str
    per_person: bool
    heating_months: frozenset[int]
    standing_net_minor_per_1000_days: int
    standing_net_minor_per_month: int
    discount_bp: int
    discount_norm: int | None
    discount_norm_heating: int | None
    bands: tuple[Band, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """What the dial showed, and how often it had passed zero by then."""

    read_at: datetime
    register_dm3: int
    turns: int
    quality: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Measured gas between two registers of one meter; ``volume_dm3`` is a claim."""

    meter_id: str
    supply_point_id: str
    dial_dm3: int
    from_at: datetime
    to_at: datetime
    opening: Register
    closing: Register
    volume_dm3: int
    energy_wh: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A bill as its record says it; the lines, charges and totals are claims, not facts."""

    number: str
    account_id: str
    bill_no: str
    kind: str
    corrects_bill_no: str | None
    from_day: date
    to_day: date
    zone: ZoneInfo
    zone_data: str
    currency: str
    terms: tuple[Terms, ...]
    tariffs: tuple[Tariff, ...]
    vat_rates: tuple[tuple[date, int], ...]
    usages: tuple[Usage, ...]
    lines: tuple[Row, ...]
    charges: tuple[Row, ...]
    details: tuple[Mapping[str, object], ...]
    totals: Row
    vat_totals: tuple[Row, ...]


LINE: Final = {
    "line_no": "count",
    "meter_id": "text",
    "supply_point_id": "text",
    "from_at": "instant",
    "to_at": "instant",
    "opening_register_dm3": "count",
    "opening_read_at": "instant",
    "closing_register_dm3": "count",
    "closing_read_at": "instant",
    "volume_dm3": "whole",
    "tariff_code": "text",
    "tariff_valid_from": "day",
    "net_minor_per_1000_m3": "count?",
    "vat_rate_bp": "count",
    "net_minor": "whole",
    "vat_minor": "whole",
    "band_no": "count",
    "multiplier_bp": "count",
    "energy_wh": "whole?",
    "net_minor_per_gwh": "count?",
    "days": "count",
    "days_of": "count",
    "opening_quality": "quality",
    "closing_quality": "quality",
}
CHARGE: Final = {
    "charge_no": "count",
    "kind": "text",
    "from_day": "day",
    "to_day": "day",
    "tariff_code": "text?",
    "tariff_valid_from": "day?",
    "line_no": "count?",
    "quantity": "whole?",
    "vat_rate_bp": "count",
    "net_minor": "whole",
    "vat_minor": "whole",
}
MONEY: Final = {"net_minor": "whole", "vat_minor": "whole"}


def read(value: object) -> Record:
    """Return the record that a JSON object is.

    Raises:
        RecordError: it is none, or contradicts itself before anything is worked out.
    """
    root = At(value)
    if root.field("format").value != FORMAT:
        root.field("format").refuse(f"only {FORMAT} is known")
    period, totals = root.field("period"), root.field("totals")
    zone, zone_data = _zone(period.field("zone"))
    charges = list(root.field("charges").items(ROWS_MAX))
    kind = root.field("kind").one_of("bill", "cancellation", "rebill")
    corrects = root.field("corrects_bill_no")
    if (kind == "bill") != corrects.absent:
        corrects.refuse("is for a cancellation and a rebill, and for them only")
    from_day, to_day = _month(period)
    root.field("issued_at").instant()
    root.field("due_on").day()
    return Record(
        number=root.field("number").text(),
        account_id=root.field("account_id").text(),
        bill_no=root.field("bill_no").text(),
        kind=kind,
        corrects_bill_no=None if corrects.absent else corrects.text(),
        from_day=from_day,
        to_day=to_day,
        zone=zone,
        zone_data=zone_data,
        currency=root.field("currency").text(),
        terms=_terms(root.field("terms"), from_day, to_day),
        tariffs=_tariffs(root.field("tariffs")),
        vat_rates=_vat_rates(root.field("vat_rates")),
        usages=tuple(_usage(at) for at in root.field("usages").items(USAGES_MAX)),
        lines=tuple(at.row(LINE) for at in root.field("lines").items(ROWS_MAX)),
        charges=tuple(at.row(CHARGE) for at in charges),
        details=tuple(_detail(at.field("detail")) for at in charges),
        totals=totals.row({**MONEY, "volume_dm3": "whole", "total_minor": "whole"}),
        vat_totals=tuple(
            at.row({"rate_bp": "count", **MONEY}) for at in totals.field("vat").items(VERSIONS_MAX)
        ),
    )


def _detail(at: At) -> Mapping[str, object]:
    if not isinstance(at.value, dict):
        at.refuse("should be an object")
    return at.value


def _zone(at: At) -> tuple[ZoneInfo, str]:
    name = at.text()
    if not _ZONE.fullmatch(name):
        at.refuse("should be a time zone such as Asia/Almaty")
    try:
        return zone_of(name)
    except (ValueError, OSError, LookupError):
        at.refuse(f"this computer knows no time zone {name!a}; install the package tzdata")


@cache
def zone_of(name: str) -> tuple[ZoneInfo, str]:
    """Return a zone and whose data it is: of the package tzdata if there is one, else Python's."""
    try:
        with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as data:
            return ZoneInfo.from_file(data, key=name), "the package tzdata"
    except (ImportError, OSError):
        return ZoneInfo(name), "this computer"


def _month(period: At) -> tuple[date, date]:
    from_day, to_day = period.field("from").day(), period.field("to").day()
    if not from_day < to_day <= after_month(from_day):
        period.refuse("should hold at least one day, and of one month only")
    return from_day, to_day


def after_month(day: date) -> date:
    """Return the first day of the month after that of a day."""
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def _terms(at: At, from_day: date, to_day: date) -> tuple[Terms, ...]:
    found: list[Terms] = []
    expected = from_day
    for one in at.items(VERSIONS_MAX):
        terms = Terms(
            from_day=one.field("from").day(),
            to_day=one.field("to").day(),
            tariff_code=one.field("tariff_code").text(),
            persons=one.field("persons").whole(1, 1000),
            social=one.field("social").truth(),
        )
        if terms.from_day != expected or terms.to_day <= terms.from_day:
            one.refuse(f"should begin on {expected} and hold at least one day")
        expected = terms.to_day
        found.append(terms)
    if expected != to_day:
        at.refuse(f"end on {expected}, the period on {to_day}")
    return tuple(found)


def _tariffs(at: At) -> tuple[Tariff, ...]:
    found: dict[tuple[str, date], Tariff] = {}
    for one in at.items(VERSIONS_MAX):
        tariff = _tariff(one)
        for other in found.values():
            if other.tariff_code == tariff.tariff_code and _overlap(other, tariff):
                one.refuse(f"overlaps the version of {other.valid_from}: two prices for one day")
        found[tariff.tariff_code, tariff.valid_from] = tariff
    return tuple(found.values())


def _overlap(one: Tariff, other: Tariff) -> bool:
    return (other.valid_to is None or one.valid_from < other.valid_to) and (
        one.valid_to is None or other.valid_from < one.valid_to
    )


def _tariff(at: At) -> Tariff:
    per_volume, per_energy = at.field("net_minor_per_1000_m3"), at.field("net_minor_per_gwh")
    if per_volume.absent == per_energy.absent:
        at.refuse("should have a price per 1000 m3 or per GWh, and one of them only")
    valid_from, valid_to = at.field("valid_from").day(), at.field("valid_to")
    if not valid_to.absent and valid_to.day() <= valid_from:
        valid_to.refuse(f"is not after {valid_from}")
    norms = at.row({"discount_norm": "count?", "discount_norm_heating": "count?"})
    return Tariff(
        tariff_code=at.field("tariff_code").text(),
        valid_from=valid_from,
        valid_to=None if valid_to.absent else valid_to.day(),
        per_energy=per_volume.absent,
        net_minor=(per_energy if per_volume.absent else per_volume).count(),
        rounding=at.field("rounding").one_of("half_up", "half_even", "down"),
        per_person=at.field("norm_per").one_of("household", "person") == "person",
        heating_months=frozenset(
            month.whole(1, 12) for month in at.field("heating_months").items(12)
        ),
        standing_net_minor_per_1000_days=at.field("standing_net_minor_per_1000_days").count(),
        standing_net_minor_per_month=at.field("standing_net_minor_per_month").count(),
        discount_bp=at.field("discount_bp").whole(0, 10_000),
        discount_norm=_number(norms["discount_norm"]),
        discount_norm_heating=_number(norms["discount_norm_heating"]),
        bands=_bands(at.field("bands")),
    )


def _number(value: Value) -> int | None:
    return value if isinstance(value, int) else None


def _bands(at: At) -> tuple[Band, ...]:
    """Read the bands: in both seasons each ends after the one before it, and the last never."""
    places = list(at.items(VERSIONS_MAX))
    found: list[Band] = []
    before = (0, 0)
    for number, one in enumerate(places, start=1):
        one.field("band_no").whole(number, number)
        band = _band(one)
        if (band.up_to is None) != (number == len(places)):
            one.refuse("the last band has no end, and no other has none")
        ends = (band.up_to, band.up_to if band.up_to_heating is None else band.up_to_heating)
        if ends[0] is not None and ends[1] is not None:
            if ends[0] <= before[0] or ends[1] <= before[1]:
                one.refuse("does not end after the band before it")
            before = (ends[0], ends[1])
        found.append(band)
    return tuple(found)


def _band(at: At) -> Band:
    row = at.row(
        {
            "up_to": "count?",
            "up_to_heating": "count?",
            "multiplier_bp": "count",
            "net_minor": "count?",
        }
    )
    if row["up_to"] is None and row["up_to_heating"] is not None:
        at.refuse("ends in the heating season only")
    multiplier_bp = at.field("multiplier_bp").count()
    if row["net_minor"] is not None and multiplier_bp != WHOLE_BP:
        at.refuse("has a price of its own, so it takes no multiplier")
    return Band(
        up_to=_number(row["up_to"]),
        up_to_heating=_number(row["up_to_heating"]),
        multiplier_bp=multiplier_bp,
        net_minor=_number(row["net_minor"]),
    )


def _vat_rates(at: At) -> tuple[tuple[date, int], ...]:
    found: list[tuple[date, int]] = []
    for one in at.items(VERSIONS_MAX):
        valid_from = one.field("valid_from").day()
        if found and valid_from <= found[-1][0]:
            one.refuse("does not begin after the rate before it")
        found.append((valid_from, one.field("rate_bp").whole(0, WHOLE_BP)))
    return tuple(found)


def _usage(at: At) -> Usage:
    dial_dm3 = at.field("dial_dm3").whole(1)
    from_at, to_at = at.field("from_at").instant(), at.field("to_at").instant()
    if to_at <= from_at:
        at.refuse("does not end after it begins")
    standard_dm3, energy_wh = at.field("standard_dm3"), at.field("energy_wh")
    if not standard_dm3.absent:
        standard_dm3.count()
    return Usage(
        meter_id=at.field("meter_id").text(),
        supply_point_id=at.field("supply_point_id").text(),
        dial_dm3=dial_dm3,
        from_at=from_at,
        to_at=to_at,
        opening=_register(at.field("opening"), dial_dm3),
        closing=_register(at.field("closing"), dial_dm3),
        volume_dm3=at.field("volume_dm3").count(),
        energy_wh=None if energy_wh.absent else energy_wh.count(),
    )


def _register(at: At, dial_dm3: int) -> Register:
    return Register(
        read_at=at.field("read_at").instant(),
        register_dm3=at.field("register_dm3").whole(0, dial_dm3 - 1),
        turns=at.field("turns").whole(0, TURNS_MAX),
        quality=at.field("quality").quality(),
    )
