"""A bank without an API: what befalls files, and the whole way of the money through them."""

import asyncio
import json
import os
from datetime import date
from pathlib import Path

import asyncpg
import pytest

from billing.bank import Accepted, BankGarbledError, BankRefusedError, Conflict, Rejected, Unknown
from billing.bank import PaymentStatus as Status
from billing.bank_recon import import_statement, reconcile_bank
from billing.collect import collect
from billing.io.debits import Debits
from billing.io.file_box import FileBox
from billing.io.recon import ReconBooks
from billing.iso import pain008
from billing.iso.camt053 import read
from billing.link import finish_link, start_link
from billing.mandate import Caps, State
from billing.payout import PayoutItem
from tests.billing.debit_town import ISSUED, ZONE, DebitTown, day
from tests.billing.paper_bank import CREDITOR, DAY, PaperBank, order_id, ordered
from tests.billing.statement_file import entry, part, statement

KEY = "debit:v1:ACC-1:2026-01:1"
NAME = order_id(KEY)


@pytest.fixture
def paper(tmp_path: Path) -> PaperBank:
    bank = PaperBank(tmp_path / "bank")
    FileBox(bank.root)
    bank.signed()
    return bank


async def give(paper: PaperBank, key: str = KEY) -> object:
    return await paper.client.create_payment(ordered(key), key)


