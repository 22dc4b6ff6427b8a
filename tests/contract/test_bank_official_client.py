"""The provider's own client drives the simulated bank, unchanged but for one base URL.

What our adapter is written against must be the contract and not our idea of it; this client was
written by those who own the contract.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import gocardless_pro
import pytest
import requests
from gocardless_pro import errors

from tests.fixtures_bank import BANK_TOKEN, IBAN_DE, IBAN_KZ, SimulatedBank, StartBank, VisitBank

# The official client ships no types.
Untyped = Any

LATER = datetime(2026, 1, 31, tzinfo=UTC)
# One working day after the file of 5 January (KZ: after two holidays) and of 2 January (TARGET).
EARLIEST = {"KZT": "2026-01-06", "EUR": "2026-01-05"}


class Driver:
    """The official client, its blocking calls moved to a thread."""

    def __init__(self, bank: SimulatedBank, token: str = BANK_TOKEN, **options: Untyped) -> None:
        self.bank = bank
        self.client = gocardless_pro.Client(
            access_token=token, base_url=bank.url, timeout=(2, 5), **options
        )
        self.currency = "KZT" if bank.iban == IBAN_KZ else "EUR"

    async def __call__(
        self, resource: str, operation: str, *args: Untyped, **kwargs: Untyped
    ) -> Untyped:
        """Call one operation of one service."""

        def call() -> Untyped:
            run: Callable[..., Untyped] = getattr(getattr(self.client, resource), operation)
            return run(*args, **kwargs)

        return await asyncio.to_thread(call)

    async def customer(self, **fields: str) -> Untyped:
        """Make a customer."""
        person = {"given_name": "Dana", "family_name": "Serik", "email": "d@example.com"}
        return await self("customers", "create", params=person | fields)

    async def account(self, customer_id: str, iban: str | None = None) -> Untyped:
        """Make a bank account of a customer."""
        fields = {
            "account_holder_name": "Dana Serik",
            "iban": iban or self.bank.iban,
            "links": {"customer": customer_id},
        }
        return await self("customer_bank_accounts", "create", params=fields)

    async def mandate(self, **person: str) -> Untyped:
        """Make a mandate, active whatever the rail."""
        account = await self.account((await self.customer(**person)).id)
        links = {"customer_bank_account": account.id}
        made = await self("mandates", "create", params={"links": links})
        if made.status != "active":
            await self(
                "scenario_simulators",
                "run",
                "mandate_activated",
                params={"links": {"resource": made.id}},
            )
        return await self("mandates", "get", made.id)

    async def payment(self, mandate_id: str, **fields: Untyped) -> Untyped:
        """Make a payment of 1 234,56."""
        asked = {"amount": 123_456, "currency": self.currency, "links": {"mandate": mandate_id}}
        return await self("payments", "create", params=asked | fields)

    async def simulate(self, name: str, resource_id: str) -> Untyped:
        """Run a scenario on a resource."""
        params = {"links": {"resource": resource_id}}
        return await self("scenario_simulators", "run", name, params=params)

    async def billing_request(self, **asked: Untyped) -> Untyped:
        """Ask for a mandate."""
        wanted = {"mandate_request": {"currency": self.currency} | asked}
        return await self("billing_requests", "create", params=wanted)


@pytest.fixture(params=["mock-kz", "sandbox-sepa"])
def driver(request: pytest.FixtureRequest, visit_bank: VisitBank) -> Driver:
    """Return the official client at a bank of each profile: the swap must stay possible."""
    return Driver(visit_bank(request.param))


class TestCustomers:
    """People ..."""

    async def test_live_and_are_forgotten(self, driver: Driver) -> None:
        """Everything an operator may do to a customer goes through the official client."""
        made = await driver.customer(language="en", city="Aqkol")
        changed = await driver("customers", "update", made.id, params={"city": "Stepnogorsk"})
        found = await driver("customers", "get", made.id)
        listed = await driver("customers", "list", params={"limit": 1})
        await driver("customers", "remove", made.id)
        left = await driver("customers", "list", params={"limit": 500})

        assert made.id.startswith("CU")
        assert made.created_at == "2026-01-01T00:00:00.000Z"
        assert changed.city == "Stepnogorsk"
        assert (found.given_name, found.city) == ("Dana", "Stepnogorsk")
        assert [customer.id for customer in listed.records] == [made.id]
        assert made.id not in [customer.id for customer in left.records]
        with pytest.raises(errors.InvalidApiUsageError) as refusal:
            await driver("customers", "get", made.id)
        assert refusal.value.code == 404


class TestBankAccounts:
    """Accounts ..."""

    async def test_live_and_are_disabled(self, driver: Driver) -> None:
        """Only the last four signs of a number ever come back."""
        customer = await driver.customer()
        made = await driver.account(customer.id)
        params = {"metadata": {"door": "12"}}
        changed = await driver("customer_bank_accounts", "update", made.id, params=params)
        listed = await driver(
            "customer_bank_accounts", "list", params={"customer": customer.id, "enabled": "true"}
        )
        disabled = await driver("customer_bank_accounts", "disable", made.id)
        found = await driver("customer_bank_accounts", "get", made.id)

        assert made.account_number_ending == driver.bank.iban[-4:]
        assert driver.bank.iban not in str(made.attributes)
        assert changed.metadata == {"door": "12"}
        assert [account.id for account in listed.records] == [made.id]
        assert disabled.enabled is False
        assert found.enabled is False
        with pytest.raises(errors.InvalidStateError, match="already disabled"):
            await driver("customer_bank_accounts", "disable", made.id)

    async def test_are_not_made_twice(self, driver: Driver) -> None:
        """The refusal names the account that exists, so that the caller can use it."""
        customer = await driver.customer()
        made = await driver.account(customer.id)

        with pytest.raises(errors.ValidationFailedError) as refusal:
            await driver.account(customer.id)

        assert refusal.value.code == 409
        assert refusal.value.errors[0]["links"] == {"customer_bank_account": made.id}

    async def test_refuse_a_wrong_number(self, driver: Driver) -> None:
        """A slip of one digit must not become a mandate on somebody else's account."""
        customer = await driver.customer()

        with pytest.raises(errors.ValidationFailedError) as refusal:
            await driver.account(customer.id, driver.bank.iban[:-1] + "9")

        assert refusal.value.errors == [
            {
                "field": "iban",
                "message": "is invalid",
                "request_pointer": "/customer_bank_accounts/iban",
            }
        ]


