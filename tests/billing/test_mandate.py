"""A mandate: what it allows, what it does not, and whose word counts."""

from datetime import UTC, datetime

import pytest

from billing import mandate
from billing.bank import MandateStatus
from billing.mandate import Allowed, Caps, CapsError, Enrolment, Held, Mandate, Refused, State

AT = datetime(2026, 2, 1, tzinfo=UTC)


def a_mandate(*, state: State = State.ACTIVE, enrolment: Enrolment = Enrolment.ACTIVE) -> Mandate:
    return Mandate(
        account_id="ACC-1",
        mandate_id="M-1",
        state=state,
        enrolment=enrolment,
        caps=Caps(payment_minor_max=50_000, month_minor_max=80_000),
        currency="KZT",
        return_digest=bytes(32),
        bank_mandate_id="MD1",
        created_at=AT,
        changed_at=AT,
    )


def asked(wanted: Mandate, *, amount_minor: int = 50_000, month_minor: int = 0) -> object:
    return mandate.may_debit(
        wanted, amount_minor=amount_minor, currency="KZT", month_minor=month_minor
    )


class TestPermission:
    """A mandate ..."""

    def test_allows_up_to_the_cap(self) -> None:
        """The cap itself still fits."""
        assert asked(a_mandate(), amount_minor=50_000) == Allowed()

    def test_holds_what_is_over_the_cap_of_one_payment(self) -> None:
        """One tiyn too much is too much."""
        assert asked(a_mandate(), amount_minor=50_001) == Held(reason="over_cap")

    @pytest.mark.parametrize(
        ("month_minor", "answer"),
        [(30_000, Allowed()), (30_001, Held(reason="over_month_cap"))],
    )
    def test_counts_the_whole_month(self, month_minor: int, answer: object) -> None:
        """What other bills take in the month uses the cap up as well."""
        assert asked(a_mandate(), month_minor=month_minor) == answer

    @pytest.mark.parametrize("state", [State.INVITED, State.PENDING])
    def test_holds_until_the_bank_says_active(self, state: State) -> None:
        """A suspended mandate is pending again, and nothing is taken under it."""
        assert asked(a_mandate(state=state)) == Held(reason="mandate_pending")

    @pytest.mark.parametrize("state", [State.CANCELLED, State.FAILED, State.EXPIRED])
    def test_refuses_once_it_is_over(self, state: State) -> None:
        """An ended mandate is ended for good."""
        assert asked(a_mandate(state=state)) == Refused(reason="mandate_ended")

    def test_holds_while_the_resident_pauses(self) -> None:
        """The bank's yes does not outweigh the resident's wait."""
        assert asked(a_mandate(enrolment=Enrolment.PAUSED)) == Held(reason="paused")

    def test_refuses_once_the_resident_cancelled(self) -> None:
        """The bank may say active for days after; the resident has said no."""
        cancelled = a_mandate(enrolment=Enrolment.CANCELLED)

        assert asked(cancelled) == Refused(reason="cancelled_by_resident")

    def test_holds_another_currency(self) -> None:
        """Fifty thousand of something else is another amount."""
        answer = mandate.may_debit(a_mandate(), amount_minor=1, currency="EUR", month_minor=0)

        assert answer == Held(reason="currency_differs")


class TestCaps:
    """A resident's caps ..."""

    @pytest.mark.parametrize(("payment", "month"), [(0, 10), (-1, 10), (10, 9), (10, 2**63)])
    def test_must_hold_together(self, payment: int, month: int) -> None:
        """Caps that contradict each other would hold every bill for ever."""
        with pytest.raises(CapsError):
            Caps(payment_minor_max=payment, month_minor_max=month)


class TestMerge:
    """What the bank says of a mandate ..."""

    @pytest.mark.parametrize(
        ("status", "state"),
        [
            (MandateStatus.PENDING_CUSTOMER_APPROVAL, State.PENDING),
            (MandateStatus.PENDING_SUBMISSION, State.PENDING),
            (MandateStatus.SUBMITTED, State.PENDING),
            (MandateStatus.ACTIVE, State.ACTIVE),
            (MandateStatus.SUSPENDED_BY_PAYER, State.PENDING),
            (MandateStatus.CANCELLED, State.CANCELLED),
            (MandateStatus.FAILED, State.FAILED),
            (MandateStatus.BLOCKED, State.FAILED),
            (MandateStatus.EXPIRED, State.EXPIRED),
            (MandateStatus.CONSUMED, State.EXPIRED),
            (None, State.INVITED),
        ],
    )
    def test_becomes_ours(self, status: MandateStatus | None, state: State) -> None:
        """Every word of the bank has a meaning here, and an unknown one changes nothing."""
        assert mandate.merge(State.INVITED, status) is state

    @pytest.mark.parametrize("state", [State.CANCELLED, State.FAILED, State.EXPIRED])
    def test_revives_nothing(self, state: State) -> None:
        """Consent that ended is given anew, never assumed."""
        assert mandate.merge(state, MandateStatus.ACTIVE) is state
