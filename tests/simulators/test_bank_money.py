"""What the bank owes its creditor: refunds, payouts and their items, to a tenth of a tiyn."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.fixtures_bank import SimulatedBank, StartBank


def at(day: int, month: int = 1) -> datetime:
    """Return a midnight of 2026."""
    return datetime(2026, month, day, tzinfo=UTC)


async def pay(bank: SimulatedBank, given_name: str = "Aigul", **fields: object) -> str:
    """Ask for 1 000,00 of a new payer on Monday, 12 January, and return the payment's id."""
    currency = "KZT" if bank.iban.startswith("KZ") else "EUR"
    asked = {
        "amount": 100_000,
        "currency": currency,
        "charge_date": "2026-01-12",
        "links": {"mandate": await bank.mandate(given_name=given_name)},
    }
    status, made = await bank.api("POST", "/payments", {"payments": asked | fields})
    assert status == 201, made
    payment_id: str = made["payments"]["id"]
    return payment_id


async def give_back(
    bank: SimulatedBank, payment_id: str, amount: int, total: int
) -> tuple[int, dict[str, Any]]:
    """Ask for a refund and return the status with the refund or the reason of the refusal."""
    asked = {
        "amount": amount,
        "total_amount_confirmation": total,
        "links": {"payment": payment_id},
    }
    status, made = await bank.api("POST", "/refunds", {"refunds": asked})
    if status == 201:
        return status, made["refunds"]
    return status, made["error"]["errors"][0]


async def simulate(bank: SimulatedBank, name: str, resource_id: str) -> int:
    """Run a scenario and return the status of the answer."""
    body = {"data": {"links": {"resource": resource_id}}}
    status, _ = await bank.api("POST", f"/scenario_simulators/{name}/actions/run", body)
    return status


async def read(bank: SimulatedBank, kind: str, resource_id: str) -> dict[str, Any]:
    """Return one resource."""
    _, found = await bank.api("GET", f"/{kind}/{resource_id}")
    resource: dict[str, Any] = found[kind]
    return resource


async def payouts(bank: SimulatedBank) -> list[dict[str, Any]]:
    """Return all payouts, oldest first."""
    _, page = await bank.api("GET", "/payouts?limit=500")
    return list(reversed(page["payouts"]))


async def items(bank: SimulatedBank, payout_id: str) -> list[tuple[str, str]]:
    """Return (type, amount) of the items of a payout, oldest first."""
    _, page = await bank.api("GET", f"/payout_items?payout={payout_id}&limit=500")
    return [(item["type"], item["amount"]) for item in reversed(page["payout_items"])]


async def told(bank: SimulatedBank, **query: str) -> list[str]:
    """Return day, hour and action of the events that match, oldest first."""
    text = "&".join(f"{name}={value}" for name, value in query.items())
    _, page = await bank.api("GET", f"/events?limit=500&{text}")
    return [f"{event['created_at'][8:13]} {event['action']}" for event in reversed(page["events"])]


async def balances(bank: SimulatedBank) -> dict[str, int]:
    """Return the three balances."""
    _, page = await bank.api("GET", "/balances")
    return {balance["balance_type"]: balance["amount"] for balance in page["balances"]}


