"""The commands that work by the month: ``aqkol validate``, ``reconcile`` and ``correct``."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from app import verbs
from app.command import (
    DONE,
    UNUSABLE,
    Json,
    Once,
    State,
    in_house,
    leave,
    say,
    settings_of,
)
from app.wiring import House
from billing.period import Period

Month = Annotated[str | None, typer.Option("--period", help="One month, such as 2026-01.")]

Again = Callable[[House, asyncio.Event], Awaitable[None]]
At = Callable[[House, datetime, Period | None], Awaitable[dict[str, Any]]]


def reconcile(
    *, period: Month = None, state: State = None, once: Once = False, as_json: Json = False
) -> None:
    """Turn every month that is over into bills; with --period one month, once."""
    again = None if once or period else verbs.reconcile_loop
    _run(verbs.reconcile_at, again, period=period, state=state, as_json=as_json)


def validate(
    *, period: Month = None, state: State = None, once: Once = False, as_json: Json = False
) -> None:
    """Apply the rules of belief each day to what is over; with --period to one month, once."""
    again = None if once or period else verbs.validate_loop
    _run(verbs.validate_at, again, period=period, state=state, as_json=as_json)


def correct(*, state: State = None, once: Once = False, as_json: Json = False) -> None:
    """Cancel and issue anew, or adjust, bills whose registers or terms no longer hold."""

    async def work(house: House, stopping: asyncio.Event) -> int:
        if once:
            say(await verbs.correct_at(house, house.clock.now()), as_json=as_json)
        else:
            await verbs.correct_loop(house, stopping)
        return DONE

    in_house(settings_of(state=state), work, patient=not once)


def _run(
    at: At, again: Again | None, *, period: str | None, state: Path | None, as_json: bool
) -> None:
    """Do a verb again and again, or once, for one month or for what it finds by itself."""
    try:
        wanted = Period.parse(period) if period else None
    except ValueError as error:
        raise leave(f"--period: {error}.", UNUSABLE) from None

    async def work(house: House, stopping: asyncio.Event) -> int:
        if again is not None:
            await again(house, stopping)
        else:
            say(await at(house, house.clock.now(), wanted), as_json=as_json)
        return DONE

    in_house(settings_of(state=state), work, patient=again is not None)
