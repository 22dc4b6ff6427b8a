"""A refund: its states, its key, its order, and what it moves in the ledger."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.bank import BankRefund, RefundStatus
from billing.debit import Debit, State
from billing.ledger import Account, Transfer, balance_minor
from billing.refund import (
    COUNTS,
    ENDS,
    NEXT,
    UNCERTAIN,
    Cause,
    IllegalRefundError,
    Refund,
    RefundEvent,
    RefundId,
    RefundState,
    merge,
    refund_of_key,
    refunded,
)
from billing.refund_moves import refund_transfers
from billing.refund_order import (
    Purse,
    already,
    frozen_refund,
    is_our_refund,
    why_not,
)

AT = datetime(2026, 3, 2, tzinfo=UTC)
REFUND = Refund(
    account_id="AC-1",
    bill_no="2026-01",
    attempt=1,
    refund_no=2,
    state=RefundState.REQUESTED,
    reason=None,
    amount_minor=5_000,
    currency="KZT",
    cause=Cause.OVERCHARGED,
    source=Account.REFUND_DUE,
    asked_by="aqkol",
    asked_at=AT,
    changed_at=AT,
)
DEBIT = Debit(
    account_id="AC-1",
    bill_no="2026-01",
    attempt=1,
    mandate_id="M-1",
    state=State.SETTLED,
    reason=None,
    amount_minor=74_297,
    currency="KZT",
    charge_on=date(2026, 2, 25),
    bank_payment_id="PM1",
    changed_at=AT,
)
AT_BANK = BankRefund(
    refund_id="RF1",
    status=RefundStatus.SUBMITTED,
    amount_minor=5_000,
    currency="KZT",
    payment_id="PM1",
    intent="refund:v1:AC-1:2026-01:1:2",
)

# The drawing, walked by hand.
STORIES = {
    "paid": ("record send accept pay", "paid"),
    "cut from a payout": ("record send accept pay settle", "settled"),
    "the answer was lost": ("record send lose send accept", "pending"),
    "too many requests": ("record send back_off send accept", "pending"),
    "refused by us": ("refuse", "refused"),
    "refused before it was sent": ("record refuse", "refused"),
    "refused by the bank": ("record send refuse", "refused"),
    "cancelled at the bank": ("record send accept refuse", "refused"),
    "never arrived": ("record send accept bounce", "bounced"),
    "came back": ("record send accept pay bounce", "bounced"),
    "came back long after": ("record send accept pay settle return", "returned"),
    "the lost answer came after all": ("record send lose accept", "pending"),
    "a person says go on": ("record send question release send accept", "pending"),
    "a backup forgot it": ("record accept", "pending"),
}


def walked(words: str) -> list[Refund]:
    """Return the refund after each of these steps, as it was born first."""
    steps = [replace(REFUND)]
    for word in words.split():
        steps.append(refunded(steps[-1], RefundEvent(word), at=AT))
    return steps


def booked(steps: list[Refund]) -> list[Transfer]:
    rows = list(refund_transfers(None, steps[0]))
    for before, after in pairwise(steps):
        rows += refund_transfers(before, after)
    return rows


def lies(rows: list[Transfer]) -> dict[str, int]:
    sums = {account.value: balance_minor(account, rows) for account in Account}
    return {code: minor for code, minor in sums.items() if minor}


class TestStates:
    """A refund ..."""

    @pytest.mark.parametrize(("words", "end"), STORIES.values(), ids=STORIES.keys())
    def test_ends_where_the_story_says(self, words: str, end: str) -> None:
        """Worked out from the drawing, not from the table."""
        assert walked(words)[-1].state == end

    @pytest.mark.parametrize(
        ("state", "event"),
        [
            ("requested", "send"),
            ("requested", "accept"),
            ("unknown", "refuse"),
            ("unknown", "back_off"),
            ("paid", "refuse"),
            ("refused", "send"),
            ("bounced", "send"),
            ("paid", "send"),
        ],
    )
    def test_never_does_this(self, state: str, event: str) -> None:
        """What may have reached the bank is never taken for something that did not."""
        with pytest.raises(IllegalRefundError):
            refunded(replace(REFUND, state=RefundState(state)), RefundEvent(event), at=AT)

    def test_has_no_step_that_no_story_takes(self) -> None:
        """A step that nobody walked is a step that nobody checked."""
        taken = set()
        for words, _ in STORIES.values():
            steps = walked(words)
            taken |= {
                (before.state, RefundEvent(word))
                for before, word in zip(steps, words.split(), strict=False)
            }
        left = {(state.value, event.value) for state, event in set(NEXT) - taken}

        assert left == {
            ("unknown", "question"),
            ("pending", "question"),
            ("pending", "return"),
            ("paid", "question"),
            ("paid", "return"),
            ("settled", "question"),
            ("settled", "bounce"),
            ("bounced", "question"),
            ("returned", "question"),
            ("refused", "question"),
        }

    def test_waits_for_what_the_bank_may_have_counted(self) -> None:
        """The next one says what went back in all, so it must know."""
        assert {"recorded", "sending", "unknown", "review"} == UNCERTAIN
        assert {"bounced", "returned", "refused"} == ENDS
        assert set(RefundState) - ENDS == COUNTS

    def test_gives_back_something(self) -> None:
        """A refund of nothing is a message without a meaning."""
        with pytest.raises(ValueError, match="more than nothing"):
            replace(REFUND, amount_minor=0)


class TestKey:
    """The key of a refund ..."""

    def test_follows_from_its_name_alone(self) -> None:
        """No retry can ever make a second key, and no two refunds share one."""
        assert REFUND.key == "refund:v1:AC-1:2026-01:1:2"

    def test_reads_back(self) -> None:
        """What the bank knows can be found again without a table of names."""
        assert refund_of_key("refund:v1:AC-1:2026-01:1:2") == RefundId(
            account_id="AC-1", bill_no="2026-01", attempt=1, refund_no=2
        )

    @pytest.mark.parametrize(
        "key",
        [
            None,
            "",
            "debit:v1:AC-1:2026-01:1",
            "refund:v2:AC-1:2026-01:1:2",
            "refund:v1:A:B:1:x",
            "refund:v1:A:B:1:",
            "refund:v1:A:B:1:02",
            "refund:v1:A:B:1:99999999999",
            f"refund:v1:A:B:{'9' * 5000}:1",
        ],
    )
    def test_is_not_taken_for_somebody_elses(self, key: str | None) -> None:
        """The bank's metadata may hold anything."""
        assert refund_of_key(key) is None


