"""The accountants' codes: each of our accounts has one, and no two the same."""

import pytest

from billing.chart import Chart, ChartError
from billing.ledger import Account


class TestAChart:
    """The accountants' codes ..."""

    def test_are_our_own_unless_said(self) -> None:
        """A utility that tries us out needs no chart of accounts."""
        assert Chart.parse("").codes == {account.value: account.value for account in Account}

    def test_replace_those_that_were_said(self) -> None:
        """The others keep ours."""
        codes = Chart.parse(" receivable = 1210 , vat=3130.01,").codes

        assert (codes["receivable"], codes["vat"], codes["revenue"]) == (
            "1210", "3130.01", "revenue",
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("receivables=1210", "is no account of ours"),
            ("receivable=1210,receivable=1211", "stands there twice"),
            ("receivable=", "letters, digits"),
            ("receivable==1+1", "letters, digits"),
            ("receivable", "letters, digits"),
            ("receivable=1210,vat=1210", "the same code"),
            ("receivable=vat", "the same code"),
        ],
    )
    def test_are_refused_when_a_balance_could_not_be_rebuilt(
        self, text: str, sentence: str
    ) -> None:
        """Two accounts under one code are one account in the file for ever."""
        with pytest.raises(ChartError, match=sentence):
            Chart.parse(text)
