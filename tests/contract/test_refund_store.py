"""One suite for refunds, hints and what is told: PostgreSQL, and the store in memory."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Final

import asyncpg
import pytest

from billing.bank import BankEvent
from billing.debit import Debit, Event
from billing.io.bank_events import Hints
from billing.io.debits import Debits
from billing.io.refunds import StaleRefundError
from billing.refund import Cause, Refund, RefundEvent, RefundState, refunded
from billing.refund_order import Asked, NotGiven
from tests.contract.test_debit_store import (
    ACCEPTED,
    AT,
    MINUTE,
    Facts,
    Store,
    after,
    debit,
    facts,
    home,
    store,
    walk,
)
from tests.world.facts import MemoryFacts
from tests.world.memory_hints import MemoryHints
from tests.world.memory_store import MemoryDebits

__all__ = ["facts", "store"]

TAKEN: Final = (*ACCEPTED, Event.CONFIRM)
FROZEN: Final = {"idempotency_key": "refund:v1:x", "body": b"{}", "body_digest": bytes(32)}


async def asked(store: Store, one: Debit, minor: int, **more: Any) -> Asked:
    cause = more.pop("cause", Cause.OPERATOR)
    async with store.begin() as desk:
        return await desk.ask_refund(
            one.debit_id, minor, cause, asked_by="desk", because="so", at=AT, **more
        )


async def stepped(store: Store, refund: Refund, event: RefundEvent, **changes: Any) -> Refund:
    after = refunded(refund, event, at=AT + MINUTE, **changes)
    async with store.begin() as desk:
        assert await desk.lock_refund(refund.refund_id) == refund
        await desk.save_refund(refund, after)
    return after


async def told(facts: Facts) -> list[tuple[str, str]]:
    """Return what residents were told."""
    if isinstance(facts, MemoryFacts):
        return sorted(facts.db.rows["message"])
    rows = await facts.owner.fetch("SELECT account_id, message_id FROM message ORDER BY 1, 2")
    return sorted((row[0], row[1]) for row in rows)


async def given(facts: Facts) -> list[tuple[Any, ...]]:
    return [row[1:6] for row in await facts.transfer_rows() if row[1].startswith("give_back/")]


class TestAskingForARefund:
    """Money goes back only where it was taken, and never more of it."""

    async def test_writes_it_down_with_the_ledger_and_tells_it(
        self, facts: Facts, store: Store
    ) -> None:
        """One transaction: the refund, what is owed again, and a word to the resident."""
        await home(facts)
        one = await walk(store, debit(), *TAKEN)
        refund = await asked(store, one, 1_000)
        assert isinstance(refund, Refund)
        assert (refund.refund_no, refund.state) == (1, RefundState.REQUESTED)
        async with store.begin() as desk:
            assert await desk.refunds_of(one.debit_id) == [refund]
        assert await given(facts) == [
            ("give_back/2026-01/1/1/asked", "posted", "receivable", "refunds_payable", 1_000)
        ]
        assert ("ACC-1", "refund/2026-01/1/1/requested") in await told(facts)
        assert await store.refunds_to_record(at=AT, limit=9) == [refund.refund_id]

    async def test_twice_is_one(self, facts: Facts, store: Store) -> None:
        """A double click gives nothing back twice."""
        await home(facts)
        one = await walk(store, debit(), *TAKEN)
        first = await asked(store, one, 1_000)
        assert await asked(store, one, 1_000) == first
        second = await asked(store, one, 2_000)
        assert isinstance(second, Refund)
        assert second.refund_no == 2

    async def test_of_what_came_for_a_given_up_attempt_stands_on_no_bill(
        self, facts: Facts, store: Store
    ) -> None:
        """It came to the bank and goes straight back, once; what was not given up is no stray."""
        await home(facts)
        one = await walk(store, debit(), *ACCEPTED)
        async with store.begin() as desk:
            early = await desk.ask_stray(one, asked_by="we", at=AT)
        assert early == NotGiven(reason="not_collected")
        failed = after(one, Event.FAIL, at=AT + MINUTE)
        async with store.begin() as desk:
            await desk.save_debit(one, failed)
            first = await desk.ask_stray(failed, asked_by="we", at=AT)
        async with store.begin() as desk:
            assert await desk.ask_stray(failed, asked_by="we", at=AT) == first
        assert isinstance(first, Refund)
        assert (first.amount_minor, first.cause) == (one.amount_minor, Cause.DOUBLE_DEBIT)
        assert await given(facts) == [
            ("give_back/2026-01/1/1/asked", "posted", "bank", "refunds_payable", 74_297)
        ]

    @pytest.mark.parametrize(
        ("events", "minor", "more", "reason"),
        [
            (ACCEPTED, 1_000, {}, "not_collected"),
            ((*TAKEN, Event.CHARGE_BACK), 1_000, {}, "chargeback_open"),
            (TAKEN, 74_298, {}, "more_than_taken"),
            (TAKEN, 1_000, {"cause": Cause.OVERCHARGED}, "nothing_to_give_back"),
        ],
    )
    async def test_is_refused_where_nothing_may_go_back(
        self,
        facts: Facts,
        store: Store,
        events: tuple[Event, ...],
        minor: int,
        more: dict[str, Any],
        reason: str,
    ) -> None:
        """Who has the money back from his bank, or never paid it, gets none from us."""
        await home(facts)
        one = await walk(store, debit(), *events)
        assert await asked(store, one, minor, **more) == NotGiven(reason=reason)
        nobody = replace(one, bill_no="2026-09")
        assert await asked(store, nobody, 1) == NotGiven(reason="no_such_debit")
        assert await given(facts) == []


class TestARefundUnderWay:
    """One refund of a payment at a time, one worker at a time."""

    async def test_is_claimed_once_and_after_its_lease(self, facts: Facts, store: Store) -> None:
        """Two workers with one refund would send it twice."""
        await home(facts)
        one = await walk(store, debit(), *TAKEN)
        refund = await asked(store, one, 1_000)
        assert isinstance(refund, Refund)
        recorded = await stepped(
            store, refund, RefundEvent.RECORD, **FROZEN, lease_until=AT + MINUTE
        )
        async with store.begin() as desk, store.begin() as other:
            assert await desk.claim_refund(at=AT) is None
            claim = await desk.claim_refund(at=AT + MINUTE)
            assert claim is not None
            assert (claim.refund, claim.debit) == (recorded, one)
            assert await other.claim_refund(at=AT + MINUTE) is None

    async def test_is_alone_on_its_way(self, facts: Facts, store: Store) -> None:
        """Each says how much goes back in all, so the second waits."""
        await home(facts)
        one = await walk(store, debit(), *TAKEN)
        first, second = await asked(store, one, 1_000), await asked(store, one, 2_000)
        assert isinstance(first, Refund)
        assert isinstance(second, Refund)
        await stepped(store, first, RefundEvent.RECORD, **FROZEN)
        with pytest.raises(asyncpg.UniqueViolationError):
            await stepped(
                store, second, RefundEvent.RECORD, **FROZEN | {"idempotency_key": "refund:v1:y"}
            )

    async def test_is_written_from_the_state_it_was_seen_in(
        self, facts: Facts, store: Store
    ) -> None:
        """Nobody overwrites what somebody else knew better."""
        await home(facts)
        one = await walk(store, debit(), *TAKEN)
        refund = await asked(store, one, 1_000)
        assert isinstance(refund, Refund)
        refused = await stepped(store, refund, RefundEvent.REFUSE, reason="not_collected")
        with pytest.raises(StaleRefundError):
            async with store.begin() as desk:
                await desk.save_refund(refund, refused)
        words = [row[0].rpartition("/")[2] for row in await given(facts)]
        assert words == ["asked", "undone"]

    async def test_is_looked_at_when_silent(self, facts: Facts, store: Store) -> None:
        """What is pending, or was paid not long ago, may still come back."""
        await home(facts)
        one = await walk(store, debit(), *TAKEN)
        refund = await asked(store, one, 1_000)
        assert isinstance(refund, Refund)
        for event, more in (
            (RefundEvent.RECORD, FROZEN),
            (RefundEvent.SEND, {"sends": 1, "first_sent_at": AT}),
            (RefundEvent.ACCEPT, {"bank_refund_id": "RF1"}),
        ):
            refund = await stepped(store, refund, event, **more)
        late = {"unchanged_since": AT + MINUTE, "limit": 9}
        assert await store.refunds_to_reread(paid_since=AT + MINUTE, **late) == [refund]
        refund = await stepped(store, refund, RefundEvent.PAY)
        assert await store.refunds_to_reread(paid_since=AT + MINUTE, **late) == []
        assert await store.refunds_to_reread(paid_since=AT, **late) == [refund]
        assert await store.refunds_to_reread(paid_since=AT, unchanged_since=AT, limit=9) == []
        assert await store.refund_by_bank_id("RF1") == refund
        assert await store.refund(refund.refund_id) == refund


class TestMoneyToSendBack:
    """What waits to be paid out finds the debit it can go back through."""

    async def test_goes_through_the_newest_debit_that_was_taken(
        self, facts: Facts, store: Store
    ) -> None:
        """It comes back to the account it came from, as far as the debit reaches."""
        await home(facts)
        await facts.bill(bill_no="2026-02")
        await walk(store, debit(), *TAKEN, bank_payment_id="PM1")
        late = await walk(store, debit(bill_no="2026-02"), *TAKEN, bank_payment_id="PM2")
        assert await store.debits_to_give_back(limit=9) == []
        await facts.transfer("ACC-1", "2026-02", "more", "revenue", "refund_due", 80_000)
        (found,) = await store.debits_to_give_back(limit=9)
        assert (found.debit_id, found.amount_minor) == (late.debit_id, 74_297)
        again = await asked(store, late, 70_000, cause=Cause.OVERCHARGED)
        assert isinstance(again, Refund)
        (found,) = await store.debits_to_give_back(limit=9)
        assert found.amount_minor == 4_297


class TestReceipts:
    """A receipt for what was taken, a correction for what came back, each once."""

    async def test_follow_what_was_said_last(self, facts: Facts, store: Store) -> None:
        """The bank goes forward and back; the resident is told each turn once."""
        await home(facts)
        await walk(store, debit(), *TAKEN, Event.SETTLE, Event.CHARGE_BACK, Event.SETTLE)
        assert [name for _, name in await told(facts)] == [
            "correction/2026-01/1/1",
            "receipt/2026-01/1/1",
            "receipt/2026-01/1/2",
        ]


@pytest.fixture
def hints(store: Store) -> Hints | MemoryHints:
    """Return the hints on the same database."""
    if isinstance(store, MemoryDebits):
        return MemoryHints(store)
    assert isinstance(store, Debits)
    return Hints(store._pool)


def body(*names: str) -> bytes:
    one = '{"id":"%s","resource_type":"payments","action":"confirmed","links":{"payment":"PM1"}}'
    return ('{"events":[' + ",".join(one % name for name in names) + "]}").encode()


def event(name: str) -> BankEvent:
    return BankEvent(
        event_id=name, resource="payments", action="confirmed", links={"payment": "PM1"}
    )


class TestDeliveries:
    """What the bank brings is kept once, opened once, and looked at until it is dealt with."""

    async def test_become_hints_that_one_worker_takes(
        self, store: Store, hints: Hints | MemoryHints
    ) -> None:
        """A lease holds others off; an event that was dealt with is known."""
        async with store.begin() as desk:
            await desk.first_time("EV1", resource="payments", action="confirmed", at=AT)
        assert await hints.keep_delivery(body("EV1", "EV2", "EV2"), signed_by=1, at=AT)
        assert not await hints.keep_delivery(body("EV1", "EV2", "EV2"), signed_by=1, at=AT)
        assert await hints.open_delivery(at=AT)
        assert not await hints.open_delivery(at=AT)
        (hint,) = await hints.claim(at=AT, until=AT + MINUTE, limit=9)
        assert (hint.event, hint.looks, hint.known) == (event("EV2"), 1, False)
        assert await hints.claim(at=AT, until=AT + MINUTE, limit=9) == []
        async with store.begin() as desk:
            await desk.first_time("EV2", resource="payments", action="confirmed", at=AT)
        (hint,) = await hints.claim(at=AT + MINUTE, until=AT + 2 * MINUTE, limit=9)
        assert (hint.looks, hint.known) == (2, True)
        await hints.end(["EV2"], at=AT)
        assert await hints.claim(at=AT + timedelta(days=1), until=AT, limit=9) == []

    async def test_that_nobody_can_read_stop_nothing(self, hints: Hints | MemoryHints) -> None:
        """A poisoned body is opened with its trouble, and the next one is opened too."""
        await hints.keep_delivery(b"<html>", signed_by=1, at=AT)
        await hints.keep_delivery(body("EV1"), signed_by=2, at=AT + MINUTE)
        assert await hints.open_delivery(at=AT)
        assert await hints.claim(at=AT, until=AT, limit=9) == []
        assert await hints.open_delivery(at=AT)
        assert len(await hints.claim(at=AT, until=AT, limit=9)) == 1

    async def test_that_lead_nowhere_come_again_or_are_a_persons(
        self, store: Store, hints: Hints | MemoryHints
    ) -> None:
        """What waits is not taken from the list as well; what a person has is not looked at."""
        async with store.begin() as desk:
            await desk.set_aside(event("EV1"), trouble="unknown_id", at=AT)
            await desk.set_aside(event("EV1"), trouble="broke", at=AT)
        assert await store.seen_events(["EV1"]) == {"EV1"}
        assert await hints.claim(at=AT, until=AT, limit=9) == []
        soon = AT + MINUTE
        assert len(await hints.claim(at=soon, until=soon, limit=9)) == 1
        await hints.postpone("EV1", look_at=soon + MINUTE, trouble=None)
        assert await hints.claim(at=soon, until=soon, limit=9) == []
        await hints.ask("EV1", trouble=None, at=soon)
        assert await hints.claim(at=soon + timedelta(days=9), until=soon, limit=9) == []
        assert await store.seen_events(["EV1"]) == {"EV1"}


class TestTheDay:
    """What waits for another day is asked for from that day on."""

    async def test_of_a_retry_lets_the_bill_be_asked_for(self, facts: Facts, store: Store) -> None:
        """Not a day before."""
        await home(facts)
        day = date(2026, 3, 1)
        events = (*ACCEPTED, Event.FAIL, Event.RETRY)
        await walk(store, debit(), *events, reason="insufficient_funds", retry_on=day)
        assert await store.bills_to_notice(today=day - timedelta(days=1), limit=9) == []
        assert len(await store.bills_to_notice(today=day, limit=9)) == 1
