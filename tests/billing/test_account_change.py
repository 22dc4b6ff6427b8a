"""Another bank account: told to everybody, cooled off for three days, and only then debited."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import count
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from billing.account_change import AccountChange
from billing.enrol import cancel, pause, resume
from billing.io.debits import Debits
from billing.link import MandateExistsError, finish_link, start_link
from billing.mandate import Caps
from billing.policy import BillPolicy
from billing.switch import switch
from tests.billing.debit_town import DebitTown, day, recorded, told
from tests.billing.fake_bank import FakeBank
from tests.billing.fake_mailer import FakeMailer
from tests.billing.mail_town import delivered, reads_mail, said

AT = day("02-02")
HOUR = timedelta(hours=1)
CAPS = Caps(payment_minor_max=500_000, month_minor_max=900_000)


class Numbers:
    """Unguessable names that a test can guess."""

    def __init__(self) -> None:
        self._next: Iterator[int] = count(1)

    def token_hex(self, nbytes: int, /) -> str:
        """Return the next number, as long as a real one."""
        return f"{next(self._next):0{2 * nbytes}x}"


class Resident:
    """The resident of ACC-1, whose mandate M-1 is debited."""

    def __init__(self, store: Debits, bank: FakeBank, owner: asyncpg.Connection) -> None:
        self.store, self.bank, self.owner, self.tokens = store, bank, owner, Numbers()

    async def change(self, *, changing: bool = True, agrees: bool = True) -> str:
        """Name another bank account, and agree to it on the bank's page."""
        link = await start_link(
            store=self.store,
            bank=self.bank,
            account_id="ACC-1",
            caps=CAPS,
            scheme="kz_direct",
            return_url="https://gas.example/back",
            at=AT,
            tokens=self.tokens,
            changing=changing,
        )
        if agrees:
            await self.agree()
        return link.mandate_id

    async def agree(self, at: datetime = AT) -> None:
        """Agree on the bank's page and come back."""
        self.bank.agree(f"BRQ{len(self.bank.requests)}", "MD2")
        (word,) = parse_qs(urlsplit(self.bank.flows[-1][0]).query)["link"]
        await finish_link(store=self.store, bank=self.bank, secret=word, at=at)

    async def mandates(self) -> list[str]:
        """Return the mandates of the account, as the bank and as the resident see them."""
        rows = await self.owner.fetch(
            "SELECT state, enrolment FROM mandate ORDER BY created_at, mandate_id"
        )
        return [f"{row[0]} {row[1]}" for row in rows]

    async def switched(self, at: datetime = AT + 72 * HOUR) -> int:
        """Let what has cooled off take its place."""
        return await switch(store=self.store, at=at, limit=10)


@pytest.fixture
async def town(owner: asyncpg.Connection) -> DebitTown:
    return DebitTown(owner)


@pytest.fixture
async def resident(town: DebitTown, pool: asyncpg.Pool) -> Resident:
    await town.home()
    return Resident(Debits(pool, BillPolicy(mails=True)), FakeBank(), town.owner)


