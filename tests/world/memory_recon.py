"""Payouts, statement lines, days and breaks in memory; see billing/io/recon.py and io/breaks.py.

tests/contract/test_recon_store.py runs one suite against both. The items of a payout are one row
here, because they are only ever replaced together.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from typing import Any, Final

from billing.breaks import BookedLine, Break
from billing.debit import FINAL, Debit, DebitId, State
from billing.io.breaks import KeptBreak
from billing.io.recon import StatementDiffersError
from billing.io.refunds import TAKEN_BACK
from billing.iso.camt053 import Statement
from billing.ledger import Account, Phase
from billing.payout import PAID_OUT, Payout, PayoutItem, PayoutStatus
from billing.recon_port import BreakCounts, DoubledItem, KnownPayout, TornDay
from billing.town import TownTransfer, identified, payout_fees, unidentified
from billing.turn import BOUNCED
from tests.world.engine import Book, Table, Transaction
from tests.world.memory_breaks import FreezeRow, Pool, agree, break_tables, see, seen_by_person

_PAID_OUT: Final = frozenset({State.SETTLED, State.RECONCILED})
LINE_ID_DIGITS: Final = 32
_BY_PAYOUT: Final = ("payout_", "item_", "line_")


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutRow:
    """One row of bank_payout."""

    payout: Payout
    read_at: datetime
    matched_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRow:
    """One row of statement_line."""

    booked: BookedLine
    known_as: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRow:
    """One row of recon_day."""

    day: date
    statement_id: str | None = None
    opening_minor: int | None = None
    closing_minor: int | None = None
    statement_at: datetime | None = None
    read_at: datetime | None = None
    agreed_at: datetime | None = None


def recon_tables() -> dict[str, Table]:
    """Return the tables of the reconciliation."""
    names = ("bank_payout", "bank_payout_item", "statement_line", "recon_day", "town_transfer")
    return {**{name: Table() for name in names}, **break_tables()}


class MemoryRecovery(Book):
    """What the bank has kept back, by its payouts and its statement."""

    async def debits_to_recover(self, *, limit: int) -> list[DebitId]:
        """Return debits whose money the bank has kept more often than the ledger has it."""
        async with self._read() as tx:
            found = [
                row.debit_id
                for row in tx.scan("debit")
                if row.state in FINAL
                and row.bank_payment_id is not None
                and _claimed_minor(tx, row) > 0
                and _times_kept(tx, row.bank_payment_id) > _times_recovered(tx, row)
            ]
        return sorted(found, key=_name)[:limit]


class MemoryBooks:
    """The three sides and what they disagree about, on the same pool as the debits."""

    def __init__(self, store: Pool) -> None:
        self._store = store

    # -- debits

    async def debits_by_key(self, keys: Mapping[str, str]) -> dict[str, Debit]:
        """Return debits by their keys; ``keys`` says whose account each key names."""
        async with self._store.begin() as desk:
            await desk.tx.statement()
            return {
                row.idempotency_key: row
                for row in desk.tx.scan("debit")
                if row.idempotency_key and keys.get(row.idempotency_key) == row.account_id
            }

    async def debits_by_payment(self, payment_ids: Sequence[str]) -> dict[str, Debit]:
        """Return debits by the bank's names of their payments."""
        wanted = set(payment_ids)
        found = await self._debits(lambda _, row: row.bank_payment_id in wanted)
        return {row.bank_payment_id: row for row in found if row.bank_payment_id is not None}

    async def sent_debits(
        self, *, since: datetime, after: DebitId | None, limit: int
    ) -> Sequence[Debit]:
        """Return the next debits with a payment at the bank that were sent since an instant."""
        behind = ("", "", 0) if after is None else _name(after)
        found = await self._debits(
            lambda _, row: (
                _name(row) > behind and row.bank_payment_id is not None and _sent(row, since)
            )
        )
        return found[:limit]

    async def unknown_debits(self, *, charge_until: date) -> Sequence[Debit]:
        """Return debits of which nobody knows, to be charged on a day or before."""
        return await self._debits(
            lambda _, row: row.state is State.UNKNOWN and row.charge_on <= charge_until
        )

    async def paid_out_without_item(
        self, *, since: datetime, unchanged_since: datetime
    ) -> Sequence[Debit]:
        """Return debits that we believe paid out and that stand in no payout."""
        return await self._debits(
            lambda tx, row: (
                row.state in _PAID_OUT
                and _sent(row, since)
                and row.changed_at <= unchanged_since
                and not any(_counts(payout) for payout in _payouts_of(tx, row))
            )
        )

    async def debits_paid_out_again(self) -> Sequence[DebitId]:
        """Return debits whose payout came back and that another one has brought since."""
        found = await self._debits(
            lambda tx, row: (
                row.state is State.CONFIRMED
                and row.reason == BOUNCED
                and any(one.status is PayoutStatus.PAID for one in _payouts_of(tx, row))
            )
        )
        return [row.debit_id for row in found]

    async def debits_paid_out_late(self) -> Sequence[DebitId]:
        """Return debits settled since their payout was matched, whose money was not kept again."""

        def wanted(tx: Transaction, row: Debit) -> bool:
            if row.state is not State.SETTLED or row.bank_payment_id is None:
                return False
            came = sum(
                _paid_by(tx, one.payout.payout_id).count(row.bank_payment_id)
                for one in tx.scan("bank_payout")
                if one.payout.status is PayoutStatus.PAID and one.matched_at is not None
            )
            return came > _times_kept(tx, row.bank_payment_id)

        return [row.debit_id for row in await self._debits(wanted)]

    async def debits_paid_out_by(self, payout_id: str) -> Sequence[DebitId]:
        """Return debits that we believe paid out, by this payout and by no other that counts."""

        def wanted(tx: Transaction, row: Debit) -> bool:
            payouts = _payouts_of(tx, row)
            others = [one for one in payouts if _counts(one) and one.payout_id != payout_id]
            named = any(one.payout_id == payout_id for one in payouts)
            return row.state in _PAID_OUT and named and not others

        return [row.debit_id for row in await self._debits(wanted)]

    async def _debits(self, wanted: Any) -> list[Debit]:
        async with self._store.begin() as desk:
            await desk.tx.statement()
            found = [row for row in desk.tx.scan("debit") if wanted(desk.tx, row)]
        return sorted(found, key=_name)

    # -- freezes

    async def freeze(self, account_id: str, mandate_id: str, *, because: str, at: datetime) -> bool:
        """Freeze a mandate; False if it is frozen already, or a person has lifted it for this."""
        async with self._store.begin() as desk:
            await desk.tx.statement()
            await desk.tx.lock("mandate", (account_id, mandate_id))
            await desk.tx.statement()
            if seen_by_person(desk.tx, account_id, mandate_id, because):
                return False
            row = FreezeRow(
                account_id=account_id, mandate_id=mandate_id, because=because, frozen_at=at
            )
            return await desk.tx.insert("mandate_freeze", (account_id, mandate_id, at), row)

    # -- payouts

    async def known_payouts(self, payout_ids: Sequence[str]) -> Mapping[str, KnownPayout]:
        """Return how those of the payouts that we know stood when they were read last."""
        async with self._store.begin() as desk:
            await desk.tx.statement()
            return {
                row.payout.payout_id: KnownPayout(
                    status=row.payout.status, matched=row.matched_at is not None
                )
                for row in desk.tx.scan("bank_payout")
                if row.payout.payout_id in payout_ids
            }

    async def keep_payout(
        self, payout: Payout, items: Sequence[PayoutItem], *, at: datetime
    ) -> None:
        """Keep a payout and its items as the bank tells them now."""
        key = (payout.payout_id,)
        async with self._store.begin() as desk:
            tx = desk.tx
            await tx.statement()
            row = PayoutRow(payout=payout, read_at=at)
            if not await tx.insert("bank_payout", key, row):
                now: PayoutRow = tx.get("bank_payout", key)
                same = now.payout.status is payout.status
                kept = replace(
                    payout, currency=now.payout.currency, created_at=now.payout.created_at
                )
                matched_at = now.matched_at if same else None
                again = PayoutRow(payout=kept, read_at=at, matched_at=matched_at)
                await tx.update("bank_payout", key, again)
            await tx.statement()
            await tx.update("bank_payout_item", key, tuple(items))

    async def items_of(self, payout_id: str) -> tuple[PayoutItem, ...]:
        """Return the items of a payout as the bank told them last."""
        async with self._store.begin() as desk:
            await desk.tx.statement()
            found: tuple[PayoutItem, ...] = desk.tx.get("bank_payout_item", (payout_id,)) or ()
        return found

    async def bounced_payouts(self, *, since: datetime) -> Sequence[Payout]:
        """Return payouts that came back and were not made again."""
        async with self._store.begin() as desk:
            tx = desk.tx
            await tx.statement()
            found = [
                row.payout
                for row in tx.scan("bank_payout")
                if row.payout.status is PayoutStatus.BOUNCED
                and row.payout.created_at >= since
                and any(
                    not any(_counts(one) for one in _payouts_with(tx, payment_id))
                    for payment_id in _paid_by(tx, row.payout.payout_id)
                )
            ]
        return sorted(found, key=_age)

    async def doubled_items(self, *, since: datetime) -> Sequence[DoubledItem]:
        """Return payments that were paid out more than once."""
        async with self._store.begin() as desk:
            tx = desk.tx
            await tx.statement()
            times: dict[str, list[Payout]] = defaultdict(list)
            for row in tx.scan("bank_payout"):
                if _counts(row.payout):
                    for payment_id in _paid_by(tx, row.payout.payout_id):
                        times[payment_id].append(row.payout)
            found = []
            for payment_id, payouts in sorted(times.items()):
                last = max(payouts, key=_age)
                count = len(payouts) - _times_kept(tx, payment_id)
                if count > 1 and last.created_at >= since:
                    found.append(
                        DoubledItem(payment_id=payment_id, payout_id=last.payout_id, times=count)
                    )
        return found

    async def overkept_items(self, *, since: datetime) -> Sequence[DoubledItem]:
        """Return payments that the bank has kept more often than it had paid them out."""
        async with self._store.begin() as desk:
            tx = desk.tx
            await tx.statement()
            kept: dict[str, list[Payout]] = defaultdict(list)
            for row in tx.scan("bank_payout"):
                if _counts(row.payout) and row.payout.created_at >= since:
                    for payment_id in _kept_by(tx, row.payout.payout_id):
                        kept[payment_id].append(row.payout)
            found = []
            for payment_id, payouts in sorted(kept.items()):
                times = _times_kept(tx, payment_id) - _times_paid(tx, payment_id)
                if times > 0:
                    last = max(payouts, key=_age).payout_id
                    found.append(DoubledItem(payment_id=payment_id, payout_id=last, times=times))
        return found

    async def payouts_to_match(self, *, since: datetime) -> Sequence[Payout]:
        """Return payouts that wait for the statement, or of which it speaks anew."""
        async with self._store.begin() as desk:
            await desk.tx.statement()
            anew = {
                row.booked.line.payout_reference
                for row in desk.tx.scan("statement_line")
                if row.known_as is None
            }
            found = [
                row.payout
                for row in desk.tx.scan("bank_payout")
                if row.payout.created_at >= since
                and (row.matched_at is None or row.payout.reference in anew)
            ]
        return sorted(found, key=_age)

    async def match_payout(self, payout: Payout, *, at: datetime) -> Sequence[DebitId]:
        """Note that a payout agrees, book its fees once, and return its settled debits."""
        key = (payout.payout_id,)
        async with self._store.begin() as desk:
            tx = desk.tx
            await tx.statement()
            await tx.lock("bank_payout", key)
            await tx.update("bank_payout", key, replace(tx.get("bank_payout", key), matched_at=at))
            if payout.fees_minor != 0:
                fees = payout_fees(
                    payout.payout_id,
                    fees_minor=payout.fees_minor,
                    currency=payout.currency,
                    reference=payout.reference,
                    at=at,
                )
                await _post(tx, fees)
            await tx.statement()
            paid = set(_paid_by(tx, payout.payout_id))
            found = [
                row.debit_id
                for row in tx.scan("debit")
                if row.state is State.SETTLED and row.bank_payment_id in paid
            ]
        return sorted(found, key=_name)

    # -- lines

    async def lines_of_payouts(
        self, payout_ids: Sequence[str]
    ) -> Mapping[str, Sequence[BookedLine]]:
        """Return the lines that carry the reference of each payout."""
        found: dict[str, list[BookedLine]] = defaultdict(list)
        async with self._store.begin() as desk:
            await desk.tx.statement()
            lines = sorted(_lines(desk.tx), key=_booking)
            for row in desk.tx.scan("bank_payout"):
                if row.payout.payout_id in payout_ids:
                    for line in lines:
                        if _about(row.payout, line.booked):
                            found[row.payout.payout_id].append(line.booked)
        return found

    async def unknown_lines(self) -> Sequence[BookedLine]:
        """Return the lines that nobody knows."""
        async with self._store.begin() as desk:
            await desk.tx.statement()
            found = [row for row in _lines(desk.tx) if row.known_as is None]
        return [row.booked for row in sorted(found, key=_booking)]

    async def lines_taken_back(self) -> Mapping[str, str]:
        """Return what unknown lines are that name a refund or a payment, by line."""
        async with self._store.begin() as desk:
            tx = desk.tx
            await tx.statement()
            named = {
                ("refund", row.bank_refund_id, -row.amount_minor, row.currency)
                for row in tx.scan("refund")
            } | {
                ("payment", row.bank_payment_id, -row.amount_minor, row.currency)
                for row in tx.scan("debit")
            }
            found = {}
            more: Counter[str] = Counter()
            for row in sorted(_lines(tx), key=_booking):
                line = row.booked.line
                about = line.end_to_end_id
                name = (about, line.amount_minor, line.currency)
                if row.known_as is not None or about is None:
                    continue
                if ("refund", *name) in named:
                    found[row.booked.line_id] = f"refund {about}"
                elif ("payment", *name) in named:
                    more[about] += 1
                    if _times_kept(tx, about) + more[about] <= _times_paid(tx, about):
                        found[row.booked.line_id] = f"payment {about}"
        return found

    async def know_lines(self, lines: Sequence[BookedLine], known_as: str, *, at: datetime) -> None:
        """Note what lines are; what stood in suspense because of them leaves it, once."""
        async with self._store.begin() as desk:
            tx = desk.tx
            await tx.statement()
            for one in lines:
                key = (one.line_id,)
                await tx.lock("statement_line", key)
                row = replace(tx.get("statement_line", key), known_as=known_as)
                await tx.update("statement_line", key, row)
            await tx.statement()
            for one in lines:
                suspended = _suspense(one, at)
                if tx.get("town_transfer", (suspended.transfer_id,)) is not None:
                    await _post(tx, identified(suspended, at=at))

    async def suspend(self, booked: BookedLine, *, at: datetime) -> None:
        """Book a line that nobody knows to suspense, once."""
        async with self._store.begin() as desk:
            await _post(desk.tx, _suspense(booked, at))

    # -- statements and days

    async def add_statement(self, statement: Statement, *, at: datetime) -> int:
        """Keep the lines and days of a statement, each once; return how many lines were new.

        Raises:
            StatementDiffersError: a line is kept already with another amount.
        """
        lines = dict(_named(statement))
        async with self._store.begin() as desk:
            tx = desk.tx
            await tx.statement()
            known = {name for name in lines if tx.get("statement_line", (name,)) is not None}
            for name in known:
                line, kept = lines[name].line, tx.get("statement_line", (name,)).booked.line
                if (kept.amount_minor, kept.currency) != (line.amount_minor, line.currency):
                    raise StatementDiffersError(f"entry {line.entry_ref} of {line.booked_on}")
            for name, booked in lines.items():
                if name not in known:
                    await tx.statement()
                    await tx.insert("statement_line", (name,), LineRow(booked=booked))
            await tx.statement()
            first = _first_day(tx, statement)
            await tx.statement()
            for number in range((statement.until_on - first).days + 1):
                await _cover(tx, first + timedelta(days=number), statement, at)
        return len(lines) - len(known)

    async def covered_until(self) -> date | None:
        """Return the last day of which a statement has come."""
        async with self._store.begin() as desk:
            await desk.tx.statement()
            return max(
                (row.day for row in desk.tx.scan("recon_day") if row.statement_at is not None),
                default=None,
            )

    async def torn_days(self, *, since: date) -> Sequence[TornDay]:
        """Return days whose statement does not begin where the one before it ended."""
        async with self._store.begin() as desk:
            await desk.tx.statement()
            days = [row for row in _days(desk.tx) if row.statement_at and row.day >= since]
        return [
            TornDay(
                day=row.day, opening_minor=row.opening_minor or 0, before_minor=before.closing_minor
            )
            for before, row in pairwise(days)
            if before.statement_id != row.statement_id
            and before.closing_minor is not None
            and before.closing_minor != row.opening_minor
        ]

    async def reconciled_until(self) -> date | None:
        """Return the last day up to which, without a gap, all sides agree."""
        async with self._store.begin() as desk:
            await desk.tx.statement()
            until = None
            for row in _days(desk.tx):
                if row.agreed_at is None:
                    break
                until = row.day
        return until

    # -- what was found

    async def keep_breaks(
        self, found: Sequence[Break], *, since: date, last_day: date, at: datetime
    ) -> BreakCounts:
        """Open, see again or close breaks, and judge all days up to ``last_day``."""
        opened = closed = 0
        async with self._store.begin() as desk:
            tx = desk.tx
            await tx.statement()
            await _read_days(tx, last_day, at)
            await tx.statement()
            for one in found:
                opened += await see(tx, one, at)
            await tx.statement()
            for row in sorted(tx.scan("recon_break"), key=lambda row: row.break_id):
                if row.closed_at is None and row.seen_at < at and row.day >= since:
                    closed += await agree(tx, row, at)
            await tx.statement()
            await _judge(tx, at)
            await tx.statement()
            still = sum(1 for row in tx.scan("recon_break") if row.closed_at is None)
        return BreakCounts(opened=opened, closed=closed, open=still)


