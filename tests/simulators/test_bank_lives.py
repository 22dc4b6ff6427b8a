"""What happens to payments and mandates by the calendar, and what the payer's caps refuse."""

from datetime import UTC, datetime
from typing import Any

import pytest

from simulators.bank import limits
from tests.fixtures_bank import SimulatedBank, StartBank


def at(day: int, month: int = 1) -> datetime:
    """Return a midnight of 2026."""
    return datetime(2026, month, day, tzinfo=UTC)


async def pay(bank: SimulatedBank, mandate_id: str, **fields: object) -> tuple[int, dict[str, Any]]:
    """Ask for a payment of 1 000,00 on Monday, 12 January unless told otherwise."""
    currency = "KZT" if bank.iban.startswith("KZ") else "EUR"
    asked = {
        "amount": 100_000,
        "currency": currency,
        "charge_date": "2026-01-12",
        "links": {"mandate": mandate_id},
    }
    status, made = await bank.api("POST", "/payments", {"payments": asked | fields})
    return status, made.get("payments") or made["error"]


async def told(bank: SimulatedBank, **query: str) -> list[tuple[str, str]]:
    """Return (day, action) of the events that match, oldest first."""
    text = "&".join(f"{name}={value}" for name, value in query.items())
    _, page = await bank.api("GET", f"/events?limit=500&{text}")
    return [(event["created_at"][:16], event["action"]) for event in reversed(page["events"])]


