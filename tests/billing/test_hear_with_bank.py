"""From the bank's own deliveries to the books: its process, its signature, our address."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from billing.hear import HearCounts, hear
from billing.io.bank import BankClient
from billing.io.bank_events import Hints
from billing.io.debits import Debits
from billing.link import finish_link, start_link
from billing.mandate import Caps
from billing.send import send
from tests.app.api_town import NEW_SECRET, OLD_SECRET, Api, served
from tests.billing.debit_town import ISSUED, TO_RECORD, DebitTown, day, recorded, told
from tests.fixtures_bank import SimulatedBank


@dataclass(kw_only=True)
class Line:
    """A bank that tells us what happens, and nobody who asks it by himself."""

    api: Api
    bank: SimulatedBank
    client: BankClient
    store: Debits
    town: DebitTown
    secrets: list[str] = field(default_factory=lambda: [NEW_SECRET, OLD_SECRET])

    async def order(self) -> None:
        """Link ACC-1 on the bank's page, and bring January's debit to the bank."""
        await self.town.account()
        link = await start_link(
            store=self.store,
            bank=self.client,
            account_id="ACC-1",
            caps=Caps(payment_minor_max=100_000, month_minor_max=150_000),
            scheme="kz_direct",
            return_url="https://gas.test/v1/mandates/return",
            at=ISSUED,
            tokens=secrets,
        )
        back = await self.bank.approve(link.authorisation_url)
        assert back is not None
        (word,) = parse_qs(urlsplit(back).query)["link"]
        await finish_link(store=self.store, bank=self.client, secret=word, at=ISSUED)
        await self.town.bill()
        await told(self.store)
        await self.bank.advance(TO_RECORD)
        await recorded(self.store)
        await send(store=self.store, bank=self.client, at=TO_RECORD, limit=9)
        assert await self.town.states() == ["2026-01/1 accepted"]

    async def listen(self) -> None:
        """Enter our address and the secrets at the bank."""
        where = {"url": f"{self.api.url}/v1/bank/webhooks", "secrets": self.secrets}
        await self.bank.control("POST", "/webhooks", where)

    async def deliver(self) -> dict[str, int]:
        """Let the bank's postman walk once."""
        return await self.bank.control("POST", "/webhooks/deliver")

    async def hear(self, month_day: str = "02-28") -> HearCounts:
        """Deal with what was delivered."""
        return await hear(
            hints=Hints(self.api.pool),
            store=self.store,
            bank=self.client,
            at=day(month_day),
            limit=100,
        )

    async def signers(self) -> list[int]:
        """Return by which of our secrets each delivery was signed."""
        rows = await self.api.owner.fetch("SELECT signed_by FROM webhook_delivery")
        return [row[0] for row in rows]


@pytest.fixture
async def line(
    pool: asyncpg.Pool, owner: asyncpg.Connection, bank: SimulatedBank
) -> AsyncIterator[Line]:
    await bank.advance(ISSUED)
    async with (
        served(pool, owner) as api,
        BankClient.open(url=bank.url, token=bank.token, total_s=5) as client,
    ):
        line = Line(api=api, bank=bank, client=client, store=Debits(pool), town=DebitTown(owner))
        await line.order()
        await line.listen()
        yield line


class TestTheBanksDeliveries:
    """What the bank delivers ..."""

    async def test_brings_a_debit_home_without_a_question_for_news(self, line: Line) -> None:
        """Taken, confirmed, paid out: nobody has read the bank's list of events."""
        await line.bank.advance(day("02-28"))
        assert "delivered" in await line.deliver()
        counts = await line.hear()

        assert counts.moved >= 1
        assert (counts.unknown, counts.broke, counts.silent) == (0, 0, 0)
        assert await line.town.states() == ["2026-01/1 settled"]
        assert await line.town.balances() == {"bank": 74_297, "revenue": -74_297}
        assert set(await line.signers()) == {1}

    @pytest.mark.parametrize(
        "fault", ["webhook_duplicated", "webhook_replayed", "webhook_shuffled", "webhook_delayed"]
    )
    async def test_may_come_in_any_manner(self, line: Line, fault: str) -> None:
        """Twice, an old one again, backwards, an hour late: the same books."""
        await line.bank.fault(fault, "webhooks.deliver", times=2)
        for month_day in ("02-25", "02-26", "02-27", "02-28"):
            await line.bank.advance(day(month_day))
            await line.deliver()
            await line.hear(month_day)

        assert await line.town.states() == ["2026-01/1 settled"]
        assert await line.town.balances() == {"bank": 74_297, "revenue": -74_297}

    @pytest.mark.parametrize("fault", ["webhook_reencoded", "webhook_forged"])
    async def test_is_refused_when_it_is_not_the_banks_and_comes_again(
        self, line: Line, fault: str
    ) -> None:
        """Damaged on the way once; the bank tries again, and then it is right."""
        await line.bank.advance(day("02-28"))
        await line.bank.fault(fault, "webhooks.deliver")
        await line.deliver()
        assert await line.signers() == []
        assert (await line.hear()).opened == 0

        await line.bank.advance(day("02-28", 11))
        await line.deliver()
        await line.hear()

        assert await line.town.states() == ["2026-01/1 settled"]

    async def test_may_be_signed_with_the_other_secret(self, line: Line) -> None:
        """In the middle of a change of secrets."""
        await line.bank.advance(day("02-28"))
        await line.bank.fault("webhook_second_secret", "webhooks.deliver")
        await line.deliver()

        assert 2 in await line.signers()
        await line.hear()
        assert await line.town.states() == ["2026-01/1 settled"]

    async def test_may_tell_of_what_nobody_has(self, line: Line) -> None:
        """One event more, of a payment that nobody knows: set aside, and the others count."""
        await line.bank.advance(day("02-28"))
        await line.bank.fault("webhook_unknown_id", "webhooks.deliver")
        await line.deliver()

        assert (await line.hear()).unknown == 1
        assert await line.town.states() == ["2026-01/1 settled"]
