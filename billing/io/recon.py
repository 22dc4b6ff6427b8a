"""Where payouts, statement lines, days and breaks are kept; with the service's rights."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import asyncpg

import sql
from billing.break_kinds import ADVICE
from billing.breaks import BookedLine, Break
from billing.debit import Debit, DebitId
from billing.io.debit_rows import debit_of
from billing.io.refunds import TAKEN_BACK
from billing.iso.camt053 import Statement, StatementLine
from billing.payout import PAID_OUT, Payout, PayoutItem, PayoutStatus
from billing.recon_port import BreakCounts, DoubledItem, KnownPayout, TornDay
from billing.town import TownTransfer, identified, payout_fees, unidentified
from billing.turn import BOUNCED

_Q: Final = sql.queries("recon")
_AUDIT: Final = sql.queries("audit")
_DEBITS: Final = sql.queries("debits")

# Enough to tell any two lines of a town apart; it stands in names of the ledger.
_LINE_ID_DIGITS: Final = 32
_UNKNOWN: Final = "unknown"


class StatementDiffersError(Exception):
    """A statement says another amount of a line that is kept already; nothing of it was taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconBooks:
    """The three sides and what they disagree about, in PostgreSQL."""

    pool: asyncpg.Pool

    async def debits_by_key(self, keys: Mapping[str, str]) -> dict[str, Debit]:
        """Return debits by their keys; ``keys`` says whose account each key names."""
        async with self.pool.acquire() as db:
            rows = _AUDIT.debits_by_key(db, account_ids=list(keys.values()), keys=list(keys))
            return {row["idempotency_key"]: debit_of(row) async for row in rows}

    async def debits_by_payment(self, payment_ids: Sequence[str]) -> dict[str, Debit]:
        """Return debits by the bank's names of their payments."""
        rows = _Q.debits_of_payments(self.pool, payment_ids=list(payment_ids))
        return {row["bank_payment_id"]: debit_of(row) async for row in rows}

    async def sent_debits(
        self, *, since: datetime, after: DebitId | None, limit: int
    ) -> Sequence[Debit]:
        """Return the next debits with a payment at the bank that were sent since an instant."""
        rows = _Q.sent_debits(
            self.pool,
            since=since,
            after_account_id=after.account_id if after else "",
            after_bill_no=after.bill_no if after else "",
            after_attempt=after.attempt if after else 0,
            chunk=limit,
        )
        return [debit_of(row) async for row in rows]

    async def freeze(self, account_id: str, mandate_id: str, *, because: str, at: datetime) -> bool:
        """Freeze a mandate; False if it is frozen already, or a person has lifted it for this."""
        async with self.pool.acquire() as db, db.transaction():
            # Whoever announces or records under the mandate holds it, and sees the freeze later.
            await _DEBITS.lock_mandate(db, account_id=account_id, mandate_id=mandate_id)
            fresh = await _Q.freeze_mandate(
                db, account_id=account_id, mandate_id=mandate_id, because=because, at=at
            )
        return fresh is True

    async def known_payouts(self, payout_ids: Sequence[str]) -> Mapping[str, KnownPayout]:
        """Return how those of the payouts that we know stood when they were read last."""
        rows = _Q.known_payouts(self.pool, payout_ids=list(payout_ids))
        return {
            row["payout_id"]: KnownPayout(status=_status(row["status"]), matched=row["matched"])
            async for row in rows
        }

    async def items_of(self, payout_id: str) -> tuple[PayoutItem, ...]:
        """Return the items of a payout as the bank told them last."""
        rows = _Q.items_of(self.pool, payout_id=payout_id)
        return tuple([PayoutItem(**dict(row)) async for row in rows])

    async def bounced_payouts(self, *, since: datetime) -> Sequence[Payout]:
        """Return payouts that came back and were not made again."""
        rows = _Q.bounced_payouts(self.pool, since=since, kind=PAID_OUT)
        return [_payout(row) async for row in rows]

    async def debits_paid_out_by(self, payout_id: str) -> Sequence[DebitId]:
        """Return debits that we believe paid out, by this payout and by no other that counts."""
        rows = _Q.debits_paid_out_by(self.pool, payout_id=payout_id, kind=PAID_OUT)
        return [DebitId(**dict(row)) async for row in rows]

    async def keep_payout(
        self, payout: Payout, items: Sequence[PayoutItem], *, at: datetime
    ) -> None:
        """Keep a payout and its items as the bank tells them now."""
        async with self.pool.acquire() as db, db.transaction():
            await _Q.save_payout(
                db,
                payout_id=payout.payout_id,
                status=payout.status or _UNKNOWN,
                amount_minor=payout.amount_minor,
                fees_minor=payout.fees_minor,
                currency=payout.currency,
                reference=payout.reference,
                arrival_on=payout.arrival_on,
                created_at=payout.created_at,
                at=at,
            )
            await _Q.drop_items(db, payout_id=payout.payout_id)
            await _Q.add_items(
                db,
                payout_id=payout.payout_id,
                kinds=[one.kind for one in items],
                amounts_tenths=[one.amount_tenths for one in items],
                payment_ids=[one.payment_id for one in items],
                refund_ids=[one.refund_id for one in items],
            )

    async def debits_paid_out_again(self) -> Sequence[DebitId]:
        """Return debits whose payout came back and that another one has brought since."""
        rows = _Q.debits_paid_out_again(self.pool, reason=BOUNCED, kind=PAID_OUT)
        return [DebitId(**dict(row)) async for row in rows]

    async def unknown_debits(self, *, charge_until: date) -> Sequence[Debit]:
        """Return debits of which nobody knows, to be charged on a day or before."""
        rows = _Q.unknown_debits(self.pool, charge_until=charge_until)
        return [debit_of(row) async for row in rows]

    async def doubled_items(self, *, since: datetime) -> Sequence[DoubledItem]:
        """Return payments that were paid out more than once."""
        rows = _Q.doubled_items(self.pool, since=since, kind=PAID_OUT, kinds=list(TAKEN_BACK))
        return [DoubledItem(**dict(row)) async for row in rows]

    async def overkept_items(self, *, since: datetime) -> Sequence[DoubledItem]:
        """Return payments that the bank has kept more often than it had paid them out."""
        rows = _Q.overkept_items(self.pool, since=since, kind=PAID_OUT, kinds=list(TAKEN_BACK))
        return [DoubledItem(**dict(row)) async for row in rows]

    async def paid_out_without_item(
        self, *, since: datetime, unchanged_since: datetime
    ) -> Sequence[Debit]:
        """Return debits that we believe paid out and that stand in no payout."""
        rows = _Q.paid_out_without_item(
            self.pool, since=since, kind=PAID_OUT, read_before=unchanged_since
        )
        return [debit_of(row) async for row in rows]

    async def payouts_to_match(self, *, since: datetime) -> Sequence[Payout]:
        """Return payouts that wait for the statement, or of which it speaks anew."""
        return [_payout(row) async for row in _Q.payouts_to_match(self.pool, since=since)]

    async def lines_of_payouts(
        self, payout_ids: Sequence[str]
    ) -> Mapping[str, Sequence[BookedLine]]:
        """Return the lines that carry the reference of each payout."""
        found: dict[str, list[BookedLine]] = defaultdict(list)
        async for row in _Q.lines_of_payouts(self.pool, payout_ids=list(payout_ids)):
            found[row["payout_id"]].append(_booked(row))
        return found

    async def unknown_lines(self) -> Sequence[BookedLine]:
        """Return the lines that nobody knows."""
        return [_booked(row) async for row in _Q.unknown_lines(self.pool)]

    async def lines_taken_back(self) -> Mapping[str, str]:
        """Return what unknown lines are that name a refund or a payment, by line."""
        rows = _Q.lines_taken_back(self.pool, kind=PAID_OUT, kinds=list(TAKEN_BACK))
        return {row["line_id"]: row["known_as"] async for row in rows}

    async def know_lines(self, lines: Sequence[BookedLine], known_as: str, *, at: datetime) -> None:
        """Note what lines are; what stood in suspense because of them leaves it, once."""
        async with self.pool.acquire() as db, db.transaction():
            await _Q.know_lines(db, line_ids=[one.line_id for one in lines], known_as=known_as)
            suspended = {one.transfer_id: one for one in (_suspense(one, at) for one in lines)}
            async for row in _Q.town_transfers(db, transfer_ids=list(suspended)):
                await _post(db, identified(suspended[row["transfer_id"]], at=at))

    async def suspend(self, booked: BookedLine, *, at: datetime) -> None:
        """Book a line that nobody knows to suspense, once."""
        await _post(self.pool, _suspense(booked, at))

    async def match_payout(self, payout: Payout, *, at: datetime) -> Sequence[DebitId]:
        """Note that a payout agrees, book its fees once, and return its settled debits."""
        async with self.pool.acquire() as db, db.transaction():
            await _Q.match_payout(db, payout_id=payout.payout_id, at=at)
            if payout.fees_minor != 0:
                fees = payout_fees(
                    payout.payout_id,
                    fees_minor=payout.fees_minor,
                    currency=payout.currency,
                    reference=payout.reference,
                    at=at,
                )
                await _post(db, fees)
            rows = _Q.settled_debits_of(db, payout_id=payout.payout_id, kind=PAID_OUT)
            return [DebitId(**dict(row)) async for row in rows]

    async def debits_paid_out_late(self) -> Sequence[DebitId]:
        """Return debits settled since their payout was matched, whose money was not kept again."""
        rows = _Q.debits_paid_out_late(self.pool, kind=PAID_OUT, kinds=list(TAKEN_BACK))
        return [DebitId(**dict(row)) async for row in rows]

    async def covered_until(self) -> date | None:
        """Return the last day of which a statement has come."""
        day: date | None = await _Q.covered_until(self.pool)
        return day

    async def torn_days(self, *, since: date) -> Sequence[TornDay]:
        """Return days whose statement does not begin where the one before it ended."""
        return [TornDay(**dict(row)) async for row in _Q.torn_days(self.pool, since=since)]

    async def keep_breaks(
        self, found: Sequence[Break], *, since: date, last_day: date, at: datetime
    ) -> BreakCounts:
        """Open, see again or close breaks, and judge all days up to ``last_day``."""
        async with self.pool.acquire() as db, db.transaction():
            await _Q.read_days(db, last=last_day, at=at)
            columns = _columns(found)
            await _Q.hold_breaks(db, kinds=columns["kinds"], subjects=columns["subjects"])
            opened = [row async for row in _Q.see_breaks(db, **columns, at=at)]
            closed = [row async for row in _Q.close_agreed(db, since=since, at=at)]
            await _Q.judge_days(db, at=at)
            still = [row async for row in _Q.open_breaks_figures(db)]
        return BreakCounts(
            opened=len(opened), closed=len(closed), open=sum(row["breaks"] for row in still)
        )

    async def add_statement(self, statement: Statement, *, at: datetime) -> int:
        """Keep the lines and days of a statement, each once; return how many lines were new.

        Days between it and the statement before, when nothing moved, are covered too.

        Raises:
            StatementDiffersError: a line is kept already with another amount.
        """
        lines = dict(_named(statement))
        async with self.pool.acquire() as db, db.transaction():
            known = {row["line_id"]: row async for row in _Q.lines_by_id(db, line_ids=list(lines))}
            for line_id, row in known.items():
                line, _ = lines[line_id]
                if (row["amount_minor"], row["currency"]) != (line.amount_minor, line.currency):
                    raise StatementDiffersError(f"entry {line.entry_ref} of {line.booked_on}")
            for line_id, (line, copy) in lines.items():
                if line_id not in known:
                    await _add_line(db, statement, line_id, line, copy, at)
            before = await _Q.day_before(db, day=statement.from_on)
            await _Q.cover_days(
                db,
                first=_first_day(statement, before),
                last=statement.until_on,
                statement_id=statement.statement_id,
                opening_minor=statement.opening_minor,
                closing_minor=statement.closing_minor,
                at=at,
            )
        return len(lines) - len(known)

    async def due(self, *, since: datetime) -> bool:
        """Say whether the bank's books were not read since an instant, or a statement has come."""
        return bool(await _Q.recon_due(self.pool, since=since))

    async def reconciled_until(self) -> date | None:
        """Return the last day up to which, without a gap, all sides agree."""
        day: date | None = await _Q.reconciled_until(self.pool)
        return day


