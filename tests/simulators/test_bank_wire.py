"""The bank at its door: who may come in, what it can read, and how it lists."""

import json
from typing import Any

import pytest

from simulators.bank import iban
from tests.fixtures_bank import BANK_TOKEN, SimulatedBank
from tests.simulators.teller import OpenBank, Teller

GOOD = {
    "Authorization": f"Bearer {BANK_TOKEN}",
    "Content-Type": "application/json",
    "GoCardless-Version": "2015-07-06",
}


async def raw(
    bank: SimulatedBank, method: str, path: str, body: bytes = b"", /, **headers: str
) -> tuple[int, dict[str, Any]]:
    """Send bytes as they are and return status and envelope."""
    async with bank.session.request(method, bank.url + path, data=body, headers=headers) as answer:
        assert answer.content_type == "application/json"
        return answer.status, await answer.json()


class TestDoor:
    """The door ..."""

    @pytest.mark.parametrize(
        ("headers", "status", "reason"),
        [
            ({"Authorization": ""}, 401, "unauthorized"),
            ({"Authorization": BANK_TOKEN}, 401, "unauthorized"),
            ({"Authorization": f"Bearer {BANK_TOKEN}x"}, 401, "unauthorized"),
            ({"Authorization": "Bearer \xe9"}, 401, "unauthorized"),
            ({"GoCardless-Version": "2014-01-01"}, 400, "version_not_found"),
        ],
    )
    async def test_lets_nobody_in_without_token_and_version(
        self, shared_bank: SimulatedBank, headers: dict[str, str], status: int, reason: str
    ) -> None:
        """A mock that forgives lets mistakes through that the real bank refuses."""
        found, refusal = await raw(shared_bank, "GET", "/payments", b"", **(GOOD | headers))

        assert (found, refusal["error"]["errors"][0]["reason"]) == (status, reason)

    async def test_misses_the_version_by_name(self, shared_bank: SimulatedBank) -> None:
        """The commonest mistake of a new client has its own word."""
        found, refusal = await raw(
            shared_bank, "GET", "/payments", Authorization=f"Bearer {BANK_TOKEN}"
        )

        assert (found, refusal["error"]["errors"][0]["reason"]) == (400, "missing_version_header")

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b"{}",
            b'{"payments": []}',
            b'{"payment": {}}',
            b'{"payments": {}, "data": {}}',
            b'{"payments": {"amount": NaN}}',
            b"\xff\xfe",
        ],
    )
    async def test_refuses_what_is_no_document(
        self, shared_bank: SimulatedBank, body: bytes
    ) -> None:
        """Every broken body is a 400 in the envelope, never a 500."""
        status, refusal = await raw(shared_bank, "POST", "/payments", body, **GOOD)

        assert (status, refusal["error"]["type"]) == (400, "invalid_api_usage")

    async def test_refuses_paths_methods_and_sizes(self, shared_bank: SimulatedBank) -> None:
        """What no operation serves is told in the envelope too."""
        refused = [
            await raw(shared_bank, "GET", "/subscriptions", b"", **GOOD),
            await raw(shared_bank, "DELETE", "/payments", b"", **GOOD),
            await raw(shared_bank, "POST", "/payments", b" " * 70_000, **GOOD),
        ]

        reasons = [(code, told["error"]["errors"][0]["reason"]) for code, told in refused]
        assert reasons == [
            (404, "path_not_found"),
            (405, "method_not_allowed"),
            (413, "request_entity_too_large"),
        ]

    @pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
    async def test_takes_a_document_under_no_other_name(
        self, shared_bank: SimulatedBank, content_type: str
    ) -> None:
        """The header is one that the contract asks for; without it the real bank reads nothing."""
        headers = GOOD | {"Content-Type": content_type}
        body = b'{"customers": {"company_name": "Bakery"}}'
        status, refusal = await raw(shared_bank, "POST", "/customers", body, **headers)

        reason = refusal["error"]["errors"][0]["reason"]
        assert (status, reason) == (400, "invalid_content_type")


