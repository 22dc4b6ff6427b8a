"""The command line: one command for each step of the business, and a few for people.

Exit codes: 0 done; 1 done, and something is wrong (audit, doctor, demo); 2 the command or the
settings cannot be used; 3 something we need is not there; 70 a mistake of ours; 130 told twice to
stop.
"""

import asyncio
import json
import logging
import os
import sys
from datetime import timedelta
from typing import Annotated, Any, Final

import typer

from app import (
    account_cli,
    bill_cli,
    books_cli,
    debit_cli,
    deliver_cli,
    export_cli,
    intake,
    logs,
    message_cli,
    meter_cli,
    month_cli,
    penalty_cli,
    preview_cli,
    recompute_cli,
    recon_cli,
    rules_cli,
    run_cli,
    source_cli,
    standard_cli,
    tariff_cli,
    tokens,
    upload_cli,
    verbs,
    wiring,
)
from app import doctor as examination
from app.bench.cli import bench
from app.broker_cli import broker
from app.command import (
    DONE,
    UNUSABLE,
    WRONG,
    Json,
    Once,
    State,
    in_house,
    leave,
    run,
    say,
    settings_of,
)
from app.wiring import House
from metering.io.route import Role

SIMULATED: Final = ("fleet", "bank", "replay", "flood")