def _name(row: Any) -> tuple[str, str, int]:
    return (row.account_id, row.bill_no, row.attempt)


def _sent(row: Debit, since: datetime) -> bool:
    return row.first_sent_at is not None and row.first_sent_at >= since


def _age(payout: Payout) -> tuple[datetime, str]:
    return payout.created_at, payout.payout_id


def _counts(payout: Payout) -> bool:
    return payout.status is not PayoutStatus.BOUNCED


def _paid_by(tx: Transaction, payout_id: str) -> list[str]:
    """Return the payments that stand in a payout, each as often as it does."""
    items = tx.get("bank_payout_item", (payout_id,)) or ()
    return [one.payment_id for one in items if one.kind == PAID_OUT and one.payment_id is not None]


def _kept_by(tx: Transaction, payout_id: str) -> list[str]:
    """Return the payments that a payout has kept, each as often as it has."""
    items = tx.get("bank_payout_item", (payout_id,)) or ()
    return [one.payment_id for one in items if one.kind in TAKEN_BACK and one.payment_id]


def _times_paid(tx: Transaction, payment_id: str) -> int:
    """Return how often payouts that count have paid a payment out."""
    return sum(
        _paid_by(tx, row.payout.payout_id).count(payment_id)
        for row in tx.scan("bank_payout")
        if _counts(row.payout)
    )