class TestFields:
    """A field ..."""

    @pytest.mark.parametrize(
        ("fields", "pointer"),
        [
            ({"amount": 1.0}, "/payments/amount"),
            ({"amount": True}, "/payments/amount"),
            ({"amount": "100"}, "/payments/amount"),
            ({"amount": 0}, "/payments/amount"),
            ({"amount": 10**12 + 1}, "/payments/amount"),
            ({"currency": "EUR"}, "/payments/currency"),
            ({"charge_date": "2026-02-30"}, "/payments/charge_date"),
            ({"charge_date": "2025-01-01"}, "/payments/charge_date"),
            ({"charge_date": "20260112"}, "/payments/charge_date"),
            ({"charge_date": "2026-W03-1"}, "/payments/charge_date"),
            ({"links": {"mandate": "MD0"}}, "/payments/links/mandate"),
            ({"links": {}}, "/payments/links/mandate"),
            ({"metadata": {"a": 1}}, "/payments/metadata"),
            ({"metadata": {"k" * 51: "v"}}, "/payments/metadata"),
            ({"metadata": {"k": "v" * 501}}, "/payments/metadata"),
            ({"metadata": dict.fromkeys("abcd", "v")}, "/payments/metadata"),
            ({"amuont": 1}, "/payments/amuont"),
            ({"description": "x" * 256}, "/payments/description"),
            ({"retry_if_possible": "no"}, "/payments/retry_if_possible"),
        ],
        ids=str,
    )
    async def test_in_error_is_pointed_at(
        self, shared_bank: SimulatedBank, fields: dict[str, Any], pointer: str
    ) -> None:
        """One wrong field, one 422, one pointer; and nothing written down."""
        mandate_id = await shared_bank.mandate()
        good = {"amount": 1, "currency": "KZT", "links": {"mandate": mandate_id}}

        status, refusal = await shared_bank.api("POST", "/payments", {"payments": good | fields})
        _, made = await shared_bank.api("GET", f"/payments?mandate={mandate_id}")

        assert status == 422
        pointers = [item["request_pointer"] for item in refusal["error"]["errors"]]
        assert pointers == [pointer]
        assert made["payments"] == []

    async def test_at_its_limit_is_taken(self, shared_bank: SimulatedBank) -> None:
        """Three keys of fifty with five hundred signs, as the contract promises."""
        mandate_id = await shared_bank.mandate()
        metadata = {letter * 50: "v" * 500 for letter in "abc"}
        fields = {
            "amount": 10**12,
            "currency": "KZT",
            "metadata": metadata,
            "links": {"mandate": mandate_id},
        }

        status, made = await shared_bank.api("POST", "/payments", {"payments": fields})

        assert (status, made["payments"]["metadata"]) == (201, metadata)

    async def test_of_a_request_for_a_mandate_is_not_ignored(
        self, shared_bank: SimulatedBank
    ) -> None:
        """A cap with a slip in its name must not become a mandate without a cap."""
        asked = {"currency": "KZT", "constraints": {"max_amount_per_paymnet": 1}}

        status, refusal = await shared_bank.api(
            "POST", "/billing_requests", {"billing_requests": {"mandate_request": asked}}
        )

        assert status == 422
        assert refusal["error"]["errors"][0]["request_pointer"] == (
            "/billing_requests/mandate_request/constraints/max_amount_per_paymnet"
        )