class TestMandates:
    """Mandates ..."""

    @pytest.mark.parametrize("profile", ["mock-kz", "sandbox-sepa"])
    async def test_live_end_and_come_back(self, start_bank: StartBank, profile: str) -> None:
        """Create, read, change, cancel, reinstate: all of the contract's verbs."""
        driver = Driver(await start_bank(profile=profile))
        made = await driver.mandate()
        params = {"metadata": {"account": "7"}}
        changed = await driver("mandates", "update", made.id, params=params)
        listed = await driver("mandates", "list", params={"status": "active,cancelled"})
        cancelled = await driver(
            "mandates", "cancel", made.id, params={"metadata": {"why": "moved"}}
        )
        again = await driver("mandates", "reinstate", made.id)
        await driver.bank.advance(LATER)
        found = await driver("mandates", "get", made.id)

        assert made.next_possible_charge_date == EARLIEST[driver.currency]
        assert changed.metadata == {"account": "7"}
        assert [mandate.id for mandate in listed.records] == [made.id]
        assert cancelled.status == "cancelled"
        assert cancelled.next_possible_charge_date is None
        assert again.status in {"pending_submission", "active"}
        assert found.status == "active"

    async def test_refuse_the_wrong_moment(self, driver: Driver) -> None:
        """An active mandate is not reinstated, a cancelled one not cancelled."""
        made = await driver.mandate()
        with pytest.raises(errors.InvalidStateError) as active:
            await driver("mandates", "reinstate", made.id)
        await driver("mandates", "cancel", made.id)
        with pytest.raises(errors.InvalidStateError) as cancelled:
            await driver("mandates", "cancel", made.id)

        assert active.value.errors[0]["reason"] == "mandate_not_inactive"
        assert cancelled.value.errors[0]["reason"] == "cancellation_failed"


