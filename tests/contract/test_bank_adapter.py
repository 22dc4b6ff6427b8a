"""The adapter of the bank, against every odd answer a network can give, and the simulated bank."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from billing.bank import (
    Accepted,
    BankDeniedError,
    BankGarbledError,
    BankRefusedError,
    BankSilentError,
    Conflict,
    Denied,
    MandateStatus,
    NotExecuted,
    Payment,
    PaymentStatus,
    Rejected,
    Unknown,
)
from billing.io import bank as adapter
from billing.io.bank import BankClient
from tests.conftest import free_port
from tests.fixtures_bank import BANK_START, SimulatedBank, StartBank

TOKEN = "a-token-nobody-may-see"
BODY = b'{"payments":{"amount":1}}'
PAYMENT: dict[str, Any] = {
    "id": "PM1",
    "status": "pending_submission",
    "amount": 74_297,
    "currency": "KZT",
    "links": {"mandate": "MD1", "creditor": "CR1"},
    "metadata": {"intent": "debit:v1:ACC-1:2026-01:1"},
}
OURS = Payment(
    payment_id="PM1",
    status=PaymentStatus.PENDING_SUBMISSION,
    amount_minor=74_297,
    currency="KZT",
    bank_mandate_id="MD1",
    intent="debit:v1:ACC-1:2026-01:1",
)

MANDATE: dict[str, Any] = {"id": "MD1", "status": "active", "links": {}}
REQUEST: dict[str, Any] = {"id": "BRQ1", "status": "pending", "links": {}}
REFUND: dict[str, Any] = {
    "id": "RF1",
    "status": "paid",
    "amount": 100,
    "currency": "KZT",
    "links": {"payment": "PM1"},
}

Play = Callable[[web.Request], Awaitable[web.StreamResponse]]
Odd = Callable[[Play], Awaitable[BankClient]]


@pytest.fixture
async def odd() -> AsyncIterator[Odd]:
    """Return a function that starts a bank which plays one answer, and a client of it."""
    stack: list[Callable[[], Awaitable[None]]] = []

    async def start(play: Play) -> BankClient:
        app = web.Application()
        app.router.add_route("*", "/{anything:.*}", play)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        stack.append(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        opened = BankClient.open(url=f"http://{host}:{port}", token=TOKEN, total_s=0.5)
        client = await opened.__aenter__()

        async def close() -> None:
            await opened.__aexit__(None, None, None)

        stack.append(close)
        return client

    yield start
    for close in reversed(stack):
        await close()


def says(status: int, body: object, **headers: str) -> Play:
    async def play(_: web.Request) -> web.Response:
        text = body if isinstance(body, str) else json.dumps(body)
        kind = "text/html" if isinstance(body, str) else "application/json"
        return web.Response(status=status, text=text, content_type=kind, headers=headers)

    return play


def error(kind: str, status: int, *items: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"type": kind, "code": status, "message": "…", "errors": list(items)}}


async def vanish(request: web.Request) -> web.StreamResponse:
    """Take the request in and close the connection without a word."""
    await request.read()
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def break_off(request: web.Request) -> web.StreamResponse:
    """Begin an answer and break off in the middle."""
    answer = web.StreamResponse(status=201, headers={"Content-Length": "1000"})
    await answer.prepare(request)
    await answer.write(b'{"payments": {"id": "PM1", "amo')
    assert request.transport is not None
    request.transport.abort()
    return answer


async def dawdle(_: web.Request) -> web.StreamResponse:
    """Answer later than anybody waits."""
    await asyncio.Event().wait()
    return web.Response()


async def flood(request: web.Request) -> web.StreamResponse:
    """Answer without an end."""
    answer = web.StreamResponse(status=201)
    await answer.prepare(request)
    while True:
        await answer.write(b" " * 65_536)


CONFLICT = error(
    "invalid_state",
    409,
    {"reason": "idempotent_creation_conflict", "links": {"conflicting_resource_id": "PM7"}},
)
INACTIVE = error("invalid_state", 422, {"reason": "mandate_is_inactive", "message": "…"})
TOO_EARLY = error(
    "validation_failed",
    422,
    {"field": "charge_date", "message": "…", "request_pointer": "/payments/charge_date"},
)


class TestOrder:
    """An order to pay ..."""

    async def test_is_sent_as_it_was_frozen(self, odd: Odd) -> None:
        """The same bytes, the key, the version and the token; nothing is made on the way."""
        seen: list[tuple[bytes, dict[str, str]]] = []

        async def play(request: web.Request) -> web.Response:
            seen.append((await request.read(), dict(request.headers)))
            return web.json_response({"payments": PAYMENT}, status=201)

        client = await odd(play)

        answer = await client.create_payment(BODY, "debit:v1:ACC-1:2026-01:1")

        assert answer == Accepted(payment=OURS)
        (body, headers) = seen[0]
        assert body == BODY
        assert headers["Idempotency-Key"] == "debit:v1:ACC-1:2026-01:1"
        assert headers["GoCardless-Version"] == "2015-07-06"
        assert headers["Authorization"] == f"Bearer {TOKEN}"
        assert headers["Content-Type"] == "application/json"

    @pytest.mark.parametrize(
        ("status", "body", "answer"),
        [
            (201, {"payments": PAYMENT}, Accepted(payment=OURS)),
            (200, {"payments": PAYMENT}, Accepted(payment=OURS)),
            (409, CONFLICT, Conflict(payment_id="PM7")),
            (
                422,
                INACTIVE,
                Rejected(reason="mandate_is_inactive", causes=("mandate_is_inactive",)),
            ),
            (422, TOO_EARLY, Rejected(reason="validation_failed", causes=("charge_date",))),
            (400, error("invalid_api_usage", 400), Rejected(reason="invalid_api_usage")),
            (
                422,
                error("invalid_state", 422, {"reason": "<b>Ünknown reason</b>"}),
                Rejected(reason="other", causes=("<b>Ünknown reason</b>",)),
            ),
            (
                422,
                error("invalid_state", 422, {"reason": "mandate_is_inactive\n"}),
                Rejected(reason="other", causes=("mandate_is_inactive\n",)),
            ),
            (401, error("invalid_api_usage", 401), Denied(reason="credentials")),
            (403, "<html>no</html>", Denied(reason="credentials")),
            (429, error("invalid_api_usage", 429), NotExecuted(reason="rate_limited")),
        ],
    )
    async def test_is_answered_with_certainty(
        self, odd: Odd, status: int, body: object, answer: object
    ) -> None:
        """What the bank says in its own words about its own doing is believed."""
        client = await odd(says(status, body))

        assert await client.create_payment(BODY, "key-00001") == answer

    @pytest.mark.parametrize(
        ("status", "body", "reason"),
        [
            (500, error("gocardless", 500), "bank_error"),
            (502, "<html>Bad gateway</html>", "bank_error"),
            (503, "", "bank_error"),
            (201, "<html>Welcome</html>", "garbled"),
            (201, "", "garbled"),
            (201, {"payments": {**PAYMENT, "amount": "74297"}}, "garbled"),
            (201, {"payments": {**PAYMENT, "amount": 74_297.0}}, "garbled"),
            (201, {"payments": {**PAYMENT, "amount": True}}, "garbled"),
            (201, {"payments": {**PAYMENT, "id": "../mandates/MD1"}}, "garbled"),
            (201, {"payments": {**PAYMENT, "id": None}}, "garbled"),
            (201, {"payments": [PAYMENT]}, "garbled"),
            (201, {"payments": {**PAYMENT, "links": {}}}, "garbled"),
            (201, [], "garbled"),
            (302, "", "redirected"),
            (204, "", "redirected"),
            (409, error("invalid_state", 409, {"reason": "bank_account_exists"}), "not_the_bank"),
            (409, "<html>conflict</html>", "not_the_bank"),
            (
                409,
                error(
                    "invalid_state",
                    409,
                    {
                        "reason": "idempotent_creation_conflict",
                        "links": {"conflicting_resource_id": "PM7\n"},
                    },
                ),
                "not_the_bank",
            ),
            (422, "<html>blocked by a firewall</html>", "not_the_bank"),
            (404, "not found", "not_the_bank"),
            (408, error("invalid_api_usage", 408), "not_the_bank"),
        ],
    )
    async def test_may_have_been_executed(
        self, odd: Odd, status: int, body: object, reason: str
    ) -> None:
        """Anything else may have come after the payment was made."""
        client = await odd(says(status, body))

        assert await client.create_payment(BODY, "key-00001") == Unknown(reason=reason)

    @pytest.mark.parametrize(
        ("play", "reason"),
        [
            (vanish, "connection_lost"),
            (break_off, "connection_lost"),
            (dawdle, "timeout"),
            (flood, "answer_too_large"),
        ],
        ids=["vanish", "break_off", "dawdle", "flood"],
    )
    async def test_without_a_whole_answer_may_have_been_executed(
        self, odd: Odd, play: Play, reason: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The request had left; whether it was read, nobody can tell from here."""
        monkeypatch.setattr(adapter, "RESPONSE_BYTES_MAX", 200_000)
        client = await odd(play)

        assert await client.create_payment(BODY, "key-00001") == Unknown(reason=reason)

    async def test_on_a_kept_connection_that_closes_is_not_sent_twice(self, odd: Odd) -> None:
        """A client that repeats by itself would repeat without knowing what it repeats."""
        seen: list[str] = []

        async def play(request: web.Request) -> web.StreamResponse:
            seen.append(request.method)
            if len(seen) > 1:
                return await vanish(request)
            return web.json_response({"payments": PAYMENT}, status=201)

        client = await odd(play)
        await client.create_payment(BODY, "key-00001")

        assert await client.create_payment(BODY, "key-00002") == Unknown(reason="connection_lost")
        assert seen == ["POST", "POST"]

    @pytest.mark.parametrize("url", ["http://127.0.0.1:{port}", "http://no-such-bank.invalid"])
    async def test_to_nobody_was_certainly_not_executed(self, url: str) -> None:
        """No listener, no such name: not one byte has left."""
        async with BankClient.open(url=url.format(port=free_port()), token=TOKEN) as client:
            answer = await client.create_payment(BODY, "key-00001")

        assert answer == NotExecuted(reason="unreachable")

    @pytest.mark.parametrize(
        ("header", "seconds"),
        [("90", 90), ("999999", 3600), ("-5", None), ("soon", None), ("²", None), ("", None)],
    )
    async def test_hears_how_long_to_wait(self, odd: Odd, header: str, seconds: int | None) -> None:
        """But never for longer than an hour, and never a number that is none."""
        body = error("invalid_api_usage", 429, {"reason": "rate_limit_exceeded"})
        client = await odd(says(429, body, **{"Retry-After": header}))

        answer = await client.create_payment(BODY, "key-00001")

        assert answer == NotExecuted(reason="rate_limited", retry_after_s=seconds)

    @pytest.mark.parametrize(
        ("reset", "seconds"),
        [
            ("Fri, 27 Feb 2026 10:00:42 GMT", 42),
            ("Fri, 27 Feb 2026 10:00:00 GMT", None),
            ("Fri, 27 Feb 2026 09:59:00 GMT", None),
            ("Fri, 27 Feb 2026 11:00:01 GMT", None),
            ("Fri, 27 Feb 2026 10:00:42", 42),
            ("Fri, 99 Feb 2026 10:00:42 GMT", None),
            ("42", None),
            ("", None),
        ],
    )
    async def test_hears_when_its_allowance_is_whole_again(
        self, odd: Odd, reset: str, seconds: int | None
    ) -> None:
        """This bank names an instant, by its own clock; ours may be wrong by any time."""
        body = error("invalid_api_usage", 429, {"reason": "rate_limit_exceeded"})
        told = {"Date": "Fri, 27 Feb 2026 10:00:00 GMT", "ratelimit-reset": reset}
        client = await odd(says(429, body, **told))

        answer = await client.create_payment(BODY, "key-00001")

        assert answer == NotExecuted(reason="rate_limited", retry_after_s=seconds)

    async def test_is_nobodys_business(self, odd: Odd, capsys: pytest.CaptureFixture[str]) -> None:
        """Neither the token nor a body ever reaches a log or the text of an error."""
        client = await odd(says(200, {"payments": {"id": "PM1", "secret": "KZ86125KZT5004100100"}}))

        with pytest.raises(BankGarbledError) as garbled:
            await client.get_payment("PM1")

        told = capsys.readouterr()
        for text in (told.out, told.err, str(garbled.value), repr(garbled.value.__cause__)):
            assert "KZ86" not in text
            assert TOKEN not in text


