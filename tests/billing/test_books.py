"""The trial balance and the statement, from PostgreSQL, against sums worked out by hand."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest

import sql
from billing.bank import PaymentStatus, RefundStatus
from billing.io.accounts import AccountUnknownError
from billing.io.debits import Debits
from billing.io.ledger import Ledger
from billing.io.store import BillingStore
from billing.refund import Cause
from billing.statement import HIS
from billing.town import TownTransfer, payout_fees, unidentified
from billing.trial import BadSpanOfDaysError, NotBalancedError, TrialRow, summed
from tests.billing.debit_town import JANUARY, TO_RECORD, ZONE, DebitTown, accepted, day, followed
from tests.billing.fake_bank import FakeBank
from tests.billing.test_give_back import given

TOTAL_MINOR = 74_297
NOW = day("03-05")


@pytest.fixture
def ledger(pool: asyncpg.Pool) -> Ledger:
    return Ledger(pool=pool, zone=ZONE)


async def a_month(town: DebitTown, pool: asyncpg.Pool) -> None:
    """Bill, take, pay out, give 5 000 back; keep 350 of fees, and 700 that nobody knows."""
    store, bank = Debits(pool), FakeBank()
    await accepted(town, store, bank)
    bank.tell("PM1", PaymentStatus.PAID_OUT)
    await followed(store, bank, day("02-26"))
    async with store.begin() as desk:
        await desk.ask_refund(JANUARY, 5_000, Cause.OPERATOR, asked_by="Olga", at=day("02-27"))
    await given(store, bank, day("02-27"))
    bank.tell_refund("RF1", RefundStatus.PAID, action="paid")
    await followed(store, bank, day("03-02"))
    fees = payout_fees("PO1", fees_minor=350, currency="KZT", reference="AQKOL-1", at=day("02-26"))
    await post_town(town, fees)
    line = unidentified("L1", amount_minor=700, currency="KZT", reference="?", at=day("03-01"))
    await post_town(town, line)


async def post_town(town: DebitTown, one: TownTransfer) -> None:
    """Post a transfer of the town's."""
    await town.owner.execute(
        "INSERT INTO town_transfer VALUES ($1, 'posted', $2, $3, $4, $5, $6, $7)",
        one.transfer_id,
        one.debit_code,
        one.credit_code,
        one.amount_minor,
        one.currency,
        one.reference,
        one.posted_at,
    )


