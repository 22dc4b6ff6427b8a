"""A notice by mail counts when the relay has taken it; receipts follow the money."""

import re
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import asyncpg
import pytest

from billing.announce import NoticeCounts
from billing.bank import PaymentStatus
from billing.contact import Range
from billing.debit import State
from billing.enrol import change_caps
from billing.io.contacts import Contacts, NewContact
from billing.io.debits import Debits
from billing.io.outbox import Outbox
from billing.io.writer import Writer
from billing.mandate import Caps
from billing.paper.words import Language
from billing.policy import BillPolicy
from billing.refund import Cause
from tests.billing.debit_town import (
    JANUARY,
    TO_RECORD,
    DebitTown,
    accepted,
    day,
    followed,
    recorded,
    told,
)
from tests.billing.fake_bank import FakeBank
from tests.billing.fake_mailer import FakeMailer
from tests.billing.mail_town import delivered, reads_mail, said

MAILS = BillPolicy(mails=True)
AT = day("02-02")


@pytest.fixture
async def town(owner: asyncpg.Connection) -> DebitTown:
    return DebitTown(owner)


@pytest.fixture
def store(pool: asyncpg.Pool) -> Debits:
    return Debits(pool, MAILS)


@pytest.fixture
def bank() -> FakeBank:
    return FakeBank()


@pytest.fixture
def mailer() -> FakeMailer:
    return FakeMailer()


async def home(town: DebitTown, pool: asyncpg.Pool) -> None:
    """Settle ACC-1 with January's bill, and let its resident read mail."""
    await town.home()
    await reads_mail(pool, AT - timedelta(days=9))
    await delivered(pool, FakeMailer(), AT - timedelta(days=9))


async def notices(owner: asyncpg.Connection) -> list[tuple[object, ...]]:
    rows = await owner.fetch("SELECT charge_on, channel, noticed_at FROM notice ORDER BY notice_no")
    return [tuple(row) for row in rows]


async def told_so(owner: asyncpg.Connection) -> list[str]:
    """Return what was told but the change of the contact, by name, in its order."""
    rows = await owner.fetch(
        "SELECT message_id FROM message WHERE kind <> 'contact_change' ORDER BY queued_at,"
        " message_id"
    )
    return [row[0] for row in rows]


async def step(store: Debits, state: State, hours: int) -> None:
    """Bring January's debit to a state, as whoever knows better would."""
    async with store.begin() as desk:
        before = await desk.lock_debit(JANUARY)
        assert before is not None
        at = TO_RECORD + timedelta(hours=hours)
        await desk.save_debit(before, replace(before, state=state, changed_at=at))


