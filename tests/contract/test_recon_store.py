"""One suite for the reconciliation and its breaks: PostgreSQL, and the store in memory."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import asyncpg
import pytest

from billing.bank import Payment, PaymentStatus
from billing.bank_recon import ReconCounts, import_statement, reconcile_bank
from billing.break_kinds import Kind
from billing.breaks import Break
from billing.debit import Debit, Event, moved
from billing.io.breaks import BreakClosedError, BreakDesk, BreakUnknownError, NotFrozenError
from billing.io.debits import Debits
from billing.io.recon import ReconBooks, StatementDiffersError
from billing.iso.camt053 import Statement, StatementLine
from billing.payout import Payout, PayoutItem, PayoutStatus
from billing.recover import recover
from tests.billing.fake_bank import FakeBank
from tests.contract.test_debit_store import TURNS, Facts, Store, after, debit, facts, home, store
from tests.world.engine import Database
from tests.world.facts import MemoryFacts, PostgresFacts
from tests.world.memory import tables
from tests.world.memory_breaks import MemoryBreakDesk
from tests.world.memory_recon import MemoryBooks
from tests.world.memory_store import MemoryDebits

__all__ = ["facts", "store"]

AT: Final = datetime(2026, 2, 28, 4, tzinfo=UTC)
DAY: Final = timedelta(days=1)
PAID_ON: Final = date(2026, 2, 27)
ZONE: Final = "Asia/Almaty"
ACCOUNTS: Final = ("ACC-1", "ACC-2", "ACC-3")
# Days of a random history.
DAYS: Final = 12

Books = ReconBooks | MemoryBooks
Desk = BreakDesk | MemoryBreakDesk


@pytest.fixture
def books(store: Store) -> Books:
    """Return the books beside the debits."""
    return books_of(store)


@pytest.fixture
def desk(store: Store) -> Desk:
    """Return where operators work."""
    return desk_of(store)


def books_of(store: Store) -> Books:
    return MemoryBooks(store) if isinstance(store, MemoryDebits) else ReconBooks(pool=store._pool)


def desk_of(store: Store) -> Desk:
    return (
        MemoryBreakDesk(store) if isinstance(store, MemoryDebits) else BreakDesk(pool=store._pool)
    )


def finding(**changes: Any) -> Break:
    usual: dict[str, Any] = {
        "kind": Kind.PAYOUT_AMOUNT,
        "subject": "payout PO1",
        "detail": "5 came",
        "day": PAID_ON,
        "amount_minor": 6,
        "currency": "KZT",
    }
    return Break(**usual | changes)


async def found(books: Books, *breaks: Break, at: datetime = AT) -> tuple[int, ...]:
    """Let a run have found these; return how many breaks were opened, closed, and are open."""
    kept = await books.keep_breaks(breaks, since=date(2025, 1, 1), last_day=PAID_ON, at=at)
    return astuple(kept)


async def only_break(desk: Desk) -> int:
    (one,) = await desk.breaks(still=True, after=0, page=9)
    return one.break_id


def line(amount_minor: int, ref: str = "PO1", **changes: Any) -> StatementLine:
    usual: dict[str, Any] = {
        "entry_ref": ref,
        "booked_on": PAID_ON,
        "amount_minor": amount_minor,
        "currency": "KZT",
        "end_to_end_id": f"REF-{ref}",
        "payout_reference": f"REF-{ref}",
        "status": "BOOK",
        "text": "",
    }
    return StatementLine(**usual | changes)


def statement(*lines: StatementLine, on: date = PAID_ON, opening_minor: int = 0) -> Statement:
    return Statement(
        statement_id=f"S-{on}",
        iban_ending="0001",
        currency="KZT",
        from_on=on,
        until_on=on,
        opening_minor=opening_minor,
        closing_minor=opening_minor + sum(one.amount_minor for one in lines),
        lines=lines,
    )


@asynccontextmanager
async def closing(facts: Facts, store: Store, break_id: int) -> AsyncIterator[None]:
    """Hold a person's word about a break that is not committed until the block ends."""
    if isinstance(facts, PostgresFacts):
        async with facts.owner.transaction():
            await facts.owner.execute(
                "UPDATE recon_break SET closed_at = $2, closed_by = 'Aigul', because = 'seen'"
                " WHERE break_id = $1",
                break_id,
                AT,
            )
            yield
        return
    async with store.begin() as desk:
        await desk.tx.lock("recon_break", (break_id,))
        row = desk.tx.get("recon_break", (break_id,))
        said = replace(row, closed_at=AT, closed_by="Aigul", because="seen")
        await desk.tx.update("recon_break", (break_id,), said)
        yield


