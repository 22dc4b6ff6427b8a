"""A fleet under a conductor: one JSON command per line in, one JSON answer per line out.

until T                      everyone lives to T, sends, and waits for receipts
silent [meters] with until   these meters have no network before that instant; or "days" from now
stop true                    the last answer, with the totals
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from simulators.fleet import Fleet, registry
from simulators.meter import StoreFullError, Telegram


class CommandError(ValueError):
    """A line of the conductor makes no sense; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """Live to an instant."""

    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Take the network from some meters, until an instant or for some days from now."""

    meter_ids: tuple[str, ...]
    until: datetime | None
    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Say the totals and end."""


Command = Live | Silence | Stop


def parse(line: str) -> Command:
    """Return the command of a line; raises CommandError."""
    try:
        body = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CommandError("not JSON") from error
    match body:
        case {"stop": True, **rest} if not rest:
            return Stop()
        case {"silent": list(names), "until": str(until), **rest} if not rest:
            return Silence(meter_ids=_names(names), until=_instant(until), days=0)
        case {"silent": list(names), "days": int(days), **rest} if not rest and days > 0:
            return Silence(meter_ids=_names(names), until=None, days=days)
        case {"until": str(until), **rest} if not rest:
            return Live(until=_instant(until))
    raise CommandError("neither until, nor silent with until or days, nor stop")


async def conduct(
    fleet: Fleet,
    lines: AsyncIterator[str],
    say: Callable[[dict[str, Any]], None],
    *,
    patience_s: float,
) -> None:
    """Follow a conductor to the end of its lines; every line gets exactly one answer."""
    now = fleet.town.plan.start
    say(registry(fleet.town))
    await fleet.online(patience_s)
    # A fleet that lived before delivers what it still keeps before anything new.
    fleet.hand_in(fleet.town.release_all())
    async for line in lines:
        try:
            match parse(line):
                case Stop():
                    break
                case Silence() as silence:
                    say(_silence(fleet, silence, now))
                case Live(until=until):
                    now = _later(until, now)
                    say(await _live(fleet, now, patience_s))
        except (CommandError, StoreFullError) as error:
            say({"error": str(error)})
    say(
        {
            "stopped": True,
            "telegrams_sent": fleet.tally.telegrams,
            "readings_sent": fleet.tally.readings,
            "receipts": fleet.tally.receipts(),
            "refused_reasons": dict(fleet.tally.reasons),
            "waiting": fleet.waiting,
            "held": fleet.held,
        }
    )


def _silence(fleet: Fleet, silence: Silence, now: datetime) -> dict[str, Any]:
    """Cut meters off and return the answer; raises CommandError for an unknown meter."""
    until = silence.until or now + timedelta(days=silence.days)
    strangers = [name for name in silence.meter_ids if name not in fleet.town.meters]
    if strangers:
        raise CommandError(f"no meter {strangers[0]}")
    fleet.town.cut_off(silence.meter_ids, until)
    return {"silent": len(silence.meter_ids), "until": until.isoformat()}


async def _live(fleet: Fleet, until: datetime, patience_s: float) -> dict[str, Any]:
    """Live to an instant, send what the network lets through, and return what came of it."""
    tally, town = fleet.tally, fleet.town
    telegrams_before, readings_before = tally.telegrams, tally.readings
    results_before = Counter(tally.results)
    written: list[Telegram] = []
    try:
        written.extend(telegram for telegram, _ in town.days(until))
    finally:
        fleet.truth.write(written)
    for meter_id in list(town.held):
        fleet.hand_in(town.release(meter_id, until))
    await fleet.quiet(patience_s)
    results = {result: count - results_before[result] for result, count in tally.receipts().items()}
    return {
        "until": until.isoformat(),
        "telegrams_sent": tally.telegrams - telegrams_before,
        "readings_sent": tally.readings - readings_before,
        "receipts": results,
        "waiting": fleet.waiting,
        "held": fleet.held,
    }


def _later(until: datetime, now: datetime) -> datetime:
    """Return the later instant; raises CommandError when it is not `until`."""
    if until < now:
        raise CommandError("time does not run back")
    return until


def _names(names: list[Any]) -> tuple[str, ...]:
    """Return meter names; raises CommandError when one is not text."""
    if not all(isinstance(name, str) for name in names):
        raise CommandError("silent is a list of meters")
    return tuple(names)


def _instant(text: str) -> datetime:
    """Return an aware instant; raises CommandError."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"no time: {text[:40]}") from error
    if at.utcoffset() is None:
        raise CommandError("a time without a zone")
    return at
