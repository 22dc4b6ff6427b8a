"""Webhooks: signed, batched, tried again by the bank's clock, and everything that befalls them."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from gocardless_pro import webhooks
from gocardless_pro.errors import InvalidSignatureError

from simulators.bank import command
from simulators.bank.webhooks import BadEndpointError
from tests.fixtures_bank import BANK_START, SimulatedBank, StartBank

SECRET: Final = "first-secret"
NEXT_SECRET: Final = "next-secret"


@dataclass(slots=True)
class Endpoint:
    """A service's end of the line: it keeps every delivery and answers what it is told to."""

    url: str = ""
    heard: list[tuple[bytes, str]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    redirect: str = ""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    free: asyncio.Event | None = None
    done: int = 0

    async def take(self, request: web.Request) -> web.Response:
        """Take one delivery in."""
        self.heard.append((await request.read(), request.headers["Webhook-Signature"]))
        self.arrived.set()
        if self.free is not None:
            await self.free.wait()
        self.done += 1
        status = self.answers.pop(0) if self.answers else 204
        headers = {"Location": self.redirect} if self.redirect else {}
        return web.Response(status=status, headers=headers)

    def bodies(self) -> list[dict[str, Any]]:
        """Return what was heard, delivery by delivery."""
        return [json.loads(body) for body, _ in self.heard]

    def events(self) -> list[str]:
        """Return the ids of all events heard, in their order."""
        return [event["id"] for body in self.bodies() for event in body["events"]]


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    """Return an endpoint that listens."""
    found = Endpoint()
    app = web.Application(client_max_size=8 * 1024 * 1024)
    app.router.add_post("/webhooks", found.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks"
    yield found
    await runner.cleanup()


@pytest.fixture
def bank(near_bank: SimulatedBank) -> SimulatedBank:
    """Return a bank in this process: what stands on its sockets is what is tested here."""
    return near_bank


@pytest.fixture
async def told(bank: SimulatedBank, endpoint: Endpoint) -> SimulatedBank:
    """Return a bank that tells its events to the endpoint, when a conductor says so."""
    secrets = [SECRET, NEXT_SECRET]
    await bank.control("POST", "/webhooks", {"url": endpoint.url, "secrets": secrets})
    return bank


async def deliver(bank: SimulatedBank) -> dict[str, int]:
    """Let the postman walk once; returns what became of the deliveries."""
    return await bank.control("POST", "/webhooks/deliver")


async def every_event(bank: SimulatedBank) -> list[str]:
    """Return the ids of all events that the list has, oldest first."""
    _, page = await bank.api("GET", "/events?limit=500")
    return [event["id"] for event in reversed(page["events"])]


async def pay(bank: SimulatedBank, mandate_id: str) -> str:
    """Make one payment, which is one event."""
    asked = {"amount": 1, "currency": "KZT", "links": {"mandate": mandate_id}}
    _, made = await bank.api("POST", "/payments", {"payments": asked})
    payment_id: str = made["payments"]["id"]
    return payment_id


def is_signed(body: bytes, signature: str, secret: str = SECRET) -> bool:
    """Say whether a body bears the signature of a secret."""
    right = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(right, signature)


class TestDelivery:
    """A delivery ..."""

    async def test_tells_every_event_once_in_order(
        self, told: SimulatedBank, endpoint: Endpoint
    ) -> None:
        """The same events as the list, with the same contents, and never twice."""
        mandate_id = await told.mandate()
        first = await deliver(told)
        await pay(told, mandate_id)
        second = await deliver(told)
        third = await deliver(told)
        _, page = await told.api("GET", "/events?limit=500")

        assert (first, second, third) == ({"delivered": 1}, {"delivered": 1}, {})
        assert endpoint.events() == await every_event(told)
        told_of = [event for body in endpoint.bodies() for event in body["events"]]
        assert told_of == list(reversed(page["events"]))

    async def test_is_signed_as_the_official_client_checks(
        self, told: SimulatedBank, endpoint: Endpoint
    ) -> None:
        """Over the very bytes: the client's own words, and one flipped byte is refused."""
        await told.mandate()
        await deliver(told)
        ((body, signature),) = endpoint.heard
        _, listed = await told.api("GET", "/webhooks")

        parsed = webhooks.parse_with_meta(body, SECRET, signature)
        events = webhooks.parse(body, SECRET, signature)
        assert parsed.webhook_id == listed["webhooks"][0]["id"]
        assert [event.id for event in parsed.events] == [event.id for event in events]
        assert [event.id for event in events] == await every_event(told)
        assert len(signature) == 64
        for place in (0, len(body) // 2, len(body) - 1):
            flipped = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
            with pytest.raises(InvalidSignatureError):
                webhooks.parse_with_meta(flipped, SECRET, signature)

    async def test_holds_at_most_250_events(self, told: SimulatedBank, endpoint: Endpoint) -> None:
        """The contract's batch: a month that ends at once comes in several webhooks."""
        mandate_id = await told.mandate()
        for _ in range(70):
            await pay(told, mandate_id)
        await told.advance(BANK_START + timedelta(days=20))

        counts = await deliver(told)

        sizes = [len(body["events"]) for body in endpoint.bodies()]
        events = await told.books()
        assert counts == {"delivered": len(sizes)}
        assert sizes[:-1] == [250] * (len(sizes) - 1)
        assert sum(sizes) == events["events"] > 250
        assert len(set(endpoint.events())) == events["events"]

    async def test_is_not_made_where_nobody_asked(self, bank: SimulatedBank) -> None:
        """A bank without an endpoint keeps no outbox that grows for ever."""
        await bank.mandate()

        assert await deliver(bank) == {}
        assert await bank.control("GET", "/webhooks") == {
            "url": None,
            "events_waiting": 0,
            "webhooks_waiting": 0,
        }

    async def test_may_come_before_the_answer(
        self, told: SimulatedBank, endpoint: Endpoint
    ) -> None:
        """The event of a payment whose POST has not been answered yet."""
        mandate_id = await told.mandate()
        await deliver(told)
        await told.fault("delay", "payments.create", seconds=60)
        asked = asyncio.create_task(pay(told, mandate_id))
        while len(endpoint.heard) < 2:
            await deliver(told)
        event = endpoint.bodies()[1]["events"][0]

        assert not asked.done()
        await told.heal()
        assert event["links"]["payment"] == await asked


class TestRetry:
    """A webhook that did not arrive ..."""

    @pytest.mark.parametrize("status", [498, 500, 301, 404])
    async def test_is_tried_eight_times_more_and_given_up(
        self, told: SimulatedBank, endpoint: Endpoint, status: int
    ) -> None:
        """At growing intervals of the bank's clock; anything but 2xx is a failure."""
        endpoint.answers = [status] * 9
        endpoint.redirect = endpoint.url if status == 301 else ""
        await told.mandate()
        waits = [
            timedelta(minutes=1),
            timedelta(minutes=5),
            timedelta(minutes=15),
            timedelta(hours=1),
            timedelta(hours=3),
            timedelta(hours=6),
            timedelta(hours=12),
            timedelta(hours=24),
        ]
        at = BANK_START
        outcomes = [await deliver(told)]
        for wait in waits:
            await told.advance(at + wait - timedelta(seconds=1))
            assert await deliver(told) == {}
            at += wait
            await told.advance(at)
            outcomes.append(await deliver(told))
        await told.advance(at + timedelta(days=30))

        assert outcomes == [{"failed": 1}] * 8 + [{"given_up": 1}]
        assert await deliver(told) == {}
        assert len(endpoint.heard) == 9
        assert len(set(endpoint.heard)) == 1
        _, page = await told.api("GET", "/webhooks?successful=false")
        assert [webhook["response_code"] for webhook in page["webhooks"]] == [status]

    async def test_survives_the_death_of_the_bank(
        self, start_bank: StartBank, endpoint: Endpoint
    ) -> None:
        """Events in the outbox and webhooks on their way stand in the file."""
        told = await start_bank()
        await told.control("POST", "/webhooks", {"url": endpoint.url, "secrets": [SECRET]})
        endpoint.answers = [500]
        mandate_id = await told.mandate()
        await deliver(told)
        await pay(told, mandate_id)
        await told.kill()
        await told.start()
        waiting = await told.control("GET", "/webhooks")
        await told.advance(BANK_START + timedelta(minutes=1))

        counts = await deliver(told)

        assert (waiting["events_waiting"], waiting["webhooks_waiting"]) == (1, 1)
        assert counts == {"delivered": 2}
        assert sorted(set(endpoint.events())) == sorted(await every_event(told))

    async def test_is_tried_again_when_nobody_listened(
        self, bank: SimulatedBank, endpoint: Endpoint
    ) -> None:
        """A refused connection is a failure like another, and loses no event."""
        closed = endpoint.url.replace("/webhooks", "").rsplit(":", 1)[0] + ":1/webhooks"
        await bank.control("POST", "/webhooks", {"url": closed, "secrets": [SECRET]})
        await bank.mandate()

        assert await deliver(bank) == {"failed": 1}
        _, page = await bank.api("GET", "/webhooks")
        (webhook,) = page["webhooks"]
        assert (webhook["response_code"], webhook["response_body"]) == (None, None)

    async def test_waits_no_longer_than_its_limit(
        self, open_near_bank: StartBank, endpoint: Endpoint
    ) -> None:
        """An endpoint that thinks for too long is told again, though it goes on thinking."""
        bank = await open_near_bank(more=("--webhook-timeout", "2"))
        await bank.control("POST", "/webhooks", {"url": endpoint.url, "secrets": [SECRET]})
        endpoint.free = asyncio.Event()
        await bank.mandate()

        assert await deliver(bank) == {"failed": 1}
        endpoint.free.set()
        await bank.advance(BANK_START + timedelta(minutes=1))
        assert await deliver(bank) == {"delivered": 1}
        assert endpoint.heard[0] == endpoint.heard[1]
        assert endpoint.done == 2

    async def test_is_delivered_again_at_the_clients_wish(
        self, told: SimulatedBank, endpoint: Endpoint
    ) -> None:
        """Arrived or not: the same body, under the same id."""
        await told.mandate()
        await deliver(told)
        _, page = await told.api("GET", "/webhooks?successful=true")
        webhook_id = page["webhooks"][0]["id"]

        status, again = await told.api("POST", f"/webhooks/{webhook_id}/actions/retry")
        counts = await deliver(told)

        assert (status, again["webhooks"]["id"]) == (200, webhook_id)
        assert counts == {"delivered": 1}
        assert endpoint.heard[0] == endpoint.heard[1]

    async def test_can_be_looked_at(self, told: SimulatedBank, endpoint: Endpoint) -> None:
        """What was sent and what was answered, for whoever looks for a lost event."""
        endpoint.answers = [498]
        await told.mandate()
        await deliver(told)
        _, page = await told.api("GET", "/webhooks?is_test=false")
        webhook_id = page["webhooks"][0]["id"]
        _, found = await told.api("GET", f"/webhooks/{webhook_id}")
        _, tests = await told.api("GET", "/webhooks?is_test=true")

        webhook = found["webhooks"]
        body, signature = endpoint.heard[0]
        assert webhook_id.startswith("WB")
        assert webhook["request_body"] == body.decode()
        assert webhook["request_headers"]["Webhook-Signature"] == signature
        assert (webhook["response_code"], webhook["successful"]) == (498, False)
        assert webhook["url"] == endpoint.url
        assert tests["webhooks"] == []

    async def test_can_be_looked_at_whatever_the_endpoint_said(self, bank: SimulatedBank) -> None:
        """Bytes that are no text, in a header of one answer, must not break the list for ever."""

        async def mumble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(
                b"HTTP/1.1 204 No Content\r\nX-Desk: \xff\xe9\r\nConnection: close\r\n\r\n"
            )
            writer.close()

        async with await asyncio.start_server(mumble, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            wanted = {"url": f"http://127.0.0.1:{port}/", "secrets": [SECRET]}
            await bank.control("POST", "/webhooks", wanted)
            await bank.mandate()
            assert await deliver(bank) == {"delivered": 1}

        status, page = await bank.api("GET", "/webhooks")

        assert status == 200
        assert page["webhooks"][0]["response_headers"]["X-Desk"] == "??"


class TestFault:
    """A fault of a delivery ..."""

    async def test_lost(self, told: SimulatedBank, endpoint: Endpoint) -> None:
        """The bank believes it arrived: only a reader of the list ever learns."""
        await told.mandate()
        await told.fault("webhook_lost")

        assert await deliver(told) == {"delivered": 1}
        assert endpoint.heard == []
        await told.advance(BANK_START + timedelta(days=10))
        assert await deliver(told) == {}
        assert len(await every_event(told)) > 0

    async def test_delayed(self, told: SimulatedBank, endpoint: Endpoint) -> None:
        """The next webhook overtakes it."""
        mandate_id = await told.mandate()
        await told.fault("webhook_delayed", seconds=600)
        late = await every_event(told)
        assert await deliver(told) == {"delayed": 1}
        await pay(told, mandate_id)
        assert await deliver(told) == {"delivered": 1}
        await told.advance(BANK_START + timedelta(seconds=600))
        assert await deliver(told) == {"delivered": 1}

        assert [event for event in endpoint.events() if event in late] == endpoint.events()[1:]

    async def test_duplicated(self, told: SimulatedBank, endpoint: Endpoint) -> None:
        """The same delivery again and again; every one of them signed rightly."""
        await told.mandate()
        await told.fault("webhook_duplicated", copies=3)
        await deliver(told)

        assert len(endpoint.heard) == 4
        assert len(set(endpoint.heard)) == 1

    async def test_replayed(self, told: SimulatedBank, endpoint: Endpoint) -> None:
        """A captured delivery is good for ever: the signature bears no time."""
        mandate_id = await told.mandate()
        await deliver(told)
        await told.advance(BANK_START + timedelta(days=31))
        await pay(told, mandate_id)
        await told.fault("webhook_replayed")
        await deliver(told)

        assert len(endpoint.heard) == 3
        assert endpoint.heard[2] == endpoint.heard[0] != endpoint.heard[1]

    async def test_shuffled(self, told: SimulatedBank, endpoint: Endpoint) -> None:
        """Newest first, and signed so: order is no promise of the contract."""
        await told.mandate()
        await told.fault("webhook_shuffled")
        await deliver(told)

        assert endpoint.events() == list(reversed(await every_event(told)))
        assert is_signed(*endpoint.heard[0])

    async def test_unknown_id(self, told: SimulatedBank, endpoint: Endpoint) -> None:
        """A well signed event about a payment that a GET does not find."""
        await told.mandate()
        await told.fault("webhook_unknown_id")
        await deliver(told)
        stranger = endpoint.bodies()[0]["events"][-1]
        status, _ = await told.api("GET", f"/payments/{stranger['links']['payment']}")

        assert is_signed(*endpoint.heard[0])
        assert endpoint.events()[:-1] == await every_event(told)
        assert status == 404

    async def test_reencoded(self, told: SimulatedBank, endpoint: Endpoint) -> None:
        """The same JSON and another body: who verifies what he has parsed is fooled."""
        await told.mandate()
        await told.fault("webhook_reencoded")
        await deliver(told)
        _, page = await told.api("GET", "/webhooks")

        body, signature = endpoint.heard[0]
        assert json.loads(body) == json.loads(page["webhooks"][0]["request_body"])
        assert not is_signed(body, signature)

    async def test_forged(self, told: SimulatedBank, endpoint: Endpoint) -> None:
        """Refused, and tried again with the right signature."""
        endpoint.answers = [498, 204]
        await told.mandate()
        await told.fault("webhook_forged")
        assert await deliver(told) == {"failed": 1}
        await told.advance(BANK_START + timedelta(minutes=1))
        assert await deliver(told) == {"delivered": 1}

        assert [is_signed(*delivery) for delivery in endpoint.heard] == [False, True]

    async def test_second_secret(self, told: SimulatedBank, endpoint: Endpoint) -> None:
        """During a rotation either secret may have signed."""
        await told.mandate()
        await told.fault("webhook_second_secret")
        await deliver(told)

        assert not is_signed(*endpoint.heard[0])
        assert is_signed(*endpoint.heard[0], secret=NEXT_SECRET)

    async def test_impatient(self, told: SimulatedBank, endpoint: Endpoint) -> None:
        """The bank sends it again while the endpoint is still at work on the first."""
        endpoint.free = asyncio.Event()
        await told.mandate()
        await told.fault("webhook_impatient", seconds=2)

        assert await deliver(told) == {"failed": 1}
        assert (len(endpoint.heard), endpoint.done) == (1, 0)
        await told.advance(BANK_START + timedelta(minutes=1))
        again = asyncio.create_task(deliver(told))
        while len(endpoint.heard) < 2:
            await asyncio.wait({again}, timeout=0.01)
        assert endpoint.done == 0
        endpoint.free.set()
        assert await again == {"delivered": 1}

    async def test_that_found_nothing_is_not_counted(
        self, bank: SimulatedBank, endpoint: Endpoint
    ) -> None:
        """With one secret there is no second, and the first webhook replays none."""
        await bank.control("POST", "/webhooks", {"url": endpoint.url, "secrets": [SECRET]})
        await bank.mandate()
        await bank.fault("webhook_second_secret")
        await deliver(bank)

        assert (await bank.faults())[0]["fired"] == 0

    async def test_strikes_no_request(self, told: SimulatedBank) -> None:
        """A fault of the post aimed at everything leaves the door alone."""
        await told.fault("webhook_lost", percent=100)
        await told.mandate()

        assert (await told.faults())[0]["fired"] == 0


class TestEndpoint:
    """An endpoint ..."""

    @pytest.mark.parametrize(
        "wrong",
        [
            {"url": "http://192.0.2.1/webhooks", "secrets": ["s"]},
            {"url": "http://bank.example/webhooks", "secrets": ["s"]},
            {"url": "http://127.0.0.1.example/webhooks", "secrets": ["s"]},
            {"url": "ftp://127.0.0.1/webhooks", "secrets": ["s"]},
            {"url": "http://127.0.0.1/webhooks", "secrets": []},
            {"url": "http://127.0.0.1/webhooks", "secrets": [""]},
            {"url": "http://127.0.0.1/webhooks", "secrets": ["a", "b", "c"]},
            {"url": "http://127.0.0.1/webhooks", "secrets": "ab"},
            {"url": "http://127.0.0.1/webhooks"},
            {},
        ],
        ids=str,
    )
    async def test_is_of_this_machine_and_has_a_secret(
        self, shared_bank: SimulatedBank, wrong: dict[str, Any]
    ) -> None:
        """A simulated bank must not post to strangers, nor post what nobody can check."""
        async with shared_bank.session.post(
            shared_bank.control_url + "/webhooks", json=wrong
        ) as answer:
            assert answer.status == 422
        assert (await shared_bank.control("GET", "/webhooks"))["url"] is None

    async def test_can_ask_to_be_left_alone(self, told: SimulatedBank, endpoint: Endpoint) -> None:
        """What was to be told before is told when somebody asks again."""
        await told.mandate()
        await told.control("POST", "/webhooks", {"url": None})
        assert await deliver(told) == {}
        await told.control("POST", "/webhooks", {"url": endpoint.url, "secrets": [SECRET]})

        assert await deliver(told) == {"delivered": 1}

    async def test_is_named_on_the_command_line_and_told_by_itself(
        self, start_bank: StartBank, endpoint: Endpoint, tmp_path: Path
    ) -> None:
        """Beside a real service nobody conducts the post: the system's clock rules."""
        file = tmp_path / "secrets"
        file.write_text(f"{SECRET}\n{NEXT_SECRET}\n")
        bank = await start_bank(now=None)
        await bank.stop()
        bank.arguments += ["--webhook-url", endpoint.url, "--webhook-secret-file", str(file)]
        await bank.start()
        await bank.mandate()
        expected = await every_event(bank)
        async with asyncio.timeout(20):
            while endpoint.events() != expected:
                endpoint.arrived.clear()
                await endpoint.arrived.wait()

        assert all(is_signed(*delivery) for delivery in endpoint.heard)


class TestSecrets:
    """The secrets of an endpoint ..."""

    def test_come_from_a_file_or_the_environment(self, tmp_path: Path) -> None:
        """Never from the command line, which everybody on the machine can read."""
        file = tmp_path / "secrets"
        file.write_text("one\ntwo\n")
        words = ["--state", "unused", "--webhook-url", "http://localhost:1/webhooks"]
        from_file = command.arguments([*words, "--webhook-secret-file", str(file)])
        bare = command.arguments(words)

        found = command.endpoint(from_file, {"BANK_WEBHOOK_SECRETS": "three"})
        other = command.endpoint(bare, {"BANK_WEBHOOK_SECRETS": "three"})

        assert (found and found.secrets, other and other.secrets) == (("one", "two"), ("three",))
        assert command.endpoint(command.arguments(["--state", "unused"]), {}) is None
        with pytest.raises(BadEndpointError):
            command.endpoint(bare, {})


class TestConcurrency:
    """Two rounds at once ..."""

    async def test_deliver_nothing_twice(self, told: SimulatedBank, endpoint: Endpoint) -> None:
        """While events are written and several conductors send the postman out."""
        mandate_id = await told.mandate()
        tasks: list[Callable[[], Awaitable[object]]] = [
            lambda: pay(told, mandate_id),
            lambda: deliver(told),
        ]
        await asyncio.gather(*(task() for _ in range(30) for task in tasks))
        await deliver(told)

        assert endpoint.events() == await every_event(told)
