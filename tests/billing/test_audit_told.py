"""The audit finds money of which nobody was told, and words about money that never moved."""

import asyncpg
import pytest

from billing.audit import audit
from billing.bank import PaymentStatus
from billing.io.debits import Debits
from billing.io.store import BillingStore
from tests.billing.debit_town import ZONE, DebitTown, accepted, day, followed
from tests.billing.fake_bank import FakeBank


@pytest.fixture
def bank() -> FakeBank:
    return FakeBank()


async def found(pool: asyncpg.Pool) -> list[str]:
    """Return what the audit finds about messages, as "kind name"."""
    report = await audit(store=BillingStore(pool), bank=None, at=day("03-25"), zone=ZONE)
    return [
        f"{one.kind} {one.subject.removeprefix('ACC-1/')}"
        for one in report.findings
        if one.kind.startswith("message_")
    ]


async def lives(
    store: Debits, bank: FakeBank, *statuses: PaymentStatus, cause: str | None = None
) -> None:
    """Let the bank tell of each status after the other."""
    for status in statuses:
        bank.tell("PM1", status, cause=cause)
        await followed(store, bank)


TAKEN = (PaymentStatus.SUBMITTED, PaymentStatus.CONFIRMED, PaymentStatus.PAID_OUT)
LIVES: dict[str, tuple[tuple[PaymentStatus, ...], str | None]] = {
    "on its way": ((PaymentStatus.SUBMITTED,), None),
    "taken": (TAKEN, None),
    "taken, all at once": ((PaymentStatus.PAID_OUT,), None),
    "failed": ((PaymentStatus.FAILED,), "insufficient_funds"),
    "failed late": ((*TAKEN, PaymentStatus.FAILED), "insufficient_funds"),
    "disputed": ((*TAKEN, PaymentStatus.CHARGED_BACK), "authorisation_disputed"),
}


class TestWhatTheServiceTells:
    """What the service tells of a debit ..."""

    @pytest.mark.parametrize("life", LIVES)
    async def test_is_what_the_audit_wants(
        self, town: DebitTown, store: Debits, bank: FakeBank, pool: asyncpg.Pool, life: str
    ) -> None:
        """Two derivations that share nothing but the steps agree."""
        await accepted(town, store, bank)
        statuses, cause = LIVES[life]
        await lives(store, bank, *statuses, cause=cause)

        assert await found(pool) == []

    async def test_may_go_back_and_forth(
        self, town: DebitTown, store: Debits, bank: FakeBank, pool: asyncpg.Pool
    ) -> None:
        """Disputed, and the dispute given up: a receipt, a correction, and another receipt."""
        await accepted(town, store, bank)
        await lives(store, bank, *TAKEN, PaymentStatus.CHARGED_BACK)
        bank.tell("PM1", PaymentStatus.PAID_OUT, action="chargeback_cancelled")
        await followed(store, bank)

        names = await town.owner.fetch(
            "SELECT message_id FROM message WHERE kind IN ('receipt', 'correction')"
            " ORDER BY message_id"
        )
        assert [row[0] for row in names] == [
            "correction/2026-01/1/1",
            "receipt/2026-01/1/1",
            "receipt/2026-01/1/2",
        ]
        assert await found(pool) == []


# Each is one change that the service may not make, after a debit was taken and disputed.
PLANTED = {
    "a lost receipt": (
        "DELETE FROM message WHERE message_id = 'receipt/2026-01/1/1'",
        ["message_missing receipt/2026-01/1/1"],
    ),
    "a lost correction": (
        "DELETE FROM message WHERE kind = 'correction'",
        ["message_missing correction/2026-01/1/1"],
    ),
    "a second receipt": (
        (
            "UPDATE message SET kind = 'receipt', message_id = 'receipt/2026-01/1/2'"
            " WHERE kind = 'notice'"
        ),
        ["message_unexplained receipt/2026-01/1/2"],
    ),
    "a receipt for another bill": (
        "UPDATE message SET message_id = 'receipt/2025-12/1/1' WHERE kind = 'receipt'",
        ["message_missing receipt/2026-01/1/1", "message_unexplained receipt/2025-12/1/1"],
    ),
    "a chargeback that nobody kept": (
        "DELETE FROM debit_step WHERE to_state = 'charged_back'",
        ["message_unexplained correction/2026-01/1/1"],
    ),
    "money that never came": (
        "DELETE FROM debit_step WHERE to_state IN ('confirmed', 'settled')",
        [
            "message_unexplained correction/2026-01/1/1",
            "message_unexplained receipt/2026-01/1/1",
        ],
    ),
}


class TestAPlantedDefect:
    """Money and words that do not fit each other ..."""

    @pytest.mark.parametrize("name", PLANTED)
    async def test_is_found(
        self, town: DebitTown, store: Debits, bank: FakeBank, pool: asyncpg.Pool, name: str
    ) -> None:
        """By the name of the message that lacks, or that says too much."""
        await accepted(town, store, bank)
        await lives(store, bank, *TAKEN, PaymentStatus.CHARGED_BACK)
        statement, expected = PLANTED[name]

        await town.owner.execute(statement)

        assert await found(pool) == expected

    async def test_is_not_what_happened_before_messages(
        self, town: DebitTown, store: Debits, bank: FakeBank, pool: asyncpg.Pool
    ) -> None:
        """A debit of a year in which nobody wrote letters is not reported every night."""
        await accepted(town, store, bank)
        await lives(store, bank, *TAKEN)

        await town.owner.execute("DELETE FROM message")

        assert await found(pool) == []
