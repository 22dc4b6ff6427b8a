"""A small town in the database, written by its owner: meters, readings, prices, accounts."""

from dataclasses import dataclass
from datetime import UTC, date, datetime

import asyncpg

from billing.io.prices import insert_tariff
from billing.tariff import Tariff

QMAX_DM3_H = 6_000


@dataclass(frozen=True, slots=True)
class Town:
    """Puts rows where the service would find them; each method is one fact."""

    owner: asyncpg.Connection

    async def tariff(
        self,
        price: int,
        valid_from: str,
        valid_to: str | None = None,
        *,
        code: str = "household",
        currency: str = "KZT",
    ) -> None:
        """Approve a price."""
        await self.owner.execute(
            "INSERT INTO tariff VALUES ($1, $2, $3, $4, $5, 'a test')",
            code,
            date.fromisoformat(valid_from),
            date.fromisoformat(valid_to) if valid_to else None,
            price,
            currency,
        )

    async def tariff_of(self, tariff: Tariff) -> None:
        """Approve a whole version of a tariff, as the service writes it."""
        await insert_tariff(self.owner, tariff)

    async def terms(
        self,
        account_id: str,
        valid_from: str,
        *,
        tariff_code: str = "household",
        persons: int = 1,
        social: bool = False,
        revision: int = 1,
        said_at: str = "2020-01-01T00:00:00+00:00",
    ) -> None:
        """Say what holds for an account from a day on."""
        await self.owner.execute(
            "INSERT INTO account_terms VALUES ($1, $2, $3, $4, $5, $6, 'a test', $7)",
            account_id,
            date.fromisoformat(valid_from),
            revision,
            tariff_code,
            persons,
            social,
            datetime.fromisoformat(said_at),
        )

    async def account(
        self, account_id: str, *, tariff_code: str = "household", currency: str = "KZT"
    ) -> None:
        """Open an account."""
        await self.owner.execute(
            "INSERT INTO account VALUES ($1, $2, $3, '2020-01-01Z')",
            account_id,
            tariff_code,
            currency,
        )

    async def meter(self, meter_id: str, *, dial_dm3: int = 100_000_000) -> None:
        """Register a meter."""
        await self.owner.execute(
            "INSERT INTO meter VALUES ($1, $2, 1, $3, false, '2020-01-01Z')",
            meter_id,
            dial_dm3,
            QMAX_DM3_H,
        )

    async def install(
        self, meter_id: str, account_id: str, at: str, opening_dm3: int, *, point: str = "SP-1"
    ) -> None:
        """Hang a meter up."""
        await self.owner.execute(
            "INSERT INTO installation VALUES ($1, $2, $3, $4, $5)",
            meter_id,
            datetime.fromisoformat(at),
            account_id,
            point,
            opening_dm3,
        )

    async def remove(self, meter_id: str, at: str, closing_dm3: int, turns: int = 0) -> None:
        """Take a meter down."""
        await self.owner.execute(
            "UPDATE installation SET removed_at = $2, closing_dm3 = $3, closing_turns = $4"
            " WHERE meter_id = $1 AND removed_at IS NULL",
            meter_id,
            datetime.fromisoformat(at),
            closing_dm3,
            turns,
        )

    async def read(self, meter_id: str, at: str, register_dm3: int, turns: int | None = 0) -> None:
        """Store a billable reading, or a suspect one when it has no turns."""
        read_at = datetime.fromisoformat(at)
        await self.owner.execute("SELECT open_reading_month($1)", read_at)
        await self.owner.execute(
            "INSERT INTO reading VALUES ($1, $2, $3, $4, $5, $6, 1, $2)",
            meter_id,
            read_at,
            register_dm3,
            turns,
            "suspect" if turns is None else "billable",
            "too_fast" if turns is None else None,
        )

    async def correct(
        self,
        meter_id: str,
        read_at: str,
        register_dm3: int,
        *,
        at: datetime = datetime(2026, 3, 3, tzinfo=UTC),
        fault: str = "ours",
        turns: int = 0,
    ) -> None:
        """Let a person correct a trusted register."""
        key = (meter_id, datetime.fromisoformat(read_at))
        revision = 1 + await self.owner.fetchval(
            "SELECT count(*) FROM reading_correction WHERE meter_id = $1 AND read_at = $2", *key
        )
        await self.owner.execute(
            "INSERT INTO reading_correction VALUES ($1, $2, $3, $4, $5, $6, 'a clerk', 'a photo',"
            " $7)",
            *key,
            revision,
            register_dm3,
            turns,
            fault,
            at,
        )
        await self.owner.execute(
            "INSERT INTO usage_doubt VALUES ($1, $2, $3, $4)", *key, revision, at
        )

    async def home(self, name: str, registers: dict[str, int]) -> None:
        """Settle an account whose meter was hung up with the first of these registers."""
        (first_at, opening_dm3), *later = registers.items()
        await self.account(f"AC-{name}")
        await self.meter(f"AQ-{name}")
        await self.install(f"AQ-{name}", f"AC-{name}", first_at, opening_dm3)
        for at, register_dm3 in later:
            await self.read(f"AQ-{name}", at, register_dm3)

    async def books(self) -> dict[str, list[tuple[object, ...]]]:
        """Return all that a run has written, in order, without the instants of writing."""
        tables = {
            "usage": "SELECT * FROM usage ORDER BY meter_id, from_at",
            "bill": "SELECT account_id, bill_no, volume_dm3, net_minor, vat_minor, total_minor"
            " FROM bill ORDER BY account_id, bill_no",
            "bill_line": "SELECT * FROM bill_line ORDER BY account_id, bill_no, line_no",
            "transfer": "SELECT account_id, transfer_id, phase, debit_code, credit_code,"
            " amount_minor, bill_no FROM transfer ORDER BY account_id, transfer_id",
            "bill_hold": "SELECT account_id, period_start, reason, meter_id FROM bill_hold"
            " ORDER BY account_id",
        }
        return {
            table: [tuple(row) for row in await self.owner.fetch(query)]
            for table, query in tables.items()
        }