async def until_somebody_waits(facts: Facts) -> None:
    for _ in range(TURNS):
        if await facts.somebody_waits():
            return
        await asyncio.sleep(0)
    raise AssertionError("nobody waits")


class TestTwoOperatorsAtOneBreak:
    """A break is settled once, by one word; who comes second is told."""

    async def test_one_word_wins_and_the_other_is_refused(self, books: Books, desk: Desk) -> None:
        """Two reasons for one settled break would be two stories of the same money."""
        await found(books, finding())
        number = await only_break(desk)
        said = await asyncio.gather(
            desk.close(number, by="Aigul", because="the bank's mistake", at=AT),
            desk.close(number, by="Boris", because="ours", at=AT),
            return_exceptions=True,
        )
        won = [one for one in said if isinstance(one, tuple)]
        lost = [one for one in said if isinstance(one, BreakClosedError)]
        assert (len(won), len(lost)) == (1, 1)
        kept, fresh = won[0]
        assert fresh
        (row,) = await desk.breaks(still=False, after=0, page=9)
        assert (row.closed_by, row.because) == (kept.closed_by, kept.because)

    async def test_the_same_word_twice_is_one(self, books: Books, desk: Desk) -> None:
        """A click that is sent again is not refused."""
        await found(books, finding())
        number = await only_break(desk)
        first = await desk.close(number, by="Aigul", because="seen", at=AT)
        again = await desk.close(number, by="Aigul", because="seen", at=AT + DAY)
        assert (first[1], again[1]) == (True, False)
        assert again[0] == first[0]

    async def test_of_what_closed_by_itself_is_told(self, books: Books, desk: Desk) -> None:
        """He would believe that it was his word."""
        await found(books, finding())
        number = await only_break(desk)
        assert await found(books, at=AT + DAY) == (0, 1, 0)
        with pytest.raises(BreakClosedError):
            await desk.close(number, by="Aigul", because="seen", at=AT + DAY)
        with pytest.raises(BreakUnknownError):
            await desk.close(number + 1_000, by="Aigul", because="seen", at=AT)


class TestABreak:
    """One row from the day it is seen to the day it is settled."""

    async def test_is_one_row_however_often_it_is_seen(self, books: Books, desk: Desk) -> None:
        """A list that grows every day by the same line is read by nobody."""
        assert await found(books, finding()) == (1, 0, 1)
        assert await found(books, finding(), at=AT + DAY) == (0, 0, 1)
        (row,) = await desk.breaks(still=True, after=0, page=9)
        assert (row.opened_at, row.seen_at) == (AT, AT + DAY)

    async def test_that_a_person_closed_is_asked_again_when_it_changes(
        self, books: Books, desk: Desk
    ) -> None:
        """His reason was about another fact."""
        await found(books, finding())
        await desk.close(await only_break(desk), by="Aigul", because="seen", at=AT)
        assert await found(books, finding(), at=AT + DAY) == (0, 0, 0)
        assert await found(books, finding(detail="4 came"), at=AT + 2 * DAY) == (1, 0, 1)

    async def test_that_a_person_closes_during_a_run_stays_closed(
        self, facts: Facts, store: Store, books: Books, desk: Desk
    ) -> None:
        """The run found it a moment before; to ask again would make his word worth nothing."""
        await found(books, finding())
        number = await only_break(desk)
        async with closing(facts, store, number):
            run = asyncio.ensure_future(found(books, finding(), at=AT + DAY))
            await until_somebody_waits(facts)
        assert await run == (0, 0, 0)
        assert await desk.breaks(still=True, after=0, page=9) == []

    async def test_keeps_its_day_from_agreeing(self, books: Books, desk: Desk) -> None:
        """A day with an open question is no day on which all sides agree."""
        await import_statement(store=books, statements=[statement()], at=AT)
        await found(books, finding())
        assert await books.reconciled_until() is None
        await desk.close(await only_break(desk), by="Aigul", because="seen", at=AT)
        await found(books, finding(), at=AT + DAY)
        assert await books.reconciled_until() == PAID_ON


