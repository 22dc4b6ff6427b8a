"""The long outage: a town without a network for days, and how it catches up beside live traffic.

Nothing here looks at a clock of the world: an hour passes when the network has taken the share of
the backlog that belongs to it, so the same seed tells the same truth at any speed.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from simulators.backlog import Outage, catch_up, endure, live, waves
from simulators.fleet import Fleet
from simulators.meter import Errand, Telegram


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
        "calm_hours": outage.calm_hours,
        "registers_per_telegram": outage.packing.registers,
        "live_first": outage.packing.live_first,
        "backlog_telegrams": len(backlog),
        "backlog_registers": sum(len(telegram.readings) for telegram in backlog),
        "overwritten": sum(log.overwritten for log in logs.values()),
    }
    # Signing takes as long as sending, so it is done before anything is timed.
    made = list(waves(fleet.town, backlog, outage))
    calm = [live(fleet.town, Errand.CALM) for _ in range(outage.calm_hours)]
    for wave in (*made, *calm):
        fleet.truth.write(wave)
    fleet.truth.flush()
    begun_s = clock()
    done = await _drain(fleet, made, patience_s)
    waits = fleet.tally.waits
    safe_s = waits[Errand.OWED].last_s
    seconds = (clock() if safe_s is None else safe_s) - begun_s
    for wave in calm if done else ():
        # An hour at a time, so that nothing stands in front of it.
        fleet.hand_in(wave)
        done = done and await fleet.quiet(patience_s)
    return {
        **counts,
        "drain_seconds": round(seconds, 3),
        "registers_per_s": round(counts["backlog_registers"] / seconds, 1),
        **{one.value: waits[one].report() for one in (Errand.OWED, Errand.LIVE, Errand.CALM)},
        "done": done,
    }


async def _drain(fleet: Fleet, waves: Iterable[Sequence[Telegram]], patience_s: float) -> bool:
    """Send wave after wave; True when everything has its receipt."""
    for wave in waves:
        fleet.hand_in(wave)
        if not await fleet.all_room(patience_s):
            return False
    return await fleet.quiet(patience_s)