class TestPayment:
    """A payment by the calendar ..."""

    @pytest.mark.parametrize(
        ("given_name", "expected"),
        [
            (
                "Successful",
                ["12T00 submitted", "13T00 confirmed", "14T09 paid_out"],
            ),
            ("Penniless", ["12T00 submitted", "13T00 failed"]),
            (
                "Fickle",
                ["12T00 submitted", "13T00 confirmed", "14T09 paid_out", "15T00 charged_back"],
            ),
            (
                "Late",
                ["12T00 submitted", "13T00 confirmed", "14T09 paid_out", "15T00 failed"],
            ),
            ("Hasty", ["12T00 submitted", "13T00 confirmed", "13T00 failed"]),
            ("Stopped", ["12T00 submitted", "13T00 confirmed", "13T00 charged_back"]),
            (
                "Forgiving",
                [
                    "12T00 submitted",
                    "13T00 confirmed",
                    "14T09 paid_out",
                    "15T00 charged_back",
                    "22T00 chargeback_cancelled",
                ],
            ),
            (
                "Moved",
                [
                    "12T00 submitted",
                    "13T00 failed",
                    "14T00 resubmission_requested",
                    "16T00 submitted",
                    "19T00 confirmed",
                    "20T09 paid_out",
                ],
            ),
        ],
    )
    async def test_lives_as_its_payer_is_named(
        self, bank: SimulatedBank, given_name: str, expected: list[str]
    ) -> None:
        """Tests written against the real sandbox choose outcomes by these names."""
        mandate_id = await bank.mandate(given_name=given_name)
        _, made = await pay(bank, mandate_id)

        await bank.advance(at(1, 2))

        steps = [f"{when[8:13]} {action}" for when, action in await told(bank, payment=made["id"])]
        assert steps == ["01T00 created", *expected]

    async def test_does_nothing_before_its_hour(self, bank: SimulatedBank) -> None:
        """Money that moves early is money taken without notice."""
        _, made = await pay(bank, await bank.mandate())

        await bank.advance(datetime(2026, 1, 11, 23, 59, 59, 999000, tzinfo=UTC))

        _, found = await bank.api("GET", f"/payments/{made['id']}")
        assert found["payments"]["status"] == "pending_submission"

    async def test_tells_the_same_story_in_one_step_or_many(self, start_bank: StartBank) -> None:
        """How often the conductor moves the clock is no fact of the bank's world."""
        stories = []
        for days in ([31], [3, 12, 13, 20, 31]):
            bank = await start_bank()
            for name in ("Late", "Penniless", "Aigul"):
                mandate_id = await bank.mandate(given_name=name)
                await pay(bank, mandate_id)
                await pay(bank, mandate_id, charge_date="2026-01-13")
            for day in days:
                await bank.advance(at(day))
            stories.append(await told(bank, resource_type="payments"))

        assert stories[0] == stories[1]
        assert len(stories[0]) == 2 * (5 + 3 + 4)

    async def test_says_why_it_failed(self, bank: SimulatedBank) -> None:
        """The cause decides whether we may ask again."""
        _, made = await pay(bank, await bank.mandate(given_name="Penniless"))
        await bank.advance(at(13))

        _, page = await bank.api("GET", f"/events?payment={made['id']}&action=failed")
        details = page["events"][0]["details"]
        assert (details["origin"], details["cause"]) == ("bank", "insufficient_funds")
        assert (details["reason_code"], details["will_attempt_retry"]) == ("AM04", False)

    async def test_is_tried_again_by_the_bank_when_asked(self, bank: SimulatedBank) -> None:
        """Whoever sets retry_if_possible must see the bank's own tries, or will debit twice."""
        mandate_id = await bank.mandate(given_name="Penniless")
        _, made = await pay(bank, mandate_id, retry_if_possible=True)
        await bank.advance(at(1, 3))

        actions = [action for _, action in await told(bank, payment=made["id"])]
        tries = ["resubmission_requested", "submitted", "failed"]
        assert actions == ["created", "submitted", "failed", *tries * 3]

    async def test_comes_no_sooner_than_the_rail_can(self, bank: SimulatedBank) -> None:
        """The file of Monday the 5th is the first after the holidays; Tuesday is the day."""
        mandate_id = await bank.mandate()

        status, refusal = await pay(bank, mandate_id, charge_date="2026-01-05")

        assert status == 422
        assert refusal["errors"] == [
            {
                "field": "charge_date",
                "message": "must be on or after 2026-01-06",
                "request_pointer": "/payments/charge_date",
            }
        ]

    async def test_ends_with_its_mandate_unless_presented(self, bank: SimulatedBank) -> None:
        """A cancelled permission reaches the payments that wait, and only those."""
        mandate_id = await bank.mandate()
        _, early = await pay(bank, mandate_id)
        _, late = await pay(bank, mandate_id, charge_date="2026-01-20")
        await bank.advance(at(12))
        await bank.api("POST", f"/mandates/{mandate_id}/actions/cancel")
        await bank.advance(at(1, 2))

        books = await bank.books()
        states = {payment["id"]: payment["status"] for payment in books["payments"]}
        assert states == {early["id"]: "paid_out", late["id"]: "cancelled"}
        assert books["collected_minor"] == 100_000

    async def test_is_refused_under_a_suspended_mandate(self, bank: SimulatedBank) -> None:
        """The payer's bank has the last word on the day itself."""
        mandate_id = await bank.mandate()
        _, made = await pay(bank, mandate_id)
        run = {"data": {"links": {"resource": mandate_id}}}
        path = "/scenario_simulators/mandate_suspended_by_payer/actions/run"
        await bank.api("POST", path, run)
        await bank.advance(at(13))

        assert (await told(bank, payment=made["id"]))[-1] == ("2026-01-12T00:00", "failed")


class TestMandate:
    """A mandate by the calendar ..."""

    async def test_is_active_at_once_on_the_instant_rail(self, bank: SimulatedBank) -> None:
        """In Kazakhstan the payer's own bank says yes while the payer looks on."""
        mandate_id = await bank.mandate()

        actions = [action for _, action in await told(bank, mandate=mandate_id)]
        assert actions == ["created", "submitted", "active"]

    async def test_takes_two_days_on_the_other(self, start_bank: StartBank) -> None:
        """A client that only knows instant mandates breaks in Europe."""
        bank = await start_bank(profile="sandbox-sepa")
        mandate_id = await bank.mandate()
        _, made = await pay(bank, mandate_id, charge_date="2026-01-05")
        await bank.advance(at(9))

        assert await told(bank, mandate=mandate_id) == [
            ("2026-01-01T00:00", "created"),
            ("2026-01-02T00:00", "submitted"),
            ("2026-01-03T00:00", "active"),
        ]
        assert (await told(bank, payment=made["id"]))[-1][1] == "paid_out"

    @pytest.mark.parametrize(("given_name", "end"), [("Invalid", "failed"), ("Expired", "expired")])
    async def test_ends_as_its_payer_is_named(
        self, bank: SimulatedBank, given_name: str, end: str
    ) -> None:
        """The sandbox's names for mandates that come to nothing."""
        mandate_id = await bank.mandate(given_name=given_name)
        await bank.advance(at(3))

        assert (await told(bank, mandate=mandate_id))[-1][1] == end
        status, refusal = await pay(bank, mandate_id)
        assert (status, refusal["errors"][0]["reason"]) == (422, "mandate_is_inactive")

    async def test_ends_with_its_account_and_its_customer(self, bank: SimulatedBank) -> None:
        """Somebody who is removed must not be debited next month."""
        mandate_id = await bank.mandate()
        _, made = await pay(bank, mandate_id)
        _, mandate = await bank.api("GET", f"/mandates/{mandate_id}")
        status, _ = await bank.api(
            "DELETE", f"/customers/{mandate['mandates']['links']['customer']}"
        )

        assert status == 204
        assert (await told(bank, mandate=mandate_id))[-1][1] == "cancelled"
        assert (await told(bank, payment=made["id"]))[-1][1] == "cancelled"


