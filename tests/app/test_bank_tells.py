"""The simulated bank delivers its webhooks to the served API, whatever befalls them on the way."""

from datetime import timedelta
from typing import Final

import pytest

from billing.hear import hear
from billing.io.bank import BankClient
from billing.io.bank_events import Hints
from billing.io.debits import Debits
from tests.app.api_town import AT, NEW_SECRET, OLD_SECRET, Api
from tests.fixtures_bank import BANK_START, BANK_TOKEN, SimulatedBank

# Deliveries of one webhook with two events, and how many bodies the service keeps of them.
KEPT: Final = {
    "webhook_lost": 0,
    "webhook_delayed": 0,
    "webhook_duplicated": 1,
    "webhook_shuffled": 1,
    "webhook_unknown_id": 1,
    "webhook_second_secret": 1,
    "webhook_reencoded": 0,
    "webhook_forged": 0,
}


@pytest.fixture
async def telling(bank: SimulatedBank, api: Api) -> SimulatedBank:
    """Return a bank whose events are told to the served API."""
    wanted = {"url": f"{api.url}/v1/bank/webhooks", "secrets": [NEW_SECRET, OLD_SECRET]}
    await bank.control("POST", "/webhooks", wanted)
    return bank


async def deliver(bank: SimulatedBank) -> dict[str, int]:
    """Let the bank deliver what is due."""
    return await bank.control("POST", "/webhooks/deliver")


async def known(api: Api) -> list[str]:
    """Return the events that the service has opened, each once."""
    rows = await api.owner.fetch("SELECT event_id FROM bank_hint ORDER BY event_id")
    return [row["event_id"] for row in rows]


async def listen(api: Api, bank: SimulatedBank) -> None:
    """Open what was kept and look at each event."""
    async with BankClient.open(url=bank.url, token=BANK_TOKEN) as client:
        await hear(hints=Hints(api.pool), store=Debits(api.pool), bank=client, at=AT, limit=500)


async def told(bank: SimulatedBank) -> list[str]:
    """Return every event the bank has told of, by id."""
    _, page = await bank.api("GET", "/events?limit=500")
    return sorted(event["id"] for event in page["events"])


class TestDelivery:
    """A delivery of the bank ..."""

    async def test_is_taken_and_every_event_is_known(
        self, telling: SimulatedBank, api: Api
    ) -> None:
        """The bank's own words, its signature and its batch are what the service reads."""
        await telling.mandate()

        assert await deliver(telling) == {"delivered": 1}
        await listen(api, telling)
        assert await known(api) == await told(telling)

    @pytest.mark.parametrize("name", KEPT)
    async def test_that_something_befalls_is_kept_only_if_it_is_the_banks(
        self, telling: SimulatedBank, api: Api, name: str
    ) -> None:
        """A body that was not signed as it came is refused; the bank comes again with the right."""
        await telling.mandate()
        await telling.fault(name)

        await deliver(telling)

        assert await api.owner.fetchval("SELECT count(*) FROM webhook_delivery") == KEPT[name]
        await telling.advance(BANK_START + timedelta(hours=2))
        await deliver(telling)
        await listen(api, telling)
        strangers = 1 if name == "webhook_unknown_id" else 0
        expected = [] if name == "webhook_lost" else await told(telling)
        found = await known(api)
        assert set(expected) <= set(found)
        assert len(found) == len(expected) + strangers

    async def test_of_a_month_ago_changes_nothing(self, telling: SimulatedBank, api: Api) -> None:
        """A captured webhook comes again for ever; it is counted and no event is new."""
        mandate_id = await telling.mandate()
        await deliver(telling)
        await telling.advance(BANK_START + timedelta(days=31))
        await telling.api("POST", f"/mandates/{mandate_id}/actions/cancel")
        await telling.fault("webhook_replayed")

        await deliver(telling)
        await listen(api, telling)

        assert await api.owner.fetchval("SELECT max(times) FROM webhook_delivery") == 2
        assert await known(api) == await told(telling)