class TestTrialBalance:
    """The trial balance ..."""

    async def test_is_what_an_accountant_would_write(
        self, town: DebitTown, pool: asyncpg.Pool, ledger: Ledger
    ) -> None:
        """March: what stood there, what moved, what stands there; residents and town together."""
        await a_month(town, pool)

        rows = await ledger.trial_balance(date(2026, 3, 1), date(2026, 4, 1), at=NOW)

        told = {
            one.code: (one.opening_minor, one.debited_minor, one.credited_minor, one.closing_minor)
            for one in rows
        }
        assert told == {
            "bank": (TOTAL_MINOR - 350, 700, 5_000, TOTAL_MINOR - 350 + 700 - 5_000),
            "collections_in_transit": (0, 0, 0, 0),
            "fees": (350, 0, 0, 350),
            "receivable": (5_000, 0, 0, 5_000),
            "refunds_payable": (-5_000, 5_000, 0, 0),
            "revenue": (-TOTAL_MINOR, 0, 0, -TOTAL_MINOR),
            "suspense": (0, 0, 700, -700),
        }
        (total,) = summed(rows)
        assert (total.opening_minor, total.closing_minor) == (0, 0)
        assert total.debited_minor == total.credited_minor == 5_700

    async def test_of_one_day_leads_to_the_next(
        self, town: DebitTown, pool: asyncpg.Pool, ledger: Ledger
    ) -> None:
        """Each day's closing balance is the next day's opening balance."""
        await a_month(town, pool)
        closing: dict[str, int] = {}
        for number in range(31):
            first = date(2026, 2, 2) + timedelta(days=number)
            rows = await ledger.trial_balance(first, first + timedelta(days=1), at=NOW)
            summed(rows)

            opening = {one.code: one.opening_minor for one in rows if one.opening_minor}
            assert opening == {code: minor for code, minor in closing.items() if minor}
            closing = {one.code: one.closing_minor for one in rows}

    async def test_keeps_currencies_apart(self, town: DebitTown, ledger: Ledger) -> None:
        """Tenge and euros never make up for each other."""
        await town.home()
        fees = payout_fees("PO1", fees_minor=3, currency="EUR", reference="x", at=TO_RECORD)
        await post_town(town, fees)

        rows = await ledger.trial_balance(date(2026, 2, 1), date(2026, 3, 1), at=NOW)

        assert [(one.currency, one.debited_minor) for one in summed(rows)] == [
            ("EUR", 3),
            ("KZT", TOTAL_MINOR),
        ]

    def test_is_an_error_where_it_does_not_add_up(self) -> None:
        """Half a transfer cannot be written; if it ever were, nobody gets a balance."""
        row = TrialRow(
            code="bank",
            side="debit",
            currency="KZT",
            opening_minor=0,
            debited_minor=1,
            credited_minor=0,
        )

        with pytest.raises(NotBalancedError, match="KZT"):
            summed([row])
        with pytest.raises(NotBalancedError):
            summed([row, replace(row, code="fees", debited_minor=0, opening_minor=-1)])

    @pytest.mark.parametrize(
        ("first", "after"),
        [
            (date(2026, 2, 1), date(2026, 2, 1)),
            (date(2026, 3, 6), date(2026, 3, 7)),
            (date(2025, 2, 1), date(2026, 3, 1)),
        ],
    )
    async def test_refuses_days_that_are_none(
        self, ledger: Ledger, first: date, after: date
    ) -> None:
        """None, not begun, more than a year."""
        with pytest.raises(BadSpanOfDaysError):
            await ledger.trial_balance(first, after, at=NOW)


class TestStatement:
    """The statement of an account ..."""

    async def test_is_the_ledger_in_words(
        self, town: DebitTown, pool: asyncpg.Pool, ledger: Ledger
    ) -> None:
        """February: a bill, what was taken, what is on its way back."""
        await a_month(town, pool)

        told = await ledger.statement("ACC-1", date(2026, 2, 1), date(2026, 3, 1), at=NOW)

        assert (told.currency, told.opening_minor, told.closing_minor) == ("KZT", 0, 0)
        assert [(one.kind.value, one.amount_minor, one.owed_minor) for one in told.movements] == [
            ("billed", TOTAL_MINOR, TOTAL_MINOR),
            ("taken", -TOTAL_MINOR, 0),
            ("refund_asked", 0, 0),
        ]
        march = await ledger.statement("ACC-1", date(2026, 3, 1), date(2026, 4, 1), at=NOW)
        assert [(one.kind.value, one.owed_minor) for one in march.movements] == [
            ("refund_paid", 5_000)
        ]
        assert (march.opening_minor, march.closing_minor) == (0, 5_000)

    async def test_ends_with_what_the_ledger_says(
        self, town: DebitTown, pool: asyncpg.Pool, ledger: Ledger
    ) -> None:
        """Summed up by itself, account by account, apart from the statement."""
        await a_month(town, pool)

        told = await ledger.statement("ACC-1", date(2026, 2, 1), date(2026, 3, 6), at=NOW)

        balances = await town.balances()
        assert told.closing_minor == sum(balances.get(code, 0) for code in HIS) == 5_000
        assert await BillingStore(pool).account_owed_minor("ACC-1") == 5_000

    async def test_says_what_is_under_way(
        self, town: DebitTown, pool: asyncpg.Pool, ledger: Ledger
    ) -> None:
        """Ordered from the bank is not paid, and not nothing."""
        await accepted(town, Debits(pool), FakeBank())

        told = await ledger.statement("ACC-1", date(2026, 2, 1), date(2026, 3, 1), at=NOW)

        assert (told.closing_minor, told.under_way_minor) == (TOTAL_MINOR, TOTAL_MINOR)

    async def test_has_nothing_under_way_once_it_has_come(
        self, town: DebitTown, pool: asyncpg.Pool, ledger: Ledger
    ) -> None:
        """The question was answered."""
        await a_month(town, pool)

        told = await ledger.statement("ACC-1", date(2026, 2, 1), date(2026, 3, 1), at=NOW)

        assert told.under_way_minor == 0

    async def test_of_nobody_is_not_empty_but_unknown(self, ledger: Ledger) -> None:
        """An empty statement would say that nothing is owed."""
        with pytest.raises(AccountUnknownError):
            await ledger.statement("ACC-9", date(2026, 2, 1), date(2026, 3, 1), at=NOW)


