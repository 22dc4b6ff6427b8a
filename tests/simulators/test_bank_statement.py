"""The statement of the creditor's account, read back by the service's own reader of such files."""

from datetime import date, timedelta
from typing import Any, Final

import pytest

from billing.iso.camt053 import Statement, read
from tests.fixtures_bank import BANK_START, SimulatedBank, StartBank

# 2026-01-01 is a Thursday; the first payments are collected and paid out within the month.
LATER: Final = BANK_START + timedelta(days=30)


@pytest.fixture
def bank(near_bank: SimulatedBank) -> SimulatedBank:
    """Return a bank in this process: what stands on its sockets is what is tested here."""
    return near_bank


async def statement(bank: SimulatedBank, day: date) -> Statement:
    """Return the statement of a day."""
    async with bank.session.get(f"{bank.control_url}/statement?day={day}") as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "application/xml"
        (found,) = read(await answer.read())
        return found


async def pay(bank: SimulatedBank, mandate_id: str, amount: int) -> str:
    """Make one payment."""
    currency = "KZT" if bank.iban.startswith("KZ") else "EUR"
    asked = {"amount": amount, "currency": currency, "links": {"mandate": mandate_id}}
    _, made = await bank.api("POST", "/payments", {"payments": asked})
    payment_id: str = made["payments"]["id"]
    return payment_id


async def simulate(bank: SimulatedBank, name: str, resource_id: str) -> None:
    """Walk a resource to a state."""
    path = f"/scenario_simulators/{name}/actions/run"
    status, told = await bank.api("POST", path, {"data": {"links": {"resource": resource_id}}})
    assert status == 200, told


async def payouts(bank: SimulatedBank) -> list[dict[str, Any]]:
    """Return every payout, oldest first."""
    _, page = await bank.api("GET", "/payouts?limit=500")
    return list(reversed(page["payouts"]))


async def paid_out(bank: SimulatedBank) -> dict[str, Any]:
    """Let one payment of 50 000 be paid out, and return the payout."""
    await pay(bank, await bank.mandate(), 50_000)
    await bank.advance(LATER)
    (payout,) = await payouts(bank)
    return payout


class TestStatement:
    """A statement ..."""

    @pytest.mark.parametrize("profile", ["mock-kz", "sandbox-sepa"])
    async def test_has_one_line_for_each_payout(
        self, open_near_bank: StartBank, profile: str
    ) -> None:
        """On the day of its arrival, under the payout's id and with its reference."""
        bank = await open_near_bank(profile=profile)
        payout = await paid_out(bank)
        arrived_on = date.fromisoformat(payout["arrival_date"])

        found = await statement(bank, arrived_on)

        (line,) = found.lines
        assert (line.entry_ref, line.end_to_end_id) == (payout["id"], payout["reference"])
        assert line.payout_reference == payout["reference"]
        assert line.amount_minor == payout["amount"]
        assert (line.booked_on, line.status) == (arrived_on, "BOOK")
        assert found.currency == payout["currency"]
        assert found.iban_ending == "0001"
        assert (found.from_on, found.until_on) == (arrived_on, arrived_on)
        assert (found.opening_minor, found.closing_minor) == (0, payout["amount"])

    async def test_begins_where_the_one_before_ended(self, bank: SimulatedBank) -> None:
        """Day by day, without a gap, up to the sum of everything that was paid out."""
        mandate_id = await bank.mandate()
        for number in range(5):
            await pay(bank, mandate_id, 10_000 + number)
            await bank.advance(BANK_START + timedelta(days=3 * (number + 1)))
        await bank.advance(LATER)
        made = await payouts(bank)

        closing_minor, seen = 0, []
        for number in range(30):
            found = await statement(bank, BANK_START.date() + timedelta(days=number))
            assert found.opening_minor == closing_minor
            closing_minor = found.closing_minor
            seen += [line.entry_ref for line in found.lines]

        assert sorted(seen) == sorted(payout["id"] for payout in made)
        assert len(made) > 1
        assert closing_minor == sum(payout["amount"] for payout in made)

    async def test_says_the_same_when_asked_again(self, bank: SimulatedBank) -> None:
        """A day that is over does not change, whatever happens later."""
        payout = await paid_out(bank)
        day = date.fromisoformat(payout["arrival_date"])
        first = await statement(bank, day)
        await pay(bank, await bank.mandate(given_name="Fickle"), 70_000)
        await bank.advance(LATER + timedelta(days=30))

        assert await statement(bank, day) == first

    async def test_has_a_debit_for_what_no_payout_bears(self, bank: SimulatedBank) -> None:
        """A chargeback that is settled at once leaves the account by itself."""
        payment_id = await pay(bank, await bank.mandate(), 50_000)
        await simulate(bank, "payment_paid_out", payment_id)
        await bank.advance(BANK_START + timedelta(days=1))
        await simulate(bank, "payment_chargeback_settled", payment_id)
        await bank.advance(LATER)

        found = await statement(bank, BANK_START.date() + timedelta(days=1))

        (line,) = found.lines
        assert line.amount_minor < 0
        assert line.end_to_end_id == payment_id
        assert payment_id in line.text
        assert found.closing_minor == found.opening_minor + line.amount_minor

    async def test_knows_no_payout_that_bounced(self, bank: SimulatedBank) -> None:
        """What came back was never ours; its successor is."""
        payment_id = await pay(bank, await bank.mandate(), 50_000)
        await simulate(bank, "payment_paid_out", payment_id)
        (payout,) = await payouts(bank)
        await simulate(bank, "payout_bounced", payout["id"])
        await bank.advance(LATER)
        seen = [
            line.entry_ref
            for number in range(30)
            for line in (await statement(bank, BANK_START.date() + timedelta(days=number))).lines
        ]

        successors = [other["id"] for other in await payouts(bank) if other["id"] != payout["id"]]
        assert seen == successors
        assert len(seen) == 1

    async def test_is_of_a_day_that_is_over(self, bank: SimulatedBank) -> None:
        """A day may still bring money until it ends; half a day is no statement."""
        for asked, status in (("2026-01-01", 409), ("2026-02-30", 422), ("", 422)):
            async with bank.session.get(f"{bank.control_url}/statement?day={asked}") as answer:
                assert answer.status == status
        await bank.advance(BANK_START + timedelta(days=1))

        assert (await statement(bank, BANK_START.date())).lines == ()