class TestBillingRequests:
    """Asking a payer ..."""

    async def test_leads_to_a_mandate_step_by_step(self, driver: Driver) -> None:
        """The path without the hosted page, each action once, in the order of the contract."""
        asked = await driver.billing_request()
        person = {"customer": {"given_name": "Dana", "family_name": "Serik"}}
        number = {"account_holder_name": "Dana Serik", "iban": driver.bank.iban}
        do = "billing_requests"
        await driver(do, "collect_customer_details", asked.id, params=person)
        await driver(do, "collect_bank_account", asked.id, params=number)
        ready = await driver(do, "confirm_payer_details", asked.id)
        done = await driver(do, "fulfil", asked.id)
        found = await driver(do, "get", asked.id)
        listed = await driver(do, "list", params={"limit": 1})

        assert asked.status == "pending"
        assert ready.status == "ready_to_fulfil"
        assert done.status == "fulfilled"
        assert found.links.mandate_request_mandate == done.links.mandate_request_mandate
        assert [request.id for request in listed.records] == [asked.id]
        assert [action["status"] for action in found.actions] == ["completed"] * 3

    async def test_does_not_skip_the_payer(self, driver: Driver) -> None:
        """No mandate comes of a request that the payer has not confirmed."""
        asked = await driver.billing_request()

        with pytest.raises(errors.InvalidStateError):
            await driver("billing_requests", "fulfil", asked.id)

    async def test_can_be_withdrawn(self, driver: Driver) -> None:
        """A withdrawn request gets no page any more."""
        asked = await driver.billing_request()
        cancelled = await driver("billing_requests", "cancel", asked.id)

        assert cancelled.status == "cancelled"
        params = {"links": {"billing_request": asked.id}}
        with pytest.raises(errors.InvalidStateError):
            await driver("billing_request_flows", "create", params=params)

    async def test_leads_to_a_mandate_on_the_hosted_page(self, driver: Driver) -> None:
        """The path of a resident: an address, a page, a yes."""
        asked = await driver.billing_request(constraints={"max_amount_per_payment": 500_000})
        params = {
            "links": {"billing_request": asked.id},
            "redirect_uri": "http://localhost/yes",
            "exit_uri": "http://localhost/no",
        }
        flow = await driver("billing_request_flows", "create", params=params)
        fresh = await driver("billing_request_flows", "initialise", flow.id)
        sent_to = await driver.bank.approve(flow.authorisation_url)
        done = await driver("billing_requests", "get", asked.id)
        mandate = await driver("mandates", "get", done.links.mandate_request_mandate)

        assert fresh.session_token.startswith("sesh_")
        assert sent_to == "http://localhost/yes"
        assert mandate.consent_parameters.max_amount_per_payment == 500_000


class TestPayments:
    """Payments ..."""

    async def test_live_and_are_cancelled(self, driver: Driver) -> None:
        """Create, read, list, change, cancel."""
        mandate = await driver.mandate()
        made = await driver.payment(mandate.id, description="Gas 2026-01")
        changed = await driver(
            "payments", "update", made.id, params={"metadata": {"bill": "2026-01"}}
        )
        listed = await driver("payments", "list", params={"mandate": mandate.id})
        cancelled = await driver("payments", "cancel", made.id)
        found = await driver("payments", "get", made.id)

        assert (made.amount, made.status) == (123_456, "pending_submission")
        assert made.charge_date == EARLIEST[driver.currency]
        assert changed.metadata == {"bill": "2026-01"}
        assert [payment.id for payment in listed.records] == [made.id]
        assert cancelled.status == found.status == "cancelled"
        with pytest.raises(errors.InvalidStateError) as refusal:
            await driver("payments", "cancel", made.id)
        assert refusal.value.errors[0]["reason"] == "cancellation_failed"

    async def test_are_tried_again_three_times(self, driver: Driver) -> None:
        """A fourth presentation would cost the resident a fourth fee."""
        mandate = await driver.mandate()
        made = await driver.payment(mandate.id)
        with pytest.raises(errors.InvalidStateError):
            await driver("payments", "retry", made.id)
        for _ in range(3):
            await driver.simulate("payment_failed", made.id)
            again = await driver("payments", "retry", made.id)
            assert (again.id, again.status) == (made.id, "pending_submission")
        await driver.simulate("payment_failed", made.id)

        with pytest.raises(errors.InvalidStateError) as refusal:
            await driver("payments", "retry", made.id)

        assert refusal.value.errors[0]["reason"] == "retry_failed"

    async def test_need_a_living_mandate(self, driver: Driver) -> None:
        """A resident who has cancelled is not debited, whatever we ask for."""
        mandate = await driver.mandate()
        await driver("mandates", "cancel", mandate.id)

        with pytest.raises(errors.InvalidStateError) as refusal:
            await driver.payment(mandate.id)

        assert refusal.value.errors[0]["reason"] == "mandate_is_inactive"


