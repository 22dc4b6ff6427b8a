"""Who is paid: what a bank would refuse is refused before it stands on a bill."""

from typing import Any

import pytest

from billing import payee
from billing.payee import (
    BankNameError,
    BicError,
    BinError,
    IbanError,
    KbeError,
    KnpError,
    Payee,
    PayeeError,
    PayeeNameError,
)

GOOD = {
    "name": "Town Gas LLP",
    "bin": "940140000385",
    "iban": "KZ86125KZT5004100100",
    "bic": "KKMFKZ2A",
    "bank": "Bank of the Town",
    "kbe": "16",
    "knp": "859",
}


def paid(**other: Any) -> Payee:
    """Return a good payee with one detail changed."""
    return Payee(**(GOOD | other))


def _is_bin(number: str) -> bool:
    try:
        paid(bin=number)
    except BinError:
        return False
    return True


class TestAPayee:
    """Who is paid ..."""

    @pytest.mark.parametrize(
        "number", ["940140000385", "950341000052", "961141000023", "070941024691"]
    )
    def test_has_the_number_of_a_legal_entity(self, number: str) -> None:
        """Published numbers of companies; the third needs the second pass of weights."""
        assert paid(bin=number).bin == number

    @pytest.mark.parametrize(
        "number",
        [
            "940140000380",  # wrong check digit, published as invalid
            "000813159890",  # ten in both passes, published as invalid
            "900101300007",  # adds up, but is a person's (synthetic)
            "941340000385",  # no thirteenth month
            "94014000038",
            "9401400003855",
            "94014000038\u0665",  # a digit, but not one of ours
            "",
        ],
    )
    def test_has_no_other_number(self, number: str) -> None:
        """A bill with a wrong BIN cannot be paid at a bank; a person's must not be on it."""
        with pytest.raises(BinError):
            paid(bin=number)

    @pytest.mark.parametrize("good", ["940140000385", "961141000023"])
    def test_has_one_check_digit(self, good: str) -> None:
        """Of ten last digits only one is right, in the first pass and in the second."""
        right = [digit for digit in "0123456789" if _is_bin(good[:-1] + digit)]

        assert right == [good[-1]]

    @pytest.mark.parametrize(
        "number",
        [
            "KZ86125KZT5004100100",  # the example of SWIFT's registry
            "KZ24070105KSN0000000",
            "KZ12009NPS0413609816",
            "KZ92009MEDS368609103",
            "KZ75125KZT2069100100",
        ],
    )
    def test_has_a_bank_account_of_kazakhstan(self, number: str) -> None:
        """Published numbers whose check digits are right."""
        assert paid(iban=number).iban == number

    @pytest.mark.parametrize(
        "number",
        [
            "KZ12070105KSN0000000",  # published as wrong
            "KZ563190000001234567",  # published as wrong
            "KZ86125KZT500410010",
            "GB82WEST12345698765432",  # right, but elsewhere
            "KZ86 125K ZT50 0410 0100",
            "",
        ],
    )
    def test_has_no_other_bank_account(self, number: str) -> None:
        """Money sent to a mistyped account is gone for weeks."""
        with pytest.raises(IbanError):
            paid(iban=number)

    @pytest.mark.parametrize(
        ("detail", "value", "error"),
        [
            ("name", " ", PayeeNameError),
            ("name", "Town\nGas", PayeeNameError),
            ("bank", "", BankNameError),
            ("bic", "KKMFKZ2", BicError),
            ("bic", "DEUTDEFF", BicError),
            ("kbe", "36", KbeError),
            ("kbe", "10", KbeError),
            ("knp", "85", KnpError),
            ("knp", "85a", KnpError),
        ],
    )
    def test_is_refused_with_the_detail_that_is_wrong(
        self, detail: str, value: str, error: type[PayeeError]
    ) -> None:
        """The operator is told which of seven settings to look at."""
        with pytest.raises(error) as raised:
            paid(**{detail: value})

        assert raised.value.field == detail

    def test_shows_the_account_in_groups_of_four(self) -> None:
        """Twenty characters in one piece are mistyped."""
        assert paid().iban_grouped == "KZ86 125K ZT50 0410 0100"


class TestTheCheckDigit:
    """The check digit ..."""

    @pytest.mark.parametrize(
        ("serial", "digit"),
        [
            ("90010130000", 7),
            ("00022960000", 4),
            ("15070450010", 9),
            ("90010130081", 1),  # second pass
            ("00022960050", 3),  # second pass
            ("99123140000", 2),  # second pass
            ("90010130080", None),
            ("00022960059", None),
            ("99123140004", None),
        ],
    )
    def test_is_that_of_the_decree(self, serial: str, digit: int | None) -> None:
        """Made-up numbers, worked out by hand; ten in both passes is never issued."""
        assert payee.bin_check_digit(serial) == digit
