"""Every fault of the bank's own making: what it refuses, forgets, shows late or tells wrongly."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from tests.fixtures_bank import BANK_START, SimulatedBank


@pytest.fixture
def bank(near_bank: SimulatedBank) -> SimulatedBank:
    """Return a bank in this process: what stands on its sockets is what is tested here."""
    return near_bank


async def pay(
    bank: SimulatedBank, mandate_id: str, key: str | None = "k", amount: int = 7
) -> tuple[int, dict[str, Any]]:
    """Ask for one payment under a key."""
    asked = {"amount": amount, "currency": "KZT", "links": {"mandate": mandate_id}}
    return await bank.api("POST", "/payments", {"payments": asked}, key=key)


async def made(bank: SimulatedBank) -> list[dict[str, Any]]:
    """Return the payments in the bank's books, oldest first."""
    payments: list[dict[str, Any]] = (await bank.books())["payments"]
    return payments


class TestRefusal:
    """A refusal ..."""

    async def test_of_a_proxy_that_has_nobody_to_ask(self, bank: SimulatedBank) -> None:
        """503 in plain text: no envelope to read a reason from."""
        mandate_id = await bank.mandate()
        await bank.fault("unavailable", "payments.create")

        with pytest.raises(aiohttp.ContentTypeError) as refusal:
            await pay(bank, mandate_id)

        assert refusal.value.status == 503
        assert await made(bank) == []

    @pytest.mark.parametrize(("name", "left"), [("rate_limit", "0"), ("rate_limit_bare", None)])
    async def test_of_the_pace_may_not_say_until_when(
        self, bank: SimulatedBank, name: str, left: str | None
    ) -> None:
        """A client that only believes in the header would wait for ever or not at all."""
        await bank.fault(name, "payments.list")
        async with bank.session.get(bank.url + "/payments", headers=bank.headers) as answer:
            status, headers = answer.status, answer.headers

        assert status == 429
        assert headers.get("ratelimit-remaining") == left
        assert ("ratelimit-reset" in headers) is (left is not None)

    async def test_of_a_token_that_is_being_rotated(self, bank: SimulatedBank) -> None:
        """The same token is good again a moment later."""
        await bank.fault("unauthorized", "payments.list")

        first, refusal = await bank.api("GET", "/payments")
        second, _ = await bank.api("GET", "/payments")

        assert (first, second) == (401, 200)
        assert refusal["error"]["errors"][0]["reason"] == "unauthorized"

    async def test_that_names_somebody_elses_payment(self, bank: SimulatedBank) -> None:
        """Who believes a conflict without reading the payment books a stranger's money."""
        mandate_id = await bank.mandate()
        _, other = await pay(bank, mandate_id, "other", amount=900)
        await bank.fault("conflict_elsewhere", "payments.create")

        status, conflict = await pay(bank, mandate_id, "mine", amount=7)

        links = conflict["error"]["errors"][0]["links"]
        _, named = await bank.api("GET", f"/payments/{links['conflicting_resource_id']}")
        assert status == 409
        assert named["payments"]["id"] == other["payments"]["id"]
        assert named["payments"]["amount"] == 900
        assert len(await made(bank)) == 1

    async def test_that_names_a_payment_nobody_has(self, bank: SimulatedBank) -> None:
        """The first payment of a bank cannot be another's."""
        mandate_id = await bank.mandate()
        await bank.fault("conflict_elsewhere", "payments.create")

        _, conflict = await pay(bank, mandate_id)

        links = conflict["error"]["errors"][0]["links"]
        found, _ = await bank.api("GET", f"/payments/{links['conflicting_resource_id']}")
        assert found == 404
        assert await made(bank) == []


