"""The audit finds what was planted, and nothing where nothing is wrong."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

import asyncpg
import pytest

from billing.audit import AuditReport, audit
from billing.bank import BankRefund, Payment, PaymentStatus
from billing.io.store import BillingStore
from billing.period import Period
from billing.reconcile import reconcile
from tests.billing.town import Town

ZONE = "Asia/Almaty"
AT = datetime(2026, 3, 2, 12, tzinfo=UTC)

JAN_1 = "2026-01-01T00:00:00+05:00"
JAN_15 = "2026-01-15T00:00:00+05:00"
FEB_1 = "2026-02-01T00:00:00+05:00"
FEB_28 = "2026-02-28T20:00:00+05:00"

# January of AC-1: 30 m3 and 45.5 m3, as in the worked bill "tariff_changes_on_the_15th".
TOTAL_MINOR = 54_759
KEY = "debit:v1:AC-1:2026-01:1"
BODY = (
    b'{"payments":{"amount":54759,"charge_date":"2026-02-25","currency":"KZT",'
    b'"description":"Gas 2026-01","links":{"mandate":"MD1"},"metadata":{"intent":'
    b'"debit:v1:AC-1:2026-01:1"},"retry_if_possible":false}}'
)


@dataclass
class Bank:
    """A bank whose books we write ourselves."""

    payments: list[Payment] = field(default_factory=list)
    refunds: list[BankRefund] = field(default_factory=list)

    async def list_refunds(self, *, payment_id: str | None) -> AsyncIterator[BankRefund]:
        """Read all refunds."""
        assert payment_id is None
        for refund in self.refunds:
            yield refund

    async def list_payments(
        self, *, bank_mandate_id: str | None, created_from: datetime | None
    ) -> AsyncIterator[Payment]:
        """Read all payments."""
        assert bank_mandate_id is None
        assert created_from is None
        for payment in self.payments:
            yield payment


def payment(
    name: str = "PM1",
    *,
    amount: int = TOTAL_MINOR,
    status: PaymentStatus = PaymentStatus.PAID_OUT,
    intent: str | None = KEY,
    currency: str = "KZT",
) -> Payment:
    return Payment(
        payment_id=name,
        status=status,
        amount_minor=amount,
        currency=currency,
        bank_mandate_id="MD1",
        intent=intent,
    )


async def town(pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
    """Bill two homes for two months and settle one debit, all of it as it should be."""
    place = Town(owner)
    await place.tariff(602_142, "2024-01-01", "2026-01-15")
    await place.tariff(640_490, "2026-01-15")
    await place.home("1", {JAN_1: 100, JAN_15: 30_100, FEB_1: 75_600, FEB_28: 80_000})
    await place.home("2", {JAN_1: 0, JAN_15: 10, FEB_1: 20, FEB_28: 1_030})
    await place.remove("AQ-2", "2026-02-20T10:00:00+05:00", 900)
    await place.meter("AQ-3")
    await place.install("AQ-3", "AC-2", "2026-02-20T10:00:00+05:00", 5)
    await place.read("AQ-3", FEB_28, 1_005)
    for month in (1, 2):
        await reconcile(
            store=BillingStore(pool), period=Period.month(2026, month), at=AT, zone=ZONE
        )
    await owner.execute(
        "INSERT INTO mandate VALUES ('AC-1', 'M-1', 'active', 'active', 1000000, 1000000, 'KZT',"
        " NULL, NULL, NULL, $1, 'MD1', NULL, '2026-01-01Z', '2026-01-01Z')",
        b"r" * 32,
    )
    await owner.execute(
        "INSERT INTO debit VALUES ('AC-1', '2026-01', 1, 'M-1', 'settled', NULL, $1, 'KZT',"
        " '2026-02-25', $2, $3, $4, 'PM1', NULL, 1, '2026-02-22Z', '2026-02-28Z')",
        TOTAL_MINOR,
        KEY,
        BODY,
        hashlib.sha256(BODY).digest(),
    )
    await owner.execute(
        "INSERT INTO notice VALUES ('AC-1', '2026-01', 1, $1, 'KZT', '2026-02-25',"
        " '2026-02-20T10:00Z', 'api')",
        TOTAL_MINOR,
    )
    for name, phase, debit, credit in (
        ("pending", "pending", "collections_in_transit", "receivable"),
        ("posted", "posted", "collections_in_transit", "receivable"),
        ("payout", "posted", "bank", "collections_in_transit"),
    ):
        await owner.execute(
            "INSERT INTO transfer VALUES ('AC-1', $1, $2, $3, $4, $5, 'KZT', '2026-01',"
            " '2026-02-26Z')",
            f"debit/2026-01/1/{name}",
            phase,
            debit,
            credit,
            TOTAL_MINOR,
        )


async def look(pool: asyncpg.Pool, bank: Bank | None = None) -> AuditReport:
    return await audit(store=BillingStore(pool), bank=bank or Bank([payment()]), at=AT, zone=ZONE)


def kinds(report: AuditReport) -> set[str]:
    return {str(finding.kind) for finding in report.findings}


# Each is one change that the service may not make, and what must be found. The other findings that
# follow from it are allowed; the one named is the one that leads a person to the place.
PLANTED = {
    "a line's volume": (
        (
            "UPDATE bill_line SET volume_dm3 = volume_dm3 + 1 WHERE line_no = 1"
            " AND account_id = 'AC-1' AND bill_no = '2026-01'"
        ),
        "line_wrong",
    ),
    "a line's net sum": (
        "UPDATE bill_line SET net_minor = net_minor + 1 WHERE line_no = 2",
        "line_wrong",
    ),
    "a line's tax rate": (
        "UPDATE bill_line SET vat_rate_bp = 1200 WHERE line_no = 1 AND bill_no = '2026-02'",
        "line_wrong",
    ),
    "a line's price": (
        "UPDATE bill_line SET net_minor_per_1000_m3 = 602142 WHERE bill_no = '2026-02'",
        "line_wrong",
    ),
    "a line's register": (
        "UPDATE bill_line SET opening_register_dm3 = 0 WHERE bill_no = '2026-02'",
        "line_wrong",
    ),
    "a lost line": (
        "DELETE FROM bill_line WHERE account_id = 'AC-2' AND line_no = 2 AND bill_no = '2026-02'",
        "usage_not_billed",
    ),
    "a line too many": (
        (
            "INSERT INTO bill_line SELECT account_id, bill_no, 3, 'AQ-9', supply_point_id, from_at,"
            " to_at, 0, opening_read_at, 0, closing_read_at, 0, tariff_code, tariff_valid_from,"
            " net_minor_per_1000_m3, vat_rate_bp, 0, 0 FROM bill_line WHERE account_id = 'AC-1'"
            " AND bill_no = '2026-02'"
        ),
        "line_without_usage",
    ),
    "a bill's sums": (
        (
            "UPDATE bill SET net_minor = net_minor + 1, total_minor = total_minor + 1"
            " WHERE account_id = 'AC-1' AND bill_no = '2026-02'"
        ),
        "bill_wrong",
    ),
    "a bill's volume": ("UPDATE bill SET volume_dm3 = 1 WHERE bill_no = '2026-02'", "bill_wrong"),
    "a bill's day": ("UPDATE bill SET due_on = '2026-02-02'", "bill_wrong"),
    "the price of a month that was billed": (
        "UPDATE tariff SET net_minor_per_1000_m3 = 650000 WHERE valid_from = '2026-01-15'",
        "line_wrong",
    ),
    "the tax of a month that was billed": (
        "UPDATE vat_rate SET rate_bp = 1500 WHERE valid_from = '2026-01-01'",
        "line_wrong",
    ),
    "a usage's volume": (
        "UPDATE usage SET volume_dm3 = volume_dm3 + 5 WHERE meter_id = 'AQ-3'",
        "usage_volume_wrong",
    ),
    "gas of a month that is given away": (
        "UPDATE usage SET volume_dm3 = volume_dm3 - 5 WHERE meter_id = 'AQ-3'",
        "usage_sum_wrong",
    ),
    "gas of two months that does not meet": (
        (
            "UPDATE usage SET opening_register_dm3 = opening_register_dm3 + 5,"
            " volume_dm3 = volume_dm3 - 5 WHERE meter_id = 'AQ-1' AND from_at = '2026-01-14T19:00Z'"
        ),
        "usage_sum_wrong",
    ),
    "a usage's register": (
        (
            "UPDATE usage SET closing_register_dm3 = closing_register_dm3 + 5,"
            " volume_dm3 = volume_dm3 + 5 WHERE meter_id = 'AQ-1' AND from_at = '2026-01-14T19:00Z'"
        ),
        "usage_not_continuous",
    ),
    "a usage of somebody else": (
        "UPDATE usage SET supply_point_id = 'SP-9' WHERE meter_id = 'AQ-3'",
        "usage_misplaced",
    ),
    "a lost usage": ("DELETE FROM usage WHERE meter_id = 'AQ-3'", "bill_incomplete"),
    "a reading": (
        "UPDATE reading SET register_dm3 = 75601 WHERE meter_id = 'AQ-1' AND register_dm3 = 75600",
        "usage_register_wrong",
    ),
    "a reading's turns": (
        "UPDATE reading SET turns = 1 WHERE meter_id = 'AQ-1' AND register_dm3 = 80000",
        "usage_register_wrong",
    ),
    "a reading's verdict": (
        (
            "UPDATE reading SET verdict = 'suspect', turns = NULL, reason = 'too_fast'"
            " WHERE register_dm3 = 75600"
        ),
        "usage_register_wrong",
    ),
    "a lost reading": ("DELETE FROM reading WHERE register_dm3 = 80000", "usage_register_wrong"),
    "a removal's register": (
        "UPDATE installation SET closing_dm3 = 901 WHERE meter_id = 'AQ-2'",
        "usage_register_wrong",
    ),
    "a removal's day": (
        "UPDATE installation SET removed_at = '2026-02-10Z' WHERE meter_id = 'AQ-2'",
        "usage_misplaced",
    ),
    "a meter nobody is billed for": (
        "UPDATE installation SET account_id = 'AC-9' WHERE meter_id = 'AQ-3'",
        "usage_misplaced",
    ),
    "a forgotten month": (
        "UPDATE installation SET installed_at = '2025-12-03Z' WHERE meter_id = 'AQ-4'",
        "month_forgotten",
    ),
    "a transfer's amount": (
        (
            "UPDATE transfer SET amount_minor = amount_minor + 1"
            " WHERE account_id = 'AC-2' AND transfer_id = 'bill/2026-02/net'"
        ),
        "transfer_wrong",
    ),
    "a transfer's account": (
        "UPDATE transfer SET credit_code = 'revenue' WHERE transfer_id = 'bill/2026-02/vat'",
        "transfer_wrong",
    ),
    "a lost transfer": (
        "DELETE FROM transfer WHERE transfer_id = 'bill/2026-02/vat'",
        "transfer_missing",
    ),
    "a lost payout": (
        "DELETE FROM transfer WHERE transfer_id = 'debit/2026-01/1/payout'",
        "transfer_missing",
    ),
    "a transfer too many": (
        (
            "INSERT INTO transfer VALUES ('AC-1', 'gift/1', 'posted', 'bank', 'receivable', 5,"
            " 'KZT', '2026-02', '2026-02-02Z')"
        ),
        "transfer_unexplained",
    ),
    "a transfer back that never was": (
        (
            "INSERT INTO transfer VALUES ('AC-1', 'debit/2026-01/1/reversal', 'posted',"
            " 'receivable', 'bank', 54759, 'KZT', '2026-01', '2026-02-27Z')"
        ),
        "transfer_unexplained",
    ),
    "a debit's amount": ("UPDATE debit SET amount_minor = 54760", "debit_amount_wrong"),
    "a debit's currency": ("UPDATE debit SET currency = 'EUR'", "debit_amount_wrong"),
    "a debit's key": (
        "UPDATE debit SET idempotency_key = 'debit:v1:AC-1:2026-01:2'",
        "debit_key_wrong",
    ),
    "a debit's digest": (
        "UPDATE debit SET body_digest = decode(repeat('00', 32), 'hex')",
        "debit_body_wrong",
    ),
    "a debit's body": (
        (
            "UPDATE debit SET (body, body_digest) = (SELECT b, sha256(b) FROM (SELECT"
            " convert_to(replace(convert_from(body, 'UTF8'), '54759', '54760'), 'UTF8') AS b) AS x)"
        ),
        "debit_body_wrong",
    ),
    "a debit of another mandate": (
        "UPDATE mandate SET bank_mandate_id = 'MD2'",
        "debit_body_wrong",
    ),
    "a debit that forgot its payment": (
        "UPDATE debit SET bank_payment_id = NULL",
        "debit_without_payment",
    ),
    "a second debit alive": (
        (
            "DROP INDEX debit_one_alive; INSERT INTO debit VALUES ('AC-1', '2026-01', 2, 'M-1',"
            " 'held', 'over_cap', 54759, 'KZT', '2026-03-25', NULL, NULL, NULL, NULL, NULL, 0,"
            " NULL, '2026-03-01Z')"
        ),
        "debit_doubled",
    ),
    "no notice": ("DELETE FROM notice", "notice_missing"),
    "a notice of another sum": ("UPDATE notice SET amount_minor = 54758", "notice_wrong"),
    "a notice of another day": ("UPDATE notice SET charge_on = '2026-02-26'", "notice_wrong"),
    "a notice of four days": (
        "UPDATE notice SET noticed_at = '2026-02-20T19:00Z'",
        "notice_late",
    ),
    "a bill paid twice": (
        (
            "UPDATE debit SET state = 'failed', reason = 'insufficient_funds';"
            " INSERT INTO transfer VALUES ('AC-1', 'debit/2026-01/2/posted', 'posted',"
            " 'collections_in_transit', 'receivable', 54759, 'KZT', '2026-01', '2026-03-01Z')"
        ),
        "bill_overpaid",
    ),
    "a debit that says it failed": (
        "UPDATE debit SET state = 'failed', reason = 'insufficient_funds'",
        "collected_differs",
    ),
}


class TestAudit:
    """The audit ..."""

    async def test_finds_nothing_where_nothing_is_wrong(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """An alarm that always rings is no alarm."""
        await town(pool, owner)

        report = await look(pool)

        assert [str(finding) for finding in report.findings] == []
        assert report.clean
        assert (report.accounts, report.usages, report.bills, report.lines) == (2, 7, 4, 7)
        assert (report.transfers, report.debits, report.bank_payments) == (11, 1, 1)
        assert report.collected_minor == {"KZT": TOTAL_MINOR}

    @pytest.mark.parametrize(("change", "kind"), PLANTED.values(), ids=PLANTED.keys())
    async def test_finds(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, change: str, kind: str
    ) -> None:
        """One row is changed behind the service's back, as a hand or a disk could do it."""
        await town(pool, owner)
        await Town(owner).meter("AQ-4")
        await owner.execute("INSERT INTO account VALUES ('AC-4', 'x', 'KZT', '2020-01-01Z')")
        await Town(owner).install("AQ-4", "AC-4", "2026-03-01T12:00:00+05:00", 0)
        assert (await look(pool)).clean
        await owner.execute("SET session_replication_role = replica")

        await owner.execute(change)

        report = await look(pool)
        assert kind in kinds(report)

    async def test_lets_a_late_run_take_after_the_day_it_told(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A notice says from which day on; a day later is within it, a day earlier is not."""
        await town(pool, owner)
        await owner.execute("UPDATE notice SET charge_on = charge_on - 1")

        assert (await look(pool)).clean

    async def test_changes_nothing(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """It reports and never repairs: the rows that contradict each other are the evidence."""
        await town(pool, owner)
        await owner.execute("UPDATE bill SET due_on = '2026-02-02'")
        before = await Town(owner).books()

        await look(pool)

        assert await Town(owner).books() == before

    async def test_says_nothing_about_held_months(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A month that waits for its reading is known, not wrong."""
        place = Town(owner)
        await place.tariff(640_490, "2025-01-01")
        await place.home("1", {JAN_1: 0, FEB_1: 10})
        for month in (1, 2):
            period = Period.month(2026, month)
            await reconcile(store=BillingStore(pool), period=period, at=AT, zone=ZONE)

        late = datetime(2026, 3, 20, tzinfo=UTC)
        report = await audit(store=BillingStore(pool), bank=None, at=late, zone=ZONE)

        assert report.clean

    async def test_reads_many_accounts_page_by_page(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No account falls between two pages."""
        monkeypatch.setattr("billing.audit.ACCOUNTS_PER_PAGE", 2)
        place = Town(owner)
        await place.tariff(640_490, "2025-01-01")
        for number in range(1, 6):
            await place.home(f"{number}", {JAN_1: 0, FEB_1: 1_000})
        period = Period.month(2026, 1)
        await reconcile(store=BillingStore(pool), period=period, at=AT, zone=ZONE)
        await owner.execute("UPDATE bill_line SET net_minor = 1 WHERE account_id >= 'AC-3'")

        report = await audit(store=BillingStore(pool), bank=None, at=AT, zone=ZONE)

        assert report.accounts == 5
        assert {finding.subject for finding in report.findings} == {
            f"AC-{number}/2026-01{line}" for number in (3, 4, 5) for line in ("", "/1")
        }


# The bank's books against ours, which hold one settled debit with the payment PM1.
BOOKS = {
    "a payment nobody ordered": (
        [payment(), payment("PM2", intent="debit:v1:AC-1:2026-02:1", amount=1)],
        "payment_unknown",
    ),
    "a payment without our name": ([payment(), payment("PM2", intent=None)], "payment_unknown"),
    "a payment of another system": ([payment(), payment("PM2", intent="x")], "payment_unknown"),
    "two payments for one bill": ([payment(), payment("PM2")], "payment_doubled"),
    "one payment listed twice": ([payment(), payment()], "payment_doubled"),
    "no payment at all": ([], "payment_missing"),
    "another amount": ([payment(amount=TOTAL_MINOR + 1)], "payment_wrong"),
    "another mandate": ([replace(payment(), bank_mandate_id="MD2")], "payment_wrong"),
    "another currency": ([payment(currency="EUR")], "payment_wrong"),
    "a payment that failed there": (
        [payment(status=PaymentStatus.FAILED)],
        "collected_differs",
    ),
    "a payment that was taken back": (
        [payment(status=PaymentStatus.CHARGED_BACK)],
        "collected_differs",
    ),
}


class TestRecords:
    """The records of all bills ..."""

    async def test_show_what_the_rating_overlooks(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A rating that was wrong in the same way as the run would let both pass."""
        await town(pool, owner)
        await owner.execute(
            "UPDATE bill_line SET net_minor = net_minor + 1"
            " WHERE account_id = 'AC-2' AND bill_no = '2026-02' AND line_no = 1"
        )
        for name in ("check_bills", "check_corrections"):
            monkeypatch.setattr(f"billing.audit.{name}", lambda *_, **__: ())

        report = await look(pool)

        assert [(str(one.kind), one.subject) for one in report.findings] == [
            ("recompute_differs", "AC-2/2026-02")
        ]
        assert report.findings[0].detail.startswith("line 1 net_minor: says ")

    async def test_tell_nothing_twice(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """What the rating has found needs no second finding in other words."""
        await town(pool, owner)
        await owner.execute(
            "UPDATE bill_line SET net_minor = net_minor + 1"
            " WHERE account_id = 'AC-2' AND bill_no = '2026-02' AND line_no = 1"
        )

        found = kinds(await look(pool))

        assert "line_wrong" in found
        assert "recompute_differs" not in found

    async def test_must_be_usable_by_a_stranger(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A register that the dial cannot show: no sum is wrong, yet nobody can check the bill."""
        await town(pool, owner)
        await owner.execute("UPDATE meter SET dial_dm3 = 1000 WHERE meter_id = 'AQ-3'")

        report = await look(pool)

        assert [(str(one.kind), one.subject) for one in report.findings] == [
            ("bill_not_recomputable", "AC-2/2026-02")
        ]
        assert "register_dm3: 1005 is not between 0 and 999" in report.findings[0].detail


class TestBankBooks:
    """The bank's books ..."""

    @pytest.mark.parametrize(("payments", "kind"), BOOKS.values(), ids=BOOKS.keys())
    async def test_are_compared_one_to_one(
        self,
        pool: asyncpg.Pool,
        owner: asyncpg.Connection,
        payments: list[Payment],
        kind: str,
    ) -> None:
        """What the bank took and what we think it took are two lists with the same rows."""
        await town(pool, owner)

        report = await look(pool, Bank(payments))

        assert kind in kinds(report)

    async def test_may_be_longer_than_a_page(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The payment that we know is found wherever it stands among strangers."""
        monkeypatch.setattr("billing.audit.PAYMENTS_PER_PAGE", 3)
        await town(pool, owner)
        strangers = [payment(f"PX{number}", intent=None) for number in range(7)]

        report = await look(pool, Bank([*strangers[:4], payment(), *strangers[4:]]))

        assert report.bank_payments == 8
        assert [finding.kind for finding in report.findings[:-1]] == ["payment_unknown"] * 7
        assert report.findings[-1].kind == "collected_differs"

    async def test_are_not_asked_for_what_is_newer_than_the_question(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A debit that changed while the bank's list was read proves nothing."""
        await town(pool, owner)
        await owner.execute("UPDATE debit SET changed_at = '2026-03-02T12:00:01Z'")

        report = await look(pool, Bank([]))

        assert "payment_missing" not in kinds(report)


class TestFindings:
    """A finding ..."""

    async def test_names_no_person(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """The report is sent around; it must be fit for that."""
        await town(pool, owner)
        await owner.execute(
            "INSERT INTO person VALUES ('AC-1', 'Aigerim Testova', 'Abai 1, flat 2')"
        )
        await owner.execute("UPDATE bill SET due_on = $1", date(2026, 2, 2))

        text = "\n".join(str(finding) for finding in (await look(pool)).findings)

        assert "due_on 2026-02-02, should be 2026-02-25" in text
        assert "Testova" not in text
        assert "Abai" not in text
