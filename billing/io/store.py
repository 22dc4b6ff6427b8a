"""Prices, usage, bills and the ledger in PostgreSQL."""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from datetime import date, datetime, timedelta
from typing import Any

import asyncpg

import sql
from billing.bill import Bill, Charge, Hold, Line, bill_no
from billing.io.books import Books
from billing.io.estimates import estimate_gaps
from billing.io.heat import heat
from billing.io.holds import hold_of, outsorting_as_json
from billing.io.months import demand_approval, note_issued
from billing.io.penalties import penalties_as_json
from billing.io.prices import Prices, prices_as_json, read_prices
from billing.io.rows import bill_of, charge_of, line_of
from billing.io.vouchers import apply_vouchers, locked
from billing.ledger import Transfer
from billing.period import local_day, midnight
from billing.policy import NO_POLICY, BillPolicy
from billing.reconcile import (
    FIRST_METER,
    NOTHING_ESTIMATED,
    NOTHING_HEATED,
    NOTHING_ISSUED,
    NOTHING_MEASURED,
    Claims,
    Estimated,
    Heated,
    Issued,
    Measured,
    ParallelRunError,
    ReconcileCounts,
    Run,
)
from billing.tariff import cuts, per_energy, price_intervals
from metering.io.conversions import Conversions

_USAGE = sql.queries("usage")
_BILLS = sql.queries("bills")
_DRAFTS = sql.queries("drafts")


