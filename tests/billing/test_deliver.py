"""Delivering messages: at least once, recognisably, and never the wrong way round."""

import asyncio
from datetime import datetime, timedelta

import asyncpg
import pytest

from billing.io.outbox import Outbox, OutboxFigures
from billing.io.run_stops import RunStops
from billing.io.telling import tell
from billing.message import LEASE, TRIES_MAX, Channel, Kind, Message, Outcome, State, wait
from tests.billing.debit_town import DebitTown, day
from tests.billing.fake_mailer import FakeMailer
from tests.billing.mail_town import PlainWriter, delivered, read, reads_mail, said

AT = day("02-02")


async def queue(
    pool: asyncpg.Pool, name: str, *, at: datetime = AT, mails: bool = True
) -> Channel | None:
    message = Message(account_id="ACC-1", message_id=f"receipt/{name}", kind=Kind.RECEIPT)
    async with pool.acquire() as connection, connection.transaction():
        return await tell(connection, message, mails=mails, at=at)


async def states(owner: asyncpg.Connection) -> list[str]:
    rows = await owner.fetch(
        "SELECT concat_ws(' ', message_id, channel, state, tries, trouble) FROM message"
        " WHERE kind = 'receipt' ORDER BY message_id"
    )
    return [row[0] for row in rows]


@pytest.fixture
async def town(owner: asyncpg.Connection, pool: asyncpg.Pool) -> DebitTown:
    town = DebitTown(owner)
    await town.account()
    await reads_mail(pool, AT - timedelta(days=9))
    await owner.execute("UPDATE message SET state = 'sent', delivered_at = queued_at")
    return town


@pytest.fixture
def mailer() -> FakeMailer:
    return FakeMailer()


