"""The hosted page: what a resident reads before saying yes, and what each answer does."""

import re
from datetime import UTC, datetime

import pytest

from tests.fixtures_bank import SimulatedBank

CONSTRAINTS = {
    "max_amount_per_payment": 5_000_000,
    "end_date": "2030-12-31",
    "periodic_limits": [{"period": "month", "max_total_amount": 7_500_000, "max_payments": 2}],
}


async def ask(bank: SimulatedBank, **flow: object) -> tuple[str, str]:
    """Return the id of a billing request and the address of its page."""
    asked = {
        "mandate_request": {
            "currency": "KZT",
            "description": "Gas <b>12</b>",
            "constraints": CONSTRAINTS,
            "metadata": {"account": "A-1"},
        }
    }
    _, made = await bank.api("POST", "/billing_requests", {"billing_requests": asked})
    request_id = made["billing_requests"]["id"]
    body = {
        "redirect_uri": "http://localhost:1/linked",
        "exit_uri": "http://localhost:1/left",
        "links": {"billing_request": request_id},
    }
    _, page = await bank.api(
        "POST", "/billing_request_flows", {"billing_request_flows": body | flow}
    )
    return request_id, page["billing_request_flows"]["authorisation_url"]


async def read(bank: SimulatedBank, url: str, **headers: str) -> tuple[int, str]:
    """Return status and text of a page."""
    async with bank.session.get(url, headers=headers) as answer:
        return answer.status, await answer.text()


class TestQuestion:
    """The question ..."""

    async def test_names_every_cap_in_plain_words(self, shared_bank: SimulatedBank) -> None:
        """Nobody should agree to something the page does not say."""
        _, url = await ask(shared_bank)

        status, text = await read(shared_bank, url + "?lang=en")

        assert status == 200
        assert "Aqkol Gas" in text
        assert "<dt>Most per payment</dt><dd>50\u00a0000,00\u00a0KZT</dd>" in text
        assert "<dt>Most in total per month</dt><dd>75\u00a0000,00\u00a0KZT</dd>" in text
        assert "<dt>Most payments per month</dt><dd>2</dd>" in text
        assert "<dt>Valid until</dt><dd>2030-12-31</dd>" in text
        assert "Gas &lt;b&gt;12&lt;/b&gt;" in text

    @pytest.mark.parametrize(
        ("query", "header", "expected"),
        [
            ("", None, "kk"),
            ("", "ru-RU,ru;q=0.9,en;q=0.8", "ru"),
            ("", "de,en;q=0.1,ru;q=0.2", "ru"),
            ("?lang=en", "ru", "en"),
            ("?lang=xx", "fr", "kk"),
            ("", ";q=abc,,;q=", "kk"),
        ],
    )
    async def test_speaks_the_readers_language(
        self, shared_bank: SimulatedBank, query: str, header: str | None, expected: str
    ) -> None:
        """Consent in a language one cannot read is none."""
        _, url = await ask(shared_bank)
        headers = {} if header is None else {"Accept-Language": header}

        _, text = await read(shared_bank, url + query, **headers)

        assert f'<html lang="{expected}">' in text

    async def test_works_for_every_reader(self, shared_bank: SimulatedBank) -> None:
        """Labels belong to inputs, one heading, no script, nothing fetched from anywhere."""
        _, url = await ask(shared_bank)
        async with shared_bank.session.get(url) as answer:
            text, headers = await answer.text(), answer.headers

        labels = re.findall(r'<label for="(\w+)"', text)
        assert labels == re.findall(r'<input id="(\w+)"', text)
        assert text.count("<h1>") == 1
        assert not re.search(r"<script|src=|@import|url\(", text)
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"

    async def test_is_for_those_who_have_the_address(self, bank: SimulatedBank) -> None:
        """The address is the key: long, and gone after a week."""
        _, url = await ask(bank)
        unknown, _ = await read(bank, f"{bank.url}/flow/BRF0")
        await bank.advance(datetime(2026, 1, 8, tzinfo=UTC))
        late, _ = await read(bank, url)

        assert len(url.rsplit("/", 1)[1]) == 3 + 32
        assert (unknown, late) == (404, 404)


