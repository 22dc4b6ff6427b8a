"""Tariffs, VAT rates and what holds for an account, in PostgreSQL."""

import json
from collections.abc import Sequence
from datetime import date, datetime

import asyncpg

import sql
from billing.io.rows import tariff_of
from billing.tariff import (
    PriceInterval,
    Tariff,
    TariffBilledError,
    TariffOverlapError,
    TariffUnknownError,
    VatRate,
)

_BILLS = sql.queries("bills")


class Prices:
    """Every version of every tariff, and the VAT."""

    _pool: asyncpg.Pool

    async def tariffs(self) -> tuple[Tariff, ...]:
        """Return every version of every tariff, in order of code and day."""
        async with self._pool.acquire() as connection:
            return (await read_prices(connection))[0]

    async def vat_rates(self) -> tuple[VatRate, ...]:
        """Return the VAT rates in the order they came into force."""
        async with self._pool.acquire() as connection:
            return (await read_prices(connection))[1]


async def read_prices(
    connection: asyncpg.Connection,
) -> tuple[tuple[Tariff, ...], tuple[VatRate, ...]]:
    """Return all tariffs and VAT rates, as the caller's transaction sees them."""
    tariffs = [tariff_of(row) async for row in _BILLS.list_tariffs(connection)]
    vat_rates = [VatRate(**row) async for row in _BILLS.list_vat_rates(connection)]
    return tuple(tariffs), tuple(vat_rates)


async def insert_tariff(connection: asyncpg.Connection, tariff: Tariff) -> None:
    """Add one version of a tariff in the caller's transaction, or alone.

    Raises:
        TariffOverlapError: another version is valid on one of its days.
    """
    bands = tariff.bands
    try:
        await _BILLS.add_tariff(
            connection,
            tariff_code=tariff.tariff_code,
            valid_from=tariff.valid_from,
            valid_to=tariff.valid_to,
            net_minor_per_1000_m3=tariff.net_minor_per_1000_m3,
            currency=tariff.currency,
            approved_by=tariff.approved_by,
            net_minor_per_gwh=tariff.net_minor_per_gwh,
            rounding=tariff.rounding,
            norm_per=tariff.norm_per,
            heating_months=list(tariff.heating_months),
            standing_net_minor_per_1000_days=tariff.standing_net_minor_per_1000_days,
            standing_net_minor_per_month=tariff.standing_net_minor_per_month,
            discount_bp=tariff.discount_bp,
            discount_norm=tariff.discount_norm,
            discount_norm_heating=tariff.discount_norm_heating,
            band_nos=list(range(1, len(bands) + 1)),
            up_tos=[band.up_to for band in bands],
            up_to_heatings=[band.up_to_heating for band in bands],
            multipliers=[band.multiplier_bp for band in bands],
            band_prices=[band.net_minor for band in bands],
        )
    except (asyncpg.ExclusionViolationError, asyncpg.UniqueViolationError) as error:
        if error.constraint_name not in {"tariff_overlaps", "tariff_pkey"}:
            raise
        raise TariffOverlapError(
            tariff_code=tariff.tariff_code, valid_from=tariff.valid_from
        ) from error


async def check_not_billed(
    connection: asyncpg.Connection, tariff_code: str, *, valid_to: date, ends_at: datetime
) -> None:
    """Refuse to end a version on the day before ``valid_to``, which begins at ``ends_at``.

    Raises:
        TariffBilledError: time after that instant has been billed with it.
    """
    if await _BILLS.tariff_billed_after(
        connection, tariff_code=tariff_code, valid_to=valid_to, ends_at=ends_at
    ):
        raise TariffBilledError(tariff_code=tariff_code, valid_to=valid_to)


async def end_tariff(connection: asyncpg.Connection, tariff_code: str, *, valid_to: date) -> None:
    """End the open version, which was not billed from that day on.

    The caller's transaction holds the prices still for a change.

    Raises:
        TariffUnknownError: no version is open that began before that day.
    """
    ended = await _BILLS.end_tariff(connection, tariff_code=tariff_code, valid_to=valid_to)
    if ended is None:
        raise TariffUnknownError(tariff_code=tariff_code, valid_to=valid_to)


def prices_as_json(prices: Sequence[PriceInterval]) -> tuple[str, str]:
    """Return a month's prices and their bands as the run's statement reads them."""
    rows, bands = [], []
    for price_no, price in enumerate(prices):
        tariff = price.tariff
        rows.append(
            {
                "price_no": price_no,
                "tariff_code": tariff.tariff_code,
                "valid_from": tariff.valid_from.isoformat(),
                "currency": tariff.currency,
                "from_day": price.from_day.isoformat(),
                "to_day": price.to_day.isoformat(),
                "from_at": price.from_at.isoformat(),
                "to_at": price.to_at.isoformat(),
                "tariff_to_day": tariff.valid_to and tariff.valid_to.isoformat(),
                "per_energy": tariff.per_energy,
                "norm_per": tariff.norm_per,
                "rounding": tariff.rounding,
                "standing_per_1000_days": tariff.standing_net_minor_per_1000_days,
                "standing_per_month": tariff.standing_net_minor_per_month,
                "discount_bp": tariff.discount_bp,
                "discount_norm": price.discount_norm,
                "vat_rate_bp": price.vat_rate_bp,
            }
        )
        low = 0
        for band in price.bands:
            bands.append(
                {
                    "price_no": price_no,
                    "band_no": band.band_no,
                    "norm_from": low,
                    "norm_to": band.up_to,
                    "net_minor": band.net_minor,
                    "multiplier_bp": band.multiplier_bp,
                }
            )
            low = band.up_to or low
    return json.dumps(rows), json.dumps(bands)
