"""Prices and VAT, each valid for whole local days.

A price interval is a stretch of time with one version of a tariff and one VAT rate. Months are cut
into them here, in the town's zone, and a tariff's bands become those of the month's season.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from itertools import pairwise
from typing import Final

from billing.money import DM3_PER_1000_M3, WH_PER_GWH, Rounding
from billing.period import Period, midnight

_CODE: Final = re.compile(r"^[a-z0-9-]{1,32}$")
_CURRENCY: Final = re.compile(r"^[A-Z]{3}$")

# 10 000 000.00 per 1000 m3: a thousand times any household price we know of.
NET_MINOR_PER_1000_M3_MAX: Final = 1_000_000_000
# 10 000.00 per kWh.
NET_MINOR_PER_GWH_MAX: Final = 1_000_000_000_000
STANDING_PER_1000_DAYS_MAX: Final = 1_000_000_000_000
STANDING_PER_MONTH_MAX: Final = 1_000_000_000
# A million m3 or a thousand MWh in a month: no household, and no norm for one.
NORM_MAX: Final = 1_000_000_000_000
BANDS_MAX: Final = 20
# A hundred times the price.
MULTIPLIER_BP_MAX: Final = 1_000_000
WHOLE_BP: Final = 10_000
MONTHS: Final = 12


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


class NormPer(StrEnum):
    """For whom a norm is: everybody at the account together, or each person."""

    HOUSEHOLD = "household"
    PERSON = "person"


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Gas of a month up to, but without, a bound, and what it costs.

    The bound counts dm3, or Wh where the tariff is per energy; the last band has none. In heating
    months ``up_to_heating`` counts, if there is one. The price is the tariff's times a multiplier
    in basis points, or an own one in the tariff's unit.
    """

    up_to: int | None
    up_to_heating: int | None = None
    multiplier_bp: int = WHOLE_BP
    net_minor: int | None = None

    def __post_init__(self) -> None:
        """Refuse a band that has no meaning by itself."""
        if self.up_to is None and self.up_to_heating is not None:
            raise ValueError("a band that ends in the heating season ends in the other one too")
        for bound in (self.up_to, self.up_to_heating):
            if bound is not None and not 1 <= bound <= NORM_MAX:
                raise ValueError("the bound of a band is out of range")
        if not 0 <= self.multiplier_bp <= MULTIPLIER_BP_MAX:
            raise ValueError("the multiplier of a band is out of range")
        if self.net_minor is not None and self.multiplier_bp != WHOLE_BP:
            raise ValueError("a band has a multiplier or a price of its own, not both")
        if self.net_minor is not None and not 0 <= self.net_minor <= NET_MINOR_PER_GWH_MAX:
            raise ValueError("the price of a band is out of range")

    def bound(self, *, heating: bool) -> int | None:
        """Return where the band ends in a month of that season."""
        return self.up_to_heating if heating and self.up_to_heating is not None else self.up_to


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """One version of a tariff: everything a price is made of on the days [valid_from, valid_to).

    The net price is per 1000 m3 or per GWh, never both. The standing charge is per 1000 days, per
    month, or the sum of both. The discount is for accounts with social terms, on the gas up to a
    norm; without a norm on all of it.
    """

    tariff_code: str
    valid_from: date
    valid_to: date | None
    net_minor_per_1000_m3: int | None
    currency: str
    approved_by: str
    net_minor_per_gwh: int | None = None
    rounding: Rounding = Rounding.HALF_UP
    norm_per: NormPer = NormPer.HOUSEHOLD
    heating_months: Sequence[int] = ()
    standing_net_minor_per_1000_days: int = 0
    standing_net_minor_per_month: int = 0
    discount_bp: int = 0
    discount_norm: int | None = None
    discount_norm_heating: int | None = None
    bands: Sequence[Band] = ()

    def __post_init__(self) -> None:
        """Refuse a version that could never be looked up or never be meant."""
        if not _CODE.match(self.tariff_code):
            raise ValueError("a tariff code is 1 to 32 small letters, digits or dashes")
        if not _CURRENCY.match(self.currency):
            raise ValueError("a currency is three capital letters")
        if self.valid_to is not None and self.valid_to <= self.valid_from:
            raise ValueError("a tariff is valid for at least one day")
        self._check_prices()
        self._check_norms()
        _check_bands(self.bands)

    def _check_prices(self) -> None:
        if (self.net_minor_per_1000_m3 is None) == (self.net_minor_per_gwh is None):
            raise ValueError("a tariff has a price per 1000 m3 or one per GWh")
        if not 0 <= (self.net_minor_per_1000_m3 or 0) <= NET_MINOR_PER_1000_M3_MAX:
            raise ValueError("the price is out of range")
        if not 0 <= (self.net_minor_per_gwh or 0) <= NET_MINOR_PER_GWH_MAX:
            raise ValueError("the price is out of range")
        if not 0 <= self.standing_net_minor_per_1000_days <= STANDING_PER_1000_DAYS_MAX:
            raise ValueError("the standing charge is out of range")
        if not 0 <= self.standing_net_minor_per_month <= STANDING_PER_MONTH_MAX:
            raise ValueError("the standing charge is out of range")

    def _check_norms(self) -> None:
        if not 0 <= self.discount_bp <= WHOLE_BP:
            raise ValueError("a discount is between nothing and everything")
        for norm in (self.discount_norm, self.discount_norm_heating):
            if norm is not None and not 1 <= norm <= NORM_MAX:
                raise ValueError("the norm of a discount is out of range")
        if len(set(self.heating_months)) != len(self.heating_months):
            raise ValueError("a heating month is named once")
        if any(not 1 <= month <= MONTHS for month in self.heating_months):
            raise ValueError("a heating month is a number from 1 to 12")

    @property
    def net_minor_per_unit(self) -> int:
        """Return the price per million dm3, or per thousand million Wh."""
        price = self.net_minor_per_gwh
        if price is None:
            price = self.net_minor_per_1000_m3
        assert price is not None, "a tariff has one price"
        return price

    @property
    def per_energy(self) -> bool:
        """Say whether energy is charged, not volume."""
        return self.net_minor_per_gwh is not None

    @property
    def quantity_per_price(self) -> int:
        """Return how many dm3, or Wh, the price is for."""
        return WH_PER_GWH if self.per_energy else DM3_PER_1000_M3

    def heats(self, period: Period) -> bool:
        """Say whether a month lies in the heating season."""
        return period.start.month in self.heating_months

    def discounted(self, period: Period) -> int | None:
        """Return up to where a month's gas has the discount; None is all of it."""
        if self.heats(period) and self.discount_norm_heating is not None:
            return self.discount_norm_heating
        return self.discount_norm


