"""The people at the desk: what they say about breaks and frozen mandates.

Each works with the same desk as in the service. What he said and what he was told is written down
for the checker.
"""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Final

import asyncpg

from billing.io.breaks import BreakClosedError, KeptBreak, NotFrozenError
from tests.world.memory_breaks import MemoryBreakDesk
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
    work on one break in the same moment.
    """

    world: World
    settles: float = 0.2
    at_once: int = 1
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(f"office {self.world.seed}")  # noqa: S311 - chance

    async def work(self) -> None:
        """Come in every day."""
        while True:
            await asyncio.sleep(DAY_S * self.rng.uniform(0.5, 1.5))
            desk = MemoryBreakDesk(MemoryDebits(self.world.db))
            try:
                await self._lift(desk)
                await self._settle(desk)
            except AWAY:
                continue

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
                    self.world.during(self._say(desk, one, name))

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
