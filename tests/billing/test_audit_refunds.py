"""What the audit finds about refunds, with one change planted at a time."""

import hashlib
from dataclasses import replace

import asyncpg
import pytest

from billing.bank import BankRefund, RefundStatus
from tests.billing.test_audit import AT, Bank, kinds, look, payment, town

BODY = (
    b'{"refunds":{"amount":5000,"links":{"payment":"PM1"},"metadata":{"intent":'
    b'"refund:v1:AC-1:2026-01:1:1"},"total_amount_confirmation":5000}}'
)
REFUND = BankRefund(
    refund_id="RF1",
    status=RefundStatus.PAID,
    amount_minor=5_000,
    currency="KZT",
    payment_id="PM1",
    intent="refund:v1:AC-1:2026-01:1:1",
)


async def given_back(pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
    """Bill, take, and give 5 000 of it back, all of it as it should be."""
    await town(pool, owner)
    await owner.execute(
        "INSERT INTO refund (account_id, bill_no, attempt, refund_no, state, amount_minor,"
        " currency, cause, source, asked_by, because, asked_at, debit_minor, before_minor,"
        " idempotency_key, body, body_digest, bank_refund_id, sends, first_sent_at, changed_at)"
        " VALUES ('AC-1', '2026-01', 1, 1, 'paid', 5000, 'KZT', 'operator', 'receivable', 'Olga',"
        " 'a call', $1, 54759, 0, 'refund:v1:AC-1:2026-01:1:1', $2, $3, 'RF1', 1, $1, $1)",
        AT,
        BODY,
        hashlib.sha256(BODY).digest(),
    )
    for word, phase, debit, credit in (
        ("asked", "posted", "receivable", "refunds_payable"),
        ("pending", "pending", "refunds_payable", "bank"),
        ("paid", "posted", "refunds_payable", "bank"),
    ):
        await owner.execute(
            "INSERT INTO transfer VALUES ('AC-1', $1, $2, $3, $4, 5000, 'KZT', '2026-01', $5)",
            f"give_back/2026-01/1/1/{word}",
            phase,
            debit,
            credit,
            AT,
        )


PLANTED = {
    "a refund's amount": ("UPDATE refund SET amount_minor = 5001", "refund_body_wrong"),
    "a refund's key": (
        "UPDATE refund SET idempotency_key = 'refund:v1:AC-1:2026-01:1:9'",
        "refund_key_wrong",
    ),
    "a refund's digest": (
        "UPDATE refund SET body_digest = decode(repeat('00', 32), 'hex')",
        "refund_body_wrong",
    ),
    "an order of more than was taken": (
        (
            "UPDATE refund SET (body, body_digest) = (SELECT b, sha256(b) FROM (SELECT convert_to("
            " replace(convert_from(body, 'UTF8'), 'confirmation\":5000', 'confirmation\":55000'),"
            " 'UTF8') AS b) AS x)"
        ),
        "refund_body_wrong",
    ),
    "a refund that forgot its name": (
        "UPDATE refund SET bank_refund_id = NULL",
        "refund_wrong",
    ),
    "more given back than was taken": (
        (
            "ALTER TABLE refund DROP CONSTRAINT never_more_than_taken; INSERT INTO refund"
            " (account_id, bill_no, attempt, refund_no, state, amount_minor, currency, cause,"
            " source, asked_by, asked_at, debit_minor, before_minor, changed_at)"
            " SELECT account_id, bill_no, attempt, 2, 'requested', 50000, currency, cause, source,"
            " asked_by, asked_at, debit_minor, 0, changed_at FROM refund"
        ),
        "refund_too_much",
    ),
    "a lost row": (
        "DELETE FROM transfer WHERE transfer_id = 'give_back/2026-01/1/1/paid'",
        "transfer_missing",
    ),
    "a row that came back for nothing": (
        (
            "INSERT INTO transfer VALUES ('AC-1', 'give_back/2026-01/1/1/bounced', 'posted',"
            " 'bank', 'refunds_payable', 5000, 'KZT', '2026-01', '2026-03-02Z')"
        ),
        "transfer_unexplained",
    ),
    "a row of no refund": (
        (
            "INSERT INTO transfer VALUES ('AC-1', 'give_back/2026-01/1/7/paid', 'posted',"
            " 'refunds_payable', 'bank', 5, 'KZT', '2026-01', '2026-03-02Z')"
        ),
        "transfer_unexplained",
    ),
    "a row from another account": (
        (
            "UPDATE transfer SET debit_code = 'revenue'"
            " WHERE transfer_id = 'give_back/2026-01/1/1/asked'"
        ),
        "transfer_wrong",
    ),
    "a refund that says it was not paid": (
        "UPDATE refund SET state = 'pending'",
        "collected_differs",
    ),
    "a late failure booked twice": (
        (
            "INSERT INTO transfer VALUES ('AC-1', 'debit/2026-01/1/reversal', 'posted',"
            " 'chargebacks_receivable', 'bank', 54759, 'KZT', '2026-01', '2026-03-02Z'),"
            " ('AC-1', 'debit/2026-01/1/reversal-2', 'posted', 'chargebacks_receivable', 'bank',"
            " 54759, 'KZT', '2026-01', '2026-03-02Z'); UPDATE debit SET state = 'failed',"
            " reason = 'refer_to_payer'"
        ),
        "transfer_unexplained",
    ),
}

STRANGE = {
    "one that nobody ordered": (replace(REFUND, refund_id="RF2", intent=None), "refund_unknown"),
    "a second one": (replace(REFUND, refund_id="RF2"), "refund_doubled"),
}


class TestRefunds:
    """The audit ..."""

    async def test_finds_nothing_where_all_is_well(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """What was taken less what was given back is what the bank has for us."""
        await given_back(pool, owner)

        report = await look(pool, Bank([payment()], [REFUND]))

        assert report.findings == ()
        assert (report.refunds, report.bank_refunds) == (1, 1)
        assert report.collected_minor == {"KZT": 54_759 - 5_000}

    @pytest.mark.parametrize(("change", "kind"), PLANTED.values(), ids=PLANTED.keys())
    async def test_finds(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, change: str, kind: str
    ) -> None:
        """Each change leads a person to its place."""
        await given_back(pool, owner)
        await owner.execute(change)

        assert kind in kinds(await look(pool, Bank([payment()], [REFUND])))

    @pytest.mark.parametrize(("refund", "kind"), STRANGE.values(), ids=STRANGE.keys())
    async def test_finds_at_the_bank(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, refund: BankRefund, kind: str
    ) -> None:
        """Money that left without an order of ours, or twice."""
        await given_back(pool, owner)

        assert kind in kinds(await look(pool, Bank([payment()], [REFUND, refund])))

    async def test_finds_what_the_bank_does_not_know(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Our books say paid, and nobody paid."""
        await given_back(pool, owner)

        found = kinds(await look(pool, Bank([payment()], [])))

        assert {"refund_missing", "collected_differs"} <= found