class TestTheOutbox:
    """An order is there once, whoever dies on the way."""

    async def test_holds_the_order_until_the_bank_fetches_it(self, paper: PaperBank) -> None:
        """And does not hold it again, however often we ask."""
        assert isinstance(await give(paper), Accepted)
        assert paper.fetched() == [NAME]
        assert await give(paper) == Conflict(payment_id=NAME)

        assert paper.fetched() == []

    @pytest.mark.parametrize("step", ["_publish", "link"])
    async def test_is_filled_by_whoever_comes_after_a_crash(
        self, paper: PaperBank, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        """Before the order was kept it was not given; after it, it only has to be put there."""

        def dies(*_: object) -> None:
            raise OSError("the power is gone")

        with monkeypatch.context() as broken:
            broken.setattr(*((FileBox, step) if step == "_publish" else (os, step)), dies)
            assert await give(paper) == Unknown(reason="disk")
        assert paper.fetched() == []
        again = await give(paper)

        assert type(again) is (Conflict if step == "_publish" else Accepted)
        assert paper.fetched() == [NAME]
        assert await give(paper) == Conflict(payment_id=NAME)
        assert paper.fetched() == []

    async def test_is_not_filled_from_the_leftovers_of_somebody_who_was_late(
        self, paper: PaperBank
    ) -> None:
        """His ticket is of another file; presented, it would be a second debit."""
        await give(paper)
        paper.fetched()
        stale = paper.root / "orders" / f"{NAME}.00ff00ff00ff00ff.ticket"
        stale.write_bytes((paper.root / "orders" / f"{NAME}.xml").read_bytes())
        await give(paper)

        assert paper.fetched() == []
        assert not stale.exists()

    async def test_is_filled_once_by_many_at_once(self, paper: PaperBank) -> None:
        """Processes that know nothing of each other."""
        answers = await asyncio.gather(*(give(paper) for _ in range(20)))

        assert sum(isinstance(one, Accepted) for one in answers) == 1
        assert paper.fetched() == [NAME]
        assert [file.name for file in (paper.root / "orders").iterdir()] == [f"{NAME}.xml"]

    async def test_holds_nothing_that_was_taken_back(self, paper: PaperBank) -> None:
        """And nobody puts it there again."""
        await give(paper)
        await paper.client.cancel_payment(NAME)
        assert paper.fetched() == []
        await give(paper)

        assert paper.fetched() == []
        payment = await paper.client.get_payment(NAME)
        assert payment is not None
        assert payment.status is Status.CANCELLED

    async def test_holds_the_bytes_that_were_given_first(self, paper: PaperBank) -> None:
        """A payer who moved to another account since changes no order that was given."""
        await give(paper)
        first = (paper.root / "outbox" / f"{NAME}.xml").read_bytes()
        paper.signed(iban="KZ75125KZT1001300335")
        await give(paper)

        assert (paper.root / "outbox" / f"{NAME}.xml").read_bytes() == first

    @pytest.mark.parametrize(
        ("told", "reason"),
        [
            ({"cancelled": True}, "mandate_is_inactive"),
            ({"signed_on": "yesterday"}, "mandate_unreadable"),
            ({"signed_on": 7}, "mandate_unreadable"),
            ({"iban": "KZ86125KZT5004100101"}, "mandate_unreadable"),
            ({"iban": 86}, "mandate_unreadable"),
            ({"iban": None}, "mandate_unreadable"),
            ({"iban": "DE89370400440532013000"}, "account_of_another_currency"),
        ],
    )
    async def test_stays_empty_without_a_mandate(
        self, paper: PaperBank, told: dict[str, object], reason: str
    ) -> None:
        """What nobody signed, or cannot be read, is not debited."""
        paper.signed(**told)

        assert await give(paper) == Rejected(reason=reason)
        assert paper.fetched() == []

    @pytest.mark.parametrize("name", ["../../etc/passwd", "", "a/b", "x" * 65, "MD1\n", "\u041c"])
    async def test_is_left_by_no_name(self, paper: PaperBank, name: str) -> None:
        """A name becomes a part of a file's name; it may not lead anywhere else."""
        answer = await paper.client.create_payment(ordered(KEY, mandate=name), KEY)

        assert answer == Rejected(reason="mandate_unreadable")
        with pytest.raises(BankGarbledError):
            await paper.client.get_mandate(name)
        with pytest.raises(BankGarbledError):
            await paper.client.get_payment(name)


class TestTheInbox:
    """What the bank puts there is read once, in whatever pieces it comes."""

    async def test_is_read_once(self, paper: PaperBank) -> None:
        """Each word is one event, whoever reads."""
        await give(paper)
        paper.says(NAME, "ACCP")
        first = await paper.client.list_events(payment_id=NAME, limit=50)
        again = await paper.client.list_events(payment_id=NAME, limit=50)

        assert first == again
        assert [one.action for one in first.events] == ["submitted"]
        assert list((paper.root / "inbox").iterdir()) == []

    async def test_may_hold_the_same_file_again(self, paper: PaperBank) -> None:
        """The bank sends it twice; the words in it are the same words."""
        await give(paper)
        paper.says(NAME, "RJCT", "AM04")
        data = next((paper.root / "inbox").iterdir()).read_bytes()
        await paper.client.get_payment(NAME)
        paper.put(data, "again.xml")
        page = await paper.client.list_events(payment_id=NAME, limit=50)

        assert len(page.events) == 1

    async def test_is_read_again_by_whoever_comes_after_a_crash(self, paper: PaperBank) -> None:
        """Half a line in the journal, the file still there: nothing is lost, nothing doubled."""
        await give(paper)
        paper.says(NAME, "ACCP")
        data = next((paper.root / "inbox").iterdir()).read_bytes()
        await paper.client.get_payment(NAME)
        journal = paper.root / "news.jsonl"
        whole = journal.read_bytes()
        journal.write_bytes(whole + b'{"action": "fai')
        paper.put(data, "0001.xml")
        paper.says(NAME, "ACSC")
        page = await paper.client.list_events(payment_id=NAME, limit=50)

        assert [one.action for one in page.events] == ["confirmed", "submitted"]
        assert journal.read_bytes().startswith(whole)

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (b"half a fi", "not_xml: line 1"),
            (b"<!DOCTYPE a><a/>", "entities: the document type"),
            (b"<a/>", "unknown_version: the namespace"),
            ("<a>\u044f</a>".encode("cp1251"), "wrong_encoding: byte 3"),
        ],
    )
    async def test_puts_aside_what_cannot_be_believed(
        self, paper: PaperBank, data: bytes, why: str
    ) -> None:
        """With the reason beside it; what comes behind it is read."""
        await give(paper)
        paper.put(data, "0000.xml")
        paper.says(NAME, "ACCP")
        payment = await paper.client.get_payment(NAME)

        assert payment is not None
        assert payment.status is Status.SUBMITTED
        assert (paper.root / "refused" / "0000.txt").read_text() == f"{why}\n"

    async def test_may_speak_of_orders_that_are_not_ours(self, paper: PaperBank) -> None:
        """Somebody else's, or a name that leads elsewhere: no news."""
        await give(paper)
        paper.says("AQ00000000000000000000000000000000", "RJCT", "AM04")
        paper.says("../orders/x", "RJCT", "AM04")
        page = await paper.client.list_events(limit=50)

        assert {one.resource for one in page.events} == {"billing_requests"}

    @pytest.mark.parametrize(
        ("words", "status"),
        [
            (["ACCP", "ACSC"], Status.CONFIRMED),
            (["ACSC", "ACCP"], Status.CONFIRMED),
            (["RJCT"], Status.FAILED),
            (["ACCP", "RJCT"], Status.FAILED),
            (["RJCT", "ACCP"], Status.FAILED),
            (["RJCT", "ACSC"], Status.FAILED),
            (["ACCP", "XXXX"], Status.SUBMITTED),
            (["CANC"], Status.CANCELLED),
        ],
    )
    async def test_moves_a_payment_forward_only(
        self, paper: PaperBank, words: list[str], status: Status
    ) -> None:
        """An older word that comes late changes nothing."""
        await give(paper)
        for word in words:
            paper.says(NAME, word, "AM04" if word == "RJCT" else None)
        payment = await paper.client.get_payment(NAME)

        assert payment is not None
        assert payment.status is status

    @pytest.mark.parametrize(
        ("reason", "days", "status", "cause"),
        [
            ("AM04", 2, Status.FAILED, "insufficient_funds"),
            ("MD06", 20, Status.CHARGED_BACK, "authorisation_disputed"),
            ("MD01", 5, Status.FAILED, "mandate_cancelled"),
            ("MD01", 90, Status.CHARGED_BACK, "authorisation_disputed"),
        ],
    )
    async def test_tells_what_came_back(
        self, paper: PaperBank, reason: str, days: int, status: Status, cause: str
    ) -> None:
        """A return and a dispute are told apart by the code and the days since."""
        await give(paper)
        paper.books(NAME, 74_297)
        later = DAY.fromordinal(DAY.toordinal() + days)
        paper.books(NAME, -74_297, on=later, reason=reason)
        payment = await paper.client.get_payment(NAME)
        page = await paper.client.list_events(payment_id=NAME, limit=1)

        assert payment is not None
        assert (payment.status, page.events[0].cause) == (status, cause)

    async def test_may_hold_a_statement_that_was_written_anew(self, paper: PaperBank) -> None:
        """Its lines are the lines of before: what came back has not been taken once more."""
        await give(paper)
        paper.books(NAME, 74_297)
        written = next((paper.root / "inbox").iterdir()).read_bytes()
        await paper.client.get_payment(NAME)
        paper.books(NAME, -74_297, on=date(2026, 2, 27), reason="AM04")
        await paper.client.get_payment(NAME)
        paper.put(written.replace(b"T23:59:59", b"T23:59:58"), "anew.xml")
        payment = await paper.client.get_payment(NAME)
        page = await paper.client.list_events(payment_id=NAME, limit=50)
        payouts = [one async for one in paper.client.list_payouts(created_from=ISSUED)]

        assert payment is not None
        assert payment.status is Status.FAILED
        assert [one.action for one in page.events] == ["failed", "paid_out"]
        assert [await paper.client.list_payout_items(one.payout_id) for one in payouts] == [
            (PayoutItem(kind="payment_paid_out", amount_tenths=742_970, payment_id=NAME),)
        ]

    async def test_may_take_the_same_order_twice(self, paper: PaperBank) -> None:
        """A second entry of one statement is a second movement, whatever it is called."""
        await give(paper)
        paid = entry("742.97", DAY, ref="E1", parts=[part(end_to_end_id=NAME)])
        paper.put(statement(on=DAY, opening="0", closing="1485.94", entries=[paid, paid]))
        page = await paper.client.list_events(payment_id=NAME, limit=50)

        assert [one.action for one in page.events] == ["paid_out", "paid_out"]

    async def test_passes_statements_on(self, paper: PaperBank) -> None:
        """The reconciliation reads them for itself."""
        await give(paper)
        paper.books(NAME, 74_297)
        await paper.client.get_payment(NAME)

        assert len(list((paper.root / "statements").glob("*.xml"))) == 1


