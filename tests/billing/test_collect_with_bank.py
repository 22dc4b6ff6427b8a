"""The whole path of the money: our service, a real database, a bank that is a process of its own.

What was collected is read from the bank's books, never from ours.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from billing.collect import CollectCounts, collect
from billing.enrol import cancel, change_caps, pause
from billing.io.bank import BankClient
from billing.io.debits import Debits
from billing.link import finish_link, start_link
from billing.mandate import Caps, State
from tests.billing.debit_town import ISSUED, ZONE, DebitTown, day
from tests.fixtures_bank import SimulatedBank, StartBank

CAPS = Caps(payment_minor_max=100_000, month_minor_max=150_000)


@dataclass(kw_only=True)
class Street:
    """Some homes, our service, and their bank, all on one clock."""

    town: DebitTown
    store: Debits
    bank: SimulatedBank
    client: BankClient
    currency: str = "KZT"
    scheme: str = "kz_direct"
    mandates: dict[str, str] = field(default_factory=dict)

    async def link(self, account_id: str = "ACC-1", *, given_name: str = "Aigul") -> None:
        """Open an account and link it, as a resident does: to the bank's page and back."""
        await self.town.account(account_id, currency=self.currency)
        link = await start_link(
            store=self.store,
            bank=self.client,
            account_id=account_id,
            caps=CAPS,
            scheme=self.scheme,
            return_url="https://gas.test/v1/mandates/return",
            at=ISSUED,
            tokens=secrets,
        )
        back = await self.bank.approve(link.authorisation_url, given_name=given_name)
        assert back is not None
        (word,) = parse_qs(urlsplit(back).query)["link"]
        mandate = await finish_link(store=self.store, bank=self.client, secret=word, at=ISSUED)
        assert mandate.state in {State.ACTIVE, State.PENDING}
        self.mandates[account_id] = mandate.mandate_id

    async def collect(self, at: datetime) -> CollectCounts:
        """Move the bank's clock and do one round of everything."""
        await self.bank.advance(at)
        return await collect(store=self.store, bank=self.client, at=at, zone=ZONE, limit=100)

    async def live(self, first: str, last: str, *, every: int = 1) -> None:
        """Collect every morning, or every so many days, and on the last day in any case."""
        at = day(first)
        while at < day(last):
            await self.collect(at)
            at += timedelta(days=every)
        await self.collect(day(last))

    async def payments(self) -> list[tuple[int, str]]:
        """Return amount and status of every payment in the bank's books."""
        books = await self.bank.books()
        return [(one["amount"], one["status"]) for one in books["payments"]]

    async def collected_minor(self) -> int:
        """Return what the bank has taken from payers and not given back."""
        return int((await self.bank.books())["collected_minor"])


@pytest.fixture
async def street(
    owner: asyncpg.Connection, pool: asyncpg.Pool, bank: SimulatedBank
) -> AsyncIterator[Street]:
    await bank.advance(ISSUED)
    async with BankClient.open(url=bank.url, token=bank.token, total_s=5) as client:
        yield Street(town=DebitTown(owner), store=Debits(pool), bank=bank, client=client)


