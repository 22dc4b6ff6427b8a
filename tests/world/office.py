"""The people at the desk: breaks, frozen mandates, a run that was stopped, debits in review.

Each works with the same desk as in the service. What he said and what he was told is written down
for the checker.
"""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Final

import asyncpg

from billing.bank import BankError
from billing.breaker import SamePersonError, StopReleasedError
from billing.debit import DebitId
from billing.decide import NotInReviewError, NotLegalError, decide
from billing.decision import Decision, ReviewWord
from billing.io.breaks import BreakClosedError, KeptBreak, NotFrozenError
from tests.world.loop import Process
from tests.world.memory_breaks import MemoryBreakDesk
from tests.world.memory_stops import MemoryRunStops
from tests.world.memory_store import MemoryDebits
from tests.world.town import DAY_S, World

PEOPLE: Final = ("Aigul K.", "Boris T.", "Dana S.")
# What the world may do to somebody who works at the desk; he comes again tomorrow.
AWAY: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
PAGE: Final = 50


@dataclass(slots=True)
class Office:
    """Somebody looks at the desk about once a day.

    ``settles`` is the share of open breaks that are settled on a day, ``at_once`` how many people
    work on one break in the same moment. ``decides`` is the share of debits in review about which
    somebody says his word on a day; two people from ``two_from_minor`` on.
    """

    world: World
    settles: float = 0.2
    at_once: int = 1
    decides: float = 0.0
    two_from_minor: int = 40_000
    rng: random.Random = field(init=False)
    process: Process = field(default_factory=lambda: Process("office"))

    def __post_init__(self) -> None:
        self.rng = random.Random(f"office {self.world.seed}")  # noqa: S311 - chance

    def open(self) -> None:
        """Let people come in every day from now on."""
        self.world.loop.spawn(self.process, self.world.guarded(self.process, self._work()))

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(DAY_S * self.rng.uniform(0.5, 1.5))
            store = MemoryDebits(self.world.db)
            try:
                await self._lift(MemoryBreakDesk(store))
                await self._settle(MemoryBreakDesk(store))
                await self._release(MemoryRunStops(store))
            except AWAY:
                continue
            if self.decides:
                await self._decide(store)

    async def _lift(self, desk: MemoryBreakDesk) -> None:
        """Lift freezes that somebody has looked into for a day."""
        for one in await desk.freezes(page=PAGE):
            if self.rng.random() < 0.7:
                try:
                    await desk.lift(
                        one.account_id,
                        one.mandate_id,
                        by=self.rng.choice(PEOPLE),
                        because="it is ours after all",
                        at=self.world.at,
                    )
                except NotFrozenError:
                    continue
                self.world.network.struck["lifted"] += 1

    async def _settle(self, desk: MemoryBreakDesk) -> None:
        """Settle some of the open breaks, each by as many people as happen to look at it."""
        for one in await desk.breaks(still=True, after=0, page=PAGE):
            if self.rng.random() < self.settles:
                people = self.rng.sample(PEOPLE, self.at_once)
                for name in people:
                    self.world.loop.spawn(self.process, self._say(desk, one, name))

    async def _say(self, desk: MemoryBreakDesk, one: KeptBreak, name: str) -> None:
        """Say how a break is settled, and remember what the desk answered."""
        because = f"{name} asked the bank on {self.world.day()}"
        answers = self.world.truth.settled.setdefault(one.break_id, [])
        try:
            _, fresh = await desk.close(one.break_id, by=name, because=because, at=self.world.at)
        except BreakClosedError:
            answers.append((name, because, "refused"))
            self.world.network.struck["refused"] += 1
        except AWAY:
            answers.append((name, because, "unheard"))
        else:
            answers.append((name, because, "kept" if fresh else "again"))
            self.world.network.struck["settled"] += 1

    async def _release(self, stops: MemoryRunStops) -> None:
        """Let a stopped run go on: one person's word, and then another's, today or some day."""
        for stop in await stops.stops(only_open=True, limit=PAGE):
            for _ in range(self.rng.randint(0, 3)):
                try:
                    await stops.release(
                        stop.stop_no,
                        released_by=self._person(),
                        because="we have seen it",
                        at=self.world.at,
                    )
                except SamePersonError:
                    self.world.network.struck["same_person"] += 1
                except StopReleasedError:
                    break
                else:
                    self.world.network.struck["released"] += 1

    def _person(self) -> str:
        """Return somebody's name, as he happens to write it."""
        name = self.rng.choice(PEOPLE)
        return self.rng.choice((name, name, name.lower(), f" {name.upper()}"))

    async def _decide(self, store: MemoryDebits) -> None:
        """Say of debits in review what becomes of them; two people may do so at once."""
        for key, row in sorted(self.world.db.rows["debit"].items()):
            if str(row.state) == "review" and self.rng.random() < self.decides:
                for _ in range(self.rng.randint(1, 2)):
                    word = self._word(store, row.debit_id, self._person())
                    self.world.loop.spawn(self.process, self.world.guarded(self.process, word))
                self.world.network.struck["asked"] += 1
                self.world.loop.note("review", *key)

    async def _word(self, store: MemoryDebits, debit_id: DebitId, name: str) -> None:
        """Adopt what the bank has; else ask again where that is possible, or end it."""
        world = self.world
        ends = [Decision.GIVE_UP, Decision.BEGIN_ANEW]
        self.rng.shuffle(ends)
        if self.rng.random() < 0.5:
            ends.insert(0, Decision.RELEASE)
        async with world.client() as bank:
            for decision in (Decision.ADOPT, *ends):
                word = ReviewWord(
                    decision=decision, because="as seen", said_by=name, said_at=world.at
                )
                try:
                    decided = await decide(
                        store=store,
                        bank=bank,
                        debit_id=debit_id,
                        word=word,
                        two_from_minor=self.two_from_minor,
                        at=world.at,
                    )
                except NotLegalError:
                    continue
                except (*AWAY, BankError, NotInReviewError):
                    return
                world.network.struck["waits" if decided.waits else decision.value] += 1
                return