class TestPlans:
    """What is asked often ..."""

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            (
                "account_of_statement",
                (["receivable"], datetime(2026, 2, 1, tzinfo=UTC), NOW, "ACC-1"),
            ),
            (
                "statement_transfers",
                ("ACC-1", datetime(2026, 2, 1, tzinfo=UTC), NOW, ["receivable"], 100),
            ),
        ],
    )
    async def test_reads_one_account_by_its_key(
        self, owner: asyncpg.Connection, town: DebitTown, name: str, values: tuple[object, ...]
    ) -> None:
        """A resident's page must not read the town's ledger."""
        await _crowd(owner, town)

        assert not await _scanned(owner, getattr(sql.queries("ledger"), name).sql, values)

    async def test_reads_what_an_account_owes_by_its_key(
        self, owner: asyncpg.Connection, town: DebitTown
    ) -> None:
        """It stands on every page of the resident."""
        await _crowd(owner, town)

        query = sql.queries("bills").owed_of_account.sql
        assert not await _scanned(owner, query, ("ACC-1",))

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("debit_transfers", ("ACC-1", "debit/2026-01/1/")),
            ("refunds_of", ("ACC-1", "2026-01", 1)),
            ("claim_refund", (NOW,)),
            ("refund_by_bank_id", ("RF1",)),
            ("refunds_to_record", (NOW, 100)),
        ],
    )
    async def test_reads_a_debit_and_its_refunds_by_their_keys(
        self, owner: asyncpg.Connection, town: DebitTown, name: str, values: tuple[object, ...]
    ) -> None:
        """It is asked with every step that moves money, and in every round."""
        await _crowd(owner, town)
        # A table that never held a refund would be read whole, whatever its indexes.
        await owner.execute("SET enable_seqscan = off")

        assert not await _scanned(owner, getattr(sql.queries("refunds"), name).sql, values)


async def _crowd(owner: asyncpg.Connection, town: DebitTown) -> None:
    """Give the ledger enough rows that reading all of them costs more than an index."""
    await town.home()
    await owner.execute(
        "INSERT INTO account SELECT 'B-' || n, 'household', 'KZT', '2025-01-01Z'"
        " FROM generate_series(1, 3000) AS n"
    )
    await owner.execute(
        "INSERT INTO bill SELECT 'B-' || n, '2026-01', '2026-01-01', '2026-02-01', 1, 1, 100, 0,"
        " 100, 'KZT', '2026-02-02Z', '2026-02-25' FROM generate_series(1, 3000) AS n"
    )
    await owner.execute(
        "INSERT INTO transfer SELECT 'B-' || n, 'bill/2026-01/net', 'posted', 'receivable',"
        " 'revenue', 100, 'KZT', '2026-01', '2026-02-02Z' FROM generate_series(1, 3000) AS n"
    )
    await owner.execute("ANALYZE account, bill, transfer, refund, debit")


async def _scanned(owner: asyncpg.Connection, query: str, values: tuple[object, ...]) -> list[str]:
    """Return the tables that a query reads from end to end."""
    await owner.execute("SET plan_cache_mode = force_generic_plan")
    text = query.strip().rstrip(";")
    told = await owner.fetchval(f"EXPLAIN (FORMAT JSON) {text}", *values)
    found: list[str] = []

    def walk(node: dict[str, object]) -> None:
        if node["Node Type"] == "Seq Scan":
            found.append(str(node["Relation Name"]))
        for child in node.get("Plans", []):  # type: ignore[attr-defined]
            walk(child)

    walk(json.loads(told)[0]["Plan"])
    return found