async def frozen(store: Store) -> bool:
    """Say what the guards are told about a mandate."""
    async with store.begin() as desk:
        (told,) = await desk.facts([debit()])
    return told.frozen


class TestAFrozenMandate:
    """Nothing is asked for under it until a person has looked."""

    async def test_is_frozen_once_and_lifted_by_a_person(
        self, facts: Facts, store: Store, books: Books, desk: Desk
    ) -> None:
        """Each run sees the same strange payment again."""
        await home(facts)
        assert await books.freeze("ACC-1", "M-1", because="PM-X is not ours", at=AT)
        assert not await books.freeze("ACC-1", "M-1", because="PM-X is not ours", at=AT + DAY)
        assert await frozen(store)
        assert [row.frozen_at for row in await desk.freezes(page=9)] == [AT]
        await desk.lift("ACC-1", "M-1", by="Aigul", because="seen", at=AT + DAY)
        assert not await frozen(store)
        with pytest.raises(NotFrozenError):
            await desk.lift("ACC-1", "M-1", by="Aigul", because="seen", at=AT + DAY)

    async def test_is_not_frozen_again_for_what_a_person_has_seen(
        self, facts: Facts, books: Books
    ) -> None:
        """The bank lists the same payment for a year; every morning it would stop the resident."""
        await home(facts)
        desk = desk_of_books(books)
        await books.freeze("ACC-1", "M-1", because="PM-X is not ours", at=AT)
        await desk.lift("ACC-1", "M-1", by="Aigul", because="refunded there", at=AT + DAY)
        later = AT + 2 * DAY
        assert not await books.freeze("ACC-1", "M-1", because="PM-X is not ours", at=later)
        assert await books.freeze("ACC-1", "M-1", because="PM-Y is not ours", at=later)


def desk_of_books(books: Books) -> Desk:
    if isinstance(books, MemoryBooks):
        return MemoryBreakDesk(books._store)
    return BreakDesk(pool=books.pool)


class TestAStatement:
    """Each line is kept once, and says one thing."""

    async def test_comes_twice_and_is_kept_once(self, books: Books) -> None:
        """Files are sent again, and hold the days of the file before."""
        one = statement(line(500))
        assert await import_statement(store=books, statements=[one], at=AT) == 1
        assert await import_statement(store=books, statements=[one], at=AT) == 0
        changed = statement(line(501))
        with pytest.raises(StatementDiffersError):
            await import_statement(store=books, statements=[changed], at=AT)

    async def test_of_nobody_stands_in_suspense_until_somebody_knows(
        self, facts: Facts, books: Books
    ) -> None:
        """Money on the account must stand in the books, whoever it belongs to."""
        await import_statement(store=books, statements=[statement(line(500))], at=AT)
        (booked,) = await books.unknown_lines()
        await books.suspend(booked, at=AT)
        await books.suspend(booked, at=AT + DAY)
        await books.know_lines([booked], "payout PO1", at=AT)
        await books.know_lines([booked], "payout PO1", at=AT)
        assert await books.unknown_lines() == []
        assert await town_rows(facts) == [
            (f"line/{booked.line_id}/in", "bank", "suspense", 500),
            (f"line/{booked.line_id}/known", "suspense", "bank", 500),
        ]


async def town_rows(facts: Facts) -> list[tuple[Any, ...]]:
    """Return the town's own transfers."""
    if isinstance(facts, MemoryFacts):
        rows = facts.db.rows["town_transfer"].values()
        return sorted(
            (row.transfer_id, row.debit_code, row.credit_code, row.amount_minor) for row in rows
        )
    found = await facts.owner.fetch(
        "SELECT transfer_id, debit_code, credit_code, amount_minor FROM town_transfer"
    )
    return sorted(tuple(row) for row in found)


