"""What the commands about meters share: their options, an open house, a sentence for a mistake."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app.wiring import House
from metering.device import KeyUnusableError, PublicKey, StateError
from metering.io.custody import ClaimSettledError, NotRevokedError, StillInstalledError
from metering.io.device_rows import KeyKnownError
from metering.io.devices import (
    KeyUnknownError,
    MeterKnownError,
    RotationRefusedError,
)
from metering.io.gaps import GapOverlapsError, GapUnknownError, GapWithdrawnError
from metering.io.registry import MeterUnknownError
from metering.meter import METER_ID

DONE: Final = 0
UNUSABLE: Final = 2

MeterName = Annotated[str, typer.Argument(help="The meter's id, such as AQ-000123.")]
PublicHex = Annotated[str, typer.Option("--public-key", help="The key's bytes in hexadecimal.")]
Algorithm = Annotated[str, typer.Option(help="EdDSA or ES256.")]
State = Annotated[
    Path | None, typer.Option("--state", help="Folder of the embedded servers (AQKOL_STATE).")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
# As long as the database keeps a name and a reason.
By = Annotated[str, typer.Option("--by", help="Who says so, at most 100 letters.")]
Because = Annotated[str, typer.Option("--because", help="Why, in at most 500 letters.")]
NAME_MAX: Final = 100
REASON_MAX: Final = 500

# What was asked wrongly, and is the asker's to mend.
_MISTAKES: Final = (
    ClaimSettledError,
    NotRevokedError,
    StillInstalledError,
    GapOverlapsError,
    GapUnknownError,
    GapWithdrawnError,
    KeyKnownError,
    KeyUnknownError,
    MeterKnownError,
    MeterUnknownError,
    RotationRefusedError,
    StateError,
    ValueError,
)


def do(work: Callable[[House], Awaitable[Any]], *, state: Path | None, as_json: bool) -> None:
    """Open the house, work, print; what was asked wrongly ends with a sentence."""
    from app import __main__ as shell  # noqa: PLC0415 - it lists our commands among its own

    async def main(house: House, _stopping: object) -> int:
        try:
            result = await work(house)
        except _MISTAKES as error:
            raise shell.leave(f"{_said(error)}.", UNUSABLE) from None
        shell.say(result, as_json=as_json)
        return DONE

    shell.in_house(shell.settings_of(state=state), main)


def name_of(meter_id: str) -> str:
    """Return an id that a meter can have.

    Raises:
        MeterUnknownError: no meter can have it.
    """
    if METER_ID.fullmatch(meter_id) is None:
        raise MeterUnknownError("no meter can have this id")
    return meter_id


def key_of(algorithm: str, public_key: str) -> PublicKey:
    """Return a public key, checked to be one.

    Raises:
        KeyUnusableError: it is none that only one can sign for.
    """
    try:
        raw = bytes.fromhex(public_key)
    except ValueError:
        raise KeyUnusableError("a public key is written in hexadecimal") from None
    return PublicKey(algorithm=algorithm, public_key=raw)


def written(text: str, most: int) -> str:
    """Return what a person wrote, once it can be kept.

    Raises:
        ValueError: it is empty, too long, or holds control characters.
    """
    if not 1 <= len(text) <= most or not text.isprintable():
        raise ValueError(f"a name or a reason has 1 to {most} letters on one line")
    return text


def _said(error: Exception) -> str:
    """Return an error's words; one that needs none over HTTP says here what it is."""
    return str(error) or str(type(error).__doc__).rstrip(".")