def _first_day(statement: Statement, before: asyncpg.Record | None) -> date:
    """Return the first day that a statement covers: that behind the one before, if it follows."""
    if before is None or before["closing_minor"] != statement.opening_minor:
        return statement.from_on
    return date.fromordinal(before["day"].toordinal() + 1)


def _named(statement: Statement) -> Iterator[tuple[str, tuple[StatementLine, int]]]:
    """Name each line by account, day and entry; the second of a name is its second copy."""
    copies: Counter[tuple[date, str]] = Counter()
    for line in statement.lines:
        copies[line.booked_on, line.entry_ref] += 1
        copy = copies[line.booked_on, line.entry_ref]
        name = f"{statement.iban_ending}|{line.booked_on}|{line.entry_ref}|{copy}"
        yield hashlib.sha256(name.encode()).hexdigest()[:_LINE_ID_DIGITS], (line, copy)


async def _add_line(  # noqa: PLR0913, PLR0917 - the inside of add_statement
    db: asyncpg.Connection,
    statement: Statement,
    line_id: str,
    line: StatementLine,
    copy: int,
    at: datetime,
) -> None:
    await _Q.add_line(
        db,
        line_id=line_id,
        iban_ending=statement.iban_ending,
        statement_id=statement.statement_id,
        entry_ref=line.entry_ref,
        copy=copy,
        booked_on=line.booked_on,
        amount_minor=line.amount_minor,
        currency=line.currency,
        end_to_end_id=line.end_to_end_id,
        payout_reference=line.payout_reference,
        status=line.status,
        text=line.text,
        reason=line.reason,
        at=at,
    )


