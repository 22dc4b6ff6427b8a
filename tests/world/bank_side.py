"""The mock bank inside the simulation: the real one, its clock ours, with a spoiler at its door.

The spoiler stands where a proxy would: it may answer instead of the bank, or change what the bank
says. ``BankHand`` does what payers and their banks do behind the bank's back.
"""

import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from simulators.bank import clock, command
from simulators.bank.faults import Fault, Faults
from simulators.bank.fields import Fields
from simulators.bank.operation import Call
from simulators.bank.server import OPERATIONS, public_app
from simulators.bank.store import Store
from simulators.bank.world import Bank, Details, Note
from tests.world.loop import SeededLoop

TOKEN: Final = "token-of-the-world"
URL: Final = "http://bank.test"
# What the bank's own side door knows: the fault, and how long a delay may be.
OWN_FAULTS: Final = (
    "answer_lost",
    "bad_gateway",
    "delay",
    "error_after",
    "error_before",
    "forbidden",
    "garbled",
    "rate_limit",
)
_DELAY_S: Final = (0.0, 60.0)
_BY_NAME: Final = {operation.name: operation for operation in OPERATIONS}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WorldClock(clock.Clock):
    """The bank's clock, which runs with the loop; ``skew`` is how far it is off."""

    def __init__(self, loop: SeededLoop) -> None:
        super().__init__(None)
        self._loop = loop
        self.skew = timedelta()

    def now(self) -> datetime:
        """Return the bank's instant, which never goes back."""
        self._latest = max(self._latest, clock.floor_ms(self._loop.now() + self.skew))
        return self._latest


class SeededFaults(Faults):
    """Faults that strike by chance instead of so many times; ``creates`` only orders."""

    def __init__(self, rng: random.Random, note: Callable[..., None]) -> None:
        super().__init__(frozenset(_BY_NAME))
        self.rng = rng
        self.rates: dict[str, float] = {}
        self.struck: Counter[str] = Counter()
        self._note = note

    def strike(self, operation: str) -> Fault | None:
        """Draw the fault that strikes this request, if any."""
        for name, rate in self.rates.items():
            if self.rng.random() < rate:
                self.struck[name] += 1
                self._note("fault", name, operation)
                seconds = self.rng.uniform(*_DELAY_S)
                return Fault(name=name, operation=operation, times=1, seconds=seconds, fired=1)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order to pay, as it came in at the bank's door."""

    at: datetime
    key: str
    body: bytes


