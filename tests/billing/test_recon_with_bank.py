"""Reconciling with a bank that is a process of its own, whatever it pays, states and mistakes."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from billing.bank_recon import ReconCounts, import_statement, reconcile_bank
from billing.collect import collect
from billing.debit import DebitId
from billing.give_back import ask_back
from billing.io.bank import BankClient
from billing.io.debits import Debits
from billing.io.recon import ReconBooks
from billing.iso.camt053 import read
from billing.link import finish_link, start_link
from billing.mandate import Caps
from billing.refund import Cause
from tests.billing.debit_town import ISSUED, ZONE, DebitTown, day
from tests.fixtures_bank import SimulatedBank

CAPS = Caps(payment_minor_max=100_000, month_minor_max=150_000)


@dataclass(kw_only=True)
class Street:
    """Some homes, our service, their bank and its statements, all on one clock."""

    town: DebitTown
    store: Debits
    books: ReconBooks
    bank: SimulatedBank
    client: BankClient
    counts: list[ReconCounts] = field(default_factory=list)

    async def home(self, account_id: str, *, given_name: str = "Aigul") -> str:
        """Open an account with a bill and link it; return the bank's name of its mandate."""
        await self.town.account(account_id)
        link = await start_link(
            store=self.store,
            bank=self.client,
            account_id=account_id,
            caps=CAPS,
            scheme="kz_direct",
            return_url="https://gas.test/v1/mandates/return",
            at=ISSUED,
            tokens=secrets,
        )
        back = await self.bank.approve(link.authorisation_url, given_name=given_name)
        assert back is not None
        (word,) = parse_qs(urlsplit(back).query)["link"]
        mandate = await finish_link(store=self.store, bank=self.client, secret=word, at=ISSUED)
        await self.town.bill(account_id)
        assert mandate.bank_mandate_id is not None
        return mandate.bank_mandate_id

    async def morning(self, month_day: str) -> ReconCounts:
        """Collect, take yesterday's statement in, and reconcile."""
        at = day(month_day)
        await self.bank.advance(at)
        await collect(store=self.store, bank=self.client, at=at, zone=ZONE, limit=100)
        await self.statement(at.date() - timedelta(days=1))
        counts = await reconcile_bank(
            store=self.books, debits=self.store, bank=self.client, at=at, zone=ZONE
        )
        self.counts.append(counts)
        return counts

    async def statement(self, on: date) -> None:
        """Take the statement of a day in."""
        async with self.bank.session.get(f"{self.bank.control_url}/statement?day={on}") as answer:
            assert answer.status == 200, await answer.text()
            data = await answer.read()
        await import_statement(store=self.books, statements=read(data), at=day("02-02"))

    async def mornings(self, first: int, last: int) -> ReconCounts:
        """Live through some mornings of February, or of March behind its 28th."""
        for number in range(first, last + 1):
            month, of_month = (2, number) if number <= 28 else (3, number - 28)
            await self.morning(f"{month:02}-{of_month:02}")
        return self.counts[-1]

    async def breaks(self) -> list[str]:
        """Return the kinds of the open breaks."""
        rows = await self.town.owner.fetch(
            "SELECT kind FROM recon_break WHERE closed_at IS NULL ORDER BY kind"
        )
        return [row["kind"] for row in rows]

    async def lines(self) -> list[asyncpg.Record]:
        """Return all lines of statements."""
        return await self.town.owner.fetch("SELECT * FROM statement_line ORDER BY booked_on")

    async def ledger_minor(self) -> int:
        """Return what the ledger says is on the town's account."""
        return int(
            await self.town.owner.fetchval(
                "SELECT sum(CASE WHEN debit_code = 'bank' THEN amount_minor ELSE -amount_minor END)"
                " FROM (SELECT debit_code, credit_code, amount_minor FROM transfer"
                " WHERE phase = 'posted' UNION ALL"
                " SELECT debit_code, credit_code, amount_minor FROM town_transfer) AS t"
                " WHERE 'bank' IN (debit_code, credit_code)"
            )
            or 0
        )

    async def statement_minor(self) -> int:
        """Return what the last statement says is there."""
        return int(
            await self.town.owner.fetchval(
                "SELECT closing_minor FROM recon_day WHERE statement_at IS NOT NULL"
                " ORDER BY day DESC LIMIT 1"
            )
        )


@pytest.fixture
async def street(
    owner: asyncpg.Connection, pool: asyncpg.Pool, bank: SimulatedBank
) -> AsyncIterator[Street]:
    await bank.advance(ISSUED)
    async with BankClient.open(url=bank.url, token=bank.token, total_s=5) as client:
        yield Street(
            town=DebitTown(owner),
            store=Debits(pool),
            books=ReconBooks(pool=pool),
            bank=bank,
            client=client,
        )