def _payouts_with(tx: Transaction, payment_id: str) -> list[Payout]:
    return [
        row.payout
        for row in tx.scan("bank_payout")
        if payment_id in _paid_by(tx, row.payout.payout_id)
    ]


def _payouts_of(tx: Transaction, debit: Debit) -> list[Payout]:
    payment_id = debit.bank_payment_id
    return [] if payment_id is None else _payouts_with(tx, payment_id)


def _claimed_minor(tx: Transaction, debit: Debit) -> int:
    """Return what of a bill's money the bank claims back and we do not owe again yet."""
    claimed = Account.CHARGEBACKS_RECEIVABLE
    return sum(
        row.amount_minor * ((row.debit_code is claimed) - (row.credit_code is claimed))
        for row in tx.scan("transfer")
        if (row.account_id, row.bill_no) == (debit.account_id, debit.bill_no)
        and row.phase is Phase.POSTED
    )


def _times_kept(tx: Transaction, payment_id: str) -> int:
    kept = sum(
        one.kind in TAKEN_BACK and one.payment_id == payment_id
        for row in tx.scan("bank_payout")
        if _counts(row.payout)
        for one in tx.get("bank_payout_item", (row.payout.payout_id,)) or ()
    )
    return kept + sum(
        row.booked.line.end_to_end_id == payment_id and row.known_as == f"payment {payment_id}"
        for row in _lines(tx)
    )


