"""Who is paid, as a payment order of Kazakhstan names him; most mistyped digits are found here.

BIN   12 digits: year and month of registration, kind, attribute, serial, check digit
IBAN  KZ, 2 check digits, 3 digits of the bank, 13 letters or digits; ISO 7064 MOD 97-10
BIC   8 characters: the bank, KZ, the place
KBe   2 digits: residence and sector of the payee
KNP   3 digits: what the payment is for
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Final

# The weights of the check digit, and those of the second pass where the first comes to ten.
_WEIGHTS: Final = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
_SECOND_WEIGHTS: Final = (3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2)
_MODULUS: Final = 11
_TEN: Final = 10

# Month, then 4 (resident), 5 (not resident) or 6 (entrepreneurs together), then the attribute: what
# stands elsewhere is the number of a person, which must not be on everybody's bill.
_BIN: Final = re.compile(r"^\d{2}(0[1-9]|1[0-2])[456][0-3]\d{6}$", re.ASCII)
_IBAN: Final = re.compile(r"^KZ\d{2}\d{3}[A-Z0-9]{13}$", re.ASCII)
_BIC: Final = re.compile(r"^[A-Z]{4}KZ[A-Z0-9]{2}$", re.ASCII)
_KBE: Final = re.compile(r"^[12][1-9]$", re.ASCII)
_KNP: Final = re.compile(r"^\d{3}$", re.ASCII)
_NAME: Final = re.compile(r"^[^\u0000-\u001f\u007f-\u009f]{1,200}$")

_IBAN_GROUP: Final = 4
_IBAN_MODULUS: Final = 97


class PayeeError(ValueError):
    """Nobody can be paid like this; ``field`` says which detail is wrong."""

    field: ClassVar[str] = "name"


class PayeeNameError(PayeeError):
    """A name is empty, too long, or holds what cannot be printed."""


class BankNameError(PayeeNameError):
    """The bank's name is empty, too long, or holds what cannot be printed."""

    field: ClassVar[str] = "bank"


class BinError(PayeeError):
    """The number of the legal entity is not one."""

    field: ClassVar[str] = "bin"


class IbanError(PayeeError):
    """The number of the bank account is not one of Kazakhstan."""

    field: ClassVar[str] = "iban"


class BicError(PayeeError):
    """The code of the bank is not one of Kazakhstan."""

    field: ClassVar[str] = "bic"


class KbeError(PayeeError):
    """The code of the beneficiary is not one."""

    field: ClassVar[str] = "kbe"


class KnpError(PayeeError):
    """The code of the purpose is not one."""

    field: ClassVar[str] = "knp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payee:
    """Who is paid, and where; ``bin`` and ``iban`` stand without spaces.

    ``bank`` is the bank's name as the operator gave it: public lists contradict each other.
    """

    name: str
    bin: str
    iban: str
    bic: str
    bank: str
    kbe: str
    knp: str

    def __post_init__(self) -> None:
        """Refuse whom no bank would pay.

        Raises:
            PayeeError: one of its kinds, for the first detail that is wrong.
        """
        _demand_name(self.name, PayeeNameError)
        _demand_bin(self.bin)
        _demand_iban(self.iban)
        if not _BIC.match(self.bic):
            raise BicError("is 8 characters such as KKMFKZ2A")
        _demand_name(self.bank, BankNameError)
        if not _KBE.match(self.kbe):
            raise KbeError("is 2 digits such as 16")
        if not _KNP.match(self.knp):
            raise KnpError("is 3 digits such as 859")

    @property
    def iban_grouped(self) -> str:
        """Return the bank account in groups of four, as people read it."""
        starts = range(0, len(self.iban), _IBAN_GROUP)
        return " ".join(self.iban[start : start + _IBAN_GROUP] for start in starts)


def bin_check_digit(serial: str) -> int | None:
    """Return the twelfth digit for the first eleven; None: such a number is never issued."""
    digits = [int(digit) for digit in serial]
    assert len(digits) == len(_WEIGHTS), "the check digit is that of eleven digits"
    for weights in (_WEIGHTS, _SECOND_WEIGHTS):
        check = sum(d * w for d, w in zip(digits, weights, strict=True)) % _MODULUS
        if check != _TEN:
            return check
    return None


def iban_adds_up(iban: str) -> bool:
    """Say whether the check digits of an IBAN are right: MOD 97-10 leaves one."""
    turned = iban[4:] + iban[:4]
    return int("".join(str(int(char, 36)) for char in turned)) % _IBAN_MODULUS == 1


def compact(written: str) -> str:
    """Return a number without the spaces and in the capitals that people may write it with."""
    return "".join(written.split()).upper()


def _demand_name(name: str, error: type[PayeeError]) -> None:
    if not name.strip() or not _NAME.match(name):
        raise error("is 1 to 200 printable characters")


def _demand_bin(number: str) -> None:
    if not _BIN.match(number):
        raise BinError("is the 12 digits of a legal entity: YYMM, then 4, 5 or 6")
    if bin_check_digit(number[:-1]) != int(number[-1]):
        raise BinError("has a wrong digit: its check digit does not fit")


def _demand_iban(number: str) -> None:
    if not _IBAN.match(number):
        raise IbanError("is 20 characters: KZ, 2 digits, 3 digits of the bank, 13 more")
    if not iban_adds_up(number):
        raise IbanError("has a wrong character: its check digits do not fit")
