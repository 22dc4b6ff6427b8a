"""The public listener: every operation of the contract behind one door, and the hosted pages."""

import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from aiohttp import web

from simulators.bank import (
    balances,
    bank_accounts,
    billing_requests,
    creditors,
    customers,
    errors,
    events,
    flows,
    mandates,
    notifications,
    pages,
    payments,
    payout_items,
    payouts,
    refunds,
    scenarios,
    webhooks,
)
from simulators.bank.door import Door, Handler
from simulators.bank.operation import Operation
from simulators.bank.postman import OPERATION as DELIVERY
from simulators.bank.wire import REQUEST_BYTES_MAX, answer

OPERATIONS: Final[tuple[Operation, ...]] = (
    *balances.OPERATIONS,
    *bank_accounts.OPERATIONS,
    *billing_requests.OPERATIONS,
    *creditors.OPERATIONS,
    *customers.OPERATIONS,
    *events.OPERATIONS,
    *flows.OPERATIONS,
    *mandates.OPERATIONS,
    *notifications.OPERATIONS,
    *payments.OPERATIONS,
    *payout_items.OPERATIONS,
    *payouts.OPERATIONS,
    *refunds.OPERATIONS,
    *scenarios.OPERATIONS,
    *webhooks.OPERATIONS,
)

# What no operation could refuse, in words of its own each.
REASONS: Final[Mapping[int, str]] = MappingProxyType(
    {404: "path_not_found", 405: "method_not_allowed", 413: "request_entity_too_large"}
)
STATEMENT: Final = "statement.read"
# What a fault may strike: every operation, the bank's own deliveries, and the statement.
TRAITS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {operation.name: operation.traits for operation in OPERATIONS}
    | {DELIVERY: frozenset({"delivers"}), STATEMENT: frozenset({"states"})}
)


@web.middleware
async def _in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn the library's own refusals (no such path, wrong method, too large) into envelopes."""
    try:
        return await handler(request)
    except web.HTTPClientError as refusal:
        if request.path.startswith("/flow/"):
            raise
        reason = REASONS.get(refusal.status, "bad_request")
        error = errors.invalid_usage(
            refusal.status, reason, refusal.reason, f"{request.method} {request.path}"
        )
        return answer(refusal.status, error.envelope(str(uuid.uuid4())))


def public_app(door: Door) -> web.Application:
    """Return the application of the public listener."""
    app = web.Application(client_max_size=REQUEST_BYTES_MAX, middlewares=[_in_json])
    for operation in OPERATIONS:
        app.router.add_route(operation.method, operation.path, door.handler(operation))
    pages.mount(app, door.bank)
    return app
