"""What stands in the database before debits begin: accounts, bills, mandates, disputes, ends.

The same facts for PostgreSQL (written by its owner) and for the database in memory.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

import asyncpg

from billing.ledger import Account, Phase, Transfer
from billing.mandate import Caps, Enrolment, Mandate, State
from tests.billing.debit_town import ISSUED, DebitTown
from tests.world.engine import Database
from tests.world.memory import Bill

CREATED: Final = datetime(2026, 1, 1, tzinfo=UTC)
_BY: Final = "operator"


def month_of(bill_no: str) -> tuple[date, date]:
    """Return the month a bill's number begins with."""
    year, month = (int(part) for part in bill_no.split("-")[:2])
    return date(year, month, 1), date(year + month // 12, month % 12 + 1, 1)


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """Facts written straight into the committed rows of a database in memory."""

    db: Database

    async def account(self, account_id: str = "ACC-1", *, currency: str = "KZT") -> None:
        """Open an account."""
        self.db.apply("account", (account_id,), (account_id, currency))

    async def mandate(
        self,
        account_id: str = "ACC-1",
        *,
        mandate_id: str = "M-1",
        bank_mandate_id: str = "MD1",
        state: str = "active",
        payment_minor_max: int = 1_000_000,
        month_minor_max: int = 1_000_000,
        currency: str = "KZT",
    ) -> None:
        """Let the account be debited."""
        row = Mandate(
            account_id=account_id,
            mandate_id=mandate_id,
            state=State(state),
            enrolment=Enrolment.ACTIVE,
            caps=Caps(payment_minor_max=payment_minor_max, month_minor_max=month_minor_max),
            currency=currency,
            return_digest=bytes(32),
            bank_mandate_id=bank_mandate_id,
            created_at=CREATED,
            changed_at=CREATED,
        )
        self.db.apply("mandate", (account_id, mandate_id), row)

    async def bill(
        self,
        account_id: str = "ACC-1",
        *,
        bill_no: str = "2026-01",
        total_minor: int = 74_297,
        due_on: date = date(2026, 2, 25),
        currency: str = "KZT",
        corrects: str | None = None,
    ) -> None:
        """Issue a bill, all of it net, with its transfer; a correcting one cancels."""
        start, end = month_of(bill_no)
        row = Bill(
            account_id=account_id,
            bill_no=bill_no,
            due_on=due_on,
            currency=currency,
            kind="bill" if corrects is None else "cancellation",
            corrects_bill_no=corrects,
            period_start=start,
            period_end=end,
            total_minor=total_minor,
            issued_at=ISSUED,
        )
        self.db.apply("bill", (account_id, bill_no), row)
        await self.transfer(account_id, bill_no, "net", "receivable", "revenue", total_minor)

    async def transfer(
        self, account_id: str, bill_no: str, name: str, debit: str, credit: str, amount_minor: int
    ) -> None:
        """Post a transfer of a bill."""
        row = Transfer(
            account_id=account_id,
            transfer_id=f"bill/{bill_no}/{name}",
            phase=Phase.POSTED,
            debit_code=Account(debit),
            credit_code=Account(credit),
            amount_minor=amount_minor,
            currency="KZT",
            bill_no=bill_no,
            posted_at=ISSUED,
        )
        self.db.apply("transfer", (account_id, row.transfer_id), row)

    async def dispute(self, account_id: str, bill_no: str, *, ended: bool = False) -> None:
        """Put a bill in dispute, or end that."""
        key = (account_id, bill_no, date(2026, 2, 3))
        self.db.apply("dispute", key, (*key, ended))

    async def close(self, account_id: str, last_day: date) -> None:
        """Let the resident move out."""
        self.db.apply("closing", (account_id,), last_day)

    async def debit_rows(self) -> list[tuple[Any, ...]]:
        """Return every debit with all that is kept of it."""
        return [
            (
                *key,
                row.mandate_id,
                row.state.value,
                row.reason,
                row.amount_minor,
                row.currency,
                row.charge_on,
                row.idempotency_key,
                row.body,
                row.body_digest,
                row.bank_payment_id,
                row.lease_until,
                row.sends,
                row.first_sent_at,
                row.changed_at,
                row.retry_on,
                None if row.before_chargeback is None else row.before_chargeback.value,
                None if row.before_review is None else row.before_review.value,
            )
            for key, row in sorted(self.db.rows["debit"].items())
        ]

    async def step_rows(self) -> list[tuple[Any, ...]]:
        """Return every step."""
        return [
            (
                *key,
                None if row.from_state is None else row.from_state.value,
                row.to_state.value,
                row.reason,
                row.taken_at,
            )
            for key, row in sorted(self.db.rows["debit_step"].items())
        ]

    async def transfer_rows(self) -> list[tuple[Any, ...]]:
        """Return every transfer."""
        return [
            (
                row.account_id,
                row.transfer_id,
                row.phase.value,
                row.debit_code.value,
                row.credit_code.value,
                row.amount_minor,
                row.bill_no,
                row.posted_at,
            )
            for _, row in sorted(self.db.rows["transfer"].items())
        ]

    async def somebody_waits(self) -> bool:
        """Tell whether a statement waits for a lock."""
        return any(self.db.waiters.values())


@dataclass(frozen=True, slots=True)
class PostgresFacts(DebitTown):
    """The same facts in PostgreSQL."""

    owner: asyncpg.Connection

    async def bill(  # noqa: D102 - as above
        self,
        account_id: str = "ACC-1",
        *,
        bill_no: str = "2026-01",
        total_minor: int = 74_297,
        due_on: date = date(2026, 2, 25),
        currency: str = "KZT",
        corrects: str | None = None,
    ) -> None:
        start, end = month_of(bill_no)
        revision = 1 if corrects is None else 2
        await self.owner.execute(
            "INSERT INTO bill VALUES ($1, $2, $3, $4, $11, 100000, $5, 0, $5, $6, $7, $8, $9, $10)",
            account_id,
            bill_no,
            start,
            end,
            total_minor,
            currency,
            ISSUED,
            due_on,
            "bill" if corrects is None else "cancellation",
            corrects,
            revision,
        )
        await self.transfer(account_id, bill_no, "net", "receivable", "revenue", total_minor)

    async def dispute(self, account_id: str, bill_no: str, *, ended: bool = False) -> None:
        """Put a bill in dispute, or end that."""
        key = (account_id, bill_no, date(2026, 2, 3))
        if ended:
            await self.owner.execute(
                "INSERT INTO bill_dispute_end VALUES ($1, $2, $3, '2026-02-09', 'ok', $4, $5)",
                *key,
                _BY,
                ISSUED,
            )
            return
        await self.owner.execute(
            "INSERT INTO bill_dispute VALUES ($1, $2, $3, 'too much', $4, $5)", *key, _BY, ISSUED
        )

    async def close(self, account_id: str, last_day: date) -> None:
        """Let the resident move out."""
        await self.owner.execute(
            "INSERT INTO account_closing VALUES ($1, $2, '[]', 'moved', $3, $4)",
            account_id,
            last_day,
            _BY,
            ISSUED,
        )

    async def debit_rows(self) -> list[tuple[Any, ...]]:
        """Return every debit with all that is kept of it."""
        rows = await self.owner.fetch(
            "SELECT account_id, bill_no, attempt, mandate_id, state, reason, amount_minor,"
            " currency, charge_on, idempotency_key, body, body_digest, bank_payment_id,"
            " lease_until, sends, first_sent_at, changed_at, retry_on, before_chargeback,"
            " before_review FROM debit ORDER BY 1, 2, 3"
        )
        return [tuple(row) for row in rows]

    async def step_rows(self) -> list[tuple[Any, ...]]:
        """Return every step."""
        rows = await self.owner.fetch(
            "SELECT account_id, bill_no, attempt, step_no, from_state, to_state, reason, taken_at"
            " FROM debit_step ORDER BY 1, 2, 3, 4"
        )
        return [tuple(row) for row in rows]

    async def transfer_rows(self) -> list[tuple[Any, ...]]:
        """Return every transfer."""
        rows = await self.owner.fetch(
            "SELECT account_id, transfer_id, phase, debit_code, credit_code, amount_minor, bill_no,"
            ' posted_at FROM transfer ORDER BY account_id, transfer_id COLLATE "C"'
        )
        return [tuple(row) for row in rows]

    async def somebody_waits(self) -> bool:
        """Tell whether a statement waits for a lock."""
        return bool(
            await self.owner.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        )