class TestFault:
    """A statement that is wrong ..."""

    @pytest.mark.parametrize(
        ("name", "of_the_payout", "strangers"),
        [
            ("line_missing", [], []),
            ("line_twice", [0, 0], []),
            ("line_off_by_one", [-1], []),
            ("line_orphan", [0], [12_345]),
        ],
    )
    async def test_adds_up_all_the_same(
        self, bank: SimulatedBank, name: str, of_the_payout: list[int], strangers: list[int]
    ) -> None:
        """Only a comparison with the payouts shows it; the next reading is right again."""
        payout = await paid_out(bank)
        day = date.fromisoformat(payout["arrival_date"])
        right = await statement(bank, day)
        await bank.fault(name)

        wrong = await statement(bank, day)

        expected = [payout["amount"] + change for change in of_the_payout] + strangers
        assert [line.amount_minor for line in wrong.lines] == expected
        assert wrong != right
        assert await statement(bank, day) == right

    async def test_is_not_counted_on_an_empty_day(self, bank: SimulatedBank) -> None:
        """There was no line to lose."""
        await bank.advance(BANK_START + timedelta(days=1))
        await bank.fault("line_missing")
        await statement(bank, BANK_START.date())

        assert (await bank.faults())[0]["fired"] == 0

    @pytest.mark.parametrize(
        ("name", "change"), [("item_missing", -1), ("item_twice", 1), ("item_off_by_one", 0)]
    )
    async def test_of_the_items_does_not_add_up_to_the_payout(
        self, bank: SimulatedBank, name: str, change: int
    ) -> None:
        """The items are right again at the next reading."""
        payout = await paid_out(bank)
        path = f"/payout_items?payout={payout['id']}"
        _, right = await bank.api("GET", path)
        await bank.fault(name)

        _, wrong = await bank.api("GET", path)
        _, again = await bank.api("GET", path)

        assert len(wrong["payout_items"]) == len(right["payout_items"]) + change
        assert _sum_tenths(right) == payout["amount"] * 10 != _sum_tenths(wrong)
        assert again == right


def _sum_tenths(page: dict[str, Any]) -> int:
    return sum(int(item["amount"].replace(".", "")) for item in page["payout_items"])
