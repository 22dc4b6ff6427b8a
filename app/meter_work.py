"""What the commands about meters share: their options, an open house, a sentence for a mistake."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app import command
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

PublicHex = Annotated[str, typer.Option("--public-key", help="The key's bytes in hexadecimal.")]
Algorithm = Annotated[str, typer.Option(help="EdDSA or ES256.")]
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
    command.do(work, mistakes=_MISTAKES, state=state, as_json=as_json)


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