@dataclass
class OpenBank(FakeBank):
    """A bank whose books are what the history puts into them."""

    payouts: dict[str, Payout] = field(default_factory=dict)
    items: dict[str, tuple[PayoutItem, ...]] = field(default_factory=dict)

    async def list_payments(
        self, *, bank_mandate_id: str | None, created_from: datetime | None
    ) -> AsyncIterator[Payment]:
        """Read all payments."""
        del bank_mandate_id, created_from
        for payment in list(self.payments.values()):
            yield payment

    async def list_payouts(self, *, created_from: datetime) -> AsyncIterator[Payout]:
        """Read all payouts since an instant."""
        del created_from
        for payout in list(self.payouts.values()):
            yield payout

    async def list_payout_items(self, payout_id: str) -> tuple[PayoutItem, ...]:
        """Read the items of a payout."""
        return self.items[payout_id]


def paid_out(payment_id: str, minor: int) -> PayoutItem:
    return PayoutItem(kind="payment_paid_out", amount_tenths=minor * 10, payment_id=payment_id)


@dataclass
class History:
    """The same random days for both stores: what the bank pays, writes and takes back."""

    rng: random.Random
    bank: OpenBank = field(default_factory=OpenBank)
    balance_minor: int = 0

    def day(self, debits: list[Debit], number: int) -> Statement:
        """Let one day pass at the bank and return its statement."""
        on, at = PAID_ON + number * DAY, AT + (number - 1) * DAY
        payout_id = f"PO{number}"
        paid = self.rng.sample(debits, self.rng.randint(0, len(debits)))
        items = [paid_out(one.bank_payment_id or "", one.amount_minor) for one in paid]
        amount_minor = sum(one.amount_tenths for one in items) // 10
        if items:
            items = self._spoilt(items)
            self.bank.items[payout_id] = tuple(items)
            self.bank.payouts[payout_id] = Payout(
                payout_id=payout_id,
                status=PayoutStatus.PAID,
                amount_minor=amount_minor - 50,
                fees_minor=50,
                currency="KZT",
                reference=f"REF-{payout_id}",
                arrival_on=on,
                created_at=at,
            )
            fee = PayoutItem(kind="gocardless_fee", amount_tenths=-500)
            self.bank.items[payout_id] += (fee,)
        self._turns()
        lines = self._lines(on)
        done = statement(*lines, on=on, opening_minor=self.balance_minor)
        self.balance_minor = done.closing_minor
        if self.rng.random() < 0.1:
            self.balance_minor += 7
        return done

    def _spoilt(self, items: list[PayoutItem]) -> list[PayoutItem]:
        what = self.rng.choice(("good", "good", "good", "missing", "twice", "other", "off"))
        first = items[0]
        return {
            "good": items,
            "missing": items[1:],
            "twice": [first, *items],
            "other": [replace(first, payment_id="PM-STRANGE"), *items[1:]],
            "off": [replace(first, amount_tenths=first.amount_tenths + 10), *items[1:]],
        }[what]

    def _turns(self) -> None:
        """Let an older payout come back, a payment change, or its name be unknown."""
        chance = self.rng.random()
        if chance < 0.2 and self.bank.payouts:
            name = self.rng.choice(list(self.bank.payouts))
            old = self.bank.payouts[name]
            self.bank.payouts[name] = replace(old, status=PayoutStatus.BOUNCED)
        elif chance < 0.6 and self.bank.payouts:
            name = self.rng.choice(list(self.bank.payouts))
            kind = self.rng.choice(("payment_charged_back", "payment_failed"))
            payment_id = self.rng.choice(list(self.bank.payments))
            kept = PayoutItem(kind=kind, amount_tenths=-742_970, payment_id=payment_id)
            self.bank.items[name] += (kept,)
        elif chance < 0.8:
            name = self.rng.choice(list(self.bank.payments))
            old_payment = self.bank.payments[name]
            minor = old_payment.amount_minor + self.rng.choice((0, 1))
            self.bank.payments[name] = replace(old_payment, amount_minor=minor)

    def _lines(self, on: date) -> list[StatementLine]:
        found = []
        for payout in self.bank.payouts.values():
            shown = self.rng.random()
            late = payout.arrival_on is not None and payout.arrival_on < on
            if shown < (0.15 if late else 0.7):
                minor = payout.amount_minor - self.rng.choice((0, 0, 0, 1))
                found.append(line(minor, payout.payout_id, booked_on=on))
        if self.rng.random() < 0.2:
            found.append(line(99, "STRANGE", booked_on=on, payout_reference=None))
        if self.rng.random() < 0.2:
            taken = line(-74_297, "BACK", booked_on=on, payout_reference=None)
            found.append(replace(taken, end_to_end_id="PM-ACC-1-1"))
        return [one for one in found if one.amount_minor]