class TestKey:
    """An idempotency key ..."""

    async def test_is_known_for_thirty_days(self, bank: SimulatedBank) -> None:
        """As long as the contract promises, by the bank's clock, and not for ever."""
        mandate_id = await bank.mandate()
        await pay(bank, mandate_id)
        await bank.advance(BANK_START + timedelta(days=30) - timedelta(milliseconds=1))
        within, _ = await pay(bank, mandate_id)
        await bank.advance(BANK_START + timedelta(days=30))
        after, _ = await pay(bank, mandate_id)
        again, _ = await pay(bank, mandate_id)

        assert (within, after, again) == (409, 201, 409)
        assert len(await made(bank)) == 2

    async def test_is_forgotten_before_its_time(self, bank: SimulatedBank) -> None:
        """A bank that loses its keys debits twice, whatever we promise."""
        mandate_id = await bank.mandate()
        await pay(bank, mandate_id)
        await bank.fault("key_forgotten", "payments.create")

        forgotten, _ = await pay(bank, mandate_id)
        known, _ = await pay(bank, mandate_id)

        assert (forgotten, known) == (201, 409)
        assert len(await made(bank)) == 2


class TestStaleRead:
    """A reader of a replica that lags ..."""

    async def test_does_not_see_what_was_just_made(self, bank: SimulatedBank) -> None:
        """404 for a payment that exists: not there is not the same as not made."""
        mandate_id = await bank.mandate()
        _, answer = await pay(bank, mandate_id)
        payment_id = answer["payments"]["id"]
        await bank.fault("stale_read", times=2)

        one, _ = await bank.api("GET", f"/payments/{payment_id}")
        _, page = await bank.api("GET", "/payments")
        later, _ = await bank.api("GET", f"/payments/{payment_id}")

        assert (one, page["payments"], later) == (404, [], 200)

    async def test_sees_what_it_was_before(self, bank: SimulatedBank) -> None:
        """A cancelled payment still waits in the replica; a filter finds it under neither name."""
        mandate_id = await bank.mandate()
        _, answer = await pay(bank, mandate_id)
        path = f"/payments/{answer['payments']['id']}"
        await bank.advance(BANK_START + timedelta(hours=1))
        await bank.api("POST", f"{path}/actions/cancel")
        await bank.fault("stale_read", "payments.get", seconds=30)

        _, stale = await bank.api("GET", path)
        _, fresh = await bank.api("GET", path)

        assert stale["payments"]["status"] == "pending_submission"
        assert fresh["payments"]["status"] == "cancelled"

    async def test_catches_up_with_the_banks_clock(self, bank: SimulatedBank) -> None:
        """A lag is a time, not a state: what is older than it is seen."""
        mandate_id = await bank.mandate()
        _, answer = await pay(bank, mandate_id)
        await bank.advance(BANK_START + timedelta(seconds=60))
        await bank.fault("stale_read", "payments.get", seconds=60)

        status, _ = await bank.api("GET", f"/payments/{answer['payments']['id']}")

        assert status == 200

    async def test_loses_no_event_for_a_reader_with_a_cursor(self, bank: SimulatedBank) -> None:
        """What the replica did not have yet comes with the next page, and nothing is skipped."""
        mandate_id = await bank.mandate()
        _, page = await bank.api("GET", "/events?limit=1")
        cursor = page["events"][0]["id"]
        await bank.advance(BANK_START + timedelta(hours=1))
        await pay(bank, mandate_id, "one")
        await bank.advance(BANK_START + timedelta(hours=1, seconds=30))
        await pay(bank, mandate_id, "two")
        await bank.fault("stale_read", "events.list", seconds=30)

        _, stale = await bank.api("GET", f"/events?before={cursor}")
        _, fresh = await bank.api("GET", f"/events?before={stale['events'][0]['id']}")

        assert [event["action"] for event in stale["events"]] == ["created"]
        assert [event["action"] for event in fresh["events"]] == ["created"]
        assert stale["events"][0]["id"] != fresh["events"][0]["id"]


class TestPageShift:
    """A page that shifts ..."""

    async def test_repeats_the_row_before_it(self, bank: SimulatedBank) -> None:
        """A reader that counts rows counts a payment twice."""
        mandate_id = await bank.mandate()
        ids = []
        for number in range(4):
            _, answer = await pay(bank, mandate_id, str(number))
            ids.append(answer["payments"]["id"])
        _, first = await bank.api("GET", "/payments?limit=2")
        await bank.fault("page_shift", "payments.list")

        cursor = first["meta"]["cursors"]["after"]
        _, second = await bank.api("GET", f"/payments?limit=2&after={cursor}")

        assert [payment["id"] for payment in first["payments"]] == [ids[3], ids[2]]
        assert [payment["id"] for payment in second["payments"]] == [ids[2], ids[1]]


