"""``aqkol export``: what leaves for the settlement centre and the accountants, as files.

A file is written under another name beside its own, flushed to the disk, and renamed when it is
whole and adds up: an interrupted export leaves the file of before, or none.
"""

import json
import os
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import IO, Annotated, Any, Final
from uuid import uuid4

import typer

from app.command import Json, State, day_of, do
from app.wiring import House
from billing.export import (
    BadDaysError,
    BadInstantError,
    Form,
    Sink,
    Taken,
    export_journal,
    export_month,
    journal_order,
    month_order,
)
from billing.io.exports import Exports
from billing.period import Period
from billing.settlement import NotReconciledError, Service

EXPORTED_BY: Final = "command line"
PURPOSE_MAX: Final = 500
_ENDINGS: Final = {Form.CSV: "csv", Form.JSON: "json", Form.SUMMARY: "summary.json"}

export = typer.Typer(
    help="Write what the settlement centre and the accountants need.", no_args_is_help=True
)

FormName = Annotated[str, typer.Option("--form", help="csv, json or summary.")]
Out = Annotated[Path | None, typer.Option("--out", help="The file; named after its content.")]

_MISTAKES: Final = (BadDaysError, BadInstantError, NotReconciledError, ValueError, OSError)


@export.command("settlement")
def export_settlement(  # noqa: PLR0913 - options
    month: Annotated[str, typer.Argument(help="A month that is over, such as 2026-01.")],
    *,
    form: FormName = "csv",
    service: Annotated[str, typer.Option(help="gas.")] = "gas",
    with_names: Annotated[
        bool, typer.Option("--with-names", help="With names and addresses; needs --purpose.")
    ] = False,
    purpose: Annotated[
        str | None, typer.Option(help="What the names are needed for; it is kept.")
    ] = None,
    out: Out = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Write one row per account of a month; beside a CSV, its sums in a .summary.json."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        demand_service(service)
        taken = taken_by(house, with_names=with_names, purpose=purpose)
        order = month_order(
            month,
            as_of=None,
            form=form_of(form, (Form.CSV, Form.JSON, Form.SUMMARY)),
            at=house.clock.now(),
            zone=house.settings.zone,
        )
        if taken is not None and order.form is Form.SUMMARY:
            raise ValueError("a summary holds no names")

        async def write(sink: Sink) -> dict[str, Any]:
            return await export_month(
                Exports(pool=house.pool), order, sink, payee=house.settings.payee, taken=taken
            )

        file = out or Path(f"settlement-{order.period.label}.{_ENDINGS[order.form]}")
        return await into(file, write, form=order.form)

    do(work, mistakes=_MISTAKES, state=state, as_json=as_json)


@export.command("journal")
def export_journal_of_days(  # noqa: PLR0913 - options
    month: Annotated[
        str | None, typer.Argument(help="A month that is over; or name the days.")
    ] = None,
    *,
    from_day: Annotated[str | None, typer.Option("--from", help="The first local day.")] = None,
    to_day: Annotated[
        str | None, typer.Option("--to", help="The first local day after the last.")
    ] = None,
    form: FormName = "csv",
    out: Out = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Write every posted transfer of some days; beside a CSV, its sums in a .summary.json."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        first, after = days_of(month, from_day, to_day)
        order = journal_order(
            first,
            after,
            form=form_of(form, (Form.CSV, Form.SUMMARY)),
            at=house.clock.now(),
            zone=house.settings.zone,
        )

        async def write(sink: Sink) -> dict[str, Any]:
            return await export_journal(
                Exports(pool=house.pool), order, sink, chart=house.settings.chart_of_accounts
            )

        file = out or Path(f"journal-{first}-{after}.{_ENDINGS[order.form]}")
        return await into(file, write, form=order.form)

    do(work, mistakes=_MISTAKES, state=state, as_json=as_json)


def demand_service(service: str) -> None:
    """Refuse a service that is not charged here.

    Raises:
        ValueError: it is not.
    """
    if service not in set(Service):
        raise ValueError(f"--service is one of {', '.join(Service)}")


def form_of(form: str, known: tuple[Form, ...]) -> Form:
    """Return the form of an export.

    Raises:
        ValueError: there is no such form of it.
    """
    if form not in known:
        raise ValueError(f"--form is one of {', '.join(known)}")
    return Form(form)


def days_of(month: str | None, from_day: str | None, to_day: str | None) -> tuple[date, date]:
    """Return the first day and the first day after, said as a month or as days.

    Raises:
        ValueError: they were said in neither way, or in both.
    """
    if month is not None and from_day is None and to_day is None:
        period = Period.parse(month)
        return period.start, period.end
    if month is None and from_day is not None and to_day is not None:
        return day_of(from_day), day_of(to_day)
    raise ValueError("name a month, or the days with --from and --to")


def taken_by(house: House, *, with_names: bool, purpose: str | None) -> Taken | None:
    """Return who takes names away and why; None when nobody does.

    Raises:
        ValueError: names without a purpose, or a purpose that cannot be kept.
    """
    if not with_names:
        if purpose is not None:
            raise ValueError("--purpose belongs to --with-names")
        return None
    if purpose is None or not purpose.strip():
        raise ValueError("--with-names needs --purpose: what the names are needed for")
    if len(purpose) > PURPOSE_MAX or not purpose.isprintable():
        raise ValueError(f"a purpose is at most {PURPOSE_MAX} printable characters")
    return Taken(export_id=uuid4(), purpose=purpose, exported_by=EXPORTED_BY, at=house.clock.now())


async def into(
    file: Path, write: Callable[[Sink], Awaitable[dict[str, Any]]], *, form: Form
) -> dict[str, Any]:
    """Write a file that is there whole or not at all, and its summary beside a CSV."""
    with Replacing(file) as target:
        summary = await write(target.write)
    if form is Form.CSV:
        with Replacing(file.with_name(f"{file.name}.summary.json")) as beside:
            beside.write(json.dumps(summary, ensure_ascii=False, indent=1).encode() + b"\n")
    return {"file": str(file), **summary}


class Replacing:
    """A file under another name that takes its own when it was written without an error."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._part = file.with_name(f".{file.name}.{os.getpid()}.part")

    def __enter__(self) -> IO[bytes]:
        """Open the other name; what people export is nobody else's on this machine."""
        handle = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._open = os.fdopen(handle, "wb")
        return self._open

    def __exit__(self, kind: object, *_error: object) -> None:
        """Rename, or take the half away."""
        with self._open:
            if kind is None:
                self._open.flush()
                os.fsync(self._open.fileno())
        if kind is None:
            self._part.replace(self._file)
        else:
            self._part.unlink()
