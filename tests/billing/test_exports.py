"""Exports on a real database: what leaves is the ledger's, to the tiyn."""

import csv
import io
import json
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from billing import export
from billing.chart import Chart
from billing.correct import correct
from billing.correction import Policy
from billing.export import (
    BadDaysError,
    BadInstantError,
    Form,
    MonthOrder,
    Taken,
    export_journal,
    export_month,
    journal_order,
    month_order,
)
from billing.io.corrections import Corrections
from billing.io.exports import Exports
from billing.io.store import BillingStore
from billing.payee import Payee
from billing.period import Period
from billing.reconcile import PeriodNotOverError, reconcile
from billing.settlement import NotReconciledError
from tests.billing.town import Town

ZONE = "Asia/Almaty"
DECEMBER, JANUARY, FEBRUARY, MARCH = (
    f"{month}-01T00:00:00+05:00" for month in ("2025-12", "2026-01", "2026-02", "2026-03")
)
MARCH_1 = date(2026, 3, 1)
NOW = datetime(2026, 3, 5, 7, tzinfo=UTC)
PAYEE = Payee(
    name="=Town Gas", bin="940140000385", iban="KZ86125KZT5004100100", bic="KKMFKZ2A",
    bank="Bank of the Town", kbe="16", knp="859",
)  # fmt: skip


async def pay(
    owner: asyncpg.Connection, account_id: str, bill_no: str, minor: int, at: str
) -> None:
    """Let a payment come in, as a confirmed debit writes it."""
    await owner.execute(
        "INSERT INTO transfer VALUES ($1, $2, 'posted', 'collections_in_transit', 'receivable',"
        " $3, 'KZT', $4, $5)",
        account_id,
        f"debit/{bill_no}/1/posted",
        minor,
        bill_no,
        datetime.fromisoformat(at),
    )


@pytest.fixture
async def town(pool: asyncpg.Pool, owner: asyncpg.Connection) -> Town:
    """Bill three months of two homes; one pays December in January, January in February."""
    town = Town(owner)
    await town.tariff(640_490, "2025-01-01")
    await town.home("1", {DECEMBER: 0, JANUARY: 100_000, FEBRUARY: 250_000, MARCH: 250_000})
    await town.home("2", {JANUARY: 5_000, FEBRUARY: 6_000})
    await town.account("AC-3")
    await owner.execute("INSERT INTO person VALUES ('AC-1', '=HYPERLINK(1)', 'Абай 1, \"2\"')")
    for number, at in ((12, "2026-01-02"), (1, "2026-02-02"), (2, "2026-03-02")):
        await reconcile(
            store=BillingStore(pool),
            period=Period.month(2025 if number == 12 else 2026, number),
            at=datetime.fromisoformat(f"{at}T12:00:00+00:00"),
            zone=ZONE,
        )
    # December: 100 m3 at 640.49 net = 640.49, VAT 12 % = 76.86. January: 960.74, VAT 16 % = 153.72.
    await pay(owner, "AC-1", "2025-12", 71_735, "2026-01-20T12:00:00+05:00")
    await pay(owner, "AC-1", "2026-01", 11_446, "2026-02-20T12:00:00+05:00")
    return town


def order(form: Form = Form.CSV, label: str = "2026-01", **more: Any) -> MonthOrder:
    return month_order(label, form=form, at=NOW, zone=ZONE, as_of=more.pop("as_of", None))


async def month(pool: asyncpg.Pool, what: MonthOrder, **more: Any) -> tuple[bytes, dict[str, Any]]:
    written = io.BytesIO()
    summary = await export_month(
        Exports(pool=pool), what, written.write, payee=more.pop("payee", PAYEE), **more
    )
    return written.getvalue(), summary


def rows(content: bytes) -> dict[str, dict[str, str]]:
    found = csv.DictReader(io.StringIO(content.decode(), newline=""), strict=True)
    return {row["account_id"]: row for row in found}


async def owed(owner: asyncpg.Connection) -> int:
    """Add up the ledger's receivable apart from the code under test."""
    return int(
        await owner.fetchval(
            "SELECT sum(CASE 'receivable' WHEN debit_code THEN amount_minor ELSE -amount_minor END)"
            " FROM transfer WHERE phase = 'posted' AND 'receivable' IN (debit_code, credit_code)"
        )
    )


