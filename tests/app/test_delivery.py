"""From a step of the money to the relay: real tables, a real SMTP server, the shell in between."""

import asyncio
import email
from collections.abc import AsyncIterator
from datetime import timedelta
from email.policy import default
from typing import Any, cast

import asyncpg
import pytest

from app.config import Settings
from app.delivery import deliver_at, deliver_loop
from app.run import SteppedClock
from app.servers.embedded import Servers
from app.wiring import House, mailer
from billing.io.debits import Debits
from billing.paper.words import Language
from tests.billing.debit_town import DebitTown, day, told
from tests.billing.mail_town import reads_mail
from tests.contract.relay import SmtpRelay, relay

AT = day("02-02")


@pytest.fixture
async def real() -> AsyncIterator[SmtpRelay]:
    async with relay() as found:
        yield found


@pytest.fixture
async def house(
    pool: asyncpg.Pool, owner: asyncpg.Connection, real: SmtpRelay, tmp_path: Any
) -> House:
    settings = Settings(
        state=tmp_path,
        smtp_url=f"smtp://127.0.0.1:{real.port}",
        mail_from="gas@gas.example",
        public_url="https://gas.example",
    )
    await DebitTown(owner).home()
    await reads_mail(pool, AT, language=Language.KK)
    await told(Debits(pool, settings.bill_policy), AT)
    return House(settings=settings, servers=cast(Servers, None), pool=pool, clock=SteppedClock(AT))


class TestDelivery:
    """What the shell sends ..."""

    async def test_arrives_as_a_letter(self, house: House, real: SmtpRelay) -> None:
        """Announced in one transaction, written in Kazakh, taken by a relay, counted as told."""
        async with mailer(house.settings) as opened:
            assert opened is not None
            counts = await deliver_at(house, opened, AT)

        assert counts["sent"] == 2
        mail = email.message_from_bytes(real.inbox[-1], policy=default)
        subject = str(mail["Subject"]).replace("\u00a0", " ")
        assert subject.startswith("25.02.2026")
        assert "742,97 ₸" in subject
        body = mail.get_body(preferencelist=("plain",))
        assert body is not None
        assert "https://gas.example" in body.get_content()
        await told(Debits(house.pool, house.settings.bill_policy), AT + timedelta(minutes=1))
        assert await house.pool.fetchval("SELECT state FROM debit") == "noticed"

    async def test_goes_on_while_more_is_due(
        self, house: House, real: SmtpRelay, owner: asyncpg.Connection
    ) -> None:
        """A town's notices are more than a batch; the loop does not rest in between."""
        await owner.execute(
            "INSERT INTO message (account_id, message_id, kind, about, channel, state, next_try_at,"
            " queued_at) SELECT 'ACC-1', 'contact_change/9/' || n, 'contact_change', $2::jsonb,"
            " 'mail', 'queued', $1, $1 FROM generate_series(1, 120) n",
            AT,
            '{"old": false}',
        )
        stopping = asyncio.Event()
        async with mailer(house.settings) as opened:
            assert opened is not None
            running = asyncio.create_task(deliver_loop(house, opened, stopping))
            async with asyncio.timeout(30):
                while await owner.fetchval("SELECT count(*) FROM message WHERE state <> 'sent'"):
                    assert not running.done()
            stopping.set()
            await running

        assert len(real.inbox) == 122

    async def test_is_nothing_where_there_is_no_relay(self, tmp_path: Any) -> None:
        """No mailer, no loop, no surprise."""
        async with mailer(Settings(state=tmp_path)) as opened:
            assert opened is None
