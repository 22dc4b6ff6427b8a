"""The long outage: a town without a network for days, and how it catches up beside live traffic.

Nothing here looks at a clock of the world: an hour passes when the network has taken the share of
the backlog that belongs to it, so the same seed tells the same truth at any speed.
"""

import asyncio
from typing import Any

from simulators.backlog import Outage, catch_up, endure, waves
from simulators.fleet import Fleet


async def recover(fleet: Fleet, outage: Outage, *, patience_s: float) -> dict[str, Any]:
    """Live through an outage and catch up; return what was counted, with `done` when all is safe.

    The truth of every register is on disk before its telegram leaves. Raises NoBrokerError.
    """
    clock = asyncio.get_running_loop().time
    await fleet.online(patience_s)
    logs = endure(fleet.town, outage.hours)
    backlog = catch_up(fleet.town, logs, outage.packing)
    counts = {
        "outage_hours": outage.hours,
        "live_hours": outage.live_hours,
        "registers_per_telegram": outage.packing.registers,
        "live_first": outage.packing.live_first,
        "backlog_telegrams": len(backlog),
        "backlog_registers": sum(len(telegram.readings) for telegram in backlog),
        "overwritten": sum(log.overwritten for log in logs.values()),
    }
    # Signing takes as long as sending, so it is done before anything is timed.
    made = list(waves(fleet.town, backlog, outage))
    for wave in made:
        fleet.truth.write(wave)
    fleet.truth.flush()
    begun_s, done = clock(), True
    for wave in made:
        fleet.hand_in(wave)
        if not await fleet.all_room(patience_s):
            done = False
            break
    done = done and await fleet.quiet(patience_s)
    seconds = clock() - begun_s
    return {
        **counts,
        "drain_seconds": round(seconds, 3),
        "registers_per_s": round(fleet.tally.readings / seconds, 1),
        "done": done,
    }
