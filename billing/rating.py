"""From gas used to money: the same rules as the set-based run, written a second time in Python.

The run in sql/bills.sql prices a country at a time; this prices one account. The audit and the
worked bills in tests/vectors compare the two, so a mistake must be made twice to go unseen.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from billing import money
from billing.bill import HoldReason, Line
from billing.tariff import PriceInterval


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpriced:
    """A stretch of gas that no single price covers, and why."""

    meter_id: str
    reason: HoldReason


def volume_dm3(usage: Usage, *, dial_dm3: int) -> int:
    """Return the gas between the two registers of a usage, in dm3, counting turns of the dial."""
    opening_dm3 = usage.opening_turns * dial_dm3 + usage.opening_register_dm3
    closing_dm3 = usage.closing_turns * dial_dm3 + usage.closing_register_dm3
    return closing_dm3 - opening_dm3


def rate(
    usages: Iterable[Usage], prices: Sequence[PriceInterval], *, tariff_code: str, currency: str
) -> tuple[Line, ...] | Unpriced:
    """Price every usage of one account; one that cannot be priced holds all of them."""
    own = [
        price for price in prices if (price.tariff_code, price.currency) == (tariff_code, currency)
    ]
    lines: list[Line] = []
    in_order = sorted(usages, key=lambda one: (one.supply_point_id, one.from_at, one.meter_id))
    for line_no, usage in enumerate(in_order, start=1):
        price = price_of(usage.from_at, usage.to_at, own)
        if price is None:
            return Unpriced(meter_id=usage.meter_id, reason=_why_unpriced(usage, own))
        lines.append(_line(line_no, usage, price))
    return tuple(lines)


def price_of(
    from_at: datetime, to_at: datetime, prices: Iterable[PriceInterval]
) -> PriceInterval | None:
    """Return the price that holds from the first instant to the last, if there is one."""
    for price in prices:
        if price.from_at <= from_at and to_at <= price.to_at:
            return price
    return None


def _line(line_no: int, usage: Usage, price: PriceInterval) -> Line:
    net_minor = money.net_minor(
        volume_dm3=usage.volume_dm3, net_minor_per_1000_m3=price.net_minor_per_1000_m3
    )
    return Line(
        line_no=line_no,
        meter_id=usage.meter_id,
        supply_point_id=usage.supply_point_id,
        from_at=usage.from_at,
        to_at=usage.to_at,
        opening_register_dm3=usage.opening_register_dm3,
        opening_read_at=usage.opening_read_at,
        closing_register_dm3=usage.closing_register_dm3,
        closing_read_at=usage.closing_read_at,
        volume_dm3=usage.volume_dm3,
        tariff_code=price.tariff_code,
        tariff_valid_from=price.tariff_valid_from,
        net_minor_per_1000_m3=price.net_minor_per_1000_m3,
        vat_rate_bp=price.vat_rate_bp,
        net_minor=net_minor,
        vat_minor=money.vat_minor(net_minor=net_minor, vat_rate_bp=price.vat_rate_bp),
    )


def _why_unpriced(usage: Usage, prices: Iterable[PriceInterval]) -> HoldReason:
    covered = sum(
        (
            max(timedelta(), min(price.to_at, usage.to_at) - max(price.from_at, usage.from_at))
            for price in prices
        ),
        timedelta(),
    )
    if covered == usage.to_at - usage.from_at:
        return HoldReason.NO_REGISTER_AT_PRICE_CHANGE
    return HoldReason.NO_PRICE
