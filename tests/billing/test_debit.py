"""The life of a debit: its steps, what they move in the ledger, what the bank's word changes."""

import hashlib
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import debit, order
from billing.bank import Payment, PaymentStatus
from billing.debit import Debit, Event, IllegalStepError, State

AT = datetime(2026, 2, 22, 3, 0, tzinfo=UTC)


def a_debit(**changes: object) -> Debit:
    facts: dict[str, object] = {
        "account_id": "ACC-1",
        "bill_no": "2026-01",
        "attempt": 1,
        "mandate_id": "M-1",
        "state": State.NOTICED,
        "reason": None,
        "amount_minor": 123_456,
        "currency": "KZT",
        "charge_on": date(2026, 2, 25),
        "changed_at": AT,
    }
    return Debit(**(facts | changes))  # type: ignore[arg-type]  # the facts above, by name


def a_payment(**changes: object) -> Payment:
    facts: dict[str, object] = {
        "payment_id": "PM1",
        "status": PaymentStatus.PENDING_SUBMISSION,
        "amount_minor": 123_456,
        "currency": "KZT",
        "bank_mandate_id": "MD1",
        "intent": "debit:v1:ACC-1:2026-01:1",
    }
    return Payment(**(facts | changes))  # type: ignore[arg-type]  # the facts above, by name