class TestCaps:
    """The payer's caps ..."""

    async def test_refuse_one_unit_too_much(self, bank: SimulatedBank) -> None:
        """A cap is the resident's protection against our own meter errors."""
        mandate_id = await bank.mandate(constraints={"max_amount_per_payment": 100_000})

        allowed, _ = await pay(bank, mandate_id, amount=100_000)
        refused, refusal = await pay(bank, mandate_id, amount=100_001)

        assert (allowed, refused) == (201, 422)
        assert refusal["errors"][0]["field"] == "amount"

    async def test_add_up_over_a_month(self, bank: SimulatedBank) -> None:
        """Two bills in one month share one cap; a failed one gives its room back."""
        limit = {"period": "month", "max_total_amount": 150_000, "alignment": "calendar"}
        mandate_id = await bank.mandate(constraints={"periodic_limits": [limit]})
        _, first = await pay(bank, mandate_id, amount=100_000)

        over, _ = await pay(bank, mandate_id, amount=50_001, charge_date="2026-01-30")
        within, _ = await pay(bank, mandate_id, amount=50_000, charge_date="2026-01-30")
        next_month, _ = await pay(bank, mandate_id, amount=150_000, charge_date="2026-02-02")
        await bank.api("POST", f"/payments/{first['id']}/actions/cancel")
        again, _ = await pay(bank, mandate_id, amount=100_000)

        assert (over, within, next_month, again) == (422, 201, 201, 201)

    async def test_count_payments_and_mind_the_dates(self, bank: SimulatedBank) -> None:
        """A permission for one winter, one payment a week."""
        limit = {"period": "week", "max_payments": 1}
        constraints = {
            "start_date": "2026-01-08",
            "end_date": "2026-01-31",
            "periodic_limits": [limit],
        }
        mandate_id = await bank.mandate(constraints=constraints)

        monday, _ = await pay(bank, mandate_id, charge_date="2026-01-12")
        friday, _ = await pay(bank, mandate_id, charge_date="2026-01-16")
        next_monday, _ = await pay(bank, mandate_id, charge_date="2026-01-19")
        too_early, _ = await pay(bank, mandate_id, charge_date="2026-01-06")
        too_late, _ = await pay(bank, mandate_id, charge_date="2026-02-02")
        # Saturday the 31st is not too late by itself: the day it rolls to is.
        rolled, _ = await pay(bank, mandate_id, charge_date="2026-01-31")

        assert (monday, friday, next_monday) == (201, 422, 201)
        assert (too_early, too_late, rolled) == (422, 422, 422)

    async def test_are_shown_on_the_mandate(self, bank: SimulatedBank) -> None:
        """What was agreed can be read back."""
        limit = {"period": "month", "max_total_amount": 900_000, "max_payments": 2}
        constraints = {"max_amount_per_payment": 500_000, "periodic_limits": [limit]}
        mandate_id = await bank.mandate(constraints=constraints)

        _, found = await bank.api("GET", f"/mandates/{mandate_id}")
        assert found["mandates"]["consent_parameters"] == {
            "max_amount_per_payment": 500_000,
            "max_amount_per_period": 900_000,
            "max_payments_per_period": 2,
            "period": "month",
            "start_date": None,
            "end_date": None,
        }

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
