"""Money that the bank took back and kept is owed again, whoever says so."""

from datetime import date

import asyncpg
import pytest

from billing.bank import PaymentStatus
from billing.io.debits import Debits
from billing.io.ledger import Ledger
from billing.io.recon import ReconBooks
from billing.payout import PayoutItem, tenths
from billing.recover import recover
from billing.trial import summed
from tests.billing.debit_town import ZONE, DebitTown, day, followed
from tests.billing.recon_town import MORNING, NEXT, PayingBank, paid, reconciled, told_by_bank

TOTAL_MINOR = 74_297


@pytest.fixture
def books(pool: asyncpg.Pool) -> ReconBooks:
    return ReconBooks(pool=pool)


async def failed_late(town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank) -> None:
    """Take 742.97, have it paid out, and let the bank take it back without saying more."""
    await paid(town, store, bank, "ACC-1")
    bank.pay_out(("PM1", "74297.0"), amount_minor=74_247)
    await reconciled(books, store, bank)
    bank.tell("PM1", PaymentStatus.FAILED, action="failed", cause="refer_to_payer")
    await followed(store, bank, MORNING)


class TestRecover:
    """Money that was taken back late ..."""

    async def test_is_owed_again_by_the_item_of_a_payout(
        self, town: DebitTown, store: Debits, books: ReconBooks
    ) -> None:
        """The event that says so was lost."""
        bank = PayingBank()
        await failed_late(town, store, books, bank)
        assert await recover(store=store, at=NEXT, limit=10) == 0
        bank.pay_out(payout_id="PO2", reference="AQKOL-2", amount_minor=-74_347)
        bank.items["PO2"].append(
            PayoutItem(kind="payment_failed", amount_tenths=tenths("-74297.0"), payment_id="PM1")
        )
        await reconciled(books, store, bank, NEXT)

        assert await recover(store=store, at=NEXT, limit=10) == 1
        assert await recover(store=store, at=NEXT, limit=10) == 0
        assert (await town.balances())["receivable"] == TOTAL_MINOR

    async def test_is_owed_again_by_a_line_of_the_statement(
        self, town: DebitTown, store: Debits, books: ReconBooks
    ) -> None:
        """Some banks take it from the account at once."""
        bank = PayingBank()
        await failed_late(town, store, books, bank)
        await told_by_bank(books, ("-742.97", "PM1"), opening="742.97", closing="0")
        await reconciled(books, store, bank, NEXT)

        assert await recover(store=store, at=NEXT, limit=10) == 1
        assert await recover(store=store, at=NEXT, limit=10) == 0

    async def test_is_owed_once_if_both_say_so(
        self, town: DebitTown, store: Debits, books: ReconBooks
    ) -> None:
        """The event comes after all."""
        bank = PayingBank()
        await failed_late(town, store, books, bank)
        await told_by_bank(books, ("-742.97", "PM1"), opening="742.97", closing="0")
        await reconciled(books, store, bank, NEXT)
        await recover(store=store, at=NEXT, limit=10)
        bank.hint("PM1", "late_failure_settled")

        await followed(store, bank, NEXT)

        assert (await town.balances())["receivable"] == TOTAL_MINOR

    async def test_leaves_books_that_add_up_with_the_banks_fees(
        self, pool: asyncpg.Pool, town: DebitTown, store: Debits, books: ReconBooks
    ) -> None:
        """742.97 less 0.50 stands at the bank; the bank's 0.50 are ours to bear."""
        bank = PayingBank()
        await paid(town, store, bank, "ACC-1")
        bank.pay_out(("PM1", "74297.0"), amount_minor=74_247)
        await told_by_bank(books, ("742.47", "AQKOL-7QX2M9K4TA"), closing="742.47")
        await reconciled(books, store, bank)

        rows = await Ledger(pool=pool, zone=ZONE).trial_balance(
            date(2026, 2, 1), date(2026, 4, 1), at=day("03-20")
        )

        summed(rows)
        assert {one.code: one.closing_minor for one in rows if one.closing_minor} == {
            "bank": 74_247,
            "fees": 50,
            "revenue": -TOTAL_MINOR,
        }
