"""The days of a meter by hand: ``aqkol meter gaps``, ``declare-gap`` and ``withdraw-gap``."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import typer

from app.command import Json, MeterName, State
from app.meter_work import (
    NAME_MAX,
    REASON_MAX,
    Because,
    By,
    do,
    name_of,
    written,
)
from app.wiring import House
from billing.period import Calendar
from metering.gaps import DeclaredGap, GapReason
from metering.io.gaps import Gaps
from metering.survey import Days

From = Annotated[
    datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day.")
]
To = Annotated[
    datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="The first day after.")
]


def gaps(
    meter_id: MeterName,
    *,
    from_day: From = None,
    to_day: To = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Say of each day of a meter whether it was read, and of the rest why not."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        found = await _gaps(house).map(
            name_of(meter_id),
            from_day.date() if from_day else None,
            to_day.date() if to_day else None,
            at=house.clock.now(),
        )
        return {
            "meter_id": meter_id,
            "missing_days": sum(run.count for run in found.missing),
            "missing": {f"{run.start}": f"{run.count} days" for run in found.missing},
            "declared": {str(gap.gap_id): _shown(gap) for gap in found.declared},
            "days": {f"{day.day}": day.state.value for day in found.days},
        }

    do(work, state=state, as_json=as_json)


def declare_gap(  # noqa: PLR0913 - options
    meter_id: MeterName,
    *,
    from_day: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"])],
    to_day: Annotated[
        datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="The first day after the gap.")
    ],
    reason: Annotated[GapReason, typer.Option()],
    because: Because,
    by: By,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Say why a meter is silent on some days, so that nobody looks for its readings."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        gap, fresh = await _gaps(house).declare(
            name_of(meter_id),
            Days(start=from_day.date(), end=to_day.date()),
            reason=reason,
            because=written(because, REASON_MAX),
            declared_by=written(by, NAME_MAX),
            at=house.clock.now(),
        )
        return {"gap_id": str(gap.gap_id), **_shown(gap), "new": fresh}

    do(work, state=state, as_json=as_json)


def withdraw_gap(  # noqa: PLR0913 - options
    meter_id: MeterName,
    gap_id: Annotated[UUID, typer.Argument(help="The gap, as declare-gap named it.")],
    *,
    because: Because,
    by: By,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Take a declared gap back; it stays on record and explains nothing any more."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        gap, fresh = await _gaps(house).withdraw(
            name_of(meter_id),
            gap_id,
            because=written(because, REASON_MAX),
            withdrawn_by=written(by, NAME_MAX),
            at=house.clock.now(),
        )
        return {"gap_id": str(gap.gap_id), **_shown(gap), "new": fresh}

    do(work, state=state, as_json=as_json)


def _gaps(house: House) -> Gaps:
    return Gaps(pool=house.pool, calendar=Calendar(zone=house.settings.zone))


def _shown(gap: DeclaredGap) -> dict[str, Any]:
    """Return what people want to know of a gap; a withdrawal that never came is left out."""
    shown = {
        "from": gap.from_day.isoformat(),
        "to": gap.to_day.isoformat(),
        "reason": gap.reason.value,
        "because": gap.because,
        "declared_by": gap.declared_by,
    }
    if gap.withdrawn_at is not None:
        shown["withdrawn_by"] = str(gap.withdrawn_by)
        shown["withdrawn_because"] = str(gap.withdrawn_because)
    return shown
