"""The command line of the simulated bank: `python -m simulators bank`."""

import argparse
import asyncio
import contextlib
import json
import secrets
import signal
import socket
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web

from simulators.bank import creditors
from simulators.bank.clock import Clock, parse, stamp
from simulators.bank.control import control_app
from simulators.bank.faults import Faults
from simulators.bank.server import OPERATIONS, public_app
from simulators.bank.steps import STEPS
from simulators.bank.store import Store
from simulators.bank.world import CLOCK, PROFILES, Bank

SHUTDOWN_SECONDS: Final = 2.0

log = structlog.get_logger()


def arguments(args: Sequence[str]) -> argparse.Namespace:
    """Read the command line; argparse ends the process itself on nonsense."""
    parser = argparse.ArgumentParser(
        prog="python -m simulators bank",
        description="A bank that speaks the GoCardless contract and keeps its books in one file.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address of both listeners")
    parser.add_argument("--port", type=int, default=0, help="public port; 0 picks a free one")
    parser.add_argument("--control-port", type=int, default=0, help="control port; 0 likewise")
    parser.add_argument("--state", type=Path, required=True, help="the file that holds the books")
    parser.add_argument("--token", help="access token; made up and printed when left out")
    parser.add_argument("--now", type=parse, help="start a clock that only POST /clock moves")
    parser.add_argument("--profile", choices=sorted(PROFILES), default="mock-kz")
    parser.add_argument("--public-url", help="address of the pages, when behind a proxy")
    return parser.parse_args(args)


def open_bank(store: Store, *, profile: str, public_url: str, now: datetime | None) -> Bank:
    """Return the bank whose books these are, founding it when the file is new.

    A clock that was ever conducted stays so, and never goes back over a restart.
    """
    kept = store.setting(CLOCK)
    starts = [instant for instant in (now, parse(kept) if kept else None) if instant]
    clock = Clock(max(starts) if starts else None)
    bank = Bank(
        store=store,
        clock=clock,
        profile=PROFILES[profile],
        public_url=public_url,
        creditor_id=store.setting("creditor") or "",
        salt=store.setting("salt") or "",
        at=clock.now(),
        steps=STEPS,
    )
    with store.transaction():
        if clock.conducted:
            store.set(CLOCK, stamp(clock.now()))
        if not bank.creditor_id:
            bank.salt = secrets.token_hex(16)
            creditor = bank.create("creditors", creditors.founding(bank.profile))
            bank.creditor_id = creditor["id"]
            store.set("salt", bank.salt)
            store.set("creditor", bank.creditor_id)
            store.set("profile", profile)
    if store.setting("profile") != profile:
        raise SystemExit(f"this state file belongs to profile {store.setting('profile')}")
    return bank


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.create_server((host, port), backlog=1024)
    listener.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
    return listener


async def _serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    public, control = (_listen(options.host, port) for port in (options.port, options.control_port))
    url, control_url = (
        f"http://{options.host}:{listener.getsockname()[1]}" for listener in (public, control)
    )
    token = options.token or secrets.token_urlsafe(24)
    async with contextlib.AsyncExitStack() as stack:
        store = stack.enter_context(contextlib.closing(Store(options.state)))
        bank = open_bank(
            store,
            profile=options.profile,
            public_url=(options.public_url or url).rstrip("/"),
            now=options.now,
        )
        faults = Faults(frozenset(operation.name for operation in OPERATIONS))
        apps = ((public_app(bank, faults, token), public), (control_app(bank, faults), control))
        for app, listener in apps:
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.SockSite(runner, listener).start()
        ready = {"url": url, "control_url": control_url, "token": token}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        log.info("bank.open", profile=options.profile, conducted=bank.clock.conducted)
        await stop.wait()
        log.info("bank.closed")


def main(args: Sequence[str]) -> int:
    """Run the bank until it is told to stop; standard output carries the one ready line."""
    options = arguments(args)
    structlog.configure(
        processors=[structlog.processors.KeyValueRenderer(key_order=["event"])],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    asyncio.run(_serve(options))
    return 0
