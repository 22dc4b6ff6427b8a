"""The way of a request: who asks, faults, idempotency, one transaction, one answer."""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from typing import Final

from aiohttp import web

from simulators.bank import errors
from simulators.bank.clock import stamp
from simulators.bank.early import EARLY, Struck, Turns
from simulators.bank.faults import Faults
from simulators.bank.fields import Fields
from simulators.bank.listing import bad_parameter
from simulators.bank.operation import Call, Operation
from simulators.bank.pace import Pace
from simulators.bank.store import Document
from simulators.bank.tokens import Tokens
from simulators.bank.twists import TWISTS
from simulators.bank.wire import JSON, Text, answer, parse_json
from simulators.bank.wire_faults import SPOIL
from simulators.bank.world import Bank

VERSION: Final = "2015-07-06"
KEY_LENGTH_MAX: Final = 255
# The contract promises to know an idempotency key for so long.
KEY_DAYS: Final = 30

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What stands between the network and the bank."""

    bank: Bank
    faults: Faults
    tokens: Tokens
    pace: Pace
    turns: Turns = field(default_factory=Turns)

    def handler(self, operation: Operation) -> Handler:
        """Return the aiohttp handler of one operation."""

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                return await self._serve(operation, request)
            finally:
                self.turns.ended()

        return handle

    async def _serve(self, operation: Operation, request: web.Request) -> web.StreamResponse:
        request_id = str(uuid.uuid4())
        struck: Struck | None = None
        try:
            self._admit(operation, request)
            struck = self._strike(operation, request)
            if struck is not None and struck.fault.name in EARLY:
                early = await EARLY[struck.fault.name](struck)
                if early is not None:
                    return early
            status, document = self._carry_out(operation, request, await request.read(), struck)
            if struck is not None and document is not None:
                document = self._twist(struck, document)
        except errors.BankError as refusal:
            status, document = refusal.code, refusal.envelope(request_id)
        response = self._response(request_id, status, document, struck)
        if struck is not None and struck.fault.name in SPOIL:
            return await SPOIL[struck.fault.name](struck, response)
        return response

    def _admit(self, operation: Operation, request: web.Request) -> None:
        self.tokens.admit(request.headers.get("Authorization", ""), reads=operation.reads)
        version = request.headers.get("GoCardless-Version")
        if version is None:
            raise errors.invalid_usage(
                400, "missing_version_header", "Version header missing", "GoCardless-Version"
            )
        if version != VERSION:
            raise errors.invalid_usage(
                400, "version_not_found", "Version not found", f"this bank speaks {VERSION}"
            )
        self.pace.take(self.bank.clock.now())

    def _strike(self, operation: Operation, request: web.Request) -> Struck | None:
        fault = self.faults.strike(operation.name)
        if fault is None:
            return None
        return Struck(
            bank=self.bank,
            faults=self.faults,
            turns=self.turns,
            fault=fault,
            operation=operation,
            request=request,
        )

    def _carry_out(
        self, operation: Operation, request: web.Request, body: bytes, struck: Struck | None
    ) -> tuple[int, Document | Text | None]:
        """Carry the operation out as the fault of this moment has it, once as a rule."""
        fault = struck.fault if struck is not None else None
        store = self.bank.store
        self.bank.catch_up(self.bank.clock.now())
        with ExitStack() as stack:
            if fault is not None and fault.name == "stale_read":
                lag = timedelta(seconds=fault.seconds)
                stack.enter_context(store.seen_until(stamp(self.bank.at - lag)))
            if fault is not None and fault.name == "page_shift":
                stack.enter_context(store.shifted())
            if fault is not None and fault.name == "key_forgotten":
                self._forget_key(operation, request)
            if fault is not None and fault.name == "delivered_twice":
                self._run(operation, request, body)
            return self._run(operation, request, body)

    def _forget_key(self, operation: Operation, request: web.Request) -> None:
        key = request.headers.get("Idempotency-Key", "")
        with self.bank.store.transaction():
            self.bank.store.forget_key(operation.name, key)

    def _run(
        self, operation: Operation, request: web.Request, body: bytes
    ) -> tuple[int, Document | Text | None]:
        """Carry the operation out in one transaction and return status and envelope."""
        key = request.headers.get("Idempotency-Key") if operation.creates else None
        call = Call(
            identity=request.match_info.get("identity", ""),
            fields=_fields(operation, request, body),
            query=_query(request),
        )
        bank = self.bank
        with bank.store.transaction():
            if key is not None:
                _check_key(bank, operation, key)
            result = operation.run(bank, call)
            if key is not None:
                assert isinstance(result, dict), "a create returns what it created"
                bank.store.remember_key(operation.name, key, result["id"], stamp(bank.at))
        if result is None:
            return 204, None
        envelope = result if operation.lists else {operation.kind: result}
        return (201 if operation.creates else 200), envelope

    def _twist(self, struck: Struck, document: Document | Text) -> Document | Text:
        """Return the answer as the fault has it; one that found nothing to change is uncounted."""
        twist = TWISTS.get(struck.fault.name)
        if twist is None:
            return document
        twisted = document.document() if isinstance(document, Text) else deepcopy(document)
        if not twist(self.bank, struck.operation, struck.fault, twisted):
            struck.fault.fired -= 1
        return twisted

    def _response(
        self,
        request_id: str,
        status: int,
        document: Document | Text | None,
        struck: Struck | None,
    ) -> web.Response:
        at = self.bank.clock.now()
        headers = {"x-request-id": request_id}
        name = struck.fault.name if struck is not None else ""
        if name != "rate_limit_bare":
            headers |= self.pace.headers(at, refused=status == 429)  # noqa: PLR2004 - too many
        if struck is not None and name == "clock_skew":
            at += timedelta(seconds=struck.fault.seconds)
        headers["Date"] = format_datetime(at, usegmt=True)
        if document is None:
            return web.Response(status=status, headers=headers)
        return answer(status, document, headers)


def _query(request: web.Request) -> Mapping[str, str]:
    """Return the parameters, each of which is there once: of two, one would be ignored."""
    names = [name for name, _ in request.query.items()]
    for name in set(names):
        if names.count(name) > 1:
            raise bad_parameter(name, "is there more than once")
    return request.query


def _fields(operation: Operation, request: web.Request, body: bytes) -> Fields:
    """Return what stands inside the envelope; an action may come without one."""
    if operation.method in {"GET", "DELETE"}:
        return Fields({}, "")
    content_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if body and content_type != JSON:
        raise errors.invalid_usage(
            400, "invalid_content_type", "Invalid content type", f"it is not {JSON}"
        )
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
    if not 0 < len(key) <= KEY_LENGTH_MAX or not key.isprintable():
        raise errors.invalid_usage(
            400,
            "invalid_idempotency_key",
            "Invalid idempotency key",
            "it is empty, too long or no text",
        )
    since = stamp(bank.at - timedelta(days=KEY_DAYS))
    made = bank.store.recall_key(operation.name, key, since)
    if made is not None:
        raise errors.conflict(made)
