"""The debit run over HTTP: whether it is stopped, and who lets it go on."""

from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field

from billing.breaker import RELEASES, SamePersonError, Stop, StopReleasedError, StopUnknownError
from billing.io.run_stops import RunStops
from metering.io.route import Call, Instant, Nothing, Policy, Wire, route
from metering.io.wire_desk import Sentence

STOPS_SHOWN: Final = 100


class StopPath(Wire):
    """One stop of the run."""

    stop_no: Annotated[int, Field(ge=1, le=2**31 - 1, strict=False, examples=[1])]


class NewStop(Wire):
    """Why a person stops the run."""

    because: Sentence


class NewRelease(Wire):
    """Why a person lets the run go on."""

    because: Sentence


class ReleaseShown(Wire):
    """One person's word that the run may go on."""

    released_by: str
    because: str
    released_at: Instant


class StopShown(Wire):
    """A stop: by a rule, with the figures it saw, or by a person."""

    stop_no: int
    cause: str
    facts: dict[str, int | str]
    stopped_by: str | None
    because: str | None
    stopped_at: Instant
    releases: list[ReleaseShown]
    releases_missing: Annotated[int, Field(ge=0, le=RELEASES)]


class RunShown(Wire):
    """Whether the run is stopped, how many debits wait, and its newest stops."""

    stopped: bool
    announced: Annotated[int, Field(description="debits that were announced and wait")]
    recorded: Annotated[int, Field(description="orders that were written down and wait")]
    stops: Annotated[list[StopShown], Field(max_length=STOPS_SHOWN)]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunApi:
    """The routes of the debit run as a whole."""

    stops: RunStops

    @route(
        "GET",
        "/v1/debit-run",
        policy=Policy.OPERATOR,
        summary="Show whether the debit run is stopped",
        tag="debits",
    )
    async def show_debit_run(self, _call: Call[Nothing, Nothing, Nothing]) -> RunShown:
        """Show the newest stops with their figures, and how many debits wait."""
        found = await self.stops.stops(only_open=False, limit=STOPS_SHOWN)
        waiting = await self.stops.waiting()
        return RunShown(
            stopped=await self.stops.stopped() is not None,
            announced=waiting.announced,
            recorded=waiting.recorded,
            stops=[stop_shown(one) for one in found],
        )

    @route(
        "POST",
        "/v1/debit-run/stops",
        policy=Policy.OPERATOR,
        summary="Stop the debit run",
        tag="debits",
    )
    async def stop_debit_run(self, call: Call[Nothing, Nothing, NewStop]) -> StopShown:
        """Stop it at once; a run that a person has stopped stays stopped as it is."""
        return stop_shown(
            await self.stops.stop_by_hand(
                stopped_by=call.signature, because=call.body.because, at=call.at
            )
        )

    @route(
        "POST",
        "/v1/debit-run/stops/{stop_no}/releases",
        policy=Policy.OPERATOR,
        summary="Let the debit run go on",
        tag="debits",
        raises=(StopUnknownError, StopReleasedError, SamePersonError),
    )
    async def release_debit_run(self, call: Call[StopPath, Nothing, NewRelease]) -> StopShown:
        """Release one stop; the run goes on when two different people have released each."""
        return stop_shown(
            await self.stops.release(
                call.path.stop_no,
                released_by=call.signature,
                because=call.body.because,
                at=call.at,
            )
        )


def stop_shown(stop: Stop) -> StopShown:
    """Write a stop for people."""
    return StopShown(
        stop_no=stop.stop_no,
        cause=stop.cause.value,
        facts=dict(stop.facts),
        stopped_by=stop.stopped_by,
        because=stop.because,
        stopped_at=stop.stopped_at,
        releases=[
            ReleaseShown(
                released_by=one.released_by, because=one.because, released_at=one.released_at
            )
            for one in stop.releases
        ],
        releases_missing=RELEASES - len(stop.releases),
    )
