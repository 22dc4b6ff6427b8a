"""Whom a bill is paid to."""

from typing import Any, Final

import pytest

from billing.payee import Payee, valid_bin, valid_iban

PAYEE: Final[dict[str, Any]] = {
    "name": "Gas of Aqkol",
    "bin": "940140000385",
    "iban": "KZ86125KZT5004100100",
    "kbe": "17",
    "knp": "856",
}


class TestBin:
    """A BIN ..."""

    @pytest.mark.parametrize(
        "text", ["940140000385", "950341000052", "961141000023", "070941024691"]
    )
    def test_of_a_published_company_is_taken(self, text: str) -> None:
        """The third needs the second weights."""
        assert valid_bin(text)

    @pytest.mark.parametrize(
        "text",
        [
            "940140000380",
            "000813159890",
            "94014000038",
            "9401400003855",
            "94014000038A",
            "",
            "\u0669\u0034\u0030140000385",
        ],
    )
    def test_with_a_typing_error_is_not(self, text: str) -> None:
        """Wrong check digit, a number that gives 10 twice, wrong length, letters, other digits."""
        assert not valid_bin(text)


class TestIban:
    """A Kazakh IBAN ..."""

    @pytest.mark.parametrize("text", ["KZ86125KZT5004100100", "KZ24070105KSN0000000"])
    def test_of_a_published_example_is_taken(self, text: str) -> None:
        """SWIFT's example, and the Treasury's."""
        assert valid_iban(text)

    @pytest.mark.parametrize(
        "text",
        [
            "KZ12070105KSN0000000",
            "KZ563190000001234567",
            "KZ86 125K ZT50 0410 0100",
            "kz86125kzt5004100100",
            "DE89370400440532013000",
            "",
        ],
    )
    def test_with_a_typing_error_is_not(self, text: str) -> None:
        """Wrong check digits, spaces, small letters, another country's."""
        assert not valid_iban(text)

    def test_notices_two_letters_that_changed_places(self) -> None:
        """What people do when they type."""
        assert not valid_iban("KZ86125KZT5040100100")


class TestPayee:
    """A payee ..."""

    def test_keeps_what_was_said(self) -> None:
        """All of it is right."""
        assert Payee(**PAYEE).iban == "KZ86125KZT5004100100"

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("name", ""),
            ("name", "x" * 201),
            ("name", "a\nb"),
            ("bin", "940140000380"),
            ("iban", "KZ12070105KSN0000000"),
            ("kbe", "37"),
            ("kbe", "1"),
            ("knp", "85"),
            ("knp", "8567"),
        ],
    )
    def test_with_a_typing_error_is_refused(self, field: str, value: str) -> None:
        """Before a bill sends a town's money to somebody else."""
        with pytest.raises(ValueError, match=r"payee|KBe|KNP"):
            Payee(**PAYEE | {field: value})
