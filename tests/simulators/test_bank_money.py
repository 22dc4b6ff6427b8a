"""What the bank owes its creditor: refunds, payouts and their items, to a tenth of a tiyn."""

from decimal import Decimal

import pytest

from simulators.bank.control import books
from tests.simulators.teller import OpenBank, Teller, at


class TestPayout:
    """A payout ..."""

    async def test_is_of_all_that_was_collected_the_day_before(self, teller: Teller) -> None:
        """Two payments, one transfer, the fee of one percent taken off."""
        first, second = await teller.pay(), await teller.pay(amount=50_000)

        await teller.advance(at(15))

        (payout,) = await teller.payouts()
        assert (payout["amount"], payout["deducted_fees"]) == (148_500, 1_500)
        assert (payout["status"], payout["arrival_date"]) == ("paid", "2026-01-14")
        assert payout["created_at"] == "2026-01-14T00:00:00.000Z"
        assert await teller.items(payout["id"]) == [
            ("payment_paid_out", "100000.0"),
            ("payment_paid_out", "50000.0"),
            ("gocardless_fee", "-1000.0"),
            ("gocardless_fee", "-500.0"),
        ]
        for payment_id in (first, second):
            assert (await teller.read("payments", payment_id))["links"]["payout"] == payout["id"]
        assert await teller.told(payout=payout["id"]) == [
            "14T09 paid",
            "14T09 paid_out",
            "14T09 paid_out",
        ]

    async def test_has_a_reference_for_the_statement(self, teller: Teller) -> None:
        """What the creditor's bank prints is all that ties a line to a payout."""
        await teller.pay()
        await teller.advance(at(15))

        (payout,) = await teller.payouts()
        prefix, _, rest = payout["reference"].partition("-")
        assert (prefix, len(rest)) == ("AQKOL", 10)
        _, page = await teller.api("GET", f"/payouts?reference={payout['reference']}&status=paid")
        assert [found["id"] for found in page["payouts"]] == [payout["id"]]

    async def test_is_whole_though_fees_are_not(self, teller: Teller) -> None:
        """Fees of 10,2 and 10,4: rounded together, the items still add up to the payout."""
        await teller.pay(amount=1_022)
        await teller.pay(amount=1_049)

        await teller.advance(at(15))

        (payout,) = await teller.payouts()
        found = await teller.items(payout["id"])
        assert payout["amount"] == 2_050
        assert sum(Decimal(amount) for _, amount in found) == 2_050
        assert found[2:] == [("gocardless_fee", "-10.2"), ("gocardless_fee", "-10.8")]

    async def test_waits_for_a_working_day(self, teller: Teller) -> None:
        """Collected on Friday, made on Monday."""
        await teller.pay(charge_date="2026-01-15")

        await teller.advance(at(19))

        assert [payout["created_at"][:10] for payout in await teller.payouts()] == ["2026-01-19"]
        assert await teller.balances() == {
            "confirmed_funds": 0,
            "pending_payments_submitted": 0,
            "pending_payouts": 99_000,
        }

    async def test_bears_a_late_failure_of_an_earlier_one(self, teller: Teller) -> None:
        """Taken from the next, the fee of it given back, and told as settled only then."""
        late = await teller.pay("Late")
        await teller.pay(charge_date="2026-01-20")
        await teller.advance(at(19))
        assert await teller.told(payment=late, action="late_failure_settled") == []
        assert (await teller.balances())["confirmed_funds"] == -99_000

        await teller.pay(charge_date="2026-01-20", amount=5_000)
        await teller.advance(at(24))

        _, second = await teller.payouts()
        assert second["amount"] == 99_000 + 4_950 - 99_000
        assert sorted(await teller.items(second["id"])) == [
            ("gocardless_fee", "-1000.0"),
            ("gocardless_fee", "-50.0"),
            ("gocardless_fee", "1000.0"),
            ("payment_failed", "-100000.0"),
            ("payment_paid_out", "100000.0"),
            ("payment_paid_out", "5000.0"),
        ]
        assert await teller.told(payment=late, action="late_failure_settled") == [
            "22T09 late_failure_settled"
        ]

    async def test_is_never_of_less_than_nothing(self, teller: Teller) -> None:
        """A debt waits; nobody is sent a negative transfer."""
        await teller.pay("Fickle")

        await teller.advance(at(1, 3))

        assert [payout["amount"] for payout in await teller.payouts()] == [99_000]
        assert (await teller.balances())["confirmed_funds"] == -99_000

    async def test_knows_nothing_of_what_failed_before_it(self, teller: Teller) -> None:
        """Money that came and went before the batch is neither paid nor taken."""
        await teller.pay("Hasty")
        await teller.pay("Stopped")

        await teller.advance(at(1, 2))

        assert await teller.payouts() == []
        assert (await teller.balances())["confirmed_funds"] == 0

    async def test_gives_a_cancelled_chargeback_back(self, teller: Teller) -> None:
        """Borne by one payout, the amount comes with a later one; the payment is as before."""
        forgiven = await teller.pay("Forgiving")
        await teller.pay(charge_date="2026-01-16", amount=300_000)

        await teller.advance(at(1, 2))

        amounts = [payout["amount"] for payout in await teller.payouts()]
        assert amounts == [99_000, 297_000 - 99_000, 99_000]
        assert (await teller.read("payments", forgiven))["status"] == "paid_out"

    async def test_that_bounced_is_made_again(self, teller: Teller) -> None:
        """The same items under a new reference, and nobody is told twice that he was paid."""
        payment_id = await teller.pay()
        await teller.advance(at(15))
        (payout,) = await teller.payouts()

        assert await teller.simulate("payout_bounced", payout["id"]) == 200
        await teller.advance(at(17))

        bounced, again = await teller.payouts()
        assert (bounced["status"], again["status"]) == ("bounced", "paid")
        assert again["amount"] == bounced["amount"]
        assert again["reference"] != bounced["reference"]
        assert await teller.items(again["id"]) == await teller.items(bounced["id"])
        assert (await teller.read("payments", payment_id))["links"]["payout"] == again["id"]
        assert await teller.told(payment=payment_id, action="paid_out") == ["14T09 paid_out"]

    async def test_arrives_a_day_later_in_euro(self, open_teller: OpenBank) -> None:
        """The other rail: its own fee, its own holidays, a transfer that takes its day."""
        teller = open_teller("sandbox-sepa")
        await teller.pay(charge_date="2026-04-01")

        await teller.advance(at(10, 4))

        # Confirmed on Thursday; Good Friday and Easter Monday are no days of TARGET.
        (payout,) = await teller.payouts()
        assert payout["created_at"] == "2026-04-07T00:00:00.000Z"
        assert (payout["amount"], payout["arrival_date"]) == (100_000 - 400, "2026-04-08")

    async def test_forgets_its_items_after_half_a_year(self, teller: Teller) -> None:
        """The contract keeps them for six months, and a reader must not count on more."""
        await teller.pay()
        await teller.advance(at(15))
        (payout,) = await teller.payouts()

        statuses = []
        for now in (at(14, 7), at(15, 7)):
            await teller.advance(now)
            status, _ = await teller.api("GET", f"/payout_items?payout={payout['id']}")
            statuses.append(status)

        assert statuses == [200, 410]

    async def test_items_are_asked_for_by_payout(self, teller: Teller) -> None:
        """All items of everybody is no question the contract answers."""
        without, _ = await teller.api("GET", "/payout_items")
        unknown, _ = await teller.api("GET", "/payout_items?payout=PO0")

        assert (without, unknown) == (400, 404)