@pytest.mark.usefixtures("town")
class TestTheSettlementExport:
    """The month of a settlement centre ..."""

    async def test_says_what_the_account_owes_and_why(self, pool: asyncpg.Pool) -> None:
        """Worked by hand: January is 150 m3, and December was paid in January."""
        content, _ = await month(pool, order())
        row = rows(content)["AC-1"]

        assert (row["period"], row["service"], row["bill_numbers"]) == (
            "2026-01", "gas", "AC-1/2026-01",
        )  # fmt: skip
        assert (row["tariffs"], row["volume_dm3"]) == ("household@2025-01-01", "150000")
        assert (row["meter_ids"], row["opening_dm3"], row["closing_dm3"]) == (
            "AQ-1", "100000", "250000",
        )  # fmt: skip
        assert (row["opening_qualities"], row["closing_qualities"]) == ("read", "read")
        assert (row["gas_net_minor"], row["net_minor"], row["vat_minor"]) == (
            "96074", "96074", "15372",
        )  # fmt: skip
        assert (row["vat_rates_bp"], row["vat_net_minor"], row["vat_rate_minor"]) == (
            "1600", "96074", "15372",
        )  # fmt: skip
        assert (row["opening_minor"], row["charged_minor"]) == ("71735", "111446")
        assert (row["paid_minor"], row["paid_later_minor"]) == ("71735", "11446")
        assert (row["recalculated_minor"], row["credited_minor"]) == ("0", "0")
        # February used nothing: its bill is nil.
        assert (row["charged_later_minor"], row["to_pay_minor"]) == ("0", "100000")
        assert (row["to_pay"], row["currency"], row["due_on"]) == ("1000.00", "KZT", "2026-02-25")
        assert (row["payee_name"], row["payee_bin"]) == ("'=Town Gas", "940140000385")
        assert row["as_of"] == "2026-03-05T07:00:00+00:00"

    async def test_has_a_row_for_every_account(self, pool: asyncpg.Pool) -> None:
        """Who was not billed may still owe; a missing row would be a missing debt."""
        content, summary = await month(pool, order())

        assert list(rows(content)) == ["AC-1", "AC-2", "AC-3"]
        assert summary["rows"] == 3
        assert rows(content)["AC-3"]["bill_numbers"] == ""
        assert rows(content)["AC-3"]["due_on"] == ""

    @pytest.mark.parametrize("label", ["2025-12", "2026-01", "2026-02"])
    async def test_adds_up_to_the_ledger(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, label: str
    ) -> None:
        """Whatever month is exported, the sum of "to pay" is what residents owe, to the tiyn."""
        content, summary = await month(pool, order(label=label))
        total = sum(int(row["to_pay_minor"]) for row in rows(content).values())

        # 1,000.00 of the first home; 1 m3 of the second: 6.40 and VAT 1.02.
        assert total == await owed(owner) == 100_742
        assert summary["sums"][0]["to_pay_minor"] == total
        assert summary["sums"][0]["ledger_receivable_minor"] == total

    async def test_counts_corrections_once(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A bill cancelled and made anew is recalculated; the bill of the month stays as it was."""
        for bill_no, kind, sign, revision in (
            ("2026-01-2", "cancellation", -1, 2), ("2026-01-3", "rebill", 1, 3),
        ):  # fmt: skip
            await owner.execute(
                "INSERT INTO bill SELECT account_id, $1, period_start, period_end, $3, $4 * 1000,"
                " $4 * (640 - $5), $4 * 102, $4 * (742 - $5), currency, $6, due_on, $2, bill_no"
                " FROM bill WHERE account_id = 'AC-2' AND bill_no = '2026-01'",
                bill_no, kind, revision, sign, 0 if sign < 0 else 40, NOW,
            )  # fmt: skip
        for transfer_id, debit, credit, minor in (
            ("bill/2026-01-2/net", "revenue", "receivable", 640),
            ("bill/2026-01-2/vat", "vat", "receivable", 102),
            ("bill/2026-01-3/net", "receivable", "revenue", 600),
            ("bill/2026-01-3/vat", "receivable", "vat", 102),
        ):
            await owner.execute(
                "INSERT INTO transfer VALUES ('AC-2', $1, 'posted', $2, $3, $4, 'KZT', $5, $6)",
                transfer_id, debit, credit, minor, transfer_id.split("/")[1], NOW,
            )  # fmt: skip

        for label, charged in (("2026-01", "742"), ("2026-02", "0")):
            row = rows((await month(pool, order(label=label)))[0])["AC-2"]
            assert row["charged_minor"] == charged
            assert row["to_pay_minor"] == "702"
        january = rows((await month(pool, order()))[0])["AC-2"]
        assert january["recalculated_minor"] == "-40"

    @pytest.mark.parametrize("policy", [Policy(), Policy(adjust_below_minor=1_000_000)])
    async def test_adds_up_after_a_corrected_register(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, town: Town, policy: Policy
    ) -> None:
        """Bills made anew, credit and adjustments, as the service writes them, and a bill after."""
        said_at = datetime(2026, 3, 3, tzinfo=UTC)
        await town.correct("AQ-1", FEBRUARY, 240_000, at=said_at, fault="ours")
        await correct(store=Corrections(pool), at=NOW, zone=ZONE, policy=policy, chunk=100)
        await town.read("AQ-1", "2026-04-01T00:00:00+05:00", 260_000)
        await town.read("AQ-2", "2026-04-01T00:00:00+05:00", 6_000)
        at = datetime(2026, 4, 2, 12, tzinfo=UTC)
        period = Period.month(2026, 3)
        await reconcile(store=BillingStore(pool), period=period, at=at, zone=ZONE)

        assert await owner.fetchval("SELECT count(*) FROM bill WHERE period_start >= $1", MARCH_1)
        for label in ("2025-12", "2026-01", "2026-02", "2026-03"):
            what = month_order(label, form=Form.CSV, at=at, zone=ZONE, as_of=None)
            content, summary = await month(pool, what)
            total = sum(int(row["to_pay_minor"]) for row in rows(content).values())
            assert total == summary["sums"][0]["ledger_receivable_minor"] == await owed(owner)

    async def test_speaks_of_an_instant(self, pool: asyncpg.Pool) -> None:
        """Asked again for the same instant it says the same, whatever was paid since."""
        early = datetime(2026, 2, 10, tzinfo=UTC)
        content, summary = await month(pool, order(as_of=early))

        assert rows(content)["AC-1"]["paid_later_minor"] == "0"
        assert summary["sums"][0]["to_pay_minor"] == 111_446 + 742
        assert (content, summary) == await month(pool, order(as_of=early))

    async def test_is_the_same_in_json(self, pool: asyncpg.Pool) -> None:
        """A program reads the rows and the sums at the end of one document."""
        content, summary = await month(pool, order(Form.JSON))
        told = json.loads(content)
        accounts = told.pop("accounts")

        assert told == summary
        assert told["format"] == "aqkol-settlement/1"
        assert told["payee"]["iban"] == "KZ86125KZT5004100100"
        assert [it["to_pay_minor"] for it in accounts] == [100_000, 742, 0]
        assert accounts[0]["dials"][0]["closing_dm3"] == 250_000
        assert accounts[0]["vat"] == [{"rate_bp": 1600, "net_minor": 96_074, "vat_minor": 15_372}]
        assert json.loads((await month(pool, order(Form.SUMMARY)))[0]) == summary

    async def test_says_when_nobody_is_paid(self, pool: asyncpg.Pool) -> None:
        """An operator who set no payee sees it in the file, and not a made-up one."""
        content, summary = await month(pool, order(), payee=None)

        assert rows(content)["AC-1"]["payee_iban"] == ""
        assert summary["payee"] is None

    async def test_is_read_page_by_page(
        self, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The end of a page is not the end of the town, and nobody stands on two."""
        whole = await month(pool, order())
        monkeypatch.setattr(export, "ACCOUNTS_PER_PAGE", 1)

        assert await month(pool, order()) == whole

    async def test_is_one_snapshot(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who pays while it is written changes none of it, neither rows nor sums."""
        monkeypatch.setattr(export, "ACCOUNTS_PER_PAGE", 1)
        before = await month(pool, order())
        again = io.BytesIO()
        store = Exports(pool=pool)
        async with store.snapshot() as snapshot:
            await snapshot.balances(NOW)
            await pay(owner, "AC-2", "2026-01", 742, "2026-03-01T00:00:00+05:00")

            class Open:
                def snapshot(self) -> Any:
                    return _Already(snapshot)

                note = store.note

            summary = await export_month(Open(), order(), again.write, payee=PAYEE)

        assert (again.getvalue(), summary) == before
        assert (await month(pool, order()))[1]["sums"][0]["to_pay_minor"] == 100_000

    async def test_does_not_leave_when_it_differs_from_the_ledger(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A bill without its transfers is a mistake of ours; nobody is asked to pay by it."""
        await owner.execute("DELETE FROM transfer WHERE transfer_id = 'bill/2026-01/vat'")

        with pytest.raises(NotReconciledError, match="AC-1"):
            await month(pool, order())

    async def test_does_not_leave_without_what_an_account_owes(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Money in a currency that its account does not have would be in no row."""
        await owner.execute("UPDATE transfer SET currency = 'EUR' WHERE account_id = 'AC-2'")

        with pytest.raises(NotReconciledError, match="EUR"):
            await month(pool, order())

    async def test_names_nobody_unless_asked(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The centre knows its accounts; a name is taken for a purpose, and the purpose is kept."""
        plain, _ = await month(pool, order())
        taken = Taken(export_id=UUID(int=7), purpose="a lost file", exported_by="Aliya", at=NOW)
        named, _ = await month(pool, order(), taken=taken)

        assert "HYPERLINK" not in plain.decode()
        assert rows(named)["AC-1"]["full_name"] == "'=HYPERLINK(1)"
        assert rows(named)["AC-1"]["address"] == 'Абай 1, "2"'
        assert rows(named)["AC-2"]["full_name"] == ""
        kept = await owner.fetch("SELECT * FROM name_export")
        assert [tuple(row.values()) for row in kept] == [
            (UUID(int=7), "settlement", date(2026, 1, 1), date(2026, 2, 1), "csv", 3,
             "a lost file", "Aliya", NOW),
        ]  # fmt: skip


class _Already:
    def __init__(self, snapshot: Any) -> None:
        self._snapshot = snapshot

    async def __aenter__(self) -> Any:
        return self._snapshot

    async def __aexit__(self, *_error: object) -> None:
        pass


class TestAnOrder:
    """An export is asked for ..."""

    def test_of_a_month_that_is_over(self) -> None:
        """What still runs has no closing register."""
        with pytest.raises(PeriodNotOverError):
            order(label="2026-03")

    @pytest.mark.parametrize("label", ["2026-13", "2026-1", "january", ""])
    def test_of_a_month_that_exists(self, label: str) -> None:
        """Nothing is guessed."""
        with pytest.raises(ValueError, match="month"):
            order(label=label)

    @pytest.mark.parametrize("as_of", ["2026-01-31T23:59:59+05:00", "2026-03-05T07:00:01+00:00"])
    def test_as_of_an_instant_that_is_known(self, as_of: str) -> None:
        """Inside the month it is not over, and the future nobody knows."""
        with pytest.raises(BadInstantError):
            order(as_of=datetime.fromisoformat(as_of))

    @pytest.mark.parametrize(
        ("first", "after"),
        [
            ("2026-02-01", "2026-02-01"),
            ("2026-02-02", "2026-02-01"),
            ("2026-03-01", "2026-03-06"),
        ],
    )
    def test_of_days_that_are_over(self, first: str, after: str) -> None:
        """A journal of a day that still runs would be another one tomorrow."""
        with pytest.raises(BadDaysError):
            journal_order(
                date.fromisoformat(first), date.fromisoformat(after),
                form=Form.CSV, at=NOW, zone=ZONE,
            )  # fmt: skip


CHART = Chart.parse("receivable=1210, revenue=6010, vat=3130")


async def journal(
    pool: asyncpg.Pool, first: str, after: str, form: Form = Form.CSV
) -> tuple[list[dict[str, str]], dict[str, Any]]:
    written = io.BytesIO()
    what = journal_order(
        date.fromisoformat(first), date.fromisoformat(after), form=form, at=NOW, zone=ZONE
    )
    summary = await export_journal(Exports(pool=pool), what, written.write, chart=CHART)
    if form is Form.SUMMARY:
        return [], json.loads(written.getvalue())
    text = io.StringIO(written.getvalue().decode(), newline="")
    return list(csv.DictReader(text, strict=True)), summary


def rebuilt(entries: list[dict[str, str]]) -> dict[tuple[str, str], int]:
    """Make balances of the lines of a file and of nothing else."""
    balances: dict[tuple[str, str], int] = defaultdict(int)
    for entry in entries:
        amount_minor = int(entry["amount"].replace(".", ""))
        assert amount_minor == int(entry["amount_minor"])
        balances[entry["debit_code"], entry["currency"]] += amount_minor
        balances[entry["credit_code"], entry["currency"]] -= amount_minor
    return dict(balances)


@pytest.mark.usefixtures("town")
class TestTheJournal:
    """The accountants' journal ..."""

    async def test_says_every_posted_transfer(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Dates are the town's; codes are the accountants', ours stand beside them."""
        await owner.execute(
            "INSERT INTO transfer VALUES ('AC-1', 'debit/2026-01/2/pending', 'pending',"
            " 'collections_in_transit', 'receivable', 5, 'KZT', '2026-01', '2026-02-21Z')"
        )
        # 20:00 in UTC is the next day in the town.
        await pay(owner, "AC-2", "2026-01", 42, "2026-02-20T20:00:00+00:00")
        entries, _ = await journal(pool, "2026-02-01", "2026-03-01")

        assert len(entries) == 6
        assert entries[0] == {
            "date": "2026-02-02", "posted_at": "2026-02-02T12:00:00+00:00",
            "document": "AC-1/2026-01", "debit_code": "1210", "credit_code": "6010",
            "amount_minor": "96074", "amount": "960.74", "currency": "KZT",
            "account_id": "AC-1", "transfer_id": "bill/2026-01/net",
            "debit_account": "receivable", "credit_account": "revenue",
        }  # fmt: skip
        assert (entries[-1]["date"], entries[-1]["amount"]) == ("2026-02-21", "0.42")

    async def test_is_enough_to_rebuild_every_balance(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Another program that reads the file alone comes to the balances of the ledger."""
        entries, summary = await journal(pool, "2025-01-01", "2026-03-05")

        assert rebuilt(entries) == {
            ("1210", "KZT"): 100_742,
            ("6010", "KZT"): -(64_049 + 96_074 + 640),
            ("3130", "KZT"): -(7_686 + 15_372 + 102),
            ("collections_in_transit", "KZT"): 71_735 + 11_446,
        }
        assert rebuilt(entries) == {
            (it["code"], it["currency"]): it["closing_minor"] for it in summary["balances"]
        }
        by_account: dict[str, int] = defaultdict(int)
        for entry in entries:
            sign = (entry["debit_code"] == "1210") - (entry["credit_code"] == "1210")
            by_account[entry["account_id"]] += sign * int(entry["amount_minor"])
        assert by_account == {"AC-1": 100_000, "AC-2": 742}
        assert sum(by_account.values()) == await owed(owner)

    async def test_goes_on_where_the_month_before_ended(self, pool: asyncpg.Pool) -> None:
        """A month's opening balance and its entries are its closing balance, month after month."""
        before: dict[str, int] = {}
        for first, after in (
            ("2025-12-01", "2026-01-01"), ("2026-01-01", "2026-02-01"),
            ("2026-02-01", "2026-03-01"), ("2026-03-01", "2026-03-05"),
        ):  # fmt: skip
            entries, summary = await journal(pool, first, after)
            moved = rebuilt(entries)
            for it in summary["balances"]:
                assert it["opening_minor"] == before.get(it["account"], 0)
                assert it["closing_minor"] - it["opening_minor"] == moved.get(
                    (it["code"], "KZT"), 0
                )
            before |= {it["account"]: it["closing_minor"] for it in summary["balances"]}
        assert before["receivable"] == 100_742

    async def test_adds_up_each_pair_of_accounts(self, pool: asyncpg.Pool) -> None:
        """What an accountant enters as one sum a month."""
        _, summary = await journal(pool, "2026-02-01", "2026-03-01", Form.SUMMARY)

        assert summary["pairs"] == [
            {"debit_code": "collections_in_transit", "credit_code": "1210", "currency": "KZT",
             "entries": 1, "amount_minor": 11_446},
            {"debit_code": "1210", "credit_code": "6010", "currency": "KZT",
             "entries": 2, "amount_minor": 96_714},
            {"debit_code": "1210", "credit_code": "3130", "currency": "KZT",
             "entries": 2, "amount_minor": 15_474},
        ]  # fmt: skip

    async def test_does_not_leave_when_an_entry_is_missing(
        self, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Entries and balances are read apart; what does not lead from one to the other is told."""
        add = export.Turnover.add

        def forgetful(turnover: Any, entry: Any) -> None:
            add(
                turnover,
                replace(entry, amount_minor=entry.amount_minor + (entry.amount_minor == 640)),
            )

        monkeypatch.setattr(export.Turnover, "add", forgetful)

        with pytest.raises(NotReconciledError):
            await journal(pool, "2026-02-01", "2026-03-01")
