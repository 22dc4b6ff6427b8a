"""The movements of money."""

from dataclasses import replace
from datetime import UTC, datetime

import asyncpg
import pytest

from billing.io.store import BillingStore, insert_transfers
from billing.ledger import (
    Account,
    BillAmount,
    DebitAmount,
    DebitMove,
    Phase,
    Transfer,
    balance_minor,
    bill_transfers,
    debit_transfer,
)

AT = datetime(2026, 2, 1, tzinfo=UTC)
BILL = BillAmount(
    account_id="AC-1", bill_no="2026-01", net_minor=64_049, vat_minor=10_248, currency="KZT"
)
DEBIT = DebitAmount(
    account_id="AC-1", bill_no="2026-01", attempt=2, amount_minor=74_297, currency="KZT"
)

# Left the account that is debited, right the credited one, as an accountant would write it.
WRITTEN = [
    (DebitMove.PENDING, "pending", "pending", "collections_in_transit", "receivable"),
    (DebitMove.VOID, "void", "void", "collections_in_transit", "receivable"),
    (DebitMove.POSTED, "posted", "posted", "collections_in_transit", "receivable"),
    (DebitMove.PAYOUT, "payout", "posted", "bank", "collections_in_transit"),
    (DebitMove.REVERSAL, "reversal", "posted", "receivable", "collections_in_transit"),
    (DebitMove.REVERSAL_AFTER_PAYOUT, "reversal", "posted", "chargebacks_receivable", "bank"),
    (DebitMove.RECOVERED, "recovered", "posted", "receivable", "chargebacks_receivable"),
    (
        DebitMove.PAYOUT_BOUNCED,
        "payout_bounced",
        "posted",
        "collections_in_transit",
        "bank",
    ),
    (DebitMove.RESTORED_OPEN, "restored-1", "posted", "bank", "chargebacks_receivable"),
    (DebitMove.RESTORED_TO_BANK, "restored-1", "posted", "bank", "receivable"),
    (
        DebitMove.RESTORED_TO_TRANSIT,
        "restored-1",
        "posted",
        "collections_in_transit",
        "receivable",
    ),
]

# What is left on receivable, in transit and in the bank after each story, in tiyn.
STORIES = {
    "billed": ([], (74_297, 0, 0)),
    "on its way": ([DebitMove.PENDING], (74_297, 0, 0)),
    "refused": ([DebitMove.PENDING, DebitMove.VOID], (74_297, 0, 0)),
    "collected": ([DebitMove.PENDING, DebitMove.POSTED], (0, 74_297, 0)),
    "paid out": ([DebitMove.PENDING, DebitMove.POSTED, DebitMove.PAYOUT], (0, 0, 74_297)),
    "taken back": ([DebitMove.PENDING, DebitMove.POSTED, DebitMove.REVERSAL], (74_297, 0, 0)),
    "taken back late": (
        [
            DebitMove.PENDING,
            DebitMove.POSTED,
            DebitMove.PAYOUT,
            DebitMove.REVERSAL_AFTER_PAYOUT,
        ],
        (0, 0, 0),
    ),
    "taken back late, and kept from a payout": (
        [
            DebitMove.PENDING,
            DebitMove.POSTED,
            DebitMove.PAYOUT,
            DebitMove.REVERSAL_AFTER_PAYOUT,
            DebitMove.RECOVERED,
        ],
        (74_297, 0, 0),
    ),
    "taken back late, and given back": (
        [
            DebitMove.PENDING,
            DebitMove.POSTED,
            DebitMove.PAYOUT,
            DebitMove.REVERSAL_AFTER_PAYOUT,
            DebitMove.RESTORED_OPEN,
        ],
        (0, 0, 74_297),
    ),
}


