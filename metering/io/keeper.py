"""Keeping a connection to a broker, however often it is lost."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from metering.io.link import Deliver, Link, LinkError, Terms

# Between two attempts to connect, doubled each time.
BACKOFF_SECONDS_FIRST: Final = 0.1
BACKOFF_SECONDS_MAX: Final = 30.0

log = structlog.get_logger()


class Keeper:
    """Keeps one link connected: a new one whenever the old one is lost, until it is closed.

    ``up`` is called with a link that stands, ``down`` when it is lost, before the next is made.
    ``generation`` numbers the links from 1; attempts that failed count. ``terms``
    may be changed: their topics hold for a link that is being made, the rest from the next one on.
    """

    def __init__(
        self,
        terms: Terms,
        *,
        make_link: Callable[[Terms, Deliver], Link],
        deliver: Callable[[int, str, bytes, bool, int, int], None],
        up: Callable[[Link], None],
        down: Callable[[], None],
    ) -> None:
        self.link: Link | None = None
        self.generation = 0
        self.connected = asyncio.Event()
        self.terms = terms
        self._make_link = make_link
        self._deliver = deliver
        self._up = up
        self._down = down
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Say goodbye to the broker, or stop trying to reach it, whichever it is about."""
        self._closing.set()

    async def run(self) -> None:
        """Connect, and connect again, until closed."""
        backoff = BACKOFF_SECONDS_FIRST
        while not self._closing.is_set():
            self.generation += 1
            terms = self.terms
            link = self._make_link(terms, partial(self._deliver, self.generation))
            try:
                await link.open()
            except (LinkError, OSError) as error:
                log.warning(
                    "broker.unreachable",
                    client_id=self.terms.client_id,
                    generation=self.generation,
                    error=str(error),
                )
            else:
                backoff = BACKOFF_SECONDS_FIRST
                if self.terms is not terms:
                    # Somebody asked for other topics while this link was being made.
                    link.unsubscribe(self.terms.dropped)
                    link.subscribe([one for one in self.terms.topics if one not in terms.topics])
                await self._stand(link)
            finally:
                link.abandon()
                self._down()
            await _first(self._closing, seconds=backoff)
            backoff = min(backoff * 2, BACKOFF_SECONDS_MAX)

    async def _stand(self, link: Link) -> None:
        """Let a link stand until it is lost or closed."""
        self.link = link
        self.connected.set()
        self._up(link)
        try:
            await _first(link.lost, self._closing)
        finally:
            self.connected.clear()
            self.link = None
        if self._closing.is_set():
            await link.close()


async def _first(*events: asyncio.Event, seconds: float | None = None) -> None:
    """Wait until one of the events is set or the time is over."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