@dataclass(slots=True)
class Spoiler:
    """What stands between the network and the bank, and what it saw."""

    loop: SeededLoop
    rng: random.Random
    rates: dict[str, float] = field(default_factory=dict)
    struck: Counter[str] = field(default_factory=Counter)
    orders: list[Order] = field(default_factory=list)
    on_order: Callable[[Order], None] | None = None
    _past: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def _fate(self) -> str | None:
        for name, rate in self.rates.items():
            if self.rng.random() < rate:
                self.struck[name] += 1
                self.loop.note("fault", name)
                return name
        return None

    def middleware(self) -> Any:
        """Return the aiohttp middleware."""

        @web.middleware
        async def stand(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._stand(request, handler)

        return stand

    async def _stand(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        fate = self._fate() if self.rates else None
        instead = None if fate is None else _instead(fate)
        if instead is not None:
            return instead
        is_order = request.method == "POST" and request.path == "/payments"
        if is_order:
            body = await request.read()
            order = Order(
                at=self.loop.now(), key=request.headers.get("Idempotency-Key", ""), body=body
            )
            self.orders.append(order)
            self.loop.note("order", order.key)
        answer = await handler(request)
        if is_order and self.on_order is not None:
            self.on_order(order)
        if request.method == "GET" and isinstance(answer, web.Response):
            self._remember(request, answer)
        if fate is None or not isinstance(answer, web.Response):
            return answer
        return self._changed(fate, request, answer)

    def _remember(self, request: web.Request, answer: web.Response) -> None:
        if self.rates.get("stale_read") and answer.status == 200 and "?" not in request.raw_path:
            self._past.setdefault(request.path, []).append(_json(answer))

    def _changed(self, fate: str, request: web.Request, answer: web.Response) -> web.Response:
        if answer.status not in {200, 201}:
            return answer
        found = _json(answer)
        one = next((value for value in found.values() if isinstance(value, dict)), {})
        if fate == "stale_read" and request.method == "GET":
            past = self._past.get(request.path)
            found = self.rng.choice(past) if past else found
        elif fate == "new_status" and "status" in one:
            one["status"] = "awaiting_moon"
        elif fate == "extra_field":
            one["colour"] = {"of": ["the", "moon"]}
            found["horoscope"] = "good"
        elif fate == "missing_optional":
            for name in ("description", "metadata" if request.method == "GET" else "fx", "fx"):
                one.pop(name, None)
        elif fate == "amount_off" and "amount" in one and "mandate" in one.get("links", {}):
            one["amount"] += 1
        elif fate == "not_json":
            return web.Response(status=answer.status, text="<html>welcome</html>")
        return web.json_response(found, status=answer.status)


def _json(answer: web.Response) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.body or b"{}")  # type: ignore[arg-type]
    return found


def _instead(fate: str) -> web.Response | None:
    """Return what is answered before the bank hears anything."""
    if fate == "unavailable":
        return web.Response(status=503, text="try later")
    if fate == "unauthorised":
        error = {"type": "invalid_api_usage", "message": "no", "code": 401, "errors": []}
        return web.json_response({"error": error}, status=401)
    if fate in {"busy", "busy_for"}:
        error = {"type": "invalid_api_usage", "message": "slow down", "code": 429, "errors": []}
        headers = {"Retry-After": "120"} if fate == "busy_for" else {}
        return web.json_response({"error": error}, status=429, headers=headers)
    return None


SPOILS: Final = (
    "unavailable",
    "unauthorised",
    "busy",
    "busy_for",
    "stale_read",
    "new_status",
    "extra_field",
    "missing_optional",
    "amount_off",
    "not_json",
)


@dataclass(slots=True)
class BankSide:
    """The bank, its faults, its spoiler, and the hand that moves what payers' banks do."""

    bank: Bank
    clock: WorldClock
    faults: SeededFaults
    spoiler: Spoiler
    rng: random.Random

    def app(self) -> web.Application:
        """Return a fresh application of the bank, as after its restart."""
        app = public_app(self.bank, self.faults, TOKEN)
        app.middlewares.append(self.spoiler.middleware())
        return app

    def operate(self, name: str, identity: str = "", **fields: Any) -> dict[str, Any]:
        """Do one operation of the contract directly."""
        self.catch_up()
        with self.bank.store.transaction():
            call = Call(identity=identity, fields=Fields(dict(fields), ""), query={})
            return _BY_NAME[name].run(self.bank, call) or {}

    def catch_up(self) -> None:
        """Let everything happen that is due."""
        self.bank.catch_up(self.clock.now())

    def documents(self, kind: str) -> list[dict[str, Any]]:
        """Return everything the bank keeps of a kind, oldest first."""
        return self.bank.store.everything(kind)

    def mandate(self, *, given_name: str = "Aigul", iban: str) -> str:
        """Return a fresh mandate of a fresh customer."""
        customer = self.operate("customers.create", given_name=given_name, family_name="Nurlanova")
        account = self.operate(
            "customer_bank_accounts.create",
            account_holder_name="Nurlanova",
            iban=iban,
            links={"customer": customer["id"]},
        )
        made = self.operate("mandates.create", links={"customer_bank_account": account["id"]})
        return str(made["id"])

    def simulate(self, name: str, resource_id: str) -> bool:
        """Run one of the bank's scenario simulators; False where it is not possible now."""
        try:
            self.operate("scenario_simulators.run", name, links={"resource": resource_id})
        except Exception as error:
            if type(error).__name__ != "BankError":
                raise
            return False
        return True

    def turn(
        self, kind: str, document: dict[str, Any], status: str, action: str, cause: str, **more: Any
    ) -> None:
        """Move a resource whatever its table says, and tell it in an event."""
        with self.bank.store.transaction():
            document["status"] = status
            self.bank.store.put(document)
            self.bank.store.strike_all(document["id"])
            details = Details(origin="bank", cause=cause, description="As it happens.", **more)
            self.bank.tell(kind, document, action, details, Note(details=details))


def open_bank_side(loop: SeededLoop, seed: object) -> BankSide:
    """Return a bank with empty books; the randomness of the system must be repeatable already."""
    rng = random.Random(f"bank {seed}")  # noqa: S311 - chance, not secrecy
    found = WorldClock(loop)
    kept = command.Clock
    command.Clock = lambda _: found  # type: ignore[assignment,misc]
    try:
        store = Store(Path(":memory:"))
        bank = command.open_bank(store, profile="mock-kz", public_url=URL, now=None)
    finally:
        command.Clock = kept  # type: ignore[misc]
    return BankSide(
        bank=bank,
        clock=found,
        faults=SeededFaults(rng, loop.note),
        spoiler=Spoiler(loop=loop, rng=rng),
        rng=rng,
    )
