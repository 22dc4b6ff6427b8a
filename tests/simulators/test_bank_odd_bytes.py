"""Bytes that no honest client sends: each is answered in the contract's words, never with a 500."""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.fixtures_bank import BANK_TOKEN, SimulatedBank
from tests.simulators.test_bank_pages import ask

PERSON = b'{"customers": {"company_name": "Bakery"}}'


async def send(
    bank: SimulatedBank, body: bytes, *headers: bytes, token: bytes = BANK_TOKEN.encode()
) -> tuple[int, dict[str, Any]]:
    """Ask for a customer with headers as they stand here; returns status and envelope."""
    address = urlsplit(bank.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = (
        b"POST /customers HTTP/1.1",
        b"Host: bank",
        b"Connection: close",
        b"Content-Type: application/json",
        b"GoCardless-Version: 2015-07-06",
        b"Authorization: Bearer " + token,
        b"Content-Length: %d" % len(body),
        *headers,
    )
    writer.write(b"\r\n".join(head) + b"\r\n\r\n" + body)
    answer = await reader.read()
    writer.close()
    first, _, told = answer.partition(b"\r\n\r\n")
    return int(first.split()[1]), json.loads(told)


class TestHalfASign:
    """Half of a sign, which is no text ..."""

    @pytest.mark.parametrize(
        "body",
        [
            b'{"customers": {"company_name": "\xed\xa0\x80"}}',
            '{"customers": {"company_name": "\\ud800"}}'.encode("utf-16"),
            '{"customers": {"company_name": "\\ud800"}}'.encode("utf-32-le"),
            PERSON.decode().encode("utf-16"),
        ],
        ids=["bare", "escaped in UTF-16", "escaped in UTF-32", "UTF-16"],
    )
    async def test_in_a_body_is_a_broken_document(
        self, shared_bank: SimulatedBank, body: bytes
    ) -> None:
        """Kept, it would break every list that shows it, for everybody and for ever."""
        status, refusal = await send(shared_bank, body)
        listed, _ = await shared_bank.api("GET", "/customers")

        assert (status, refusal["error"]["type"], listed) == (400, "invalid_api_usage", 200)

    async def test_in_a_token_is_a_strangers(self, shared_bank: SimulatedBank) -> None:
        """A wrong token is a 401, whatever its bytes."""
        status, refusal = await send(shared_bank, PERSON, token=b"\xff")

        assert (status, refusal["error"]["errors"][0]["reason"]) == (401, "unauthorized")

    async def test_in_a_key_is_told(self, shared_bank: SimulatedBank) -> None:
        """A key that cannot be kept would make the same thing twice."""
        status, refusal = await send(shared_bank, PERSON, b"Idempotency-Key: \xff")

        assert (status, refusal["error"]["code"]) == (400, 400)
        assert refusal["error"]["errors"][0]["reason"] == "invalid_idempotency_key"


class TestAnInstantOutsideOfTheYears:
    """An instant that UTC has no year for ..."""

    @pytest.mark.parametrize(
        "instant", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00%2B14:00"]
    )
    async def test_is_a_bad_parameter_of_a_list(
        self, shared_bank: SimulatedBank, instant: str
    ) -> None:
        """Like every other that cannot be read."""
        status, refusal = await shared_bank.api("GET", f"/payments?created_at[gt]={instant}")

        reason = refusal["error"]["errors"][0]["reason"]
        assert (status, reason) == (400, "invalid_query_parameter")

    async def test_is_no_time_for_the_clock(self, shared_bank: SimulatedBank) -> None:
        """A conductor is told too."""
        async with shared_bank.session.post(
            shared_bank.control_url + "/clock", json={"now": "9999-12-31T23:59:59-14:00"}
        ) as answer:
            assert answer.status == 422


class TestAnAddressThatLeadsNowhere:
    """An address that could not be sent on to ..."""

    @pytest.mark.parametrize(
        "address",
        [
            "http://[",
            "http://[::1",
            "http://localhost/\r\nSet-Cookie: a=b",
            "http://localhost/\n",
            "http://local\x00host/",
            "http://local host/",
            "http://localhost:99999/",
            "http://:80/",
        ],
        ids=ascii,
    )
    async def test_is_refused_before_anybody_is_sent_to_it(
        self, shared_bank: SimulatedBank, address: str
    ) -> None:
        """A payer who said yes would be left with a broken connection and a mandate."""
        asked = {"mandate_request": {"currency": "KZT"}}
        _, made = await shared_bank.api("POST", "/billing_requests", {"billing_requests": asked})
        links = {"billing_request": made["billing_requests"]["id"]}
        flow = {"redirect_uri": address, "links": links}

        status, refusal = await shared_bank.api(
            "POST", "/billing_request_flows", {"billing_request_flows": flow}
        )

        (item,) = refusal["error"]["errors"]
        assert (status, item["request_pointer"]) == (422, "/billing_request_flows/redirect_uri")

    @pytest.mark.parametrize("address", ["http://[", "http://127.0.0.1:99999/"])
    async def test_is_no_endpoint_for_webhooks(
        self, shared_bank: SimulatedBank, address: str
    ) -> None:
        """Nor is it posted to."""
        wanted = {"url": address, "secrets": ["s"]}
        async with shared_bank.session.post(
            shared_bank.control_url + "/webhooks", json=wanted
        ) as answer:
            assert answer.status == 422


class TestAFormThatCannotBeRead:
    """A form that is none ..."""

    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            (b"answer=approve&given_name=\xff", "application/x-www-form-urlencoded"),
            (b"answer=approve", "application/x-www-form-urlencoded; charset=nonsense"),
            (b"answer", "multipart/form-data"),
            (b"answer", "multipart/form-data; boundary=none"),
        ],
        ids=["bytes", "charset", "no boundary", "no parts"],
    )
    async def test_says_neither_yes_nor_no(
        self, shared_bank: SimulatedBank, body: bytes, content_type: str
    ) -> None:
        """The payer is asked again, and nothing is made of it."""
        request_id, url = await ask(shared_bank)
        headers = {"Content-Type": content_type}
        async with shared_bank.session.post(url, data=body, headers=headers) as answer:
            assert answer.status == 422
            assert 'value="approve"' in await answer.text()

        _, found = await shared_bank.api("GET", f"/billing_requests/{request_id}")
        assert found["billing_requests"]["status"] == "pending"
