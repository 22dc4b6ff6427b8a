"""What a payer allowed, held by the bank itself whoever asks for more."""

from datetime import datetime

import pytest

from simulators.bank import limits
from tests.simulators.teller import Teller, at


class TestCaps:
    """The payer's caps ..."""

    async def test_refuse_one_unit_too_much(self, teller: Teller) -> None:
        """A cap is the resident's protection against our own meter errors."""
        mandate_id = await teller.mandate(constraints={"max_amount_per_payment": 100_000})

        allowed, _ = await teller.ask(mandate_id, amount=100_000)
        refused, refusal = await teller.ask(mandate_id, amount=100_001)

        assert (allowed, refused) == (201, 422)
        assert refusal["errors"][0]["field"] == "amount"

    async def test_add_up_over_a_month(self, teller: Teller) -> None:
        """Two bills in one month share one cap; a failed one gives its room back."""
        limit = {"period": "month", "max_total_amount": 150_000, "alignment": "calendar"}
        mandate_id = await teller.mandate(constraints={"periodic_limits": [limit]})
        _, first = await teller.ask(mandate_id, amount=100_000)

        over, _ = await teller.ask(mandate_id, amount=50_001, charge_date="2026-01-30")
        within, _ = await teller.ask(mandate_id, amount=50_000, charge_date="2026-01-30")
        next_month, _ = await teller.ask(mandate_id, amount=150_000, charge_date="2026-02-02")
        await teller.api("POST", f"/payments/{first['id']}/actions/cancel")
        again, _ = await teller.ask(mandate_id, amount=100_000)

        assert (over, within, next_month, again) == (422, 201, 201, 201)

    async def test_count_payments_and_mind_the_dates(self, teller: Teller) -> None:
        """A permission for one winter, one payment a week."""
        limit = {"period": "week", "max_payments": 1}
        constraints = {
            "start_date": "2026-01-08",
            "end_date": "2026-01-31",
            "periodic_limits": [limit],
        }
        mandate_id = await teller.mandate(constraints=constraints)

        monday, _ = await teller.ask(mandate_id, charge_date="2026-01-12")
        friday, _ = await teller.ask(mandate_id, charge_date="2026-01-16")
        next_monday, _ = await teller.ask(mandate_id, charge_date="2026-01-19")
        too_early, _ = await teller.ask(mandate_id, charge_date="2026-01-06")
        too_late, _ = await teller.ask(mandate_id, charge_date="2026-02-02")
        # Saturday the 31st is not too late by itself: the day it rolls to is.
        rolled, _ = await teller.ask(mandate_id, charge_date="2026-01-31")

        assert (monday, friday, next_monday) == (201, 422, 201)
        assert (too_early, too_late, rolled) == (422, 422, 422)

    async def test_are_shown_on_the_mandate(self, teller: Teller) -> None:
        """What was agreed can be read back."""
        limit = {"period": "month", "max_total_amount": 900_000, "max_payments": 2}
        constraints = {"max_amount_per_payment": 500_000, "periodic_limits": [limit]}
        mandate_id = await teller.mandate(constraints=constraints)

        _, found = await teller.api("GET", f"/mandates/{mandate_id}")
        assert found["mandates"]["consent_parameters"] == {
            "max_amount_per_payment": 500_000,
            "max_amount_per_period": 900_000,
            "max_payments_per_period": 2,
            "period": "month",
            "start_date": None,
            "end_date": None,
        }

    async def test_that_allow_nothing_are_no_permission(self, teller: Teller) -> None:
        """An end before the beginning is a slip of the form, not a wish of the payer's."""
        constraints = {"start_date": "2026-02-01", "end_date": "2026-01-31"}
        asked = {"mandate_request": {"currency": "KZT", "constraints": constraints}}

        status, refusal = await teller.api("POST", "/billing_requests", {"billing_requests": asked})

        assert (status, refusal["error"]["errors"][0]["request_pointer"]) == (
            422,
            "/billing_requests/mandate_request/constraints/end_date",
        )

    async def test_hold_when_a_failed_payment_is_tried_again(self, teller: Teller) -> None:
        """A retry in a month whose room is spent would take more than the payer allowed."""
        limit = {"period": "month", "max_total_amount": 150_000}
        mandate_id = await teller.mandate(constraints={"periodic_limits": [limit]})
        _, failed = await teller.ask(mandate_id, amount=100_000)
        await teller.simulate("payment_failed", failed["id"])
        await teller.ask(mandate_id, amount=100_000)

        refused, refusal = await teller.act("payments", failed["id"], "retry")
        later, again = await teller.act("payments", failed["id"], "retry", charge_date="2026-02-02")

        assert (refused, refusal["field"], refusal["request_pointer"]) == (
            422,
            "amount",
            "/data/amount",
        )
        assert (later, again["status"]) == (200, "pending_submission")

    async def test_hold_for_the_banks_own_retry(self, teller: Teller) -> None:
        """The permission ends on the 14th; the bank's next try would be on the 16th."""
        mandate_id = await teller.mandate(
            given_name="Penniless", constraints={"end_date": "2026-01-14"}
        )
        _, made = await teller.ask(mandate_id, retry_if_possible=True)
        await teller.advance(at(1, 2))

        (failed,) = await teller.events(payment=made["id"], action="failed")
        assert failed["details"]["will_attempt_retry"] is False
        assert await teller.told(payment=made["id"], action="resubmission_requested") == []

    async def test_hold_for_several_periods_at_once(self, teller: Teller) -> None:
        """A cap per week and one per month: each payment must fit into both."""
        limits_asked = [
            {"period": "week", "max_total_amount": 100_000},
            {"period": "month", "max_total_amount": 150_000},
        ]
        mandate_id = await teller.mandate(constraints={"periodic_limits": limits_asked})

        statuses = []
        for amount, day in ((100_000, 12), (1, 13), (50_001, 19), (50_000, 19)):
            charge_date = f"2026-01-{day}"
            status, _ = await teller.ask(mandate_id, amount=amount, charge_date=charge_date)
            statuses.append(status)

        assert statuses == [201, 422, 422, 201]

    @pytest.mark.parametrize(
        ("name", "alignment", "day", "expected"),
        [
            ("month", "calendar", "2026-12-31", ("2026-12-01", "2027-01-01")),
            ("year", "calendar", "2026-06-15", ("2026-01-01", "2027-01-01")),
            ("week", "calendar", "2026-01-04", ("2025-12-29", "2026-01-05")),
            ("day", "calendar", "2026-01-04", ("2026-01-04", "2026-01-05")),
            ("month", "creation_date", "2026-02-28", ("2026-02-28", "2026-03-31")),
            ("month", "creation_date", "2026-03-30", ("2026-02-28", "2026-03-31")),
            ("month", "creation_date", "2026-03-31", ("2026-03-31", "2026-04-30")),
            ("year", "creation_date", "2027-01-30", ("2026-01-31", "2027-01-31")),
            ("week", "creation_date", "2026-02-06", ("2026-01-31", "2026-02-07")),
        ],
    )
    def test_know_their_periods(
        self, name: str, alignment: str, day: str, expected: tuple[str, str]
    ) -> None:
        """A permission of 31 January has months that end in February too."""
        from_iso = datetime.fromisoformat

        found = limits.period(
            name,
            alignment,
            created_on=from_iso("2026-01-31").date(),
            day=from_iso(day).date(),
        )

        assert found == expected