class TestQuestion:
    """A question that only reads ..."""

    @pytest.mark.parametrize(
        ("changed", "status"),
        [
            ({"status": "submitted"}, PaymentStatus.SUBMITTED),
            ({"status": "paid_out", "surprise": {"deep": [1]}}, PaymentStatus.PAID_OUT),
            ({"status": "sanctioned_by_the_moon"}, None),
        ],
    )
    async def test_survives_what_the_bank_adds(
        self, odd: Odd, changed: dict[str, Any], status: PaymentStatus | None
    ) -> None:
        """New fields are passed over; a new status is told apart from those we know."""
        client = await odd(says(200, {"payments": {**PAYMENT, **changed}}))

        found = await client.get_payment("PM1")

        assert found is not None
        assert found.status is status

    async def test_survives_what_the_bank_leaves_out(self, odd: Odd) -> None:
        """Without metadata it is a payment of somebody else's making."""
        bare = {name: value for name, value in PAYMENT.items() if name != "metadata"}
        client = await odd(says(200, {"payments": bare}))

        found = await client.get_payment("PM1")

        assert found is not None
        assert found.intent is None

    async def test_about_nothing_is_answered_with_nothing(self, odd: Odd) -> None:
        """In the bank's own words; a proxy's 404 is silence, not absence."""
        body = error("invalid_api_usage", 404, {"reason": "resource_not_found"})

        assert await (await odd(says(404, body))).get_payment("PM1") is None
        with pytest.raises(BankSilentError):
            await (await odd(says(404, "<html>nginx</html>"))).get_payment("PM1")

    @pytest.mark.parametrize(
        ("status", "body", "raised"),
        [
            (500, error("gocardless", 500), BankSilentError),
            (502, "<html>Bad gateway</html>", BankSilentError),
            (429, error("invalid_api_usage", 429), BankSilentError),
            (302, "", BankSilentError),
            (401, error("invalid_api_usage", 401), BankDeniedError),
            (403, "", BankDeniedError),
            (422, error("invalid_state", 422, {"reason": "cancellation_failed"}), BankRefusedError),
            (200, "<html>Welcome</html>", BankGarbledError),
            (200, {"payments": {}}, BankGarbledError),
        ],
    )
    async def test_without_a_usable_answer_says_why(
        self, odd: Odd, status: int, body: object, raised: type[Exception]
    ) -> None:
        """Silent, denied, refused or garbled: four different things to do next."""
        client = await odd(says(status, body))

        with pytest.raises(raised):
            await client.cancel_payment("PM1")

    @pytest.mark.parametrize("play", [vanish, dawdle], ids=["vanish", "dawdle"])
    async def test_without_any_answer_is_silence(self, odd: Odd, play: Play) -> None:
        """Asking again later is all there is to do."""
        client = await odd(play)

        with pytest.raises(BankSilentError):
            await client.get_mandate("MD1")

    async def test_about_events_keeps_the_unreadable_ones_apart(self, odd: Odd) -> None:
        """One odd event must not stop the reading of all others for ever."""
        page = {
            "events": [
                {
                    "id": "EV3",
                    "resource_type": "payments",
                    "action": "failed",
                    "links": {"payment": "PM1", "odd": "../x", "none": None, "line": "PM1\n"},
                    "details": {"cause": "insufficient_funds", "will_attempt_retry": True},
                },
                {"id": "EV2", "resource_type": 7},
                {"id": "EV1", "resource_type": "moons", "action": "risen", "links": None},
            ],
            "meta": {"cursors": {"before": None, "after": "EV1"}, "limit": 50},
        }
        client = await odd(says(200, page))

        found = await client.list_events(limit=50)

        assert [(one.event_id, one.resource, one.action) for one in found.events] == [
            ("EV3", "payments", "failed"),
            ("EV2", "unreadable", "unreadable"),
            ("EV1", "moons", "risen"),
        ]
        assert dict(found.events[0].links) == {"payment": "PM1"}
        assert found.events[0].cause == "insufficient_funds"
        assert found.events[0].will_attempt_retry
        assert (found.before, found.after) == ("EV3", "EV1")

    async def test_about_events_counts_those_without_a_name(self, odd: Odd) -> None:
        """They cannot be remembered; the others of their page can, and are."""
        named = {"id": "EV1", "resource_type": "payments", "action": "failed", "links": {}}
        told = [{"resource_type": "payments"}, named, "<html>", {"id": "../EV2"}, None]
        client = await odd(says(200, {"events": told, "meta": {"cursors": {"after": None}}}))

        found = await client.list_events(limit=50)

        assert [one.event_id for one in found.events] == ["EV1"]
        assert (found.before, found.nameless) == ("EV1", 4)

    @pytest.mark.parametrize(
        ("body", "ask"),
        [
            ({"payments": PAYMENT}, lambda bank: bank.get_payment("PM2")),
            ({"payments": PAYMENT}, lambda bank: bank.cancel_payment("PM2")),
            ({"mandates": MANDATE}, lambda bank: bank.get_mandate("MD2")),
            ({"mandates": MANDATE}, lambda bank: bank.cancel_mandate("MD2")),
            ({"billing_requests": REQUEST}, lambda bank: bank.get_billing_request("BRQ2")),
            ({"billing_requests": REQUEST}, lambda bank: bank.cancel_billing_request("BRQ2")),
            ({"refunds": REFUND}, lambda bank: bank.get_refund("RF2")),
        ],
    )
    async def test_about_one_thing_is_not_answered_with_another(
        self, odd: Odd, body: object, ask: Callable[[BankClient], Awaitable[object]]
    ) -> None:
        """Somebody else's mandate, or his payment, would be taken for the one we asked about."""
        client = await odd(says(200, body))

        with pytest.raises(BankGarbledError, match="another_one"):
            await ask(client)

    async def test_in_words_nobody_knows_is_neither_yes_nor_no(self, odd: Odd) -> None:
        """A mandate, request or refund of a status that is new stays where it is with us."""
        new = {"status": "sanctioned_by_the_moon", "surprise": {"deep": [1]}}
        client = await odd(
            says(
                200,
                {
                    "mandates": MANDATE | new,
                    "billing_requests": REQUEST | new,
                    "refunds": REFUND | new,
                },
            )
        )

        mandate = await client.get_mandate("MD1")
        request = await client.get_billing_request("BRQ1")
        refund = await client.get_refund("RF1")

        assert mandate is not None
        assert mandate.status is None
        assert request is not None
        assert (request.cancelled, request.bank_mandate_id) == (False, None)
        assert refund is not None
        assert refund.status is None

    async def test_never_holds_what_no_database_can_keep(self, odd: Odd) -> None:
        """JSON may carry a character of nothing; asked for or kept, it would end a whole run."""
        item = {"type": "payment_paid_out\0", "amount": "1.0", "links": {}}
        payout = {
            "id": "PO1",
            "status": "paid",
            "amount": 1,
            "currency": "KZT",
            "reference": "AQKOL\0",
            "created_at": "2026-02-27T00:00:00Z",
        }
        strange = PAYMENT | {"metadata": {"intent": "debit:v1:ACC-1\0:2026-01:1"}}
        told = {"payments": [strange], "payouts": [payout], "payout_items": [item]}
        client = await odd(says(200, told))

        payments = client.list_payments(bank_mandate_id=None, created_from=None)
        payouts = client.list_payouts(created_from=datetime(2026, 1, 1, tzinfo=UTC))
        items = await client.list_payout_items("PO1")

        assert [one.intent async for one in payments] == ["debit:v1:ACC-1\ufffd:2026-01:1"]
        assert [one.reference async for one in payouts] == ["AQKOL\ufffd"]
        assert [one.kind for one in items] == ["payment_paid_out\ufffd"]

    async def test_about_an_account_keeps_four_characters(self, odd: Odd) -> None:
        """Even if the bank sends the whole number one day."""
        sent = {"customer_bank_accounts": {"account_number_ending": "KZ86125KZT5004100100"}}
        client = await odd(says(200, sent))

        assert await client.account_number_ending("BA1") == "0100"


