"""A walk through every operation of the contract with the provider's own client.

The same walk is done at the simulated bank, in both of its profiles, and at a real sandbox when its
address and a token are in the environment. What a sandbox cannot do it skips, with the reason; the
simulated bank may skip nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import gocardless_pro
from gocardless_pro import errors

# The official client ships no types.
Untyped = Any

# The subset of the contract that this bank speaks: nothing else in these files decides what it is.
OPERATIONS: Final = (
    "balances.list",
    "billing_request_flows.create",
    "billing_request_flows.initialise",
    "billing_requests.cancel",
    "billing_requests.collect_bank_account",
    "billing_requests.collect_customer_details",
    "billing_requests.confirm_payer_details",
    "billing_requests.create",
    "billing_requests.fulfil",
    "billing_requests.get",
    "billing_requests.list",
    "creditors.get",
    "creditors.list",
    "customer_bank_accounts.create",
    "customer_bank_accounts.disable",
    "customer_bank_accounts.get",
    "customer_bank_accounts.list",
    "customer_bank_accounts.update",
    "customer_notifications.handle",
    "customers.create",
    "customers.get",
    "customers.list",
    "customers.remove",
    "customers.update",
    "events.get",
    "events.list",
    "mandates.cancel",
    "mandates.create",
    "mandates.get",
    "mandates.list",
    "mandates.reinstate",
    "mandates.update",
    "payments.cancel",
    "payments.create",
    "payments.get",
    "payments.list",
    "payments.retry",
    "payments.update",
    "payout_items.list",
    "payouts.get",
    "payouts.list",
    "payouts.update",
    "refunds.create",
    "refunds.get",
    "refunds.list",
    "refunds.update",
    "scenario_simulators.run",
    "webhooks.get",
    "webhooks.list",
    "webhooks.retry",
)
PERSON: Final = {
    "address_line1": "1 Steppe Street",
    "city": "Aqkol",
    "country_code": "DE",
    "email": "dana@example.com",
    "family_name": "Serik",
    "given_name": "Dana",
    "postal_code": "10115",
}
NOTE: Final = {"metadata": {"door": "12"}}
LIMITS: Final = {
    "max_amount_per_payment": 500_000,
    "periodic_limits": [
        {"period": "month", "alignment": "calendar", "max_total_amount": 900_000, "max_payments": 9}
    ],
}


@dataclass(slots=True, kw_only=True)
class Walk:
    """One walk: what each operation answered, and what was skipped and why."""

    client: Untyped
    currency: str
    iban: str
    is_sandbox: bool
    # Lets the bank deliver what it has to tell, so that there are webhooks to list.
    deliver: Callable[[], object] = lambda: None
    statuses: dict[str, int] = field(default_factory=dict)
    bodies: dict[str, Untyped] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def do(self, name: str, *args: Untyped, **kwargs: Untyped) -> Untyped:
        """Call one operation, keep its first answer, and return what the client makes of it."""
        service, operation = name.split(".")
        found = getattr(getattr(self.client, service), operation)(*args, **kwargs)
        self.statuses.setdefault(name, found.api_response.status_code)
        self.bodies.setdefault(name, found.api_response.body)
        return found

    def skip(self, reason: str, *names: str) -> None:
        """Leave operations out, which only a sandbox may."""
        for name in names:
            if name not in self.statuses:
                self.skipped[name] = reason

    def simulate(self, scenario: str, resource_id: str) -> None:
        """Walk a resource to a state."""
        links = {"links": {"resource": resource_id}}
        self.do("scenario_simulators.run", scenario, params=links)

    def all(self) -> "Walk":
        """Go the whole way."""
        self.read_creditor()
        customer_id, account_id = self.meet_payer()
        mandate_id = self.get_mandate(account_id)
        paid_id = self.collect(mandate_id)
        self.give_back(paid_id)
        self.follow_money()
        self.ask_payer()
        self.read_events()
        self.read_webhooks()
        self.part(customer_id, account_id, mandate_id)
        return self

    def read_creditor(self) -> None:
        """Read who is paid, and what they have."""
        (creditor,) = self.do("creditors.list").records[:1]
        self.do("creditors.get", creditor.id)
        self.do("balances.list", params={"creditor": creditor.id})

    def meet_payer(self) -> tuple[str, str]:
        """Make a customer and an account, change and read both."""
        customer = self.do("customers.create", params=PERSON)
        self.do("customers.update", customer.id, params=NOTE)
        self.do("customers.get", customer.id)
        self.do("customers.list", params={"limit": 2})
        fields = {
            "account_holder_name": "Dana Serik",
            "iban": self.iban,
            "links": {"customer": customer.id},
        }
        kind = "customer_bank_accounts"
        account = self.do(f"{kind}.create", params=fields)
        self.do(f"{kind}.update", account.id, params=NOTE)
        self.do(f"{kind}.get", account.id)
        self.do(f"{kind}.list", params={"customer": customer.id})
        return customer.id, account.id

    def get_mandate(self, account_id: str) -> str:
        """Make a mandate that is active, whatever the rail."""
        params = {"links": {"customer_bank_account": account_id}}
        mandate = self.do("mandates.create", params=params)
        if self.do("mandates.get", mandate.id).status != "active":
            self.simulate("mandate_activated", mandate.id)
        self.do("mandates.update", mandate.id, params=NOTE)
        self.do("mandates.list", params={"customer_bank_account": account_id})
        mandate_id: str = mandate.id
        return mandate_id

    def collect(self, mandate_id: str) -> str:
        """Ask for three payments: one is withdrawn, one fails and is tried again, one is paid."""
        asked = {"amount": 123_456, "currency": self.currency, "links": {"mandate": mandate_id}}
        told = {"description": "Gas 2026-01", "metadata": {"bill": "2026-01"}}
        first = self.do("payments.create", params=asked | told)
        self.do("payments.update", first.id, params=NOTE)
        self.do("payments.get", first.id)
        self.do("payments.cancel", first.id)
        second = self.do("payments.create", params=asked)
        self.simulate("payment_failed", second.id)
        self.do("payments.retry", second.id)
        third = self.do("payments.create", params=asked)
        self.simulate("payment_paid_out", third.id)
        self.do("payments.list", params={"mandate": mandate_id})
        paid_id: str = third.id
        return paid_id

    def give_back(self, payment_id: str) -> None:
        """Refund a part of a payment."""
        params = {
            "amount": 100,
            "total_amount_confirmation": 100,
            "links": {"payment": payment_id},
            "reference": "AQKOLREFUND",
        }
        names = [f"refunds.{operation}" for operation in ("create", "get", "list", "update")]
        try:
            refund = self.do("refunds.create", params=params)
        except errors.ApiError as refusal:
            if not self.is_sandbox:
                raise
            self.skip(f"refunds are not enabled for this creditor: {refusal}", *names)
            return
        self.do("refunds.get", refund.id)
        self.do("refunds.update", refund.id, params=NOTE)
        self.do("refunds.list", params={"payment": payment_id})

    def follow_money(self) -> None:
        """Read a payout and what it is made of."""
        payouts = self.do("payouts.list").records
        if not payouts and self.is_sandbox:
            names = ("payouts.get", "payouts.update", "payout_items.list")
            self.skip("this sandbox has made no payout yet", *names)
            return
        self.do("payouts.get", payouts[0].id)
        self.do("payouts.update", payouts[0].id, params=NOTE)
        self.do("payout_items.list", params={"payout": payouts[0].id})

    def ask_payer(self) -> None:
        """Take one billing request to its mandate step by step, and withdraw another."""
        kind, flows = "billing_requests", "billing_request_flows"
        asked_for: dict[str, Untyped] = {"currency": self.currency}
        if not self.is_sandbox:
            # The provider has caps for other rails than the one a sandbox gives everybody.
            asked_for["constraints"] = LIMITS
        wanted = {"mandate_request": asked_for}
        asked = self.do(f"{kind}.create", params=wanted)
        flow = self.do(
            f"{flows}.create",
            params={
                "redirect_uri": "https://example.com/yes",
                "exit_uri": "https://example.com/no",
                "links": {"billing_request": asked.id},
            },
        )
        self.do(f"{flows}.initialise", flow.id)
        names = ("email", "family_name", "given_name")
        person = {
            "customer": {name: PERSON[name] for name in names},
            "customer_billing_detail": {name: PERSON[name] for name in PERSON if name not in names},
        }
        number = {"account_holder_name": "Dana Serik", "iban": self.iban}
        self.do(f"{kind}.collect_customer_details", asked.id, params=person)
        self.do(f"{kind}.collect_bank_account", asked.id, params=number)
        self.do(f"{kind}.confirm_payer_details", asked.id)
        self.do(f"{kind}.fulfil", asked.id)
        self.do(f"{kind}.get", asked.id)
        self.do(f"{kind}.list", params={"limit": 2})
        other = self.do(f"{kind}.create", params=wanted)
        self.do(f"{kind}.cancel", other.id)

    def read_events(self) -> None:
        """Read events, and take it upon us to tell the payer of one."""
        page = self.do("events.list", params={"limit": 50}).records
        self.do("events.get", page[0].id)
        created = {"resource_type": "payments", "action": "created", "limit": 5}
        for event in self.do("events.list", params=created).records:
            for notification in event.customer_notifications or ():
                try:
                    self.do("customer_notifications.handle", notification["id"])
                except errors.InvalidStateError:
                    # Of a payment that somebody else made there: its deadline has passed.
                    if not self.is_sandbox:
                        raise
                else:
                    return
        if self.is_sandbox:
            reason = "this creditor leaves it to the provider to tell payers"
            self.skip(reason, "customer_notifications.handle")

    def read_webhooks(self) -> None:
        """Read a webhook, and ask for it again."""
        self.deliver()
        found = self.do("webhooks.list", params={"limit": 2}).records
        if not found and self.is_sandbox:
            reason = "no webhook endpoint is configured for this token"
            self.skip(reason, "webhooks.get", "webhooks.retry")
            return
        self.do("webhooks.get", found[0].id)
        self.do("webhooks.retry", found[0].id)

    def part(self, customer_id: str, account_id: str, mandate_id: str) -> None:
        """End what was begun."""
        self.do("mandates.cancel", mandate_id)
        self.do("mandates.reinstate", mandate_id)
        self.do("customer_bank_accounts.disable", account_id)
        self.do("customers.remove", customer_id)


def client(url: str, token: str) -> Untyped:
    """Return the official client, unchanged but for one base URL."""
    return gocardless_pro.Client(access_token=token, base_url=url, timeout=(5, 30))