class TestANotice:
    """A notice by mail ..."""

    async def test_counts_when_the_relay_has_taken_it(
        self, town: DebitTown, pool: asyncpg.Pool, store: Debits, mailer: FakeMailer
    ) -> None:
        """Planned until then; what counts is the instant of delivery, not of writing."""
        await home(town, pool)

        assert await told(store) == NoticeCounts(planned=1)
        assert await town.states() == ["2026-01/1 planned"]
        await delivered(pool, mailer, day("02-02", 11))
        assert said(mailer) == ["aigul@mail.example: ru notice/2026-01/1/1-2026-02-25-74297"]

        assert await told(store, day("02-02", 12)) == NoticeCounts(noticed=1)
        assert await notices(town.owner) == [(date(2026, 2, 25), "mail", day("02-02", 11))]

    async def test_that_was_taken_back_by_a_hold_is_written_anew(
        self, town: DebitTown, pool: asyncpg.Pool, store: Debits, mailer: FakeMailer
    ) -> None:
        """Delivered, then held: that letter says that a new notice comes before any debit."""
        await home(town, pool)
        await told(store)
        await delivered(pool, mailer, day("02-02", 10))
        for hour, most_minor in ((11, 100), (12, 1_000_000)):
            await change_caps(
                store=store,
                account_id="ACC-1",
                mandate_id="M-1",
                caps=Caps(payment_minor_max=most_minor, month_minor_max=most_minor),
                at=day("02-02", hour),
            )
            await told(store, day("02-02", hour))

        assert await town.states() == ["2026-01/1 planned"]
        await delivered(pool, mailer, day("02-03"))
        assert await told(store, day("02-03", 10)) == NoticeCounts(noticed=1)
        assert await notices(town.owner) == [(date(2026, 2, 25), "mail", day("02-03"))]
        assert len([line for line in said(mailer) if "notice/" in line]) == 2

    async def test_that_is_not_delivered_lets_nothing_be_taken(
        self, town: DebitTown, pool: asyncpg.Pool, store: Debits, mailer: FakeMailer
    ) -> None:
        """The day comes nearer, the relay says no: the day moves, and nothing is recorded."""
        await home(town, pool)
        await told(store)
        mailer.script.append(550)
        await delivered(pool, mailer, AT)

        assert (await recorded(store, TO_RECORD)).recorded == 0
        await told(store, day("02-21"))
        assert await town.states() == ["2026-01/1 planned notice_undelivered"]
        assert await notices(town.owner) == []
        await delivered(pool, mailer, day("02-21"))
        await told(store, day("02-21", 12))
        assert await town.states() == ["2026-01/1 noticed"]
        assert (await notices(town.owner))[0][0] == date(2026, 3, 2)

    async def test_goes_to_another_address_when_the_first_is_dead(
        self, town: DebitTown, pool: asyncpg.Pool, store: Debits, mailer: FakeMailer
    ) -> None:
        """The resident mends a typing error, and the same notice goes out."""
        await home(town, pool)
        await told(store)
        mailer.script.append(550)
        await delivered(pool, mailer, AT)
        assert (await Outbox(pool=pool).figures()).stuck == 1

        await reads_mail(pool, AT + timedelta(hours=1), address="right@mail.example")
        await delivered(pool, mailer, AT + timedelta(hours=1))
        assert "right@mail.example: ru notice/2026-01/1/1-2026-02-25-74297" in said(mailer)
        assert (await Outbox(pool=pool).figures()).stuck == 0

    async def test_is_published_at_once_where_no_mail_is_read(
        self, town: DebitTown, store: Debits
    ) -> None:
        """No address: to stand in the API is to be delivered, in the same transaction."""
        await town.home()

        assert await told(store) == NoticeCounts(noticed=1)
        assert await notices(town.owner) == [(date(2026, 2, 25), "api", AT)]

    @pytest.mark.parametrize(
        ("from_minor", "to_minor", "mails"),
        [(0, 74_297, 0), (74_297, 74_297, 0), (0, 74_296, 1), (74_298, 99_999, 1)],
    )
    async def test_is_spared_inside_the_range_of_the_resident(
        self,
        town: DebitTown,
        pool: asyncpg.Pool,
        store: Debits,
        from_minor: int,
        to_minor: int,
        mails: int,
    ) -> None:
        """Only tell me outside: inside it stands in the API, which is when it counts."""
        await town.home()
        quiet = Range(from_minor=from_minor, to_minor=to_minor)
        wanted = NewContact(address="aigul@mail.example", language=Language.KK, quiet=quiet)
        await Contacts(pool=pool, mails=True).say("ACC-1", wanted, at=AT)
        mailer = FakeMailer()

        await told(store)
        await delivered(pool, mailer, AT)
        assert len([line for line in said(mailer) if "notice/" in line]) == mails
        await told(store, AT + timedelta(hours=1))
        assert await town.states() == ["2026-01/1 noticed"]

    async def test_of_what_is_not_planned_any_more_is_not_sent(
        self, town: DebitTown, pool: asyncpg.Pool, store: Debits, mailer: FakeMailer
    ) -> None:
        """Held or paid while the letter waited: to announce it now would be untrue."""
        await home(town, pool)
        await told(store)
        await town.transfer("ACC-1", "2026-01", "paid", "bank", "receivable", 74_297)
        await told(store, day("02-02", 10))
        assert await town.states() == ["2026-01/1 cancelled amount_changed"]

        assert (await delivered(pool, mailer, day("02-02", 10))).withdrawn == 1
        assert mailer.inbox == []

    async def test_is_a_letter_with_the_bill_in_it(
        self, town: DebitTown, pool: asyncpg.Pool, store: Debits
    ) -> None:
        """Written by what the service writes with, and read from the other side."""
        await home(town, pool)
        await town.owner.execute("UPDATE mandate SET account_number_ending = '4321'")
        await told(store)
        claimed = await Outbox(pool=pool).claim(at=AT)
        assert claimed is not None

        letter = await Writer(pool=pool, zone="Asia/Almaty").write(claimed, Language.EN)
        text = letter.text.replace("\u00a0", " ")
        assert letter.subject.replace("\u00a0", " ") == "742.97 ₸ will be debited on 2026-02-25"
        assert "Bank account: …4321" in text


