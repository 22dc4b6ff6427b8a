"""Webhooks: events put together, signed, and told to whoever asked to be told."""

import hashlib
import hmac
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from simulators.bank.clock import stamp
from simulators.bank.fields import is_http_url
from simulators.bank.listing import listing
from simulators.bank.operation import Call, Operation
from simulators.bank.store import Document
from simulators.bank.world import Bank, shown

KIND: Final = "webhooks"
EVENTS_MAX: Final = 250
# What is kept of an endpoint's answer: enough to see why it refused.
ANSWER_LENGTH_MAX: Final = 10_000
ANSWER_HEADERS_MAX: Final = 20
# A new secret stands beside the old one while endpoints learn it.
SECRETS_MAX: Final = 2


class BadEndpointError(ValueError):
    """An endpoint that this bank does not post to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where webhooks go and with what they are signed; the first secret signs as a rule.

    :raises BadEndpointError: for an address that is not this machine's, or no secret.
    """

    url: str
    secrets: tuple[str, ...]

    def __post_init__(self) -> None:
        if not is_http_url(self.url) or not _is_loopback(urlsplit(self.url).hostname or ""):
            raise BadEndpointError("webhooks go to an http(s) address of this machine only")
        if not 1 <= len(self.secrets) <= SECRETS_MAX or not all(self.secrets):
            raise BadEndpointError("webhooks are signed with one secret, or two")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an endpoint said; `code` is None when it said nothing in time."""

    code: int | None
    body: str | None
    headers: Mapping[str, str]

    @property
    def accepts(self) -> bool:
        """Say whether the webhook has arrived: any 2xx; a redirect has not."""
        return self.code is not None and 200 <= self.code < 300  # noqa: PLR2004 - all of success


def encode(webhook_id: str, events: list[Document]) -> bytes:
    """Return the body of a webhook: events as the contract shows them, and its own id."""
    whole = {"events": [shown(event) for event in events], "meta": {"webhook_id": webhook_id}}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def sign(body: bytes, secret: str) -> str:
    """Return the signature of a body: HMAC-SHA256 in hex."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def gather(bank: Bank, endpoint: Endpoint) -> int:
    """Put every event of the outbox into a webhook that is due now; returns how many webhooks."""
    made = 0
    while events := bank.store.posted(EVENTS_MAX):
        with bank.store.transaction():
            webhook = bank.create(KIND, _fresh(endpoint))
            body = encode(webhook["id"], events)
            webhook["request_body"] = body.decode()
            bank.store.put(webhook)
            for event in events:
                bank.store.unpost(event["id"])
            bank.store.plan_delivery(webhook["id"], stamp(bank.at), 0)
        made += 1
    return made


def _fresh(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "is_test": False,
        "request_body": None,
        "request_headers": {},
        "response_body": None,
        "response_body_truncated": False,
        "response_code": None,
        "response_headers": {},
        "response_headers_content_truncated": False,
        "response_headers_count_truncated": False,
        "successful": False,
        "url": endpoint.url,
    }


def record(bank: Bank, webhook: Document, headers: Mapping[str, str], answer: Answer) -> None:
    """Write down what was sent and what came back."""
    told = list(answer.headers.items())
    body = answer.body
    webhook["request_headers"] = dict(headers)
    webhook["response_body"] = None if body is None else body[:ANSWER_LENGTH_MAX]
    webhook["response_body_truncated"] = len(body or "") > ANSWER_LENGTH_MAX
    webhook["response_code"] = answer.code
    webhook["response_headers"] = dict(told[:ANSWER_HEADERS_MAX])
    webhook["response_headers_count_truncated"] = len(told) > ANSWER_HEADERS_MAX
    webhook["successful"] = webhook["successful"] or answer.accepts
    bank.store.put(webhook)


def get(bank: Bank, call: Call) -> Document:
    """Return a webhook with what was last answered to it."""
    return shown(bank.find(KIND, call.identity))


def index(bank: Bank, call: Call) -> Document:
    """Return a page of webhooks; there are no test ones here."""
    query = dict(call.query)
    if query.pop("is_test", "false") != "false":
        query["successful"] = "never"
    return listing(bank, KIND, query, ("created_at", "successful"))


def retry(bank: Bank, call: Call) -> Document:
    """Deliver a webhook again, now, whether it had arrived or not."""
    webhook = bank.find(KIND, call.identity)
    call.fields.check()
    bank.store.plan_delivery(webhook["id"], stamp(bank.at), 0)
    return shown(webhook)


OPERATIONS: Final = (
    Operation(name="webhooks.list", method="GET", path="/webhooks", run=index),
    Operation(name="webhooks.get", method="GET", path="/webhooks/{identity}", run=get),
    Operation(
        name="webhooks.retry",
        method="POST",
        path="/webhooks/{identity}/actions/retry",
        run=retry,
    ),
)