async def settled(store: Store, account_id: str, *more: Event) -> Debit:
    one = debit(account_id=account_id)
    sent = {"sends": 1, "first_sent_at": AT - DAY}
    events = [Event.RECORD, Event.SEND, Event.ACCEPT, Event.CONFIRM, Event.SETTLE, *more]
    async with store.begin() as desk:
        await desk.add_debit(one)
        for event in events:
            at = AT - DAY
            told = (
                moved(one, event, at=at, **sent)
                if event is Event.SEND
                else after(one, event, at=at)
            )
            await desk.save_debit(one, told)
            one = told
    return one


async def story(facts: Facts, store: Store, seed: int) -> list[object]:
    """Take one store through a history and return all that it said."""
    rng = random.Random(seed)  # noqa: S311 - chance, not secrecy
    history = History(rng=rng)
    books, desk = books_of(store), desk_of(store)
    debits = []
    for account_id in ACCOUNTS:
        await facts.account(account_id)
        await facts.mandate(account_id, bank_mandate_id=f"MD-{account_id}")
        await facts.bill(account_id)
        back = (Event.CHARGE_BACK,) if rng.random() < 0.4 else ()
        one = await settled(store, account_id, *back)
        debits.append(one)
        payment_id = one.bank_payment_id or ""
        history.bank.payments[payment_id] = Payment(
            payment_id=payment_id,
            status=PaymentStatus.PAID_OUT,
            amount_minor=one.amount_minor,
            currency="KZT",
            bank_mandate_id=f"MD-{account_id}",
            intent=one.key if rng.random() < 0.8 else "debit:v1:ACC-1:2026-09:1",
            charge_on=one.charge_on,
        )
    said: list[object] = []
    for number in range(1, DAYS):
        day = history.day(debits, number)
        at = AT + number * DAY
        said.append(await imported(books, day, at))
        counts: ReconCounts = await reconcile_bank(
            store=books, debits=store, bank=history.bank, at=at, zone=ZONE
        )
        said.append(counts)
        said.append(await recover(store=store, at=at, limit=9))
        said.append(await told(desk, rng, at))
        said.append([row[:5] for row in await facts.debit_rows()])
    said.append(await town_rows(facts))
    said.append(await facts.transfer_rows())
    return said


async def imported(books: Books, day: Statement, at: datetime) -> object:
    try:
        return await import_statement(store=books, statements=[day], at=at)
    except StatementDiffersError as error:
        return str(error)


async def told(desk: Desk, rng: random.Random, at: datetime) -> list[object]:
    """Return the breaks and freezes, and let a person settle some."""
    still = await desk.breaks(still=True, after=0, page=99)
    over = await desk.breaks(still=False, after=0, page=99)
    freezes = await desk.freezes(page=9)
    for one in sorted(still, key=lambda row: (row.kind, row.subject)):
        if rng.random() < 0.2:
            await desk.close(one.break_id, by="Aigul", because="seen", at=at)
    for freeze in freezes:
        if rng.random() < 0.4:
            await desk.lift(freeze.account_id, freeze.mandate_id, by="A", because="ok", at=at)
    shown = sorted(astuple(one)[1:] for one in (*still, *over))
    return [shown, [(one.account_id, one.because, one.frozen_at) for one in freezes]]


class TestBothStores:
    """They say the same all along, whatever the bank does."""

    @pytest.mark.parametrize("seed", range(12))
    async def test_go_through_the_same_history(
        self, owner: asyncpg.Connection, pool: asyncpg.Pool, seed: int
    ) -> None:
        """A difference would be a lie of the one in memory, or a surprise in PostgreSQL."""
        db = Database(tables())
        real = await story(PostgresFacts(owner), Debits(pool), seed)
        ours = await story(MemoryFacts(db), MemoryDebits(db), seed)
        for number, (one, other) in enumerate(zip(real, ours, strict=True)):
            assert one == other, f"{number} of {seed}"
