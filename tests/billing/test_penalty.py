"""The penalty for paying late: worked out by hand, in tiyn."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from billing.debt import Asked, debts_minor, overdue
from billing.ledger import Account, DebitAmount, DebitMove, Phase, Transfer, debit_transfer
from billing.penalty import (
    BaseRate,
    Dispute,
    Moratorium,
    Overdue,
    Penalty,
    PenaltyBook,
    first_late_day,
    penalty,
    penalty_charge,
)
from billing.period import Period

ENTERED = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 12, 31, tzinfo=UTC)
MAR_1 = date(2026, 3, 1)
ZONE = "Asia/Almaty"


def days(count: int, debt_minor: int, start: date = MAR_1) -> dict[date, int]:
    return {start + timedelta(days=number): debt_minor for number in range(count)}


def late(
    debts_minor: dict[date, int], *, principal_minor: int = 1_000_000, charged_minor: int = 0
) -> Overdue:
    return Overdue(
        bill_no="2026-01",
        principal_minor=principal_minor,
        charged_minor=charged_minor,
        debts_minor=debts_minor,
    )


def rate(valid_from: date, rate_bp: int, *, revision: int = 1, at: datetime = ENTERED) -> BaseRate:
    return BaseRate(
        valid_from=valid_from,
        revision=revision,
        rate_bp=rate_bp,
        source="National Bank",
        entered_by="Olga",
        entered_at=at,
    )


def pause(valid_from: date, *, active: bool) -> Moratorium:
    return Moratorium(
        valid_from=valid_from,
        revision=1,
        active=active,
        source="decree",
        entered_by="Olga",
        entered_at=ENTERED,
    )


EIGHTEEN = PenaltyBook(rates=(rate(date(2026, 1, 1), 1_800),))


def worked(
    overdue: Overdue,
    book: PenaltyBook = EIGHTEEN,
    *,
    factor_bp: int = 15_000,
    minimum_minor: int = 0,
) -> Penalty | None:
    rates_bp = book.rates_bp(overdue.debts_minor, known_at=LATER)
    return penalty(overdue, rates_bp=rates_bp, factor_bp=factor_bp, minimum_minor=minimum_minor)


def spelt(found: Penalty | None) -> list[tuple[str, str, int, int]]:
    assert found is not None
    return [
        (f"{one.from_day}", f"{one.to_day}", one.debt_minor, one.rate_bp) for one in found.spans
    ]


class TestThePublishedFormula:
    """P = debt x rate / 100 x K x days / 365 ..."""

    @pytest.mark.parametrize(
        ("debt_minor", "rate_bp", "factor_bp", "count", "amount_minor"),
        [
            # 10 000 tenge, 18 %, K 1.5, 30 days: 221.917808... tenge, as the domain's example says.
            (1_000_000, 1_800, 15_000, 30, 22_192),
            # 10 000 tenge, 18 %, K 1, 30 days: 147.945205...
            (1_000_000, 1_800, 10_000, 30, 14_795),
            # 742.97 tenge, 16.5 %, K 1.5, 3 days: 1.511386...
            (74_297, 1_650, 15_000, 3, 151),
            # One day of 365 tenge at 10 %, K 1: exactly 0.10.
            (36_500, 1_000, 10_000, 1, 10),
            # A half counts as a whole: 18.25 tenge at 10 %, K 1, one day is half a tiyn.
            (1_825, 1_000, 10_000, 1, 1),
        ],
    )
    def test_is_worked_out_to_the_tiyn(
        self, debt_minor: int, rate_bp: int, factor_bp: int, count: int, amount_minor: int
    ) -> None:
        """One exact sum, rounded half up once."""
        book = PenaltyBook(rates=(rate(date(2026, 1, 1), rate_bp),))

        found = worked(late(days(count, debt_minor)), book, factor_bp=factor_bp)

        assert found is not None
        assert found.amount_minor == amount_minor

    def test_charges_nothing_below_half_a_tiyn(self) -> None:
        """18.24 tenge for a day is 0.4997 tiyn: there is no charge of nothing."""
        book = PenaltyBook(rates=(rate(date(2026, 1, 1), 1_000),))

        assert worked(late(days(1, 1_824)), book, factor_bp=10_000) is None

    def test_divides_by_365_in_a_leap_year(self) -> None:
        """366 days of 10 000 tenge at 10 %, K 1, over all of 2028: 1 002.739... tenge."""
        book = PenaltyBook(rates=(rate(date(2026, 1, 1), 1_000),))

        found = worked(late(days(366, 1_000_000, date(2028, 1, 1))), book, factor_bp=10_000)

        assert found is not None
        assert found.amount_minor == 100_274

    def test_follows_a_payment_in_the_middle(self) -> None:
        """10 days of 10 000 tenge and 20 of 4 000: 73.9726 + 59.1780 = 133.1506."""
        found = worked(late(days(10, 1_000_000) | days(20, 400_000, date(2026, 3, 11))))

        assert spelt(found) == [
            ("2026-03-01", "2026-03-11", 1_000_000, 1_800),
            ("2026-03-11", "2026-03-31", 400_000, 1_800),
        ]
        assert found is not None
        assert found.amount_minor == 13_315

    def test_follows_a_change_of_the_rate(self) -> None:
        """10 days at 18 % and 20 at 16.5 %: 73.9726 + 135.6164 = 209.5890."""
        book = PenaltyBook(rates=(*EIGHTEEN.rates, rate(date(2026, 3, 11), 1_650)))

        found = worked(late(days(30, 1_000_000)), book)

        assert [span.rate_bp for span in (found.spans if found else ())] == [1_800, 1_650]
        assert found is not None
        assert found.amount_minor == 20_959

    def test_takes_the_last_word_on_a_rate_that_was_known(self) -> None:
        """A later word corrects the first; one that came after the bill changes no bill."""
        book = PenaltyBook(
            rates=(
                *EIGHTEEN.rates,
                rate(date(2026, 1, 1), 1_700, revision=2),
                rate(date(2026, 1, 1), 900, revision=3, at=LATER + timedelta(days=1)),
            )
        )

        assert book.rates_bp([MAR_1], known_at=LATER) == {MAR_1: 1_700}

    def test_stops_at_the_principal(self) -> None:
        """100 tenge owed, 99.50 charged by earlier bills: half a tenge is left, not 2.22."""
        found = worked(late(days(30, 10_000), principal_minor=10_000, charged_minor=9_950))

        assert found is not None
        assert (found.uncapped_minor, found.amount_minor) == (222, 50)
        assert worked(late(days(30, 10_000), principal_minor=10_000, charged_minor=10_000)) is None

    def test_rests_during_a_moratorium(self) -> None:
        """From the 11th up to, but without, the 21st: 20 days of 30, 147.945205..."""
        book = PenaltyBook(
            rates=EIGHTEEN.rates,
            moratoria=(
                pause(date(2026, 3, 11), active=True),
                pause(date(2026, 3, 21), active=False),
            ),
        )

        found = worked(late(days(30, 1_000_000)), book)

        assert [span.days for span in (found.spans if found else ())] == [10, 10]
        assert found is not None
        assert found.amount_minor == 14_795

    def test_charges_nothing_for_a_sum_that_was_not_asked_for(self) -> None:
        """A town that asks from 5 tenge on: 4.99 wait for the next bill, 5.00 are late."""
        found = worked(late(days(365, 499) | days(365, 500, date(2027, 3, 1))), minimum_minor=500)

        assert spelt(found) == [("2027-03-01", "2028-02-29", 500, 1_800)]

    def test_charges_nothing_where_nobody_entered_a_rate(self) -> None:
        """A number that nobody published is not made up."""
        assert worked(late(days(30, 1_000_000, date(2025, 11, 1)))) is None

    def test_charges_nothing_for_what_is_paid(self) -> None:
        """Nor for credit."""
        assert worked(late(days(10, 0) | days(10, -500, date(2026, 3, 11)))) is None


class TestTheCharge:
    """The charge on the bill ..."""

    def test_says_all_that_it_is_made_of(self) -> None:
        """Whoever reads it needs nothing else to work it out again, and there is no VAT on it."""
        found = worked(late(days(30, 1_000_000)))
        assert found is not None

        charge = penalty_charge(found, charge_no=3)

        assert (charge.charge_no, charge.kind, charge.quantity) == (3, "penalty", 30)
        assert (charge.from_day, charge.to_day) == (MAR_1, date(2026, 3, 31))
        assert (charge.net_minor, charge.vat_minor, charge.vat_rate_bp) == (22_192, 0, 0)
        assert charge.detail == {
            "bill_no": "2026-01",
            "principal_minor": 1_000_000,
            "charged_minor": 0,
            "factor_bp": 15_000,
            "minimum_minor": 0,
            "year_days": 365,
            "uncapped_minor": 22_192,
            "spans": [
                {
                    "from_day": "2026-03-01",
                    "to_day": "2026-03-31",
                    "days": 30,
                    "debt_minor": 1_000_000,
                    "rate_bp": 1_800,
                }
            ],
        }


class TestTheFirstDay:
    """A bill is late ..."""

    @pytest.mark.parametrize(
        ("issued_on", "late_on"),
        [("2026-02-01", "2026-02-26"), ("2026-02-20", "2026-02-26"), ("2026-02-24", "2026-03-02")],
    )
    def test_after_the_25th_or_five_days(self, issued_on: str, late_on: str) -> None:
        """Whoever gets his bill on the 24th has until the 1st."""
        found = first_late_day(due_on=date(2026, 2, 25), issued_on=date.fromisoformat(issued_on))
        assert found == date.fromisoformat(late_on)


def moved(
    name: str, amount_minor: int, at: str, debit: Account, credit: Account = Account.REVENUE
) -> Transfer:
    return Transfer(
        account_id="AC-1",
        transfer_id=name,
        phase=Phase.POSTED,
        debit_code=debit,
        credit_code=credit,
        amount_minor=amount_minor,
        currency="KZT",
        bill_no="2026-01",
        posted_at=datetime.fromisoformat(at),
    )


ASKED = moved("bill/2026-01/net", 1_000, "2026-02-01T00:00:00+05:00", Account.RECEIVABLE)


def debited(move: DebitMove, at: str) -> Transfer:
    amount = DebitAmount(
        account_id="AC-1", bill_no="2026-01", attempt=1, amount_minor=1_000, currency="KZT"
    )
    return debit_transfer(move, amount, at=datetime.fromisoformat(at))


class TestDebts:
    """What a bill was owed as a day began ..."""

    @pytest.mark.parametrize(
        ("story", "owed"),
        [
            ([], [1_000, 1_000, 1_000, 1_000]),
            # Paid at noon of the 27th: the 27th began with the debt.
            (
                [
                    moved(
                        "voucher/1/2026-01", 400, "2026-02-27T12:00:00+05:00",
                        Account.VOUCHER, Account.RECEIVABLE,
                    )
                ],
                [1_000, 1_000, 600, 600],
            ),
            # Asked on the 24th, confirmed on the 28th: the bank was slow, not he.
            (
                [
                    debited(DebitMove.PENDING, "2026-02-24T09:00:00+05:00"),
                    debited(DebitMove.POSTED, "2026-02-28T09:00:00+05:00"),
                ],
                [0, 0, 0, 0],
            ),
            # Asked on the 24th, and the account was empty.
            (
                [
                    debited(DebitMove.PENDING, "2026-02-24T09:00:00+05:00"),
                    debited(DebitMove.VOID, "2026-02-28T09:00:00+05:00"),
                ],
                [1_000, 1_000, 1_000, 1_000],
            ),
            # On its way still.
            ([debited(DebitMove.PENDING, "2026-02-26T09:00:00+05:00")], [1_000, 0, 0, 0]),
            # Paid, and taken back on the 27th.
            (
                [
                    debited(DebitMove.PENDING, "2026-02-20T09:00:00+05:00"),
                    debited(DebitMove.POSTED, "2026-02-22T09:00:00+05:00"),
                    debited(DebitMove.REVERSAL, "2026-02-27T09:00:00+05:00"),
                ],
                [0, 0, 1_000, 1_000],
            ),
        ],
        ids=["unpaid", "voucher", "slow bank", "empty account", "on its way", "taken back"],
    )  # fmt: skip
    def test_is_what_the_ledger_says(self, story: list[Transfer], owed: list[int]) -> None:
        """On the 26th, 27th and 28th of February and the 1st of March."""
        found = debts_minor(
            [ASKED, *story],
            from_day=date(2026, 2, 26),
            to_day=date(2026, 3, 2),
            known_at=LATER,
            zone=ZONE,
        )
        assert list(found.values()) == owed

    def test_is_not_counted_during_a_dispute(self) -> None:
        """In dispute from the 27th to the 1st; what came later was not known."""
        said = datetime(2026, 2, 27, tzinfo=UTC)
        first, last = date(2026, 2, 27), date(2026, 3, 1)
        own = Dispute(bill_no="2026-01", from_day=first, to_day=last, said_at=said, ended_at=said)

        def days_late(dispute: Dispute, known_at: datetime = LATER) -> list[int]:
            asked = Asked(
                bill_no="2026-01",
                due_on=date(2026, 2, 25),
                issued_at=datetime(2026, 2, 1, tzinfo=UTC),
                transfers=[ASKED],
            )
            found = overdue(
                asked,
                period=Period(start=date(2026, 2, 1), end=date(2026, 3, 3)),
                charged_minor=0,
                disputes=[dispute],
                known_at=known_at,
                zone=ZONE,
            )
            assert found.principal_minor == 1_000
            return [day.day for day in found.debts_minor]

        assert days_late(own) == [26, 1, 2]
        assert days_late(replace(own, bill_no="2025-12")) == [26, 27, 28, 1, 2]
        assert days_late(replace(own, to_day=None, ended_at=None)) == [26]
        third = datetime(2026, 3, 3, tzinfo=UTC)
        assert days_late(replace(own, ended_at=LATER), third) == [26]
        assert days_late(replace(own, said_at=LATER), third) == [26, 27, 28, 1, 2]
        # On the 28th nobody knows the days that come.
        assert days_late(replace(own, said_at=LATER), datetime(2026, 2, 28, tzinfo=UTC)) == [26, 27]

    def test_knows_nothing_that_came_later(self) -> None:
        """The audit asks what the bill could know when it was issued."""
        void = debited(DebitMove.VOID, "2026-03-05T09:00:00+05:00")
        pending = debited(DebitMove.PENDING, "2026-02-26T09:00:00+05:00")

        found = debts_minor(
            [ASKED, pending, void],
            from_day=date(2026, 2, 27),
            to_day=date(2026, 2, 28),
            known_at=datetime(2026, 3, 3, tzinfo=UTC),
            zone=ZONE,
        )
        assert found == {date(2026, 2, 27): 0}
