"""Who tells the payer: the creditor before the deadline, or the bank after it."""

from typing import Any

import pytest

from tests.simulators.teller import Teller, at


async def notice(teller: Teller, **query: str) -> dict[str, Any]:
    """Return the one notification of the one event that matches."""
    (event,) = await teller.events(**query)
    (carried,) = event["customer_notifications"]
    found: dict[str, Any] = carried
    return found


class TestNotification:
    """A notification ..."""

    async def test_comes_with_the_event_and_its_deadline(self, teller: Teller) -> None:
        """Twelve hours in which we may say that we have told the payer ourselves."""
        payment_id = await teller.pay()

        carried = await notice(teller, payment=payment_id)

        assert (carried["type"], carried["mandatory"]) == ("payment_created", True)
        assert carried["deadline"] == "2026-01-01T12:00:00.000Z"

    async def test_is_handled_once_and_in_time(self, teller: Teller) -> None:
        """The second of two processes learns that it need not write."""
        payment_id = await teller.pay()
        carried = await notice(teller, payment=payment_id)
        await teller.advance(at(1, hour=11))

        status, handled = await teller.act("customer_notifications", carried["id"], "handle")
        again, refusal = await teller.act("customer_notifications", carried["id"], "handle")

        assert (status, handled["action_taken"]) == (200, "handled")
        assert handled["action_taken_at"] == "2026-01-01T11:00:00.000Z"
        assert handled["links"]["payment"] == payment_id
        assert set(handled["links"]) == {"customer", "event", "mandate", "payment"}
        assert (again, refusal["reason"]) == (422, "already_actioned")

    async def test_is_the_banks_after_the_deadline(self, teller: Teller) -> None:
        """Then the bank has written, and a second letter would say the same in other words."""
        carried = await notice(teller, payment=await teller.pay())
        await teller.advance(at(1, hour=12))

        status, refusal = await teller.act("customer_notifications", carried["id"], "handle")

        assert (status, refusal["reason"]) == (422, "already_actioned")

    @pytest.mark.parametrize(
        ("query", "name"),
        [
            ({"resource_type": "mandates", "action": "created"}, "mandate_created"),
            ({"resource_type": "payments", "action": "cancelled"}, "payment_cancelled"),
        ],
    )
    async def test_tells_of_mandates_and_cancellations_too(
        self, teller: Teller, query: dict[str, str], name: str
    ) -> None:
        """The beginning of a permission, and a debit that will not come after all."""
        payment_id = await teller.pay()
        await teller.act("payments", payment_id, "cancel")

        assert (await notice(teller, **query))["type"] == name

    async def test_nobody_gave_out_is_not_found(self, teller: Teller) -> None:
        """An id that was made up is no notification."""
        status, _ = await teller.act("customer_notifications", "PCN0", "handle")

        assert status == 404