class TestTransfers:
    """What is written ..."""

    def test_for_a_bill_is_its_net_sum_and_its_tax(self) -> None:
        """The resident owes both; only one of them is ours."""
        net, vat = bill_transfers(BILL, at=AT)

        assert (net.transfer_id, net.debit_code, net.credit_code, net.amount_minor) == (
            "bill/2026-01/net",
            "receivable",
            "revenue",
            64_049,
        )
        assert (vat.transfer_id, vat.debit_code, vat.credit_code, vat.amount_minor) == (
            "bill/2026-01/vat",
            "receivable",
            "vat",
            10_248,
        )

    def test_for_nothing_is_nothing(self) -> None:
        """A transfer of zero would say that something happened."""
        assert bill_transfers(replace(BILL, net_minor=0, vat_minor=0), at=AT) == ()
        assert len(bill_transfers(replace(BILL, vat_minor=0), at=AT)) == 1

    @pytest.mark.parametrize(("move", "suffix", "phase", "debit", "credit"), WRITTEN)
    def test_for_a_debit_follows_the_drawing(
        self, move: DebitMove, suffix: str, phase: str, debit: str, credit: str
    ) -> None:
        """Each step has one name and one direction."""
        transfer = debit_transfer(move, DEBIT, at=AT)

        assert transfer == Transfer(
            account_id="AC-1",
            transfer_id=f"debit/2026-01/2/{suffix}",
            phase=Phase(phase),
            debit_code=Account(debit),
            credit_code=Account(credit),
            amount_minor=74_297,
            currency="KZT",
            bill_no="2026-01",
            posted_at=AT,
        )

    def test_covers_every_step(self) -> None:
        """A step without a row in the table above is a step nobody checked."""
        assert {move for move, *_ in WRITTEN} == set(DebitMove)

    @pytest.mark.parametrize("change", [{"amount_minor": 0}, {"credit_code": Account.RECEIVABLE}])
    def test_always_moves_something_somewhere(self, change: dict[str, object]) -> None:
        """The schema says the same."""
        with pytest.raises(ValueError, match="transfer"):
            replace(bill_transfers(BILL, at=AT)[0], **change)


class TestBalances:
    """What is left ..."""

    @pytest.mark.parametrize(("moves", "left"), STORIES.values(), ids=STORIES.keys())
    def test_fits_the_story(self, moves: list[DebitMove], left: tuple[int, int, int]) -> None:
        """After each story the resident owes, the bank holds and we have what a person expects."""
        rows = [*bill_transfers(BILL, at=AT), *(debit_transfer(one, DEBIT, at=AT) for one in moves)]

        accounts = (Account.RECEIVABLE, Account.COLLECTIONS_IN_TRANSIT, Account.BANK)
        assert tuple(balance_minor(account, rows) for account in accounts) == left
        assert sum(balance_minor(account, rows) for account in Account) == 0

    @pytest.mark.parametrize(("moves", "left"), STORIES.values(), ids=STORIES.keys())
    async def test_is_the_same_in_the_database(
        self,
        pool: asyncpg.Pool,
        owner: asyncpg.Connection,
        moves: list[DebitMove],
        left: tuple[int, int, int],
    ) -> None:
        """The sums of the store agree with those worked out by hand."""
        await owner.execute("INSERT INTO account VALUES ('AC-1', 'x', 'KZT', '2020-01-01Z')")
        await owner.execute(
            "INSERT INTO bill VALUES ('AC-1', '2026-01', '2026-01-01', '2026-02-01', 1, 100000,"
            " 64049, 10248, 74297, 'KZT', '2026-02-01Z', '2026-02-25')"
        )
        rows = [*bill_transfers(BILL, at=AT), *(debit_transfer(one, DEBIT, at=AT) for one in moves)]
        store = BillingStore(pool)

        async with pool.acquire() as connection:
            await insert_transfers(connection, rows)

        assert await store.owed_minor("AC-1", ["2026-01"]) == {"2026-01": left[0]}
        assert await store.account_owed_minor("AC-1") == left[0]

    async def test_counts_no_transfer_twice(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A second posting of the same step is refused by its key, not added."""
        await owner.execute("INSERT INTO account VALUES ('AC-1', 'x', 'KZT', '2020-01-01Z')")
        await owner.execute(
            "INSERT INTO bill VALUES ('AC-1', '2026-01', '2026-01-01', '2026-02-01', 1, 100000,"
            " 64049, 10248, 74297, 'KZT', '2026-02-01Z', '2026-02-25')"
        )
        store = BillingStore(pool)
        async with pool.acquire() as connection:
            await insert_transfers(connection, bill_transfers(BILL, at=AT))
            with pytest.raises(asyncpg.UniqueViolationError):
                await insert_transfers(connection, bill_transfers(BILL, at=AT))

        assert await store.account_owed_minor("AC-1") == 74_297