class TestRefund:
    """A refund ..."""

    async def test_goes_to_the_payer_and_is_taken_from_a_payout(self, teller: Teller) -> None:
        """Two facts that come apart: paid to the one, borne by the other."""
        payment_id = await teller.pay()
        await teller.advance(at(15))
        status, made = await teller.give_back(payment_id, 30_000, 30_000)
        await teller.pay(charge_date="2026-01-20")
        await teller.advance(at(24))

        assert (status, made["status"]) == (201, "created")
        assert (await teller.read("refunds", made["id"]))["status"] == "paid"
        assert (await teller.read("payments", payment_id))["amount_refunded"] == 30_000
        assert await teller.told(refund=made["id"]) == [
            "15T00 created",
            "19T00 paid",
            "22T09 refund_settled",
        ]
        assert [payout["amount"] for payout in await teller.payouts()] == [99_000, 99_000 - 30_000]

    async def test_is_not_collected_any_more_once_it_is_paid(self, teller: Teller) -> None:
        """The books say what payers gave and did not get back; one that bounced is ours again."""
        payment_id = await teller.pay()
        bounced_id = await teller.pay(given_name="Unreachable")
        await teller.advance(at(15))
        await teller.give_back(payment_id, 30_000, 30_000)
        await teller.give_back(bounced_id, 20_000, 20_000)
        asked = books(teller.bank)
        await teller.advance(at(24))

        paid = books(teller.bank)

        assert asked["collected_minor"] == 200_000
        assert paid["collected_minor"] == paid["totals"]["collected_minor"] == 170_000
        assert paid["totals"]["returned_minor"] == 30_000
        assert sorted(paid["totals"]["by_account_minor"].values()) == [70_000, 100_000]

    async def test_needs_the_right_sum_of_all(self, teller: Teller) -> None:
        """Two processes that refund the same payment blindly cannot both be right."""
        payment_id = await teller.pay()
        await teller.advance(at(15))
        await teller.give_back(payment_id, 10_000, 10_000)

        status, refusal = await teller.give_back(payment_id, 10_000, 10_000)

        assert (status, refusal["reason"]) == (422, "total_amount_confirmation_invalid")
        assert (await teller.give_back(payment_id, 10_000, 20_000))[0] == 201

    async def test_is_never_more_than_was_paid(self, teller: Teller) -> None:
        """To the tiyn."""
        payment_id = await teller.pay()
        await teller.advance(at(15))

        await teller.give_back(payment_id, 60_000, 60_000)

        status, refusal = await teller.give_back(payment_id, 40_001, 100_001)

        assert (status, refusal["reason"]) == (422, "available_refund_amount_insufficient")
        assert (await teller.give_back(payment_id, 40_000, 100_000))[0] == 201

    async def test_is_one_of_five_at_most(self, teller: Teller) -> None:
        """The sixth is refused, however small."""
        payment_id = await teller.pay()
        await teller.advance(at(15))
        for number in range(1, 6):
            assert (await teller.give_back(payment_id, 1, number))[0] == 201

        status, refusal = await teller.give_back(payment_id, 1, 6)

        assert (status, refusal["reason"]) == (422, "number_of_refunds_exceeded")

    @pytest.mark.parametrize(
        "scenario", ["payment_charged_back", "payment_submitted", "payment_late_failure"]
    )
    async def test_is_refused_while_the_money_is_not_ours(
        self, teller: Teller, scenario: str
    ) -> None:
        """Under an open chargeback the payer would have the amount twice."""
        payment_id = await teller.pay()
        await teller.simulate(scenario, payment_id)

        status, refusal = await teller.give_back(payment_id, 1, 1)

        assert (status, refusal["reason"]) == (422, "refund_payment_invalid_state")

    @pytest.mark.parametrize(
        ("given_name", "expected"),
        [
            ("Unreachable", ["15T00 created", "19T00 failed"]),
            ("Vanished", ["15T00 created", "19T00 paid", "20T00 failed"]),
        ],
    )
    async def test_that_bounced_comes_back(
        self, teller: Teller, given_name: str, expected: list[str]
    ) -> None:
        """It may be refused at once or after it was paid; the creditor gets the money again."""
        payment_id = await teller.pay(given_name)
        await teller.advance(at(15))
        _, made = await teller.give_back(payment_id, 30_000, 30_000)
        await teller.pay(charge_date="2026-01-26")
        await teller.advance(at(30))

        assert await teller.told(refund=made["id"]) == [
            *expected,
            "28T09 refund_settled",
            "28T09 funds_returned",
        ]
        assert (await teller.read("payments", payment_id))["amount_refunded"] == 0
        assert [payout["amount"] for payout in await teller.payouts()] == [99_000, 99_000]

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
        self, teller: Teller, scenario: str, status: str
    ) -> None:
        """Tests written against the real sandbox choose outcomes by these names."""
        payment_id = await teller.pay()
        await teller.advance(at(15))
        _, made = await teller.give_back(payment_id, 30_000, 30_000)

        assert await teller.simulate(scenario, made["id"]) == 200

        assert (await teller.read("refunds", made["id"]))["status"] == status

    async def test_is_listed_by_its_payment_and_changed_in_metadata(self, teller: Teller) -> None:
        """How a lost answer is looked for: by the payment it was of."""
        payment_id = await teller.pay()
        await teller.advance(at(15))
        _, made = await teller.give_back(payment_id, 1, 1)
        body = {"refunds": {"metadata": {"intent": "7"}}}
        _, changed = await teller.api("PUT", f"/refunds/{made['id']}", body)

        _, page = await teller.api("GET", f"/refunds?payment={payment_id}")
        _, other = await teller.api("GET", "/refunds?payment=PM0")

        assert changed["refunds"]["metadata"] == {"intent": "7"}
        assert [refund["id"] for refund in page["refunds"]] == [made["id"]]
        assert other["refunds"] == []


