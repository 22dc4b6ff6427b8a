"""Defects put into the service on purpose; the simulation must see each within some seeds.

Unlike tests/planted these are put in place in the process, so that two minutes hold them all. A
defect that no seed notices is a promise that the simulation does not check.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
import pytest

import app.run
import billing.account_change
import billing.announce
import billing.ask
import billing.bank_recon
import billing.collect
import billing.decide
import billing.decision
import billing.enrol
import billing.follow
import billing.news
import billing.notice
import billing.order
import billing.retry
import billing.send
import billing.turn
import billing.workdays
from billing.bank import Accepted, Denied, NotExecuted, PaymentStatus, Rejected, Unknown
from billing.debit import Debit, Event
from billing.debit_moves import postings
from billing.mandate import Allowed
from billing.order import frozen_body
from tests.world import memory, memory_changes, memory_stops, memory_store, postbox, releases
from tests.world.memory import MemoryDesk
from tests.world.memory_breaks import MemoryBreakDesk
from tests.world.memory_store import MemoryDebits
from tests.world.play import play

# Where a defect is not seen by then, it is not seen.
SEEDS_MAX: Final = 40

Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """What is put in place, in which scenarios it must be seen, and by which invariant."""

    plant: Plant
    scenarios: tuple[str, ...]
    seen_by: tuple[str, ...]


DEFECTS: Final[dict[str, Defect]] = {}


def defect(name: str, *scenarios: str, seen_by: tuple[str, ...]) -> Callable[[Plant], Plant]:
    """Enter a defect into the table."""

    def enter(plant: Plant) -> Plant:
        DEFECTS[name] = Defect(plant=plant, scenarios=scenarios, seen_by=seen_by)
        return plant

    return enter


def by_hand(answer: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return an ``_ask`` that gives the order to the bank and says what ``answer`` makes of it."""

    async def ask(bank: Any, order: Any, **more: Any) -> Any:
        debit = order.debit
        said = await bank.create_payment(debit.body, debit.idempotency_key)
        return answer(said) or await _REAL_ASK(_Told(said), order, **more)

    return ask


class _Told:
    """A bank that says again what it has said."""

    def __init__(self, said: Any) -> None:
        self._said = said

    async def create_payment(self, *_: object) -> Any:
        return self._said


_REAL_ASK: Final = billing.send.ask


@defect("a fresh key for each send", "response_lost", seen_by=("I1", "I3", "I11"))
def _fresh_key(patch: pytest.MonkeyPatch) -> None:
    async def ask(bank: Any, order: Any, **more: Any) -> Any:
        debit = order.debit
        key = f"{debit.idempotency_key}{'0' * (debit.sends - 1)}"
        return await _REAL_ASK(
            bank, replace(order, debit=replace(debit, idempotency_key=key)), **more
        )

    patch.setattr(billing.send, "ask", ask)


@defect("a body made anew for each send", "response_lost", seen_by=("I11",))
def _fresh_body(patch: pytest.MonkeyPatch) -> None:
    async def ask(bank: Any, order: Any, **more: Any) -> Any:
        debit = order.debit
        later = replace(debit, charge_on=debit.charge_on + timedelta(days=debit.sends - 1))
        body = frozen_body(later, order.bank_mandate_id)
        return await _REAL_ASK(bank, replace(order, debit=replace(debit, body=body)), **more)

    patch.setattr(billing.send, "ask", ask)


@defect("a lost answer is taken for a failure", "partition_past_key_window", seen_by=("I1", "I3"))
def _lost_is_failed(patch: pytest.MonkeyPatch) -> None:
    def failed(said: Any) -> Any:
        if isinstance(said, Unknown):
            return billing.ask.Outcome(event=Event.FAIL, reason="charge_date_refused")
        return None

    patch.setattr(billing.send, "ask", by_hand(failed))


@defect(
    "a lost answer is taken for one not sent", "partition_past_key_window", seen_by=("I1", "I3")
)
def _lost_is_cancelled(patch: pytest.MonkeyPatch) -> None:
    def withdrawn(said: Any) -> Any:
        if isinstance(said, Unknown):
            return billing.ask.Outcome(event=Event.CANCEL, reason="withdrawn")
        return None

    patch.setattr(billing.send, "ask", by_hand(withdrawn))