# Written by hand: a story taken from the table could not see that a row of the table is missing.
STORIES = {
    "told, sent, paid": (
        State.NOTICED,
        "record send accept submit confirm settle",
        State.SETTLED,
    ),
    "told by a letter": (State.PLANNED, "notice", State.NOTICED),
    "the letter came back": (State.PLANNED, "postpone notice", State.NOTICED),
    "held until the cap was raised": (State.HELD, "free notice record send", State.SENDING),
    "held before anybody was told": (State.PLANNED, "hold", State.HELD),
    "held when its day came": (State.NOTICED, "hold free", State.PLANNED),
    "held for too long": (State.HELD, "give_up", State.EXHAUSTED),
    "told of another amount": (State.NOTICED, "rebill notice", State.NOTICED),
    "taken back before anybody was told": (State.PLANNED, "cancel", State.CANCELLED),
    "held and given up": (State.HELD, "cancel", State.CANCELLED),
    "taken back before it was recorded": (State.NOTICED, "cancel", State.CANCELLED),
    "taken back before it was sent": (State.NOTICED, "record cancel", State.CANCELLED),
    "the bank was busy, then not": (
        State.NOTICED,
        "record send back_off send accept",
        State.ACCEPTED,
    ),
    "the answer was lost, and asked for again": (
        State.NOTICED,
        "record send lose send accept",
        State.ACCEPTED,
    ),
    "the news was faster than the answer": (
        State.NOTICED,
        "record send lose accept",
        State.ACCEPTED,
    ),
    "the news reached a restored backup": (State.NOTICED, "record accept submit", State.SUBMITTED),
    "refused by the bank": (State.NOTICED, "record send fail", State.FAILED),
    "withdrawn while nobody knew": (State.NOTICED, "record send lose send cancel", State.CANCELLED),
    "never heard of, and not on the statement": (State.UNKNOWN, "question", State.REVIEW),
    "a wrong token, then a right one": (
        State.NOTICED,
        "record send question release send accept",
        State.ACCEPTED,
    ),
    "withdrawn at the bank in time": (State.ACCEPTED, "cancel", State.CANCELLED),
    "cancelled by the bank on the way": (State.ACCEPTED, "submit cancel", State.CANCELLED),
    "no money in the account": (State.ACCEPTED, "submit fail", State.FAILED),
    "failed unseen": (State.ACCEPTED, "fail", State.FAILED),
    "two steps heard of at once": (State.ACCEPTED, "confirm", State.CONFIRMED),
    "all steps heard of at once": (State.ACCEPTED, "settle", State.SETTLED),
    "paid out, heard late": (State.ACCEPTED, "submit settle", State.SETTLED),
    "taken back late": (State.CONFIRMED, "fail", State.FAILED),
    "taken back after the payout": (State.CONFIRMED, "settle fail", State.FAILED),
    "withdrawn, and the bank agreed": (State.ACCEPTED, "withdraw cancel", State.CANCELLED),
    "withdrawn too late": (State.ACCEPTED, "withdraw submit confirm", State.CONFIRMED),
    "withdrawn, heard of when taken": (State.ACCEPTED, "withdraw confirm", State.CONFIRMED),
    "withdrawn, heard of when paid out": (State.ACCEPTED, "withdraw settle", State.SETTLED),
    "withdrawn, and failed": (State.ACCEPTED, "withdraw fail", State.FAILED),
    "withdrawn, and disputed": (State.ACCEPTED, "withdraw charge_back", State.CHARGED_BACK),
    "withdrawn, then contradicted": (State.ACCEPTED, "withdraw question", State.REVIEW),
    "found on the bank statement": (State.SETTLED, "reconcile", State.RECONCILED),
    "the payout came back": (State.SETTLED, "bounce settle", State.SETTLED),
    "the matched payout came back": (State.RECONCILED, "bounce", State.CONFIRMED),
    "taken back after the statement": (State.RECONCILED, "fail", State.FAILED),
    "disputed after the statement": (State.RECONCILED, "charge_back", State.CHARGED_BACK),
    "matched, then contradicted": (State.RECONCILED, "question", State.REVIEW),
    "no money, so another day": (State.FAILED, "retry replace", State.FAILED),
    "no money on any day": (State.FAILED, "retry give_up", State.EXHAUSTED),
    "no account any more": (State.FAILED, "give_up", State.EXHAUSTED),
    "the bank asked again by itself": (State.FAILED, "resubmit submit", State.SUBMITTED),
    "the bank asked again before we did": (State.FAILED, "retry resubmit", State.ACCEPTED),
    "a dispute taken back on the way": (State.CONFIRMED, "charge_back confirm", State.CONFIRMED),
    "a dispute taken back later": (State.SETTLED, "charge_back settle", State.SETTLED),
    "a dispute taken back at last": (State.RECONCILED, "charge_back reconcile", State.RECONCILED),
    "a dispute that stood": (State.SETTLED, "charge_back give_up", State.EXHAUSTED),
    "disputed at once": (State.ACCEPTED, "charge_back", State.CHARGED_BACK),
    "disputed on the way": (State.SUBMITTED, "charge_back", State.CHARGED_BACK),
    "disputed": (State.CONFIRMED, "charge_back", State.CHARGED_BACK),
    "disputed after the payout": (State.SETTLED, "charge_back", State.CHARGED_BACK),
    "a dispute withdrawn": (State.SETTLED, "charge_back question", State.REVIEW),
    "waiting, yet alive at the bank": (State.RETRY_DUE, "question", State.REVIEW),
    "given up, yet alive at the bank": (State.EXHAUSTED, "question", State.REVIEW),
    "a person knew the payment": (State.SENDING, "question accept", State.ACCEPTED),
    "a person knew that there is none": (State.SENDING, "question fail", State.FAILED),
    "a person knew that it was cancelled": (State.SENDING, "question cancel", State.CANCELLED),
    "failed, yet alive at the bank": (State.FAILED, "question", State.REVIEW),
    "cancelled, yet alive at the bank": (State.CANCELLED, "question", State.REVIEW),
    "accepted, then contradicted": (State.ACCEPTED, "question", State.REVIEW),
    "submitted, then contradicted": (State.SUBMITTED, "question", State.REVIEW),
    "confirmed, then cancelled": (State.CONFIRMED, "question", State.REVIEW),
    "settled, then cancelled": (State.SETTLED, "question", State.REVIEW),
}

NEVER = [
    (State.PLANNED, Event.RECORD),  # without a notice
    (State.HELD, Event.NOTICE),  # without being freed
    (State.RETRY_DUE, Event.RECORD),  # without a notice of its own
    (State.RETRY_DUE, Event.SEND),
    (State.EXHAUSTED, Event.RETRY),
    (State.CANCEL_REQUESTED, Event.SEND),
    (State.SUBMITTED, Event.WITHDRAW),  # too late: the money comes back by itself
    (State.CONFIRMED, Event.RECONCILE),  # a statement shows payouts only
    (State.REVIEW, Event.CONFIRM),  # a person says whose it is; the bank says how far
    (State.NOTICED, Event.SEND),  # without the guards asked again and the order frozen
    (State.HELD, Event.RECORD),  # without a notice
    (State.UNKNOWN, Event.CANCEL),  # the bank may have it
    (State.UNKNOWN, Event.FAIL),
    (State.UNKNOWN, Event.BACK_OFF),
    (State.SETTLED, Event.SEND),
    (State.SETTLED, Event.CONFIRM),
    (State.CONFIRMED, Event.SUBMIT),
    (State.FAILED, Event.SEND),  # a new attempt is a new debit
    (State.FAILED, Event.RECORD),
    (State.CANCELLED, Event.SEND),
    (State.CHARGED_BACK, Event.SUBMIT),
    (State.REVIEW, Event.SEND),  # a person first
    (State.ACCEPTED, Event.SEND),
]


