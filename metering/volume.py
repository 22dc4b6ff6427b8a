"""Volumes as strangers write them, made whole dm3 exactly; what is no volume is told, not raised.

No binary float is on the way: JSON must be parsed with ``parse_float=Decimal``.
"""

import re
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final

from metering.telegram import REGISTER_DM3_MAX

# Nobody's register has more digits; a longer text is refused before any arithmetic.
TEXT_CHARS_MAX: Final = 32

# No sign, no exponent, no thousands: each of them has meant two things on some gateway.
_PLAIN = re.compile(r"[0-9]+(?:\.[0-9]+)?")


class VolumeFault(StrEnum):
    """Why a value is no volume. A closed set: operators act on it."""

    NOT_A_NUMBER = "not_a_number"
    BAD_UNIT = "bad_unit"
    OUT_OF_RANGE = "out_of_range"


# Only volumes stand here: energy (kWh) cannot become a register without a calorific value.
DM3_OF_UNIT: Final = {"m3": Fraction(1000), "dm3": Fraction(1), "l": Fraction(1)}


def volume_dm3(value: object, unit: str) -> int | VolumeFault:
    """Return a register in whole dm3, rounded down as a dial shows it, or why there is none."""
    factor = DM3_OF_UNIT.get(unit)
    if factor is None:
        return VolumeFault.BAD_UNIT
    text = _text(value)
    if text is None or len(text) > TEXT_CHARS_MAX or _PLAIN.fullmatch(text) is None:
        return VolumeFault.NOT_A_NUMBER
    register_dm3 = int(Fraction(text) * factor)
    return register_dm3 if register_dm3 <= REGISTER_DM3_MAX else VolumeFault.OUT_OF_RANGE


def _text(value: object) -> str | None:
    """Return the plain spelling of a parsed JSON number or string; a bool is no number."""
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        # An exponent bomb is refused before it is spelled out; NaN has a letter for an exponent.
        spellable = isinstance(exponent, int) and -TEXT_CHARS_MAX <= exponent <= 0
        return f"{value:f}" if spellable else None
    if type(value) is int:
        # A huge int may not be spelled at all, so it is bounded before it is.
        return str(value) if 0 <= value <= REGISTER_DM3_MAX else None
    return None