class TestPayout:
    """A payout ..."""

    async def test_is_of_all_that_was_collected_the_day_before(self, bank: SimulatedBank) -> None:
        """Two payments, one transfer, the fee of one percent taken off."""
        first, second = await pay(bank), await pay(bank, amount=50_000)

        await bank.advance(at(15))

        (payout,) = await payouts(bank)
        assert (payout["amount"], payout["deducted_fees"]) == (148_500, 1_500)
        assert (payout["status"], payout["arrival_date"]) == ("paid", "2026-01-14")
        assert payout["created_at"] == "2026-01-14T00:00:00.000Z"
        assert await items(bank, payout["id"]) == [
            ("payment_paid_out", "100000.0"),
            ("payment_paid_out", "50000.0"),
            ("gocardless_fee", "-1000.0"),
            ("gocardless_fee", "-500.0"),
        ]
        for payment_id in (first, second):
            assert (await read(bank, "payments", payment_id))["links"]["payout"] == payout["id"]
        assert await told(bank, payout=payout["id"]) == [
            "14T09 paid",
            "14T09 paid_out",
            "14T09 paid_out",
        ]

    async def test_has_a_reference_for_the_statement(self, bank: SimulatedBank) -> None:
        """What the creditor's bank prints is all that ties a line to a payout."""
        await pay(bank)
        await bank.advance(at(15))

        (payout,) = await payouts(bank)
        prefix, _, rest = payout["reference"].partition("-")
        assert (prefix, len(rest)) == ("AQKOL", 10)
        _, page = await bank.api("GET", f"/payouts?reference={payout['reference']}&status=paid")
        assert [found["id"] for found in page["payouts"]] == [payout["id"]]

    async def test_is_whole_though_fees_are_not(self, bank: SimulatedBank) -> None:
        """Fees of 10,2 and 10,4: rounded together, the items still add up to the payout."""
        await pay(bank, amount=1_022)
        await pay(bank, amount=1_049)

        await bank.advance(at(15))

        (payout,) = await payouts(bank)
        found = await items(bank, payout["id"])
        assert payout["amount"] == 2_050
        assert sum(Decimal(amount) for _, amount in found) == 2_050
        assert found[2:] == [("gocardless_fee", "-10.2"), ("gocardless_fee", "-10.8")]

    async def test_waits_for_a_working_day(self, bank: SimulatedBank) -> None:
        """Collected on Friday, made on Monday."""
        await pay(bank, charge_date="2026-01-15")

        await bank.advance(at(19))

        assert [payout["created_at"][:10] for payout in await payouts(bank)] == ["2026-01-19"]
        assert await balances(bank) == {
            "confirmed_funds": 0,
            "pending_payments_submitted": 0,
            "pending_payouts": 99_000,
        }

    async def test_bears_a_late_failure_of_an_earlier_one(self, bank: SimulatedBank) -> None:
        """Taken from the next, the fee of it given back, and told as settled only then."""
        late = await pay(bank, "Late")
        await pay(bank, charge_date="2026-01-20")
        await bank.advance(at(19))
        assert await told(bank, payment=late, action="late_failure_settled") == []
        assert (await balances(bank))["confirmed_funds"] == -99_000

        await pay(bank, charge_date="2026-01-20", amount=5_000)
        await bank.advance(at(24))

        _, second = await payouts(bank)
        assert second["amount"] == 99_000 + 4_950 - 99_000
        assert sorted(await items(bank, second["id"])) == [
            ("gocardless_fee", "-1000.0"),
            ("gocardless_fee", "-50.0"),
            ("gocardless_fee", "1000.0"),
            ("payment_failed", "-100000.0"),
            ("payment_paid_out", "100000.0"),
            ("payment_paid_out", "5000.0"),
        ]
        assert await told(bank, payment=late, action="late_failure_settled") == [
            "22T09 late_failure_settled"
        ]

    async def test_is_never_of_less_than_nothing(self, bank: SimulatedBank) -> None:
        """A debt waits; nobody is sent a negative transfer."""
        await pay(bank, "Fickle")

        await bank.advance(at(1, 3))

        assert [payout["amount"] for payout in await payouts(bank)] == [99_000]
        assert (await balances(bank))["confirmed_funds"] == -99_000

    async def test_knows_nothing_of_what_failed_before_it(self, bank: SimulatedBank) -> None:
        """Money that came and went before the batch is neither paid nor taken."""
        await pay(bank, "Hasty")
        await pay(bank, "Stopped")

        await bank.advance(at(1, 2))

        assert await payouts(bank) == []
        assert (await balances(bank))["confirmed_funds"] == 0

    async def test_gives_a_cancelled_chargeback_back(self, bank: SimulatedBank) -> None:
        """Borne by one payout, the amount comes with a later one; the payment is as before."""
        forgiven = await pay(bank, "Forgiving")
        await pay(bank, charge_date="2026-01-16", amount=300_000)

        await bank.advance(at(1, 2))

        amounts = [payout["amount"] for payout in await payouts(bank)]
        assert amounts == [99_000, 297_000 - 99_000, 99_000]
        assert (await read(bank, "payments", forgiven))["status"] == "paid_out"

    async def test_that_bounced_is_made_again(self, bank: SimulatedBank) -> None:
        """The same items under a new reference, and nobody is told twice that he was paid."""
        payment_id = await pay(bank)
        await bank.advance(at(15))
        (payout,) = await payouts(bank)

        assert await simulate(bank, "payout_bounced", payout["id"]) == 200
        await bank.advance(at(17))

        bounced, again = await payouts(bank)
        assert (bounced["status"], again["status"]) == ("bounced", "paid")
        assert again["amount"] == bounced["amount"]
        assert again["reference"] != bounced["reference"]
        assert await items(bank, again["id"]) == await items(bank, bounced["id"])
        assert (await read(bank, "payments", payment_id))["links"]["payout"] == again["id"]
        assert await told(bank, payment=payment_id, action="paid_out") == ["14T09 paid_out"]

    async def test_arrives_a_day_later_in_euro(self, start_bank: StartBank) -> None:
        """The other rail: its own fee, its own holidays, a transfer that takes its day."""
        bank = await start_bank(profile="sandbox-sepa")
        await pay(bank, charge_date="2026-04-01")

        await bank.advance(at(10, 4))

        # Confirmed on Thursday; Good Friday and Easter Monday are no days of TARGET.
        (payout,) = await payouts(bank)
        assert payout["created_at"] == "2026-04-07T00:00:00.000Z"
        assert (payout["amount"], payout["arrival_date"]) == (100_000 - 400, "2026-04-08")

    async def test_forgets_its_items_after_half_a_year(self, bank: SimulatedBank) -> None:
        """The contract keeps them for six months, and a reader must not count on more."""
        await pay(bank)
        await bank.advance(at(15))
        (payout,) = await payouts(bank)

        statuses = []
        for now in (at(14, 7), at(15, 7)):
            await bank.advance(now)
            status, _ = await bank.api("GET", f"/payout_items?payout={payout['id']}")
            statuses.append(status)

        assert statuses == [200, 410]

    async def test_items_are_asked_for_by_payout(self, bank: SimulatedBank) -> None:
        """All items of everybody is no question the contract answers."""
        without, _ = await bank.api("GET", "/payout_items")
        unknown, _ = await bank.api("GET", "/payout_items?payout=PO0")

        assert (without, unknown) == (400, 404)


