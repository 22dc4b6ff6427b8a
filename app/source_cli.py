"""``aqkol source``: which device of other makers' hardware is which meter."""

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

import typer

from app.command import Json, MeterName, State, bytes_of, do, say
from app.wiring import House
from metering.adapter import Source
from metering.family import FAMILIES, about
from metering.io.registry import MeterUnknownError
from metering.io.route import PAGE_MAX
from metering.io.sources import Entry, SourceBook, SourceClaimedError, SourceUnknownError
from metering.io.wire_sources import trial_shown

# Who entered it, when nobody's token did.
ENTERED_BY: Final = "aqkol source"

_NO_SOURCE: Final = UUID(int=0)
_MISTAKES: Final = (MeterUnknownError, SourceClaimedError, SourceUnknownError, ValueError)

Family = Annotated[str, typer.Argument(help="The hardware's family; see the command families.")]
Topic = Annotated[str, typer.Argument(help="An MQTT filter, such as tele/gate/SNS/123.")]
Device = Annotated[
    str, typer.Option(help="Who it is in the payload; empty where the topic alone says it.")
]
Weight = Annotated[str, typer.Option(help="dm3 of one count, such as 10, 0.1 or 1/3.")]
Offset = Annotated[int, typer.Option(help="What the dial showed when the count was 0.")]
Unit = Annotated[str, typer.Option(help="Unit of a bare number: m3, dm3, l or count.")]
Zone = Annotated[str, typer.Option(help="Time zone of a local time, such as Asia/Almaty.")]
EveryS = Annotated[
    int, typer.Option("--every-s", help="Least seconds between messages without a time.")
]

source = typer.Typer(
    help="Say which device of other makers' hardware is which meter.", no_args_is_help=True
)


@source.command()
def add(  # noqa: PLR0913 - options
    family: Family,
    topic: Topic,
    meter_id: MeterName,
    *,
    device: Device = "",
    dm3_per_count: Weight = "1",
    offset_dm3: Offset = 0,
    unit: Unit = "m3",
    zone: Zone = "UTC",
    every_s: EveryS = 3600,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Listen to a device for a meter; a running ingest notices within a minute."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        wanted = Source(
            source_id="",
            family=family,
            topic=topic,
            meter_id=meter_id,
            device=device,
            dm3_per_count=_weight(dm3_per_count),
            offset_dm3=offset_dm3,
            unit=unit,
            zone=zone,
            every_s=every_s,
        )
        entry, fresh = await _book(house).add(wanted, by=ENTERED_BY, at=house.clock.now())
        return {"source_id": entry.source.source_id, **_shown(entry), "new": fresh}

    do(work, mistakes=_MISTAKES, state=state, as_json=as_json)


@source.command("list")
def list_all(
    *,
    removed: Annotated[
        bool, typer.Option("--removed", help="Those that were removed too.")
    ] = False,
    state: State = None,
    as_json: Json = False,
) -> None:
    """List the sources that are listened to."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        found: dict[str, Any] = {}
        after = _NO_SOURCE
        while page := await _book(house).page(after=after, page=PAGE_MAX):
            after = UUID(page[-1].source.source_id)
            found |= {
                entry.source.source_id: _shown(entry)
                for entry in page
                if removed or entry.removed_at is None
            }
        return found

    do(work, mistakes=_MISTAKES, state=state, as_json=as_json)


@source.command()
def families(*, as_json: Json = False) -> None:
    """List the families of hardware that can be read."""
    say({name: about(read) for name, read in sorted(FAMILIES.items())}, as_json=as_json)


@source.command()
def remove(
    source_id: Annotated[UUID, typer.Argument(help="The source's id.")],
    *,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Listen to a source no more; what it brought stays."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        entry = await _book(house).remove(source_id, by=ENTERED_BY, at=house.clock.now())
        return {"source_id": entry.source.source_id, **_shown(entry)}

    do(work, mistakes=_MISTAKES, state=state, as_json=as_json)


@source.command("try")
def try_it(  # noqa: PLR0913 - options
    family: Family,
    topic: Topic,
    payload: Annotated[Path, typer.Argument(help="A file with one payload.")],
    *,
    message_topic: Annotated[
        str | None, typer.Option(help="Where it was published, if --topic has + or #.")
    ] = None,
    retained: Annotated[bool, typer.Option("--retained", help="As an old message.")] = False,
    device: Device = "",
    dm3_per_count: Weight = "1",
    offset_dm3: Offset = 0,
    unit: Unit = "m3",
    zone: Zone = "UTC",
    state: State = None,
    as_json: Json = False,
) -> None:
    """Say what a message would be under a source; nothing is stored."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        wanted = Source(
            source_id="",
            family=family,
            topic=topic,
            meter_id="TRY",
            device=device,
            dm3_per_count=_weight(dm3_per_count),
            offset_dm3=offset_dm3,
            unit=unit,
            zone=zone,
        )
        heard, said = _book(house).tried(
            wanted,
            topic=message_topic or topic,
            payload=bytes_of(payload),
            retained=retained,
            at=house.clock.now(),
        )
        return trial_shown(said, heard=heard).model_dump(mode="json")

    do(work, mistakes=_MISTAKES, state=state, as_json=as_json)


def _book(house: House) -> SourceBook:
    return SourceBook(pool=house.pool)


def _weight(text: str) -> Fraction:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{text!a} is not a number of dm3, such as 10, 0.1 or 1/3") from None


def _shown(entry: Entry) -> dict[str, Any]:
    """Return what people want to know of a source; what is as always is left out."""
    told = entry.source
    rare = {
        "device": told.device or None,
        "dm3_per_count": None if told.dm3_per_count == 1 else str(told.dm3_per_count),
        "offset_dm3": told.offset_dm3 or None,
        "removed_by": entry.removed_by,
        "removed_at": entry.removed_at,
    }
    return {
        "family": told.family,
        "topic": told.topic,
        "meter_id": told.meter_id,
        "unit": told.unit,
        "zone": told.zone,
        "every_s": told.every_s,
        **{name: value for name, value in rare.items() if value is not None},
        "entered_by": entry.entered_by,
        "entered_at": entry.entered_at,
    }