@defect(
    "an answer is believed without comparing",
    "amount_echoed_wrong",
    "conflict_mismatching",
    seen_by=("I3", "I10"),
)
def _believed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(billing.ask, "is_ours", lambda *_: True)
    patch.setattr(billing.news, "is_ours", lambda *_: True)


@defect("news is believed of whichever payment has the name", "duplicate_id", seen_by=("I3",))
def _names(patch: pytest.MonkeyPatch) -> None:
    async def by_name(store: Any, payment: Any) -> Any:
        return await store.debit_by_payment(payment.payment_id)

    patch.setattr(billing.follow, "_debit_of", by_name)
    patch.setattr(billing.news, "is_ours", lambda *_: True)


@defect(
    "the guards are not asked again",
    "corrected_after_notice",
    "mandate_cancelled_before_debit",
    seen_by=("I1", "I5", "I6", "I8"),
)
def _guards(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(billing.collect, "_obstacle", lambda *_: None)


@defect("a pause takes nothing back", "pause_races_send", "plain", seen_by=("I6",))
def _pause(patch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object, **__: object) -> int:
        return 0

    async def wanted(self: MemoryDesk, *, at: Any, limit: int) -> Any:
        found = await _CLAIM_DEBITS(self, at=at, limit=limit)
        return [replace(one, wanted=True) for one in found]

    patch.setattr(billing.enrol, "cancel_unsent", nothing)
    patch.setattr(MemoryDesk, "claim_debits", wanted)


_CLAIM_DEBITS: Final = MemoryDesk.claim_debits


@defect("the caps are not asked", "huge_spike", "meter_swap", seen_by=("I8",))
def _caps(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(billing.announce, "permission", lambda *_: Allowed())
    patch.setattr(billing.collect, "permission", lambda *_: Allowed())


@defect("a notice one day too late", "plain", "overlapping_runs", seen_by=("I5",))
def _late_notice(patch: pytest.MonkeyPatch) -> None:
    real = billing.notice.first_charge_day

    def early(**given: Any) -> Any:
        return real(**given) - timedelta(days=2)

    patch.setattr(billing.announce, "first_charge_day", early)
    patch.setattr(billing.announce, "in_time", lambda *_, **__: True)
    patch.setattr(billing.collect, "broken_promise", lambda *_, **__: None)


@defect("the lease is never taken over", "kill_after_send", "kill_before_send", seen_by=("I10",))
def _lease_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(billing.send, "LEASE", timedelta(days=400))


@defect("the key is only in memory", "kill_after_send", seen_by=("I1", "I3", "I11"))
def _memory_only(patch: pytest.MonkeyPatch) -> None:
    made: dict[str, int] = {}

    async def ask(bank: Any, order: Any, **more: Any) -> Any:
        debit = order.debit
        number = made[debit.key] = made.get(debit.key, 0) + 1
        key = debit.idempotency_key if number == 1 else f"{debit.idempotency_key}{number}"
        return await _REAL_ASK(
            bank, replace(order, debit=replace(debit, idempotency_key=key)), **more
        )

    patch.setattr(billing.send, "ask", ask)


@defect("too many requests is taken for a refusal", "rate_limit_with_reset", seen_by=("I3",))
def _busy_is_refused(patch: pytest.MonkeyPatch) -> None:
    def refused(said: Any) -> Any:
        if isinstance(said, NotExecuted):
            return billing.ask.Outcome(event=Event.FAIL, reason="validation_failed")
        return None

    patch.setattr(billing.send, "ask", by_hand(refused))


@defect("a payment that was made is forgotten", "plain", seen_by=("I3", "I10"))
def _accepted_is_lost(patch: pytest.MonkeyPatch) -> None:
    def lost(said: Any) -> Any:
        if isinstance(said, Accepted):
            return billing.ask.Outcome(event=Event.FAIL, reason="validation_failed")
        return None

    patch.setattr(billing.send, "ask", by_hand(lost))


@defect("the ledger is posted twice", "plain", seen_by=("I4", "I12", "service"))
def _posted_twice(patch: pytest.MonkeyPatch) -> None:
    async def post(self: MemoryDesk, transfer: Any) -> None:
        await _POST(self, transfer)
        if transfer.transfer_id.endswith("posted"):
            again = replace(transfer, transfer_id=transfer.transfer_id + "-2")
            await _POST(self, again)

    patch.setattr(MemoryDesk, "post", post)


_POST: Final = MemoryDesk.post


@defect(
    "the ledger forgets that money came back",
    "chargeback",
    "late_failure_after_payout",
    seen_by=("I4", "I12"),
)
def _no_reversal(patch: pytest.MonkeyPatch) -> None:
    def kept(debit: Debit, written: Any) -> Any:
        return tuple(one for one in postings(debit, written) if "reversal" not in one.transfer_id)

    patch.setattr(memory, "postings", kept)


@defect("an amount is a float", "plain", seen_by=("I13",))
def _float(patch: pytest.MonkeyPatch) -> None:
    def with_point(debit: Debit, bank_mandate_id: str) -> bytes:
        body = frozen_body(debit, bank_mandate_id)
        whole = b'"amount":%d,' % debit.amount_minor
        return body.replace(whole, whole[:-1] + b".0,")

    patch.setattr(billing.order, "frozen_body", with_point)


@defect("no receipt is written", "plain", seen_by=("I12",))
def _no_receipt(patch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object, **__: object) -> None:
        """Tell nobody."""

    patch.setattr(MemoryDesk, "tell_step", nothing)


@defect("a delivery is kept whoever signed it", "webhooks_badly_signed", seen_by=("I9",))
def _unsigned(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(postbox, "signer", lambda *_: 1)


@defect(
    "the cursor runs ahead of what was dealt with",
    "stale_reads",
    "error_before_commit",
    seen_by=("I10", "I3"),
)
def _cursor(patch: pytest.MonkeyPatch) -> None:
    async def seen(_: MemoryDebits, event_ids: Any) -> frozenset[str]:
        return frozenset(event_ids)

    async def nobody(_: MemoryDebits, **__: Any) -> list[Debit]:
        return []

    patch.setattr(MemoryDebits, "seen_events", seen)
    patch.setattr(MemoryDebits, "debits_to_reread", nobody)


@defect("we ask while the bank tries again", "bank_retries_too", seen_by=("I1", "I2", "I3"))
def _both_retry(patch: pytest.MonkeyPatch) -> None:
    real = billing.turn.cause_of

    def never_says(event: Any) -> str:
        return real(replace(event, will_attempt_retry=False))

    patch.setattr(billing.turn, "cause_of", never_says)
    patch.setattr(billing.retry, "retry_after", lambda *_: 0)


@defect("a fourth try and a fifth", "retry_limit", seen_by=("I12", "I10", "I3", "tries"))
def _for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(billing.notice, "FAILURES_MAX", 99)
    patch.setattr(billing.notice, "RETRY_DAYS", (5,) * 99)
    patch.setattr(memory_store, "FAILURES_MAX", 99)


@defect("a refusal ends in a crash", "cap_exceeded_at_bank", seen_by=("service",))
def _crash(patch: pytest.MonkeyPatch) -> None:
    def broken(said: Any) -> Any:
        assert not isinstance(said, Rejected)

    patch.setattr(billing.send, "ask", by_hand(broken))


@defect("no credentials, no person", "token_rotated", "forbidden", seen_by=("I3", "I10", "I12"))
def _denied(patch: pytest.MonkeyPatch) -> None:
    def quietly(said: Any) -> Any:
        if isinstance(said, Denied):
            return billing.ask.Outcome(event=Event.LOSE, reason="x", wait=timedelta(days=999))
        return None

    patch.setattr(billing.send, "ask", by_hand(quietly))


@defect("reconciled without looking at the account", "partial_payout", seen_by=("I4",))
def _unseen(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(billing.bank_recon, "arrived", lambda *_: True)


@defect("what has not come whole is no break", "partial_payout", "payout_late", seen_by=("I10",))
def _no_break(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(billing.bank_recon, "check_lines", lambda *_, **__: ())


@defect("the second word about a break wins", "two_operators_one_break", seen_by=("I10",))
def _last_word(patch: pytest.MonkeyPatch) -> None:
    async def close(
        self: MemoryBreakDesk, break_id: int, *, by: str, because: str, at: datetime
    ) -> tuple[Any, bool]:
        async with self._store.begin() as desk:
            row = desk.tx.get("recon_break", (break_id,))
            closed = replace(row, closed_at=at, closed_by=by, because=because)
            await desk.tx.update("recon_break", (break_id,), closed)
        return closed, True

    patch.setattr(MemoryBreakDesk, "close", close)


@defect("each release sends its own words", "old_and_new_code", seen_by=("I11",))
def _own_words(patch: pytest.MonkeyPatch) -> None:
    async def ask(bank: Any, order: Any, **more: Any) -> Any:
        body = billing.order.frozen_body(order.debit, order.bank_mandate_id)
        return await _REAL_ASK(bank, replace(order, debit=replace(order.debit, body=body)), **more)

    patch.setattr(billing.send, "ask", ask)


@defect("an older release writes whole rows", "migration_mid_cycle", seen_by=("I11",))
def _whole_rows(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(releases.Releases, "written", lambda _, __, after: after)


@defect("a new column ends the service", "migration_mid_cycle", seen_by=("service",))
def _column_ends(patch: pytest.MonkeyPatch) -> None:
    left = tuple(one for one in app.run.AWAY if one is not asyncpg.InvalidCachedStatementError)
    patch.setattr(app.run, "AWAY", left)


@defect("a stopped run goes on", "breaker_trips", seen_by=("I6",))
def _not_stopped(patch: pytest.MonkeyPatch) -> None:
    async def never(_: MemoryDebits) -> None:
        return None

    patch.setattr(MemoryDebits, "stopped", never)
    patch.setattr(memory, "open_stops", lambda _: [])


@defect("one person lets a stopped run go on", "breaker_trips", seen_by=("I6",))
def _alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(memory_stops, "check_release", lambda *_: None)


@defect("small letters make a second person", "review_by_two", seen_by=("I10",))
def _second_name(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(billing.decision, "same_person", lambda one, other: one == other)


@defect("one person decides about a large sum", "review_by_two", seen_by=("I10",))
def _one_decides(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(billing.decide, "enough", lambda *_, **__: True)


@defect("a debit is begun anew though the bank has it", "review_by_two", seen_by=("I1", "I2", "I3"))
def _blind(patch: pytest.MonkeyPatch) -> None:
    real = billing.decide.why_not

    def blind(*seen: Any, at: datetime) -> str | None:
        reason = real(*seen, at=at)
        return None if reason == "bank_has_it" else reason

    patch.setattr(billing.decide, "why_not", blind)


@defect("days on which banks are closed count", "long_holiday", seen_by=("I5",))
def _holidays(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(billing.workdays, "is_working_day", lambda *_: True)


@defect("a new account is debited at once", "account_changed", seen_by=("I6",))
def _hot(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(billing.account_change, "COOLING_OFF", timedelta())
    patch.setattr(memory_changes, "COOLING_OFF", timedelta())


@defect("an old event is believed more than the payment", "plain", seen_by=("I9",))
def _old_word(patch: pytest.MonkeyPatch) -> None:
    real = billing.follow._read

    async def read(store: Any, bank: Any, events: Any) -> Any:
        found = await real(store, bank, events)
        told = {event.links.get("payment"): event.action for event in events}
        payments = {
            name: replace(payment, status=PaymentStatus(told[name]))
            if told.get(name) in {"submitted", "confirmed", "paid_out", "failed", "charged_back"}
            else payment
            for name, payment in found.payments.items()
        }
        return replace(found, payments=payments)

    patch.setattr(billing.follow, "_read", read)


@contextlib.contextmanager
def planted(name: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        DEFECTS[name].plant(patch)
        yield


def first_red(name: str) -> tuple[str, int, tuple[str, ...]] | None:
    """Return the first seed that notices a defect, its scenario, and what it said.

    A unique key of the database may stop the service before an invariant is broken; then another
    seed has to show the invariant.
    """
    stopped = None
    with planted(name):
        for seed in range(SEEDS_MAX):
            for scenario in DEFECTS[name].scenarios:
                outcome = play(scenario, seed)
                if any(line.startswith(DEFECTS[name].seen_by) for line in outcome.wrong):
                    return scenario, seed, outcome.wrong
                if outcome.wrong:
                    stopped = stopped or (scenario, seed, outcome.wrong)
    return stopped


@pytest.mark.planted
class TestEveryDefect:
    """What the simulation would not notice, it does not promise."""

    @pytest.mark.parametrize("name", DEFECTS)
    def test_is_noticed(self, name: str) -> None:
        """Some seed goes red, by an invariant that the defect breaks."""
        found = first_red(name)
        assert found is not None, f"{SEEDS_MAX} seeds of {DEFECTS[name].scenarios} saw nothing"
        # A defect that does not fit the service any more must not pass for one that was seen.
        assert not any("TypeError" in line or "AttributeError" in line for line in found[2]), found
        assert any(line.startswith(DEFECTS[name].seen_by) for line in found[2]), found