@pytest.mark.usefixtures("town")
class TestAMessage:
    """A message ..."""

    async def test_is_sent_once_and_marked(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, mailer: FakeMailer
    ) -> None:
        """Delivered is when the relay took it, which is all that can honestly be said."""
        await queue(pool, "1")

        assert (await delivered(pool, mailer, AT + timedelta(minutes=3))).sent == 1
        assert (await delivered(pool, mailer, AT + timedelta(minutes=4))).sent == 0
        assert said(mailer) == ["aigul@mail.example: ru receipt/1"]
        assert await states(owner) == ["receipt/1 mail sent 1"]
        row = await owner.fetchrow("SELECT * FROM message WHERE message_id = 'receipt/1'")
        assert row["delivered_at"] == AT + timedelta(minutes=3)

    async def test_of_one_cause_is_one(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """Its name is its cause; whoever comes second tells nothing."""
        assert await queue(pool, "1") is Channel.MAIL
        assert await queue(pool, "1") is None
        assert await states(owner) == ["receipt/1 mail queued 0"]

    async def test_is_not_told_when_its_cause_is_undone(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, mailer: FakeMailer
    ) -> None:
        """A receipt for money that a rollback never took would be a lie."""
        message = Message(account_id="ACC-1", message_id="receipt/1", kind=Kind.RECEIPT)
        async with pool.acquire() as connection:
            cause = connection.transaction()
            await cause.start()
            await tell(connection, message, mails=True, at=AT)
            await delivered(pool, mailer, AT)
            await cause.rollback()

        await delivered(pool, mailer, AT)
        assert (mailer.inbox, await states(owner)) == ([], [])

    async def test_committed_late_is_not_passed_over(
        self, pool: asyncpg.Pool, mailer: FakeMailer
    ) -> None:
        """An outbox that counts "sent up to here" loses what an older transaction commits later."""
        message = Message(account_id="ACC-1", message_id="receipt/old", kind=Kind.RECEIPT)
        async with pool.acquire() as connection:
            late = connection.transaction()
            await late.start()
            await tell(connection, message, mails=True, at=AT)
            await queue(pool, "young", at=AT + timedelta(seconds=1))
            await delivered(pool, mailer, AT + timedelta(minutes=1))
            await late.commit()

        await delivered(pool, mailer, AT + timedelta(minutes=2))
        assert said(mailer) == [
            "aigul@mail.example: ru receipt/young",
            "aigul@mail.example: ru receipt/old",
        ]

    @pytest.mark.parametrize("mails", [True, False])
    async def test_stands_in_the_api_where_nobody_reads_mail(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, mailer: FakeMailer, *, mails: bool
    ) -> None:
        """No relay or no address: to be published is to be delivered, in that very transaction."""
        if mails:
            await reads_mail(pool, AT, address=None)

        assert await queue(pool, "1", mails=mails) is Channel.API
        await delivered(pool, mailer, AT)
        assert await states(owner) == ["receipt/1 api sent 0"]
        assert not [line for line in said(mailer) if "receipt" in line]

    async def test_whose_reader_wants_no_mail_any_more_is_published(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, mailer: FakeMailer
    ) -> None:
        """What was queued before he said so goes nowhere."""
        await queue(pool, "1")
        await reads_mail(pool, AT, address=None)

        assert (await delivered(pool, mailer, AT)).published == 1
        assert await states(owner) == ["receipt/1 api sent 0"]


@pytest.mark.usefixtures("town")
class TestARelay:
    """A relay ..."""

    async def test_that_says_later_is_asked_later(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, mailer: FakeMailer
    ) -> None:
        """After a minute, two, four: not at once, and not for nothing."""
        await queue(pool, "1")
        mailer.script.extend([451, 451])

        assert (await delivered(pool, mailer, AT)).later == 1
        assert await states(owner) == ["receipt/1 mail queued 1 smtp_451"]
        assert await delivered(pool, mailer, AT + timedelta(seconds=59)) == await delivered(
            pool, mailer, AT + timedelta(seconds=59)
        )
        assert (await delivered(pool, mailer, AT + timedelta(minutes=1))).later == 1
        assert (await delivered(pool, mailer, AT + timedelta(minutes=2, seconds=59))).sent == 0
        assert (await delivered(pool, mailer, AT + timedelta(minutes=3))).sent == 1

    async def test_that_never_takes_it_is_given_up_after_two_days(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, mailer: FakeMailer
    ) -> None:
        """Then a person has to look; until then nothing is given up by itself."""
        await queue(pool, "1")
        mailer.script.extend([450] * TRIES_MAX)
        at = AT
        for tries in range(TRIES_MAX):
            await delivered(pool, mailer, at)
            at += wait(tries)

        assert await states(owner) == ["receipt/1 mail given_up 20 smtp_450"]
        assert timedelta(days=2) < at - AT < timedelta(days=3)
        assert (await Outbox(pool=pool).figures()).stuck == 1
        assert (await delivered(pool, mailer, at + timedelta(days=9))).sent == 0

    async def test_that_refuses_one_takes_the_next(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, mailer: FakeMailer
    ) -> None:
        """A dead address is its own reader's, and is not tried again."""
        await queue(pool, "1")
        await queue(pool, "2", at=AT + timedelta(seconds=1))
        mailer.script.append(550)

        counts = await delivered(pool, mailer, AT + timedelta(seconds=1))
        assert (counts.stuck, counts.sent) == (1, 1)
        assert await states(owner) == ["receipt/1 mail failed 1 smtp_550", "receipt/2 mail sent 1"]

    async def test_that_is_away_costs_no_try_and_is_asked_once_a_round(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, mailer: FakeMailer
    ) -> None:
        """A broken cable must not give up the letters of a town, nor knock a thousand times."""
        await queue(pool, "1")
        await queue(pool, "2", at=AT + timedelta(seconds=1))
        mailer.script.append("away")

        await delivered(pool, mailer, AT + timedelta(seconds=1))
        assert await states(owner) == [
            "receipt/1 mail queued 0 unreachable",
            "receipt/2 mail queued 0",
        ]
        assert (await delivered(pool, mailer, AT + timedelta(minutes=2))).sent == 2

    async def test_whose_answer_was_lost_gets_the_same_mail_again(
        self, pool: asyncpg.Pool, mailer: FakeMailer
    ) -> None:
        """At least once; the reader's program sees one Message-ID and the same bytes."""
        await queue(pool, "1")
        mailer.script.append("lost")
        await delivered(pool, mailer, AT)
        await delivered(pool, mailer, AT + timedelta(hours=1))

        first, second = mailer.inbox
        assert first == second
        assert read(first)["Date"] == "Mon, 02 Feb 2026 04:00:00 +0000"


@pytest.mark.usefixtures("town")
class TestSenders:
    """Processes that send ..."""

    async def test_never_send_the_same_message_at_once(
        self, pool: asyncpg.Pool, mailer: FakeMailer
    ) -> None:
        """Each message is one sender's while its lease lasts."""
        for number in range(20):
            await queue(pool, str(number))

        rounds = await asyncio.gather(*(delivered(pool, mailer, AT) for _ in range(4)))
        assert sum(one.sent for one in rounds) == 20
        assert len(set(said(mailer))) == len(mailer.inbox) == 20

    async def test_that_are_killed_lose_nothing(
        self, pool: asyncpg.Pool, mailer: FakeMailer
    ) -> None:
        """What was claimed and never settled is somebody else's when the lease has run out."""
        await queue(pool, "1")
        assert await Outbox(pool=pool).claim(at=AT) is not None

        assert (await delivered(pool, mailer, AT + LEASE - timedelta(seconds=1))).sent == 0
        assert (await delivered(pool, mailer, AT + LEASE)).sent == 1

    async def test_that_come_back_too_late_undo_nothing(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, mailer: FakeMailer
    ) -> None:
        """Another has gone on with it; only that it was sent is news in any case."""
        await queue(pool, "1")
        outbox = Outbox(pool=pool)
        slow = await outbox.claim(at=AT)
        assert slow is not None
        await delivered(pool, mailer, AT + LEASE)

        late = Outcome(state=State.FAILED, tries=1, next_try_at=AT, trouble="smtp_550")
        assert not await outbox.settle(slow, late, at=AT + LEASE)
        assert await states(owner) == ["receipt/1 mail sent 1"]

    async def test_are_not_stopped_by_a_letter_that_cannot_be_written(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, mailer: FakeMailer
    ) -> None:
        """It waits for a person, the others go."""
        await queue(pool, "1")
        await queue(pool, "2", at=AT + timedelta(seconds=1))
        writer = PlainWriter(broken={"receipt/1"})

        counts = await delivered(pool, mailer, AT + timedelta(seconds=1), writer=writer)
        assert (counts.stuck, counts.sent) == (1, 1)
        assert await states(owner) == ["receipt/1 mail failed 1 no_letter", "receipt/2 mail sent 1"]


@pytest.mark.usefixtures("town")
class TestAStoppedRun:
    """While the debit run is stopped ..."""

    async def test_keeps_notices_back_and_nothing_else(
        self, town: DebitTown, pool: asyncpg.Pool, owner: asyncpg.Connection, mailer: FakeMailer
    ) -> None:
        """Amounts that may be wrong are not announced; a receipt is true in any case."""
        await town.mandate()
        await town.bill()
        await owner.execute(
            "INSERT INTO debit (account_id, bill_no, attempt, mandate_id, state, amount_minor,"
            " currency, charge_on, changed_at) VALUES ('ACC-1', '2026-01', 1, 'M-1', 'planned',"
            " 74297, 'KZT', '2026-02-25', $1)",
            AT,
        )
        stops = RunStops(pool)
        stop = await stops.stop_by_hand(stopped_by="Dana", because="a wrong price", at=AT)
        await queue(pool, "1")
        notice = Message(
            account_id="ACC-1",
            message_id="notice/1",
            kind=Kind.NOTICE,
            about={
                "bill_no": "2026-01",
                "attempt": 1,
                "amount_minor": 74_297,
                "charge_on": "2026-02-25",
            },
        )
        async with pool.acquire() as connection, connection.transaction():
            await tell(connection, notice, mails=True, at=AT)

        assert (await delivered(pool, mailer, AT + timedelta(days=3))).sent == 1
        assert said(mailer) == ["aigul@mail.example: ru receipt/1"]
        for name in ("Olga", "Aigul"):
            await stops.release(stop.stop_no, released_by=name, because="mended", at=AT)

        assert (await delivered(pool, mailer, AT + timedelta(days=3))).sent == 1
        tries = await owner.fetchval("SELECT tries FROM message WHERE kind = 'notice'")
        assert tries == 1


@pytest.mark.usefixtures("town")
class TestFigures:
    """The figures ..."""

    async def test_say_what_waits_and_since_when(
        self, pool: asyncpg.Pool, mailer: FakeMailer
    ) -> None:
        """A number that grows with nobody looking is how letters are lost in silence."""
        outbox = Outbox(pool=pool)
        assert await outbox.figures() == OutboxFigures(waiting=0, oldest_at=None, stuck=0)

        await queue(pool, "1")
        await queue(pool, "2", at=AT + timedelta(minutes=1))
        mailer.script.append(550)
        await delivered(pool, mailer, AT)

        assert await outbox.figures() == OutboxFigures(
            waiting=1, oldest_at=AT + timedelta(minutes=1), stuck=1
        )