class TestLife:
    """The table of a debit's life ..."""

    @pytest.mark.parametrize("name", STORIES)
    def test_knows_every_story(self, name: str) -> None:
        """Each of these happens; a lost row would stop the line in the middle of the night."""
        state, events, end = STORIES[name]

        for event in events.split():
            state = debit.step(state, Event(event))

        assert state is end

    def test_has_no_step_that_no_story_tells(self) -> None:
        """A step nobody can tell a story about is a step nobody has thought about."""
        told = set()
        for state, events, _ in STORIES.values():
            for event in events.split():
                told.add((state, Event(event)))
                state = debit.step(state, Event(event))  # noqa: PLW2901 - walking on

        assert set(debit.NEXT) - told == set()

    @pytest.mark.parametrize(("state", "event"), NEVER)
    def test_refuses_what_must_never_happen(self, state: State, event: Event) -> None:
        """Each of these would be money taken unannounced, twice, or from somebody who said no."""
        with pytest.raises(IllegalStepError) as refused:
            debit.step(state, event)

        assert (refused.value.state, refused.value.event) == (state, event)

    def test_says_which_debits_stand_in_the_way_of_another(self) -> None:
        """The index debit_one_alive says the same five words."""
        assert {
            "failed",
            "retry_due",
            "cancelled",
            "charged_back",
            "exhausted",
        } == debit.FINAL
        assert State.UNKNOWN in debit.ALIVE
        assert State.REVIEW in debit.ALIVE
        assert State.SETTLED in debit.ALIVE

    def test_says_what_the_bank_may_have_seen(self) -> None:
        """These cannot be taken back by us alone."""
        assert {
            "sending",
            "unknown",
            "accepted",
            "cancel_requested",
            "submitted",
            "confirmed",
            "settled",
            "reconciled",
            "review",
        } == debit.MAY_HAVE_REACHED_BANK


class TestOrder:
    """What is sent to the bank ..."""

    def test_is_these_bytes(self) -> None:
        """Compact, sorted and spelt out, so that a repeat is the same to the last byte."""
        body = order.frozen_body(a_debit(), "MD7")

        assert body == (
            b'{"payments":{"amount":123456,"charge_date":"2026-02-25","currency":"KZT",'
            b'"description":"Gas 2026-01","links":{"mandate":"MD7"},'
            b'"metadata":{"intent":"debit:v1:ACC-1:2026-01:1"},"retry_if_possible":false}}'
        )
        assert order.body_digest(body) == hashlib.sha256(body).digest()

    def test_has_a_key_of_its_identity_alone(self) -> None:
        """A key with a time or luck in it would be a second key on the second try."""
        first = a_debit()
        later = a_debit(state=State.UNKNOWN, sends=7, amount_minor=5, charge_on=date(2027, 1, 1))

        assert first.key == later.key == "debit:v1:ACC-1:2026-01:1"
        assert a_debit(attempt=2).key == "debit:v1:ACC-1:2026-01:2"

    @pytest.mark.parametrize(
        ("key", "account_id"),
        [
            ("debit:v1:ACC-1:2026-01:1", "ACC-1"),
            ("debit:v2:ACC-1:2026-01:1", None),
            ("debit:v1:ACC-1", None),
            ("", None),
            (None, None),
        ],
    )
    def test_key_says_whose_it_is(self, key: str | None, account_id: str | None) -> None:
        """News may come before our own answer; then the key is all we have."""
        assert order.account_of(key) == account_id

    def test_key_reads_back(self) -> None:
        """An old backup may have forgotten the key; the name in it finds the debit."""
        assert order.debit_of_key("debit:v1:ACC-1:2026-01:99") == debit.DebitId(
            account_id="ACC-1", bill_no="2026-01", attempt=99
        )

    @pytest.mark.parametrize(
        "key",
        [
            "",
            "refund:v1:ACC-1:2026-01:1",
            "debit:v1:ACC-1:2026-01:",
            "debit:v1:ACC-1:2026-01:01",
            "debit:v1:ACC-1:2026-01:1\n",
            "debit:v1:ACC-1:2026-01:99999999999",
            f"debit:v1:ACC-1:2026-01:{'9' * 5000}",
        ],
    )
    def test_key_of_no_debit_names_none(self, key: str) -> None:
        """The bank's metadata may hold anything, numbers that no column can hold among it."""
        assert order.debit_of_key(key) is None

    @pytest.mark.parametrize(
        ("changed", "ours"),
        [
            ({}, True),
            ({"amount_minor": 123_457}, False),
            ({"currency": "EUR"}, False),
            ({"bank_mandate_id": "MD8"}, False),
            ({"intent": "debit:v1:ACC-2:2026-01:1"}, False),
            ({"intent": None}, False),
        ],
    )
    def test_is_told_from_another(self, changed: dict[str, object], ours: bool) -> None:  # noqa: FBT001
        """The bank does not compare the bodies of a repeated key, so we do."""
        assert order.is_ours(a_debit(), a_payment(**changed), "MD1") is ours

    def test_of_nothing_is_refused(self) -> None:
        """A debit of zero or less is a bug wherever it came from."""
        with pytest.raises(ValueError, match="more than nothing"):
            a_debit(amount_minor=0)


