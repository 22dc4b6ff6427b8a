"""Prices and VAT, each valid for whole local days.

A price interval is a stretch of time with one price and one VAT rate. Months are cut into them
here, in the town's zone, so that everybody after this sees instants only.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import Final

from billing.period import Period, midnight

_CODE: Final = re.compile(r"^[a-z0-9-]{1,32}$")
_CURRENCY: Final = re.compile(r"^[A-Z]{3}$")

# 10 000 000.00 per 1000 m3: a thousand times any household price we know of.
NET_MINOR_PER_1000_M3_MAX: Final = 1_000_000_000


class TariffOverlapError(Exception):
    """Another version of the same tariff is valid on some of these days."""

    def __init__(self, *, tariff_code: str, valid_from: date) -> None:
        super().__init__(f"tariff {tariff_code} already has a price from {valid_from} on")
        self.tariff_code = tariff_code
        self.valid_from = valid_from


class TariffUnknownError(Exception):
    """No version of the tariff can be ended on that day."""

    def __init__(self, *, tariff_code: str, valid_to: date) -> None:
        super().__init__(f"tariff {tariff_code} has no open version that could end on {valid_to}")
        self.tariff_code = tariff_code
        self.valid_to = valid_to


class TariffBilledError(Exception):
    """The tariff cannot end on that day: later days have been billed with it."""

    def __init__(self, *, tariff_code: str, valid_to: date) -> None:
        super().__init__(f"tariff {tariff_code} has been billed for days after {valid_to}")
        self.tariff_code = tariff_code
        self.valid_to = valid_to


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """One version of a tariff: a net price per 1000 m3 for the days [valid_from, valid_to)."""

    tariff_code: str
    valid_from: date
    valid_to: date | None
    net_minor_per_1000_m3: int
    currency: str
    approved_by: str

    def __post_init__(self) -> None:
        """Refuse a version that could never be looked up or never be meant."""
        if not _CODE.match(self.tariff_code):
            raise ValueError("a tariff code is 1 to 32 small letters, digits or dashes")
        if not _CURRENCY.match(self.currency):
            raise ValueError("a currency is three capital letters")
        if self.valid_to is not None and self.valid_to <= self.valid_from:
            raise ValueError("a tariff is valid for at least one day")
        if not 0 <= self.net_minor_per_1000_m3 <= NET_MINOR_PER_1000_M3_MAX:
            raise ValueError("the price is out of range")


@dataclass(frozen=True, slots=True, kw_only=True)
class VatRate:
    """VAT in basis points from a local day until the next rate begins."""

    valid_from: date
    rate_bp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceInterval:
    """One price and one VAT rate between two instants of one period."""

    tariff_code: str
    tariff_valid_from: date
    currency: str
    from_at: datetime
    to_at: datetime
    net_minor_per_1000_m3: int
    vat_rate_bp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """An instant inside a period at which a price changes; without a code it concerns everybody."""

    tariff_code: str | None
    at: datetime


def price_intervals(
    tariffs: Iterable[Tariff], vat_rates: Iterable[VatRate], period: Period, zone: str
) -> tuple[PriceInterval, ...]:
    """Cut every tariff at its own and at the VAT's changes, clipped to the period."""
    vat_spans = _vat_spans(vat_rates, period)
    found = []
    for tariff in tariffs:
        for vat_from, vat_to, rate_bp in vat_spans:
            first = max(period.start, tariff.valid_from, vat_from)
            last = min(period.end, tariff.valid_to or period.end, vat_to)
            if first < last:
                found.append(
                    PriceInterval(
                        tariff_code=tariff.tariff_code,
                        tariff_valid_from=tariff.valid_from,
                        currency=tariff.currency,
                        from_at=midnight(first, zone),
                        to_at=midnight(last, zone),
                        net_minor_per_1000_m3=tariff.net_minor_per_1000_m3,
                        vat_rate_bp=rate_bp,
                    )
                )
    return tuple(sorted(found, key=lambda price: (price.tariff_code, price.from_at)))


def cuts(
    tariffs: Iterable[Tariff], vat_rates: Iterable[VatRate], period: Period, zone: str
) -> tuple[Cut, ...]:
    """Return the instants strictly inside a period at which a register is needed."""
    days = {(None, rate.valid_from) for rate in vat_rates} | {
        (tariff.tariff_code, day)
        for tariff in tariffs
        for day in (tariff.valid_from, tariff.valid_to)
        if day is not None
    }
    inside = [(day, code) for code, day in days if period.start < day < period.end]
    return tuple(
        Cut(tariff_code=code, at=midnight(day, zone))
        for day, code in sorted(inside, key=lambda cut: (cut[0], cut[1] or ""))
    )


def _vat_spans(vat_rates: Iterable[VatRate], period: Period) -> list[tuple[date, date, int]]:
    rates = sorted(vat_rates, key=lambda rate: rate.valid_from)
    spans = [(one.valid_from, two.valid_from, one.rate_bp) for one, two in pairwise(rates)]
    if rates:
        spans.append(
            (rates[-1].valid_from, max(period.end, rates[-1].valid_from), rates[-1].rate_bp)
        )
    return spans