class TestAChange:
    """A change of the bank account ..."""

    async def test_leaves_the_old_one_as_it_is_for_three_days(self, resident: Resident) -> None:
        """To the hour; the new one waits meanwhile."""
        await resident.change()

        assert await resident.mandates() == ["active active", "active waiting"]
        assert await resident.switched(AT + 72 * HOUR - timedelta(seconds=1)) == 0
        assert await resident.switched() == 1
        assert await resident.mandates() == ["active cancelled", "active active"]
        assert await resident.switched() == 0

    async def test_cools_off_from_when_the_account_was_named(self, resident: Resident) -> None:
        """He set out two days ago, and somebody named an account at the bank only now."""
        await resident.change(agrees=False)
        await resident.agree(at=AT + 48 * HOUR)

        assert await resident.switched(AT + 120 * HOUR - timedelta(seconds=1)) == 0
        assert await resident.switched(AT + 120 * HOUR) == 1
        usable_at = await resident.owner.fetchval(
            "SELECT about ->> 'usable_at' FROM message WHERE message_id LIKE '%/done/%'"
        )
        assert datetime.fromisoformat(usable_at) == AT + 120 * HOUR

    async def test_is_told_to_the_old_address_too(
        self, resident: Resident, pool: asyncpg.Pool
    ) -> None:
        """Address first, account next: the address before still hears of both."""
        await reads_mail(pool, AT - timedelta(days=9), address="old@mail.example")
        await reads_mail(pool, AT, address="new@mail.example")
        await delivered(pool, FakeMailer(), AT)
        new = await resident.change()

        mailer = FakeMailer()
        await delivered(pool, mailer, AT)
        assert said(mailer) == [
            f"old@mail.example: ru account_change/{new}/begun/1",
            f"new@mail.example: ru account_change/{new}/begun/2",
        ]

    async def test_debits_nothing_from_the_new_one_before(
        self, resident: Resident, town: DebitTown
    ) -> None:
        """Announced and recorded under the old mandate, as if nothing had happened."""
        await resident.change()
        await told(resident.store, AT + 71 * HOUR)

        assert await town.owner.fetchval("SELECT mandate_id FROM debit") == "M-1"

    async def test_announces_anew_what_the_bank_has_not_seen(
        self, resident: Resident, town: DebitTown
    ) -> None:
        """What was announced from the old account is not taken from the new one untold."""
        new = await resident.change()
        await told(resident.store, AT)
        await resident.switched()
        assert await town.states() == ["2026-01/1 cancelled account_changed"]

        await told(resident.store, day("02-06"))
        rows = await town.owner.fetch("SELECT mandate_id, state FROM debit ORDER BY attempt")
        assert [tuple(row) for row in rows] == [("M-1", "cancelled"), (new, "noticed")]

    async def test_is_called_off_by_one_call(self, resident: Resident) -> None:
        """Cancelling the new mandate is enough; the old one goes on."""
        new = await resident.change()
        await cancel(store=resident.store, account_id="ACC-1", mandate_id=new, at=AT + HOUR)
        await cancel(store=resident.store, account_id="ACC-1", mandate_id=new, at=AT + HOUR)

        assert await resident.switched(AT + 99 * HOUR) == 0
        assert await resident.mandates() == ["active active", "active cancelled"]
        outcome = await resident.owner.fetchval("SELECT outcome FROM account_change")
        assert outcome == "cancelled"

    async def test_without_an_old_account_debits_none_meanwhile(
        self, resident: Resident, town: DebitTown
    ) -> None:
        """Cancelling the old one first is no way around the three days."""
        await cancel(store=resident.store, account_id="ACC-1", mandate_id="M-1", at=AT)
        await resident.change(changing=False)
        assert await resident.mandates() == ["active cancelled", "active waiting"]

        await told(resident.store, AT + 71 * HOUR)
        assert await town.states() == []
        await resident.switched()
        await told(resident.store, AT + 73 * HOUR)
        assert await town.states() == ["2026-01/1 noticed"]

    async def test_of_the_first_account_is_none(self, town: DebitTown, pool: asyncpg.Pool) -> None:
        """There is nothing to change from, and nobody to warn."""
        await town.account()
        newcomer = Resident(Debits(pool), FakeBank(), town.owner)
        await newcomer.change(changing=False)

        assert await newcomer.mandates() == ["active active"]
        assert await town.owner.fetchval("SELECT count(*) FROM account_change") == 0

    async def test_is_one_at_a_time(self, resident: Resident) -> None:
        """Calling again before the bank's page goes on; after it there is one already."""
        first = await resident.change(agrees=False)
        assert await resident.change() == first
        with pytest.raises(MandateExistsError):
            await resident.change()

    async def test_that_the_bank_has_not_agreed_to_waits_for_it(self, resident: Resident) -> None:
        """Three days alone make no mandate."""
        await resident.change(agrees=False)

        assert await resident.switched() == 0
        assert await resident.mandates() == ["active active", "invited waiting"]


class TestAPause:
    """A pause ..."""

    async def test_of_the_new_mandate_counts_from_the_day_it_would_be_debited(
        self, resident: Resident
    ) -> None:
        """One call, while it cools off, and no way around the three days by resuming."""
        new = await resident.change()
        one = {"store": resident.store, "account_id": "ACC-1", "mandate_id": new, "at": AT}
        await pause(**one)
        await resume(**one)
        assert await resident.mandates() == ["active active", "active waiting"]
        await pause(**one)

        await resident.switched()
        assert await resident.mandates() == ["active cancelled", "active paused"]

    async def test_of_the_old_mandate_goes_on_under_the_new_one(self, resident: Resident) -> None:
        """The wish is about the money, not about the account it comes from."""
        await resident.change()
        await pause(store=resident.store, account_id="ACC-1", mandate_id="M-1", at=AT)

        await resident.switched()
        assert await resident.mandates() == ["active cancelled", "active paused"]


class TestTheThreeDays:
    """The three days ..."""

    def test_cannot_be_shortened(self) -> None:
        """A change that does not cool off is refused at birth."""
        with pytest.raises(ValueError, match="72 hours"):
            AccountChange(account_id="A", mandate_id="M-1", begun_at=AT, usable_at=AT + 71 * HOUR)

    async def test_are_kept_by_the_database_too(
        self, resident: Resident, pool: asyncpg.Pool
    ) -> None:
        """Whatever the code above it believes."""
        await resident.change()

        with pytest.raises(asyncpg.CheckViolationError, match="done_has_cooled_off"):
            await pool.execute(
                "UPDATE account_change SET outcome = 'done', ended_at = $1", AT + 71 * HOUR
            )

    async def test_let_nothing_be_recorded_under_a_mandate_that_waits(
        self, resident: Resident, town: DebitTown
    ) -> None:
        """Even a debit that stands there by somebody's mistake is not ordered."""
        await resident.change()
        await told(resident.store, AT)
        new = await town.owner.fetchval("SELECT mandate_id FROM account_change")
        await town.owner.execute("UPDATE debit SET mandate_id = $1, charge_on = $2", new,
            date(2026, 2, 25))  # fmt: skip

        assert (await recorded(resident.store, day("02-22"))).recorded == 0
