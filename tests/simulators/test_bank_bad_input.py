"""What a client should never send: each is refused by name, and nothing is made of it."""

from typing import Any

import pytest

from tests.fixtures_bank import SimulatedBank, StartBank
from tests.simulators.teller import OpenBank, Teller

KZ = "KZ86125KZT5004100100"
DE = "DE89370400440532013000"
# A bank code that nobody has given out, with check digits that fit.
NOBODYS_KZ = "KZ07999A000000000000"
NOBODYS_DE = "DE44999999990532013000"
# One of each kind that can be asked for by name.
KINDS = (
    "payments",
    "mandates",
    "customers",
    "customer_bank_accounts",
    "billing_requests",
    "refunds",
    "events",
    "webhooks",
    "creditors",
)


def pointers(refusal: dict[str, Any]) -> list[str]:
    return [item["request_pointer"] for item in refusal["error"]["errors"]]


async def customer(bank: SimulatedBank | Teller, given_name: str) -> str:
    person = {"given_name": given_name, "family_name": "Serik"}
    _, made = await bank.api("POST", "/customers", {"customers": person})
    customer_id: str = made["customers"]["id"]
    return customer_id


async def account(bank: SimulatedBank | Teller, customer_id: str, number: str = KZ) -> str:
    fields = {"account_holder_name": "Dana", "iban": number, "links": {"customer": customer_id}}
    _, made = await bank.api("POST", "/customer_bank_accounts", {"customer_bank_accounts": fields})
    account_id: str = made["customer_bank_accounts"]["id"]
    return account_id


async def page_of(bank: SimulatedBank, currency: str) -> tuple[str, str]:
    """Return a request for a mandate and the address of its page."""
    asked = {"mandate_request": {"currency": currency}}
    _, made = await bank.api("POST", "/billing_requests", {"billing_requests": asked})
    request_id: str = made["billing_requests"]["id"]
    flow = {"links": {"billing_request": request_id}}
    _, opened = await bank.api("POST", "/billing_request_flows", {"billing_request_flows": flow})
    return request_id, opened["billing_request_flows"]["authorisation_url"]


class TestAWordThatNobodyKnows:
    """A word out of a closed set that is none of them ..."""

    @pytest.mark.parametrize(
        ("path", "fields", "pointer"),
        [
            (
                "billing_requests",
                {"mandate_request": {"currency": "KZT", "verify": "sometimes"}},
                "/mandate_request/verify",
            ),
            (
                "billing_requests",
                {"mandate_request": {"currency": "KZT", "scheme": "teleport"}},
                "/mandate_request/scheme",
            ),
            (
                "billing_requests",
                {"mandate_request": {"currency": "XTS"}},
                "/mandate_request/currency",
            ),
        ],
        ids=["verify", "scheme", "currency"],
    )
    async def test_is_pointed_at(
        self, shared_bank: SimulatedBank, path: str, fields: dict[str, Any], pointer: str
    ) -> None:
        """Guessing what was meant would make a mandate that nobody asked for."""
        status, refusal = await shared_bank.api("POST", f"/{path}", {path: fields})

        assert (status, pointers(refusal)) == (422, [f"/{path}{pointer}"])

    async def test_of_an_account_or_a_mandate_is_pointed_at(
        self, shared_bank: SimulatedBank
    ) -> None:
        """Likewise deeper in, beside fields that are right."""
        customer_id = await customer(shared_bank, "Dana")
        account_id = await account(shared_bank, customer_id)
        piggy = {
            "account_holder_name": "Dana",
            "iban": KZ,
            "account_type": "piggy",
            "links": {"customer": customer_id},
        }
        spoken = {
            "scheme": "kz_direct",
            "authorisation_source": "smoke",
            "links": {"customer_bank_account": account_id},
        }

        refused = [
            await shared_bank.api("POST", f"/{kind}", {kind: fields})
            for kind, fields in (("customer_bank_accounts", piggy), ("mandates", spoken))
        ]

        assert [(status, pointers(refusal)) for status, refusal in refused] == [
            (422, ["/customer_bank_accounts/account_type"]),
            (422, ["/mandates/authorisation_source"]),
        ]

    async def test_in_a_filter_finds_nothing(self, shared_bank: SimulatedBank) -> None:
        """A status that does not exist is the status of no payment; all of them would be a lie."""
        mandate_id = await shared_bank.mandate()
        fields = {"amount": 1, "currency": "KZT", "links": {"mandate": mandate_id}}
        await shared_bank.api("POST", "/payments", {"payments": fields})

        status, page = await shared_bank.api("GET", "/payments?status=teleported")

        assert (status, page["payments"]) == (200, [])


class TestANameThatNobodyHas:
    """A thing of a name that was never given out ..."""

    @pytest.mark.parametrize("kind", KINDS)
    async def test_is_not_found(self, shared_bank: SimulatedBank, kind: str) -> None:
        """In the bank's own words, so that nobody takes a proxy's 404 for it."""
        status, refusal = await shared_bank.api("GET", f"/{kind}/XX404")

        (item,) = refusal["error"]["errors"]
        assert (status, item["reason"]) == (404, "resource_not_found")

    @pytest.mark.parametrize(
        "path",
        [
            "payments/PM404/actions/cancel",
            "payments/PM404/actions/retry",
            "mandates/MD404/actions/cancel",
            "billing_requests/BRQ404/actions/cancel",
            "webhooks/WB404/actions/retry",
        ],
    )
    async def test_is_not_acted_on(self, shared_bank: SimulatedBank, path: str) -> None:
        """Nor is anything else, for want of it."""
        status, refusal = await shared_bank.api("POST", f"/{path}", {"data": {}})

        assert (status, refusal["error"]["errors"][0]["reason"]) == (404, "resource_not_found")

    async def test_is_nobody_to_pay_back(self, shared_bank: SimulatedBank) -> None:
        """Money of a payment that never was."""
        fields = {"amount": 1, "total_amount_confirmation": 1, "links": {"payment": "PM404"}}

        status, refusal = await shared_bank.api("POST", "/refunds", {"refunds": fields})

        assert (status, pointers(refusal)) == (422, ["/refunds/links/payment"])


