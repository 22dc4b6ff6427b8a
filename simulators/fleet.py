"""A fleet of meters over MQTT: by itself at a rate, or day by day under a conductor.

The truth is on disk before a telegram leaves. The network decides when telegrams arrive, never
what they say.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any, Final

from simulators.io.gateway import Broker, Gateway, Manners
from simulators.io.truth import Truth
from simulators.meter import TELEGRAMS_KEPT_MAX, Telegram
from simulators.tally import Tally
from simulators.town import Town
from simulators.wire import Topics

# A concentrator on a mast hears this many meters.
METERS_PER_CONNECTION: Final = 500
# Telegrams written to the truth in one go; the first leaves after all of them are on disk.
_BATCH: Final = 100
# A quarter of what a meter can remember, so that a fast fleet waits before a meter overflows.
_WINDOW_PER_METER: Final = TELEGRAMS_KEPT_MAX // 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a free fleet sends: seconds between two telegrams of one meter, and when to stop.

    Without a limit and an end it goes on until it is told to stop.
    """

    interval_s: float
    limit: int | None
    until: datetime | None


class Fleet:
    """A town, its truth and its connections; open it with `connected`."""

    def __init__(
        self, *, town: Town, truth: Truth, gateways: Mapping[str, Gateway], tally: Tally
    ) -> None:
        self.town = town
        self.truth = truth
        self.tally = tally
        self._of_meter = gateways
        self._gateways = list(dict.fromkeys(gateways.values()))

    @property
    def waiting(self) -> int:
        """Return how many telegrams were handed to the network and have no receipt yet."""
        return sum(gateway.waiting for gateway in self._gateways)

    @property
    def held(self) -> int:
        """Return how many telegrams lie in meters that have no network."""
        return sum(len(telegrams) for telegrams in self.town.held.values())

    def hand_in(self, telegrams: Iterable[Telegram]) -> None:
        """Give telegrams to the connections of their meters, in this order."""
        for telegram in telegrams:
            self._of_meter[telegram.meter_id].hand_in((telegram,))

    async def quiet(self, patience_s: float) -> bool:
        """Wait until everything handed in has its receipt; False after a patience without any."""
        done = await asyncio.gather(*(gateway.quiet(patience_s) for gateway in self._gateways))
        self.truth.flush()
        return all(done)

    async def room(self, meter_id: str, patience_s: float) -> bool:
        """Wait for room in the window of a meter's connection; False after the patience."""
        return await self._of_meter[meter_id].room(patience_s)

    async def all_room(self, patience_s: float) -> bool:
        """Wait for room in the window of every connection; False after the patience."""
        done = await asyncio.gather(*(gateway.room(patience_s) for gateway in self._gateways))
        return all(done)

    async def online(self, patience_s: float) -> None:
        """Wait until every connection is up once; raises NoBrokerError."""
        for gateway in self._gateways:
            await gateway.online(patience_s)


def registry(town: Town) -> dict[str, Any]:
    """Return the plates of all meters of a town, and their keys, so that they can be registered."""
    plates = [asdict(meter.plate) for meter in town.meters.values()]
    for plate in plates:
        del plate["number"]
        if town.plan.server_key is not None:
            plate.update(town.plan.identity(plate["meter_id"]).entry())
    return {"meters": plates}


@contextlib.asynccontextmanager
async def connected(  # noqa: PLR0913  (the composition root of a fleet)
    *,
    town: Town,
    truth: Truth,
    broker: Broker,
    topics: Topics,
    manners: Manners,
    connections: int | None,
    connect_interval_s: float,
) -> AsyncIterator[Fleet]:
    """Run the connections of a town; they reconnect by themselves until the block is left."""
    tally = Tally()
    meters = list(town.meters.values())
    count = min(len(meters), connections or -(-len(meters) // METERS_PER_CONNECTION))
    gateways: dict[str, Gateway] = {}
    first = town.plan.first_number
    for index in range(count):
        group = meters[index::count]
        gateway = Gateway(
            broker=broker,
            client_id=f"fleet-{town.plan.prefix}{first:06d}-{index}of{count}",
            stores=[meter.store for meter in group],
            topics=topics,
            air=town.air,
            manners=replace(manners, window=min(manners.window, len(group) * _WINDOW_PER_METER)),
            tally=tally,
            on_receipt=truth.answered,
        )
        gateways.update({meter.plate.meter_id: gateway for meter in group})
    async with asyncio.TaskGroup() as tasks:
        running = {
            gateway: tasks.create_task(_start(gateway, index * connect_interval_s))
            for index, gateway in enumerate(dict.fromkeys(gateways.values()))
        }
        try:
            yield Fleet(town=town, truth=truth, gateways=gateways, tally=tally)
        finally:
            for gateway, task in running.items():
                gateway.end()
                task.cancel()


async def _start(gateway: Gateway, delay_s: float) -> None:
    """Run a gateway after its turn has come, so that a town does not connect at once."""
    await asyncio.sleep(delay_s)
    await gateway.run()


async def run_free(fleet: Fleet, pace: Pace, *, patience_s: float) -> bool:
    """Send telegrams at a pace until its limit or end; True when every one has its receipt."""
    clock = asyncio.get_running_loop().time
    gap_s = pace.interval_s / len(fleet.town.meters)
    await fleet.online(patience_s)
    fleet.hand_in(fleet.town.release_all())
    due_s = clock()
    stream = islice(fleet.town.days(pace.until), pace.limit)
    # Never more than a day ahead of the network, however small the town.
    size = min(_BATCH, len(fleet.town.meters))
    while batch := list(islice(stream, size)):
        fleet.truth.write(telegram for telegram, _ in batch)
        fleet.truth.flush()
        await asyncio.sleep(0)
        for telegram, midnight in batch:
            due_s += gap_s
            if (early_s := due_s - clock()) > 0:
                await asyncio.sleep(early_s)
            if not await fleet.room(telegram.meter_id, patience_s):
                return False
            fleet.hand_in(fleet.town.release(telegram.meter_id, midnight))
    fleet.hand_in(fleet.town.release_all())
    return await fleet.quiet(patience_s)
