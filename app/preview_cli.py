"""``aqkol month preview`` and ``aqkol month compare``: a month rehearsed, nothing written."""

import asyncio
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app.command import DONE, UNUSABLE, WRONG, Json, State, in_house, leave, say, settings_of
from app.meter_work import NAME_MAX, REASON_MAX, Because, By, written
from app.month_cli import MonthName, do, month
from app.wiring import House, billing_store
from billing.compare import CompareError, Comparison, Figures, Tolerance, compare
from billing.io.drafts import Drafts
from billing.io.months import Months
from billing.io.wire_preview import preview_shown
from billing.month import state_of
from billing.period import Period
from billing.preview import preview

# The group with these commands in it.
group: Final = month

# As many accounts as a person reads at once.
ACCOUNTS_SHOWN: Final = 1000


@month.command("preview")
def preview_month(period: MonthName, *, state: State = None, as_json: Json = False) -> None:
    """Show what the run of a month would issue and hold, beside the month before; write nothing."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        made = await preview(
            store=_drafts(house),
            period=Period.parse(period),
            at=house.clock.now(),
            zone=house.settings.zone,
        )
        shown = preview_shown(made).model_dump(mode="json")
        if not as_json:
            shown["changes"] = {
                one["account_id"]: f"{one['last_total_minor']} -> {one['total_minor']}"
                for one in shown["changes"]
            }
        return shown

    do(work, state=state, as_json=as_json)


@month.command("approve")
def approve_month(  # noqa: PLR0913 - options
    period: MonthName,
    *,
    total_minor: Annotated[int, typer.Option(help="The total that the preview showed.")],
    because: Because,
    by: By,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Approve the figures of a month, before its first bills go out; the next run issues them."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        wanted, at = Period.parse(period), house.clock.now()
        made = await preview(store=_drafts(house), period=wanted, at=at, zone=house.settings.zone)
        await Months(pool=house.pool).approve(
            wanted,
            bills=made.drafted,
            total_minor=made.total_minor,
            seen_minor=total_minor,
            said_by=written(by, NAME_MAX),
            because=written(because, REASON_MAX),
            at=at,
        )
        return {"period": wanted.label, "bills": made.drafted, "total_minor": made.total_minor}

    do(work, state=state, as_json=as_json)


@month.command("state")
def month_state(period: MonthName, *, state: State = None, as_json: Json = False) -> None:
    """Say where a month stands on the way to its bills, and which steps it took."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        steps = await Months(pool=house.pool).steps(Period.parse(period))
        return {
            "state": state_of(steps).value,
            "steps": {
                str(step.step_no): {
                    "state": step.state.value,
                    "bills": step.bills,
                    "total_minor": step.total_minor,
                    "said_by": step.said_by,
                    "because": step.because,
                    "at": step.at.isoformat(),
                }
                for step in steps
            },
        }

    do(work, state=state, as_json=as_json)


@month.command("without-meter")
def without_meter(
    period: MonthName,
    *,
    after: Annotated[str, typer.Option(help="Go on after this account.")] = "",
    state: State = None,
    as_json: Json = False,
) -> None:
    """List accounts that live in a month without any meter; no run bills them."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        found = await Months(pool=house.pool).without_meter(
            Period.parse(period), zone=house.settings.zone, after=after, limit=ACCOUNTS_SHOWN
        )
        return {"accounts": found, "more": len(found) == ACCOUNTS_SHOWN}

    do(work, state=state, as_json=as_json)


@month.command("compare")
def compare_month(  # noqa: PLR0913 - options
    period: MonthName,
    file: Annotated[Path, typer.Argument(help="The other system's CSV.")],
    *,
    tolerance_minor: Annotated[int, typer.Option(help="Minor units that may differ.")] = 0,
    tolerance_dm3: Annotated[int, typer.Option(help="Litres that may differ.")] = 0,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Compare our bills of a month, issued or not, with another system's; write nothing.

    Ends with 0 if every account is alike, with 1 if not, with 2 if the file cannot be compared.
    """

    async def work(house: House, _stopping: asyncio.Event) -> int:
        try:
            with file.open("rb") as lines:
                made = await compare(
                    store=_drafts(house),
                    lines=lines,
                    period=Period.parse(period),
                    at=house.clock.now(),
                    zone=house.settings.zone,
                    tolerance=Tolerance(volume_dm3=tolerance_dm3, minor=tolerance_minor),
                )
        except (CompareError, ValueError) as error:
            raise leave(f"{error}.", UNUSABLE) from None
        except OSError as error:
            raise leave(f"{file} cannot be read: {error.strerror}.", UNUSABLE) from None
        say(_shown(made), as_json=as_json)
        return DONE if made.same else WRONG

    in_house(settings_of(state=state), work)


def _drafts(house: House) -> Drafts:
    return Drafts(pool=house.pool, store=billing_store(house.pool, house.settings))


def _shown(made: Comparison) -> dict[str, Any]:
    return {
        "period": made.period.label,
        "same": made.same,
        "equal": made.equal,
        "ours_minor": made.ours_minor,
        "theirs_minor": made.theirs_minor,
        **{kind.value: count for kind, count in made.counts.items()},
        "bad_rows_total": made.bad_rows_total,
        "bad_rows": {str(row.line_no): row.fault.value for row in made.bad_rows},
        "differences": {
            one.account_id: {
                "kind": one.kind.value,
                "ours": _figures(one.ours),
                "theirs": _figures(one.theirs),
                "reason": one.reason,
            }
            for one in made.differences
        },
    }


def _figures(figures: Figures | None) -> dict[str, int] | None:
    if figures is None:
        return None
    return {
        "volume_dm3": figures.volume_dm3,
        "net_minor": figures.net_minor,
        "vat_minor": figures.vat_minor,
        "total_minor": figures.total_minor,
    }