cli = typer.Typer(
    name="aqkol",
    help="Aqkol bills a town's gas fairly and takes the money safely.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
simulate = typer.Typer(help="Play the outside world: meters, a bank, a recorded household.")
GROUPS: Final = {
    "simulate": simulate,
    "broker": broker,
    "bench": bench,
    "meter": meter_cli.meter,
    "source": source_cli.source,
    "upload": upload_cli.upload,
    "tariff": tariff_cli.tariff,
    "rules": rules_cli.rules,
    "standard": standard_cli.standard,
    "bill": bill_cli.bill,
    "account": account_cli.account,
    "export": export_cli.export,
    "penalty": penalty_cli.penalty,
    "month": preview_cli.group,
    "recon": recon_cli.recon,
    "debit": debit_cli.debit,
    "debit-run": run_cli.debit_run,
    "books": books_cli.books,
    "refund": books_cli.refund,
    "message": message_cli.message,
}
for name, group in GROUPS.items():
    cli.add_typer(group, name=name)


@cli.command()
def serve(
    *,
    state: State = None,
    migrating: Annotated[
        bool, typer.Option("--migrate", help="Bring a configured database to today's schema.")
    ] = False,
) -> None:
    """Do everything in one process: take telegrams, bill, collect, audit, answer the API."""

    async def work(house: House, stopping: asyncio.Event) -> int:
        await verbs.serve(house, stopping)
        return DONE

    in_house(
        settings_of(state=state), work, broker=True, share=False, migrating=migrating, patient=True
    )


@cli.command()
def ingest(*, state: State = None, once: Once = False, as_json: Json = False) -> None:
    """Take telegrams from the brokers; with --once only those that wait there now."""

    async def work(house: House, stopping: asyncio.Event) -> int:
        if once:
            say(await intake.ingest_waiting(house, stopping), as_json=as_json)
        else:
            await verbs.ingest_loop(house, stopping)
        return DONE

    in_house(settings_of(state=state), work, broker=True, patient=not once)


for _verb in (
    month_cli.reconcile,
    month_cli.correct,
    month_cli.validate,
    recompute_cli.recompute,
    deliver_cli.deliver,
):
    cli.command()(_verb)


@cli.command()
def collect(*, state: State = None, once: Once = False, as_json: Json = False) -> None:
    """Announce, send and follow debits through the bank (AQKOL_BANK_URL or AQKOL_BANK_FILES)."""
    settings = settings_of(state=state)
    if settings.bank_url is None and settings.bank_files is None:
        said = "AQKOL_BANK_URL must say which bank to collect through, or AQKOL_BANK_FILES."
        raise leave(said, UNUSABLE)

    async def work(house: House, stopping: asyncio.Event) -> int:
        async with wiring.bank(house.settings) as client:
            assert client is not None, "its address is set"
            if not once:
                await verbs.collect_loop(house, client, stopping)
                return DONE
            say(await verbs.collect_at(house, client, house.clock.now()), as_json=as_json)
            return DONE

    in_house(settings, work, patient=not once)


@cli.command()
def audit(*, state: State = None, once: Once = False, as_json: Json = False) -> None:
    """Re-derive every bill and debit and compare; it repairs nothing."""
    settings = settings_of(state=state)

    async def work(house: House, stopping: asyncio.Event) -> int:
        async with wiring.bank(house.settings) as client:
            if not once:
                await verbs.audit_loop(house, client, stopping)
                return DONE
            found = await verbs.audit_at(house, client, house.clock.now())
            say(found, as_json=as_json)
            return DONE if found["audit"] == "ok" else WRONG

    in_house(settings, work, patient=not once)


@cli.command()
def web(*, state: State = None) -> None:
    """Answer the API."""

    async def work(house: House, stopping: asyncio.Event) -> int:
        await verbs.web_until(house, stopping)
        return DONE

    in_house(settings_of(state=state), work, patient=True)


@cli.command()
def migrate(
    *,
    state: State = None,
    show: Annotated[
        bool, typer.Option("--status", help="Only show each migration and how it stands.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring the database to today's schema; twice does no harm."""
    settings = settings_of(state=state)

    async def main(_stopping: asyncio.Event) -> int:
        result = await wiring.migrate_now(settings, only_show=show)
        say(result, as_json=as_json)
        return WRONG if show and any(state != "applied" for state in result.values()) else DONE

    run(main)


@cli.command()
def token(  # noqa: PLR0913 - options
    role: Annotated[str, typer.Argument(help="operator or resident")],
    *,
    account: Annotated[str | None, typer.Option(help="The resident's account.")] = None,
    label: Annotated[str, typer.Option(help="What it is for.")] = "command line",
    days: Annotated[int, typer.Option(min=1, max=400, help="How long it is good for.")] = 30,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Make a token for the API and print it; it cannot be shown again."""
    if role not in set(Role):
        raise leave("the role is operator or resident.", UNUSABLE)
    if (role == Role.RESIDENT) != (account is not None):
        raise leave("a resident's token needs --account, an operator's has none.", UNUSABLE)

    async def work(house: House, _stopping: asyncio.Event) -> int:
        issued = await tokens.issue_token(
            house.pool,
            role=Role(role),
            account_id=account,
            label=label,
            at=house.clock.now(),
            lifetime=timedelta(days=days),
        )
        if as_json:
            say({"token": issued.token, "expires_at": issued.expires_at.isoformat()}, as_json=True)
        else:
            print(issued.token)
        return DONE

    in_house(settings_of(state=state), work)


@cli.command()
def doctor(*, state: State = None, as_json: Json = False) -> None:
    """Say which servers were found and why, and check those that are configured."""
    settings = settings_of(state=state)

    async def main(_stopping: asyncio.Event) -> int:
        report = await examination.examine(settings)
        print(json.dumps(report.as_dict()) if as_json else report.as_text())
        return DONE if report.healthy else WRONG

    run(main)


@cli.command()
def demo(  # noqa: PLR0913 - options
    *,
    meters: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    months: Annotated[int, typer.Option(min=1, max=24)] = 2,
    seed: Annotated[int, typer.Option()] = 7,
    once: Annotated[bool, typer.Option("--once", help="Exit after the summary.")] = False,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port of the API.")] = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Let a small town live through some months in about a minute, with faults on purpose."""
    from app import demo as town  # noqa: PLC0415 - it brings what no other command needs

    settings = settings_of(state=state, http_port=port)
    # Two hundred days of a town are a story of their own; here only what goes wrong is told.
    logs.configure(settings.log_format, level=logging.WARNING)

    def show(summary: dict[str, Any], lived: town.Town) -> None:
        print(json.dumps(summary) if as_json else town.as_text(summary, lived), flush=True)

    async def main(stopping: asyncio.Event) -> int:
        plan = town.Plan(meters=meters, months=months, seed=seed)
        good = await town.demo(
            settings, plan, stopping=stopping, once=once, quiet=as_json, show=show
        )
        return DONE if good else WRONG

    run(main)


def _simulated(name: str) -> None:
    """List a simulator among the commands; ``main`` hands over to it before this is reached."""

    def command() -> None:
        raise AssertionError("handed over in main")

    simulate.command(
        name, help=f"Run the simulated {name}; see its own --help.", add_help_option=False
    )(command)


for _name in SIMULATED:
    _simulated(_name)


def main() -> None:
    """Run the command line; the entry point of an installed package.

    A simulator gets every word that follows its name untouched, and takes our place: it is the
    outside world and imports none of us.
    """
    words = sys.argv[1:]
    if words[:1] == ["simulate"] and set(words[1:2]) & set(SIMULATED):
        sys.stdout.flush()
        os.execv(  # noqa: S606 - the simulator takes our place
            sys.executable, [sys.executable, "-m", "simulators", *words[1:]]
        )
    cli(prog_name="aqkol")


if __name__ == "__main__":
    main()