class BillingStore(Prices, Books):
    """Everything billing asks of the database but mandates and debits."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        policy: BillPolicy = NO_POLICY,
        *,
        conversions: Conversions | None = None,
        sessions: int = 1,
    ) -> None:
        """Take what the town decides, and what knows energy; so many sessions work at once."""
        super().__init__(pool)
        self._policy = policy
        self._conversions = conversions
        self.sessions = sessions

    # The run ------------------------------------------------------------------------------------

    async def measure(self, run: Run, claims: Claims[tuple[str, datetime]]) -> Measured:
        """Write the usage of the next chunk of installations, in one transaction.

        Raises:
            ParallelRunError: this town only rehearses.
        """
        self._demand_issuing()
        start_at, end_at = run.period.bounds(run.zone)
        async with self._pool.acquire() as connection, connection.transaction():
            await _USAGE.plan_for_a_run(connection)
            async with claims.turn:
                after_meter_id, after_installed_at = claims.last or FIRST_METER
                claimed = await _USAGE.claim_installations(
                    connection,
                    start_at=start_at,
                    end_at=end_at,
                    after_meter_id=after_meter_id,
                    after_installed_at=after_installed_at,
                    chunk=run.chunk,
                )
                if claimed["meter_ids"] is None:
                    return NOTHING_MEASURED
                last = claims.last = (claimed["meter_ids"][-1], claimed["installed_ats"][-1])
            row = await _measure(connection, run, claimed["meter_ids"], claimed["installed_ats"])
        return Measured(last=last, measured=row["measured"], lacking=row["lacking"])

    async def estimate(self, run: Run, *, after: tuple[str, datetime]) -> Estimated:
        """Make up registers that lack, if the town lets it and has waited long enough for them."""
        days = self._policy.estimate_after_days
        if days is None or run.at < run.period.bounds(run.zone)[1] + timedelta(days=days):
            return NOTHING_ESTIMATED
        return await estimate_gaps(self._pool, run, after=after)

    async def heat(self, run: Run, *, after: str) -> Heated:
        """Say the energy of the gas of the next chunk of accounts that pay for it."""
        if self._conversions is None:
            return NOTHING_HEATED
        tariffs = await self.tariffs()
        codes = per_energy(tariffs, run.period)
        if not codes:
            return NOTHING_HEATED
        return await heat(self._pool.acquire, self._conversions, run, codes=codes, after=after)

    async def settle(self, run: Run) -> None:
        """Forget the period's gaps and holds that have been answered, in one transaction."""
        start_at, end_at = run.period.bounds(run.zone)
        async with self._pool.acquire() as connection, connection.transaction():
            about = {"period_start": run.period.start, "start_at": start_at, "end_at": end_at}
            await _USAGE.drop_idle_gaps(connection, **about)
            await _BILLS.drop_answered_holds(connection, **about)

    async def issue(self, run: Run, claims: Claims[str]) -> Issued:
        """Issue the bills of the next chunk of accounts, in one transaction.

        Raises:
            ParallelRunError: this town only rehearses.
            NotApprovedError: nobody has approved the month, and the town wants it.
        """
        self._demand_issuing()
        start_at, end_at = run.period.bounds(run.zone)
        async with self._pool.acquire() as connection, connection.transaction():
            await _USAGE.plan_for_a_run(connection)
            if self._policy.approval:
                await demand_approval(connection, run.period)
            await _BILLS.lock_prices(connection)
            async with claims.turn:
                account_ids = await _BILLS.claim_accounts(
                    connection,
                    period_start=run.period.start,
                    start_at=start_at,
                    end_at=end_at,
                    after=claims.last or "",
                    chunk=run.chunk,
                )
                if account_ids is None:
                    return NOTHING_ISSUED
                claims.last = account_ids[-1]
            row = await self._issue(connection, run, account_ids)
        return Issued(last=account_ids[-1], **dict(row))

    async def _issue(
        self, connection: asyncpg.Connection, run: Run, account_ids: Sequence[str]
    ) -> asyncpg.Record:
        """Issue the bills of locked accounts, or note what holds them."""
        start_at, end_at = run.period.bounds(run.zone)
        found = price_intervals(*await read_prices(connection), run.period, run.zone)
        prices, bands = prices_as_json(found)
        days = run.period.days_with_end()
        row = await _BILLS.issue_bills(
            connection,
            account_ids=account_ids,
            period_start=run.period.start,
            period_end=run.period.end,
            start_at=start_at,
            end_at=end_at,
            bill_no=bill_no(run.period, 1),
            due_on=run.period.due_on,
            at=run.at,
            days=days,
            day_ats=[midnight(day, run.zone) for day in days],
            prices=prices,
            bands=bands,
            penalties=await penalties_as_json(connection, run, account_ids, self._policy),
            outsorting=await outsorting_as_json(connection, run.period),
        )
        minimums = self._policy.minimums_minor
        if any(minimums.values()):
            await _BILLS.carry_small_bills(
                connection,
                account_ids=account_ids,
                bill_no=bill_no(run.period, 1),
                at=run.at,
                currencies=list(minimums),
                minimums=list(minimums.values()),
            )
        await apply_vouchers(
            connection,
            account_ids,
            bill_no=bill_no(run.period, 1),
            at=run.at,
            day=local_day(run.at, run.zone),
        )
        await _BILLS.release_holds(
            connection, account_ids=account_ids, period_start=run.period.start
        )
        return row

    async def note(self, run: Run, counts: ReconcileCounts) -> None:
        """Note that bills of the month went out."""
        async with self._pool.acquire() as connection, connection.transaction():
            await note_issued(
                connection,
                run.period,
                bills=counts.billed,
                total_minor=counts.total_minor,
                at=run.at,
            )

    async def claim_supplied(
        self, connection: asyncpg.Connection, run: Run, *, after: str
    ) -> list[str]:
        """Lock the next chunk of accounts that had a meter in the period, billed or not."""
        start_at, end_at = run.period.bounds(run.zone)
        await _USAGE.plan_for_a_run(connection)
        await _BILLS.lock_prices(connection)
        account_ids: list[str] | None = await _DRAFTS.claim_supplied(
            connection, start_at=start_at, end_at=end_at, after=after, chunk=run.chunk
        )
        return account_ids or []

    async def draft(
        self, connection: asyncpg.Connection, run: Run, account_ids: list[str], *, after: str
    ) -> None:
        """Do to locked accounts after a key all that a run does; the caller rolls it back."""
        start_at, end_at = run.period.bounds(run.zone)
        stays = await _DRAFTS.claim_stays(
            connection, account_ids=account_ids, start_at=start_at, end_at=end_at
        )
        if stays["meter_ids"] is not None:
            await _measure(connection, run, stays["meter_ids"], stays["installed_ats"])
        codes = per_energy((await read_prices(connection))[0], run.period)
        if codes and self._conversions is not None:
            await heat(
                lambda: nullcontext(connection), self._conversions, run, codes=codes, after=after
            )
        await self._issue(connection, run, account_ids)

    async def issue_to(self, run: Run, account_id: str) -> Issued:
        """Measure what is left of one account's period and issue its bill, in one transaction.

        The period need not be over, if nothing hangs at the account any more.

        Raises:
            AccountUnknownError: no account has this id.
            ParallelRunError: this town only rehearses.
        """
        self._demand_issuing()
        start_at, end_at = run.period.bounds(run.zone)
        async with self._pool.acquire() as connection, connection.transaction():
            await locked(connection, account_id)
            await _USAGE.plan_for_a_run(connection)
            claimed = await _USAGE.claim_stays(
                connection, account_id=account_id, start_at=start_at, end_at=end_at
            )
            if claimed["meter_ids"] is not None:
                await _measure(connection, run, claimed["meter_ids"], claimed["installed_ats"])
            await _BILLS.lock_prices(connection)
            row = await self._issue(connection, run, [account_id])
        return Issued(last=account_id, **dict(row))

    def _demand_issuing(self) -> None:
        if not self._policy.issues:
            raise ParallelRunError("in a parallel run no bill is issued")

    # Which periods are open ---------------------------------------------------------------------

    async def first_installed_at(self) -> datetime | None:
        """Return when the first meter was hung up."""
        async with self._pool.acquire() as connection:
            first_at: datetime | None = await _BILLS.first_installed_at(connection)
        return first_at

    async def periods_with_questions(self) -> set[date]:
        """Return the starts of periods in which something is held."""
        async with self._pool.acquire() as connection:
            rows = _BILLS.periods_with_questions(connection)
            return {row["period_start"] async for row in rows}

    async def periods_without_bills(self, starts: Iterable[date]) -> set[date]:
        """Return which of these periods have no bill."""
        async with self._pool.acquire() as connection:
            rows = _BILLS.periods_without_bills(connection, period_starts=list(starts))
            return {row["period_start"] async for row in rows}

    # Bills and what is owed ---------------------------------------------------------------------

    async def bill(self, account_id: str, bill_no: str) -> Bill | None:
        """Return one bill with its lines."""
        async with self._pool.acquire() as connection:
            rows = _BILLS.find_bills(connection, account_id=account_id, bill_nos=[bill_no])
            found = await _with_lines(connection, account_id, [row async for row in rows])
        return found[0] if found else None

    async def bills(self, account_id: str, *, limit: int, before: str | None) -> tuple[Bill, ...]:
        """Return bills with their lines, newest first, older than the bill named ``before``."""
        async with self._pool.acquire() as connection:
            rows = _BILLS.list_bills(connection, account_id=account_id, before=before, chunk=limit)
            return await _with_lines(connection, account_id, [row async for row in rows])

    async def holds(self, period_start: date, *, limit: int, after: str) -> tuple[Hold, ...]:
        """Return what holds the bills of a period, in order of account, after one account."""
        async with self._pool.acquire() as connection:
            rows = _BILLS.list_holds(
                connection, period_start=period_start, after=after, chunk=limit
            )
            return tuple([hold_of(row) async for row in rows])

    async def owed_minor(self, account_id: str, bill_nos: Sequence[str]) -> dict[str, int]:
        """Return what posted transfers leave to pay on each bill, in minor units."""
        async with self._pool.acquire() as connection:
            return await owed_on_bills(connection, account_id, bill_nos)

    async def account_owed_minor(self, account_id: str) -> int:
        """Return what an account owes by its posted transfers, in minor units."""
        async with self._pool.acquire() as connection:
            owed_minor: int = await _BILLS.owed_of_account(connection, account_id=account_id)
        return owed_minor

    async def insert_transfers(
        self, connection: asyncpg.Connection, transfers: Iterable[Transfer]
    ) -> None:
        """Write transfers in the caller's transaction, together with the fact that moves them."""
        await insert_transfers(connection, transfers)


