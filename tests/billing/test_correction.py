"""What becomes of a bill that would be another one today, and of the money paid for it."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from billing.bill import Bill, BillKind, Charge, ChargeKind
from billing.correction import Circumstances, Month, Outcome, Policy, decide
from billing.credit import Owing, Purse, settle
from billing.ledger import Account, BillAmount, balance_minor, bill_transfers
from billing.rating import Rated

AT = datetime(2026, 3, 10, tzinfo=UTC)
AROUND = Circumstances(at=AT, zone="Asia/Almaty", ours=True, another_bill=True)


def charge(kind: ChargeKind, net_minor: int, vat_minor: int = 0, charge_no: int = 1) -> Charge:
    return Charge(
        charge_no=charge_no,
        kind=kind,
        from_day=date(2026, 1, 1),
        to_day=date(2026, 2, 1),
        tariff_code=None,
        tariff_valid_from=None,
        line_no=None,
        quantity=31,
        detail={},
        vat_rate_bp=1_600 if vat_minor else 0,
        net_minor=net_minor,
        vat_minor=vat_minor,
    )


STANDING = charge(ChargeKind.STANDING, 1_000, 160)
PENALTY = charge(ChargeKind.PENALTY, 70, charge_no=2)
BILL = Bill(
    account_id="AC-1",
    bill_no="2026-01",
    period_start=date(2026, 1, 1),
    period_end=date(2026, 2, 1),
    revision=1,
    volume_dm3=0,
    net_minor=1_070,
    vat_minor=160,
    total_minor=1_230,
    currency="KZT",
    issued_at=datetime(2026, 2, 2, tzinfo=UTC),
    due_on=date(2026, 2, 25),
    lines=(),
    charges=(STANDING, PENALTY),
)
MONTH = Month(bill=BILL, revision=1, correction_no=0)


def rated(net_minor: int, vat_minor: int) -> Rated:
    return Rated(lines=(), charges=(charge(ChargeKind.STANDING, net_minor, vat_minor),))


def amount(bill: Bill) -> BillAmount:
    return BillAmount(
        account_id=bill.account_id,
        bill_no=bill.bill_no,
        net_minor=bill.net_minor,
        vat_minor=bill.vat_minor,
        currency=bill.currency,
        penalty_minor=bill.penalty_minor,
    )


class TestDecide:
    """A month that was charged with 11.60 ..."""

    @pytest.mark.parametrize(
        ("net_minor", "vat_minor", "policy", "outcome"),
        [
            (1_000, 160, Policy(), Outcome.UNCHANGED),
            (1_001, 160, Policy(), Outcome.REBILL),
            (1_100, 176, Policy(adjust_below_minor=117), Outcome.ADJUSTMENT),
            (1_100, 176, Policy(adjust_below_minor=116), Outcome.REBILL),
            (900, 144, Policy(adjust_below_minor=117), Outcome.ADJUSTMENT),
            (1_100, 176, Policy(back_billing_months=1), Outcome.WAIVED),
            (1_100, 176, Policy(back_billing_months=2), Outcome.REBILL),
            (900, 144, Policy(back_billing_months=1), Outcome.REBILL),
        ],
    )
    def test_becomes(
        self, net_minor: int, vat_minor: int, policy: Policy, outcome: Outcome
    ) -> None:
        """Just below and just at each limit; the limit of back-billing never keeps money back."""
        assert decide(MONTH, rated(net_minor, vat_minor), policy, AROUND).outcome is outcome

    def test_cancels_everything_and_carries_what_is_not_of_the_month(self) -> None:
        """The penalty was for another month: it is taken back with the bill, and asked for anew."""
        found = decide(MONTH, rated(900, 144), Policy(), AROUND)

        cancelled, anew = found.documents
        assert (cancelled.kind, cancelled.total_minor) == (BillKind.CANCELLATION, -1_230)
        assert [one.net_minor for one in cancelled.charges] == [-1_000, -70]
        assert [(one.kind, one.net_minor) for one in anew.charges] == [
            (ChargeKind.STANDING, 900),
            (ChargeKind.PENALTY, 70),
        ]
        assert (anew.bill_no, anew.revision, anew.total_minor) == ("2026-01-3", 3, 1_114)
        assert anew.due_on == date(2026, 4, 25)

    def test_moves_back_what_was_moved_to_each_account(self) -> None:
        """A bill and its cancellation are nothing, on every account of the ledger."""
        cancelled = decide(MONTH, rated(900, 144), Policy(), AROUND).documents[0]

        both = (*bill_transfers(amount(BILL), at=AT), *bill_transfers(amount(cancelled), at=AT))

        assert len(both) == 6
        assert all(balance_minor(account, both) == 0 for account in Account)

    def test_is_replaced_where_there_will_be_no_other_bill(self) -> None:
        """An adjustment would wait for ever."""
        gone = replace(AROUND, another_bill=False)

        found = decide(MONTH, rated(900, 144), Policy(adjust_below_minor=1_000), gone)

        assert found.outcome is Outcome.REBILL


class TestSettle:
    """Credit ..."""

    PURSE = Purse(account_id="AC-1", currency="KZT", credit_minor=0, refund=False)

    def owing(self, bill_no: str, owed_minor: int, *, heir: str = "", busy: bool = False) -> Owing:
        """Return a bill that owes something."""
        return Owing(
            bill_no=bill_no,
            heir=heir or bill_no,
            owed_minor=owed_minor,
            due_on=date(2026, 2, 25),
            moves=0,
            busy=busy,
        )

    def test_of_nothing_moves_nothing(self) -> None:
        """Whoever owes, owes."""
        assert settle([self.owing("2026-01", 5)], self.PURSE, at=AT) == ()

    def test_that_is_left_is_named_as_to_be_sent_back_once(self) -> None:
        """After the debts, not before."""
        purse = replace(self.PURSE, credit_minor=9, refund=True)

        moved = settle([self.owing("2026-01", 5)], purse, at=AT)

        assert [(one.transfer_id, one.amount_minor, one.credit_code) for one in moved] == [
            ("credit/2026-01/1", 5, Account.RECEIVABLE),
            ("refund/2026-01/2", 4, Account.REFUND_DUE),
        ]

    def test_passes_over_a_bill_that_is_being_paid(self) -> None:
        """The next one that owes gets it."""
        purse = replace(self.PURSE, credit_minor=9)
        bills = [self.owing("2026-01", 5, busy=True), self.owing("2026-02", 20)]

        moved = settle(bills, purse, at=AT)

        assert [(one.bill_no, one.amount_minor) for one in moved] == [("2026-02", 9)]

    def test_of_a_cancelled_bill_goes_to_the_one_in_its_place(self) -> None:
        """The bank took 10 back that had been paid for the dead bill: its heir owes them."""
        bills = [self.owing("2026-01", 10, heir="2026-01-3"), self.owing("2026-01-3", 0)]

        moved = settle(bills, self.PURSE, at=AT)

        assert [(one.bill_no, one.debit_code, one.amount_minor) for one in moved] == [
            ("2026-01", Account.RESIDENT_CREDIT, 10),
            ("2026-01-3", Account.RECEIVABLE, 10),
        ]
