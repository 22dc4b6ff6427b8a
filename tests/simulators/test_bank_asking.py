"""Asking a payer for a mandate: nothing comes of what was not agreed to, or is no more."""

from tests.simulators.teller import Teller

PERSON = {"customer": {"given_name": "Aigul", "family_name": "Nurlanova"}}
OTHER = "KZ75125KZT1001300335"
KIND = "billing_requests"


async def agreed(teller: Teller) -> dict[str, str]:
    """Return the links of a request that waits for nothing but its fulfilment."""
    asked = {"mandate_request": {"currency": teller.currency}}
    _, made = await teller.api("POST", f"/{KIND}", {KIND: asked})
    request_id = made[KIND]["id"]
    number = {"account_holder_name": "Aigul", "iban": teller.iban}
    await teller.act(KIND, request_id, "collect_customer_details", **PERSON)
    await teller.act(KIND, request_id, "collect_bank_account", **number)
    status, ready = await teller.act(KIND, request_id, "confirm_payer_details")
    assert (status, ready["status"]) == (200, "ready_to_fulfil")
    return {"id": request_id, **ready["links"]}


async def mandates(teller: Teller) -> int:
    """Return how many mandates there are."""
    _, page = await teller.api("GET", "/mandates")
    return len(page["mandates"])


class TestAnAgreement:
    """What the payer has agreed to ..."""

    async def test_makes_no_mandate_on_an_account_disabled_since(self, teller: Teller) -> None:
        """The account was to be debited no more; a mandate would debit it all the same."""
        links = await agreed(teller)
        await teller.act("customer_bank_accounts", links["customer_bank_account"], "disable")

        status, refusal = await teller.act(KIND, links["id"], "fulfil")

        assert (status, refusal["reason"]) == (422, "bank_account_disabled")
        assert await teller.simulate("billing_request_fulfilled", links["id"]) == 422
        assert await mandates(teller) == 0

    async def test_is_asked_for_again_when_the_account_is_another(self, teller: Teller) -> None:
        """A payer who confirmed one account has not confirmed the next."""
        links = await agreed(teller)
        number = {"account_holder_name": "Aigul", "iban": OTHER}
        _, changed = await teller.act(KIND, links["id"], "collect_bank_account", **number)

        status, refusal = await teller.act(KIND, links["id"], "fulfil")

        assert changed["status"] == "pending"
        assert (status, refusal["reason"]) == (422, "billing_request_not_ready")
        assert await mandates(teller) == 0
        await teller.act(KIND, links["id"], "confirm_payer_details")
        _, done = await teller.act(KIND, links["id"], "fulfil")
        assert done["status"] == "fulfilled"

    async def test_ends_with_the_payer(self, teller: Teller) -> None:
        """A removed customer is asked nothing more, and the request says what became of it."""
        links = await agreed(teller)
        await teller.api("DELETE", f"/customers/{links['customer']}")

        status, refusal = await teller.act(KIND, links["id"], "fulfil")

        assert (status, refusal["reason"]) == (422, "billing_request_not_pending")
        assert (await teller.read(KIND, links["id"]))["status"] == "cancelled"
        told = await teller.told(resource_type=KIND, billing_request=links["id"])
        assert told[-1] == "01T00 cancelled"


class TestARequest:
    """What was said with a request ..."""

    async def test_is_the_reference_of_its_mandate(self, teller: Teller) -> None:
        """By it a mandate is found again, at the bank and on the payer's statement."""
        asked = {"mandate_request": {"currency": teller.currency, "reference": "GAS-7"}}
        _, made = await teller.api("POST", f"/{KIND}", {KIND: asked})
        assert await teller.simulate("billing_request_fulfilled", made[KIND]["id"]) == 422
        number = {"account_holder_name": "Aigul", "iban": teller.iban}
        await teller.act(KIND, made[KIND]["id"], "collect_customer_details", **PERSON)
        await teller.act(KIND, made[KIND]["id"], "collect_bank_account", **number)
        assert await teller.simulate("billing_request_fulfilled", made[KIND]["id"]) == 200

        _, page = await teller.api("GET", "/mandates?reference=GAS-7")

        assert [mandate["reference"] for mandate in page["mandates"]] == ["GAS-7"]

    async def test_is_told_with_its_event(self, teller: Teller) -> None:
        """Metadata of an action is its event's, as it is when a payment is cancelled."""
        note = {"metadata": {"desk": "3"}}
        links = await agreed(teller)
        for action in ("confirm_payer_details", "fulfil"):
            await teller.act(KIND, links["id"], action, **note)
        other = await agreed(teller)
        await teller.act(KIND, other["id"], "cancel", **note)

        told = [*await teller.events(billing_request=links["id"])][-2:]
        told += [*await teller.events(billing_request=other["id"])][-1:]
        assert [(event["action"], event["metadata"]) for event in told] == [
            ("payer_details_confirmed", {"desk": "3"}),
            ("fulfilled", {"desk": "3"}),
            ("cancelled", {"desk": "3"}),
        ]


class TestACustomer:
    """What we know of a customer ..."""

    async def test_is_emptied_by_a_null(self, teller: Teller) -> None:
        """A telephone that is somebody else's now must be gone; the name stays what it was."""
        fields = {"company_name": "Bakery", "phone_number": "+77000000000", "city": "Aqkol"}
        _, made = await teller.api("POST", "/customers", {"customers": fields})
        path = f"/customers/{made['customers']['id']}"
        news = {"phone_number": None, "email": "b@example.com"}

        _, changed = await teller.api("PUT", path, {"customers": news})
        status, refusal = await teller.api("PUT", path, {"customers": {"company_name": None}})

        found = changed["customers"]
        assert (found["phone_number"], found["email"], found["city"], found["company_name"]) == (
            None,
            "b@example.com",
            "Aqkol",
            "Bakery",
        )
        assert (status, refusal["error"]["errors"][0]["field"]) == (422, "given_name")


class TestMetadata:
    """What we have noted at the bank ..."""

    async def test_stays_when_a_change_does_not_speak_of_it(self, teller: Teller) -> None:
        """A PUT changes the fields it carries; ours are found again by these notes."""
        payment_id = await teller.pay()
        await teller.simulate("payment_paid_out", payment_id)
        _, refund = await teller.give_back(payment_id, 1, 1)
        payment = await teller.read("payments", payment_id)
        mandate = await teller.read("mandates", payment["links"]["mandate"])
        things = {
            "payments": payment_id,
            "mandates": mandate["id"],
            "customers": mandate["links"]["customer"],
            "customer_bank_accounts": mandate["links"]["customer_bank_account"],
            "payouts": payment["links"]["payout"],
            "refunds": refund["id"],
        }
        found = {}
        for kind, thing_id in things.items():
            noted = {kind: {"metadata": {"bill": "2026-01"}}}
            await teller.api("PUT", f"/{kind}/{thing_id}", noted)
            await teller.api("PUT", f"/{kind}/{thing_id}", {kind: {}})
            _, changed = await teller.api("PUT", f"/{kind}/{thing_id}", {kind: {"metadata": None}})
            found[kind] = changed[kind]["metadata"]
            _, emptied = await teller.api("PUT", f"/{kind}/{thing_id}", {kind: {"metadata": {}}})
            assert emptied[kind]["metadata"] == {}

        assert found == {kind: {"bill": "2026-01"} for kind in things}
