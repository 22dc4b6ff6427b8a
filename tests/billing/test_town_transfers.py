"""Money that belongs to no resident."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from billing.ledger import Account
from billing.town import TownTransfer, identified, payout_fees, unidentified

AT = datetime(2026, 3, 2, tzinfo=UTC)


def told(transfer: TownTransfer) -> tuple[str, str, str, int]:
    return (
        transfer.transfer_id,
        transfer.debit_code,
        transfer.credit_code,
        transfer.amount_minor,
    )


class TestTownTransfers:
    """The town's own rows ..."""

    def test_take_the_fees_from_what_came_to_the_bank(self) -> None:
        """The debits of the payout have brought all of it there."""
        fees = payout_fees("PO1", fees_minor=350, currency="KZT", reference="AQKOL-1", at=AT)

        assert told(fees) == ("payout/PO1/fees", "fees", "bank", 350)
        back = payout_fees("PO2", fees_minor=-70, currency="KZT", reference="AQKOL-2", at=AT)
        assert told(back) == ("payout/PO2/fees", "bank", "fees", 70)

    @pytest.mark.parametrize(
        ("amount_minor", "line", "known"),
        [
            (700, ("line/L1/in", "bank", "suspense"), ("line/L1/known", "suspense", "bank")),
            (-700, ("line/L1/out", "suspense", "bank"), ("line/L1/known", "bank", "suspense")),
        ],
    )
    def test_keep_a_line_nobody_knows_until_somebody_does(
        self, amount_minor: int, line: tuple[str, str, str], known: tuple[str, str, str]
    ) -> None:
        """The bank's balance is the bank's from the day of the line on."""
        one = unidentified("L1", amount_minor=amount_minor, currency="KZT", reference="?", at=AT)

        assert told(one) == (*line, 700)
        assert told(identified(one, at=AT)) == (*known, 700)

    @pytest.mark.parametrize(
        "change",
        [{"amount_minor": 0}, {"credit_code": Account.FEES}, {"posted_at": datetime(2026, 3, 2)}],  # noqa: DTZ001
    )
    def test_always_move_something_somewhere(self, change: dict[str, object]) -> None:
        """The schema says the same."""
        fees = payout_fees("PO1", fees_minor=350, currency="KZT", reference="AQKOL-1", at=AT)

        with pytest.raises(ValueError, match=r"transfer|zone"):
            replace(fees, **change)
