"""The statement of an account: what happened, in words, and what is owed after it."""

from datetime import UTC, datetime

import pytest

from billing.ledger import Account, Phase, Transfer
from billing.statement import HIS, WORDS, MoveKind, kind_of, movements

AT = datetime(2026, 2, 2, tzinfo=UTC)


def moved(name: str, debit: str, credit: str, amount_minor: int = 100, day: int = 2) -> Transfer:
    return Transfer(
        account_id="A-1",
        transfer_id=name,
        phase=Phase.POSTED,
        debit_code=Account(debit),
        credit_code=Account(credit),
        amount_minor=amount_minor,
        currency="KZT",
        bill_no="2026-01",
        posted_at=datetime(2026, 2, day, tzinfo=UTC),
    )


# What each row of the drawing in billing/ledger.py is for the resident, and what he owes with it.
SAID = [
    ("bill/2026-01/net", "receivable", "revenue", "billed", 100),
    ("bill/2026-01-2/net", "revenue", "receivable", "in_favour", -100),
    ("debit/2026-01/1/posted", "collections_in_transit", "receivable", "taken", -100),
    ("debit/2026-01/1/posted-2", "collections_in_transit", "receivable", "taken", -100),
    ("debit/2026-01/1/reversal", "receivable", "collections_in_transit", "taken_back", 100),
    ("debit/2026-01/1/recovered", "receivable", "chargebacks_receivable", "charged_back", 100),
    ("debit/2026-01/1/restored-1", "bank", "receivable", "chargeback_cancelled", -100),
    ("voucher/3/2026-01", "voucher", "receivable", "voucher", -100),
    ("credit/2026-01/1", "receivable", "resident_credit", "credit_kept", 0),
    ("credit/2026-02/1", "resident_credit", "receivable", "credit_used", 0),
    ("carry/2026-01/2026-02/out", "carried", "receivable", "carried", 0),
    ("refund/2026-01/2", "resident_credit", "refund_due", "to_be_sent_back", 0),
    ("give_back/2026-01/1/1/asked", "refund_due", "refunds_payable", "refund_asked", 0),
    ("give_back/2026-01/1/1/undone", "refunds_payable", "refund_due", "refund_undone", 0),
    ("give_back/2026-01/1/1/paid", "refunds_payable", "bank", "refund_paid", 100),
    ("give_back/2026-01/1/1/bounced", "bank", "refunds_payable", "refund_came_back", -100),
    ("give_back/2026-01/1/1/left", "refunds_payable", "refund_due", "to_be_sent_back", 0),
]


class TestMovements:
    """A movement ..."""

    @pytest.mark.parametrize(("name", "debit", "credit", "kind", "amount_minor"), SAID)
    def test_is_said_plainly(
        self, name: str, debit: str, credit: str, kind: str, amount_minor: int
    ) -> None:
        """What waits or is on its way back is still his, so nothing more is owed with it."""
        (one,) = movements([moved(name, debit, credit)], opening_minor=1_000)

        assert (one.kind, one.amount_minor, one.owed_minor) == (
            kind,
            amount_minor,
            1_000 + amount_minor,
        )
        assert one.moved_minor == 100

    def test_has_words_in_three_languages(self) -> None:
        """A kind without words would show a resident the name of a constant."""
        assert set(WORDS) == set(MoveKind)
        assert all(word for words in WORDS.values() for word in (words.kk, words.ru, words.en))
        assert len({words.en for words in WORDS.values()}) == len(MoveKind)

    def test_of_a_bill_is_one_with_its_tax(self) -> None:
        """Net sum, VAT and penalty are one bill for whoever gets it."""
        (one,) = movements(
            [
                moved("bill/2026-01/net", "receivable", "revenue", 64_049),
                moved("bill/2026-01/penalty", "receivable", "penalty", 7),
                moved("bill/2026-01/vat", "receivable", "vat", 10_248),
            ],
            opening_minor=0,
        )

        assert (one.kind, one.amount_minor) == (MoveKind.BILLED, 74_304)

    def test_between_us_and_the_bank_is_not_his(self) -> None:
        """Whether the bank has paid us out is our affair."""
        rows = [moved("debit/2026-01/1/payout", "bank", "collections_in_transit")]

        assert movements(rows, opening_minor=5) == ()

    def test_of_what_nobody_foresaw_is_still_shown(self) -> None:
        """A row that has no word must not be lost: the sums would not add up."""
        strange = moved("gift/1", "revenue", "receivable")

        assert kind_of(strange) is MoveKind.OTHER
        assert movements([strange], opening_minor=0)[0].owed_minor == -100

    def test_counts_these_accounts_as_his(self) -> None:
        """Everything of which he could ask: is it mine, or do I owe it?"""
        assert sorted(HIS) == [
            "carried",
            "receivable",
            "refund_due",
            "refunds_payable",
            "resident_credit",
        ]
