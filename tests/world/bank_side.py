"""The mock bank inside the simulation: the real one with its own faults, and its clock ours."""

import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from simulators.bank import clock, command
from simulators.bank.door import Door
from simulators.bank.faults import Faults
from simulators.bank.fields import Fields
from simulators.bank.operation import Call
from simulators.bank.pace import Pace
from simulators.bank.server import OPERATIONS, public_app
from simulators.bank.store import Store
from simulators.bank.tokens import Tokens
from simulators.bank.wire import Text
from simulators.bank.world import Bank, Details, Note
from tests.world.loop import SeededLoop

TOKEN: Final = "token-of-the-world"
URL: Final = "http://bank.test"
_BY_NAME: Final = {operation.name: operation for operation in OPERATIONS}
# The contract's word for an order that it understood and will not carry out.
REFUSED: Final = 422
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WorldClock(clock.Clock):
    """The bank's clock, which runs with the loop; ``skew`` is how far it is off."""

    def __init__(self, loop: SeededLoop) -> None:
        super().__init__(None)
        self._loop = loop
        self._heard: datetime | None = None
        self.skew = timedelta()

    def now(self) -> datetime:
        """Return the bank's instant, which never goes back."""
        instant = self._loop.now() + self.skew if self.skew else self._loop.now()
        if instant != self._heard:
            self._heard = instant
            self._latest = max(self._latest, clock.floor_ms(instant))
        return self._latest


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order to pay, as it came in at the bank's door."""

    at: datetime
    key: str
    body: bytes


@dataclass(slots=True)
class Doorkeeper:
    """Stands between the network and the bank, and writes down every order that comes in."""

    loop: SeededLoop
    on_order: Callable[[Order], None] | None = None
    on_refusal: Callable[[str], None] | None = None
    on_items: Callable[[list[dict[str, Any]]], None] | None = None

    def middleware(self) -> Any:
        """Return the aiohttp middleware."""

        @web.middleware
        async def stand(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self.stand(request, handler)

        return stand

    async def stand(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request in, and see what becomes of an order."""
        if request.method == "POST" and request.path == "/payments":
            body = await request.read()
            key = request.headers.get("Idempotency-Key", "")
            self.loop.note("order", key)
            if self.on_order is not None:
                self.on_order(Order(at=self.loop.now(), key=key, body=body))
            answer = await handler(request)
            if answer.status == REFUSED and self.on_refusal is not None:
                self.on_refusal(key)
            return answer
        answer = await handler(request)
        if request.path == "/payout_items" and self.on_items is not None:
            answer = self._told(answer)
        return answer

    def _told(self, answer: web.StreamResponse) -> web.StreamResponse:
        """Return the items of a payout as a bank that has them wrong tells them."""
        if answer.status != HTTPStatus.OK or not isinstance(answer, web.Response):
            return answer
        told = json.loads(bytes(answer.body or b""))
        assert self.on_items is not None, "somebody changes them"
        self.on_items(told["payout_items"])
        return web.json_response(told)


@dataclass(slots=True)
class BankSide:
    """The bank, its door, and the hand that moves what payers and their banks do."""

    bank: Bank
    clock: WorldClock
    door: Door
    keeper: Doorkeeper
    rng: random.Random
    struck: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)

    def app(self) -> web.Application:
        """Return a fresh application of the bank, as after its restart."""
        app = public_app(self.door)
        app.middlewares.append(self.keeper.middleware())
        return app

    def fault(self, name: str, percent: float, operation: str = "*", **more: Any) -> None:
        """Switch one of the bank's own faults on, for so many requests in a hundred."""
        wanted = {"name": name, "operation": operation, "percent": percent, **more}
        self.door.faults.add({**wanted, "seed": self.rng.getrandbits(32)})

    def heal(self) -> None:
        """Switch every fault off, and remember how often each struck."""
        for one in self.door.faults.listed():
            self.struck[one["name"]] += one["fired"]
        self.door.faults.clear()
        self.keeper.on_items = None
        self.door.tokens.full = TOKEN
        self.clock.skew = timedelta()

    def operate(self, name: str, identity: str = "", **fields: Any) -> dict[str, Any]:
        """Do one operation of the contract directly."""
        self.catch_up()
        with self.bank.store.transaction():
            call = Call(identity=identity, fields=Fields(dict(fields), ""), query={})
            done = _BY_NAME[name].run(self.bank, call)
        assert not isinstance(done, Text), "lists are read in the books themselves"
        return done or {}

    def catch_up(self) -> None:
        """Let everything happen that is due."""
        self.bank.catch_up(self.clock.now())

    def documents(self, kind: str) -> list[dict[str, Any]]:
        """Return everything the bank keeps of a kind, oldest first."""
        return self.bank.store.everything(kind)

    def newest_event(self) -> str | None:
        """Return the name of the event that was told last."""
        return self.bank.store.newest("events")

    def event_ids(self) -> list[str]:
        """Return the names of all events, which are never fewer."""
        if self.told[-1:] != [self.newest_event()]:
            self.told = [event["id"] for event in self.documents("events")]
        return self.told

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
    traits = {operation.name: operation.traits for operation in OPERATIONS}
    door = Door(
        bank=bank,
        faults=Faults(traits, monotonic=loop.time),
        tokens=Tokens(full=TOKEN),
        pace=Pace(),
    )
    return BankSide(bank=bank, clock=found, door=door, keeper=Doorkeeper(loop), rng=rng)
