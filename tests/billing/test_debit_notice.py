"""What stands between a bill and a debit: notices, earlier attempts, promises."""

from datetime import UTC, date, datetime

import pytest

from billing import notice
from billing.debit import Debit, State
from billing.notice import Attempt, Notice

AT = datetime(2026, 2, 1, 4, 0, tzinfo=UTC)
PLANNED = Debit(
    account_id="ACC-1",
    bill_no="2026-01",
    attempt=1,
    mandate_id="M-1",
    state=State.NOTICED,
    reason=None,
    amount_minor=50_000,
    currency="KZT",
    charge_on=date(2026, 2, 25),
    changed_at=AT,
)
TOLD = Notice(amount_minor=50_000, currency="KZT", charge_on=date(2026, 2, 25), noticed_at=AT)


def attempts(*past: tuple[str, str | None]) -> list[Attempt]:
    return [
        Attempt(attempt=number, state=State(state), reason=reason)
        for number, (state, reason) in enumerate(past, start=1)
    ]


class TestAnotherAttempt:
    """A bill may be asked for again ..."""

    @pytest.mark.parametrize(
        ("past", "may"),
        [
            ([], True),
            ([("failed", "insufficient_funds")], True),
            ([("failed", "refer_to_payer")], True),
            ([("failed", "charge_date_refused")], True),
            ([("failed", "insufficient_funds")] * 2, True),
            ([("failed", "insufficient_funds")] * 3, False),
            ([("failed", "bank_account_closed")], False),
            ([("failed", "payer_deceased")], False),
            ([("failed", "authorisation_disputed")], False),
            ([("failed", "bank_retries")], False),
            ([("failed", "unknown_cause")], False),
            ([("failed", "something_new_at_the_bank")], False),
            ([("failed", None)], False),
            ([("charged_back", "authorisation_disputed")], False),
            ([("unknown", "timeout")], False),
            ([("sending", None)], False),
            ([("review", "credentials")], False),
            ([("accepted", None)], False),
            ([("settled", None)], False),
            ([("failed", "insufficient_funds"), ("unknown", "timeout")], False),
            ([("cancelled", "paused")], True),
            ([("cancelled", "over_cap")], True),
            ([("cancelled", "amount_changed")], True),
            ([("cancelled", "cancelled_at_bank")], False),
            ([("cancelled", "contradiction")], False),
            ([("cancelled", "paused"), ("failed", "payer_deceased")], False),
            ([("cancelled", "paused")] * 99, False),
        ],
    )
    def test_only_when_time_can_heal(self, past: list[tuple[str, str | None]], may: bool) -> None:  # noqa: FBT001
        """Asking while an answer is open, or where it cannot help, debits twice or in vain."""
        assert notice.may_try_again(attempts(*past), today=date(2026, 3, 1)) is may

    @pytest.mark.parametrize(("day", "may"), [(1, False), (2, True), (3, True)])
    def test_from_its_day_on(self, day: int, may: bool) -> None:  # noqa: FBT001
        """A retry that is due on the second of March is not asked for on the first."""
        waiting = Attempt(
            attempt=1,
            state=State.RETRY_DUE,
            reason="insufficient_funds",
            retry_on=date(2026, 3, 2),
        )

        assert notice.may_try_again([waiting], today=date(2026, 3, day)) is may

    @pytest.mark.parametrize(
        ("past", "days"),
        [
            ([("failed", "insufficient_funds")], 5),
            ([("failed", "refer_to_payer")] * 2, 12),
            ([("failed", "insufficient_funds")] * 3, None),
            ([("failed", "payer_deceased")], None),
            ([("failed", "authorisation_disputed")], None),
            ([("failed", "mandate_cancelled")], None),
            ([("failed", "something_new_at_the_bank")], None),
            ([("cancelled", "paused"), ("failed", "insufficient_funds")], 5),
            ([("failed", "charge_date_refused")], 0),
        ],
    )
    def test_after_five_days_and_after_twelve(
        self, past: list[tuple[str, str | None]], days: int | None
    ) -> None:
        """At most twice, and only where time can heal."""
        assert notice.retry_after(past[-1][1], attempts(*past)) == days