class TestAMonth:
    """Every morning the three sides are compared ..."""

    async def test_agrees_day_by_day(self, street: Street) -> None:
        """Nothing is ever open, and in the end ledger and statement show the same sum."""
        for number in (1, 2, 3):
            await street.home(f"ACC-{number}")
        await street.morning("02-02")
        await street.morning("02-12")
        last = await street.mornings(22, 31)

        assert [one.breaks_open for one in street.counts] == [0] * len(street.counts)
        assert [await street.town.states(f"ACC-{number}") for number in (1, 2, 3)] == [
            ["2026-01/1 reconciled"]
        ] * 3
        assert last.until == date(2026, 3, 2)
        assert await street.ledger_minor() == await street.statement_minor() > 0

    async def test_agrees_with_residents_who_take_their_money_back(self, street: Street) -> None:
        """A late failure and a chargeback are cut from payouts or from the account."""
        await street.home("ACC-1")
        await street.home("ACC-2", given_name="Late")
        await street.home("ACC-3", given_name="Fickle")
        await street.morning("02-02")
        await street.morning("02-12")
        await street.mornings(22, 42)

        assert await street.breaks() == []
        assert await street.town.states("ACC-1") == ["2026-01/1 reconciled"]

    @pytest.mark.parametrize("borne_by", ["a payout", "the account"])
    async def test_agrees_with_money_that_we_give_back(self, street: Street, borne_by: str) -> None:
        """A refund is cut from the next payout, or from the account where there is none."""
        await street.home("ACC-1")
        await street.morning("02-02")
        await street.morning("02-12")
        await street.mornings(22, 31)
        await ask_back(
            store=street.store,
            debit_id=DebitId(account_id="ACC-1", bill_no="2026-01", attempt=1),
            amount_minor=5_000,
            cause=Cause.OPERATOR,
            asked_by="Olga N.",
            because="a call",
            at=day("03-03"),
        )
        await street.morning("03-04")
        (refund,) = [one async for one in street.client.list_refunds(payment_id=None)]
        if borne_by == "the account":
            links = {"links": {"resource": refund.refund_id}}
            for scenario in ("refund_settled", "refund_paid"):
                path = f"/scenario_simulators/{scenario}/actions/run"
                assert (await street.bank.api("POST", path, {"data": links}))[0] == 200
        else:
            await street.home("ACC-2")
        await street.mornings(33, 50)

        assert await street.breaks() == []
        names = [row["known_as"] for row in await street.lines()]
        assert (f"refund {refund.refund_id}" in names) == (borne_by == "the account")
        assert None not in names
        assert await street.ledger_minor() == await street.statement_minor() > 0
        assert (await street.bank.books())["totals"]["returned_minor"] == 5_000


class TestAMistakeOfTheBanks:
    """What the bank tells wrongly is a break, and closes when it tells it right ..."""

    @pytest.mark.parametrize("fault", ["item_missing", "item_twice", "item_off_by_one"])
    async def test_in_the_items_of_a_payout(self, street: Street, fault: str) -> None:
        """One item less, one more, one minor unit off; it is the newest, which is the fee."""
        await street.home("ACC-1")
        await street.morning("02-02")
        await street.morning("02-12")
        await street.bank.fault(fault, "payout_items.list", times=1000)
        await street.mornings(22, 31)
        assert await street.breaks() == ["payout_fees", "payout_sum"]
        assert await street.town.states() == ["2026-01/1 settled"]
        await street.bank.heal()
        await street.morning("03-04")

        assert await street.breaks() == []
        assert await street.town.states() == ["2026-01/1 reconciled"]

    @pytest.mark.parametrize(
        ("fault", "kind"),
        [
            ("line_twice", "line_doubled"),
            ("line_off_by_one", "payout_amount"),
            ("line_orphan", "line_orphan"),
        ],
    )
    async def test_in_the_statement(self, street: Street, fault: str, kind: str) -> None:
        """A payout twice on the account, one minor unit less, somebody else's money."""
        await street.home("ACC-1")
        await street.morning("02-02")
        await street.morning("02-12")
        await street.mornings(22, 26)
        await street.bank.fault(fault, times=1000)
        await street.mornings(27, 31)

        assert kind in await street.breaks()

    async def test_in_a_payment_that_nobody_ordered(self, street: Street) -> None:
        """Somebody with our token takes money: the mandate is frozen the next morning."""
        mandate_id = await street.home("ACC-1")
        await street.morning("02-02")
        asked = {"amount": 12_345, "currency": "KZT", "links": {"mandate": mandate_id}}
        await street.bank.api("POST", "/payments", {"payments": asked})
        counts = await street.morning("02-03")
        assert (counts.frozen, await street.breaks()) == (1, ["payment_unknown"])
        await street.mornings(20, 26)

        books = await street.bank.books()
        assert [one["amount"] for one in books["payments"]] == [12_345]