class TestPath:
    """From the link to the money ..."""

    @pytest.mark.parametrize(
        ("due_on", "taken_on"),
        [
            (date(2026, 3, 25), "2026-03-26"),  # the last of five days of Nowruz
            (date(2026, 3, 26), "2026-03-26"),  # the first day after them
            (date(2026, 3, 10), "2026-03-10"),  # a Tuesday after a Monday that was free
            (date(2026, 5, 12), "2026-05-12"),  # and another
        ],
    )
    async def test_goes_well_around_holidays(
        self, street: Street, due_on: date, taken_on: str
    ) -> None:
        """The order is with the bank before it closes, and what was announced is what is taken."""
        await street.link()
        await street.town.bill(due_on=due_on)

        await street.collect(day("02-03"))
        at = day(f"{due_on - timedelta(days=9):%m-%d}")
        for passed in range(20):
            await street.collect(at + timedelta(days=passed))

        books = await street.bank.books()
        assert [one["charge_date"] for one in books["payments"]] == [taken_on]
        assert await street.town.states() == ["2026-01/1 settled"]
        notices = await street.town.owner.fetch("SELECT charge_on FROM notice")
        assert [f"{one['charge_on']}" for one in notices] == [taken_on]

    async def test_everything_goes_well(self, street: Street) -> None:
        """Linked, told, ordered, taken on the due day, paid out: to the tiyn, and once."""
        await street.link()
        await street.town.bill()

        await street.live("02-02", "02-21", every=10)
        await street.live("02-22", "02-28")

        assert await street.town.states() == ["2026-01/1 settled"]
        assert await street.payments() == [(74_297, "paid_out")]
        assert await street.town.balances() == {"bank": 74_297, "revenue": -74_297}
        books = await street.bank.books()
        assert books["payments"][0]["charge_date"] == "2026-02-25"
        assert await street.town.steps() == [
            "planned",
            "noticed",
            "recorded",
            "sending",
            "accepted",
            "submitted",
            "confirmed",
            "settled",
        ]

    async def test_the_same_in_euro(
        self, owner: asyncpg.Connection, pool: asyncpg.Pool, start_bank: StartBank
    ) -> None:
        """The other profile: the mandate takes its days, and only then is anything announced."""
        bank = await start_bank(profile="sandbox-sepa")
        await bank.advance(ISSUED)
        async with BankClient.open(url=bank.url, token=bank.token) as client:
            street = Street(
                town=DebitTown(owner),
                store=Debits(pool),
                bank=bank,
                client=client,
                currency="EUR",
                scheme="sepa_core",
            )
            await street.link()
            await street.town.bill(currency="EUR")
            await street.collect(ISSUED)
            assert await street.town.states() == []
            await street.live("02-03", "03-06", every=3)

            assert await street.town.states() == ["2026-01/1 settled"]
            assert await street.collected_minor() == 74_297

    @pytest.mark.parametrize("fault", ["answer_lost", "error_after", "garbled"])
    async def test_an_answer_is_lost_after_the_bank_took_the_order(
        self, street: Street, fault: str
    ) -> None:
        """Unknown, the same key, one payment."""
        await street.link()
        await street.town.bill()
        await street.live("02-02", "02-21", every=10)
        await street.bank.fault(fault, "payments.create", times=2)

        counts = await street.collect(day("02-22"))
        assert counts.send.unknown == 1
        await street.live("02-23", "02-28")

        assert await street.town.states() == ["2026-01/1 settled"]
        assert await street.payments() == [(74_297, "paid_out")]
        assert await street.town.balances() == {"bank": 74_297, "revenue": -74_297}

    @pytest.mark.parametrize("fault", ["error_before", "bad_gateway", "rate_limit"])
    async def test_an_order_is_lost_before_the_bank_took_it(
        self, street: Street, fault: str
    ) -> None:
        """The same key again, and still one payment."""
        await street.link()
        await street.town.bill()
        await street.live("02-02", "02-21", every=10)
        await street.bank.fault(fault, "payments.create")

        await street.live("02-22", "02-28")

        assert await street.payments() == [(74_297, "paid_out")]

    async def test_the_bank_is_down_for_days(self, street: Street) -> None:
        """Its process dies at night and comes back later: announced anew, never taken early."""
        await street.link()
        await street.town.bill()
        await street.live("02-02", "02-21", every=10)
        await street.bank.stop()
        for number in (22, 23, 24, 25, 26):
            await collect(
                store=street.store,
                bank=street.client,
                at=day(f"02-{number}"),
                zone=ZONE,
                limit=100,
            )
        assert await street.town.states() == ["2026-01/1 recorded unreachable"]
        await street.bank.start()
        async with BankClient.open(url=street.bank.url, token=street.bank.token) as client:
            street.client = client
            await street.live("02-27", "03-14", every=2)

        assert await street.town.states() == [
            "2026-01/1 failed charge_date_refused",
            "2026-01/2 settled",
        ]
        assert await street.payments() == [(74_297, "paid_out")]
        assert (
            await street.town.owner.fetchval(
                "SELECT charge_on - noticed_at::date FROM notice WHERE attempt = 2"
            )
            >= 5
        )

    async def test_events_come_twice_and_late(self, street: Street) -> None:
        """The whole list is read again from its beginning: nothing moves twice."""
        await street.link()
        await street.town.bill()
        await street.live("02-02", "02-27", every=2)
        await street.town.owner.execute("DELETE FROM bank_cursor; DELETE FROM bank_event")

        await street.live("02-28", "02-28")

        assert await street.town.moves() == [
            "2026-01/1/payout",
            "2026-01/1/pending",
            "2026-01/1/posted",
        ]
        assert await street.town.balances() == {"bank": 74_297, "revenue": -74_297}


