"""Who is let in, and how often: tokens, and the rate limit when it is switched on."""

from datetime import timedelta
from typing import Any

import pytest

from tests.fixtures_bank import BANK_START, SimulatedBank, StartBank

BAKERY = {"customers": {"company_name": "Bakery"}}


@pytest.fixture
def bank(near_bank: SimulatedBank) -> SimulatedBank:
    """Return a bank in this process: what stands on its sockets is what is tested here."""
    return near_bank


async def look(bank: SimulatedBank) -> tuple[int, str, str]:
    """Read one page; return the status, what is left and until when."""
    async with bank.session.get(bank.url + "/payments", headers=bank.headers) as answer:
        told = answer.headers
        return answer.status, told["ratelimit-remaining"], told["ratelimit-reset"]


async def refused(bank: SimulatedBank, path: str, body: dict[str, Any]) -> bool:
    """Say whether the control port refuses."""
    async with bank.session.post(bank.control_url + path, json=body) as answer:
        return answer.status == 422


class TestRateLimit:
    """The rate limit ..."""

    async def test_is_off_unless_switched_on(self, bank: SimulatedBank) -> None:
        """A test that sends two thousand requests is not about the limit."""
        seen = {await look(bank) for _ in range(20)}

        assert seen == {(200, "1000", "Thu, 01 Jan 2026 00:01:00 GMT")}

    async def test_counts_down_refuses_and_begins_anew(self, bank: SimulatedBank) -> None:
        """By the bank's clock: a client that waits until the reset is let in again."""
        await bank.control("POST", "/rate-limit", {"per_minute": 3})
        within = [await look(bank) for _ in range(3)]
        over = await look(bank)
        await bank.advance(BANK_START + timedelta(seconds=59))
        still = await look(bank)
        await bank.advance(BANK_START + timedelta(minutes=1))
        again = await look(bank)

        first = "Thu, 01 Jan 2026 00:01:00 GMT"
        assert within == [(200, "2", first), (200, "1", first), (200, "0", first)]
        assert over == still == (429, "0", first)
        assert again == (200, "2", "Thu, 01 Jan 2026 00:02:00 GMT")

    async def test_does_nothing_of_what_it_refuses(self, bank: SimulatedBank) -> None:
        """A 429 promises that nothing was done."""
        await bank.control("POST", "/rate-limit", {"per_minute": 1})
        first, _ = await bank.api("POST", "/customers", BAKERY, key="k")
        second, refusal = await bank.api("POST", "/customers", BAKERY, key="other")
        await bank.control("POST", "/rate-limit", {"per_minute": None})
        third, _ = await bank.api("POST", "/customers", BAKERY, key="other")

        assert (first, second, third) == (201, 429, 201)
        assert refusal["error"]["errors"][0]["reason"] == "rate_limit_exceeded"

    async def test_is_a_whole_number(self, shared_bank: SimulatedBank) -> None:
        """A limit misspelled must not be no limit."""
        for wrong in ({"per_minute": 0}, {"per_minute": "3"}, {"per_minute": True}, {"per": 3}, {}):
            assert await refused(shared_bank, "/rate-limit", wrong)


class TestToken:
    """A token ..."""

    async def test_is_rotated_in_the_middle_of_a_run(self, bank: SimulatedBank) -> None:
        """The old one is a stranger's from one request to the next."""
        before, _ = await bank.api("GET", "/payments")
        await bank.control("POST", "/token", {"token": "fresh"})
        old, refusal = await bank.api("GET", "/payments")
        bank.headers["Authorization"] = "Bearer fresh"
        new, _ = await bank.api("GET", "/payments")

        assert (before, old, new) == (200, 401, 200)
        assert refusal["error"]["type"] == "invalid_api_usage"

    async def test_that_may_only_read_writes_nothing(self, open_near_bank: StartBank) -> None:
        """The contract's 403: the caller is known, and this is not his to do."""
        bank = await open_near_bank(more=("--read-only-token", "reader"))
        bank.headers["Authorization"] = "Bearer reader"
        read, _ = await bank.api("GET", "/customers")
        wrote, refusal = await bank.api("POST", "/customers", BAKERY)
        _, page = await bank.api("GET", "/customers")

        assert (read, wrote) == (200, 403)
        assert refusal["error"]["errors"] == [
            {"reason": "insufficient_permissions", "message": "Insufficient permissions"}
        ]
        assert page["customers"] == []

    @pytest.mark.parametrize("wrong", [{"token": ""}, {"token": 7}, {"secret": "x"}, {}])
    async def test_needs_a_name(self, shared_bank: SimulatedBank, wrong: dict[str, Any]) -> None:
        """An empty token would let everybody in."""
        assert await refused(shared_bank, "/token", wrong)
