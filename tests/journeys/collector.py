"""The service's collecting as a process that goes by the rehearsal's clock, not by seconds.

Everything in it is what ``aqkol collect`` does; only the pauses between the rounds are short.
"""

import asyncio
from datetime import timedelta

from app import logs, verbs, wiring
from app.command import in_house, settings_of
from app.run import loop
from app.wiring import House

EVERY = timedelta(milliseconds=50)


async def work(house: House, stopping: asyncio.Event) -> int:
    """Collect until somebody ends the process."""
    async with wiring.bank(house.settings) as client:
        assert client is not None, "the rehearsal has a bank"
        await loop(
            lambda at: verbs.collect_at(house, client, at),
            name="collect",
            every=EVERY,
            clock=house.clock,
            stopping=stopping,
        )
    return 0


if __name__ == "__main__":
    logs.configure("json")
    in_house(settings_of(state=None), work, patient=True)