class TestKeys:
    """Refunds, payouts, items and balances ..."""

    async def test_have_these_keys_and_no_others(self, teller: Teller) -> None:
        """Written by hand, for machines without the published examples."""
        payment_id = await teller.pay()
        await teller.advance(at(15))
        _, refund = await teller.give_back(payment_id, 1, 1)
        (payout,) = await teller.payouts()
        _, listed = await teller.api("GET", f"/payout_items?payout={payout['id']}")
        _, balance = await teller.api("GET", "/balances")

        assert " ".join(sorted(refund)) == (
            "amount created_at currency fx id links metadata reference status"
        )
        assert " ".join(sorted(payout)) == (
            "amount arrival_date created_at currency deducted_fees fx id links metadata "
            "payout_type reference status tax_currency"
        )
        for item in listed["payout_items"]:
            assert sorted(item) == ["amount", "links", "taxes", "type"]
        for entry in balance["balances"]:
            assert " ".join(sorted(entry)) == ("amount balance_type currency last_updated_at links")

    async def test_are_read_page_by_page(self, teller: Teller) -> None:
        """Items have no ids of their own to show, and are walked by cursors all the same."""
        for amount in (1_000, 2_000, 3_000):
            await teller.pay(amount=amount)
        await teller.advance(at(15))
        (payout,) = await teller.payouts()
        path = f"/payout_items?payout={payout['id']}&limit=2"

        walked: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            _, page = await teller.api("GET", path + (cursor and f"&after={cursor}"))
            walked += [item["amount"] for item in page["payout_items"]]
            cursor = page["meta"]["cursors"]["after"]

        assert walked == ["-30.0", "-20.0", "-10.0", "3000.0", "2000.0", "1000.0"]

    @pytest.mark.parametrize(
        ("query", "count"),
        [
            ("status=paid", 1),
            ("status=pending", 0),
            ("payout_type=merchant", 1),
            ("currency=KZT", 1),
            ("created_at[gte]=2026-01-15T00:00:00Z", 0),
            ("creditor_bank_account=BA0", 0),
        ],
    )
    async def test_keep_to_their_filters(self, teller: Teller, query: str, count: int) -> None:
        """An ignored filter shows everything to somebody who asked for little."""
        await teller.pay()
        await teller.advance(at(15))

        _, page = await teller.api("GET", f"/payouts?{query}")

        assert len(page["payouts"]) == count
