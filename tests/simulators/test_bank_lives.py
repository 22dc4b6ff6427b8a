"""What happens to payments and mandates by the calendar."""

import pytest

from tests.simulators.teller import OpenBank, Teller, at


class TestPayment:
    """A payment by the calendar ..."""

    @pytest.mark.parametrize(
        ("given_name", "expected"),
        [
            (
                "Successful",
                ["12T00 submitted", "13T00 confirmed", "14T09 paid_out"],
            ),
            ("Penniless", ["12T00 submitted", "13T00 failed"]),
            (
                "Fickle",
                ["12T00 submitted", "13T00 confirmed", "14T09 paid_out", "15T00 charged_back"],
            ),
            (
                "Late",
                ["12T00 submitted", "13T00 confirmed", "14T09 paid_out", "15T00 failed"],
            ),
            (
                "Denied",
                ["12T00 submitted", "13T00 confirmed", "14T09 paid_out", "15T00 charged_back"],
            ),
            ("Hasty", ["12T00 submitted", "13T00 confirmed", "13T00 failed"]),
            ("Stopped", ["12T00 submitted", "13T00 confirmed", "13T00 charged_back"]),
            (
                "Forgiving",
                [
                    "12T00 submitted",
                    "13T00 confirmed",
                    "14T09 paid_out",
                    "15T00 charged_back",
                    "22T00 chargeback_cancelled",
                ],
            ),
            (
                "Moved",
                [
                    "12T00 submitted",
                    "13T00 failed",
                    "14T00 resubmission_requested",
                    "16T00 submitted",
                    "19T00 confirmed",
                    "20T09 paid_out",
                ],
            ),
        ],
    )
    async def test_lives_as_its_payer_is_named(
        self, teller: Teller, given_name: str, expected: list[str]
    ) -> None:
        """Tests written against the real sandbox choose outcomes by these names."""
        payment_id = await teller.pay(given_name)

        await teller.advance(at(1, 2))

        assert await teller.told(payment=payment_id) == ["01T00 created", *expected]

    async def test_does_nothing_before_its_hour(self, teller: Teller) -> None:
        """Money that moves early is money taken without notice."""
        payment_id = await teller.pay()

        await teller.advance(at(11, hour=23))

        assert (await teller.read("payments", payment_id))["status"] == "pending_submission"

    async def test_tells_the_same_story_in_one_step_or_many(self, open_teller: OpenBank) -> None:
        """How often the conductor moves the clock is no fact of the bank's world."""
        stories = []
        for days in ([31], [3, 12, 13, 20, 31]):
            teller = open_teller("mock-kz")
            for name in ("Late", "Penniless", "Aigul", "Forgiving", "Recovered"):
                mandate_id = await teller.mandate(given_name=name)
                await teller.ask(mandate_id, retry_if_possible=True)
                await teller.ask(mandate_id, charge_date="2026-01-13")
            for day in days:
                await teller.advance(at(day))
            stories.append(await teller.told(resource_type="payments"))

        assert stories[0] == stories[1]
        assert len(stories[0]) > 2 * 5 * 3

    @pytest.mark.parametrize(
        ("given_name", "cause", "reason_code"),
        [
            ("Penniless", "insufficient_funds", "AM04"),
            ("Referred", "refer_to_payer", "MS03"),
            ("Wrong", "invalid_bank_details", "AC01"),
            ("Barred", "direct_debit_not_enabled", "AG01"),
            ("Closed", "bank_account_closed", "AC04"),
            ("Moved", "bank_account_transferred", "AC04"),
            ("Deceased", "payer_deceased", "MD07"),
            ("Disputed", "authorisation_disputed", "MD01"),
            ("Withdrawn", "mandate_cancelled", "MD01"),
        ],
    )
    async def test_says_why_it_failed(
        self, teller: Teller, given_name: str, cause: str, reason_code: str
    ) -> None:
        """The cause decides whether we may ask again, or must call a person."""
        payment_id = await teller.pay(given_name)
        await teller.advance(at(13))

        (failed,) = await teller.events(payment=payment_id, action="failed")
        details = failed["details"]
        assert (details["origin"], details["cause"]) == ("bank", cause)
        assert details["reason_code"] == reason_code
        assert details["will_attempt_retry"] is (given_name == "Moved")

    async def test_is_tried_again_by_the_bank_when_asked(self, teller: Teller) -> None:
        """Whoever sets retry_if_possible must see the bank's own tries, or will debit twice."""
        payment_id = await teller.pay("Penniless", retry_if_possible=True)
        await teller.advance(at(14))
        again = await teller.read("payments", payment_id)
        await teller.advance(at(1, 3))

        assert (again["status"], again["charge_date"]) == ("pending_submission", "2026-01-16")
        assert await teller.told(payment=payment_id) == [
            "01T00 created",
            "12T00 submitted",
            "13T00 failed",
            "14T00 resubmission_requested",
            "16T00 submitted",
            "19T00 failed",
            "20T00 resubmission_requested",
            "22T00 submitted",
            "23T00 failed",
            "26T00 resubmission_requested",
            "28T00 submitted",
            "29T00 failed",
        ]
        promised = [
            event["details"]["will_attempt_retry"]
            for event in await teller.events(payment=payment_id, action="failed")
        ]
        assert promised == [True, True, True, False]
        status, refusal = await teller.act("payments", payment_id, "retry")
        assert (status, refusal["reason"]) == (422, "retry_failed")

    async def test_is_paid_at_the_second_try(self, teller: Teller) -> None:
        """The salary came: one payment, one id, collected once."""
        payment_id = await teller.pay("Recovered", retry_if_possible=True)
        await teller.advance(at(1, 2))

        assert (await teller.told(payment=payment_id))[-3:] == [
            "16T00 submitted",
            "19T00 confirmed",
            "20T09 paid_out",
        ]

    async def test_is_submitted_by_no_scenario_when_the_payer_stands_against_it(
        self, teller: Teller
    ) -> None:
        """The payment fails instead, which is not what was asked for."""
        payment_id = await teller.pay()
        payment = await teller.read("payments", payment_id)
        await teller.simulate("mandate_suspended_by_payer", payment["links"]["mandate"])

        assert await teller.simulate("payment_submitted", payment_id) == 422
        assert (await teller.read("payments", payment_id))["status"] == "pending_submission"

    async def test_is_tried_again_as_announced_when_a_scenario_failed_it(
        self, teller: Teller
    ) -> None:
        """What an event has promised comes; a client that waits for it would wait for ever."""
        payment_id = await teller.pay(retry_if_possible=True)
        await teller.simulate("payment_failed", payment_id)
        (failed,) = await teller.events(payment=payment_id, action="failed")
        await teller.advance(at(14))

        assert failed["details"]["will_attempt_retry"] is True
        assert await teller.told(payment=payment_id) == [
            "01T00 created",
            "01T00 submitted",
            "01T00 failed",
            "05T00 resubmission_requested",
            "08T00 submitted",
            "09T00 confirmed",
            "12T09 paid_out",
        ]

    async def test_is_not_tried_again_when_time_does_not_heal(self, teller: Teller) -> None:
        """A closed account stays closed; the contract has a word for why there is no retry."""
        payment_id = await teller.pay("Wrong", retry_if_possible=True)
        await teller.advance(at(1, 2))

        (failed,) = await teller.events(payment=payment_id, action="failed")
        assert failed["details"]["will_attempt_retry"] is False
        assert failed["details"]["not_retried_reason"] == "failure_filter_applied"
        assert (await teller.read("payments", payment_id))["status"] == "failed"

    @pytest.mark.parametrize(
        ("given_name", "retry_if_possible"),
        [("Penniless", False), ("Penniless", True), ("Late", True), ("Hasty", False)],
    )
    async def test_says_of_every_failure_whether_it_is_tried_again_and_why_not(
        self, teller: Teller, given_name: str, *, retry_if_possible: bool
    ) -> None:
        """The contract sets both on every failed event, late ones and the last try's too."""
        payment_id = await teller.pay(given_name, retry_if_possible=retry_if_possible)
        await teller.advance(at(1, 3))

        *_, failed = await teller.events(payment=payment_id, action="failed")
        details = failed["details"]
        assert (details["will_attempt_retry"], details["not_retried_reason"]) == (False, "other")

    async def test_waiting_for_the_banks_retry_is_not_retried_twice(self, teller: Teller) -> None:
        """Our retry comes first and takes the place of the bank's."""
        payment_id = await teller.pay("Recovered", retry_if_possible=True)
        await teller.advance(at(13))
        status, _ = await teller.act("payments", payment_id, "retry")
        await teller.advance(at(1, 2))

        assert status == 200
        assert await teller.told(payment=payment_id) == [
            "01T00 created",
            "12T00 submitted",
            "13T00 failed",
            "13T00 resubmission_requested",
            "14T00 submitted",
            "15T00 confirmed",
            "16T09 paid_out",
        ]

    async def test_comes_no_sooner_than_the_rail_can(self, teller: Teller) -> None:
        """The file of Monday the 5th is the first after the holidays; Tuesday is the day."""
        mandate_id = await teller.mandate()

        status, refusal = await teller.ask(mandate_id, charge_date="2026-01-05")

        assert status == 422
        assert refusal["errors"] == [
            {
                "field": "charge_date",
                "message": "must be on or after 2026-01-06",
                "request_pointer": "/payments/charge_date",
            }
        ]

    async def test_ends_with_its_mandate_unless_presented(self, teller: Teller) -> None:
        """A cancelled permission reaches the payments that wait, and only those."""
        mandate_id = await teller.mandate()
        _, early = await teller.ask(mandate_id)
        _, late = await teller.ask(mandate_id, charge_date="2026-01-20")
        await teller.advance(at(12))
        await teller.act("mandates", mandate_id, "cancel")
        await teller.advance(at(1, 2))

        assert (await teller.read("payments", early["id"]))["status"] == "paid_out"
        assert (await teller.read("payments", late["id"]))["status"] == "cancelled"
        (ended,) = await teller.events(mandate=mandate_id, action="cancelled")
        (dropped,) = await teller.events(payment=late["id"], action="cancelled")
        assert dropped["links"]["parent_event"] == ended["id"]
        assert [event["id"] for event in await teller.events(parent_event=ended["id"])] == [
            dropped["id"]
        ]

    async def test_is_refused_under_a_suspended_mandate(self, teller: Teller) -> None:
        """The payer's bank has the last word on the day itself."""
        mandate_id = await teller.mandate()
        _, made = await teller.ask(mandate_id)
        await teller.simulate("mandate_suspended_by_payer", mandate_id)
        await teller.advance(at(13))

        assert (await teller.told(payment=made["id"]))[-1] == "12T00 failed"

    @pytest.mark.parametrize(
        ("scenario", "status"),
        [
            ("payment_chargeback_cancelled", "paid_out"),
            ("payment_chargeback_settled", "charged_back"),
        ],
    )
    async def test_is_taken_back_and_comes_back(
        self, teller: Teller, scenario: str, status: str
    ) -> None:
        """What the payer's bank took it may give back, and then all is as before."""
        payment_id = await teller.pay()

        assert await teller.simulate(scenario, payment_id) == 200

        assert (await teller.read("payments", payment_id))["status"] == status

    async def test_that_failed_late_is_not_retried(self, teller: Teller) -> None:
        """It was collected once already: whoever wants the money asks anew."""
        payment_id = await teller.pay("Late")
        await teller.advance(at(16))

        status, refusal = await teller.act("payments", payment_id, "retry")

        assert (status, refusal["reason"]) == (422, "retry_failed")