async def _measure(
    connection: asyncpg.Connection,
    run: Run,
    meter_ids: Sequence[str],
    installed_ats: Sequence[datetime],
) -> asyncpg.Record:
    """Write the usage of locked installations, or note what lacks."""
    start_at, end_at = run.period.bounds(run.zone)
    tariffs, vat_rates = await read_prices(connection)
    days = run.period.days_with_end()
    inside = cuts(tariffs, vat_rates, run.period, run.zone)
    row: asyncpg.Record = await _USAGE.measure(
        connection,
        meter_ids=meter_ids,
        installed_ats=installed_ats,
        period_start=run.period.start,
        start_at=start_at,
        end_at=end_at,
        end_day=run.period.end,
        cut_codes=[cut.tariff_code for cut in inside],
        cut_ats=[cut.at for cut in inside],
        days=days,
        day_ats=[midnight(day, run.zone) for day in days],
        at=run.at,
    )
    return row


async def owed_on_bills(
    connection: asyncpg.Connection, account_id: str, bill_nos: Sequence[str]
) -> dict[str, int]:
    """Return what is left to pay on each bill, as the caller's transaction sees it."""
    rows = _BILLS.owed_of_bills(connection, account_id=account_id, bill_nos=list(bill_nos))
    owed = dict.fromkeys(bill_nos, 0)
    async for row in rows:
        owed[row["bill_no"]] = row["owed_minor"]
    return owed


async def insert_transfers(connection: asyncpg.Connection, transfers: Iterable[Transfer]) -> None:
    """Write transfers in the caller's transaction.

    Raises:
        asyncpg.UniqueViolationError: one of them was written before.
    """
    rows = list(transfers)
    await _BILLS.insert_transfers(
        connection,
        account_ids=[row.account_id for row in rows],
        transfer_ids=[row.transfer_id for row in rows],
        phases=[row.phase for row in rows],
        debit_codes=[row.debit_code for row in rows],
        credit_codes=[row.credit_code for row in rows],
        amounts=[row.amount_minor for row in rows],
        currencies=[row.currency for row in rows],
        bill_nos=[row.bill_no for row in rows],
        posted_ats=[row.posted_at for row in rows],
    )


async def _with_lines(
    connection: asyncpg.Connection, account_id: str, rows: Sequence[asyncpg.Record]
) -> tuple[Bill, ...]:
    lines: dict[str, list[Line]] = {row["bill_no"]: [] for row in rows}
    charges: dict[str, list[Charge]] = {row["bill_no"]: [] for row in rows}
    about: dict[str, Any] = {"account_id": account_id, "bill_nos": list(lines)}
    async for row in _BILLS.list_bill_lines(connection, **about):
        values = dict(row)
        lines[values.pop("bill_no")].append(line_of(values))
    async for row in _BILLS.list_bill_charges(connection, **about):
        values = dict(row)
        charges[values.pop("bill_no")].append(charge_of(values))
    return tuple(
        bill_of(row, tuple(lines[row["bill_no"]]), tuple(charges[row["bill_no"]])) for row in rows
    )
