"""Hearing what the bank has delivered: in every order, as often as it likes, whatever it says."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from billing.bank import (
    BankEvent,
    BankMandate,
    MandateStatus,
    Payment,
    PaymentStatus,
    RefundStatus,
)
from billing.debit import Debit
from billing.follow import FollowCounts
from billing.give_back import ask_back, give_back
from billing.hear import HearCounts, hear
from billing.io.bank_events import Hints
from billing.io.debits import Debits
from billing.refund import Cause
from billing.webhook import AskedHint
from tests.billing.debit_town import JANUARY, TO_RECORD, DebitTown, accepted, followed
from tests.billing.fake_bank import FakeBank
from tests.billing.hook_bodies import body_of

MINUTE = timedelta(minutes=1)
TURNS = {"resubmission_requested", "chargeback_cancelled"}
# What a payment may live through, as status and the bank's cause or turn; a word alone is an event
# that moves nothing at the bank.
LIVES: dict[str, list[tuple[PaymentStatus, str | None] | str]] = {
    "paid out": [
        (PaymentStatus.SUBMITTED, None),
        (PaymentStatus.CONFIRMED, None),
        (PaymentStatus.PAID_OUT, None),
    ],
    "failed": [(PaymentStatus.SUBMITTED, None), (PaymentStatus.FAILED, "insufficient_funds")],
    "failed late": [
        (PaymentStatus.SUBMITTED, None),
        (PaymentStatus.CONFIRMED, None),
        (PaymentStatus.FAILED, "refer_to_payer"),
    ],
    "failed after the payout": [
        (PaymentStatus.CONFIRMED, None),
        (PaymentStatus.PAID_OUT, None),
        (PaymentStatus.FAILED, "bank_account_closed"),
        "late_failure_settled",
    ],
    "charged back": [
        (PaymentStatus.SUBMITTED, None),
        (PaymentStatus.CONFIRMED, None),
        (PaymentStatus.CHARGED_BACK, "authorisation_disputed"),
    ],
    "failed, asked for again by the bank, failed otherwise": [
        (PaymentStatus.SUBMITTED, None),
        (PaymentStatus.FAILED, "insufficient_funds"),
        (PaymentStatus.PENDING_SUBMISSION, "resubmission_requested"),
        (PaymentStatus.FAILED, "bank_account_closed"),
    ],
    "failed, asked for again by the bank, paid out": [
        (PaymentStatus.SUBMITTED, None),
        (PaymentStatus.FAILED, "insufficient_funds"),
        (PaymentStatus.PENDING_SUBMISSION, "resubmission_requested"),
        (PaymentStatus.CONFIRMED, None),
        (PaymentStatus.PAID_OUT, None),
    ],
    "charged back, and the chargeback cancelled": [
        (PaymentStatus.CONFIRMED, None),
        (PaymentStatus.CHARGED_BACK, "authorisation_disputed"),
        (PaymentStatus.CONFIRMED, "chargeback_cancelled"),
    ],
    "cancelled": [(PaymentStatus.CANCELLED, None)],
}


@dataclass(kw_only=True)
class Ear:
    """A town with its debits, what it hears, and its bank."""

    town: DebitTown
    store: Debits
    hints: Hints
    bank: FakeBank = field(default_factory=FakeBank)

    async def deliver(self, *events: object, at: datetime = TO_RECORD) -> None:
        """Keep one webhook with these events, as the endpoint does."""
        await self.hints.keep_delivery(body_of(events), signed_by=1, at=at)

    async def hear(self, at: datetime = TO_RECORD, *, limit: int = 1000) -> HearCounts:
        """Do one batch."""
        return await hear(hints=self.hints, store=self.store, bank=self.bank, at=at, limit=limit)

    async def waiting(self) -> list[str]:
        """Return what waits, as "event state trouble"."""
        rows = await self.town.owner.fetch(
            "SELECT event_id, state, trouble FROM bank_hint WHERE state <> 'done' ORDER BY event_id"
        )
        return [" ".join(filter(None, row)) for row in rows]

    async def remembered(self) -> list[str]:
        """Return the names of the events that were dealt with."""
        rows = await self.town.owner.fetch("SELECT event_id FROM bank_event ORDER BY event_id")
        return [row[0] for row in rows]

    async def asked(self) -> list[AskedHint]:
        """Return what waits for a person."""
        return await self.hints.asked(after="", limit=10)


@pytest.fixture
def ear(owner: asyncpg.Connection, pool: asyncpg.Pool) -> Ear:
    return Ear(town=DebitTown(owner), store=Debits(pool), hints=Hints(pool))


@pytest.fixture
async def debited(ear: Ear) -> Ear:
    """Bring January's debit to the bank, where it is PM1."""
    await accepted(ear.town, ear.store, ear.bank)
    return ear


