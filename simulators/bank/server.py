"""The public listener: who asks, faults, idempotency, one transaction, one answer."""

import asyncio
import hmac
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime
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
)
from simulators.bank.faults import Fault, Faults
from simulators.bank.fields import Fields
from simulators.bank.operation import Call, Operation
from simulators.bank.store import Document
from simulators.bank.wire import REQUEST_BYTES_MAX, answer, parse_json
from simulators.bank.world import Bank

VERSION: Final = "2015-07-06"
KEY_LENGTH_MAX: Final = 255
# The contract's allowance per minute; this bank shows it, and refuses only by fault.
RATE_LIMIT: Final = 1000
BAD_GATEWAY: Final = "<html><body><h1>502 Bad Gateway</h1></body></html>\n"

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
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What stands between the network and the bank."""

    bank: Bank
    faults: Faults
    token: str

    def handler(self, operation: Operation) -> Handler:
        """Return the aiohttp handler of one operation."""

        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._serve(operation, request)

        return handle

    async def _serve(self, operation: Operation, request: web.Request) -> web.StreamResponse:
        request_id = str(uuid.uuid4())
        fault: Fault | None = None
        try:
            self._admit(request)
            body = await request.read()
            fault = self.faults.strike(operation.name)
            if fault is not None:
                early = _refuse_early(fault)
                if early is not None:
                    return early
            status, document = self._run(operation, request, body)
        except errors.BankError as refusal:
            status, document = refusal.code, refusal.envelope(request_id)
        if fault is not None:
            spoiled = await _spoil(fault, request, request_id, document)
            if spoiled is not None:
                return spoiled
        headers = self._headers(request_id, remaining=0 if status == 429 else RATE_LIMIT)  # noqa: PLR2004
        if document is None:
            return web.Response(status=status, headers=headers)
        return answer(status, document, headers)

    def _headers(self, request_id: str, *, remaining: int) -> dict[str, str]:
        reset_at = self.bank.at + timedelta(minutes=1)
        return {
            "ratelimit-limit": str(RATE_LIMIT),
            "ratelimit-remaining": str(remaining),
            "ratelimit-reset": format_datetime(reset_at, usegmt=True),
            "x-request-id": request_id,
        }

    def _admit(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
            raise errors.unauthorized()
        version = request.headers.get("GoCardless-Version")
        if version is None:
            raise errors.invalid_usage(
                400, "missing_version_header", "Version header missing", "GoCardless-Version"
            )
        if version != VERSION:
            raise errors.invalid_usage(
                400, "version_not_found", "Version not found", f"this bank speaks {VERSION}"
            )

    def _run(
        self, operation: Operation, request: web.Request, body: bytes
    ) -> tuple[int, Document | None]:
        """Carry the operation out in one transaction and return status and envelope."""
        key = request.headers.get("Idempotency-Key") if operation.creates else None
        call = Call(
            identity=request.match_info.get("identity", ""),
            fields=_fields(operation, body),
            query=request.query,
        )
        bank = self.bank
        bank.catch_up(bank.clock.now())
        with bank.store.transaction():
            if key is not None:
                _check_key(bank, operation, key)
            result = operation.run(bank, call)
            if key is not None:
                assert result is not None, "a create returns what it created"
                bank.store.remember_key(operation.name, key, result["id"])
        if result is None:
            return 204, None
        envelope = result if operation.lists else {operation.kind: result}
        return (201 if operation.creates else 200), envelope


def _fields(operation: Operation, body: bytes) -> Fields:
    """Return what stands inside the envelope; an action may come without one."""
    if operation.method in {"GET", "DELETE"}:
        return Fields({}, "")
    try:
        document = parse_json(body) if body else None
    except ValueError as error:
        raise errors.bad_document("The body is not JSON.") from error
    name = operation.envelope
    if document is None and name == "data":
        document = {}
    if not isinstance(document, dict):
        raise errors.bad_document("Root element must be an object.")
    inside = document.get(name, {} if name == "data" else None)
    if not isinstance(inside, dict) or set(document) - {name}:
        raise errors.bad_document(f"Root element must hold one object named {name}.")
    return Fields(inside, f"/{name}")


def _check_key(bank: Bank, operation: Operation, key: str) -> None:
    if not 0 < len(key) <= KEY_LENGTH_MAX:
        raise errors.invalid_usage(
            400, "invalid_idempotency_key", "Invalid idempotency key", "it is empty or too long"
        )
    made = bank.store.recall_key(operation.name, key)
    if made is not None:
        raise errors.conflict(made)


def _refuse_early(fault: Fault) -> web.Response | None:
    """Return the answer of a fault that strikes before anything is done."""
    if fault.name == "bad_gateway":
        return web.Response(status=502, text=BAD_GATEWAY, content_type="text/html")
    if fault.name == "error_before":
        raise errors.internal_error()
    if fault.name == "forbidden":
        raise errors.forbidden()
    if fault.name == "rate_limit":
        raise errors.rate_limited()
    return None


async def _spoil(
    fault: Fault, request: web.Request, request_id: str, document: Document | None
) -> web.StreamResponse | None:
    """Spoil the answer of a request that was carried out, or return None to let it pass."""
    if fault.name == "delay":
        await asyncio.sleep(fault.seconds)
    if fault.name == "error_after":
        refusal = errors.internal_error()
        return answer(refusal.code, refusal.envelope(request_id))
    if fault.name == "garbled":
        whole = answer(200, document).body
        assert isinstance(whole, bytes), "an answer is made of bytes"
        half = whole[: len(whole) // 2]
        return web.Response(status=200, body=half, content_type="application/json")
    if fault.name == "answer_lost":
        assert request.transport is not None, "the client waits for the answer"
        request.transport.abort()
        return web.Response(status=200)
    return None


@web.middleware
async def _in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn the library's own refusals (no such path, wrong method, too large) into envelopes."""
    try:
        return await handler(request)
    except web.HTTPClientError as refusal:
        if request.path.startswith("/flow/"):
            raise
        error = errors.invalid_usage(
            refusal.status, "not_found", refusal.reason, f"{request.method} {request.path}"
        )
        return answer(refusal.status, error.envelope(str(uuid.uuid4())))


def public_app(bank: Bank, faults: Faults, token: str) -> web.Application:
    """Return the application of the public listener."""
    app = web.Application(client_max_size=REQUEST_BYTES_MAX, middlewares=[_in_json])
    door = Door(bank=bank, faults=faults, token=token)
    for operation in OPERATIONS:
        app.router.add_route(operation.method, operation.path, door.handler(operation))
    pages.mount(app, bank)
    return app
