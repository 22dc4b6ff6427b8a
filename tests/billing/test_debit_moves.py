"""Where the money of a debit lies, whatever news came in whatever order."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.debit import Debit, State
from billing.debit_moves import GOALS, Goal, goes_on, postings, recovery
from billing.ledger import Account, Transfer, balance_minor

AT = datetime(2026, 2, 22, tzinfo=UTC)
DEBIT = Debit(
    account_id="AC-1",
    bill_no="2026-01",
    attempt=1,
    mandate_id="M-1",
    state=State.NOTICED,
    reason=None,
    amount_minor=123_456,
    currency="KZT",
    charge_on=date(2026, 2, 25),
    changed_at=AT,
)


def walked(*states: str, written: Sequence[Transfer] = ()) -> list[Transfer]:
    """Bring the debit through these states, one after the other, and return all that is written."""
    rows = list(written)
    for state in states:
        rows += postings(replace(DEBIT, state=State(state)), rows)
    return rows


def recovered(rows: list[Transfer], state: str) -> list[Transfer]:
    """Let the bank keep the money from a payout."""
    return [*rows, *recovery(replace(DEBIT, state=State(state)), rows, at=AT)]


def names(rows: Sequence[Transfer]) -> list[str]:
    return [one.transfer_id.rpartition("/")[2] for one in rows]


def lies(rows: Sequence[Transfer]) -> dict[str, int]:
    """Return the balances that are not zero."""
    sums = {account.value: balance_minor(account, rows) for account in Account}
    return {code: minor for code, minor in sums.items() if minor}


class TestPostings:
    """What the ledger records of a way ..."""

    @pytest.mark.parametrize(
        ("way", "moves"),
        [
            ("noticed recorded", ["pending"]),
            ("noticed cancelled", []),
            ("held planned noticed", []),
            ("held exhausted", []),
            ("recorded sending unknown sending accepted submitted", ["pending"]),
            ("recorded sending recorded", ["pending"]),
            ("recorded sending failed", ["pending", "void"]),
            ("recorded cancelled", ["pending", "void"]),
            ("recorded accepted cancel_requested cancelled", ["pending", "void"]),
            ("recorded accepted cancel_requested confirmed", ["pending", "posted"]),
            ("recorded submitted confirmed", ["pending", "posted"]),
            ("recorded accepted settled", ["pending", "posted", "payout"]),
            ("recorded confirmed settled reconciled", ["pending", "posted", "payout"]),
            ("recorded confirmed failed", ["pending", "posted", "reversal"]),
            ("recorded confirmed failed retry_due failed", ["pending", "posted", "reversal"]),
            ("recorded settled failed", ["pending", "posted", "payout", "reversal"]),
            ("recorded settled charged_back", ["pending", "posted", "payout", "reversal"]),
            ("recorded reconciled failed exhausted", ["pending", "posted", "payout", "reversal"]),
            ("recorded settled review", ["pending", "posted", "payout"]),
            ("recorded settled review cancelled", ["pending", "posted", "payout", "reversal"]),
            ("recorded failed review", ["pending", "void"]),
        ],
    )
    def test_is_this(self, way: str, moves: list[str]) -> None:
        """Each pending row is answered once, and each posted one undone once at most."""
        assert names(walked(*way.split())) == moves

    @pytest.mark.parametrize(
        ("way", "moves"),
        [
            ("recorded failed accepted confirmed", "pending void pending-2 posted-2"),
            (
                "recorded confirmed failed accepted settled",
                "pending posted reversal pending-2 posted-2 payout",
            ),
            (
                "recorded settled failed accepted settled",
                "pending posted payout reversal recovered pending-2 posted-2 payout-2",
            ),
            (
                "recorded settled charged_back settled",
                "pending posted payout reversal restored-1",
            ),
            (
                "recorded settled charged_back settled charged_back settled",
                "pending posted payout reversal restored-1 reversal-2 restored-2",
            ),
            ("recorded confirmed charged_back confirmed", "pending posted reversal restored-1"),
            ("recorded submitted charged_back settled", "pending void restored-1"),
            (
                "recorded settled confirmed settled",
                "pending posted payout payout_bounced payout-2",
            ),
        ],
    )
    def test_gives_what_happens_again_a_number(self, way: str, moves: str) -> None:
        """A bank that asks once more, or takes money back twice, is written twice."""
        assert names(walked(*way.split())) == moves.split()

    def test_leaves_money_taken_back_late_with_the_bank(self) -> None:
        """The bank wants it back from us; the resident owes it when the bank has taken it."""
        rows = walked("recorded", "settled", "charged_back")

        assert lies(rows) == {"chargebacks_receivable": 123_456, "receivable": -123_456}
        assert lies(recovered(rows, "charged_back")) == {}

    def test_lets_the_bank_take_it_once(self) -> None:
        """Its word may come twice, in an event and in the items of a payout."""
        rows = recovered(walked("recorded", "settled", "failed"), "failed")

        assert recovery(replace(DEBIT, state=State.FAILED), rows, at=AT) == ()
        assert names(rows)[-1] == "recovered"

    @pytest.mark.parametrize("way", ["recorded failed", "recorded confirmed failed"])
    def test_lets_nothing_be_taken_that_was_never_paid_out(self, way: str) -> None:
        """What never came to us cannot be kept from us."""
        assert recovery(replace(DEBIT, state=State.FAILED), walked(*way.split()), at=AT) == ()

    def test_gives_a_chargeback_that_was_cancelled_after_all_back(self) -> None:
        """The resident owed it again meanwhile, and does no more."""
        rows = recovered(walked("recorded", "settled", "charged_back"), "charged_back")

        rows = walked("settled", written=rows)

        assert lies(rows) == {"bank": 123_456, "receivable": -123_456}

    def test_knows_every_state(self) -> None:
        """A state without a place would leave money wherever it was."""
        assert set(GOALS) == set(State)
        assert [state for state, goal in GOALS.items() if goal is Goal.WHEREVER] == [State.REVIEW]

    def test_reads_the_ledger_only_where_money_may_move(self) -> None:
        """Most steps of a debit move none, and cost no question."""
        sending = replace(DEBIT, state=State.SENDING)

        assert not goes_on(sending, replace(DEBIT, state=State.SUBMITTED))
        assert goes_on(sending, replace(DEBIT, state=State.CONFIRMED))


# What may be true of a payment, one after the other; news may skip any of it, and say it twice.
LIVES = {
    "submitted confirmed settled reconciled": {"bank": 123_456, "receivable": -123_456},
    "submitted confirmed": {"collections_in_transit": 123_456, "receivable": -123_456},
    "submitted failed": {},
    "submitted confirmed failed": {},
    "submitted confirmed settled failed": {},
    "submitted confirmed settled reconciled charged_back": {},
    "submitted confirmed settled charged_back settled": {"bank": 123_456, "receivable": -123_456},
    "submitted confirmed charged_back confirmed": {
        "collections_in_transit": 123_456,
        "receivable": -123_456,
    },
    "submitted failed accepted submitted confirmed settled": {
        "bank": 123_456,
        "receivable": -123_456,
    },
    "submitted confirmed settled failed accepted confirmed failed exhausted": {},
    "submitted confirmed settled charged_back settled failed": {},
}


class TestOrder:
    """Whatever news was skipped, said twice, or came with the bank's cut before or after ..."""

    @given(data=st.data())
    def test_leaves_the_same_balances(self, data: st.DataObject) -> None:
        """The end decides; otherwise two processes that heard other things had other books."""
        life, end = data.draw(st.sampled_from(sorted(LIVES.items())))
        *before, last = life.split()
        heard = [state for state in before if data.draw(st.booleans())]
        rows = walked("recorded")
        for state in [*heard, last]:
            for _ in range(data.draw(st.integers(1, 2))):
                rows = walked(state, written=rows)
            if data.draw(st.booleans()):
                rows = recovered(rows, state)

        assert lies(recovered(rows, last)) == end
        assert len({one.transfer_id for one in rows}) == len(rows)
