"""The bank's deliveries to us in the simulation, and everything that can happen to them on the way.

Written here again from the contract (a JSON body with events, an HMAC-SHA256 over its bytes in the
header, again if nobody says yes within ten seconds), so that the service's reading of it is held
against a second one.
"""

import asyncio
import hmac
import json
from dataclasses import dataclass, field
from typing import Any, Final

from billing.hear import hear
from billing.webhook import signer
from tests.world.loop import Process
from tests.world.memory_hints import MemoryHints
from tests.world.memory_store import MemoryDebits
from tests.world.town import LIMIT, World

NEW_SECRET: Final = "the-newer-secret-of-the-world"
OLD_SECRET: Final = "the-older-secret-of-the-world"
SECRETS: Final = (NEW_SECRET, OLD_SECRET)
WAIT_S: Final = 10.0
TRIES: Final = 8
_LOOK_S: Final = 2 * 3600.0


@dataclass(slots=True)
class Manner:
    """How deliveries travel: shares of a hundred, seconds, and how many events in one."""

    batch: int = 25
    lost: float = 0.0
    copies: int = 1
    spread_s: tuple[float, float] = (0.1, 60.0)
    secret: str = NEW_SECRET
    forged: float = 0.0
    encoded_anew: float = 0.0
    slow: float = 0.0
    strangers: float = 0.0
    again_after_s: float = 0.0
    every_s: float = _LOOK_S
    # Look a moment after each order, so that news is faster than our answer.
    eager: bool = False


@dataclass(slots=True)
class Postbox:
    """Brings new events of the bank to whichever service is alive."""

    world: World
    manner: Manner
    told: int = 0
    bad_bodies: set[bytes] = field(default_factory=set)

    async def bring(self) -> None:
        """Bring everything new, time and again, until all is calm."""
        world, manner = self.world, self.manner
        while not world.calm:
            await asyncio.sleep(manner.every_s * (0.5 + world.rng.random()))
            self.look()

    def look(self) -> None:
        """Send what is new."""
        world, manner = self.world, self.manner
        world.bank.catch_up()
        events = [_shown(event) for event in world.bank.documents("events")]
        fresh, self.told = events[self.told :], len(events)
        if fresh and world.rng.random() < manner.strangers:
            fresh.append(_stranger(world))
        if world.rng.random() < 0.5:
            world.rng.shuffle(fresh)
        for start in range(0, len(fresh), manner.batch):
            self.send(fresh[start : start + manner.batch])

    def ordered(self, moment: str) -> None:
        """Look soon after an order has left a service."""

        async def soon() -> None:
            await asyncio.sleep(self.world.rng.uniform(0.5, 20.0))
            self.look()

        if moment == "after_send":
            self.world.during(soon())

    def send(self, events: list[dict[str, Any]]) -> None:
        """Put one delivery on its way, as the manner has it."""
        world, manner = self.world, self.manner
        body = json.dumps({"events": events, "meta": {"webhook_id": "WB1"}}).encode()
        signature = hmac.new(manner.secret.encode(), body, "sha256").hexdigest()
        if world.rng.random() < manner.lost:
            world.network.struck["webhook_lost"] += 1
            return
        if world.rng.random() < manner.encoded_anew:
            world.network.struck["webhook_encoded_anew"] += 1
            body = json.dumps(json.loads(body), indent=1).encode()
            self.bad_bodies.add(body)
        if world.rng.random() < manner.forged:
            world.network.struck["webhook_forged"] += 1
            signature = signature[::-1]
            self.bad_bodies.add(body)
        delays = [world.rng.uniform(*manner.spread_s) for _ in range(manner.copies)]
        if manner.again_after_s:
            delays.append(manner.again_after_s)
        for delay_s in delays:
            world.network.struck["webhook"] += 1
            world.during(self._deliver(delay_s, body, signature))

    async def _deliver(self, delay_s: float, body: bytes, signature: str) -> None:
        world = self.world
        await asyncio.sleep(delay_s)
        for number in range(TRIES):
            alive = [one for one in world.services.values() if one.alive]
            if alive:
                process = world.rng.choice(alive)
                task = world.loop.spawn(process, self._receive(process, body, signature))
                await asyncio.wait({task}, timeout=WAIT_S)
                if task.done() and not task.cancelled() and task.exception() is None:
                    return
            await asyncio.sleep(60.0 * 4**number)

    async def _receive(self, process: Process, body: bytes, signature: str) -> None:
        """Do what the service's route does, in one of its processes, and hear of it later."""
        world = self.world
        if world.rng.random() < self.manner.slow:
            await asyncio.sleep(3 * WAIT_S)
        number = signer(body, signature, SECRETS)
        if number is None:
            return
        store = MemoryDebits(world.db)
        hints = MemoryHints(store)
        await hints.keep_delivery(body, signed_by=number, at=world.at + process.skew)
        world.loop.spawn(process, self._hear(process, store, hints))

    async def _hear(self, process: Process, store: MemoryDebits, hints: MemoryHints) -> None:
        world = self.world
        await asyncio.sleep(world.rng.uniform(0.01, 3600.0))
        async with world.client() as bank:
            await world.guarded(
                process,
                hear(
                    hints=hints,
                    store=store,
                    bank=bank,
                    at=world.at + process.skew,
                    limit=LIMIT,
                ),
            )

    def check(self) -> list[str]:
        """Return what was believed although nobody had signed it."""
        kept = {row.body for row in self.world.db.rows["webhook_delivery"].values()}
        return ["I9 a delivery was kept that nobody signed"] if kept & self.bad_bodies else []


def _shown(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "hidden"}


def _stranger(world: World) -> dict[str, Any]:
    """Return an event about a payment that nobody knows."""
    world.network.struck["webhook_stranger"] += 1
    number = world.rng.getrandbits(40)
    return {
        "id": f"EV{number}",
        "resource_type": "payments",
        "action": "confirmed",
        "links": {"payment": f"PM{number}"},
        "details": {"origin": "bank", "cause": "payment_confirmed"},
    }


def posting(**changes: Any) -> Any:
    """Return what lets the bank deliver its events in a manner of its own."""

    def on(world: World) -> None:
        world.postbox = Postbox(world=world, manner=Manner(**changes))
        if world.postbox.manner.eager:
            world.on_moment = world.postbox.ordered
        world.during(world.postbox.bring())

    return on
