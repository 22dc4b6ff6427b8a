"""Accounts, mandates and open bills in the database, written by its owner."""

from dataclasses import dataclass
from datetime import UTC, date, datetime

import asyncpg

from billing.announce import NoticeCounts, notice
from billing.collect import RecordCounts, record
from billing.debit import DebitId
from billing.follow import FollowCounts, follow
from billing.io.debits import Debits
from billing.send import SendCounts, send
from tests.billing.fake_bank import FakeBank

ZONE = "Asia/Almaty"
# Nine in the morning in the town, the day after January's bills.
ISSUED = datetime(2026, 2, 2, 4, 0, tzinfo=UTC)


def day(month_day: str, hour: int = 9) -> datetime:
    """Return an hour of a day of 2026 in the town, which is five hours ahead of UTC."""
    month, number = month_day.split("-")
    return datetime(2026, int(month), int(number), hour - 5, tzinfo=UTC)


TO_RECORD = day("02-22")
# The first attempt for the first bill of the account that most stories are about.
JANUARY = DebitId(account_id="ACC-1", bill_no="2026-01", attempt=1)


@dataclass(frozen=True, slots=True)
class DebitTown:
    """Puts rows where the service would find them; each method is one fact."""

    owner: asyncpg.Connection

    async def account(self, account_id: str = "ACC-1", *, currency: str = "KZT") -> None:
        """Open an account."""
        await self.owner.execute(
            "INSERT INTO account VALUES ($1, 'household', $2, '2025-01-01Z')", account_id, currency
        )

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
        await self.owner.execute(
            "INSERT INTO mandate (account_id, mandate_id, state, enrolment, payment_minor_max,"
            " month_minor_max, currency, return_digest, bank_mandate_id, created_at, changed_at)"
            " VALUES ($1, $2, $3, 'active', $4, $5, $6, decode(repeat('00', 32), 'hex'), $7,"
            " '2026-01-01Z', '2026-01-01Z')",
            account_id,
            mandate_id,
            state,
            payment_minor_max,
            month_minor_max,
            currency,
            bank_mandate_id,
        )

    async def bill(
        self,
        account_id: str = "ACC-1",
        *,
        bill_no: str = "2026-01",
        total_minor: int = 74_297,
        due_on: date = date(2026, 2, 25),
        currency: str = "KZT",
    ) -> None:
        """Issue a bill, all of it net, with its transfer."""
        year, month = (int(part) for part in bill_no.split("-")[:2])
        end = date(year + month // 12, month % 12 + 1, 1)
        await self.owner.execute(
            "INSERT INTO bill VALUES ($1, $2, $3, $4, 1, 100000, $5, 0, $5, $6, $7, $8)",
            account_id,
            bill_no,
            date(year, month, 1),
            end,
            total_minor,
            currency,
            ISSUED,
            due_on,
        )
        await self.transfer(account_id, bill_no, "net", "receivable", "revenue", total_minor)

    async def transfer(
        self, account_id: str, bill_no: str, name: str, debit: str, credit: str, amount_minor: int
    ) -> None:
        """Post a transfer of a bill."""
        await self.owner.execute(
            "INSERT INTO transfer VALUES ($1, $2, 'posted', $3, $4, $5, 'KZT', $6, $7)",
            account_id,
            f"bill/{bill_no}/{name}",
            debit,
            credit,
            amount_minor,
            bill_no,
            ISSUED,
        )

    async def home(self, account_id: str = "ACC-1", *, total_minor: int = 74_297) -> None:
        """Put a whole account there: open, linked, with January's bill."""
        await self.account(account_id)
        await self.mandate(account_id)
        await self.bill(account_id, total_minor=total_minor)

    async def estimate(self, account_id: str = "ACC-1", bill_no: str = "2026-01") -> None:
        """Put a line with an estimated register on a bill."""
        await self.owner.execute(
            "INSERT INTO tariff VALUES ('household', '2025-01-01', '2027-01-01', 640490, 'KZT',"
            " 'order 1')"
        )
        await self.owner.execute(
            "INSERT INTO bill_line (account_id, bill_no, line_no, meter_id, supply_point_id,"
            " from_at, to_at,"
            " opening_register_dm3, opening_read_at, closing_register_dm3, closing_read_at,"
            " volume_dm3, tariff_code, tariff_valid_from, net_minor_per_1000_m3, vat_rate_bp,"
            " net_minor, vat_minor, closing_quality)"
            " VALUES ($1, $2, 1, 'AQ-1', 'P-1', '2026-01-01Z', '2026-02-01Z', 0, '2026-01-01Z',"
            " 100000, '2026-02-01Z', 100000, 'household', '2025-01-01', 640490, 0, 74297, 0,"
            " 'estimated')",
            account_id,
            bill_no,
        )

    async def approve(
        self, amount_minor: int, account_id: str = "ACC-1", bill_no: str = "2026-01"
    ) -> None:
        """Let the resident agree to a sum."""
        await self.owner.execute(
            "INSERT INTO debit_approval VALUES ($1, $2, $3, 'the resident', $4)",
            account_id,
            bill_no,
            amount_minor,
            ISSUED,
        )

    async def dispute(self, account_id: str = "ACC-1", bill_no: str = "2026-01") -> None:
        """Let the resident dispute a bill from the third of February on."""
        await self.owner.execute(
            "INSERT INTO bill_dispute VALUES ($1, $2, '2026-02-03', 'too much',"
            " 'the resident', $3)",
            account_id,
            bill_no,
            ISSUED,
        )

    async def settle_dispute(self, to_day: str, bill_no: str = "2026-01") -> None:
        """End the dispute about a bill of ACC-1; the day counts no more."""
        await self.owner.execute(
            "INSERT INTO bill_dispute_end VALUES ('ACC-1', $1, '2026-02-03', $2,"
            " 'the register was read again', 'Timur', $3)",
            bill_no,
            date.fromisoformat(to_day),
            ISSUED,
        )

    async def states(self, account_id: str = "ACC-1") -> list[str]:
        """Return the debits of an account as "bill/attempt state reason"."""
        rows = await self.owner.fetch(
            "SELECT bill_no, attempt, state, reason FROM debit WHERE account_id = $1"
            " ORDER BY bill_no, attempt",
            account_id,
        )
        return [" ".join(filter(None, (f"{row[0]}/{row[1]}", row[2], row[3]))) for row in rows]

    async def steps(self, bill_no: str = "2026-01", attempt: int = 1) -> list[str]:
        """Return the states an attempt went through, as its steps tell."""
        rows = await self.owner.fetch(
            "SELECT to_state FROM debit_step WHERE account_id = 'ACC-1' AND bill_no = $1"
            " AND attempt = $2 ORDER BY step_no",
            bill_no,
            attempt,
        )
        return [row[0] for row in rows]

    async def balances(self, account_id: str = "ACC-1") -> dict[str, int]:
        """Return debits minus credits by posted transfers, accounts at zero left out."""
        rows = await self.owner.fetch(
            "SELECT code, sum(minor)::bigint AS minor FROM ("
            " SELECT debit_code AS code, amount_minor AS minor FROM transfer"
            " WHERE phase = 'posted' AND account_id = $1"
            " UNION ALL SELECT credit_code, -amount_minor FROM transfer"
            " WHERE phase = 'posted' AND account_id = $1) AS moves"
            " GROUP BY code HAVING sum(minor) <> 0 ORDER BY code",
            account_id,
        )
        return {row["code"]: row["minor"] for row in rows}

    async def refunds(self, account_id: str = "ACC-1") -> list[str]:
        """Return the refunds of an account as "bill/attempt amount cause"."""
        rows = await self.owner.fetch(
            "SELECT bill_no, attempt, amount_minor, cause FROM refund WHERE account_id = $1"
            " ORDER BY bill_no, attempt, refund_no",
            account_id,
        )
        return [f"{row[0]}/{row[1]} {row[2]} {row[3]}" for row in rows]

    async def moves(self, account_id: str = "ACC-1") -> list[str]:
        """Return the transfers of an account's debits, by name, without their prefix."""
        rows = await self.owner.fetch(
            "SELECT transfer_id FROM transfer WHERE account_id = $1 AND transfer_id LIKE 'debit/%'"
            " ORDER BY transfer_id",
            account_id,
        )
        return [row[0].removeprefix("debit/") for row in rows]


async def told(store: Debits, at: datetime = ISSUED) -> NoticeCounts:
    return await notice(store=store, at=at, zone=ZONE, limit=100)


async def recorded(store: Debits, at: datetime = TO_RECORD) -> RecordCounts:
    return await record(store=store, at=at, zone=ZONE, limit=100)


async def sent(store: Debits, bank: FakeBank, at: datetime = TO_RECORD) -> SendCounts:
    return await send(store=store, bank=bank, at=at, limit=100)


async def followed(store: Debits, bank: FakeBank, at: datetime = TO_RECORD) -> FollowCounts:
    return await follow(store=store, bank=bank, at=at, limit=100)


async def accepted(town: DebitTown, store: Debits, bank: FakeBank) -> None:
    """Bring January's debit of ACC-1 to the bank."""
    await town.home()
    await told(store)
    await recorded(store)
    await sent(store, bank)
    assert await town.states() == ["2026-01/1 accepted"]
