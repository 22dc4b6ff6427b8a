"""The debit run as a whole, by hand: ``aqkol debit-run``."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app import command
from app.command import Json, State
from app.meter_work import NAME_MAX, REASON_MAX, Because, By, written
from app.wiring import House
from billing.breaker import SamePersonError, StopReleasedError, StopUnknownError
from billing.io.api_run import STOPS_SHOWN, stop_shown
from billing.io.run_stops import RunStops

StopNo = Annotated[int, typer.Argument(help="The number of the stop.")]

# What was asked wrongly, and is the asker's to mend.
_MISTAKES: Final = (SamePersonError, StopReleasedError, StopUnknownError, ValueError)

debit_run = typer.Typer(
    no_args_is_help=True, help="Whether debits are taken at all, and who lets them go on."
)


def do(work: Callable[[House], Awaitable[Any]], *, state: Path | None, as_json: bool) -> None:
    """Open the house, work, print; what was asked wrongly ends with a sentence."""
    command.do(work, mistakes=_MISTAKES, state=state, as_json=as_json)


@debit_run.command("status")
def status(*, state: State = None, as_json: Json = False) -> None:
    """Say whether the run is stopped, why, how many debits wait, and the newest stops."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        stops = RunStops(house.pool)
        waiting = await stops.waiting()
        found = await stops.stops(only_open=False, limit=STOPS_SHOWN)
        return {
            "stopped": await stops.stopped() is not None,
            "announced": waiting.announced,
            "recorded": waiting.recorded,
            "stops": {one.stop_no: stop_shown(one).model_dump(mode="json") for one in found},
        }

    do(work, state=state, as_json=as_json)


@debit_run.command("stop")
def stop(*, because: Because, by: By, state: State = None, as_json: Json = False) -> None:
    """Stop the run at once: nothing is announced, recorded or sent until two people release it."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        made = await RunStops(house.pool).stop_by_hand(
            stopped_by=written(by, NAME_MAX),
            because=written(because, REASON_MAX),
            at=house.clock.now(),
        )
        return stop_shown(made).model_dump(mode="json")

    do(work, state=state, as_json=as_json)


@debit_run.command("release")
def release(
    stop_no: StopNo, *, because: Because, by: By, state: State = None, as_json: Json = False
) -> None:
    """Release one stop; the run goes on when two different people have released each."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        made = await RunStops(house.pool).release(
            stop_no,
            released_by=written(by, NAME_MAX),
            because=written(because, REASON_MAX),
            at=house.clock.now(),
        )
        return stop_shown(made).model_dump(mode="json")

    do(work, state=state, as_json=as_json)
