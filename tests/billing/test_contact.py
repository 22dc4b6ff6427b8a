"""Where residents are written to, and who hears when that changes."""

from datetime import timedelta

import asyncpg
import pytest
from structlog.testing import capture_logs

from billing.contact import BadAddressError, Range, address_of
from billing.io.contacts import Contacts, NewContact, hearers
from billing.paper.words import Language
from tests.billing.debit_town import DebitTown, day
from tests.billing.fake_mailer import FakeMailer
from tests.billing.mail_town import delivered, reads_mail, said

AT = day("02-02")


class TestAddress:
    """An address ..."""

    @pytest.mark.parametrize(
        "text",
        ["a@b.kz", "aigul.n+gas@mail.example.kz", "o'neil@b.kz", "a@xn--80ak6aa92e.kz"],
    )
    def test_may_be_of_the_kinds_people_have(self, text: str) -> None:
        """Dots, a plus, an apostrophe, a domain of another script in its ASCII form."""
        assert address_of(text) == text

    @pytest.mark.parametrize(
        "text",
        [
            "", "aigul", "a@b", "@b.kz", "a@.kz", "a@b..kz", "a@-b.kz", "a b@c.kz", "a@b.kz ",
            "a@b.kz\n", "a@b.kz\r\nBcc: c@d.kz", "a,b@c.kz", "<a@b.kz>", '"a b"@c.kz', "a@b.kz\x00",
            "айгүл@пошта.қаз", "a" * 65 + "@b.kz", "a@" + "b" * 64 + ".kz", "a@[127.0.0.1]",
            "a@" + "b." * 130 + "kz", ".a@b.kz", "a.@b.kz", "a@b@c.kz",
        ],
    )  # fmt: skip
    def test_is_refused_when_a_mail_could_go_elsewhere(self, text: str) -> None:
        """Nothing that a relay, a header or a list of readers could read otherwise."""
        with pytest.raises(BadAddressError) as caught:
            address_of(text)

        assert not text or text not in str(caught.value)

    def test_range_holds_both_its_ends(self) -> None:
        """From 100 to 200 means 100 and 200 too."""
        quiet = Range(from_minor=100, to_minor=200)

        assert [amount in quiet for amount in (99, 100, 200, 201)] == [False, True, True, False]
        with pytest.raises(ValueError, match="range"):
            Range(from_minor=2, to_minor=1)


@pytest.fixture
async def town(owner: asyncpg.Connection) -> DebitTown:
    town = DebitTown(owner)
    await town.account()
    return town


@pytest.mark.usefixtures("town")
class TestAChange:
    """A change of the address ..."""

    async def test_is_told_to_the_old_one_and_the_new(self, pool: asyncpg.Pool) -> None:
        """Whoever took an account over cannot keep it from its owner."""
        await reads_mail(pool, AT, address="old@mail.example")
        await reads_mail(pool, AT + timedelta(days=9), address="new@mail.example")

        mailer = FakeMailer()
        await delivered(pool, mailer, AT + timedelta(days=9))
        assert said(mailer) == [
            "old@mail.example: ru contact_change/1/1",
            "old@mail.example: ru contact_change/2/1",
            "new@mail.example: ru contact_change/2/2",
        ]

    async def test_twice_in_a_row_is_told_to_the_first_as_well(self, pool: asyncpg.Pool) -> None:
        """Else two quick changes would make the second one silent."""
        for hours, address in ((0, "a@b.kz"), (1, "b@b.kz"), (2, "c@b.kz")):
            await reads_mail(pool, AT + timedelta(hours=hours), address=address)

        mailer = FakeMailer()
        await delivered(pool, mailer, AT + timedelta(hours=2))
        assert said(mailer)[-3:] == [
            "a@b.kz: ru contact_change/3/1",
            "b@b.kz: ru contact_change/3/2",
            "c@b.kz: ru contact_change/3/3",
        ]

    async def test_to_none_is_told_to_the_old_one(self, pool: asyncpg.Pool) -> None:
        """To be written to no more is the change that needs telling most."""
        await reads_mail(pool, AT)
        await reads_mail(pool, AT + timedelta(hours=1), address=None)

        mailer = FakeMailer()
        await delivered(pool, mailer, AT + timedelta(hours=1))
        assert said(mailer)[-1] == "aigul@mail.example: ru contact_change/2/1"

    async def test_is_heard_of_by_an_old_address_for_three_days(self, pool: asyncpg.Pool) -> None:
        """As long as a new bank account cools off; then the old address is out of it."""
        await reads_mail(pool, AT, address="old@mail.example")
        await reads_mail(pool, AT + timedelta(days=1), address="new@mail.example")

        async def hear(hours: int) -> list[int]:
            at = AT + timedelta(days=1, hours=hours)
            async with pool.acquire() as connection:
                return await hearers(connection, "ACC-1", at=at)

        assert (await hear(0), await hear(71), await hear(72)) == ([1, 2], [1, 2], [2])

    async def test_of_the_language_alone_is_told_to_nobody(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """There is nothing to warn of; and the same word again is no word."""
        contacts = Contacts(pool=pool, mails=True)
        await reads_mail(pool, AT)
        await reads_mail(pool, AT, language=Language.KK)
        again = await contacts.say(
            "ACC-1", NewContact(address="aigul@mail.example", language=Language.KK), at=AT
        )

        assert again.revision == 2
        assert await owner.fetchval("SELECT count(*) FROM message") == 1

    async def test_is_forgotten_after_a_month(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """An address that nobody needs any more is not kept; what is said of it stays."""
        await reads_mail(pool, AT, address="old@mail.example")
        await reads_mail(pool, AT + timedelta(days=1), address="new@mail.example")
        mailer = FakeMailer()
        await delivered(pool, mailer, AT + timedelta(days=30))
        kept = "SELECT coalesce(address, 'forgotten') FROM contact ORDER BY revision"
        assert [row[0] for row in await owner.fetch(kept)] == [
            "old@mail.example",
            "new@mail.example",
        ]

        counts = await delivered(pool, mailer, AT + timedelta(days=31, seconds=1))
        assert counts.forgotten == 1
        assert [row[0] for row in await owner.fetch(kept)] == ["forgotten", "new@mail.example"]

    async def test_leaves_no_address_in_the_log_nor_in_a_message(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Logs are read by more people than the table."""
        with capture_logs() as lines:
            await reads_mail(pool, AT)
            mailer = FakeMailer()
            mailer.script.append(451)
            await delivered(pool, mailer, AT)
            await delivered(pool, mailer, AT + timedelta(hours=1))

        rows = await owner.fetch("SELECT message::text FROM message")
        assert lines
        assert "aigul" not in str(lines) + str(rows) + repr(await Contacts(pool=pool).now("ACC-1"))
