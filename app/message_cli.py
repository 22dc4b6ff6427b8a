"""What residents are told and no relay has taken, by hand: ``aqkol message``."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app import command
from app.command import Json, State
from app.wiring import House
from billing.io.outbox import FIRST, MessageViews

SHOWN_MAX: Final = 200

# What was asked wrongly, and is the asker's to mend.
_MISTAKES: Final = (ValueError,)

message = typer.Typer(
    no_args_is_help=True, help="Messages that no relay has taken, and those a person must look at."
)


def do(work: Callable[[House], Awaitable[Any]], *, state: Path | None, as_json: bool) -> None:
    """Open the house, work, print; what was asked wrongly ends with a sentence."""
    command.do(work, mistakes=_MISTAKES, state=state, as_json=as_json)


@message.command("list")
def listed(
    *,
    stuck: Annotated[
        bool, typer.Option("--stuck", help="Only those that wait for a person.")
    ] = False,
    state: State = None,
    as_json: Json = False,
) -> None:
    """List messages that are not sent, the oldest first, without saying to whom."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        views = MessageViews(pool=house.pool)
        found = await views.stuck(after=FIRST, page=SHOWN_MAX)
        if not stuck:
            found += await views.waiting(page=SHOWN_MAX)
        return {f"{one.account_id} {one.message_id}": asdict(one) for one in found}

    do(work, state=state, as_json=as_json)


@message.command("send-again")
def send_again(
    account_id: Annotated[str, typer.Argument(help="Whose messages, such as ACC-1.")],
    message_id: Annotated[
        str | None, typer.Argument(help="Which one, such as receipt/2026-01/1/1; else all.")
    ] = None,
    *,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Send what is stuck again, to the contact that holds now; what was taken is not sent twice."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        views = MessageViews(pool=house.pool)
        again = await views.send_again(account_id, message_id, at=house.clock.now())
        if not again:
            raise ValueError("nothing of this name is stuck, or it was for an address of then")
        return {"messages": again}

    do(work, state=state, as_json=as_json)