class TestMisfortune:
    """When the account is empty ..."""

    async def test_the_bill_is_open_again_and_asked_for_with_fresh_notice(
        self, street: Street
    ) -> None:
        """Three announced attempts, five days each at least, then a person calls."""
        await street.link(given_name="Penniless")
        await street.town.bill()

        await street.live("02-02", "04-10", every=2)

        assert await street.town.states() == [
            "2026-01/1 failed insufficient_funds",
            "2026-01/2 failed insufficient_funds",
            "2026-01/3 exhausted insufficient_funds",
        ]
        assert await street.payments() == [(74_297, "failed")] * 3
        assert await street.town.balances() == {"receivable": 74_297, "revenue": -74_297}
        told = await street.town.owner.fetch(
            "SELECT charge_on, noticed_at::date AS noticed_on FROM notice ORDER BY attempt"
        )
        books = await street.bank.books()
        charged = [date.fromisoformat(one["charge_date"]) for one in books["payments"]]
        assert len(told) == len(charged) == 3
        for notice, charge_date in zip(told, charged, strict=True):
            assert notice["charge_on"] <= charge_date
            assert (charge_date - notice["noticed_on"]).days >= 5

    async def test_late_it_is_booked_back(self, street: Street) -> None:
        """Collected, and taken back after all: our books end where the bank's do."""
        await street.link(given_name="Late")
        await street.town.bill()

        await street.live("02-02", "03-10", every=2)

        balances = await street.town.balances()
        assert await street.town.states() == ["2026-01/1 retry_due refer_to_payer"]
        # The bank has not yet cut a payout for it, so the resident does not owe it again yet.
        assert balances == {"chargebacks_receivable": 74_297, "revenue": -74_297}
        assert (
            balances.get("bank", 0) + balances.get("collections_in_transit", 0)
            == await street.collected_minor()
        )

    async def test_disputed_it_is_given_back_and_nothing_more_is_taken(
        self, street: Street
    ) -> None:
        """A payer who goes to his bank is paused here."""
        await street.link(given_name="Fickle")
        await street.town.bill()
        await street.live("02-02", "03-10", every=2)
        await street.town.bill(bill_no="2026-02", due_on=date(2026, 3, 25))

        await street.live("03-11", "04-02", every=3)

        assert [one.split(" ")[1] for one in await street.town.states()] == ["charged_back"]
        assert await street.collected_minor() == 0
        assert "bank" not in await street.town.balances()


class TestResident:
    """A resident ..."""

    async def test_wins_with_a_pause_before_the_sending(self, street: Street) -> None:
        """Announced and even recorded: nothing reaches the bank."""
        await street.link()
        await street.town.bill()
        await street.live("02-02", "02-21", every=10)
        await pause(
            store=street.store,
            account_id="ACC-1",
            mandate_id=street.mandates["ACC-1"],
            at=day("02-21"),
        )

        await street.live("02-22", "03-05", every=3)

        assert await street.payments() == []
        assert await street.town.states() == ["2026-01/1 cancelled paused"]

    async def test_wins_with_a_cancel_after_the_sending(self, street: Street) -> None:
        """Accepted on the 22nd, cancelled on the 22nd: not taken on the 25th."""
        await street.link()
        await street.town.bill()
        await street.live("02-02", "02-22", every=10)
        assert await street.town.states() == ["2026-01/1 accepted"]
        await cancel(
            store=street.store,
            account_id="ACC-1",
            mandate_id=street.mandates["ACC-1"],
            at=day("02-22"),
        )

        await street.live("02-23", "03-05", every=3)

        assert await street.payments() == [(74_297, "cancelled")]
        assert await street.town.states() == ["2026-01/1 cancelled withdrawn"]
        books = await street.bank.books()
        assert [one["status"] for one in books["mandates"]] == ["cancelled"]
        assert await street.town.owner.fetchval("SELECT state FROM mandate") == "cancelled"

    async def test_wins_with_a_pause_while_nobody_knows(self, street: Street) -> None:
        """The answer was lost, then came the pause: found by looking, stopped in time."""
        await street.link()
        await street.town.bill()
        await street.live("02-02", "02-21", every=10)
        await street.bank.fault("answer_lost", "payments.create")
        await street.collect(day("02-22"))
        await pause(
            store=street.store,
            account_id="ACC-1",
            mandate_id=street.mandates["ACC-1"],
            at=day("02-22"),
        )

        await street.live("02-23", "03-05", every=3)

        assert await street.payments() == [(74_297, "cancelled")]
        assert await street.town.states() == ["2026-01/1 cancelled withdrawn"]

    async def test_is_asked_when_a_bill_is_over_his_cap(self, street: Street) -> None:
        """Held until he says yes; then announced, with all its days."""
        await street.link()
        await street.town.bill(total_minor=100_001)
        await street.live("02-02", "03-01", every=9)
        assert await street.town.states() == ["2026-01/1 held over_cap"]
        assert await street.payments() == []
        await change_caps(
            store=street.store,
            account_id="ACC-1",
            mandate_id=street.mandates["ACC-1"],
            caps=Caps(payment_minor_max=100_001, month_minor_max=150_000),
            at=day("03-01", 12),
        )

        await street.live("03-02", "03-14", every=2)

        assert await street.payments() == [(100_001, "paid_out")]
        books = await street.bank.books()
        # Due on Saturday the 7th; the 8th is a holiday, and the 9th stands in for it.
        assert books["payments"][0]["charge_date"] == "2026-03-10"