class TestList:
    """A list ..."""

    @pytest.mark.parametrize(
        "query",
        [
            "limit=0",
            "limit=501",
            "limit=x",
            "after=PM0",
            "colour=red",
            "created_at=2026-01-01T00:00:00Z",
            "created_at[gte]=2026-01-01",
            "created_at[about]=2026-01-01T00:00:00Z",
            "charge_date[gte]=soon",
            "charge_date[gte]=20260101",
            "limit=5&limit=6",
            "status=failed&status=cancelled",
        ],
    )
    async def test_refuses_what_it_does_not_know(
        self, shared_bank: SimulatedBank, query: str
    ) -> None:
        """An ignored filter shows everything to somebody who asked for little."""
        status, _ = await shared_bank.api("GET", f"/payments?{query}")

        assert status == 400

    async def test_has_fifty_unless_told(self, bank: SimulatedBank) -> None:
        """The page size of the contract, newest first."""
        for number in range(51):
            body = {"customers": {"company_name": f"Bakery {number}"}}
            await bank.api("POST", "/customers", body)

        _, page = await bank.api("GET", "/customers")
        _, whole = await bank.api("GET", "/customers?limit=500")

        names = [customer["company_name"] for customer in page["customers"]]
        assert names == [f"Bakery {number}" for number in range(50, 0, -1)]
        assert page["meta"]["limit"] == 50
        assert page["meta"]["cursors"]["before"] is None
        assert len(whole["customers"]) == 51
        assert whole["meta"]["cursors"] == {"before": None, "after": None}

    async def test_keeps_to_its_filters(self, bank: SimulatedBank) -> None:
        """By mandate, customer, state and day of charge."""
        mandate_ids = [await bank.mandate(), await bank.mandate()]
        for mandate_id, day in zip(mandate_ids, ("2026-01-12", "2026-01-13"), strict=True):
            fields = {
                "amount": 1,
                "currency": "KZT",
                "charge_date": day,
                "links": {"mandate": mandate_id},
            }
            await bank.api("POST", "/payments", {"payments": fields})
        _, first = await bank.api("GET", f"/mandates/{mandate_ids[0]}")
        customer_id = first["mandates"]["links"]["customer"]
        found = {}
        for query in (
            f"mandate={mandate_ids[0]}",
            f"customer={customer_id}",
            "charge_date[lte]=2026-01-12",
            "charge_date[gt]=2026-01-12",
            "status=pending_submission,failed",
            "status=failed",
        ):
            _, page = await bank.api("GET", f"/payments?{query}")
            found[query] = [payment["charge_date"][-2:] for payment in page["payments"]]

        assert list(found.values()) == [["12"], ["12"], ["12"], ["13"], ["13", "12"], []]

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("created_at[gt]=2026-01-01T00:00:00Z&created_at[gte]=2025-01-01T00:00:00Z", 0),
            ("created_at[gte]=2025-01-01T00:00:00Z&created_at[gt]=2026-01-01T00:00:00Z", 0),
            ("created_at[lt]=2026-01-01T00:00:00Z&created_at[lte]=2027-01-01T00:00:00Z", 0),
            ("created_at[gte]=2026-01-01T00:00:00.000400Z", 0),
            ("created_at[lt]=2026-01-01T00:00:00.000400Z", 1),
            ("created_at[gte]=2026-01-01T00:00:00Z&created_at[lt]=2026-01-01T00:00:00.001Z", 1),
        ],
    )
    async def test_keeps_to_both_bounds_of_a_side(
        self, teller: Teller, query: str, found: int
    ) -> None:
        """Whoever asks from one instant to another, to the microsecond, gets nothing beside it."""
        await teller.api("POST", "/customers", {"customers": {"company_name": "Bakery"}})

        status, page = await teller.api("GET", f"/customers?{query}")

        assert (status, len(page["customers"])) == (200, found)

    async def test_of_balances_is_as_long_as_asked(self, teller: Teller) -> None:
        """Balances have pages like everything else."""
        _, two = await teller.api("GET", "/balances?limit=2")
        status, _ = await teller.api("GET", "/balances?limit=0")

        assert (len(two["balances"]), two["meta"]["limit"], status) == (2, 2, 400)

    async def test_of_webhooks_knows_no_test_but_true_and_false(self, teller: Teller) -> None:
        """A slip in the filter finds nothing; everything would be a lie."""
        webhook = dict.fromkeys(("request_body", "response_body", "response_code"))
        with teller.bank.store.transaction():
            teller.bank.create("webhooks", {"is_test": False, "successful": True, **webhook})
        pages = {
            word: (await teller.api("GET", f"/webhooks?is_test={word}"))[1]["webhooks"]
            for word in ("false", "true", "fasle")
        }

        assert [len(pages[word]) for word in pages] == [1, 0, 0]