class TestMerge:
    """What the bank says of a payment, merged into the debit ..."""

    @pytest.mark.parametrize(
        ("state", "status", "steps"),
        [
            ("accepted", "pending_submission", ""),
            ("accepted", "pending_customer_approval", ""),
            ("accepted", "submitted", "submit"),
            ("accepted", "confirmed", "confirm"),
            ("accepted", "paid_out", "settle"),
            ("accepted", "cancelled", "cancel"),
            ("accepted", "customer_approval_denied", "cancel"),
            ("submitted", "pending_submission", ""),
            ("submitted", "submitted", ""),
            ("submitted", "confirmed", "confirm"),
            ("submitted", "failed", "fail"),
            ("confirmed", "submitted", ""),
            ("confirmed", "failed", "fail"),
            ("confirmed", "cancelled", "question"),
            ("settled", "confirmed", ""),
            ("settled", "paid_out", ""),
            ("settled", "failed", "fail"),
            ("settled", "charged_back", "charge_back"),
            ("settled", "cancelled", "question"),
            ("cancel_requested", "pending_submission", ""),
            ("cancel_requested", "submitted", "submit"),
            ("cancel_requested", "confirmed", "confirm"),
            ("cancel_requested", "cancelled", "cancel"),
            ("reconciled", "paid_out", ""),
            ("reconciled", "failed", "fail"),
            ("reconciled", "charged_back", "charge_back"),
            ("retry_due", "failed", ""),
            ("retry_due", "submitted", "question"),
            ("exhausted", "confirmed", "question"),
            ("planned", "paid_out", ""),
            ("unknown", "pending_submission", "accept"),
            ("sending", "confirmed", "accept confirm"),
            ("recorded", "failed", "accept fail"),
            ("failed", "failed", ""),
            ("failed", "submitted", "question"),
            ("failed", "paid_out", "question"),
            ("failed", "pending_submission", "question"),
            ("cancelled", "cancelled", ""),
            ("cancelled", "confirmed", "question"),
            ("charged_back", "charged_back", ""),
            ("charged_back", "paid_out", "question"),
            ("review", "paid_out", ""),
            ("noticed", "paid_out", ""),
        ],
    )
    def test_goes_forward_only(self, state: str, status: str, steps: str) -> None:
        """An old status that comes late must not undo a new one."""
        found = debit.merge(State(state), PaymentStatus(status))

        assert " ".join(found) == steps

    def test_leaves_a_debit_alone_when_the_status_is_new_to_us(self) -> None:
        """The bank may invent statuses; guessing what they mean would move money."""
        assert debit.merge(State.SUBMITTED, None) == ()

    @given(
        st.permutations(
            [PaymentStatus.PENDING_SUBMISSION, PaymentStatus.SUBMITTED, PaymentStatus.CONFIRMED] * 2
        )
    )
    def test_ends_the_same_in_any_order(self, told: list[PaymentStatus]) -> None:
        """Events come twice and in any order; the end must not depend on it."""
        state = State.ACCEPTED

        for status in told:
            for event in debit.merge(state, status):
                state = debit.step(state, event)

        assert state is State.CONFIRMED
