"""The loop of collecting: full batches follow each other, and the rules are asked seldom."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from app import verbs
from app.config import Settings
from app.run import SteppedClock
from app.servers.embedded import Servers
from app.wiring import House

START = datetime(2026, 2, 17, tzinfo=UTC)


async def rounds(patch: pytest.MonkeyPatch, sent: list[int], *, pace: timedelta) -> list[bool]:
    """Return for each round until nothing is left whether the rules of the run were asked."""
    clock, stopping, seen = SteppedClock(START), asyncio.Event(), []
    house = House(
        settings=Settings(), servers=Servers(database_url="", mqtt_urls=()),
        pool=cast("Any", None), clock=clock,
    )  # fmt: skip

    async def one(
        _house: House, _client: object, _at: datetime, *, watching: bool
    ) -> dict[str, Any]:
        seen.append(watching)
        clock.advance_to(clock.now() + pace)
        if len(seen) == len(sent):
            stopping.set()
        return {"send": {"accepted": sent[len(seen) - 1]}}

    patch.setattr(verbs, "collect_at", one)
    await asyncio.wait_for(verbs.collect_loop(house, cast("Any", None), stopping), 5)
    return seen


class TestRounds:
    """A round of collecting ..."""

    async def test_that_was_full_is_followed_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Within five seconds, though the pause between two looks is thirty."""
        seen = await rounds(monkeypatch, [200, 200, 0], pace=timedelta(seconds=1))

        assert seen == [True, False, False]

    async def test_asks_the_rules_again_while_full_ones_last(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A long night of full batches does not run past the rules that would stop it."""
        seen = await rounds(monkeypatch, [200, 200, 0], pace=timedelta(minutes=6))

        assert seen == [True, False, True]