class TestOrder:
    """What is asked of the bank ..."""

    def test_says_what_goes_back_in_all(self) -> None:
        """Two processes that refund blindly are found out by the bank."""
        before = replace(REFUND, refund_no=1, amount_minor=1_500, bank_refund_id="RF0")
        refused = replace(before, refund_no=3, state=RefundState.REFUSED, bank_refund_id="RF9")
        never_sent = replace(before, refund_no=4, bank_refund_id=None)

        order = json.loads(frozen_refund(REFUND, [before, refused, never_sent], "PM1"))

        assert order == {
            "refunds": {
                "amount": 5_000,
                "links": {"payment": "PM1"},
                "metadata": {"intent": "refund:v1:AC-1:2026-01:1:2"},
                "total_amount_confirmation": 6_500,
            }
        }

    def test_believes_the_bank_where_it_counted_otherwise(self) -> None:
        """It was asked, and its list holds only what is ours."""
        told = replace(REFUND, counted_minor=2_000)

        order = json.loads(frozen_refund(told, [], "PM1"))

        assert order["refunds"]["total_amount_confirmation"] == 7_000

    @pytest.mark.parametrize(
        "change",
        [
            {"amount_minor": 5_001},
            {"currency": "EUR"},
            {"payment_id": "PM2"},
            {"intent": "refund:v1:AC-1:2026-01:1:1"},
            {"intent": None},
        ],
    )
    def test_is_compared_in_every_respect(self, change: dict[str, object]) -> None:
        """A key that was used for something else must not pass for this."""
        assert is_our_refund(REFUND, AT_BANK, "PM1")
        assert not is_our_refund(REFUND, replace(AT_BANK, **change), "PM1")

    @pytest.mark.parametrize(
        ("state", "reason"),
        [
            ("confirmed", None),
            ("settled", None),
            ("reconciled", None),
            ("charged_back", "chargeback_open"),
            ("submitted", "not_collected"),
            ("failed", "not_collected"),
            ("review", "not_collected"),
            ("exhausted", "not_collected"),
        ],
    )
    def test_needs_money_that_is_ours(self, state: str, reason: str | None) -> None:
        """While a chargeback is open the payer's bank gives it back; twice is once too often."""
        assert why_not(replace(DEBIT, state=State(state))) == reason

    def test_comes_from_where_too_much_was_paid(self) -> None:
        """A bill that was cancelled left credit; one that was cancelled too late is owed again."""
        purse = Purse(bill_minor=100, refund_due_minor=500, credit_minor=900)

        assert purse.source(Cause.CANCEL_TOO_LATE, 74_297) is Account.RECEIVABLE
        assert purse.source(Cause.OVERCHARGED, 100) is Account.RECEIVABLE
        assert purse.source(Cause.OVERCHARGED, 101) is Account.REFUND_DUE
        assert purse.source(Cause.DOUBLE_DEBIT, 501) is Account.RESIDENT_CREDIT
        assert purse.source(Cause.DOUBLE_DEBIT, 901) is None

    def test_is_one_for_two_clicks(self) -> None:
        """An operator's second click, or the second news of the same, asks for nothing new."""
        asked = replace(REFUND, cause=Cause.OPERATOR)
        paid = replace(asked, state=RefundState.PAID)
        late = replace(paid, cause=Cause.CANCEL_TOO_LATE)

        assert already([asked], Cause.OPERATOR, 5_000) is asked
        assert already([asked], Cause.OPERATOR, 4_000) is None
        assert already([paid], Cause.OPERATOR, 5_000) is None
        assert already([late], Cause.CANCEL_TOO_LATE, 74_297) is late
        assert (
            already(
                [replace(late, state=RefundState.REFUSED)], Cause.CANCEL_TOO_LATE, late.amount_minor
            )
            is None
        )