class TestMoney:
    """Of the money ..."""

    async def test_a_receipt_is_told_once_whatever_comes_twice(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Confirmed, settled, and the news of both again: one receipt."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.CONFIRMED)
        await followed(store, bank)
        bank.tell("PM1", PaymentStatus.PAID_OUT)
        bank.hint("PM1", "confirmed")
        await followed(store, bank)

        assert [one for one in await told_so(town.owner) if "notice" not in one] == [
            "receipt/2026-01/1/1"
        ]

    async def test_a_receipt_is_told_though_the_bank_skips_its_step(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Straight to paid out is taken too."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.PAID_OUT)
        await followed(store, bank)

        assert "receipt/2026-01/1/1" in await told_so(town.owner)

    async def test_each_reversal_has_its_correction(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Taken, charged back, the chargeback cancelled, failed late: two and two."""
        await accepted(town, store, bank)
        for hours, state in enumerate(
            (State.CONFIRMED, State.CHARGED_BACK, State.CONFIRMED, State.SETTLED, State.FAILED)
        ):
            await step(store, state, hours)

        assert [one for one in await told_so(town.owner) if "notice" not in one] == [
            "receipt/2026-01/1/1",
            "correction/2026-01/1/1",
            "receipt/2026-01/1/2",
            "correction/2026-01/1/2",
        ]

    async def test_nothing_is_told_before_the_commit(
        self, town: DebitTown, pool: asyncpg.Pool, store: Debits, bank: FakeBank
    ) -> None:
        """While the confirming transaction is open no sender sees its receipt."""
        await accepted(town, store, bank)
        await reads_mail(pool, TO_RECORD)
        mailer = FakeMailer()
        async with store.begin() as desk:
            before = await desk.lock_debit(JANUARY)
            assert before is not None
            await desk.save_debit(before, replace(before, state=State.CONFIRMED))
            await delivered(pool, mailer, TO_RECORD + timedelta(days=9))
            assert [line for line in said(mailer) if "receipt" in line] == []

        await delivered(pool, mailer, TO_RECORD + timedelta(days=9))
        assert len([line for line in said(mailer) if "receipt" in line]) == 1

    async def test_what_failed_for_good_is_told_once(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """A closed account: nothing more is asked, and the resident pays by hand."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.FAILED, cause="bank_account_closed")
        await followed(store, bank)

        assert "failed/2026-01/1/1" in await told_so(town.owner)

    async def test_another_day_is_told_when_the_account_was_empty(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """From which day, once, and no word that nothing more is asked."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.FAILED, cause="insufficient_funds")
        await followed(store, bank)

        found = [one for one in await told_so(town.owner) if "notice" not in one]
        assert [one.split("/")[0] for one in found] == ["retry"]
        retry_on = "SELECT about->>'retry_on' FROM message WHERE kind = 'retry'"
        debit = "SELECT retry_on::text FROM debit"
        assert await town.owner.fetchval(retry_on) == await town.owner.fetchval(debit)

    async def test_what_is_held_back_is_told_with_its_reason(
        self, town: DebitTown, store: Debits
    ) -> None:
        """Over the cap: what and why, at once."""
        await town.account()
        await town.mandate(payment_minor_max=74_296, month_minor_max=74_296)
        await town.bill()
        await told(store)

        (name,) = await told_so(town.owner)
        assert name.startswith("hold/2026-01/1/")
        about = await town.owner.fetchval("SELECT about->>'reason' FROM message")
        assert about == "over_cap"

    async def test_what_goes_back_is_told(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Asked for is told at once: pending is not hidden."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.CONFIRMED)
        await followed(store, bank)
        async with store.begin() as desk:
            await desk.ask_refund(
                JANUARY, 74_297, Cause.OPERATOR, asked_by="a test", at=TO_RECORD,
                because="a test",
            )  # fmt: skip

        assert "refund/2026-01/1/1/requested" in await told_so(town.owner)


class TestAMail:
    """A mail about money ..."""

    async def test_holds_nothing_about_the_person(
        self, town: DebitTown, pool: asyncpg.Pool, store: Debits
    ) -> None:
        """Neither name nor address of the home: a mail is a postcard."""
        await home(town, pool)
        await town.owner.execute(
            "INSERT INTO person VALUES ('ACC-1', 'Name of ACC-1', 'Street of ACC-1')"
        )
        await told(store)
        claimed = await Outbox(pool=pool).claim(at=AT)
        assert claimed is not None
        letter = await Writer(pool=pool, zone="Asia/Almaty").write(claimed, Language.RU)

        rows = await town.owner.fetch("SELECT about::text FROM message")
        told_all = letter.subject + letter.text + letter.html + str(rows)
        assert "Name of" not in told_all
        assert "Street of" not in told_all
        assert "aigul" not in told_all


class TestTheShell:
    """The shell ..."""

    def test_lets_everything_that_moves_money_know_whether_mails_are_sent(self) -> None:
        """A store made without the town's policy would tell in the API what belongs in a mail."""
        app = Path(__file__).resolve().parents[2] / "app"
        # Neither of the two writes to anybody.
        silent = {"demo.py", "collecting.py"}
        made = {
            f"{path.name}: {call}"
            for path in app.rglob("*.py")
            if path.name not in silent
            for call in re.findall(r"\bDebits\(([^)]*)\)", path.read_text(encoding="utf-8"))
        }

        assert len(made) > 3
        assert [call for call in sorted(made) if "policy" not in call] == []
