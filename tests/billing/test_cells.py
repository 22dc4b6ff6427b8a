"""Lines of a CSV: programs read what we wrote, and a spreadsheet works out nothing."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import cells

texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"))


class TestALine:
    """A line ..."""

    def test_is_that_of_the_rfc(self) -> None:
        """RFC 4180: commas, quotation marks doubled inside quotation marks, and both line ends."""
        assert cells.line(('a "b"', "c,d", -5, None, "Абай")) == (
            '"a ""b""","c,d",-5,,Абай\r\n'.encode()
        )

    @given(st.lists(texts, min_size=1))
    def test_is_read_back_as_it_was(self, values: list[str]) -> None:
        """Line ends, quotation marks and apostrophes among them."""
        written = cells.line([cells.safe(value) for value in values]).decode()
        (read,) = csv.reader(io.StringIO(written, newline=""), strict=True)

        assert [cells.unsafe(cell) for cell in read] == values


class TestAText:
    """A text ..."""

    @pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "'"])
    def test_is_never_a_formula(self, first: str) -> None:
        """Whoever chooses a name must not choose what a spreadsheet of the utility does."""
        assert cells.safe(f'{first}HYPERLINK("x")') == f'\'{first}HYPERLINK("x")'

    def test_stands_as_it_is_otherwise(self) -> None:
        """An apostrophe inside a name is a letter of it."""
        assert cells.safe("O'Neil = 1") == "O'Neil = 1"


class TestAnAmount:
    """An amount ..."""

    @pytest.mark.parametrize(
        ("minor", "written"),
        [(0, "0.00"), (5, "0.05"), (-5, "-0.05"), (-105, "-1.05"), (123_456, "1234.56")],
    )
    def test_has_two_digits_behind_the_point(self, minor: int, written: str) -> None:
        """Below zero too, where dividing rounds the other way."""
        assert cells.decimal(minor) == written