class TestMerge:
    """What the bank says of a refund ..."""

    @pytest.mark.parametrize(
        ("state", "status", "settled", "steps"),
        [
            ("recorded", "submitted", False, ["accept"]),
            ("unknown", "paid", False, ["accept", "pay"]),
            ("pending", "created", False, []),
            ("pending", "paid", False, ["pay"]),
            ("pending", "submitted", True, []),
            ("pending", "paid", True, ["pay", "settle"]),
            ("paid", "paid", True, ["settle"]),
            ("paid", "submitted", False, []),
            ("settled", "paid", True, []),
            ("pending", "bounced", False, ["bounce"]),
            ("settled", "funds_returned", True, ["return"]),
            ("bounced", "paid", False, []),
            ("pending", "cancelled", False, ["refuse"]),
            ("paid", "cancelled", False, ["question"]),
            ("refused", "paid", False, ["question"]),
            ("refused", "cancelled", False, []),
            ("requested", "paid", False, []),
            ("review", "paid", False, []),
        ],
    )
    def test_leads_to_these_steps(
        self, state: str, status: str, *, settled: bool, steps: list[str]
    ) -> None:
        """Forward only; what contradicts an end goes before a person."""
        found = merge(RefundState(state), RefundStatus(status), settled=settled)

        assert found == tuple(steps)

    def test_is_nothing_where_we_do_not_know_the_word(self) -> None:
        """A new word of the bank's is asked about again, not guessed at."""
        assert merge(RefundState.PENDING, None, settled=True) == ()

    @given(
        news=st.permutations(
            [
                (RefundStatus.SUBMITTED, False),
                (RefundStatus.PAID, False),
                (RefundStatus.PAID, True),
                (RefundStatus.PENDING_SUBMISSION, False),
            ]
        )
    )
    def test_ends_alike_in_whatever_order_it_comes(
        self, news: list[tuple[RefundStatus, bool]]
    ) -> None:
        """News is late, twice and out of order; the books must not be."""
        steps = walked("record send accept")
        for status, settled in news * 2:
            for event in merge(steps[-1].state, status, settled=settled):
                steps.append(refunded(steps[-1], event, at=AT))

        assert steps[-1].state is RefundState.SETTLED
        assert lies(booked(steps)) == {"refund_due": 5_000, "bank": -5_000}


class TestLedger:
    """What a refund moves ..."""

    @pytest.mark.parametrize(
        ("words", "left"),
        [
            ("", {"refund_due": 5_000, "refunds_payable": -5_000}),
            ("record send accept", {"refund_due": 5_000, "refunds_payable": -5_000}),
            ("record send accept pay", {"refund_due": 5_000, "bank": -5_000}),
            ("record send accept pay settle", {"refund_due": 5_000, "bank": -5_000}),
            ("refuse", {}),
            ("record refuse", {}),
            ("record send refuse", {}),
            ("record send accept refuse", {}),
            ("record send accept bounce", {}),
            ("record send accept pay bounce", {}),
            ("record send accept pay settle return", {}),
            ("record send question", {"refund_due": 5_000, "refunds_payable": -5_000}),
        ],
    )
    def test_leaves_this(self, words: str, left: dict[str, int]) -> None:
        """Owed to the resident until it is paid; what comes back is owed by hand."""
        assert lies(booked(walked(words))) == left

    def test_lets_a_bill_be_owed_again_only_if_it_was_paid_back(self) -> None:
        """What was refused by the bank never left, and the bill is paid as before."""
        first = replace(REFUND, source=Account.RECEIVABLE, cause=Cause.CANCEL_TOO_LATE)
        sent = refunded(refunded(first, RefundEvent.RECORD, at=AT), RefundEvent.SEND, at=AT)
        refused = refunded(sent, RefundEvent.REFUSE, at=AT)
        rows = [
            *refund_transfers(None, first),
            *refund_transfers(first, replace(sent, state=RefundState.RECORDED)),
        ]

        assert lies(rows) == {"receivable": 5_000, "refunds_payable": -5_000}
        assert lies([*rows, *refund_transfers(sent, refused)]) == {}

    def test_names_each_row_once(self) -> None:
        """A repeat is refused by the key of the table, not added."""
        rows = booked(walked("record send lose send accept pay settle return"))

        assert [one.transfer_id.rpartition("/")[2] for one in rows] == [
            "asked",
            "pending",
            "paid",
            "bounced",
            "left",
        ]
        assert rows[0].transfer_id == "give_back/2026-01/1/2/asked"