class TestMandate:
    """A mandate by the calendar ..."""

    async def test_is_active_at_once_on_the_instant_rail(self, teller: Teller) -> None:
        """In Kazakhstan the payer's own bank says yes while the payer looks on."""
        mandate_id = await teller.mandate()

        assert await teller.told(mandate=mandate_id) == [
            "01T00 created",
            "01T00 submitted",
            "01T00 active",
        ]

    async def test_takes_two_days_on_the_other(self, open_teller: OpenBank) -> None:
        """A client that only knows instant mandates breaks in Europe."""
        teller = open_teller("sandbox-sepa")
        mandate_id = await teller.mandate()
        _, made = await teller.ask(mandate_id, charge_date="2026-01-05")
        await teller.advance(at(9))

        assert await teller.told(mandate=mandate_id) == [
            "01T00 created",
            "02T00 submitted",
            "03T00 active",
        ]
        assert (await teller.told(payment=made["id"]))[-1] == "07T09 paid_out"

    @pytest.mark.parametrize(
        ("given_name", "end"),
        [
            ("Invalid", "failed"),
            ("Expired", "expired"),
            ("Suspended", "suspended_by_payer"),
            ("Blocked", "blocked"),
        ],
    )
    async def test_ends_as_its_payer_is_named(
        self, teller: Teller, given_name: str, end: str
    ) -> None:
        """The sandbox's names for mandates that come to nothing, and two of this bank's."""
        mandate_id = await teller.mandate(given_name=given_name)
        await teller.advance(at(3))

        assert (await teller.events(mandate=mandate_id))[-1]["action"] == end
        assert (await teller.read("mandates", mandate_id))["status"] == end
        status, refusal = await teller.ask(mandate_id)
        assert (status, refusal["errors"][0]["reason"]) == (422, "mandate_is_inactive")

    async def test_of_a_switching_payer_moves_to_another_account(self, teller: Teller) -> None:
        """Same mandate, another account, and an event that names both."""
        mandate_id = await teller.mandate(given_name="Switching")
        before = (await teller.read("mandates", mandate_id))["links"]["customer_bank_account"]
        await teller.advance(at(3))

        after = await teller.read("mandates", mandate_id)
        (event,) = await teller.events(mandate=mandate_id, action="transferred")
        assert after["status"] == "active"
        assert event["links"]["previous_customer_bank_account"] == before
        assert (
            event["links"]["new_customer_bank_account"] == (after["links"]["customer_bank_account"])
        )

    @pytest.mark.parametrize(
        ("given_name", "cause"),
        [
            ("Closed", "bank_account_closed"),
            ("Deceased", "payer_deceased"),
            ("Disputed", "authorisation_disputed"),
            ("Withdrawn", "mandate_cancelled"),
        ],
    )
    async def test_ends_with_a_payment_that_says_so(
        self, teller: Teller, given_name: str, cause: str
    ) -> None:
        """Nobody is debited after death; what waits is cancelled with the same reason."""
        mandate_id = await teller.mandate(given_name=given_name)
        await teller.ask(mandate_id)
        _, waiting = await teller.ask(mandate_id, charge_date="2026-01-20")
        await teller.advance(at(13))

        (ended,) = await teller.events(mandate=mandate_id, action="cancelled")
        (dropped,) = await teller.events(payment=waiting["id"], action="cancelled")
        assert ended["details"]["cause"] == dropped["details"]["cause"] == cause
        assert dropped["links"]["parent_event"] == ended["id"]

    async def test_ends_with_a_chargeback_that_denies_it(self, teller: Teller) -> None:
        """Whoever says that he never agreed is not debited again on the strength of it."""
        mandate_id = await teller.mandate(given_name="Denied")
        _, made = await teller.ask(mandate_id)
        await teller.advance(at(16))

        (taken,) = await teller.events(payment=made["id"], action="charged_back")
        (ended,) = await teller.events(mandate=mandate_id, action="cancelled")
        assert taken["details"]["cause"] == ended["details"]["cause"] == "authorisation_disputed"
        assert ended["links"]["parent_event"] == taken["id"]

    async def test_that_was_suspended_may_be_resumed_by_the_payer(self, teller: Teller) -> None:
        """He stopped it for a while at his own bank, and only he can start it again."""
        mandate_id = await teller.mandate()
        await teller.simulate("mandate_suspended_by_payer", mandate_id)
        refused, _ = await teller.ask(mandate_id)

        assert await teller.simulate("mandate_resumed", mandate_id) == 200

        allowed, _ = await teller.ask(mandate_id)
        assert (refused, allowed) == (422, 201)

    async def test_expires_when_nobody_uses_it(self, teller: Teller) -> None:
        """Thirteen months after it was last used, and not a day before."""
        used, unused = await teller.mandate(), await teller.mandate()
        await teller.advance(at(1, 6))
        await teller.ask(used, charge_date="2026-06-10")

        await teller.advance(at(1, 2, year=2027, hour=1))
        first = [(await teller.read("mandates", one))["status"] for one in (unused, used)]
        await teller.advance(at(2, 7, year=2027))
        second = [(await teller.read("mandates", one))["status"] for one in (unused, used)]

        assert first == ["expired", "active"]
        assert second == ["expired", "expired"]

    async def test_comes_back_ten_times(self, teller: Teller) -> None:
        """The eleventh time the payer has to agree anew."""
        mandate_id = await teller.mandate()
        for _ in range(10):
            await teller.act("mandates", mandate_id, "cancel")
            status, again = await teller.act("mandates", mandate_id, "reinstate")
            assert (status, again["status"]) == (200, "active")
        await teller.act("mandates", mandate_id, "cancel")

        status, refusal = await teller.act("mandates", mandate_id, "reinstate")

        assert (status, refusal["reason"]) == (422, "reinstate_failed")

    @pytest.mark.parametrize("scenario", ["mandate_suspended_by_payer", "mandate_blocked"])
    async def test_that_was_stopped_is_not_for_us_to_start(
        self, teller: Teller, scenario: str
    ) -> None:
        """What the payer or a list has stopped, no request of ours brings back."""
        mandate_id = await teller.mandate()
        await teller.simulate(scenario, mandate_id)

        status, refusal = await teller.act("mandates", mandate_id, "reinstate")

        assert (status, refusal["reason"]) == (422, "reinstate_failed")

    async def test_ends_with_its_account_and_its_customer(self, teller: Teller) -> None:
        """Somebody who is removed must not be debited next month."""
        mandate_id = await teller.mandate()
        _, made = await teller.ask(mandate_id)
        links = (await teller.read("mandates", mandate_id))["links"]
        status, _ = await teller.api("DELETE", f"/customers/{links['customer']}")

        assert status == 204
        assert (await teller.told(mandate=mandate_id))[-1] == "01T00 cancelled"
        assert (await teller.told(payment=made["id"]))[-1] == "01T00 cancelled"


class TestBillingRequest:
    """A request for a mandate ..."""

    async def test_is_fulfilled_by_the_sandbox_name(self, teller: Teller) -> None:
        """A test without a browser agrees for the payer, once payer and account are known."""
        asked = {"mandate_request": {"currency": "KZT"}}
        _, made = await teller.api("POST", "/billing_requests", {"billing_requests": asked})
        request_id = made["billing_requests"]["id"]
        early = await teller.simulate("billing_request_fulfilled", request_id)
        person = {"customer": {"given_name": "Dana", "family_name": "Serik"}}
        await teller.act("billing_requests", request_id, "collect_customer_details", **person)
        account = {"account_holder_name": "Dana", "iban": teller.iban}
        await teller.act("billing_requests", request_id, "collect_bank_account", **account)

        late = await teller.simulate("billing_request_fulfilled", request_id)

        assert (early, late) == (422, 200)
        found = await teller.read("billing_requests", request_id)
        assert found["status"] == "fulfilled"
        assert await teller.read("mandates", found["links"]["mandate_request_mandate"])
