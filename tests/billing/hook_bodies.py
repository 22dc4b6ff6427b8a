"""Bodies of webhooks, as the bank writes and signs them."""

import hashlib
import hmac
import json
from collections.abc import Iterable
from typing import Any

from billing.bank import BankEvent


def told(event: BankEvent) -> dict[str, Any]:
    """Write one event as the bank does, with fields that we do not read."""
    return {
        "id": event.event_id,
        "created_at": "2026-02-22T04:00:00.000Z",
        "resource_type": event.resource,
        "action": event.action,
        "links": dict(event.links),
        "details": {"origin": "bank", "cause": event.cause, "description": "words"},
        "metadata": {},
        "source": {"name": "bank", "type": "app"},
    }


def body_of(events: Iterable[object], *, webhook_id: str = "WB1") -> bytes:
    """Write a webhook; what is not an event of ours is put in as it is."""
    written = [told(one) if isinstance(one, BankEvent) else one for one in events]
    return json.dumps({"events": written, "meta": {"webhook_id": webhook_id}}).encode()


def signed(body: bytes, secret: str) -> str:
    """Sign a body as the bank's documentation says, with nothing of ours."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