class TestIban:
    """An account number ..."""

    @pytest.mark.parametrize(
        "number", ["KZ86125KZT5004100100", "DE89370400440532013000", "FR1420041010050500013M02606"]
    )
    def test_of_the_books_is_right(self, number: str) -> None:
        """Published test numbers."""
        assert iban.is_valid(number)

    @pytest.mark.parametrize(
        "number",
        [
            "KZ86125KZT5004100101",
            "KZ68125KZT5004100100",
            "KZ86125KZT500410010",
            "KZ86125KZT50041001000",
            "kz86125kzt5004100100",
            "KZ86 125K ZT50 0410 0100",
            "KZ٨٦125KZT5004100100",
            "",
        ],
    )
    def test_with_a_slip_is_wrong(self, number: str) -> None:
        """Swapped digits, missing digits, other alphabets' digits."""
        assert not iban.is_valid(number)


class TestProfile:
    """A bank's profile ..."""

    @pytest.mark.parametrize(
        ("profile", "number", "message"),
        [
            ("mock-kz", "KZ86125KZT5004100100", None),
            # A bank code that nobody has given out: no directory of banks is complete.
            ("mock-kz", "KZ07999A000000000000", None),
            ("mock-kz", "KZ86125KZT5004100101", "is invalid"),
            ("mock-kz", "DE89370400440532013000", "cannot be debited under kz_direct"),
            ("sandbox-sepa", "DE89370400440532013000", None),
            ("sandbox-sepa", "FR1420041010050500013M02606", None),
            ("sandbox-sepa", "DE89370400440532013001", "is invalid"),
            ("sandbox-sepa", "KZ86125KZT5004100100", "cannot be debited under sepa_core"),
        ],
    )
    async def test_takes_the_accounts_of_its_rail(
        self, open_teller: OpenBank, profile: str, number: str, message: str | None
    ) -> None:
        """An account that the rail cannot reach is refused at once, by name of the field."""
        teller = open_teller(profile)
        person = {"given_name": "Dana", "family_name": "Serik"}
        _, customer = await teller.api("POST", "/customers", {"customers": person})
        fields = {
            "account_holder_name": "Dana",
            "iban": number,
            "links": {"customer": customer["customers"]["id"]},
        }

        status, found = await teller.api(
            "POST", "/customer_bank_accounts", {"customer_bank_accounts": fields}
        )

        if message is None:
            assert (status, found["customer_bank_accounts"]["enabled"]) == (201, True)
        else:
            item = {
                "field": "iban",
                "message": message,
                "request_pointer": "/customer_bank_accounts/iban",
            }
            assert (status, found["error"]["errors"]) == (422, [item])

    async def test_has_one_currency(self, open_teller: OpenBank) -> None:
        """Tenge on a rail of euro is a mistake that costs a hundredfold."""
        teller = open_teller("sandbox-sepa")
        mandate_id = await teller.mandate()

        status, refusal = await teller.ask(mandate_id, currency="KZT")

        assert (status, refusal["errors"][0]["field"]) == (422, "currency")


def test_the_books_are_json_all_the_way() -> None:
    """The words of the page are a file that translators edit: all three must stay complete."""
    path = iban.__file__.replace("iban.py", "words.json")
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - one file, once
        words = json.load(file)

    assert set(words) == {"kk", "ru", "en"}
    assert set(words["kk"]) == set(words["ru"]) == set(words["en"])
