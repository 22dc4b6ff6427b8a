"""What holds for an account from a local day on, in PostgreSQL."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import asyncpg
import structlog

import sql
from billing.io.accounts import AccountUnknownError, NoSuchTariffError
from billing.io.rows import terms_of
from billing.io.vouchers import locked
from billing.terms import Terms

_Q: Final = sql.queries("terms")
_ACCOUNTS: Final = sql.queries("accounts")

log: Final = structlog.get_logger()


class TermsBilledError(Exception):
    """The day was billed already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTerms:
    """Tariff, persons and the right to a social discount, from a local day on."""

    valid_from: date
    tariff_code: str
    persons: int
    social: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TermsBook:
    """The words on a town's accounts; works with the service's rights."""

    pool: asyncpg.Pool

    async def say(
        self, account_id: str, new: NewTerms, *, corrects: bool = False, by: str, at: datetime
    ) -> tuple[Terms, bool]:
        """Say what holds from a day on; False when the newest word of that day says so already.

        With ``corrects`` the days may stand on bills; those are corrected at the next look.

        Raises:
            AccountUnknownError: no account has this id.
            TermsBilledError: a bill has that day, or a later one, and none is to be corrected.
            NoSuchTariffError: the tariff has no price on that day in the account's currency.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            currency = await locked(conn, account_id)
            known = await _newest(conn, account_id, new.valid_from)
            if known is not None and _said(known) == new:
                return known, False
            billed = await _Q.billed_from(conn, account_id=account_id, valid_from=new.valid_from)
            if billed is not None and not corrects:
                raise TermsBilledError(f"days from {new.valid_from} on stand on bill {billed}")
            if not await _Q.has_price_on(
                conn, tariff_code=new.tariff_code, currency=currency, day=new.valid_from
            ):
                raise NoSuchTariffError(
                    f"tariff {new.tariff_code} has no price in {currency} on {new.valid_from}"
                )
            await _Q.add_terms(
                conn,
                account_id=account_id,
                valid_from=new.valid_from,
                tariff_code=new.tariff_code,
                persons=new.persons,
                social=new.social,
                said_by=by,
                said_at=at,
            )
            made = await _newest(conn, account_id, new.valid_from)
        assert made is not None, "the word was just written down"
        log.info(
            "terms.said", account_id=account_id, revision=made.revision, corrects=billed is not None
        )
        return made, True

    async def history(self, account_id: str) -> tuple[str, list[Terms]]:
        """Return the tariff an account was opened with, and every later word, by its day.

        Raises:
            AccountUnknownError: no account has this id.
        """
        async with self.pool.acquire() as conn:
            account = await _ACCOUNTS.find_account(conn, account_id=account_id)
            if account is None:
                raise AccountUnknownError
            return account["tariff_code"], await _words(conn, account_id)


async def _words(conn: asyncpg.Connection, account_id: str) -> list[Terms]:
    return [terms_of(row) async for row in _Q.list_terms(conn, account_id=account_id)]


async def _newest(conn: asyncpg.Connection, account_id: str, day: date) -> Terms | None:
    words = [one for one in await _words(conn, account_id) if one.valid_from == day]
    return words[-1] if words else None


def _said(known: Terms) -> NewTerms:
    return NewTerms(
        valid_from=known.valid_from,
        tariff_code=known.tariff_code,
        persons=known.persons,
        social=known.social,
    )