class TestPromise:
    """A debit is recorded ..."""

    def test_as_it_was_announced(self) -> None:
        """Same amount, same day, told on the first for the twenty-fifth."""
        assert broken() is None

    @pytest.mark.parametrize(
        ("owed_minor", "reason"),
        [(0, "paid"), (-1, "paid"), (49_999, "amount_changed"), (50_001, "amount_changed")],
    )
    def test_not_when_the_bill_owes_something_else(self, owed_minor: int, reason: str) -> None:
        """Neither too much nor a bill that was paid another way."""
        assert broken(owed_minor=owed_minor) == reason

    def test_not_without_a_notice(self) -> None:
        """Nobody is debited by surprise."""
        assert broken(told=None) == "no_notice"

    def test_not_with_a_notice_of_another_amount(self) -> None:
        """A notice of another amount is no notice."""
        other = Notice(
            amount_minor=40_000, currency="KZT", charge_on=PLANNED.charge_on, noticed_at=AT
        )

        assert broken(told=other) == "notice_differs"

    def test_not_earlier_than_promised(self) -> None:
        """The notice said from the 26th; the 25th is too early."""
        other = Notice(
            amount_minor=50_000, currency="KZT", charge_on=date(2026, 2, 26), noticed_at=AT
        )

        assert broken(told=other) == "notice_differs"

    @pytest.mark.parametrize(("promised", "reason"), [(20, None), (19, "notice_too_old")])
    def test_not_much_later_than_promised(self, promised: int, reason: str | None) -> None:
        """As long after the day that was told as a notice must come before it, and no longer."""
        other = Notice(
            amount_minor=50_000, currency="KZT", charge_on=date(2026, 2, promised), noticed_at=AT
        )

        assert broken(told=other) == reason

    @pytest.mark.parametrize(("noticed_on", "reason"), [(20, None), (21, "notice_too_short")])
    def test_not_without_five_days_to_react(self, noticed_on: int, reason: str | None) -> None:
        """Told on the 20th for the 25th is just in time; on the 21st it is not."""
        assert broken(noticed_on=date(2026, 2, noticed_on)) == reason


def broken(
    *, told: Notice | None = TOLD, noticed_on: date = date(2026, 2, 1), owed_minor: int = 50_000
) -> str | None:
    return notice.broken_promise(PLANNED, notice=told, noticed_on=noticed_on, owed_minor=owed_minor)


class TestDays:
    """The days of a debit ..."""

    def test_are_the_due_day_when_told_in_time(self) -> None:
        """Early notice does not make the debit early."""
        assert notice.first_charge_day(
            due_on=date(2026, 2, 25), today=date(2026, 2, 1), currency="KZT"
        ) == date(2026, 2, 25)

    def test_move_on_when_told_late(self) -> None:
        """A late notice still leaves its five days; the fifth is a Saturday, so it is Monday."""
        assert notice.first_charge_day(
            due_on=date(2026, 2, 25), today=date(2026, 2, 23), currency="KZT"
        ) == date(2026, 3, 2)

    @pytest.mark.parametrize(
        ("currency", "due_on", "charge_on"),
        [
            ("KZT", date(2026, 3, 25), date(2026, 3, 26)),  # the last day of Nowruz
            ("EUR", date(2026, 3, 25), date(2026, 3, 25)),  # a Wednesday
            ("EUR", date(2026, 5, 1), date(2026, 5, 4)),  # labour day, a Friday
            ("KZT", date(2026, 10, 25), date(2026, 10, 27)),  # a Sunday, and its day in lieu
            ("KZT", date(2026, 1, 31), date(2026, 2, 2)),  # into the next month
        ],
    )
    def test_are_days_on_which_banks_are_open(
        self, currency: str, due_on: date, charge_on: date
    ) -> None:
        """What is announced is the day on which the bank takes it, and the month that it is in."""
        assert charge_on == notice.first_charge_day(
            due_on=due_on, today=date(2026, 1, 5), currency=currency
        )

    def test_move_on_over_long_holidays(self) -> None:
        """Told on the 19th of March: five days later banks have been open for one day only."""
        assert notice.first_charge_day(
            due_on=date(2026, 3, 20), today=date(2026, 3, 19), currency="KZT"
        ) == date(2026, 3, 27)