class TestAPaper:
    """A mandate that is signed by hand."""

    async def test_is_asked_for_by_a_name(self, paper: PaperBank) -> None:
        """The same for the same link, so that a form can carry it."""
        asked = {"currency": "KZT", "scheme": "kz_direct", "key": "link:1"}
        one = await paper.client.create_billing_request(**asked)
        two = await paper.client.create_billing_request(**asked)

        assert one == two
        assert one.bank_mandate_id is None
        paper.signed(one.request_id)
        there = await paper.client.get_billing_request(one.request_id)
        assert there is not None
        assert there.bank_mandate_id == one.request_id
        with pytest.raises(BankRefusedError):
            await paper.client.cancel_billing_request(one.request_id)

    async def test_may_be_written_with_blanks(self, paper: PaperBank) -> None:
        """As people copy an account number from a form."""
        paper.signed(iban="kz86 125k zt50 0410 0100")

        assert isinstance(await give(paper), Accepted)
        (file,) = (paper.root / "outbox").glob("*.xml")
        assert b"<IBAN>KZ86125KZT5004100100</IBAN>" in file.read_bytes()

    async def test_with_a_slip_in_its_account_is_no_mandate_yet(self, paper: PaperBank) -> None:
        """Whoever entered it mends it; until then nobody is linked to nobody's account."""
        asked = {"currency": "KZT", "scheme": "kz_direct", "key": "link:1"}
        one = await paper.client.create_billing_request(**asked)
        paper.signed(one.request_id, iban="KZ86125KZT5004100101")

        with pytest.raises(BankGarbledError):
            await paper.client.get_billing_request(one.request_id)
        paper.signed(one.request_id)
        mended = await paper.client.get_billing_request(one.request_id)

        assert mended is not None
        assert mended.bank_mandate_id == one.request_id

    async def test_may_never_come(self, paper: PaperBank) -> None:
        """Whoever changed his mind is not waited for."""
        one = await paper.client.create_billing_request(currency="KZT", scheme="s", key="k")

        assert (await paper.client.cancel_billing_request(one.request_id)).cancelled

    async def test_keeps_what_else_stands_in_it_when_it_ends(self, paper: PaperBank) -> None:
        """It is somebody's file; we add one word."""
        paper.signed(note="folder 7")
        await paper.client.cancel_mandate("MD1")

        said = json.loads((paper.root / "mandates" / "MD1.json").read_bytes())
        assert (said["note"], said["cancelled"]) == ("folder 7", True)


