"""Sending, to a bank that answers as it is told to."""

import asyncio
from collections import deque
from dataclasses import replace
from datetime import timedelta

import pytest

from billing.announce import NoticeCounts
from billing.bank import Answer, Conflict, Denied, NotExecuted, Rejected, Unknown
from billing.decide import decide
from billing.decision import Decision, ReviewWord
from billing.io.debits import Debits
from billing.send import SendCounts
from tests.billing.debit_town import (
    JANUARY,
    TO_RECORD,
    DebitTown,
    day,
    recorded,
    sent,
    told,
)
from tests.billing.fake_bank import LOST, FakeBank


@pytest.fixture
def bank() -> FakeBank:
    return FakeBank()


class TestSend:
    """Sending ..."""

    async def test_gives_the_bank_the_frozen_bytes(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Not one byte is made after the commit."""
        await town.home()
        await told(store)
        await recorded(store)

        assert await sent(store, bank) == SendCounts(accepted=1)

        body = await town.owner.fetchval("SELECT body FROM debit")
        assert bank.orders == [(body, "debit:v1:ACC-1:2026-01:1")]
        assert await town.states() == ["2026-01/1 accepted"]
        assert await town.owner.fetchval("SELECT bank_payment_id FROM debit") == "PM1"

    async def test_does_nothing_without_a_record(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """A notice alone sends nothing."""
        await town.home()
        await told(store)

        assert await sent(store, bank) == SendCounts()
        assert bank.orders == []

    async def test_asks_again_with_the_same_key_and_bytes_when_the_answer_is_lost(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The bank had made the payment; a fresh key would have made a second one."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque(["lost"])

        assert await sent(store, bank) == SendCounts(unknown=1)
        assert await town.states() == ["2026-01/1 unknown timeout"]
        assert await sent(store, bank, TO_RECORD + timedelta(minutes=2)) == SendCounts(accepted=1)

        assert len(bank.payments) == 1
        assert bank.orders[0] == bank.orders[1]
        assert await town.states() == ["2026-01/1 accepted"]

    async def test_asks_again_when_nothing_came_of_it(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The first order never got in; the same key makes the payment now."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque([Unknown(reason="bank_error")])
        await sent(store, bank)

        await sent(store, bank, TO_RECORD + timedelta(minutes=2))

        assert len(bank.payments) == 1
        assert len(set(bank.orders)) == 1

    async def test_leaves_an_unknown_one_alone_for_a_while(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Hammering a bank that does not answer helps nobody."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque([LOST, LOST])
        await sent(store, bank)

        assert await sent(store, bank) == SendCounts()
        assert await sent(store, bank, TO_RECORD + timedelta(minutes=1)) == SendCounts(unknown=1)
        assert await sent(store, bank, TO_RECORD + timedelta(minutes=5)) == SendCounts()
        assert await sent(store, bank, TO_RECORD + timedelta(minutes=6)) == SendCounts(accepted=1)

    async def test_begins_no_other_attempt_while_one_is_unknown(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The money may be on its way: a second attempt would be the second debit."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque([LOST])
        await sent(store, bank)

        assert await told(store, day("03-10")) == NoticeCounts()
        assert await town.states() == ["2026-01/1 unknown timeout"]

    @pytest.mark.parametrize("reason", ["rate_limited", "unreachable"])
    async def test_steps_back_when_certainly_nothing_happened(
        self, town: DebitTown, store: Debits, bank: FakeBank, reason: str
    ) -> None:
        """It can still be taken back then, and it is tried again later."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque([NotExecuted(reason=reason, retry_after_s=90)])

        assert await sent(store, bank) == SendCounts(not_executed=1)
        assert await town.states() == [f"2026-01/1 recorded {reason}"]
        assert await town.owner.fetchval("SELECT sends FROM debit") == 0
        assert await sent(store, bank, TO_RECORD + timedelta(seconds=89)) == SendCounts()
        assert await sent(store, bank, TO_RECORD + timedelta(seconds=90)) == SendCounts(accepted=1)

    async def test_does_not_forget_an_earlier_doubt_over_a_busy_bank(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Unknown, then 429: the first send may have got through, so it is unknown still."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque(["lost", NotExecuted(reason="rate_limited")])
        await sent(store, bank)

        await sent(store, bank, TO_RECORD + timedelta(minutes=2))

        assert await town.states() == ["2026-01/1 unknown rate_limited"]

    async def test_stops_the_batch_when_the_bank_is_busy(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Thirty orders into a bank that says "too many" are thirty insults."""
        for number in range(30):
            await town.home(f"ACC-{number}")
        await told(store)
        await recorded(store)
        bank.script = deque([NotExecuted(reason="rate_limited")] * 30)

        counts = await sent(store, bank)

        assert counts.not_executed <= 8
        assert len(bank.orders) <= 8

    async def test_gives_back_what_it_leased_and_did_not_ask_for(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Whoever never reached the bank can still be taken back, and is not kept waiting."""
        for number in range(30):
            await town.home(f"ACC-{number:02d}")
        await told(store)
        await recorded(store)
        bank.script = deque(
            ["made"] * 8 + [NotExecuted(reason="rate_limited", retry_after_s=60)] * 30
        )

        await sent(store, bank)

        asked = len({key for _, key in bank.orders})
        assert 8 < asked <= 16
        rows = await town.owner.fetch(
            "SELECT state, sends, lease_until IS NULL AS free, count(*)::int AS number"
            " FROM debit GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        )
        assert [tuple(row) for row in rows] == [
            ("accepted", 1, True, 8),
            ("recorded", 0, False, asked - 8),
            ("recorded", 0, True, 30 - asked),
        ]
        bank.script.clear()
        assert await sent(store, bank) == SendCounts(accepted=30 - asked)

    async def test_gives_back_a_doubt_as_a_doubt(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Nothing was asked this time, but the time before may have got through."""
        for number in range(20):
            await town.home(f"ACC-{number:02d}")
        await told(store)
        await recorded(store)
        bank.script = deque(["lost"] * 20)
        await sent(store, bank)
        bank.script = deque(["made"] * 8 + [NotExecuted(reason="rate_limited")] * 30)

        await sent(store, bank, TO_RECORD + timedelta(minutes=2))

        rows = await town.owner.fetch("SELECT state, sends FROM debit ORDER BY state DESC, sends")
        found = [tuple(row) for row in rows]
        assert set(found) == {("unknown", 1), ("accepted", 2)}
        assert found.count(("accepted", 2)) == 8

    async def test_puts_a_name_that_another_debit_has_before_a_person(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The same name for two payments of an account: one is wrong, and the others go on."""
        await town.home()
        await town.home("ACC-2")
        await told(store)
        await recorded(store)
        await sent(store, bank)
        await town.bill(bill_no="2026-02")
        await told(store, day("02-20"))
        later = day("02-22", 10)
        await recorded(store, later)
        named = await town.owner.fetchval(
            "SELECT bank_payment_id FROM debit WHERE account_id = 'ACC-1'"
        )
        bank.rename = named

        assert await sent(store, bank, later) == SendCounts(review=1)

        assert await town.states() == ["2026-01/1 accepted", "2026-02/1 review answer_mismatch"]

    async def test_gives_up_when_the_bank_refuses(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """A certain no: the pending transfer is voided and the bill is open again."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque([Rejected(reason="mandate_is_inactive")])

        assert await sent(store, bank) == SendCounts(failed=1)
        assert await town.states() == ["2026-01/1 exhausted mandate_is_inactive"]
        assert await town.moves() == ["2026-01/1/pending", "2026-01/1/void"]
        assert await town.balances() == {"receivable": 74_297, "revenue": -74_297}

    async def test_looks_before_believing_a_refusal_after_a_doubt(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Lost, then refused for its date: but the first one had been made."""
        await town.home()
        await told(store)
        await recorded(store)
        refused = Rejected(reason="validation_failed", causes=("charge_date",))
        bank.script = deque(["lost", refused])
        await sent(store, bank)

        counts = await sent(store, bank, TO_RECORD + timedelta(minutes=2))

        assert counts == SendCounts(accepted=1)
        assert await town.states() == ["2026-01/1 accepted"]

    async def test_begins_anew_when_its_day_was_missed(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Refused for its date alone: nothing was taken, so it is announced for another day."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque([Rejected(reason="validation_failed", causes=("charge_date",))])
        await sent(store, bank)

        await told(store, day("02-26"))

        assert await town.states() == [
            "2026-01/1 failed charge_date_refused",
            "2026-01/2 noticed",
        ]

    async def test_asks_a_person_when_the_key_hides_something_else(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The bank compares no bodies: a payment of another amount under our key is not ours."""
        await town.home()
        await told(store)
        await recorded(store)
        await sent(store, bank)
        await town.owner.execute(
            "UPDATE debit SET state = 'recorded', bank_payment_id = NULL, sends = 0"
        )
        bank.payments["PM1"] = replace(bank.payments["PM1"], amount_minor=1)

        assert await sent(store, bank) == SendCounts(review=1)
        assert await town.states() == ["2026-01/1 review idempotency_mismatch"]

    async def test_asks_a_person_when_the_payment_behind_the_key_is_gone(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """A conflict with nothing is nothing we understand."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque([Conflict(payment_id="PM404")])

        assert await sent(store, bank) == SendCounts(review=1)

    async def test_stays_in_doubt_when_the_read_back_is_silent(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """A conflict whose payment cannot be read is not yet an answer."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque(["lost"])
        await sent(store, bank)
        bank.silent = True

        counts = await sent(store, bank, TO_RECORD + timedelta(minutes=2))

        assert counts == SendCounts(unknown=1)

    async def test_asks_a_person_about_credentials_and_goes_on_when_released(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """A wrong token is repaired by a person; then the same key is used."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque([Denied(reason="credentials")])
        assert await sent(store, bank) == SendCounts(review=1)
        assert await sent(store, bank, TO_RECORD + timedelta(hours=1)) == SendCounts()

        at = TO_RECORD + timedelta(hours=2)
        decided = await decide(
            store=store,
            bank=bank,
            debit_id=JANUARY,
            word=ReviewWord(
                decision=Decision.RELEASE, because="a new token", said_by="Olga", said_at=at
            ),
            two_from_minor=1_000_000,
            at=at,
        )
        counts = await sent(store, bank, TO_RECORD + timedelta(hours=2))

        assert not decided.waits
        assert counts == SendCounts(accepted=1)
        assert len(set(bank.orders)) == 1

    async def test_goes_back_when_the_list_shows_that_nothing_was_made(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Not let in now, and after an hour not listed: recorded again, with the same key.

        It is still not taken back without looking: ``sends`` remembers that it may have got in.
        """
        await town.home()
        await told(store)
        await recorded(store)
        busy = NotExecuted(reason="rate_limited")
        bank.script = deque([LOST, busy, busy])
        await sent(store, bank)
        early, late = TO_RECORD + timedelta(minutes=59), TO_RECORD + timedelta(hours=2)

        assert await sent(store, bank, early) == SendCounts(unknown=1)
        assert await sent(store, bank, late) == SendCounts(not_executed=1)
        assert await town.states() == ["2026-01/1 recorded rate_limited"]
        assert await town.owner.fetchval("SELECT sends FROM debit") == 1
        assert await sent(store, bank, late + timedelta(hours=1)) == SendCounts(accepted=1)
        assert len(set(bank.orders)) == 1

    async def test_only_looks_once_the_bank_may_have_forgotten_the_key(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """A week later the key may be free again, so sending would make a second payment."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque(["lost"])
        await sent(store, bank)
        bank.keys.clear()

        counts = await sent(store, bank, TO_RECORD + timedelta(days=8))

        assert counts == SendCounts(accepted=1)
        assert len(bank.orders) == 1
        assert len(bank.payments) == 1

    async def test_asks_a_person_when_nothing_is_found_after_a_week(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Only the statement can tell then."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque([LOST])
        await sent(store, bank)

        counts = await sent(store, bank, TO_RECORD + timedelta(days=8))

        assert counts == SendCounts(review=1)
        assert await town.states() == ["2026-01/1 review unresolved"]
        assert len(bank.orders) == 1

    async def test_goes_on_after_a_death_between_claim_and_answer(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The lease runs out; the same key finds out whether the order had left."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque(["lost"])
        await sent(store, bank)
        await town.owner.execute(
            "UPDATE debit SET state = 'sending', reason = NULL, lease_until = $1",
            TO_RECORD + timedelta(minutes=5),
        )

        assert await sent(store, bank, TO_RECORD + timedelta(minutes=4)) == SendCounts()
        assert await sent(store, bank, TO_RECORD + timedelta(minutes=5)) == SendCounts(accepted=1)
        assert len(bank.payments) == 1
        assert await town.steps() == [
            "planned",
            "noticed",
            "recorded",
            "sending",
            "unknown",
            "unknown",
            "sending",
            "accepted",
        ]

    async def test_happens_once_in_twenty_processes(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """One debit, twenty senders: one order."""
        await town.home()
        await told(store)
        await recorded(store)

        counts = await asyncio.gather(*(sent(store, bank) for _ in range(20)))

        assert sum(one.accepted for one in counts) == 1
        assert len(bank.orders) == 1

    async def test_keeps_good_news_that_was_overtaken(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Two ask at once because a lease ran out: both hear of the same payment."""
        await town.home()
        await told(store)
        await recorded(store)
        late = TO_RECORD + timedelta(minutes=6)
        inner = bank.create_payment
        other: list[SendCounts] = []

        async def slow(body: bytes, key: str) -> object:
            answer = await inner(body, key)
            if not other:
                other.append(SendCounts())
                other.append(await sent(store, bank, late))
            return answer

        bank.create_payment = slow  # type: ignore[method-assign, assignment]  # the same bank, but slow

        counts = await sent(store, bank)

        assert other[1] == SendCounts(accepted=1)
        assert counts == SendCounts(accepted=1)
        assert len(bank.payments) == 1
        assert await town.states() == ["2026-01/1 accepted"]

    async def test_does_not_believe_bad_news_that_was_overtaken(
        self,
        town: DebitTown,
        store: Debits,
        bank: FakeBank,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A slow one hears "too busy" while another is sending: it may not call that one back."""
        await town.home()
        await told(store)
        await recorded(store)
        inner = bank.create_payment
        between: list[tuple[SendCounts, list[str]]] = []

        async def second(body: bytes, key: str) -> Answer:
            taken_over.set()
            between.append((await first, await town.states()))
            return await inner(body, key)

        async def slow(_body: bytes, _key: str) -> Answer:
            # The lease of the first has run out, and a second one has taken the debit over.
            monkeypatch.setattr(bank, "create_payment", second)
            others.append(asyncio.create_task(sent(store, bank, TO_RECORD + timedelta(minutes=6))))
            await taken_over.wait()
            return NotExecuted(reason="rate_limited")

        others: list[asyncio.Task[SendCounts]] = []
        taken_over = asyncio.Event()
        monkeypatch.setattr(bank, "create_payment", slow)
        first = asyncio.create_task(sent(store, bank))
        await first

        assert await others[0] == SendCounts(accepted=1)
        assert between == [(SendCounts(overtaken=1), ["2026-01/1 sending"])]
        assert len(bank.payments) == 1
        assert await town.states() == ["2026-01/1 accepted"]
