"""The records of bills in PostgreSQL: read as they were known when each bill was issued."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import asyncpg

import sql
from billing.bill import Charge, Line
from billing.io.prices import read_prices
from billing.io.proposals import read_proposers
from billing.io.rows import bill_of, charge_of, line_of, terms_of, usage_of
from billing.period import Period
from billing.record import Json, Prices, Stretch, record
from billing.terms import Terms, spans

_Q: Final = sql.queries("records")

Key = tuple[str, str]
Row = dict[str, Any]


class BillUnknownError(Exception):
    """No account has a bill of this number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Reads what bills were made of; works with the service's rights."""

    pool: asyncpg.Pool
    zone: str

    async def record(self, account_id: str, bill_no: str) -> Json:
        """Return the record of one bill.

        Raises:
            BillUnknownError: the account has no such bill.
        """
        found = await self.records([(account_id, bill_no)])
        if not found:
            raise BillUnknownError
        return found[0]

    async def page(
        self, period_start: date, *, after: tuple[str, int] = ("", 0), chunk: int
    ) -> list[Json]:
        """Return the records of a period's bills, after an account and revision, in that order."""
        async with self.pool.acquire() as conn:
            rows = _Q.bills_of_period(
                conn,
                period_start=period_start,
                after_account_id=after[0],
                after_revision=after[1],
                chunk=chunk,
            )
            keys = [(row["account_id"], row["bill_no"]) async for row in rows]
        return await self.records(keys)

    async def records(self, keys: Sequence[Key]) -> list[Json]:
        """Return the records of these bills, in order of account, period and revision."""
        async with self.pool.acquire() as conn, conn.transaction(isolation="repeatable_read"):
            tariffs, vat_rates = await read_prices(conn)
            proposers = await read_proposers(conn)
            read = await _read(conn, keys)
        prices = Prices(tariffs=tariffs, vat_rates=vat_rates, proposers=proposers)
        return [self._record(row, read, prices) for row in read.bills]

    def _record(self, row: Row, read: "_Read", prices: Prices) -> Json:
        key = (row["account_id"], row["bill_no"])
        opened_with = row["opened_with"]
        values = {name: value for name, value in row.items() if name != "opened_with"}
        bill = bill_of(values, tuple(read.lines[key]), tuple(read.charges[key]))
        return record(
            bill,
            zone=self.zone,
            spans=spans(
                read.terms[bill.account_id],
                opened_with=opened_with,
                period=Period(start=bill.period_start, end=bill.period_end),
                known_at=bill.issued_at,
            ),
            prices=prices,
            stretches=read.stretches[bill.account_id, bill.period_start, bill.issued_at],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What a few statements brought, by whom it belongs to."""

    bills: list[Row]
    lines: defaultdict[Key, list[Line]]
    charges: defaultdict[Key, list[Charge]]
    terms: defaultdict[str, list[Terms]]
    stretches: defaultdict[tuple[str, date, datetime], list[Stretch]]


async def _read(conn: asyncpg.Connection, keys: Sequence[Key]) -> _Read:
    named = {
        "account_ids": [account_id for account_id, _ in keys],
        "bill_nos": [bill_no for _, bill_no in keys],
    }
    found = _Read(
        bills=[dict(row) async for row in _Q.recorded_bills(conn, **named)],
        lines=defaultdict(list),
        charges=defaultdict(list),
        terms=defaultdict(list),
        stretches=defaultdict(list),
    )
    async for row in _Q.recorded_lines(conn, **named):
        values = dict(row)
        found.lines[values.pop("account_id"), values.pop("bill_no")].append(line_of(values))
    async for row in _Q.recorded_charges(conn, **named):
        values = dict(row)
        found.charges[values.pop("account_id"), values.pop("bill_no")].append(charge_of(values))
    async for row in _Q.recorded_terms(conn, account_ids=sorted(set(named["account_ids"]))):
        found.terms[row["account_id"]].append(terms_of(row))
    async for row in _Q.recorded_usages(
        conn,
        account_ids=[row["account_id"] for row in found.bills],
        period_starts=[row["period_start"] for row in found.bills],
        known_ats=[row["issued_at"] for row in found.bills],
    ):
        place = (row["account_id"], row["period_start"], row["known_at"])
        found.stretches[place].append(_stretch(dict(row)))
    return found


def _stretch(row: Row) -> Stretch:
    values = {
        name: value for name, value in row.items() if name not in {"period_start", "known_at"}
    }
    dial_dm3, standard_dm3 = values.pop("dial_dm3"), values.pop("standard_dm3")
    return Stretch(usage=usage_of(values), dial_dm3=dial_dm3, standard_dm3=standard_dm3)