class TestScenarios:
    """Scenario simulators ..."""

    @pytest.mark.parametrize(
        ("name", "status", "action"),
        [
            ("payment_submitted", "submitted", "submitted"),
            ("payment_confirmed", "confirmed", "confirmed"),
            ("payment_paid_out", "paid_out", "paid_out"),
            ("payment_failed", "failed", "failed"),
            ("payment_charged_back", "charged_back", "charged_back"),
            ("payment_chargeback_settled", "charged_back", "chargeback_settled"),
            ("payment_late_failure", "failed", "failed"),
            ("payment_late_failure_settled", "failed", "late_failure_settled"),
        ],
    )
    async def test_walk_a_payment(
        self, driver: Driver, name: str, status: str, action: str
    ) -> None:
        """The sandbox's own names lead where the sandbox leads."""
        made = await driver.payment((await driver.mandate()).id)
        ran = await driver.simulate(name, made.id)
        found = await driver("payments", "get", made.id)
        told = await driver("events", "list", params={"payment": made.id, "limit": 1})

        assert ran.id == name
        assert found.status == status
        assert told.records[0].action == action

    @pytest.mark.parametrize(
        ("name", "status"),
        [
            ("mandate_expired", "expired"),
            ("mandate_suspended_by_payer", "suspended_by_payer"),
            ("mandate_transferred", "active"),
        ],
    )
    async def test_walk_a_mandate(self, driver: Driver, name: str, status: str) -> None:
        """Mandates end in more ways than by our own hand."""
        made = await driver.mandate()
        await driver.simulate(name, made.id)

        assert (await driver("mandates", "get", made.id)).status == status

    async def test_refuse_what_cannot_be(self, driver: Driver) -> None:
        """A payment that was paid out does not fail in the ordinary way."""
        made = await driver.payment((await driver.mandate()).id)
        await driver.simulate("payment_paid_out", made.id)

        with pytest.raises(errors.InvalidStateError):
            await driver.simulate("payment_failed", made.id)
        with pytest.raises(errors.InvalidApiUsageError):
            await driver.simulate("payment_forgiven", made.id)
        assert (await driver("payments", "get", made.id)).status == "paid_out"


class TestEventsAndCreditors:
    """Reading ..."""

    async def test_events_page_by_page_reads_each_once(self, driver: Driver) -> None:
        """The client's own paginator walks our cursors to the end."""
        mandate = await driver.mandate()
        for _ in range(3):
            await driver("mandates", "cancel", mandate.id)
            await driver("mandates", "reinstate", mandate.id)

        def walk() -> list[str]:
            pages = driver.client.events.all(params={"limit": 2, "mandate": mandate.id})
            return [event.id for event in pages]

        ids = await asyncio.to_thread(walk)
        first = await driver("events", "get", ids[-1])
        whole = await driver("events", "list", params={"limit": 500, "mandate": mandate.id})

        assert len(ids) == len(set(ids)) >= 9
        assert ids == [event.id for event in whole.records]
        assert (first.resource_type, first.action) == ("mandates", "created")

    async def test_the_creditor_is_who_payments_link_to(self, driver: Driver) -> None:
        """A link that leads nowhere would be a hole in the contract."""
        made = await driver.payment((await driver.mandate()).id)
        listed = await driver("creditors", "list")
        found = await driver("creditors", "get", made.links.creditor)

        assert [creditor.id for creditor in listed.records] == [found.id]


