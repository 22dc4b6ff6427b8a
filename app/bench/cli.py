"""``aqkol bench``: measurements by hand; no test depends on a number."""

import asyncio
import json
import sys
from typing import Annotated

import typer

from app import logs
from app.bench.billing import bench_billing
from app.bench.billing import shown as shown_billing
from app.bench.children import BenchError
from app.bench.debits import bench_debits
from app.bench.debits import shown as shown_debits
from app.bench.documents import bench_documents
from app.bench.documents import shown as shown_documents
from app.bench.drain import bench_drain, shown_drain
from app.bench.ingest import KINDS, bench_ingest, shown
from app.bench.outage import Drill, bench_outage
from app.bench.outage import shown as shown_outage
from app.servers.child import ServerError

bench = typer.Typer(help="Measure: ratios against a ceiling of the same run.")


@bench.callback()
def _group() -> None:
    """Measure: ratios against a ceiling of the same run."""


@bench.command("ingest")
def ingest_command(
    messages: Annotated[int, typer.Option(min=100, max=2_000_000)] = 100_000,
    rounds: Annotated[int, typer.Option(min=1, max=50)] = 3,
    drain: Annotated[int, typer.Option(min=0, max=5_000_000, help="also drain a backlog")] = 0,
    only: Annotated[str, typer.Option(help="one kind of telegrams: json or signed")] = "",
    as_json: Annotated[bool, typer.Option("--json")] = False,  # noqa: FBT002 - an option
) -> None:
    """Measure how fast telegrams become durable, on servers of its own."""
    logs.configure("json")
    kinds = [kind for kind in KINDS if only in {"", kind.codec}]
    if not kinds:
        raise typer.BadParameter("json or signed", param_hint="--only")
    try:
        found = asyncio.run(bench_ingest(messages=messages, rounds=rounds, kinds=kinds))
        if drain:
            found["drain"] = asyncio.run(bench_drain(messages=drain, rounds=rounds))
    except (BenchError, ServerError) as error:
        sys.stderr.write(f"aqkol: {error}\n")
        raise typer.Exit(3) from None
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        lines = [*shown(found), *([shown_drain(found["drain"])] if drain else [])]
        sys.stdout.write("\n".join(lines) + "\n")


@bench.command("outage")
def outage_command(
    meters: Annotated[int, typer.Option(min=1, max=100_000)] = 5_000,
    hours: Annotated[int, typer.Option(min=1, max=2_400)] = 72,
    registers_per_telegram: Annotated[int, typer.Option(min=1, max=500)] = 24,
    signed: Annotated[bool, typer.Option("--signed")] = False,  # noqa: FBT002 - an option
    as_json: Annotated[bool, typer.Option("--json")] = False,  # noqa: FBT002 - an option
) -> None:
    """Measure how long a town needs to catch up after an outage; 1 when anything was lost."""
    logs.configure("json")
    drill = Drill(
        meters=meters, hours=hours, registers_per_telegram=registers_per_telegram, signed=signed
    )
    try:
        found = asyncio.run(bench_outage(drill))
    except (BenchError, ServerError) as error:
        sys.stderr.write(f"aqkol: {error}\n")
        raise typer.Exit(3) from None
    sys.stdout.write((json.dumps(found) if as_json else "\n".join(shown_outage(found))) + "\n")
    if not found["done"] or found["lost"] or found["doubled"]:
        raise typer.Exit(1)


@bench.command("billing")
def billing_command(
    meters: Annotated[int, typer.Option(min=2, max=5_000_000)] = 100_000,
    rounds: Annotated[int, typer.Option(min=1, max=50)] = 1,
    late: Annotated[float, typer.Option(min=0, max=1, help="share corrected afterwards")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json")] = False,  # noqa: FBT002 - an option
) -> None:
    """Measure how fast a month becomes bills; 1 when anything is wrong or written twice."""
    logs.configure("json")
    try:
        found = asyncio.run(bench_billing(meters=meters, rounds=rounds, late=late))
    except (BenchError, ServerError) as error:
        sys.stderr.write(f"aqkol: {error}\n")
        raise typer.Exit(3) from None
    sys.stdout.write((json.dumps(found) if as_json else "\n".join(shown_billing(found))) + "\n")
    if found["wrong"] or found["rerun_inserted"]:
        raise typer.Exit(1)


@bench.command("documents")
def documents_command(
    bills: Annotated[int, typer.Option(min=10, max=100_000, help="in each language")] = 200,
    as_json: Annotated[bool, typer.Option("--json")] = False,  # noqa: FBT002 - an option
) -> None:
    """Measure how many bills one core prints as PDF, in each language."""
    logs.configure("json")
    found = bench_documents(bills=bills)
    sys.stdout.write((json.dumps(found) if as_json else "\n".join(shown_documents(found))) + "\n")


@bench.command("debits")
def debits_command(
    debits: Annotated[int, typer.Option(min=1, max=1_000_000)] = 2_000,
    rounds: Annotated[int, typer.Option(min=1, max=50)] = 3,
    as_json: Annotated[bool, typer.Option("--json")] = False,  # noqa: FBT002 - an option
) -> None:
    """Measure how fast due debits reach the bank; 1 when one is lost or taken twice."""
    logs.configure("json")
    try:
        found = asyncio.run(bench_debits(debits=debits, rounds=rounds))
    except (BenchError, ServerError) as error:
        sys.stderr.write(f"aqkol: {error}\n")
        raise typer.Exit(3) from None
    sys.stdout.write((json.dumps(found) if as_json else "\n".join(shown_debits(found))) + "\n")
    if found["double_debits"] or found["lost_debits"]:
        raise typer.Exit(1)
