"""Money is whole minor units (tiyn, cent); this is the only place that rounds.

A sum is rounded once per line, as its tariff says. Without a word that is HALF_UP: half a tiyn or
more counts as a whole one, as the published bills of Kazakh utilities show. There is no float and
no decimal on the way.
"""

from enum import StrEnum
from typing import Final

# A price is for 1000 m3, a volume in dm3.
DM3_PER_1000_M3: Final = 1_000_000

# A price of energy is for a GWh, energy in Wh: 6.2475 pence per kWh stays a whole number.
WH_PER_GWH: Final = 1_000_000_000

# A rate of 10 000 basis points is the whole.
BASIS_POINTS: Final = 10_000

# The database multiplies in 64 bits. Up to here, and with the highest price that the schema takes,
# no product leaves them; a month's volume above it is a broken meter.
VOLUME_DM3_MAX: Final = 9_000_000_000_000_000


class Rounding(StrEnum):
    """What becomes of a part of a tiyn."""

    HALF_UP = "half_up"
    HALF_EVEN = "half_even"
    DOWN = "down"


def round_half_up_div(numerator: int, denominator: int) -> int:
    """Divide two whole numbers and round a half up; neither may be negative."""
    return round_div(numerator, denominator, Rounding.HALF_UP)


def round_div(numerator: int, denominator: int, rounding: Rounding) -> int:
    """Divide two whole numbers and round; neither may be negative."""
    assert numerator >= 0, "rounding is defined for what is owed, not for its negative"
    assert denominator > 0, "nothing can be shared among none"
    whole, rest = divmod(numerator, denominator)
    if rounding is Rounding.DOWN:
        return whole
    if rounding is Rounding.HALF_EVEN and 2 * rest == denominator:
        return whole + whole % 2
    return whole + (2 * rest >= denominator)


def vat_minor(*, net_minor: int, vat_rate_bp: int, rounding: Rounding = Rounding.HALF_UP) -> int:
    """Return the VAT on a net sum, in minor units; a negative sum has a negative VAT."""
    amount = round_div(abs(net_minor) * vat_rate_bp, BASIS_POINTS, rounding)
    return -amount if net_minor < 0 else amount
