"""The record of a bill: everything it was made of, so that a stranger can make it again.

``aqkol-bill/1`` is described field by field in docs/bill-record.md. It is plain JSON: whole numbers
with their unit in the name, days as ``2026-01-01``, instants in UTC. It says what was known when
the bill was issued, so it never changes afterwards.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from typing import Any, Final

from billing.bill import Bill, BillKind, Charge, Line
from billing.rating import Usage
from billing.tariff import Tariff, VatRate
from billing.terms import TermSpan

FORMAT: Final = "aqkol-bill/1"

Json = dict[str, Any]
# One version of a tariff: its code and its first day.
Version = tuple[str, date]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Measured gas, the way of its meter's dial, and its standard volume where that is known."""

    usage: Usage
    dial_dm3: int
    standard_dm3: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """The tariffs and VAT rates of a town, and who proposed which version."""

    tariffs: Sequence[Tariff]
    vat_rates: Sequence[VatRate]
    proposers: Mapping[Version, str]


def record(
    bill: Bill,
    *,
    zone: str,
    spans: Sequence[TermSpan],
    prices: Prices,
    stretches: Iterable[Stretch],
) -> Json:
    """Return the record of a bill.

    Args:
        bill: the bill with its lines and charges.
        zone: the town's time zone.
        spans: what held for the account in the period, as known when the bill was issued.
        prices: every tariff and VAT rate.
        stretches: the gas that was measured for the bill; a cancellation has none.
    """
    measured = () if bill.kind is BillKind.CANCELLATION else stretches
    return {
        "format": FORMAT,
        "account_id": bill.account_id,
        "bill_no": bill.bill_no,
        "number": number(bill.account_id, bill.bill_no),
        "kind": str(bill.kind),
        "corrects_bill_no": bill.corrects_bill_no,
        "period": {
            "from": bill.period_start.isoformat(),
            "to": bill.period_end.isoformat(),
            "zone": zone,
        },
        "currency": bill.currency,
        "issued_at": _instant(bill.issued_at),
        "due_on": bill.due_on.isoformat(),
        "terms": [_span(span) for span in spans],
        "tariffs": [
            _tariff(tariff, bill, prices.proposers) for tariff in _touched(bill, spans, prices)
        ],
        "vat_rates": [
            {"valid_from": rate.valid_from.isoformat(), "rate_bp": rate.rate_bp}
            for rate in _rates(bill, prices.vat_rates)
        ],
        "usages": [_stretch(one) for one in sorted(measured, key=_place)],
        "lines": [_columns(line) for line in bill.lines],
        "charges": [_columns(charge) for charge in bill.charges],
        "totals": _totals(bill),
    }


def number(account_id: str, bill_no: str) -> str:
    """Return the number that stands on the paper: unique, because account and bill number are."""
    return f"{account_id}/{bill_no}"


def canonical(record: Json) -> bytes:
    """Return the one spelling of a record: sorted keys, no spaces, UTF-8, no floats.

    Raises:
        ValueError: a number in it is not whole.
    """
    _demand_whole(record)
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def _demand_whole(value: object) -> None:
    if isinstance(value, float):
        raise ValueError("a record holds whole numbers only")  # noqa: TRY004 - of a value
    if isinstance(value, dict):
        for part in value.values():
            _demand_whole(part)
    elif isinstance(value, list):
        for part in value:
            _demand_whole(part)


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


def _place(stretch: Stretch) -> tuple[datetime, str, str]:
    usage = stretch.usage
    return (usage.from_at, usage.supply_point_id, usage.meter_id)


def _span(span: TermSpan) -> Json:
    return {
        "from": span.from_day.isoformat(),
        "to": span.to_day.isoformat(),
        "tariff_code": span.tariff_code,
        "persons": span.persons,
        "social": span.social,
    }


def _parts(bill: Bill) -> list[Line | Charge]:
    return [*bill.lines, *bill.charges]


