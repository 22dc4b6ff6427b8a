"""The commands by the month: ``validate``, ``reconcile``, ``correct`` and the group ``month``."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app import command, verbs
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
from app.meter_work import NAME_MAX, REASON_MAX, Because, By, written
from app.wiring import House, billing_store
from billing.io.accounts import AccountUnknownError
from billing.io.holds import (
    HoldDiffersError,
    HoldNotReleasableError,
    Holds,
    HoldUnknownError,
    MonthBilledError,
    QuestionAnsweredError,
    QuestionUnknownError,
    TooManyQuestionsError,
)
from billing.io.months import DraftDiffersError, MonthApprovedError
from billing.outsorting import (
    FLOOR_MINOR,
    HIGH_PERCENT,
    MONTHS_BACK,
    Outsorting,
    OutsortingWord,
    in_force,
)
from billing.period import Period

Month = Annotated[str | None, typer.Option("--period", help="One month, such as 2026-01.")]

MonthName = Annotated[str, typer.Argument(help="One month, such as 2026-01.")]
AccountName = Annotated[str, typer.Argument(help="The account's id, such as A-000123.")]

# As many held bills as a person reads.
HOLDS_SHOWN: Final = 1000

# What was asked wrongly, and is the asker's to mend.
MISTAKES: Final = (
    DraftDiffersError,
    MonthApprovedError,
    AccountUnknownError,
    QuestionAnsweredError,
    QuestionUnknownError,
    HoldDiffersError,
    HoldNotReleasableError,
    HoldUnknownError,
    MonthBilledError,
    TooManyQuestionsError,
    ValueError,
)

month = typer.Typer(
    no_args_is_help=True, help="What people do to the bills of a month before they are issued."
)

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


def do(work: Callable[[House], Awaitable[Any]], *, state: Path | None, as_json: bool) -> None:
    """Open the house, work, print; what was asked wrongly ends with a sentence."""
    command.do(work, mistakes=MISTAKES, state=state, as_json=as_json)


@month.command("holds")
def holds(period: MonthName, *, state: State = None, as_json: Json = False) -> None:
    """List the bills of a month that wait, each with its reason and the figures behind it."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        store = billing_store(house.pool, house.settings)
        found = await store.holds(Period.parse(period).start, limit=HOLDS_SHOWN, after="")
        return {
            hold.account_id: {
                "reason": hold.reason.value,
                "meter_id": hold.meter_id,
                "noted_at": hold.noted_at.isoformat(),
                **hold.detail,
            }
            for hold in found
        }

    do(work, state=state, as_json=as_json)


@month.command("release")
def release(  # noqa: PLR0913 - options
    period: MonthName,
    account_id: AccountName,
    *,
    total_minor: Annotated[int, typer.Option(help="The total that was seen, in minor units.")],
    because: Because,
    by: By,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Let an unusual bill go out, up to the total that was seen; the next run issues it."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        made, fresh = await Holds(pool=house.pool).release(
            account_id,
            Period.parse(period),
            total_minor=total_minor,
            because=written(because, REASON_MAX),
            released_by=written(by, NAME_MAX),
            at=house.clock.now(),
        )
        return {"release_no": made.release_no, "total_minor": made.total_minor, "new": fresh}

    do(work, state=state, as_json=as_json)


@month.command("question")
def question(  # noqa: PLR0913 - options
    period: MonthName,
    account_id: AccountName,
    *,
    because: Because,
    by: By,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Question a month that has no bill yet; the bill waits for the answer."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        made, fresh = await Holds(pool=house.pool).question(
            account_id,
            Period.parse(period),
            because=written(because, REASON_MAX),
            asked_by=written(by, NAME_MAX),
            at=house.clock.now(),
        )
        return {"question_no": made.question_no, "new": fresh}

    do(work, state=state, as_json=as_json)


@month.command("answer")
def answer_question(  # noqa: PLR0913 - options
    period: MonthName,
    account_id: AccountName,
    question_no: Annotated[int, typer.Argument(help="Its number.")],
    *,
    because: Because,
    by: By,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Answer a question about a month; the next run takes the month up again."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        made, fresh = await Holds(pool=house.pool).close(
            account_id,
            Period.parse(period),
            question_no,
            because=written(because, REASON_MAX),
            answered_by=written(by, NAME_MAX),
            at=house.clock.now(),
        )
        return {"question_no": made.question_no, "new": fresh}

    do(work, state=state, as_json=as_json)


@month.command("outsorting")
def outsorting(period: MonthName, *, state: State = None, as_json: Json = False) -> None:
    """Say by which figures unusual bills of a month are held, and who said them."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        words = await Holds(pool=house.pool).outsorting()
        wanted = Period.parse(period)
        return {
            "in_force": _figures(in_force(words, wanted)),
            "words": {f"{word.valid_from}/{word.revision}": _word(word) for word in words},
        }

    do(work, state=state, as_json=as_json)


@month.command("set-outsorting")
def set_outsorting(  # noqa: PLR0913 - options
    *,
    valid_from: Annotated[str, typer.Option("--from", help="The first day, such as 2026-02-01.")],
    high_percent: Annotated[int, typer.Option(help="Percent of the habit.")] = HIGH_PERCENT,
    floor_minor: Annotated[int, typer.Option(help="How far above, minor units.")] = FLOOR_MINOR,
    months_back: Annotated[int, typer.Option(help="Months whose mean counts.")] = MONTHS_BACK,
    first_minor: Annotated[
        int | None, typer.Option(help="For accounts without an earlier bill; unset: none waits.")
    ] = None,
    by: By,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Say from which bill on a person looks first, for months that begin on a day or later."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        word = await Holds(pool=house.pool).say_outsorting(
            Outsorting(
                high_percent=high_percent,
                floor_minor=floor_minor,
                months_back=months_back,
                first_minor=first_minor,
            ),
            valid_from=command.day_of(valid_from),
            approved_by=written(by, NAME_MAX),
            at=house.clock.now(),
        )
        return {"revision": word.revision, **_word(word)}

    do(work, state=state, as_json=as_json)


def _figures(figures: Outsorting) -> dict[str, Any]:
    return {
        "high_percent": figures.high_percent,
        "floor_minor": figures.floor_minor,
        "months_back": figures.months_back,
        "first_minor": figures.first_minor,
    }


def _word(word: OutsortingWord) -> dict[str, Any]:
    return {**_figures(word.figures), "approved_by": word.approved_by}
