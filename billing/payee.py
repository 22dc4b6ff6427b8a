"""Whom a bill is paid to: the gas supplier and its bank account, as a payment order names them.

The numbers check themselves: a BIN by two weighted sums modulo 11, an IBAN by ISO 7064 MOD 97-10.
"""

import re
from dataclasses import dataclass
from typing import Final

_BIN: Final = re.compile(r"^[0-9]{12}$", re.ASCII)
_IBAN: Final = re.compile(r"^KZ[0-9]{5}[0-9A-Z]{13}$", re.ASCII)
_KBE: Final = re.compile(r"^[12][0-9]$", re.ASCII)
_KNP: Final = re.compile(r"^[0-9]{3}$", re.ASCII)
_NAME_MAX: Final = 200

# Government decrees No. 565 of 2003 and No. 406 of 2007: the second weights count where the first
# sum gives 10; where both do, the number was never issued.
_WEIGHTS: Final = (
    (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
    (3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2),
)
_NEVER: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Payee:
    """The supplier's name, its BIN, its IBAN, its beneficiary code (KBe) and purpose code (KNP)."""

    name: str
    bin: str
    iban: str
    kbe: str
    knp: str

    def __post_init__(self) -> None:
        """Refuse a number with a typing error in it: money would go to somebody else."""
        if not 1 <= len(self.name) <= _NAME_MAX or not self.name.isprintable():
            raise ValueError(f"the payee's name is 1 to {_NAME_MAX} printable letters")
        if not valid_bin(self.bin):
            raise ValueError("the payee's BIN has a typing error in it")
        if not valid_iban(self.iban):
            raise ValueError("the payee's IBAN has a typing error in it")
        if not _KBE.match(self.kbe):
            raise ValueError("a KBe is two digits, the first 1 or 2")
        if not _KNP.match(self.knp):
            raise ValueError("a KNP is three digits")


def valid_bin(text: str) -> bool:
    """Say whether a BIN (or IIN) of twelve digits ends with its check digit."""
    if not _BIN.match(text):
        return False
    digits = [int(digit) for digit in text]
    for weights in _WEIGHTS:
        check = sum(digit * weight for digit, weight in zip(digits, weights, strict=False)) % 11
        if check != _NEVER:
            return check == digits[-1]
    return False


def valid_iban(text: str) -> bool:
    """Say whether a Kazakh IBAN, written without spaces, has the right check digits."""
    if not _IBAN.match(text):
        return False
    turned = text[4:] + text[:4]
    return int("".join(str(int(letter, 36)) for letter in turned)) % 97 == 1
