"""Money that goes back and money that is taken back, with a bank that is a process of its own."""

import asyncpg
import pytest

from billing.give_back import ask_back
from billing.refund import Cause, Refund
from tests.billing.debit_town import JANUARY, day
from tests.billing.test_collect_with_bank import Street, street

__all__ = ["street"]

TOTAL_MINOR = 74_297


async def collected(street: Street, *, given_name: str = "Aigul") -> None:
    """Take January's money, up to its payout."""
    await street.link(given_name=given_name)
    await street.town.bill()
    await street.live("02-02", "02-21", every=10)
    await street.live("02-22", "02-28")
    assert await street.town.states() == ["2026-01/1 settled"]


async def asked(street: Street, amount_minor: int, at: str = "03-01") -> Refund:
    return await ask_back(
        store=street.store,
        debit_id=JANUARY,
        amount_minor=amount_minor,
        cause=Cause.OPERATOR,
        asked_by="Olga N.",
        because="a call",
        at=day(at),
    )


async def refunds(owner: asyncpg.Connection) -> list[str]:
    rows = await owner.fetch("SELECT state, amount_minor FROM refund ORDER BY refund_no")
    return [f"{row['state']} {row['amount_minor']}" for row in rows]


async def at_bank(street: Street) -> list[tuple[int, str]]:
    found = [one async for one in street.client.list_refunds(payment_id=None)]
    return sorted((one.amount_minor, str(one.status)) for one in found)


class TestRefunds:
    """A refund ..."""

    async def test_is_paid_once(self, street: Street) -> None:
        """Asked for in the morning, ordered in the same round, with the payer in a few days."""
        await collected(street)
        await asked(street, 5_000)

        counts = await street.collect(day("03-01", 10))
        await street.live("03-02", "03-10")

        assert counts.give_back.accepted == 1
        assert await at_bank(street) == [(5_000, "paid")]
        assert (await refunds(street.town.owner))[0].split()[0] in {"paid", "settled"}
        assert await street.town.balances() == {
            "bank": TOTAL_MINOR - 5_000,
            "receivable": 5_000,
            "revenue": -TOTAL_MINOR,
        }

    @pytest.mark.parametrize(
        "fault", ["answer_lost", "error_after", "garbled", "error_before", "rate_limit"]
    )
    async def test_is_paid_once_whatever_becomes_of_the_answer(
        self, street: Street, fault: str
    ) -> None:
        """Unknown, the same key, one refund."""
        await collected(street)
        await asked(street, 5_000)
        await street.bank.fault(fault, "refunds.create", times=2)

        for hour in range(10, 20):
            await street.collect(day("03-01", hour))

        assert [amount for amount, _ in await at_bank(street)] == [5_000]
        assert await refunds(street.town.owner) == ["pending 5000"]

    async def test_in_parts_says_each_time_what_goes_back_in_all(self, street: Street) -> None:
        """Three parts that make the whole, one after the other; a fourth is refused here."""
        await collected(street)
        for amount_minor in (50_000, 24_000, 297):
            await asked(street, amount_minor)

        for hour in range(10, 16):
            await street.collect(day("03-01", hour))

        assert [amount for amount, _ in await at_bank(street)] == [297, 24_000, 50_000]

    @pytest.mark.parametrize("given_name", ["Unreachable", "Vanished"])
    async def test_that_does_not_arrive_waits_for_a_hand(
        self, street: Street, given_name: str
    ) -> None:
        """The payer's account is closed; the money is ours again, and his."""
        await collected(street, given_name=given_name)
        await asked(street, 5_000)

        await street.live("03-01", "03-20")

        assert (await refunds(street.town.owner))[0].split()[0] in {"bounced", "returned"}
        assert (await street.town.balances())["refund_due"] == -5_000
        assert (await street.town.balances())["bank"] == TOTAL_MINOR


class TestTakenBack:
    """Money that the bank takes back after it paid it out ..."""

    @pytest.mark.parametrize("scenario", ["payment_late_failure", "payment_charged_back"])
    async def test_is_owed_again_when_a_payout_was_cut_for_it(
        self, street: Street, scenario: str
    ) -> None:
        """First it is the bank's claim against us, then the resident's debt."""
        await collected(street)
        payment = (await street.bank.books())["payments"][0]["id"]
        await _run(street, scenario, payment)
        await street.collect(day("03-01"))
        assert (await street.town.balances())["chargebacks_receivable"] == TOTAL_MINOR

        settled = (
            "payment_late_failure_settled" if "late" in scenario else ("payment_chargeback_settled")
        )
        await _run(street, settled, payment)
        await street.collect(day("03-02"))

        balances = await street.town.balances()
        assert balances == {"receivable": TOTAL_MINOR, "revenue": -TOTAL_MINOR}


async def _run(street: Street, scenario: str, payment_id: str) -> None:
    """Let the bank's own simulator of scenarios run one."""
    status, _ = await street.bank.api(
        "POST",
        f"/scenario_simulators/{scenario}/actions/run",
        {"data": {"links": {"resource": payment_id}}},
    )
    assert status == 200
