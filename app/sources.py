"""Keeping one session at a broker in step with the sources that operators enter and remove.

It is a session of its own: what strangers flood or a broker refuses there holds up none of our own
meters.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from app.broker_tls import broker_tls
from app.config import Settings
from app.run import Clock, loop
from app.wiring import House
from metering.family import FAMILIES
from metering.io.mqtt import Subscription
from metering.io.sources import SourceBook
from metering.source import Switchboard

# The broker knows this session by this name, also after a restart.
CLIENT_ID: Final = "aqkol-ingest-sources"
# Two numbers are asked for; whoever enters a source waits this long until it is heard.
EVERY: Final = timedelta(seconds=15)


@dataclass(slots=True, kw_only=True)
class SourceWatch:
    """What one session listens to, and what it makes of it."""

    book: SourceBook
    board: Switchboard
    _version: tuple[int, int] = (0, 0)
    _dropped: tuple[str, ...] = ()

    async def look(self, at: datetime, session: Subscription | None = None) -> None:
        """Take over what was entered or removed since the last look, if anything was."""
        if await self.book.version() == self._version:
            return
        live = await self.book.live(at=at)
        before = set(self.board.topics)
        self.board.connect(live.sources)
        self._version, self._dropped = live.version, live.dropped
        if session is not None:
            topics = self.board.topics
            gone = {*before, *live.dropped} - set(topics)
            session.unsubscribe(sorted(gone))
            session.subscribe([topic for topic in topics if topic not in before])

    async def begin(self, clock: Clock, stopping: asyncio.Event) -> bool:
        """Wait until there is something to hear, or a session to be told that there is not.

        Only then may a session be opened: the broker hands out at once what waited in it. False
        means that ``stopping`` was set before.
        """
        found = asyncio.Event()

        async def step(at: datetime) -> None:
            await self.look(at)
            if self.board.topics or self._dropped:
                found.set()

        looking = asyncio.create_task(
            loop(step, name="sources", every=EVERY, clock=clock, stopping=stopping)
        )
        waiting = asyncio.create_task(found.wait())
        try:
            await asyncio.wait({looking, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if looking.done():
                looking.result()
        finally:
            looking.cancel()
            waiting.cancel()
            await asyncio.wait({looking, waiting})
        return found.is_set()

    async def follow(self, session: Subscription, clock: Clock, stopping: asyncio.Event) -> None:
        """Keep a session in step until ``stopping`` is set."""

        async def step(at: datetime) -> None:
            await self.look(at, session)

        await loop(step, name="sources", every=EVERY, clock=clock, stopping=stopping)

    def session(self, url: str, settings: Settings) -> Subscription:
        """Return the session at a broker for what was found in the last look.

        Raises:
            SettingsError: our certificate for the brokers cannot be used.
        """
        session = Subscription(
            url,
            client_id=CLIENT_ID,
            topics=self.board.topics,
            tls_context=broker_tls(settings),
        )
        session.unsubscribe(self._dropped)
        return session


def source_watch(house: House) -> SourceWatch:
    """Return the watch over a house's sources; it has looked at nothing yet."""
    return SourceWatch(book=SourceBook(pool=house.pool), board=Switchboard(families=FAMILIES))
