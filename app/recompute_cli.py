"""The command ``aqkol recompute``: is a bill right? It needs no settings and no server."""

from pathlib import Path
from typing import Annotated

import typer

from app.command import Json
from billing.recompute.__main__ import recompute as check_file

Bill = Annotated[Path, typer.Argument(help="The record of a bill, as a file of JSON.")]
Cancelled = Annotated[
    Path | None, typer.Argument(help="Of a cancellation: the record of the bill it takes back.")
]


def recompute(bill: Bill, cancelled: Cancelled = None, *, as_json: Json = False) -> None:
    """Work a bill out again from its record alone, and say what differs."""
    raise typer.Exit(check_file(bill, cancelled, as_json=as_json))