class TestWhatBelongsToAnotherCustomer:
    """The account of another customer ..."""

    async def test_makes_no_mandate_of_this_one(self, shared_bank: SimulatedBank) -> None:
        """Dana would pay from Serik's account."""
        dana, serik = await customer(shared_bank, "Dana"), await customer(shared_bank, "Serik")
        asked = {
            "mandate_request": {"currency": "KZT"},
            "links": {"customer": dana, "customer_bank_account": await account(shared_bank, serik)},
        }

        status, refusal = await shared_bank.api(
            "POST", "/billing_requests", {"billing_requests": asked}
        )

        assert status == 422
        assert pointers(refusal) == ["/billing_requests/links/customer_bank_account"]


class TestWhatIsNoJson:
    """HTML where JSON belongs ..."""

    @pytest.mark.parametrize(
        "body",
        [
            b"<html><body>Bad gateway</body></html>",
            b"<!doctype html>",
            b'"payments"',
            b'{"payments": "<html>"}',
            b'{"payments": {"amount": 1}} trailing',
            b"\xef\xbb\xbf{}",
            b"[" * 60_000,
        ],
    )
    async def test_is_a_broken_document(self, shared_bank: SimulatedBank, body: bytes) -> None:
        """In the envelope, never a 500, and no payment."""
        headers = {
            "Authorization": f"Bearer {shared_bank.token}",
            "GoCardless-Version": "2015-07-06",
            "Content-Type": "text/html",
        }
        async with shared_bank.session.post(
            f"{shared_bank.url}/payments", data=body, headers=headers
        ) as answer:
            status, refusal = answer.status, await answer.json()

        assert (status, refusal["error"]["type"]) == (400, "invalid_api_usage")

    async def test_may_be_text_that_no_file_can_hold(self, shared_bank: SimulatedBank) -> None:
        """Half a sign is JSON and no text; kept, it would break every answer that shows it."""
        mandate_id = await shared_bank.mandate()
        fields = {
            "amount": 1,
            "currency": "KZT",
            "description": "\ud800",
            "links": {"mandate": mandate_id},
        }

        status, refusal = await shared_bank.api("POST", "/payments", {"payments": fields})

        assert (status, refusal["error"]["type"]) == (400, "invalid_api_usage")
        _, made = await shared_bank.api("GET", f"/payments?mandate={mandate_id}")
        assert made["payments"] == []


class TestAnAccountOnThePage:
    """The account number that a payer types on the bank's page ..."""

    @pytest.mark.parametrize(
        ("profile", "currency", "number", "status"),
        [
            ("mock-kz", "KZT", "KZ86125KZT5004100101", 422),
            ("mock-kz", "KZT", DE, 422),
            ("mock-kz", "KZT", NOBODYS_KZ, 200),
            ("sandbox-sepa", "EUR", "DE89370400440532013001", 422),
            ("sandbox-sepa", "EUR", KZ, 422),
            ("sandbox-sepa", "EUR", NOBODYS_DE, 200),
        ],
        ids=["slip", "DE in KZT", "unknown bank", "slip in EUR", "KZ in EUR", "unknown in EUR"],
    )
    async def test_is_one_that_this_bank_can_debit(
        self, start_bank: StartBank, profile: str, currency: str, number: str, status: int
    ) -> None:
        """The field is named and the request stays open; lists of bank codes are not asked."""
        bank = await start_bank(profile=profile)
        request_id, url = await page_of(bank, currency)
        form = {"answer": "approve", "given_name": "Dana", "family_name": "S", "iban": number}

        async with bank.session.post(url + "?lang=en", data=form) as answer:
            found, text = answer.status, await answer.text()

        _, made = await bank.api("GET", f"/billing_requests/{request_id}")
        books = await bank.books()
        assert found == status
        assert ('<a href="#iban">' in text) == (status == 422)
        assert made["billing_requests"]["status"] == ("pending" if status == 422 else "fulfilled")
        assert len(books["mandates"]) == (status == 200)


class TestARequestForTheOtherCurrency:
    """A mandate in a currency that the bank does not have ..."""

    @pytest.mark.parametrize(("profile", "currency"), [("mock-kz", "EUR"), ("sandbox-sepa", "KZT")])
    async def test_is_refused_before_anybody_is_asked(
        self, open_teller: OpenBank, profile: str, currency: str
    ) -> None:
        """There is no page on which to agree to it."""
        teller = open_teller(profile)
        asked = {"mandate_request": {"currency": currency}}

        status, refusal = await teller.api("POST", "/billing_requests", {"billing_requests": asked})

        assert status == 422
        assert pointers(refusal) == ["/billing_requests/mandate_request/currency"]
