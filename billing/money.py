"""Money is whole minor units (tiyn, cent); this is the only place that rounds.

Rounding is HALF_UP, once per line: half a tiyn or more counts as a whole one. It is what the
published bills of Kazakh utilities show. There is no float and no decimal on the way.
"""

from typing import Final

# A price is for 1000 m3, a volume in dm3.
DM3_PER_1000_M3: Final = 1_000_000

# A rate of 10 000 basis points is the whole.
BASIS_POINTS: Final = 10_000

# The database multiplies in 64 bits. Up to here, and with the highest price that the schema takes,
# no product leaves them; a month's volume above it is a broken meter.
VOLUME_DM3_MAX: Final = 9_000_000_000_000_000


def round_half_up_div(numerator: int, denominator: int) -> int:
    """Divide two whole numbers and round a half up; neither may be negative."""
    assert numerator >= 0, "rounding is defined for what is owed, not for its negative"
    assert denominator > 0, "nothing can be shared among none"
    return (2 * numerator + denominator) // (2 * denominator)


def net_minor(*, volume_dm3: int, net_minor_per_1000_m3: int) -> int:
    """Return what a volume costs without VAT, in minor units."""
    return round_half_up_div(volume_dm3 * net_minor_per_1000_m3, DM3_PER_1000_M3)


def vat_minor(*, net_minor: int, vat_rate_bp: int) -> int:
    """Return the VAT on a net sum, in minor units."""
    return round_half_up_div(net_minor * vat_rate_bp, BASIS_POINTS)