def _times_recovered(tx: Transaction, debit: Debit) -> int:
    name = f"debit/{debit.bill_no}/{debit.attempt}/recovered"
    return sum(
        row.account_id == debit.account_id
        and (row.transfer_id == name or row.transfer_id.startswith(f"{name}-"))
        for row in tx.scan("transfer")
    )


def _lines(tx: Transaction) -> Iterator[LineRow]:
    yield from tx.scan("statement_line")


def _booking(row: LineRow) -> tuple[date, str]:
    return row.booked.line.booked_on, row.booked.line_id


def _about(payout: Payout, booked: BookedLine) -> bool:
    line = booked.line
    named = payout.reference in {line.payout_reference, line.end_to_end_id}
    return named or payout.payout_id == line.entry_ref


def _suspense(booked: BookedLine, at: datetime) -> TownTransfer:
    line = booked.line
    return unidentified(
        booked.line_id,
        amount_minor=line.amount_minor,
        currency=line.currency,
        reference=line.entry_ref,
        at=at,
    )


async def _post(tx: Transaction, moved: TownTransfer) -> None:
    await tx.statement()
    await tx.insert("town_transfer", (moved.transfer_id,), moved)


def _named(statement: Statement) -> Iterator[tuple[str, BookedLine]]:
    """Name each line by account, day and entry; the second of a name is its second copy."""
    copies: Counter[tuple[date, str]] = Counter()
    for line in statement.lines:
        copies[line.booked_on, line.entry_ref] += 1
        copy = copies[line.booked_on, line.entry_ref]
        name = f"{statement.iban_ending}|{line.booked_on}|{line.entry_ref}|{copy}"
        line_id = sha256(name.encode()).hexdigest()[:LINE_ID_DIGITS]
        yield line_id, BookedLine(line_id=line_id, line=line)