def _booked(row: asyncpg.Record) -> BookedLine:
    return BookedLine(
        line_id=row["line_id"],
        line=StatementLine(
            entry_ref=row["entry_ref"],
            booked_on=row["booked_on"],
            amount_minor=row["amount_minor"],
            currency=row["currency"],
            end_to_end_id=row["end_to_end_id"],
            payout_reference=row["payout_reference"],
            status=row["status"],
            text=row["text"],
            reason=row["reason"],
        ),
    )


def _payout(row: asyncpg.Record) -> Payout:
    return Payout(**{**dict(row), "status": _status(row["status"])})


def _status(word: str) -> PayoutStatus | None:
    return None if word == _UNKNOWN else PayoutStatus(word)


def _suspense(booked: BookedLine, at: datetime) -> TownTransfer:
    line = booked.line
    return unidentified(
        booked.line_id,
        amount_minor=line.amount_minor,
        currency=line.currency,
        reference=line.entry_ref,
        at=at,
    )


async def _post(db: asyncpg.Connection | asyncpg.Pool, moved: TownTransfer) -> None:
    await _Q.add_town_transfer(
        db,
        transfer_id=moved.transfer_id,
        debit_code=moved.debit_code,
        credit_code=moved.credit_code,
        amount_minor=moved.amount_minor,
        currency=moved.currency,
        reference=moved.reference,
        at=moved.posted_at,
    )


def _columns(found: Sequence[Break]) -> dict[str, list[Any]]:
    return {
        "kinds": [one.kind for one in found],
        "subjects": [one.subject for one in found],
        "account_ids": [one.account_id for one in found],
        "amounts_minor": [one.amount_minor for one in found],
        "currencies": [one.currency for one in found],
        "details": [one.detail for one in found],
        "actions": [ADVICE[one.kind].action for one in found],
        "owners": [ADVICE[one.kind].owner for one in found],
        "days": [one.day for one in found],
    }