class TestManyHands:
    """Many processes ..."""

    async def test_make_one_payment_of_one_debit(self, street: Street) -> None:
        """Twenty collectors at once, on every day that matters, with lost answers among them."""
        await street.link()
        await street.town.bill()
        await street.collect(ISSUED)
        await street.bank.fault("answer_lost", "payments.create", times=2)
        for month_day in ("02-22", "02-23", "02-24", "02-25", "02-26", "02-28"):
            await street.bank.advance(day(month_day))
            await asyncio.gather(
                *(
                    collect(
                        store=street.store,
                        bank=street.client,
                        at=day(month_day),
                        zone=ZONE,
                        limit=100,
                    )
                    for _ in range(20)
                )
            )

        assert await street.payments() == [(74_297, "paid_out")]
        assert await street.town.states() == ["2026-01/1 settled"]
        assert await street.town.balances() == {"bank": 74_297, "revenue": -74_297}

    @pytest.mark.parametrize("after", ["record", "claim", "order"])
    async def test_pick_up_what_a_killed_one_left(
        self, street: Street, after: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Killed after recording, after taking the debit, or after the bank took the order."""

        class KilledError(BaseException):
            """The process is gone; nothing behind it runs."""

        await street.link()
        await street.town.bill()
        await street.collect(ISSUED)
        inner = street.client.create_payment

        async def killed(*_: object, **__: object) -> object:
            raise KilledError

        async def killed_after(body: bytes, key: str) -> object:
            await inner(body, key)
            raise KilledError

        with monkeypatch.context() as patch:
            if after == "record":
                patch.setattr("billing.collect.send", killed)
            elif after == "claim":
                patch.setattr(street.client, "create_payment", killed)
            else:
                patch.setattr(street.client, "create_payment", killed_after)
            with pytest.raises(BaseException) as died:  # noqa: PT011 - alone or in a group
                await street.collect(day("02-22"))
        assert "KilledError" in repr(died.value)
        left = {"record": "recorded", "claim": "sending", "order": "sending"}
        assert await street.town.states() == [f"2026-01/1 {left[after]}"]

        await street.live("02-23", "02-28")

        assert await street.payments() == [(74_297, "paid_out")]
        assert await street.town.states() == ["2026-01/1 settled"]

    async def test_keep_a_whole_street_apart(self, street: Street) -> None:
        """Twelve homes, faults all the way, three collectors: each pays its own bill once."""
        for number in range(12):
            await street.link(f"ACC-{number}")
            await street.town.bill(f"ACC-{number}", total_minor=10_000 + number)
        for fault in ("answer_lost", "error_before", "error_after", "rate_limit", "garbled"):
            await street.bank.fault(fault, "payments.create", times=3)
        for offset in (0, *range(19, 26)):
            at = day("02-03") + timedelta(days=offset)
            await street.bank.advance(at)
            await asyncio.gather(
                *(
                    collect(store=street.store, bank=street.client, at=at, zone=ZONE, limit=100)
                    for _ in range(3)
                )
            )

        assert sorted(await street.payments()) == [
            (10_000 + number, "paid_out") for number in range(12)
        ]
        for number in range(12):
            assert await street.town.states(f"ACC-{number}") == ["2026-01/1 settled"]