@dataclass(frozen=True, slots=True, kw_only=True)
class VatRate:
    """VAT in basis points from a local day until the next rate begins."""

    valid_from: date
    rate_bp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BandPrice:
    """One band in one month: where it ends (dm3 or Wh per norm), its price and its multiplier."""

    band_no: int
    up_to: int | None
    net_minor: int
    multiplier_bp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceInterval:
    """One version of a tariff and one VAT rate between two local days of one period."""

    tariff: Tariff
    bands: Sequence[BandPrice]
    discount_norm: int | None
    from_day: date
    to_day: date
    from_at: datetime
    to_at: datetime
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
                        tariff=tariff,
                        bands=_bands_of(tariff, period),
                        discount_norm=tariff.discounted(period),
                        from_day=first,
                        to_day=last,
                        from_at=midnight(first, zone),
                        to_at=midnight(last, zone),
                        vat_rate_bp=rate_bp,
                    )
                )
    return tuple(sorted(found, key=lambda price: (price.tariff.tariff_code, price.from_at)))


def per_energy(tariffs: Iterable[Tariff], period: Period) -> list[str]:
    """Return the codes of tariffs that charge energy on some day of a period."""
    return sorted(
        {
            one.tariff_code
            for one in tariffs
            if one.per_energy
            and one.valid_from < period.end
            and (one.valid_to is None or one.valid_to > period.start)
        }
    )


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


def _check_bands(bands: Sequence[Band]) -> None:
    if len(bands) > BANDS_MAX:
        raise ValueError(f"a tariff has at most {BANDS_MAX} bands")
    for heating in (False, True):
        bounds = [band.bound(heating=heating) for band in bands]
        if bounds and bounds[-1] is not None:
            raise ValueError("the last band has no end")
        ends = [bound for bound in bounds[:-1] if bound is not None]
        if len(ends) != max(0, len(bounds) - 1):
            raise ValueError("only the last band has no end")
        if any(one >= two for one, two in pairwise(ends)):
            raise ValueError("bands ascend: each ends after the one before it")


def _bands_of(tariff: Tariff, period: Period) -> tuple[BandPrice, ...]:
    heating = tariff.heats(period)
    return tuple(
        BandPrice(
            band_no=band_no,
            up_to=band.bound(heating=heating),
            net_minor=tariff.net_minor_per_unit if band.net_minor is None else band.net_minor,
            multiplier_bp=band.multiplier_bp,
        )
        for band_no, band in enumerate(tariff.bands or (Band(up_to=None),), start=1)
    )


def _vat_spans(vat_rates: Iterable[VatRate], period: Period) -> list[tuple[date, date, int]]:
    rates = sorted(vat_rates, key=lambda rate: rate.valid_from)
    spans = [(one.valid_from, two.valid_from, one.rate_bp) for one, two in pairwise(rates)]
    if rates:
        spans.append(
            (rates[-1].valid_from, max(period.end, rates[-1].valid_from), rates[-1].rate_bp)
        )
    return spans