@asynccontextmanager
async def client_of(bank: SimulatedBank) -> AsyncIterator[BankClient]:
    async with BankClient.open(url=bank.url, token=bank.token) as client:
        yield client


def order(bank_mandate_id: str, *, amount: int = 500, currency: str = "KZT") -> bytes:
    return json.dumps(
        {
            "payments": {
                "amount": amount,
                "charge_date": "2026-01-20",
                "currency": currency,
                "links": {"mandate": bank_mandate_id},
                "metadata": {"intent": f"intent-{amount}"},
            }
        }
    ).encode()


@pytest.fixture(params=[("mock-kz", "KZT", "kz_direct"), ("sandbox-sepa", "EUR", "sepa_core")])
def profile(request: pytest.FixtureRequest) -> tuple[str, str, str]:
    name, currency, scheme = request.param
    return name, currency, scheme


class TestSimulatedBank:
    """With the simulated bank, in tenge and in euro, the adapter ..."""

    async def test_links_an_account(
        self, start_bank: StartBank, profile: tuple[str, str, str]
    ) -> None:
        """Request, flow, page, mandate, and the end of the account's number."""
        name, currency, scheme = profile
        bank = await start_bank(profile=name)
        async with client_of(bank) as client:
            first = await client.create_billing_request(
                currency=currency, scheme=scheme, key="request-1"
            )
            again = await client.create_billing_request(
                currency=currency, scheme=scheme, key="request-1"
            )
            flow = await client.create_flow(
                request_id=first.request_id,
                redirect_uri="https://gas.test/back?link=1",
                exit_uri="https://gas.test/back?link=1",
                key="flow-1",
            )
            await bank.approve(flow.authorisation_url)
            done = await client.get_billing_request(first.request_id)
            assert done is not None
            assert done.bank_mandate_id is not None
            mandate = await client.get_mandate(done.bank_mandate_id)
            assert mandate is not None
            assert mandate.bank_account_id is not None
            ending = await client.account_number_ending(mandate.bank_account_id)
            ended = await client.cancel_mandate(done.bank_mandate_id)
            with pytest.raises(BankRefusedError):
                await client.cancel_mandate(done.bank_mandate_id)

        assert again == first
        # The rail of Kazakhstan is instant; SEPA takes its days.
        at_once = {"mock-kz": "active", "sandbox-sepa": "pending_submission"}
        assert mandate.status == at_once[name]
        assert ending is not None
        assert bank.iban.endswith(ending)
        assert ended.status is MandateStatus.CANCELLED

    async def test_pays_once_under_one_key(
        self, start_bank: StartBank, profile: tuple[str, str, str]
    ) -> None:
        """Accepted, then a conflict that leads to the same payment."""
        name, currency, _ = profile
        bank = await start_bank(profile=name)
        mandate = await bank.mandate()
        async with client_of(bank) as client:
            made = await client.create_payment(order(mandate, currency=currency), "key-00001")
            again = await client.create_payment(order(mandate, currency=currency), "key-00001")
            assert isinstance(made, Accepted)
            assert again == Conflict(payment_id=made.payment.payment_id)
            assert await client.get_payment(made.payment.payment_id) == made.payment
            cancelled = await client.cancel_payment(made.payment.payment_id)

        assert made.payment.intent == "intent-500"
        assert cancelled.status is PaymentStatus.CANCELLED

    @pytest.mark.parametrize(
        ("fault", "answer", "made"),
        [
            ("answer_lost", Unknown(reason="connection_lost"), 1),
            ("garbled", Unknown(reason="connection_lost"), 1),
            ("error_before", Unknown(reason="bank_error"), 0),
            ("error_after", Unknown(reason="bank_error"), 1),
            ("bad_gateway", Unknown(reason="bank_error"), 0),
            ("rate_limit", NotExecuted(reason="rate_limited"), 0),
            ("forbidden", Denied(reason="credentials"), 0),
        ],
    )
    async def test_never_claims_to_know_more_than_it_does(
        self, bank: SimulatedBank, fault: str, answer: object, made: int
    ) -> None:
        """Whether the payment was made stands in the bank's books, not in a broken answer."""
        mandate = await bank.mandate()
        await bank.fault(fault, "payments.create")
        async with client_of(bank) as client:
            heard = await client.create_payment(order(mandate), "key-00001")
        books = await bank.books()

        assert len(books["payments"]) == made
        if fault == "garbled":
            assert isinstance(heard, Unknown)
        elif isinstance(heard, NotExecuted):
            # Its minute ends when it ends.
            assert heard.retry_after_s in {None, *range(1, 61)}
            assert replace(heard, retry_after_s=None) == answer
        else:
            assert heard == answer

    async def test_reads_the_reason_of_a_refusal(self, bank: SimulatedBank) -> None:
        """A charge date that is too near, and a mandate that is over."""
        mandate = await bank.mandate()
        await bank.advance(BANK_START + timedelta(days=18, hours=12))
        async with client_of(bank) as client:
            near = await client.create_payment(order(mandate), "key-00001")
            await client.cancel_mandate(mandate)
            over = await client.create_payment(order(mandate), "key-00002")

        assert near == Rejected(reason="validation_failed", causes=("charge_date",))
        assert isinstance(over, Rejected)
        assert over.reason == "mandate_is_inactive"

    async def test_lists_every_payment_of_a_mandate(
        self, bank: SimulatedBank, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Over several pages, and none of another mandate."""
        monkeypatch.setattr(adapter, "PAGE_LIMIT", 2)
        mine, other = await bank.mandate(), await bank.mandate()
        async with client_of(bank) as client:
            for amount in range(1, 6):
                await client.create_payment(order(mine, amount=amount), f"key-mine-{amount}")
            await client.create_payment(order(other), "key-other")
            found = [
                one.amount_minor
                async for one in client.list_payments(
                    bank_mandate_id=mine, created_from=BANK_START - timedelta(days=1)
                )
            ]
            later = [
                one
                async for one in client.list_payments(
                    bank_mandate_id=mine, created_from=datetime(2026, 1, 2, tzinfo=UTC)
                )
            ]
            every = [
                one async for one in client.list_payments(bank_mandate_id=None, created_from=None)
            ]

        assert found == [5, 4, 3, 2, 1]
        assert later == []
        assert len(every) == 6

    async def test_reads_events_from_a_cursor_on(self, bank: SimulatedBank) -> None:
        """The ones just after it, page by page, newest first in each."""
        mandate = await bank.mandate()
        async with client_of(bank) as client:
            start = (await client.list_events(limit=1)).before
            for amount in (1, 2, 3):
                await client.create_payment(order(mandate, amount=amount), f"key-0000{amount}")
            first = await client.list_events(before=start, limit=2)
            second = await client.list_events(before=first.before, limit=2)
            third = await client.list_events(before=second.before, limit=2)

        made = [one.links["payment"] for one in (*first.events[::-1], *second.events[::-1])]
        books = await bank.books()
        assert made == [one["id"] for one in books["payments"]]
        assert third.events == ()

    async def test_finds_out_why_a_payment_failed(self, bank: SimulatedBank) -> None:
        """The payment itself does not say; its event does."""
        mandate = await bank.mandate(given_name="Penniless")
        async with client_of(bank) as client:
            made = await client.create_payment(order(mandate), "key-00001")
            assert isinstance(made, Accepted)
            await bank.advance(BANK_START + timedelta(days=30))
            page = await client.list_events(payment_id=made.payment.payment_id, limit=50)

        failed = [one for one in page.events if one.action == "failed"]
        assert [one.cause for one in failed] == ["insufficient_funds"]
        assert not failed[0].will_attempt_retry
