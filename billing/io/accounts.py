"""The store of accounts: who owes, where gas enters, and, apart from it all, who that is."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg
import structlog

import sql
from metering.io.api import AccountClosedError

_Q: Final = sql.queries("accounts")

log: Final = structlog.get_logger()


class AccountUnknownError(Exception):
    """No account has this id."""


class AccountDiffersError(Exception):
    """The id belongs to an account that was described differently."""


class NoSuchTariffError(Exception):
    """No price of this tariff exists in this currency."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who owes, without saying who that is."""

    account_id: str
    tariff_code: str
    currency: str
    opened_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Person:
    """Who lives there. Never logged, never listed, never given to an operator."""

    full_name: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplyPoint:
    """Where gas enters a home."""

    supply_point_id: str
    connected_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountStore:
    """Accounts in PostgreSQL; works with the service's rights."""

    pool: asyncpg.Pool

    async def open(self, account: Account, person: Person, point: SupplyPoint) -> bool:
        """Open an account with its first supply point; False when exactly this one was there.

        Raises:
            NoSuchTariffError: the tariff has no price in the currency of the account.
            AccountDiffersError: the id is taken by an account with other facts.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            if not await _Q.has_tariff(
                conn, tariff_code=account.tariff_code, currency=account.currency
            ):
                raise NoSuchTariffError("no price of this tariff exists in this currency")
            added = await _Q.add_account(
                conn,
                account_id=account.account_id,
                tariff_code=account.tariff_code,
                currency=account.currency,
                opened_at=account.opened_at,
            )
            if added is None:
                if not await _known_alike(conn, account, person, point):
                    raise AccountDiffersError("an account with this id has other facts")
                return False
            await _Q.add_person(
                conn,
                account_id=account.account_id,
                full_name=person.full_name,
                address=person.address,
            )
            await _Q.add_supply_point(
                conn,
                account_id=account.account_id,
                supply_point_id=point.supply_point_id,
                connected_at=point.connected_at,
            )
        log.info("account.opened", account_id=account.account_id)
        return True

    async def account(self, account_id: str) -> Account:
        """Return an account.

        Raises:
            AccountUnknownError: no account has this id.
        """
        async with self.pool.acquire() as conn:
            return await _account(conn, account_id)

    async def accounts(self, *, after: str, page: int) -> list[Account]:
        """Return a page of accounts in the order of their ids."""
        async with self.pool.acquire() as conn:
            rows = _Q.list_accounts(conn, after=after, page=page)
            return [Account(**row) async for row in rows]

    async def person(self, account_id: str) -> Person:
        """Return who lives there; ask only on behalf of that resident.

        Raises:
            AccountUnknownError: no account has this id.
        """
        async with self.pool.acquire() as conn:
            return await _person(conn, account_id)

    async def supply_points(self, account_id: str) -> list[SupplyPoint]:
        """Return where gas enters the home."""
        async with self.pool.acquire() as conn:
            return await _supply_points(conn, account_id)

    async def has_supply_point(self, account_id: str, supply_point_id: str) -> bool:
        """Say whether an account has a supply point of this name.

        Raises:
            AccountClosedError: the account has ended.
        """
        async with self.pool.acquire() as conn:
            if await _Q.has_ended(conn, account_id=account_id):
                raise AccountClosedError("the account has ended")
            return bool(
                await _Q.has_supply_point(
                    conn, account_id=account_id, supply_point_id=supply_point_id
                )
            )

    async def bills_in_transit(self, account_id: str, bill_nos: Collection[str]) -> frozenset[str]:
        """Return which of these bills have money under way that has not arrived yet."""
        async with self.pool.acquire() as conn:
            rows = _Q.bills_in_transit(conn, account_id=account_id, bill_nos=list(bill_nos))
            return frozenset([row["bill_no"] async for row in rows])


async def _account(conn: asyncpg.Connection, account_id: str) -> Account:
    row = await _Q.find_account(conn, account_id=account_id)
    if row is None:
        raise AccountUnknownError
    return Account(**row)


async def _person(conn: asyncpg.Connection, account_id: str) -> Person:
    row = await _Q.find_person(conn, account_id=account_id)
    if row is None:
        raise AccountUnknownError
    return Person(**row)


async def _supply_points(conn: asyncpg.Connection, account_id: str) -> list[SupplyPoint]:
    rows = _Q.list_supply_points(conn, account_id=account_id)
    return [SupplyPoint(**row) async for row in rows]


async def _known_alike(
    conn: asyncpg.Connection, account: Account, person: Person, point: SupplyPoint
) -> bool:
    known = await _account(conn, account.account_id)
    return (
        (known.tariff_code, known.currency) == (account.tariff_code, account.currency)
        and await _person(conn, account.account_id) == person
        and point in await _supply_points(conn, account.account_id)
    )
