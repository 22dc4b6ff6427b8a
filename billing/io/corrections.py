"""Corrections in PostgreSQL: what is known of an account, and what becomes of its bills."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import date, datetime
from itertools import groupby
from typing import Any, Final

import asyncpg

import sql
from billing.bill import Bill, Charge, Line
from billing.correction import Adjustment, Month, Outcome, Sum
from billing.credit import Owing, Purse
from billing.debit import Debit
from billing.io.case_rows import cases_of
from billing.io.debit_rows import debit_of
from billing.io.debits import Desk
from billing.io.prices import read_prices
from billing.io.rows import bill_of, charge_of, line_of
from billing.io.store import insert_transfers
from billing.ledger import BillAmount, Transfer, bill_transfers
from billing.review import CaseFile, Reviewed, Verdict
from billing.tariff import Tariff, VatRate

_Q: Final = sql.queries("corrections")
_BILLS: Final = sql.queries("bills")


class CorrectionDesk:
    """One open transaction: what is locked here stays ours until it ends."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._db = connection

    async def cases(
        self, after: str, *, since: date, at: datetime, limit: int
    ) -> tuple[str | None, list[CaseFile]]:
        """Lock the next accounts to look at again; return the last, and what holds of them."""
        account_ids = await _Q.accounts_to_correct(
            self._db, after=after, since=since, at=at, chunk=limit
        )
        if account_ids is None:
            return None, []
        await self.lock(account_ids)
        return account_ids[-1], await cases_of(self._db, account_ids, since=since, at=at)

    async def lock(self, account_ids: Sequence[str]) -> None:
        """Lock accounts, their meters and mandates."""
        await _Q.lock_installations(self._db, account_ids=account_ids)
        await _Q.lock_accounts(self._db, account_ids=account_ids)
        await _Q.lock_mandates(self._db, account_ids=account_ids)

    async def prices(self) -> tuple[tuple[Tariff, ...], tuple[VatRate, ...]]:
        """Hold the prices still, and return them."""
        await _BILLS.lock_prices(self._db)
        return await read_prices(self._db)

    async def months(self, wanted: Sequence[tuple[str, date]]) -> dict[str, list[Month]]:
        """Return, by account, those of these months that have a bill, as they were charged."""
        keys = {
            "account_ids": [account_id for account_id, _ in wanted],
            "period_starts": [start for _, start in wanted],
        }
        heads = [dict(row) async for row in _Q.bills_in_force(self._db, **keys)]
        lines, charges = await self._made_of(heads)
        adjustments = await self._adjustments(keys)
        found: dict[str, list[Month]] = defaultdict(list)
        for head in sorted(heads, key=lambda one: (one["account_id"], one["period_start"])):
            name = (head["account_id"], head["bill_no"])
            revision, correction_no = head.pop("revision_max"), head.pop("correction_max")
            bill = bill_of(head, tuple(lines[name]), tuple(charges[name]))
            found[bill.account_id].append(
                Month(
                    bill=bill,
                    revision=revision,
                    correction_no=correction_no,
                    adjustments=tuple(adjustments[bill.account_id, bill.period_start]),
                )
            )
        return found

    async def _made_of(
        self, heads: Iterable[Mapping[str, Any]]
    ) -> tuple[dict[tuple[str, str], list[Line]], dict[tuple[str, str], list[Charge]]]:
        named = [(head["account_id"], head["bill_no"]) for head in heads]
        keys = {
            "account_ids": [account_id for account_id, _ in named],
            "bill_nos": [bill_no for _, bill_no in named],
        }
        lines: dict[tuple[str, str], list[Line]] = defaultdict(list)
        charges: dict[tuple[str, str], list[Charge]] = defaultdict(list)
        async for row in _Q.lines_of_bills(self._db, **keys):
            values = dict(row)
            lines[values.pop("account_id"), values.pop("bill_no")].append(line_of(values))
        async for row in _Q.charges_of_bills(self._db, **keys):
            values = dict(row)
            charges[values.pop("account_id"), values.pop("bill_no")].append(charge_of(values))
        return lines, charges

    async def _adjustments(
        self, keys: Mapping[str, Any]
    ) -> dict[tuple[str, date], list[Adjustment]]:
        found: dict[tuple[str, date], list[Adjustment]] = defaultdict(list)
        async for row in _Q.adjustments_that_stand(self._db, **keys):
            found[row["account_id"], row["period_start"]].append(
                Adjustment(
                    correction_no=row["correction_no"],
                    vat_rate_bp=row["vat_rate_bp"],
                    amount=Sum(
                        volume_dm3=row["volume_dm3"],
                        net_minor=row["net_minor"],
                        vat_minor=row["vat_minor"],
                    ),
                    bill_no=row["bill_no"],
                )
            )
        return found

    async def debits(self, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Debit]:
        """Lock the debits that may still take money for these bills."""
        rows = _Q.debits_of_bills(
            self._db,
            account_ids=[account_id for account_id, _ in wanted],
            bill_nos=[bill_no for _, bill_no in wanted],
        )
        return {(row["account_id"], row["bill_no"]): debit_of(row) async for row in rows}

    async def give_up(self, before: Debit, after: Debit) -> None:
        """Write a locked debit back that is not wanted any more."""
        await Desk(self._db).save_debit(before, after)

    async def write(self, reviewed: Reviewed) -> None:
        """Write what becomes of an account's gas and bills, and forget why it was looked at."""
        if reviewed.renewed:
            await _Q.insert_revisions(self._db, rows=_revisions(reviewed))
        documents = [bill for one in reviewed.verdicts for bill in one.decided.documents]
        if documents:
            await self._issue(documents)
        for verdict in reviewed.verdicts:
            await self._decide(verdict, at=reviewed.at)
        words = {
            (stay.known.installation.meter_id, read_at): word.revision
            for stay in reviewed.case.stays
            for read_at, word in stay.words.items()
            if stay.known.installation.holds(read_at)
        }
        await _Q.drop_doubts(
            self._db,
            meter_ids=[meter_id for meter_id, _ in words],
            read_ats=[read_at for _, read_at in words],
            revisions=list(words.values()),
        )

    async def _issue(self, documents: Sequence[Bill]) -> None:
        lines, charges, heads = [], [], []
        for bill in documents:
            head = asdict(bill)
            of = {"account_id": bill.account_id, "bill_no": bill.bill_no}
            lines += [line | of for line in head.pop("lines")]
            charges += [charge | of for charge in head.pop("charges")]
            heads.append(head)
        await _Q.insert_bills(
            self._db, bills=_json(heads), lines=_json(lines), charges=_json(charges)
        )
        await insert_transfers(
            self._db,
            [
                transfer
                for bill in documents
                for transfer in bill_transfers(
                    BillAmount(
                        account_id=bill.account_id,
                        bill_no=bill.bill_no,
                        net_minor=bill.net_minor,
                        vat_minor=bill.vat_minor,
                        currency=bill.currency,
                        penalty_minor=bill.penalty_minor,
                    ),
                    at=bill.issued_at,
                )
            ],
        )

    async def _decide(self, verdict: Verdict, *, at: datetime) -> None:
        decided, bill = verdict.decided, verdict.month.bill
        of = {
            "account_id": bill.account_id,
            "period_start": bill.period_start,
            "correction_no": verdict.month.correction_no + 1,
        }
        rebill_no = decided.documents[-1].bill_no if decided.documents else None
        await _Q.insert_correction(
            self._db,
            **of,
            corrects_bill_no=bill.bill_no,
            outcome=decided.outcome,
            rebill_no=rebill_no,
            volume_dm3=decided.difference.volume_dm3,
            net_minor=decided.difference.net_minor,
            vat_minor=decided.difference.vat_minor,
            causes=_json(list(verdict.causes)),
            difference=_json(verdict.difference),
            made_at=at,
        )
        if decided.outcome is Outcome.REBILL:
            await _Q.withdraw_adjustments(
                self._db,
                account_id=bill.account_id,
                period_start=bill.period_start,
                bill_no=rebill_no,
            )
        elif decided.outcome is Outcome.ADJUSTMENT:
            await _Q.insert_adjustments(
                self._db,
                **of,
                vat_rates=list(decided.by_vat),
                volumes=[one.volume_dm3 for one in decided.by_vat.values()],
                nets=[one.net_minor for one in decided.by_vat.values()],
                vats=[one.vat_minor for one in decided.by_vat.values()],
                made_at=at,
            )

    async def credits(self, after: str, *, limit: int) -> list[str]:
        """Name the next accounts whose credit may be used."""
        return list(await _Q.accounts_with_credit(self._db, after=after, chunk=limit) or ())

    async def purses(
        self, account_ids: Collection[str], *, refund: bool
    ) -> list[tuple[list[Owing], Purse]]:
        """Return what the bills of locked accounts owe, and their credit."""
        rows = [row async for row in _Q.owing(self._db, account_ids=list(account_ids))]
        found = []
        for account_id, group in groupby(rows, key=lambda row: str(row["account_id"])):
            bills = list(group)
            purse = Purse(
                account_id=account_id,
                currency=bills[0]["currency"],
                credit_minor=sum(row["credit_minor"] for row in bills),
                refund=refund,
            )
            found.append(([_owing(row) for row in bills], purse))
        return found

    async def transfer(self, transfers: Sequence[Transfer]) -> None:
        """Post transfers."""
        await insert_transfers(self._db, transfers)


class Corrections:
    """Corrections in PostgreSQL; many processes may make them at once."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[CorrectionDesk]:
        """Open one transaction; it is committed at the end, or undone if anything is raised."""
        async with self._pool.acquire() as connection, connection.transaction():
            yield CorrectionDesk(connection)


def _owing(row: asyncpg.Record) -> Owing:
    return Owing(
        bill_no=row["bill_no"],
        heir=row["heir"],
        owed_minor=row["owed_minor"],
        due_on=row["due_on"],
        moves=row["moves"],
        busy=row["busy"],
    )


def _revisions(reviewed: Reviewed) -> str:
    return _json(
        [
            asdict(usage)
            | {
                "period_start": one.period_start,
                "revision": one.revision,
                "because": one.because,
                "made_at": reviewed.at,
            }
            for one in reviewed.renewed
            for usage in one.usages
        ]
    )


def _json(value: object) -> str:
    return json.dumps(value, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} does not go into JSON")
