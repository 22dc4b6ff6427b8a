"""A random year of a town: whatever happens, the bank's money adds up to the tenth of a tiyn."""

import random
from collections import Counter, defaultdict
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from simulators.bank import payment_life, refund_life
from tests.simulators.teller import OpenBank, Teller, at

NAMES = ("Aigul", "Successful", *payment_life.COURSE, *refund_life.COURSE)
DAYS = 60


class Town:
    """Payers of every name, an operator who refunds, retries and cancels at random."""

    def __init__(self, teller: Teller, seed: int) -> None:
        self.teller = teller
        self.random = random.Random(seed)  # noqa: S311 - a test, not a secret
        self.payments: list[str] = []
        self.mandates: list[str] = []

    async def live(self) -> None:
        """Live so many days, then let everything under way come to its end."""
        for name in NAMES:
            self.mandates.append(await self.teller.mandate(given_name=name))
        now = at(1)
        for _ in range(DAYS):
            now += timedelta(days=1)
            await self.teller.advance(now + timedelta(hours=self.random.randrange(24)))
            for _ in range(self.random.randrange(4)):
                await self.ask()
            await self.meddle()
        await self.teller.advance(now + timedelta(days=60))

    async def ask(self) -> None:
        """Ask somebody for some amount; under a mandate that is over, nothing comes of it."""
        status, made = await self.teller.ask(
            self.random.choice(self.mandates),
            amount=self.random.randrange(1, 2_000_000),
            charge_date=None,
            retry_if_possible=self.random.random() < 0.5,
        )
        if status == 201:
            self.payments.append(made["id"])

    async def meddle(self) -> None:
        """Do one thing to one payment or payout, whether it makes sense or not."""
        if not self.payments:
            return
        payment = await self.teller.read("payments", self.random.choice(self.payments))
        what = self.random.choice(("refund", "refund", "retry", "cancel", "bounce", "forgive"))
        if what == "refund":
            left = payment["amount"] - payment["amount_refunded"]
            amount = self.random.randint(1, max(1, left + 1))
            total = payment["amount_refunded"] + amount
            await self.teller.give_back(payment["id"], amount, total)
        elif what == "bounce":
            paid = [one for one in await self.teller.payouts() if one["status"] == "paid"]
            if paid:
                await self.teller.simulate("payout_bounced", self.random.choice(paid)["id"])
        elif what == "forgive":
            if payment["status"] == "charged_back":
                await self.teller.simulate("payment_chargeback_cancelled", payment["id"])
        else:
            await self.teller.act("payments", payment["id"], what)


async def every(teller: Teller, kind: str, query: str = "") -> list[dict[str, Any]]:
    """Read a whole list page by page."""
    found: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        _, page = await teller.api(
            "GET", f"/{kind}?limit=100{query}" + (after and f"&after={after}")
        )
        found += page[kind]
        after = page["meta"]["cursors"]["after"]
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("profile", ["mock-kz", "sandbox-sepa"])
class TestBooks:
    """The books of a random town ..."""

    async def test_add_up(self, open_teller: OpenBank, profile: str, seed: int) -> None:
        """Each payout is the sum of its items, and what all payouts moved is what happened."""
        teller = open_teller(profile)
        town = Town(teller, seed)
        await town.live()

        moved: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        fees: dict[str, Decimal] = defaultdict(Decimal)
        for payout in await every(teller, "payouts"):
            items = await every(teller, "payout_items", f"&payout={payout['id']}")
            assert sum(Decimal(item["amount"]) for item in items) == payout["amount"] > 0
            assert payout["status"] in {"paid", "bounced"}
            if payout["status"] == "bounced":
                continue
            for item in items:
                if item["type"] == "gocardless_fee":
                    fees[item["links"]["payment"]] += Decimal(item["amount"])
                else:
                    moved[item["links"]["payment"], item["type"]] += Decimal(item["amount"])
        for item in teller.bank.store.unsettled("~"):
            moved[item["links"]["payment"], item["type"]] += Decimal(item["amount"])
        await self.compare(teller, moved, fees)

    async def compare(
        self,
        teller: Teller,
        moved: dict[tuple[str, str], Decimal],
        fees: dict[str, Decimal],
    ) -> None:
        """Compare what was moved, and what still waits to be, with payments and refunds."""
        payments = await every(teller, "payments")
        refunds = await every(teller, "refunds")
        assert payments
        kept = 0
        for payment in payments:
            refunded = [
                refund
                for refund in refunds
                if refund["links"]["payment"] == payment["id"]
                and refund["status"] not in {"bounced", "funds_returned"}
            ]
            given = sum(refund["amount"] for refund in refunded)
            assert payment["amount_refunded"] == given <= payment["amount"]
            kept += (payment["status"] in {"confirmed", "paid_out"}) * payment["amount"] - given
            # Nobody's payment is in payouts more than once, net of what was taken back.
            net = sum(
                moved[payment["id"], name]
                for name in ("payment_paid_out", "payment_failed", "payment_charged_back")
            )
            assert net in {0, payment["amount"]} or payment["status"] == "charged_back"
            assert fees[payment["id"]] <= 0
        fees_waiting = sum(moved[payment["id"], "gocardless_fee"] for payment in payments)
        assert sum(moved.values()) - fees_waiting == kept

    async def test_tell_of_each_step_once(
        self, open_teller: OpenBank, profile: str, seed: int
    ) -> None:
        """Events of a payment follow its table, in order, and end where the payment stands."""
        teller = open_teller(profile)
        town = Town(teller, seed)
        await town.live()

        told: dict[str, list[str]] = defaultdict(list)
        for event in reversed(await every(teller, "events", "&resource_type=payments")):
            told[event["links"]["payment"]].append(event["action"])
        for payment in await every(teller, "payments"):
            actions = told[payment["id"]]
            counted = Counter(actions)
            assert actions[0] == "created"
            assert counted["created"] == 1
            assert counted["confirmed"] <= 1
            assert counted["paid_out"] <= 1
            assert counted["resubmission_requested"] <= 3
            assert counted["submitted"] <= 4
            assert counted["late_failure_settled"] <= counted["failed"]
            assert counted["chargeback_settled"] <= counted["charged_back"]