class TestRefund:
    """A refund ..."""

    async def test_goes_to_the_payer_and_is_taken_from_a_payout(self, bank: SimulatedBank) -> None:
        """Two facts that come apart: paid to the one, borne by the other."""
        payment_id = await pay(bank)
        await bank.advance(at(15))
        status, made = await give_back(bank, payment_id, 30_000, 30_000)
        await pay(bank, charge_date="2026-01-20")
        await bank.advance(at(24))

        assert (status, made["status"]) == (201, "created")
        assert (await read(bank, "refunds", made["id"]))["status"] == "paid"
        assert (await read(bank, "payments", payment_id))["amount_refunded"] == 30_000
        assert await told(bank, refund=made["id"]) == [
            "15T00 created",
            "19T00 paid",
            "22T09 refund_settled",
        ]
        assert [payout["amount"] for payout in await payouts(bank)] == [99_000, 99_000 - 30_000]

    async def test_needs_the_right_sum_of_all(self, bank: SimulatedBank) -> None:
        """Two processes that refund the same payment blindly cannot both be right."""
        payment_id = await pay(bank)
        await bank.advance(at(15))
        await give_back(bank, payment_id, 10_000, 10_000)

        status, refusal = await give_back(bank, payment_id, 10_000, 10_000)

        assert (status, refusal["reason"]) == (422, "total_amount_confirmation_invalid")
        assert (await give_back(bank, payment_id, 10_000, 20_000))[0] == 201

    async def test_is_never_more_than_was_paid(self, bank: SimulatedBank) -> None:
        """To the tiyn."""
        payment_id = await pay(bank)
        await bank.advance(at(15))

        status, refusal = await give_back(bank, payment_id, 100_001, 100_001)

        assert (status, refusal["reason"]) == (422, "available_refund_amount_insufficient")
        assert (await give_back(bank, payment_id, 100_000, 100_000))[0] == 201

    async def test_is_one_of_five_at_most(self, bank: SimulatedBank) -> None:
        """The sixth is refused, however small."""
        payment_id = await pay(bank)
        await bank.advance(at(15))
        for number in range(1, 6):
            assert (await give_back(bank, payment_id, 1, number))[0] == 201

        status, refusal = await give_back(bank, payment_id, 1, 6)

        assert (status, refusal["reason"]) == (422, "number_of_refunds_exceeded")

    @pytest.mark.parametrize(
        "scenario", ["payment_charged_back", "payment_submitted", "payment_late_failure"]
    )
    async def test_is_refused_while_the_money_is_not_ours(
        self, bank: SimulatedBank, scenario: str
    ) -> None:
        """Under an open chargeback the payer would have the amount twice."""
        payment_id = await pay(bank)
        await simulate(bank, scenario, payment_id)

        status, refusal = await give_back(bank, payment_id, 1, 1)

        assert (status, refusal["reason"]) == (422, "refund_payment_invalid_state")

    @pytest.mark.parametrize(
        ("given_name", "expected"),
        [
            ("Unreachable", ["15T00 created", "19T00 failed"]),
            ("Vanished", ["15T00 created", "19T00 paid", "20T00 failed"]),
        ],
    )
    async def test_that_bounced_comes_back(
        self, bank: SimulatedBank, given_name: str, expected: list[str]
    ) -> None:
        """It may be refused at once or after it was paid; the creditor gets the money again."""
        payment_id = await pay(bank, given_name)
        await bank.advance(at(15))
        _, made = await give_back(bank, payment_id, 30_000, 30_000)
        await pay(bank, charge_date="2026-01-26")
        await bank.advance(at(30))

        assert await told(bank, refund=made["id"]) == [
            *expected,
            "28T09 refund_settled",
            "28T09 funds_returned",
        ]
        assert (await read(bank, "payments", payment_id))["amount_refunded"] == 0
        assert [payout["amount"] for payout in await payouts(bank)] == [99_000, 99_000]

    @pytest.mark.parametrize(
        ("scenario", "status"),
        [
            ("refund_paid", "paid"),
            ("refund_settled", "created"),
            ("refund_bounced", "bounced"),
            ("refund_returned", "funds_returned"),
        ],
    )
    async def test_is_walked_by_the_sandbox_names(
        self, bank: SimulatedBank, scenario: str, status: str
    ) -> None:
        """Tests written against the real sandbox choose outcomes by these names."""
        payment_id = await pay(bank)
        await bank.advance(at(15))
        _, made = await give_back(bank, payment_id, 30_000, 30_000)

        assert await simulate(bank, scenario, made["id"]) == 200

        assert (await read(bank, "refunds", made["id"]))["status"] == status

    async def test_is_listed_by_its_payment_and_changed_in_metadata(
        self, bank: SimulatedBank
    ) -> None:
        """How a lost answer is looked for: by the payment it was of."""
        payment_id = await pay(bank)
        await bank.advance(at(15))
        _, made = await give_back(bank, payment_id, 1, 1)
        body = {"refunds": {"metadata": {"intent": "7"}}}
        _, changed = await bank.api("PUT", f"/refunds/{made['id']}", body)

        _, page = await bank.api("GET", f"/refunds?payment={payment_id}")
        _, other = await bank.api("GET", "/refunds?payment=PM0")

        assert changed["refunds"]["metadata"] == {"intent": "7"}
        assert [refund["id"] for refund in page["refunds"]] == [made["id"]]
        assert other["refunds"] == []