class TestTheWholeWay:
    """From the link to the reconciled debit, through files alone."""

    async def test_is_the_same_as_through_an_api(
        self, owner: asyncpg.Connection, pool: asyncpg.Pool, paper: PaperBank
    ) -> None:
        """The same verbs, the same states, the same books."""
        town, store, client = DebitTown(owner), Debits(pool), paper.client
        books = ReconBooks(pool=pool)
        await town.account()

        class Tokens:
            """Tokens that stand still."""

            @staticmethod
            def token_hex(count: int) -> str:
                """Return the same digits."""
                return "ab" * count

        link = await start_link(
            store=store,
            bank=client,
            account_id="ACC-1",
            caps=Caps(payment_minor_max=100_000, month_minor_max=150_000),
            scheme="kz_direct",
            return_url="https://gas.test/v1/mandates/return",
            at=ISSUED,
            tokens=Tokens(),
        )
        request_id = await owner.fetchval("SELECT bank_request_id FROM mandate")
        secret = link.authorisation_url.rpartition("=")[2]
        waiting = await finish_link(store=store, bank=client, secret=secret, at=ISSUED)
        assert waiting.state is State.INVITED
        paper.signed(request_id)
        await town.bill()

        async def morning(month_day: str) -> None:
            at = day(month_day)
            await collect(store=store, bank=client, at=at, zone=ZONE, limit=100)

        await morning("02-02")
        await morning("02-02")
        await morning("02-22")
        (name,) = paper.fetched()
        order = pain008.read((paper.root / "orders" / f"{name}.xml").read_bytes())
        assert (order.amount_minor, order.bank_mandate_id) == (74_297, request_id)
        paper.says(name, "ACCP")
        await morning("02-23")
        assert await town.states() == ["2026-01/1 submitted"]
        paper.books(name, 74_297)
        await morning("02-26")
        assert await town.states() == ["2026-01/1 settled"]
        for file in (paper.root / "statements").iterdir():
            await import_statement(store=books, statements=read(file.read_bytes()), at=day("02-26"))
        counts = await reconcile_bank(
            store=books, debits=store, bank=client, at=day("02-26"), zone=ZONE
        )

        assert (counts.reconciled, counts.breaks_open, counts.until) == (1, 0, DAY)
        assert await town.states() == ["2026-01/1 reconciled"]
        assert await town.balances() == {"bank": 74_297, "revenue": -74_297}
        assert CREDITOR.iban.encode() in (paper.root / "orders" / f"{name}.xml").read_bytes()