class TestIdempotency:
    """A key ..."""

    async def test_makes_one_payment_and_names_it_afterwards(self, driver: Driver) -> None:
        """The conflict is how we learn that the first answer was lost."""
        mandate = await driver.mandate()
        strict = Driver(driver.bank, raise_on_idempotency_conflict=True)
        headers = {"Idempotency-Key": "debit:v1:A-1:2026-01:1"}
        asked = {"amount": 5, "currency": driver.currency, "links": {"mandate": mandate.id}}
        made = await strict("payments", "create", params=asked, headers=headers)

        with pytest.raises(errors.IdempotentCreationConflictError) as conflict:
            await strict("payments", "create", params=asked | {"amount": 6}, headers=headers)
        fetched = await driver("payments", "create", params=asked, headers=headers)

        assert conflict.value.code == 409
        assert conflict.value.conflicting_resource_id == made.id
        assert (fetched.id, fetched.amount) == (made.id, 5)

    async def test_is_not_spent_by_a_refusal(self, driver: Driver) -> None:
        """After a corrected mistake the same key must still work."""
        mandate = await driver.mandate()
        headers = {"Idempotency-Key": "one"}
        asked = {"amount": -1, "currency": driver.currency, "links": {"mandate": mandate.id}}
        with pytest.raises(errors.ValidationFailedError):
            await driver("payments", "create", params=asked, headers=headers)

        made = await driver("payments", "create", params=asked | {"amount": 1}, headers=headers)

        assert made.amount == 1

    async def test_saves_the_client_from_a_lost_answer(self, driver: Driver) -> None:
        """The client's own retry meets the conflict and finds the one payment."""
        mandate = await driver.mandate()
        await driver.bank.fault("answer_lost", "payments.create")

        made = await driver.payment(mandate.id)

        listed = await driver("payments", "list", params={"mandate": mandate.id})
        assert [payment.id for payment in listed.records] == [made.id]


class TestErrors:
    """Every class of error the client knows ..."""

    async def test_authentication(self, driver: Driver) -> None:
        """A rotated token is told from a broken request."""
        with pytest.raises(errors.AuthenticationError) as refusal:
            await Driver(driver.bank, token="someone-else")("payments", "list")

        assert refusal.value.errors == [{"reason": "unauthorized", "message": "Unauthorized"}]

    async def test_validation(self, driver: Driver) -> None:
        """All wrong fields at once, each with a pointer."""
        with pytest.raises(errors.ValidationFailedError) as refusal:
            await driver("payments", "create", params={"amount": "12", "currency": 7})

        assert str(refusal.value) == (
            "Validation failed (amount must be an integer /payments/amount, "
            "currency must be a string /payments/currency, links is required /payments/links, "
            "mandate is required /payments/links/mandate)"
        )

    async def test_usage(self, driver: Driver) -> None:
        """An id nobody has is no validation error."""
        with pytest.raises(errors.InvalidApiUsageError) as refusal:
            await driver("payments", "get", "PM0")

        assert refusal.value.code == 404

    @pytest.mark.parametrize(
        ("fault", "expected"),
        [
            ("error_before", errors.GoCardlessInternalError),
            ("error_after", errors.GoCardlessInternalError),
            ("forbidden", errors.PermissionsError),
            ("rate_limit", errors.RateLimitError),
        ],
    )
    async def test_by_fault(self, driver: Driver, fault: str, expected: type[Exception]) -> None:
        """Errors that a healthy bank never gives can be ordered."""
        await driver.bank.fault(fault, "payments.list")

        with pytest.raises(expected):
            await driver("payments", "list")
        assert await driver("payments", "list")

    @pytest.mark.parametrize("fault", ["bad_gateway", "garbled"])
    async def test_answers_that_are_no_json(self, driver: Driver, fault: str) -> None:
        """A proxy speaks HTML; the client has a class for that too, after its three tries."""
        await driver.bank.fault(fault, "payments.list", times=3)

        with pytest.raises(errors.MalformedResponseError):
            await driver("payments", "list")
        assert (await driver.bank.faults())[0]["fired"] == 3

    async def test_no_answer_in_time(self, driver: Driver) -> None:
        """A bank that thinks too long is a timeout, thrice."""
        await driver.bank.fault("delay", "payments.list", times=3, seconds=30)
        impatient = Driver(driver.bank)
        impatient.client._api_client.timeout = (2, 0.2)

        with pytest.raises(requests.exceptions.Timeout):
            await impatient("payments", "list")

    async def test_the_rate_limit_is_told_in_every_answer(self, driver: Driver) -> None:
        """A client that minds its pace needs the numbers before it is refused."""
        await driver("payments", "list")

        limit = driver.client._api_client.rate_limit
        assert (limit.limit, limit.remaining) == (1000, 1000)
        assert limit.reset == "Thu, 01 Jan 2026 00:01:00 GMT"


def test_the_two_ibans_are_of_the_two_profiles() -> None:
    """The contract is run in both; a mix-up would run one of them twice."""
    assert (IBAN_KZ[:2], IBAN_DE[:2]) == ("KZ", "DE")
