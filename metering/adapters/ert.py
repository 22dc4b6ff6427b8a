"""What all receivers of ERT radio modules share: who counts gas, and how far a counter can go.

The low four bits of the type say what is metered; the list is that of the decoders of SCM+. A
counter has no unit: the mapping's ``dm3_per_count`` gives it one, 28316846592 / 10**9 dm3 where it
counts cubic feet. It begins again after its last bit, and so must the dial of its meter.
"""

from typing import Final

from metering.adapter import Source
from metering.adapters import parse

GAS_TYPES: Final = frozenset({0, 1, 2, 9, 12})
_COMMODITY_BITS: Final = 0x0F


def check_gas(ert_type: object) -> None:
    """Refuse what an ERT module says of water, electricity or something nobody knows."""
    number = parse.whole(ert_type, "the ERT type", 0xFF)
    if number & _COMMODITY_BITS not in GAS_TYPES:
        raise parse.unreadable(f"ERT type {number} counts no gas")


def register_dm3(count: object, bits: int, source: Source) -> int:
    """Return the register of a counter of so many bits; all of them set means no reading.

    Rule 4 knows all ones only in dm3, and here they have a weight already.
    """
    number = parse.whole(count, "the counter", 2**bits - 1)
    if number == 2**bits - 1:
        raise parse.unreadable("the counter has all bits set")
    return parse.counted_dm3(number, source)