def _days(tx: Transaction) -> list[DayRow]:
    return sorted(tx.scan("recon_day"), key=lambda row: row.day)


def _first_day(tx: Transaction, statement: Statement) -> date:
    """Return the first day that a statement covers: that behind the one before, if it follows."""
    before = [row for row in _days(tx) if row.day < statement.from_on and row.statement_at]
    if not before or before[-1].closing_minor != statement.opening_minor:
        return statement.from_on
    return before[-1].day + timedelta(days=1)


async def _cover(tx: Transaction, day: date, statement: Statement, at: datetime) -> None:
    said: dict[str, Any] = {
        "statement_id": statement.statement_id,
        "opening_minor": statement.opening_minor,
        "closing_minor": statement.closing_minor,
        "statement_at": at,
    }
    if not await tx.insert("recon_day", (day,), DayRow(day=day, **said)):
        await tx.update("recon_day", (day,), replace(tx.get("recon_day", (day,)), **said))


async def _read_days(tx: Transaction, last: date, at: datetime) -> None:
    first = min((row.day for row in tx.scan("recon_day")), default=last)
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        if not await tx.insert("recon_day", (day,), DayRow(day=day, read_at=at)):
            row = replace(tx.get("recon_day", (day,)), read_at=at)
            await tx.update("recon_day", (day,), row)


async def _judge(tx: Transaction, at: datetime) -> None:
    """Note since when all sides agree about each day."""
    days = _days(tx)
    breaks = list(tx.scan("recon_break"))
    open_days = {max(row.day, days[0].day) for row in breaks if row.closed_at is None}
    unmatched = {
        row.payout.arrival_on
        for row in tx.scan("bank_payout")
        if row.payout.status is PayoutStatus.PAID
        and row.matched_at is None
        and not _said_of(row.payout.payout_id, breaks)
    }
    for row in days:
        complete = row.statement_at is not None and row.read_at is not None
        agrees = complete and row.day not in open_days and row.day not in unmatched
        if agrees != (row.agreed_at is not None):
            now = replace(row, agreed_at=at if agrees else None)
            await tx.update("recon_day", (row.day,), now)


def _said_of(payout_id: str, breaks: Iterable[KeptBreak]) -> bool:
    """Tell whether a person has closed a break about a payout."""
    return any(
        row.closed_by is not None
        and row.kind.startswith(_BY_PAYOUT)
        and (row.subject == f"payout {payout_id}" or row.subject.endswith(f" in {payout_id}"))
        for row in breaks
    )
