"""The address to which the bank sends what happened: who is believed, what is kept, how fast."""

import asyncio
import io
from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg
import pytest

from billing.bank import Payment
from billing.hear import HearCounts, hear
from billing.io.bank_events import Hints
from billing.io.debits import Debits
from tests.app.api_town import AT, NEW_SECRET, OLD_SECRET, Api, served
from tests.billing.fake_bank import FakeBank
from tests.billing.hook_bodies import body_of, signed

ADDRESS = "/v1/bank/webhooks"
BODY = body_of(
    [{"id": "EV1", "resource_type": "payouts", "action": "paid", "links": {"payout": "PO1"}}]
)
HTML = b"<html><body>502 Bad Gateway</body></html>"


async def post(
    api: Api,
    body: bytes,
    signature: str | None,
    *,
    media_type: str = "application/json",
    more: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Send a webhook as the bank does; return the status, and what kind of problem it met."""
    headers = {"Content-Type": media_type, **(more or {})}
    if signature is not None:
        headers["Webhook-Signature"] = signature
    status, answer = await api.call("POST", ADDRESS, data=body, headers=headers)
    return status, answer.get("type", "")


async def kept(api: Api) -> list[tuple[bytes, int, int]]:
    """Return each body that was kept, who signed it and how often it came."""
    rows = await api.owner.fetch(
        "SELECT body, signed_by, times FROM webhook_delivery ORDER BY received_at, delivery_id"
    )
    return [(row["body"], row["signed_by"], row["times"]) for row in rows]


class TestASignedBody:
    """A body that the bank signed ..."""

    async def test_is_kept_byte_for_byte(self, api: Api) -> None:
        """Also the spaces, which a parser would lose and the signature would miss."""
        spaced = b'\n { "events" : [ ] }\n'
        assert await post(api, spaced, signed(spaced, NEW_SECRET)) == (200, "")

        assert await kept(api) == [(spaced, 1, 1)]

    async def test_may_come_again(self, api: Api) -> None:
        """It is counted; nothing else happens."""
        for repeated in (False, True, True):
            status, answer = await api.call(
                "POST",
                ADDRESS,
                data=BODY,
                headers={
                    "Content-Type": "application/json",
                    "Webhook-Signature": signed(BODY, NEW_SECRET),
                },
            )
            assert (status, answer) == (200, {"repeated": repeated})

        assert await kept(api) == [(BODY, 1, 3)]

    async def test_is_believed_under_the_secret_before(self, api: Api) -> None:
        """While the bank changes over, both are good, and it is seen which was used."""
        assert await post(api, BODY, signed(BODY, OLD_SECRET)) == (200, "")

        assert await kept(api) == [(BODY, 2, 1)]

    async def test_is_not_believed_under_a_secret_that_is_gone(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The change-over has an end."""
        async with served(pool, owner, webhook_secrets=(NEW_SECRET,)) as api:
            refused = await post(api, BODY, signed(BODY, OLD_SECRET))

            assert refused == (498, "/problems/bad-signature")
            assert await kept(api) == []

    async def test_is_kept_whatever_it_says(self, api: Api) -> None:
        """The bank's word is the bank's word; what it means is found out later."""
        assert await post(api, HTML, signed(HTML, NEW_SECRET)) == (200, "")

        assert await kept(api) == [(HTML, 1, 1)]

    async def test_is_answered_while_others_are_worked_on(self, api: Api) -> None:
        """A bank gives us ten seconds; what takes longer is done after the answer."""
        payment = {
            "id": "EV2",
            "resource_type": "payments",
            "action": "confirmed",
            "links": {"payment": "PM1"},
        }
        slow = SlowBank()
        assert await post(api, body_of([payment]), signed(body_of([payment]), NEW_SECRET)) == (
            200,
            "",
        )
        work = asyncio.create_task(
            hear(hints=Hints(api.pool), store=Debits(api.pool), bank=slow, at=AT, limit=9)
        )
        await slow.asked_once.wait()

        assert await post(api, BODY, signed(BODY, NEW_SECRET)) == (200, "")
        assert not work.done()
        slow.go_on.set()
        assert await work == HearCounts(opened=1, unknown=1)


@dataclass
class SlowBank(FakeBank):
    """A bank that thinks about a payment for as long as the test wants."""

    def __post_init__(self) -> None:
        self.asked_once = asyncio.Event()
        self.go_on = asyncio.Event()

    async def get_payment(self, payment_id: str) -> Payment | None:
        """Wait, and find nothing."""
        self.asked.append(payment_id)
        self.asked_once.set()
        await self.go_on.wait()
        return None


class TestAnUnsignedBody:
    """A body that the bank did not sign ..."""

    @pytest.mark.parametrize("body", [BODY, HTML, b"", b"[]", b"{", b"\xff\xfe", b"null"])
    async def test_is_refused_whatever_it_is(self, api: Api, body: bytes) -> None:
        """One answer for all of them: nobody has looked into it."""
        for signature in ("", "0" * 64, signed(body, "another-secret-of-somebody")):
            refused = await post(api, body, signature)
            assert refused == (498, "/problems/bad-signature")
        assert await kept(api) == []

    async def test_may_differ_by_one_bit(self, api: Api) -> None:
        """Damaged on the way, or changed by somebody: the same to us."""
        signature = signed(BODY, NEW_SECRET)
        for place in range(0, len(BODY), 7):
            flipped = bytearray(BODY)
            flipped[place] ^= 1
            assert (await post(api, bytes(flipped), signature))[0] == 498
        assert await kept(api) == []

    async def test_may_be_the_same_json_written_otherwise(self, api: Api) -> None:
        """A proxy that writes bodies anew breaks the signature, and that is seen."""
        compact = BODY.replace(b": ", b":")
        assert (await post(api, compact, signed(BODY, NEW_SECRET)))[0] == 498

    async def test_may_have_no_signature_or_two(self, api: Api) -> None:
        """Two of which one is right are none: who knows which one somebody else looks at."""
        assert (await post(api, BODY, None))[0] == 498
        async with api.session.post(
            api.url + ADDRESS,
            data=BODY,
            headers=[
                ("Content-Type", "application/json"),
                ("Webhook-Signature", signed(BODY, NEW_SECRET)),
                ("Webhook-Signature", "0" * 64),
            ],
        ) as response:
            assert response.status == 498
            assert response.content_type == "application/problem+json"

    async def test_is_every_body_where_there_is_no_secret(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """An installation that was not told a secret believes nobody, not even the empty one."""
        async with served(pool, owner, webhook_secrets=()) as api:
            assert (await post(api, BODY, signed(BODY, "")))[0] == 498

    async def test_is_no_tokens_business(self, api: Api) -> None:
        """An operator's token opens everything of his, and not this."""
        status, _ = await api.call("POST", ADDRESS, token=api.operator, json={"events": []})
        assert status == 498

    async def test_is_not_read_beyond_a_limit(self, api: Api) -> None:
        """A mebibyte, compressed or not, of the kind we announced."""
        large = b"[" + b" " * 1024 * 1024 + b"]"
        headers = {
            "Content-Type": "application/json",
            "Webhook-Signature": signed(large, NEW_SECRET),
        }
        async with api.session.post(
            api.url + ADDRESS, data=io.BytesIO(large), headers=headers
        ) as response:
            assert response.status == 413
        xml = await post(api, BODY, signed(BODY, NEW_SECRET), media_type="text/xml")
        assert xml == (415, "/problems/not-json")
        zipped = {"Content-Encoding": "gzip"}
        assert (await post(api, BODY, signed(BODY, NEW_SECRET), more=zipped))[0] in {400, 415}
        assert await kept(api) == []


class TestFigures:
    """What /metrics says ..."""

    async def test_counts_deliveries_and_what_waits(self, api: Api) -> None:
        """An operator's alarm: refused ones rise, or the oldest grows old."""
        await post(api, BODY, signed(BODY, NEW_SECRET))
        await post(api, BODY, signed(BODY, NEW_SECRET))
        await post(api, BODY, "0" * 64)

        _, page = await api.call("GET", "/metrics", token=api.operator)

        assert 'aqkol_webhook_deliveries_total{repeated="false"} 1.0' in page
        assert 'aqkol_webhook_deliveries_total{repeated="true"} 1.0' in page
        assert "aqkol_webhook_refused_total 1.0" in page
        assert 'aqkol_bank_news_waiting{what="deliveries"} 1.0' in page
        assert "aqkol_bank_news_oldest_seconds 0.0" in page

    async def test_grows_with_age(self, api: Api) -> None:
        """A delivery that nobody opens for an hour."""
        await post(api, BODY, signed(BODY, NEW_SECRET))
        api.clock.advance_to(AT.replace(hour=13))

        _, page = await api.call("GET", "/metrics", token=api.operator)

        assert "aqkol_bank_news_oldest_seconds 3600.0" in page


class TestUnexplainedEvents:
    """Events that nobody explains ..."""

    async def test_are_listed_and_answered(self, api: Api) -> None:
        """By an operator, with a reason and his token's name."""
        await api.owner.execute(
            "INSERT INTO bank_hint (event_id, told, heard_at, look_at, state, trouble)"
            ' VALUES (\'EV7\', \'{"event_id": "EV7", "resource": "payments", "action": "created",'
            ' "links": {"payment": "PM7"}}\', $1, $1, \'asked\', \'unknown_id\')',
            AT,
        )
        _, page = await api.call("GET", "/v1/bank/events/unexplained", token=api.operator)
        assert page == {
            "events": [
                {
                    "event_id": "EV7",
                    "resource": "payments",
                    "action": "created",
                    "links": {"payment": "PM7"},
                    "trouble": "unknown_id",
                    "heard_at": "2026-02-10T12:00:00Z",
                }
            ],
            "next": None,
        }
        answer = {"again": False, "because": "another firm's payment"}

        status, _ = await api.call(
            "POST", "/v1/bank/events/EV7/answer", token=api.operator, json=answer
        )

        assert status == 200
        row = await api.owner.fetchrow("SELECT answered_by, because, state FROM bank_hint")
        assert tuple(row) == ("a test", "another firm's payment", "done")
        again, _ = await api.call(
            "POST", "/v1/bank/events/EV7/answer", token=api.operator, json=answer
        )
        assert again == 404
