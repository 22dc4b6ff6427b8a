"""A hundred at once want the same bill paid, paused and cancelled: one outcome, the resident's."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import asyncpg
import pytest

from billing.collect import collect
from billing.debit import DebitId
from billing.enrol import MandateEndedError, cancel, pause
from billing.io.bank import BankClient
from billing.io.debits import Debits
from billing.send import send
from billing.stop_debit import stop_debit
from tests.billing.debit_town import (
    ISSUED,
    TO_RECORD,
    ZONE,
    DebitTown,
    day,
    recorded,
    told,
)
from tests.billing.test_collect_with_bank import Street
from tests.fixtures_bank import SimulatedBank


@pytest.fixture
async def street(
    owner: asyncpg.Connection, pool: asyncpg.Pool, bank: SimulatedBank
) -> AsyncIterator[Street]:
    await bank.advance(ISSUED)
    async with BankClient.open(url=bank.url, token=bank.token, total_s=5) as client:
        yield Street(town=DebitTown(owner), store=Debits(pool), bank=bank, client=client)


class TestAHundredAtOnce:
    """Forty rounds of collecting, thirty pauses and thirty cancels, all on one bill ..."""

    @pytest.mark.parametrize("begun", ["noticed", "recorded", "lost", "accepted"])
    async def test_end_as_the_resident_wished(self, street: Street, begun: str) -> None:
        """Whoever wins which race, nothing is taken from him and nothing is asked twice."""
        await street.link()
        await street.town.bill()
        await told(street.store)
        await street.bank.advance(TO_RECORD)
        if begun != "noticed":
            await recorded(street.store)
        if begun == "lost":
            await street.bank.fault("answer_lost", "payments.create")
        if begun in {"lost", "accepted"}:
            await send_once(street)

        calls = [round_of(street) for _ in range(40)]
        calls += [wish(street, "pause") for _ in range(30)]
        calls += [wish(street, "cancel") for _ in range(30)]
        random.Random(f"hundred {begun}").shuffle(calls)  # noqa: S311 - chance, not secrecy
        await asyncio.gather(*calls)
        for hours in (1, 2, 26, 50):
            await round_at(street, TO_RECORD + timedelta(hours=hours))

        books = await street.bank.books()
        assert [one for one in books["payments"] if one["status"] != "cancelled"] == []
        assert len(books["payments"]) <= 1, "one bill, one payment at most"
        assert await street.collected_minor() == 0
        (state,) = await street.town.states()
        assert state.startswith("2026-01/1 cancelled")
        assert await street.town.balances() == {"receivable": 74_297, "revenue": -74_297}
        rows = await street.town.owner.fetch("SELECT state, enrolment FROM mandate")
        assert [tuple(row) for row in rows] == [("cancelled", "cancelled")]

    @pytest.mark.parametrize("begun", ["noticed", "recorded", "lost", "accepted"])
    async def test_stop_one_debit_and_leave_the_mandate(self, street: Street, begun: str) -> None:
        """Sixty noes to this one bill: nothing of it is taken, and the next bill may be."""
        await street.link()
        await street.town.bill()
        await told(street.store)
        await street.bank.advance(TO_RECORD)
        if begun != "noticed":
            await recorded(street.store)
        if begun == "lost":
            await street.bank.fault("answer_lost", "payments.create")
        if begun in {"lost", "accepted"}:
            await send_once(street)

        calls = [round_of(street) for _ in range(40)] + [stop(street) for _ in range(60)]
        random.Random(f"stop {begun}").shuffle(calls)  # noqa: S311 - chance, not secrecy
        await asyncio.gather(*calls)
        for hours in (1, 2, 26, 50):
            await round_at(street, TO_RECORD + timedelta(hours=hours))

        books = await street.bank.books()
        assert [one for one in books["payments"] if one["status"] != "cancelled"] == []
        assert len(books["payments"]) <= 1, "one bill, one payment at most"
        (state,) = await street.town.states()
        assert state.startswith("2026-01/1 cancelled")
        assert await street.town.owner.fetchval("SELECT count(*) FROM debit_stop") == 1
        rows = await street.town.owner.fetch("SELECT state, enrolment FROM mandate")
        assert [tuple(row) for row in rows] == [("active", "active")]

    async def test_after_it_was_too_late_give_the_money_back(self, street: Street) -> None:
        """The bank had sent it on before it heard: taken, and asked back once, by itself."""
        await street.link()
        await street.town.bill()
        await told(street.store)
        await street.bank.advance(TO_RECORD)
        await recorded(street.store)
        await send_once(street)
        # The bank submits in the night; nobody of us has heard of it.
        await street.bank.advance(day("02-25"))

        await asyncio.gather(*(wish(street, "cancel") for _ in range(50)))
        calls = (round_at(street, day("02-25"), move=False) for _ in range(50))
        await asyncio.gather(*calls)
        assert await street.town.states() == ["2026-01/1 submitted cancel_too_late"]
        for number in range(26, 29):
            await round_at(street, day(f"02-{number}"))
        for number in range(1, 6):
            await round_at(street, day(f"03-0{number}"))

        assert (await street.town.states())[0].endswith("cancel_too_late")
        assert await street.town.refunds() == ["2026-01/1 74297 cancel_too_late"]
        (payment,) = (await street.bank.books())["payments"]
        assert (payment["amount"], payment["amount_refunded"]) == (74_297, 74_297)


async def send_once(street: Street) -> None:
    await send(store=street.store, bank=street.client, at=TO_RECORD, limit=9)


async def round_of(street: Street) -> None:
    await collect(store=street.store, bank=street.client, at=TO_RECORD, zone=ZONE, limit=9)


async def round_at(street: Street, at: datetime, *, move: bool = True) -> None:
    if move:
        await street.bank.advance(at)
    await collect(store=street.store, bank=street.client, at=at, zone=ZONE, limit=9)


async def stop(street: Street) -> None:
    debit_id = DebitId(account_id="ACC-1", bill_no="2026-01", attempt=1)
    await stop_debit(store=street.store, debit_id=debit_id, stopped_by="the resident", at=TO_RECORD)


async def wish(street: Street, what: str) -> None:
    do = {"pause": pause, "cancel": cancel}[what]
    try:
        await do(
            store=street.store,
            account_id="ACC-1",
            mandate_id=street.mandates["ACC-1"],
            at=TO_RECORD,
        )
    except MandateEndedError:
        assert what == "pause", "cancelling what is cancelled changes nothing"