class TestAnswer:
    """The answer ..."""

    async def test_yes_makes_the_mandate_that_was_shown(self, shared_bank: SimulatedBank) -> None:
        """Caps, metadata and account come out as they were agreed."""
        request_id, url = await ask(shared_bank)

        sent_to = await shared_bank.approve(url, iban="kz86 125K ZT50 0410 0100")

        _, done = await shared_bank.api("GET", f"/billing_requests/{request_id}")
        links = done["billing_requests"]["links"]
        _, mandate = await shared_bank.api("GET", f"/mandates/{links['mandate_request_mandate']}")
        _, account = await shared_bank.api(
            "GET", f"/customer_bank_accounts/{links['customer_bank_account']}"
        )
        assert sent_to == "http://localhost:1/linked"
        assert done["billing_requests"]["status"] == "fulfilled"
        assert mandate["mandates"]["metadata"] == {"account": "A-1"}
        assert mandate["mandates"]["consent_parameters"]["max_amount_per_payment"] == 5_000_000
        assert account["customer_bank_accounts"]["account_number_ending"] == "0100"

    async def test_yes_is_told_as_an_event(self, shared_bank: SimulatedBank) -> None:
        """We learn of it by polling even when the browser never comes back."""
        request_id, url = await ask(shared_bank)
        await shared_bank.approve(url)

        _, page = await shared_bank.api(
            "GET", f"/events?billing_request={request_id}&action=fulfilled"
        )
        (event,) = page["events"]
        assert event["links"]["billing_request"] == request_id
        assert event["links"]["mandate_request_mandate"].startswith("MD")
        assert event["details"]["origin"] == "payer"

    async def test_yes_twice_makes_one_mandate(self, bank: SimulatedBank) -> None:
        """People double-click."""
        _, url = await ask(bank)
        first = await bank.approve(url)
        second = await bank.approve(url)

        assert first == second
        assert len((await bank.books())["mandates"]) == 1

    async def test_no_makes_nothing_and_stands(self, bank: SimulatedBank) -> None:
        """After a no the same page cannot be talked into a yes."""
        request_id, url = await ask(bank)

        sent_to = await bank.deny(url)
        again = await bank.approve(url)

        _, found = await bank.api("GET", f"/billing_requests/{request_id}")
        assert (sent_to, again) == ("http://localhost:1/left", "http://localhost:1/left")
        assert found["billing_requests"]["status"] == "cancelled"
        assert (await bank.books())["mandates"] == []

    async def test_mistakes_are_named_and_nothing_is_lost(self, shared_bank: SimulatedBank) -> None:
        """A slip in the number shows the form again, filled in, and makes nothing."""
        request_id, url = await ask(shared_bank)
        form = {"answer": "approve", "given_name": 'A"<b>', "family_name": "", "iban": "KZ00"}
        async with shared_bank.session.post(url + "?lang=en", data=form) as answer:
            status, text = answer.status, await answer.text()

        assert status == 422
        assert re.findall(r'<li><a href="#(\w+)">', text) == ["family_name", "iban"]
        assert 'value="A&quot;&lt;b&gt;"' in text
        _, found = await shared_bank.api("GET", f"/billing_requests/{request_id}")
        assert found["billing_requests"]["links"].get("customer") is None
        assert found["billing_requests"]["status"] == "pending"

    async def test_without_an_address_to_go_to_is_a_page(self, bank: SimulatedBank) -> None:
        """A flow made without redirects ends in a plain sentence."""
        _, url = await ask(bank, redirect_uri=None, exit_uri=None)

        assert await bank.approve(url) is None
        _, text = await read(bank, url + "?lang=en")
        assert "Permission given" in text

    async def test_yes_cannot_be_asked_for_without_its_mandate(
        self, shared_bank: SimulatedBank
    ) -> None:
        """The contract does not let auto_fulfil be switched off; a 201 would be a lie."""
        asked = {"mandate_request": {"currency": "KZT"}}
        _, made = await shared_bank.api("POST", "/billing_requests", {"billing_requests": asked})
        flow = {
            "auto_fulfil": False,
            "links": {"billing_request": made["billing_requests"]["id"]},
        }

        status, refusal = await shared_bank.api(
            "POST", "/billing_request_flows", {"billing_request_flows": flow}
        )

        assert (status, refusal["error"]["errors"][0]["field"]) == (422, "auto_fulfil")