class TestHear:
    """Hearing ..."""

    async def test_moves_what_the_bank_moved(self, debited: Ear) -> None:
        """The delivery is as good as the list, and sooner."""
        debited.bank.tell("PM1", PaymentStatus.CONFIRMED)
        await debited.deliver(*debited.bank.events)

        assert await debited.hear() == HearCounts(opened=1, moved=1)
        assert await debited.town.states() == ["2026-01/1 confirmed"]

    async def test_reads_the_payment_and_believes_no_event(self, debited: Ear) -> None:
        """An event of last week, or one forged with a stolen secret, moves nothing."""
        paid_out = BankEvent(
            event_id="EV9", resource="payments", action="paid_out", links={"payment": "PM1"}
        )
        await debited.deliver(paid_out)

        assert await debited.hear() == HearCounts(opened=1, unchanged=1)
        assert await debited.town.states() == ["2026-01/1 accepted"]
        assert await debited.town.balances() == {"receivable": 74_297, "revenue": -74_297}

    async def test_asks_the_bank_why_and_not_an_old_event(self, debited: Ear) -> None:
        """Failed, asked for again by the bank, failed otherwise; the first news comes first."""
        debited.bank.tell("PM1", PaymentStatus.FAILED, cause="insufficient_funds")
        debited.bank.tell("PM1", PaymentStatus.PENDING_SUBMISSION, action="resubmission_requested")
        debited.bank.tell("PM1", PaymentStatus.FAILED, cause="bank_account_closed")

        await debited.deliver(debited.bank.events[0])
        await debited.hear()

        assert await debited.town.states() == ["2026-01/1 exhausted bank_account_closed"]

    async def test_and_following_make_one_effect(self, debited: Ear) -> None:
        """What came by both ways is dealt with by whoever is first."""
        debited.bank.tell("PM1", PaymentStatus.CONFIRMED)
        await debited.deliver(*debited.bank.events)
        await debited.hear()
        assert await followed(debited.store, debited.bank) == FollowCounts()

        debited.bank.tell("PM1", PaymentStatus.PAID_OUT)
        await debited.deliver(*debited.bank.events)
        assert await followed(debited.store, debited.bank) == FollowCounts(moved=1)
        assert await debited.hear() == HearCounts(opened=1)
        assert await debited.town.moves() == [
            "2026-01/1/payout",
            "2026-01/1/pending",
            "2026-01/1/posted",
        ]

    async def test_by_many_processes_is_one_effect(self, debited: Ear) -> None:
        """Ten batches at once: one takes the event, and nobody asks the bank twice."""
        debited.bank.tell("PM1", PaymentStatus.CONFIRMED)
        await debited.deliver(*debited.bank.events)

        counts = await asyncio.gather(*(debited.hear() for _ in range(10)))

        assert sum(one.moved for one in counts) == 1
        assert debited.bank.asked.count("payment PM1") == 1

    async def test_takes_250_events_in_small_batches(self, debited: Ear) -> None:
        """As many as the bank puts into one body; the payment is read once for each batch."""
        for _ in range(249):
            debited.bank.hint("PM1", "submitted")
        debited.bank.tell("PM1", PaymentStatus.PAID_OUT)
        await debited.deliver(*debited.bank.events)

        counts = [await debited.hear(limit=100) for _ in range(3)]

        assert [one.moved + one.unchanged for one in counts] == [100, 100, 50]
        assert len(await debited.remembered()) == 250
        assert debited.bank.asked.count("payment PM1") == 3
        assert await debited.town.states() == ["2026-01/1 settled"]

    async def test_loses_no_delivery_that_was_kept_late(self, debited: Ear) -> None:
        """What was received earlier and committed later is opened all the same: rows, no mark."""
        debited.bank.hint("PM1", "submitted")
        await debited.deliver(debited.bank.events[0])
        await debited.hear()
        debited.bank.tell("PM1", PaymentStatus.CONFIRMED)

        await debited.deliver(debited.bank.events[1], at=TO_RECORD - timedelta(hours=1))

        assert await debited.hear() == HearCounts(opened=1, moved=1)

    async def test_waits_for_a_silent_bank(self, debited: Ear) -> None:
        """Nothing is lost, and the bank is not asked again at once."""
        debited.bank.tell("PM1", PaymentStatus.CONFIRMED)
        await debited.deliver(*debited.bank.events)
        debited.bank.silent = True
        assert await debited.hear() == HearCounts(opened=1, silent=1)
        assert await debited.waiting() == ["EV1 waiting silent"]
        debited.bank.silent = False

        assert await debited.hear(TO_RECORD + MINUTE - timedelta(seconds=1)) == HearCounts()
        assert await debited.hear(TO_RECORD + MINUTE) == HearCounts(moved=1)
        assert await debited.waiting() == []

    async def test_goes_on_after_its_process_died(self, debited: Ear) -> None:
        """Claimed and never finished: after the lease somebody else takes it."""
        debited.bank.tell("PM1", PaymentStatus.CONFIRMED)
        await debited.deliver(*debited.bank.events)
        await debited.hints.open_delivery(at=TO_RECORD)
        until = TO_RECORD + timedelta(minutes=5)
        assert len(await debited.hints.claim(at=TO_RECORD, until=until, limit=9)) == 1

        assert await debited.hear() == HearCounts()
        assert await debited.hear(until) == HearCounts(moved=1)