def _get_status(resource: dict[str, Any]) -> bool:
    return str(resource["status"]) not in {"pending_submission", "submitted", "cancelled"}


def _is_surprising(resource: dict[str, Any]) -> bool:
    return "surprise" in resource and "surprise" in resource["links"]


def _lacks_what_may_be_empty(resource: dict[str, Any]) -> bool:
    return not {"description", "reference", "metadata", "fx"} & set(resource)


class TestTwist:
    """An answer that differs from the books ..."""

    @pytest.mark.parametrize(
        ("name", "shows"),
        [
            ("new_enum", _get_status),
            ("extra_field", _is_surprising),
            ("missing_optional", _lacks_what_may_be_empty),
        ],
    )
    async def test_surprises_a_client_and_leaves_the_books_alone(
        self, bank: SimulatedBank, name: str, shows: Callable[[dict[str, Any]], bool]
    ) -> None:
        """A contract grows: a word, a field more or less must not stop a client."""
        mandate_id = await bank.mandate()
        await bank.fault(name, "payments.create")

        status, answer = await pay(bank, mandate_id)

        (kept,) = await made(bank)
        assert status == 201
        assert shows(answer["payments"])
        assert not shows(kept)
        assert answer["payments"]["id"] == kept["id"]
        assert answer["payments"]["amount"] == 7

    async def test_has_the_wrong_amount(self, bank: SimulatedBank) -> None:
        """One tyin more in the answer, the right sum in the books."""
        mandate_id = await bank.mandate()
        await bank.fault("amount_wrong", "payments.create")

        _, answer = await pay(bank, mandate_id)

        assert answer["payments"]["amount"] == 8
        assert [payment["amount"] for payment in await made(bank)] == [7]

    async def test_bears_the_id_of_another(self, bank: SimulatedBank) -> None:
        """Two payments, one id: the second is invisible to who believes it."""
        mandate_id = await bank.mandate()
        _, first = await pay(bank, mandate_id, "one")
        await bank.fault("same_id", "payments.create")

        _, second = await pay(bank, mandate_id, "two", amount=8)

        assert second["payments"]["id"] == first["payments"]["id"]
        assert second["payments"]["amount"] == 8
        assert len(await made(bank)) == 2

    async def test_is_not_counted_where_there_was_nothing_to_twist(
        self, bank: SimulatedBank
    ) -> None:
        """A fault that did nothing and says it struck makes a test that tests nothing."""
        mandate_id = await bank.mandate()
        await bank.fault("same_id", "payments.create")

        await pay(bank, mandate_id, "one")
        before = (await bank.faults())[0]["fired"]
        await pay(bank, mandate_id, "two")

        assert (before, (await bank.faults())[0]["fired"]) == (0, 1)

    @pytest.mark.parametrize("seconds", [7200, -7200])
    async def test_is_of_another_time(self, bank: SimulatedBank, seconds: int) -> None:
        """Ahead or behind, in the instants of the answer and in its Date."""
        mandate_id = await bank.mandate()
        await bank.fault("clock_skew", "mandates.get", seconds=seconds)
        path = f"{bank.url}/mandates/{mandate_id}"
        async with bank.session.get(path, headers=bank.headers) as answer:
            told, dated = (await answer.json())["mandates"], answer.headers["Date"]
        _, right = await bank.api("GET", f"/mandates/{mandate_id}")

        skewed = BANK_START + timedelta(seconds=seconds)
        assert datetime.fromisoformat(told["created_at"]) == skewed
        assert parsedate_to_datetime(dated) == skewed
        assert right["mandates"]["created_at"] == "2026-01-01T00:00:00.000Z"


class TestDate:
    """The Date of a healthy answer ..."""

    async def test_is_the_banks(self, bank: SimulatedBank) -> None:
        """A client that compares clocks compares with the bank's, conducted or not."""
        await bank.advance(datetime(2026, 3, 1, 12, tzinfo=UTC))
        async with bank.session.get(bank.url + "/payments", headers=bank.headers) as answer:
            assert answer.headers["Date"] == "Sun, 01 Mar 2026 12:00:00 GMT"
