"""The postman: delivers webhooks to their endpoint, and tries again at growing intervals."""

import asyncio
import json
from collections import Counter
from datetime import timedelta
from typing import Final

import aiohttp
import structlog

from simulators.bank import webhooks
from simulators.bank.clock import stamp
from simulators.bank.faults import Fault, Faults
from simulators.bank.parcels import MEDDLE, SIGNATURE, Parcel, pack
from simulators.bank.store import Document
from simulators.bank.webhooks import Answer, Endpoint
from simulators.bank.world import Bank

OPERATION: Final = "webhooks.deliver"
TIMEOUT_SECONDS: Final = 10.0
# After each failure the next try waits so much longer; after the last nobody tries again.
RETRY_AFTER: Final = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=3),
    timedelta(hours=6),
    timedelta(hours=12),
    timedelta(hours=24),
)
# How long the postman rests between two looks into the outbox, while the system's clock rules.
REST_SECONDS: Final = 0.05
ENDPOINT: Final = "webhook_endpoint"
SILENCE: Final = Answer(code=None, body=None, headers={})

log = structlog.get_logger()


class Postman:
    """One round at a time; what is on its way stands in the bank's books."""

    def __init__(
        self, bank: Bank, faults: Faults, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self._bank = bank
        self._faults = faults
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._walking = asyncio.Lock()
        self.endpoint = _kept(bank)
        bank.posts = self.endpoint is not None

    def post_to(self, endpoint: Endpoint | None) -> None:
        """Tell events to an endpoint from now on, or to nobody; the books remember it."""
        self.endpoint = endpoint
        self._bank.posts = endpoint is not None
        kept = None if endpoint is None else {"url": endpoint.url, "secrets": endpoint.secrets}
        with self._bank.store.transaction():
            self._bank.store.set(ENDPOINT, json.dumps(kept))

    async def walk(self) -> None:
        """Go round after round for as long as the bank is open."""
        async with aiohttp.ClientSession(timeout=self._timeout) as session:
            while True:
                try:
                    counts = await self._round(session)
                except Exception:
                    # A round that breaks must not end the post: the books know what is due.
                    log.exception("webhook.broken")
                    counts = Counter()
                if counts["failed"] or counts["given_up"]:
                    log.info("webhook.round", **counts)
                await asyncio.sleep(REST_SECONDS)

    async def deliver(self) -> Counter[str]:
        """Deliver everything that is due, once; returns what became of it."""
        async with aiohttp.ClientSession(timeout=self._timeout) as session:
            return await self._round(session)

    async def _round(self, session: aiohttp.ClientSession) -> Counter[str]:
        counts: Counter[str] = Counter()
        async with self._walking:
            bank = self._bank
            bank.catch_up(bank.clock.now())
            if self.endpoint is None:
                return counts
            webhooks.gather(bank, self.endpoint)
            for webhook_id, tries in bank.store.due_deliveries(stamp(bank.at)):
                webhook = bank.find(webhooks.KIND, webhook_id)
                counts[await self._hand_over(session, self.endpoint, webhook, tries)] += 1
        return counts

    async def _hand_over(
        self, session: aiohttp.ClientSession, endpoint: Endpoint, webhook: Document, tries: int
    ) -> str:
        """Deliver one webhook as the faults have it; returns what became of it."""
        parcel, fault = pack(webhook, endpoint), self._faults.strike(OPERATION)
        if fault is not None:
            self._meddle(endpoint, fault, parcel)
        if parcel.put_off_seconds is not None:
            self._plan(webhook, timedelta(seconds=parcel.put_off_seconds), tries)
            return "delayed"
        answer = Answer(code=200, body="", headers={})
        if not parcel.lost:
            for _ in range(parcel.copies):
                answer = await self._send(session, webhook["url"], parcel)
            for body, signature in parcel.after:
                stray = Parcel(body=body, signature=signature)
                await self._send(session, webhook["url"], stray)
        return self._settle(webhook, parcel, answer, tries)

    def _meddle(self, endpoint: Endpoint, fault: Fault, parcel: Parcel) -> None:
        if not MEDDLE[fault.name](self._bank, endpoint, fault, parcel):
            fault.fired -= 1

    async def _send(self, session: aiohttp.ClientSession, url: str, parcel: Parcel) -> Answer:
        try:
            async with (
                asyncio.timeout(parcel.hang_up_seconds),
                session.post(
                    url, data=parcel.body, headers=_headers(parcel), allow_redirects=False
                ) as heard,
            ):
                body = (await heard.read()).decode(errors="replace")
                headers = {_text(name): _text(value) for name, value in heard.headers.items()}
                return Answer(code=heard.status, body=body, headers=headers)
        except (aiohttp.ClientError, TimeoutError):
            return SILENCE

    def _settle(self, webhook: Document, parcel: Parcel, answer: Answer, tries: int) -> str:
        """Write down what came back, and when to try again."""
        bank = self._bank
        bank.catch_up(bank.clock.now())
        with bank.store.transaction():
            webhooks.record(bank, webhook, _headers(parcel), answer)
            if answer.accepts or tries >= len(RETRY_AFTER):
                bank.store.end_delivery(webhook["id"])
                return "delivered" if answer.accepts else "given_up"
        self._plan(webhook, RETRY_AFTER[tries], tries + 1)
        return "failed"

    def _plan(self, webhook: Document, wait: timedelta, tries: int) -> None:
        with self._bank.store.transaction():
            due_at = stamp(self._bank.at + wait)
            self._bank.store.plan_delivery(webhook["id"], due_at, tries)


def _headers(parcel: Parcel) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "gocardless-webhook-service/1.1",
        SIGNATURE: parcel.signature,
    }


def _kept(bank: Bank) -> Endpoint | None:
    """Return the endpoint that the books remember."""
    kept = json.loads(bank.store.setting(ENDPOINT) or "null")
    return None if kept is None else Endpoint(url=kept["url"], secrets=tuple(kept["secrets"]))


def _text(heard: str) -> str:
    """Return a header's text with a question mark for every byte that is none."""
    return heard.encode(errors="replace").decode()