class TestAReplay:
    """A delivery that comes again ..."""

    async def test_is_counted_and_not_opened(self, debited: Ear) -> None:
        """The bank tries up to eight times when our answer was slow."""
        debited.bank.tell("PM1", PaymentStatus.CONFIRMED)
        for _ in range(3):
            await debited.deliver(*debited.bank.events)

        assert await debited.hear() == HearCounts(opened=1, moved=1)
        assert await debited.town.owner.fetchval("SELECT times FROM webhook_delivery") == 3

    async def test_a_year_later_changes_nothing(self, debited: Ear) -> None:
        """The signature has no date; the names of events are kept when the bodies are gone."""
        debited.bank.tell("PM1", PaymentStatus.CONFIRMED)
        await debited.deliver(*debited.bank.events)
        await debited.hear()
        later = TO_RECORD + timedelta(days=365)
        await debited.hear(later)
        assert await debited.town.owner.fetchval("SELECT count(*) FROM webhook_delivery") == 0
        # If it were looked at, this would move the debit.
        debited.bank.payments["PM1"] = replace(
            debited.bank.payments["PM1"], status=PaymentStatus.FAILED
        )
        asked = list(debited.bank.asked)

        await debited.deliver(*debited.bank.events, at=later)

        assert await debited.hear(later) == HearCounts(opened=1)
        assert debited.bank.asked == asked
        assert await debited.town.states() == ["2026-01/1 confirmed"]

    @pytest.mark.parametrize("life", LIVES)
    @settings(
        max_examples=6,
        deadline=None,
        derandomize=True,
        # Each example is a whole debit's life in a database; to make it smaller takes minutes.
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(data=st.data())
    async def test_in_any_order_and_number_ends_the_same(
        self, ear: Ear, data: st.DataObject, life: str
    ) -> None:
        """At every step of a payment's life some of its events come, late, twice or never.

        After the last step all of them come in any order; what we believe then is what we believe
        when each comes once, in order.
        """
        await self._fresh(ear)
        for step in LIVES[life]:
            self._live(ear.bank, step)
            await ear.deliver(ear.bank.events[-1])
            await ear.hear()
        expected = await self._end(ear)

        await self._fresh(ear)
        for step in LIVES[life]:
            self._live(ear.bank, step)
            some = data.draw(st.lists(st.sampled_from(ear.bank.events), max_size=4))
            if some:
                await ear.deliver(*some)
            if data.draw(st.booleans()):
                await ear.hear()
        late = data.draw(st.permutations(ear.bank.events * 2))
        cut = data.draw(st.integers(0, len(late)))
        for some in (late[:cut], late[cut:]):
            await ear.deliver(*some)
            await ear.hear()

        assert await self._end(ear) == expected
        assert await ear.waiting() == []
        assert await ear.remembered() == [event.event_id for event in ear.bank.events]

    @staticmethod
    def _live(bank: FakeBank, step: tuple[PaymentStatus, str | None] | str) -> None:
        if isinstance(step, str):
            bank.hint("PM1", step)
        else:
            status, word = step
            action = word if word in TURNS else None
            bank.tell("PM1", status, action=action, cause=None if action else word)

    @staticmethod
    async def _end(ear: Ear) -> tuple[list[str], dict[str, int]]:
        """Return states and books; that a chargeback came and went is seen only by who looked."""
        states = [one.removesuffix(" chargeback_cancelled") for one in await ear.town.states()]
        return states, await ear.town.balances()

    @staticmethod
    async def _fresh(ear: Ear) -> None:
        await ear.town.owner.execute(
            "TRUNCATE account, bill, debit, bank_cursor, bank_event, bank_hint, webhook_delivery"
            " CASCADE"
        )
        ear.bank = FakeBank()
        await accepted(ear.town, ear.store, ear.bank)


class TestAPoisonEvent:
    """One event that cannot be dealt with ..."""

    async def test_does_not_stop_the_others(self, debited: Ear) -> None:
        """Unreadable, without its link, about nobody, with fields and words of next year."""
        debited.bank.tell("PM1", PaymentStatus.CONFIRMED)
        await debited.deliver(
            {"id": "EV90", "resource_type": "payments", "action": None},
            {"id": "EV91", "resource_type": "payments", "action": "confirmed"},
            BankEvent(
                event_id="EV92", resource="payments", action="confirmed", links={"payment": "PM404"}
            ),
            {"id": "EV93", "resource_type": "moon_phases", "action": "waxing", "links": {"x": "Y"}},
            {"no": "name"},
            *debited.bank.events,
        )

        assert await debited.hear() == HearCounts(opened=1, moved=1, foreign=1, unknown=3)
        assert await debited.town.states() == ["2026-01/1 confirmed"]
        assert await debited.waiting() == [
            "EV90 waiting unreadable",
            "EV91 waiting no_link",
            "EV92 waiting unknown_id",
        ]
        trouble = await debited.town.owner.fetchval("SELECT trouble FROM webhook_delivery")
        assert trouble == "nameless_event"

    async def test_may_be_a_whole_body(self, debited: Ear) -> None:
        """HTML with a good signature: kept, with its trouble, and the next delivery is opened."""
        html = b"<html><body>502 Bad Gateway</body></html>"
        await debited.hints.keep_delivery(html, signed_by=1, at=TO_RECORD)
        debited.bank.tell("PM1", PaymentStatus.CONFIRMED)
        await debited.deliver(*debited.bank.events)

        assert await debited.hear() == HearCounts(opened=2, moved=1)
        assert (
            await debited.town.owner.fetchval(
                "SELECT body FROM webhook_delivery WHERE trouble = 'garbled'"
            )
            == html
        )

    async def test_that_breaks_our_own_code_is_tried_again(
        self, debited: Ear, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The mistake is ours and is mended in a day; the event has waited."""

        async def broken(_: str, key: str) -> Debit | None:
            raise KeyError(key)

        monkeypatch.setattr(debited.store, "debit_by_key", broken)
        debited.bank.tell("PM1", PaymentStatus.CONFIRMED)
        payout = BankEvent(event_id="EV2", resource="payouts", action="paid")
        await debited.deliver(*debited.bank.events, payout)
        assert await debited.hear() == HearCounts(opened=1, broke=1, foreign=1)
        assert await debited.waiting() == ["EV1 waiting broke"]
        monkeypatch.undo()

        assert await debited.hear(TO_RECORD + MINUTE) == HearCounts(moved=1)

    async def test_that_breaks_our_own_code_late_is_tried_again(
        self, debited: Ear, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not when all is read, but when this one is taken: the others are dealt with as well."""

        async def broken(bank_mandate_id: str) -> None:
            raise KeyError(bank_mandate_id)

        monkeypatch.setattr(debited.store, "mandate_by_bank_id", broken)
        debited.bank.tell("PM1", PaymentStatus.CONFIRMED)
        mandate = BankEvent(
            event_id="EV0", resource="mandates", action="created", links={"mandate": "MD1"}
        )
        await debited.deliver(mandate, *debited.bank.events)
        assert await debited.hear() == HearCounts(opened=1, broke=1, moved=1)
        monkeypatch.undo()
        debited.bank.agree_to("MD1")

        assert await debited.hear(TO_RECORD + MINUTE) == HearCounts(unchanged=1)

    async def test_in_the_banks_list_does_not_hold_up_the_list(
        self, debited: Ear, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is set aside, the cursor passes it, and it is dealt with when the code is mended."""

        async def broken(_: str, key: str) -> Debit | None:
            raise KeyError(key)

        debited.bank.tell("PM1", PaymentStatus.CONFIRMED)
        debited.bank.events.append(BankEvent(event_id="EV2", resource="payouts", action="paid"))
        monkeypatch.setattr(debited.store, "debit_by_key", broken)
        assert await followed(debited.store, debited.bank) == FollowCounts(broke=1, foreign=1)
        monkeypatch.undo()

        assert await followed(debited.store, debited.bank) == FollowCounts()
        assert await debited.hear(TO_RECORD + MINUTE) == HearCounts(moved=1)


class TestAnUnknownStatus:
    """An event about what has a status that we do not know ..."""

    async def test_of_a_payment_is_heard_once_the_bank_says_it_plainly(self, debited: Ear) -> None:
        """One odd answer must not cost the news until the day's own look."""
        debited.bank.tell("PM1", PaymentStatus.CONFIRMED)
        plain = debited.bank.payments["PM1"]
        debited.bank.payments["PM1"] = replace(plain, status=None)
        await debited.deliver(*debited.bank.events)
        assert await debited.hear() == HearCounts(opened=1, unknown=1)
        assert await debited.waiting() == ["EV1 waiting unknown_status"]
        assert await debited.town.states() == ["2026-01/1 accepted"]
        debited.bank.payments["PM1"] = plain

        assert await debited.hear(TO_RECORD + MINUTE) == HearCounts(moved=1)

        assert await debited.town.states() == ["2026-01/1 confirmed"]
        assert await debited.remembered() == ["EV1"]

    async def test_of_a_mandate_is_heard_once_the_bank_says_it_plainly(self, debited: Ear) -> None:
        """Nothing else looks at a mandate by itself."""
        ended = BankMandate(
            bank_mandate_id="MD1", status=MandateStatus.CANCELLED, bank_account_id=None
        )
        debited.bank.mandates["MD1"] = replace(ended, status=None)
        await debited.deliver(
            BankEvent(
                event_id="EV1", resource="mandates", action="cancelled", links={"mandate": "MD1"}
            )
        )
        assert await debited.hear() == HearCounts(opened=1, unknown=1)
        assert await debited.waiting() == ["EV1 waiting unknown_status"]
        debited.bank.mandates["MD1"] = ended

        assert await debited.hear(TO_RECORD + MINUTE) == HearCounts(moved=1)

        assert await debited.town.owner.fetchval("SELECT state FROM mandate") == "cancelled"

    async def test_of_a_refund_is_heard_once_the_bank_says_it_plainly(self, debited: Ear) -> None:
        """Whether it came back decides whether it is owed again."""
        town, store, bank = debited.town, debited.store, debited.bank
        bank.tell("PM1", PaymentStatus.PAID_OUT)
        await followed(store, bank)
        await ask_back(
            store=store,
            debit_id=JANUARY,
            amount_minor=100,
            cause=Cause.OPERATOR,
            asked_by="Olga N.",
            because="a call of the resident",
            at=TO_RECORD,
        )
        await give_back(store=store, bank=bank, at=TO_RECORD, limit=9)
        bank.tell_refund("RF1", RefundStatus.PAID, action="paid")
        plain = bank.refunds["RF1"]
        bank.refunds["RF1"] = replace(plain, status=None)
        await debited.deliver(bank.events[-1])
        assert await debited.hear() == HearCounts(opened=1, unknown=1)
        assert await debited.waiting() == ["EV2 waiting unknown_status"]
        bank.refunds["RF1"] = plain

        assert await debited.hear(TO_RECORD + MINUTE) == HearCounts(moved=1)

        assert await town.owner.fetchval("SELECT state FROM refund") == "paid"


class TestAnUnknownId:
    """An event about what we do not know ..."""

    async def test_is_understood_once_the_bank_shows_it(self, debited: Ear) -> None:
        """The bank's reads lag behind its news; the second look finds the payment."""
        debited.bank.tell("PM1", PaymentStatus.CONFIRMED)
        hidden: dict[str, Payment] = {"PM1": debited.bank.payments.pop("PM1")}
        await debited.deliver(*debited.bank.events)
        assert await debited.hear() == HearCounts(opened=1, unknown=1)
        debited.bank.payments |= hidden

        assert await debited.hear(TO_RECORD + MINUTE) == HearCounts(moved=1)
        assert await debited.remembered() == ["EV1"]

    async def test_is_a_persons_after_three_days(self, ear: Ear) -> None:
        """Nobody explains it; somebody is asked, and it is not looked at for ever."""
        stranger = BankEvent(
            event_id="EV1", resource="mandates", action="cancelled", links={"mandate": "MD404"}
        )
        await ear.deliver(stranger)
        at = TO_RECORD
        while at < TO_RECORD + timedelta(days=3):
            await ear.hear(at)
            at += timedelta(hours=6)

        assert await ear.asked() == []
        assert await ear.hear(at) == HearCounts(unknown=1, asked=1)
        (asked,) = await ear.asked()
        assert (asked.event, asked.trouble, asked.heard_at) == (stranger, "unknown_id", TO_RECORD)
        assert await ear.hear(at + timedelta(days=30)) == HearCounts()

    async def test_is_done_with_when_a_person_says_so(self, ear: Ear) -> None:
        """Signed and with a reason; then its name is as good as dealt with, for ever."""
        await self._asked(ear)
        late = TO_RECORD + timedelta(days=4)

        assert await ear.hints.answer(
            "EV1", again=False, answered_by="Dana", because="another firm's", at=late
        )

        assert await ear.asked() == []
        assert await ear.remembered() == ["EV1"]
        await ear.deliver({"id": "EV1", "resource_type": "payments", "action": "x"}, at=late)
        assert await ear.hear(late) == HearCounts(opened=1)
        assert not await ear.hints.answer(
            "EV1", again=False, answered_by="Dana", because="twice", at=late
        )

    async def test_is_looked_at_again_when_a_person_says_so(self, ear: Ear) -> None:
        """The mandate was entered by hand; the event gets its three days anew."""
        await self._asked(ear)
        late = TO_RECORD + timedelta(days=4)
        assert await ear.hints.answer(
            "EV1", again=True, answered_by="Dana", because="entered now", at=late
        )
        await ear.town.account()
        await ear.town.mandate(bank_mandate_id="MD404")
        ear.bank.agree_to("MD404")

        assert await ear.hear(late) == HearCounts(unchanged=1)

    @staticmethod
    async def _asked(ear: Ear) -> None:
        await ear.deliver(
            BankEvent(
                event_id="EV1", resource="mandates", action="cancelled", links={"mandate": "MD404"}
            )
        )
        await ear.hear(TO_RECORD)
        assert (await ear.hear(TO_RECORD + timedelta(days=3))).asked == 1

    async def test_of_somebody_elses_payment_is_nobodys_question(self, debited: Ear) -> None:
        """The account at the bank may serve another business too: no key and no mandate of ours."""
        debited.bank.payments["PM7"] = Payment(
            payment_id="PM7",
            status=PaymentStatus.CONFIRMED,
            amount_minor=5,
            currency="KZT",
            bank_mandate_id="MD777",
            intent=None,
        )
        debited.bank.hint("PM7", "confirmed")
        await debited.deliver(*debited.bank.events)

        assert await debited.hear() == HearCounts(opened=1, foreign=1)

    async def test_under_a_mandate_of_ours_is_a_question(self, debited: Ear) -> None:
        """Somebody takes money from our resident, and it is not us."""
        debited.bank.payments["PM7"] = replace(
            debited.bank.payments["PM1"], payment_id="PM7", intent=None
        )
        debited.bank.hint("PM7", "confirmed")
        await debited.deliver(*debited.bank.events)

        assert await debited.hear() == HearCounts(opened=1, unknown=1)


class TestWhatIsKept:
    """Bodies ..."""

    async def test_go_after_eight_weeks_and_names_stay(self, debited: Ear) -> None:
        """What was opened is no use any more; what nobody could open or explain stays."""
        debited.bank.tell("PM1", PaymentStatus.CONFIRMED)
        await debited.deliver(*debited.bank.events)
        await debited.deliver({"id": "EV9", "resource_type": "payments", "action": "x"})
        await debited.hear()
        weeks = TO_RECORD + timedelta(weeks=8)

        await debited.hear(weeks)
        assert await debited.town.owner.fetchval("SELECT count(*) FROM webhook_delivery") == 2
        await debited.hear(weeks + timedelta(seconds=1))

        assert await debited.town.owner.fetchval("SELECT count(*) FROM webhook_delivery") == 0
        assert await debited.town.owner.fetch("SELECT event_id FROM bank_hint") == [("EV9",)]
        assert await debited.remembered() == ["EV1"]

    async def test_cannot_stand_under_a_wrong_name(self, pool: asyncpg.Pool) -> None:
        """The name is the digest, and the database counts it again."""
        with pytest.raises(asyncpg.CheckViolationError, match="delivery_is_its_body"):
            await pool.execute(
                "INSERT INTO webhook_delivery (delivery_id, body, signed_by, received_at,"
                " last_received_at) VALUES (sha256('a'), 'b', 1, now(), now())"
            )

    async def test_are_never_changed(self, pool: asyncpg.Pool) -> None:
        """Evidence that can be written anew is none."""
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute("UPDATE webhook_delivery SET body = 'x'")


class TestTheOverlap:
    """The bank's list ..."""

    async def test_is_looked_at_again_behind_the_cursor(self, debited: Ear) -> None:
        """An event that was numbered before and shown after those that we have read."""
        for _ in range(3):
            debited.bank.hint("PM1", "created")
        await followed(debited.store, debited.bank)
        late = BankEvent(
            event_id="EV0", resource="payments", action="confirmed", links={"payment": "PM1"}
        )
        debited.bank.payments["PM1"] = replace(
            debited.bank.payments["PM1"], status=PaymentStatus.CONFIRMED
        )
        debited.bank.events.insert(1, late)

        assert await followed(debited.store, debited.bank) == FollowCounts(moved=1)
        assert await debited.town.states() == ["2026-01/1 confirmed"]
