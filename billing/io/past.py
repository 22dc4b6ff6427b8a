"""What was known of an account by an instant, read from PostgreSQL in one snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import asyncpg

import sql
from billing.as_of import AsOf, Gas, Month, Past, Stay, Stood, Sums, as_of, boundaries
from billing.bill import BillKind
from billing.io.accounts import AccountUnknownError
from billing.io.prices import read_prices
from billing.io.rows import terms_of, usage_of
from billing.period import Period
from billing.reconcile import PeriodNotOverError
from metering.consumption import REGISTER_AGE_MAX
from metering.installation import Installation
from metering.reading import Mark

_Q: Final = sql.queries("past")
_ACCOUNTS: Final = sql.queries("accounts")
_CORRECTIONS: Final = sql.queries("corrections")

# A register that stands for the first boundary was read at most so long before it.
_MARGIN: Final = REGISTER_AGE_MAX


class InstantAheadError(Exception):
    """What will be known at an instant to come cannot be said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pasts:
    """Answers what bills would have been; works with the service's rights, writes nothing."""

    pool: asyncpg.Pool
    zone: str

    async def as_of(self, account_id: str, period: Period, *, at: datetime, now: datetime) -> AsOf:
        """Return a bill as of an instant, beside the one that stood then and the one of now.

        Raises:
            InstantAheadError: the instant has not come.
            PeriodNotOverError: the month still ran at the instant.
            AccountUnknownError: no account has this id.
        """
        if at > now:
            raise InstantAheadError
        _, over_at = period.bounds(self.zone)
        if at < over_at:
            raise PeriodNotOverError(period=period, over_at=over_at)
        async with (
            self.pool.acquire() as conn,
            conn.transaction(isolation="repeatable_read", readonly=True),
        ):
            account = await _ACCOUNTS.find_account(conn, account_id=account_id)
            if account is None:
                raise AccountUnknownError
            tariffs, vat_rates = await read_prices(conn)
            month = Month(period=period, zone=self.zone, tariffs=tariffs, vat_rates=vat_rates)
            then = await _past(conn, account, month, at)
            today = await _past(conn, account, month, now)
            stood = await _Q.bill_that_stood(
                conn, account_id=account_id, period_start=period.start, at=at
            )
        return AsOf(
            account_id=account_id,
            period=period,
            currency=account["currency"],
            at=at,
            then=as_of(then, month),
            today=as_of(today, month),
            stood=None if stood is None else _stood(stood),
        )


async def _past(
    conn: asyncpg.Connection, account: Mapping[str, Any], month: Month, at: datetime
) -> Past:
    account_id = account["account_id"]
    start_at, end_at = month.period.bounds(month.zone)
    of = {"account_id": account_id, "start_at": start_at, "end_at": end_at}
    stays = [_stay(dict(row)) async for row in _Q.stays_of_month(conn, **of)]
    words = _CORRECTIONS.terms(conn, account_ids=[account_id], at=at)
    meter_ids = sorted({stay.installation.meter_id for stay in stays})
    corrected = _Q.corrected_by(
        conn, meter_ids=meter_ids, from_at=start_at - _MARGIN, to_at=end_at, at=at
    )
    estimated = _Q.estimated_by(conn, meter_ids=meter_ids, from_at=start_at, to_at=end_at, at=at)
    past = Past(
        account_id=account_id,
        currency=account["currency"],
        opened_with=account["tariff_code"],
        stays=stays,
        terms=[terms_of(row) async for row in words],
        gas=[_gas(dict(row)) async for row in _Q.gas_measured_by(conn, **of, at=at)],
        corrected={(row["meter_id"], row["read_at"]): _mark(row) async for row in corrected},
        estimated={
            (row["meter_id"], row["installed_at"], row["read_at"]): _mark(row)
            async for row in estimated
        },
    )
    ends = [(*stay.key, one) for stay in stays for one in boundaries(stay, past, month)]
    known = _Q.registers_known_by(
        conn,
        meter_ids=[meter_id for meter_id, _, _ in ends],
        installed_ats=[installed_at for _, installed_at, _ in ends],
        boundary_ats=[boundary_at for _, _, boundary_at in ends],
        at=at,
    )
    registers = {
        (row["meter_id"], row["installed_at"], row["boundary_at"]): _mark(row)
        async for row in known
    }
    return replace(past, registers=registers)


def _stay(row: dict[str, Any]) -> Stay:
    dial_dm3 = row.pop("dial_dm3")
    return Stay(installation=Installation(**row), dial_dm3=dial_dm3)


def _gas(row: dict[str, Any]) -> Gas:
    period_start, billed = row.pop("period_start"), row.pop("billed")
    return Gas(period_start=period_start, billed=billed, usage=usage_of(row))


def _mark(row: Mapping[str, Any]) -> Mark:
    return Mark(read_at=row["read_at"], register_dm3=row["register_dm3"], turns=row["turns"])


def _stood(row: Mapping[str, Any]) -> Stood:
    return Stood(
        bill_no=row["bill_no"],
        kind=BillKind(row["kind"]),
        issued_at=row["issued_at"],
        total_minor=row["total_minor"],
        sums=Sums(
            volume_dm3=row["volume_dm3"],
            net_minor=row["net_minor"],
            vat_minor=row["vat_minor"],
        ),
    )
