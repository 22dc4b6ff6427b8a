"""The bank's answers have the shapes the provider publishes, key by key and type by type."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from tests.fixtures_bank import SimulatedBank

Json = Any

PUBLISHED: Final = Path(__file__).parents[3] / "shared" / "data" / "gocardless"
RESOURCES: Final = (
    "billing_request_flows",
    "billing_requests",
    "creditors",
    "customer_bank_accounts",
    "customers",
    "events",
    "mandates",
    "payments",
    "scenario_simulators",
)
CASES: Final = [
    (path.stem, operation)
    for path in sorted(PUBLISHED.glob("*.json"))
    if path.stem in RESOURCES
    for operation in json.loads(path.read_text())
]
# Operations the contract has and this bank has not.
NOT_BUILT: Final = {
    ("billing_requests", "notify"),
    ("billing_requests", "fallback"),
    ("billing_requests", "choose_currency"),
    ("billing_requests", "select_institution"),
    ("creditors", "create"),
    ("creditors", "update"),
}
# The contract's client reads 204 No Content here, whatever the published example shows.
WITHOUT_BODY: Final = {("customers", "remove")}

# Links to things this bank does not have; the real one leaves such links out likewise.
ABSENT: Final = {
    "payments.links": {"instalment_schedule", "payout", "subscription"},
    "mandates.links": {"new_mandate"},
    "billing_requests.links": {
        "bank_authorisation",
        "instalment_schedule_request",
        "instalment_schedule_request_instalment_schedule",
        "payment_provider",
        "payment_request",
        "payment_request_payment",
        "subscription_request",
        "subscription_request_subscription",
    },
    # An action carries the part that is its own.
    "billing_requests.actions.*": {
        "available_currencies",
        "bank_authorisation",
        "collect_customer_details",
        "institution_guess_status",
    },
    "creditors.links": {
        f"default_{currency}_payout_account"
        for currency in ("aud", "cad", "dkk", "eur", "gbp", "nzd", "sek", "usd")
    },
    # An event's details and links are those of its kind; `linked` comes only when asked for.
    "": {"linked"},
    "events.details": {
        "bank_account_id",
        "currency",
        "item_count",
        "not_retried_reason",
        "property",
        "reason_code",
        "scheme",
        "will_attempt_retry",
    },
    "events.links": {
        "bank_authorisation",
        "billing_request",
        "billing_request_flow",
        "creditor",
        "customer",
        "customer_bank_account",
        "instalment_schedule",
        "mandate",
        "mandate_request",
        "mandate_request_mandate",
        "new_customer_bank_account",
        "new_mandate",
        "organisation",
        "outbound_payment",
        "parent_event",
        "payer_authorisation",
        "payment",
        "payment_account_transaction",
        "payment_request_payment",
        "payout",
        "previous_customer_bank_account",
        "refund",
        "scheme_identifier",
        "subscription",
    },
}
# What is empty in this bank: no fees, no exchange, no other rails, nothing but mandates asked for.
NULL: Final = {
    "billing_request_flows.session_token",
    "billing_requests.instalment_schedule_request",
    "billing_requests.payment_context_code",
    "billing_requests.payment_purpose_code",
    "billing_requests.payment_request",
    "billing_requests.resources.customer_bank_account.bank_account_token",
    "billing_requests.resources.customer_bank_account.payer_name_verification_result",
    "billing_requests.resources.customer_billing_detail.ip_address",
    "billing_requests.subscription_request",
    "creditors.address_line2",
    "creditors.address_line3",
    "creditors.fx_payout_currency",
    "creditors.logo_url",
    "creditors.scheme_identifiers.*.address_line2",
    "creditors.scheme_identifiers.*.address_line3",
    "customer_bank_accounts.bank_account_token",
    "customer_bank_accounts.payer_name_verification_result",
    # A mandate made directly has no caps: only a payer on the page gives them.
    "mandates.consent_parameters",
    "mandates.consent_type",
    "mandates.next_possible_charge_date",
    "mandates.next_possible_standard_ach_charge_date",
    "mandates.verified_at",
    "meta.cursors.after",
    "meta.cursors.before",
    "payments.app_fee",
    "payments.fx.estimated_exchange_rate",
    "payments.fx.exchange_rate",
    "payments.fx.fx_amount",
    "payments.fx.fx_currency",
}
# A billing request gathers its links step by step: what each answer cannot have yet.
_MANDATE: Final = frozenset(
    {
        "billing_requests.links.mandate_request_mandate",
        "billing_requests.mandate_request.links.mandate",
    }
)
_ACCOUNT: Final = _MANDATE | {
    "billing_requests.links.customer_bank_account",
    "billing_requests.resources.customer_bank_account",
}
_CUSTOMER: Final = _ACCOUNT | {
    "billing_requests.links.customer",
    "billing_requests.links.customer_billing_detail",
    "billing_requests.resources.customer",
    "billing_requests.resources.customer_billing_detail",
}
NOT_YET: Final = {
    "create": _CUSTOMER,
    "cancel": _CUSTOMER,
    "collect_customer_details": _ACCOUNT,
    "collect_bank_account": _MANDATE,
    "confirm_payer_details": _MANDATE,
}
PERSON: Final = {
    name: f"{name} 1"
    for name in (
        "address_line1",
        "address_line2",
        "address_line3",
        "city",
        "company_name",
        "country_code",
        "danish_identity_number",
        "email",
        "family_name",
        "given_name",
        "phone_number",
        "postal_code",
        "region",
        "swedish_identity_number",
    )
}
LIMIT: Final = {
    "period": "month",
    "alignment": "calendar",
    "max_total_amount": 9_000,
    "max_payments": 9,
}
CONSTRAINTS: Final = {
    "start_date": "2026-01-01",
    "end_date": "2027-01-01",
    "max_amount_per_payment": 5_000,
    "payment_method": "gas",
    "periodic_limits": [LIMIT],
}


def kind_of(value: object) -> str:
    """Return the JSON type of a value."""
    names = {bool: "boolean", int: "integer", str: "string", dict: "object", list: "array"}
    return "null" if value is None else names[type(value)]


def differences(ours: Json, theirs: Json, path: str = "") -> list[str]:
    """Return what is missing, foreign or of another type in our answer."""
    if ours is None and path in NULL:
        return []
    if kind_of(ours) != kind_of(theirs):
        return [f"{path} is {kind_of(ours)}, not {kind_of(theirs)}"]
    found: list[str] = []
    if isinstance(ours, list) and ours and theirs:
        # In a list under the envelope's own key, the entries are the resource itself.
        below = f"{path}.*" if "." in path else path
        for entry in ours:
            found += differences(entry, theirs[0], below)
    if isinstance(ours, dict) and not path.endswith("metadata"):
        absent = set(theirs) - set(ours) - ABSENT.get(path, set())
        found += [f"{path}.{name} is missing" for name in sorted(absent)]
        for name, value in ours.items():
            below = f"{path}.{name}" if path else name
            if name not in theirs:
                found.append(f"{below} is foreign")
            else:
                found += differences(value, theirs[name], below)
    return found


class Town:
    """A bank with one of everything, and each operation's answer to look at."""

    def __init__(self, bank: SimulatedBank) -> None:
        self.bank = bank
        self.answers: dict[tuple[str, str], dict[str, Any]] = {}

    async def do(self, name: str, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Carry one operation out, keep its answer, and return the resource."""
        kind, operation = name.split(".")
        status, answer = await self.bank.api(method, f"/{kind}{path}", body)
        assert status < 300, answer
        self.answers[kind, operation] = answer
        resource: dict[str, Any] = answer.get(kind, {})
        return resource

    async def build(self) -> None:
        """Carry out every operation once, with every field that a request may have."""
        account = await self.build_customer()
        await self.build_requests()
        await self.build_debits(account)
        for kind in ("customers", "customer_bank_accounts", "mandates", "payments", "events"):
            listed = await self.do(f"{kind}.list", "GET", "")
            await self.do(f"{kind}.get", "GET", f"/{listed[0]['id']}")  # type: ignore[index]  # a list here
        creditor = await self.do("creditors.list", "GET", "")
        await self.do("creditors.get", "GET", f"/{creditor[0]['id']}")  # type: ignore[index]  # likewise

    async def build_customer(self) -> str:
        """Make a customer and a bank account, change both; returns the account's id."""
        made = await self.do("customers.create", "POST", "", {"customers": PERSON})
        path = f"/{made['id']}"
        await self.do("customers.update", "PUT", path, {"customers": {"metadata": {"a": "b"}}})
        fields = {
            "account_holder_name": "Dana",
            "account_type": "savings",
            "iban": self.bank.iban,
            "links": {"customer": made["id"]},
        }
        kind = "customer_bank_accounts"
        account = await self.do(f"{kind}.create", "POST", "", {kind: fields})
        path = f"/{account['id']}"
        await self.do(f"{kind}.update", "PUT", path, {kind: {"metadata": {"a": "b"}}})
        account_id: str = account["id"]
        return account_id

    async def build_requests(self) -> None:
        """Take one billing request to its mandate and withdraw another."""
        asked = {
            "purpose_code": "utility",
            "mandate_request": {
                "currency": "KZT",
                "description": "Gas",
                "consent_type": "recurring",
                "constraints": CONSTRAINTS,
            },
        }
        kind = "billing_requests"
        flows = "billing_request_flows"
        made = await self.do(f"{kind}.create", "POST", "", {kind: asked})
        flow = {
            "redirect_uri": "http://localhost/yes",
            "exit_uri": "http://localhost/no",
            "language": "kk",
            "prefilled_customer": {
                name: value for name, value in PERSON.items() if name != "phone_number"
            },
            "prefilled_bank_account": {"account_type": "savings"},
            "links": {"billing_request": made["id"]},
        }
        page = await self.do(f"{flows}.create", "POST", "", {flows: flow})
        await self.do(f"{flows}.initialise", "POST", f"/{page['id']}/actions/initialise")
        own = ("company_name", "email", "family_name", "given_name", "phone_number")
        customer = {name: PERSON[name] for name in own}
        detail = {name: value for name, value in PERSON.items() if name not in own}
        number = {"account_holder_name": "D", "account_type": "savings", "iban": self.bank.iban}
        for action, data in (
            (
                "collect_customer_details",
                {"customer": customer, "customer_billing_detail": detail},
            ),
            ("collect_bank_account", number),
            ("confirm_payer_details", {}),
            ("fulfil", {}),
        ):
            path = f"/{made['id']}/actions/{action}"
            await self.do(f"{kind}.{action}", "POST", path, {"data": data})
        await self.do(f"{kind}.get", "GET", f"/{made['id']}")
        await self.do(f"{kind}.list", "GET", "")
        other = await self.bank.api("POST", f"/{kind}", {kind: asked})
        other_id = other[1][kind]["id"]
        await self.do(f"{kind}.cancel", "POST", f"/{other_id}/actions/cancel")

    async def build_debits(self, account_id: str) -> None:
        """Take mandates and payments through everything that is done to them."""
        consented = self.answers["billing_requests", "get"]["billing_requests"]
        mandate_id = consented["links"]["mandate_request_mandate"]
        links = {"customer_bank_account": account_id}
        await self.do("mandates.create", "POST", "", {"mandates": {"links": links}})
        path = f"/{mandate_id}"
        await self.do("mandates.update", "PUT", path, {"mandates": {"metadata": {"a": "b"}}})
        asked = {
            "amount": 1000,
            "currency": "KZT",
            "description": "Gas 2026-01",
            "reference": "AQ1",
            "links": {"mandate": mandate_id},
        }
        made = await self.do("payments.create", "POST", "", {"payments": asked})
        path = f"/{made['id']}"
        await self.do("payments.update", "PUT", path, {"payments": {"metadata": {"a": "b"}}})
        data = {"data": {"links": {"resource": made["id"]}}}
        await self.do("scenario_simulators.run", "POST", "/payment_failed/actions/run", data)
        await self.do("payments.retry", "POST", f"{path}/actions/retry")
        await self.do("payments.cancel", "POST", f"{path}/actions/cancel")
        await self.do("mandates.cancel", "POST", f"/{mandate_id}/actions/cancel")
        await self.do("mandates.reinstate", "POST", f"/{mandate_id}/actions/reinstate")
        kind = "customer_bank_accounts"
        await self.do(f"{kind}.disable", "POST", f"/{account_id}/actions/disable")


class TestPublishedShapes:
    """Our answers ..."""

    @pytest.mark.parametrize("resource", sorted({resource for resource, _ in CASES}))
    async def test_have_the_published_keys_and_types(
        self, bank: SimulatedBank, resource: str
    ) -> None:
        """A client of the real bank must find here what it finds there."""
        town = Town(bank)
        await town.build()
        published = json.loads((PUBLISHED / f"{resource}.json").read_text())
        wrong: dict[str, list[str]] = {}
        for operation, example in published.items():
            case = (resource, operation)
            if case in NOT_BUILT | WITHOUT_BODY:
                continue
            found = differences(town.answers[case], example["body"])
            later = NOT_YET.get(operation, frozenset()) if resource == "billing_requests" else ()
            if set(found) != {f"{path} is missing" for path in later}:
                wrong[operation] = found

        if resource == "scenario_simulators":
            assert set(published) == {"run"}
        assert wrong == {}

    @pytest.mark.parametrize(
        ("resource", "expected"),
        [
            (
                "payments",
                (
                    "amount amount_refunded app_fee charge_date created_at currency description "
                    "faster_ach fx id links metadata reference retry_if_possible scheme status"
                ),
            ),
            (
                "mandates",
                (
                    "authorisation_source consent_parameters consent_type created_at "
                    "funds_settlement id links mandate_type metadata next_possible_charge_date "
                    "next_possible_standard_ach_charge_date payments_require_approval reference "
                    "scheme status verified_at"
                ),
            ),
            (
                "customer_bank_accounts",
                (
                    "account_holder_name account_number_ending account_type bank_account_token "
                    "bank_name country_code created_at currency enabled id links metadata "
                    "payer_name_verification_result trusted_recipient"
                ),
            ),
            (
                "events",
                (
                    "action created_at customer_notifications details id links metadata "
                    "resource_metadata resource_type source"
                ),
            ),
            (
                "customers",
                (
                    "address_line1 address_line2 address_line3 city company_name country_code "
                    "created_at danish_identity_number email family_name given_name id language "
                    "metadata phone_number postal_code region swedish_identity_number"
                ),
            ),
        ],
    )
    async def test_have_these_keys_and_no_others(
        self, bank: SimulatedBank, resource: str, expected: str
    ) -> None:
        """Written by hand, for machines without the published examples."""
        town = Town(bank)
        await town.build()

        assert sorted(town.answers[resource, "get"][resource]) == expected.split()


class TestPublishedErrors:
    """Our refusals ..."""

    async def test_have_the_published_shapes(self, shared_bank: SimulatedBank) -> None:
        """The client reads reason, field, message and links without looking twice."""
        _, conflict = await self._conflict(shared_bank)
        _, invalid = await shared_bank.api("POST", "/payments", {"payments": {"amount": 0}})
        _, missing = await shared_bank.api("GET", "/payments/PM0")
        _, usage = await shared_bank.api("POST", "/payments", ["payments"])

        top = {"code", "documentation_url", "errors", "message", "request_id", "type"}
        for answer in (conflict, invalid, missing, usage):
            assert set(answer["error"]) == top
        assert set(conflict["error"]["errors"][0]) == {"links", "message", "reason"}
        assert set(invalid["error"]["errors"][0]) == {"field", "message", "request_pointer"}
        assert usage["error"]["errors"][0]["message"] == "Root element must be an object."
        assert (usage["error"]["code"], missing["error"]["code"]) == (400, 404)

    async def _conflict(self, shared_bank: SimulatedBank) -> tuple[int, dict[str, Any]]:
        body = {"customers": {"company_name": "Bakery"}}
        await shared_bank.api("POST", "/customers", body, key="one")
        return await shared_bank.api("POST", "/customers", body, key="one")