def _touched(bill: Bill, spans: Sequence[TermSpan], prices: Prices) -> list[Tariff]:
    """Return the versions that the period touches, and those that the bill names."""
    named = {(part.tariff_code, part.tariff_valid_from) for part in _parts(bill)}
    codes = {span.tariff_code for span in spans}
    touched = [
        tariff
        for tariff in prices.tariffs
        if (tariff.tariff_code, tariff.valid_from) in named
        or (
            tariff.tariff_code in codes
            and tariff.currency == bill.currency
            and tariff.valid_from < bill.period_end
            and (tariff.valid_to is None or tariff.valid_to > bill.period_start)
        )
    ]
    return sorted(touched, key=lambda tariff: (tariff.tariff_code, tariff.valid_from))


def _tariff(tariff: Tariff, bill: Bill, proposers: Mapping[Version, str]) -> Json:
    """Say a version; an end after the period may be decided later and is not part of the bill."""
    valid_to = tariff.valid_to
    ends = valid_to if valid_to is not None and valid_to <= bill.period_end else None
    return {
        "tariff_code": tariff.tariff_code,
        "valid_from": tariff.valid_from.isoformat(),
        "valid_to": ends.isoformat() if ends else None,
        "net_minor_per_1000_m3": tariff.net_minor_per_1000_m3,
        "net_minor_per_gwh": tariff.net_minor_per_gwh,
        "rounding": str(tariff.rounding),
        "norm_per": str(tariff.norm_per),
        "heating_months": sorted(tariff.heating_months),
        "standing_net_minor_per_1000_days": tariff.standing_net_minor_per_1000_days,
        "standing_net_minor_per_month": tariff.standing_net_minor_per_month,
        "discount_bp": tariff.discount_bp,
        "discount_norm": tariff.discount_norm,
        "discount_norm_heating": tariff.discount_norm_heating,
        "bands": [
            {
                "band_no": band_no,
                "up_to": band.up_to,
                "up_to_heating": band.up_to_heating,
                "multiplier_bp": band.multiplier_bp,
                "net_minor": band.net_minor,
            }
            for band_no, band in enumerate(tariff.bands, start=1)
        ],
        "proposed_by": proposers.get((tariff.tariff_code, tariff.valid_from)),
        "approved_by": tariff.approved_by,
    }


def _rates(bill: Bill, rates: Sequence[VatRate]) -> list[VatRate]:
    """Return the rate in force when the period begins, and those that begin inside."""
    before = [rate for rate in rates if rate.valid_from <= bill.period_start]
    inside = [rate for rate in rates if bill.period_start < rate.valid_from < bill.period_end]
    first = sorted(before, key=lambda rate: rate.valid_from)[-1:]
    return [*first, *sorted(inside, key=lambda rate: rate.valid_from)]


def _stretch(stretch: Stretch) -> Json:
    usage = stretch.usage
    return {
        "meter_id": usage.meter_id,
        "supply_point_id": usage.supply_point_id,
        "dial_dm3": stretch.dial_dm3,
        "from_at": _instant(usage.from_at),
        "to_at": _instant(usage.to_at),
        "opening": {
            "read_at": _instant(usage.opening_read_at),
            "register_dm3": usage.opening_register_dm3,
            "turns": usage.opening_turns,
            "quality": str(usage.opening_quality),
        },
        "closing": {
            "read_at": _instant(usage.closing_read_at),
            "register_dm3": usage.closing_register_dm3,
            "turns": usage.closing_turns,
            "quality": str(usage.closing_quality),
        },
        "volume_dm3": usage.volume_dm3,
        "standard_dm3": stretch.standard_dm3,
        "energy_wh": usage.energy_wh,
    }


def _columns(part: Line | Charge) -> Json:
    """Say every column of a line or a charge."""
    return {field.name: _plain(getattr(part, field.name)) for field in fields(part)}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return _instant(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value) if isinstance(value, str) else value


def _totals(bill: Bill) -> Json:
    by_rate: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
    for part in _parts(bill):
        by_rate[part.vat_rate_bp][0] += part.net_minor
        by_rate[part.vat_rate_bp][1] += part.vat_minor
    return {
        "volume_dm3": bill.volume_dm3,
        "net_minor": bill.net_minor,
        "vat_minor": bill.vat_minor,
        "total_minor": bill.total_minor,
        "vat": [
            {"rate_bp": rate_bp, "net_minor": net_minor, "vat_minor": vat_minor}
            for rate_bp, (net_minor, vat_minor) in sorted(by_rate.items())
        ],
    }
