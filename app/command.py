"""What all commands share: options, exit codes, an open house, and words for what went wrong."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import asyncpg
import structlog
import typer
from pydantic import BaseModel, ValidationError

from app import config, logs
from app.config import Settings, SettingsError
from app.demo_town import DemoError
from app.run import Clock, FileClock, SystemClock, is_away, until_told
from app.servers.child import ServerError
from app.signing import SigningKeyError
from app.wiring import DatabaseError, House, opened
from billing.reconcile import PeriodNotOverError
from metering.validate import WindowNotOverError

log = structlog.get_logger()

DONE: Final = 0
WRONG: Final = 1
UNUSABLE: Final = 2
MISSING: Final = 3
OURS: Final = 70

State = Annotated[
    Path | None, typer.Option("--state", help="Folder of the embedded servers (AQKOL_STATE).")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Once = Annotated[bool, typer.Option("--once", help="Do it once instead of again and again.")]
MeterName = Annotated[str, typer.Argument(help="The meter's id, such as AQ-000123.")]

Work = Callable[[House, asyncio.Event], Awaitable[int]]
Model = TypeVar("Model", bound=BaseModel)


def say(result: Any, *, as_json: bool) -> None:  # noqa: ANN401 - counts of any verb
    """Print a result on standard output: JSON for programs, lines for people."""
    if as_json:
        print(json.dumps(result, default=str))
        return
    for line in _lines(result):
        print(line)


def _lines(result: Any, indent: str = "") -> list[str]:  # noqa: ANN401 - see above
    if not isinstance(result, dict):
        return [f"{indent}{result}"]
    lines = []
    for name, value in result.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}", *_lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {value}")
    return lines


def leave(sentence: str, code: int) -> typer.Exit:
    """Say one plain sentence on standard error and return what to raise."""
    sys.stderr.write(f"aqkol: {sentence}\n")
    return typer.Exit(code)


def settings_of(**chosen: Any) -> Settings:  # noqa: ANN401 - options, validated by the settings
    """Return the settings and set up the log; mistakes end the process with a sentence."""
    try:
        settings = config.load(**chosen)
    except SettingsError as error:
        raise leave(str(error), UNUSABLE) from None
    logs.configure(settings.log_format)
    return settings


def clock_of(settings: Settings) -> Clock:
    """Return the clock of this process; a rehearsal's file that cannot be used ends it."""
    if settings.clock_file is None:
        return SystemClock()
    try:
        return FileClock(settings.clock_file)
    except (OSError, ValueError) as error:
        raise leave(f"AQKOL_CLOCK_FILE cannot be used: {error}.", UNUSABLE) from None


def run(main: Callable[[asyncio.Event], Awaitable[int]]) -> None:
    """Run a command until it is done or told to stop, and end the process with its code."""
    try:
        code = asyncio.run(until_told(main))
    except BaseException as error:  # noqa: BLE001 - whatever it was, it gets words and a code
        raise _ending(error) from None
    raise typer.Exit(code)


def _ending(error: BaseException) -> BaseException:
    """Turn what ended a command into its last words and its exit code."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, (ServerError, DatabaseError, DemoError, SigningKeyError)):
        return leave(str(error), MISSING)
    if isinstance(error, (SettingsError, PeriodNotOverError, WindowNotOverError)):
        return leave(str(error) if isinstance(error, SettingsError) else f"{error}.", UNUSABLE)
    if isinstance(error, typer.Exit):
        return error
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return typer.Exit(130)
    if is_away(error):
        reason = str(error) or type(error).__name__
        return leave(f"something we need is not there: {reason}.", MISSING)
    log.error("process.broken", exc_info=error)
    return leave("this is a mistake of ours; the log above says where.", OURS)


def in_house(settings: Settings, work: Work, **needs: bool) -> None:
    """Run a command's work in an opened house."""

    async def main(stopping: asyncio.Event) -> int:
        async with opened(settings, clock=clock_of(settings), stopping=stopping, **needs) as house:
            return DONE if stopping.is_set() else await work(house, stopping)

    run(main)


def do(
    work: Callable[[House], Awaitable[Any]],
    *,
    mistakes: tuple[type[Exception], ...],
    state: Path | None,
    as_json: bool,
) -> None:
    """Open the house, work, print; what was asked wrongly ends with a sentence.

    Args:
        work: does it and returns what to print.
        mistakes: the errors that are the asker's to mend.
        state: the folder of the embedded servers.
        as_json: whether a program reads it.
    """

    async def main(house: House, _stopping: object) -> int:
        try:
            result = await work(house)
        except mistakes as error:
            # An error that needs no words over HTTP says here what it is.
            said = str(error) or str(type(error).__doc__).rstrip(".")
            raise leave(f"{said}.", UNUSABLE) from None
        except asyncpg.DataError as error:
            # The driver's own, before anything was asked: the database's have names of their own.
            if type(error) is not asyncpg.DataError:
                raise
            raise leave("a name or a number in this cannot be looked up.", UNUSABLE) from None
        say(result, as_json=as_json)
        return DONE

    in_house(settings_of(state=state), main)


def day_of(text: str) -> date:
    """Return a day that somebody wrote.

    Raises:
        ValueError: it is none.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError("a day is written like 2026-02-01") from None


def bytes_of(file: Path) -> bytes:
    """Return what a file holds.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None


def told_in(file: Path, model: type[Model]) -> Model:
    """Return what a file of JSON says.

    Raises:
        ValueError: it cannot be read, or does not say that.
    """
    content = bytes_of(file)
    return checked(lambda: model.model_validate_json(content), str(file))


def checked(read: Callable[[], Model], what: str) -> Model:
    """Return what was read, or say in one sentence what cannot be used and where.

    Raises:
        ValueError: it does not fit.
    """
    try:
        return read()
    except ValidationError as error:
        mistake = error.errors()[0]
        where = "/".join(str(part) for part in mistake["loc"])
        raise ValueError(
            f"{what} cannot be used at {where or 'its root'}: {mistake['msg']}"
        ) from None
